//! `--print`: a format for each event, with the letters that users of kcat know.

use std::borrow::Cow;
use std::io::Write;

use crate::cli::json::{rfc3339, written};
use crate::wire::event::Body;
use crate::wire::position::unix_millis;
use crate::{Event, ReceivedEvent};

/// A format, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Body,
    BodyLen,
    PartitionKey,
    PartitionKeyLen,
    EventHub,
    Partition,
    SequenceNumber,
    Offset,
    EnqueuedMillis,
    EnqueuedDate,
    Properties,
}

impl Format {
    /// Reads `%` and `\` with what follows them; everything else stands for itself.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '%' => match field(rest.next())? {
                    Some(field) => pieces.push(Piece::Field(field)),
                    None => put(&mut pieces, b"%"),
                },
                '\\' => put(&mut pieces, &[escape(&mut rest)?]),
                other => put(&mut pieces, other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Ok(Self(pieces))
    }

    /// Appends one event to `out`.
    pub(super) fn print(&self, out: &mut Vec<u8>, event_hub: &str, partition_id: &str, received: &ReceivedEvent) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Field(field) => field.print(out, event_hub, partition_id, received),
            }
        }
    }
}

fn put(pieces: &mut Vec<Piece>, bytes: &[u8]) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.extend_from_slice(bytes),
        _ => pieces.push(Piece::Text(bytes.to_vec())),
    }
}

/// The field of a letter; `None` for the percent sign itself.
fn field(letter: Option<char>) -> Result<Option<Field>, String> {
    Ok(Some(match letter {
        Some('%') => return Ok(None),
        Some('s') => Field::Body,
        Some('S') => Field::BodyLen,
        Some('k') => Field::PartitionKey,
        Some('K') => Field::PartitionKeyLen,
        Some('t') => Field::EventHub,
        Some('p') => Field::Partition,
        Some('q') => Field::SequenceNumber,
        Some('o') => Field::Offset,
        Some('T') => Field::EnqueuedMillis,
        Some('D') => Field::EnqueuedDate,
        Some('h') => Field::Properties,
        Some(other) => return Err(format!("%{other} is unknown: use %s %S %k %K %t %p %q %o %T %D %h or %%")),
        None => return Err("a % at the end: write %% for a percent sign".to_owned()),
    }))
}

fn escape(rest: &mut std::str::Chars<'_>) -> Result<u8, String> {
    match rest.next() {
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('r') => Ok(b'\r'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits: String = rest.take(2).collect();
            let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
            byte.ok_or_else(|| format!("\\x{digits}: two hexadecimal digits are expected, e.g. \\x1e"))
        }
        Some(other) => Err(format!("\\{other} is unknown: use \\n \\t \\r \\0 \\\\ or \\xHH")),
        None => Err("a \\ at the end: write \\\\ for a backslash".to_owned()),
    }
}

impl Field {
    fn print(self, out: &mut Vec<u8>, event_hub: &str, partition_id: &str, received: &ReceivedEvent) {
        let key = received.partition_key.as_deref().unwrap_or_default();
        let text = match self {
            Self::Body => return out.extend_from_slice(&body(&received.event)),
            Self::BodyLen => body(&received.event).len().to_string(),
            Self::PartitionKey => key.to_owned(),
            Self::PartitionKeyLen => key.len().to_string(),
            Self::EventHub => event_hub.to_owned(),
            Self::Partition => partition_id.to_owned(),
            Self::SequenceNumber => received.sequence_number.to_string(),
            Self::Offset => received.offset.clone(),
            Self::EnqueuedMillis => unix_millis(received.enqueued_time).to_string(),
            Self::EnqueuedDate => rfc3339(received.enqueued_time),
            Self::Properties => return properties(out, &received.event),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// `name=value,name=value`
fn properties(out: &mut Vec<u8>, event: &Event) {
    for (index, (name, value)) in event.application_properties().iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let (json, _) = written(value);
        // Writing to memory does not fail.
        let _ = match json.as_str() {
            Some(text) => write!(out, "{comma}{name}={text}"),
            None => write!(out, "{comma}{name}={json}"),
        };
    }
}

/// The bytes of a body; of one that is a value, its text.
pub(super) fn body(event: &Event) -> Cow<'_, [u8]> {
    match event.body() {
        Body::Data(bytes) => Cow::Borrowed(bytes),
        Body::DataSections(sections) => Cow::Owned(sections.concat()),
        Body::Absent => Cow::Borrowed(&[]),
        Body::Value(value) => match written(value).0 {
            serde_json::Value::String(_) => Cow::Owned(value.as_str().unwrap_or_default().as_bytes().to_vec()),
            json => Cow::Owned(json.to_string().into_bytes()),
        },
        Body::Sequences(_) => Cow::Borrowed(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::value::Value;

    fn received() -> ReceivedEvent {
        let event = Event::new("21.5")
            .with_annotation("x-opt-sequence-number", 7_i64)
            .with_annotation("x-opt-offset", "840")
            .with_annotation("x-opt-enqueued-time", Value::Timestamp(1_700_000_000_123))
            .with_annotation("x-opt-partition-key", "device-é")
            .with_property("unit", "C")
            .with_property("n", 5);
        ReceivedEvent::decode(&event.encode().unwrap()).unwrap()
    }

    #[test]
    fn each_letter_stands_for_its_field() {
        for (format, printed) in [
            ("%s", "21.5"),
            ("%t/%p@%o #%q", "hub/3@840 #7"),
            ("%S %k %K", "4 device-é 9"),
            ("%T %D", "1700000000123 2023-11-14T22:13:20.123Z"),
            ("%h", "unit=C,n=5"),
            ("100%%\\n\\t\\r\\0\\\\\\x41é", "100%\n\t\r\0\\Aé"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            Format::parse(format).unwrap().print(&mut out, "hub", "3", &received());
            assert_eq!(String::from_utf8(out).unwrap(), printed, "{format}");
        }
    }

    #[test]
    fn what_is_unknown_is_named_with_what_is_known() {
        for (format, message) in [
            ("%z", "%z is unknown: use %s"),
            ("%", "a % at the end: write %%"),
            ("\\q", "\\q is unknown: use \\n"),
            ("\\", "a \\ at the end: write \\\\"),
            ("\\x4", "\\x4: two hexadecimal digits"),
            ("\\xzz", "\\xzz: two hexadecimal digits"),
        ] {
            let error = Format::parse(format).unwrap_err();
            assert!(error.starts_with(message), "{format}: {error}");
        }
    }

    #[test]
    fn a_body_that_is_a_value_is_its_text() {
        for (value, text) in [(Value::from("text"), "text"), (Value::Long(5), "5"), (Value::List(vec![]), "null")] {
            assert_eq!(&*body(&Event::from_body(Body::Value(value))), text.as_bytes());
        }
        let sections = Body::DataSections(vec!["a".into(), "b".into()]);
        assert_eq!(&*body(&Event::from_body(sections)), b"ab");
    }
}
