//! A line of JSON -> an event.

use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use crate::Event;
use crate::wire::event::{MessageId, Properties};
use crate::wire::value::Value;

use super::item::{Item, Template, check_content_type};
use crate::cli::json;

/// Members that `hubwire receive` writes and that a publisher has no say in.
const IGNORED: [&str; 6] = ["event_hub", "partition", "sequence_number", "offset", "enqueued_time", "last_enqueued"];

/// Reads `text`: a JSON string, or an object of the members documented in docs/command-line.md.
pub(super) fn item(text: &[u8], number: u64, template: &Template) -> Result<Item, String> {
    let members = match serde_json::from_slice(text).map_err(|error| syntax(&error))? {
        Node::Value(Json::String(body)) => return Ok(template.item(number, body.into())),
        Node::Object(members) => members,
        Node::Value(other) => return Err(expected("a string or an object", &other)),
    };
    let mut fields = Fields { text, ..Fields::default() };
    for (name, value) in members.each_once()? {
        fields.set(&name, value).map_err(|why| format!("{name}: {why}"))?;
    }
    let partition_key = fields.partition_key.take();
    let partition_key = template.partition_key(partition_key).map_err(|why| format!("partition_key: {why}"))?;
    let event = fields.event(template)?;
    event.check().map_err(|error| error.to_string())?;
    Ok(Item { number, event, partition_key })
}

/// What the members say.
#[derive(Default)]
struct Fields<'a> {
    /// All of them, as they were written.
    text: &'a [u8],
    body: Option<Bytes>,
    /// A whole message, in place of all that follows.
    message: Option<Event>,
    partition_key: Option<String>,
    properties: Properties,
    message_id_type: Option<String>,
    correlation_id_type: Option<String>,
    application_properties: Vec<(String, Json)>,
    property_types: Vec<(String, String)>,
    /// A member was there that tells of the content.
    has_content: bool,
}

impl Fields<'_> {
    fn set(&mut self, name: &str, value: Node) -> Result<(), String> {
        match name {
            "partition_key" => self.partition_key = Some(string(value)?),
            "amqp_base64" => self.message = Some(message(&base64(&string(value)?)?)?),
            name if IGNORED.contains(&name) => {}
            _ => {
                self.has_content = true;
                return self.set_content(name, value);
            }
        }
        Ok(())
    }

    fn set_content(&mut self, name: &str, value: Node) -> Result<(), String> {
        match name {
            "body" => self.set_body(string(value)?.into())?,
            "body_base64" => self.set_body(base64(&string(value)?)?)?,
            "properties" => self.application_properties = properties(value)?,
            "property_types" => self.property_types = property_types(value)?,
            "message_id_type" => self.message_id_type = Some(string(value)?),
            "correlation_id_type" => self.correlation_id_type = Some(string(value)?),
            _ => return set_property(&mut self.properties, name, value),
        }
        Ok(())
    }

    fn set_body(&mut self, body: Bytes) -> Result<(), String> {
        match self.body.replace(body) {
            None => Ok(()),
            Some(_) => Err("a body is there already; keep `body` or `body_base64`".to_owned()),
        }
    }

    fn event(mut self, template: &Template) -> Result<Event, String> {
        match (self.message.take(), self.has_content) {
            (Some(_), true) => {
                Err("amqp_base64: is the whole event; take out what else tells of its content, or it".to_owned())
            }
            (Some(message), false) => Ok(template.put_on(message)),
            (None, _) => {
                let body = self.body.take().ok_or("no body; add `body` (text), `body_base64` or `amqp_base64`")?;
                self.put_on(template.event(body))
            }
        }
    }

    /// An event's own words win over those of the options.
    fn put_on(self, event: Event) -> Result<Event, String> {
        let Self { text, mut properties, message_id_type, correlation_id_type, property_types, .. } = self;
        for (name, id, type_name) in [
            ("message_id_type", &mut properties.message_id, message_id_type),
            ("correlation_id_type", &mut properties.correlation_id, correlation_id_type),
        ] {
            retype(id, type_name.as_deref()).map_err(|why| format!("{name}: {why}"))?;
        }
        let own_type = properties.content_type.take();
        let content_type = own_type.or_else(|| event.properties()?.content_type.clone());
        let properties = Properties { content_type, ..properties };
        let mut event = if properties == Properties::default() { event } else { event.with_properties(properties) };
        for (name, type_name) in &property_types {
            if !self.application_properties.iter().any(|(other, _)| other == name) {
                return Err(format!("property_types: {name}: there is no property of that name ({type_name})"));
            }
        }
        for (name, json) in self.application_properties {
            let type_name = property_types.iter().find(|(other, _)| *other == name).map(|(_, type_name)| type_name);
            let value = match type_name {
                Some(type_name) => json::read(&json, type_name),
                None => property(&json, text),
            };
            event = event.with_property(name.as_str(), value.map_err(|why| format!("properties: {name}: {why}"))?);
        }
        Ok(event)
    }
}

