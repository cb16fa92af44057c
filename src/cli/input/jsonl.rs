//! A line of JSON -> an event.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use crate::Event;
use crate::wire::event::MessageId;
use crate::wire::value::Value;

use super::item::{Item, Template};
use crate::cli::json;

/// Members that `hubwire emulator --print-events` writes and that a publisher has no say in.
const IGNORED: [&str; 5] = ["event_hub", "partition", "sequence_number", "offset", "enqueued_time"];

/// Reads `text`: a JSON string, or an object of the members documented in docs/command-line.md.
pub(super) fn item(text: &[u8], number: u64, template: &Template) -> Result<Item, String> {
    let Unique(line) = serde_json::from_slice(text).map_err(|error| syntax(&error))?;
    let members = match line {
        Json::String(body) => return Ok(template.item(number, body.into())),
        Json::Object(members) => members,
        other => return Err(expected("a string or an object", &other)),
    };
    let mut fields = Fields::default();
    for (name, value) in members {
        fields.set(&name, value).map_err(|why| format!("{name}: {why}"))?;
    }
    let Some(body) = fields.body.take() else {
        return Err("no body; add `body` (text) or `body_base64`".to_owned());
    };
    let partition_key = fields.partition_key.take();
    let partition_key = template.partition_key(partition_key).map_err(|why| format!("partition_key: {why}"))?;
    let event = fields.put_on(template.event(body));
    event.check().map_err(|error| error.to_string())?;
    Ok(Item { number, event, partition_key })
}

/// What the members say.
#[derive(Default)]
struct Fields {
    body: Option<Bytes>,
    partition_key: Option<String>,
    content_type: Option<String>,
    message_id: Option<MessageId>,
    correlation_id: Option<MessageId>,
    properties: Vec<(String, Value)>,
}

impl Fields {
    fn set(&mut self, name: &str, value: Json) -> Result<(), String> {
        match name {
            "body" => self.set_body(string(value)?.into()),
            "body_base64" => self.set_body(base64(&string(value)?)?),
            "partition_key" => string(value).map(|key| self.partition_key = Some(key)),
            "content_type" => string(value).map(|content_type| self.content_type = Some(content_type)),
            "message_id" => id(value).map(|id| self.message_id = Some(id)),
            "correlation_id" => id(value).map(|id| self.correlation_id = Some(id)),
            "properties" => properties(value).map(|properties| self.properties = properties),
            name if IGNORED.contains(&name) => Ok(()),
            _ => Err("unknown member; take it out, or put it into `properties`".to_owned()),
        }
    }

    fn set_body(&mut self, body: Bytes) -> Result<(), String> {
        match self.body.replace(body) {
            None => Ok(()),
            Some(_) => Err("a body is there already; keep `body` or `body_base64`".to_owned()),
        }
    }

    fn put_on(self, mut event: Event) -> Event {
        if let Some(content_type) = self.content_type {
            event = event.with_content_type(content_type);
        }
        if let Some(id) = self.message_id {
            event = event.with_message_id(id);
        }
        if let Some(id) = self.correlation_id {
            event = event.with_correlation_id(id);
        }
        self.properties.into_iter().fold(event, |event, (name, value)| event.with_property(name, value))
    }
}

fn string(value: Json) -> Result<String, String> {
    match value {
        Json::String(text) => Ok(text),
        other => Err(expected("a string", &other)),
    }
}

fn base64(text: &str) -> Result<Bytes, String> {
    let decoded = STANDARD.decode(text).map_err(|error| format!("no base64 with padding: {error}"))?;
    Ok(decoded.into())
}

fn id(value: Json) -> Result<MessageId, String> {
    match &value {
        Json::String(text) => Ok(text.as_str().into()),
        Json::Number(number) if number.is_u64() => Ok(number.as_u64().unwrap_or_default().into()),
        other => Err(expected("a string or a whole number from 0", other)),
    }
}

fn properties(value: Json) -> Result<Vec<(String, Value)>, String> {
    let Json::Object(members) = value else { return Err(expected("an object", &value)) };
    let typed = members.into_iter().map(|(name, value)| match property(&value) {
        Ok(value) => Ok((name, value)),
        Err(why) => Err(format!("{name}: {why}")),
    });
    typed.collect()
}

/// A whole number becomes a long (an ulong where it must), any other a double.
fn property(value: &Json) -> Result<Value, String> {
    match value {
        Json::String(text) => Ok(text.as_str().into()),
        Json::Bool(truth) => Ok((*truth).into()),
        Json::Null => Ok(Value::Null),
        Json::Number(number) => {
            let whole = number.as_i64().map(Value::Long).or_else(|| number.as_u64().map(Value::Ulong));
            Ok(whole.unwrap_or_else(|| number.as_f64().unwrap_or(f64::NAN).into()))
        }
        other => Err(expected("a string, a number, true, false or null", other)),
    }
}

