//! What went wrong, sorted by what a script should do about it.

use std::fmt;

use super::output;
use crate::bench::{Outcome, SendFailure};
use crate::wire::condition::UNAUTHORIZED_ACCESS;
use crate::{Error, SendError};

/// The kinds of failure, one for each exit code. A later kind outweighs an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The arguments or the input are wrong.
    Input,
    /// The connection string or another setting is wrong.
    Configuration,
    /// A figure is beyond a limit that was set.
    Limit,
    /// The network, or the peer in a way that may pass. Nothing was stored of what this stopped.
    Unreachable,
    /// The hub's no, which stays a no until somebody changes something.
    Refused,
    /// The hub looked at a batch and refused it.
    Rejected,
    /// Some batch may or may not be stored.
    UnknownOutcome,
    /// Bytes that were to be decoded are not what they should be.
    Malformed,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Kind {
    /// As documented in `--help` and docs/command-line.md.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Input => 2,
            Self::Configuration => 3,
            Self::Refused => 4,
            Self::Rejected => 5,
            Self::Unreachable => 6,
            Self::UnknownOutcome => 7,
            Self::Malformed => 8,
            Self::Limit => 9,
            // A shell's own: 128 and the signal's number.
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The word for it in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Configuration => "configuration",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Malformed => "malformed",
            Self::Limit => "limit",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) message: String,
    /// The hub's error condition.
    pub(super) condition: Option<String>,
    pub(super) tracking_id: Option<String>,
    /// Whether the same may work later without anybody changing anything.
    pub(super) is_retryable: bool,
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), condition: None, tracking_id: None, is_retryable: false }
    }

    pub(super) fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    pub(super) fn configuration(message: impl Into<String>) -> Self {
        Self::new(Kind::Configuration, message)
    }

    /// What kept a connection or a link from being made.
    pub(super) fn of_error(error: &Error) -> Self {
        let words = (error.condition(), error.tracking_id(), error.is_retryable());
        Self::new(kind_of(error), error.to_string()).with_words(words)
    }

    /// What kept a batch from being accepted.
    pub(super) fn of_send(error: &SendError) -> Self {
        let (kind, condition) = match error {
            SendError::Rejected { condition, .. } => (Kind::Rejected, Some(condition.as_str())),
            SendError::NotSent { cause, .. } => (kind_of(cause), cause.condition()),
            SendError::Unknown { cause, .. } => (Kind::UnknownOutcome, cause.condition()),
        };
        let message = match error {
            SendError::Unknown { cause, .. } => unanswered(cause),
            _ => error.to_string(),
        };
        Self::new(kind, message).with_words((condition, error.tracking_id(), error.is_retryable()))
    }

    /// The same of a bench, which has given the batch away.
    pub(super) fn of_bench(failure: &SendFailure) -> Self {
        let cause = failure.cause.as_ref();
        let kind = match failure.outcome {
            Outcome::Unfit => Kind::Input,
            Outcome::Rejected => Kind::Rejected,
            Outcome::NotSent => cause.map_or(Kind::Unreachable, kind_of),
            Outcome::Unknown => Kind::UnknownOutcome,
        };
        let message = match (failure.outcome, cause) {
            (Outcome::Unknown, Some(cause)) => unanswered(cause),
            _ => failure.message.clone(),
        };
        let tracking_id = cause.and_then(Error::tracking_id);
        let is_retryable = cause.is_some_and(Error::is_retryable);
        Self::new(kind, message).with_words((failure.condition.as_deref(), tracking_id, is_retryable))
    }

    /// The condition, the TrackingId, and whether trying again makes sense, which it does not after a no.
    fn with_words(mut self, (condition, tracking_id, is_retryable): (Option<&str>, Option<&str>, bool)) -> Self {
        self.condition = condition.filter(|condition| !condition.is_empty()).map(str::to_owned);
        self.tracking_id = tracking_id.map(str::to_owned);
        self.is_retryable = is_retryable && self.kind != Kind::Refused;
        self
    }
}

/// The exit code of a command that told its result, or of one that failed, which is told here.
pub(super) fn exit_code_of(result: Result<u8, Failure>) -> u8 {
    result.unwrap_or_else(|failure| {
        output::complain(&failure);
        failure.kind.exit_code()
    })
}

