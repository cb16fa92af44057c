//! AMQP 1.0 as a state machine: frames and `now` in; frames, events and the next wake-up time out.
//!
//! Nothing here waits, reads a clock or knows a socket. Both roles are played: the client stands on it, and so does the
//! emulator. See `docs/architecture.md`.

mod connection;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod ledger;
mod link;
mod outbox;
mod serial;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use connection::{CloseCause, Config, Connection, Event, Login, PeerOpen, Role, Sasl, Step};
pub(crate) use link::{Accept, Attach, Delivery, LinkRole, Outgoing, Payload, SELECTOR_FILTER, SettleMode};
pub(crate) use session::Outcome;

/// Our name for a session: the channel we send it on, and a serial number that is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId {
    pub(crate) channel: u16,
    serial: u32,
}

/// Our name for a link: its session, our handle, and a serial number that is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId {
    pub(crate) session: SessionId,
    pub(crate) handle: u32,
    serial: u32,
}

/// The caller's name for a delivery that it handed to the engine.
pub(crate) type DeliveryKey = u64;
