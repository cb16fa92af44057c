//! Text and bytes: everything that is neither a socket, nor a clock, nor a task.

pub(crate) mod answer;
pub mod batch;
pub mod condition;
pub mod connection_string;
pub(crate) mod descriptors;
#[cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports, reason = "the command's part"))]
pub(crate) mod dissect;
pub mod event;
pub(crate) mod frame;
pub mod management;
pub mod partition;
pub mod position;
pub(crate) mod put_token;
pub mod received;
pub mod sas;
pub mod secret;
pub(crate) mod shape;
pub mod token;
pub mod value;
