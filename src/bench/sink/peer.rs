//! The other end of a connection to a sink: its sessions, its links, and what is to be said to it.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;

use super::Counts;
use super::frames::{Transfer, put};
use crate::wire::descriptors::codes as code;
use crate::wire::event::{Body, Event};
use crate::wire::value::{Array, Value};

const FRAME_HEADER_LEN: usize = 8;
/// The largest frame that is taken, in bytes; that of the service. Source: event-hubs-wire 3.
const MAX_FRAME_LEN: u32 = 65_536;
/// The largest message, in bytes.
const MAX_MESSAGE_LEN: u64 = 1_048_576;
/// Messages that a link may have under way; topped up at half of it.
const CREDIT: u32 = 20_000;
/// Frames that a session may have under way: no end of them.
const WINDOW: u32 = i32::MAX as u32;
/// Bytes of a frame that hold all of a transfer but its payload.
const TRANSFER_LEN: usize = 512;

#[derive(Default)]
pub(super) struct Peer {
    answer: Vec<u8>,
    sessions: HashMap<u16, Session>,
    /// Bytes of a payload that are still to come, and are not looked at.
    skipping: usize,
    is_over: bool,
}

#[derive(Default)]
struct Session {
    links: HashMap<u32, Link>,
    /// Handles that requests are answered on, by the node that was asked.
    answers: HashMap<String, u32>,
    /// Transfer frames that came.
    received: u32,
    /// Answers that left.
    sent: u32,
    /// Deliveries that came whole and have no outcome yet: the first, and the last.
    unsettled: Option<(u32, u32)>,
}

struct Link {
    /// The node that takes its requests; without one it takes events.
    node: Option<String>,
    /// Of the delivery that is coming.
    delivery_id: u32,
    /// Of a request that comes in several frames.
    request: Vec<u8>,
    deliveries: u32,
    granted: u32,
}

impl Peer {
    /// What is to be written.
    pub(super) fn answer(&mut self) -> &mut Vec<u8> {
        &mut self.answer
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes as much of `input` as can be taken, in bytes: whole frames, and parts of payloads.
    pub(super) fn take(&mut self, input: &[u8], counts: &Counts) -> io::Result<usize> {
        let mut at = 0;
        let (mut deliveries, mut payload_len) = (0, 0);
        loop {
            let skipped = self.skipping.min(input.len() - at);
            self.skipping -= skipped;
            at += skipped;
            let ahead = &input[at..];
            if ahead.len() < FRAME_HEADER_LEN {
                break;
            }
            if let Some(id) = ahead.strip_prefix(b"AMQP") {
                self.on_header(id[0]);
                at += FRAME_HEADER_LEN;
                continue;
            }
            let len = u32::from_be_bytes([ahead[0], ahead[1], ahead[2], ahead[3]]) as usize;
            let offset = usize::from(ahead[4]) * 4;
            if !(FRAME_HEADER_LEN..=len).contains(&offset) || len > MAX_FRAME_LEN as usize {
                return Err(invalid("a frame that is none, or is longer than agreed"));
            }
            if ahead.len() < len.min(TRANSFER_LEN) {
                break;
            }
            let frame = &ahead[..ahead.len().min(len)];
            let channel = u16::from_be_bytes([frame[6], frame[7]]);
            if frame[5] == 0
                && let Some(transfer) = frame.get(offset..).and_then(Transfer::read)
                && let Some(is_last) = self.on_event_transfer(channel, &transfer)
            {
                deliveries += u64::from(is_last);
                payload_len += (len - offset - transfer.len) as u64;
                self.skipping = len;
                continue;
            }
            if ahead.len() < len {
                break;
            }
            self.on_frame(frame[5], channel, &frame[offset..])?;
            at += len;
        }
        counts.add(deliveries, payload_len);
        self.settle();
        Ok(at)
    }

    fn on_header(&mut self, id: u8) {
        self.answer.extend_from_slice(&[b'A', b'M', b'Q', b'P', id, 1, 0, 0]);
        if id == 3 {
            let mechanisms = Array::symbols(["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"]);
            put(&mut self.answer, 1, 0, code::SASL_MECHANISMS, vec![Value::Array(mechanisms)], &[]);
        }
    }

    /// Takes note of a transfer on a link that takes events: whether it is the last of its delivery.
    fn on_event_transfer(&mut self, channel: u16, transfer: &Transfer) -> Option<bool> {
        let session = self.sessions.get_mut(&channel)?;
        let link = session.links.get_mut(&transfer.handle).filter(|link| link.node.is_none())?;
        session.received = session.received.wrapping_add(1);
        link.delivery_id = transfer.delivery_id.unwrap_or(link.delivery_id);
        if transfer.has_more {
            return Some(false);
        }
        link.deliveries = link.deliveries.wrapping_add(1);
        let (id, is_low) = (link.delivery_id, link.granted.wrapping_sub(link.deliveries) < CREDIT / 2);
        if !transfer.is_settled {
            match &mut session.unsettled {
                Some((_, last)) if last.wrapping_add(1) == id => *last = id,
                unsettled => {
                    if let Some((first, last)) = unsettled.replace((id, id)) {
                        put_accepted(&mut self.answer, channel, first, last);
                    }
                }
            }
        }
        if is_low {
            self.grant(channel, transfer.handle);
        }
        Some(true)
    }

    /// Settles all that came whole, a range for each session.
    fn settle(&mut self) {
        for (&channel, session) in &mut self.sessions {
            if let Some((first, last)) = session.unsettled.take() {
                put_accepted(&mut self.answer, channel, first, last);
            }
        }
    }

    fn grant(&mut self, channel: u16, handle: u32) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let Some(link) = session.links.get_mut(&handle) else { return };
        link.granted = link.deliveries.wrapping_add(CREDIT);
        let numbers = [session.received, WINDOW, session.sent, WINDOW, handle, link.deliveries, CREDIT];
        put(&mut self.answer, 0, channel, code::FLOW, numbers.map(Value::from).to_vec(), &[]);
    }

