//! Those who read: from anywhere, at any speed, and on from where they were after every stop and every loss.

use std::sync::Arc;
use std::time::Duration;

use hubwire::{Error, Position, ReceivedEvent, Receiver, ReceiverOptions};

use crate::HUB;
use crate::book::{First, Log, first_of};
use crate::dice::Dice;
use crate::plan::{Reader, Start};
use crate::world::{CLOSE_TIMEOUT, Lease, OPEN_TIMEOUT, World, within};

/// How long a reader stays away, most often much less.
const REST: Duration = Duration::from_secs(10);
/// How long events are waited for when nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(30);
const STOLEN: &str = "amqp:link:stolen";

/// A reader at work.
struct Reading {
    world: Arc<World>,
    dice: Dice,
    log: Log,
    position: Position,
    owner_level: Option<i64>,
    /// Nothing came in all patience, though nothing goes wrong any more.
    is_at_end: bool,
}

/// Reads until the partition's end for good.
pub(crate) async fn read(world: Arc<World>, reader: Reader) -> Result<Log, String> {
    let mut dice = Dice::new(reader.seed);
    tokio::time::sleep(dice.span_below(world.storm)).await;
    let (first, position) = begin(&world, &reader, &mut dice);
    world.say(|| format!("{reader:?} begins with {position:?}"));
    let owner_level = reader.owner_level;
    let log = Log { reader, first, seen: Vec::new() };
    let mut reading = Reading { world, dice, log, position, owner_level, is_at_end: false };
    while !reading.is_done() {
        reading.go_on().await?;
    }
    Ok(reading.log)
}

/// Chooses the event that the start names among those that are there.
fn begin(world: &World, reader: &Reader, dice: &mut Dice) -> (First, Position) {
    let stored = world.emulator.events_from(HUB, reader.partition as u32, 0).unwrap_or_default();
    if reader.start == Start::Latest {
        return (First::IsWithin(stored.len() as i64, stored.len() as i64), Position::Latest);
    }
    if stored.is_empty() {
        return (First::Is(0), Position::Earliest);
    }
    let index = dice.below(stored.len() as u64) as usize;
    let event = &stored[index];
    let position = match reader.start {
        Start::Earliest => Position::Earliest,
        Start::Latest => Position::Latest,
        Start::FromSequenceNumber => Position::FromSequenceNumber(event.sequence_number),
        Start::AfterSequenceNumber => Position::AfterSequenceNumber(event.sequence_number),
        Start::FromOffset => Position::FromOffset(event.offset.to_string()),
        Start::AfterOffset => Position::AfterOffset(event.offset.to_string()),
        Start::FromEnqueuedTime => Position::FromEnqueuedTime(event.enqueued_time),
    };
    (First::Is(first_of(reader.start, &stored, index)), position)
}

impl Reading {
    fn end(&self) -> Option<i64> {
        self.world.end(self.log.reader.partition)
    }

    fn is_done(&self) -> bool {
        self.is_at_end || self.end().is_some_and(|end| self.log.is_complete(end))
    }

    /// One link, from its attach to its end.
    async fn go_on(&mut self) -> Result<(), String> {
        tokio::time::sleep(self.dice.span_below(REST)).await;
        let Some(lease) = self.world.lease(self.log.reader.slot).await? else { return Ok(()) };
        let Some(mut receiver) = self.attach(&lease).await? else { return Ok(()) };
        let ended = self.take_some(&mut receiver).await?;
        self.position = receiver.position().clone();
        match ended {
            Some(error) => self.on_error(&lease, &error).await?,
            None if self.dice.one_in(8) => self.world.give_up(&lease, &mut self.dice).await?,
            None => {}
        }
        if self.dice.one_in(2) {
            within(CLOSE_TIMEOUT, "a receiver's close", receiver.close()).await?;
        }
        Ok(())
    }

