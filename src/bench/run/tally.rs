//! What is counted while a round runs, by everybody who has part in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::missed::Missed;
use crate::bench::latency::Latencies;
use crate::bench::ledger::{Fate, Ledger};
use crate::bench::report::{Ends, Round, Second};
use crate::bench::stop::Stop;
use crate::{Accepted, ConnectionEvent, Error, SendError};

/// What is billed as one event. Source: Azure's price list of Event Hubs.
const BILLED_LEN: u64 = 65_536;

/// What a batch of events has been through until it was handed over.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) lane: u32,
    pub(super) is_measured: bool,
    pub(super) events: u64,
    pub(super) body_bytes: u64,
    pub(super) billed_events: u64,
    /// When each was due, since the start, at a given rate.
    pub(super) due: Vec<Duration>,
    /// Those that were missed before it: they are told of with its outcome, whatever that is.
    pub(super) missed: Missed,
    /// The number of each, if somebody reads.
    pub(super) sequences: Vec<u64>,
}

impl Load {
    /// One more event, by the bytes of its body and those that it takes of the batch.
    pub(super) fn book(&mut self, body_len: usize, encoded_len: usize) {
        self.events += 1;
        self.body_bytes += body_len as u64;
        self.billed_events += (encoded_len as u64).div_ceil(BILLED_LEN);
    }
}

/// Counts and latencies of a round. A clone counts in the same place.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    state: Arc<Mutex<State>>,
    /// With a lock of its own: readers do not hold up the publisher.
    ledger: Option<Arc<Mutex<Ledger>>>,
    stop: Stop,
}

#[derive(Debug)]
struct State {
    /// When events begin to be due.
    start: Instant,
    /// The end of the warm-up.
    measured_from: Instant,
    round: Round,
    intended: Latencies,
    sent: Latencies,
    /// Until when events were offered, or the last outcome of any kind.
    ends_at: Option<Instant>,
    interval: Interval,
    in_flight: u64,
    /// Of all lanes together.
    window_wait: Duration,
    /// Of all links together. Those of a connection to one address are one: nobody says which of them it is.
    throttled: Duration,
    /// Until when each rests, by its connection's number and its address.
    throttled_until: HashMap<(u32, String), Instant>,
    /// What ends the round, and would end every other.
    fatal: Option<SendFailure>,
    failures: Vec<SendFailure>,
}

/// Since the last second was told.
#[derive(Debug)]
struct Interval {
    second: Second,
    latencies: Latencies,
}

/// Why events were not accepted, without the batch.
#[derive(Clone, Debug)]
pub struct SendFailure {
    /// How the batch ended.
    pub outcome: Outcome,
    /// The hub's error condition, if it gave one.
    pub condition: Option<String>,
    /// Why, with what to do next.
    pub message: String,
    /// What kept it from being accepted, unless the hub looked at it and refused it.
    pub cause: Option<Error>,
}

/// How a batch can end otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they are those of `SendError`")]
pub enum Outcome {
    NotSent,
    Rejected,
    Unknown,
    /// An event fits into no batch, or cannot be encoded.
    Unfit,
}

/// Different failures that are kept.
const MAX_FAILURES: usize = 8;

impl SendFailure {
    pub(crate) fn of(error: &SendError) -> Self {
        let outcome = match error {
            SendError::Rejected { .. } => Outcome::Rejected,
            SendError::NotSent { .. } => Outcome::NotSent,
            SendError::Unknown { .. } => Outcome::Unknown,
        };
        let (condition, cause) = match error {
            SendError::Rejected { condition, .. } => (Some(condition.as_str()), None),
            SendError::NotSent { cause, .. } | SendError::Unknown { cause, .. } => (cause.condition(), Some(cause)),
        };
        Self { outcome, condition: condition.map(str::to_owned), message: error.to_string(), cause: cause.cloned() }
    }

    /// Whether it is the same thing once more: what a hub says has a number and a time in it.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        let is_same_text = self.condition.is_some() || self.message == other.message;
        self.outcome == other.outcome && self.condition == other.condition && is_same_text
    }
}

