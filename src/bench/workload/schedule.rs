//! How fast events come: rates over time, as a text and as a function.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::{TextError, bytes, held_as_text, joined, of_bytes, positive};

/// What a rate counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Events a second.
    #[default]
    Events,
    /// Bytes of bodies a second.
    Bytes,
}

impl Unit {
    /// As rates have it: `events/s`.
    #[must_use]
    pub fn per_sec(self) -> &'static str {
        match self {
            Self::Events => "events/s",
            Self::Bytes => "B/s",
        }
    }
}

/// A stretch of time in which the rate is steady, or goes evenly from one to another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Phase {
    /// A second, at its start and at its end.
    from: f64,
    to: f64,
    /// The last phase may have no end.
    span: Option<Duration>,
}

/// Rates over time: one, steps, ramps, one behind the other.
///
/// ```
/// use std::time::Duration;
/// use hubwire::bench::Schedule;
///
/// let steady: Schedule = "5000/s".parse()?;
/// assert_eq!(steady.time_of(2_500.0), Some(Duration::from_millis(500)));
///
/// let steps: Schedule = "1000/s:10s,2000/s:10s".parse()?;
/// assert_eq!(steps.time_of(12_000.0), Some(Duration::from_secs(11)));
/// assert_eq!(steps.span(), Some(Duration::from_secs(20)));
///
/// let ramp: Schedule = "0..2000/s:10s".parse()?;
/// assert_eq!(ramp.time_of(10_000.0), None, "that is where it ends");
/// assert_eq!(ramp.time_of(2_500.0), Some(Duration::from_secs(5)));
/// # Ok::<(), hubwire::bench::TextError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    unit: Unit,
    phases: Vec<Phase>,
}

held_as_text!(Schedule);

fn wrong() -> TextError {
    TextError::new(
        "rate",
        "5000/s or 10MiB/s; steps such as 1000/s:10s,2000/s:10s; ramps such as 0..5000/s:30s; each but the last with its \
         time, and all in events or all in bytes",
    )
}

impl Schedule {
    /// So many events a second, without an end.
    ///
    /// # Panics
    /// When `events_per_sec` is not above 0.
    #[must_use]
    pub fn steady(events_per_sec: f64) -> Self {
        Self::steady_in(Unit::Events, events_per_sec)
    }

    /// So much a second, which is above 0.
    pub(in crate::bench) fn steady_in(unit: Unit, per_sec: f64) -> Self {
        assert!(per_sec > 0.0 && per_sec.is_finite(), "a rate is above 0");
        let phase = Phase { from: per_sec, to: per_sec, span: None };
        Self { unit, phases: vec![phase] }
    }

    /// What its rates count.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The first rate that is above 0, in its unit.
    #[must_use]
    pub fn first_rate(&self) -> Option<f64> {
        self.phases.iter().flat_map(|phase| [phase.from, phase.to]).find(|rate| *rate > 0.0)
    }

    /// When it ends, if it does.
    #[must_use]
    pub fn span(&self) -> Option<Duration> {
        self.phases.iter().map(|phase| phase.span).sum()
    }

    /// When so much work, in events or bytes, is behind it; `None` when it ends before that, or with that.
    #[must_use]
    pub fn time_of(&self, mut work: f64) -> Option<Duration> {
        let mut start = Duration::ZERO;
        for phase in &self.phases {
            let phase_work = phase.work();
            if work < phase_work {
                return Some(start + phase.time_of(work));
            }
            work -= phase_work;
            start += phase.span.unwrap_or_default();
        }
        None
    }

    /// The same in shares: each of `shares` schedules has an equal part of every rate.
    pub(in crate::bench) fn share_of(&self, shares: u32) -> Self {
        let share = |rate: f64| rate / f64::from(shares);
        let phases = self.phases.iter().map(|phase| Phase { from: share(phase.from), to: share(phase.to), ..*phase });
        Self { unit: self.unit, phases: phases.collect() }
    }

    /// The same, with a start of `span` at its first rate before it.
    pub(in crate::bench) fn warmed_up(mut self, span: Duration) -> Self {
        if let Some(rate) = self.first_rate().filter(|_| !span.is_zero()) {
            self.phases.insert(0, Phase { from: rate, to: rate, span: Some(span) });
        }
        self
    }
}

impl Phase {
    fn work(&self) -> f64 {
        self.span.map_or(f64::INFINITY, |span| (self.from + self.to) / 2.0 * span.as_secs_f64())
    }

    /// The inverse of the rate's integral. `work` is less than that of the whole phase.
    fn time_of(&self, work: f64) -> Duration {
        let span_secs = self.span.map_or(f64::INFINITY, |span| span.as_secs_f64());
        let growth = (self.to - self.from) / span_secs;
        let secs = if growth == 0.0 {
            work / self.from
        } else {
            // The stable form of the quadratic's root: nothing cancels out in a ramp that is nearly flat.
            2.0 * work / (self.from + (self.from * self.from + 2.0 * growth * work).max(0.0).sqrt())
        };
        // Nothing but rounding can lead beyond the phase.
        Duration::try_from_secs_f64(if secs.is_nan() { 0.0 } else { secs.min(span_secs) }).unwrap_or(Duration::MAX)
    }
}