fn message(encoded: &Bytes) -> Result<Event, String> {
    Event::decode(encoded).map(Event::into_published).map_err(|error| format!("no AMQP message: {error}"))
}

fn set_property(properties: &mut Properties, name: &str, value: Node) -> Result<(), String> {
    match name {
        "content_type" => properties.content_type = Some(mime_type(value)?),
        "content_encoding" => properties.content_encoding = Some(mime_type(value)?),
        "message_id" => properties.message_id = Some(id(value)?),
        "correlation_id" => properties.correlation_id = Some(id(value)?),
        "user_id_base64" => properties.user_id = Some(base64(&string(value)?)?),
        "to" => properties.to = Some(string(value)?),
        "subject" => properties.subject = Some(string(value)?),
        "reply_to" => properties.reply_to = Some(string(value)?),
        "absolute_expiry_unix_millis" => properties.absolute_expiry_unix_millis = Some(whole(value)?),
        "creation_unix_millis" => properties.creation_unix_millis = Some(whole(value)?),
        "group_id" => properties.group_id = Some(string(value)?),
        "group_sequence" => properties.group_sequence = Some(group_sequence(value)?),
        "reply_to_group_id" => properties.reply_to_group_id = Some(string(value)?),
        _ => return Err("unknown member; take it out, or put it into `properties`".to_owned()),
    }
    Ok(())
}

/// A name that travels as a symbol.
fn mime_type(value: Node) -> Result<String, String> {
    let text = string(value)?;
    check_content_type(&text)?;
    Ok(text)
}

fn whole(value: Node) -> Result<i64, String> {
    let value = value.plain();
    value.as_i64().ok_or_else(|| expected("a whole number of milliseconds", &value))
}

fn group_sequence(value: Node) -> Result<u32, String> {
    let value = value.plain();
    let number = value.as_u64().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| expected("a whole number from 0 to 4294967295", &value))
}

/// Makes an id that was read as text what it was.
fn retype(id: &mut Option<MessageId>, type_name: Option<&str>) -> Result<(), String> {
    let Some(type_name) = type_name else { return Ok(()) };
    let Some(MessageId::String(text)) = id else { return Err("there is no id that is a text".to_owned()) };
    *id = Some(match type_name {
        "uuid" => MessageId::Uuid(json::uuid(text).ok_or_else(|| format!("`{text}` is no uuid"))?),
        "binary" => MessageId::Binary(base64(text)?),
        other => return Err(format!("`{other}`: use uuid or binary")),
    });
    Ok(())
}

fn string(value: Node) -> Result<String, String> {
    match value.plain() {
        Json::String(text) => Ok(text),
        other => Err(expected("a string", &other)),
    }
}

fn base64(text: &str) -> Result<Bytes, String> {
    let decoded = STANDARD.decode(text).map_err(|error| format!("no base64 with padding: {error}"))?;
    Ok(decoded.into())
}

fn id(value: Node) -> Result<MessageId, String> {
    match &value.plain() {
        Json::String(text) => Ok(text.as_str().into()),
        Json::Number(number) if number.is_u64() => Ok(number.as_u64().unwrap_or_default().into()),
        other => Err(expected("a string or a whole number from 0 to 18446744073709551615", other)),
    }
}

fn properties(value: Node) -> Result<Vec<(String, Json)>, String> {
    let members = object(value)?;
    Ok(members.into_iter().map(|(name, value)| (name, value.plain())).collect())
}

fn property_types(value: Node) -> Result<Vec<(String, String)>, String> {
    let typed = object(value)?.into_iter();
    typed
        .map(|(name, value)| {
            string(value).map(|type_name| (name.clone(), type_name)).map_err(|why| format!("{name}: {why}"))
        })
        .collect()
}

fn object(value: Node) -> Result<Vec<(String, Node)>, String> {
    match value {
        Node::Object(members) => members.each_once(),
        Node::Value(value) => Err(expected("an object", &value)),
    }
}