impl Tally {
    /// Events begin to be due at `start`, and to be measured at `measured_from`. Stops the round by `stop` once nothing more can
    /// be accepted.
    pub(super) fn new(start: Instant, measured_from: Instant, ledger: Option<Ledger>, stop: Stop) -> Self {
        let interval = Interval { second: Second::default(), latencies: Latencies::new() };
        let state = State {
            start,
            measured_from,
            round: Round::default(),
            intended: Latencies::new(),
            sent: Latencies::new(),
            ends_at: None,
            interval,
            in_flight: 0,
            window_wait: Duration::ZERO,
            throttled: Duration::ZERO,
            throttled_until: HashMap::new(),
            fatal: None,
            failures: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), ledger: ledger.map(|ledger| Arc::new(Mutex::new(ledger))), stop }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch is on its way.
    pub(super) fn take_off(&self) {
        self.state().in_flight += 1;
    }

    /// A batch that was on its way has ended, `now`.
    pub(super) fn land(&self, load: &Load, outcome: &Result<Accepted, SendError>, sent_at: Instant, now: Instant) {
        self.note(load, outcome);
        let mut state = self.state();
        state.in_flight -= 1;
        state.end(load, outcome, now);
        if let Ok(accepted) = outcome
            && load.is_measured
        {
            state.accept(load, accepted.message_len, sent_at, now);
        }
        self.stop_if_fatal(&state);
    }

    /// A batch could not be handed over.
    pub(super) fn refuse(&self, load: &Load, error: SendError, now: Instant) {
        let outcome = Err(error);
        self.note(load, &outcome);
        let mut state = self.state();
        state.end(load, &outcome, now);
        self.stop_if_fatal(&state);
    }

    /// An event that no batch can take.
    pub(super) fn refuse_event(&self, load: &Load, message: String) {
        let mut state = self.state();
        state.count(load, |ends| &mut ends.not_sent);
        state.fatal.get_or_insert(SendFailure { outcome: Outcome::Unfit, condition: None, message, cause: None });
        self.stop_if_fatal(&state);
    }

    /// Enters a batch's events in the ledger.
    fn note(&self, load: &Load, outcome: &Result<Accepted, SendError>) {
        let fate = match outcome {
            Ok(_) => Fate::Accepted,
            Err(SendError::Rejected { .. } | SendError::NotSent { .. }) => Fate::Refused,
            Err(SendError::Unknown { .. }) => Fate::Unknown,
        };
        self.with_ledger(|ledger| ledger.end(load.lane, &load.sequences, fate));
    }

    fn stop_if_fatal(&self, state: &State) {
        if state.fatal.is_some() {
            self.stop.stop();
        }
    }

    /// What was missed, and nothing was sent after it.
    pub(super) fn miss(&self, missed: &Missed, now: Instant) {
        self.state().miss(missed, now);
    }

    /// A lane waited from `began` to `now` for an outcome.
    pub(super) fn wait_for_window(&self, began: Instant, now: Instant) {
        let mut state = self.state();
        let began = began.max(state.measured_from);
        state.window_wait += now.saturating_duration_since(began);
    }

    /// A lane had events to offer until `at`.
    pub(super) fn offer_until(&self, at: Instant) {
        self.state().last_until(at);
    }

    /// What happens to the connection with number `connection`, as far as it is counted: the warm-up is not.
    pub(super) fn hear(&self, connection: u32, event: &ConnectionEvent, now: Instant) {
        let mut state = self.state();
        let is_measured = u64::from(now >= state.measured_from);
        match event {
            ConnectionEvent::Throttled { address, wait, .. } => {
                state.round.throttles += is_measured;
                state.interval.second.throttles += is_measured;
                state.rest((connection, address.clone()), now, *wait);
            }
            ConnectionEvent::Lost { is_idle: false, .. } => state.round.losses += is_measured,
            _ => {}
        }
    }

