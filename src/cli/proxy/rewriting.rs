//! What an SDK says to an emulator -> what is said to a namespace: its host in place of this machine's, and tokens of our
//! own in place of the SDK's.
//!
//! Frames that name neither pass as they are, byte for byte.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::trace::{Composite, Frames, Piece, channel_of, framed};
use crate::wire::descriptors::codes::{AMQP_VALUE, APPLICATION_PROPERTIES, ATTACH, OPEN, SASL_INIT, TRANSFER};
use crate::wire::management::SECURITY_TOKEN;
use crate::wire::position::unix_millis;
use crate::wire::token::Token;
use crate::wire::value::Value;

/// Places of fields. Source: AMQP 1.0 part 2, 2.7, and part 5, 5.3.3.
const OPEN_HOSTNAME: usize = 1;
const TRANSFER_MORE: usize = 5;
/// Bytes of a request, and links that take requests: more is not what SDKs do.
const MAX_REQUEST_LEN: usize = 64 * 1024;
const MAX_LINKS: usize = 1_024;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Out {
    Bytes(Bytes),
    /// A request, once there is a token for it.
    Request(Box<Request>),
}

/// A request that carries a token.
#[derive(Debug)]
pub(super) struct Request {
    /// The frame's header and performative.
    head: Bytes,
    sections: Vec<Value>,
    is_put: bool,
    /// What the token has to be for.
    pub(super) audience: String,
}

/// Why a side cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the client does not speak AMQP 1.0")]
    NoAmqp,
    #[error("the client sent a frame of more than 1 MiB")]
    Frame,
    #[error("the client sent a request that cannot be read")]
    Request,
    #[error("the namespace does not speak AMQP 1.0")]
    NoAmqpOfHub,
    #[error("the namespace sent a frame of more than 1 MiB")]
    FrameOfHub,
}

/// A link that takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Cbs,
    Management,
}

/// A request whose transfers are coming.
#[derive(Debug)]
struct Partial {
    head: Bytes,
    performative: Value,
    message: BytesMut,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Rewriter {
    /// The namespace's.
    host: String,
    frames: Frames,
    /// By channel and handle.
    nodes: BTreeMap<(u16, u32), Node>,
    partials: BTreeMap<(u16, u32), Partial>,
}

impl Rewriter {
    pub(super) fn new(host: &str) -> Self {
        Self { host: host.to_owned(), frames: Frames::default(), nodes: BTreeMap::new(), partials: BTreeMap::new() }
    }

    /// Takes what the client said.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
    }

    /// What to write next, if there is something.
    pub(super) fn next(&mut self) -> Result<Option<Out>, Unreadable> {
        while let Some(piece) = self.frames.next() {
            let out = match piece {
                Piece::Header(bytes) => Some(Out::Bytes(bytes.freeze())),
                Piece::Strange(_) => return Err(Unreadable::NoAmqp),
                Piece::Frame(bytes, len) if bytes.len() < len => return Err(Unreadable::Frame),
                Piece::Frame(bytes, _) => self.frame(bytes.freeze())?,
            };
            if out.is_some() {
                return Ok(out);
            }
        }
        Ok(None)
    }

    fn frame(&mut self, frame: Bytes) -> Result<Option<Out>, Unreadable> {
        let start = usize::from(frame[4]) * 4;
        let Ok((mut value, len)) = Value::decode_prefix(&frame.slice(start.min(frame.len())..)) else {
            // A heartbeat, or what the namespace may make of it.
            return Ok(Some(Out::Bytes(frame)));
        };
        let (head, end) = (frame.slice(..start), start + len);
        let before = value.clone();
        let Some(performative) = Composite::of(value.clone()) else { return Ok(Some(Out::Bytes(frame))) };
        match performative.code {
            SASL_INIT => value = login(&self.host),
            OPEN => set(&mut value, OPEN_HOSTNAME, self.host.as_str().into()),
            ATTACH => {
                self.attach(channel_of(&frame), &performative);
                readdress(&mut value, &self.host);
            }
            TRANSFER => return self.transfer(frame, head, &performative, value, end),
            _ => return Ok(Some(Out::Bytes(frame))),
        }
        let is_changed = value != before;
        Ok(Some(Out::Bytes(if is_changed { written(&head, &value, &frame.slice(end..)) } else { frame })))
    }

