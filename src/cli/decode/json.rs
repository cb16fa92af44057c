//! Units as lines of JSON: every part with its place, its type and its whole value.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value as Json;

use super::super::json::{rfc3339, written};
use super::unit::{Origin, Time, Unit};
use crate::wire::dissect::{Fault, Node};

/// The members, in the order they are printed.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_us: Option<u64>,
    at: u64,
    len: usize,
    parts: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    malformed: Vec<Wrong<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_decoded: Vec<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Serialize)]
struct Part<'a> {
    name: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_type: Option<&'static str>,
    #[serde(flatten)]
    place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_len: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead_len: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Self>,
}

#[derive(Serialize)]
struct Place {
    at: u64,
    len: usize,
}

#[derive(Serialize)]
struct Wrong<'a> {
    at: u64,
    expected: &'a str,
    found: &'a str,
}

pub(super) fn write(out: &mut impl Write, unit: &Unit, origin: &Origin, hex: bool) -> io::Result<()> {
    let found = &unit.dissection;
    let wrong = |fault: &'_ Fault| unit.at + fault.at as u64;
    let peer = |index: usize| origin.peers.as_ref().map(|peers| peers[index].as_str());
    let line = Line {
        connection: origin.connection,
        from: origin.from.map(|side| side.name()),
        client: peer(0),
        server: peer(1),
        time: match origin.time {
            Some(Time::At(time)) => Some(rfc3339(time)),
            _ => None,
        },
        at_us: match origin.time {
            Some(Time::MicrosSinceStart(micros)) => Some(micros),
            _ => None,
        },
        at: unit.at,
        len: unit.bytes.len(),
        parts: found.nodes.iter().map(|node| part(node, unit.at)).collect(),
        malformed: found
            .faults
            .iter()
            .map(|fault| Wrong { at: wrong(fault), expected: &fault.expected, found: &fault.found })
            .collect(),
        not_decoded: found
            .rests
            .iter()
            .map(|rest| Place { at: unit.at + rest.start as u64, len: rest.len() })
            .collect(),
        hex: hex.then(|| digits(unit)),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

fn part(node: &Node, at: u64) -> Part<'_> {
    Part {
        name: &node.name,
        r#type: node.kind,
        key_type: node.key.map(|kind| kind.name()),
        place: Place { at: at + node.range.start as u64, len: node.range.len() },
        value: node.value.as_ref().map(|value| written(value).0),
        note: node.note.as_deref(),
        body_len: node.body_len,
        overhead_len: node.body_len.map(|len| node.range.len() - len),
        parts: node.children.iter().map(|child| part(child, at)).collect(),
    }
}

/// All bytes; `**` for those of secrets.
fn digits(unit: &Unit) -> String {
    let mut digits = String::with_capacity(2 * unit.bytes.len());
    for (byte, is_hidden) in unit.bytes.iter().zip(unit.hidden()) {
        match is_hidden {
            true => digits.push_str("**"),
            false => {
                digits.extend([byte >> 4, byte & 0x0f].map(|half| char::from_digit(half.into(), 16).unwrap_or('?')))
            }
        }
    }
    digits
}
