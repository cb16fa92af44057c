//! Senders and receivers: first a token that the hub takes, then a link; and for a sender another one when that is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fe2o3_amqp_types::definitions::Fields;
use fe2o3_amqp_types::primitives::Value;
use tokio::sync::oneshot;

use super::line::{Outage, STEADY};
use super::receiving::{Events, event_of};
use super::{Deadline, Driver, Error, IdleLinks, Scope, Step};
use crate::client::status::ConnectionEvent;
use crate::clock;
use crate::engine::{Attach, Delivery, DeliveryKey, LinkId, LinkRole, SessionId};
use crate::wire::condition::{Recovery, UNAUTHORIZED_ACCESS};

/// Bytes of an event that is taken: the largest that any hub stores, and the hub's annotations on it.
/// Source: event-hubs-wire 6.2.
const MAX_EVENT_LEN: u64 = 21 * 1_048_576;
/// The owner level of a receiver. Source: event-hubs-wire 8.
const EPOCH: &str = "com.microsoft:epoch";
const RECEIVER_NAME: &str = "com.microsoft:receiver-name";
const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";

/// What a sender or receiver goes by in the connection's task, whatever link it has.
pub(in crate::client) type SlotId = u64;

pub(in crate::client) struct AttachRequest {
    pub(in crate::client) slot: SlotId,
    pub(in crate::client) terms: LinkTerms,
    pub(in crate::client) audience: String,
    pub(in crate::client) deadline: Deadline,
    pub(in crate::client) reply: oneshot::Sender<Result<Attached, Error>>,
}

impl AttachRequest {
    pub(super) fn end(self, result: Result<Attached, Error>) {
        let _ = self.reply.send(result);
    }
}

/// What a link is for.
pub(in crate::client) enum LinkTerms {
    Sender {
        /// The target: `<hub>` or `<hub>/Partitions/<id>`.
        address: String,
    },
    Receiver(ReceiverTerms),
}

pub(in crate::client) struct ReceiverTerms {
    /// The source: `<hub>/ConsumerGroups/<group>/Partitions/<id>`.
    pub(in crate::client) address: String,
    pub(in crate::client) selector: String,
    pub(in crate::client) owner_level: Option<i64>,
    pub(in crate::client) name: Option<String>,
    pub(in crate::client) wants_metrics: bool,
    pub(in crate::client) credit: u32,
    pub(in crate::client) events: Events,
}

/// A link that is there.
#[derive(Debug)]
pub(in crate::client) struct Attached {
    pub(in crate::client) max_message_size: Option<u64>,
}

impl LinkTerms {
    pub(super) fn address(&self) -> &str {
        match self {
            Self::Sender { address } | Self::Receiver(ReceiverTerms { address, .. }) => address,
        }
    }

    /// The attach, for the connection's link number `number`.
    fn attach(&self, number: u32) -> Attach {
        match self {
            Self::Sender { address } => {
                let name = format!("hubwire-sender-{number}");
                let target = Some(address.clone());
                Attach { source: Some(name.clone()), target, ..Attach::new(name, LinkRole::Sender) }
            }
            Self::Receiver(terms) => terms.attach(format!("hubwire-receiver-{number}")),
        }
    }
}

impl ReceiverTerms {
    fn attach(&self, name: String) -> Attach {
        let owner_level = self.owner_level.map(|level| (EPOCH.into(), Value::Long(level)));
        let receiver_name = self.name.clone().map(|name| (RECEIVER_NAME.into(), Value::String(name)));
        let properties: Fields = owner_level.into_iter().chain(receiver_name).collect();
        Attach {
            source: Some(self.address.clone()),
            target: Some(name.clone()),
            selector: Some(self.selector.clone()),
            max_message_size: MAX_EVENT_LEN,
            desired_capabilities: if self.wants_metrics { vec![RUNTIME_METRIC] } else { Vec::new() },
            properties: (!properties.is_empty()).then_some(properties),
            ..Attach::new(name, LinkRole::Receiver)
        }
    }
}

/// How far a link is.
pub(super) enum State {
    /// Waits for the connection.
    Down,
    /// Waits for a token.
    Unauthorized,
    Attaching {
        link: LinkId,
        deadline: Deadline,
    },
    Attached(LinkId),
    /// Before the next attempt.
    Resting {
        until: Instant,
    },
    /// Until something is sent.
    Asleep,
    /// For good.
    GivenUp(Error),
}