    /// Looks at what was published beside what was read, if somebody reads.
    pub(super) fn with_ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> Option<T> {
        let ledger = self.ledger.as_ref()?;
        Some(look(&mut ledger.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(super) fn fatal(&self) -> Option<SendFailure> {
        self.state().fatal.clone()
    }

    pub(super) fn failures(&self) -> Vec<SendFailure> {
        self.state().failures.clone()
    }

    /// Whether there is something to tell of the second that has begun.
    pub(super) fn has_news(&self) -> bool {
        self.state().interval.second != Second::default()
    }

    /// The second that ends now, of which the caller knows the rest.
    pub(super) fn take_second(&self) -> Second {
        let state = &mut *self.state();
        let mut second = std::mem::take(&mut state.interval.second);
        let latencies = &mut state.interval.latencies;
        if let Some(summary) = latencies.summary() {
            (second.p50_us, second.p99_us, second.max_us) = (summary.p50_us, summary.p99_us, summary.max_us);
            second.hdr_base64 = summary.hdr_base64;
        }
        latencies.clear();
        second.in_flight = state.in_flight;
        second
    }

    /// The whole, of `lanes` lanes whose links lead to so many `addresses`, counted for each connection.
    pub(super) fn round(&self, lanes: u32, addresses: u32) -> Round {
        let state = self.state();
        let share = |span: Duration, of: u32| span.as_secs_f64() / f64::from(of.max(1));
        let span = state.ends_at.map(|at| at.saturating_duration_since(state.measured_from)).unwrap_or_default();
        Round {
            span_secs: span.as_secs_f64(),
            intended: state.intended.summary(),
            sent: state.sent.summary(),
            throttled_secs: share(state.throttled, addresses),
            window_wait_secs: share(state.window_wait, lanes),
            ..state.round.clone()
        }
    }
}

impl State {
    /// Counts events whose end is `outcome`, and what was missed before them.
    fn end(&mut self, load: &Load, outcome: &Result<Accepted, SendError>, now: Instant) {
        self.miss(&load.missed, now);
        if load.is_measured {
            self.last_until(now);
        }
        match outcome {
            Ok(_) => self.count(load, |ends| &mut ends.accepted),
            Err(SendError::Rejected { .. }) => self.count(load, |ends| &mut ends.rejected),
            Err(SendError::NotSent { .. }) => self.count(load, |ends| &mut ends.not_sent),
            Err(SendError::Unknown { .. }) => self.count(load, |ends| &mut ends.unknown),
        }
        if let Err(error) = outcome {
            self.interval.second.failed += if load.is_measured { load.events } else { 0 };
            self.fail(error);
        }
    }

    fn last_until(&mut self, at: Instant) {
        self.ends_at = Some(self.ends_at.map_or(at, |last| last.max(at)));
    }

    /// A link rests for `wait` from `now` on: what it rests already is not counted again.
    fn rest(&mut self, link: (u32, String), now: Instant, wait: Duration) {
        let until = now + wait;
        let counted_to = self.throttled_until.entry(link).or_insert(self.measured_from);
        self.throttled += until.saturating_duration_since(now.max(*counted_to));
        *counted_to = until.max(*counted_to);
    }

    fn count(&mut self, load: &Load, end: impl Fn(&mut Ends) -> &mut u64) {
        let ends = if load.is_measured { &mut self.round.ends } else { &mut self.round.warm_up };
        ends.offered += load.events;
        *end(ends) += load.events;
    }

    fn fail(&mut self, error: &SendError) {
        let failure = SendFailure::of(error);
        // What may be stored says nothing of the next; what is refused for good does.
        if !error.is_retryable() && failure.outcome != Outcome::Unknown {
            self.fatal.get_or_insert_with(|| failure.clone());
        }
        if self.failures.len() < MAX_FAILURES && !self.failures.iter().any(|other| other.repeats(&failure)) {
            self.failures.push(failure);
        }
    }

    fn accept(&mut self, load: &Load, message_len: usize, sent_at: Instant, now: Instant) {
        self.round.batches += 1;
        self.round.body_bytes += load.body_bytes;
        self.round.billed_events += load.billed_events;
        self.round.message_bytes += message_len as u64;
        self.interval.second.events += load.events;
        self.interval.second.body_bytes += load.body_bytes;
        let sent = now.saturating_duration_since(sent_at);
        self.sent.record(sent, load.events);
        if load.due.is_empty() {
            self.interval.latencies.record(sent, load.events);
        }
        for due in &load.due {
            self.record_intended(*due, 1, now);
        }
    }

    /// An event that was missed has waited at least until `now`.
    fn miss(&mut self, missed: &Missed, now: Instant) {
        self.round.missed += missed.count();
        self.interval.second.missed += missed.count();
        for (due, count) in missed.times() {
            self.record_intended(due, count, now);
        }
    }

    fn record_intended(&mut self, due: Duration, count: u64, now: Instant) {
        let span = now.saturating_duration_since(self.start).saturating_sub(due);
        self.intended.record(span, count);
        self.interval.latencies.record(span, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, clock};

    fn tally() -> Tally {
        Tally::new(clock::now(), clock::now(), None, Stop::default())
    }

    /// An event of a second before which three were missed.
    fn load() -> Load {
        let mut load = Load { is_measured: true, events: 1, due: vec![Duration::from_secs(1)], ..Load::default() };
        (0..3).for_each(|millis| load.missed.push(Duration::from_millis(millis)));
        load
    }

    fn failed() -> [SendError; 3] {
        let batch = || Batch::new(64);
        [
            SendError::Rejected { batch: batch(), condition: "amqp:internal-error".into(), description: String::new() },
            SendError::NotSent { batch: batch(), cause: Error::ShutDown },
            SendError::Unknown { batch: batch(), cause: Error::ShutDown },
        ]
    }

    #[test]
    fn what_was_missed_is_told_whatever_becomes_of_the_batch_behind_it() {
        for error in failed() {
            let (tally, now) = (tally(), clock::now() + Duration::from_secs(2));
            let text = error.to_string();
            tally.take_off();
            tally.land(&load(), &Err(error), now, now);
            let round = tally.round(1, 1);
            assert_eq!((round.missed, round.ends.failed()), (3, 1), "{text}");
            assert_eq!(round.intended.map(|latency| latency.count), Some(3), "{text}");
            assert_eq!(tally.take_second().missed, 3, "{text}");
        }
        for error in failed() {
            let (tally, now) = (tally(), clock::now());
            tally.refuse(&load(), error, now);
            assert_eq!(tally.round(1, 1).missed, 3);
        }
    }

    fn throttled(address: &str, wait_secs: u64) -> ConnectionEvent {
        let (condition, description) = ("com.microsoft:server-busy".to_owned(), String::new());
        let address = address.to_owned();
        ConnectionEvent::Throttled { address, condition, description, wait: Duration::from_secs(wait_secs) }
    }

    #[test]
    fn a_window_that_is_refused_together_rests_once() {
        let (tally, start) = (tally(), clock::now());
        let at = |secs| start + Duration::from_secs(secs);
        (0..16).for_each(|_| tally.hear(0, &throttled("hub", 4), at(1)));
        // A second more, and another link beside it.
        tally.hear(0, &throttled("hub", 2), at(4));
        tally.hear(1, &throttled("hub", 3), at(4));
        let round = tally.round(2, 2);
        assert_eq!((round.throttles, round.throttled_secs), (18, 4.0));
    }

    #[test]
    fn the_warm_up_is_in_no_figure_but_its_own() {
        let start = clock::now();
        let at = |secs| start + Duration::from_secs(secs);
        let tally = Tally::new(start, at(10), None, Stop::default());
        tally.hear(0, &throttled("hub", 4), at(8));
        tally.wait_for_window(at(5), at(9));
        tally.wait_for_window(at(9), at(11));
        let [error, ..] = failed();
        tally.refuse(&Load { events: 7, ..Load::default() }, error, at(9));
        let (round, second) = (tally.round(1, 1), tally.take_second());
        assert_eq!((round.warm_up.rejected, round.ends, second), (7, Ends::default(), Second::default()));
        // What is beyond its end counts: the link rests until 12 s.
        assert_eq!((round.throttles, round.throttled_secs, round.window_wait_secs), (0, 2.0, 1.0));
    }

    #[test]
    fn a_stall_at_the_end_is_in_the_span() {
        let start = clock::now();
        let tally = Tally::new(start, start + Duration::from_secs(1), None, Stop::default());
        let [_, _, unknown] = failed();
        tally.offer_until(start + Duration::from_secs(11));
        tally.refuse(&load(), unknown, start + Duration::from_secs(5));
        assert_eq!(tally.round(1, 1).span_secs, 10.0);
        let [_, _, unknown] = failed();
        tally.refuse(&load(), unknown, start + Duration::from_secs(13));
        assert_eq!(tally.round(1, 1).span_secs, 12.0);
    }
}
