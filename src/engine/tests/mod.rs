//! Frame scripts: what the peer says, and what the engine answers. No I/O, no clock.

mod asking;
mod credit;
mod dispositions;
mod ending;
mod handshake;
mod hostile;
mod idle;
mod layout;
mod memory;
mod receiving;
mod split;
mod support;
mod wrap;
