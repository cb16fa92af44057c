//! Events in, batches out: by size, or when the first of them has waited long enough.

mod cohort;
mod options;
mod route;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Connection;
use super::deadline::Deadline;
use super::error::{Error, Step};
use super::flights::Flights;
use super::options::Options;
use super::sender::Sender;
use crate::wire::batch::{Batch, BatchItem, PartitionKeyError, TryAdd, room_for};
use crate::wire::connection_string::ConnectionString;
use crate::wire::event::EncodeError;
use crate::wire::partition::partition_for_key;
pub use cohort::{Receipt, Undelivered};
pub use options::{KeySpread, PublisherOptions};
use route::{Forming, Route};

/// Takes events one by one and sends them in batches, over one connection or several.
///
/// A batch leaves when it is full, or when its first event has waited for [`PublisherOptions::linger`]. Each event's outcome
/// is told by its [`Receipt`]. Events without a key fill one batch after the other, which go to the connections in turn;
/// those with a key, or to a partition, have batches of their own, on one connection, and keep their order. When nothing
/// waits there is no timer and no work.
///
/// ```
/// use hubwire::{ConnectionString, Options, Publisher, PublisherOptions};
/// # use hubwire::emulator::Emulator;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listening = Emulator::builder().event_hub("telemetry", 4).build()?.listen("127.0.0.1:0").await?;
/// # let text = listening.connection_string(None);
/// let to = ConnectionString::parse(&text)?;
/// let publisher = Publisher::open(&to, "telemetry", &Options::default(), &PublisherOptions::default()).await?;
/// let mut receipts = Vec::new();
/// for number in 0..1_000 {
///     receipts.push(publisher.publish(format!("event {number}")).await?);
/// }
/// publisher.flush().await;
/// for receipt in receipts {
///     receipt.await?;
/// }
/// publisher.close().await;
/// # Ok(())
/// # }
/// ```
///
/// # Drop
/// What it holds is sent when its time has come, as long as the runtime lives; [`close`](Self::close) waits for that.
pub struct Publisher {
    shared: Arc<Shared>,
    connections: Vec<Connection>,
    event_hub: String,
    /// In the order of their numbers, where keys are spread here.
    partition_ids: Vec<String>,
}

/// What routes and their tasks share.
struct Shared {
    options: PublisherOptions,
    connection_options: Options,
    /// To the hub, one on each connection.
    lanes: Vec<Arc<Sender>>,
    turn: AtomicUsize,
    any: Arc<Route>,
    /// By partition key; only those that have events.
    keys: Mutex<HashMap<Box<str>, Arc<Route>>>,
    /// By partition id.
    partitions: tokio::sync::Mutex<HashMap<String, Arc<Route>>>,
    /// Bytes that may still be held.
    room: Arc<Semaphore>,
    flights: Arc<Flights>,
    next_flight: AtomicU64,
}

/// Why an event was not taken. It comes back.
#[derive(Debug, thiserror::Error)]
pub enum PublishError<E> {
    /// No batch can hold it.
    #[error("the event does not fit into a batch of its own: publish less in one event")]
    TooLarge(E),
    /// It cannot be encoded.
    #[error("the event cannot be encoded: {1}")]
    Invalid(E, EncodeError),
    /// The key is none.
    #[error("{1}")]
    Key(E, PartitionKeyError),
    /// There was no room in time, or no link to the partition.
    #[error("the event was not taken: {1}")]
    NotTaken(E, Error),
}

impl Publisher {
    /// Opens [`PublisherOptions::connections`] connections, and a link to `event_hub` on each.
    ///
    /// # Errors
    /// Those of [`Connection::open`] and [`Connection::sender`]; with [`KeySpread::Here`] also those of
    /// [`Connection::event_hub_properties`].
    ///
    /// # Cancel
    /// Nothing is left behind.
    pub async fn open(
        connection_string: &ConnectionString,
        event_hub: &str,
        options: &Options,
        publisher_options: &PublisherOptions,
    ) -> Result<Self, Error> {
        let mut connections = Vec::new();
        for _ in 0..publisher_options.connections.max(1) {
            connections.push(Connection::open(connection_string, options).await?);
        }
        Self::over(connections, event_hub, publisher_options).await
    }

