//! What happens at an emulator, as values: for logs, and for tests that ask what a client did.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{CloseCause, PeerOpen};
use crate::wire::frame::PeerError;

use super::sentence::quoted;

/// Something that happened, told to [`Builder::on_activity`](super::Builder::on_activity). [`Display`](fmt::Display) is
/// one line of text.
///
/// `connection` counts from 1: it is the same in everything that happens on one connection. Texts of a peer are cut to
/// 100 characters, without control characters. Tokens and keys are in none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// A peer has opened a connection.
    #[non_exhaustive]
    ConnectionOpened {
        /// Which connection.
        connection: u64,
        /// How it came in.
        transport: Transport,
        /// Where from, if it came through a socket.
        peer_addr: Option<SocketAddr>,
        /// What the peer calls itself.
        container_id: String,
        /// The peer's software: `product` of its open, else the beginning of its `user-agent`.
        product: Option<String>,
        /// The version of that.
        version: Option<String>,
    },
    /// A peer never got as far as AMQP: TLS or WebSocket failed, or there were too many connections.
    #[non_exhaustive]
    ConnectionRefused {
        /// How it came in.
        transport: Transport,
        /// Where from.
        peer_addr: Option<SocketAddr>,
        /// Why.
        reason: String,
    },
    /// A token was put at `$cbs`.
    #[non_exhaustive]
    TokenPut {
        /// Which connection.
        connection: u64,
        /// What it was put for, as the peer wrote it.
        audience: String,
        /// The shared access rule that it says it was signed with; `None` if it is no token.
        rule: Option<String>,
        /// The answer, as in HTTP: 202 is well.
        status_code: i32,
        /// The answer in words.
        description: String,
    },
    /// A client showed a key in SASL PLAIN, in place of tokens.
    #[non_exhaustive]
    LoggedIn {
        /// Which connection.
        connection: u64,
        /// The shared access rule that it named.
        rule: String,
        /// Whether the key is that rule's. The connection is refused otherwise.
        is_taken: bool,
    },
    /// A link was accepted.
    #[non_exhaustive]
    LinkAttached {
        /// Which connection.
        connection: u64,
        /// What for.
        role: LinkRole,
        /// The node: `telemetry/Partitions/0`.
        address: String,
    },
    /// A link was refused.
    #[non_exhaustive]
    LinkRefused {
        /// Which connection.
        connection: u64,
        /// What it was wanted for.
        role: LinkRole,
        /// The node that was wanted.
        address: String,
        /// The error's name, e.g. `amqp:not-found`.
        condition: String,
        /// The error in words.
        description: String,
    },
    /// A link has ended before its connection did.
    #[non_exhaustive]
    LinkDetached {
        /// Which connection.
        connection: u64,
        /// What it was for.
        role: LinkRole,
        /// The node.
        address: String,
        /// Who ended it, and why.
        reason: String,
    },
    /// A message was stored: a batch, or an event sent alone.
    #[non_exhaustive]
    BatchStored {
        /// Which connection.
        connection: u64,
        /// The event hub.
        event_hub: String,
        /// The partition.
        partition_id: u32,
        /// Its events.
        events: u64,
        /// Bytes of the message.
        bytes: u64,
        /// The sequence number of its first event; the others follow without gaps.
        first_sequence_number: i64,
    },
    /// A message was rejected, whole.
    #[non_exhaustive]
    BatchRejected {
        /// Which connection.
        connection: u64,
        /// The event hub.
        event_hub: String,
        /// The partition, if the link was to one.
        partition_id: Option<u32>,
        /// Bytes of the message.
        bytes: u64,
        /// The error's name, e.g. `amqp:decode-error`.
        condition: String,
        /// The error in words.
        description: String,
    },
    /// A connection has ended, opened or not.
    #[non_exhaustive]
    ConnectionClosed {
        /// Which connection.
        connection: u64,
        /// Who ended it, and why.
        reason: String,
        /// How long it was there.
        after: Duration,
        /// What it has done.
        counts: ConnectionCounts,
    },
}

/// What a connection has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionCounts {
    /// Messages stored.
    pub batches: u64,
    /// Events stored.
    pub events: u64,
    /// Messages rejected.
    pub rejected: u64,
    /// Events handed to its receivers.
    pub delivered: u64,
}

