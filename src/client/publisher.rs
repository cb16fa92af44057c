//! Events in, batches out: by size, or when the first of them has waited long enough.

mod cohort;
mod flights;
mod options;
mod route;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, oneshot};

use super::connection::Connection;
use super::deadline::Deadline;
use super::error::{Error, Step};
use super::options::Options;
use super::sender::Sender;
use crate::wire::batch::{Batch, BatchItem, PartitionKeyError, TryAdd, room_for};
use crate::wire::connection_string::ConnectionString;
use crate::wire::event::EncodeError;
use crate::wire::partition::partition_for_key;
pub use cohort::{Receipt, Undelivered};
use flights::Flights;
pub use options::{KeySpread, PublisherOptions};
use route::{Open, Route};

/// Bytes that a batch is reckoned to take beside its events, and an event with a key beside itself and the key.
const ROOM_OF_A_BATCH: usize = 1_024;
const ROOM_OF_A_KEY: usize = 64;

/// Takes events one by one and sends them in batches, over one connection or several.
///
/// A batch leaves when it is full, or when its first event has waited for [`PublisherOptions::linger`]. Each event's outcome
/// is told by its [`Receipt`]. Events without a key fill one batch after the other, which go to the connections in turn;
/// those with a key, or to a partition, have batches of their own, on one connection, and keep their order, but for a batch that
/// has to be sent again while later ones are under way. When nothing waits there is no timer and no work.
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
    /// Where its tasks run: that of whoever made it, which callers on another may outlive.
    runtime: Handle,
    options: PublisherOptions,
    connection_options: Options,
    /// To the hub, one on each connection.
    lanes: Vec<Arc<Sender>>,
    turn: AtomicUsize,
    any: Arc<Route>,
    /// By partition key; only those that have events.
    keys: Mutex<HashMap<Box<str>, Arc<Route>>>,
    /// By partition id.
    partitions: Mutex<HashMap<String, Arc<OnceCell<Arc<Route>>>>>,
    /// Bytes that may still be held.
    room: Arc<Semaphore>,
    flights: Arc<Flights>,
    next_flight: AtomicU64,
}

/// Where an event goes.
pub(crate) enum To<'a> {
    Hub,
    Key(&'a str),
    Partition(&'a str),
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
        let mut partition_ids = match publisher_options.key_spread {
            KeySpread::Hub => Vec::new(),
            KeySpread::Here => first.event_hub_properties(event_hub).await?.partition_ids,
        };
        partition_ids.sort_by_key(|id| (id.len(), id.clone()));
        let connection_options = first.inner.options.clone();
        let mut lanes = Vec::new();
        for connection in &connections {
            lanes.push(Arc::new(connection.sender(event_hub).await?));
        }
        let shared = Shared {
            runtime: Handle::current(),
            options: publisher_options.clone(),
            connection_options,
            lanes,
            turn: AtomicUsize::new(0),
            any: Arc::new(Route::any()),
            keys: Mutex::default(),
            partitions: Mutex::default(),
            room: Arc::new(Semaphore::new(publisher_options.max_held_bytes.clamp(1, Semaphore::MAX_PERMITS))),
            flights: Arc::default(),
            next_flight: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared), connections, event_hub: event_hub.to_owned(), partition_ids })
    }

    /// When a call that begins now has to be over, as [`Options::send_timeout`] says.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.shared.connection_options.send_timeout)
    }

    /// Those that its batches go over.
    pub(crate) fn connections(&self) -> &[Connection] {
        &self.connections
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
        self.publish_by(To::Hub, event, self.deadline()).await
    }

    /// The same for an event that goes to the partition of `key`, behind those of the same key.
    ///
    /// # Errors
    /// [`PublishError`], with the event in it.
    ///
    /// # Cancel
    /// As of [`publish`](Self::publish).
    pub async fn publish_with_key<E: BatchItem>(&self, key: &str, event: E) -> Result<Receipt, PublishError<E>> {
        self.publish_by(To::Key(key), event, self.deadline()).await
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
        self.publish_by(To::Partition(partition_id), event, self.deadline()).await
    }

    pub(crate) async fn publish_by<E: BatchItem>(
        &self,
        to: To<'_>,
        event: E,
        deadline: Deadline,
    ) -> Result<Receipt, PublishError<E>> {
        match to {
            To::Hub => self.shared.take(&self.shared.any, event, deadline).await,
            To::Partition(partition_id) => self.take_for_partition(partition_id, event, deadline).await,
            To::Key(key) if self.partition_ids.is_empty() => self.take_for_key(key, event, deadline).await,
            To::Key(key) => {
                let partition_id = &self.partition_ids[lane_of(key, self.partition_ids.len())];
                self.take_for_partition(partition_id, event, deadline).await
            }
        }
    }

    async fn take_for_key<E: BatchItem>(
        &self,
        key: &str,
        event: E,
        deadline: Deadline,
    ) -> Result<Receipt, PublishError<E>> {
        match self.shared.keyed(key) {
            Ok(route) => {
                let held = Held { shared: &self.shared, route: Some(route) };
                self.shared.take(held.route(), event, deadline).await
            }
            Err(why) => Err(PublishError::Key(event, why)),
        }
    }

    async fn take_for_partition<E: BatchItem>(
        &self,
        partition_id: &str,
        event: E,
        deadline: Deadline,
    ) -> Result<Receipt, PublishError<E>> {
        match deadline.limit(Step::Attach, self.partition(partition_id)).await {
            Ok(Ok(route)) => self.shared.take(&route, event, deadline).await,
            Ok(Err(cause)) | Err(cause) => Err(PublishError::NotTaken(event, cause)),
        }
    }

    /// The route to a partition; the first to ask attaches, the others wait for that.
    async fn partition(&self, partition_id: &str) -> Result<Arc<Route>, Error> {
        let cell = self.shared.partitions().entry(partition_id.to_owned()).or_default().clone();
        let attached = cell.get_or_try_init(|| async {
            // One partition, one connection: its events keep their order.
            let connection = &self.connections[lane_of(partition_id, self.connections.len())];
            let sender = connection.partition_sender(&self.event_hub, partition_id).await?;
            Ok(Arc::new(Route::to_partition(Arc::new(sender))))
        });
        attached.await.cloned()
    }

    /// Sends what is held, without waiting for its time, and waits until every event that was taken before has its outcome.
    /// What is taken meanwhile is not waited for. It ends at the latest when those events' own time does.
    ///
    /// # Cancel
    /// What was held leaves now or when its time has come.
    pub async fn flush(&self) {
        let end = self.shared.next_flight.load(Ordering::Acquire);
        let held = |route| Held { shared: &self.shared, route: Some(route) };
        let routes: Vec<Held<'_>> = self.shared.routes().into_iter().map(held).collect();
        for held in routes {
            held.route().depart_as_it_is(&self.shared).await;
        }
        self.shared.flights.land_before(end).await;
    }

    /// Sends what is held, waits for the outcomes, within [`Options::send_timeout`], and closes the connections one after the
    /// other, each within [`Options::close_timeout`].
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

