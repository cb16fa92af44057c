//! One task per connection: what the engine reports, turned into calls on namespace and store.

mod admission;
mod faults;
mod later;
mod reading;
mod reporting;
mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use crate::clock;
use crate::engine::{Config, Connection, Delivery, Event, LinkId, Outgoing, Role as EngineRole, Sasl};
use crate::pump::{Pump, Stream};
use crate::wire::condition;
use crate::wire::frame::PeerError;

use super::Shared;
use super::activity::{self, ConnectionCounts, Origin};
use super::cbs::Grant;
use super::faults::Faulty;
use super::mailbox::{Mailbox, Order};
use super::namespace::{Destination, Limits};
use super::publication::Publication;
use super::settlements::Settlements;
use faults::is_kept;
use later::Later;
use reading::Reader;
use requests::Node;

/// Room offered to one read.
const READ_LEN: usize = 64 * 1024;
/// From connecting to the peer's open.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// From our close to the peer's.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// Links of one connection, accepted ones.
const MAX_LINKS: usize = 1_000;
/// Ended links whose detach the peer owes us; a peer that collects more does nothing else.
const MAX_REFUSED: usize = 1_000;

/// Serves one peer until it leaves, breaks the rules or falls silent.
pub(super) async fn serve(stream: &mut dyn Stream, shared: Arc<Shared>, number: u64, origin: Origin) {
    let started = clock::now();
    let config = config(shared.next_serial(), &shared.namespace.limits);
    let stream = Faulty::new(stream, Arc::clone(&shared.faults));
    let engine = Connection::new(config, started).asking();
    let mut pump = Pump::new(engine, stream, READ_LEN).reading_into(Arc::clone(&shared.spares));
    let mut peer = Peer::new(shared, number, origin, started);
    let mailbox = Arc::clone(&peer.mailbox);
    while !pump.engine.is_closed() {
        let wake = peer.wake();
        let mut news = pin!(mailbox.news.notified());
        // Both get their turn each time, and in this order: neither waits for a draw.
        let poll = |cx: &mut Context<'_>| {
            let has_news = news.as_mut().poll(cx).is_ready() || peer.has_new_faults();
            // A fault comes before the bytes that follow it.
            let is_pumped = !peer.has_new_faults() && pump.poll(cx, wake).is_ready();
            if has_news || is_pumped { Poll::Ready(has_news) } else { Poll::Pending }
        };
        let has_news = poll_fn(poll).await;
        let now = clock::now();
        while let Some(event) = pump.engine.poll_event() {
            peer.on_event(&mut pump.engine, event, now);
        }
        peer.do_what_is_due(&mut pump.engine, now);
        if has_news {
            peer.on_news(&mut pump.engine, now);
        }
        peer.feed_readers(&mut pump.engine);
        peer.flush(&mut pump.engine);
        peer.look_at_faults(&mut pump, now);
        if !peer.keep_on(&mut pump.engine, now) {
            break;
        }
    }
    drop(peer);
    pump.finish(CLOSE_WITHIN).await;
}

pub(super) fn config(serial: u64, limits: &Limits) -> Config {
    Config {
        role: EngineRole::Server,
        container_id: format!("hubwire-emulator_G{serial}"),
        hostname: None,
        max_frame_size: limits.max_frame_size,
        // The engine announces half of it: 120 s, which producers keep that send no heartbeat of their own accord.
        idle_timeout: Some(limits.idle_timeout),
        properties: Vec::new(),
        sasl: Sasl::Anonymous,
        is_optimistic: false,
        first_number: 0,
    }
}

/// What is known of the peer of one connection.
struct Peer {
    shared: Arc<Shared>,
    /// Which connection, from 1.
    number: u64,
    origin: Origin,
    started: Instant,
    counts: ConnectionCounts,
    /// Why it ends, as soon as that is known.
    ending: Option<String>,
    mailbox: Arc<Mailbox>,
    /// Always gone through in the same order: what went wrong once can be made to go wrong again.
    links: BTreeMap<LinkId, Link>,
    refused: usize,
    grants: Vec<Grant>,
    settlements: Settlements,
    later: Later,
    /// Answers that go the other way round.
    held_answers: Vec<(LinkId, Outgoing)>,
    /// Links that are told that they have no credit.
    withheld: BTreeSet<LinkId>,
    /// The edition of the faults that it has looked at.
    seen_faults: Option<u64>,
    /// Readers that may have something to read.
    in_line: VecDeque<LinkId>,
    /// Bytes queued on all readers.
    queued: usize,
    /// When patience ends: with its open, and with its close.
    deadline: Option<Instant>,
    /// Since when there is no link, and how long that may last.
    linkless: Option<(Instant, Duration)>,
    closing: bool,
}

