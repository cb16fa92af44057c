//! Frames and protocol headers -> nodes.
//! Source: AMQP 1.0 part 2, 2.2 (version negotiation) and 2.3 (framing).

use std::ops::Range;

use bytes::Bytes;

use super::findings::Findings;
use super::walk::Walker;
use super::{Fault, Node};
use crate::wire::value::Value;

const HEADER_LEN: usize = 8;
/// No peer of ours takes frames this large: such a size is something else's.
const MAX_FRAME_LEN: usize = 64 << 20;

/// What bytes of a stream begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A frame or protocol header of this length.
    Unit(usize),
    /// Not enough bytes to tell.
    Unknown,
    /// Neither.
    Nothing,
}

/// How long the frame or protocol header is that `bytes` begin with; they need not hold all of it.
pub(crate) fn cut(bytes: &[u8]) -> Cut {
    if bytes.starts_with(b"AMQP") {
        return if bytes.len() < HEADER_LEN { Cut::Unknown } else { Cut::Unit(HEADER_LEN) };
    }
    match bytes.first_chunk() {
        Some(size) => match u32::from_be_bytes(*size) as usize {
            len @ HEADER_LEN..=MAX_FRAME_LEN => Cut::Unit(len),
            _ => Cut::Nothing,
        },
        None => Cut::Unknown,
    }
}

/// Whether a frame or protocol header seems to begin here: to find one again in a stream that has lost bytes.
pub(crate) fn is_start(bytes: &[u8]) -> bool {
    let is_known = |body: &[u8]| match body {
        [0x00, 0x53, code, 0x45 | 0xc0 | 0xd0, ..] => matches!(code, 0x10..=0x18 | 0x40..=0x44),
        _ => false,
    };
    match bytes {
        [b'A', b'M', b'Q', b'P', 0 | 2 | 3, 1, 0, 0, ..] | [0, 0, 0, 8, 2, 0, _, _, ..] => true,
        [_, _, _, _, 2, 0 | 1, _, _, body @ ..] => matches!(cut(bytes), Cut::Unit(_)) && is_known(body),
        _ => false,
    }
}

/// What a transfer says that joins it to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) channel: u16,
    pub(crate) handle: u32,
    pub(crate) delivery_id: Option<u32>,
    pub(crate) message_format: Option<u32>,
    pub(crate) has_more: bool,
    pub(crate) is_aborted: bool,
    /// Where its part of the message stands.
    pub(crate) payload: Range<usize>,
}

pub(super) fn read(input: &Bytes, findings: &mut Findings) -> (Node, Option<Transfer>) {
    if input.starts_with(b"AMQP") {
        return (protocol_header(input, findings), None);
    }
    let mut node = Node::new("frame", "frame", 0..input.len());
    let Some(header) = input.first_chunk::<HEADER_LEN>() else {
        findings.stop(Fault::new(input.len(), "a frame header of 8 bytes", "the end"), 0..input.len());
        return (node, None);
    };
    node.children = header_fields(header);
    let Some(body) = extent(header, input.len(), findings) else { return (node, None) };
    if body.start > HEADER_LEN {
        node.children.push(Node::new("extended-header", "binary", HEADER_LEN..body.start));
    }
    if body.is_empty() {
        // Not one that was cut before its body.
        if header[..4] == (body.end as u32).to_be_bytes() {
            node.note = Some("a sign of life".into());
        }
        return (node, None);
    }
    let len = body.end;
    let mut walker = Walker::new(input, body, findings);
    let is_read = walker.whole_value(&mut node.children).is_ok();
    let payload = walker.at()..len;
    if !is_read {
        if header[5] == 1 {
            // Part of a login may be in what is left.
            findings.hide_rests(0);
        }
        return (node, None);
    }
    let transfer = transfer(&node, payload.clone());
    if !payload.is_empty() {
        match transfer {
            Some(_) => node.children.push(Node::new("payload", "binary", payload)),
            None => findings.stop(trailing(&payload), payload),
        }
    }
    (node, transfer)
}

