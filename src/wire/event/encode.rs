//! Events to bytes, as the official Python SDK writes them.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Annotations, Body, Event, Header, MessageId, PARTITION_KEY, Properties, Sections};
use crate::wire::value::{
    Kind, MAX_DEPTH, Scalar, Value, binary_len, list_len, map_len, put_binary, put_list_start, put_map_start,
};

/// `00 53 <code>`: every section begins with its descriptor, a small ulong.
const DESCRIPTOR_LEN: usize = 3;

/// Why an event cannot be encoded. Nothing has been written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// An application property of a type that AMQP does not allow there.
    #[error("application property `{key}` is of type {kind}: only simple types may be sent")]
    PropertyNotSimple {
        /// Its key.
        key: String,
        /// The type of its value.
        kind: Kind,
    },
    /// A symbol with other than ASCII characters.
    #[error("{section}: symbol `{text}` is not ASCII")]
    SymbolNotAscii {
        /// The section that holds it.
        section: &'static str,
        /// The symbol.
        text: String,
    },
    /// A value that no reader would open.
    #[error("{section}: values nest deeper than {MAX_DEPTH}")]
    TooDeep {
        /// The section that holds it.
        section: &'static str,
    },
    /// More than AMQP can say the length of.
    #[error("the event takes {len} bytes; AMQP ends at 4 GiB")]
    TooLong {
        /// What it would take.
        len: usize,
    },
}

impl Event {
    /// Whether this event may be sent as it is.
    ///
    /// # Errors
    /// What [`EncodeError`] says; [`decode`](Self::decode) takes more than this does.
    pub fn check(&self) -> Result<(), EncodeError> {
        if let Some(sections) = &self.sections {
            sections.check()?;
        }
        match &self.body {
            Body::Absent | Body::Data(_) | Body::DataSections(_) => Ok(()),
            Body::Value(value) => check_value(value, "amqp-value"),
            Body::Sequences(sequences) => {
                sequences.iter().flatten().try_for_each(|value| check_nested(value, "amqp-sequence", 1))
            }
        }
    }

    /// How many bytes [`encode`](Self::encode) makes; exact.
    pub fn encoded_len(&self) -> usize {
        Encoding::new(self, None).len()
    }

    /// This event as a message of its own: format 0.
    ///
    /// # Errors
    /// If [`check`](Self::check) refuses it, or it is longer than 4 GiB.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        Encoding::new(self, None).encode()
    }

    /// This event with a partition key over it: durable, and annotated `x-opt-partition-key`, as the official SDKs
    /// make every event of a batch that has a key. Takes the place of a key of its own.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_with_partition_key(&self, key: &str) -> Result<Bytes, EncodeError> {
        Encoding::new(self, Some(key)).encode()
    }
}

/// An event about to be written, with the partition key that the batch puts on it.
pub(crate) struct Encoding<'a> {
    event: &'a Event,
    partition_key: Option<&'a str>,
}

impl<'a> Encoding<'a> {
    pub(crate) fn new(event: &'a Event, partition_key: Option<&'a str>) -> Self {
        Self { event, partition_key }
    }

    fn encode(&self) -> Result<Bytes, EncodeError> {
        self.event.check()?;
        let len = self.len();
        if u32::try_from(len).is_err() {
            return Err(EncodeError::TooLong { len });
        }
        let mut out = BytesMut::with_capacity(len);
        self.write(&mut out);
        Ok(out.freeze())
    }

    /// How many bytes [`write`](Self::write) writes.
    pub(crate) fn len(&self) -> usize {
        self.sections_len() + self.event.body.encoded_len()
    }

    fn sections_len(&self) -> usize {
        let Some(sections) = &self.event.sections else {
            return self.partition_key.map_or(0, key_sections_len);
        };
        let mut len = self.header().map_or(0, |header| fields_len(header.fields()));
        len += annotations_len(&sections.delivery_annotations, None);
        len += annotations_len(&sections.message_annotations, self.partition_key);
        let properties = sections.properties.as_ref();
        len += properties.map_or(0, |properties| fields_len(properties.fields()));
        len + application_properties_len(&sections.application_properties) + annotations_len(&sections.footer, None)
    }

