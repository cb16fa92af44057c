//! What is shown at a time, and where it comes from.

use std::time::SystemTime;

use bytes::Bytes;

use crate::wire::dissect::Dissection;

/// A frame, a protocol header, a message, or bytes that are none of them.
#[derive(Debug)]
pub(super) struct Unit {
    /// Where it begins, counted from the start of its stream; of a message that came in several transfers, 0.
    pub(super) at: u64,
    pub(super) bytes: Bytes,
    pub(super) dissection: Dissection,
}

impl Unit {
    /// Of each byte, whether it is a secret's.
    pub(super) fn hidden(&self) -> Vec<bool> {
        let mut hidden = vec![false; self.bytes.len()];
        for secret in &self.dissection.secrets {
            hidden[secret.clone()].fill(true);
        }
        hidden
    }

    pub(super) fn new(at: u64, bytes: Bytes, dissection: Dissection) -> Self {
        Self { at, bytes, dissection }
    }
}

/// The connection and direction that a unit was found in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// Counted from 1. `None` for bytes of which no more is known.
    pub(super) connection: Option<u64>,
    pub(super) from: Option<Side>,
    /// The address of client and server, where that is known.
    pub(super) peers: Option<[String; 2]>,
    pub(super) time: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// When the last byte of a unit came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    At(SystemTime),
    /// Since the recording began.
    MicrosSinceStart(u64),
}
