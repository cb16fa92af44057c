//! What all who publish and read share: the emulator, the connections to it, the book, and how far the run has come.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use hubwire::emulator::Emulator;
use hubwire::{Connection, Error, Options, Retry, Scope};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use crate::HUB;
use crate::book::Book;
use crate::dice::Dice;
use crate::plan::{PARTITIONS, Plan, SECOND_GROUP, SLOTS};
use crate::support::{connection_string, now};

pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time that is passed on in whole milliseconds may run a little over.
const SLACK: Duration = Duration::from_millis(5);
/// What the clocks show at the beginning of every run.
const BEGINNING_UNIX: Duration = Duration::from_secs(1_795_000_000);

pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) storm: Duration,
    options: Options,
    is_far: bool,
    book: Mutex<Book>,
    slots: Vec<tokio::sync::Mutex<Slot>>,
    links: AtomicU64,
    /// Set when nothing goes wrong any more, and nobody sends: where each partition ends.
    ends: OnceLock<Vec<i64>>,
    /// Nobody begins to send any more.
    is_over: OnceLock<()>,
    began: tokio::time::Instant,
    is_loud: bool,
}

/// Where a connection is, and one after the other.
struct Slot {
    /// How many there were.
    count: u64,
    connection: Option<Connection>,
    dice: Dice,
}

/// A connection that several share; who finds it broken has it replaced.
pub(crate) struct Lease {
    slot: usize,
    count: u64,
    pub(crate) connection: Connection,
}

impl World {
    pub(crate) fn new(plan: &Plan, is_loud: bool) -> Self {
        let hub = plan.hub;
        let builder = Emulator::builder()
            .event_hub(HUB, PARTITIONS as u32)
            .consumer_group(HUB, SECOND_GROUP)
            .starts_at(UNIX_EPOCH + BEGINNING_UNIX)
            .retention(Duration::from_secs(30 * 86_400))
            .link_credit(hub.link_credit)
            .idle_timeout(hub.idle_timeout)
            .link_idle_timeout(hub.link_idle_timeout)
            .linkless_timeout(hub.linkless_timeout);
        let builder = hub.throughput_units.into_iter().fold(builder, |builder, units| builder.throughput_units(units));
        let began = now();
        let options = Options::default()
            // A batch that is sent again may come behind those that were under way with it: the order would say nothing.
            .retry(Retry::none())
            .seed(plan.seed)
            .open_timeout(OPEN_TIMEOUT)
            .send_timeout(SEND_TIMEOUT)
            .close_timeout(CLOSE_TIMEOUT)
            .idle_timeout(hub.idle_timeout)
            .token_ttl(hub.token_ttl)
            .container_id("model")
            .wall_clock(move || UNIX_EPOCH + BEGINNING_UNIX + began.elapsed());
        let slot = |number| Slot { count: 0, connection: None, dice: Dice::new(plan.seed ^ number) };
        Self {
            emulator: builder.build().expect("a hub that can be built"),
            storm: plan.storm,
            options,
            is_far: hub.is_far,
            book: Mutex::default(),
            slots: (1..=SLOTS).map(|number| tokio::sync::Mutex::new(slot(number))).collect(),
            links: AtomicU64::new(0),
            ends: OnceLock::new(),
            is_over: OnceLock::new(),
            began,
            is_loud,
        }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no panic")
    }

    /// A number for a link that nobody else has.
    pub(crate) fn next_link(&self) -> u64 {
        self.links.fetch_add(1, Ordering::Relaxed)
    }