    pub(crate) fn write(&self, out: &mut impl BufMut) {
        let Some(sections) = &self.event.sections else {
            if let Some(key) = self.partition_key {
                put_key_sections(out, key);
            }
            return self.event.body.encode(out);
        };
        if let Some(header) = self.header() {
            put_fields(out, 0x70, header.fields());
        }
        put_annotations(out, 0x71, &sections.delivery_annotations, None);
        put_annotations(out, 0x72, &sections.message_annotations, self.partition_key);
        if let Some(properties) = &sections.properties {
            put_fields(out, 0x73, properties.fields());
        }
        put_application_properties(out, &sections.application_properties);
        self.event.body.encode(out);
        put_annotations(out, 0x78, &sections.footer, None);
    }

    /// The event's header; durable, whatever it was, under a partition key.
    fn header(&self) -> Option<Header> {
        let header = self.event.header().cloned();
        match self.partition_key {
            None => header,
            Some(_) => Some(Header { durable: Some(true), ..header.unwrap_or_default() }),
        }
    }
}

/// The header and the annotation that a partition key calls for, encoded.
pub(crate) fn key_sections(key: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(key_sections_len(key));
    put_key_sections(&mut out, key);
    out.freeze()
}

fn key_sections_len(key: &str) -> usize {
    fields_len(durable().fields()) + annotations_len(&Annotations::default(), Some(key))
}

fn put_key_sections(out: &mut impl BufMut, key: &str) {
    put_fields(out, 0x70, durable().fields());
    put_annotations(out, 0x72, &Annotations::default(), Some(key));
}

fn durable() -> Header {
    Header { durable: Some(true), ..Header::default() }
}

impl Header {
    fn fields(&self) -> [Scalar<'static>; 5] {
        [
            self.durable.map_or(Scalar::Null, Scalar::Boolean),
            self.priority.map_or(Scalar::Null, Scalar::Ubyte),
            self.ttl_millis.map_or(Scalar::Null, Scalar::Uint),
            self.first_acquirer.map_or(Scalar::Null, Scalar::Boolean),
            self.delivery_count.map_or(Scalar::Null, Scalar::Uint),
        ]
    }
}

impl Properties {
    /// In the order of AMQP 1.0 part 3, 3.2.4.
    fn fields(&self) -> [Scalar<'_>; 13] {
        [
            id(&self.message_id),
            self.user_id.as_deref().map_or(Scalar::Null, Scalar::Binary),
            text(&self.to),
            text(&self.subject),
            text(&self.reply_to),
            id(&self.correlation_id),
            symbol(&self.content_type),
            symbol(&self.content_encoding),
            timestamp(self.absolute_expiry_unix_millis),
            timestamp(self.creation_unix_millis),
            text(&self.group_id),
            self.group_sequence.map_or(Scalar::Null, Scalar::Uint),
            text(&self.reply_to_group_id),
        ]
    }
}

fn id(id: &Option<MessageId>) -> Scalar<'_> {
    match id {
        None => Scalar::Null,
        Some(MessageId::Ulong(id)) => Scalar::Ulong(*id),
        Some(MessageId::Uuid(id)) => Scalar::uuid(id),
        Some(MessageId::Binary(id)) => Scalar::Binary(id),
        Some(MessageId::String(id)) => Scalar::String(id),
    }
}

fn text(text: &Option<String>) -> Scalar<'_> {
    text.as_deref().map_or(Scalar::Null, Scalar::String)
}

fn symbol(text: &Option<String>) -> Scalar<'_> {
    text.as_deref().map_or(Scalar::Null, Scalar::Symbol)
}

fn timestamp(unix_millis: Option<i64>) -> Scalar<'static> {
    unix_millis.map_or(Scalar::Null, Scalar::timestamp)
}

