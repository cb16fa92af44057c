//! Units as indented trees: where each part stands, how long it is, its name, its type and what it says.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::ops::Range;

use super::super::json::rfc3339;
use super::unit::{Origin, Time, Unit};
use crate::wire::dissect::Node;
use crate::wire::event::MessageId;
use crate::wire::secret::MASK;
use crate::wire::value::Value;
use crate::words::{self, counted};

/// Characters or bytes of a value that are shown; `--output json` shows all.
const MAX_SHOWN: usize = 256;
/// Bytes in a line of hex.
const HEX_WIDTH: usize = 16;

pub(super) fn write(out: &mut impl Write, unit: &Unit, origin: &Origin, hex: bool) -> io::Result<()> {
    let mut text = String::new();
    if *origin != Origin::default() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", Heading(origin));
    }
    let page = Page { unit, hidden: hex.then(|| unit.hidden()) };
    for node in &unit.dissection.nodes {
        page.node(&mut text, node, 0);
    }
    for rest in unit.dissection.rests.iter().filter(|rest| !rest.is_empty()) {
        page.line(&mut text, rest.clone(), rest.clone(), 0, &"not decoded");
    }
    for fault in &unit.dissection.faults {
        let at = unit.at + fault.at as u64;
        let _ = writeln!(text, "malformed at byte {at}: expected {}, found {}", fault.expected, fault.found);
    }
    text.push('\n');
    out.write_all(text.as_bytes())
}

/// `#1 client 10.0.0.1:50000 -> 10.0.0.2:5672, 2026-11-22T09:05:00.123Z`.
struct Heading<'a>(&'a Origin);

impl fmt::Display for Heading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { connection, from, peers, time } = self.0;
        if let Some(connection) = connection {
            write!(f, "#{connection} ")?;
        }
        if let Some(from) = from {
            f.write_str(from.name())?;
        }
        if let (Some([client, server]), Some(from)) = (peers, from) {
            match from.name() {
                "client" => write!(f, " {client} -> {server}")?,
                _ => write!(f, " {server} -> {client}")?,
            }
        }
        match time {
            Some(Time::At(time)) => write!(f, ", {}", rfc3339(*time)),
            Some(Time::MicrosSinceStart(micros)) => write!(f, ", +{}.{:06} s", micros / 1_000_000, micros % 1_000_000),
            None => Ok(()),
        }
    }
}

struct Page<'a> {
    unit: &'a Unit,
    /// Whether a byte is part of a secret, for each, where bytes are to be shown.
    hidden: Option<Vec<bool>>,
}

impl Page<'_> {
    fn node(&self, text: &mut String, node: &Node, depth: usize) {
        // A part's own bytes: those before its first part.
        let parts = node.children.iter().filter(|child| !child.range.is_empty());
        let own_end = parts.map(|child| child.range.start).next().unwrap_or(node.range.end);
        let own = node.range.start..own_end.max(node.range.start);
        self.line(text, node.range.clone(), own, depth, &Label(node));
        node.children.iter().for_each(|child| self.node(text, child, depth + 1));
    }

    fn line(&self, text: &mut String, range: Range<usize>, own: Range<usize>, depth: usize, label: &dyn fmt::Display) {
        if range.is_empty() {
            let _ = write!(text, "{:>8} {:>8}", "", "");
        } else {
            let _ = write!(text, "{:>8} {:>8}", self.unit.at + range.start as u64, range.len());
        }
        let mut rows = (own.start..own.end).step_by(HEX_WIDTH).map(|start| start..own.end.min(start + HEX_WIDTH));
        if let Some(hidden) = &self.hidden {
            let first = self.digits(rows.next().unwrap_or(0..0), hidden);
            let _ = write!(text, "  {first:<width$}", width = HEX_WIDTH * 3 - 1);
        }
        let _ = writeln!(text, "  {:indent$}{label}", "", indent = depth * 2);
        if let Some(hidden) = &self.hidden {
            for row in rows {
                let at = self.unit.at + row.start as u64;
                let _ = writeln!(text, "{at:>8} {:>8}  {}", "", self.digits(row, hidden));
            }
        }
    }

    /// Bytes in hex, secrets masked.
    fn digits(&self, range: Range<usize>, hidden: &[bool]) -> String {
        let digits = range.map(|at| if hidden[at] { "**".to_owned() } else { format!("{:02x}", self.unit.bytes[at]) });
        digits.collect::<Vec<_>>().join(" ")
    }
}

