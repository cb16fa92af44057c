//! Any number of events, as as many batches as they need.

use std::fmt;

use super::{Batch, BatchItem, TryAdd};
use crate::wire::event::EncodeError;

/// Batches of events that are taken from an iterator as they are needed: see [`Batch::batches`].
pub struct Batches<I: Iterator> {
    events: I,
    /// The event that did not fit any more.
    next: Option<I::Item>,
    refused: Option<Refused<I::Item>>,
    /// What each batch is like.
    empty: Batch,
}

/// An event that no batch can take.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused<E> {
    /// It is larger than a batch.
    #[error("the event does not fit into a batch of its own: publish less in one event")]
    TooLarge(E),
    /// It cannot be encoded, whatever the limit.
    #[error("the event cannot be encoded: {1}")]
    Invalid(E, EncodeError),
}

impl<I> Batches<I>
where
    I: Iterator<Item: BatchItem>,
{
    pub(super) fn new(empty: Batch, events: I) -> Self {
        Self { events, next: None, refused: None, empty }
    }

    /// The next batch, in the memory of `batch`, which is emptied first; its limit and its partition key hold. `None` when
    /// there are no more events.
    ///
    /// # Errors
    /// [`Refused`], with an event that no such batch can take. The ones before it have been in batches; the ones behind it
    /// are still to come.
    pub fn next_in(&mut self, mut batch: Batch) -> Option<Result<Batch, Refused<I::Item>>> {
        batch.clear();
        if let Some(refused) = self.refused.take() {
            return Some(Err(refused));
        }
        while let Some(event) = self.next.take().or_else(|| self.events.next()) {
            let refused = match batch.try_add(event) {
                TryAdd::Added => continue,
                TryAdd::Full(event) => {
                    self.next = Some(event);
                    return Some(Ok(batch));
                }
                TryAdd::TooLarge(event) => Refused::TooLarge(event),
                TryAdd::Invalid(event, why) => Refused::Invalid(event, why),
            };
            if batch.is_empty() {
                return Some(Err(refused));
            }
            self.refused = Some(refused);
            break;
        }
        (!batch.is_empty()).then_some(Ok(batch))
    }
}

/// Without the events: nobody knows what is in them.
impl<I: Iterator> fmt::Debug for Batches<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("empty", &self.empty).finish_non_exhaustive()
    }
}

impl<I> Iterator for Batches<I>
where
    I: Iterator<Item: BatchItem>,
{
    type Item = Result<Batch, Refused<I::Item>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_in(self.empty.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::BatchReader;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn bodies(batch: &Batch) -> Vec<Vec<u8>> {
        let events = BatchReader::new(Bytes::copy_from_slice(batch.encoded())).expect("a batch");
        let body =
            |event: Bytes| crate::wire::event::Event::decode(&event).expect("an event").into_data().expect("data");
        events.map(|event| body(event.expect("an event")).to_vec()).collect()
    }

    proptest! {
        /// Whatever the sizes: every event is in one batch, in order, or refused; each batch is as full as the next event
        /// lets it be, and only what fits none is refused.
        #[test]
        fn every_event_is_in_one_batch_or_refused(lens in prop::collection::vec(0_usize..200, 0..60), has_key: bool) {
            const LIMIT: usize = 300;
            let empty = if has_key { Batch::with_partition_key(LIMIT, "k").unwrap() } else { Batch::new(LIMIT) };
            let events: Vec<Vec<u8>> = lens.iter().enumerate().map(|(at, len)| vec![at as u8; *len]).collect();
            let (mut seen, mut before): (Vec<Vec<u8>>, Option<Batch>) = (Vec::new(), None);
            for batch in empty.clone().batches(events.clone()) {
                match batch {
                    Ok(batch) => {
                        let its = bodies(&batch);
                        if let Some(mut before) = before.replace(batch) {
                            prop_assert!(!before.try_add(&its[0]).is_added(), "there was room for one more");
                        }
                        seen.extend(its);
                    }
                    Err(Refused::TooLarge(event)) => {
                        prop_assert!(!empty.clone().try_add(&event).is_added());
                        before = None;
                        seen.push(event);
                    }
                    Err(other) => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert_eq!(seen, events);
        }
    }

    #[test]
    fn events_are_taken_as_they_are_needed_and_memory_serves_again() {
        let taken = std::cell::Cell::new(0);
        let events = (0..100).map(|number| {
            taken.set(taken.get() + 1);
            format!("event {number:02}")
        });
        // 18 bytes each.
        let mut batches = Batch::new(180).batches(events);
        assert_eq!(taken.get(), 0);
        let first = batches.next().expect("a batch").expect("it fits");
        assert_eq!((first.len(), taken.get()), (10, 11), "the one that did not fit is held");
        let memory = first.encoded().as_ptr();
        let second = batches.next_in(first).expect("a batch").expect("it fits");
        assert_eq!((second.len(), second.encoded().as_ptr()), (10, memory));
        assert_eq!(batches.map(|batch| batch.expect("it fits").len()).sum::<usize>(), 80);
    }
}
