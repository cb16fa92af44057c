//! One run: a hub, a network, clients and what befalls them, all drawn from one seed.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire::emulator::Emulator;
use hubwire::{Connection, ConnectionString, IdleLinks, Options, Retry};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ledger::{Ledger, Promise, Report};
use super::publisher::{Aim, Limits, Publisher};
use super::random::Random;
use super::trouble::{Mood, trouble};
use super::weather::weather;
use super::{HUB, PARTITIONS, now, wire};

/// What the clocks show when a run begins: tokens are as long in every one.
const BEGINNING_UNIX_SECS: u64 = 1_700_000_000;
/// Nothing in a run takes longer: what does, waits for ever.
const EVERYTHING_WITHIN: Duration = Duration::from_secs(20_000);
/// By then the hub has let go of every connection that it was not told of.
const QUIET_AFTER: Duration = Duration::from_secs(2_000);

/// Runs `seed` to its end. Everything happens on this thread, and no time passes but the clock's.
pub(crate) fn run(seed: u64) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let ledger = Ledger::default();
    runtime.block_on(async {
        let world = World::new(seed, ledger.clone());
        if tokio::time::timeout(EVERYTHING_WITHIN, world.run()).await.is_err() {
            ledger.breach("somebody waits for ever".to_owned());
        }
        check_tasks(&ledger).await;
    });
    ledger.report()
}

/// Nobody is left behind.
async fn check_tasks(ledger: &Ledger) {
    tokio::time::sleep(QUIET_AFTER).await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    if tasks > 0 {
        ledger.breach(format!("{tasks} tasks are left behind"));
    }
}

struct World {
    random: Random,
    ledger: Ledger,
    emulator: Emulator,
    began: Instant,
    /// When trouble ends.
    until: Instant,
}

/// A connection, and what is promised of it.
struct Client {
    connection: Connection,
    promise: Promise,
    limits: Limits,
}

impl World {
    fn new(seed: u64, ledger: Ledger) -> Self {
        let mut random = Random::new(seed);
        let (emulator, began) = (emulator(&mut random), now());
        let until = began + random.millis(0, 120_000);
        Self { random, ledger, emulator, began, until }
    }

    async fn run(mut self) {
        let mood = Mood { pause: self.random.millis(10, 20_000), faults: self.random.magnitude(12) };
        let (emulator, random, ledger) = (self.emulator.clone(), self.random.split(), self.ledger.clone());
        let trouble = tokio::spawn(trouble(emulator, mood, random, ledger, self.until));
        let mut clients = Vec::new();
        for number in 0..self.random.between(1, 2) as usize {
            clients.extend(self.open(number, clients.len()).await);
        }
        let watch = tokio::spawn(watch(self.watched(&clients), self.ledger.clone()));
        self.publish(&clients).await;
        trouble.abort();
        watch.abort();
        self.end(&clients).await;
    }

    fn watched(&self, clients: &[Client]) -> Vec<(Connection, Promise)> {
        clients.iter().map(|client| (client.connection.clone(), client.promise)).collect()
    }

    async fn open(&mut self, number: usize, client: usize) -> Option<Client> {
        let (options, promise, limits) = options(&mut self.random, number, &self.ledger, self.began);
        let (emulator, ledger) = (self.emulator.clone(), self.ledger.clone());
        let random = Arc::new(Mutex::new(self.random.split()));
        let connect = move || connect(emulator.clone(), Arc::clone(&random), ledger.clone());
        let to = ConnectionString::parse(&self.emulator.connection_string(None)).expect("well-formed");
        let began = now();
        let opened = Connection::open_with(connect, &to, &options).await;
        self.ledger.check_limit("opening", now() - began, limits.open);
        self.ledger.note(|| format!("connection {client}: {:?} {promise:?} {limits:?}", opened.as_ref().map(drop)));
        opened.ok().map(|connection| Client { connection, promise, limits })
    }

    /// Everybody sends; meanwhile, in some runs, somebody ends a connection.
    async fn publish(&mut self, clients: &[Client]) {
        let mut publishers = JoinSet::new();
        for (number, client) in clients.iter().enumerate() {
            for _ in 0..self.random.between(1, 3) {
                let publisher = Publisher {
                    client: number,
                    connection: client.connection.clone(),
                    aim: Aim::draw(&mut self.random),
                    limits: client.limits,
                    largest_event: self.random.pick(&[10, 10, 300, 3_000]),
                    ledger: self.ledger.clone(),
                };
                publishers.spawn(publisher.run(self.random.split()));
            }
            if self.random.percent(25) {
                let (connection, ledger, mut random) =
                    (client.connection.clone(), self.ledger.clone(), self.random.split());
                publishers.spawn(async move {
                    tokio::time::sleep(random.millis(0, 40_000)).await;
                    end(&connection, &mut random, &ledger).await;
                });
            }
        }
        while let Some(ended) = publishers.join_next().await {
            if let Err(error) = ended {
                self.ledger.breach(format!("a publisher panicked: {error}"));
            }
        }
    }