/// A command's result, to standard output.
pub(super) fn print(text: impl fmt::Display) -> Result<(), Failure> {
    match output::line(text) {
        Err(error) if !output::is_reader_gone(&error) => {
            Err(Failure::configuration(format!("cannot print: {error}; check where standard output goes")))
        }
        _ => Ok(()),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn unanswered(cause: &Error) -> String {
    format!("no answer came for a batch: {}", without_advice(cause))
}

/// What happened. What to do about it is said to programs, which may open a new connection.
pub(super) fn without_advice(error: &Error) -> String {
    let text = error.to_string();
    match error {
        // The hub's own words, which may hold anything.
        Error::Closed { .. } | Error::StillUnauthorized { .. } => text,
        _ => text.rsplit_once("; ").map_or(text.clone(), |(what, _)| what.to_owned()),
    }
}

fn kind_of(error: &Error) -> Kind {
    match error {
        Error::TokenRefused { .. } | Error::RequestRefused { .. } | Error::Closed { .. } if !error.is_retryable() => {
            Kind::Refused
        }
        Error::StillUnauthorized { .. } => Kind::Refused,
        // To a connection's task it may pass with a fresh token; whoever runs a command has just shown one.
        Error::Closed { condition, .. } if condition == UNAUTHORIZED_ACCESS => Kind::Refused,
        Error::TlsMissing { .. } | Error::Setting { .. } => Kind::Configuration,
        _ => Kind::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Scope, Step};
    use std::time::Duration;

    fn closed(condition: &str) -> Error {
        let description = "No. TrackingId:1f_G0, SystemTracker:hub".to_owned();
        Error::Closed { scope: Scope::Link, condition: condition.to_owned(), description }
    }

    fn token_refused(status: i64) -> Error {
        Error::TokenRefused { audience: "sb://ns/hub".into(), status, description: String::new() }
    }

    #[test]
    fn a_hubs_no_is_told_from_a_not_now() {
        let timed_out = Error::TimedOut { step: Step::Open, after: Duration::from_secs(1) };
        for (error, kind) in [
            (token_refused(401), Kind::Refused),
            (token_refused(404), Kind::Refused),
            (token_refused(503), Kind::Unreachable),
            (closed("amqp:not-found"), Kind::Refused),
            (closed("amqp:unauthorized-access"), Kind::Refused),
            (closed("com.microsoft:argument-out-of-range"), Kind::Refused),
            (closed("com.microsoft:server-busy"), Kind::Unreachable),
            (closed("amqp:connection:forced"), Kind::Unreachable),
            (timed_out, Kind::Unreachable),
            (Error::NotAmqp { received: *b"HTTP/1.1" }, Kind::Unreachable),
            (Error::TlsMissing { host: "ns".into() }, Kind::Configuration),
            (Error::Setting { name: "HTTP proxy", reason: String::new() }, Kind::Configuration),
        ] {
            let failure = Failure::of_error(&error);
            assert_eq!(failure.kind, kind, "{error}");
            assert!(kind != Kind::Refused || !failure.is_retryable, "{error}");
        }
    }

    #[test]
    fn the_hubs_own_words_are_kept() {
        let failure = Failure::of_error(&closed("amqp:not-found"));
        assert_eq!(failure.condition.as_deref(), Some("amqp:not-found"));
        assert_eq!(failure.tracking_id.as_deref(), Some("1f_G0"));
    }

    #[test]
    fn an_unknown_outcome_outweighs_what_caused_it() {
        let batch = Batch::new(64);
        let failure = Failure::of_send(&SendError::Unknown { batch, cause: closed("amqp:not-found") });
        assert_eq!(failure.kind, Kind::UnknownOutcome);
    }

    #[test]
    fn what_a_bench_tells_has_the_codes_of_send() {
        let batch = || Batch::new(64);
        let timed_out = || Error::TimedOut { step: Step::Open, after: Duration::from_secs(1) };
        for error in [
            SendError::NotSent { batch: batch(), cause: closed("amqp:not-found") },
            SendError::NotSent { batch: batch(), cause: timed_out() },
            SendError::Unknown { batch: batch(), cause: timed_out() },
            SendError::Rejected { batch: batch(), condition: "amqp:not-allowed".into(), description: String::new() },
        ] {
            let (send, bench) = (Failure::of_send(&error), Failure::of_bench(&SendFailure::of(&error)));
            assert_eq!((send.kind, &send.message), (bench.kind, &bench.message), "{error}");
        }
        let message = "too large".to_owned();
        let unfit = SendFailure { outcome: Outcome::Unfit, condition: None, message, cause: None };
        assert_eq!(Failure::of_bench(&unfit).kind, Kind::Input);
    }

    #[test]
    fn kinds_and_codes_belong_together() {
        use Kind::*;
        let kinds = [
            Input,
            Configuration,
            Refused,
            Rejected,
            Unreachable,
            UnknownOutcome,
            Malformed,
            Limit,
            Interrupted,
            Terminated,
        ];
        let codes = kinds.map(Kind::exit_code);
        assert_eq!(codes, [2, 3, 4, 5, 6, 7, 8, 9, 130, 143]);
    }
}
