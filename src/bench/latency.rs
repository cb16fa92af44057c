//! Latencies: an HDR histogram in nanoseconds, and what a report says of it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// Nothing is waited for so long.
const MAX_NANOS: u64 = 3_600_000_000_000;
/// Figures are exact to three digits.
const DIGITS: u8 = 3;

/// Latencies as they come.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        // The bounds are known to be sound.
        Self(Histogram::new_with_bounds(1, MAX_NANOS, DIGITS).expect("bounds that are sound"))
    }

    /// `count` events took `span`.
    pub(super) fn record(&mut self, span: Duration, count: u64) {
        self.0.saturating_record_n(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1), count);
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }

    /// In microseconds.
    pub(super) fn quantile(&self, quantile: f64) -> f64 {
        micros(self.0.value_at_quantile(quantile).min(self.0.max()))
    }

    /// The same as a summary; `None` when there is nothing to sum up.
    pub(super) fn summary(&self) -> Option<Latency> {
        if self.0.is_empty() {
            return None;
        }
        Some(Latency {
            count: self.0.len(),
            mean_us: self.0.mean() / 1e3,
            p50_us: self.quantile(0.5),
            p90_us: self.quantile(0.9),
            p99_us: self.quantile(0.99),
            p99_9_us: self.quantile(0.999),
            p99_99_us: self.quantile(0.9999),
            max_us: micros(self.0.max()),
            hdr_base64: self.encoded(),
        })
    }

    /// In the compressed form of HdrHistogram's version 2, base64.
    pub(super) fn encoded(&self) -> String {
        let mut bytes = Vec::new();
        // Nothing fails that writes to memory.
        let _ = V2DeflateSerializer::new().serialize(&self.0, &mut bytes);
        STANDARD.encode(bytes)
    }

    /// What [`encoded`](Self::encoded) wrote; `None` for anything else.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        Deserializer::new().deserialize(&mut bytes.as_slice()).ok().map(Self)
    }

    pub(super) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// Latencies of a round, in microseconds, each figure exact to three digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Events.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// Half of the events took no longer.
    pub p50_us: f64,
    /// 90 % of the events took no longer.
    pub p90_us: f64,
    /// 99 % of the events took no longer.
    pub p99_us: f64,
    /// 99.9 % of the events took no longer.
    pub p99_9_us: f64,
    /// 99.99 % of the events took no longer.
    pub p99_99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// All of it, in nanoseconds: HdrHistogram V2, compressed, base64.
    pub hdr_base64: String,
}

impl Latency {
    /// The figure that is called `name` in reports: `p50` to `p99.99`, `max`, `mean`. Microseconds.
    pub(super) fn named(&self, name: &str) -> Option<f64> {
        Some(match name {
            "mean" => self.mean_us,
            "p50" => self.p50_us,
            "p90" => self.p90_us,
            "p99" => self.p99_us,
            "p99.9" => self.p99_9_us,
            "p99.99" => self.p99_99_us,
            "max" => self.max_us,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_three_digits() {
        let mut latencies = Latencies::new();
        for millis in 1..=10_000 {
            latencies.record(Duration::from_millis(millis), 1);
        }
        let summary = latencies.summary().unwrap();
        for (name, millis) in [
            ("p50", 5_000.0),
            ("p90", 9_000.0),
            ("p99", 9_900.0),
            ("p99.9", 9_990.0),
            ("p99.99", 9_999.0),
            ("max", 10_000.0),
        ] {
            let off = summary.named(name).unwrap() / (millis * 1e3) - 1.0;
            assert!(off.abs() < 0.001, "{name}: {}", summary.named(name).unwrap());
        }
        assert_eq!((summary.count, summary.named("p42")), (10_000, None));
    }

    #[test]
    fn what_is_encoded_comes_back() {
        let mut one = Latencies::new();
        one.record(Duration::from_micros(20), 7);
        one.record(Duration::from_secs(10_000), 1);
        let mut back = Latencies::decode(&one.encoded()).unwrap();
        assert_eq!(back.summary(), one.summary());
        assert_eq!(back.summary().unwrap().count, 8);
        back.clear();
        assert_eq!(back.summary(), None);
        for text in ["", "x", "AAAA"] {
            assert!(Latencies::decode(text).is_none());
        }
    }
}
