//! Readers on every partition: what is published comes out again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::tally::Tally;
use super::{boxed, say_goodbye};
use crate::bench::latency::{Latencies, Latency};
use crate::bench::ledger::Received;
use crate::bench::mark::Mark;
use crate::bench::stop::Stop;
use crate::bench::target::Target;
use crate::{Connection, Error, PartitionProperties, Position, Receiver, ReceiverOptions, clock};

/// What was accepted and does not come for so long is lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether more has come.
const LOOK: Duration = Duration::from_millis(20);
/// Events that each partition may have under way.
const CREDIT: u32 = 3_000;

/// The readers of a round. They end when this is dropped.
pub(super) struct Readers {
    connection: Connection,
    tasks: JoinSet<()>,
    shared: Shared,
    /// Where they run.
    on: Handle,
}

#[derive(Clone)]
struct Shared {
    run: u64,
    start: Instant,
    /// Earlier ones are of the warm-up.
    warm_up: Duration,
    tally: Tally,
    /// Ends the round when a reader fails: what it would have read is not known.
    stop: Stop,
    arrivals: Arc<Mutex<Arrivals>>,
}

struct Arrivals {
    latencies: Latencies,
    /// Why a reader ended.
    failure: Option<Error>,
}

impl Shared {
    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receivers that are attached: what is published from now on comes to them.
pub(super) struct Attached {
    connection: Connection,
    receivers: Vec<(u32, Receiver)>,
    on: Handle,
}

impl Attached {
    /// A receiver on each partition, behind its last event.
    pub(super) async fn attach(target: &Target) -> Result<Self, Error> {
        let (on, _) = target.readers();
        let target = target.clone();
        let (told, attached) = oneshot::channel();
        on.spawn(boxed(async move { drop(told.send(attach(&target).await)) }));
        let (connection, receivers) = attached.await.unwrap_or(Err(Error::ShutDown))?;
        Ok(Self { connection, receivers, on })
    }

    /// Reads what comes of run `run`, which starts at `start`.
    pub(super) fn read(self, run: u64, start: Instant, warm_up: Duration, tally: Tally, stop: Stop) -> Readers {
        let arrivals = Arrivals { latencies: Latencies::new(), failure: None };
        let shared = Shared { run, start, warm_up, tally, stop, arrivals: Arc::new(Mutex::new(arrivals)) };
        let mut tasks = JoinSet::new();
        for (partition, receiver) in self.receivers {
            tasks.spawn_on(boxed(read(partition, receiver, shared.clone())), &self.on);
        }
        Readers { connection: self.connection, tasks, shared, on: self.on }
    }
}

async fn attach(target: &Target) -> Result<(Connection, Vec<(u32, Receiver)>), Error> {
    let connection = target.open(target.options()).await?;
    let event_hub = target.event_hub();
    let mut receivers = Vec::new();
    for (number, id) in (0..).zip(connection.event_hub_properties(event_hub).await?.partition_ids) {
        let properties = connection.partition_properties(event_hub, &id).await?;
        let options = ReceiverOptions::default().position(behind(&properties)).credit(CREDIT);
        receivers.push((number, connection.receiver(event_hub, &id, &options).await?));
    }
    Ok((connection, receivers))
}

fn behind(properties: &PartitionProperties) -> Position {
    if properties.is_empty && properties.last_enqueued_sequence_number < 0 {
        return Position::Earliest;
    }
    Position::AfterSequenceNumber(properties.last_enqueued_sequence_number)
}

async fn read(partition: u32, mut receiver: Receiver, shared: Shared) {
    loop {
        match receiver.recv().await {
            Ok(received) => {
                let Some(mark) = Mark::of(&received.event).filter(|mark| mark.run == shared.run) else { continue };
                let span = clock::now().saturating_duration_since(shared.start).saturating_sub(mark.due);
                if mark.due >= shared.warm_up {
                    shared.arrivals().latencies.record(span, 1);
                }
                shared.tally.with_ledger(|ledger| ledger.arrive(partition, &mark));
            }
            Err(error) => {
                shared.arrivals().failure.get_or_insert(error);
                return shared.stop.stop();
            }
        }
    }
}

/// What became of the readers of a round.
pub(super) struct Found {
    pub(super) arrival: Option<Latency>,
    pub(super) received: Option<Received>,
    /// Why a reader ended.
    pub(super) failure: Option<Error>,
}

impl Readers {
    /// Waits until all that was accepted has come, or nothing has for long, a reader has failed, or it is to be given up; and
    /// tells what came.
    pub(super) async fn finish(mut self) -> Found {
        let stop = self.shared.stop.clone();
        let is_complete = tokio::select! {
            biased;
            is_complete = self.until_all_has_come() => is_complete,
            () = stop.given_up() => false,
        };
        self.tasks.abort_all();
        let connection = self.connection.clone();
        // Its task is there.
        let _ = self.on.spawn(boxed(async move { say_goodbye(&[connection], &stop).await })).await;
        let arrivals = self.shared.arrivals();
        Found {
            arrival: arrivals.latencies.summary(),
            received: self.shared.tally.with_ledger(|ledger| ledger.received(is_complete)),
            failure: arrivals.failure.clone(),
        }
    }

    /// Whether what has not come by its end is lost; not when a reader failed, who may have left something unread.
    async fn until_all_has_come(&self) -> bool {
        let (mut seen, mut last_at) = (None, clock::now());
        loop {
            if self.shared.arrivals().failure.is_some() {
                return false;
            }
            let known = self.shared.tally.with_ledger(|ledger| (ledger.missing(), ledger.seen()));
            let Some((_, events)) = known.filter(|(missing, _)| *missing > 0) else { return true };
            if seen != Some(events) {
                (seen, last_at) = (Some(events), clock::now());
            }
            if clock::now().saturating_duration_since(last_at) > PATIENCE {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
