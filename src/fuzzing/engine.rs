//! One engine, in either role, whose peer and whose owner do what they like.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState};

use super::input::Input;
use super::peer;
use crate::clock;
use crate::engine::ledger::Ledger;
use crate::engine::{
    Accept, Attach, Config, Connection, DeliveryKey, Event, LinkId, LinkRole, Outgoing, Role, Sasl, SessionId,
    SettleMode,
};
use crate::wire::frame::PeerError;

/// Deliveries that nobody waits for are named from here on.
const UNTRACKED: DeliveryKey = 1 << 32;
/// Bytes that one thing asked for by the owner, or 8 bytes from the peer, may make the engine say: a frame of the smallest
/// limit.
const ANSWER_LEN: usize = 512;

/// Whatever comes, in whatever pieces, and whatever the owner asks for and when: every delivery has exactly one outcome,
/// and its cause comes first; what the engine writes is bounded by what it was told; time that was handled is not due
/// again at once; and when the stream is gone nothing is left.
pub fn engine(data: &[u8]) {
    let mut input = Input::new(data);
    let mut subject = Subject::new(&mut input);
    while !input.is_empty() && !subject.connection.is_closed() {
        subject.step(&mut input);
        subject.look();
    }
    // A connection that has ended is asked for more all the same.
    subject.ask(&mut input);
    subject.look();
    subject.end();
}

pub(super) fn config(role: Role, input: &mut Input<'_>) -> Config {
    let max_frame_size = 512 + input.number() % 65_536;
    let idle_timeout = input.option(|input| Duration::from_millis(u64::from(input.number()) + 1));
    let first_number = input.number();
    Config {
        role,
        container_id: "us".into(),
        hostname: Some("host".into()),
        max_frame_size,
        idle_timeout,
        properties: vec![("product", "hubwire".into())],
        // By chance, and without a byte of its own: what was found before keeps its meaning.
        sasl: Sasl::Anonymous,
        is_optimistic: role == Role::Client && first_number % 4 == 3,
        first_number,
    }
}

/// The engine, and what it was told and has said.
struct Subject {
    connection: Connection,
    now: Instant,
    ledger: Ledger,
    sessions: Vec<SessionId>,
    links: Vec<LinkId>,
    next_key: DeliveryKey,
    /// Untracked deliveries that were told of: once each.
    told: HashSet<DeliveryKey>,
    /// What the peer has said and has not arrived.
    on_its_way: BytesMut,
    received: BytesMut,
    /// How much the engine may have said by now, and what it has.
    allowance: usize,
    said: usize,
}

impl Subject {
    fn new(input: &mut Input<'_>) -> Self {
        let role = if input.is_chosen() { Role::Client } else { Role::Server };
        let now = clock::now();
        let mut subject = Self {
            connection: Connection::new(config(role, input), now),
            now,
            ledger: Ledger::default(),
            sessions: Vec::new(),
            links: Vec::new(),
            next_key: 0,
            told: HashSet::new(),
            on_its_way: BytesMut::new(),
            received: BytesMut::new(),
            allowance: 4 * ANSWER_LEN,
            said: 0,
        };
        let depth = input.below(4);
        if depth > 0 {
            let greeting = peer::greeting(role == Role::Client, input);
            subject.hear(&greeting);
        }
        if depth > 1 {
            subject.begin(role, input.number());
        }
        subject.look();
        subject
    }

    /// A session with a link in each direction.
    fn begin(&mut self, role: Role, credit: u32) {
        if role == Role::Client {
            let Some(session) = self.connection.begin() else { return };
            self.sessions.push(session);
            for (name, role) in [("a", LinkRole::Sender), ("b", LinkRole::Receiver)] {
                let link = self.connection.attach(session, &Attach::new(name.into(), role));
                self.links.extend(link.expect("a name of one letter fits"));
            }
        }
        self.hear(&peer::session((role == Role::Client).then_some(0)));
        self.note_events();
        for link in self.links.clone() {
            self.connection.accept(link, &Accept::default());
            self.connection.set_credit(link, credit);
        }
        self.sessions.extend(self.links.first().map(|link| link.session));
        self.hear(&peer::credit(credit));
        self.allowance += 8 * ANSWER_LEN;
    }

    /// The peer's words arrive at once.
    fn hear(&mut self, said: &[u8]) {
        self.on_its_way.extend_from_slice(said);
        self.arrive(usize::MAX);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(8) {
            0 => self.on_its_way.extend_from_slice(input.bytes()),
            1..=3 => {
                let said = peer::next(input);
                self.hear(&said);
            }
            4 => {
                let said = peer::next(input);
                self.on_its_way.extend_from_slice(&said);
                self.arrive(usize::from(input.byte()));
            }
            5 => self.pass_time(Duration::from_millis(input.number().into())),
            6 => self.write(input.number() as usize),
            _ => self.ask(input),
        }
    }

