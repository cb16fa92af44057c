//! Read a partition, event by event. Source: event-hubs-wire 8.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::connection::{Connection, Inner, check_name, check_partition_id};
use super::deadline::Deadline;
use super::driver::{Command, LinkTerms, ReceiverTerms, SlotId};
use super::error::Error;
use crate::wire::connection_string::check_event_hub_name;
use crate::wire::position::Position;
use crate::wire::received::ReceivedEvent;

/// The consumer group that every event hub has.
pub const DEFAULT_CONSUMER_GROUP: &str = "$Default";

/// How a partition is read.
///
/// ```
/// use hubwire::{Position, ReceiverOptions};
///
/// let options = ReceiverOptions::default().position(Position::Latest).owner_level(7).credit(1_000);
/// # drop(options);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ReceiverOptions {
    consumer_group: String,
    position: Position,
    owner_level: Option<i64>,
    name: Option<String>,
    metrics: bool,
    credit: u32,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self {
            consumer_group: DEFAULT_CONSUMER_GROUP.to_owned(),
            position: Position::Earliest,
            owner_level: None,
            name: None,
            metrics: false,
            credit: 300,
        }
    }
}

impl ReceiverOptions {
    /// The consumer group that reads. Default `$Default`.
    pub fn consumer_group(mut self, name: impl Into<String>) -> Self {
        self.consumer_group = name.into();
        self
    }

    /// Where to begin. Default [`Position::Earliest`].
    pub fn position(mut self, position: Position) -> Self {
        self.position = position;
        self
    }

    /// Makes this the partition's only reader in its group, the epoch of AMQP. One with a higher level takes it over,
    /// and this one ends with `amqp:link:stolen`. Default: none, and up to five read side by side.
    pub fn owner_level(mut self, level: i64) -> Self {
        self.owner_level = Some(level);
        self
    }

    /// What the hub calls this receiver in its messages. Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Asks the hub to tell with each event how far its partition has come:
    /// [`ReceivedEvent::last_enqueued`]. Costs about 200 bytes an event. Default: no.
    pub fn metrics(mut self, wanted: bool) -> Self {
        self.metrics = wanted;
        self
    }

    /// Events that may be on their way or wait here: the link credit, and all that a slow reader makes pile up.
    /// At least 1. Default 300, as the SDKs have it.
    pub fn credit(mut self, events: u32) -> Self {
        self.credit = events.max(1);
        self
    }
}

/// A link that brings the events of one partition, in order, each once.
///
/// Nothing reads on behind the caller's back: what is not taken stays with the hub, but for
/// [`ReceiverOptions::credit`] events. When the link, its session or the connection ends, what has come by then can
/// still be taken, and then the cause is told. To go on, make a new receiver from [`position`](Self::position).
#[derive(Debug)]
pub struct Receiver {
    connection: Arc<Inner>,
    slot: SlotId,
    partition_id: String,
    events: mpsc::UnboundedReceiver<Result<Bytes, Error>>,
    /// Events taken that the hub has not been told of.
    taken: u32,
    credit: u32,
    position: Position,
    /// Why no more will come.
    ended: Option<Error>,
}

impl Connection {
    /// A receiver of one partition of `event_hub`.
    ///
    /// Puts a token for the hub, unless one is there, and attaches a link.
    ///
    /// # Errors
    /// [`Error::TokenRefused`] and [`Error::Closed`] are the hub's no, which come at once: a hub, consumer group or
    /// partition that is not there, or an owner. [`Error::TimedOut`] after
    /// [`Options::open_timeout`](super::Options::open_timeout).
    ///
    /// # Cancel
    /// The token stays; the link is detached as soon as it is there.
    ///
    /// # Example
    /// ```
    /// # #[cfg(feature = "emulator")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use hubwire::{Connection, ConnectionString, Options, ReceiverOptions};
    /// # let emulator = hubwire::emulator::Emulator::builder().event_hub("telemetry", 1).build()?;
    /// # let connection_string = ConnectionString::parse(&emulator.connection_string(None))?;
    /// # let connection = Connection::open_over(emulator.connect(), &connection_string, &Options::default()).await?;
    /// # let sender = connection.sender("telemetry").await?;
    /// # let mut batch = sender.batch();
    /// # assert!(batch.try_add("first event").is_added());
    /// # sender.send(batch).await?;
    /// let mut receiver = connection.receiver("telemetry", "0", &ReceiverOptions::default()).await?;
    /// let received = receiver.recv().await?;
    /// assert_eq!(received.event.data().unwrap(), &b"first event"[..]);
    /// assert_eq!(received.sequence_number, 0);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "emulator"))]
    /// # fn main() {}
    /// ```
    pub async fn receiver(
        &self,
        event_hub: &str,
        partition_id: &str,
        options: &ReceiverOptions,
    ) -> Result<Receiver, Error> {
        check_event_hub_name(event_hub)?;
        check_partition_id(partition_id)?;
        check_name(&options.consumer_group, "consumer group")?;
        let (sender, events) = mpsc::unbounded_channel();
        let group = &options.consumer_group;
        let terms = ReceiverTerms {
            address: format!("{event_hub}/ConsumerGroups/{group}/Partitions/{partition_id}"),
            selector: options.position.selector(),
            owner_level: options.owner_level,
            name: options.name.clone(),
            wants_metrics: options.metrics,
            credit: options.credit,
            events: sender,
        };
        let (slot, _) = self.attach(event_hub, LinkTerms::Receiver(terms), self.open_deadline()).await?;
        Ok(Receiver {
            connection: self.inner.clone(),
            slot,
            partition_id: partition_id.to_owned(),
            events,
            taken: 0,
            credit: options.credit,
            position: options.position.clone(),
            ended: None,
        })
    }
}

