//! What is published: how much of what, how fast, over what.

mod bodies;
mod keys;
mod schedule;
mod sizes;
mod text;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use bodies::Bodies;
pub use keys::{Keys, Route};
pub use schedule::{Schedule, Unit};
pub use sizes::Sizes;
pub(super) use sizes::size;
pub use text::TextError;
use text::of_bytes;
pub(super) use text::{held_as_text, positive_or_zero};

/// Batches without an outcome on a link, unless it is said.
const DEFAULT_IN_FLIGHT: u32 = 16;
/// How long a batch's first event waits for others at a given rate, unless it is said: as [`Publisher`](crate::Publisher)
/// has it.
const DEFAULT_LINGER: Duration = Duration::from_millis(5);

/// A workload. The same one with the same seed offers the same events in the same batches, as far as time does not come
/// into it.
///
/// ```
/// use std::time::Duration;
/// use hubwire::bench::Workload;
///
/// let workload = Workload { sizes: "100..2k".parse()?, rate: Some("5000/s".parse()?), ..Workload::default() };
/// assert_eq!(workload.to_string(), "--size 100..2000 --rate 5000/s --duration 10s --warm-up 1s --seed 1");
/// # Ok::<(), hubwire::bench::TextError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Bytes of bodies. Default 1 KiB. [`Bodies`] with a length of their own have that.
    pub sizes: Sizes,
    /// What is in them. Default: random bytes.
    pub bodies: Bodies,
    /// Their partition keys. Default: none.
    pub keys: Keys,
    /// Where they go. Default: to the hub, which chooses the partition. Keys go to the hub alone.
    pub route: Route,
    /// Application properties of every event, as strings. Default: none.
    pub properties: Vec<(String, String)>,
    /// Events of a batch at most. Default: as many as fit.
    pub max_batch_events: Option<u64>,
    /// Bytes of a batch's message at most. Default, and never more than: what the hub takes.
    pub max_batch_bytes: Option<u64>,
    /// How long a batch's first event waits for others. Default: 5 ms at a given rate; without one, until the batch is
    /// full.
    #[serde(with = "span")]
    pub linger: Option<Duration>,
    /// Connections, with links of their own. Default 1.
    pub connections: u32,
    /// Links on each connection, or sets of them with [`Route::EachPartition`]. Default 1.
    pub links: u32,
    /// Batches without an outcome on each link at most, or on all links of a set together with [`Route::EachPartition`]. Default 16.
    pub in_flight: u32,
    /// One batch at a time: the next one is begun when the last has its outcome. For comparison with programs that await
    /// each send.
    pub is_sequential: bool,
    /// Ends after so many events, those of the warm-up not among them.
    pub events: Option<u64>,
    /// Ends when so many bytes of bodies have been offered, those of the warm-up not among them.
    pub bytes: Option<u64>,
    /// Ends after so long, the warm-up not in it. Default: 10 s, if nothing else ends it.
    #[serde(with = "span")]
    pub duration: Option<Duration>,
    /// At the start, and left out of every figure. Default 1 s.
    #[serde(with = "whole_span")]
    pub warm_up: Duration,
    /// When events are due. Default: as fast as possible.
    pub rate: Option<Schedule>,
    /// Events are due at random times of that rate, as those of many independent sources are, and not at even ones.
    pub is_poisson: bool,
    /// What was due while nothing could be sent is sent as soon as it can be, all at once. Default: it is not sent, and
    /// counts as missed.
    pub catch_up: bool,
    /// Reads what is published, on every partition: latency from end to end, and a check for loss, duplicates and order.
    pub receive: bool,
    /// How often it is run. Several rounds tell how far the figures spread. Default 1.
    pub rounds: u32,
    /// Where all that is random begins. Default 1.
    pub seed: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            sizes: Sizes::Fixed(1_024),
            bodies: Bodies::Random,
            keys: Keys::None,
            route: Route::Hub,
            properties: Vec::new(),
            max_batch_events: None,
            max_batch_bytes: None,
            linger: None,
            connections: 1,
            links: 1,
            in_flight: DEFAULT_IN_FLIGHT,
            is_sequential: false,
            events: None,
            bytes: None,
            duration: None,
            warm_up: Duration::from_secs(1),
            rate: None,
            is_poisson: false,
            catch_up: false,
            receive: false,
            rounds: 1,
            seed: 1,
        }
    }
}

