//! The connection: what its owner asks for, bytes in and out, idle time-out, close. Source: AMQP 1.0 part 2, 2.2 to 2.4.

mod asking;
mod channels;
mod login;
mod opening;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use fe2o3_amqp::frames::amqp::FrameBody;
use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::messaging::DeliveryState;
use fe2o3_amqp_types::performatives::{self, Close, Open};
use serde_amqp::serde::Serialize;

use super::link::{Accept, Attach, Delivery, Half, Link, Outgoing, SenderHalf};
use super::outbox::Outbox;
use super::session::{Outcome, Session, SessionState};
use super::{DeliveryKey, LinkId, SessionId};
use crate::wire::frame::{
    self, FrameError, FrameTooLarge, HEARTBEAT, MIN_MAX_FRAME_SIZE, PeerError, RawFrame, SASL_HEADER,
};
pub(crate) use login::{Login, Sasl};

/// Transfers are written into the outbox until this many bytes wait there: enough for the largest message in one write,
/// little enough that a heartbeat or a settlement is never far behind.
const OUTBOX_HIGH_WATER: usize = 2 * 1024 * 1024;
/// A peer that asks for answers (echoes, detaches, ends) and does not read them is cut off at this many bytes.
const OUTBOX_LIMIT: usize = 4 * 1024 * 1024;
/// The largest frame we write, whatever the peer would take.
const MAX_FRAME_SIZE_OUT: u32 = 1 << 20;
/// Sessions that one peer may hold open on a connection. The service allows 5000; source: event-hubs-wire 4.3.
const CHANNEL_MAX: u16 = 4_999;

/// Which end of the connection is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    /// Takes sessions and links that the peer asks for; offers SASL `MSSBCBS`, `PLAIN`, `ANONYMOUS` and `EXTERNAL`.
    Server,
}

/// What the connection says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) role: Role,
    pub(crate) container_id: String,
    /// The host that we mean: open.hostname and sasl-init.hostname.
    pub(crate) hostname: Option<String>,
    /// Bytes; at least 512.
    pub(crate) max_frame_size: u32,
    /// Silence of the peer for this long is its death; half of it is announced.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) properties: Vec<(&'static str, String)>,
    /// How a client says who it is.
    pub(crate) sasl: Sasl,
    /// A client says all of its part at once, up to the open and what was asked for, without waiting for the mechanisms.
    pub(crate) is_optimistic: bool,
    /// Where transfer ids, delivery ids and delivery counts start: not 0 only in tests of the wrap.
    pub(crate) first_number: u32,
}

/// What happened, in order.
#[derive(Debug)]
pub(crate) enum Event {
    /// The peer's open has come.
    Opened,
    /// The peer answered our attach.
    Attached { link: LinkId, max_message_size: Option<u64> },
    /// Only of a connection that is [`asking`](Connection::asking): the peer has come to a step, and everything it says
    /// waits until the owner [allows](Connection::allow) it.
    Asked(Step),
    /// The peer asks for a link: accept it or refuse it.
    AttachRequest { link: LinkId, attach: Box<performatives::Attach> },
    /// The link has ended, by the peer's detach (be it an answer to ours) or by its breach of the rules. Its outcomes
    /// follow.
    Detached { link: LinkId, error: Option<PeerError> },
    /// What became of a delivery of ours.
    Outcome { link: LinkId, key: DeliveryKey, outcome: Outcome },
    /// Server only: nothing is queued on the link any more, or it was given credit with nothing queued. Queue more as
    /// its credit allows, or say [`exhausted`](Connection::exhausted).
    Sendable { link: LinkId },
    /// A whole message has come.
    Delivery { link: LinkId, delivery: Delivery },
    /// The session has ended, by the peer or by its breach of the rules. Its outcomes follow.
    SessionEnded { session: SessionId, error: Option<PeerError> },
    /// The connection has ended, for this first cause. Its outcomes follow. Nothing comes after them.
    Closed(CloseCause),
}

