//! hubwire: a raw AMQP 1.0 publisher for Azure Event Hubs.

mod engine;
pub mod wire;