    fn on_frame(&mut self, kind: u8, channel: u16, body: &[u8]) -> io::Result<()> {
        if body.is_empty() {
            return Ok(());
        }
        let body = Bytes::copy_from_slice(body);
        let (value, len) = Value::decode_prefix(&body).map_err(|_| invalid("a frame without a performative"))?;
        let Value::Described(parts) = value else { return Err(invalid("a frame without a performative")) };
        let (Value::Ulong(code), Value::List(fields)) = *parts else { return Err(invalid("no performative's code")) };
        let field = |index: usize| fields.get(index).cloned().unwrap_or(Value::Null);
        let answer = &mut self.answer;
        match (kind, code) {
            (1, code::SASL_INIT) => put(answer, 1, 0, code::SASL_OUTCOME, vec![Value::Ubyte(0)], &[]),
            (0, code::OPEN) => {
                let fields = vec!["sink".into(), Value::Null, MAX_FRAME_LEN.into(), u16::MAX.into()];
                put(answer, 0, 0, code::OPEN, fields, &[]);
            }
            (0, code::BEGIN) => {
                self.sessions.insert(channel, Session::default());
                let fields = vec![channel.into(), 0_u32.into(), WINDOW.into(), WINDOW.into(), u32::MAX.into()];
                put(answer, 0, channel, code::BEGIN, fields, &[]);
            }
            (0, code::ATTACH) => self.on_attach(channel, &field),
            (0, code::TRANSFER) => self.on_request(channel, &body, len)?,
            (0, code::DETACH) => {
                let handle = number(&field(0));
                if let Some(session) = self.sessions.get_mut(&channel) {
                    session.links.remove(&handle);
                    put(answer, 0, channel, code::DETACH, vec![handle.into(), field(1)], &[]);
                }
            }
            (0, code::END) if self.sessions.remove(&channel).is_some() => {
                put(answer, 0, channel, code::END, Vec::new(), &[]);
            }
            (0, code::CLOSE) => {
                self.is_over = true;
                put(answer, 0, 0, code::CLOSE, Vec::new(), &[]);
            }
            // Flows, dispositions, and the SASL frames of mechanisms that go on.
            _ => {}
        }
        Ok(())
    }

