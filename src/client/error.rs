//! What the hub or the network did, and what to do about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::advice;
use crate::engine::CloseCause;
use crate::wire::batch::Batch;
use crate::wire::condition::{self, Recovery};
use crate::wire::connection_string::EventHubNameError;
use crate::wire::frame::PeerError;
use crate::wire::secret;

/// Which part of the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One link. The connection lives on; attach a new one.
    Link,
    /// The session and its links. The connection lives on.
    Session,
    /// The connection and all that was on it.
    Connection,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Link => "link",
            Self::Session => "session",
            Self::Connection => "connection",
        })
    }
}

/// What was under way when a deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Asking DNS for the host's addresses.
    Resolve,
    /// Connecting TCP.
    Connect,
    /// Waiting for the HTTP proxy to make a tunnel.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// Waiting for the endpoint to switch to WebSocket.
    WebSocket,
    /// SASL and AMQP `open`.
    Open,
    /// Waiting for a token from its source.
    Token,
    /// Waiting for the hub to take the token.
    Authorize,
    /// Waiting for the hub's answer to `attach`.
    Attach,
    /// Waiting for the answer to a question at `$management`.
    Answer,
    /// Waiting for link credit: the hub takes no messages now.
    Credit,
    /// Waiting for the network to take the message's first bytes.
    Write,
    /// Waiting for the outcome of a message that left.
    Outcome,
    /// Waiting for a place in the window: what is in flight is all that may be.
    Window,
    /// Waiting for a lost link or connection to be back.
    Recovery,
    /// Saying goodbye.
    Close,
}

impl Step {
    fn doing(self) -> &'static str {
        match self {
            Self::Resolve => "resolving the host's name; check the name and the DNS server",
            Self::Connect => {
                "connecting; a firewall may drop the packets: try AMQP over WebSocket, which takes port 443, or another \
                 network"
            }
            Self::Proxy => {
                "waiting for the HTTP proxy's answer; check that it is one, and that it reaches the endpoint"
            }
            Self::WebSocket => {
                "waiting for the endpoint to switch to WebSocket; check that the port is WebSocket's (443), and what is in \
                 between"
            }
            Self::Tls => "shaking hands over TLS; check that the port speaks TLS and that no proxy is in between",
            Self::Open => "opening the AMQP connection; check that the port speaks AMQP (5671 with TLS)",
            Self::Token => "waiting for a token from its source; look at what it waits for",
            Self::Authorize => "waiting for the hub to take the token; try again",
            Self::Attach => "waiting for the hub to attach the link; try again",
            Self::Answer => "waiting for the answer at $management; try again",
            Self::Credit => "waiting for link credit; the hub takes no messages now: wait longer, or open a new sender",
            Self::Write => "waiting for the network to take the message; the peer may be gone: open a new connection",
            Self::Outcome => "waiting for the outcome; sending again may duplicate: decide, then try again",
            Self::Window => "waiting for room in the window; send less, or allow more in flight",
            Self::Recovery => "waiting for the connection to be back; try again, or look at its events",
            Self::Close => "closing; nothing is left to do",
        }
    }
}

/// Whose move it is to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller's: an argument, a name, a key.
    Caller,
    /// The hub's, or whatever answered in its place.
    Peer,
    /// The network's in between.
    Network,
}

