//! Two runs side by side: what changed, and whether it is more than rounds differ anyway.

use std::fmt::{self, Write};

use super::limits::Limit;
use super::report::text::decimals;
use super::report::{Figure, NamedFile, Report};

/// A figure in two runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which figure.
    pub figure: Figure,
    before: Vec<f64>,
    after: Vec<f64>,
}

/// What a change comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No round of one run lies among those of the other, and it is for the better.
    Better,
    /// The same for the worse.
    Worse,
    /// Rounds of both overlap.
    WithinNoise,
    /// A run has one round alone: there is no telling.
    OneRound,
}

impl Change {
    /// `None` when one of them does not know the figure.
    #[must_use]
    pub fn of(figure: Figure, before: &Report, after: &Report) -> Option<Self> {
        let change = Self { figure, before: before.values(figure), after: after.values(figure) };
        (!change.before.is_empty() && !change.after.is_empty()).then_some(change)
    }

    /// The middle one, or the mean of the two.
    pub(super) fn median(values: &[f64]) -> Option<f64> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        Some(if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            (sorted.get(middle.checked_sub(1)?)? + sorted[middle]) / 2.0
        })
    }

    /// Its median before.
    #[must_use]
    pub fn before(&self) -> f64 {
        Self::median(&self.before).unwrap_or_default()
    }

    /// Its median after.
    #[must_use]
    pub fn after(&self) -> f64 {
        Self::median(&self.after).unwrap_or_default()
    }

    /// How much more it is, in percent of what it was.
    #[must_use]
    pub fn percent(&self) -> f64 {
        let (before, after) = (self.before(), self.after());
        if before == after {
            return 0.0;
        }
        // From nothing to something is more than any limit.
        if before == 0.0 { f64::INFINITY } else { (after / before - 1.0) * 100.0 }
    }

    /// Half of what lies between the best and the worst round, in percent of the median; of the run where it is more.
    /// `None` without several rounds of both.
    #[must_use]
    pub fn noise_percent(&self) -> Option<f64> {
        let noise = |values: &[f64]| {
            let (low, high) = range(values);
            let median = Self::median(values).filter(|median| *median > 0.0);
            (values.len() > 1).then(|| median.map_or(0.0, |median| (high - low) / 2.0 / median * 100.0))
        };
        Some(noise(&self.before)?.max(noise(&self.after)?))
    }

    /// Whether it is more than noise.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.before.len() < 2 || self.after.len() < 2 {
            return Verdict::OneRound;
        }
        let (before, after) = (range(&self.before), range(&self.after));
        match (after.0 > before.1, after.1 < before.0) {
            (false, false) => Verdict::WithinNoise,
            (is_higher, _) if is_higher == self.figure.is_better_high() => Verdict::Better,
            _ => Verdict::Worse,
        }
    }
}

/// The lowest and the highest.
fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

fn digits(value: f64) -> usize {
    if value >= 1_000.0 { 0 } else { 3 }
}

/// `p99 was 1.200 ms, and is 1.500 ms: +25.0 %, noise 2.1 %`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit, before, after) = (self.figure.name(), self.figure.unit(), self.before(), self.after());
        let (before, after) = (decimals(before, digits(before)), decimals(after, digits(after)));
        write!(f, "{name} was {before} {unit}, and is {after} {unit}: {:+.1} %", self.percent())?;
        match self.noise_percent() {
            Some(noise) => write!(f, ", noise {noise:.1} %"),
            None => f.write_str(", noise unknown: run several rounds"),
        }
    }
}

/// Two runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The figures that both know.
    pub changes: Vec<Change>,
    /// What else differs: the workload, the target, the machine, the version.
    pub differences: Vec<String>,
}

impl Comparison {
    /// Of `after` with `before`.
    #[must_use]
    pub fn of(before: &Report, after: &Report) -> Self {
        let changes = Figure::compared().into_iter().filter_map(|figure| Change::of(figure, before, after)).collect();
        let mut differences = Vec::new();
        let mut look = |what: &str, before: &str, after: &str| {
            if before != after {
                differences.push(format!("{what} was {before}, and is {after}"));
            }
        };
        look("the workload", &before.workload.to_string(), &after.workload.to_string());
        look("what is read from files", &files(before), &files(after));
        look("what breaks a rate", &limits(before), &limits(after));
        let build = |report: &Report| if report.is_debug_build { "a debug build" } else { "a release build" };
        look("the build", build(before), build(after));
        look("the target", &before.target, &after.target);
        look("the CPU", &before.machine.cpu, &after.machine.cpu);
        look("the number of CPUs", &before.machine.cpus.to_string(), &after.machine.cpus.to_string());
        look("the version", &before.version, &after.version);
        Self { changes, differences }
    }
}

fn files(report: &Report) -> String {
    listed(report.files.iter().map(NamedFile::to_string))
}

fn limits(report: &Report) -> String {
    listed(report.search_limits.iter().flatten().map(Limit::to_string))
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    let text = texts.collect::<Vec<_>>().join("; ");
    if text.is_empty() { "nothing".to_owned() } else { text }
}

