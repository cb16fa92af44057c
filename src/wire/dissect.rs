//! Bytes -> a tree that names every field: what `hubwire decode` shows.
//!
//! A tree holds everything up to the byte where its input breaks, and a [`Fault`] says what was expected there. Frames and
//! events tell how long they are, so that what follows a broken one is dissected all the same.
//!
//! Signatures, keys, tokens and logins do not enter a tree; where they stand in the bytes is told by
//! [`Dissection::secrets`]. Memory is bounded by the input and by [`MAX_NODES`].

mod deliveries;
mod fault;
mod findings;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod invariants;
mod message;
mod request;
#[cfg(test)]
mod tests;
mod token;
mod walk;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::value::{Kind, Value};
pub(crate) use deliveries::{Deliveries, Delivery};
pub(crate) use fault::Fault;
use findings::Findings;
pub(crate) use frame::{Cut, Transfer, cut, is_start};
pub(crate) use message::Events;
use walk::Walker;

/// Nodes that a tree has at most: what is left of a list, map, array or batch after that is counted, not shown.
pub(crate) const MAX_NODES: usize = 400_000;

/// A part of the input, by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// The field, section or key, or a place such as `[2]`.
    pub(crate) name: Cow<'static, str>,
    /// The type by the specification's name: `uint`, `map`, `source`, `section`.
    pub(crate) kind: &'static str,
    /// The type of the key, for an entry of a map.
    pub(crate) key: Option<Kind>,
    /// Where it stands in the input.
    pub(crate) range: Range<usize>,
    /// What stands there, if it has no parts. Where that is a secret, a mask.
    pub(crate) value: Option<Value>,
    /// What it means, or what is left out.
    pub(crate) note: Option<Cow<'static, str>>,
    /// Bytes of bodies, of a message or an event: the rest is overhead.
    pub(crate) body_len: Option<usize>,
    pub(crate) children: Vec<Self>,
}

impl Node {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, kind: &'static str, range: Range<usize>) -> Self {
        let name = name.into();
        Self { name, kind, key: None, range, value: None, note: None, body_len: None, children: Vec::new() }
    }

    fn with_value(self, value: impl Into<Value>) -> Self {
        Self { value: Some(value.into()), ..self }
    }

    /// The part of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The value of the part of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        self.child(name)?.value.as_ref()
    }
}

/// What an input was found to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dissection {
    pub(crate) nodes: Vec<Node>,
    /// In the order of their places.
    pub(crate) faults: Vec<Fault>,
    /// Where secrets stand in the input.
    pub(crate) secrets: Vec<Range<usize>>,
    /// What is in no node: each from a byte where the input breaks to where it can be read on.
    pub(crate) rests: Vec<Range<usize>>,
}

impl Dissection {
    /// Puts what was found in the payload of this frame where the payload stands.
    pub(crate) fn put_payload(&mut self, message: Self) {
        if let Some(payload) = self.payload() {
            payload.children = message.nodes;
        }
        self.faults.extend(message.faults);
        self.faults.sort_by_key(|fault| fault.at);
        self.secrets.extend(message.secrets);
        self.rests.extend(message.rests);
    }

    /// The payload of a transfer.
    pub(crate) fn payload(&mut self) -> Option<&mut Node> {
        self.nodes.first_mut()?.children.iter_mut().find(|child| child.name == "payload")
    }
}

/// Whether secrets may enter a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    Masked,
    Shown,
}

/// One frame, or one protocol header, which is all of `input`. The message in a transfer is left to [`message`]; what a
/// transfer says is told beside the tree.
pub(crate) fn frame(input: &Bytes, secrets: Secrets) -> (Dissection, Option<Transfer>) {
    let mut findings = Findings::new(secrets);
    let (node, transfer) = frame::read(input, &mut findings);
    (findings.into_dissection(input, vec![node]), transfer)
}

/// A message, which is all of `range` in `input`, and the events in it where it is a batch.
pub(crate) fn message(input: &Bytes, range: Range<usize>, events: Events, secrets: Secrets) -> Dissection {
    let mut findings = Findings::new(secrets);
    let node = message::read(input, range, events, &mut findings);
    findings.into_dissection(input, vec![node])
}

/// Values, one behind the other, to the end of `input`. A bare performative is one; behind a transfer comes its message.
pub(crate) fn values(input: &Bytes, secrets: Secrets) -> Dissection {
    let mut findings = Findings::new(secrets);
    let mut values = Node::new("values", "values", 0..input.len());
    let mut walker = Walker::new(input, 0..input.len(), &mut findings);
    let mut message = None;
    while !walker.is_at_end() && walker.may_go_on() && walker.whole_value(&mut values.children).is_ok() {
        if let Some(transfer) = values.children.last().filter(|node| node.name == "transfer" && !walker.is_at_end()) {
            message = Some((walker.left(), transfer.field("message-format").and_then(Value::as_i64)));
            break;
        }
    }
    request::hide_token(input, &mut values, 0, &mut findings);
    if let Some((range, message_format)) = message {
        let events = Events::of_format(message_format.and_then(|format| u32::try_from(format).ok()));
        values.children.push(message::read(input, range, events, &mut findings));
    }
    findings.into_dissection(input, values.children)
}
