//! Text and bytes: everything that is neither a socket, nor a clock, nor a task.

pub mod batch;
pub mod condition;
pub mod connection_string;
pub mod event;
pub(crate) mod frame;
pub mod partition;
pub(crate) mod put_token;
pub mod sas;
pub mod secret;
pub(crate) mod shape;
pub mod value;
