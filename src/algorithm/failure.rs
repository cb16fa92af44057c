//! What went wrong, by the platform's names for it.

use std::fmt;

use super::reply::Progress;
use crate::wire::condition::{LINK_MESSAGE_SIZE_EXCEEDED, NOT_FOUND, UNAUTHORIZED_ACCESS};
use crate::wire::connection_string::{EventHubNameError, ParseError};
use crate::wire::secret;
use crate::{Error, SendError};

/// The platform's `error_type`. Never `SystemExit`, which ends its server.
/// Source: the platform's list of algorithm errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorType {
    /// The input is of the wrong shape.
    Input,
    /// The request is no JSON, or holds no base64 where it should.
    Parsing,
    /// The request's content type is none that is known.
    Unsupported,
    /// An event is larger than the hub takes, or the request than can be read.
    TooLarge,
    /// The connection string or another setting is missing or wrong.
    Initialization,
    /// The hub does not take the key.
    ThirdPartyCredential,
    /// There is no such event hub.
    EntityNotFound,
    /// All else: the network, throttling, a time-out, an unknown outcome.
    Algorithm,
}

impl ErrorType {
    /// As it stands in an answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "InputError",
            Self::Parsing => "ParsingError",
            Self::Unsupported => "UnsupportedError",
            Self::TooLarge => "TooLargeError",
            Self::Initialization => "InitializationError",
            Self::ThirdPartyCredential => "ThirdPartyCredentialError",
            Self::EntityNotFound => "EntityNotFoundError",
            Self::Algorithm => "AlgorithmError",
        }
    }
}

/// Why a call did not do all that was asked of it, and how far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    error_type: ErrorType,
    message: String,
    is_retryable: bool,
    progress: Progress,
}

impl Failure {
    /// A failure of your own.
    pub fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into(), is_retryable: false, progress: Progress::default() }
    }

    /// The platform's name for its kind.
    pub fn error_type(&self) -> ErrorType {
        self.error_type
    }

    /// Whether the same call may work later without anybody changing anything. Where [`unknown`](Self::unknown) is not 0 it may
    /// also store events twice.
    pub fn is_retryable(&self) -> bool {
        self.is_retryable
    }

    /// Events that the hub has stored: the first so many of the input.
    pub fn accepted(&self) -> u64 {
        self.progress.accepted
    }

    /// Events behind them that may be stored or not.
    pub fn unknown(&self) -> u64 {
        self.progress.unknown
    }

    /// Events behind those, none of which is stored.
    pub fn not_sent(&self) -> u64 {
        self.progress.not_sent
    }

    pub(super) fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorType::Input, message)
    }

    pub(super) fn parsing(message: impl Into<String>) -> Self {
        Self::new(ErrorType::Parsing, message)
    }

    /// The same, with what became of the events: told where some of them are not simply unsent.
    pub(super) fn after(mut self, progress: Progress) -> Self {
        self.message += &progress.to_string();
        self.progress = progress;
        self
    }

    /// Of anything that a handler may fail with.
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        if let Some(failure) = error.downcast_ref::<Self>() {
            return failure.clone();
        }
        let known = error.downcast_ref::<Error>().map(Self::from);
        let known = known.or_else(|| error.downcast_ref::<SendError>().map(Self::from));
        known.unwrap_or_else(|| Self::new(ErrorType::Algorithm, secret::masked(&chain(error))))
    }

    /// Of a handler that panicked.
    pub(super) fn of_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word");
        Self::new(ErrorType::Algorithm, format!("the algorithm panicked: {}", secret::masked(text)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Of a text that says what is wrong with the input.
impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::input(message)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { is_retryable: error.is_retryable(), ..Self::new(error_type_of(error), error.to_string()) }
    }
}

impl From<&SendError> for Failure {
    fn from(error: &SendError) -> Self {
        Self { is_retryable: error.is_retryable(), ..Self::new(error_type_of_send(error), error.to_string()) }
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        Self::new(ErrorType::Initialization, error.to_string())
    }
}

impl From<EventHubNameError> for Failure {
    fn from(error: EventHubNameError) -> Self {
        Self::new(ErrorType::Initialization, error.to_string())
    }
}

fn error_type_of(error: &Error) -> ErrorType {
    match error {
        Error::TokenRefused { status: 401 | 403, .. } => ErrorType::ThirdPartyCredential,
        Error::TokenRefused { status: 404, .. } => ErrorType::EntityNotFound,
        Error::NoToken { is_retryable: false, .. } => ErrorType::ThirdPartyCredential,
        Error::Closed { condition, .. } if condition == UNAUTHORIZED_ACCESS => ErrorType::ThirdPartyCredential,
        Error::StillUnauthorized { .. } => ErrorType::ThirdPartyCredential,
        // A key that was shown at once, and was no good.
        Error::SaslRefused { code: 1 } => ErrorType::ThirdPartyCredential,
        Error::Closed { condition, .. } if condition == NOT_FOUND => ErrorType::EntityNotFound,
        Error::EventHubName(_) | Error::InvalidName { .. } | Error::Setting { .. } | Error::TlsMissing { .. } => {
            ErrorType::Initialization
        }
        _ => ErrorType::Algorithm,
    }
}

