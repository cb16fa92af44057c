//! A raw AMQP 1.0 publisher for Azure Event Hubs: connection string -> token -> batch -> outcome.
//!
//! ```
//! use std::time::{Duration, UNIX_EPOCH};
//! use hubwire::wire::sas;
//! use hubwire::{Batch, ConnectionString, TryAdd};
//!
//! // A connection string, as the portal gives it.
//! let connection_string = ConnectionString::parse(
//!     "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=a2V5;EntityPath=telemetry",
//! )?;
//!
//! // What is signed for its hub, and the token. `Connection` does this by itself, and renews it in time.
//! let audience = connection_string.audience("telemetry");
//! assert_eq!(audience, "sb://ns.servicebus.windows.net/telemetry");
//! let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
//! let token = sas::sign(&audience, "send", "a2V5", now, Duration::from_secs(3_600));
//! assert_eq!(token.expiry_unix_secs(), Some(1_700_003_600));
//!
//! // Events, packed into one message whose exact size is known at every step.
//! let mut batch = Batch::new(1_048_576);
//! assert_eq!(batch.try_add("first event"), TryAdd::Added);
//! assert_eq!(batch.encoded_len(), 21);
//! assert_eq!(batch.encoded(), b"\x00\x53\x75\xa0\x10\x00\x53\x75\xa0\x0bfirst event");
//! # Ok::<(), hubwire::wire::connection_string::ParseError>(())
//! ```
//!
//! [`Connection::open`] leads to a namespace, [`Connection::sender`] to one of its event hubs, and [`Sender::send`] tells
//! what became of a batch: `Ok` is stored by the hub; [`SendError`] is rejected, not sent, or unknown, and gives the
//! batch back. What is lost on the way is restored ([`Options::retry`], [`Options::on_event`]).
//! [`Connection::receiver`] reads a partition, and [`Connection::event_hub_properties`] tells which there are.
//!
//! Everything in [`wire`] is pure: no socket, no clock, no task. With the feature `emulator` there is a namespace to
//! publish to in this process.

pub use client::{
    Accepted, Authorization, Connection, ConnectionEvent, Counters, DEFAULT_CONSUMER_GROUP, Error, Fault, Handshake,
    IdleLinks, KeySpread, NameLookup, Options, PublishError, Publisher, PublisherOptions, Receipt, Receiver,
    ReceiverOptions, Retry, Roots, Scope, SendError, Sender, Step, Ticket, TokenError, TokenFuture, TokenSource,
    Transport, Undelivered,
};
pub use wire::batch::{Batch, TryAdd};
pub use wire::connection_string::ConnectionString;
pub use wire::event::Event;
pub use wire::management::{EventHubProperties, PartitionProperties};
pub use wire::position::Position;
pub use wire::received::{LastEnqueued, ReceivedEvent};
pub use wire::token::Token;

/// The TLS library, in the version that [`Options::rustls_config`] takes.
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;

#[cfg(feature = "algorithm")]
pub mod algorithm;
#[cfg(feature = "bench")]
pub mod bench;
pub mod blocking;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod client;
#[cfg_attr(not(feature = "emulator"), allow(dead_code, reason = "the emulator's part"))]
mod clock;
#[cfg(feature = "algorithm")]
mod document;
#[cfg(feature = "emulator")]
pub mod emulator;
#[cfg_attr(not(feature = "emulator"), allow(dead_code, unused_imports, reason = "the server's role is the emulator's"))]
mod engine;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(feature = "bench", feature = "emulator"))]
mod memory;
mod page;
mod pump;
#[cfg_attr(not(feature = "emulator"), allow(dead_code, reason = "the emulator's part"))]
mod spares;
#[cfg(feature = "trace")]
pub mod trace;
#[cfg(feature = "websocket")]
#[cfg_attr(not(feature = "emulator"), allow(dead_code, reason = "the server's end is the emulator's"))]
mod websocket;
pub mod wire;
#[cfg(any(feature = "algorithm", feature = "trace"))]
#[cfg_attr(not(all(feature = "algorithm", feature = "trace")), allow(dead_code, reason = "each needs a part of it"))]
mod words;

/// The README's program, run as a test.
#[cfg(all(doctest, feature = "emulator"))]
#[doc = include_str!("../README.md")]
struct Readme;
