//! Workload and target -> report.

mod alarm;
mod lane;
mod missed;
mod open;
mod reading;
mod tally;
mod watch;

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use tokio::task::JoinSet;

use super::generator::{Material, MaterialError};
use super::ledger::Ledger;
use super::report::{Report, Round, Second};
use super::stop::Stop;
use super::target::Target;
use super::workload::{Route, Workload, WorkloadError};
use crate::{Connection, Error, Options, Sender, clock};
use alarm::Alarm;
use lane::{Lane, Shared};
use reading::{Attached, Found};
use tally::Tally;
pub use tally::{Outcome, SendFailure};
use watch::Watch;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tasks of one type: what a runtime takes to run one is there once.
fn boxed(task: impl Future<Output = ()> + Send + 'static) -> Task {
    Box::pin(task)
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The workload contradicts itself.
    #[error("{0}")]
    Workload(#[from] WorkloadError),
    /// A file that it names cannot be used.
    #[error("{0}")]
    Material(#[from] MaterialError),
    /// There is no way to the hub.
    #[error("{0}")]
    Connect(#[from] Error),
    /// It was [stopped](Stop) first.
    #[error("it was stopped before anything was measured")]
    Stopped,
}

const STOPPED: &str = "it was stopped";

impl BenchError {
    /// Why what had begun went no further.
    pub(super) fn why_early(&self) -> String {
        match self {
            Self::Stopped => STOPPED.to_owned(),
            other => other.to_string(),
        }
    }
}

/// Runs workloads against a target.
#[derive(Debug)]
pub struct Bench {
    target: Target,
    description: String,
    target_options: String,
    stop: Stop,
    alarm: Alarm,
    failures: Vec<SendFailure>,
    interruption: Option<Error>,
}

impl Bench {
    /// For `target`, which reports call `description`.
    ///
    /// ```
    /// use hubwire::bench::{Bench, Target, Workload};
    /// # use hubwire::emulator::Emulator;
    /// # use hubwire::{ConnectionString, Options};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let emulator = Emulator::builder().event_hub("telemetry", 4).build()?;
    /// # let to = ConnectionString::parse(&emulator.connection_string(None))?;
    /// # let namespace = emulator.clone();
    /// let target = Target::over(move || namespace.connect(), &to, "telemetry", &Options::default());
    /// let workload = Workload { events: Some(1_000), warm_up: std::time::Duration::ZERO, ..Workload::default() };
    /// let report = Bench::new(target, "an emulator").run(&workload, |_| {}).await?;
    /// let ends = report.rounds[0].ends;
    /// assert_eq!((ends.offered, ends.accepted), (1_000, 1_000));
    /// assert_eq!(emulator.stored_count(), 1_000);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(target: Target, description: impl Into<String>) -> Self {
        let (description, stop) = (description.into(), Stop::default());
        let target_options = String::new();
        let failures = Vec::new();
        Self { target, description, target_options, stop, alarm: Alarm::Coarse, failures, interruption: None }
    }

    /// Has reports say which options of `hubwire bench` lead to the target.
    #[must_use]
    pub fn with_target_options(mut self, options: impl Into<String>) -> Self {
        self.target_options = options.into();
        self
    }

    /// Has events leave closer to the time they are due than the runtime's timers, which go by milliseconds, could: by a
    /// thread that sleeps. Not under a clock that is paused.
    ///
    /// # Errors
    /// What the system says when it has no thread to give.
    pub fn precisely(mut self) -> std::io::Result<Self> {
        self.alarm = Alarm::fine()?;
        Ok(self)
    }

    /// What ends it before its time.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Why events were not accepted, in all that was run: each reason once, and no more than a few.
    pub fn failures(&self) -> &[SendFailure] {
        &self.failures
    }

    /// What ended what was run before its time, beside what became of events: a reader that failed, or a round whose
    /// connections could not be made.
    pub fn interruption(&self) -> Option<&Error> {
        self.interruption.as_ref()
    }

    /// Keeps what ended a run that has something to report.
    pub(super) fn interrupted_by(&mut self, error: BenchError) {
        if let BenchError::Connect(error) = error {
            self.interruption.get_or_insert(error);
        }
    }

    /// Runs the rounds of `workload`. `on_second` is told how it goes, each second.
    ///
    /// It wants a runtime with one thread to itself: then the CPU that is reported is the publisher's.
    ///
    /// # Errors
    /// [`BenchError`] when there is nothing to report. What goes wrong later ends the run, and is in the report.
    ///
    /// # Cancel
    /// Connections are dropped, with what is under way on them.
    pub async fn run(&mut self, workload: &Workload, mut on_second: impl FnMut(&Second)) -> Result<Report, BenchError> {
        workload.check()?;
        let material = Arc::new(Material::new(workload)?);
        let started_at = humantime::format_rfc3339_seconds(clock::wall()).to_string();
        let mut report = Report::new(workload, &*self.description, self.target.event_hub(), started_at);
        report.target_options.clone_from(&self.target_options);
        report.files.clone_from(&material.files);
        for number in 0..workload.rounds {
            match self.round(workload, &material, &mut on_second).await {
                Ok((round, ended_early)) => {
                    report.rounds.push(round);
                    report.ended_early = ended_early;
                }
                Err(error) if number == 0 => return Err(error),
                Err(error) => {
                    report.ended_early = Some(error.why_early());
                    self.interrupted_by(error);
                }
            }
            if report.ended_early.is_some() {
                break;
            }
        }
        Ok(report)
    }

    /// One round on connections of its own, and why it ended early.
    async fn round(
        &mut self,
        workload: &Workload,
        material: &Arc<Material>,
        on_second: &mut impl FnMut(&Second),
    ) -> Result<(Round, Option<String>), BenchError> {
        let (attached, links) = tokio::select! {
            biased;
            () = self.stop.stopped() => return Err(BenchError::Stopped),
            connected = self.connect(workload) => connected?,
        };
        let (start, run) = (clock::now(), RandomState::new().hash_one(0_u8));
        let ledger = workload.receive.then(|| Ledger::new(workload.lanes()));
        let measured_from = start + workload.warm_up;
        let tally = Tally::new(start, measured_from, ledger, self.stop.clone());
        let addresses = links.addresses();
        links.tell(&tally);
        let shared = Shared {
            workload: Arc::new(workload.clone()),
            material: Arc::clone(material),
            tally: tally.clone(),
            stop: self.stop.clone(),
            alarm: self.alarm.clone(),
            start,
            run,
        };
        let readers =
            attached.map(|attached| attached.read(run, start, workload.warm_up, tally.clone(), self.stop.clone()));
        let mut watch = Watch::new(&self.target, links.connections, tally.clone(), measured_from);
        watch.begin_if_due();
        let mut lanes = JoinSet::new();
        for (number, senders) in (0..).zip(links.senders) {
            lanes.spawn(boxed(Lane::new(shared.clone(), number, senders).run()));
        }
        watch.until_all_end(lanes, &self.stop, on_second).await;
        let Found { arrival, received, failure } = match readers {
            Some(readers) => readers.finish().await,
            None => Found { arrival: None, received: None, failure: None },
        };
        let round = Round { arrival, received, ..watch.finish((workload.lanes(), addresses), &self.stop).await };
        Ok((round, self.why_early(&tally, failure)))
    }

    /// Readers first: nothing that is published is to pass them by.
    async fn connect(&self, workload: &Workload) -> Result<(Option<Attached>, Links), Error> {
        let attached = match workload.receive {
            true => Some(Attached::attach(&self.target).await?),
            false => None,
        };
        Ok((attached, Links::open(&self.target, workload).await?))
    }

    /// Keeps the failures, and tells what ended the round before its time.
    fn why_early(&mut self, tally: &Tally, reader_failure: Option<Error>) -> Option<String> {
        let fatal = tally.fatal();
        for failure in fatal.iter().cloned().chain(tally.failures()) {
            if !self.failures.iter().any(|other| other.repeats(&failure)) {
                self.failures.push(failure);
            }
        }
        let of_reader = reader_failure.as_ref().map(|error| format!("a reader ended: {error}"));
        self.interruption = self.interruption.take().or(reader_failure);
        let stopped = self.stop.is_stopped().then(|| STOPPED.to_owned());
        fatal.map(|failure| failure.message).or(of_reader).or(stopped)
    }
}

/// Closes them all at once; waits no longer than it is wished for.
async fn say_goodbye(connections: &[Connection], stop: &Stop) {
    let closing = futures_util::future::join_all(connections.iter().map(Connection::close));
    tokio::select! {
        biased;
        _ = closing => {}
        () = stop.given_up() => connections.iter().for_each(Connection::abort),
    }
}

/// Connections, and the senders of each lane.
struct Links {
    connections: Vec<Connection>,
    senders: Vec<Vec<Sender>>,
    /// Whom their events are told to, once it is there.
    listener: Arc<OnceLock<Tally>>,
}

impl Links {
    async fn open(target: &Target, workload: &Workload) -> Result<Self, Error> {
        let listener = Arc::<OnceLock<Tally>>::default();
        let mut links = Self { connections: Vec::new(), senders: Vec::new(), listener };
        for number in 0..workload.connections {
            let connection = target.open(links.options(target, workload, number)).await?;
            links.connections.push(connection.clone());
            for _ in 0..workload.links {
                links.senders.push(senders(&connection, target.event_hub(), &workload.route).await?);
            }
        }
        Ok(links)
    }

    /// Of the connection with number `number`. The window is the lanes' own: the connection's is never the first that is full.
    fn options(&self, target: &Target, workload: &Workload, number: u32) -> Options {
        let listener = Arc::clone(&self.listener);
        let batches = workload.window() * workload.links as usize;
        target.options().max_in_flight_batches(batches).max_in_flight_bytes(usize::MAX).on_event(move |event| {
            if let Some(tally) = listener.get() {
                tally.hear(number, event, clock::now());
            }
        })
    }

    /// Where links lead, counted for each connection.
    fn addresses(&self) -> u32 {
        let of_a_link = self.senders.first().map_or(0, Vec::len);
        (self.connections.len() * of_a_link) as u32
    }

    fn tell(&self, tally: &Tally) {
        let _ = self.listener.set(tally.clone());
    }
}

async fn senders(connection: &Connection, event_hub: &str, route: &Route) -> Result<Vec<Sender>, Error> {
    Ok(match route {
        Route::Hub => vec![connection.sender(event_hub).await?],
        Route::Partition(id) => vec![connection.partition_sender(event_hub, id).await?],
        Route::EachPartition => {
            let mut senders = Vec::new();
            for id in connection.event_hub_properties(event_hub).await?.partition_ids {
                senders.push(connection.partition_sender(event_hub, &id).await?);
            }
            senders
        }
    })
}
