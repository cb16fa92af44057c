//! What a failure means. Pure: what is known beside it is an argument.

use std::io;

use serde::Serialize;
use tokio_rustls::rustls::{CertificateError, Error as Tls};

use super::advice::Facts;
use super::step::Step;
use super::table::Trouble;
use crate::cli::failure::Kind;
use crate::wire::condition;
use crate::{Error, SendError, Step as Waiting};

/// What is the matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
// Lists all of them.
#[cfg_attr(test, derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    NameUnknown,
    PortRefused,
    PortSilent,
    NoRoute,
    PrivateEndpoint,
    OnlyWebSocket,
    ProxyUnreachable,
    ProxyLogin,
    ProxyForbids,
    NotAProxy,
    CertificateUntrusted,
    CertificateExpired,
    CertificateName,
    CertificateUnfit,
    NotTls,
    TlsCut,
    NotWebSocket,
    NotAmqp,
    SaslRefused,
    OpenRefused,
    WrongKey,
    UnknownRule,
    ExpiredToken,
    ClockWrong,
    WrongAudience,
    TokenRefused,
    HubUnknown,
    PartitionUnknown,
    NoSendRight,
    NoListenRight,
    NetworkRules,
    Busy,
    Quota,
    HubDisabled,
    AttachRefused,
    NoCredit,
    HubSilent,
    ConnectionLost,
    EventRejected,
    EventGivenBack,
    OutcomeUnknown,
    NotReadBack,
    Setting,
    Other,
}

impl Cause {
    /// Of a step that failed before an event was sent.
    pub(super) fn of(Trouble { step, error }: &Trouble, facts: &Facts) -> Self {
        match error {
            Error::Resolve { .. } => Self::NameUnknown,
            Error::Setting { .. } | Error::TlsMissing { .. } => Self::Setting,
            Error::TimedOut { step: Waiting::Resolve, .. } => Self::NameUnknown,
            Error::Connect { .. } | Error::TimedOut { step: Waiting::Connect, .. } => of_socket(error, facts),
            Error::ProxyRefused { .. } | Error::TimedOut { step: Waiting::Proxy, .. } => of_proxy(error, facts),
            Error::NotHttp { .. } if *step == Step::Proxy => Self::NotAProxy,
            Error::NotHttp { .. } | Error::WebSocketRefused { .. } => Self::NotWebSocket,
            Error::TimedOut { step: Waiting::WebSocket, .. } => Self::NotWebSocket,
            Error::Lost { .. } if *step == Step::WebSocket => Self::NotWebSocket,
            Error::Tls { source, .. } => of_tls(source, facts),
            Error::TimedOut { step: Waiting::Tls, .. } => of_way(Self::TlsCut, facts),
            Error::NotAmqp { .. } | Error::Violation { .. } => Self::NotAmqp,
            Error::NoMechanism { .. } | Error::SaslRefused { .. } => Self::SaslRefused,
            Error::TokenRefused { status, description, .. } => of_token(*status, description, facts),
            Error::NoToken { .. } => Self::TokenRefused,
            Error::Closed { condition, description, .. } => of_condition(*step, condition, description),
            Error::TimedOut { step: Waiting::Credit, .. } => Self::NoCredit,
            Error::TimedOut { .. } | Error::IdleTimeout { .. } => Self::HubSilent,
            Error::Lost { .. } => Self::ConnectionLost,
            Error::Released => Self::EventGivenBack,
            _ => Self::Other,
        }
    }

    /// Of an event that was not accepted.
    pub(super) fn of_send(error: &SendError, facts: &Facts) -> Self {
        match error {
            SendError::Unknown { .. } => Self::OutcomeUnknown,
            SendError::Rejected { condition, description, .. } => {
                match of_condition(Step::Send, condition, description) {
                    Self::AttachRefused | Self::Other => Self::EventRejected,
                    cause => cause,
                }
            }
            SendError::NotSent { cause, .. } => Self::of(&Trouble { step: Step::Send, error: cause.clone() }, facts),
        }
    }

    /// Where the exit code is not that of the error itself: a no that stays a no until somebody changes something.
    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            Self::WrongKey
            | Self::UnknownRule
            | Self::ExpiredToken
            | Self::ClockWrong
            | Self::WrongAudience
            | Self::HubUnknown
            | Self::PartitionUnknown
            | Self::NoSendRight
            | Self::NoListenRight
            | Self::NetworkRules
            | Self::Quota
            | Self::HubDisabled => Some(Kind::Refused),
            Self::Busy | Self::NotReadBack | Self::EventGivenBack => Some(Kind::Unreachable),
            _ => None,
        }
    }
}