    /// The same over connections that are there already: one or more.
    ///
    /// # Errors
    /// Those of [`Connection::sender`]; [`Error::Setting`] without a connection.
    ///
    /// # Cancel
    /// The connections are closed, unless others hold them.
    pub async fn over(
        connections: Vec<Connection>,
        event_hub: &str,
        publisher_options: &PublisherOptions,
    ) -> Result<Self, Error> {
        let Some(first) = connections.first() else {
            return Err(Error::Setting { name: "connections", reason: "a publisher needs one at least".to_owned() });
        };
        let partition_ids = match publisher_options.key_spread {
            KeySpread::Hub => Vec::new(),
            KeySpread::Here => first.event_hub_properties(event_hub).await?.partition_ids,
        };
        let connection_options = first.inner.options.clone();
        let mut lanes = Vec::new();
        for connection in &connections {
            lanes.push(Arc::new(connection.sender(event_hub).await?));
        }
        let shared = Shared {
            options: publisher_options.clone(),
            connection_options,
            lanes,
            turn: AtomicUsize::new(0),
            any: Arc::new(Route::any()),
            keys: Mutex::default(),
            partitions: tokio::sync::Mutex::default(),
            room: Arc::new(Semaphore::new(publisher_options.max_held_bytes.clamp(1, Semaphore::MAX_PERMITS))),
            flights: Arc::default(),
            next_flight: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared), connections, event_hub: event_hub.to_owned(), partition_ids })
    }

    /// Takes an event; the hub chooses its partition. It waits while as much is held as
    /// [`PublisherOptions::max_held_bytes`] allows, or the window of the connections is full, within
    /// [`Options::send_timeout`].
    ///
    /// # Errors
    /// [`PublishError`], with the event in it.
    ///
    /// # Cancel
    /// The event is not taken. Others are not concerned.
    pub async fn publish<E: BatchItem>(&self, event: E) -> Result<Receipt, PublishError<E>> {
        self.shared.take(&self.shared.any, event).await
    }

    /// The same for an event that goes to the partition of `key`, behind those of the same key.
    ///
    /// # Errors
    /// [`PublishError`], with the event in it.
    ///
    /// # Cancel
    /// As of [`publish`](Self::publish).
    pub async fn publish_with_key<E: BatchItem>(&self, key: &str, event: E) -> Result<Receipt, PublishError<E>> {
        if !self.partition_ids.is_empty() {
            let partition_id = &self.partition_ids[lane_of(key, self.partition_ids.len())];
            return self.publish_to_partition(partition_id, event).await;
        }
        match self.shared.keyed(key) {
            Ok(route) => self.shared.take(&route, event).await,
            Err(why) => Err(PublishError::Key(event, why)),
        }
    }

    /// The same for an event that goes to one partition, behind those that went there by this publisher. The link is made
    /// with the first.
    ///
    /// # Errors
    /// [`PublishError`], with the event in it; the errors of [`Connection::partition_sender`] are in
    /// [`PublishError::NotTaken`].
    ///
    /// # Cancel
    /// As of [`publish`](Self::publish).
    pub async fn publish_to_partition<E: BatchItem>(
        &self,
        partition_id: &str,
        event: E,
    ) -> Result<Receipt, PublishError<E>> {
        match self.partition(partition_id).await {
            Ok(route) => self.shared.take(&route, event).await,
            Err(cause) => Err(PublishError::NotTaken(event, cause)),
        }
    }

    async fn partition(&self, partition_id: &str) -> Result<Arc<Route>, Error> {
        let mut partitions = self.shared.partitions.lock().await;
        if let Some(route) = partitions.get(partition_id) {
            return Ok(route.clone());
        }
        // One partition, one connection: its events keep their order.
        let connection = &self.connections[lane_of(partition_id, self.connections.len())];
        let sender = connection.partition_sender(&self.event_hub, partition_id).await?;
        let route = Arc::new(Route::to_partition(Arc::new(sender)));
        partitions.insert(partition_id.to_owned(), route.clone());
        Ok(route)
    }

    /// Sends what is held, without waiting for its time, and waits until every event that was taken before has its outcome.
    /// What is taken meanwhile is not waited for. It ends at the latest when those events' own time does.
    ///
    /// # Cancel
    /// What was held is on its way.
    pub async fn flush(&self) {
        let end = self.shared.next_flight.load(Ordering::Acquire);
        let keyed: Vec<_> = self.shared.keys().values().cloned().collect();
        let partitions: Vec<_> = self.shared.partitions.lock().await.values().cloned().collect();
        for route in keyed.into_iter().chain(partitions).chain([self.shared.any.clone()]) {
            route.depart_as_it_is(&self.shared).await;
        }
        self.shared.flights.land_before(end).await;
    }

    /// Sends what is held, waits for the outcomes, and closes the connections, within
    /// [`Options::send_timeout`] and [`Options::close_timeout`].
    ///
    /// # Cancel
    /// As of dropping it.
    pub async fn close(self) {
        self.flush().await;
        for connection in &self.connections {
            connection.close().await;
        }
    }
}

