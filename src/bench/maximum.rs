//! The highest rate that a hub holds, tried out.

use std::time::Duration;

use super::limits::{Held, Limit};
use super::report::{Report, Round, Second};
use super::run::{Bench, BenchError};
use super::search::{Search, Step};
use super::workload::{Schedule, Workload};

/// Where a search begins, in events a second, unless the workload has a rate; and how close it comes.
const FIRST_RATE: f64 = 1_000.0;
const WIDTH: f64 = 0.05;
/// How long each rate is held, unless the workload says.
const STEP_SPAN: Duration = Duration::from_secs(3);
/// A rate is kept when so much of what was due is accepted.
const KEPT: f64 = 0.98;

impl Bench {
    /// Raises the rate of `workload`, from the one it has or 1,000 events a second on, until one of `limits` is broken or the
    /// rate is not kept, and closes in on the knee. Each rate is held for [`Workload::duration`], or 3 s; `on_step` is told what came of
    /// it. The report is that of the highest rate that held, with all [`Step`]s in it.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
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
        let mut search =
            Search::from(workload.rate.as_ref().and_then(Schedule::first_rate).unwrap_or(FIRST_RATE), WIDTH);
        let (mut steps, mut best, stop) = (Vec::new(), None, self.stop());
        while let Some(rate) = search.rate() {
            let tried = Workload { rate: Some(Schedule::steady(rate)), duration: Some(span), ..workload.clone() };
            let report = self.run(&tried, &mut on_second).await?;
            let step = step(rate, span, &report, limits);
            on_step(&step);
            search.tell(step.broken.is_none());
            if step.broken.is_none() || best.is_none() {
                best = Some(report);
            }
            steps.push(step);
            if stop.is_stopped() {
                break;
            }
        }
        // The first rate is above 0, and was tried.
        let report = best.ok_or(BenchError::Stopped)?;
        Ok(Report { search: steps, ..report })
    }
}

fn step(rate: f64, span: Duration, report: &Report, limits: &[Limit]) -> Step {
    let round = report.middle();
    // Of the time in which events were due: what comes later is late, and not less.
    let accepted_per_sec = round.map_or(0.0, |round| round.ends.accepted as f64 / span.as_secs_f64());
    let p99_us = round.and_then(Round::latency).map_or(0.0, |latency| latency.p99_us);
    let beyond = limits.iter().find_map(|limit| match limit.check(report, None) {
        Held::No(text) | Held::Unknown(text) => Some(text),
        Held::Yes | Held::WithinNoise(_) => None,
    });
    let lost =
        || (accepted_per_sec < KEPT * rate).then(|| format!("only {accepted_per_sec:.0} events/s were accepted"));
    Step { rate, accepted_per_sec, p99_us, broken: beyond.or_else(lost) }
}
