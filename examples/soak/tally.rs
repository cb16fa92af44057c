//! What was told of each batch, and how often it is stored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hubwire::SendError;
use hubwire::emulator::{Emulator, StoredEvent};

use super::{HUB, PARTITIONS};

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Accepted,
    Rejected,
    NotSent,
    Unknown,
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

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    events: u32,
    told: Option<Told>,
    /// Events of it that are stored; of a batch that is stored once, all.
    stored: u32,
}

/// All batches, by number.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    entries: Vec<Entry>,
    /// The next sequence number of each partition.
    read: [i64; PARTITIONS as usize],
    /// Events that were gone before they were read here, or that nobody sent.
    unread: u64,
}

/// What it comes to. Events, but for `pending` and `unread`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) batches: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) not_sent: u64,
    pub(crate) unknown: u64,
    /// Of the unknown ones.
    pub(crate) unknown_stored: u64,
    /// Accepted, and not stored.
    pub(crate) lost: u64,
    /// Stored more often than once.
    pub(crate) duplicates: u64,
    /// Rejected or not sent, and stored all the same.
    pub(crate) surprising: u64,
    /// Batches without an outcome.
    pub(crate) pending: u64,
    pub(crate) unread: u64,
}

impl Verdict {
    pub(crate) fn is_true(&self) -> bool {
        [self.lost, self.duplicates, self.surprising, self.pending, self.unread] == [0; 5] && self.accepted > 0
    }
}

impl Tally {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch that is about to be sent; its number.
    pub(crate) fn open(&self, events: u32) -> usize {
        let mut books = self.books();
        books.entries.push(Entry { events, ..Entry::default() });
        books.entries.len() - 1
    }

    pub(crate) fn tell(&self, batch: usize, told: Told) {
        self.books().entries[batch].told = Some(told);
    }

    /// Reads what has been stored since the last time.
    pub(crate) fn finish(&self, emulator: &Emulator) {
        for partition in 0..PARTITIONS {
            let from = self.books().read[partition as usize];
            let events = emulator.events_from(HUB, partition, from).unwrap_or_default();
            let batches: Vec<usize> = events.iter().map(batch_of).collect();
            let mut books = self.books();
            if let (Some(first), Some(last)) = (events.first(), events.last()) {
                books.unread += first.sequence_number.abs_diff(from);
                books.read[partition as usize] = last.sequence_number + 1;
            }
            for batch in batches {
                match books.entries.get_mut(batch) {
                    Some(entry) => entry.stored += 1,
                    None => books.unread += 1,
                }
            }
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let books = self.books();
        let mut verdict = Verdict { unread: books.unread, ..Verdict::default() };
        books.entries.iter().for_each(|entry| verdict.add(entry));
        verdict
    }
}

impl Verdict {
    fn add(&mut self, &Entry { events, told, stored }: &Entry) {
        let (events, stored) = (u64::from(events), u64::from(stored));
        self.batches += 1;
        self.duplicates += stored.saturating_sub(events);
        match told {
            Some(Told::Accepted) => {
                self.accepted += events;
                self.lost += events.saturating_sub(stored);
            }
            Some(Told::Rejected) => {
                (self.rejected, self.surprising) = (self.rejected + events, self.surprising + stored)
            }
            Some(Told::NotSent) => {
                (self.not_sent, self.surprising) = (self.not_sent + events, self.surprising + stored)
            }
            Some(Told::Unknown) => {
                self.unknown += events;
                self.unknown_stored += stored;
                // In part is as wrong as twice.
                self.surprising += if stored == 0 || stored >= events { 0 } else { stored };
            }
            None => self.pending += 1,
        }
    }
}

/// Reads along while events come: the hub keeps no more than so many bytes.
pub(crate) async fn read_along(emulator: Emulator, tally: Arc<Tally>) {
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (emulator, tally) = (emulator.clone(), Arc::clone(&tally));
        let _ = tokio::task::spawn_blocking(move || tally.finish(&emulator)).await;
    }
}

/// The body of an event of a batch: its number, and padding.
pub(crate) fn body(batch: usize) -> String {
    format!("{batch:<20}{:>80}", "")
}

fn batch_of(event: &StoredEvent) -> usize {
    let event = event.event().expect("what is stored decodes");
    let text = event.data().and_then(|data| std::str::from_utf8(data).ok()).unwrap_or_default();
    text.trim_end().parse().unwrap_or(usize::MAX)
}