fn trailing(payload: &Range<usize>) -> Fault {
    Fault::new(payload.start, "the end of the frame", format!("{} more bytes", payload.len()))
}

fn header_fields(header: &[u8; HEADER_LEN]) -> Vec<Node> {
    let [a, b, c, d, doff, kind, e, f] = *header;
    let mut kind_node = Node::new("type", "ubyte", 5..6).with_value(kind);
    let (word, channel) = match kind {
        0 => (Some("AMQP"), "channel"),
        1 => (Some("SASL"), "unused"),
        _ => (None, "type-specific"),
    };
    kind_node.note = word.map(Into::into);
    vec![
        Node::new("size", "uint", 0..4).with_value(u32::from_be_bytes([a, b, c, d])),
        Node::new("doff", "ubyte", 4..5).with_value(doff),
        kind_node,
        Node::new(channel, "ushort", 6..8).with_value(u16::from_be_bytes([e, f])),
    ]
}

/// Where the body stands, unless the header contradicts itself.
fn extent(header: &[u8; HEADER_LEN], len: usize, findings: &mut Findings) -> Option<Range<usize>> {
    let [a, b, c, d, doff, kind, ..] = *header;
    let (size, start) = (u32::from_be_bytes([a, b, c, d]) as usize, usize::from(doff) * 4);
    let fault = if size < HEADER_LEN {
        Fault::new(0, "a size of 8 bytes or more", size.to_string())
    } else if start < HEADER_LEN || start > size {
        Fault::new(4, format!("a data offset from 2 to {} words", size / 4), doff.to_string())
    } else if kind > 1 {
        Fault::new(5, "type 0 (AMQP) or 1 (SASL)", kind.to_string())
    } else if start > len {
        Fault::new(len, "the extended header", "the end")
    } else {
        if size > len {
            findings.faults.push(Fault::new(len, format!("a frame of {size} bytes"), format!("the end after {len}")));
        }
        return Some(start..size.min(len));
    };
    findings.stop(fault, HEADER_LEN..len);
    None
}

fn transfer(frame: &Node, payload: Range<usize>) -> Option<Transfer> {
    let performative = frame.child("transfer")?;
    let number = |name: &str| performative.field(name).and_then(Value::as_i64).and_then(|n| u32::try_from(n).ok());
    let truth = |name: &str| performative.field(name) == Some(&Value::Boolean(true));
    Some(Transfer {
        channel: frame.field("channel").and_then(Value::as_i64).and_then(|n| u16::try_from(n).ok())?,
        handle: number("handle")?,
        delivery_id: number("delivery-id"),
        message_format: number("message-format"),
        has_more: truth("more"),
        is_aborted: truth("aborted"),
        payload,
    })
}

fn protocol_header(input: &Bytes, findings: &mut Findings) -> Node {
    let mut node = Node::new("protocol-header", "header", 0..input.len());
    let Some([.., id, major, minor, revision]) = input.first_chunk::<HEADER_LEN>() else {
        findings.stop(Fault::new(input.len(), "a protocol header of 8 bytes", "the end"), 4..input.len());
        return node;
    };
    let mut id_node = Node::new("id", "ubyte", 4..5).with_value(*id);
    let word = match id {
        0 => "AMQP",
        2 => "TLS",
        3 => "SASL",
        _ => "unknown",
    };
    if word == "unknown" {
        findings.faults.push(Fault::new(4, "id 0 (AMQP), 2 (TLS) or 3 (SASL)", id.to_string()));
    }
    if [*major, *minor, *revision] != [1, 0, 0] {
        findings.faults.push(Fault::new(5, "version 1.0.0", format!("{major}.{minor}.{revision}")));
    }
    id_node.note = Some(word.into());
    let part = |name, at: usize, value: u8| Node::new(name, "ubyte", at..at + 1).with_value(value);
    node.children = vec![id_node, part("major", 5, *major), part("minor", 6, *minor), part("revision", 7, *revision)];
    node
}
