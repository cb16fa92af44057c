//! What a frame says: its performative, field by field, by the names of the specification.

use bytes::Bytes;

use crate::wire::value::{DecodeError, Value};

pub(super) const OPEN: u64 = 0x10;
pub(super) const BEGIN: u64 = 0x11;
pub(super) const ATTACH: u64 = 0x12;
pub(super) const FLOW: u64 = 0x13;
pub(super) const TRANSFER: u64 = 0x14;
pub(super) const DISPOSITION: u64 = 0x15;
pub(super) const DETACH: u64 = 0x16;
pub(super) const END: u64 = 0x17;
pub(super) const CLOSE: u64 = 0x18;
pub(super) const ERROR: u64 = 0x1d;
pub(super) const SASL_INIT: u64 = 0x41;
pub(super) const SASL_OUTCOME: u64 = 0x44;

/// A described list of the specification: a performative, or what stands in one's fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Composite {
    pub(super) code: u64,
    fields: Vec<Value>,
}

impl Composite {
    /// The performative that `body` begins with, and where it ends.
    pub(super) fn decode(body: &Bytes) -> Result<(Self, usize), DecodeError> {
        let (value, len) = Value::decode_prefix(body)?;
        let found = value.kind();
        let composite = Self::of(value).ok_or(DecodeError::WrongType { at: 0, expected: "a performative", found })?;
        Ok((composite, len))
    }

    /// Takes a described list apart, if `value` is one of the specification's.
    pub(super) fn of(value: Value) -> Option<Self> {
        let Value::Described(parts) = value else { return None };
        let (descriptor, Value::List(fields)) = *parts else { return None };
        Some(Self { code: code_of(&descriptor)?, fields })
    }

    pub(super) fn name(&self) -> &'static str {
        known(self.code).map_or("unknown", |(name, _)| name)
    }

    /// The field, unless it is absent or null.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        let (_, names) = known(self.code)?;
        let at = names.iter().position(|name| *name == field)?;
        self.fields.get(at).filter(|value| **value != Value::Null)
    }

    pub(super) fn number(&self, field: &str) -> Option<u32> {
        self.get(field)?.as_i64()?.try_into().ok()
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.get(field)?.as_str()
    }

    pub(super) fn is(&self, field: &str) -> bool {
        self.get(field) == Some(&Value::Boolean(true))
    }

    /// The described list in a field.
    pub(super) fn composite(&self, field: &str) -> Option<Self> {
        Self::of(self.get(field)?.clone())
    }

    /// Its fields that are there, with their names; what has none goes by its place.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let names = known(self.code).map_or(&[][..], |(_, names)| names);
        let named = self.fields.iter().enumerate().map(|(at, value)| (names.get(at).copied().unwrap_or("?"), value));
        named.filter(|(_, value)| **value != Value::Null)
    }
}

fn code_of(descriptor: &Value) -> Option<u64> {
    match descriptor {
        Value::Ulong(code) => Some(*code),
        Value::Symbol(symbol) => {
            let name = symbol.strip_prefix("amqp:")?.strip_suffix(":list")?;
            TABLE.iter().find(|(_, known, _)| *known == name).map(|(code, ..)| *code)
        }
        _ => None,
    }
}

fn known(code: u64) -> Option<(&'static str, &'static [&'static str])> {
    TABLE.iter().find(|(known, ..)| *known == code).map(|(_, name, fields)| (*name, *fields))
}

#[rustfmt::skip]
const TABLE: &[(u64, &str, &[&str])] = &[
    (0x10, "open", &["container-id", "hostname", "max-frame-size", "channel-max", "idle-time-out", "outgoing-locales", "incoming-locales", "offered-capabilities", "desired-capabilities", "properties"]),
    (0x11, "begin", &["remote-channel", "next-outgoing-id", "incoming-window", "outgoing-window", "handle-max", "offered-capabilities", "desired-capabilities", "properties"]),
    (0x12, "attach", &["name", "handle", "role", "snd-settle-mode", "rcv-settle-mode", "source", "target", "unsettled", "incomplete-unsettled", "initial-delivery-count", "max-message-size", "offered-capabilities", "desired-capabilities", "properties"]),
    (0x13, "flow", &["next-incoming-id", "incoming-window", "next-outgoing-id", "outgoing-window", "handle", "delivery-count", "link-credit", "available", "drain", "echo", "properties"]),
    (0x14, "transfer", &["handle", "delivery-id", "delivery-tag", "message-format", "settled", "more", "rcv-settle-mode", "state", "resume", "aborted", "batchable"]),
    (0x15, "disposition", &["role", "first", "last", "settled", "state", "batchable"]),
    (0x16, "detach", &["handle", "closed", "error"]),
    (0x17, "end", &["error"]),
    (0x18, "close", &["error"]),
    (0x1d, "error", &["condition", "description", "info"]),
    (0x23, "received", &["section-number", "section-offset"]),
    (0x24, "accepted", &[]),
    (0x25, "rejected", &["error"]),
    (0x26, "released", &[]),
    (0x27, "modified", &["delivery-failed", "undeliverable-here", "message-annotations"]),
    (0x28, "source", &["address", "durable", "expiry-policy", "timeout", "dynamic", "dynamic-node-properties", "distribution-mode", "filter", "default-outcome", "outcomes", "capabilities"]),
    (0x29, "target", &["address", "durable", "expiry-policy", "timeout", "dynamic", "dynamic-node-properties", "capabilities"]),
    (0x40, "sasl-mechanisms", &["sasl-server-mechanisms"]),
    (0x41, "sasl-init", &["mechanism", "initial-response", "hostname"]),
    (0x42, "sasl-challenge", &["challenge"]),
    (0x43, "sasl-response", &["response"]),
    (0x44, "sasl-outcome", &["code", "additional-data"]),
];