impl Shared {
    async fn take<E: BatchItem>(self: &Arc<Self>, route: &Arc<Route>, event: E) -> Result<Receipt, PublishError<E>> {
        let deadline = Deadline::after(self.connection_options.send_timeout);
        let bytes = room_for(&event).min(self.options.max_held_bytes.max(1));
        let mut room = match self.room(u32::try_from(bytes).unwrap_or(u32::MAX), deadline).await {
            Ok(room) => Some(room),
            Err(cause) => return Err(PublishError::NotTaken(event, cause)),
        };
        let mut event = event;
        loop {
            let mut open = match deadline.limit(Step::Window, route.open()).await {
                Ok(open) => open,
                Err(cause) => return Err(PublishError::NotTaken(event, cause)),
            };
            let forming = open.get_or_insert_with(|| Forming::new(route.batch(self)));
            match forming.batch.try_add(event) {
                TryAdd::Added => {
                    let receipt = forming.take_in(self, route, room.take());
                    if forming.batch.len() >= self.options.max_batch_events {
                        route.depart(self, open);
                    }
                    return Ok(receipt);
                }
                TryAdd::Full(back) => {
                    event = back;
                    route.depart(self, open);
                }
                TryAdd::TooLarge(event) => return Err(PublishError::TooLarge(event)),
                TryAdd::Invalid(event, why) => return Err(PublishError::Invalid(event, why)),
            }
        }
    }

    async fn room(&self, bytes: u32, deadline: Deadline) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(room) = self.room.clone().try_acquire_many_owned(bytes) {
            return Ok(room);
        }
        let waiting = self.room.clone().acquire_many_owned(bytes);
        // It is never closed.
        deadline.limit(Step::Window, waiting).await?.map_err(|_| Error::ShutDown)
    }

    /// The route of a key: the one that is there, or a new one.
    fn keyed(&self, key: &str) -> Result<Arc<Route>, PartitionKeyError> {
        let mut keys = self.keys();
        if let Some(route) = keys.get(key) {
            return Ok(route.clone());
        }
        // A key that is none is refused before anything is kept for it.
        let lane = &self.lanes[lane_of(key, self.lanes.len())];
        Batch::with_partition_key(lane.max_message_size(), key)?;
        let route = Arc::new(Route::with_key(key, lane.clone()));
        keys.insert(key.into(), route.clone());
        Ok(route)
    }

    /// Lets go of a key of which nothing is held.
    fn forget_key(&self, key: &str, route: &Arc<Route>) {
        let mut keys = self.keys();
        // Whoever is about to use it got it from the map, and holds it as well.
        if route.is_empty() && Arc::strong_count(route) == 2 {
            keys.remove(key);
        }
    }

    /// The link that is next in turn.
    fn next_lane(&self) -> &Arc<Sender> {
        &self.lanes[self.turn.fetch_add(1, Ordering::Relaxed) % self.lanes.len()]
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Route>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of `count` a key or a partition belongs to: always the same one, so that order is kept.
fn lane_of(name: &str, count: usize) -> usize {
    partition_for_key(name, u32::try_from(count).unwrap_or(u32::MAX)) as usize
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("event_hub", &self.event_hub)
            .field("connections", &self.connections.len())
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "emulator"))]
mod tests {
    use super::*;
    use crate::emulator::Emulator;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_keys_whose_events_have_left() {
        let emulator = Emulator::builder().event_hub("telemetry", 4).build().expect("a hub");
        let to = ConnectionString::parse(&emulator.connection_string(None)).expect("well-formed");
        let connection = Connection::open_over(emulator.connect(), &to, &Options::default()).await.expect("opens");
        let publisher = Publisher::over(vec![connection], "telemetry", &PublisherOptions::default()).await;
        let publisher = publisher.expect("a link");
        for round in 0..3 {
            for number in 0..100 {
                let taken = publisher.publish_with_key(&format!("key {number}"), "event").await;
                drop(taken.expect("taken"));
            }
            assert_eq!(publisher.shared.keys().len(), 100);
            // In the end by the timer, and by a flush before.
            if round < 2 {
                publisher.flush().await;
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            assert_eq!(publisher.shared.keys().len(), 0);
        }
        assert_eq!(emulator.totals().events, 300);
        assert_eq!(publisher.shared.room.available_permits(), PublisherOptions::default().max_held_bytes);
    }
}
