//! hubwire: a raw AMQP 1.0 publisher for Azure Event Hubs.

mod clock;
#[cfg(feature = "emulator")]
pub mod emulator;
mod engine;
mod pump;
pub mod wire;
