//! `hubwire bench`.

mod building;
mod live;

use std::fs;
use std::path::Path;

use super::args::bench::{BenchArgs, BenchCommand, CompareArgs, Form, Judged};
use super::failure::{Failure, Kind};
use super::report::interrupted;
use super::signal::Signals;
use super::trace::Trace;
use super::{output, shown};
use crate::bench::{Bench, BenchError, Comparison, Held, Limit, Report, Step, Stop, Workload, amount, command};
use building::Ground;
use live::Live;

/// Runs the command; the exit code.
pub(super) async fn run(args: BenchArgs) -> u8 {
    let failures = match &args.command {
        Some(BenchCommand::Compare(compare)) => self::compare(compare),
        None => bench(&args).await,
    };
    let failures = failures.unwrap_or_else(|failure| vec![failure]);
    failures.iter().for_each(output::complain);
    failures.iter().map(|failure| failure.kind).max().map_or(0, Kind::exit_code)
}

/// What was wrong, beside what kept it from being run at all.
async fn bench(args: &BenchArgs) -> Result<Vec<Failure>, Failure> {
    let workload = building::workload(args)?;
    let baseline = args.judged.baseline.as_deref().map(read).transpose()?;
    check(&args.judged, baseline.is_some(), &args.told.saves)?;
    if args.told.dry_run {
        let limits = args.judged.find_max.then(|| max_limits(&args.judged));
        say(&command(&building::options(&args.against), &workload, limits.as_deref()));
        return Ok(Vec::new());
    }
    let trace = Trace::start(&args.trace)?;
    let mut ground = Ground::new(args, &trace)?;
    if cfg!(debug_assertions) && !args.told.quiet {
        output::warn("this is a debug build: its figures mean nothing; build it with --release");
    }
    let mut signals =
        Signals::listen().map_err(|error| Failure::configuration(format!("cannot listen for signals: {error}")))?;
    let live = Live::new(args.told.quiet);
    let stop = ground.bench.stop();
    let mut ended_by = None;
    let measured = {
        let running = measure(args, &mut ground.bench, &workload, &live);
        tokio::pin!(running);
        loop {
            tokio::select! {
                measured = &mut running => break measured,
                kind = signals.next() => {
                    ended_by = Some(kind);
                    ask_to_end(&stop, &signals);
                }
            }
        }
    };
    live.finish();
    trace.finish().await;
    let report = match (measured, ended_by) {
        (Err(_), Some(kind)) => return Err(interrupted(kind)),
        (measured, _) => measured?,
    };
    let mut failures = tell(args, &report, baseline.as_ref());
    failures.extend(of_run(&ground.bench, &report));
    if let Some(kind) = ended_by {
        failures.push(interrupted(kind));
    }
    failures.extend(broken(&args.judged.limits, &report, baseline.as_ref()));
    Ok(failures)
}

/// The first signal lets what is under way have its outcome; the second gives it up.
fn ask_to_end(stop: &Stop, signals: &Signals) {
    stop.stop();
    if signals.are_urgent() {
        stop.give_up();
    }
}

async fn measure(args: &BenchArgs, bench: &mut Bench, workload: &Workload, live: &Live) -> Result<Report, Failure> {
    let measured = match args.judged.find_max {
        true => {
            let on_step = |step: &Step| {
                let outcome = step.broken.as_deref().unwrap_or("held");
                live.say(&format!("{} {}: {outcome}", amount(step.rate), step.unit.per_sec()));
            };
            bench.find_max(workload, &max_limits(&args.judged), |second| live.tell(second), on_step).await
        }
        false => bench.run(workload, |second| live.tell(second)).await,
    };
    measured.map_err(|error| match error {
        BenchError::Connect(error) => Failure::of_error(&error),
        _ => Failure::input(error.to_string()),
    })
}

fn max_limits(judged: &Judged) -> Vec<Limit> {
    if !judged.max_limits.is_empty() {
        return judged.max_limits.clone();
    }
    ["p99>50ms", "errors>0%"].iter().filter_map(|text| text.parse().ok()).collect()
}

