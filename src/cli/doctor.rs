//! `hubwire doctor`: the way to an event hub, step by step, and what is wrong with it in plain words.
//!
//! [`examination`] connects, [`cause`] decides what a failure means and [`advice`] what to try next, [`table`] and [`report`] tell
//! it.

mod advice;
mod cause;
mod certificate;
mod date;
mod examination;
mod milestones;
mod report;
mod step;
mod table;
mod verdict;

use super::args::doctor::DoctorArgs;
use super::failure::{self, Failure};
use super::settings;
use super::signal::Signals;
use super::trace::Trace;
use examination::Examination;
use report::Report;
use table::Table;

/// Runs the command; the exit code.
pub(super) async fn run(args: Box<DoctorArgs>) -> u8 {
    let mut report = Report::default();
    let told = traced(&args, &mut report).await;
    if let Err(failure) = &told
        && args.is_json()
    {
        report.fail_early(failure);
    }
    if args.is_json()
        && let Err(failure) = failure::print(report.json())
    {
        return failure::exit_code_of(Err(failure));
    }
    failure::exit_code_of(told)
}

async fn traced(args: &DoctorArgs, report: &mut Report) -> Result<u8, Failure> {
    let trace = Trace::start(&args.trace)?;
    let told = examine(args, &trace, report).await;
    trace.finish().await;
    told
}

async fn examine(args: &DoctorArgs, trace: &Trace, report: &mut Report) -> Result<u8, Failure> {
    let network = settings::network(&args.to)?;
    let options = trace.of(settings::options(&args.to, network.connection_string.host(), None)?);
    report.of(&network);
    let failed = |error| Failure::configuration(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::listen().map_err(failed)?;
    let mut table = Table::new(!args.is_json());
    let ended = {
        let examination = Examination::new(args, &network, options, &mut table).run();
        tokio::pin!(examination);
        tokio::select! {
            verdict = &mut examination => Ok(verdict),
            kind = signals.next() => Err(kind),
        }
    };
    report.steps = table.rows();
    match ended {
        Ok(verdict) => {
            let code = verdict.exit_code();
            if !args.is_json() {
                failure::print(&verdict)?;
            }
            report.verdict = Some(verdict);
            Ok(code)
        }
        Err(kind) => Err(Failure::new(kind, "ended by a signal before all was tried")),
    }
}
