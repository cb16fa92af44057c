//! A client and a server back to back: the stream between them delivers what it likes, when it likes.

use std::collections::{BTreeMap, HashMap};
use std::io::IoSlice;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Released};

use super::engine::config;
use super::input::Input;
use crate::clock;
use crate::engine::ledger::Ledger;
use crate::engine::{
    Accept, Attach, CloseCause, Config, Connection, DeliveryKey, Event, LinkId, LinkRole, Outcome, Outgoing, Role,
    SettleMode,
};

/// Two ends that keep the rules never find each other at fault: every message arrives whole, in order, once, unless it was
/// taken back; its outcome is the one that the server gave; and when all has been carried both know the same.
pub fn pair(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pair = Pair::new(&mut input);
    while !input.is_empty() {
        pair.step(&mut input);
        pair.look();
    }
    pair.finish();
}

struct End {
    connection: Connection,
    /// What has arrived of what the other end wrote.
    received: BytesMut,
}

struct Pair {
    now: Instant,
    client: End,
    server: End,
    ledger: Ledger,
    links: Vec<LinkId>,
    /// Messages by their first four bytes, which are their key: what the server made of them.
    arrived: BTreeMap<DeliveryKey, Outcome>,
    /// Lengths of what was sent.
    sent: HashMap<DeliveryKey, usize>,
    last_key: HashMap<LinkId, DeliveryKey>,
    credit: u32,
}

impl Pair {
    fn new(input: &mut Input<'_>) -> Self {
        let now = clock::now();
        // Time does not pass: both would be right to give the other up.
        let end = |role, input: &mut Input<'_>| End {
            connection: Connection::new(Config { idle_timeout: None, ..config(role, input) }, now),
            received: BytesMut::new(),
        };
        Self {
            now,
            client: end(Role::Client, input),
            server: end(Role::Server, input),
            ledger: Ledger::default(),
            links: Vec::new(),
            arrived: BTreeMap::new(),
            sent: HashMap::new(),
            last_key: HashMap::new(),
            credit: 1 + input.number() % 100,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let link = self.links.get(input.below(4)).copied();
        match (input.below(12), link) {
            (0 | 1, _) => self.attach(),
            (2..=5, Some(link)) => self.send(link, input.number() as usize % 1_500),
            (6, Some(link)) => self.cancel(link, input.byte().into()),
            (7, Some(link)) if input.below(4) == 0 => self.detach(link),
            (8 | 9, _) => self.carry_up(input.number() as usize),
            _ => self.carry_down(input.number() as usize),
        }
    }

    fn attach(&mut self) {
        if self.links.len() == 4 {
            return;
        }
        let session = match self.links.first() {
            Some(link) => Some(link.session),
            None => self.client.connection.begin(),
        };
        let attach = Attach::new(format!("link-{}", self.links.len()), LinkRole::Sender);
        let link = session.and_then(|session| self.client.connection.attach(session, &attach).expect("it fits"));
        self.links.extend(link);
    }

    fn send(&mut self, link: LinkId, len: usize) {
        let key = self.sent.len() as DeliveryKey;
        let mut payload = (key as u32).to_be_bytes().to_vec();
        payload.resize(4 + len, key as u8);
        self.sent.insert(key, payload.len());
        let outgoing = Outgoing { key, message_format: 0, payload: payload.into(), settle_mode: SettleMode::Unsettled };
        if self.client.connection.send(link, outgoing).is_ok() {
            self.ledger.sent(key, link);
        }
    }

    fn cancel(&mut self, link: LinkId, key: DeliveryKey) {
        match self.client.connection.cancel(link, key) {
            Some(Outcome::NotSent) => {
                self.ledger.cancelled(key);
                // It never leaves: `arrive` looks for its length.
                self.sent.remove(&key).expect("it was sent");
                self.sent.insert(key, usize::MAX);
            }
            Some(_) => self.ledger.cancelled(key),
            None => assert!(!self.ledger.is_open(key, link)),
        }
    }

    fn detach(&mut self, link: LinkId) {
        self.client.connection.detach(link, None);
        self.ledger.detaching(link);
        self.look();
        self.ledger.detached(link);
    }