/// Whoever asked for a link, until it is there for the first time.
struct First {
    deadline: Deadline,
    reply: oneshot::Sender<Result<Attached, Error>>,
}

/// What somebody holds a sender or receiver of.
pub(super) struct Slot {
    pub(super) terms: LinkTerms,
    audience: String,
    pub(super) state: State,
    first: Option<First>,
    /// Since its link was lost, until it is back.
    pub(super) outage: Option<Outage>,
    /// Failures to keep a link, in a row.
    attempts: u32,
    attached_at: Option<Instant>,
    /// A fresh token has been tried, and is to be tried once.
    is_reauthorized: bool,
    /// Batches that wait for the link, in the order in which they were sent.
    pub(super) waiting: BTreeSet<DeliveryKey>,
    /// The hub takes no more until then.
    pub(super) paused_until: Option<Instant>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Links {
    slots: BTreeMap<SlotId, Slot>,
    by_link: BTreeMap<LinkId, SlotId>,
    next_name: u32,
}

impl Links {
    pub(super) fn get(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(&id)
    }

    fn ids(&self, which: impl Fn(&Slot) -> bool) -> Vec<SlotId> {
        // In the order in which they were asked for.
        self.slots.iter().filter(|(_, slot)| which(slot)).map(|(&id, _)| id).collect()
    }

    /// Whether none of them needs the connection now.
    pub(super) fn are_quiet(&self) -> bool {
        self.slots.values().all(|slot| matches!(slot.state, State::Asleep | State::GivenUp(_)))
    }

    pub(super) fn down(&self) -> Vec<SlotId> {
        self.ids(|slot| matches!(slot.state, State::Down))
    }

    /// Those that rest, but for those whose hub asked for it.
    pub(super) fn resting(&self) -> Vec<SlotId> {
        let may_hurry = |slot: &Slot| slot.outage.as_ref().is_none_or(Outage::may_hurry);
        self.ids(|slot| matches!(slot.state, State::Resting { .. }) && may_hurry(slot))
    }

    pub(super) fn unauthorized(&self, audience: &str) -> Vec<SlotId> {
        self.ids(|slot| matches!(slot.state, State::Unauthorized) && slot.audience == audience)
    }

    /// A link is gone: whose it was.
    pub(super) fn lose_link(&mut self, link: LinkId) -> Option<SlotId> {
        self.by_link.remove(&link)
    }

    pub(super) fn lose_session(&mut self, session: SessionId) -> Vec<SlotId> {
        let lost = self.by_link.extract_if(.., |link, _| link.session == session);
        let mut ids: Vec<SlotId> = lost.map(|(_, id)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// The connection is gone: everybody whose link, or way to one, went with it.
    pub(super) fn lose_all(&mut self) -> Vec<SlotId> {
        self.by_link.clear();
        self.ids(|slot| !matches!(slot.state, State::GivenUp(_) | State::Down | State::Asleep))
    }

    pub(super) fn deliver(&self, link: LinkId, delivery: Delivery) {
        let slot = self.by_link.get(&link).and_then(|id| self.slots.get(id));
        if let Some(LinkTerms::Receiver(ReceiverTerms { events, .. })) = slot.map(|slot| &slot.terms) {
            // A receiver that went away is followed by its detach.
            let _ = events.send(event_of(delivery));
        }
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        let wakes = self.slots.values().flat_map(|slot| {
            let state = match &slot.state {
                State::Attaching { deadline, .. } => Some(deadline.at),
                State::Resting { until } => Some(*until),
                _ => None,
            };
            let first = slot.first.as_ref().map(|first| first.deadline.at);
            [state, first, slot.paused_until]
        });
        wakes.flatten().min()
    }
}

impl Slot {
    fn new(request: AttachRequest) -> (SlotId, Self) {
        let AttachRequest { slot, terms, audience, deadline, reply } = request;
        let new = Self {
            terms,
            audience,
            state: State::Down,
            first: Some(First { deadline, reply }),
            outage: None,
            attempts: 0,
            attached_at: None,
            is_reauthorized: false,
            waiting: BTreeSet::new(),
            paused_until: None,
        };
        (slot, new)
    }

    /// Its link, if a batch that comes now may go to it at once: it is there, the hub takes more, and nobody waits.
    pub(super) fn takes_at_once(&self) -> Option<LinkId> {
        match self.state {
            State::Attached(link) if self.paused_until.is_none() && self.waiting.is_empty() => Some(link),
            _ => None,
        }
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Attached(link) | State::Attaching { link, .. } => Some(link),
            _ => None,
        }
    }

    fn is_receiver(&self) -> bool {
        matches!(self.terms, LinkTerms::Receiver(_))
    }

    /// Counts a failure; what was kept for long makes it a first one.
    fn count_failure(&mut self, now: Instant) {
        let was_steady = self.attached_at.take().is_some_and(|at| now.duration_since(at) >= STEADY);
        if was_steady {
            (self.attempts, self.is_reauthorized) = (0, false);
        } else if self.outage.is_some() {
            self.attempts += 1;
        }
    }
}

impl Driver {
    pub(super) fn on_attach(&mut self, request: AttachRequest) {
        if self.closing.is_some() {
            return request.end(Err(Error::ShutDown));
        }
        let (id, slot) = Slot::new(request);
        self.links.slots.insert(id, slot);
        self.seek(id);
    }

