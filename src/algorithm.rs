//! The guide's algorithm: `{"events": ["...", "..."]}` in, every event in an event hub, and a reply that says so.
//!
//! ```
//! use hubwire::algorithm::{Algorithm, Input};
//! use hubwire::ConnectionString;
//!
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # let emulator = hubwire::emulator::Emulator::builder().event_hub("telemetry", 4).build()?;
//! # let listening = runtime.block_on(emulator.listen("127.0.0.1:0"))?;
//! # let text = listening.connection_string(None);
//! let mut algorithm = Algorithm::new(ConnectionString::parse(&text)?, "telemetry")?;
//! let reply = algorithm.apply(&Input::json(r#"{"events": ["first event", "second event", "..."]}"#))?;
//! assert_eq!((reply.accepted, reply.batches), (3, 1));
//!
//! let failure = algorithm.apply(&Input::json(r#"{"events": ["first event", 42]}"#)).unwrap_err();
//! assert_eq!(failure.to_string(), "events[1]: expected a string, got a number");
//! assert_eq!(failure.error_type().name(), "InputError");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Algorithm`] keeps its connection between calls; [`handler`] is the calling convention of the platform that the guide was
//! written for, and [`handler::Process`] the process that it runs.
//!
//! # What is checked when
//! The whole input is checked before a connection is opened: what is missing, mistyped, empty or too large is named by its
//! number, and nothing is sent. Events then go in as many batches as they need, one after the other, in their order: when a
//! call fails in the middle, the accepted events are the first ones, and [`Failure`] says how many.

mod answer;
mod elements;
mod failure;
pub mod handler;
mod input;
mod reply;
mod sending;

use std::env::{self, VarError};
use std::fmt;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

pub use elements::Elements;
use elements::Rules;
pub use failure::{ErrorType, Failure};
pub use input::{Input, Json};
use reply::Progress;
pub use reply::Reply;
use sending::{Sending, Sent};

use crate::client::Deadline;
use crate::wire::batch::room_for;
use crate::wire::connection_string::check_event_hub_name;
use crate::{ConnectionString, Error, Options, blocking, clock};

/// The variable that holds the connection string, as in the guide.
const CONNECTION_STRING_VARIABLE: &str = "CONNECTION_STR";
/// The variable that names the event hub, where the connection string has no `EntityPath`.
const EVENT_HUB_VARIABLE: &str = "EVENTHUB_NAME";
/// The whole of a call, sending included: the platform gives up after 300 s.
const CALL_WITHIN: Duration = Duration::from_secs(240);
/// The time for a goodbye: a host that ends the process wants it gone.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_millis(500);
/// What a hub takes in one message, until it has said. Source: event-hubs-wire 6.2.
const MAX_MESSAGE_SIZE: usize = 1_048_576;

type Open = Box<dyn FnMut(&ConnectionString, &Options) -> Result<blocking::Connection, Error> + Send>;

/// Publishes the events of one input after the other to an event hub, over a connection that is kept between calls.
///
/// The connection is opened by the first call that has something to send. A later call looks at what became of it meanwhile,
/// and makes it anew, once, if it must: see [`blocking`].
pub struct Algorithm {
    connection_string: ConnectionString,
    event_hub: String,
    options: Options,
    rules: Rules,
    max_message_size: usize,
    call_within: Duration,
    open: Open,
    kept: Option<Kept>,
}

/// What is kept between calls.
struct Kept {
    // Before the connection: it is let go of first.
    sender: blocking::Sender,
    connection: blocking::Connection,
}

impl Algorithm {
    /// To `event_hub`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorType::Initialization`] for a name that cannot be one.
    pub fn new(connection_string: ConnectionString, event_hub: impl Into<String>) -> Result<Self, Failure> {
        let event_hub = event_hub.into();
        check_event_hub_name(&event_hub)?;
        Ok(Self {
            connection_string,
            event_hub,
            options: Options::default().close_timeout(CLOSE_WITHIN),
            rules: Rules::default(),
            max_message_size: MAX_MESSAGE_SIZE,
            call_within: CALL_WITHIN,
            open: Box::new(blocking::Connection::open),
            kept: None,
        })
    }

    /// By the environment: `CONNECTION_STR`, as in the guide, and `EVENTHUB_NAME` unless the connection string has an
    /// `EntityPath`.
    ///
    /// # Errors
    /// [`ErrorType::Initialization`], in words that hold no secret.
    pub fn from_env() -> Result<Self, Failure> {
        let initialization = |message: String| Failure::new(ErrorType::Initialization, message);
        let text = variable(CONNECTION_STRING_VARIABLE)?.ok_or_else(|| {
            initialization(format!(
                "no connection string; set the secret {CONNECTION_STRING_VARIABLE} to that of the namespace"
            ))
        })?;
        let parsed = ConnectionString::parse(&text);
        let connection_string =
            parsed.map_err(|error| initialization(format!("{CONNECTION_STRING_VARIABLE}: {error}")))?;
        let named = variable(EVENT_HUB_VARIABLE)?;
        let event_hub =
            connection_string.resolve_event_hub(named.as_ref().map(|named| named.as_str())).map(str::to_owned);
        Self::new(
            connection_string,
            event_hub.map_err(|error| initialization(format!("{EVENT_HUB_VARIABLE}: {error}")))?,
        )
    }