    /// Says what happens, to whoever replays a seed.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.is_loud {
            println!("{:>10.3} {}", self.began.elapsed().as_secs_f64(), what());
        }
    }

    // ---- how far it has come -----------------------------------------------------------------------------------

    pub(crate) fn end_storm(&self) {
        self.emulator.clear_faults();
        let _ = self.is_over.set(());
        self.say(|| "the storm is over".into());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get().is_some()
    }

    /// From now on the partitions are what they are.
    pub(crate) fn calm_down(&self) {
        let ends: Vec<i64> = (0..PARTITIONS).map(|partition| self.end_now(partition)).collect();
        self.say(|| format!("calm, with {ends:?} events"));
        let _ = self.ends.set(ends);
    }

    /// Where a partition ends for good, when that is known.
    pub(crate) fn end(&self, partition: u64) -> Option<i64> {
        self.ends.get().map(|ends| ends[partition as usize])
    }

    pub(crate) fn end_now(&self, partition: u64) -> i64 {
        self.emulator.events_from(HUB, partition as u32, 0).map_or(0, |events| events.len() as i64)
    }

    // ---- connections -------------------------------------------------------------------------------------------

    /// The connection of a slot, a new one if need be; `None` when that fails.
    pub(crate) async fn lease(&self, slot: usize) -> Result<Option<Lease>, String> {
        let mut place = self.slots[slot].lock().await;
        if place.connection.is_none() {
            let stream = self.stream(&mut place.dice);
            let to = connection_string(&self.emulator);
            match within(OPEN_TIMEOUT, "an open", Connection::open_over(stream, &to, &self.options)).await? {
                Ok(connection) => {
                    place.connection = Some(connection);
                    place.count += 1;
                }
                Err(error) => {
                    self.say(|| format!("slot {slot} does not open: {error}"));
                    return plausible(&error).map(|()| None);
                }
            }
        }
        let (count, connection) = (place.count, place.connection.clone());
        Ok(connection.map(|connection| Lease { slot, count, connection }))
    }

    /// Looks at what went wrong on a connection, and gives it up if that is the connection's.
    pub(crate) async fn on_error(&self, lease: &Lease, error: &Error, dice: &mut Dice) -> Result<(), String> {
        plausible(error)?;
        let is_gone = error.scope() == Some(Scope::Connection) || matches!(error, Error::ShutDown);
        // What times out may be slow, or dead: both are tried.
        if is_gone || matches!(error, Error::TimedOut { .. }) && dice.one_in(2) {
            self.give_up(lease, dice).await?;
        }
        Ok(())
    }

    /// Has the connection replaced for those who come; those who have it keep it, unless it is closed.
    pub(crate) async fn give_up(&self, lease: &Lease, dice: &mut Dice) -> Result<(), String> {
        let mut place = self.slots[lease.slot].lock().await;
        if place.count == lease.count
            && let Some(connection) = place.connection.take()
        {
            self.say(|| format!("slot {} gives its connection {} up", lease.slot, lease.count));
            if dice.one_in(2) {
                within(CLOSE_TIMEOUT, "a close", connection.close()).await?;
            }
        }
        Ok(())
    }

    fn stream(&self, dice: &mut Dice) -> DuplexStream {
        if !self.is_far {
            return self.emulator.connect();
        }
        let (client, near) = tokio::io::duplex(1_024 + dice.small_below(1 << 18) as usize);
        let far = self.emulator.connect();
        let mut pause = || dice.span_below(Duration::from_millis(400));
        let (up, down) = (pause(), pause());
        tokio::spawn(async move {
            let (near_read, near_write) = tokio::io::split(near);
            let (far_read, far_write) = tokio::io::split(far);
            tokio::select! {
                biased;
                () = carry(near_read, far_write, up) => {}
                () = carry(far_read, near_write, down) => {}
            }
        });
        client
    }
}

/// One direction of a long way: what comes leaves after a pause.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, pause: Duration) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        tokio::time::sleep(pause).await;
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

/// Runs `work`, which has to be over by then.
pub(crate) async fn within<T>(
    limit: Duration,
    what: impl fmt::Display,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    let began = now();
    let done = tokio::time::timeout(limit * 10, work).await.map_err(|_| format!("{what} hangs"))?;
    let took = began.elapsed();
    if took > limit + SLACK { Err(format!("{what} took {took:?} of {limit:?}")) } else { Ok(done) }
}

/// Whatever the emulator was told to do wrong, it keeps to AMQP, and so must the client.
pub(crate) fn plausible(error: &Error) -> Result<(), String> {
    match error {
        Error::Lost { .. }
        | Error::Closed { .. }
        | Error::StillUnauthorized { .. }
        | Error::TimedOut { .. }
        | Error::IdleTimeout { .. }
        | Error::SaslRefused { .. }
        | Error::TokenRefused { .. }
        | Error::Released
        | Error::ShutDown => Ok(()),
        _ => Err(format!("nobody asked for this: {error:?}")),
    }
}