/// Why something did not work. Cheap to clone: everything that waits when a connection falls is given the first cause.
///
/// No message holds a key, a signature or a token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event hub's name cannot be one.
    #[error(transparent)]
    EventHubName(#[from] EventHubNameError),
    /// A consumer group or a partition's id that cannot be one. It may be a connection string by mistake, and is not shown.
    #[error("that {what} cannot be one; use letters, digits, `.`, `-` and `_`")]
    InvalidName {
        /// What it was to be.
        what: &'static str,
    },
    /// The host's name has no address.
    #[error("cannot resolve {host}: {source}; check the name (namespace, endpoint or proxy), and DNS")]
    Resolve {
        /// The name that was asked for.
        host: String,
        /// What the resolver said.
        source: Arc<io::Error>,
    },
    /// No address of the host took a TCP connection.
    #[error("cannot connect to {host}:{port}: {source}; {}", advice::connect(*.port, .source))]
    Connect {
        /// The host that was dialled.
        host: String,
        /// The port that was dialled.
        port: u16,
        /// What the last address tried said.
        source: Arc<io::Error>,
    },
    /// The TLS handshake failed.
    #[error("TLS with {host} failed: {source}; {}", advice::tls(.host, .source))]
    Tls {
        /// The name that the certificate had to be for.
        host: String,
        /// What TLS said.
        source: Arc<io::Error>,
    },
    /// This build has no TLS.
    #[error("{host} needs TLS, and this build has none; build with the feature `tls`")]
    TlsMissing {
        /// The host that was to be dialled.
        host: String,
    },
    /// An option cannot be used.
    #[error("the {name} cannot be used: {reason}")]
    Setting {
        /// Which.
        name: &'static str,
        /// Why, and what it should be. No part of a proxy's URL is in it.
        reason: String,
    },
    /// The HTTP proxy makes no tunnel.
    #[error("the HTTP proxy {proxy} makes no tunnel to {host}:{port}: \"{line}\"; {}", advice::proxy(*.port, *.status, .logins))]
    ProxyRefused {
        /// Host and port of the proxy.
        proxy: String,
        /// The host that it was to lead to.
        host: String,
        /// The port of that.
        port: u16,
        /// Its status: 407 without a login that it knows, 403 for an endpoint that it forbids, 502 for one out of its reach.
        status: u16,
        /// Its status line.
        line: String,
        /// The logins that it offers, e.g. `Basic`.
        logins: Vec<String>,
    },
    /// The endpoint, or what is in between, does not switch to AMQP over WebSocket.
    #[error("{endpoint} does not switch to WebSocket: \"{line}\"; {}", advice::websocket(*.status, .redirected_to.as_deref()))]
    WebSocketRefused {
        /// Host and port that were asked.
        endpoint: String,
        /// The status: 101 when the answer is not to what was asked.
        status: u16,
        /// The status line.
        line: String,
        /// Scheme and host that it leads to instead.
        redirected_to: Option<String>,
    },
    /// What should be an HTTP proxy, or take WebSocket, speaks no HTTP.
    #[error("{peer} speaks no HTTP: its first bytes are \"{}\"; {}", .received.escape_ascii(), advice::no_http(.received))]
    NotHttp {
        /// Host and port.
        peer: String,
        /// Up to 16 of those bytes.
        received: Vec<u8>,
    },
    /// The first bytes of the peer are not AMQP 1.0.
    #[error("the peer speaks no AMQP 1.0: its first bytes are \"{}\"; {}", .received.escape_ascii(), advice::first_bytes(.received))]
    NotAmqp {
        /// Those bytes; zeros where it sent fewer.
        received: [u8; 8],
    },
    /// The peer does not offer the SASL mechanism that is used: ANONYMOUS, which comes before claims-based security, or
    /// PLAIN where that was asked for.
    #[error("the peer offers no SASL {wanted} but {offered:?}; {}", mechanism_advice(.wanted))]
    NoMechanism {
        /// What is used.
        wanted: &'static str,
        /// What it offers.
        offered: Vec<String>,
    },
    /// SASL ended with another code than 0.
    #[error("the peer refused SASL with code {code}; {}", sasl_advice(*.code))]
    SaslRefused {
        /// The code. Source: AMQP 1.0 part 5, 5.3.3.6.
        code: u8,
    },
    /// There is no token to show the hub.
    #[error("no token: {message}")]
    NoToken {
        /// What its source says.
        message: String,
        /// Whether trying again may help.
        is_retryable: bool,
    },
    /// The hub does not take the token.
    #[error("the hub refused the token for {audience}: {status} {description}; {}", status_advice(*.status))]
    TokenRefused {
        /// What the token was for.
        audience: String,
        /// As in HTTP: 401 for a wrong or expired key, 404 for a hub that does not exist.
        status: i64,
        /// The hub's own words, with its TrackingId.
        description: String,
    },
    /// The namespace does not answer a question about one of its event hubs.
    #[error("the hub does not tell of {what}: {}; {}", refusal(*.status, .condition, .description), request_advice(*.status))]
    RequestRefused {
        /// What was asked about.
        what: String,
        /// As in HTTP: 401 without the right, 404 for a hub that does not exist, 400 for a partition that does not. 0 when
        /// the question itself was not taken.
        status: i64,
        /// The hub's error condition; empty when it gave none.
        condition: String,
        /// The hub's own words, with its TrackingId.
        description: String,
    },
    /// The hub ended a part of the connection; `condition` is its own word, e.g. `amqp:link:detach-forced`.
    #[error("the hub closed the {scope}{}", said(.condition, .description))]
    Closed {
        /// What ended.
        scope: Scope,
        /// The hub's error condition; empty when it gave none.
        condition: String,
        /// The hub's own words, with its TrackingId; empty when it gave none.
        description: String,
    },
    /// The hub ended a sender's link for want of a right, and did so again after a fresh token: the sender is given up.
    #[error("{cause}; a fresh token was refused too: make another sender when something has changed")]
    StillUnauthorized {
        /// What it said the second time.
        cause: Box<Self>,
    },
    /// The stream to the hub ended or failed.
    #[error("the connection was lost: {source}; open a new one")]
    Lost {
        /// What the stream said.
        source: Arc<io::Error>,
    },
    /// The peer broke the protocol.
    #[error("the peer broke AMQP: {what}; check that it is an Event Hubs endpoint, and report it with a trace if so")]
    Violation {
        /// What it did.
        what: String,
    },
    /// Nothing came from the peer for the whole idle time-out.
    #[error("nothing came from the hub for {after:?}; the connection is dead: open a new one")]
    IdleTimeout {
        /// The time-out.
        after: Duration,
    },
    /// The call's deadline passed.
    #[error("timed out after {after:?} while {}", .step.doing())]
    TimedOut {
        /// What was under way.
        step: Step,
        /// The time that the call had.
        after: Duration,
    },
    /// The hub gave the message back without taking or refusing it.
    #[error("the hub released the message without taking it; send it again")]
    Released,
    /// As much is in flight as may be.
    #[error("the window is full; wait for an outcome, or allow more in flight")]
    WindowFull,
    /// A batch without events: there is nothing to send.
    #[error("the batch is empty; add an event first")]
    EmptyBatch,
    /// The batch was made for a link with a higher limit.
    #[error("the message of {len} bytes is over the link's limit of {limit}; make batches with `Sender::batch`")]
    BatchTooLarge {
        /// Bytes of the message.
        len: usize,
        /// Bytes that the link takes.
        limit: usize,
    },
    /// A batch with a partition key on a link to one partition: the hub would refuse it.
    #[error("a partition key and a partition id contradict each other; send keyed batches to the event hub itself")]
    KeyOnPartition,
    /// The connection could not be asked for: the container id or the host's name is too long.
    #[error("the connection cannot be opened: {what}")]
    CannotOpen {
        /// Which limit.
        what: String,
    },
    /// The link could not be asked for within the peer's limits.
    #[error("the link cannot be attached: {what}")]
    CannotAttach {
        /// Which limit.
        what: String,
    },
    /// A blocking call where blocking would stop a runtime, and everything on it.
    #[error(
        "a blocking call inside of an async task would stop its runtime; await hubwire's async calls there, or make this \
         one in `spawn_blocking` or on a thread of its own"
    )]
    InsideTask,
    /// The system has nothing left for a runtime: descriptors, most likely.
    #[error("cannot start: {source}; close what is not needed, or allow this process more")]
    NoRuntime {
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// This side closed the connection or the sender.
    #[error("closed by this side; open a new connection, or make a new sender")]
    ShutDown,
}

