//! Transfers -> the messages that they are parts of.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::frame::Transfer;

/// Bytes of unfinished messages that are held for one direction of a connection: more than any hub takes as one.
const MAX_HELD_LEN: usize = 64 << 20;
/// Links with an unfinished message.
const MAX_OPEN: usize = 1_024;

/// The unfinished messages of one direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    open: HashMap<(u16, u32), Open>,
    held_len: usize,
}

#[derive(Debug)]
struct Open {
    delivery_id: Option<u32>,
    message_format: Option<u32>,
    payload: BytesMut,
    transfers: usize,
    /// Too much for us: counted, not held.
    is_dropped: bool,
    len: usize,
}

/// What a transfer is of its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// All of it.
    Whole { message_format: Option<u32> },
    /// A part; so many bytes have come of it.
    Part { len: usize },
    /// The last of several parts.
    Joined { message: Bytes, message_format: Option<u32>, transfers: usize },
    /// The last of several parts, the sum of which was too much to be held.
    TooLarge { len: usize, transfers: usize },
    /// A part of what began before the input does.
    Headless,
    /// Its sender took it back.
    Aborted,
}

impl Deliveries {
    /// Adds a transfer, whose part of the message is `payload`.
    pub(crate) fn add(&mut self, transfer: &Transfer, payload: &[u8]) -> Delivery {
        let link = (transfer.channel, transfer.handle);
        let is_other = |open: &Open| transfer.delivery_id.is_some() && transfer.delivery_id != open.delivery_id;
        if transfer.is_aborted || self.open.get(&link).is_some_and(is_other) {
            self.forget(link);
        }
        if transfer.is_aborted {
            return Delivery::Aborted;
        }
        match self.open.get(&link) {
            None if transfer.delivery_id.is_none() => return Delivery::Headless,
            None if !transfer.has_more => return Delivery::Whole { message_format: transfer.message_format },
            None if self.open.len() >= MAX_OPEN => return Delivery::Headless,
            _ => {}
        }
        let len = self.append(link, transfer, payload);
        if transfer.has_more { Delivery::Part { len } } else { self.finish(link) }
    }

    fn append(&mut self, link: (u16, u32), transfer: &Transfer, payload: &[u8]) -> usize {
        let open = self.open.entry(link).or_insert_with(|| Open {
            delivery_id: transfer.delivery_id,
            message_format: transfer.message_format,
            payload: BytesMut::new(),
            transfers: 0,
            is_dropped: false,
            len: 0,
        });
        open.transfers += 1;
        open.len += payload.len();
        if self.held_len + payload.len() > MAX_HELD_LEN {
            self.held_len -= open.payload.len();
            (open.is_dropped, open.payload) = (true, BytesMut::new());
        }
        if !open.is_dropped {
            open.payload.extend_from_slice(payload);
            self.held_len += payload.len();
        }
        open.len
    }

    fn finish(&mut self, link: (u16, u32)) -> Delivery {
        match self.forget(link) {
            None => Delivery::Headless,
            Some(Open { is_dropped: true, len, transfers, .. }) => Delivery::TooLarge { len, transfers },
            Some(Open { payload, message_format, transfers, .. }) => {
                Delivery::Joined { message: payload.freeze(), message_format, transfers }
            }
        }
    }

    fn forget(&mut self, link: (u16, u32)) -> Option<Open> {
        let open = self.open.remove(&link)?;
        self.held_len -= open.payload.len();
        Some(open)
    }
}