    /// Goes for a link as far as the connection allows.
    pub(super) fn seek(&mut self, id: SlotId) {
        let Some(slot) = self.links.slots.get_mut(&id) else { return };
        if !self.line.is_open() || self.pump.engine.is_closed() {
            slot.state = State::Down;
            return self.wake_line();
        }
        match self.cbs.authorize(&mut self.pump.engine, &slot.audience, clock::now()) {
            Some(Ok(())) => self.attach(id),
            Some(Err(error)) => self.fail(id, error),
            None => slot.state = State::Unauthorized,
        }
    }

    /// The token is taken: asks for the link.
    pub(super) fn attach(&mut self, id: SlotId) {
        let Some(slot) = self.links.slots.get_mut(&id) else { return };
        let engine = &mut self.pump.engine;
        if engine.is_closed() {
            slot.state = State::Down;
            return;
        }
        let Some(session) = self.session.or_else(|| engine.begin()) else {
            let what = "the peer allows no further session on this connection".to_owned();
            return self.fail(id, Error::CannotAttach { what });
        };
        self.session = Some(session);
        self.links.next_name += 1;
        match engine.attach(session, &slot.terms.attach(self.links.next_name)) {
            Ok(Some(link)) => {
                let limit = Deadline::after(self.settings.options.open_timeout);
                let deadline = slot.first.as_ref().map_or(limit, |first| first.deadline);
                slot.state = State::Attaching { link, deadline };
                self.links.by_link.insert(link, id);
            }
            Ok(None) => {
                let what = "the session has no handle left; close some senders or receivers".to_owned();
                self.fail(id, Error::CannotAttach { what });
            }
            Err(error) => self.fail(id, Error::CannotAttach { what: error.to_string() }),
        }
    }

    pub(super) fn on_link_attached(&mut self, link: LinkId, max_message_size: Option<u64>) {
        let slot = self.links.by_link.get(&link).copied();
        let Some((id, slot)) = slot.and_then(|id| Some((id, self.links.slots.get_mut(&id)?))) else {
            // Whoever asked is gone: leave nothing behind.
            return self.pump.engine.detach(link, None);
        };
        let now = clock::now();
        slot.state = State::Attached(link);
        slot.attached_at = Some(now);
        if let LinkTerms::Receiver(terms) = &slot.terms {
            self.pump.engine.set_credit(link, terms.credit);
        }
        let address = slot.terms.address().to_owned();
        self.status.tell(&ConnectionEvent::Attached { address: address.clone() });
        if let Some(outage) = slot.outage.take() {
            self.status.recovered();
            let after = now.duration_since(outage.since);
            self.status.tell(&ConnectionEvent::Recovered { scope: Scope::Link, address, after });
        }
        if let Some(first) = slot.first.take()
            && first.reply.send(Ok(Attached { max_message_size })).is_err()
        {
            return self.on_detach(id, None);
        }
        self.flush(id);
    }

