//! Batches that are being filled, one for each route.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::tally::Load;
use crate::Batch;

/// A batch that is being filled.
pub(super) struct Open {
    pub(super) batch: Batch,
    pub(super) begun: Instant,
    pub(super) load: Load,
}

/// All of a lane, by the number of their route: a key's, a partition's, or 0.
#[derive(Default)]
pub(super) struct OpenBatches {
    slots: Vec<Option<Box<Open>>>,
    /// When each was begun, the oldest first; of those that have left as well.
    begun: VecDeque<(Instant, u32)>,
    count: usize,
    len: usize,
}

impl OpenBatches {
    pub(super) fn get(&self, route: u32) -> Option<&Open> {
        self.slots.get(route as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, route: u32) -> Option<&mut Open> {
        self.slots.get_mut(route as usize)?.as_deref_mut()
    }

    pub(super) fn insert(&mut self, route: u32, open: Open) {
        let at = route as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        self.count += 1;
        self.begun.push_back((open.begun, route));
        self.slots[at] = Some(Box::new(open));
    }

    /// Bytes were added to a batch.
    pub(super) fn grow(&mut self, len: usize) {
        self.len += len;
    }

    pub(super) fn take(&mut self, route: u32) -> Option<Open> {
        let open = self.slots.get_mut(route as usize)?.take()?;
        self.count -= 1;
        // Those that are there hold no fewer.
        self.len = if self.count == 0 { 0 } else { self.len.saturating_sub(open.batch.encoded_len()) };
        if self.count == 0 {
            self.begun.clear();
        }
        Some(*open)
    }

    /// Any of them.
    pub(super) fn any(&mut self) -> Option<u32> {
        self.oldest()
    }

    /// The route whose batch was begun first.
    pub(super) fn oldest(&mut self) -> Option<u32> {
        while let Some(&(begun, route)) = self.begun.front() {
            if self.get(route).is_some_and(|open| open.begun == begun) {
                return Some(route);
            }
            self.begun.pop_front();
        }
        None
    }

    /// The oldest, if it has waited for `linger` by `now`.
    pub(super) fn overdue(&mut self, linger: Option<Duration>, now: Instant) -> Option<u32> {
        self.overdue_at(linger).is_some_and(|at| at <= now).then(|| self.oldest()).flatten()
    }

    /// When the oldest has waited for `linger`.
    pub(super) fn overdue_at(&mut self, linger: Option<Duration>) -> Option<Instant> {
        let (linger, route) = (linger?, self.oldest()?);
        self.get(route).map(|open| open.begun + linger)
    }

    /// Whether there are several, which hold more than `limit` bytes together.
    pub(super) fn is_beyond(&self, limit: usize) -> bool {
        self.count > 1 && self.len > limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn open(begun: Instant) -> Open {
        let mut batch = Batch::new(1_000);
        assert!(batch.try_add("event").is_added());
        Open { batch, begun, load: Load::default() }
    }

    #[test]
    fn the_oldest_is_first_whatever_has_left_before() {
        let (mut batches, start) = (OpenBatches::default(), clock::now());
        let at = |millis| start + Duration::from_millis(millis);
        for (route, millis) in [(5, 0), (1, 1), (9, 2)] {
            batches.insert(route, open(at(millis)));
            batches.grow(15);
        }
        assert!(batches.is_beyond(44) && !batches.is_beyond(45));
        assert_eq!(batches.oldest(), Some(5));
        assert!(batches.take(5).is_some() && batches.take(5).is_none());
        batches.insert(5, open(at(3)));
        assert_eq!(batches.oldest(), Some(1));
        let linger = Some(Duration::from_millis(10));
        assert_eq!((batches.overdue(linger, at(10)), batches.overdue(linger, at(11))), (None, Some(1)));
        assert_eq!((batches.overdue_at(linger), batches.overdue_at(None)), (Some(at(11)), None));
        for route in [1, 9, 5] {
            assert_eq!(batches.any(), Some(route));
            batches.take(route);
        }
        assert_eq!(batches.any(), None);
    }
}
