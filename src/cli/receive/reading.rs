//! Partitions -> one stream of events, over as many connections as it takes.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{PATIENCE, Sink};
use crate::cli::args::receive::ReceiveArgs;
use crate::cli::failure::{Failure, Kind};
use crate::cli::output;
use crate::cli::settings::Network;
use crate::cli::signal::Signals;
use crate::wire::condition::UNAUTHORIZED_ACCESS;
use crate::{
    Connection, Error, LastEnqueued, Options, PartitionProperties, Position, ReceivedEvent, Receiver, ReceiverOptions,
    clock,
};

/// Events that wait to be printed, in all.
const QUEUE_LEN: usize = 256;
/// Losses in a row, without an event between them, before it is given up.
const MAX_LOSSES: u32 = 6;
/// The wait after the first loss; doubled with each.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Why the reading is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything that was asked for has been read.
    Complete,
    /// Nothing came for this long.
    Quiet(Duration),
    /// The reader of standard output has gone, or it cannot be written.
    Unread,
    Signal(Kind),
}

/// A partition, and how far it has been read.
#[derive(Debug)]
pub(super) struct Partition {
    id: String,
    position: Position,
    /// The last event that is wanted, by sequence number; without one there is no end.
    end: Option<i64>,
    is_done: bool,
    /// The last that was read, and the last that there was then.
    metrics: Option<(i64, LastEnqueued)>,
}

/// `partition 0: 12 behind, at sequence number 29`
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}: ", self.id)?;
        match &self.metrics {
            Some((read, last)) => {
                write!(f, "{} behind, at sequence number {read}", last.sequence_number.saturating_sub(*read))
            }
            None => f.write_str("nothing read"),
        }
    }
}

impl Partition {
    fn new(args: &ReceiveArgs, id: String) -> Self {
        let position = args.from.position(clock::wall());
        Self { id, position, end: None, is_done: false, metrics: None }
    }

    /// Without `--follow`: what is there now is all that is wanted.
    fn bound(&mut self, properties: &PartitionProperties) {
        let last = properties.last_enqueued_sequence_number;
        self.end = Some(last);
        self.is_done = properties.is_empty || is_behind(&self.position, properties);
    }

    fn on_received(&mut self, received: &ReceivedEvent) {
        self.position = received.position();
        self.is_done = self.end.is_some_and(|end| received.sequence_number >= end);
        if let Some(last) = &received.last_enqueued {
            self.metrics = Some((received.sequence_number, last.clone()));
        }
    }
}

/// Whether `position` lies behind the last event of a partition, as far as it can be told.
fn is_behind(position: &Position, properties: &PartitionProperties) -> bool {
    let last = properties.last_enqueued_sequence_number;
    let last_offset = properties.last_enqueued_offset.parse::<i64>();
    match position {
        Position::FromSequenceNumber(number) => *number > last,
        Position::AfterSequenceNumber(number) => *number >= last,
        Position::FromEnqueuedTime(time) => properties.last_enqueued_time.is_none_or(|last| *time > last),
        // Opaque, but mostly numbers.
        Position::FromOffset(offset) => {
            offset.parse::<i64>().is_ok_and(|offset| last_offset.is_ok_and(|last| offset > last))
        }
        Position::Earliest | Position::Latest | Position::AfterOffset(_) => false,
    }
}

/// See the module.
pub(super) struct Reading<'a> {
    args: &'a ReceiveArgs,
    network: &'a Network,
    options: &'a Options,
    /// Known from the first connection on.
    partitions: Vec<Partition>,
    losses: u32,
    /// Whether the last of them was for want of a right: one more, and a fresh token does not help.
    was_denied: bool,
    /// When the last event came, or the receivers were attached.
    last_event_at: Instant,
}

/// An event, or the end of its receiver, and the partition's place in the list.
type Arrival = (usize, Result<ReceivedEvent, Error>);

/// What one connection came to.
enum Round {
    Ended(Ended),
    Lost(Error),
}

impl<'a> Reading<'a> {
    pub(super) fn new(args: &'a ReceiveArgs, network: &'a Network, options: &'a Options) -> Self {
        Self {
            args,
            network,
            options,
            partitions: Vec::new(),
            losses: 0,
            was_denied: false,
            last_event_at: clock::now(),
        }
    }

