//! An event: a body, and what a publisher says about it.
//!
//! An event on the wire is an AMQP message: sections in a fixed order, of which an event with a body alone has one.
//!
//! ```
//! use hubwire::wire::event::Event;
//!
//! let event = Event::new("first event");
//! assert_eq!(event.encode()?, &b"\x00\x53\x75\xa0\x0bfirst event"[..]);
//!
//! let event = event.with_content_type("text/plain").with_property("k1", "v1");
//! let encoded = event.encode()?;
//! assert_eq!(encoded.len(), event.encoded_len());
//! assert_eq!(Event::decode(&encoded)?, event);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: AMQP 1.0 part 3, 3.2 (message format).

mod decode;
mod encode;
mod sections;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use bytes::Bytes;

pub use encode::EncodeError;
pub(crate) use encode::{Encoding, data_section_len, key_sections, put_data_section};
pub use sections::{Annotations, Header, MessageId, Properties};

use super::value::Value;
pub(crate) use decode::{MessageReader, Section};

/// The annotation that carries a partition key.
pub const PARTITION_KEY: &str = "x-opt-partition-key";

pub(crate) const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
pub(crate) const OFFSET: &str = "x-opt-offset";
pub(crate) const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
/// The message annotations that a hub writes. Source: event-hubs-wire 8.
pub(crate) const HUBS_ANNOTATIONS: [&str; 4] = [SEQUENCE_NUMBER, OFFSET, ENQUEUED_TIME, PARTITION_KEY];

/// One event, or any other AMQP message.
///
/// With a body alone it is a few words and a share of the body's memory; anything else is kept behind one pointer.
/// `Debug` tells the body's length and the names of application properties, not what is in them: tokens travel there.
#[derive(Clone, PartialEq, Default)]
pub struct Event {
    body: Body,
    sections: Option<Box<Sections>>,
}

/// What a message carries.
///
/// Source: AMQP 1.0 part 3, 3.2.6 to 3.2.8.
#[derive(Clone, PartialEq, Default)]
pub enum Body {
    /// No body section, as in the Python SDK's management requests.
    #[default]
    Absent,
    /// Bytes in one `data` section: every event that hubwire makes.
    Data(Bytes),
    /// Bytes in several `data` sections.
    DataSections(Vec<Bytes>),
    /// One value, in an `amqp-value` section.
    Value(Value),
    /// Lists of values, in one `amqp-sequence` section each.
    Sequences(Vec<Vec<Value>>),
}

/// Everything but the body.
#[derive(Clone, PartialEq, Default)]
struct Sections {
    header: Option<Header>,
    delivery_annotations: Annotations,
    message_annotations: Annotations,
    properties: Option<Properties>,
    application_properties: Vec<(String, Value)>,
    footer: Annotations,
}

impl Event {
    /// An event of these bytes; what is given as `Bytes`, `Vec<u8>` or `String` is not copied.
    pub fn new(body: impl IntoBody) -> Self {
        Self::from_body(Body::Data(body.into_body()))
    }

    /// A message with any kind of body.
    pub fn from_body(body: Body) -> Self {
        Self { body, sections: None }
    }

