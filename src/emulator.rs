//! An Event Hubs namespace in this process, which real clients publish to and receive from.
//!
//! It speaks AMQP 1.0 as the service does: SASL, tokens at `$cbs` with their signatures checked, links to event hubs and
//! to single partitions, batches and single events. What was accepted can be read back here too, as it was encoded.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use hubwire::emulator::Emulator;
//!
//! let emulator = Emulator::builder().event_hub("telemetry", 4).build()?;
//! let listening = emulator.listen("127.0.0.1:0").await?;
//!
//! // For any Event Hubs SDK, in any process of this machine.
//! let port = listening.local_addr().port();
//! assert_eq!(
//!     listening.connection_string(Some("telemetry")),
//!     format!(
//!         "Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=RootManageSharedAccessKey;\
//!          SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;EntityPath=telemetry"
//!     )
//! );
//!
//! // What has been published so far.
//! let events = emulator.events("telemetry").unwrap();
//! assert!(events.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Events live in memory, within the retention, as long as an [`Emulator`] or a connection to it does. Receivers read
//! them by partition and consumer group, and `$management` tells of hubs and partitions. What goes wrong on request is a
//! [`Fault`].

mod activity;
mod address;
mod answer;
mod builder;
mod cbs;
mod connection;
mod distance;
mod faults;
mod health;
#[cfg_attr(not(feature = "websocket"), allow(dead_code, reason = "headers are for WebSocket alone"))]
mod http;
mod listening;
mod mailbox;
mod management;
mod namespace;
mod publication;
mod readers;
mod rendition;
mod selector;
mod sentence;
mod settlements;
mod store;
mod throttle;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "websocket")]
mod upgrade;

use std::fmt;
use std::future::ready;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::watch;

use crate::clock::{self, WallClock};
use crate::memory;
use crate::pump::{LentStream, Stream};
use crate::spares::{BUFFER_LEN, Spares};
use crate::wire::frame::PeerError;

pub use activity::{Activity, ConnectionCounts, LinkRole, Transport};
use activity::{Listener, Origin};
#[cfg(feature = "cli")]
pub(crate) use builder::is_name;
pub use builder::{AccessRule, BuildError, Builder, Tier};
use faults::Faults;
#[cfg(feature = "cli")]
pub(crate) use faults::{Aim, Blow, Disturbance, Fate, Trouble};
pub use faults::{Fault, FaultError, ScriptError, Stage};
pub use health::ListeningHealth;
pub use listening::Listening;
#[cfg(feature = "cli")]
pub(crate) use listening::accepted;
use namespace::{Destination, Namespace};
use publication::Publication;
use readers::Readers;
use store::{Enqueued, Store};
pub use store::{StoredEvent, Totals};
use throttle::Throttle;
#[cfg(feature = "tls")]
pub use tls::{TlsIdentity, TlsIdentityError};

/// Connections at one time.
const MAX_CONNECTIONS: usize = 1_000;
/// Bytes that an in-memory connection holds in each direction.
const DUPLEX_LEN: usize = 256 * 1024;

/// A namespace that runs in this process. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Emulator {
    shared: Arc<Shared>,
    allow_remote: bool,
}

/// What all connections share.
struct Shared {
    namespace: Namespace,
    store: Mutex<Store>,
    /// What connections read into, and the store gives back.
    spares: Arc<Spares>,
    readers: Mutex<Readers>,
    throttle: Option<Mutex<Throttle>>,
    faults: Arc<Faults>,
    listener: Option<Listener>,
    #[cfg(feature = "trace")]
    tap: Option<crate::trace::Tap>,
    /// Events stored in all, for those who wait.
    stored: watch::Sender<u64>,
    clock: WallClock,
    serial: AtomicU64,
    connections: AtomicUsize,
    /// Set once no connection is served any more.
    is_ended: watch::Sender<bool>,
}

/// What leads to a stream. Of whatever kind that is, so that what serves it is there once.
type Opening<'a> = Pin<Box<dyn Future<Output = io::Result<LentStream<'a>>> + Send + 'a>>;

