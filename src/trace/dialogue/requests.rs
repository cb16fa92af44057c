//! What is asked of `$cbs` and `$management`, and which answer belongs to which question.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::links::Node;
use crate::wire::answer::Answer;
use crate::wire::event::Event;
use crate::wire::sas::SasToken;
use crate::wire::value::Value;

/// Questions without an answer that are remembered.
const MAX_WAITING: usize = 256;
/// Bytes of a question or answer that are read.
pub(super) const MAX_MESSAGE_LEN: usize = 16 * 1024;

/// A question, without any secret: it is read from bytes that are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trace) struct Request {
    /// `put-token`, `READ`.
    pub(in crate::trace) operation: String,
    /// An audience, an event hub.
    pub(in crate::trace) name: String,
    /// What kind of token or thing that is.
    pub(in crate::trace) kind: String,
    pub(in crate::trace) partition: Option<String>,
    /// The name of the key that signed a token.
    pub(in crate::trace) key_name: Option<String>,
    /// When a token ends.
    pub(in crate::trace) expiry_unix_secs: Option<u64>,
}

/// An answer, and what it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trace) struct Reply {
    /// The operation that was asked for, and how long the answer took.
    pub(in crate::trace) to: Option<(String, Duration)>,
    pub(in crate::trace) status: i64,
    pub(in crate::trace) description: String,
    pub(in crate::trace) condition: String,
}

impl Request {
    pub(super) fn read(message: &Bytes) -> Option<Self> {
        let message = Event::decode(message).ok()?;
        let text = |key| message.property(key).and_then(Value::as_str).map(str::to_owned);
        let token = message.value().and_then(Value::as_str).and_then(|text| SasToken::parse(text).ok());
        let expiration = message.property("expiration").and_then(Value::as_i64);
        let expiration = expiration.and_then(|millis| u64::try_from(millis / 1_000).ok());
        Some(Self {
            operation: text("operation")?,
            name: text("name").unwrap_or_default(),
            kind: text("type").unwrap_or_default(),
            partition: text("partition"),
            key_name: token.as_ref().map(|token| token.key_name().to_owned()),
            expiry_unix_secs: token.and_then(|token| token.expiry_unix_secs()).or(expiration),
        })
    }

    pub(in crate::trace) fn is_put(&self) -> bool {
        self.operation == "put-token"
    }
}

impl Reply {
    pub(in crate::trace) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The questions of a connection that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    node: Node,
    /// Its message id, as text.
    id: Option<String>,
    operation: String,
    since: Duration,
}

impl Requests {
    pub(super) fn ask(&mut self, node: Node, message: &Bytes, request: &Request, at: Duration) {
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        let id =
            Event::decode(message).ok().and_then(|message| Some(message.properties()?.message_id.clone()?.to_string()));
        self.waiting.push_back(Waiting { node, id, operation: request.operation.clone(), since: at });
    }

    /// Reads an answer, and finds its question: by correlation id, else the oldest of the node.
    pub(super) fn answer(&mut self, node: Node, message: &Bytes, at: Duration) -> Option<Reply> {
        let Answer { status, description, condition, .. } = Answer::decode(message).ok()?;
        let id = Event::decode(message)
            .ok()
            .and_then(|message| Some(message.properties()?.correlation_id.clone()?.to_string()));
        let is_its = |waiting: &Waiting| waiting.node == node && (id.is_none() || waiting.id == id);
        let question = self.waiting.iter().position(is_its).and_then(|place| self.waiting.remove(place));
        let to = question.map(|question| (question.operation, at.saturating_sub(question.since)));
        Some(Reply { to, status, description, condition })
    }
}