impl Error {
    /// Whether the same call may work later without anybody changing anything.
    ///
    /// Says nothing about duplicates: see [`SendError`].
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Lost { .. }
            | Self::IdleTimeout { .. }
            | Self::TimedOut { .. }
            | Self::WindowFull
            | Self::Released => true,
            // A trouble of the peer's own that will pass. Source: AMQP 1.0 part 5, 5.3.3.6.
            Self::SaslRefused { code } => *code == 4,
            // A stream that was cut; what TLS itself says stays so.
            Self::Tls { source, .. } => source.get_ref().is_none(),
            Self::NoToken { is_retryable, .. } => *is_retryable,
            Self::ProxyRefused { status, .. } | Self::WebSocketRefused { status, .. } => {
                matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
            }
            Self::TokenRefused { status, .. } => matches!(status, 408 | 429 | 500 | 503),
            Self::RequestRefused { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Closed { condition, description, .. } => {
                condition.is_empty() || condition::recovery(condition, Some(description)) != Recovery::GiveUp
            }
            _ => false,
        }
    }

    /// Whose move it is to mend it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Lost { .. } | Self::IdleTimeout { .. } => {
                Fault::Network
            }
            Self::TimedOut { step: Step::Resolve | Step::Connect | Step::Proxy | Step::Write, .. } => Fault::Network,
            Self::ProxyRefused { status, .. } if *status != 407 => Fault::Network,
            Self::NoToken { .. }
            | Self::WindowFull
            | Self::SaslRefused { code: 1 }
            | Self::TokenRefused { status: 400..=499, .. }
            | Self::RequestRefused { status: 400..=499, .. }
            | Self::TlsMissing { .. }
            | Self::Setting { .. }
            | Self::ProxyRefused { .. }
            | Self::EventHubName(_)
            | Self::InvalidName { .. }
            | Self::EmptyBatch
            | Self::BatchTooLarge { .. }
            | Self::KeyOnPartition
            | Self::CannotOpen { .. }
            | Self::CannotAttach { .. }
            | Self::InsideTask
            | Self::NoRuntime { .. }
            | Self::ShutDown => Fault::Caller,
            Self::Closed { condition, .. } if is_callers(condition) => Fault::Caller,
            Self::StillUnauthorized { cause } => cause.fault(),
            _ => Fault::Peer,
        }
    }

    /// What ended, when something did.
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Closed { scope, .. } => Some(*scope),
            Self::StillUnauthorized { cause } => cause.scope(),
            Self::Lost { .. } | Self::Violation { .. } | Self::IdleTimeout { .. } => Some(Scope::Connection),
            _ => None,
        }
    }

    /// The hub's error condition, e.g. `amqp:not-found`.
    pub fn condition(&self) -> Option<&str> {
        match self {
            Self::Closed { condition, .. } | Self::RequestRefused { condition, .. } if !condition.is_empty() => {
                Some(condition)
            }
            Self::StillUnauthorized { cause } => cause.condition(),
            _ => None,
        }
    }

    /// The hub's own words.
    pub fn description(&self) -> Option<&str> {
        match self {
            Self::Closed { description, .. }
            | Self::TokenRefused { description, .. }
            | Self::RequestRefused { description, .. } => Some(description),
            Self::StillUnauthorized { cause } => cause.description(),
            _ => None,
        }
    }

    /// The id under which Azure support finds what happened.
    pub fn tracking_id(&self) -> Option<&str> {
        self.description().and_then(condition::tracking_id)
    }

    /// Whether it is only that nothing was sent for long, which hubs answer by ending a link or connection.
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Closed { condition, description, .. } if condition::is_idle(condition, description))
    }

    /// What restores a link that ended for this.
    pub(super) fn recovery(&self) -> Recovery {
        match self {
            Self::Closed { condition, .. } if condition.is_empty() => Recovery::ReattachLink,
            Self::Closed { condition, description, .. } => condition::recovery(condition, Some(description)),
            error if error.is_retryable() => Recovery::ReattachLink,
            _ => Recovery::GiveUp,
        }
    }

    /// The least time before it is tried again.
    pub(super) fn minimum_wait(&self) -> Duration {
        self.condition().map_or(Duration::ZERO, condition::minimum_wait)
    }

    pub(super) fn timed_out(step: Step, after: Duration) -> Self {
        Self::TimedOut { step, after }
    }

    pub(super) fn closed(scope: Scope, error: Option<PeerError>) -> Self {
        let (condition, description) = words(error);
        Self::Closed { scope, condition, description }
    }

    /// The error that ends everything on a connection. `failure` is what the stream said, if it was the stream.
    pub(super) fn of_cause(cause: CloseCause, failure: Option<&io::Error>) -> Self {
        match cause {
            CloseCause::Peer(error) => Self::closed(Scope::Connection, error),
            CloseCause::NotAmqp(received) => Self::NotAmqp { received },
            CloseCause::NoMechanism { wanted, offered } => Self::NoMechanism { wanted, offered },
            CloseCause::SaslRefused(code) => Self::SaslRefused { code },
            CloseCause::Violation(what) => Self::Violation { what },
            CloseCause::IdleTimeout(after) => Self::IdleTimeout { after },
            CloseCause::Unopened => Self::ShutDown,
            CloseCause::OpenTooLong(error) => Self::CannotOpen { what: error.to_string() },
            CloseCause::Stream => Self::lost(failure),
        }
    }

    pub(super) fn lost(failure: Option<&io::Error>) -> Self {
        // io::Error cannot be cloned; its kind and text can.
        let source = failure.map_or_else(
            || io::ErrorKind::UnexpectedEof.into(),
            |failure| io::Error::new(failure.kind(), failure.to_string()),
        );
        Self::Lost { source: Arc::new(source) }
    }
}