/// What cannot go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// A hub takes no key on a partition's link.
    #[error("partition keys go to the hub, which finds their partitions; leave out the keys or the partition")]
    KeysOnPartition,
    /// Nothing would be sent.
    #[error("connections, links, batches in flight, events of a batch and rounds are 1 or more")]
    Zero,
    /// More than an address can name.
    #[error("there are {lanes} links in all, and at most 1000 are measured; use fewer connections or links")]
    TooManyLinks {
        /// Connections times links.
        lanes: u64,
    },
    /// There is no time to be late for.
    #[error("Poisson arrivals and catching up need a rate; give one, or leave them out")]
    NoRate,
}

/// Links in all, at most.
const MAX_LANES: u64 = 1_000;

impl Workload {
    /// Whether it can be run.
    ///
    /// # Errors
    /// [`WorkloadError`] says what to change.
    pub fn check(&self) -> Result<(), WorkloadError> {
        let lanes = u64::from(self.connections) * u64::from(self.links);
        if self.keys != Keys::None && self.route != Route::Hub {
            return Err(WorkloadError::KeysOnPartition);
        }
        if lanes == 0 || self.in_flight == 0 || self.rounds == 0 || self.max_batch_events == Some(0) {
            return Err(WorkloadError::Zero);
        }
        if lanes > MAX_LANES {
            return Err(WorkloadError::TooManyLinks { lanes });
        }
        if self.rate.is_none() && (self.is_poisson || self.catch_up) {
            return Err(WorkloadError::NoRate);
        }
        Ok(())
    }

    /// How long it is measured at most; `None` when only events or bytes end it.
    #[must_use]
    pub fn span(&self) -> Option<Duration> {
        let of_schedule = self.rate.as_ref().and_then(Schedule::span);
        let given = [self.duration, of_schedule].into_iter().flatten().min();
        given.or_else(|| (self.events.is_none() && self.bytes.is_none()).then_some(Duration::from_secs(10)))
    }

    /// See [`linger`](Self::linger).
    #[must_use]
    pub fn effective_linger(&self) -> Option<Duration> {
        self.linger.or_else(|| self.rate.is_some().then_some(DEFAULT_LINGER))
    }

    pub(super) fn lanes(&self) -> u32 {
        self.connections * self.links
    }

    /// Batches without an outcome on a link.
    pub(super) fn window(&self) -> usize {
        if self.is_sequential { 1 } else { self.in_flight as usize }
    }
}

