//! What became of every event, in a sentence or in JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::failure::{Failure, Kind};
use crate::words::{counted, millis, size, time};

/// Different failures that are kept; one cause may hit many batches.
const MAX_FAILURES: usize = 16;

/// Every event that was taken from the input is in one of the four counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) not_sent: u64,
    pub(super) unknown: u64,
    /// Accepted ones.
    pub(super) batches: u64,
    /// Of the accepted batches.
    pub(super) bytes: u64,
    /// Without repetition, in the order they came.
    pub(super) failures: Vec<Failure>,
}

impl Tally {
    pub(super) fn fail(&mut self, failure: Failure) {
        if self.failures.len() < MAX_FAILURES && !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    /// Says what an unknown outcome means, once it is known of how many events.
    pub(super) fn advise(&mut self) {
        let unknown = counted(self.unknown, "event", "events");
        for failure in self.failures.iter_mut().filter(|failure| failure.kind == Kind::UnknownOutcome) {
            failure.message += &format!("; sending again may store up to {unknown} twice: decide");
        }
    }

    /// The first failure of the gravest kind.
    fn gravest(&self) -> Option<&Failure> {
        let kind = self.failures.iter().map(|failure| failure.kind).max()?;
        self.failures.iter().find(|failure| failure.kind == kind)
    }

    pub(super) fn exit_code(&self) -> u8 {
        self.gravest().map_or(0, |failure| failure.kind.exit_code())
    }
}

/// The result of a `send`.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) tally: Tally,
    pub(super) event_hub: Option<String>,
    /// The namespace's host.
    pub(super) namespace: Option<String>,
    pub(super) is_emulator: bool,
    /// From the start of connecting to the last outcome.
    pub(super) elapsed: Option<Duration>,
}

/// The members of the JSON form, in their order.
#[derive(Serialize)]
struct Object<'a> {
    accepted: u64,
    rejected: u64,
    not_sent: u64,
    unknown: u64,
    batches: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_hub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    emulator: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorObject<'a>>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    kind: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_id: Option<&'a str>,
    retryable: bool,
}

impl Report {
    pub(super) fn json(&self) -> String {
        let tally = &self.tally;
        let object = Object {
            accepted: tally.accepted,
            rejected: tally.rejected,
            not_sent: tally.not_sent,
            unknown: tally.unknown,
            batches: tally.batches,
            bytes: tally.bytes,
            event_hub: self.event_hub.as_deref(),
            namespace: self.namespace.as_deref(),
            emulator: self.is_emulator,
            elapsed_ms: self.elapsed.map(millis),
            error: tally.gravest().map(|failure| ErrorObject {
                kind: failure.kind.name(),
                message: &failure.message,
                condition: failure.condition.as_deref(),
                tracking_id: failure.tracking_id.as_deref(),
                retryable: failure.is_retryable,
            }),
        };
        serde_json::to_string(&object).unwrap_or_default()
    }

    /// Whether there is more to say than the failure itself: sending was tried.
    pub(super) fn has_counts(&self) -> bool {
        self.elapsed.is_some()
    }
}

/// `accepted 3 events in telemetry (1 batch, 66 B) in 3.1 ms`
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { accepted, rejected, not_sent, unknown, batches, bytes, .. } = self.tally;
        write!(f, "accepted {}", counted(accepted, "event", "events"))?;
        if let Some(event_hub) = &self.event_hub {
            write!(f, " in {event_hub}")?;
        }
        if self.is_emulator {
            f.write_str(" of an emulator in this process")?;
        }
        if batches > 0 {
            write!(f, " ({}, {})", counted(batches, "batch", "batches"), size(bytes))?;
        }
        let others = [(rejected, "rejected"), (not_sent, "not sent"), (unknown, "with unknown outcome")];
        let mut is_all = true;
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
            is_all = false;
        }
        match self.elapsed {
            Some(elapsed) => write!(f, "{} in {}", if is_all { "" } else { "," }, time(elapsed)),
            None => Ok(()),
        }
    }
}

/// What to say about a signal that ended the sending.
pub(super) fn interrupted(kind: Kind) -> Failure {
    let signal = if kind == Kind::Terminated { "SIGTERM" } else { "Ctrl-C" };
    let advice = "what was not sent can be sent again, what has an unknown outcome may be stored";
    Failure::new(kind, format!("ended by {signal} before all events were sent; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            tally: Tally { accepted: 3, batches: 1, bytes: 66, ..Tally::default() },
            event_hub: Some("telemetry".to_owned()),
            namespace: Some("ns.example".to_owned()),
            is_emulator: false,
            elapsed: Some(Duration::from_micros(3_140)),
        }
    }

    #[test]
    fn all_accepted_is_one_short_sentence() {
        let mut report = report();
        assert_eq!(report.to_string(), "accepted 3 events in telemetry (1 batch, 66 B) in 3.1 ms");
        assert_eq!(
            report.json(),
            r#"{"accepted":3,"rejected":0,"not_sent":0,"unknown":0,"batches":1,"bytes":66,"event_hub":"telemetry","namespace":"ns.example","emulator":false,"elapsed_ms":3.1}"#
        );
        assert_eq!(report.tally.exit_code(), 0);
        report.is_emulator = true;
        let text = "accepted 3 events in telemetry of an emulator in this process (1 batch, 66 B) in 3.1 ms";
        assert_eq!(report.to_string(), text);
    }

    #[test]
    fn every_other_count_is_told_if_there_is_one() {
        let mut report = report();
        (report.tally.rejected, report.tally.unknown, report.tally.batches) = (1, 2, 2);
        report.elapsed = Some(Duration::from_millis(61_500));
        let text = "accepted 3 events in telemetry (2 batches, 66 B), 1 rejected, 2 with unknown outcome, in 61.50 s";
        assert_eq!(report.to_string(), text);
    }

    #[test]
    fn the_gravest_failure_decides() {
        let mut report = report();
        for kind in [Kind::Unreachable, Kind::UnknownOutcome, Kind::Rejected, Kind::UnknownOutcome] {
            report.tally.fail(Failure::new(kind, kind.name()));
        }
        assert_eq!(report.tally.failures.len(), 3);
        assert_eq!(report.tally.exit_code(), 7);
        let error = r#""error":{"kind":"unknown_outcome","message":"unknown_outcome","retryable":false}}"#;
        assert!(report.json().ends_with(error), "{}", report.json());
    }
}