/// The peer's condition and description, empty where it gave none.
pub(super) fn words(error: Option<PeerError>) -> (String, String) {
    let masked = |description: Option<String>| description.map_or_else(String::new, |words| secret::masked(&words));
    error.map_or_else(Default::default, |error| (error.condition, masked(error.description)))
}

fn is_callers(condition: &str) -> bool {
    use crate::wire::condition::{ARGUMENT_ERROR, ARGUMENT_OUT_OF_RANGE, NOT_ALLOWED, NOT_FOUND, UNAUTHORIZED_ACCESS};
    [NOT_FOUND, UNAUTHORIZED_ACCESS, NOT_ALLOWED, ARGUMENT_ERROR, ARGUMENT_OUT_OF_RANGE].contains(&condition)
}

/// What the hub said, as far as it did, and what that calls for.
fn said(condition: &str, description: &str) -> String {
    match (condition, description) {
        ("", "") => " without a word; try again, and look at it with a trace if it comes back".to_owned(),
        ("", description) => format!(": {description}"),
        (condition, "") => format!(": {condition}; {}", condition::advice(condition)),
        _ => format!(": {condition}: {description}; {}", condition::advice(condition)),
    }
}

/// The hub's no, as far as it gave words to it.
fn refusal(status: i64, condition: &str, description: &str) -> String {
    let status = if status == 0 { String::new() } else { status.to_string() };
    [status.as_str(), condition, description]
        .iter()
        .filter(|word| !word.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn request_advice(status: i64) -> &'static str {
    match status {
        400 | 404 => "check the event hub's name and the partition's id",
        status => status_advice(status),
    }
}

fn mechanism_advice(wanted: &str) -> &'static str {
    match wanted {
        "PLAIN" => "let tokens authorize, as an Event Hubs namespace has it",
        _ => "check that it is an Event Hubs endpoint",
    }
}

