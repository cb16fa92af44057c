//! Batches on their way: handed to a link, sent again where that is certain not to duplicate, and told what became of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::deadlines::Deadlines;
use super::links::{SlotId, State};
use super::{Deadline, Driver, Error, Step};
use crate::client::error;
use crate::client::status::{ConnectionEvent, Count};
use crate::client::window::Place;
use crate::clock;
use crate::engine::{DeliveryKey, LinkId, Outcome, Outgoing, SettleMode};
use crate::wire::batch::MESSAGE_FORMAT;
use crate::wire::condition;

pub(in crate::client) struct SendRequest {
    pub(in crate::client) slot: SlotId,
    pub(in crate::client) key: DeliveryKey,
    pub(in crate::client) payload: Bytes,
    pub(in crate::client) events: u64,
    pub(in crate::client) deadline: Deadline,
    pub(in crate::client) reply: oneshot::Sender<Told>,
    /// Its place in the window, until nothing of it is held here any more.
    pub(in crate::client) place: Place,
}

/// What a ticket is told: how its batch ended, if it was not accepted.
pub(in crate::client) type Told = Option<Box<Settlement>>;

/// How a batch ended.
#[derive(Debug)]
pub(in crate::client) enum Settlement {
    Accepted,
    Rejected { condition: String, description: String },
    NotSent(Error),
    Unknown(Error),
}

impl Settlement {
    fn count(&self, events: u64) -> Count {
        match self {
            Self::Accepted => Count::Accepted { events },
            Self::Rejected { .. } => Count::Rejected,
            Self::NotSent(_) => Count::NotSent,
            Self::Unknown(_) => Count::Unknown,
        }
    }
}

/// A batch without an outcome.
struct Sending {
    request: SendRequest,
    /// How many came before it.
    number: u64,
    began: Instant,
    /// Where it was handed over, and when; without it, it waits in its slot.
    handed: Option<(LinkId, Instant)>,
    /// Once something went wrong. Apart: most batches know none, and are moved as often as others.
    trouble: Option<Box<Trouble>>,
}

/// What a batch has been through.
#[derive(Default)]
struct Trouble {
    /// How often it was sent again.
    attempts: u32,
    /// Why it is where it is: the first cause.
    cause: Option<Error>,
    /// Why the outcome of an earlier attempt is unknown: whatever becomes of this one, it may be stored.
    doubt: Option<Error>,
    /// The hub's words, when it was refused for now.
    refusal: Option<(String, String)>,
    /// Its caller has gone: it is not sent again.
    is_forgotten: bool,
}

impl Sending {
    fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }

    fn attempts(&self) -> u32 {
        self.trouble.as_ref().map_or(0, |trouble| trouble.attempts)
    }

    fn is_forgotten(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.is_forgotten)
    }

    fn cause(&self) -> Option<&Error> {
        self.trouble.as_ref()?.cause.as_ref()
    }

    fn refusal(&self) -> Option<&(String, String)> {
        self.trouble.as_ref()?.refusal.as_ref()
    }
}

/// Keys are numbers that were counted here: what they are spread by need not be hard to guess.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        // By the golden ratio: the table looks at the upper bits as well.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Sends {
    by_key: HashMap<DeliveryKey, Sending, BuildHasherDefault<KeyHasher>>,
    /// How many there were.
    count: u64,
    deadlines: Deadlines,
    flushes: Vec<Flush>,
}

/// Somebody who waits until a sender's batches have their outcomes.
struct Flush {
    slot: SlotId,
    /// Those that came before this number are waited for.
    end: u64,
    /// Of those, how many have none yet.
    left: usize,
    reply: oneshot::Sender<()>,
}

impl Sends {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    pub(super) fn flush(&mut self, slot: SlotId, reply: oneshot::Sender<()>) {
        let left = self.by_key.values().filter(|sending| sending.request.slot == slot).count();
        self.flushes.push(Flush { slot, end: self.count, left, reply });
        self.tell_flushed();
    }

    fn insert(&mut self, request: SendRequest, began: Instant, handed: Option<LinkId>) {
        let (key, number) = (request.key, self.count);
        self.count += 1;
        self.deadlines.insert(request.deadline.at, key);
        let handed = handed.map(|link| (link, began));
        self.by_key.insert(key, Sending { request, number, began, handed, trouble: None });
    }

