//! What was handed in, what was told of it, and whether that is true.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hubwire::emulator::{Emulator, StoredEvent};
use hubwire::{Counters, SendError};
use tokio::time::Instant;

use super::now;

/// How the sending of a batch ended, for whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Accepted,
    Rejected,
    /// It got as far as the connection's task, or not.
    NotSent,
    Unknown,
    /// Its future was dropped before anything was told.
    Dropped,
}

impl Told {
    pub(crate) fn of<T>(result: &Result<T, SendError>) -> Self {
        match result {
            Ok(_) => Self::Accepted,
            Err(SendError::Rejected { .. }) => Self::Rejected,
            Err(SendError::NotSent { .. }) => Self::NotSent,
            Err(_) => Self::Unknown,
        }
    }
}

/// A batch that was handed in.
struct Entry {
    events: usize,
    /// Which connection, and which sender on it.
    client: usize,
    sender: usize,
    /// When it was handed in, counted over all; later ones are larger.
    turn: usize,
    told: Option<Told>,
}

/// Shared by everything in a run.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    entries: Vec<Entry>,
    turns: usize,
    senders: usize,
    began: Option<Instant>,
    trace: Vec<String>,
    breaches: Vec<String>,
}

/// What a run promises for one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) attempts: usize,
    pub(crate) resends_unknown: bool,
    pub(crate) max_batches: usize,
    pub(crate) max_bytes: usize,
}