/// A whole number becomes a long (an ulong where it must), any other a double.
fn property(value: &Json, text: &[u8]) -> Result<Value, String> {
    match value {
        Json::String(text) => Ok(text.as_str().into()),
        Json::Bool(truth) => Ok((*truth).into()),
        Json::Null => Ok(Value::Null),
        Json::Number(number) => {
            let whole = number.as_i64().map(Value::Long).or_else(|| number.as_u64().map(Value::Ulong));
            let double = number.as_f64().unwrap_or(f64::NAN);
            if whole.is_none() && double.abs() >= WHOLE_ENDS && whole_numbers(text).any(|whole| whole == double) {
                return Err("a whole number outside of -9223372036854775808 to 18446744073709551615; write it as a \
                            string, or with an exponent if it may be rounded"
                    .to_owned());
            }
            Ok(whole.unwrap_or_else(|| double.into()))
        }
        other => Err(expected("a string, a number, true, false or null", other)),
    }
}

/// From here on a number that was written without fraction and exponent may have been rounded: 2^63.
const WHOLE_ENDS: f64 = 9_223_372_036_854_775_808.0;

/// The numbers in a JSON text that are written without fraction and exponent.
fn whole_numbers(text: &[u8]) -> impl Iterator<Item = f64> {
    let (mut in_string, mut is_escaped) = (false, false);
    let is_apart = move |byte: &u8| {
        let was_in_string = in_string;
        match byte {
            b'"' if !is_escaped => in_string = !in_string,
            _ => {}
        }
        is_escaped = was_in_string && *byte == b'\\' && !is_escaped;
        was_in_string || !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
    };
    let is_whole = |number: &&[u8]| number.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-'));
    let numbers = text.split(is_apart).filter(is_whole);
    numbers.filter_map(|number| std::str::from_utf8(number).ok()?.parse().ok())
}

/// A JSON value whose objects keep what they say twice.
enum Node {
    Object(Members),
    /// Anything else; an array without its elements, which no member wants.
    Value(Json),
}

#[derive(Default)]
struct Members(Vec<(String, Node)>);

impl Members {
    /// The members, in the order they were written.
    fn each_once(self) -> Result<Vec<(String, Node)>, String> {
        let mut seen = HashSet::new();
        match self.0.iter().find(|(name, _)| !seen.insert(name)) {
            None => Ok(self.0),
            Some((name, _)) => Err(format!("{name}: is there twice; keep the one that is meant")),
        }
    }
}

