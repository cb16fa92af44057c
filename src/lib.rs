//! hubwire: a raw AMQP 1.0 publisher for Azure Event Hubs.

pub mod wire;
