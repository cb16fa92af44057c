//! The sections around a body: header, annotations, properties.

use std::fmt;

use bytes::Bytes;

use crate::wire::value::Value;

/// How a message is to be carried. A field that is `None` is written as null.
///
/// Source: AMQP 1.0 part 3, 3.2.1 (header).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Whether the message must survive its holder.
    pub durable: Option<bool>,
    /// Relative importance; 4 is the usual.
    pub priority: Option<u8>,
    /// How long the message is of use, in milliseconds.
    pub ttl_millis: Option<u32>,
    /// Whether nobody has taken the message before.
    pub first_acquirer: Option<bool>,
    /// How many deliveries of it have failed before.
    pub delivery_count: Option<u32>,
}

/// What a message says of itself. A field that is `None` is written as null.
///
/// Source: AMQP 1.0 part 3, 3.2.4 (properties).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// What tells this message from others.
    pub message_id: Option<MessageId>,
    /// Who made it.
    pub user_id: Option<Bytes>,
    /// The node it is meant for.
    pub to: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// The node that replies go to.
    pub reply_to: Option<String>,
    /// The message it answers or belongs to.
    pub correlation_id: Option<MessageId>,
    /// MIME type of the body; ASCII.
    pub content_type: Option<String>,
    /// What was done to the body, e.g. `gzip`; ASCII.
    pub content_encoding: Option<String>,
    /// When it expires, in milliseconds since 1970-01-01 UTC.
    pub absolute_expiry_unix_millis: Option<i64>,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub creation_unix_millis: Option<i64>,
    /// The group it belongs to.
    pub group_id: Option<String>,
    /// Its place in the group.
    pub group_sequence: Option<u32>,
    /// The group that replies belong to.
    pub reply_to_group_id: Option<String>,
}

/// A message id or correlation id, in one of the four types AMQP allows.
///
/// Source: AMQP 1.0 part 3, 3.2.11 to 3.2.14.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// A number.
    Ulong(u64),
    /// A UUID, in the order its bytes are printed.
    Uuid([u8; 16]),
    /// Bytes.
    Binary(Bytes),
    /// Text.
    String(String),
}

impl From<u64> for MessageId {
    fn from(id: u64) -> Self {
        Self::Ulong(id)
    }
}

impl From<[u8; 16]> for MessageId {
    fn from(uuid: [u8; 16]) -> Self {
        Self::Uuid(uuid)
    }
}

impl From<Bytes> for MessageId {
    fn from(id: Bytes) -> Self {
        Self::Binary(id)
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        Self::String(id.to_owned())
    }
}

impl From<String> for MessageId {
    fn from(id: String) -> Self {
        Self::String(id)
    }
}

/// The id as text: numbers decimal, UUIDs grouped as usual, bytes in hex.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ulong(id) => write!(f, "{id}"),
            Self::String(id) => f.write_str(id),
            Self::Binary(id) => id.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Uuid(id) => id.iter().enumerate().try_for_each(|(at, byte)| {
                let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                write!(f, "{dash}{byte:02x}")
            }),
        }
    }
}

/// Annotations: names, which are symbols, and values of any type, in the order they were added.
///
/// Also the footer, which has the same shape. An empty one is not written.
///
/// Source: AMQP 1.0 part 3, 3.2.10 (annotations).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotations {
    pub(super) entries: Vec<(Value, Value)>,
}

impl Annotations {
    /// Sets `name`, in the place it has if it is there already.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let name = name.into();
        let mut entries = self.entries.iter_mut();
        match entries.find(|(key, _)| key.as_str() == Some(&name)) {
            Some((_, there)) => *there = value.into(),
            None => self.entries.push((Value::Symbol(name), value.into())),
        }
    }

    /// The value under `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let mut entries = self.entries.iter();
        entries.find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
    }

    /// Every key and value, in order. Keys are symbols, or what else a peer has sent.
    pub fn iter(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
