//! Buffers that bytes are read into, and that are used again once nobody holds a slice of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};

use crate::page;

/// Bytes that a buffer is good for, or more: a larger one is made for a frame that would not fit.
pub(crate) const BUFFER_LEN: usize = 256 * 1024;
/// Of its memory, in bytes: wherever in a page the first one is to lie, four frames of the usual 64 KiB have room behind it.
const CAPACITY: usize = BUFFER_LEN + page::LEN;

/// Buffers that wait for their next use. Memory that was touched before costs no page fault.
#[derive(Debug)]
pub(crate) struct Spares {
    kept: Mutex<Kept>,
    max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<BytesMut>,
    /// Those that were made beforehand, wherever they are now.
    touched: usize,
}

impl Spares {
    /// Keeps up to `max` buffers that nobody uses, beside as many as are [made beforehand](Self::add_touched), and leaves the
    /// rest to the allocator.
    pub(crate) fn new(max: usize) -> Self {
        Self { kept: Mutex::default(), max }
    }

    /// Makes a buffer beforehand, all of whose memory is touched now.
    pub(crate) fn add_touched(&self) {
        let buffer = touched();
        let mut kept = self.kept();
        kept.touched += 1;
        kept.buffers.push(buffer);
    }

    /// Gives up what waits beyond the `max` buffers and `room_len` bytes: it would not be used before others come back.
    pub(crate) fn fit(&self, room_len: u64) {
        let room = usize::try_from(room_len / BUFFER_LEN as u64).unwrap_or(usize::MAX);
        let mut kept = self.kept();
        let max = self.max + kept.touched.min(room);
        kept.buffers.truncate(max);
    }

    /// An empty buffer with room for `len` bytes or more.
    pub(crate) fn take(&self, len: usize) -> BytesMut {
        let kept = if len <= CAPACITY { self.kept().buffers.pop() } else { None };
        kept.unwrap_or_else(|| BytesMut::with_capacity(len.max(CAPACITY)))
    }

    /// The same for bytes that begin at `place` of their stream: they lie where they are [read fastest](page).
    pub(crate) fn take_for(&self, len: usize, place: usize) -> BytesMut {
        let mut buffer = self.take(len + page::LEN);
        let unused = page::offset(buffer.as_ref(), place);
        buffer.resize(unused, 0);
        buffer.advance(unused);
        buffer
    }

    /// Takes back what was read, if this is the last slice of its buffer.
    pub(crate) fn give_back(&self, bytes: Bytes) {
        let Ok(mut buffer) = bytes.try_into_mut() else { return };
        buffer.clear();
        if buffer.try_reclaim(CAPACITY) {
            let mut kept = self.kept();
            if kept.buffers.len() < self.max + kept.touched {
                kept.buffers.push(buffer);
            }
        }
    }

    /// Bytes of the buffers that wait, of which each may be a little larger.
    pub(crate) fn waiting_len(&self) -> u64 {
        (self.kept().buffers.len() * BUFFER_LEN) as u64
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.kept().buffers.len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new one, all of whose memory has been written: what is only asked to be zero is not touched.
fn touched() -> BytesMut {
    let mut buffer = BytesMut::with_capacity(CAPACITY);
    buffer.resize(CAPACITY, 0);
    buffer.clear();
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_last_slice_and_all_of_it() {
        let spares = Spares::new(2);
        let mut buffer = spares.take(1);
        buffer.extend_from_slice(&[7; 1_000]);
        let memory = buffer.as_ptr();
        let (first, last) = (buffer.split_to(400).freeze(), buffer.split_to(600).freeze());
        drop(buffer);
        spares.give_back(first);
        assert_eq!(spares.len(), 0, "a slice of it is still held");
        spares.give_back(last);
        let again = spares.take(BUFFER_LEN);
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
        assert!(again.capacity() >= BUFFER_LEN);
        assert_eq!(spares.len(), 0);
    }

    #[test]
    fn what_is_read_lies_where_it_is_read_fastest_and_no_memory_is_lost_by_that() {
        let spares = Spares::new(1);
        let mut memory = Vec::new();
        for place in [0, 5, 4_096, 1_000_000] {
            let mut buffer = spares.take_for(BUFFER_LEN, place);
            memory.push(buffer.as_ptr().addr() & !(page::LEN - 1));
            assert_eq!(buffer.as_ptr().addr() % page::LEN, place % page::LEN);
            assert!(buffer.is_empty() && buffer.capacity() >= BUFFER_LEN);
            buffer.extend_from_slice(b"read");
            spares.give_back(buffer.freeze());
            assert_eq!(spares.len(), 1);
        }
        let first = memory[0];
        assert!(memory.iter().all(|address| address.abs_diff(first) <= page::LEN), "it is one buffer, again and again");
    }

    #[test]
    fn buffers_that_were_made_beforehand_are_taken_first_and_come_back() {
        let spares = Spares::new(1);
        (0..3).for_each(|_| spares.add_touched());
        assert_eq!((spares.len(), spares.waiting_len()), (3, 3 * BUFFER_LEN as u64));
        let touched: Vec<_> = spares.kept().buffers.iter().rev().map(|buffer| buffer.as_ptr()).collect();
        let mut taken: Vec<_> = (0..5).map(|_| spares.take(BUFFER_LEN)).collect();
        assert!(taken.iter().all(BytesMut::is_empty));
        assert_eq!(taken[..3].iter().map(|buffer| buffer.as_ptr()).collect::<Vec<_>>(), touched);
        taken.iter_mut().for_each(|buffer| buffer.extend_from_slice(b"read"));
        taken.into_iter().for_each(|buffer| spares.give_back(buffer.freeze()));
        assert_eq!(spares.len(), 4, "one beside those three");
    }

    #[test]
    fn what_there_is_no_room_for_is_given_up() {
        let spares = Spares::new(1);
        (0..4).for_each(|_| spares.add_touched());
        for (room_len, expected) in [(u64::MAX, 4), (3 * BUFFER_LEN as u64, 4), (2 * BUFFER_LEN as u64, 3), (0, 1)] {
            spares.fit(room_len);
            assert_eq!(spares.len(), expected, "room for {room_len} bytes");
        }
    }

    #[test]
    fn no_more_are_kept_than_agreed_and_none_that_are_small() {
        let spares = Spares::new(2);
        spares.give_back(Bytes::from_static(b"static"));
        spares.give_back(Bytes::copy_from_slice(b"small"));
        assert_eq!(spares.len(), 0);
        let read: Vec<Bytes> = (0..3).map(|_| spares.take(1)).map(BytesMut::freeze).collect();
        read.into_iter().for_each(|bytes| spares.give_back(bytes));
        assert_eq!(spares.len(), 2);
    }

    #[test]
    fn a_frame_that_would_not_fit_gets_a_buffer_of_its_own() {
        let spares = Spares::new(1);
        spares.give_back(spares.take(1).freeze());
        assert!(spares.take(CAPACITY + 1).capacity() > CAPACITY);
        assert_eq!(spares.len(), 1);
    }
}