    /// A link, or the way to one, is gone. Whoever asked for the first one is told; what was there before is restored if
    /// that can be.
    pub(super) fn fail(&mut self, id: SlotId, cause: Error) {
        if cause.condition() == Some(UNAUTHORIZED_ACCESS)
            && let Some(slot) = self.links.slots.get(&id)
        {
            // Whatever was granted holds no longer: the next attempt puts a fresh token.
            self.cbs.revoke(&mut self.pump.engine, &slot.audience);
        }
        let Some(slot) = self.links.slots.get_mut(&id) else { return };
        if self.ended || !self.line.is_up() && slot.first.is_some() {
            // It will be asked for on the next connection, within its deadline.
        } else if let Some(first) = slot.first.take() {
            self.links.slots.remove(&id);
            let _ = first.reply.send(Err(cause));
            return;
        }
        if slot.is_receiver() && slot.first.is_none() {
            return self.give_up(id, &cause);
        }
        let now = clock::now();
        slot.count_failure(now);
        match self.plan(id, &cause) {
            Plan::GiveUp => self.give_up(id, &cause),
            Plan::GiveUpUnauthorized => self.give_up(id, &Error::StillUnauthorized { cause: Box::new(cause) }),
            Plan::WaitForConnection => {
                self.note_outage(id, cause, now);
                self.set_state(id, State::Down);
            }
            Plan::AtOnce => {
                self.note_outage(id, cause, now);
                self.seek(id);
            }
            Plan::Sleep => {
                self.tell_lost(id, &cause, None);
                self.set_state(id, State::Asleep);
            }
            Plan::Rest(wait) => {
                self.tell_lost(id, &cause, Some(wait));
                self.note_outage(id, cause, now);
                let until = now.checked_add(wait).unwrap_or(now + Duration::from_secs(86_400));
                self.set_state(id, State::Resting { until });
            }
            Plan::Reconnect => {
                self.note_outage(id, cause.clone(), now);
                self.set_state(id, State::Down);
                self.drop_line(cause);
            }
        }
    }

    fn set_state(&mut self, id: SlotId, state: State) {
        if let Some(slot) = self.links.slots.get_mut(&id) {
            slot.state = state;
        }
    }

    fn note_outage(&mut self, id: SlotId, cause: Error, since: Instant) {
        if let Some(slot) = self.links.slots.get_mut(&id) {
            slot.outage.get_or_insert(Outage { cause, since });
        }
    }

    /// The smallest thing that will do.
    fn plan(&mut self, id: SlotId, cause: &Error) -> Plan {
        if !self.line.is_up() {
            return Plan::WaitForConnection;
        }
        let Some(slot) = self.links.slots.get_mut(&id) else { return Plan::GiveUp };
        let recovery = cause.recovery();
        if cause.is_idle() && slot.waiting.is_empty() && self.settings.options.idle_links == IdleLinks::OnDemand {
            return Plan::Sleep;
        }
        match recovery {
            Recovery::GiveUp => Plan::GiveUp,
            Recovery::Reauthorize if slot.is_reauthorized => Plan::GiveUpUnauthorized,
            Recovery::Reauthorize => {
                slot.is_reauthorized = true;
                Plan::AtOnce
            }
            // Without a way to another one, the connection that is there is better than none.
            Recovery::Reconnect if self.settings.connector.is_some() => Plan::Reconnect,
            Recovery::RetryOnLink | Recovery::ReattachLink | Recovery::Reconnect => {
                let attempts = slot.attempts;
                Plan::Rest(self.recovery_wait(attempts, cause))
            }
        }
    }

    fn tell_lost(&self, id: SlotId, cause: &Error, retry_in: Option<Duration>) {
        let Some(slot) = self.links.slots.get(&id) else { return };
        self.status.tell(&ConnectionEvent::Lost {
            scope: cause.scope().unwrap_or(Scope::Link),
            address: slot.terms.address().to_owned(),
            cause: cause.clone(),
            is_idle: cause.is_idle(),
            retry_in,
        });
    }