/// What would be in vain, before anything is run.
fn check(judged: &Judged, has_baseline: bool, saves: &[std::path::PathBuf]) -> Result<(), Failure> {
    if let Some(limit) = judged.limits.iter().find(|limit| limit.is_relative() && !has_baseline) {
        return Err(Failure::input(format!(
            "--fail-if '{limit}' is about a change; name what it was with --baseline FILE"
        )));
    }
    if let Some(limit) = judged.max_limits.iter().find(|limit| limit.is_relative()) {
        return Err(Failure::input(format!("--limit '{limit}' is about a change; give a value, such as p99>50ms")));
    }
    for path in saves {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(Failure::configuration(format!(
                "--save {}: there is no such folder; make it first",
                shown(path)
            )));
        }
        let form = path.extension().and_then(|form| form.to_str()).unwrap_or_default();
        if !["json", "csv", "hlog", "html"].contains(&form) {
            let shown = shown(path);
            return Err(Failure::input(format!(
                "--save {shown}: the name says the form; end it with .json, .csv, .hlog or .html"
            )));
        }
    }
    Ok(())
}

/// The report to standard output and to files, the comparison behind it; the files that could not be written.
fn tell(args: &BenchArgs, report: &Report, baseline: Option<&Report>) -> Vec<Failure> {
    let mut text = match args.told.output {
        Form::Text => report.to_string(),
        Form::Json => report.to_json(),
        Form::Csv => report.to_csv(),
    };
    if let Some(baseline) = baseline {
        let comparison = Comparison::of(baseline, report).to_string();
        match args.told.output {
            Form::Text => text += &format!("\n\n{comparison}"),
            // One object stays one, and a table a table.
            Form::Json | Form::Csv => output::note(comparison),
        }
    }
    say(&text);
    args.told.saves.iter().filter_map(|path| save(path, report).err()).collect()
}

fn say(text: &str) {
    if let Err(error) = output::line(text)
        && !output::is_reader_gone(&error)
    {
        output::complain(format_args!("cannot write to standard output: {error}"));
    }
}

fn save(path: &Path, report: &Report) -> Result<(), Failure> {
    let text = match path.extension().and_then(|form| form.to_str()) {
        Some("csv") => report.to_csv() + "\n",
        Some("hlog") => report.to_hdr_log(),
        Some("html") => report.to_html(),
        _ => report.to_json() + "\n",
    };
    let failed = |error| Failure::configuration(format!("cannot save {}: {error}; check the path", shown(path)));
    fs::write(path, text).map_err(failed)
}

fn read(path: &Path) -> Result<Report, Failure> {
    let shown = shown(path);
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::configuration(format!("cannot read {shown}: {error}; name a report that was saved"))
    })?;
    Report::from_json(&text).map_err(|error| Failure::configuration(format!("{shown}: {error}")))
}

/// Why events were not accepted, in the words and with the exit codes of `send`.
fn of_run(bench: &Bench, report: &Report) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    // To find what is too much, something has to be.
    let has_found = report.ended_early.is_none() && report.search.iter().any(|step| step.broken.is_none());
    for failure in bench.failures().iter().filter(|_| !has_found) {
        failures.push(Failure::of_bench(failure));
    }
    failures.extend(bench.interruption().map(Failure::of_error));
    let lost = report.rounds.iter().filter_map(|round| round.received?.lost).find(|lost| *lost > 0);
    if let Some(lost) = lost {
        let text = format!(
            "{lost} events were accepted and did not arrive; where readers fall behind what the hub keeps, 1 GiB with --emulator, \
             that is why: publish at a rate that they keep up with (--rate)"
        );
        failures.push(Failure::new(Kind::UnknownOutcome, text));
    }
    failures
}

fn broken(limits: &[Limit], report: &Report, baseline: Option<&Report>) -> Vec<Failure> {
    let broken = |limit: &Limit| match limit.check(report, baseline) {
        Held::Yes => None,
        Held::WithinNoise(text) => {
            output::warn(format_args!("{text}; within the noise, and not held against it"));
            None
        }
        Held::No(text) => Some(Failure::new(Kind::Limit, text)),
        Held::Unknown(text) => Some(Failure::new(Kind::Limit, format!("{text}; leave this limit out"))),
    };
    limits.iter().filter_map(broken).collect()
}

fn compare(args: &CompareArgs) -> Result<Vec<Failure>, Failure> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    say(&Comparison::of(&before, &after).to_string());
    Ok(broken(&args.limits, &after, Some(&before)))
}
