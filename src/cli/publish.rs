//! Items -> batches -> outcomes, several batches under way at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::failure::{Failure, Kind};
use super::input::{Content, Input, Item, Stream, Unit};
use super::progress::Progress;
use super::report::{Tally, interrupted};
use super::signal::Signals;
use crate::{Accepted, Batch, Connection, Event, SendError, Sender, TryAdd};

/// A batch that is not full leaves when the input has paused for this long.
const LINGER: Duration = Duration::from_millis(20);
/// Batches that are being filled at a time, one for each partition key. The oldest makes room.
const MAX_OPEN: usize = 256;
/// Bytes in them, counted in full batches.
const MAX_OPEN_FULL: usize = 4;

/// Why no more is sent. The tally knows the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stop;

/// Sends an input, once.
#[derive(Debug)]
pub(super) struct Publisher<'a> {
    connection: Connection,
    sender: Arc<Sender>,
    /// Bytes.
    max_batch_len: usize,
    max_in_flight: usize,
    unit: Unit,
    signals: &'a mut Signals,
    /// Being filled, the oldest first.
    open: Vec<Batch>,
    open_len: usize,
    /// Emptied, for the next events.
    spare: Vec<Batch>,
    in_flight: JoinSet<Result<Accepted, SendError>>,
    events_in_flight: u64,
    is_ending: bool,
    tally: Tally,
    progress: Progress,
}

