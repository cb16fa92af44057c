//! An object in a line for each frame, with every field that is there, and for each connection at its end.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::dialogue::{Direction, Message, Record, Refusal, Reply, Request, Said};
use super::performative::Composite;
use super::sink::Bytes;
use super::summary::{LinkTotals, Summary, Traffic};
use crate::wire::value::Value;

/// The members, in the order they are written.
#[derive(Serialize)]
struct Frame<'a> {
    r#type: &'static str,
    connection: u64,
    /// Microseconds since the trace began.
    at_us: u64,
    since_last_us: u64,
    direction: &'static str,
    /// On the wire.
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<u16>,
    /// Its name; `header`, `empty`, `broken` or `strange`.
    performative: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<[u8; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(flatten)]
    meaning: Option<Meaning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// What the fields say, and what is known beyond them.
#[derive(Serialize)]
struct Meaning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
    fields: Fields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_id: Option<u32>,
    #[serde(skip_serializing_if = "is_zero")]
    payload_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<ReplyOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<SettledOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    without_credit_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorOut<'a>>,
}

#[derive(Serialize)]
struct MessageOut {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    transfers: u32,
}

#[derive(Serialize)]
struct RequestOut<'a> {
    operation: &'a str,
    name: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_unix_secs: Option<u64>,
}

#[derive(Serialize)]
struct ReplyOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_us: Option<u64>,
    status: i64,
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    condition: &'a str,
}

#[derive(Serialize)]
struct SettledOut {
    deliveries: u64,
    after_us: u64,
}

#[derive(Serialize)]
struct ErrorOut<'a> {
    condition: &'a str,
    description: &'a str,
    calls_for: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    advice: &'static str,
}

/// The line of a frame.
pub(super) fn line(record: &Record, bytes: Bytes) -> String {
    let hex = (bytes == Bytes::Hex).then(|| hex(record));
    written(&frame(record, meaning(record), hex))
}

/// The line of a recorded frame: its bytes in place of its fields.
pub(super) fn recorded(record: &Record) -> String {
    written(&frame(record, None, Some(hex(record))))
}

fn frame<'a>(record: &'a Record, meaning: Option<Meaning<'a>>, hex: Option<String>) -> Frame<'a> {
    let (performative, channel, header, why) = match &record.said {
        Said::Header(id) => ("header", None, Some(*id), None),
        Said::Heartbeat { channel } => ("empty", Some(*channel), None, None),
        Said::Sasl(performative) => (performative.name(), None, None, None),
        Said::Amqp { channel, performative } => (performative.name(), Some(*channel), None, None),
        Said::Broken { channel, why } => ("broken", Some(*channel), None, Some(why.as_str())),
        Said::Strange => ("strange", None, None, None),
    };
    Frame {
        r#type: "frame",
        connection: record.connection,
        at_us: micros(record.at),
        since_last_us: micros(record.since_last),
        direction: record.direction.name(),
        bytes: record.len,
        channel,
        performative,
        header,
        why,
        meaning,
        hex,
    }
}

fn meaning(record: &Record) -> Option<Meaning<'_>> {
    let (Said::Sasl(performative) | Said::Amqp { performative, .. }) = &record.said else { return None };
    let notes = &record.notes;
    Some(Meaning {
        link: notes.link.as_ref().map(|(nick, _)| nick.as_str()),
        fields: Fields(performative),
        delivery_id: notes.delivery_id,
        payload_bytes: notes.payload_len,
        message: notes.message.map(|Message { len, events, transfers }| MessageOut { bytes: len, events, transfers }),
        request: notes.request.as_ref().map(request),
        reply: notes.reply.as_ref().map(reply),
        settled: notes
            .settled
            .map(|settled| SettledOut { deliveries: settled.deliveries, after_us: micros(settled.after) }),
        without_credit_us: notes.stalled.map(micros),
        error: notes.error.as_ref().map(error),
    })
}

fn request(request: &Request) -> RequestOut<'_> {
    RequestOut {
        operation: &request.operation,
        name: &request.name,
        r#type: &request.kind,
        partition: request.partition.as_deref(),
        key_name: request.key_name.as_deref(),
        expiry_unix_secs: request.expiry_unix_secs,
    }
}

fn reply(reply: &Reply) -> ReplyOut<'_> {
    ReplyOut {
        to: reply.to.as_ref().map(|(operation, _)| operation.as_str()),
        after_us: reply.to.as_ref().map(|(_, after)| micros(*after)),
        status: reply.status,
        description: &reply.description,
        condition: &reply.condition,
    }
}

fn error(refusal: &Refusal) -> ErrorOut<'_> {
    ErrorOut {
        condition: &refusal.condition,
        description: &refusal.description,
        calls_for: format!("{:?}", refusal.recovery()),
        reason: refusal.reason(),
        advice: refusal.advice(),
    }
}