/// How a connection came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// A stream that was handed in: [`Emulator::connect`](super::Emulator::connect) and
    /// [`Emulator::serve`](super::Emulator::serve).
    #[default]
    Stream,
    /// Plain TCP.
    Tcp,
    /// TLS.
    Tls,
    /// WebSocket.
    WebSocket,
    /// WebSocket over TLS.
    WebSocketTls,
}

impl Transport {
    /// Whether nobody on the way can read it.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::WebSocketTls)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "a stream in this process",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::WebSocket => "WebSocket",
            Self::WebSocketTls => "WebSocket over TLS",
        })
    }
}

/// What a link is for, seen from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkRole {
    /// Publishes events.
    Publisher,
    /// Receives events.
    Receiver,
    /// Asks `$cbs` or `$management`.
    Requests,
    /// Takes their answers.
    Answers,
}

impl fmt::Display for LinkRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publisher => "publisher to",
            Self::Receiver => "receiver from",
            Self::Requests => "requests to",
            Self::Answers => "answers from",
        })
    }
}

impl Activity {
    pub(super) fn opened(connection: u64, origin: Origin, peer: Option<&PeerOpen>) -> Self {
        let peer = peer.cloned().unwrap_or_default();
        let agent = peer.user_agent.as_deref().and_then(|agent| agent.split([' ', '/']).next());
        Self::ConnectionOpened {
            connection,
            transport: origin.transport,
            peer_addr: origin.peer_addr,
            container_id: quoted(&peer.container_id),
            product: peer.product.as_deref().or(agent).map(quoted),
            version: peer.version.as_deref().map(quoted),
        }
    }

    pub(super) fn refused(connection: u64, role: LinkRole, path: &str, error: &PeerError) -> Self {
        Self::LinkRefused {
            connection,
            role,
            address: quoted(path),
            condition: error.condition.clone(),
            description: description(error).to_owned(),
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionRefused { transport, peer_addr, reason } => {
                write!(f, "connection refused{} over {transport}: {reason}", From(*peer_addr))
            }
            Self::ConnectionOpened { connection, transport, peer_addr, container_id, product, version } => {
                write!(f, "connection {connection} opened{} over {transport} by ", From(*peer_addr))?;
                f.write_str(product.as_deref().unwrap_or("a peer without a product name"))?;
                version.iter().try_for_each(|version| write!(f, " {version}"))?;
                write!(f, " (container {container_id})")
            }
            Self::TokenPut { connection, audience, rule, status_code, description } => {
                let rule = rule.as_deref().unwrap_or("none that can be read");
                write!(f, "connection {connection} token for {audience} by rule {rule}: {status_code} {description}")
            }
            Self::LoggedIn { connection, rule, is_taken } => {
                let verdict = if *is_taken { "taken" } else { "refused" };
                write!(f, "connection {connection} SASL PLAIN: the key of rule {rule} is {verdict}")
            }
            Self::LinkAttached { connection, role, address } => {
                write!(f, "connection {connection} link attached: {role} {address}")
            }
            Self::LinkRefused { connection, role, address, condition, description } => {
                write!(f, "connection {connection} link refused: {role} {address}: {condition}: {description}")
            }
            Self::LinkDetached { connection, role, address, reason } => {
                write!(f, "connection {connection} link detached: {role} {address}: {reason}")
            }
            Self::BatchStored { connection, event_hub, partition_id, events, bytes, first_sequence_number } => {
                write!(f, "connection {connection} batch stored: {event_hub} partition {partition_id}, ")?;
                write!(f, "{}, {bytes} bytes, from sequence number {first_sequence_number}", Count(*events, "event"))
            }
            Self::BatchRejected { connection, event_hub, partition_id, bytes, condition, description } => {
                write!(f, "connection {connection} batch rejected: {event_hub}")?;
                partition_id.iter().try_for_each(|id| write!(f, " partition {id}"))?;
                write!(f, ", {bytes} bytes: {condition}: {description}")
            }
            Self::ConnectionClosed { connection, reason, after, counts } => {
                let after = after.as_secs_f64();
                write!(f, "connection {connection} closed after {after:.3} s: {reason}; {counts}")
            }
        }
    }
}

impl fmt::Display for ConnectionCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, messages) = (Count(self.events, "event"), Count(self.batches, "message"));
        let delivered = Count(self.delivered, "event");
        write!(f, "{events} in {messages} stored, {} rejected, {delivered} delivered", self.rejected)
    }
}

