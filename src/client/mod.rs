//! The half that awaits: connect, authorize, send, and tell what became of it.

mod cbs;
mod connection;
mod deadline;
mod driver;
mod error;
mod management;
mod options;
mod receiver;
mod requests;
mod sender;
mod transport;

pub use connection::Connection;
pub use error::{Error, Fault, Scope, SendError, Step};
pub use options::Options;
pub use receiver::{DEFAULT_CONSUMER_GROUP, Receiver, ReceiverOptions};
pub use sender::{Accepted, Sender};