    /// How to connect. Default: [`Options::default`], but 0.5 s for the goodbye.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// What an element of `events` has to be. Default [`Elements::Strings`].
    #[must_use]
    pub fn elements(mut self, elements: Elements) -> Self {
        self.rules.elements = elements;
        self
    }

    /// Whether an empty element is an event without a body, and no fault. Default: no.
    #[must_use]
    pub fn keep_empty(mut self, keep: bool) -> Self {
        self.rules.keep_empty = keep;
        self
    }

    /// Bytes of the largest message that the hub takes, as far as is known before it has said so. Default 1 MiB. An event
    /// that is larger is refused before a connection is opened; a hub that takes less (256 KiB in the Basic tier) has the
    /// input checked once more, before anything is sent.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// The time for a call, all of it: connecting and every batch. Default 240 s, since the platform gives up after 300 s.
    /// Within it, [`Options::open_timeout`] and [`Options::send_timeout`] hold for each step.
    #[must_use]
    pub fn call_within(mut self, limit: Duration) -> Self {
        self.call_within = limit;
        self
    }

    /// How a connection is opened. Default [`blocking::Connection::open`].
    #[must_use]
    pub fn open_by<F>(mut self, open: F) -> Self
    where
        F: FnMut(&ConnectionString, &Options) -> Result<blocking::Connection, Error> + Send + 'static,
    {
        self.open = Box::new(open);
        self
    }

    /// Publishes the events of `input`, and waits for their outcome. A text, or bytes, that are JSON are taken for it.
    ///
    /// # Errors
    /// [`Failure`]. It says how many events were accepted before.
    pub fn apply(&mut self, input: &Input) -> Result<Reply, Failure> {
        let began = clock::now();
        let until = Deadline::after(self.call_within).at;
        let document = input.document()?;
        let limit = self.kept.as_ref().map_or(self.max_message_size, |kept| kept.sender.max_message_size());
        let total = self.check(document, limit)?;
        let Sent { accepted, batches, bytes } = self.publish(document, total, limit, until)?;
        Ok(Reply { accepted, event_hub: self.event_hub.clone(), batches, bytes, elapsed: clock::now() - began })
    }

    /// How many events there are, each no larger than `limit` allows.
    fn check(&self, document: &str, limit: usize) -> Result<u64, Failure> {
        elements::read(document, self.rules, &mut |index, body| {
            let len = room_for(&body);
            if len <= limit {
                return Ok(());
            }
            let text = format!(
                "events[{index}]: takes {len} bytes as a message, and the hub's limit is {limit}; make it smaller"
            );
            Err(Failure::new(ErrorType::TooLarge, text))
        })
    }

    fn publish(&mut self, document: &str, total: u64, checked: usize, until: Instant) -> Result<Sent, Failure> {
        let nothing_sent = Progress { not_sent: total, ..Progress::default() };
        let rules = self.rules;
        let limit = self.sender(until).map_err(|failure| failure.after(nothing_sent))?.max_message_size();
        if limit < checked {
            self.check(document, limit).map_err(|failure| failure.after(nothing_sent))?;
        }
        let mut sending = Sending::new(self.sender(until)?, until, total);
        let sent = elements::read(document, rules, &mut |index, body| sending.take(index, body))
            .and_then(|_| sending.finish());
        if sent.as_ref().is_err_and(|failure| !failure.is_retryable()) {
            // The next call begins anew: somebody may have changed something by then.
            self.kept = None;
        }
        sent
    }

    /// The sender that is kept, or another one.
    fn sender(&mut self, until: Instant) -> Result<&blocking::Sender, Failure> {
        let is_over = |kept: &Kept| kept.connection.is_over();
        let kept = match self.kept.take_if(|kept| !is_over(kept)) {
            Some(kept) => kept,
            None => self.connect(until)?,
        };
        Ok(&self.kept.insert(kept).sender)
    }

    fn connect(&mut self, until: Instant) -> Result<Kept, Failure> {
        let left = until.saturating_duration_since(clock::now());
        // For both: a link is a part of what a call opens.
        let deadline = Deadline::after(self.options.open_timeout.min(left));
        let options = self.options.clone().open_timeout(deadline.left());
        let connection = (self.open)(&self.connection_string, &options).map_err(|error| Failure::from(&error))?;
        let sender = connection.sender_within(&self.event_hub, deadline.left());
        let sender = sender.map_err(|error| Failure::from(&error))?;
        Ok(Kept { sender, connection })
    }
}

/// Where it publishes to, and how; no keys.
impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Algorithm")
            .field("connection_string", &self.connection_string)
            .field("event_hub", &self.event_hub)
            .field("options", &self.options)
            .field("rules", &self.rules)
            .field("call_within", &self.call_within)
            .field("is_connected", &self.kept.is_some())
            .finish_non_exhaustive()
    }
}

fn variable(name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    match env::var(name) {
        // An empty variable is how many hosts spell one that is not set.
        Ok(text) => Ok(Some(Zeroizing::new(text)).filter(|text| !text.trim().is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(Failure::new(ErrorType::Initialization, format!("{name} is not UTF-8; set it anew")))
        }
    }
}
