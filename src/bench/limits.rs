//! Limits on a report's figures, as text: `p99>100ms`, `p99>+10%`, `rate<50k`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::compare::{Change, Verdict};
use super::report::{Figure, Report};
use super::workload::{TextError, held_as_text, positive_or_zero};

/// A condition that must not come true.
///
/// ```
/// use hubwire::bench::Limit;
///
/// let limit: Limit = "p99>+10%".parse()?;
/// assert_eq!(limit.to_string(), "p99>+10%");
/// assert!(limit.is_relative());
/// assert!("p99>10%".parse::<Limit>().is_err(), "of what? a sign makes it a change");
/// assert!(!"sent.p99.9>=1.5s".parse::<Limit>()?.is_relative());
/// # Ok::<(), hubwire::bench::TextError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Limit {
    figure: Figure,
    order: Order,
    bound: Bound,
    /// As it was given.
    text: String,
}

held_as_text!(Limit);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Above,
    AtLeast,
    Below,
    AtMost,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    /// In the figure's unit.
    Value(f64),
    /// Percent of what it was.
    Change(f64),
}

impl Order {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
        }
    }
}

/// Longer ones first.
const ORDERS: [(&str, Order); 4] =
    [(">=", Order::AtLeast), ("<=", Order::AtMost), (">", Order::Above), ("<", Order::Below)];

fn wrong() -> TextError {
    TextError::new(
        "limit",
        "FIGURE, one of > >= < <=, and a value: p99>100ms, rate<50k, errors>0.1%, lost>0; or a change of the baseline, with \
         its sign: p99>+10%, rate<-5%. Figures are rate, mib, p50, p90, p99, p99.9, p99.99, max, mean (with intended., sent. \
         or arrival. before them), cpu, rss, errors, missed, lost, duplicates and out-of-order",
    )
}

impl FromStr for Limit {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let at = text.find(['<', '>']).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(at);
        let figure = Figure::named(name).ok_or_else(wrong)?;
        let (sign, order) = ORDERS.iter().find(|(sign, _)| rest.starts_with(sign)).ok_or_else(wrong)?;
        let bound = bound(figure, &rest[sign.len()..]).ok_or_else(wrong)?;
        Ok(Self { figure, order: *order, bound, text })
    }
}

fn bound(figure: Figure, text: &str) -> Option<Bound> {
    if let Some(percent) = text.strip_prefix(['+', '-']) {
        let percent = positive_or_zero(percent.strip_suffix('%')?)?;
        return Some(Bound::Change(if text.starts_with('-') { -percent } else { percent }));
    }
    Some(Bound::Value(match figure {
        Figure::Latency(..) => humantime::parse_duration(text).ok()?.as_secs_f64() * 1e3,
        Figure::Errors => positive_or_zero(text.strip_suffix('%').unwrap_or(text))?,
        Figure::Rate => positive_or_zero(text.strip_suffix("/s").unwrap_or(text))?,
        Figure::Mib | Figure::Rss => positive_or_zero(text.trim_end_matches("/s").trim_end_matches("MiB"))?,
        _ => positive_or_zero(text)?,
    }))
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a limit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// All is well.
    Yes,
    /// It is beyond, but no further than rounds differ anyway.
    WithinNoise(String),
    /// It is broken: how.
    No(String),
    /// The figure is not known of this run, or of the baseline.
    Unknown(String),
}

impl Limit {
    /// Whether it is about a change, and needs a baseline.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        matches!(self.bound, Bound::Change(_))
    }

    /// What it came to in `report`, by the median of its rounds, with `baseline` for what it was.
    #[must_use]
    pub fn check(&self, report: &Report, baseline: Option<&Report>) -> Held {
        let unknown = || Held::Unknown(format!("{self}: {} is not known", self.figure.name()));
        match self.bound {
            Bound::Value(bound) => {
                let Some(value) = Change::median(&report.values(self.figure)) else { return unknown() };
                let broken =
                    || Held::No(format!("{self}: {} is {value:.3} {}", self.figure.name(), self.figure.unit()));
                if self.order.holds(value, bound) { broken() } else { Held::Yes }
            }
            Bound::Change(bound) => match baseline.and_then(|baseline| Change::of(self.figure, baseline, report)) {
                Some(change) => self.judge(&change, bound),
                None => unknown(),
            },
        }
    }

    fn judge(&self, change: &Change, bound: f64) -> Held {
        if !self.order.holds(change.percent(), bound) {
            return Held::Yes;
        }
        let text = format!("{self}: {change}");
        match change.verdict() {
            Verdict::WithinNoise => Held::WithinNoise(text),
            _ => Held::No(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::compare::tests::report;
    use proptest::prelude::*;

    fn check(limit: &str, report: &Report, baseline: Option<&Report>) -> Held {
        limit.parse::<Limit>().unwrap_or_else(|error| panic!("{limit}: {error}")).check(report, baseline)
    }

    #[test]
    fn values_are_held_against_the_median() {
        // 1,000, 1,010 and 990 events/s, each with a p99 of 10 ms.
        let report = report(&[1_000, 1_010, 990], 10.0);
        for (limit, is_broken) in [
            ("p99>9ms", true),
            ("p99>9999us", true),
            ("p99 >= 10.1ms", false),
            ("p99>1s", false),
            ("rate<1000.5", true),
            ("rate<1k/s", false),
            ("rate<=1k/s", true),
            ("errors>0", false),
            ("errors>=0%", true),
            ("rss>1", false),
        ] {
            let held = check(limit, &report, None);
            assert_eq!(matches!(held, Held::No(_)), is_broken, "{limit}: {held:?}");
        }
        assert!(matches!(check("lost>0", &report, None), Held::Unknown(_)));
        assert!(matches!(check("p99>+10%", &report, None), Held::Unknown(_)));
    }

    #[test]
    fn changes_count_when_they_are_beyond_the_noise() {
        let before = report(&[1_000, 1_010, 990], 10.0);
        for (rates, expected) in [([950, 940, 930], "no"), ([991, 900, 890], "noise"), ([1_100, 1_100, 1_100], "yes")] {
            let after = report(&rates, 10.0);
            let held = check("rate<-5%", &after, Some(&before));
            let told = match held {
                Held::Yes => "yes",
                Held::WithinNoise(_) => "noise",
                Held::No(_) => "no",
                Held::Unknown(_) => "unknown",
            };
            assert_eq!(told, expected, "{rates:?}: {held:?}");
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in [
            "",
            "p99",
            "p99>",
            "p42>1ms",
            "p99>10",
            "p99>10%",
            "p99>+10",
            ">1",
            "p99=1ms",
            "rate>x",
            "rate>-1",
            "best.p99>1ms",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9.<>=+%-]{0,20}") {
            let _ = text.parse::<Limit>();
        }
    }
}
