//! Messages -> nodes: sections, and the events of a batch.
//! Source: AMQP 1.0 part 3, 3.2; event-hubs-wire 7.

use std::ops::Range;

use bytes::Bytes;

use super::findings::Findings;
use super::walk::{Broken, Walker};
use super::{Fault, Node, request};
use crate::wire::batch::MESSAGE_FORMAT;
use crate::wire::shape;
use crate::wire::value::Value;

/// Whether the `data` sections of a message are events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Events {
    /// They are: it is a batch.
    Within,
    /// They are not.
    No,
    /// They are if each of them is a whole message.
    PerhapsWithin,
}

impl Events {
    pub(crate) fn of_format(message_format: Option<u32>) -> Self {
        if message_format == Some(MESSAGE_FORMAT) { Self::Within } else { Self::No }
    }
}

/// Reads the message that is all of `range`.
pub(super) fn read(input: &Bytes, range: Range<usize>, events: Events, findings: &mut Findings) -> Node {
    let mut message = Node::new("message", "message", range.clone());
    let first_rest = findings.rests.len();
    message.children = sections(input, range, findings);
    let events = match events {
        Events::PerhapsWithin if is_batch(input, &message.children) => Events::Within,
        Events::PerhapsWithin => Events::No,
        told => told,
    };
    message.note = request::name(&message).map(Into::into);
    request::hide_token(input, &mut message, first_rest, findings);
    if events == Events::Within {
        open(input, &mut message, findings);
    } else {
        message.body_len = Some(message.children.iter().map(|section| body_len(input, section)).sum());
    }
    message
}

fn sections(input: &Bytes, range: Range<usize>, findings: &mut Findings) -> Vec<Node> {
    let end = range.end;
    let mut nodes = Vec::new();
    let mut walker = Walker::new(input, range, findings);
    while !walker.is_at_end() && walker.may_go_on() && section(&mut walker, &mut nodes, input, end).is_ok() {}
    nodes
}

fn section(walker: &mut Walker<'_>, nodes: &mut Vec<Node>, input: &Bytes, end: usize) -> Result<(), Broken> {
    let at = walker.at();
    if input[at] != 0x00 {
        let fault = Fault::new(at, "a message section, which begins with 0x00", format!("{:#04x}", input[at]));
        return Err(walker.break_with(fault, end));
    }
    let read = walker.whole_value(nodes);
    if let Some(node) = nodes.last().filter(|node| node.range.start == at && node.kind != "section") {
        let found = if node.name == "value" { node.kind.to_owned() } else { node.name.clone().into_owned() };
        walker.findings.faults.push(Fault::new(at, "a message section", found));
    }
    read
}

/// Whether there are `data` sections and all of them hold messages.
fn is_batch(input: &Bytes, sections: &[Node]) -> bool {
    let mut data = sections.iter().filter(|section| section.name == "data").peekable();
    data.peek().is_some() && data.all(|section| content(section).is_some_and(|range| is_message(&input[range])))
}

/// Whether `bytes` are sections to the end, a body among them.
fn is_message(mut bytes: &[u8]) -> bool {
    let mut has_body = false;
    while let [0x00, 0x53, code @ 0x70..=0x78, ..] = bytes {
        let Ok(len) = shape::value_len(bytes) else { return false };
        has_body |= matches!(code, 0x75..=0x77);
        bytes = &bytes[len..];
    }
    has_body && bytes.is_empty()
}

/// Puts into each `data` section what is in it: an event.
fn open(input: &Bytes, batch: &mut Node, findings: &mut Findings) {
    let (mut count, mut total) = (0_usize, 0);
    for section in batch.children.iter_mut().filter(|section| section.kind == "section") {
        let (true, Some(content)) = (section.name == "data", content(section)) else { continue };
        section.name = format!("event {count}").into();
        section.kind = "data";
        section.value = None;
        count += 1;
        let event = read(input, content, Events::No, findings);
        (section.children, section.note, section.body_len) = (event.children, event.note, event.body_len);
        total += section.body_len.unwrap_or(0);
    }
    batch.body_len = Some(total);
    let events = if count == 1 { "event" } else { "events" };
    batch.note = Some(format!("a batch of {count} {events}").into());
}

/// Where the content of a `data` section stands.
fn content(section: &Node) -> Option<Range<usize>> {
    match section.value.as_ref()? {
        Value::Binary(bytes) => Some(section.range.end - bytes.len()..section.range.end),
        _ => None,
    }
}

/// Bytes of body in a section: what `data` holds, and the other kinds as they are encoded.
fn body_len(input: &Bytes, section: &Node) -> usize {
    match section.name.as_ref() {
        "data" => content(section).map_or(0, |content| content.len()),
        "amqp-value" | "amqp-sequence" => {
            section.range.len().saturating_sub(1 + shape::value_len(&input[section.range.start + 1..]).unwrap_or(0))
        }
        _ => 0,
    }
}