    fn carry_up(&mut self, len: usize) {
        carry(&mut self.client, &mut self.server, self.now, len);
    }

    fn carry_down(&mut self, len: usize) {
        carry(&mut self.server, &mut self.client, self.now, len);
    }

    fn look(&mut self) {
        while let Some(event) = self.client.connection.poll_event() {
            assert!(!matches!(&event, Event::SessionEnded { error: Some(_), .. }), "{event:?}");
            assert!(!matches!(&event, Event::Detached { error: Some(_), .. }), "{event:?}");
            assert_fair(&event);
            self.ledger.note(&event);
            if let Event::Outcome { key, outcome, .. } = &event
                && *outcome != Outcome::Unknown
                && *outcome != Outcome::NotSent
            {
                assert_eq!(self.arrived.get(key), Some(outcome), "delivery {key}");
            }
        }
        while let Some(event) = self.server.connection.poll_event() {
            assert_fair(&event);
            self.serve(event);
        }
    }

    fn serve(&mut self, event: Event) {
        match event {
            Event::AttachRequest { link, .. } => {
                self.server.connection.accept(link, &Accept::default());
                self.server.connection.set_credit(link, self.credit);
            }
            Event::Delivery { link, delivery } => {
                let payload = delivery.payload.expect("there is no limit").into_bytes();
                let key = self.arrive(link, &payload);
                let id = delivery.delivery_id;
                let state = match &self.arrived[&key] {
                    Outcome::Accepted => DeliveryState::Accepted(Accepted {}),
                    _ => DeliveryState::Released(Released {}),
                };
                self.server.connection.settle(link.session, id, id, state);
                if self.server.connection.credit(link) <= self.credit / 2 {
                    self.server.connection.set_credit(link, self.credit);
                }
            }
            _ => {}
        }
    }

    /// A message has come to the server; its key.
    fn arrive(&mut self, link: LinkId, payload: &Bytes) -> DeliveryKey {
        let key = DeliveryKey::from(u32::from_be_bytes(*payload.first_chunk().expect("its key")));
        assert_eq!(Some(&payload.len()), self.sent.get(&key), "delivery {key}");
        assert!(payload[4..].iter().all(|&byte| byte == key as u8), "delivery {key}");
        let before = self.last_key.insert(link, key);
        assert!(before.is_none_or(|before| before < key), "delivery {key} comes behind {before:?}");
        let outcome = if key % 3 == 0 { Outcome::Released } else { Outcome::Accepted };
        assert!(self.arrived.insert(key, outcome).is_none(), "delivery {key} comes twice");
        key
    }

    /// Carries everything, closes, and carries that.
    fn finish(mut self) {
        self.carry_all();
        let is_open = !self.links.is_empty();
        assert!(!is_open || self.ledger.unresolved().is_empty(), "{:?} have no outcome", self.ledger.unresolved());
        self.client.connection.close(None);
        self.carry_all();
        assert!(self.client.connection.is_closed() && self.server.connection.is_closed());
        assert!(self.ledger.unresolved().is_empty(), "{:?} have no outcome", self.ledger.unresolved());
    }

    fn carry_all(&mut self) {
        loop {
            self.client.connection.pump();
            self.server.connection.pump();
            let waiting = self.client.connection.outbox().len() + self.server.connection.outbox().len();
            if waiting == 0 {
                return;
            }
            self.carry_up(usize::MAX);
            self.look();
            self.carry_down(usize::MAX);
            self.look();
        }
    }
}

/// Nobody breaks a rule.
fn assert_fair(event: &Event) {
    if let Event::Closed(cause) = event {
        assert!(matches!(cause, CloseCause::Peer(None) | CloseCause::Unopened), "{cause:?}");
    }
}

/// Up to `len` bytes of what `from` has to write come to `to`.
fn carry(from: &mut End, to: &mut End, now: Instant, len: usize) {
    from.connection.pump();
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = from.connection.outbox().slices(&mut slices);
    let mut taken = 0;
    for slice in &slices[..filled] {
        let part = &slice[..slice.len().min(len - taken)];
        to.received.extend_from_slice(part);
        taken += part.len();
    }
    from.connection.wrote(now, taken);
    to.connection.receive(now, &mut to.received);
}
