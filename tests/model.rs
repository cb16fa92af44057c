//! Receiver and emulator beside a plain model: whatever is sent, read, lost, cut off, delayed and begun again, each reader
//! gets each accepted event of its partition exactly once and in order.
//!
//! A seed fixes what everybody does, and when. One that fails is made smaller, told part by part, and named by a line that
//! replays it; a replay says what happens on the way. Of several that lose something at once, chance says who hears of it
//! first: a replay goes on until it fails again, or for a while.

#[path = "model/book.rs"]
mod book;
#[path = "model/dice.rs"]
mod dice;
#[path = "model/plan.rs"]
mod plan;
#[path = "model/publishers.rs"]
mod publishers;
#[path = "model/readers.rs"]
mod readers;
mod support;
#[path = "model/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use book::Log;
use plan::{Part, Plan};
use support::HUB;
use tokio::task::{JoinError, JoinSet};
use world::World;

/// Runs, unless `HUBWIRE_SEED` names one, or `HUBWIRE_SEEDS` how many.
const SEEDS: u64 = 200;
/// Runs of a seed that failed once, before it is taken not to fail.
const TRIES: usize = 5;
/// Everything is over by then, on the run's own clock.
const LIMIT: Duration = Duration::from_secs(4 * 3_600);
/// A run of a second or two that takes this long of the world's time takes it for ever.
const SPIN: Duration = Duration::from_secs(180);
/// What is on its way when the last sender has gone arrives by then.
const ARRIVAL: Duration = Duration::from_secs(120);

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Batches: accepted, refused or not sent (each time that they were), and of unknown outcome.
    batches: [usize; 3],
    /// Events held, and events that readers saw.
    events: [usize; 2],
    receivers: u64,
    connections: u64,
    faults: u64,
    took: Duration,
}

async fn run(plan: &Plan, is_loud: bool) -> Result<Seen, String> {
    let began = support::now();
    let world = Arc::new(World::new(plan, is_loud));
    let (mut publishers, mut readers, mut troubles) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for part in plan.parts.clone() {
        match part {
            Part::Publisher(publisher) => drop(publishers.spawn(publishers::publish(world.clone(), publisher))),
            Part::Reader(reader) => drop(readers.spawn(readers::read(world.clone(), reader))),
            trouble => drop(troubles.spawn(make(world.clone(), trouble))),
        }
    }
    tokio::time::sleep(plan.storm).await;
    all(&mut troubles).await?;
    world.end_storm();
    for published in all(&mut publishers).await? {
        published?;
    }
    tokio::time::sleep(ARRIVAL).await;
    world.calm_down();
    let logs: Vec<Log> = all(&mut readers).await?.into_iter().collect::<Result<_, String>>()?;
    world.book().check(&world.emulator)?;
    logs.iter().try_for_each(|log| log.check(&world.emulator))?;
    let totals = world.emulator.totals();
    let events = [totals.events as usize, logs.iter().map(|log| log.seen.len()).sum()];
    let (batches, took) = (world.book().counts(), began.elapsed());
    Ok(Seen {
        batches,
        events,
        receivers: totals.receivers,
        connections: totals.connections,
        faults: totals.faults,
        took,
    })
}

/// Makes something go wrong when its time has come.
async fn make(world: Arc<World>, trouble: Part) {
    match trouble {
        Part::Fault(at, fault) => {
            tokio::time::sleep(at).await;
            world.say(|| format!("-- {fault}"));
            world.emulator.inject(fault);
        }
        Part::Clear(at) => {
            tokio::time::sleep(at).await;
            world.say(|| "-- no faults any more".into());
            world.emulator.clear_faults();
        }
        Part::Publisher(_) | Part::Reader(_) => {}
    }
}

/// What all of them came to, in the order in which they began.
async fn all<T: 'static>(tasks: &mut JoinSet<T>) -> Result<Vec<T>, String> {
    let mut done = Vec::new();
    while let Some(next) = tasks.join_next_with_id().await {
        done.push(next.map_err(|error: JoinError| format!("a task ended badly: {error}"))?);
    }
    done.sort_by_key(|(id, _)| id.to_string().parse::<u64>().unwrap_or_default());
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