/// A link, by what it is for.
enum Link {
    /// Takes events.
    Publisher { to: Destination, path: String, max_message_size: u64, used_at: Instant },
    /// Hands them out.
    Reader(Reader),
    /// Takes requests.
    Requests(Node),
    /// Carries the answers to them.
    Answers { node: Node, name: String, address: Option<String> },
    /// Waits for the peer's detach.
    Refused,
}

/// What a link is for, as a token allows it.
#[derive(Clone, Copy, Debug)]
enum Claim {
    Send,
    Listen,
}

impl Claim {
    fn is_given_by(self, grant: &Grant) -> bool {
        let rights = grant.rights;
        rights.manage
            || match self {
                Self::Send => rights.send,
                Self::Listen => rights.listen,
            }
    }
}

impl Link {
    /// Where it leads to.
    fn path(&self) -> Option<&str> {
        match self {
            Self::Publisher { path, .. } => Some(path),
            Self::Reader(reader) => Some(&reader.path),
            Self::Requests(node) | Self::Answers { node, .. } => Some(node.name()),
            Self::Refused => None,
        }
    }

    /// What it needs a living token for.
    fn claim(&self) -> Option<(Claim, &str)> {
        match self {
            Self::Publisher { path, .. } => Some((Claim::Send, path)),
            Self::Reader(reader) => Some((Claim::Listen, &reader.path)),
            Self::Requests(_) | Self::Answers { .. } | Self::Refused => None,
        }
    }
}

/// Tops the credit of a receiving link up to `full` when it has fallen to two thirds: 300 at 200, as the service does.
fn top_up(engine: &mut Connection, link: LinkId, full: u32) {
    if u64::from(engine.credit(link)) <= u64::from(full) * 2 / 3 {
        engine.set_credit(link, full);
    }
}

impl Peer {
    fn new(shared: Arc<Shared>, number: u64, origin: Origin, started: Instant) -> Self {
        let mailbox = Arc::default();
        shared.faults.enter(number, &mailbox);
        Self {
            number,
            shared,
            origin,
            started,
            counts: ConnectionCounts::default(),
            ending: None,
            mailbox,
            links: BTreeMap::new(),
            refused: 0,
            grants: Vec::new(),
            settlements: Settlements::default(),
            later: Later::default(),
            held_answers: Vec::new(),
            withheld: BTreeSet::new(),
            seen_faults: None,
            in_line: VecDeque::new(),
            queued: 0,
            deadline: Some(started + OPEN_WITHIN),
            linkless: None,
            closing: false,
        }
    }

    fn limits(&self) -> &Limits {
        &self.shared.namespace.limits
    }

    fn on_event(&mut self, engine: &mut Connection, event: Event, now: Instant) {
        match event {
            Event::Asked(step) => self.on_asked(engine, step, now),
            // After our close, it is the peer's that is waited for.
            Event::Opened if self.closing => {}
            Event::Opened => {
                self.deadline = None;
                self.linkless = Some((now, self.limits().first_link_timeout));
                self.report_opened(engine.peer());
            }
            Event::AttachRequest { link, attach } => self.on_attach(engine, link, attach, now),
            Event::Delivery { link, delivery } => self.on_delivery(engine, link, delivery, now),
            Event::Sendable { link } => self.on_sendable(engine, link),
            Event::Detached { link, error } => self.forget(now, || activity::by_peer(error.as_ref()), |id| id == link),
            Event::SessionEnded { session, error } => {
                self.forget(now, || activity::by_peer(error.as_ref()), |id| id.session == session);
            }
            Event::Closed(cause) => drop(self.ending.get_or_insert_with(|| activity::close_reason(&cause))),
            // Nobody waits for what becomes of an answer or a read event, and this end asks for no links.
            Event::Attached { .. } | Event::Outcome { .. } => {}
        }
    }

    fn on_news(&mut self, engine: &mut Connection, now: Instant) {
        for order in self.mailbox.take() {
            match order {
                Order::Detach(link, error) => {
                    let error = self.error(&error);
                    self.end_link(engine, link, &error);
                }
                Order::Strike(blow, aim) => self.strike(engine, now, &blow, &aim),
            }
        }
        self.line_up_those_at_the_end();
    }