    /// Nothing will bring this link back: whoever waits for it is told, and whoever comes.
    fn give_up(&mut self, id: SlotId, cause: &Error) {
        let Some(slot) = self.links.slots.get_mut(&id) else { return };
        if let LinkTerms::Receiver(ReceiverTerms { events, .. }) = &slot.terms {
            // A receiver keeps the first one that it hears of.
            let _ = events.send(Err(cause.clone()));
            self.links.slots.remove(&id);
            return;
        }
        slot.state = State::GivenUp(cause.clone());
        let waiting = std::mem::take(&mut slot.waiting);
        if !self.ended {
            let address = slot.terms.address().to_owned();
            self.status.tell(&ConnectionEvent::GaveUp { address, cause: cause.clone() });
        }
        for key in waiting {
            self.give_back(key);
        }
    }

    /// The connection is over for good.
    pub(super) fn end_links(&mut self, cause: &Error) {
        self.links.by_link.clear();
        for id in self.links.ids(|_| true) {
            let first = self.links.slots.get_mut(&id).and_then(|slot| slot.first.take());
            match first {
                Some(first) => drop(first.reply.send(Err(cause.clone()))),
                None => self.give_up(id, cause),
            }
        }
    }

    /// Nobody holds the link any more.
    pub(super) fn on_detach(&mut self, id: SlotId, reply: Option<oneshot::Sender<()>>) {
        let Some(slot) = self.links.slots.remove(&id) else { return };
        let link = slot.link();
        let audience = slot.audience.clone();
        for key in slot.waiting {
            self.give_back(key);
        }
        if matches!(slot.state, State::Unauthorized) {
            self.unwant(&audience);
        }
        let Some(link) = link.filter(|_| self.line.is_up()) else { return };
        self.links.by_link.remove(&link);
        self.pump.engine.detach(link, None);
        if let Some(reply) = reply {
            self.detaching.insert(link, reply);
        }
    }

    pub(super) fn on_credit(&mut self, id: SlotId, taken: u32) {
        if let Some(State::Attached(link)) = self.links.slots.get(&id).map(|slot| &slot.state) {
            let credit = self.pump.engine.credit(*link).saturating_add(taken);
            self.pump.engine.set_credit(*link, credit);
        }
    }

    pub(super) fn take_links_time(&mut self, now: Instant) {
        for id in self.links.ids(|slot| slot.first.as_ref().is_some_and(|first| first.deadline.at <= now)) {
            self.expire_first(id);
        }
        for id in self.links.ids(|slot| matches!(slot.state, State::Attaching { deadline, .. } if deadline.at <= now)) {
            self.expire_attaching(id);
        }
        for id in self.links.ids(|slot| matches!(slot.state, State::Resting { until } if until <= now)) {
            self.seek(id);
        }
        for id in self.links.ids(|slot| slot.paused_until.is_some_and(|until| until <= now)) {
            if let Some(slot) = self.links.slots.get_mut(&id) {
                slot.paused_until = None;
            }
            self.flush(id);
        }
    }

    /// Whoever asked for the link has waited long enough.
    fn expire_first(&mut self, id: SlotId) {
        let Some(slot) = self.links.slots.get_mut(&id) else { return };
        let step = match slot.state {
            State::Attaching { .. } => Step::Attach,
            State::Unauthorized => Step::Authorize,
            _ => Step::Recovery,
        };
        // The first cause of what was waited for says more than that it was waited for.
        let known = slot.outage.as_ref().or(self.outage.as_ref()).map(|outage| outage.cause.clone());
        if let Some(first) = slot.first.take() {
            let error = known.unwrap_or_else(|| first.deadline.passed(step));
            let _ = first.reply.send(Err(error));
        }
        self.on_detach(id, None);
    }

    /// The hub does not answer an attach that nobody but this task waits for.
    fn expire_attaching(&mut self, id: SlotId) {
        let Some(slot) = self.links.slots.get(&id) else { return };
        let State::Attaching { link, deadline } = slot.state else { return };
        self.links.by_link.remove(&link);
        self.pump.engine.detach(link, None);
        self.fail(id, deadline.passed(Step::Attach));
    }
}

/// What to do about a link that is gone.
enum Plan {
    GiveUp,
    /// A fresh token did not help.
    GiveUpUnauthorized,
    /// The connection is gone as well, and comes first.
    WaitForConnection,
    AtOnce,
    Sleep,
    Rest(Duration),
    Reconnect,
}