    async fn end(mut self, clients: &[Client]) {
        if self.random.percent(50) {
            self.emulator.clear_faults();
        }
        for client in clients {
            end(&client.connection, &mut self.random, &self.ledger).await;
        }
        // What is under way to the hub arrives, or does not: what is told has been told.
        tokio::time::sleep(QUIET_AFTER).await;
        let promises: Vec<Promise> = clients.iter().map(|client| client.promise).collect();
        let counters: Vec<_> = clients.iter().map(|client| client.connection.counters()).collect();
        self.ledger.note(|| format!("{counters:?} {:?}", self.emulator.totals()));
        self.ledger.check(&self.emulator, HUB, &promises, &counters);
    }
}

/// Ends a connection, by one of the ways there are.
async fn end(connection: &Connection, random: &mut Random, ledger: &Ledger) {
    let (began, limit) = (now(), random.millis(0, 10_000));
    match random.below(3) {
        0 => connection.abort(),
        _ => connection.close_within(limit).await,
    }
    ledger.note(|| format!("ended, and may take {limit:?}"));
    ledger.check_limit("closing", now() - began, limit);
}

/// Looks at the window time and again.
async fn watch(clients: Vec<(Connection, Promise)>, ledger: Ledger) {
    loop {
        tokio::time::sleep(Duration::from_millis(173)).await;
        for (connection, promise) in &clients {
            ledger.check_window(&connection.counters(), *promise);
        }
    }
}

/// A way to the hub: through weather of its own, or none.
async fn connect(emulator: Emulator, random: Arc<Mutex<Random>>, ledger: Ledger) -> io::Result<wire::End> {
    let (weather, random, delay, is_refused) = {
        let mut random = random.lock().expect("not poisoned");
        let delay = random.magnitude(3_000);
        (weather(&mut random), random.split(), Duration::from_millis(delay), random.percent(8))
    };
    tokio::time::sleep(delay).await;
    if is_refused {
        ledger.note(|| "connecting is refused".to_owned());
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    ledger.note(|| format!("connects through {weather:?}"));
    let (ours, theirs) = wire::pair(weather, random);
    tokio::spawn(async move { emulator.serve(theirs).await });
    Ok(ours)
}

fn beginning() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(BEGINNING_UNIX_SECS)
}

fn emulator(random: &mut Random) -> Emulator {
    let secs = |random: &mut Random, from: &[u64]| Duration::from_secs(random.pick(from));
    let mut builder = Emulator::builder()
        .event_hub(HUB, PARTITIONS)
        .starts_at(beginning())
        .retention(Duration::from_secs(30 * 86_400))
        .max_frame_size(random.pick(&[512, 1_000, 65_536, 65_536]))
        .link_credit(random.pick(&[1, 2, 7, 300, 300]) as u32)
        .idle_timeout(secs(random, &[10, 60, 240]))
        .link_idle_timeout(secs(random, &[3, 20, 600]))
        .linkless_timeout(secs(random, &[5, 60, 300]));
    if random.percent(20) {
        builder = builder.max_message_size(random.pick(&[600, 5_000]));
    }
    builder.build().expect("an emulator")
}

fn options(random: &mut Random, number: usize, ledger: &Ledger, start: Instant) -> (Options, Promise, Limits) {
    let limits =
        Limits { open: random.millis(500, 40_000), send: random.millis(200, 40_000), close: random.millis(0, 6_000) };
    let attempts = random.pick(&[0, 3, 3, 20]);
    let resends_unknown = random.percent(25);
    let promise = Promise {
        attempts,
        resends_unknown,
        max_batches: random.pick(&[1, 2, 5, 1_000]),
        max_bytes: random.pick(&[100, 2_000, 1 << 20]),
    };
    let retry = Retry::default().attempts(attempts as u32).resend_unknown(resends_unknown);
    let retry = if random.percent(30) { retry.total(random.millis(0, 20_000)) } else { retry };
    let ledger = ledger.clone();
    let options = Options::default()
        .container_id(format!("simulated-{number}"))
        .seed(random.next())
        .wall_clock(move || beginning() + start.elapsed())
        .open_timeout(limits.open)
        .send_timeout(limits.send)
        .close_timeout(limits.close)
        .write_timeout(random.millis(1_000, 30_000))
        .idle_timeout(random.millis(2_000, 120_000))
        .token_ttl(Duration::from_secs(random.pick(&[61, 90, 3_600])))
        .idle_links(random.pick(&[IdleLinks::Restore, IdleLinks::OnDemand]))
        .max_in_flight_batches(promise.max_batches)
        .max_in_flight_bytes(promise.max_bytes)
        .retry(retry)
        .on_event(move |event| ledger.note(|| format!("connection {number}: {event}")));
    (options, promise, limits)
}