impl FromStr for Schedule {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let parts: Option<Vec<(Phase, Unit)>> = text.split(',').map(phase).collect();
        let parts = parts.ok_or_else(wrong)?;
        let unit = parts[0].1;
        let phases: Vec<Phase> = parts.iter().map(|(phase, _)| *phase).collect();
        let are_timed = phases[..phases.len() - 1].iter().all(|phase| phase.span.is_some());
        let are_alike = parts.iter().all(|(_, other)| *other == unit);
        if are_timed && are_alike { Ok(Self { unit, phases }) } else { Err(wrong()) }
    }
}

/// `RATE/s`, `FROM..TO/s:SPAN`.
fn phase(text: &str) -> Option<(Phase, Unit)> {
    let (rates, span) = text.split_once("/s")?;
    let span = match span.strip_prefix(':') {
        Some(span) => Some(humantime::parse_duration(span).ok().filter(|span| !span.is_zero())?),
        None => span.is_empty().then_some(None)?,
    };
    let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
    let ((from, from_unit), (to, to_unit)) = (rate(from)?, rate(to)?);
    // A bare 0 is as good for bytes.
    let unit = if from == 0.0 { to_unit } else { from_unit };
    let is_ramp = from != to;
    let is_sound = (to == 0.0 || unit == to_unit) && from.max(to) > 0.0 && (span.is_some() || !is_ramp);
    is_sound.then_some((Phase { from, to, span }, unit))
}

fn rate(text: &str) -> Option<(f64, Unit)> {
    if text.trim_end().ends_with(['B', 'b']) {
        return bytes(text).map(|bytes| (bytes as f64, Unit::Bytes));
    }
    if text.trim() == "0" { Some((0.0, Unit::Events)) } else { positive(text).map(|rate| (rate, Unit::Events)) }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |rate: f64| match self.unit {
            Unit::Events => rate.to_string(),
            Unit::Bytes => {
                let text = of_bytes(rate.round() as u64);
                if text.ends_with('B') { text } else { text + "B" }
            }
        };
        joined(
            f,
            self.phases.iter().map(|phase| {
                let from = if phase.from == phase.to { String::new() } else { format!("{}..", rate(phase.from)) };
                let span = phase
                    .span
                    .map(|span| format!(":{}", humantime::format_duration(span).to_string().replace(' ', "")));
                format!("{from}{}/s{}", rate(phase.to), span.unwrap_or_default())
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn times_are_exact_to_the_nanosecond() {
        let third = schedule("3/s");
        assert_eq!(third.time_of(1.0), Some(Duration::from_nanos(333_333_333)));
        assert_eq!(third.time_of(3.0), Some(Duration::from_secs(1)));
        // An hour on, nothing has added up.
        assert_eq!(schedule("7000/s").time_of(7_000.0 * 3_600.0), Some(Duration::from_secs(3_600)));
        let ramp = schedule("100..300/s:10s,300/s");
        assert_eq!(ramp.time_of(0.0), Some(Duration::ZERO));
        // 100 t + 10 t²
        assert_eq!(ramp.time_of(750.0), Some(Duration::from_secs(5)));
        assert_eq!(ramp.time_of(2_000.0), Some(Duration::from_secs(10)));
        assert_eq!(ramp.time_of(2_300.0), Some(Duration::from_secs(11)));
        assert_eq!(schedule("300..100/s:10s").time_of(1_250.0), Some(Duration::from_secs(5)));
        assert_eq!(schedule("1MiB/s").time_of(1_048_576.0), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_schedule_ends_when_its_last_phase_does() {
        let steps = schedule("10/s:1s,20/s:2s");
        assert_eq!(steps.span(), Some(Duration::from_secs(3)));
        assert_eq!(steps.time_of(49.0), Some(Duration::from_millis(2_950)));
        assert_eq!(steps.time_of(50.0), None);
        assert_eq!(schedule("10/s:1s,20/s").span(), None);
    }

    #[test]
    fn a_start_goes_at_the_first_rate() {
        let warmed_up = schedule("0..100/s:10s").warmed_up(Duration::from_secs(1));
        assert_eq!(warmed_up.time_of(50.0), Some(Duration::from_millis(500)));
        assert_eq!(warmed_up.time_of(100.0), Some(Duration::from_secs(1)));
        assert_eq!(schedule("5/s").warmed_up(Duration::ZERO), schedule("5/s"));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "5",
            "0/s",
            "x/s",
            "5/m",
            "1..5/s",
            "1/s,2/s:1s",
            "1/s:0s",
            "1/s:x",
            "1/s:1s,1MiB/s",
            "1..2MiB/s:1s",
            "-1/s",
            "5/s:",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(rates in prop::collection::vec((1_u32..100_000, 1_u32..100_000, 1_u64..100), 1..4)) {
            let part = |(from, to, secs): &(u32, u32, u64)| format!("{from}..{to}/s:{secs}s");
            let read = schedule(&rates.iter().map(part).collect::<Vec<_>>().join(","));
            prop_assert_eq!(schedule(&read.to_string()), read);
        }

        /// Work that comes later is due later, and an instant's work is the rate's integral.
        #[test]
        fn times_never_run_backwards(from in 0_u32..1_000, to in 0_u32..1_000, more in 1_u32..1_000) {
            prop_assume!(from + to > 0);
            let read = schedule(&format!("{from}..{to}/s:10s,{more}/s"));
            let mut before = Duration::ZERO;
            for step in 0..200 {
                let due = read.time_of(f64::from(step) * 61.7).expect("no end");
                prop_assert!(due >= before);
                before = due;
            }
        }

        #[test]
        fn no_text_panics(text in "[0-9a-zA-Z.,:/ ]{0,40}") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                let _ = (schedule.time_of(1.0), schedule.to_string());
            }
        }
    }
}