/// What a peer's open says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerOpen {
    pub(crate) container_id: String,
    pub(crate) product: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) user_agent: Option<String>,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CloseCause {
    /// The peer's close, whether or not it answers ours.
    Peer(Option<PeerError>),
    /// The peer's first bytes are not AMQP 1.0 with SASL.
    NotAmqp([u8; 8]),
    /// The mechanism that we use is none of those on offer.
    NoMechanism { wanted: &'static str, offered: Vec<String> },
    /// SASL ended with another code than 0.
    SaslRefused(u8),
    /// The peer broke the protocol.
    Violation(String),
    /// Nothing came from the peer for our whole idle time-out.
    IdleTimeout(Duration),
    /// The stream ended or failed; said by whoever owns it.
    Stream,
    /// We closed before the connection was open.
    Unopened,
    /// Our container-id and hostname do not fit the 512 bytes that a peer must take.
    OpenTooLong(FrameTooLarge),
}

/// A step of a client's that its server may be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Sasl,
    Open,
    Begin,
}

/// What came from the peer and waits for the owner's word.
#[derive(Debug)]
enum Waiting {
    /// With what the client says to prove who it is, if it says it in the way of PLAIN.
    Sasl(Option<Login>),
    Open(Box<Open>),
    Begin(u16, Box<performatives::Begin>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the peer's SASL header.
    SaslHeader,
    /// Client: waiting for the mechanisms. Server: for the init.
    SaslStart,
    /// Client: waiting for the outcome.
    SaslOutcome,
    AmqpHeader,
    Open,
    Opened,
    CloseSent,
    Closed,
}

impl Phase {
    /// Our close is the last frame that we write. Source: AMQP 1.0 part 2, 2.4.3.
    fn may_write(self) -> bool {
        !matches!(self, Self::CloseSent | Self::Closed)
    }
}

/// What sessions and links share with their connection.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) out: Outbox,
    /// Frames that must not leave before the open: until SASL is done.
    held: Option<Outbox>,
    pub(super) events: VecDeque<Event>,
    /// Links with something to send, each once.
    ready: VecDeque<LinkId>,
    /// Bytes that the peer takes in a frame: 512 until its open.
    pub(super) max_frame_size: usize,
    pub(super) takes_links: bool,
    pub(super) first_delivery_count: u32,
    serial: u32,
    /// A frame that we owed and that the peer's limit does not let us send.
    misfit: Option<FrameTooLarge>,
}

impl Shared {
    pub(super) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    pub(super) fn put(&mut self, channel: u16, performative: &impl Serialize) -> Result<(), FrameTooLarge> {
        let limit = self.max_frame_size;
        self.held.as_mut().unwrap_or(&mut self.out).put_amqp(channel, performative, limit)
    }

    /// Queues a frame that the connection cannot go on without. One that does not fit (an answer that must repeat what
    /// a peer with small frames sent in a large one) ends the connection: see [`Connection::check_fit`].
    pub(super) fn put_or_end(&mut self, channel: u16, performative: &impl Serialize) {
        if let Err(error) = self.put(channel, performative) {
            self.misfit.get_or_insert(error);
        }
    }

    pub(super) fn outcome(&mut self, link: LinkId, key: DeliveryKey, outcome: Outcome) {
        self.events.push_back(Event::Outcome { link, key, outcome });
    }

    /// Asks a server for more on a link whose queue is empty.
    pub(super) fn ask_for_more(&mut self, id: LinkId) {
        if self.takes_links {
            self.events.push_back(Event::Sendable { link: id });
        }
    }

    pub(super) fn mark_ready(&mut self, id: LinkId, half: &mut SenderHalf) {
        if !half.ready && half.can_send() {
            half.ready = true;
            self.ready.push_back(id);
        }
    }
}