/// A route in use, which is let go of in any case.
struct Held<'a> {
    shared: &'a Arc<Shared>,
    route: Option<Arc<Route>>,
}

impl Held<'_> {
    fn route(&self) -> &Arc<Route> {
        self.route.as_ref().expect("it is there until it is let go of")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(route) = self.route.take() {
            self.shared.let_go(route);
        }
    }
}

impl Shared {
    async fn take<E: BatchItem>(
        self: &Arc<Self>,
        route: &Arc<Route>,
        event: E,
        deadline: Deadline,
    ) -> Result<Receipt, PublishError<E>> {
        let mut room = match self.room(self.room_needed(route, &event), deadline).await {
            Ok(room) => Some(room),
            Err(cause) => return Err(PublishError::NotTaken(event, cause)),
        };
        let mut event = event;
        let mut returning = None;
        loop {
            let mut open = match self.open(route, returning.take(), deadline).await {
                Ok(open) => open,
                Err(cause) => return Err(PublishError::NotTaken(event, cause)),
            };
            let forming = route.forming(self, &mut open);
            match forming.batch.try_add(event) {
                TryAdd::Added => {
                    let receipt = forming.take_in(self, route, room.take());
                    if forming.batch.len() >= self.options.max_batch_events {
                        route.depart(self, open, None);
                    }
                    return Ok(receipt);
                }
                TryAdd::Full(back) => {
                    event = back;
                    // It is this event that comes next, and not one of those who queue.
                    let (next, returned) = oneshot::channel();
                    route.depart(self, open, Some(next));
                    returning = Some(returned);
                }
                TryAdd::TooLarge(event) => return Err(PublishError::TooLarge(event)),
                TryAdd::Invalid(event, why) => return Err(PublishError::Invalid(event, why)),
            }
        }
    }

    /// The route, as soon as it is free; or as soon as it comes back from the batch that filled up.
    async fn open(
        &self,
        route: &Route,
        returning: Option<oneshot::Receiver<Open>>,
        deadline: Deadline,
    ) -> Result<Open, Error> {
        let opening = async {
            if let Some(returning) = returning
                && let Ok(open) = returning.await
            {
                return open;
            }
            route.open().await
        };
        deadline.limit(Step::Window, opening).await
    }

    fn room_needed(&self, route: &Route, event: &impl BatchItem) -> u32 {
        let key = route.key().map_or(0, |key| key.len() + ROOM_OF_A_KEY);
        let batch = if route.is_empty() { ROOM_OF_A_BATCH } else { 0 };
        let bytes = (room_for(event) + key + batch).min(self.options.max_held_bytes.max(1));
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    async fn room(self: &Arc<Self>, bytes: u32, deadline: Deadline) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(room) = self.room.clone().try_acquire_many_owned(bytes) {
            return Ok(room);
        }
        // What only waits for its time makes room first.
        for route in self.routes() {
            route.depart_if_free(self);
            self.let_go(route);
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

    /// All routes there are; each is to be let go of.
    fn routes(&self) -> Vec<Arc<Route>> {
        let mut routes: Vec<_> = self.keys().values().cloned().collect();
        routes.extend(self.partitions().values().filter_map(|cell| cell.get().cloned()));
        routes.push(self.any.clone());
        routes
    }

    /// Lets go of a route; a key of which nothing is held is forgotten with the last one who holds its route.
    fn let_go(&self, route: Arc<Route>) {
        let mut keys = self.keys();
        // Whoever is about to use it got it from the map, and holds it as well.
        if let Some(key) = route.key()
            && route.is_empty()
            && Arc::strong_count(&route) == 2
        {
            keys.remove(key);
        }
        // With the map locked: of two who let go at once, the second is the last.
        drop(route);
    }

    fn partitions(&self) -> MutexGuard<'_, HashMap<String, Arc<OnceCell<Arc<Route>>>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
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
        let large = vec![7_u8; 1_048_577];
        for number in 0..10 {
            assert!(publisher.publish_with_key(&format!("large {number}"), &large).await.is_err());
        }
        assert_eq!(publisher.shared.keys().len(), 0, "a key of which nothing was taken is not kept either");
        assert_eq!(publisher.shared.room.available_permits(), PublisherOptions::default().max_held_bytes);
    }
}