/// A JSON value in which no object has a member twice: one of the two would be lost without a word.
struct Unique(Json);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, Unique>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}

fn expected(what: &str, got: &Json) -> String {
    format!("expected {what}, got {}", json::kind(got))
}

/// The parser's words with the column: the line is said by who knows its number.
fn syntax(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let words = text.split(" at line ").next().unwrap_or(&text);
    let fault = if error.is_data() { "" } else { "not JSON: " };
    format!("{fault}{words} at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;

    fn template(args: &[&str]) -> Template {
        let Command::Send(args) = Cli::parse_from([&["hubwire", "send"], args].concat()).command else { panic!() };
        Template::new(&args).unwrap()
    }

    fn event(text: &str) -> Event {
        item(text.as_bytes(), 1, &template(&[])).unwrap_or_else(|why| panic!("{text}: {why}")).event
    }

    #[test]
    fn every_member_finds_its_place() {
        assert_eq!(event(r#""just a body""#), Event::new("just a body"));
        assert_eq!(event(r#"{"body":""}"#), Event::new(""));
        assert_eq!(event(r#"{"body_base64":"AP8Q"}"#), Event::new(b"\x00\xff\x10"));
        let full = r#"{"body":"b","content_type":"text/plain","message_id":7,"correlation_id":"c",
            "properties":{"s":"x","i":-1,"u":18446744073709551615,"f":1.5,"t":true,"n":null},
            "event_hub":"h","partition":"0","sequence_number":0,"offset":"0","enqueued_time":"-"}"#;
        let expected = Event::new("b").with_content_type("text/plain").with_message_id(7).with_correlation_id("c");
        let event = event(full);
        assert_eq!(event.properties(), expected.properties());
        for (name, value) in [
            ("s", Value::from("x")),
            ("i", Value::Long(-1)),
            ("u", Value::Ulong(u64::MAX)),
            ("f", Value::Double(1.5)),
            ("t", Value::Boolean(true)),
            ("n", Value::Null),
        ] {
            assert_eq!(event.property(name), Some(&value), "{name}");
        }
    }

    #[test]
    fn the_events_own_words_win_over_the_options() {
        let template = template(&["--partition-key", "k", "--property", "p=o", "--content-type", "o"]);
        let item = item(br#"{"body":"b","partition_key":"own","properties":{"p":1}}"#, 1, &template).unwrap();
        assert_eq!(item.partition_key.as_deref(), Some("own"));
        assert_eq!(item.event.property("p"), Some(&Value::Long(1)));
        assert_eq!(item.event.properties().unwrap().content_type.as_deref(), Some("o"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, message) in [
            ("42", "expected a string or an object, got a number"),
            ("{}", "no body; add `body` (text) or `body_base64`"),
            ("{\"body\":", "not JSON: EOF while parsing a value at column 8"),
            ("\"a\" \"b\"", "not JSON: trailing characters at column 5"),
            (r#"{"body":"a","body":"b"}"#, "`body` is there twice at column 23"),
            (r#"{"body":"a","properties":{"p":1,"p":2}}"#, "`p` is there twice at column 38"),
            (r#"{"body":1}"#, "body: expected a string, got a number"),
            (r#"{"body":null}"#, "body: expected a string, got null"),
            (
                r#"{"body":"a","body_base64":"YQ=="}"#,
                "body_base64: a body is there already; keep `body` or `body_base64`",
            ),
            (r#"{"body":"a","key":"b"}"#, "key: unknown member; take it out, or put it into `properties`"),
            (r#"{"body":"a","partition_key":""}"#, "partition_key: the partition key is empty"),
            (r#"{"body":"a","properties":[]}"#, "properties: expected an object, got an array"),
            (
                r#"{"body":"a","properties":{"p":{}}}"#,
                "properties: p: expected a string, a number, true, false or null, got an object",
            ),
            (r#"{"body":"a","message_id":-1}"#, "message_id: expected a string or a whole number from 0, got a number"),
        ] {
            assert_eq!(item(text.as_bytes(), 1, &template(&[])).unwrap_err(), message, "{text}");
        }
        let key = br#"{"body":"a","partition_key":"k"}"#;
        let error = item(key, 1, &template(&["--partition-id", "0"])).unwrap_err();
        assert_eq!(error, "partition_key: a partition key contradicts --partition-id; drop one of them");
    }
}