    fn remove(&mut self, key: DeliveryKey) -> Option<Sending> {
        let sending = self.by_key.remove(&key)?;
        self.deadlines.close(key, |key| self.by_key.contains_key(&key));
        Some(sending)
    }

    /// The outcome of batch `number` has been told.
    fn landed(&mut self, slot: SlotId, number: u64) {
        if self.flushes.is_empty() {
            return;
        }
        for flush in self.flushes.iter_mut().filter(|flush| flush.slot == slot && number < flush.end) {
            flush.left -= 1;
        }
        self.tell_flushed();
    }

    fn tell_flushed(&mut self) {
        for flush in self.flushes.extract_if(.., |flush| flush.left == 0) {
            let _ = flush.reply.send(());
        }
    }
}

impl Driver {
    pub(super) fn on_send(&mut self, request: SendRequest, now: Instant) {
        self.status.began(request.payload.len() as u64);
        if self.closing.is_some() {
            return self.settle_request(request, Settlement::NotSent(Error::ShutDown));
        }
        let (id, key) = (request.slot, request.key);
        let Some(slot) = self.links.get_mut(id) else {
            let cause = self.status.cause();
            return self.settle_request(request, Settlement::NotSent(cause));
        };
        if let State::GivenUp(cause) = &slot.state {
            let cause = cause.clone();
            return self.settle_request(request, Settlement::NotSent(cause));
        }
        if slot.takes_at_once().is_some_and(|link| self.pump.engine.credit(link) == 0) {
            self.status.waits_for_credit();
        }
        // Nobody is before it: it need not stand in line.
        let handed = slot.takes_at_once().filter(|&link| self.pump.engine.send(link, outgoing(&request)).is_ok());
        let is_handed = handed.is_some();
        let is_asleep = matches!(slot.state, State::Asleep);
        if !is_handed {
            slot.waiting.insert(key);
        }
        self.sends.insert(request, now, handed);
        if is_asleep {
            self.seek(id);
        }
        if !is_handed {
            self.flush(id);
        }
    }

    /// Refuses a batch that reaches a task that has ended.
    pub(super) fn refuse(&mut self, request: SendRequest, cause: Error) {
        self.status.began(request.payload.len() as u64);
        self.settle_request(request, Settlement::NotSent(cause));
    }

    /// Hands over what waits for a link, if that is there and takes it.
    pub(super) fn flush(&mut self, id: SlotId) {
        let Some(slot) = self.links.get_mut(id) else { return };
        let State::Attached(link) = slot.state else { return };
        if slot.paused_until.is_some() {
            return;
        }
        let now = clock::now();
        while let Some(key) = slot.waiting.pop_first() {
            let Some(sending) = self.sends.by_key.get_mut(&key) else { continue };
            if self.pump.engine.send(link, outgoing(&sending.request)).is_err() {
                // The link has ended; the event that says so is about to be taken.
                slot.waiting.insert(key);
                return;
            }
            sending.handed = Some((link, now));
        }
    }

    /// The caller gave up on a batch. One of which nothing has left does not leave any more.
    pub(super) fn on_forget(&mut self, key: DeliveryKey) {
        let Some(sending) = self.sends.by_key.get(&key) else { return };
        let is_here = match sending.handed {
            None => true,
            Some((link, _)) => self.pump.engine.withdraw(link, key),
        };
        if is_here {
            self.settle(key, Settlement::NotSent(Error::ShutDown));
        } else if let Some(sending) = self.sends.by_key.get_mut(&key) {
            sending.trouble().is_forgotten = true;
        }
    }

