//! Bytes to events: any peer's messages.

use bytes::Bytes;

use super::{Annotations, Body, Event, Header, MessageId, Properties, Sections};
use crate::wire::value::{DecodeError, Fields, Reader, Value};

/// The sections of a message, by the last byte of their descriptor, with the symbols that may stand for it.
const SECTIONS: [(u64, &str, Section); 9] = [
    (0x70, "amqp:header:list", Section::Header),
    (0x71, "amqp:delivery-annotations:map", Section::DeliveryAnnotations),
    (0x72, "amqp:message-annotations:map", Section::MessageAnnotations),
    (0x73, "amqp:properties:list", Section::Properties),
    (0x74, "amqp:application-properties:map", Section::ApplicationProperties),
    (0x75, "amqp:data:binary", Section::Data),
    (0x76, "amqp:amqp-sequence:list", Section::Sequence),
    (0x77, "amqp:amqp-value:*", Section::Value),
    (0x78, "amqp:footer:map", Section::Footer),
];

/// Source: AMQP 1.0 part 3, 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Header,
    DeliveryAnnotations,
    MessageAnnotations,
    Properties,
    ApplicationProperties,
    Data,
    Sequence,
    Value,
    Footer,
}

impl Event {
    /// Reads the message that is all of `input`. Binaries and `data` sections share `input`'s memory.
    ///
    /// Takes what official SDKs and the hub send: every form of every type, short lists, any number of `data`
    /// sections, no body at all, application properties that AMQP does not allow. Where a section repeats, the
    /// last one counts.
    ///
    /// # Errors
    /// If `input` is no AMQP message; the error tells the byte. No input makes it panic.
    ///
    /// Source: AMQP 1.0 part 3, 3.2.
    pub fn decode(input: &Bytes) -> Result<Self, DecodeError> {
        let mut event = Self::default();
        let mut reader = MessageReader::new(input);
        while let Some(section) = reader.next_section()? {
            reader.read_into(section, &mut event)?;
        }
        // Empty sections say what absent ones do.
        event.sections = event.sections.filter(|sections| **sections != Sections::default());
        Ok(event)
    }
}

/// Goes through the sections of a message.
pub(crate) struct MessageReader<'a> {
    reader: Reader<'a>,
    section_at: usize,
}

impl<'a> MessageReader<'a> {
    pub(crate) fn new(input: &'a Bytes) -> Self {
        Self::starting(input, 0)
    }

    pub(crate) fn starting(input: &'a Bytes, at: usize) -> Self {
        Self { reader: Reader::starting(input, at), section_at: at }
    }

    pub(crate) fn at(&self) -> usize {
        self.reader.at()
    }

    /// Where the section begins that [`next_section`](Self::next_section) has told of.
    pub(crate) fn section_at(&self) -> usize {
        self.section_at
    }

    /// Reads the descriptor of the next section, unless the message ends here.
    pub(crate) fn next_section(&mut self) -> Result<Option<Section>, DecodeError> {
        if self.reader.is_at_end() {
            return Ok(None);
        }
        let at = self.reader.at();
        self.section_at = at;
        match self.reader.byte("a section")? {
            0x00 => {}
            found => {
                return Err(DecodeError::Unexpected { at, expected: "a message section", found });
            }
        }
        let descriptor = self.reader.value()?;
        let section = section_of(&descriptor)
            .ok_or_else(|| DecodeError::UnknownSection { at, descriptor: describe(&descriptor) })?;
        Ok(Some(section))
    }

    /// Reads the content of a `data` section.
    pub(crate) fn data(&mut self) -> Result<Bytes, DecodeError> {
        self.reader.binary()
    }

    /// Reads the content of `section` to its place in `event`.
    pub(crate) fn read_into(&mut self, section: Section, event: &mut Event) -> Result<(), DecodeError> {
        match section {
            Section::Header => event.sections_mut().header = Some(self.header()?),
            Section::DeliveryAnnotations => {
                event.sections_mut().delivery_annotations = self.annotations()?;
            }
            Section::MessageAnnotations => {
                event.sections_mut().message_annotations = self.annotations()?;
            }
            Section::Properties => event.sections_mut().properties = Some(self.properties()?),
            Section::ApplicationProperties => {
                event.sections_mut().application_properties = self.application_properties()?;
            }
            Section::Footer => event.sections_mut().footer = self.annotations()?,
            Section::Data | Section::Sequence | Section::Value => {
                self.read_body(section, &mut event.body)?;
            }
        }
        Ok(())
    }

    fn read_body(&mut self, section: Section, body: &mut Body) -> Result<(), DecodeError> {
        let before = std::mem::take(body);
        *body = match (section, before) {
            (Section::Data, Body::Absent) => Body::Data(self.data()?),
            (Section::Data, Body::Data(first)) => Body::DataSections(vec![first, self.data()?]),
            (Section::Data, Body::DataSections(mut sections)) => {
                sections.push(self.data()?);
                Body::DataSections(sections)
            }
            (Section::Value, Body::Absent) => Body::Value(self.reader.value()?),
            (Section::Sequence, Body::Absent) => Body::Sequences(vec![self.sequence()?]),
            (Section::Sequence, Body::Sequences(mut sequences)) => {
                sequences.push(self.sequence()?);
                Body::Sequences(sequences)
            }
            (found, _) => {
                return Err(DecodeError::MixedBody { at: self.section_at, found: found.body_name() });
            }
        };
        Ok(())
    }

    fn sequence(&mut self) -> Result<Vec<Value>, DecodeError> {
        let at = self.reader.at();
        match self.reader.value()? {
            Value::List(values) => Ok(values),
            other => Err(wrong(at, "an amqp-sequence list", &other)),
        }
    }