fn of_socket(error: &Error, facts: &Facts) -> Cause {
    let kind = match error {
        Error::Connect { source, .. } => Some(source.kind()),
        _ => None,
    };
    if facts.is_proxied {
        return Cause::ProxyUnreachable;
    }
    let cause = match kind {
        Some(io::ErrorKind::ConnectionRefused) => Cause::PortRefused,
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::AddrNotAvailable) => {
            Cause::NoRoute
        }
        _ => Cause::PortSilent,
    };
    of_way(cause, facts)
}

/// A way that is closed, unless something is known that explains it.
fn of_way(cause: Cause, facts: &Facts) -> Cause {
    if facts.websocket_works == Some(true) {
        return Cause::OnlyWebSocket;
    }
    if facts.private_address.is_some() && !facts.is_emulator && cause != Cause::PortRefused {
        return Cause::PrivateEndpoint;
    }
    cause
}

fn of_proxy(error: &Error, facts: &Facts) -> Cause {
    if facts.websocket_works == Some(true) {
        return Cause::OnlyWebSocket;
    }
    match error {
        Error::ProxyRefused { status: 407, .. } => Cause::ProxyLogin,
        Error::ProxyRefused { status: 403 | 500..=599, .. } => Cause::ProxyForbids,
        _ => Cause::NotAProxy,
    }
}

fn of_tls(source: &io::Error, facts: &Facts) -> Cause {
    use CertificateError as Bad;
    match source.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(Bad::UnknownIssuer)) => Cause::CertificateUntrusted,
        Some(Tls::InvalidCertificate(
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
        )) => Cause::CertificateExpired,
        Some(Tls::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. })) => {
            Cause::CertificateName
        }
        Some(Tls::InvalidCertificate(_)) => Cause::CertificateUnfit,
        Some(Tls::InvalidMessage(_)) => Cause::NotTls,
        _ => of_way(Cause::TlsCut, facts),
    }
}

fn of_token(status: i64, description: &str, facts: &Facts) -> Cause {
    let says = |words: &str| description.to_ascii_lowercase().contains(words);
    match status {
        _ if is_network_rule(description) => Cause::NetworkRules,
        404 => Cause::HubUnknown,
        401 | 403 if says("expired") && facts.has_ready_token => Cause::ExpiredToken,
        401 | 403 if says("expired") => Cause::ClockWrong,
        401 | 403 if says("invalidaudience") || says("wrong audience") => Cause::WrongAudience,
        401 | 403 if says("no rule is named") => Cause::UnknownRule,
        401 | 403 if says("signature") => Cause::WrongKey,
        403 if says("quota") => Cause::Quota,
        429 | 503 => Cause::Busy,
        _ => Cause::TokenRefused,
    }
}

/// The hub's words of a machine that it does not let in. Source: Event Hubs' texts for IP filters and public access.
fn is_network_rule(description: &str) -> bool {
    let lower = description.to_ascii_lowercase();
    ["ip has been prevented", "public network access", "publicnetworkaccess", "network rule", "ip address rejected"]
        .iter()
        .any(|words| lower.contains(words))
}

fn of_condition(step: Step, condition: &str, description: &str) -> Cause {
    if is_network_rule(description) {
        return Cause::NetworkRules;
    }
    if condition::is_throttling(condition, description) {
        return Cause::Busy;
    }
    match (condition, step) {
        (condition::NOT_FOUND | condition::RESOURCE_DELETED, _) => Cause::HubUnknown,
        (condition::ARGUMENT_OUT_OF_RANGE, Step::AttachSend | Step::AttachListen) => Cause::PartitionUnknown,
        (condition::UNAUTHORIZED_ACCESS, Step::AttachListen | Step::ReadBack) => Cause::NoListenRight,
        (condition::UNAUTHORIZED_ACCESS, Step::AttachSend | Step::Send) => Cause::NoSendRight,
        (condition::RESOURCE_LIMIT_EXCEEDED, _) => Cause::Quota,
        (condition::ENTITY_DISABLED, _) => Cause::HubDisabled,
        (_, Step::Sasl | Step::Open) => Cause::OpenRefused,
        (_, Step::Token | Step::AttachSend | Step::AttachListen) => Cause::AttachRefused,
        (condition::CONNECTION_FORCED | condition::LINK_DETACH_FORCED, _) => Cause::ConnectionLost,
        _ => Cause::Other,
    }
}