impl Body {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Data(data) => data_section_len(data.len()),
            Self::DataSections(sections) => {
                let lens = sections.iter().map(|data| data_section_len(data.len()));
                lens.sum()
            }
            Self::Value(value) => DESCRIPTOR_LEN + value.encoded_len(),
            Self::Sequences(sequences) => {
                let lens = sequences.iter().map(|values| DESCRIPTOR_LEN + list_len(values.len(), values_len(values)));
                lens.sum()
            }
        }
    }

    fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Absent => {}
            Self::Data(data) => put_data_section(out, data),
            Self::DataSections(sections) => sections.iter().for_each(|data| put_data_section(out, data)),
            Self::Value(value) => {
                put_descriptor(out, 0x77);
                value.encode(out);
            }
            Self::Sequences(sequences) => sequences.iter().for_each(|values| {
                put_descriptor(out, 0x76);
                put_list_start(out, values.len(), values_len(values));
                values.iter().for_each(|value| value.encode(out));
            }),
        }
    }
}

/// Bytes of a `data` section that holds `len` bytes: 5 more up to 255, 8 more from 256.
pub(crate) fn data_section_len(len: usize) -> usize {
    DESCRIPTOR_LEN + binary_len(len)
}

/// Writes a `data` section.
pub(crate) fn put_data_section(out: &mut impl BufMut, data: &[u8]) {
    put_descriptor(out, 0x75);
    put_binary(out, data);
}

fn put_descriptor(out: &mut impl BufMut, code: u8) {
    out.put_slice(&[0x00, 0x53, code]);
}

fn values_len(values: &[Value]) -> usize {
    values.iter().map(Value::encoded_len).sum()
}

