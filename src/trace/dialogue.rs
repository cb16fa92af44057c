//! Bytes of both directions of a connection -> what each frame means: the link that it speaks of, the request that it
//! answers, the batch that it ends, the wait that it puts an end to. Pure; the time is an argument.

mod deliveries;
mod links;
mod refusal;
mod requests;

use std::time::Duration;

use bytes::{Bytes, BytesMut};

pub(super) use links::Node;
pub(super) use refusal::Refusal;
pub(super) use requests::{Reply, Request};

use super::frames::{Frames, Piece};
use super::mask::{self, How};
use super::performative::Composite;
use super::summary::{Phase, Summary};
use crate::wire::descriptors::codes as code;
use links::Sessions;
use requests::Requests;

/// Which way bytes go, as whoever holds the stream sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    /// By this side.
    Sent,
    Received,
}

impl Direction {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Sent => Self::Received,
            Self::Received => Self::Sent,
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// Whether secrets are masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Secrets {
    #[default]
    Masked,
    Shown,
}

/// Whether any form shows the bytes of events. Where none does, they need not be looked through for secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Events {
    Unseen,
    Seen,
}

/// A header or frame that passed, and what it means.
#[derive(Debug)]
pub(super) struct Record {
    /// Which connection, from 1.
    pub(super) connection: u64,
    /// Since the trace began.
    pub(super) at: Duration,
    /// Since the connection's last frame, in either direction.
    pub(super) since_last: Duration,
    pub(super) direction: Direction,
    /// Bytes on the wire.
    pub(super) len: usize,
    /// As they stand there, secrets masked: up to the payload, and the payload. Of a frame that is too large, the start.
    pub(super) bytes: [Bytes; 2],
    pub(super) said: Said,
    pub(super) notes: Notes,
}

/// What stands in the bytes.
#[derive(Debug)]
pub(super) enum Said {
    /// A protocol header: protocol id, major, minor, revision.
    Header([u8; 4]),
    /// An empty frame.
    Heartbeat {
        channel: u16,
    },
    Sasl(Composite),
    Amqp {
        channel: u16,
        performative: Composite,
    },
    /// A frame that cannot be read, and why.
    Broken {
        channel: u16,
        why: String,
    },
    /// No AMQP at all.
    Strange,
}

/// What is known of a frame beyond its fields.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Notes {
    /// What the link goes by, and whether the deliveries on it are sent or received.
    pub(super) link: Option<(String, Direction)>,
    /// Of an attach: it answers one, without the terminus that was asked for.
    pub(super) is_refusal: bool,
    /// Of a transfer: which delivery, and its bytes of the message.
    pub(super) delivery_id: Option<u32>,
    pub(super) payload_len: usize,
    /// Of the last transfer of a delivery.
    pub(super) message: Option<Message>,
    pub(super) request: Option<Request>,
    pub(super) reply: Option<Reply>,
    pub(super) settled: Option<Settled>,
    /// How long the link had no credit, which this gives it.
    pub(super) stalled: Option<Duration>,
    /// Why something ended or was refused.
    pub(super) error: Option<Refusal>,
}

/// A message that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) len: u64,
    pub(super) events: Option<u64>,
    pub(super) transfers: u32,
}

/// What a disposition settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) deliveries: u64,
    /// The longest that one of them has waited.
    pub(super) after: Duration,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Dialogue {
    number: u64,
    secrets: Secrets,
    events: Events,
    last: Duration,
    frames: [Frames; 2],
    sessions: Sessions,
    requests: Requests,
    summary: Summary,
    /// A side has said goodbye.
    is_closed: bool,
    /// How the stream ended, the first word of it.
    stream_end: Option<String>,
}

impl Dialogue {
    pub(super) fn new(number: u64, secrets: Secrets, events: Events, began: Duration) -> Self {
        Self {
            number,
            secrets,
            events,
            last: began,
            frames: Default::default(),
            sessions: Sessions::default(),
            requests: Requests::default(),
            summary: Summary::new(began),
            is_closed: false,
            stream_end: None,
        }
    }

    /// Takes bytes that passed; ask for [`next`](Self::next) until there is none.
    pub(super) fn push(&mut self, direction: Direction, bytes: &[u8]) {
        self.frames[direction.index()].push(bytes);
    }

    /// The next header or frame of this direction that is whole.
    pub(super) fn next(&mut self, direction: Direction, at: Duration) -> Option<Record> {
        let piece = self.frames[direction.index()].next()?;
        self.summary.client.get_or_insert(direction);
        let len = piece.len();
        self.summary.count(direction, len, at);
        let mut notes = Notes::default();
        let (said, bytes) = match piece {
            Piece::Header(bytes) => {
                let header = self.header(&bytes, at);
                (header, [bytes.freeze(), Bytes::new()])
            }
            Piece::Frame(bytes, _) => self.frame(direction, bytes, at, &mut notes),
            Piece::Strange(mut bytes) => {
                self.mask(|| mask::sections(&mut bytes));
                (Said::Strange, [bytes.freeze(), Bytes::new()])
            }
        };
        let since_last = at.saturating_sub(std::mem::replace(&mut self.last, at));
        Some(Record { connection: self.number, at, since_last, direction, len, bytes, said, notes })
    }

    /// The stream has come to an end in one direction; the other may go on.
    pub(super) fn stream_ended(&mut self, how: String) {
        self.stream_end.get_or_insert(how);
    }

