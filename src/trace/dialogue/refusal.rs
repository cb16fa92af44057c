//! Why something ended or was refused, and what that calls for.

use super::links::Node;
use super::requests::Reply;
use crate::client::{request_advice, status_advice};
use crate::trace::performative::Composite;
use crate::wire::condition::{self, Recovery};
use crate::wire::descriptors::codes as code;

/// The peer's no, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trace) struct Refusal {
    /// Of an answer.
    status: Option<(Node, i64)>,
    /// Empty where there is a status alone.
    pub(in crate::trace) condition: String,
    pub(in crate::trace) description: String,
}

impl Refusal {
    /// The error in the performative, or in the outcome that it tells of.
    pub(super) fn of_performative(performative: &Composite) -> Option<Self> {
        let state = performative.composite("state");
        let error = performative.composite("error").or_else(|| state?.composite("error"))?;
        let text = |field| error.text(field).unwrap_or_default().to_owned();
        let refusal = Self { status: None, condition: text("condition"), description: text("description") };
        (error.code == code::ERROR).then_some(refusal)
    }

    pub(super) fn of_reply(node: Node, reply: &Reply) -> Option<Self> {
        let Reply { status, description, condition, .. } = reply.clone();
        (!reply.is_success()).then_some(Self { status: Some((node, status)), condition, description })
    }

    pub(in crate::trace) fn recovery(&self) -> Recovery {
        match self.bare_status() {
            Some((_, 408 | 429 | 500 | 502 | 503 | 504)) => Recovery::RetryOnLink,
            Some(_) => Recovery::GiveUp,
            None => condition::recovery(&self.condition, Some(&self.description)),
        }
    }

    /// Why it calls for that; a status says it by itself.
    pub(in crate::trace) fn reason(&self) -> Option<&'static str> {
        self.bare_status().is_none().then(|| condition::reason(&self.condition))
    }

    pub(in crate::trace) fn advice(&self) -> &'static str {
        match self.bare_status() {
            Some((Node::Cbs, status)) => status_advice(status),
            Some((_, status)) => request_advice(status),
            None => condition::advice(&self.condition),
        }
    }

    fn bare_status(&self) -> Option<(Node, i64)> {
        self.status.filter(|_| self.condition.is_empty())
    }
}
