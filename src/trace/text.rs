//! A line for each frame: when, which way, and what it says, by the names of the specification; sizes of events, never
//! what is in them.

use std::fmt::{self, Display, Write};
use std::time::{Duration, UNIX_EPOCH};

use super::dialogue::{Direction, Message, Notes, Record, Refusal, Reply, Request, Said, Settled};
use super::performative::Composite;
use super::summary::Summary;
use crate::client::first_bytes;
use crate::wire::condition::Recovery;
use crate::wire::descriptors::codes as code;
use crate::wire::value::Value;
use crate::words::{clipped, counted, size, time};

/// Where the lines begin that belong to the one above.
const INDENT: &str = "                                  ";

/// Whether lines have colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Colour {
    #[default]
    None,
    Ansi,
}

impl Colour {
    fn paint(self, code: u8, text: impl Display) -> String {
        match self {
            Self::None => text.to_string(),
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

const DIM: u8 = 2;
const RED: u8 = 31;
const GREEN: u8 = 32;
const CYAN: u8 = 36;

/// The lines for `record`, with a line's end.
pub(super) fn line(record: &Record, colour: Colour) -> String {
    let times = format!("{:>11.6} {:>+11.6}", record.at.as_secs_f64(), record.since_last.as_secs_f64());
    let channel = match &record.said {
        Said::Amqp { channel, .. } | Said::Heartbeat { channel } | Said::Broken { channel, .. } => {
            format!("ch{channel}")
        }
        Said::Header(_) | Said::Sasl(_) | Said::Strange => String::new(),
    };
    let arrow = match record.direction {
        Direction::Sent => colour.paint(CYAN, "->"),
        Direction::Received => colour.paint(GREEN, "<-"),
    };
    let times = colour.paint(DIM, times);
    let mut line = format!("{times} {:>2} {channel:>4} {arrow} ", record.connection);
    let said = said(record);
    line += &if record.notes.error.is_some() { colour.paint(RED, said) } else { said };
    line.push('\n');
    line.extend(record.notes.error.as_ref().map(calls_for));
    line
}

/// What a connection goes by.
pub(super) fn began(connection: u64, name: &str, colour: Colour) -> String {
    format!("{}\n", colour.paint(DIM, format_args!("connection {connection} is {}", clipped(name))))
}

/// Lines that tell what a connection came to.
pub(super) fn summary(connection: u64, summary: &Summary, why: &str, colour: Colour) -> String {
    format!("{}\n  {summary}\n", colour.paint(DIM, format_args!("connection {connection}, {why}:")))
}

/// What was left out because it could not be written in time.
pub(super) fn gap(records: u64) -> String {
    format!(
        "{INDENT}{} left out: the trace is read more slowly than it is written\n",
        counted(records, "record was", "records were")
    )
}

/// The bytes of a frame, sixteen in a line.
pub(super) fn hex(record: &Record) -> String {
    let bytes = record.bytes.concat();
    let mut out = String::new();
    for (at, row) in bytes.chunks(16).enumerate() {
        let hex: String = row.iter().map(|byte| format!(" {byte:02x}")).collect();
        let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let text: String = row.iter().map(shown).collect();
        let _ = writeln!(out, "{INDENT}{:06x} {hex:<48}  {text}", at * 16);
    }
    if bytes.len() < record.len {
        let _ = writeln!(out, "{INDENT}{} more bytes are not shown", record.len - bytes.len());
    }
    out
}

fn said(record: &Record) -> String {
    match &record.said {
        Said::Header(id) => header(*id),
        Said::Heartbeat { .. } => "empty frame".to_owned(),
        Said::Sasl(performative) | Said::Amqp { performative, .. } => spoken(performative, record),
        Said::Broken { why, .. } => format!("a frame of {} that cannot be read: {why}", size(record.len as u64)),
        Said::Strange => strange(&record.bytes[0]),
    }
}

fn strange(bytes: &[u8]) -> String {
    let advice = bytes.first_chunk().map_or("check host and port", first_bytes);
    format!("no AMQP: {:?}; {advice}", String::from_utf8_lossy(bytes))
}

fn header([id, major, minor, revision]: [u8; 4]) -> String {
    let what = match id {
        0 => "AMQP".to_owned(),
        2 => "AMQP over TLS".to_owned(),
        3 => "SASL".to_owned(),
        id => format!("AMQP protocol id {id}"),
    };
    format!("header {what} {major}.{minor}.{revision}")
}

/// Which fields of a performative matter, in the order they are shown.
fn shown(code: u64) -> &'static [&'static str] {
    match code {
        code::OPEN => &["container-id", "hostname", "max-frame-size", "channel-max", "idle-time-out"],
        code::BEGIN => &["remote-channel", "incoming-window", "outgoing-window", "handle-max"],
        code::ATTACH => &["handle", "initial-delivery-count", "max-message-size"],
        code::FLOW => &["link-credit", "delivery-count", "incoming-window", "drain", "echo"],
        code::TRANSFER => &["settled", "aborted"],
        code::DISPOSITION => &["settled"],
        code::DETACH => &["closed"],
        code::SASL_INIT => &["mechanism", "hostname"],
        code::SASL_OUTCOME => &["code"],
        _ => &["sasl-server-mechanisms"],
    }
}

fn spoken(performative: &Composite, record: &Record) -> String {
    let notes = &record.notes;
    let mut line = performative.name().to_owned();
    if let Some((nick, _)) = &notes.link {
        let _ = write!(line, " {nick}");
    } else if let Some(handle) = performative.number("handle") {
        let _ = write!(line, " handle={handle}");
    }
    if performative.code == code::ATTACH {
        line += &roles(performative);
    }
    if notes.is_refusal {
        line += " (refused: a detach follows)";
    }
    let is_link_known = notes.link.is_some();
    for field in shown(performative.code).iter().filter(|field| !(is_link_known && **field == "handle")) {
        // What is not so is not said, nor that there is no limit.
        if let Some(value) = performative.get(field).filter(|value| !is_nothing(field, value)) {
            let _ = write!(line, " {}", Field(field, value));
        }
    }
    line += &extras(performative, notes);
    line
}

fn is_nothing(field: &str, value: &Value) -> bool {
    *value == Value::Boolean(false) || field == "max-message-size" && value.as_i64() == Some(0)
}

/// Who sends, and from where to where.
fn roles(attach: &Composite) -> String {
    let role = if attach.is("role") { "receiver" } else { "sender" };
    let mut text = format!(" {role}");
    for end in ["source", "target"] {
        let terminus = attach.composite(end);
        if let Some(address) = terminus.as_ref().and_then(|terminus| terminus.text("address")) {
            let _ = write!(text, " {end}={}", clipped(address));
        }
        if let Some(filter) = terminus.as_ref().and_then(|terminus| terminus.get("filter")) {
            let _ = write!(text, " filter={}", Shown(filter));
        }
    }
    text
}

/// What is known beyond the fields.
fn extras(performative: &Composite, notes: &Notes) -> String {
    let mut text = String::new();
    if performative.code == code::TRANSFER {
        text += &transferred(performative, notes);
    }
    if performative.code == code::DISPOSITION {
        text += &settles(performative);
    }
    if let Some(Settled { deliveries, after }) = notes.settled {
        let _ = match deliveries {
            1 => write!(text, " after {}", time(after)),
            _ => write!(text, ", {deliveries} deliveries after {} at most", time(after)),
        };
    }
    if let Some(stalled) = notes.stalled {
        let _ = write!(text, ", after {} without credit", time(stalled));
    }
    if performative.code == code::SASL_OUTCOME {
        text += match performative.number("code") {
            Some(0) => " (welcome)",
            _ => " (refused)",
        };
    }
    if notes.reply.is_none()
        && let Some(Refusal { condition, description, .. }) = &notes.error
    {
        let _ = write!(text, " error={}", clipped(condition));
        if !description.is_empty() {
            let _ = write!(text, " {:?}", clipped(description));
        }
    }
    text
}

/// Which deliveries, and what becomes of them.
fn settles(disposition: &Composite) -> String {
    let state = disposition.composite("state");
    let state = state.as_ref().map_or("no state", Composite::name);
    match (disposition.number("first"), disposition.number("last")) {
        (Some(first), Some(last)) if first != last => format!(" delivery-ids={first}-{last} {state}"),
        (first, _) => format!(" delivery-id={} {state}", first.unwrap_or_default()),
    }
}

fn transferred(transfer: &Composite, notes: &Notes) -> String {
    let mut text = String::new();
    if let Some(id) = notes.delivery_id {
        let _ = write!(text, " delivery-id={id}");
    }
    if transfer.is("more") {
        text += " more";
    }
    match (&notes.message, &notes.request, &notes.reply) {
        (Some(message), ..) => text += &whole(*message),
        (_, Some(request), _) => text += &asked(request),
        (.., Some(reply)) => text += &answered(reply),
        _ => {}
    }
    if notes.message.is_none_or(|message| message.transfers > 1) {
        let _ = write!(text, " {}", size(notes.payload_len as u64));
    }
    text
}

fn whole(message: Message) -> String {
    let events = message.events.map_or_else(|| "message".to_owned(), |events| format!("events={events}"));
    let transfers = match message.transfers {
        1 => String::new(),
        transfers => format!(" in {transfers} transfers, the last of"),
    };
    format!(" {events} {}{transfers}", size(message.len))
}

fn asked(request: &Request) -> String {
    let mut text = format!(" {} {}", clipped(&request.operation), clipped(&request.name));
    if let Some(partition) = &request.partition {
        let _ = write!(text, " partition={}", clipped(partition));
    }
    let _ = write!(text, " type={}", clipped(&request.kind));
    if let Some(name) = &request.key_name {
        let _ = write!(text, " key-name={}", clipped(name));
    }
    if let Some(expiry) = request.expiry_unix_secs.filter(|_| request.is_put()) {
        let _ = write!(text, " expires={}", date(expiry));
    }
    text
}

fn answered(reply: &Reply) -> String {
    let mut text = match &reply.to {
        Some((operation, after)) => format!(" answer to {} after {}:", clipped(operation), time(*after)),
        None => " answer to nothing that was asked:".to_owned(),
    };
    let _ = write!(text, " {}", reply.status);
    if !reply.condition.is_empty() {
        let _ = write!(text, " {}", clipped(&reply.condition));
    }
    if !reply.description.is_empty() {
        let _ = write!(text, " {:?}", clipped(&reply.description));
    }
    text
}

/// What an error calls for, on lines of their own.
fn calls_for(refusal: &Refusal) -> String {
    let recovery = match refusal.recovery() {
        Recovery::RetryOnLink => "sending again on the same link",
        Recovery::ReattachLink => "another link in the same session",
        Recovery::Reconnect => "another connection",
        Recovery::Reauthorize => "a fresh token, once",
        Recovery::GiveUp => "a change by you",
    };
    let reason = refusal.reason().map_or(String::new(), |reason| format!(": {reason}"));
    format!("{INDENT}calls for {recovery}{reason}\n{INDENT}to do: {}\n", refusal.advice())
}

/// A field by its name, in the unit that people think in.
struct Field<'a>(&'a str, &'a Value);

impl Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, value) = self;
        let number = value.as_i64().and_then(|number| u64::try_from(number).ok());
        match (*name, number) {
            ("idle-time-out", Some(millis)) => write!(f, "{name}={}", time(Duration::from_millis(millis))),
            ("max-message-size" | "max-frame-size", Some(bytes)) => {
                write!(f, "{name}={}", size(bytes).replace(' ', ""))
            }
            (_, None) if **value == Value::Boolean(true) => f.write_str(name),
            ("sasl-server-mechanisms", _) => write!(f, "{}", Shown(value)),
            _ => write!(f, "{name}={}", Shown(value)),
        }
    }
}

/// A value as it is shown within a line.
struct Shown<'a>(&'a Value);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, values: &[Value]| {
            let shown: Vec<_> = values.iter().map(|value| Shown(value).to_string()).collect();
            write!(f, "[{}]", shown.join(" "))
        };
        match self.0 {
            Value::String(text) | Value::Symbol(text) => f.write_str(&clipped(text)),
            Value::Boolean(truth) => write!(f, "{truth}"),
            Value::List(values) => list(f, values),
            Value::Array(array) => list(f, array.values()),
            Value::Map(entries) => {
                let shown: Vec<_> =
                    entries.iter().map(|(key, value)| format!("{}: {}", Self(key), Self(value))).collect();
                write!(f, "{{{}}}", shown.join(", "))
            }
            Value::Described(parts) => write!(f, "{}", Self(&parts.1)),
            Value::Null => f.write_str("null"),
            value => match value.as_i64() {
                Some(number) => write!(f, "{number}"),
                None => write!(f, "({})", value.kind()),
            },
        }
    }
}

/// A time of day as RFC 3339 has it; one beyond the year 9999 as the number that it is.
fn date(unix_secs: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(unix_secs)).filter(|_| unix_secs < 253_402_300_800) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => unix_secs.to_string(),
    }
}