    /// Lets go of links that are gone.
    fn forget(&mut self, now: Instant, reason: impl Fn() -> String, gone: impl Fn(LinkId) -> bool) {
        self.later.forget(&gone);
        let lost: Vec<LinkId> = self.links.keys().copied().filter(|&id| gone(id)).collect();
        for id in lost {
            let Some(link) = self.links.remove(&id) else { continue };
            self.report_detached(&link, &reason);
            match link {
                Link::Refused => self.refused -= 1,
                Link::Reader(reader) => self.let_go(&reader),
                _ => {}
            }
        }
        if self.links.len() == self.refused && self.linkless.is_none() && self.deadline.is_none() {
            self.linkless = Some((now, self.limits().linkless_timeout));
        }
    }

    /// Ends a link of ours that was there.
    fn end_link(&mut self, engine: &mut Connection, id: LinkId, error: &PeerError) {
        let Some(link) = self.links.get_mut(&id).map(|link| std::mem::replace(link, Link::Refused)) else { return };
        self.report_detached(&link, || activity::by_us(error));
        match link {
            Link::Refused => return,
            Link::Reader(reader) => self.let_go(&reader),
            _ => {}
        }
        self.refused += 1;
        self.later.forget(|waiting| waiting == id);
        engine.detach(id, Some(error));
    }

    // ---- time --------------------------------------------------------------------------------------------------

    /// When [`keep_on`](Self::keep_on) has something to look at.
    fn wake(&self) -> Option<Instant> {
        let next_fault = self.later.next_due().into_iter().chain(self.shared.faults.next_change()).min();
        if self.closing {
            // Tokens and links may end as they like: nobody looks at them any more.
            return self.deadline.into_iter().chain(next_fault).min();
        }
        let next_lapse = self.grants.iter().map(|grant| grant.until).min();
        let next_lapse = next_lapse.and_then(|until| self.shared.clock.instant_of(until));
        let linkless = self.linkless.and_then(|(since, limit)| since.checked_add(limit));
        [self.deadline, next_lapse, linkless, self.next_idle(), next_fault].into_iter().flatten().min()
    }

    /// When the first of the publishers' links will have rested for too long.
    fn next_idle(&self) -> Option<Instant> {
        let used = self.links.values().filter_map(|link| match link {
            Link::Publisher { used_at, .. } => Some(*used_at),
            _ => None,
        });
        used.min()?.checked_add(self.limits().link_idle_timeout)
    }

