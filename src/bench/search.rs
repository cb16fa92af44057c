//! The highest rate that holds a limit, found by trying. It says which rate is next, and runs nothing.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::report::text::{decimals, grouped, millis};
use super::workload::Unit;

/// A rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What the rates count.
    #[serde(default)]
    pub unit: Unit,
    /// So much a second was asked for.
    pub rate: f64,
    /// So much a second was accepted.
    pub accepted_per_sec: f64,
    /// 99 % of the events took no longer, from the time they were due.
    pub p99_us: f64,
    /// Which limit was broken, if one was.
    pub broken: Option<String>,
}

/// Rises by a half until a limit is broken, then halves the gap until it is narrow.
#[derive(Clone, Debug)]
pub struct Search {
    first: f64,
    next: f64,
    good: Option<f64>,
    bad: Option<f64>,
    /// How wide a gap, as a share of the rate, is narrow enough.
    width: f64,
}

/// Far beyond what a machine can offer, in events or in bytes.
const MAX_RATE: f64 = 1e12;

impl Search {
    /// Begins at `rate` a second, which is tried whatever it is. It is over when good and bad are within `width`, a share such as 0.05.
    #[must_use]
    pub fn from(rate: f64, width: f64) -> Self {
        Self { first: rate, next: rate, good: None, bad: None, width }
    }

    /// The rate to try next; `None` when it is over.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let is_narrow = self.good.zip(self.bad).is_some_and(|(good, bad)| bad - good <= self.width * good);
        let is_hopeless = self.good.is_none() && self.next < self.first.min(1.0);
        (!is_narrow && !is_hopeless && self.next <= self.first.max(MAX_RATE)).then_some(self.next)
    }

    /// What came of the rate that was next.
    pub fn tell(&mut self, is_good: bool) {
        if is_good {
            self.good = Some(self.next)
        } else {
            self.bad = Some(self.next)
        }
        self.next = match (self.good, self.bad) {
            (Some(good), Some(bad)) => (good + bad) / 2.0,
            (Some(good), None) => good * 1.5,
            (None, Some(bad)) => bad / 2.0,
            (None, None) => self.next,
        };
    }

    /// The highest rate that was good.
    #[must_use]
    pub fn knee(&self) -> Option<f64> {
        self.good
    }
}

/// The steps, and where the knee is.
pub(super) fn table(steps: &[Step]) -> String {
    let unit = steps.first().map_or(Unit::Events, |step| step.unit);
    let mut text = format!(
        "{:>18}{:>20}{:>12}  {}",
        format!("asked, {}", unit.per_sec()),
        format!("accepted, {}", unit.per_sec()),
        "p99, ms",
        "limit"
    );
    for step in steps {
        let _ = write!(
            text,
            "\n{:>18}{:>20}{:>12}  {}",
            amount(step.rate),
            amount(step.accepted_per_sec),
            millis(step.p99_us),
            step.broken.as_deref().unwrap_or("held"),
        );
    }
    let held = |step: &&Step| step.broken.is_none();
    match steps.iter().filter(held).map(|step| step.rate).max_by(f64::total_cmp) {
        Some(knee) => {
            let _ = write!(text, "\nthe knee is at {} {}: the figures below are its own", amount(knee), unit.per_sec());
        }
        None => text.push_str("\nno rate held the limits: the figures below are those of the first"),
    }
    text
}

/// A rate: whole, unless it is small.
pub(crate) fn amount(rate: f64) -> String {
    if rate < 100.0 { decimals(rate, 2) } else { grouped(rate.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_rises_until_it_breaks_and_then_closes_in() {
        let mut search = Search::from(1_000.0, 0.05);
        let mut tried = Vec::new();
        while let Some(rate) = search.rate() {
            tried.push(rate);
            search.tell(rate <= 3_000.0);
        }
        assert_eq!(tried[..6], [1_000.0, 1_500.0, 2_250.0, 3_375.0, 2_812.5, 3_093.75]);
        assert_eq!(search.knee(), Some(2_953.125));
    }

    #[test]
    fn it_falls_when_the_first_rate_breaks_and_gives_up_below_one() {
        let mut search = Search::from(1_000.0, 0.05);
        search.tell(false);
        assert_eq!(search.rate(), Some(500.0));
        while search.rate().is_some() {
            search.tell(false);
        }
        assert_eq!(search.knee(), None);
    }

    #[test]
    fn the_first_rate_is_tried_however_low_or_high_it_is() {
        for rate in [0.5, 1e-3, 1e13] {
            let mut search = Search::from(rate, 0.05);
            assert_eq!(search.rate(), Some(rate));
            search.tell(false);
            assert_eq!(search.rate(), (rate > 1.0).then_some(rate / 2.0));
        }
    }

    proptest! {
        /// Wherever the knee is, it is found to within the width, in a number of steps that has a bound.
        #[test]
        fn the_knee_is_found(knee in 10.0_f64..1e6, from in 10.0_f64..1e6) {
            let mut search = Search::from(from, 0.05);
            let mut steps = 0;
            while let Some(rate) = search.rate() {
                search.tell(rate <= knee);
                steps += 1;
                prop_assert!(steps < 60);
            }
            let found = search.knee().expect("there is one");
            prop_assert!(found <= knee && found >= knee * 0.94, "{found} of {knee}");
        }
    }
}
