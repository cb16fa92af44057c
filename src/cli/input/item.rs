//! One event on its way from the input to a batch.

use std::fmt;

use bytes::Bytes;

use crate::Event;
use crate::cli::args::send::SendArgs;
use crate::cli::failure::Failure;
use crate::wire::batch::Batch;

/// An event, and what it is called in messages.
#[derive(Debug)]
pub(in crate::cli) struct Item {
    /// Counted as its [`Unit`] counts.
    pub(in crate::cli) number: u64,
    pub(in crate::cli) event: Event,
    pub(in crate::cli) partition_key: Option<String>,
}

/// What the events of an input are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Unit {
    /// Counted from 1.
    Argument,
    /// Counted from 0, as JSON does.
    Element,
    /// Counted from 1.
    Line,
}

impl Unit {
    /// The event `number`, as its writer would point at it.
    pub(in crate::cli) fn name(self, number: u64) -> impl fmt::Display {
        fmt::from_fn(move |f| match self {
            Self::Argument => write!(f, "argument {number}"),
            Self::Element => write!(f, "events[{number}]"),
            Self::Line => write!(f, "line {number}"),
        })
    }
}

/// What the options put on every event.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Template {
    properties: Vec<(String, String)>,
    content_type: Option<String>,
    partition_key: Option<String>,
    has_partition_id: bool,
}

impl Template {
    /// Checks the options that events are made with.
    pub(in crate::cli) fn new(args: &SendArgs) -> Result<Self, Failure> {
        for (index, (name, _)) in args.properties.iter().enumerate() {
            if args.properties[..index].iter().any(|(before, _)| before == name) {
                return Err(Failure::input(format!("--property {name} is given twice; keep the one that is meant")));
            }
        }
        if let Some(key) = &args.partition_key {
            check_partition_key(key).map_err(|error| Failure::input(format!("--partition-key: {error}")))?;
        }
        let template = Self {
            properties: args.properties.clone(),
            content_type: args.content_type.clone(),
            partition_key: args.partition_key.clone(),
            has_partition_id: args.partition_id.is_some(),
        };
        if let Some(content_type) = &template.content_type {
            check_content_type(content_type).map_err(|error| Failure::input(format!("--content-type: {error}")))?;
        }
        template.event(Bytes::new()).check().map_err(|error| Failure::input(error.to_string()))?;
        Ok(template)
    }

    /// An event with this body and all that the options say.
    pub(in crate::cli) fn item(&self, number: u64, body: Bytes) -> Item {
        Item { number, event: self.event(body), partition_key: self.partition_key.clone() }
    }

    pub(super) fn event(&self, body: Bytes) -> Event {
        self.put_on(Event::new(body))
    }

    /// Adds what the options say to an event that does not say it itself.
    pub(super) fn put_on(&self, event: Event) -> Event {
        let has_type = event.properties().is_some_and(|properties| properties.content_type.is_some());
        let event = match &self.content_type {
            Some(content_type) if !has_type => event.with_content_type(content_type),
            _ => event,
        };
        self.properties.iter().fold(event, |event, (name, value)| match event.property(name) {
            Some(_) => event,
            None => event.with_property(name, value.as_str()),
        })
    }

    /// The key of an event that may name one of its own.
    pub(super) fn partition_key(&self, own: Option<String>) -> Result<Option<String>, String> {
        let Some(own) = own else { return Ok(self.partition_key.clone()) };
        if self.has_partition_id {
            return Err("a partition key contradicts --partition-id; drop one of them".to_owned());
        }
        check_partition_key(&own)?;
        Ok(Some(own))
    }
}

/// A MIME type travels as a symbol.
pub(super) fn check_content_type(text: &str) -> Result<(), String> {
    if text.is_ascii() { Ok(()) } else { Err(format!("`{text}` is not ASCII; write a MIME type such as text/plain")) }
}

fn check_partition_key(key: &str) -> Result<(), String> {
    Batch::with_partition_key(0, key).map(|_| ()).map_err(|error| error.to_string())
}