    /// Remembers a link that takes requests.
    fn attach(&mut self, channel: u16, attach: &Composite) {
        let Some(handle) = attach.number("handle").filter(|_| !attach.is("role")) else { return };
        let target = attach.composite("target");
        let address = target.as_ref().and_then(|target| target.text("address")).unwrap_or_default();
        let node = match address {
            _ if address.ends_with("$cbs") => Node::Cbs,
            _ if address.ends_with("$management") => Node::Management,
            _ => {
                self.nodes.remove(&(channel, handle));
                return;
            }
        };
        if self.nodes.len() < MAX_LINKS {
            self.nodes.insert((channel, handle), node);
        }
    }

    /// A part of a request is kept until it is whole; anything else passes.
    fn transfer(
        &mut self,
        frame: Bytes,
        head: Bytes,
        transfer: &Composite,
        value: Value,
        end: usize,
    ) -> Result<Option<Out>, Unreadable> {
        let place = (channel_of(&frame), transfer.number("handle").unwrap_or_default());
        let Some(node) = self.nodes.get(&place).copied() else { return Ok(Some(Out::Bytes(frame))) };
        if transfer.is("aborted") {
            // Of what was begun nothing has been passed on.
            return Ok(self.partials.remove(&place).is_none().then_some(Out::Bytes(frame)));
        }
        let begun = || Partial { head, performative: value, message: BytesMut::new() };
        let mut partial = self.partials.remove(&place).unwrap_or_else(begun);
        partial.message.extend_from_slice(&frame[end..]);
        if partial.message.len() > MAX_REQUEST_LEN {
            return Err(Unreadable::Request);
        }
        if transfer.is("more") {
            self.partials.insert(place, partial);
            return Ok(None);
        }
        set(&mut partial.performative, TRANSFER_MORE, false.into());
        let sections = sections(&partial.message.freeze()).ok_or(Unreadable::Request)?;
        let request = Request::new(written(&partial.head, &partial.performative, &[]), sections, node, &self.host);
        Ok(Some(Out::Request(Box::new(request))))
    }
}

impl Request {
    fn new(head: Bytes, mut sections: Vec<Value>, node: Node, host: &str) -> Self {
        sections.iter_mut().for_each(|section| readdress(section, host));
        let name = property(&mut sections, "name").and_then(|name| name.as_str()).unwrap_or_default();
        let audience = match name.split_once("://") {
            Some(_) => name.to_owned(),
            None => format!("sb://{host}/{}", name.trim_start_matches('/')),
        };
        Self { head, sections, is_put: node == Node::Cbs, audience }
    }

    /// The frame, with `token` in place of the SDK's.
    pub(super) fn with(mut self, token: &Token) -> Bytes {
        let text = Value::from(token.text.expose());
        if let Some(there) = property(&mut self.sections, SECURITY_TOKEN) {
            *there = text.clone();
        }
        if self.is_put {
            if let Some(there) = property(&mut self.sections, "type") {
                *there = token.type_name.into();
            }
            if let (Some(there), Some(at)) = (property(&mut self.sections, "expiration"), token.expires_at) {
                *there = Value::Timestamp(unix_millis(at));
            }
            for section in &mut self.sections {
                if let Value::Described(parts) = section
                    && parts.0 == Value::Ulong(AMQP_VALUE)
                {
                    parts.1 = text.clone();
                }
            }
        }
        let mut message = BytesMut::new();
        self.sections.iter().for_each(|section| section.encode(&mut message));
        framed(&self.head[..8], &[&self.head[8..], &message].concat())
    }
}