    pub(super) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Reads to the end, going on behind the last event whenever a connection or a link is lost.
    pub(super) async fn run(&mut self, sink: &mut Sink<'_>, signals: &mut Signals) -> Result<Ended, Failure> {
        loop {
            let round = tokio::select! {
                kind = signals.next() => return Ok(Ended::Signal(kind)),
                round = self.round(sink) => round,
            };
            let error = match round {
                Round::Ended(ended) => return Ok(ended),
                Round::Lost(error) => error,
            };
            let wait = self.wait_after(&error)?;
            let wait_text = humantime::format_duration(wait);
            output::warn(format_args!("{error}; going on behind the last event in {wait_text}"));
            tokio::select! {
                kind = signals.next() => return Ok(Ended::Signal(kind)),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// How long to wait before another connection is tried, or that none is.
    fn wait_after(&mut self, error: &Error) -> Result<Duration, Failure> {
        self.losses += 1;
        let is_denied = error.condition() == Some(UNAUTHORIZED_ACCESS);
        let is_denied_again = std::mem::replace(&mut self.was_denied, is_denied) && is_denied;
        let is_hopeless = !error.is_retryable() || is_denied_again || self.losses > MAX_LOSSES;
        // The first connection is tried once: what is wrong is told at once.
        if is_hopeless || self.partitions.is_empty() {
            return Err(Failure::of_error(error));
        }
        Ok(FIRST_WAIT * 2_u32.pow(self.losses - 1))
    }

    async fn round(&mut self, sink: &mut Sink<'_>) -> Round {
        let connection = match Connection::open(&self.network.connection_string, self.options).await {
            Ok(connection) => connection,
            Err(error) => return Round::Lost(error),
        };
        let round = match self.attach(&connection).await {
            Ok((readers, mut arrivals)) => {
                self.last_event_at = clock::now();
                let round = self.take(&mut arrivals, sink).await;
                drop(readers);
                round
            }
            Err(error) => Round::Lost(error),
        };
        connection.close().await;
        round
    }

    /// A receiver for each partition that is not done, in a task of its own.
    async fn attach(&mut self, connection: &Connection) -> Result<(JoinSet<()>, mpsc::Receiver<Arrival>), Error> {
        if self.partitions.is_empty() {
            self.partitions = self.find(connection).await?;
        }
        let (arrived, arrivals) = mpsc::channel(QUEUE_LEN);
        let mut readers = JoinSet::new();
        for (index, partition) in self.partitions.iter().enumerate().filter(|(_, partition)| !partition.is_done) {
            let options = self.receiver_options(partition.position.clone());
            let receiver = connection.receiver(&self.network.event_hub, &partition.id, &options).await?;
            readers.spawn(forward(index, receiver, arrived.clone()));
        }
        Ok((readers, arrivals))
    }

    async fn find(&self, connection: &Connection) -> Result<Vec<Partition>, Error> {
        let event_hub = &self.network.event_hub;
        let ids = match self.args.partition_ids.as_slice() {
            [] => connection.event_hub_properties(event_hub).await?.partition_ids,
            ids => ids.to_vec(),
        };
        let mut partitions: Vec<_> = ids.into_iter().map(|id| Partition::new(self.args, id)).collect();
        for partition in partitions.iter_mut().filter(|_| !self.args.follow) {
            let properties = connection.partition_properties(event_hub, &partition.id).await?;
            partition.bound(&properties);
        }
        Ok(partitions)
    }

    fn receiver_options(&self, position: Position) -> ReceiverOptions {
        let options = ReceiverOptions::default()
            .consumer_group(&self.args.consumer_group)
            .position(position)
            .metrics(self.args.metrics)
            .credit(self.args.credit);
        match self.args.owner_level {
            Some(level) => options.owner_level(level),
            None => options,
        }
    }

    /// Prints what comes, until there is no more to wait for.
    async fn take(&mut self, arrivals: &mut mpsc::Receiver<Arrival>, sink: &mut Sink<'_>) -> Round {
        let limit = self.args.timeout.or((!self.args.follow).then_some(PATIENCE));
        loop {
            if sink.is_full() || self.partitions.iter().all(|partition| partition.is_done) {
                return Round::Ended(Ended::Complete);
            }
            let due = limit.and_then(|limit| self.last_event_at.checked_add(limit));
            let arrival = tokio::select! {
                biased;
                arrival = arrivals.recv() => arrival,
                () = sleep_until(due) => return Round::Ended(Ended::Quiet(limit.unwrap_or_default())),
            };
            match arrival {
                Some((index, Ok(received))) => {
                    if !self.on_received(index, received, sink).await {
                        return Round::Ended(Ended::Unread);
                    }
                }
                Some((_, Err(error))) => return Round::Lost(error),
                // All that are left have been read to their ends.
                None => return Round::Ended(Ended::Complete),
            }
        }
    }

    /// Prints an event that is wanted; whether somebody still reads.
    async fn on_received(&mut self, index: usize, received: ReceivedEvent, sink: &mut Sink<'_>) -> bool {
        (self.losses, self.was_denied, self.last_event_at) = (0, false, clock::now());
        let partition = &mut self.partitions[index];
        // Read on past the end before the receiver was let go.
        if partition.is_done {
            return true;
        }
        partition.on_received(&received);
        sink.print(&partition.id, received).await.is_ok()
    }
}

async fn forward(index: usize, mut receiver: Receiver, arrived: mpsc::Sender<Arrival>) {
    loop {
        let received = receiver.recv().await;
        let is_over = received.is_err();
        if arrived.send((index, received)).await.is_err() || is_over {
            return;
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn properties(last: i64) -> PartitionProperties {
        let time = UNIX_EPOCH + Duration::from_secs(1_000);
        let value = crate::wire::management::tests::partition(0, last, "500", time);
        PartitionProperties::of_value(&value).unwrap()
    }

    #[test]
    fn a_position_behind_the_last_event_has_nothing_to_wait_for() {
        let at = |secs| UNIX_EPOCH + Duration::from_secs(secs);
        for (position, behind) in [
            (Position::Earliest, false),
            (Position::FromSequenceNumber(9), false),
            (Position::FromSequenceNumber(10), true),
            (Position::AfterSequenceNumber(9), true),
            (Position::FromOffset("500".into()), false),
            (Position::FromOffset("501".into()), true),
            (Position::FromOffset("opaque".into()), false),
            (Position::FromEnqueuedTime(at(1_000)), false),
            (Position::FromEnqueuedTime(at(1_001)), true),
        ] {
            assert_eq!(is_behind(&position, &properties(9)), behind, "{position:?}");
        }
    }
}