/// Runs a plan on a clock of its own; why it failed, if it did.
///
/// On a thread of its own as well: while a task spins, no time passes on a paused clock, and no bound on it holds.
fn attempt(plan: &Plan, is_loud: bool) -> Result<Seen, String> {
    let (told, result) = mpsc::channel();
    let plan = plan.clone();
    std::thread::spawn(move || told.send(on_paused_clock(&plan, is_loud)));
    result.recv_timeout(SPIN).unwrap_or_else(|ended| match ended {
        RecvTimeoutError::Timeout => Err(format!("a task spins: no end within {SPIN:?} of the world's time")),
        RecvTimeoutError::Disconnected => Err("a panic, see above".into()),
    })
}

fn on_paused_clock(plan: &Plan, is_loud: bool) -> Result<Seen, String> {
    let bounded = async {
        let late = |_| Err(format!("not over after {LIMIT:?}"));
        tokio::time::timeout(LIMIT, run(plan, is_loud)).await.unwrap_or_else(late)
    };
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime").block_on(bounded)
}

/// Why a plan fails that has failed before; `None` when it does not any more.
fn failure(plan: &Plan, is_loud: bool) -> Option<String> {
    (0..TRIES).find_map(|_| attempt(plan, is_loud).err())
}

/// Leaves out every part without which the plan fails all the same.
fn shrink(plan: &Plan) -> Plan {
    let mut least = plan.clone();
    let mut index = 0;
    while index < least.parts.len() {
        let less = least.without(index);
        if failure(&less, false).is_some() {
            least = less;
        } else {
            index += 1;
        }
    }
    least
}

fn fail(plan: &Plan, why: &str) -> ! {
    let least = shrink(plan);
    let again = failure(&least, false);
    println!("with these parts alone: {}\n{least}", again.as_deref().unwrap_or("it does not fail every time"));
    panic!("{why}\nHUBWIRE_SEED={} cargo test --features emulator --test model -- --nocapture", plan.seed);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs all seeds below `count`, on as many threads as there are cores; what they came to, or the first that failed.
fn run_all(count: u64) -> Result<Seen, Box<(Plan, String)>> {
    let (next, total) = (AtomicU64::new(0), Mutex::new(Ok(Seen::default())));
    let work = || {
        let next_seed = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&seed| seed < count);
        while let Some(plan) = next_seed().map(Plan::roll) {
            let result = attempt(&plan, false);
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *total, result) {
                (Ok(total), Ok(seen)) => total.add(&seen),
                (Ok(_), Err(why)) => *total = Err(Box::new((plan, why))),
                (Err(_), _) => return,
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn each_reader_gets_each_accepted_event_exactly_once_and_in_order() {
    if let Some(plan) = number("HUBWIRE_SEED").map(Plan::roll) {
        println!("{plan}");
        if let Some(why) = failure(&plan, true) {
            fail(&plan, &why);
        }
        return;
    }
    let count = number("HUBWIRE_SEEDS").unwrap_or(SEEDS);
    let seen = run_all(count).unwrap_or_else(|failed| fail(&failed.0, &failed.1));
    println!("{count} seeds: {seen:?}");
    let [accepted, refused, maybe] = seen.batches;
    let is_rough = accepted as u64 > 5 * count && refused as u64 > count && maybe as u64 > count;
    let is_read = seen.events[1] * 2 > seen.events[0] && seen.receivers > 10 * count;
    assert!(is_rough && is_read && seen.faults > 2 * count, "the dice are loaded: {seen:?}");
}

impl Seen {
    fn add(&mut self, other: &Self) {
        let sum =
            |left: &mut [usize], right: &[usize]| left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
        sum(&mut self.batches, &other.batches);
        sum(&mut self.events, &other.events);
        self.receivers += other.receivers;
        self.connections += other.connections;
        self.faults += other.faults;
        self.took = self.took.max(other.took);
    }
}
