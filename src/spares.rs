//! Buffers that bytes are read into, and that are used again once nobody holds a slice of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

/// Bytes of a buffer, or more: a larger one is made for a frame that would not fit.
const BUFFER_LEN: usize = 256 * 1024;

/// Buffers that wait for their next use. Memory that was touched before costs no page fault.
#[derive(Debug)]
pub(crate) struct Spares {
    buffers: Mutex<Vec<BytesMut>>,
    max: usize,
}

impl Spares {
    /// Keeps up to `max` buffers that nobody uses, and leaves the rest to the allocator. Beside them it makes, and keeps, as
    /// many as hold `pretouched_len` bytes: all of their memory is touched now.
    pub(crate) fn new(max: usize, pretouched_len: u64) -> Self {
        let count = usize::try_from(pretouched_len.div_ceil(BUFFER_LEN as u64)).unwrap_or(usize::MAX);
        let touched = || {
            let mut buffer = BytesMut::with_capacity(BUFFER_LEN);
            // Written, for memory that is only asked to be zero is not touched.
            buffer.resize(BUFFER_LEN, 0);
            buffer.clear();
            buffer
        };
        let buffers = std::iter::repeat_with(touched).take(count).collect();
        Self { buffers: Mutex::new(buffers), max: max.saturating_add(count) }
    }

    /// An empty buffer with room for `len` bytes or more.
    pub(crate) fn take(&self, len: usize) -> BytesMut {
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

#[cfg(test)]
mod tests {
    use super::*;

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