/// A number and what it counts.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, unit) = *self;
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

struct From(Option<SocketAddr>);

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|addr| write!(f, " from {addr}"))
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Origin {
    pub(super) transport: Transport,
    pub(super) peer_addr: Option<SocketAddr>,
}

/// Who listens to what happens.
#[derive(Clone)]
pub(super) struct Listener(pub(super) Arc<dyn Fn(&Activity) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// An error's words, without the marks by which the service finds them again.
pub(super) fn description(error: &PeerError) -> &str {
    let text = error.description.as_deref().unwrap_or_default();
    text.split_once(" TrackingId:").map_or(text, |(words, _)| words)
}

/// An error from a peer, or that it gave none.
pub(super) fn by_peer(error: Option<&PeerError>) -> String {
    match error {
        None => "by the peer".to_owned(),
        Some(error) => format!("by the peer: {}: {}", quoted(&error.condition), quoted(description(error))),
    }
}

/// An error of ours.
pub(super) fn by_us(error: &PeerError) -> String {
    format!("by the emulator: {}: {}", error.condition, description(error))
}

/// Why the engine says that a connection has ended.
pub(super) fn close_reason(cause: &CloseCause) -> String {
    match cause {
        CloseCause::Peer(error) => by_peer(error.as_ref()),
        CloseCause::NotAmqp(header) => format!(
            "the peer's first bytes are not AMQP 1.0 with SASL: \"{}\"; look for a client that speaks TLS to a plain \
             port, or another protocol",
            header.escape_ascii()
        ),
        CloseCause::SaslRefused(_) => {
            "SASL was refused: the mechanism is not on offer, or the key does not hold".to_owned()
        }
        CloseCause::Violation(text) => format!("the peer broke the protocol: {}", quoted(text)),
        CloseCause::IdleTimeout(limit) => format!("the peer was silent for {:.3} s", limit.as_secs_f64()),
        CloseCause::Stream => "the stream ended without a close".to_owned(),
        CloseCause::Unopened | CloseCause::NoMechanism { .. } | CloseCause::OpenTooLong(_) => {
            "before it was open".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_one_line_that_says_what_happened() {
        let peer = PeerOpen {
            container_id: "c\n1".into(),
            product: None,
            version: None,
            user_agent: Some("azsdk-net-EventHubs/5.12 (.NET)".into()),
        };
        let origin = Origin { transport: Transport::WebSocketTls, peer_addr: Some(([127, 0, 0, 1], 7).into()) };
        let error = PeerError::new("amqp:not-found", "It is not there. TrackingId:1_G0, Timestamp:now");
        for (activity, line) in [
            (
                Activity::opened(1, origin, Some(&peer)),
                "connection 1 opened from 127.0.0.1:7 over WebSocket over TLS by azsdk-net-EventHubs (container c1)",
            ),
            (
                Activity::opened(
                    2,
                    Origin::default(),
                    Some(&PeerOpen { product: Some("p".into()), version: Some("2".into()), ..peer }),
                ),
                "connection 2 opened over a stream in this process by p 2 (container c1)",
            ),
            (
                Activity::refused(1, LinkRole::Receiver, "hub/x\r\n", &error),
                "connection 1 link refused: receiver from hub/x: amqp:not-found: It is not there.",
            ),
            (
                Activity::BatchRejected {
                    connection: 1,
                    event_hub: "hub".into(),
                    partition_id: Some(3),
                    bytes: 7,
                    condition: "amqp:decode-error".into(),
                    description: "No.".into(),
                },
                "connection 1 batch rejected: hub partition 3, 7 bytes: amqp:decode-error: No.",
            ),
            (
                Activity::ConnectionRefused {
                    transport: Transport::Tls,
                    peer_addr: None,
                    reason: close_reason(&CloseCause::NotAmqp(*b"GET / HT")),
                },
                "connection refused over TLS: the peer's first bytes are not AMQP 1.0 with SASL: \"GET / HT\"; look for \
                 a client that speaks TLS to a plain port, or another protocol",
            ),
        ] {
            assert_eq!(activity.to_string(), line);
        }
        assert_eq!(by_peer(Some(&error)), "by the peer: amqp:not-found: It is not there.");
    }
}