    fn on_attach(&mut self, channel: u16, field: &dyn Fn(usize) -> Value) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let (handle, is_receiver) = (number(&field(1)), field(2) == Value::Boolean(true));
        let far = field(if is_receiver { 5 } else { 6 });
        let node = address(&far).filter(|address| address.starts_with('$')).map(str::to_owned);
        let mut reply = vec![field(0), handle.into(), (!is_receiver).into(), field(3), field(4), field(5), field(6)];
        let first_count = if is_receiver { 0_u32.into() } else { Value::Null };
        reply.extend([Value::Null, Value::Null, first_count, MAX_MESSAGE_LEN.into()]);
        put(&mut self.answer, 0, channel, code::ATTACH, reply, &[]);
        if is_receiver {
            session.answers.extend(node.map(|node| (node, handle)));
            return;
        }
        let link = Link { node, delivery_id: 0, request: Vec::new(), deliveries: 0, granted: 0 };
        session.links.insert(handle, link);
        self.grant(channel, handle);
    }

    /// A request, which is taken for one with a token: it is accepted.
    fn on_request(&mut self, channel: u16, body: &Bytes, len: usize) -> io::Result<()> {
        let transfer = Transfer::read(body).ok_or_else(|| invalid("a broken transfer"))?;
        let session = self.sessions.get_mut(&channel).ok_or_else(|| invalid("a transfer on no session"))?;
        let link = session.links.get_mut(&transfer.handle).ok_or_else(|| invalid("a transfer on no link"))?;
        session.received = session.received.wrapping_add(1);
        link.delivery_id = transfer.delivery_id.unwrap_or(link.delivery_id);
        if link.request.len() + body.len() > MAX_MESSAGE_LEN as usize {
            return Err(invalid("a request without an end"));
        }
        link.request.extend_from_slice(&body[len..]);
        if transfer.has_more {
            return Ok(());
        }
        link.deliveries = link.deliveries.wrapping_add(1);
        let request = Bytes::from(std::mem::take(&mut link.request));
        let id = link.delivery_id;
        if !transfer.is_settled {
            put_accepted(&mut self.answer, channel, id, id);
        }
        let Some(&handle) = link.node.as_ref().and_then(|node| session.answers.get(node)) else { return Ok(()) };
        let number = session.sent;
        session.sent = session.sent.wrapping_add(1);
        let tag = Bytes::copy_from_slice(&number.to_be_bytes());
        let fields = vec![handle.into(), number.into(), tag.into(), 0_u32.into(), true.into(), false.into()];
        put(&mut self.answer, 0, channel, code::TRANSFER, fields, &accepted(&request)?);
        Ok(())
    }
}

/// The service's answer to a token. Source: event-hubs-wire 5.3.
fn accepted(request: &Bytes) -> io::Result<Bytes> {
    let request = Event::decode(request).map_err(|_| invalid("a request that does not decode"))?;
    let answer = Event::from_body(Body::Value(Value::Null))
        .with_property("status-code", 202_i32)
        .with_property("status-description", "Accepted");
    let answer = match request.properties().and_then(|properties| properties.message_id.clone()) {
        Some(id) => answer.with_correlation_id(id),
        None => answer,
    };
    answer.encode().map_err(|_| invalid("a message-id that cannot be said again"))
}

fn put_accepted(out: &mut Vec<u8>, channel: u16, first: u32, last: u32) {
    let accepted = Value::described(code::ACCEPTED, Value::List(Vec::new()));
    let fields = vec![true.into(), first.into(), last.into(), true.into(), accepted];
    put(out, 0, channel, code::DISPOSITION, fields, &[]);
}

/// The address of a source or target.
fn address(terminus: &Value) -> Option<&str> {
    let Value::Described(parts) = terminus else { return None };
    let Value::List(fields) = &parts.1 else { return None };
    fields.first()?.as_str()
}

fn number(value: &Value) -> u32 {
    value.as_i64().and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the peer sent {what}"))
}