    /// Looks after time and measure; `false` when the peer is to be left at once.
    fn keep_on(&mut self, engine: &mut Connection, now: Instant) -> bool {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.ending.get_or_insert_with(|| format!("the peer sent no open within {} s", OPEN_WITHIN.as_secs()));
            return false;
        }
        if self.closing {
            return true;
        }
        if self.refused > MAX_REFUSED {
            let text = format!("More than {MAX_REFUSED} links were refused and not detached.");
            self.close(engine, now, PeerError::new(condition::RESOURCE_LIMIT_EXCEEDED, text));
        } else if let Some((since, limit)) = self.linkless
            && now.saturating_duration_since(since) >= limit
        {
            self.close(engine, now, linkless(limit));
        }
        self.drop_lapsed(engine);
        self.drop_idle(engine, now);
        true
    }

    fn close(&mut self, engine: &mut Connection, now: Instant, error: PeerError) {
        engine.close(Some(&self.error(&error)));
        self.ending.get_or_insert_with(|| activity::by_us(&error));
        self.closing = true;
        self.linkless = None;
        self.deadline = Some(now + CLOSE_WITHIN);
    }

    /// Ends the links that no living token covers any more, as the service does. Source: event-hubs-wire 5.3.
    fn drop_lapsed(&mut self, engine: &mut Connection) {
        let now = self.now();
        if self.grants.iter().all(|grant| now < grant.until) {
            return;
        }
        self.grants.retain(|grant| now < grant.until);
        let error = PeerError::new(condition::UNAUTHORIZED_ACCESS, "ExpiredToken: The token is expired.");
        let error = self.error(&error);
        let lapsed = self.links.iter().filter_map(|(&id, link)| {
            let (claim, path) = link.claim()?;
            (!self.is_authorized(claim, path, now)).then_some(id)
        });
        for id in lapsed.collect::<Vec<LinkId>>() {
            self.end_link(engine, id, &error);
        }
    }

    /// Ends the publishers' links that have rested for too long, as the service does. Source: event-hubs-wire 11.
    fn drop_idle(&mut self, engine: &mut Connection, now: Instant) {
        let limit = self.limits().link_idle_timeout;
        if self.next_idle().is_none_or(|at| now < at) {
            return;
        }
        let is_idle = |link: &Link| match link {
            Link::Publisher { used_at, .. } => now.saturating_duration_since(*used_at) >= limit,
            _ => false,
        };
        let idle: Vec<LinkId> = self.links.iter().filter(|(_, link)| is_idle(link)).map(|(&id, _)| id).collect();
        for id in idle {
            let error = self.error(&rested(id, limit));
            self.end_link(engine, id, &error);
        }
    }

    fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// `error` with the marks by which it can be found again.
    fn error(&self, error: &PeerError) -> PeerError {
        let description = self.shared.tracked(error.description.as_deref().unwrap_or_default());
        PeerError { condition: error.condition.clone(), description: Some(description) }
    }

    fn is_authorized(&self, claim: Claim, path: &str, now: SystemTime) -> bool {
        self.grants.iter().any(|grant| claim.is_given_by(grant) && grant.covers(path, now))
    }

    // ---- deliveries --------------------------------------------------------------------------------------------

    fn on_delivery(&mut self, engine: &mut Connection, id: LinkId, delivery: Delivery, now: Instant) {
        let (number, settled) = (delivery.delivery_id, delivery.settled);
        if self.closing || !self.takes_deliveries(id) {
            // The peer had not heard of the end when it sent.
            return;
        }
        let fate = self.fate(id, now);
        let result = if is_kept(fate.as_ref()) { self.take(engine, id, delivery, now) } else { Ok(()) };
        self.top_up(engine, id, now);
        let state = self.state(result, fate);
        if let Some(state) = state.filter(|_| !settled) {
            self.settle(engine, id, number, state, now);
        }
        self.after_delivery(engine, id, now);
    }

    fn takes_deliveries(&self, id: LinkId) -> bool {
        matches!(self.links.get(&id), Some(Link::Publisher { .. } | Link::Requests(_)))
    }

    fn take(&mut self, engine: &mut Connection, id: LinkId, delivery: Delivery, now: Instant) -> Result<(), PeerError> {
        match self.links.get(&id) {
            Some(&Link::Publisher { to, max_message_size, .. }) => self.publish(to, max_message_size, delivery),
            Some(&Link::Requests(node)) => self.on_request(engine, id, node, delivery, now),
            _ => Ok(()),
        }
    }

    /// Takes note of a delivery, and gives the credit that it took.
    fn top_up(&mut self, engine: &mut Connection, id: LinkId, now: Instant) {
        let full = match self.links.get_mut(&id) {
            Some(Link::Publisher { used_at, .. }) => {
                *used_at = now;
                self.shared.namespace.limits.link_credit
            }
            Some(Link::Requests(_)) => requests::CREDIT,
            _ => return,
        };
        if !self.withheld.contains(&id) {
            top_up(engine, id, full);
        }
    }

    fn publish(&mut self, to: Destination, max_message_size: u64, delivery: Delivery) -> Result<(), PeerError> {
        let size = delivery.size;
        let publication = match delivery.payload {
            Some(payload) => Publication::read(delivery.message_format, payload),
            None => Err(too_large(delivery.delivery_id, delivery.size, max_message_size)),
        };
        let result = self.shared.publish(to, publication);
        self.report_publication(to, size, &result);
        result.map(drop)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.faults.leave(self.number);
        for link in std::mem::take(&mut self.links).into_values() {
            if let Link::Reader(reader) = link {
                self.let_go(&reader);
            }
        }
        self.report_closed();
    }
}

/// Source: event-hubs-wire 6.2.
fn too_large(delivery_id: u32, size: u64, limit: u64) -> PeerError {
    let text = format!(
        "The received message (delivery-id:{delivery_id}, size:{size} bytes) exceeds the limit ({limit} bytes) currently \
         allowed on the link."
    );
    PeerError::new(condition::LINK_MESSAGE_SIZE_EXCEEDED, text)
}

/// Source: event-hubs-wire 11.
fn linkless(limit: Duration) -> PeerError {
    let text = format!(
        "The connection was inactive for more than the allowed {} milliseconds and is closed by container 'LinkTracker'.",
        limit.as_millis()
    );
    PeerError::new(condition::CONNECTION_FORCED, text)
}

/// Source: event-hubs-wire 11.
fn rested(link: LinkId, limit: Duration) -> PeerError {
    let (secs, handle) = (limit.as_secs(), link.handle);
    let text = format!(
        "The link '{handle}' is force detached by the broker because of errors occurred in publisher(link{handle}). \
         Detach origin: AmqpMessagePublisher.IdleTimerExpired: Idle timeout: {:02}:{:02}:{:02}.",
        secs / 3_600,
        secs / 60 % 60,
        secs % 60
    );
    PeerError::new(condition::LINK_DETACH_FORCED, text)
}
