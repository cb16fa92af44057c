//! The highest rate that a hub holds, tried out.

use std::time::Duration;

use super::limits::{Held, Limit};
use super::report::{Report, Round, Second};
use super::run::{Bench, BenchError};
use super::search::{Search, Step, amount};
use super::workload::{Schedule, Unit, Workload};

/// Where a search begins, in events a second, unless the workload has a rate; and how close it comes.
const FIRST_RATE: f64 = 1_000.0;
const WIDTH: f64 = 0.05;
/// How long each rate is held, unless the workload says.
const STEP_SPAN: Duration = Duration::from_secs(3);
/// A rate is kept when so much of what was due is accepted.
const KEPT: f64 = 0.98;

impl Bench {
    /// Raises the rate of `workload`, from the one it has or 1,000 events a second on, until one of `limits` is broken or the
    /// rate is not kept, and closes in on the knee. Each rate is held for [`Workload::duration`], or 3 s; `on_step` is told what
    /// came of it. The report is that of the highest rate that held, or of the first if none did, with all [`Step`]s in it.
    ///
    /// What ends a rate before its time ends the search; the steps before it are in the report.
    ///
    /// # Errors
    /// As of [`run`](Self::run), when not even the first rate could be tried.
    ///
    /// # Cancel
    /// As of [`run`](Self::run).
    pub async fn find_max(
        &mut self,
        workload: &Workload,
        limits: &[Limit],
        mut on_second: impl FnMut(&Second),
        mut on_step: impl FnMut(&Step),
    ) -> Result<Report, BenchError> {
        let span = workload.duration.unwrap_or(STEP_SPAN);
        let unit = workload.rate.as_ref().map_or(Unit::Events, Schedule::unit);
        let first_rate = workload.rate.as_ref().and_then(Schedule::first_rate).unwrap_or(FIRST_RATE);
        let workload = Workload { duration: Some(span), ..workload.clone() };
        let mut search = Search::from(first_rate, WIDTH);
        let (mut steps, mut best, mut ended_early) = (Vec::new(), None, None);
        while let Some(rate) = search.rate() {
            let tried = Workload { rate: Some(Schedule::steady_in(unit, rate)), ..workload.clone() };
            let report = match self.run(&tried, &mut on_second).await {
                Ok(report) => report,
                Err(error) if best.is_none() => return Err(error),
                Err(error) => {
                    ended_early = Some(error.why_early());
                    self.interrupted_by(error);
                    break;
                }
            };
            // A rate that was cut short says nothing of itself.
            if report.ended_early.is_some() {
                ended_early.clone_from(&report.ended_early);
                best.get_or_insert(report);
                break;
            }
            let step = step((unit, rate), span, &report, limits);
            on_step(&step);
            search.tell(step.broken.is_none());
            if step.broken.is_none() || best.is_none() {
                best = Some(report);
            }
            steps.push(step);
        }
        // The first rate was tried.
        let report = best.ok_or(BenchError::Stopped)?;
        let rate = workload.rate.or_else(|| Some(Schedule::steady(first_rate)));
        let workload = Workload { rate, ..workload };
        Ok(Report { workload, search_limits: Some(limits.to_vec()), search: steps, ended_early, ..report })
    }
}

fn step((unit, rate): (Unit, f64), span: Duration, report: &Report, limits: &[Limit]) -> Step {
    let round = report.middle().cloned().unwrap_or_default();
    let accepted = match unit {
        Unit::Events => round.ends.accepted,
        Unit::Bytes => round.body_bytes,
    };
    // Of the time in which events were due: what comes later is late, and not less.
    let accepted_per_sec = accepted as f64 / span.as_secs_f64();
    let p99_us = round.latency().map_or(0.0, |latency| latency.p99_us);
    let beyond = limits.iter().find_map(|limit| match limit.check(report, None) {
        Held::No(text) | Held::Unknown(text) => Some(text),
        Held::Yes | Held::WithinNoise(_) => None,
    });
    let not_kept =
        || (!is_kept(&round)).then(|| format!("only {} {} were accepted", amount(accepted_per_sec), unit.per_sec()));
    Step { unit, rate, accepted_per_sec, p99_us, broken: beyond.or_else(not_kept) }
}

/// Of what was due, and not of what was asked for: at random times that is more or less.
fn is_kept(round: &Round) -> bool {
    let due = round.ends.offered + round.missed;
    due > 0 && round.ends.accepted as f64 >= KEPT * due as f64
}
