//! The model: what was sent, what its senders were told, and what each reader saw; and what the hub must hold by then.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire::emulator::{Emulator, StoredEvent};
use hubwire::{Event, ReceivedEvent};

use crate::HUB;
use crate::dice::Dice;
use crate::plan::{PARTITIONS, Reader, Start};

/// What a publisher knows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Accepted,
    /// Rejected, or not sent.
    Refused,
    /// Nothing: the outcome is unknown, or its caller left before there was one.
    Maybe,
}

/// Where a batch was meant to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Anywhere,
    Partition(u64),
    Key(String),
}

#[derive(Clone, Debug)]
struct Entry {
    /// Of its first event; the others follow.
    first_id: u64,
    count: u64,
    route: Route,
    told: Told,
    /// The link that it last left on, and its place among all that left.
    turn: Option<(u64, u64)>,
}

/// A batch, by its place in the book.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchId(usize);

#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: Vec<Entry>,
    next_id: u64,
    turns: u64,
    refusals: usize,
}

impl Book {
    /// Takes note of a batch to come, and tells its events.
    pub(crate) fn enter(&mut self, count: u64, route: Route) -> (BatchId, Vec<Event>) {
        let first_id = self.next_id;
        self.next_id += count;
        self.entries.push(Entry { first_id, count, route, told: Told::Refused, turn: None });
        (BatchId(self.entries.len() - 1), (first_id..self.next_id).map(event).collect())
    }

    /// It is sent on this link now, and may be stored from now on.
    pub(crate) fn leaves(&mut self, batch: BatchId, link: u64) {
        self.turns += 1;
        let entry = &mut self.entries[batch.0];
        (entry.told, entry.turn) = (Told::Maybe, Some((link, self.turns)));
    }

    pub(crate) fn told(&mut self, batch: BatchId, told: Told) {
        self.refusals += usize::from(told == Told::Refused);
        self.entries[batch.0].told = told;
    }

    /// Batches that were accepted, refusals, and batches that may be stored or not.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let count = |told| self.entries.iter().filter(|entry| entry.told == told).count();
        [count(Told::Accepted), self.refusals, count(Told::Maybe)]
    }

    fn entry_of(&self, id: u64) -> Option<usize> {
        let index = self.entries.partition_point(|entry| entry.first_id + entry.count <= id);
        (index < self.entries.len()).then_some(index)
    }

    /// The hub holds what it must, nothing that it must not, and nothing twice.
    pub(crate) fn check(&self, emulator: &Emulator) -> Result<(), String> {
        let mut places = vec![Vec::new(); self.entries.len()];
        let mut by_key = HashMap::new();
        for partition in 0..PARTITIONS {
            let stored = emulator.events_from(HUB, partition as u32, 0).unwrap_or_default();
            let mut last_turn_of = HashMap::new();
            for (number, event) in stored.iter().enumerate() {
                let at = format!("partition {partition}, event {number}");
                if event.sequence_number != number as i64 {
                    return Err(format!("{at} has sequence number {}", event.sequence_number));
                }
                let id =
                    id_of(&event.event().map_err(|error| format!("{at}: {error}"))?).ok_or(format!("{at}: whose?"))?;
                let index = self.entry_of(id).ok_or(format!("{at}: nobody sent event {id}"))?;
                let entry = &self.entries[index];
                self.check_route(entry, event, partition, &mut by_key)
                    .map_err(|why| format!("{at}, id {id}: {why}"))?;
                if let Some((link, turn)) = entry.turn
                    && last_turn_of.insert(link, turn).is_some_and(|last| last > turn)
                {
                    return Err(format!("{at}, id {id}: what left its link later is stored before it"));
                }
                places[index].push((partition, event.sequence_number, id));
            }
        }
        self.entries.iter().zip(&places).try_for_each(|(entry, places)| check_entry(entry, places))
    }

    fn check_route(
        &self,
        entry: &Entry,
        event: &StoredEvent,
        partition: u64,
        by_key: &mut HashMap<String, u64>,
    ) -> Result<(), String> {
        let key = event.partition_key.as_deref();
        let is_right = match &entry.route {
            Route::Anywhere => key.is_none(),
            Route::Partition(wanted) => key.is_none() && *wanted == partition,
            Route::Key(wanted) => {
                key == Some(wanted) && *by_key.entry(wanted.clone()).or_insert(partition) == partition
            }
        };
        if is_right { Ok(()) } else { Err(format!("sent to {:?}, and stored with key {key:?}", entry.route)) }
    }
}