    fn header(&mut self) -> Result<Header, DecodeError> {
        let mut fields = ListReader::enter(&mut self.reader, "the header list")?;
        let header = Header {
            durable: fields.field("durable, a boolean", boolean)?,
            priority: fields.field("priority, a ubyte", ubyte)?,
            ttl_millis: fields.field("ttl, a uint", uint)?,
            first_acquirer: fields.field("first-acquirer, a boolean", boolean)?,
            delivery_count: fields.field("delivery-count, a uint", uint)?,
        };
        fields.leave("the header")?;
        Ok(header)
    }

    fn properties(&mut self) -> Result<Properties, DecodeError> {
        let mut fields = ListReader::enter(&mut self.reader, "the properties list")?;
        let properties = Properties {
            message_id: fields.field("message-id", id)?,
            user_id: fields.field("user-id, a binary", binary)?,
            to: fields.field("to, a string", text)?,
            subject: fields.field("subject, a string", text)?,
            reply_to: fields.field("reply-to, a string", text)?,
            correlation_id: fields.field("correlation-id", id)?,
            content_type: fields.field("content-type, a symbol", text)?,
            content_encoding: fields.field("content-encoding, a symbol", text)?,
            absolute_expiry_unix_millis: fields.field("absolute-expiry-time, a timestamp", timestamp)?,
            creation_unix_millis: fields.field("creation-time, a timestamp", timestamp)?,
            group_id: fields.field("group-id, a string", text)?,
            group_sequence: fields.field("group-sequence, a uint", uint)?,
            reply_to_group_id: fields.field("reply-to-group-id, a string", text)?,
        };
        fields.leave("the properties")?;
        Ok(properties)
    }

    fn annotations(&mut self) -> Result<Annotations, DecodeError> {
        let at = self.reader.at();
        match self.reader.value()? {
            Value::Map(entries) => Ok(Annotations { entries }),
            Value::Null => Ok(Annotations::default()),
            other => Err(wrong(at, "a map of annotations", &other)),
        }
    }

    fn application_properties(&mut self) -> Result<Vec<(String, Value)>, DecodeError> {
        let expected = "the map of application properties";
        let fields = self.reader.enter_map(expected)?;
        let mut properties = Vec::new();
        for _ in 0..fields.count / 2 {
            let at = self.reader.at();
            let key = match self.reader.value()? {
                Value::String(key) | Value::Symbol(key) => key,
                other => return Err(wrong(at, "a key, which is a string", &other)),
            };
            properties.push((key, self.reader.value()?));
        }
        self.reader.leave(&fields, expected)?;
        Ok(properties)
    }
}

impl Section {
    /// The name of a body section.
    pub(crate) fn body_name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Sequence => "amqp-sequence",
            _ => "amqp-value",
        }
    }
}

fn section_of(descriptor: &Value) -> Option<Section> {
    let is_named = |code: u64, symbol: &str| match descriptor {
        Value::Ulong(found) => *found == code,
        Value::Symbol(found) => found == symbol,
        _ => false,
    };
    let mut sections = SECTIONS.iter();
    sections.find(|(code, symbol, _)| is_named(*code, symbol)).map(|(_, _, section)| *section)
}

fn describe(descriptor: &Value) -> String {
    match descriptor {
        Value::Ulong(code) => format!("{code:#x}"),
        Value::Symbol(symbol) => symbol.clone(),
        other => format!("of type {}", other.kind()),
    }
}

/// The fields of a section that is a list. Those left off at the end are null.
struct ListReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    fields: Fields,
    left: usize,
}

impl<'r, 'a> ListReader<'r, 'a> {
    fn enter(reader: &'r mut Reader<'a>, expected: &'static str) -> Result<Self, DecodeError> {
        let fields = reader.enter_list(expected)?;
        Ok(Self { left: fields.count, reader, fields })
    }

    fn field<T>(
        &mut self,
        expected: &'static str,
        convert: fn(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let at = self.reader.at();
        match self.reader.value()? {
            Value::Null => Ok(None),
            value => convert(value).map(Some).map_err(|other| wrong(at, expected, &other)),
        }
    }

    fn leave(self, expected: &'static str) -> Result<(), DecodeError> {
        self.reader.leave(&self.fields, expected)
    }
}

fn wrong(at: usize, expected: &'static str, found: &Value) -> DecodeError {
    DecodeError::WrongType { at, expected, found: found.kind() }
}

fn boolean(value: Value) -> Result<bool, Value> {
    match value {
        Value::Boolean(truth) => Ok(truth),
        other => Err(other),
    }
}

fn ubyte(value: Value) -> Result<u8, Value> {
    match value {
        Value::Ubyte(n) => Ok(n),
        other => Err(other),
    }
}

fn uint(value: Value) -> Result<u32, Value> {
    match value {
        Value::Uint(n) => Ok(n),
        other => Err(other),
    }
}

fn timestamp(value: Value) -> Result<i64, Value> {
    match value {
        Value::Timestamp(unix_millis) => Ok(unix_millis),
        other => Err(other),
    }
}

fn binary(value: Value) -> Result<Bytes, Value> {
    match value {
        Value::Binary(bytes) => Ok(bytes),
        other => Err(other),
    }
}

/// Symbols and strings alike: some SDKs mix them up.
fn text(value: Value) -> Result<String, Value> {
    match value {
        Value::String(text) | Value::Symbol(text) => Ok(text),
        other => Err(other),
    }
}

fn id(value: Value) -> Result<MessageId, Value> {
    match value {
        Value::Ulong(id) => Ok(MessageId::Ulong(id)),
        Value::Uuid(id) => Ok(MessageId::Uuid(id)),
        Value::Binary(id) => Ok(MessageId::Binary(id)),
        Value::String(id) => Ok(MessageId::String(id)),
        other => Err(other),
    }
}