    async fn attach(&mut self, lease: &Lease) -> Result<Option<Receiver>, String> {
        let reader = &self.log.reader;
        let (partition, partition_id) = (reader.partition, reader.partition.to_string());
        let mut options = ReceiverOptions::default()
            .consumer_group(reader.group)
            .position(self.position.clone())
            .credit(reader.credit)
            .metrics(self.dice.one_in(3));
        if let Some(level) = self.owner_level {
            options = options.owner_level(level).name("model");
        }
        let low = self.world.end_now(partition);
        let attaching = lease.connection.receiver(HUB, &partition_id, &options);
        match within(OPEN_TIMEOUT, "a receiver", attaching).await? {
            Ok(receiver) => {
                if self.log.seen.is_empty() && matches!(self.log.first, First::IsWithin(..)) {
                    self.log.first = First::IsWithin(low, self.world.end_now(partition));
                }
                self.say(|| "attached".into());
                Ok(Some(receiver))
            }
            Err(error) => {
                self.on_error(lease, &error).await?;
                Ok(None)
            }
        }
    }

    /// Reads for a while; why there is no more, if that was the end.
    async fn take_some(&mut self, receiver: &mut Receiver) -> Result<Option<Error>, String> {
        let rounds = 1 + self.dice.below(40);
        let mut round = 0;
        while !self.is_done() && (round < rounds || self.end().is_some()) {
            round += 1;
            match self.take(receiver).await? {
                Ok(events) => events.into_iter().try_for_each(|event| self.log.saw(event))?,
                Err(error) => return Ok(Some(error)),
            }
            if self.log.next().is_some_and(|next| *receiver.position() != Position::AfterSequenceNumber(next - 1)) {
                return Err(format!("{:?} stands at {:?}", self.log.reader, receiver.position()));
            }
            if self.end().is_none() && self.dice.one_in(3) {
                tokio::time::sleep(self.dice.span_below(REST)).await;
            }
        }
        Ok(None)
    }

    /// Takes what comes, in one of several ways.
    async fn take(&mut self, receiver: &mut Receiver) -> Result<Result<Vec<ReceivedEvent>, Error>, String> {
        let is_calm = self.end().is_some();
        let wait = if is_calm { PATIENCE } else { self.dice.span_below(REST) };
        let taken = match self.dice.below(4) {
            0 => {
                let most = 1 + self.dice.small_below(40) as usize;
                let many = tokio::time::timeout(wait, receiver.recv_many(most)).await;
                many.map_or(Ok(Vec::new()), |many| many.map(Vec::from))
            }
            // A future that is dropped as soon as it has been looked at takes nothing along.
            1 if !is_calm => {
                let one = tokio::time::timeout(Duration::ZERO, receiver.recv()).await;
                one.map_or(Ok(Vec::new()), |one| one.map(|event| vec![event]))
            }
            _ => {
                let one = within(wait, "a wait for an event", receiver.recv_within(wait)).await?;
                one.map(|one| one.into_iter().collect())
            }
        };
        self.is_at_end = is_calm && matches!(&taken, Ok(events) if events.is_empty());
        Ok(taken)
    }

    async fn on_error(&mut self, lease: &Lease, error: &Error) -> Result<(), String> {
        self.say(|| format!("{error}"));
        if error.condition() == Some(STOLEN) {
            // Some take it back, some wait until it is free.
            let more = if self.dice.one_in(2) { self.dice.below(4) as i64 } else { 0 };
            self.owner_level = self.owner_level.map(|level| level + more);
            if self.end().is_some() {
                // Whoever is there may come to an end.
                tokio::time::sleep(PATIENCE * 2).await;
            }
        }
        self.world.on_error(lease, error, &mut self.dice).await
    }

    fn say(&self, what: impl FnOnce() -> String) {
        let (reader, next) = (&self.log.reader, self.log.next());
        self.world.say(|| format!("reader {:x} of {} at {next:?}: {}", reader.seed, reader.partition, what()));
    }
}