/// One end of an AMQP connection.
///
/// Feed it bytes ([`receive`](Self::receive)) and time ([`handle_timeout`](Self::handle_timeout)); take its events
/// ([`poll_event`](Self::poll_event)) and its bytes ([`pump`](Self::pump), [`outbox`](Self::outbox),
/// [`wrote`](Self::wrote)); wake up at [`next_timeout`](Self::next_timeout).
#[derive(Debug)]
pub(crate) struct Connection {
    config: Config,
    phase: Phase,
    shared: Shared,
    sessions: Vec<Option<Session>>,
    /// The peer's channels -> ours.
    channels: HashMap<u16, u16>,
    /// The peer's channels that were in use: some peers send on after their end.
    ended: HashSet<u16>,
    /// As soon as its open has come.
    peer: Option<PeerOpen>,
    peer_channel_max: u16,
    /// A frame at least this often keeps the peer content.
    heartbeat_every: Option<Duration>,
    last_received: Instant,
    last_written: Instant,
    /// Where in the stream writing ended for good, if it ended before the connection.
    cut_at: Option<u64>,
    /// Whether the owner is asked before SASL, open and begin are answered.
    asks: bool,
    waiting: Option<Waiting>,
    /// The owner gave its word, and what came meanwhile is still to be taken.
    resumed: bool,
}

impl Connection {
    pub(crate) fn new(config: Config, now: Instant) -> Self {
        let client = config.role == Role::Client;
        let mut connection = Self {
            phase: Phase::SaslHeader,
            shared: Shared {
                out: Outbox::default(),
                held: (client && !config.is_optimistic).then(Outbox::default),
                events: VecDeque::new(),
                ready: VecDeque::new(),
                max_frame_size: MIN_MAX_FRAME_SIZE,
                takes_links: !client,
                first_delivery_count: config.first_number,
                serial: 0,
                misfit: None,
            },
            sessions: Vec::new(),
            channels: HashMap::new(),
            ended: HashSet::new(),
            peer: None,
            peer_channel_max: 0,
            heartbeat_every: None,
            last_received: now,
            last_written: now,
            cut_at: None,
            asks: false,
            waiting: None,
            resumed: false,
            config,
        };
        if client {
            connection.shared.out.put_slice(&SASL_HEADER);
            if connection.config.is_optimistic {
                connection.put_sasl_init();
                connection.put_greeting();
            }
        }
        connection
    }

    /// The same, but it asks its owner before it answers the peer's SASL, open and begins: see [`Event::Asked`].
    pub(crate) fn asking(mut self) -> Self {
        self.asks = true;
        self
    }

    // ---- what the owner asks for -------------------------------------------------------------------------------

    /// Begins a session; `None` when the peer's channels are used up. Needs no answer to be used.
    pub(crate) fn begin(&mut self) -> Option<SessionId> {
        if !self.phase.may_write() {
            return None;
        }
        let channel = self.free_channel(self.peer_channel_max)?;
        let session = self.new_session(channel);
        let id = session.id;
        self.shared.put_or_end(channel, &session.begin());
        self.sessions[usize::from(channel)] = Some(session);
        Some(id)
    }

