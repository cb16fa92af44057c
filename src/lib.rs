//! hubwire: a raw AMQP 1.0 publisher for Azure Event Hubs.

mod client;
#[cfg_attr(not(feature = "emulator"), allow(dead_code, reason = "the emulator's part"))]
mod clock;
#[cfg(feature = "emulator")]
pub mod emulator;
#[cfg_attr(not(feature = "emulator"), allow(dead_code, unused_imports, reason = "the server's role is the emulator's"))]
mod engine;
mod pump;
pub mod wire;

pub use client::{Accepted, Connection, Error, Fault, Options, Scope, SendError, Sender, Step};
pub use wire::batch::{Batch, TryAdd};
pub use wire::connection_string::ConnectionString;
pub use wire::event::Event;
