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
    /// Keeps up to `max` buffers that nobody uses, and leaves the rest to the allocator.
    pub(crate) fn new(max: usize) -> Self {
        Self { buffers: Mutex::default(), max }
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

    fn buffers(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        assert!(spares.buffers().is_empty(), "a slice of it is still held");
        spares.give_back(last);
        let again = spares.take(BUFFER_LEN);
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
        assert!(again.capacity() >= BUFFER_LEN);
        assert!(spares.buffers().is_empty());
    }

    #[test]
    fn no_more_are_kept_than_agreed_and_none_that_are_small() {
        let spares = Spares::new(2);
        spares.give_back(Bytes::from_static(b"static"));
        spares.give_back(Bytes::copy_from_slice(b"small"));
        assert!(spares.buffers().is_empty());
        let read: Vec<Bytes> = (0..3).map(|_| spares.take(1)).map(BytesMut::freeze).collect();
        read.into_iter().for_each(|bytes| spares.give_back(bytes));
        assert_eq!(spares.buffers().len(), 2);
    }

    #[test]
    fn a_frame_that_would_not_fit_gets_a_buffer_of_its_own() {
        let spares = Spares::new(1);
        spares.give_back(spares.take(1).freeze());
        assert!(spares.take(BUFFER_LEN + 1).capacity() > BUFFER_LEN);
        assert_eq!(spares.buffers().len(), 1);
    }
}