/// The fields of a described list, by name.
struct Fields<'a>(&'a Composite);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields().map(|(name, value)| (name, Plain(value))))
    }
}

/// A value as JSON has it: what has no form of its own there is a text. The specification's described lists are objects.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Boolean(truth) => serializer.serialize_bool(*truth),
            Value::Ulong(number) => serializer.serialize_u64(*number),
            Value::Float(number) => serializer.serialize_f32(*number),
            Value::Double(number) => serializer.serialize_f64(*number),
            Value::String(text) | Value::Symbol(text) => serializer.serialize_str(text),
            Value::Char(char) => serializer.serialize_char(*char),
            Value::Binary(bytes) => serializer.serialize_str(&hex_of(bytes)),
            Value::Uuid(bytes) => serializer.serialize_str(&hex_of(bytes)),
            Value::List(values) => serializer.collect_seq(values.iter().map(Plain)),
            Value::Array(array) => serializer.collect_seq(array.values().iter().map(Plain)),
            Value::Map(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key_of(key), Plain(value))))
            }
            Value::Described(parts) => match Composite::of(self.0.clone()) {
                Some(composite) => serializer.collect_map([(composite.name(), Fields(&composite))]),
                None => serializer.collect_map([("descriptor", Plain(&parts.0)), ("value", Plain(&parts.1))]),
            },
            value => match value.as_i64() {
                Some(number) => serializer.serialize_i64(number),
                None => serializer.serialize_str(value.kind().name()),
            },
        }
    }
}

/// A key as a member's name.
fn key_of(key: &Value) -> String {
    match key.as_str() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string(&Plain(key)).unwrap_or_default(),
    }
}

#[derive(Serialize)]
struct SummaryOut<'a> {
    r#type: &'static str,
    connection: u64,
    /// How it ended.
    why: &'a str,
    at_us: u64,
    duration_us: u64,
    sent: TrafficOut,
    received: TrafficOut,
    round_trips: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trips_to_first_accepted: Option<u64>,
    phases_us: Phases<'a>,
    links: Vec<LinkOut<'a>>,
}

/// Phases by name, in order.
struct Phases<'a>(&'a Summary);

impl Serialize for Phases<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.phases().map(|(name, span)| (name.replace(' ', "_"), micros(span))))
    }
}

#[derive(Serialize)]
struct TrafficOut {
    frames: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct LinkOut<'a> {
    link: &'a str,
    deliveries: u64,
    events: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_message_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fill_percent: Option<f64>,
    accepted: u64,
    rejected: u64,
    given_back: u64,
    slowest_us: u64,
    without_credit: u64,
    without_credit_us: u64,
}

/// The line of a connection that goes by a name.
pub(super) fn began(connection: u64, name: &str) -> String {
    #[derive(Serialize)]
    struct Began<'a> {
        r#type: &'static str,
        connection: u64,
        name: &'a str,
    }
    written(&Began { r#type: "connection", connection, name })
}

/// The line of a connection that is over.
pub(super) fn summary<'a>(connection: u64, summary: &'a Summary, why: &'a str) -> String {
    let traffic = |direction: Direction| {
        let Traffic { frames, bytes } = summary.traffic[direction.index()];
        TrafficOut { frames, bytes }
    };
    written(&SummaryOut {
        r#type: "summary",
        connection,
        why,
        at_us: micros(summary.ended),
        duration_us: micros(summary.ended.saturating_sub(summary.began)),
        sent: traffic(Direction::Sent),
        received: traffic(Direction::Received),
        round_trips: summary.round_trips,
        round_trips_to_first_accepted: summary.to_first_accepted,
        phases_us: Phases(summary),
        links: summary.links.iter().map(|(nick, totals)| link(nick, totals)).collect(),
    })
}

fn link<'a>(nick: &'a str, totals: &LinkTotals) -> LinkOut<'a> {
    LinkOut {
        link: nick,
        deliveries: totals.deliveries,
        events: totals.events,
        bytes: totals.bytes,
        max_message_size: totals.max_message_size,
        fill_percent: totals.fill().map(|fill| (fill * 10.0).round() / 10.0),
        accepted: totals.accepted,
        rejected: totals.rejected,
        given_back: totals.released,
        slowest_us: micros(totals.slowest),
        without_credit: totals.stalls,
        without_credit_us: micros(totals.stalled),
    }
}

/// The line that stands for what was left out.
pub(super) fn gap(records: u64) -> String {
    format!("{{\"type\":\"gap\",\"frames\":{records}}}\n")
}

fn written(line: &impl Serialize) -> String {
    // Names are texts and numbers are finite or null: it always serialises.
    serde_json::to_string(line).unwrap_or_default() + "\n"
}

fn hex(record: &Record) -> String {
    record.bytes.iter().map(|bytes| hex_of(bytes)).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
