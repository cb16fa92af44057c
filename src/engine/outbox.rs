//! What waits to be written: control frames in one buffer, payloads as slices of their batches.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use serde_amqp::serde::Serialize;

use crate::wire::frame::{self, EncodedTransfer, FrameTooLarge, TransferHeader};

/// The bytes that wait for the stream, in order.
///
/// A payload is never copied here: it is queued as a slice of its message, behind its frame's header. Nothing is allocated
/// for either.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Control frames behind all chunks.
    tail: BytesMut,
    /// Bytes in `chunks` and `tail`.
    waiting: usize,
    /// Bytes that the stream took since the beginning.
    written: u64,
}

/// A part of what waits.
#[derive(Debug)]
enum Chunk {
    /// Control frames, or a payload.
    Bytes(Bytes),
    /// A transfer's header, of which the stream has taken so many bytes.
    Header(EncodedTransfer, u8),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Header(header, taken) => &header[usize::from(*taken)..],
        }
    }

    fn advance(&mut self, len: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(len),
            // A header is short.
            Self::Header(_, taken) => *taken += len as u8,
        }
    }
}

impl Outbox {
    /// Bytes that wait for the stream.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Where in the whole stream the next queued byte will stand.
    pub(super) fn position(&self) -> u64 {
        self.written + self.waiting as u64
    }

    /// How many bytes the stream has taken.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Fills `slices` with what waits, in order, and returns how many were filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let waiting = self.chunks.iter().map(Chunk::bytes).chain([&self.tail[..]]);
        let mut filled = 0;
        for (slot, bytes) in slices.iter_mut().zip(waiting.filter(|bytes| !bytes.is_empty())) {
            *slot = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Takes note that the stream took the first `len` bytes.
    pub(super) fn advance(&mut self, mut len: usize) {
        len = len.min(self.waiting);
        self.written += len as u64;
        self.waiting -= len;
        while let Some(chunk) = self.chunks.front_mut() {
            let chunk_len = chunk.bytes().len();
            if len < chunk_len {
                return chunk.advance(len);
            }
            len -= chunk_len;
            self.chunks.pop_front();
        }
        self.tail.advance(len);
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.tail.clear();
        self.waiting = 0;
    }

    pub(super) fn put_slice(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.waiting += bytes.len();
    }

    pub(super) fn put_amqp(
        &mut self,
        channel: u16,
        performative: &impl Serialize,
        limit: usize,
    ) -> Result<(), FrameTooLarge> {
        let before = self.tail.len();
        let result = frame::put_amqp(&mut self.tail, channel, performative, limit);
        self.waiting += self.tail.len() - before;
        result
    }

    pub(super) fn put_sasl(&mut self, performative: &impl Serialize) -> Result<(), FrameTooLarge> {
        let before = self.tail.len();
        let result = frame::put_sasl(&mut self.tail, performative);
        self.waiting += self.tail.len() - before;
        result
    }

    /// Queues one transfer frame with as much of `payload` as fits; returns how much that was.
    pub(super) fn put_transfer(&mut self, header: &TransferHeader, payload: &Bytes, max_frame_size: usize) -> usize {
        let (header, len) = header.encode(payload.len(), max_frame_size);
        self.waiting += header.len() + len;
        self.end_tail();
        self.chunks.push_back(Chunk::Header(header, 0));
        if len > 0 {
            self.chunks.push_back(Chunk::Bytes(payload.slice(..len)));
        }
        len
    }

    /// Makes a chunk of the control frames that wait, for something to come behind them.
    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(Chunk::Bytes(self.tail.split().freeze()));
        }
    }

    /// Moves everything that waits in `other` behind what waits here.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.waiting += other.waiting;
        self.end_tail();
        self.chunks.append(&mut other.chunks);
        self.tail = std::mem::take(&mut other.tail);
        other.waiting = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = outbox.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn what_is_written_leaves_in_order_whatever_the_stream_takes() {
        let header = TransferHeader { channel: 0, handle: 0, first: None, settled: false };
        let payload = Bytes::from_static(b"payload");
        for step in 1..60 {
            let mut outbox = Outbox::default();
            outbox.put_slice(b"control");
            outbox.put_transfer(&header, &payload, 512);
            outbox.put_slice(b"more");
            let whole = waiting(&outbox);
            assert_eq!(outbox.len(), whole.len());
            let mut seen = Vec::new();
            while !outbox.is_empty() {
                let now = waiting(&outbox);
                let take = step.min(now.len());
                seen.extend_from_slice(&now[..take]);
                outbox.advance(take);
            }
            assert_eq!(seen, whole, "in steps of {step}");
            assert_eq!(outbox.written(), whole.len() as u64);
        }
    }

    #[test]
    fn a_payload_is_queued_without_a_copy() {
        let payload = Bytes::from(vec![7; 4096]);
        let mut outbox = Outbox::default();
        let header = TransferHeader { channel: 0, handle: 0, first: None, settled: false };
        let taken = outbox.put_transfer(&header, &payload, 1 << 20);
        assert_eq!(taken, payload.len());
        assert!(outbox.chunks.iter().any(|chunk| chunk.bytes().as_ptr() == payload.as_ptr()));
    }
}
