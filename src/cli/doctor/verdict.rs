//! How an examination ended, in words.

use std::fmt;

use super::advice::Facts;
use super::cause::Cause;
use super::step::Step;
use super::table::Trouble;
use crate::cli::failure::{Failure, without_advice};
use crate::{Error, SendError};

/// How it ended.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// What works, or what is the matter.
    pub(super) words: String,
    pub(super) diagnosis: Option<Diagnosis>,
}

/// What is wrong.
#[derive(Clone, Debug)]
pub(super) struct Diagnosis {
    pub(super) step: Step,
    pub(super) cause: Cause,
    /// What was said, by the hub, the system or TLS.
    pub(super) failure: Failure,
    /// What to try, the likeliest first.
    pub(super) next: Vec<String>,
}

impl Verdict {
    pub(super) fn well(words: String) -> Self {
        Self { words, diagnosis: None }
    }

    /// Of a step that failed before an event was sent.
    pub(super) fn of(trouble: &Trouble, facts: &Facts) -> Self {
        let failure = Failure { message: said_of(&trouble.error), ..Failure::of_error(&trouble.error) };
        Self::new(trouble.step, Cause::of(trouble, facts), failure, facts)
    }

    /// Of an event that was not accepted.
    pub(super) fn of_send(error: &SendError, facts: &Facts) -> Self {
        let failure = Failure { message: said(error), ..Failure::of_send(error) };
        Self::new(Step::Send, Cause::of_send(error, facts), failure, facts)
    }

    pub(super) fn new(step: Step, cause: Cause, failure: Failure, facts: &Facts) -> Self {
        let kind = cause.kind().unwrap_or(failure.kind);
        let next = cause.advice(facts);
        let diagnosis = Diagnosis { step, cause, failure: Failure { kind, ..failure }, next };
        Self { words: cause.words(facts), diagnosis: Some(diagnosis) }
    }

    pub(super) fn exit_code(&self) -> u8 {
        self.diagnosis.as_ref().map_or(0, |diagnosis| diagnosis.failure.kind.exit_code())
    }
}

/// What became of an event, without advice.
pub(super) fn said(error: &SendError) -> String {
    match error {
        SendError::Rejected { condition, description, .. } => format!("rejected: {condition}: {description}"),
        SendError::NotSent { cause, .. } => format!("not sent: {}", said_of(cause)),
        SendError::Unknown { cause, .. } => format!("no answer came: {}", said_of(cause)),
    }
}