/// The options of `hubwire bench` that lead to it; those that say what goes without saying are left out.
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = Self::default();
        let mut words: Vec<String> = Vec::new();
        let mut say = |is_said: bool, name: &str, value: &dyn fmt::Display| {
            if is_said {
                words.push(format!("--{name} {}", quoted(&value.to_string())).trim_end().to_owned());
            }
        };
        say(!self.bodies.have_sizes(), "size", &self.sizes);
        say(self.bodies != plain.bodies, "body", &self.bodies);
        say(self.keys != plain.keys, "keys", &self.keys);
        say(self.route != plain.route, "partition", &self.route);
        for (name, value) in &self.properties {
            say(true, "property", &format!("{name}={value}"));
        }
        let mut maybe = |name: &str, value: Option<&dyn fmt::Display>| say(value.is_some(), name, value.unwrap_or(&""));
        maybe("batch-events", self.max_batch_events.as_ref().map(|events| events as _));
        maybe("batch-bytes", self.max_batch_bytes.map(of_bytes).as_ref().map(|bytes| bytes as _));
        maybe("linger", self.linger.map(Span).as_ref().map(|span| span as _));
        say(self.connections != 1, "connections", &self.connections);
        say(self.links != 1, "links", &self.links);
        say(self.in_flight != plain.in_flight && !self.is_sequential, "in-flight", &self.in_flight);
        say(self.is_sequential, "sequential", &"");
        let rate = self.rate.as_ref();
        say(rate.is_some(), "rate", rate.map_or(&"" as &dyn fmt::Display, |rate| rate));
        say(self.is_poisson, "poisson", &"");
        say(self.catch_up, "catch-up", &"");
        let mut maybe = |name: &str, value: Option<&dyn fmt::Display>| say(value.is_some(), name, value.unwrap_or(&""));
        maybe("events", self.events.as_ref().map(|events| events as _));
        maybe("bytes", self.bytes.map(of_bytes).as_ref().map(|bytes| bytes as _));
        maybe("duration", self.span().map(Span).as_ref().map(|span| span as _));
        say(true, "warm-up", &Span(self.warm_up));
        say(self.receive, "receive", &"");
        say(self.rounds != 1, "rounds", &self.rounds);
        say(true, "seed", &self.seed);
        f.write_str(&words.join(" "))
    }
}

/// A span as options take it.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&humantime::format_duration(self.0).to_string().replace(' ', ""))
    }
}

/// A word that a shell leaves as it is.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "=-_.,:/".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Spans in reports: `5ms`.
mod span {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        span.map(|span| Span(span).to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| humantime::parse_duration(&text).map_err(D::Error::custom)).transpose()
    }
}

mod whole_span {
    use super::*;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        super::span::serialize(&Some(*span), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::span::deserialize(deserializer).map(Option::unwrap_or_default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_the_options_that_lead_to_it() {
        assert_eq!(Workload::default().to_string(), "--size 1KiB --duration 10s --warm-up 1s --seed 1");
        let workload = Workload {
            keys: Keys::Uniform(10),
            properties: vec![("kind".to_owned(), "it's".to_owned())],
            max_batch_events: Some(1),
            max_batch_bytes: Some(65_536),
            linger: Some(Duration::from_millis(1_500)),
            rate: "1MiB/s".parse().ok(),
            is_poisson: true,
            events: Some(1_000),
            warm_up: Duration::ZERO,
            receive: true,
            rounds: 3,
            ..Workload::default()
        };
        assert_eq!(
            workload.to_string(),
            r"--size 1KiB --keys uniform:10 --property 'kind=it'\''s' --batch-events 1 --batch-bytes 64KiB --linger 1s500ms --rate 1MiB/s --poisson --events 1000 --warm-up 0s --receive --rounds 3 --seed 1"
        );
    }

    #[test]
    fn a_report_gives_the_workload_back() {
        let workload = Workload {
            sizes: "100:0.7,1k:0.3".parse().unwrap(),
            linger: Some(Duration::from_millis(2)),
            rate: "0..10/s:5s,10/s".parse().ok(),
            route: Route::EachPartition,
            ..Workload::default()
        };
        let text = serde_json::to_string(&workload).unwrap();
        assert_eq!(serde_json::from_str::<Workload>(&text).unwrap(), workload, "{text}");
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        let plain = Workload::default;
        for (workload, error) in [
            (
                Workload { keys: Keys::Uniform(1), route: Route::EachPartition, ..plain() },
                WorkloadError::KeysOnPartition,
            ),
            (Workload { links: 0, ..plain() }, WorkloadError::Zero),
            (Workload { rounds: 0, ..plain() }, WorkloadError::Zero),
            (Workload { links: 100, connections: 11, ..plain() }, WorkloadError::TooManyLinks { lanes: 1_100 }),
            (Workload { is_poisson: true, ..plain() }, WorkloadError::NoRate),
        ] {
            assert_eq!(workload.check(), Err(error));
        }
        assert_eq!(plain().check(), Ok(()));
    }
}
