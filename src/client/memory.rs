//! Memory of batches that were accepted, for those that come next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;

use crate::wire::batch::Batch;

/// Buffers that are kept. A caller that has more batches under way than this has use for them at once.
const MAX_KEPT: usize = 8;

/// A buffer that was used a moment ago has its pages, and may still be in the processor's cache: the last one kept is the
/// first to be taken.
#[derive(Debug, Default)]
pub(super) struct Memory {
    kept: Mutex<Vec<BytesMut>>,
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
        let mut kept = self.kept();
        if kept.len() < MAX_KEPT && memory.capacity() > 0 {
            kept.push(memory);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(memory.kept().is_empty());
    }

    #[test]
    fn no_more_is_kept_than_agreed() {
        let memory = Memory::default();
        (0..20).for_each(|_| memory.keep(filled(Batch::new(1_000))));
        assert_eq!(memory.kept().len(), MAX_KEPT);
    }
}
