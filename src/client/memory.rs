//! Memory of batches that were accepted, for those that come next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;

use crate::wire::batch::Batch;

/// Buffers that are kept, whatever their size. A caller that has more batches under way than this has use for them at once.
const MAX_KEPT: usize = 8;
/// Bytes up to which more are kept: those of many small batches come back together, and are wanted together.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

/// A buffer that was used a moment ago has its pages, and may still be in the processor's cache: the last one kept is the
/// first to be taken.
#[derive(Debug, Default)]
pub(super) struct Memory {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<BytesMut>,
    /// Of all buffers.
    bytes: usize,
}

impl Memory {
    /// `empty`, with memory that is there, if there is any.
    pub(super) fn lend(&self, empty: Batch) -> Batch {
        match self.kept().pop() {
            Some(memory) => empty.in_memory(memory),
            None => empty,
        }
    }

    pub(super) fn keep(&self, batch: Batch) {
        let memory = batch.into_memory();
        if memory.capacity() > 0 {
            self.kept().push(memory);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn push(&mut self, memory: BytesMut) {
        let bytes = self.bytes + memory.capacity();
        if self.buffers.len() < MAX_KEPT || bytes <= MAX_KEPT_BYTES {
            self.bytes = bytes;
            self.buffers.push(memory);
        }
    }

    fn pop(&mut self) -> Option<BytesMut> {
        let memory = self.buffers.pop()?;
        self.bytes -= memory.capacity();
        Some(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(mut batch: Batch) -> Batch {
        assert!(batch.try_add("event").is_added());
        batch
    }

    #[test]
    fn the_last_memory_kept_is_the_first_to_be_lent_whatever_the_batch() {
        let memory = Memory::default();
        let (first, last) = (filled(Batch::new(1_000)), filled(Batch::new(1_000)));
        let places = [first.encoded().as_ptr(), last.encoded().as_ptr()];
        memory.keep(first);
        memory.keep(last);
        let keyed = Batch::with_partition_key(2_000, "key").expect("a key");
        let (expected, lent) = (filled(keyed.clone()), memory.lend(keyed));
        assert!(lent.is_empty());
        let lent = filled(lent);
        assert_eq!(lent, expected);
        assert_eq!(lent.encoded().as_ptr(), places[1]);
        assert_eq!(filled(memory.lend(Batch::new(1_000))).encoded().as_ptr(), places[0]);
        assert!(memory.kept().buffers.is_empty());
    }

    #[test]
    fn no_more_is_kept_than_agreed() {
        let memory = Memory::default();
        let large = |_| BytesMut::with_capacity(MAX_KEPT_BYTES);
        (0..20).map(large).for_each(|buffer| memory.kept().push(buffer));
        assert_eq!(memory.kept().buffers.len(), MAX_KEPT);
        while memory.kept().pop().is_some() {}
        let small = |_| BytesMut::with_capacity(1_024);
        (0..2_000).map(small).for_each(|buffer| memory.kept().push(buffer));
        assert_eq!(memory.kept().buffers.len(), MAX_KEPT_BYTES / 1_024);
        assert_eq!(memory.kept().bytes, MAX_KEPT_BYTES);
    }
}