fn content_len(fields: &[Scalar<'_>]) -> usize {
    fields.iter().map(|field| field.encoded_len()).sum()
}

fn fields_len<const N: usize>(fields: [Scalar<'_>; N]) -> usize {
    DESCRIPTOR_LEN + list_len(N, content_len(&fields))
}

fn put_fields<const N: usize>(out: &mut impl BufMut, code: u8, fields: [Scalar<'_>; N]) {
    put_descriptor(out, code);
    put_list_start(out, N, content_len(&fields));
    fields.iter().for_each(|field| field.encode(out));
}

fn application_properties_len(properties: &[(String, Value)]) -> usize {
    if properties.is_empty() {
        return 0;
    }
    DESCRIPTOR_LEN + map_len(properties.len(), properties_content_len(properties))
}

fn properties_content_len(properties: &[(String, Value)]) -> usize {
    let lens = properties.iter().map(|(key, value)| Scalar::String(key).encoded_len() + value.encoded_len());
    lens.sum()
}

fn put_application_properties(out: &mut impl BufMut, properties: &[(String, Value)]) {
    if properties.is_empty() {
        return;
    }
    put_descriptor(out, 0x74);
    put_map_start(out, properties.len(), properties_content_len(properties));
    for (key, value) in properties {
        Scalar::String(key).encode(out);
        value.encode(out);
    }
}

/// Annotations as they will be written: with the key of a batch in the place of a key of their own, or last.
struct Annotated<'a> {
    entries: &'a [(Value, Value)],
    key: Option<&'a str>,
    /// The key, if no entry has its place.
    appended: Option<&'a str>,
}

impl<'a> Annotated<'a> {
    fn new(annotations: &'a Annotations, key: Option<&'a str>) -> Self {
        let entries = &annotations.entries;
        let has_place = || entries.iter().any(|(name, _)| is_partition_key(name));
        Self { entries, key, appended: key.filter(|_| !has_place()) }
    }

    fn count(&self) -> usize {
        self.entries.len() + usize::from(self.appended.is_some())
    }

    /// The key, if it takes the place of the value under `name`.
    fn replaced(&self, name: &Value) -> Option<&'a str> {
        self.key.filter(|_| is_partition_key(name))
    }

    fn content_len(&self) -> usize {
        let appended = self
            .appended
            .map_or(0, |key| Scalar::Symbol(PARTITION_KEY).encoded_len() + Scalar::String(key).encoded_len());
        let lens = self.entries.iter().map(|(name, value)| {
            let value_len = match self.replaced(name) {
                Some(key) => Scalar::String(key).encoded_len(),
                None => value.encoded_len(),
            };
            name.encoded_len() + value_len
        });
        appended + lens.sum::<usize>()
    }

    fn put_content(&self, out: &mut impl BufMut) {
        for (name, value) in self.entries {
            name.encode(out);
            match self.replaced(name) {
                Some(key) => Scalar::String(key).encode(out),
                None => value.encode(out),
            }
        }
        if let Some(key) = self.appended {
            Scalar::Symbol(PARTITION_KEY).encode(out);
            Scalar::String(key).encode(out);
        }
    }
}

fn is_partition_key(name: &Value) -> bool {
    name.as_str() == Some(PARTITION_KEY)
}

fn annotations_len(annotations: &Annotations, key: Option<&str>) -> usize {
    let annotated = Annotated::new(annotations, key);
    match annotated.count() {
        0 => 0,
        count => DESCRIPTOR_LEN + map_len(count, annotated.content_len()),
    }
}

fn put_annotations(out: &mut impl BufMut, code: u8, annotations: &Annotations, key: Option<&str>) {
    let annotated = Annotated::new(annotations, key);
    if annotated.count() > 0 {
        put_descriptor(out, code);
        put_map_start(out, annotated.count(), annotated.content_len());
        annotated.put_content(out);
    }
}

impl Sections {
    fn check(&self) -> Result<(), EncodeError> {
        check_annotations(&self.delivery_annotations, "delivery-annotations")?;
        check_annotations(&self.message_annotations, "message-annotations")?;
        if let Some(properties) = &self.properties {
            let symbols = [&properties.content_type, &properties.content_encoding];
            for text in symbols.into_iter().flatten() {
                check_symbol(text, "properties")?;
            }
        }
        for (key, value) in &self.application_properties {
            check_property(key, value)?;
        }
        check_annotations(&self.footer, "footer")
    }
}

fn check_property(key: &str, value: &Value) -> Result<(), EncodeError> {
    let kind = value.kind();
    if !kind.is_simple() {
        return Err(EncodeError::PropertyNotSimple { key: key.to_owned(), kind });
    }
    check_value(value, "application-properties")
}

fn check_annotations(annotations: &Annotations, section: &'static str) -> Result<(), EncodeError> {
    annotations.entries.iter().try_for_each(|(name, value)| {
        check_nested(name, section, 1)?;
        check_nested(value, section, 1)
    })
}

fn check_symbol(text: &str, section: &'static str) -> Result<(), EncodeError> {
    if text.is_ascii() {
        return Ok(());
    }
    Err(EncodeError::SymbolNotAscii { section, text: text.to_owned() })
}

fn check_value(value: &Value, section: &'static str) -> Result<(), EncodeError> {
    check_nested(value, section, 0)
}

fn check_nested(value: &Value, section: &'static str, depth: usize) -> Result<(), EncodeError> {
    if let Value::Symbol(text) = value {
        return check_symbol(text, section);
    }
    if value.kind().is_simple() {
        return Ok(());
    }
    if depth == MAX_DEPTH {
        return Err(EncodeError::TooDeep { section });
    }
    let check = |inner: &Value| check_nested(inner, section, depth + 1);
    match value {
        Value::List(values) => values.iter().try_for_each(check),
        Value::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            check(key)?;
            check(value)
        }),
        Value::Array(array) => {
            array.descriptor().map_or(Ok(()), check)?;
            array.values().iter().try_for_each(check)
        }
        Value::Described(pair) => {
            check(&pair.0)?;
            check(&pair.1)
        }
        _ => Ok(()),
    }
}