    /// Up to `len` bytes arrive.
    fn arrive(&mut self, len: usize) {
        let arrived = self.on_its_way.split_to(len.min(self.on_its_way.len()));
        self.allowance += arrived.len().div_ceil(8) * ANSWER_LEN;
        self.received.extend_from_slice(&arrived);
        self.connection.receive(self.now, &mut self.received);
    }

    fn pass_time(&mut self, span: Duration) {
        self.now += span;
        self.allowance += ANSWER_LEN;
        self.connection.handle_timeout(self.now);
        let next = self.connection.next_timeout();
        assert!(next.is_none_or(|due| due > self.now), "time would be handled again and again");
    }

    /// The stream takes up to `len` bytes.
    fn write(&mut self, len: usize) {
        self.connection.pump();
        let taken = len.min(self.connection.outbox().len());
        self.connection.wrote(self.now, taken);
        self.said += taken;
    }

    /// The owner asks for something, on links and sessions that may be gone.
    fn ask(&mut self, input: &mut Input<'_>) {
        self.allowance += ANSWER_LEN;
        let session = self.sessions.get(input.below(4)).copied();
        let link = self.links.get(input.below(8)).copied();
        match (input.below(16), session, link) {
            (0, ..) => self.sessions.extend(self.connection.begin()),
            (1 | 2, Some(session), _) => {
                let role = if input.is_chosen() { LinkRole::Sender } else { LinkRole::Receiver };
                let link = self.connection.attach(session, &Attach::new(peer::name(input).into(), role));
                self.links.extend(link.expect("a name of one letter fits"));
            }
            (3..=5, _, Some(link)) => self.send(link, input),
            (6, _, Some(link)) => self.cancel(link, input),
            (7, _, Some(link)) => {
                self.connection.detach(link, None);
                self.note_detached(link);
            }
            (8, _, Some(link)) => self.connection.set_credit(link, input.number()),
            (9, Some(session), _) => {
                let state = DeliveryState::Accepted(Accepted {});
                self.connection.settle(session, input.number(), input.number(), state);
            }
            (10, _, Some(link)) => {
                let max_message_size = input.number().into();
                self.connection.accept(link, &Accept { max_message_size, ..Accept::default() });
            }
            (11, _, Some(link)) => {
                self.connection.refuse(link, &PeerError::new("amqp:not-found", "no"));
                self.note_detached(link);
            }
            (12, _, Some(link)) => self.connection.exhausted(link),
            (13, ..) => self.connection.close(None),
            (14, ..) if input.below(4) == 0 => self.connection.stop_writing(),
            (15, ..) if input.below(4) == 0 => self.connection.abandon(),
            _ => {}
        }
    }

    fn send(&mut self, link: LinkId, input: &mut Input<'_>) {
        let settle_mode = match input.below(8) {
            0 => SettleMode::Settled,
            1 => SettleMode::Untracked,
            _ => SettleMode::Unsettled,
        };
        self.next_key += 1;
        let is_tracked = settle_mode == SettleMode::Unsettled;
        let key = if is_tracked { self.next_key } else { UNTRACKED + self.next_key };
        let payload = Bytes::from(vec![7; (input.number() % 20_000) as usize]);
        // A frame of 512 bytes has at most 64 of its own.
        self.allowance += payload.len() / 4 * 5;
        let taken = self.connection.send(link, Outgoing { key, message_format: 0, payload, settle_mode }).is_ok();
        if taken && is_tracked {
            self.ledger.sent(key, link);
        }
    }

    fn cancel(&mut self, link: LinkId, input: &mut Input<'_>) {
        let key = DeliveryKey::from(input.byte());
        let is_open = self.ledger.is_open(key, link);
        assert_eq!(self.connection.cancel(link, key).is_some(), is_open, "delivery {key}");
        if is_open {
            self.ledger.cancelled(key);
        }
    }

    /// The owner's own wish is cause enough for what comes of it.
    fn note_detached(&mut self, link: LinkId) {
        self.ledger.detaching(link);
        self.note_events();
        self.ledger.detached(link);
    }

    fn note_events(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            match &event {
                Event::Outcome { key, .. } if *key > UNTRACKED => {
                    assert!(self.told.insert(*key), "delivery {key} is told of twice");
                    continue;
                }
                Event::AttachRequest { link, .. } => self.links.push(*link),
                _ => {}
            }
            self.ledger.note(&event);
        }
    }

    /// What must hold at any time.
    fn look(&mut self) {
        self.note_events();
        self.connection.pump();
        let said = self.said + self.connection.outbox().len();
        assert!(said <= self.allowance, "{said} bytes, and {} would do", self.allowance);
        if self.connection.is_closed() {
            assert_eq!(self.connection.next_timeout(), None);
            assert!(self.ledger.unresolved().is_empty(), "{:?} have no outcome", self.ledger.unresolved());
        }
        for link in &self.links {
            let _ = (self.connection.is_attached(*link), self.connection.credit(*link), self.connection.queued(*link));
        }
    }

    /// The stream is gone.
    fn end(mut self) {
        self.connection.abandon();
        self.look();
        assert!(self.connection.is_closed() && self.connection.outbox().is_empty());
        assert!(self.connection.begin().is_none());
    }
}
