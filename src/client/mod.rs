//! The half that awaits: connect, authorize, send, and tell what became of it.

mod advice;
mod cbs;
mod connection;
mod credential;
mod deadline;
mod driver;
mod error;
mod management;
mod memory;
mod options;
mod publisher;
mod random;
mod receiver;
mod requests;
mod retry;
mod sender;
mod status;
mod transport;
mod ways;
mod window;

#[cfg(feature = "trace")]
pub(crate) use advice::first_bytes;
pub use connection::Connection;
#[cfg(feature = "cli")]
pub(crate) use connection::{dial, token_source};
pub use credential::{TokenError, TokenFuture, TokenSource};
pub(crate) use deadline::Deadline;
pub(crate) use driver::Slumber;
pub use error::{Error, Fault, Scope, SendError, Step};
#[cfg(feature = "trace")]
pub(crate) use error::{request_advice, status_advice};
pub use options::{IdleLinks, Options};
pub(crate) use publisher::To;
pub use publisher::{KeySpread, PublishError, Publisher, PublisherOptions, Receipt, Undelivered};
pub use receiver::{DEFAULT_CONSUMER_GROUP, Receiver, ReceiverOptions};
pub use retry::Retry;
pub use sender::{Accepted, Sender, Ticket};
pub use status::{ConnectionEvent, Counters};
#[cfg(feature = "cli")]
pub(crate) use transport::Probe;
pub use ways::{Authorization, Handshake, NameLookup, Roots, Transport};