    pub(super) fn on_send_outcome(&mut self, link: LinkId, key: DeliveryKey, outcome: Outcome, now: Instant) {
        let Some(sending) = self.sends.by_key.get_mut(&key) else { return };
        let Some((_, handed_at)) = sending.handed.take_if(|(at, _)| *at == link) else { return };
        let slot = sending.request.slot;
        match outcome {
            Outcome::Accepted => {
                self.status.round_trip(now.saturating_duration_since(handed_at));
                self.settle(key, Settlement::Accepted);
            }
            Outcome::Rejected(error) => self.on_rejected(key, error::words(error)),
            Outcome::Released | Outcome::Modified => {
                sending.trouble().cause.get_or_insert(Error::Released);
                self.send_later(key, Duration::ZERO);
            }
            Outcome::NotSent => {
                let cause = self.cause(slot);
                self.note_cause(key, cause);
                self.send_again(key);
            }
            Outcome::Unknown => {
                let cause = self.cause(slot);
                if self.settings.options.retry.resends_unknown() && self.is_to_be_sent_again(key) {
                    self.note_doubt(key, cause);
                    self.send_again(key);
                } else {
                    self.settle(key, Settlement::Unknown(cause));
                }
            }
        }
    }

    fn note_cause(&mut self, key: DeliveryKey, cause: Error) {
        if let Some(sending) = self.sends.by_key.get_mut(&key) {
            sending.trouble().cause.get_or_insert(cause);
        }
    }

    fn note_doubt(&mut self, key: DeliveryKey, cause: Error) {
        if let Some(sending) = self.sends.by_key.get_mut(&key) {
            sending.trouble().cause.get_or_insert(cause.clone());
            sending.trouble().doubt.get_or_insert(cause);
        }
    }

    fn on_rejected(&mut self, key: DeliveryKey, (condition, description): (String, String)) {
        // Other refusals that may pass do not say that nothing was stored.
        let is_certain = condition::is_throttling(&condition, &description);
        if !is_certain && !self.settings.options.retry.resends_unknown() || !self.is_passing(&condition, &description) {
            return self.settle(key, Settlement::Rejected { condition, description });
        }
        let minimum = condition::minimum_wait(&condition);
        if let Some(sending) = self.sends.by_key.get_mut(&key) {
            sending.trouble().refusal = Some((condition, description));
        }
        self.send_later(key, minimum);
    }

    fn is_passing(&self, condition: &str, description: &str) -> bool {
        condition::recovery(condition, Some(description)) != condition::Recovery::GiveUp
    }

    fn is_to_be_sent_again(&self, key: DeliveryKey) -> bool {
        let Some(sending) = self.sends.by_key.get(&key) else { return false };
        self.wait_for(sending, Duration::ZERO, 0.0).is_some()
    }

    /// How long `sending` waits before it is sent again; `None` when it must not be.
    fn wait_for(&self, sending: &Sending, minimum: Duration, random: f64) -> Option<Duration> {
        let retry = &self.settings.options.retry;
        let wait = retry.wait(sending.attempts(), minimum, random)?;
        let at = clock::now().checked_add(wait)?;
        let is_in_time = at < sending.request.deadline.at && retry.allows_after(at.duration_since(sending.began));
        (is_in_time && !sending.is_forgotten()).then_some(wait)
    }

    /// Puts a batch back in line, as soon as its link takes it: the link's own recovery waits, where that is called for.
    fn send_again(&mut self, key: DeliveryKey) {
        if !self.is_to_be_sent_again(key) {
            return self.give_back(key);
        }
        let slot = self.line_up(key);
        self.flush(slot);
    }

    /// Puts a batch back in line, and makes the line wait: a hub that takes no more is not hammered.
    fn send_later(&mut self, key: DeliveryKey, minimum: Duration) {
        let random = self.random.next();
        let sending = self.sends.by_key.get(&key);
        let Some(wait) = sending.and_then(|sending| self.wait_for(sending, minimum, random)) else {
            return self.give_back(key);
        };
        let id = self.line_up(key);
        let refusal = self.sends.by_key.get(&key).and_then(|sending| sending.refusal().cloned());
        let Some(slot) = self.links.get_mut(id) else { return };
        let until = clock::now() + wait;
        slot.paused_until = Some(slot.paused_until.map_or(until, |before| before.max(until)));
        if let Some((condition, description)) = refusal {
            let address = slot.terms.address().to_owned();
            self.status.tell(&ConnectionEvent::Throttled { address, condition, description, wait });
        }
    }