/// What came of a run.
pub(crate) struct Report {
    pub(crate) trace: Vec<String>,
    pub(crate) breaches: Vec<String>,
    /// Of the trace: two runs of one seed have the same.
    pub(crate) hash: u64,
    /// By [`Told`], in its order.
    pub(crate) told: [usize; 5],
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Something that is seen from outside, with the time that it was seen.
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        let mut books = self.books();
        let began = *books.began.get_or_insert_with(now);
        let at = now().duration_since(began).as_secs_f64();
        books.trace.push(format!("{at:10.3} s  {}", what()));
    }

    /// Something that must not be.
    pub(crate) fn breach(&self, what: String) {
        self.note(|| format!("BREACH {what}"));
        self.books().breaches.push(what);
    }

    /// `span` is over `limit`.
    pub(crate) fn check_limit(&self, what: &str, span: Duration, limit: Duration) {
        if span > limit {
            self.breach(format!("{what} took {span:?}, and may take {limit:?}"));
        }
    }

    pub(crate) fn new_sender(&self) -> usize {
        let mut books = self.books();
        books.senders += 1;
        books.senders
    }

    /// A batch that is about to be made; its number.
    pub(crate) fn open(&self, client: usize, sender: usize, events: usize) -> usize {
        let mut books = self.books();
        books.entries.push(Entry { events, client, sender, turn: 0, told: Some(Told::NotSent) });
        books.entries.len() - 1
    }

    /// It is handed in now, for the first time or again.
    pub(crate) fn hand_in(&self, batch: usize) {
        let mut books = self.books();
        books.turns += 1;
        let turn = books.turns;
        let entry = &mut books.entries[batch];
        (entry.turn, entry.told) = (turn, None);
    }

    pub(crate) fn tell(&self, batch: usize, told: Told, words: &str) {
        self.note(|| format!("batch {batch}: {told:?} {words}"));
        let mut books = self.books();
        let entry = &mut books.entries[batch];
        if let Some(before) = entry.told.replace(told) {
            books.breaches.push(format!("batch {batch} was {before:?}, and then {told:?}"));
        }
    }

    /// How many batches of a connection ended so.
    fn count(&self, client: usize, told: Told) -> u64 {
        let books = self.books();
        books.entries.iter().filter(|entry| entry.client == client && entry.told == Some(told)).count() as u64
    }

    // ---- the property ------------------------------------------------------------------------------------------

    /// At any time: memory is within bounds.
    pub(crate) fn check_window(&self, counters: &Counters, promise: Promise) {
        let (batches, bytes) = (counters.in_flight_batches, counters.in_flight_bytes);
        if batches > promise.max_batches as u64 || bytes > promise.max_bytes as u64 && batches > 1 {
            self.breach(format!("{batches} batches of {bytes} bytes are in flight, beyond {promise:?}"));
        }
    }

    /// At the end: what is told is true.
    pub(crate) fn check(&self, emulator: &Emulator, hub: &str, promises: &[Promise], counters: &[Counters]) {
        let stored = emulator.events(hub).unwrap_or_default();
        let order = self.check_stored(&stored, promises);
        for (client, counters) in counters.iter().enumerate() {
            self.check_counters(client, counters);
            if counters.retried == 0 {
                self.check_order(client, &order);
            }
        }
    }

    /// Every batch is stored whole, and as often as was told. The batches of each partition, in their order.
    fn check_stored(&self, stored: &[StoredEvent], promises: &[Promise]) -> Vec<Vec<usize>> {
        let mut partitions: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut times: BTreeMap<usize, usize> = BTreeMap::new();
        let mut open: Option<(u32, usize, usize)> = None;
        for event in stored {
            let (batch, index, events) = parts(event);
            let expected = open.unwrap_or((event.partition_id, batch, 0));
            if expected != (event.partition_id, batch, index) {
                self.breach(format!("event {index} of batch {batch} is stored where {expected:?} should be"));
            }
            if index == 0 {
                *times.entry(batch).or_default() += 1;
                partitions.entry(event.partition_id).or_default().push(batch);
            }
            open = (index + 1 < events).then_some((event.partition_id, batch, index + 1));
        }
        if let Some((_, batch, _)) = open {
            self.breach(format!("the end of batch {batch} is missing"));
        }
        let breaches: Vec<String> = {
            let books = self.books();
            let entries = books.entries.iter().enumerate();
            let wrong = |(batch, entry): (usize, &Entry)| {
                let times = times.get(&batch).copied().unwrap_or_default();
                entry.contradiction(times, promises[entry.client]).map(|what| format!("batch {batch} {what}"))
            };
            entries.filter_map(wrong).collect()
        };
        breaches.into_iter().for_each(|what| self.breach(what));
        partitions.into_values().collect()
    }

    /// On one sender, batches leave in the order in which they were handed in. What was sent again is another matter:
    /// only runs without that are looked at. So is what was given up with its link: its bytes may arrive later than
    /// those of the next one.
    fn check_order(&self, client: usize, partitions: &[Vec<usize>]) {
        let mut breaches = Vec::new();
        for batches in partitions {
            let books = self.books();
            let mut last: BTreeMap<usize, usize> = BTreeMap::new();
            for &batch in batches {
                let entry = &books.entries[batch];
                if entry.client != client || entry.told != Some(Told::Accepted) {
                    continue;
                }
                let before = last.insert(entry.sender, batch);
                if let Some(before) = before.filter(|&before| books.entries[before].turn > entry.turn) {
                    breaches.push(format!("batch {before} is stored before {batch}, which was handed in before it"));
                }
            }
        }
        breaches.into_iter().for_each(|what| self.breach(what));
    }

    /// What the connection counts is what its callers were told, and what nobody was there to be told.
    fn check_counters(&self, client: usize, counters: &Counters) {
        let dropped = self.count(client, Told::Dropped);
        for (told, counted) in [
            (Told::Accepted, counters.accepted_batches),
            (Told::Rejected, counters.rejected_batches),
            (Told::Unknown, counters.unknown_batches),
        ] {
            let known = self.count(client, told);
            if counted < known || counted > known + dropped {
                self.breach(format!("connection {client} counts {counted} as {told:?}, and {known} were told so"));
            }
        }
        if (counters.in_flight_batches, counters.in_flight_bytes) != (0, 0) {
            self.breach(format!("something of connection {client} is in flight for ever: {counters:?}"));
        }
    }

    pub(crate) fn report(&self) -> Report {
        let mut books = self.books();
        let mut told = [0; 5];
        for (batch, entry) in std::mem::take(&mut books.entries).iter().enumerate() {
            match entry.told {
                Some(outcome) => told[outcome as usize] += 1,
                None => books.breaches.push(format!("batch {batch} has no outcome")),
            }
        }
        let (trace, breaches) = (std::mem::take(&mut books.trace), std::mem::take(&mut books.breaches));
        let mut hasher = DefaultHasher::new();
        trace.hash(&mut hasher);
        Report { trace, breaches, hash: hasher.finish(), told }
    }
}

impl Entry {
    /// Whether being stored so many times is against what was told.
    fn contradiction(&self, times: usize, promise: Promise) -> Option<String> {
        let most = if promise.resends_unknown { promise.attempts + 1 } else { 1 };
        let range = match self.told? {
            Told::Accepted => 1..=most,
            Told::Rejected | Told::NotSent => 0..=0,
            Told::Unknown | Told::Dropped => 0..=most,
        };
        let Self { told, events, .. } = self;
        (!range.contains(&times)).then(|| format!("of {events} events is {told:?}, and stored {times} times"))
    }
}

/// The body of an event of a batch; `padding` makes it longer.
pub(crate) fn body(batch: usize, index: usize, events: usize, padding: usize) -> String {
    format!("{batch} {index} {events} {}", "x".repeat(padding))
}

fn parts(event: &StoredEvent) -> (usize, usize, usize) {
    let event = event.event().expect("what is stored decodes");
    let text = String::from_utf8_lossy(event.data().expect("one data section")).into_owned();
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(usize::MAX));
    let mut next = || numbers.next().unwrap_or(usize::MAX);
    (next(), next(), next())
}
