//! The half that awaits: connect, authorize, send, and tell what became of it.

mod cbs;
mod connection;
mod deadline;
mod driver;
mod error;
mod options;
mod sender;
mod transport;

pub use connection::Connection;
pub use error::{Error, Fault, Scope, SendError, Step};
pub use options::Options;
pub use sender::{Accepted, Sender};