impl Emulator {
    /// Starts from an empty namespace: add an event hub or several, then [`build`](Builder::build).
    ///
    /// ```
    /// use hubwire::emulator::Emulator;
    ///
    /// let emulator = Emulator::builder()
    ///     .event_hub("telemetry", 4)
    ///     .event_hub("audit", 1)
    ///     .rule("send", "a2V5")
    ///     .build()?;
    /// assert_eq!(emulator.totals().events, 0);
    /// # Ok::<(), hubwire::emulator::BuildError>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A connection in memory, served by a task of its own. The caller's end is the client's.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(DUPLEX_LEN);
        let emulator = self.clone();
        tokio::spawn(async move { emulator.serve(ours).await });
        theirs
    }

    /// Serves a client over any stream, until it leaves. With 1,000 connections at one time, it returns at once.
    ///
    /// # Cancel
    /// The stream is dropped, and the client sees it end. Everything accepted before stays.
    pub async fn serve<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let stream: LentStream<'_> = Box::new(stream);
        self.admit(Origin::default(), Box::pin(ready(Ok(stream)))).await;
    }

    /// Serves what `opening` leads to, unless there are too many connections or that fails.
    async fn admit(&self, origin: Origin, opening: Opening<'_>) {
        let Some(_place) = Place::take(&self.shared) else {
            self.shared.store().totals.refused_connections += 1;
            return self.report_refused(origin, format!("there are {MAX_CONNECTIONS} connections, which is the most"));
        };
        let mut ending = self.shared.is_ended.subscribe();
        let served = async {
            let mut stream = match opening.await {
                Ok(stream) => stream,
                Err(error) => return self.report_refused(origin, error.to_string()),
            };
            self.serve_from_afar(&mut *stream, origin).await;
        };
        tokio::select! {
            biased;
            _ = ending.wait_for(|&is_ended| is_ended) => {}
            () = served => {}
        }
    }

    fn report_refused(&self, Origin { transport, peer_addr }: Origin, reason: String) {
        self.shared.tell(|| Activity::ConnectionRefused { transport, peer_addr, reason });
    }

    /// Cuts off every connection, those to come as well: nothing is stored after this. Whoever waits for an answer
    /// gets none.
    #[cfg(feature = "cli")]
    pub(crate) fn end(&self) {
        self.shared.is_ended.send_replace(true);
    }

    /// The connection string for [`connect`](Self::connect), or for another way to the same namespace: its host is
    /// `localhost`. It holds the first rule's key, and is meant to be shown.
    pub fn connection_string(&self, event_hub: Option<&str>) -> String {
        self.shared.namespace.connection_string("localhost", Transport::Tcp, event_hub)
    }

    /// The events that an event hub holds, by partition and sequence number; `None` when there is no such hub.
    ///
    /// Their bytes are shared, not copied.
    pub fn events(&self, event_hub: &str) -> Option<Vec<StoredEvent>> {
        let hub = self.shared.namespace.hub(event_hub)?;
        Some(self.shared.store().events(hub))
    }

    /// The events of one partition from `sequence_number` on: for whoever reads along. `None` when there is no such hub
    /// or partition.
    ///
    /// Their bytes are shared, not copied.
    pub fn events_from(&self, event_hub: &str, partition_id: u32, sequence_number: i64) -> Option<Vec<StoredEvent>> {
        let hub = self.shared.namespace.hub(event_hub)?;
        self.shared.store().events_from(hub, partition_id, sequence_number)
    }

    /// How many events are stored, in all event hubs.
    pub fn stored_count(&self) -> u64 {
        *self.shared.stored.borrow()
    }

    /// Waits until `count` events are stored, in all event hubs since the emulator was built.
    ///
    /// # Cancel
    /// Nothing changes.
    pub async fn until_stored(&self, count: u64) {
        // The sender is in `self`: the channel does not close.
        let _ = self.shared.stored.subscribe().wait_for(|&stored| stored >= count).await;
    }

    /// Touches memory for events to come, as much as the retention allows beside what is held, `max_bytes` at most, and half of
    /// what the system has left where it tells (Linux); the bytes that were touched. It takes 0.2 to 1 ms a MiB on the
    /// caller's thread; events may come meanwhile.
    ///
    /// A page that is touched for the first time costs more than what is read into it: whoever publishes as fast as can be
    /// waits for that until the retention has been full once, unless it was done before.
    ///
    /// ```
    /// use hubwire::emulator::Emulator;
    ///
    /// let emulator = Emulator::builder().event_hub("telemetry", 4).retention_bytes(16 << 20).build()?;
    /// assert_eq!(emulator.pretouch(u64::MAX), 16 << 20);
    /// assert_eq!(emulator.pretouch(u64::MAX), 0, "that is all");
    /// # Ok::<(), hubwire::emulator::BuildError>(())
    /// ```
    pub fn pretouch(&self, max_bytes: u64) -> u64 {
        let max_bytes = memory::available_len().map_or(max_bytes, |available_bytes| max_bytes.min(available_bytes / 2));
        let mut touched_bytes = 0;
        // The store is locked for the look alone.
        while touched_bytes < max_bytes && self.shared.store().has_room_to_touch() {
            self.shared.spares.add_touched();
            touched_bytes += BUFFER_LEN as u64;
        }
        touched_bytes
    }

    /// Its limits, in words.
    pub fn limits(&self) -> impl fmt::Display + '_ {
        &self.shared.namespace.limits
    }

    /// The same as numbers, named with their units; `None` is no end.
    #[cfg(feature = "cli")]
    pub(crate) fn limit_values(&self) -> [(&'static str, Option<u64>); 9] {
        self.shared.namespace.limits.values()
    }

    /// The names of its event hubs, and how many partitions each has.
    pub fn event_hubs(&self) -> impl Iterator<Item = (&str, u32)> {
        self.shared.namespace.hubs.iter().map(|hub| (hub.name.as_str(), hub.partition_count))
    }

    /// What the emulator has done so far.
    pub fn totals(&self) -> Totals {
        Totals { faults: self.shared.faults.fired(), ..self.shared.store().totals }
    }

    /// Does something wrong from now on, on connections that are there as well: see [`Fault`]. Of several that befall the
    /// same thing the one that was injected first does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use hubwire::emulator::{Emulator, Fault};
    /// use hubwire::{Connection, ConnectionString, Options, SendError};
    ///
    /// let emulator = Emulator::builder().event_hub("telemetry", 4).build()?;
    /// let to = ConnectionString::parse(&emulator.connection_string(None))?;
    /// let connection = Connection::open_over(emulator.connect(), &to, &Options::default()).await?;
    /// let sender = connection.sender("telemetry").await?;
    ///
    /// emulator.inject(Fault::reject("amqp:not-allowed", "not today"));
    ///
    /// let mut batch = sender.batch();
    /// assert!(batch.try_add("first event").is_added());
    /// let Err(SendError::Rejected { batch, condition, .. }) = sender.send(batch).await else { panic!("it is rejected") };
    /// assert_eq!(condition, "amqp:not-allowed");
    /// assert!(sender.send(batch).await.is_ok(), "once, unless it says otherwise");
    /// assert_eq!(emulator.totals().faults, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.inject(fault, clock::now());
    }

    /// Ends all faults, those that have not begun as well. What a fault did stays done: links that were detached are, and
    /// an outcome that is delayed comes in its time.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }
}