    /// What it carries.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The bytes of a body that is one `data` section.
    pub fn data(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Data(data) => Some(data),
            _ => None,
        }
    }

    /// The value of a body that is an `amqp-value` section.
    pub fn value(&self) -> Option<&Value> {
        match &self.body {
            Body::Value(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes of a body that is one `data` section; the rest of the event is dropped.
    pub fn into_data(self) -> Option<Bytes> {
        match self.body {
            Body::Data(data) => Some(data),
            _ => None,
        }
    }

    /// The header, if there is one.
    pub fn header(&self) -> Option<&Header> {
        self.sections.as_ref()?.header.as_ref()
    }

    /// The properties section, if there is one.
    pub fn properties(&self) -> Option<&Properties> {
        self.sections.as_ref()?.properties.as_ref()
    }

    /// Keys and values that the application has set, in the order it did.
    pub fn application_properties(&self) -> &[(String, Value)] {
        self.sections.as_ref().map_or(&[], |sections| &sections.application_properties)
    }

    /// The application property `key`.
    pub fn property(&self, key: &str) -> Option<&Value> {
        let mut properties = self.application_properties().iter();
        properties.find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Annotations that travel with the message, if there is any other section than the body.
    pub fn message_annotations(&self) -> Option<&Annotations> {
        Some(&self.sections.as_ref()?.message_annotations)
    }

    /// The message annotation `name`, e.g. `x-opt-sequence-number`.
    pub fn annotation(&self, name: &str) -> Option<&Value> {
        self.message_annotations()?.get(name)
    }

    /// Annotations for the next hop, if there is any other section than the body.
    pub fn delivery_annotations(&self) -> Option<&Annotations> {
        Some(&self.sections.as_ref()?.delivery_annotations)
    }

    /// The footer, if there is any other section than the body.
    pub fn footer(&self) -> Option<&Annotations> {
        Some(&self.sections.as_ref()?.footer)
    }

    /// The event as its publisher wrote it, for sending it on: without the annotations that a hub adds for its receivers
    /// (sequence number, offset, enqueued time), those for the next hop, and the partition key, which goes with the batch.
    #[must_use]
    pub fn into_published(mut self) -> Self {
        if let Some(sections) = &mut self.sections {
            sections.delivery_annotations = Annotations::default();
            let is_hubs = |key: &Value| key.as_str().is_some_and(|key| HUBS_ANNOTATIONS.contains(&key));
            sections.message_annotations.entries.retain(|(key, _)| !is_hubs(key));
        }
        self.sections = self.sections.filter(|sections| **sections != Sections::default());
        self
    }

    /// The annotation `x-opt-partition-key`, if it is text.
    pub fn partition_key(&self) -> Option<&str> {
        self.annotation(PARTITION_KEY)?.as_str()
    }

    fn sections_mut(&mut self) -> &mut Sections {
        self.sections.get_or_insert_default()
    }

    fn properties_mut(&mut self) -> &mut Properties {
        self.sections_mut().properties.get_or_insert_default()
    }
}

/// Setters. Each replaces what was set before under the same name.
impl Event {
    /// Sets an application property, in the place it has if it is there already.
    ///
    /// AMQP allows the simple types only. The value of another type (list, map, array, described) is refused when
    /// the event is encoded or added to a batch: [`EncodeError::PropertyNotSimple`].
    ///
    /// Source: AMQP 1.0 part 3, 3.2.5 (application-properties).
    #[must_use]
    pub fn with_property(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let key = key.into();
        let properties = &mut self.sections_mut().application_properties;
        match properties.iter_mut().find(|(name, _)| *name == key) {
            Some((_, there)) => *there = value.into(),
            None => properties.push((key, value.into())),
        }
        self
    }

    /// Sets a message annotation.
    #[must_use]
    pub fn with_annotation(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.sections_mut().message_annotations.set(name, value);
        self
    }

    /// Sets a delivery annotation.
    #[must_use]
    pub fn with_delivery_annotation(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.sections_mut().delivery_annotations.set(name, value);
        self
    }

    /// Sets an entry of the footer.
    #[must_use]
    pub fn with_footer(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.sections_mut().footer.set(name, value);
        self
    }

    /// Sets the whole header.
    #[must_use]
    pub fn with_header(mut self, header: Header) -> Self {
        self.sections_mut().header = Some(header);
        self
    }

    /// Sets all properties at once.
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.sections_mut().properties = Some(properties);
        self
    }

    /// Sets what tells this event from others.
    #[must_use]
    pub fn with_message_id(mut self, id: impl Into<MessageId>) -> Self {
        self.properties_mut().message_id = Some(id.into());
        self
    }

    /// Sets who made it.
    #[must_use]
    pub fn with_user_id(mut self, user_id: impl Into<Bytes>) -> Self {
        self.properties_mut().user_id = Some(user_id.into());
        self
    }

    /// Sets the node it is meant for.
    #[must_use]
    pub fn with_to(mut self, address: impl Into<String>) -> Self {
        self.properties_mut().to = Some(address.into());
        self
    }

    /// Sets what it is about.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.properties_mut().subject = Some(subject.into());
        self
    }

    /// Sets the node that replies go to.
    #[must_use]
    pub fn with_reply_to(mut self, address: impl Into<String>) -> Self {
        self.properties_mut().reply_to = Some(address.into());
        self
    }

    /// Sets the message it answers or belongs to.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<MessageId>) -> Self {
        self.properties_mut().correlation_id = Some(id.into());
        self
    }

    /// Sets the MIME type of the body; ASCII.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.properties_mut().content_type = Some(content_type.into());
        self
    }

    /// Sets what was done to the body, e.g. `gzip`; ASCII.
    #[must_use]
    pub fn with_content_encoding(mut self, content_encoding: impl Into<String>) -> Self {
        self.properties_mut().content_encoding = Some(content_encoding.into());
        self
    }

    /// Sets when it expires, in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn with_absolute_expiry_unix_millis(mut self, unix_millis: i64) -> Self {
        self.properties_mut().absolute_expiry_unix_millis = Some(unix_millis);
        self
    }

    /// Sets when it was made, in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn with_creation_unix_millis(mut self, unix_millis: i64) -> Self {
        self.properties_mut().creation_unix_millis = Some(unix_millis);
        self
    }

    /// Sets the group it belongs to.
    #[must_use]
    pub fn with_group_id(mut self, group_id: impl Into<String>) -> Self {
        self.properties_mut().group_id = Some(group_id.into());
        self
    }

    /// Sets its place in the group.
    #[must_use]
    pub fn with_group_sequence(mut self, group_sequence: u32) -> Self {
        self.properties_mut().group_sequence = Some(group_sequence);
        self
    }

    /// Sets the group that replies belong to.
    #[must_use]
    pub fn with_reply_to_group_id(mut self, group_id: impl Into<String>) -> Self {
        self.properties_mut().reply_to_group_id = Some(group_id.into());
        self
    }
}

/// What a body can be made of.
pub trait IntoBody {
    /// The bytes.
    fn into_body(self) -> Bytes;
}

impl IntoBody for Bytes {
    fn into_body(self) -> Bytes {
        self
    }
}

impl IntoBody for Vec<u8> {
    fn into_body(self) -> Bytes {
        self.into()
    }
}

impl IntoBody for String {
    fn into_body(self) -> Bytes {
        self.into()
    }
}

impl IntoBody for &[u8] {
    fn into_body(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl<const N: usize> IntoBody for &[u8; N] {
    fn into_body(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl IntoBody for &str {
    fn into_body(self) -> Bytes {
        self.as_bytes().into_body()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Event");
        debug.field("body", &self.body);
        if let Some(sections) = &self.sections {
            let keys: Vec<_> = sections.application_properties.iter().map(|(key, _)| key).collect();
            debug
                .field("header", &sections.header)
                .field("delivery_annotations", &sections.delivery_annotations)
                .field("message_annotations", &sections.message_annotations)
                .field("properties", &sections.properties)
                .field("application_properties", &keys)
                .field("footer", &sections.footer);
        }
        debug.finish()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Self::DataSections(sections) => write!(f, "DataSections({})", sections.len()),
            Self::Value(value) => write!(f, "Value({})", value.kind()),
            Self::Sequences(sections) => write!(f, "Sequences({})", sections.len()),
        }
    }
}