impl Node {
    /// As far as it is no object: an object stands for one that nobody wants here.
    fn plain(self) -> Json {
        match self {
            Self::Object(_) => Json::Object(serde_json::Map::new()),
            Self::Value(value) => value,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Members::default();
        while let Some(member) = map.next_entry()? {
            members.0.push(member);
        }
        Ok(Node::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Node::Value(Json::Array(Vec::new())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Value(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Value(text.into()))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Node, E> {
        Ok(Node::Value(truth.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Value(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Value(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Value(number.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Value(Json::Null))
    }
}

fn expected(what: &str, got: &Json) -> String {
    format!("expected {what}, got {}", json::kind(got))
}

/// The parser's words with the column: the line is said by who knows its number.
fn syntax(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let words = text.split(" at line ").next().unwrap_or(&text);
    // The parser guesses a `true` where a text begins with a t: nothing a person has meant.
    let words = if words == "expected ident" { "expected a value" } else { words };
    format!("not JSON: {words} at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::wire::event::Body;
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

    /// An event of `hub`, printed and read again.
    fn copied(event: &Event) -> Event {
        let line = json::line(&json::Placed {
            event_hub: "hub",
            partition_id: "0",
            sequence_number: 5,
            offset: "40",
            enqueued_time: std::time::UNIX_EPOCH,
            partition_key: None,
            event,
            last_enqueued: None,
        });
        item(line.as_bytes(), 1, &template(&[])).unwrap_or_else(|why| panic!("{line}: {why}")).event
    }

    #[test]
    fn what_receive_prints_is_the_same_event_again() {
        let properties = Properties {
            message_id: Some(MessageId::Uuid([7; 16])),
            user_id: Some(Bytes::from_static(b"\x00me")),
            to: Some("to".into()),
            subject: Some("subject".into()),
            reply_to: Some("reply".into()),
            correlation_id: Some(MessageId::Binary(Bytes::from_static(b"\xff"))),
            content_type: Some("text/plain".into()),
            content_encoding: Some("gzip".into()),
            absolute_expiry_unix_millis: Some(-1),
            creation_unix_millis: Some(1_700_000_000_000),
            group_id: Some("group".into()),
            group_sequence: Some(u32::MAX),
            reply_to_group_id: Some("back".into()),
        };
        let typed = [
            ("int", Value::Int(-1)),
            ("ulong", Value::Ulong(1)),
            ("big", Value::Ulong(u64::MAX)),
            ("timestamp", Value::Timestamp(1_700_000_000_000)),
            ("binary", Value::Binary(vec![0, 255].into())),
            ("uuid", Value::Uuid([9; 16])),
            ("float", Value::Float(0.1)),
            ("double", Value::Double(0.1)),
            ("null", Value::Null),
        ];
        let full = Event::new(b"\x00\xff").with_properties(properties);
        let full = typed.into_iter().fold(full, |event, (name, value)| event.with_property(name, value));
        for event in [
            Event::new(""),
            Event::new("text"),
            full,
            Event::from_body(Body::Value(Value::Long(1))).with_property("p", 1),
            Event::from_body(Body::DataSections(vec!["a".into(), "b".into()])),
            Event::new("annotated").with_annotation("own", 1),
        ] {
            assert_eq!(copied(&event), event);
        }
    }

    #[test]
    fn whole_numbers_are_kept_whole_or_refused() {
        let typed = |number: &str| {
            // Neither the text nor another number is taken for it.
            let text = format!(r#"{{"body":"\\\"20000000000000000000","properties":{{"p":{number},"q":1}}}}"#);
            item(text.as_bytes(), 1, &template(&[])).map(|item| item.event.property("p").cloned().unwrap())
        };
        for (number, value) in [
            ("-9223372036854775808", Value::Long(i64::MIN)),
            ("9223372036854775807", Value::Long(i64::MAX)),
            ("9223372036854775808", Value::Ulong(1 << 63)),
            ("1e30", Value::Double(1e30)),
            ("2e19", Value::Double(2e19)),
            ("20000000000000000000.0", Value::Double(2e19)),
            ("-0.5", Value::Double(-0.5)),
        ] {
            assert_eq!(typed(number), Ok(value), "{number}");
        }
        for number in ["18446744073709551616", "-9223372036854775809", "1000000000000000000000000000000"] {
            let error = typed(number).unwrap_err();
            assert!(error.starts_with("properties: p: a whole number outside of "), "{number}: {error}");
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
            ("{}", "no body; add `body` (text), `body_base64` or `amqp_base64`"),
            ("{\"body\":", "not JSON: EOF while parsing a value at column 8"),
            ("\"a\" \"b\"", "not JSON: trailing characters at column 5"),
            ("this is text", "not JSON: expected a value at column 2"),
            (r#"{"body":"a","body":"b"}"#, "body: is there twice; keep the one that is meant"),
            (r#"{"body":"a","offset":"0","offset":"0"}"#, "offset: is there twice; keep the one that is meant"),
            (
                r#"{"body":"a","properties":{"p":1,"q":2,"\u0070":1}}"#,
                "properties: p: is there twice; keep the one that is meant",
            ),
            (
                r#"{"body":"a","content_type":"é"}"#,
                "content_type: `é` is not ASCII; write a MIME type such as text/plain",
            ),
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
            (
                r#"{"body":"a","amqp_base64":"AFN1oAFh"}"#,
                "amqp_base64: is the whole event; take out what else tells of its content, or it",
            ),
            (r#"{"amqp_base64":"AFN1oAE="}"#, "amqp_base64: no AMQP message: "),
            (
                r#"{"body":"a","property_types":{"p":"int"}}"#,
                "property_types: p: there is no property of that name (int)",
            ),
            (
                r#"{"body":"a","properties":{"p":300},"property_types":{"p":"ubyte"}}"#,
                "properties: p: is no ubyte; got 300",
            ),
            (r#"{"body":"a","message_id_type":"uuid"}"#, "message_id_type: there is no id that is a text"),
            (r#"{"body":"a","message_id":"x","message_id_type":"uuid"}"#, "message_id_type: `x` is no uuid"),
            (
                r#"{"body":"a","message_id":-1}"#,
                "message_id: expected a string or a whole number from 0 to 18446744073709551615, got a number",
            ),
        ] {
            let error = item(text.as_bytes(), 1, &template(&[])).unwrap_err();
            assert!(error == message || (message.ends_with(": ") && error.starts_with(message)), "{text}: {error}");
        }
        let key = br#"{"body":"a","partition_key":"k"}"#;
        let error = item(key, 1, &template(&["--partition-id", "0"])).unwrap_err();
        assert_eq!(error, "partition_key: a partition key contradicts --partition-id; drop one of them");
    }
}