impl Receiver {
    /// The next event. Waits for as long as the hub has none and the connection lives; see
    /// [`recv_within`](Self::recv_within) for a wait of your own length.
    ///
    /// # Errors
    /// Why no more will come: the link, its session or the connection has ended. `amqp:link:stolen` is a receiver with a
    /// higher owner level. The same again at every call.
    ///
    /// # Cancel
    /// No event is lost.
    pub async fn recv(&mut self) -> Result<ReceivedEvent, Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        // The channel closes without a last word only when the connection's task was torn down with its runtime.
        let next = self.events.recv().await.unwrap_or_else(|| Err(self.connection.cause()));
        self.take(next)
    }

    /// The next event, or `None` when none has come within `limit`.
    ///
    /// # Errors
    /// As of [`recv`](Self::recv).
    ///
    /// # Cancel
    /// No event is lost.
    pub async fn recv_within(&mut self, limit: Duration) -> Result<Option<ReceivedEvent>, Error> {
        let deadline = Deadline::after(limit);
        match tokio::time::timeout_at(deadline.at.into(), self.recv()).await {
            Ok(received) => received.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// What has come already, up to `limit` events; waits for the first of them.
    ///
    /// # Errors
    /// As of [`recv`](Self::recv). Events that came before the end are given first.
    ///
    /// # Cancel
    /// No event is lost.
    pub async fn recv_many(&mut self, limit: usize) -> Result<VecDeque<ReceivedEvent>, Error> {
        let mut received = VecDeque::from([self.recv().await?]);
        while received.len() < limit
            && let Ok(next) = self.events.try_recv()
        {
            match self.take(next) {
                Ok(event) => received.push_back(event),
                // Told at the next call.
                Err(_) => break,
            }
        }
        Ok(received)
    }

    fn take(&mut self, next: Result<Bytes, Error>) -> Result<ReceivedEvent, Error> {
        let received = next.and_then(|message| {
            let read = ReceivedEvent::decode(&message);
            read.map_err(|error| Error::Violation { what: format!("an event cannot be read: {error}") })
        });
        match received {
            Ok(received) => {
                self.position = received.position();
                self.grant();
                Ok(received)
            }
            Err(error) => {
                self.ended = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Makes room for more, a good part of the credit at a time.
    fn grant(&mut self) {
        self.taken += 1;
        if self.taken > self.credit / 4 {
            let taken = std::mem::take(&mut self.taken);
            // A connection that has ended says so by itself.
            let _ = self.connection.ask(Command::Credit { slot: self.slot, taken });
        }
    }

    /// Where another receiver would go on: behind the last event that was taken here.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The partition.
    pub fn partition_id(&self) -> &str {
        &self.partition_id
    }

    /// Detaches the link, and waits for the hub to agree, within
    /// [`Options::close_timeout`](super::Options::close_timeout). What was not taken stays with the hub.
    ///
    /// # Cancel
    /// The link is detached all the same.
    pub async fn close(self) {
        self.connection.detach(self.slot).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Nothing to wait for: the connection's task does it.
        let _ = self.connection.ask(Command::Detach { slot: self.slot, reply: None });
    }
}