/// The value of an application property.
fn property<'a>(sections: &'a mut [Value], key: &str) -> Option<&'a mut Value> {
    let properties = sections.iter_mut().find_map(|section| match section {
        Value::Described(parts) if parts.0 == Value::Ulong(APPLICATION_PROPERTIES) => Some(&mut parts.1),
        _ => None,
    });
    let Some(Value::Map(entries)) = properties else { return None };
    entries.iter_mut().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
}

fn sections(message: &Bytes) -> Option<Vec<Value>> {
    let (mut rest, mut sections) = (message.clone(), Vec::new());
    while !rest.is_empty() {
        let (section, len) = Value::decode_prefix(&rest).ok()?;
        sections.push(section);
        rest = rest.slice(len..);
    }
    Some(sections)
}

/// Nobody in particular: the tokens say by what right. Whatever the SDK logs in with is for an emulator.
fn login(host: &str) -> Value {
    let fields = vec![Value::symbol("ANONYMOUS"), Value::Binary(Bytes::new()), host.into()];
    Value::described(SASL_INIT, fields)
}

/// Puts `host` in the place of this machine in every URL.
fn readdress(value: &mut Value, host: &str) {
    match value {
        Value::String(text) => {
            if let Some(elsewhere) = readdressed(text, host) {
                *text = elsewhere;
            }
        }
        Value::List(values) => values.iter_mut().for_each(|value| readdress(value, host)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| readdress(value, host)),
        Value::Described(parts) => readdress(&mut parts.1, host),
        _ => {}
    }
}

fn readdressed(text: &str, host: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
    let is_here = ["localhost", "127.0.0.1", "[::1]"].iter().any(|here| name.eq_ignore_ascii_case(here));
    is_here.then(|| format!("{scheme}://{host}/{path}"))
}

fn set(composite: &mut Value, at: usize, field: Value) {
    if let Value::Described(parts) = composite
        && let Value::List(fields) = &mut parts.1
    {
        if fields.len() <= at {
            fields.resize(at + 1, Value::Null);
        }
        fields[at] = field;
    }
}