fn error_type_of_send(error: &SendError) -> ErrorType {
    match error {
        SendError::Rejected { condition, .. } if condition == LINK_MESSAGE_SIZE_EXCEEDED => ErrorType::TooLarge,
        SendError::Rejected { .. } | SendError::Unknown { .. } => ErrorType::Algorithm,
        SendError::NotSent { cause, .. } => error_type_of(cause),
    }
}

/// An error and its causes, as the platform's own crate tells them.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // Many say their cause in their own words already.
        if !text.contains(&words) {
            text += "\ncaused by: ";
            text += &words;
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Scope, Step};
    use std::time::Duration;

    fn closed(condition: &str) -> Error {
        Error::Closed { scope: Scope::Link, condition: condition.to_owned(), description: "No.".to_owned() }
    }

    fn token_refused(status: i64) -> Error {
        Error::TokenRefused { audience: "sb://ns/hub".into(), status, description: String::new() }
    }

    #[test]
    fn what_the_hub_says_has_the_platforms_names() {
        let timed_out = || Error::TimedOut { step: Step::Open, after: Duration::from_secs(1) };
        for (error, name) in [
            (token_refused(401), "ThirdPartyCredentialError"),
            (token_refused(404), "EntityNotFoundError"),
            (token_refused(503), "AlgorithmError"),
            (closed("amqp:unauthorized-access"), "ThirdPartyCredentialError"),
            (
                Error::StillUnauthorized { cause: Box::new(closed("amqp:unauthorized-access")) },
                "ThirdPartyCredentialError",
            ),
            (Error::SaslRefused { code: 1 }, "ThirdPartyCredentialError"),
            (Error::SaslRefused { code: 4 }, "AlgorithmError"),
            (closed("amqp:not-found"), "EntityNotFoundError"),
            (closed("com.microsoft:server-busy"), "AlgorithmError"),
            (Error::TlsMissing { host: "ns".into() }, "InitializationError"),
            (timed_out(), "AlgorithmError"),
        ] {
            assert_eq!(Failure::from(&error).error_type().name(), name, "{error}");
            assert_eq!(Failure::of(&error).error_type().name(), name, "{error}");
            let not_sent = SendError::NotSent { batch: Batch::new(64), cause: error };
            assert_eq!(Failure::from(&not_sent).error_type().name(), name, "{not_sent}");
        }
        let unknown = SendError::Unknown { batch: Batch::new(64), cause: closed("amqp:not-found") };
        assert_eq!(
            Failure::from(&unknown).error_type(),
            ErrorType::Algorithm,
            "what may be stored is no lack of a hub"
        );
        let (batch, condition) = (Batch::new(64), LINK_MESSAGE_SIZE_EXCEEDED.to_owned());
        let too_large = SendError::Rejected { batch, condition, description: String::new() };
        assert_eq!(Failure::of(&too_large).error_type(), ErrorType::TooLarge);
    }

    #[test]
    fn what_handlers_fail_with_keeps_its_kind_and_its_causes() {
        let own = Failure::new(ErrorType::Input, "not this");
        assert_eq!(Failure::of(&own), own);
        let io = std::io::Error::other("no disk");
        let error = Error::Lost { source: std::sync::Arc::new(io) };
        assert_eq!(Failure::of(&error).to_string(), "the connection was lost: no disk; open a new one");
        #[derive(Debug, thiserror::Error)]
        #[error("the model is not there")]
        struct Model(#[source] std::fmt::Error);
        let failure = Failure::of(&Model(std::fmt::Error));
        let cause = std::fmt::Error.to_string();
        assert_eq!(failure.to_string(), format!("the model is not there\ncaused by: {cause}"));
        assert_eq!(failure.error_type(), ErrorType::Algorithm);
    }

    #[test]
    fn a_panic_is_told_in_its_words() {
        for (payload, words) in [
            (Box::new("index out of bounds") as Box<dyn std::any::Any + Send>, "index out of bounds"),
            (Box::new("sig=abc%3D&se=1".to_owned()), "sig=***&se=1"),
            (Box::new(7), "without a word"),
        ] {
            let failure = Failure::of_panic(&*payload);
            assert_eq!(failure.to_string(), format!("the algorithm panicked: {words}"));
        }
    }
}