/// What happened, without the advice that errors carry: what to do is said by the cause.
pub(super) fn said_of(error: &Error) -> String {
    match error {
        Error::Connect { source, .. } | Error::Tls { source, .. } | Error::Lost { source } => source.to_string(),
        Error::ProxyRefused { line, .. } | Error::WebSocketRefused { line, .. } => format!("the answer is \"{line}\""),
        Error::TokenRefused { status, description, .. } => format!("{status} {description}"),
        Error::Closed { scope, condition, description } => {
            let words = [condition.as_str(), description].into_iter().filter(|words| !words.is_empty());
            let words: Vec<&str> = words.collect();
            format!(
                "the hub closed the {scope}: {}",
                if words.is_empty() { "without a word".to_owned() } else { words.join(": ") }
            )
        }
        _ => without_advice(error),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(diagnosis) = &self.diagnosis else { return write!(f, "\n{}", self.words) };
        write!(f, "\ncause  {}", self.words)?;
        diagnosis.next.iter().try_for_each(|next| write!(f, "\nnext   {next}"))?;
        match &diagnosis.failure.tracking_id {
            Some(id) => write!(f, "\nid     {id}, under which Azure support finds it"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use clap::ValueEnum;
    use tokio_rustls::rustls::{CertificateError, Error as Tls};

    use super::super::date::Skew;
    use super::*;
    use crate::{Batch, Scope, Step as Waiting};

    fn facts() -> Facts {
        Facts { host: "ns.example".into(), event_hub: "telemetry".into(), ..Facts::default() }
    }

    fn cause(step: Step, error: Error, facts: &Facts) -> Cause {
        Cause::of(&Trouble { step, error }, facts)
    }

    fn connect(kind: io::ErrorKind) -> Error {
        Error::Connect { host: "ns.example".into(), port: 5671, source: Arc::new(kind.into()) }
    }

    fn tls(error: Tls) -> Error {
        Error::Tls { host: "ns.example".into(), source: Arc::new(io::Error::other(error)) }
    }

    fn proxy(status: u16) -> Error {
        let (proxy, host) = ("p:1".to_owned(), "ns.example".to_owned());
        Error::ProxyRefused { proxy, host, port: 5671, status, line: "HTTP/1.1 x".into(), logins: Vec::new() }
    }

    fn refused(status: i64, description: &str) -> Error {
        Error::TokenRefused { audience: "sb://ns.example/telemetry".into(), status, description: description.into() }
    }

    fn closed(condition: &str, description: &str) -> Error {
        Error::Closed { scope: Scope::Link, condition: condition.into(), description: description.into() }
    }

    fn silent(step: Waiting) -> Error {
        Error::TimedOut { step, after: Duration::from_secs(1) }
    }

    #[test]
    fn every_cause_says_what_is_the_matter_and_what_to_do_next() {
        let others = Facts {
            websocket_works: Some(false),
            private_address: Some("10.0.0.1".into()),
            skew: Some(Skew::Ahead(Duration::from_secs(7_200))),
            has_other_right: true,
            is_proxied: true,
            proxy_in_environment: true,
            is_websocket: true,
            is_emulator: true,
            ..facts()
        };
        for facts in [facts(), others] {
            for &cause in Cause::value_variants() {
                let verdict = Verdict::new(Step::Tcp, cause, Failure::configuration("said"), &facts);
                let diagnosis = verdict.diagnosis.as_ref().unwrap();
                assert!(!diagnosis.next.is_empty(), "{cause:?}");
                assert!(verdict.words.len() > 15 && !verdict.words.ends_with('.'), "{cause:?}: {}", verdict.words);
                for next in &diagnosis.next {
                    assert!(next.len() > 15 && !next.ends_with('.'), "{cause:?}: {next}");
                }
                assert!(verdict.to_string().contains("\nnext   "), "{verdict}");
            }
        }
    }

    #[test]
    fn the_way_is_judged_by_what_it_said() {
        for (step, error, expected) in [
            (Step::Tcp, connect(io::ErrorKind::ConnectionRefused), Cause::PortRefused),
            (Step::Tcp, connect(io::ErrorKind::NetworkUnreachable), Cause::NoRoute),
            (Step::Tcp, connect(io::ErrorKind::ConnectionReset), Cause::PortSilent),
            (Step::Tcp, silent(Waiting::Connect), Cause::PortSilent),
            (Step::Resolve, silent(Waiting::Resolve), Cause::NameUnknown),
            (Step::Proxy, proxy(407), Cause::ProxyLogin),
            (Step::Proxy, proxy(403), Cause::ProxyForbids),
            (Step::Proxy, proxy(502), Cause::ProxyForbids),
            (Step::Proxy, proxy(405), Cause::NotAProxy),
            (Step::Proxy, silent(Waiting::Proxy), Cause::NotAProxy),
            (Step::Tls, tls(Tls::InvalidCertificate(CertificateError::UnknownIssuer)), Cause::CertificateUntrusted),
            (Step::Tls, tls(Tls::InvalidCertificate(CertificateError::Expired)), Cause::CertificateExpired),
            (Step::Tls, tls(Tls::InvalidCertificate(CertificateError::NotValidYet)), Cause::CertificateExpired),
            (Step::Tls, tls(Tls::InvalidCertificate(CertificateError::NotValidForName)), Cause::CertificateName),
            (Step::Tls, tls(Tls::InvalidCertificate(CertificateError::BadEncoding)), Cause::CertificateUnfit),
            (Step::Tls, silent(Waiting::Tls), Cause::TlsCut),
            (Step::WebSocket, silent(Waiting::WebSocket), Cause::NotWebSocket),
            (Step::Sasl, Error::NotAmqp { received: *b"HTTP/1.1" }, Cause::NotAmqp),
            (Step::Sasl, Error::SaslRefused { code: 1 }, Cause::SaslRefused),
            (Step::Open, silent(Waiting::Open), Cause::HubSilent),
        ] {
            let text = error.to_string();
            assert_eq!(cause(step, error, &facts()), expected, "{text}");
        }
    }

    #[test]
    fn what_else_is_known_changes_the_judgement() {
        let blocked = || silent(Waiting::Connect);
        let websocket = Facts { websocket_works: Some(true), ..facts() };
        assert_eq!(cause(Step::Tcp, blocked(), &websocket), Cause::OnlyWebSocket);
        assert_eq!(cause(Step::Proxy, proxy(403), &websocket), Cause::OnlyWebSocket);
        let private = Facts { private_address: Some("10.0.0.4".into()), ..facts() };
        assert_eq!(cause(Step::Tcp, blocked(), &private), Cause::PrivateEndpoint);
        assert!(Cause::PrivateEndpoint.words(&private).contains("10.0.0.4"));
        let proxied = Facts { is_proxied: true, ..facts() };
        assert_eq!(cause(Step::Tcp, blocked(), &proxied), Cause::ProxyUnreachable);
        let around = Facts { proxy_in_environment: true, websocket_works: Some(false), ..facts() };
        let advice = Cause::PortSilent.advice(&around).join("\n");
        assert!(advice.contains("--proxy env") && advice.contains("port 443 is closed as well"), "{advice}");
        let skewed = Facts { skew: Some(Skew::Behind(Duration::from_secs(3_600))), ..facts() };
        assert!(Cause::WrongKey.advice(&skewed).join("").contains("clock is 1h behind the peer's"));
    }

    #[test]
    fn the_hubs_no_is_told_apart_by_its_words_and_is_a_refusal() {
        let ready = Facts { has_ready_token: true, ..facts() };
        for (step, error, facts, expected) in [
            (
                Step::Token,
                refused(401, "InvalidSignature: The token has an invalid signature."),
                facts(),
                Cause::WrongKey,
            ),
            (Step::Token, refused(401, "InvalidSignature: no rule is named 'x'"), facts(), Cause::UnknownRule),
            (Step::Token, refused(401, "ExpiredToken: The token is expired."), ready, Cause::ExpiredToken),
            (Step::Token, refused(401, "ExpiredToken: The token is expired."), facts(), Cause::ClockWrong),
            (Step::Token, refused(401, "InvalidAudience: with a wrong audience"), facts(), Cause::WrongAudience),
            (Step::Token, refused(404, "could not be found"), facts(), Cause::HubUnknown),
            (
                Step::Token,
                refused(401, "Ip has been prevented to connect to the endpoint."),
                facts(),
                Cause::NetworkRules,
            ),
            (Step::AttachSend, closed("amqp:unauthorized-access", "'Send' claim(s)"), facts(), Cause::NoSendRight),
            (Step::AttachListen, closed("amqp:unauthorized-access", "'Listen'"), facts(), Cause::NoListenRight),
            (Step::AttachSend, closed("amqp:not-found", ""), facts(), Cause::HubUnknown),
            (Step::AttachSend, closed("com.microsoft:argument-out-of-range", ""), facts(), Cause::PartitionUnknown),
            (Step::AttachListen, closed("amqp:resource-limit-exceeded", ""), facts(), Cause::Quota),
            (Step::Open, closed("com.microsoft:entity-disabled", ""), facts(), Cause::HubDisabled),
        ] {
            let trouble = Trouble { step, error };
            let verdict = Verdict::of(&trouble, &facts);
            assert_eq!(verdict.diagnosis.as_ref().map(|diagnosis| diagnosis.cause), Some(expected), "{trouble:?}");
            assert_eq!(verdict.exit_code(), 4, "{trouble:?}");
        }
        let busy = Verdict::of(&Trouble { step: Step::Token, error: refused(503, "busy") }, &facts());
        assert_eq!((busy.diagnosis.as_ref().map(|busy| busy.cause), busy.exit_code()), (Some(Cause::Busy), 6));
    }

    #[test]
    fn an_event_that_was_not_accepted_keeps_its_outcome() {
        let batch = || Batch::new(64);
        let rejected = |condition: &str, description: &str| SendError::Rejected {
            batch: batch(),
            condition: condition.into(),
            description: description.into(),
        };
        for (error, expected, code) in [
            (rejected("amqp:not-allowed", "no"), Cause::EventRejected, 5),
            (rejected("com.microsoft:server-busy", "50002"), Cause::Busy, 6),
            (SendError::Unknown { batch: batch(), cause: silent(Waiting::Outcome) }, Cause::OutcomeUnknown, 7),
            (SendError::NotSent { batch: batch(), cause: silent(Waiting::Credit) }, Cause::NoCredit, 6),
            (SendError::NotSent { batch: batch(), cause: Error::Released }, Cause::EventGivenBack, 6),
        ] {
            let verdict = Verdict::of_send(&error, &facts());
            let diagnosis = verdict.diagnosis.as_ref().unwrap();
            assert_eq!((diagnosis.cause, verdict.exit_code()), (expected, code), "{error}");
        }
    }
}