/// `name: type value (what it means)`.
struct Label<'a>(&'a Node);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.0;
        let is_mask = matches!(&node.value, Some(Value::String(text)) if text == MASK);
        // A key may hold anything.
        write!(f, "{}", node.name.escape_debug())?;
        if node.kind != node.name {
            write!(f, ": {}", node.kind)?;
        }
        match &node.value {
            Some(_) if is_mask => write!(f, " {MASK}")?,
            // Its type says it.
            None | Some(Value::Null) => {}
            Some(value) => write!(f, " {}", Shown(value))?,
        }
        let empty = node.children.is_empty() && matches!(node.kind, "map" | "list" | "array");
        let notes =
            [empty.then(|| "empty".to_owned()), node.note.as_ref().map(|note| words::clipped(note)), sizes(node)];
        let notes: Vec<_> = notes.into_iter().flatten().collect();
        if notes.is_empty() { Ok(()) } else { write!(f, " ({})", notes.join("; ")) }
    }
}

/// What is body, and what is not.
fn sizes(node: &Node) -> Option<String> {
    let body_len = node.body_len?;
    let overhead = node.range.len() - body_len;
    Some(format!("{} of body, {overhead} of overhead", counted(body_len as u64, "byte", "bytes")))
}

/// A value as people read it.
struct Shown<'a>(&'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Boolean(truth) => write!(f, "{truth}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Double(number) => write!(f, "{number:?}"),
            Value::Char(character) => write!(f, "{character:?}"),
            Value::Ulong(number) => write!(f, "{number}"),
            Value::Timestamp(millis) => timestamp(f, *millis),
            Value::Uuid(uuid) => write!(f, "{}", MessageId::Uuid(*uuid)),
            Value::Decimal32(bytes) => binary(f, bytes),
            Value::Decimal64(bytes) => binary(f, bytes),
            Value::Decimal128(bytes) => binary(f, bytes),
            Value::Binary(bytes) => binary(f, bytes),
            Value::String(text) => shortened(f, text),
            Value::Symbol(text) if text.len() <= MAX_SHOWN => write!(f, "{}", text.escape_debug()),
            Value::Symbol(text) => shortened(f, text),
            Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_) => f.write_str(self.0.kind().name()),
            number => write!(f, "{}", number.as_i64().unwrap_or_default()),
        }
    }
}

fn timestamp(f: &mut fmt::Formatter<'_>, millis: i64) -> fmt::Result {
    let time = crate::wire::received::time_of(millis);
    match millis {
        // From 1970 to 9999, which a date can say.
        0..=253_402_300_799_999 => write!(f, "{millis} = {}", rfc3339(time)),
        _ => write!(f, "{millis}"),
    }
}

fn shortened(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    match text.char_indices().nth(MAX_SHOWN) {
        None => write!(f, "{text:?}"),
        Some((end, _)) => write!(f, "{:?}... of {} bytes", &text[..end], text.len()),
    }
}

/// Text if it is some, else hex.
fn binary(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_whitespace()) => {
            f.write_str("b")?;
            shortened(f, text)
        }
        _ => {
            f.write_str("0x")?;
            bytes.iter().take(MAX_SHOWN).try_for_each(|byte| write!(f, "{byte:02x}"))?;
            if bytes.len() > MAX_SHOWN { write!(f, "... of {} bytes", bytes.len()) } else { Ok(()) }
        }
    }
}