/// All of a batch's events lie side by side, or there are none; as its publisher was told.
fn check_entry(entry: &Entry, places: &[(u64, i64, u64)]) -> Result<(), String> {
    let is_whole = places.len() as u64 == entry.count
        && places.iter().zip(entry.first_id..).all(|(place, id)| place.2 == id)
        && places.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 + 1 == pair[1].1);
    let is_true = match entry.told {
        Told::Accepted => is_whole,
        Told::Refused => places.is_empty(),
        Told::Maybe => places.is_empty() || is_whole,
    };
    if is_true { Ok(()) } else { Err(format!("{entry:?} is stored at {places:?}")) }
}

/// Event number `id`: always the same.
fn event(id: u64) -> Event {
    let mut dice = Dice::new(id);
    let mut body = id.to_be_bytes().to_vec();
    // A large one is over a frame.
    let most = if dice.one_in(50) { 80_000 } else { 300 };
    body.resize(8 + dice.small_below(most) as usize, id as u8);
    let event = Event::new(body);
    if dice.one_in(3) { event.with_property("id", id) } else { event }
}

/// Its number, if nothing about it has changed.
fn id_of(found: &Event) -> Option<u64> {
    let id = u64::from_be_bytes(found.data()?.get(..8)?.try_into().ok()?);
    let sent = event(id);
    let is_same = found.data() == sent.data() && found.application_properties() == sent.application_properties();
    is_same.then_some(id)
}

// ---- readers ---------------------------------------------------------------------------------------------------

/// Which event a reader has to see first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// This one.
    Is(i64),
    /// The end of the partition when it attached, which was one of these.
    IsWithin(i64, i64),
}

/// What a reader saw.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) reader: Reader,
    pub(crate) first: First,
    pub(crate) seen: Vec<ReceivedEvent>,
}

impl Log {
    /// The sequence number that must come next, when one has come.
    pub(crate) fn next(&self) -> Option<i64> {
        self.seen.last().map(|last| last.sequence_number + 1)
    }

    /// Takes note of an event, which has to follow the one before.
    pub(crate) fn saw(&mut self, event: ReceivedEvent) -> Result<(), String> {
        let number = event.sequence_number;
        let is_right = match (self.next(), self.first) {
            (Some(next), _) => number == next,
            (None, First::Is(first)) => number == first,
            (None, First::IsWithin(low, high)) => (low..=high).contains(&number),
        };
        if !is_right {
            let last = self.next().map(|next| next - 1);
            return Err(format!("{:?}: {number} came after {last:?}, first {:?}", self.reader, self.first));
        }
        self.seen.push(event);
        Ok(())
    }

    /// Whether all has come that the partition holds.
    pub(crate) fn is_complete(&self, end: i64) -> bool {
        self.next().is_some_and(|next| next == end)
    }

    /// Compares what was seen with what is held.
    pub(crate) fn check(&self, emulator: &Emulator) -> Result<(), String> {
        let stored = emulator.events_from(HUB, self.reader.partition as u32, 0).unwrap_or_default();
        let end = stored.len() as i64;
        let missed = match (self.next(), self.first) {
            (Some(next), _) => next < end,
            (None, First::Is(first)) => first < end,
            (None, First::IsWithin(_, high)) => high < end,
        };
        if missed {
            return Err(format!("{:?} saw {} events of {end}, from {:?} on", self.reader, self.seen.len(), self.first));
        }
        self.seen.iter().try_for_each(|seen| check_same(seen, stored.get(seen.sequence_number as usize)))
    }
}

fn check_same(seen: &ReceivedEvent, stored: Option<&StoredEvent>) -> Result<(), String> {
    let Some(stored) = stored else { return Err(format!("{seen:?} is not held")) };
    let is_same = seen.offset == stored.offset.to_string()
        && seen.enqueued_time == whole_millis(stored.enqueued_time)
        && seen.partition_key.as_deref() == stored.partition_key.as_deref()
        && stored.event().is_ok_and(|event| id_of(&event).is_some() && id_of(&event) == id_of(&seen.event))
        && seen.last_enqueued.as_ref().is_none_or(|last| last.sequence_number >= seen.sequence_number);
    if is_same { Ok(()) } else { Err(format!("{seen:?} is held as {stored:?}")) }
}

fn whole_millis(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_millis(since.as_millis() as u64)
}

/// The first event of `stored` that `start` means, when it names the one at `index`.
pub(crate) fn first_of(start: Start, stored: &[StoredEvent], index: usize) -> i64 {
    match start {
        Start::AfterSequenceNumber | Start::AfterOffset => index as i64 + 1,
        Start::FromEnqueuedTime => {
            let time = whole_millis(stored[index].enqueued_time);
            stored.partition_point(|event| whole_millis(event.enqueued_time) < time) as i64
        }
        Start::Earliest => 0,
        Start::Latest => stored.len() as i64,
        Start::FromSequenceNumber | Start::FromOffset => index as i64,
    }
}