fn written(head: &[u8], performative: &Value, payload: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    performative.encode(&mut body);
    body.extend_from_slice(payload);
    framed(head, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_elsewhere_in_every_url() {
        for (text, elsewhere) in [
            ("sb://localhost:5673/eh1", Some("sb://ns.example/eh1")),
            ("amqps://127.0.0.1/eh1/Partitions/0", Some("amqps://ns.example/eh1/Partitions/0")),
            ("sb://[::1]:1/", Some("sb://ns.example/")),
            ("sb://other.example/eh1", None),
            ("eh1", None),
        ] {
            assert_eq!(readdressed(text, "ns.example").as_deref(), elsewhere, "{text}");
        }
    }

    #[test]
    fn what_names_neither_host_nor_token_passes_as_it_is() {
        let mut rewriter = Rewriter::new("ns.example");
        let frames = [&b"AMQP\x00\x01\x00\x00"[..], &crate::wire::frame::HEARTBEAT];
        rewriter.push(&frames.concat());
        for frame in frames {
            let Ok(Some(Out::Bytes(out))) = rewriter.next() else { panic!("it passes") };
            assert_eq!(out, frame);
        }
        assert!(matches!(rewriter.next(), Ok(None)));
        rewriter.push(b"HTTP/1.1 ");
        assert_eq!(rewriter.next().unwrap_err(), Unreadable::NoAmqp);
    }

    #[test]
    fn an_attach_that_leads_elsewhere_passes_byte_for_byte() {
        // Its handle and its target have more bytes than they need.
        let body = b"\0\x80\0\0\0\0\0\0\0\x12\xc0\x1a\x07\xa1\x01n\x70\0\0\0\0\x56\0\x40\x40\x40\0\x53\x29\xc0\x06\x01\xa1\x03eh1";
        let frame = [&(body.len() as u32 + 8).to_be_bytes()[..], &[2, 0, 0, 0], body].concat();
        assert_eq!(rewritten(&frame).unwrap(), frame);
    }

    #[test]
    fn a_request_that_is_aborted_is_not_sent() {
        let frame = |body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes()[..], &[2, 0, 0, 0], body].concat();
        let attach = frame(b"\0\x53\x12\xc0\x15\x07\xa1\x01n\x43\x42\x40\x40\x40\0\x53\x29\xc0\x07\x01\xa1\x04$cbs");
        // Handle, id, tag, format, settled, more, three that are absent, aborted.
        let transfer = |more: u8, aborted: u8, payload: &[u8]| {
            let list = [0, 0x53, 0x14, 0xc0, 11, 10, 0x43, 0x43, 0x40, 0x43, 0x42, more, 0x40, 0x40, 0x40, aborted];
            frame(&[&list[..], payload].concat())
        };
        let (begun, aborted) = (transfer(0x41, 0x42, b"\0\x53\x77"), transfer(0x42, 0x41, b""));
        assert_eq!(rewritten(&[&attach[..], &begun, &aborted].concat()).unwrap(), attach);
        // Of one that nothing was withheld of, the namespace hears.
        let all = [&attach[..], &aborted].concat();
        assert_eq!(rewritten(&all).unwrap(), all);
    }

    /// What the Python SDK was captured with.
    fn captured() -> Vec<u8> {
        let captures: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/wire-captures.json")).unwrap();
        let connections = captures["connections"].as_array().unwrap();
        let connection = connections.iter().find(|connection| connection["id"] == "py-2").unwrap();
        let frames = connection["frames"].as_array().unwrap().iter().filter(|frame| frame["from"] == "client");
        let hex: String = frames.filter_map(|frame| frame["hex"].as_str()).collect();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// All that is written for `bytes`, with one token for everything.
    fn rewritten(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let token = Token::jwt("own-token", std::time::UNIX_EPOCH);
        let (mut rewriter, mut out) = (Rewriter::new("ns.example"), Vec::new());
        for piece in bytes.chunks(100) {
            rewriter.push(piece);
            while let Some(next) = rewriter.next()? {
                match next {
                    Out::Bytes(bytes) => out.extend_from_slice(&bytes),
                    Out::Request(request) => {
                        assert!(request.audience.starts_with("sb://ns.example/"), "{}", request.audience);
                        out.extend_from_slice(&request.with(&token));
                    }
                }
            }
        }
        Ok(out)
    }

    #[test]
    fn an_sdks_session_leads_elsewhere_with_another_token() {
        let before = String::from_utf8_lossy(&captured()).into_owned();
        assert!(before.contains("localhost") && before.contains("SharedAccessSignature"));
        let after = rewritten(&captured()).unwrap();
        let text = String::from_utf8_lossy(&after).into_owned();
        assert!(!text.contains("localhost") && !text.contains("SharedAccessSignature"), "{text}");
        for part in ["ns.example", "amqps://ns.example/eh1", "sb://ns.example/eh1", "own-token", "jwt"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // Frame by frame as many as before.
        let count = |bytes: &[u8]| {
            let mut frames = Frames::default();
            frames.push(bytes);
            std::iter::from_fn(|| frames.next()).filter(|piece| !matches!(piece, Piece::Strange(_))).count()
        };
        assert_eq!(count(&after), count(&captured()));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_client_may_say_anything(
            changes in proptest::collection::vec((0_usize..2_000, 0_u8..), 0..20),
        ) {
            let mut bytes = captured();
            let len = bytes.len();
            changes.into_iter().for_each(|(at, byte)| bytes[at % len] = byte);
            let (mut rewriter, token) = (Rewriter::new("ns.example"), Token::jwt("t", std::time::UNIX_EPOCH));
            rewriter.push(&bytes);
            while let Ok(Some(next)) = rewriter.next() {
                if let Out::Request(request) = next {
                    drop(request.with(&token));
                }
            }
        }
    }
}