/// What a [`Publisher`] goes by.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) max_batch_len: Option<u64>,
    pub(super) max_in_flight: usize,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(
        connection: Connection,
        sender: Sender,
        limits: &Limits,
        signals: &'a mut Signals,
        progress: Progress,
    ) -> Self {
        let asked = limits.max_batch_len.map_or(usize::MAX, |len| usize::try_from(len).unwrap_or(usize::MAX));
        Self {
            connection,
            max_batch_len: sender.max_message_size().min(asked),
            sender: Arc::new(sender),
            max_in_flight: limits.max_in_flight,
            unit: Unit::Line,
            signals,
            open: Vec::new(),
            open_len: 0,
            spare: Vec::new(),
            in_flight: JoinSet::new(),
            events_in_flight: 0,
            is_ending: false,
            tally: Tally::default(),
            progress,
        }
    }

    /// Sends `input` and waits for every outcome. After a failure nothing new is sent.
    pub(super) async fn publish(mut self, input: Input) -> Tally {
        self.unit = input.unit;
        let ended = match input.content {
            Content::Whole(items) => self.publish_whole(items).await,
            Content::Stream(mut stream) => {
                let ended = self.publish_stream(&mut stream).await;
                // Read, but not taken when the sending ended.
                self.tally.not_sent += stream.waiting_count();
                ended
            }
        };
        if ended.is_ok() {
            // What stops the flush is in the tally.
            let _ = self.flush().await;
        }
        self.tally.not_sent += self.open.drain(..).map(|batch| batch.len() as u64).sum::<u64>();
        self.settle_all().await;
        self.progress.finish();
        self.tally
    }

    /// All or nothing, as far as sizes go: every event is measured before the first is sent.
    async fn publish_whole(&mut self, items: Vec<Item>) -> Result<(), Stop> {
        if let Some(failure) = items.iter().find_map(|item| self.too_large(item)) {
            self.tally.not_sent += items.len() as u64;
            return self.stop(failure);
        }
        self.add_all(items).await
    }

    async fn publish_stream(&mut self, stream: &mut Stream) -> Result<(), Stop> {
        loop {
            let has_open = !self.open.is_empty();
            tokio::select! {
                biased;
                signal = self.signals.next() => return self.stop(interrupted(signal)),
                Some(settled) = self.in_flight.join_next() => self.on_settled(settled.ok())?,
                items = stream.next() => match items {
                    None => return Ok(()),
                    Some(Ok(items)) => self.add_all(items).await?,
                    Some(Err(failure)) => {
                        // The lines before the bad one are good: which of them are sent must not depend on chance.
                        self.flush().await?;
                        return self.stop(failure);
                    }
                },
                () = tokio::time::sleep(LINGER), if has_open => self.flush().await?,
            }
        }
    }

    /// Puts all items into batches, and sends those that are full. On an error, the items that are left are counted.
    async fn add_all(&mut self, items: Vec<Item>) -> Result<(), Stop> {
        let mut items = items.into_iter();
        while let Some(item) = items.next() {
            let added = self.add(item).await;
            if added.is_err() {
                self.tally.not_sent += items.len() as u64;
                return added;
            }
        }
        Ok(())
    }

    /// Adds one item to the batch of its key. On an error it is counted.
    async fn add(&mut self, item: Item) -> Result<(), Stop> {
        let key = item.partition_key.as_deref();
        let index = self.open_batch(key);
        let len_before = self.open[index].encoded_len();
        let event = match self.open[index].try_add(item.event) {
            TryAdd::Added => {
                self.open_len += self.open[index].encoded_len() - len_before;
                return self.make_room().await;
            }
            TryAdd::Full(event) => event,
            TryAdd::TooLarge(event) | TryAdd::Invalid(event, _) => return self.refuse(Item { event, ..item }).await,
        };
        let full = self.take_open(index);
        if let Err(stop) = self.send(full).await {
            self.tally.not_sent += 1;
            return Err(stop);
        }
        let index = self.open_batch(key);
        let len_before = self.open[index].encoded_len();
        // It fits into an empty batch: that is what `Full` means.
        let _ = self.open[index].try_add(event);
        self.open_len += self.open[index].encoded_len() - len_before;
        Ok(())
    }

    /// An event of a stream that no batch can hold: what came before it is sent, and nothing after.
    async fn refuse(&mut self, item: Item) -> Result<(), Stop> {
        self.tally.not_sent += 1;
        self.flush().await?;
        let failure = self.too_large(&item).unwrap_or_else(|| Failure::input("the event cannot be encoded"));
        self.stop(failure)
    }

    /// What is wrong with the size of `item`, if anything.
    fn too_large(&self, item: &Item) -> Option<Failure> {
        let len = message_len(&item.event, item.partition_key.as_deref())?;
        (len > self.max_batch_len).then(|| {
            let limit = self.max_batch_len;
            let name = self.unit.name(item.number);
            let (whose, advice) = match self.sender.max_message_size() {
                hubs if limit >= hubs => ("the hub's limit", "make it smaller".to_owned()),
                hubs if len > hubs => ("--max-batch-bytes", format!("make it smaller: the hub's limit is {hubs}")),
                _ => ("--max-batch-bytes", format!("raise --max-batch-bytes to {len} or more")),
            };
            Failure::input(format!("{name}: takes {len} bytes as a message, and {whose} is {limit}; {advice}"))
        })
    }

    /// The index of the batch for `key`, which may be new.
    fn open_batch(&mut self, key: Option<&str>) -> usize {
        let is_of_key = |batch: &Batch| batch.partition_key() == key;
        // Mostly the last one: events of a key come together, or have none.
        if let Some(index) = self.open.iter().rposition(is_of_key) {
            return index;
        }
        let spare = self.spare.iter().position(is_of_key).map(|index| self.spare.swap_remove(index));
        let batch = spare.unwrap_or_else(|| new_batch(self.max_batch_len, key));
        self.open_len += batch.encoded_len();
        self.open.push(batch);
        self.open.len() - 1
    }

    fn take_open(&mut self, index: usize) -> Batch {
        let batch = self.open.remove(index);
        self.open_len -= batch.encoded_len();
        batch
    }

    /// Sends the oldest batches while there are more, or larger ones, than memory is meant to hold.
    async fn make_room(&mut self) -> Result<(), Stop> {
        let max_len = self.max_batch_len.saturating_mul(MAX_OPEN_FULL);
        while self.open.len() > MAX_OPEN || self.open_len > max_len {
            let oldest = self.take_open(0);
            self.send(oldest).await?;
        }
        Ok(())
    }

    /// Sends every batch, full or not.
    async fn flush(&mut self) -> Result<(), Stop> {
        while !self.open.is_empty() {
            let oldest = self.take_open(0);
            self.send(oldest).await?;
        }
        Ok(())
    }

    /// Puts `batch` under way as soon as there is a place. On an error it is counted.
    async fn send(&mut self, batch: Batch) -> Result<(), Stop> {
        // It was begun for an event that turned out too large.
        if batch.is_empty() {
            return Ok(());
        }
        while self.in_flight.len() >= self.max_in_flight {
            let ended = tokio::select! {
                biased;
                signal = self.signals.next() => self.stop(interrupted(signal)),
                Some(settled) = self.in_flight.join_next() => self.on_settled(settled.ok()),
            };
            if ended.is_err() {
                self.tally.not_sent += batch.len() as u64;
                return ended;
            }
        }
        self.events_in_flight += batch.len() as u64;
        let sender = Arc::clone(&self.sender);
        self.in_flight.spawn(async move { sender.send(batch).await });
        // The connection's task shares this thread: let it write.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Counts the outcome of a batch. `None`, of one whose task fell, stays among those in flight.
    fn on_settled(&mut self, settled: Option<Result<Accepted, SendError>>) -> Result<(), Stop> {
        let Some(result) = settled else {
            return self.stop(Failure::new(Kind::UnknownOutcome, "no answer came: a send was lost"));
        };
        let result = match result {
            Ok(accepted) => {
                self.on_accepted(accepted);
                Ok(())
            }
            Err(error) => self.on_failed(&error),
        };
        self.progress.update(&self.tally);
        result
    }

    fn on_accepted(&mut self, accepted: Accepted) {
        self.events_in_flight -= accepted.events as u64;
        self.tally.accepted += accepted.events as u64;
        self.tally.batches += 1;
        self.tally.bytes += accepted.message_len as u64;
        if self.spare.len() < self.max_in_flight {
            self.spare.push(accepted.into_batch());
        }
    }

    fn on_failed(&mut self, error: &SendError) -> Result<(), Stop> {
        let events = error.batch().len() as u64;
        self.events_in_flight -= events;
        *match error {
            SendError::Rejected { .. } => &mut self.tally.rejected,
            SendError::NotSent { .. } => &mut self.tally.not_sent,
            SendError::Unknown { .. } => &mut self.tally.unknown,
        } += events;
        self.stop(Failure::of_send(error))
    }

    fn stop(&mut self, failure: Failure) -> Result<(), Stop> {
        // After a signal the connection is closed under the batches in flight: the signal is the cause, told once.
        if !self.is_ending {
            self.is_ending = failure.kind >= Kind::Interrupted;
            self.tally.fail(failure);
        }
        Err(Stop)
    }

    /// Waits for everything under way. A signal shortens it to the time for a goodbye, a second one ends it.
    async fn settle_all(&mut self) {
        if self.is_ending {
            self.say_goodbye();
        }
        while !self.in_flight.is_empty() {
            tokio::select! {
                biased;
                signal = self.signals.next() => {
                    if self.is_ending {
                        break;
                    }
                    let _ = self.stop(interrupted(signal));
                    self.say_goodbye();
                }
                Some(settled) = self.in_flight.join_next() => {
                    let _ = self.on_settled(settled.ok());
                }
            }
        }
        self.tally.unknown += std::mem::take(&mut self.events_in_flight);
        self.tally.advise();
    }

    /// Bounds the wait for what is under way: what has no outcome by then ends as unknown or not sent.
    fn say_goodbye(&self) {
        let connection = self.connection.clone();
        tokio::spawn(async move { connection.close().await });
    }
}

fn new_batch(max_len: usize, key: Option<&str>) -> Batch {
    // Keys are checked as they are read.
    key.and_then(|key| Batch::with_partition_key(max_len, key).ok()).unwrap_or_else(|| Batch::new(max_len))
}

/// Bytes of a message with this event alone; `None` if it cannot be encoded at all.
fn message_len(event: &Event, key: Option<&str>) -> Option<usize> {
    let mut batch = new_batch(usize::MAX, key);
    batch.try_add(event).is_added().then(|| batch.encoded_len())
}
