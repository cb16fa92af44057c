//! Buffers that bytes are read into, and that are used again once nobody holds a slice of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::{Bytes, BytesMut};

/// Bytes of a buffer, or more: a larger one is made for a frame that would not fit.
const BUFFER_LEN: usize = 256 * 1024;
/// Bytes that are held before any are touched ahead of their use: most who start an emulator never send as much.
const AHEAD_FROM_LEN: u64 = 2 << 20;
/// Buffers that are worth a thread.
const MIN_AHEAD: usize = 8;
/// Bytes that are touched ahead at most.
const AHEAD_LEN: u64 = 32 << 20;

/// Buffers that wait for their next use. Memory that was touched before costs no page fault.
#[derive(Debug)]
pub(crate) struct Spares {
    buffers: Mutex<Vec<BytesMut>>,
    max: usize,
    /// Buffers taken since some were touched ahead.
    taken: AtomicUsize,
    /// A thread touches some.
    is_touching: AtomicBool,
}

impl Spares {
    /// Keeps up to `max` buffers that nobody uses, and leaves the rest to the allocator. Beside them it makes, and keeps, as
    /// many as hold `pretouched_len` bytes: all of their memory is touched now.
    pub(crate) fn new(max: usize, pretouched_len: u64) -> Self {
        let count = usize::try_from(pretouched_len.div_ceil(BUFFER_LEN as u64)).unwrap_or(usize::MAX);
        let buffers = std::iter::repeat_with(touched).take(count).collect();
        Self {
            buffers: Mutex::new(buffers),
            max: max.saturating_add(count),
            taken: AtomicUsize::new(0),
            is_touching: AtomicBool::new(false),
        }
    }

    /// Has buffers touched by a thread of their own, if those that are taken go into `held_len` bytes that grow, `room_len` more at
    /// most: as many as are held already, up to a bound. Whoever takes them waits for no page fault.
    pub(crate) fn stay_ahead(self: &Arc<Self>, held_len: u64, room_len: u64) {
        let wanted = (held_len.min(AHEAD_LEN).min(room_len) / BUFFER_LEN as u64) as usize;
        // What is held may be small, and in memory of its own: then few are taken.
        if held_len < AHEAD_FROM_LEN || self.taken.load(Ordering::Relaxed) * 2 < wanted.max(1) {
            return;
        }
        if self.is_touching.swap(true, Ordering::Acquire) {
            return;
        }
        let missing = wanted.saturating_sub(self.buffers().len());
        if missing < MIN_AHEAD {
            return self.is_touching.store(false, Ordering::Release);
        }
        self.taken.store(0, Ordering::Relaxed);
        let spares = Arc::clone(self);
        let touch = move || {
            (0..missing).for_each(|_| spares.put(touched()));
            spares.is_touching.store(false, Ordering::Release);
        };
        if thread::Builder::new().name("touch".to_owned()).spawn(touch).is_err() {
            // Memory is touched as it is needed, then.
            self.is_touching.store(false, Ordering::Release);
        }
    }

    fn put(&self, buffer: BytesMut) {
        self.buffers().push(buffer);
    }

    /// An empty buffer with room for `len` bytes or more.
    pub(crate) fn take(&self, len: usize) -> BytesMut {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let kept = if len <= BUFFER_LEN { self.buffers().pop() } else { None };
        kept.unwrap_or_else(|| BytesMut::with_capacity(len.max(BUFFER_LEN)))
    }

    /// Takes back what was read, if this is the last slice of its buffer.
    pub(crate) fn give_back(&self, bytes: Bytes) {
        let Ok(mut buffer) = bytes.try_into_mut() else { return };
        buffer.clear();
        if buffer.try_reclaim(BUFFER_LEN) {
            let mut buffers = self.buffers();
            if buffers.len() < self.max {
                buffers.push(buffer);
            }
        }
    }

    /// Buffers that wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buffers().len()
    }

    fn buffers(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new one, all of whose memory has been written: what is only asked to be zero is not touched.
fn touched() -> BytesMut {
    let mut buffer = BytesMut::with_capacity(BUFFER_LEN);
    buffer.resize(BUFFER_LEN, 0);
    buffer.clear();
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for the thread that touches, if there is one.
    fn settle(spares: &Spares) {
        while spares.is_touching.load(Ordering::Acquire) {
            thread::yield_now();
        }
    }

    #[test]
    fn as_much_as_is_held_is_touched_ahead_and_no_more_than_there_is_room_for() {
        const MIB: u64 = 1 << 20;
        let spares = Arc::new(Spares::new(1, 0));
        let take = |count: usize| (0..count).for_each(|_| drop(spares.take(1)));
        for (taken, held_mib, room_mib, expected) in [
            // Few are taken; or little is held.
            (0, 4, 99, 0),
            (8, 1, 99, 0),
            (8, 4, 99, 16),
            // Half of them are there still.
            (7, 4, 99, 9),
            (1, 4, 99, 16),
            (16, 999, 99, 0),
            (64, 999, 99, 128),
            (128, 999, 2, 8),
            (8, 999, 0, 0),
        ] {
            take(taken);
            spares.stay_ahead(held_mib * MIB, room_mib * MIB);
            settle(&spares);
            assert_eq!(spares.len(), expected, "{taken} taken, {held_mib} MiB held, room for {room_mib}");
        }
    }

    #[test]
    fn a_buffer_comes_back_with_its_last_slice_and_all_of_it() {
        let spares = Spares::new(2, 0);
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
    fn pretouched_buffers_are_those_that_are_taken_first() {
        let spares = Spares::new(1, 2 * BUFFER_LEN as u64 + 1);
        assert_eq!((spares.len(), spares.max), (3, 4));
        let touched: Vec<_> = spares.buffers().iter().rev().map(|buffer| buffer.as_ptr()).collect();
        let taken: Vec<_> = (0..3).map(|_| spares.take(BUFFER_LEN)).collect();
        assert!(taken.iter().all(BytesMut::is_empty));
        assert_eq!(taken.iter().map(|buffer| buffer.as_ptr()).collect::<Vec<_>>(), touched);
    }

    #[test]
    fn no_more_are_kept_than_agreed_and_none_that_are_small() {
        let spares = Spares::new(2, 0);
        spares.give_back(Bytes::from_static(b"static"));
        spares.give_back(Bytes::copy_from_slice(b"small"));
        assert_eq!(spares.len(), 0);
        let read: Vec<Bytes> = (0..3).map(|_| spares.take(1)).map(BytesMut::freeze).collect();
        read.into_iter().for_each(|bytes| spares.give_back(bytes));
        assert_eq!(spares.len(), 2);
    }

    #[test]
    fn a_frame_that_would_not_fit_gets_a_buffer_of_its_own() {
        let spares = Spares::new(1, 0);
        spares.give_back(spares.take(1).freeze());
        assert!(spares.take(BUFFER_LEN + 1).capacity() > BUFFER_LEN);
        assert_eq!(spares.len(), 1);
    }
}
