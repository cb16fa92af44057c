//! What a client is measured against: a peer that costs as little as a peer can.

pub mod sink;