impl Emulator {
    /// Serves a client that is as far away as the limits say.
    async fn serve_from_afar(&self, stream: &mut dyn Stream, origin: Origin) {
        let number = self.shared.count_connection();
        match self.shared.namespace.limits.round_trip_time {
            Duration::ZERO => self.serve_here(stream, number, origin).await,
            far => {
                let (mut near, carrying) = distance::put_between(stream, far / 2);
                tokio::join!(self.serve_here(&mut near, number, origin), carrying);
            }
        }
    }

    /// Where a tap sees it, if there is one: what it shows as sent has been sent, with the faults in it.
    async fn serve_here(&self, stream: &mut dyn Stream, number: u64, origin: Origin) {
        let shared = Arc::clone(&self.shared);
        #[cfg(feature = "trace")]
        if let Some(tap) = &self.shared.tap {
            return connection::serve(&mut tap.wrap(stream), shared, number, origin).await;
        }
        connection::serve(stream, shared, number, origin).await;
    }
}

/// Event hubs and totals; no keys.
impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hubs: Vec<_> = self.shared.namespace.hubs.iter().map(|hub| &hub.name).collect();
        f.debug_struct("Emulator").field("event_hubs", &hubs).field("totals", &self.totals()).finish_non_exhaustive()
    }
}

/// One of the [`MAX_CONNECTIONS`], given back on drop.
struct Place<'a>(&'a Shared);

impl<'a> Place<'a> {
    fn take(shared: &'a Shared) -> Option<Self> {
        let more = |taken| (taken < MAX_CONNECTIONS).then_some(taken + 1);
        let taken = shared.connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.is_ok().then_some(Self(shared))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    fn new(
        namespace: Namespace,
        store: Store,
        clock: WallClock,
        faults: Vec<Fault>,
        listener: Option<Listener>,
    ) -> Self {
        Self {
            listener,
            #[cfg(feature = "trace")]
            tap: None,
            throttle: namespace.limits.throughput_units.map(|units| Mutex::new(Throttle::new(units))),
            namespace,
            spares: Arc::clone(&store.spares),
            store: Mutex::new(store),
            readers: Mutex::default(),
            faults: Arc::new(Faults::new(faults, clock::now())),
            stored: watch::Sender::new(0),
            clock,
            serial: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            is_ended: watch::Sender::new(false),
        }
    }

    /// Tells whoever listens what happens; what that is, is put together for them alone.
    fn tell(&self, activity: impl FnOnce() -> Activity) {
        if let Some(Listener(listener)) = &self.listener {
            listener(&activity());
        }
    }

    /// The number of a connection that is about to be served.
    fn count_connection(&self) -> u64 {
        let totals = &mut self.store().totals;
        totals.connections += 1;
        totals.connections
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // Nothing that holds the lock can leave the store half-changed.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a message, if it is one, and counts it either way.
    fn publish(&self, to: Destination, publication: Result<Publication, PeerError>) -> Result<Enqueued, PeerError> {
        let mut store = self.store();
        // The time is taken under the lock, so that it never runs backwards within a partition.
        let now = self.clock.now();
        let stored = publication.and_then(|publication| {
            self.throttle(&publication, now).inspect_err(|_| store.totals.throttled += 1)?;
            store.publish(to, publication, now)
        });
        match &stored {
            Ok(_) => drop(self.stored.send_replace(store.totals.events)),
            Err(_) => store.totals.rejected += 1,
        }
        stored
    }

    fn throttle(&self, publication: &Publication, now: SystemTime) -> Result<(), PeerError> {
        let Some(throttle) = &self.throttle else { return Ok(()) };
        let mut throttle = throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.take(publication.len, publication.spans.len(), now)
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        // Nothing that holds the lock can leave the table half-changed.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// `sentence`, with the marks by which it can be found again.
    fn tracked(&self, sentence: &str) -> String {
        sentence::tracked(sentence, self.next_serial(), self.clock.now())
    }
}