    /// Puts a batch in its slot's line; the slot.
    fn line_up(&mut self, key: DeliveryKey) -> SlotId {
        let Some(sending) = self.sends.by_key.get_mut(&key) else { return SlotId::default() };
        let id = sending.request.slot;
        sending.trouble().attempts += 1;
        match self.links.get_mut(id).filter(|slot| !matches!(slot.state, State::GivenUp(_))) {
            Some(slot) => {
                slot.waiting.insert(key);
                self.status.retried();
            }
            None => self.give_back(key),
        }
        id
    }

    /// Gives a batch back of which it is certain that it is not stored: in the hub's words if it refused it, else with the
    /// first cause.
    pub(super) fn give_back(&mut self, key: DeliveryKey) {
        let Some(sending) = self.sends.by_key.get(&key) else { return };
        let settlement = match (sending.refusal(), sending.cause()) {
            (Some((condition, description)), _) => {
                Settlement::Rejected { condition: condition.clone(), description: description.clone() }
            }
            (None, Some(cause)) => Settlement::NotSent(cause.clone()),
            (None, None) => Settlement::NotSent(self.cause(sending.request.slot)),
        };
        self.settle(key, settlement);
    }

    /// Why a slot has no link: the first cause.
    fn cause(&self, id: SlotId) -> Error {
        let slot = self.links.get(id);
        let given_up = slot.and_then(|slot| match &slot.state {
            State::GivenUp(cause) => Some(cause),
            _ => None,
        });
        let outage = slot.and_then(|slot| slot.outage.as_ref()).or(self.outage.as_ref()).map(|outage| &outage.cause);
        outage.or(given_up).cloned().unwrap_or_else(|| self.status.cause())
    }

    fn settle(&mut self, key: DeliveryKey, settlement: Settlement) {
        let Some(sending) = self.sends.remove(key) else { return };
        let (slot, number) = (sending.request.slot, sending.number);
        if sending.handed.is_none()
            && let Some(slot) = self.links.get_mut(sending.request.slot)
        {
            slot.waiting.remove(&key);
        }
        // What an earlier attempt left open is not closed by one that failed.
        let doubt = sending.trouble.and_then(|trouble| trouble.doubt);
        let settlement = match (settlement, doubt) {
            (Settlement::Accepted, _) => Settlement::Accepted,
            (_, Some(doubt)) => Settlement::Unknown(doubt),
            (settlement, None) => settlement,
        };
        self.settle_request(sending.request, settlement);
        self.sends.landed(slot, number);
    }

    fn settle_request(&mut self, request: SendRequest, settlement: Settlement) {
        let SendRequest { payload, events, reply, place, .. } = request;
        self.status.ended(payload.len() as u64, settlement.count(events));
        // Before the caller goes on: the batch's memory is its alone then.
        drop((payload, place));
        let _ = reply.send(match settlement {
            Settlement::Accepted => None,
            failed => Some(Box::new(failed)),
        });
    }

    pub(super) fn expire_sending(&mut self, now: Instant) {
        // Each is told, and so closed.
        while let Some(key) = self.sends.deadlines.due(now) {
            self.expire(key);
        }
    }

    fn expire(&mut self, key: DeliveryKey) {
        let Some(sending) = self.sends.by_key.get(&key) else { return };
        let deadline = sending.request.deadline;
        let Some((link, _)) = sending.handed else {
            let slot = self.links.get(sending.request.slot);
            let is_known = sending.cause().is_some() || sending.refusal().is_some();
            if is_known || self.outage.is_some() || slot.is_some_and(|slot| slot.outage.is_some()) {
                return self.give_back(key);
            }
            return self.settle(key, Settlement::NotSent(deadline.passed(Step::Recovery)));
        };
        let engine = &mut self.pump.engine;
        let settlement = match engine.cancel(link, key) {
            Some(Outcome::NotSent) => {
                let starved = engine.credit(link) == 0;
                Settlement::NotSent(deadline.passed(if starved { Step::Credit } else { Step::Write }))
            }
            _ => Settlement::Unknown(deadline.passed(Step::Outcome)),
        };
        self.settle(key, settlement);
    }
}

fn outgoing(request: &SendRequest) -> Outgoing {
    let payload = request.payload.clone();
    Outgoing { key: request.key, message_format: MESSAGE_FORMAT, payload, settle_mode: SettleMode::Unsettled }
}