    /// Asks for a link in `session`; `Ok(None)` when there is no such session or no handle left in it.
    pub(crate) fn attach(&mut self, session: SessionId, attach: &Attach) -> Result<Option<LinkId>, FrameTooLarge> {
        match session_mut(&mut self.sessions, session) {
            Some(session) if self.phase.may_write() && session.state != SessionState::EndSent => {
                session.attach(&mut self.shared, attach)
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn accept(&mut self, link: LinkId, accept: &Accept) {
        self.with_session(link.session, |session, shared| session.accept(shared, link, accept));
    }

    pub(crate) fn refuse(&mut self, link: LinkId, error: &PeerError) {
        self.with_session(link.session, |session, shared| session.refuse(shared, link, error));
    }

    pub(crate) fn detach(&mut self, link: LinkId, error: Option<&PeerError>) {
        self.with_session(link.session, |session, shared| session.detach(shared, link, error));
    }

    pub(crate) fn set_credit(&mut self, link: LinkId, credit: u32) {
        self.with_session(link.session, |session, shared| session.set_credit(shared, link, credit));
    }

    /// Tells the peer that the link has no credit. What it sends before it hears of that is still taken.
    pub(crate) fn withhold_credit(&mut self, link: LinkId) {
        self.with_session(link.session, |session, shared| session.withhold_credit(shared, link));
    }

    pub(crate) fn settle(&mut self, session: SessionId, first: u32, last: u32, state: DeliveryState) {
        self.with_session(session, |session, shared| session.settle(shared, first, last, state));
    }

    /// Queues a message. `Err` gives it back when its link cannot take it any more.
    pub(crate) fn send(&mut self, link: LinkId, outgoing: Outgoing) -> Result<(), Outgoing> {
        match session_mut(&mut self.sessions, link.session) {
            Some(session) if self.phase.may_write() => session.send(&mut self.shared, link, outgoing),
            _ => Err(outgoing),
        }
    }

    /// There is nothing more to send on the link for now: gives the credit back if the receiver asked for that (drain).
    pub(crate) fn exhausted(&mut self, link: LinkId) {
        self.with_session(link.session, |session, shared| session.exhausted(shared, link));
    }

    /// Takes a delivery back; no event will name it any more. `None` when it was not under way.
    pub(crate) fn cancel(&mut self, link: LinkId, key: DeliveryKey) -> Option<Outcome> {
        session_mut(&mut self.sessions, link.session)?.cancel(link, key)
    }

    /// Ends a session from our side. What was under way in it is resolved at once.
    pub(crate) fn end(&mut self, session: SessionId, error: PeerError) {
        let is_there =
            session_mut(&mut self.sessions, session).is_some_and(|session| session.state != SessionState::EndSent);
        if is_there && self.phase.may_write() {
            self.end_session(session.channel, error);
            self.check_fit();
        }
    }

    /// Takes a delivery back if no frame of it has left; whether it could. Otherwise its outcome will still be told.
    pub(crate) fn withdraw(&mut self, link: LinkId, key: DeliveryKey) -> bool {
        session_mut(&mut self.sessions, link.session).is_some_and(|session| session.withdraw(link, key))
    }

    /// Whether the link is there to send on.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn is_attached(&self, link: LinkId) -> bool {
        self.link(link).is_some_and(|link| link.state == super::link::LinkState::Attached)
    }

    /// Messages that wait on a sending link for credit or their turn.
    pub(crate) fn queued(&self, link: LinkId) -> usize {
        match self.link(link).map(|link| &link.half) {
            Some(Half::Sender(half)) => half.queue.len(),
            _ => 0,
        }
    }

    /// What is left of a link's credit, whichever end granted it.
    pub(crate) fn credit(&self, link: LinkId) -> u32 {
        self.link(link).map_or(0, |link| link.half.credit())
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.sessions.get(usize::from(id.session.channel))?.as_ref()?.link(id)
    }

    /// Says goodbye. The peer's answer ends the connection; whoever owns the stream need not wait for it. Before our
    /// open has left there is nobody to say it to, and the connection ends at once.
    pub(crate) fn close(&mut self, error: Option<&PeerError>) {
        if !self.phase.may_write() {
            return;
        }
        if self.say_close(error) {
            self.phase = Phase::CloseSent;
            self.check_fit();
        } else {
            self.closed(CloseCause::Unopened);
        }
    }

    /// Writes a close if that is allowed by now: our open has left, and the peer's header has come.
    fn say_close(&mut self, error: Option<&PeerError>) -> bool {
        let open_sent = self.phase == Phase::Opened || (self.phase == Phase::Open && self.config.role == Role::Client);
        if open_sent {
            self.shared.put_or_end(0, &Close { error: error.map(Error::from) });
        }
        open_sent
    }

    /// The stream is gone: resolves everything that was under way by what the stream had taken.
    pub(crate) fn abandon(&mut self) {
        self.stop_writing();
        self.closed(CloseCause::Stream);
    }

    /// The stream takes nothing more. What waits for it never leaves, and is called unsent when the connection ends.
    pub(crate) fn stop_writing(&mut self) {
        self.cut_at.get_or_insert(self.shared.out.written());
        self.shared.out.clear();
    }

    /// What the peer says of itself, once it has.
    pub(crate) fn peer(&self) -> Option<&PeerOpen> {
        self.peer.as_ref()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    // ---- bytes -------------------------------------------------------------------------------------------------

    /// Takes everything whole that `buffer` holds.
    pub(crate) fn receive(&mut self, now: Instant, buffer: &mut BytesMut) {
        if !buffer.is_empty() {
            self.last_received = now;
        }
        self.resumed = false;
        while self.phase != Phase::Closed {
            if self.is_waiting() {
                return;
            }
            match self.receive_one(now, buffer) {
                Ok(true) => self.check_outbox(),
                Ok(false) => return,
                Err(error) => return self.violation("amqp:connection:framing-error", error.to_string()),
            }
        }
        buffer.clear();
    }

    /// How many bytes the frame that `input` begins with still lacks, if that is known.
    pub(crate) fn missing(&self, input: &[u8]) -> Option<usize> {
        let is_frame = !matches!(self.phase, Phase::SaslHeader | Phase::AmqpHeader);
        if is_frame { frame::missing(input, self.config.max_frame_size) } else { None }
    }

    fn receive_one(&mut self, now: Instant, buffer: &mut BytesMut) -> Result<bool, FrameError> {
        if matches!(self.phase, Phase::SaslHeader | Phase::AmqpHeader) {
            let Some(header) = buffer.first_chunk::<8>().copied() else {
                return Ok(self.refuse_early_garbage(buffer));
            };
            buffer.advance(8);
            self.on_header(header);
            return Ok(true);
        }
        let limit = self.config.max_frame_size;
        let Some(raw) = frame::take(buffer, limit)? else { return Ok(false) };
        match self.phase {
            Phase::SaslStart | Phase::SaslOutcome => self.on_sasl(raw.into_sasl()?),
            _ => self.on_amqp(now, raw)?,
        }
        Ok(true)
    }

    /// What the stream should write next; call [`wrote`](Self::wrote) for what it took.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.shared.out
    }

    /// Moves transfers into the outbox, link by link in turn, until enough waits there.
    pub(crate) fn pump(&mut self) {
        if self.phase != Phase::Opened {
            return;
        }
        while self.shared.out.len() < OUTBOX_HIGH_WATER {
            let Some(id) = self.shared.ready.pop_front() else { return };
            let Some(session) = session_mut(&mut self.sessions, id.session) else { continue };
            let more = session.pump(&mut self.shared, id);
            if let Some(half) = session.link_mut(id).and_then(|link| link.half.sender_mut()) {
                half.ready = more;
                if more {
                    self.shared.ready.push_back(id);
                }
            }
        }
    }

    /// The stream took `len` bytes of the outbox.
    pub(crate) fn wrote(&mut self, now: Instant, len: usize) {
        self.shared.out.advance(len);
        if len > 0 {
            self.last_written = now;
        }
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.shared.events.is_empty()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.shared.events.pop_front()
    }

    // ---- time --------------------------------------------------------------------------------------------------

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Closed {
            return None;
        }
        let dead = self.config.idle_timeout.and_then(|timeout| self.last_received.checked_add(timeout));
        let heartbeat = self.heartbeat_due();
        [dead, heartbeat].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(timeout) = self.config.idle_timeout
            && self.phase != Phase::Closed
            && now.saturating_duration_since(self.last_received) >= timeout
        {
            let error = PeerError::new("amqp:resource-limit-exceeded", "nothing came within the idle time-out");
            if self.shared.out.is_empty() {
                self.say_close(Some(&error));
            } else {
                // The peer takes nothing.
                self.stop_writing();
            }
            return self.closed(CloseCause::IdleTimeout(timeout));
        }
        if self.heartbeat_due().is_some_and(|due| due <= now) {
            self.shared.out.put_slice(&HEARTBEAT);
            // Counted when queued: a stream that takes nothing must not collect heartbeats.
            self.last_written = now;
        }
    }

    /// When the peer was last heard.
    pub(crate) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// How long the peer bears our silence, as far as its open says.
    pub(crate) fn peer_patience(&self) -> Option<Duration> {
        self.heartbeat_every.map(|half| half * 2)
    }

    fn heartbeat_due(&self) -> Option<Instant> {
        if self.phase != Phase::Opened || !self.shared.out.is_empty() {
            // What waits to be written will do as a sign of life.
            return None;
        }
        self.last_written.checked_add(self.heartbeat_every?)
    }

    // ---- AMQP frames -------------------------------------------------------------------------------------------

    fn on_amqp(&mut self, now: Instant, raw: RawFrame) -> Result<(), FrameError> {
        let (channel, body) = raw.into_amqp()?;
        match (self.phase, body) {
            (_, FrameBody::Empty) => {}
            (Phase::Open, FrameBody::Open(open)) if self.asks => {
                self.wait_with(Step::Open, Waiting::Open(Box::new(open)))
            }
            (Phase::Open, FrameBody::Open(open)) => self.on_open(now, &open),
            (Phase::Open | Phase::Opened | Phase::CloseSent, FrameBody::Close(close)) => self.on_close(&close),
            // Source: AMQP 1.0 part 2, 2.4.3: after our close everything but the peer's close is dropped.
            (Phase::CloseSent, _) => {}
            (Phase::Opened, body) => self.on_session_frame(channel, body),
            _ => self.violation("amqp:not-allowed", "a frame before the open".into()),
        }
        Ok(())
    }

    fn on_close(&mut self, close: &Close) {
        let error = close.error.as_ref().map(PeerError::from);
        self.say_close(None);
        self.closed(CloseCause::Peer(error));
    }

    // ---- helpers -----------------------------------------------------------------------------------------------

    fn with_session(&mut self, id: SessionId, change: impl FnOnce(&mut Session, &mut Shared)) {
        if !self.phase.may_write() {
            return;
        }
        if let Some(session) = session_mut(&mut self.sessions, id).filter(|s| s.state != SessionState::EndSent) {
            change(session, &mut self.shared);
            self.check_fit();
        }
    }

    /// Ends the connection when a frame that we owed did not fit: the peer would wait for it for ever.
    fn check_fit(&mut self) {
        if let Some(error) = self.shared.misfit.take() {
            self.violation("amqp:frame-size-too-small", error.to_string());
        }
    }

    fn check_outbox(&mut self) {
        self.check_fit();
        if self.shared.out.len() > OUTBOX_LIMIT {
            self.violation("amqp:resource-limit-exceeded", "what it asks for is not read".into());
        }
    }

    /// The peer broke the protocol: say so where that can still be said, and end.
    fn violation(&mut self, condition: &str, text: String) {
        self.say_close(Some(&PeerError::new(condition, text.clone())));
        self.closed(CloseCause::Violation(text));
    }

    fn closed(&mut self, cause: CloseCause) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.waiting = None;
        self.shared.events.push_back(Event::Closed(cause));
        for session in self.sessions.iter_mut().flatten() {
            session.resolve_all(&mut self.shared, self.cut_at);
        }
    }

    /// Deliveries of ours that have left and have no outcome yet.
    #[cfg(test)]
    pub(super) fn unsettled_len(&self) -> usize {
        self.sessions.iter().flatten().map(Session::unsettled_len).sum()
    }
}

fn session_mut(sessions: &mut [Option<Session>], id: SessionId) -> Option<&mut Session> {
    sessions.get_mut(usize::from(id.channel))?.as_mut().filter(|session| session.id == id)
}