fn sasl_advice(code: u8) -> &'static str {
    match code {
        1 => "with SASL PLAIN, check the rule's name and its key; else check that it is an Event Hubs endpoint",
        4 => "try again",
        _ => "check that it is an Event Hubs endpoint",
    }
}

pub(crate) fn status_advice(status: i64) -> &'static str {
    match status {
        401 | 403 => "check the key's name, the key, its rights (Send or Listen), and this machine's clock",
        404 => "check the event hub's name",
        400..=499 => "check the connection string",
        _ => "try again",
    }
}

/// Why a batch was not accepted. The batch comes back, encoded as it was: sending it again costs no encoding.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The hub looked at it and refused it. None of its events is stored.
    #[error("the hub rejected the batch{}", said(.condition, .description))]
    Rejected {
        /// What was refused.
        batch: Batch,
        /// The hub's error condition; empty when it gave none.
        condition: String,
        /// The hub's own words, with its TrackingId; empty when it gave none.
        description: String,
    },
    /// It never left, or came back untouched: sending it again cannot duplicate.
    #[error("the batch was not sent: {cause}")]
    NotSent {
        /// What was not sent.
        batch: Batch,
        /// Why.
        cause: Error,
    },
    /// It left, whole or in part, or was about to, and no outcome came: it may be stored or not. Sending it again may
    /// duplicate.
    #[error("the batch's outcome is unknown: {cause}")]
    Unknown {
        /// What may have been stored.
        batch: Batch,
        /// Why no outcome came.
        cause: Error,
    },
}

impl SendError {
    /// The batch, encoded as it was.
    pub fn into_batch(self) -> Batch {
        match self {
            Self::Rejected { batch, .. } | Self::NotSent { batch, .. } | Self::Unknown { batch, .. } => batch,
        }
    }

    /// The batch.
    pub fn batch(&self) -> &Batch {
        match self {
            Self::Rejected { batch, .. } | Self::NotSent { batch, .. } | Self::Unknown { batch, .. } => batch,
        }
    }

    /// Whether sending the batch again may work without anybody changing anything. For [`Unknown`](Self::Unknown) it
    /// may also duplicate.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Rejected { condition, description, .. } => {
                condition::recovery(condition, Some(description)) != Recovery::GiveUp
            }
            Self::NotSent { cause, .. } | Self::Unknown { cause, .. } => cause.is_retryable(),
        }
    }

    /// The id under which Azure support finds what happened.
    pub fn tracking_id(&self) -> Option<&str> {
        match self {
            Self::Rejected { description, .. } => condition::tracking_id(description),
            Self::NotSent { cause, .. } | Self::Unknown { cause, .. } => cause.tracking_id(),
        }
    }
}