/// A row for each figure; then what else differs, which makes the rest doubtful.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!(
            "{:14}{:>14}{:>14}{:>11}{:>10}  {:16}{}",
            "figure", "before", "after", "change, %", "noise, %", "unit", "verdict"
        );
        for change in &self.changes {
            let verdict = match change.verdict() {
                Verdict::Better => "better",
                Verdict::Worse => "worse",
                Verdict::WithinNoise => "within noise",
                Verdict::OneRound => "one round: unknown",
            };
            let value = |value: f64| decimals(value, digits(value));
            let noise = change.noise_percent().map_or("n/a".to_owned(), |noise| decimals(noise, 1));
            write!(
                text,
                "\n{:14}{:>14}{:>14}{:>11}{:>10}  {:16}{verdict}",
                change.figure.name(),
                value(change.before()),
                value(change.after()),
                format!("{:+.1}", change.percent()),
                noise,
                change.figure.unit(),
            )?;
        }
        for difference in &self.differences {
            write!(text, "\nnote: {difference}")?;
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::latency::Latencies;
    use crate::bench::report::{Column, Ends, Rank, Round};
    use crate::bench::usage::Machine;
    use crate::bench::workload::Workload;
    use std::time::Duration;

    /// A round for each rate, of a second, and all of its latencies the same.
    pub(in crate::bench) fn report(rates: &[u64], millis: f64) -> Report {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs_f64(millis / 1e3), 1_000);
        let round = |rate: &u64| Round {
            span_secs: 1.0,
            ends: Ends { offered: *rate, accepted: *rate, ..Ends::default() },
            batches: 10,
            body_bytes: rate * 1_024,
            message_bytes: rate * 1_040,
            billed_events: *rate,
            sent: latencies.summary(),
            client_cpu_secs: Some(0.5),
            peak_rss_bytes: Some(1 << 20),
            ..Round::default()
        };
        let mut report = Report::new(&Workload::default(), "a hub", "telemetry", "2026-11-25T09:05:00Z".to_owned());
        report.machine = Machine {
            system: "linux x86_64".into(),
            kernel: "6.1".into(),
            cpu: "a CPU".into(),
            cpus: 2,
            memory_len: None,
        };
        (report.version, report.is_debug_build) = ("0.1.0".into(), false);
        report.rounds = rates.iter().map(round).collect();
        report
    }

    #[test]
    fn the_noise_is_what_rounds_differ_by() {
        let change =
            Change::of(Figure::Rate, &report(&[1_000, 1_100, 900], 1.0), &report(&[1_200, 1_210], 1.0)).unwrap();
        assert_eq!((change.before(), change.after()), (1_000.0, 1_205.0));
        assert_eq!((change.noise_percent(), change.verdict()), (Some(10.0), Verdict::Better));
        assert!((change.percent() - 20.5).abs() < 1e-9);
    }

    #[test]
    fn verdicts_know_which_way_is_better() {
        let p99 = Figure::Latency(Column::Either, Rank::P99);
        let verdict = |figure, before: &Report, after: &Report| Change::of(figure, before, after).unwrap().verdict();
        let (slow, fast) = (report(&[100, 101], 2.0), report(&[200, 201], 1.0));
        assert_eq!(
            (verdict(Figure::Rate, &slow, &fast), verdict(p99, &slow, &fast)),
            (Verdict::Better, Verdict::Better)
        );
        assert_eq!((verdict(Figure::Rate, &fast, &slow), verdict(p99, &fast, &slow)), (Verdict::Worse, Verdict::Worse));
        assert_eq!(verdict(p99, &slow, &slow), Verdict::WithinNoise);
        assert_eq!(verdict(p99, &slow, &report(&[1], 1.0)), Verdict::OneRound);
        assert_eq!(Change::of(Figure::Lost, &slow, &fast), None);
    }

    #[test]
    fn other_limits_and_other_files_are_told() {
        let (mut before, mut after) = (report(&[100], 1.0), report(&[100], 1.0));
        before.search_limits = Some(vec!["p99>100ms".parse().unwrap()]);
        after.search_limits = Some(vec!["p99>1s".parse().unwrap(), "errors>0%".parse().unwrap()]);
        before.files = vec![NamedFile::of("keys.txt".as_ref(), "a\nb\n")];
        after.files = vec![NamedFile::of("keys.txt".as_ref(), "a\nc\n")];
        let expected = [
            "what is read from files was keys.txt, 4 bytes, SHA-256 911169ddaaf1..., and is keys.txt, 4 bytes, SHA-256 b72cf6d79181...",
            "what breaks a rate was p99>100ms, and is p99>1s; errors>0%",
        ];
        assert_eq!(Comparison::of(&before, &after).differences, expected);
        assert!(Comparison::of(&before, &before).differences.is_empty());
    }

    #[test]
    fn a_debug_build_is_no_comparison() {
        let (before, mut after) = (report(&[100], 1.0), report(&[100], 1.0));
        after.is_debug_build = true;
        let told = Comparison::of(&before, &after).to_string();
        assert!(told.contains("the build was a release build, and is a debug build"), "{told}");
    }

    #[test]
    fn from_nothing_to_something_is_beyond_every_limit() {
        let mut after = report(&[100], 1.0);
        after.rounds[0].ends.unknown = 1;
        let change = Change::of(Figure::Errors, &report(&[100], 1.0), &after).unwrap();
        assert_eq!(change.percent(), f64::INFINITY);
    }

    #[test]
    fn a_comparison_is_a_table() {
        let (before, mut after) = (report(&[1_000, 1_100, 900], 1.0), report(&[2_000, 2_020, 1_990], 0.5));
        after.machine.cpus = 4;
        let told = Comparison::of(&before, &after).to_string();
        let expected = "\
figure                before         after  change, %  noise, %  unit            verdict
rate                    1000          2000     +100.0      10.0  events/s        better";
        assert!(told.starts_with(expected), "{told}");
        assert!(told.ends_with("\nnote: the number of CPUs was 2, and is 4"), "{told}");
    }
}
