//! When batches have to have their outcomes.

use std::collections::VecDeque;
use std::time::Instant;

use crate::engine::DeliveryKey;

/// Times and whose they are, the next one first. A batch that has its outcome may still be listed: most come in the order
/// of their times and go in it, and what is in the middle is forgotten when there is too much of it.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    listed: VecDeque<(Instant, DeliveryKey)>,
    /// Of those, how many are not open any more.
    stale: usize,
}

/// So many that are not open may be listed, whatever the number of those that are.
const FEW: usize = 64;

impl Deadlines {
    pub(super) fn first(&self) -> Option<Instant> {
        self.listed.front().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, at: Instant, key: DeliveryKey) {
        if self.listed.back().is_none_or(|(last, _)| *last <= at) {
            return self.listed.push_back((at, key));
        }
        let behind = self.listed.partition_point(|(other, _)| *other <= at);
        self.listed.insert(behind, (at, key));
    }

    /// The first, if its time has come. It is open, and first until it is closed.
    pub(super) fn due(&self, now: Instant) -> Option<DeliveryKey> {
        self.listed.front().filter(|(at, _)| *at <= now).map(|(_, key)| *key)
    }

    /// Forgets `key`, which is listed and not open any more: at once if it is the first, else in time.
    pub(super) fn close(&mut self, key: DeliveryKey, is_open: impl Fn(DeliveryKey) -> bool) {
        if self.listed.front().is_none_or(|(_, first)| *first != key) {
            self.stale += 1;
        } else {
            self.listed.pop_front();
        }
        while self.stale > 0 && self.listed.front().is_some_and(|(_, first)| !is_open(*first)) {
            self.listed.pop_front();
            self.stale -= 1;
        }
        if self.stale > FEW + self.listed.len() / 2 {
            self.listed.retain(|(_, key)| is_open(*key));
            self.stale = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_next_is_first_whatever_the_order_of_coming_and_going() {
        let begin = crate::clock::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        for (key, seconds) in [(1, 5), (2, 3), (3, 5), (4, 9), (5, 3)] {
            deadlines.insert(at(seconds), key);
        }
        assert_eq!(deadlines.first(), Some(at(3)));
        assert_eq!(deadlines.due(at(2)), None);
        let mut open = BTreeSet::from([1, 2, 3, 4, 5]);
        for key in [2, 5, 1, 3] {
            assert_eq!(deadlines.due(at(5)), Some(key));
            open.remove(&key);
            deadlines.close(key, |key| open.contains(&key));
        }
        assert_eq!((deadlines.due(at(5)), deadlines.first()), (None, Some(at(9))));
    }

    #[test]
    fn one_that_stays_open_does_not_keep_those_behind_it() {
        let now = crate::clock::now();
        let (mut deadlines, mut open) = (Deadlines::default(), BTreeSet::new());
        for key in 0..10_000 {
            deadlines.insert(now, key);
            open.insert(key);
            if key > 0 {
                open.remove(&key);
                deadlines.close(key, |key| open.contains(&key));
            }
            assert!(deadlines.listed.len() <= 2 * FEW + 3, "{}", deadlines.listed.len());
        }
        open.clear();
        deadlines.close(0, |key| open.contains(&key));
        assert_eq!((deadlines.first(), deadlines.stale), (None, 0));
    }
}