    /// How it came to its end.
    pub(super) fn ending(&self) -> String {
        let is_cut = self.frames.iter().any(|frames| frames.rest() > 0);
        let stream = self.stream_end.as_deref().unwrap_or_default();
        match (self.is_closed, is_cut) {
            (true, _) => "closed".to_owned(),
            (false, false) => format!("without a close: {stream}"),
            (false, true) => format!("without a close, within a frame: {stream}"),
        }
    }

    /// What it came to so far.
    pub(super) fn summary(&self) -> &Summary {
        &self.summary
    }

    fn mask(&self, mask: impl FnOnce()) {
        if self.secrets == Secrets::Masked {
            mask();
        }
    }

    fn header(&mut self, bytes: &[u8], at: Duration) -> Said {
        let id = [bytes[4], bytes[5], bytes[6], bytes[7]];
        if id[0] == 3 {
            self.summary.begin(Phase::Sasl, at);
        }
        Said::Header(id)
    }

    fn frame(
        &mut self,
        direction: Direction,
        mut bytes: BytesMut,
        at: Duration,
        notes: &mut Notes,
    ) -> (Said, [Bytes; 2]) {
        let is_sasl = bytes[5] == 1;
        let channel = if is_sasl { 0 } else { u16::from_be_bytes([bytes[6], bytes[7]]) };
        let start = (usize::from(bytes[4]) * 4).min(bytes.len());
        if start == bytes.len() {
            return (Said::Heartbeat { channel }, [bytes.freeze(), Bytes::new()]);
        }
        let how = match self.secrets {
            Secrets::Shown => How::Keep,
            Secrets::Masked if is_sasl => How::Login,
            Secrets::Masked => How::Look,
        };
        let len = mask::performative(&mut bytes[start..], how);
        let mut payload = bytes.split_off(start + len);
        if is_sasl {
            // There should be none; whatever it is, it belongs to a login.
            self.mask(|| mask::all(&mut payload));
        }
        let head = bytes.freeze();
        let said = match Composite::decode(&head.slice(start..)) {
            Ok((performative, _)) if is_sasl => {
                self.sasl(&performative, at);
                Said::Sasl(performative)
            }
            Ok((performative, _)) => {
                self.amqp(direction, channel, &performative, &mut payload, at, notes);
                Said::Amqp { channel, performative }
            }
            Err(error) => {
                // What it is a part of cannot be told: it may be a request.
                self.mask(|| mask::request(&mut payload, true));
                Said::Broken { channel, why: error.to_string() }
            }
        };
        (said, [head, payload.freeze()])
    }

    fn sasl(&mut self, performative: &Composite, at: Duration) {
        if performative.code == code::SASL_OUTCOME {
            self.summary.end(Phase::Sasl, at);
        }
    }

    fn amqp(
        &mut self,
        direction: Direction,
        channel: u16,
        performative: &Composite,
        payload: &mut BytesMut,
        at: Duration,
        notes: &mut Notes,
    ) {
        notes.error = Refusal::of_performative(performative);
        notes.payload_len = payload.len();
        match performative.code {
            code::OPEN => self.summary.mark(Phase::Open, at),
            code::BEGIN => self.sessions.begin(direction, channel, performative),
            code::ATTACH => self.attach(direction, channel, performative, at, notes),
            code::FLOW => self.flow(direction, channel, performative, at, notes),
            code::TRANSFER => return self.transfer(direction, channel, performative, payload, at, notes),
            code::DISPOSITION => self.disposition(direction, channel, performative, at, notes),
            code::DETACH => self.detach(direction, channel, performative, notes),
            code::END => self.sessions.end(direction, channel),
            code::CLOSE => self.is_closed = true,
            _ => {}
        }
        if performative.code == code::END {
            self.sessions.forget_if_idle();
        }
        // There should be none.
        self.mask(|| mask::sections(payload));
    }

    fn attach(&mut self, direction: Direction, channel: u16, attach: &Composite, at: Duration, notes: &mut Notes) {
        let has_room = self.sessions.has_room();
        let Some(session) = self.sessions.get(direction, channel) else { return };
        let Some(place) = session.attach(direction, attach, has_room) else { return };
        let link = &session.links[place];
        notes.link = Some((link.nick.clone(), link.sends));
        let own_end = if link.sends == direction { "source" } else { "target" };
        // A client may well ask without a terminus of its own. Source: AMQP 1.0 part 2, 2.6.3.
        notes.is_refusal = link.is_answered && attach.get(own_end).is_none();
        if link.node != Node::EventHub {
            return;
        }
        self.summary.mark(Phase::Attach, at);
        if !self.summary.is_clients(link.sends) {
            self.summary.begin(Phase::FirstEvent, at);
        }
        // The receiving end says how much it takes.
        let max_message_size = attach.get("max-message-size").and_then(|size| u64::try_from(size.as_i64()?).ok());
        if let Some(size) = max_message_size.filter(|size| *size > 0 && link.sends != direction) {
            self.summary.link(&link.nick).max_message_size = Some(size);
        }
    }

    fn detach(&mut self, direction: Direction, channel: u16, detach: &Composite, notes: &mut Notes) {
        let Some(session) = self.sessions.get(direction, channel) else { return };
        let Some(place) = detach.number("handle").and_then(|handle| session.detach(direction, handle)) else { return };
        let link = &session.links[place];
        notes.link = Some((link.nick.clone(), link.sends));
    }
}
