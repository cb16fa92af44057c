//! The numbers of one direction of a session, where some of what was sent does not arrive: deliveries that are swallowed
//! have ids for the side that sent them and none for the other. What goes on is numbered without a gap.
//! Source: AMQP 1.0 part 2, 2.5.6 (transfers), 2.6.12 and 2.7.5 (delivery ids).

use std::collections::VecDeque;

/// Gaps that are known. Those before have long been settled.
const MAX_GAPS: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    /// Transfers that were swallowed.
    transfers: u32,
    /// Deliveries that were.
    deliveries: u32,
    /// The oldest first.
    gaps: VecDeque<Gap>,
}

/// Deliveries that were swallowed one behind the other: the first id, as the sender counts.
#[derive(Clone, Copy, Debug)]
struct Gap {
    first: u32,
    len: u32,
}

impl Numbering {
    /// How many transfers the receiver has not seen, by a number that wraps.
    pub(super) fn transfers(&self) -> u32 {
        self.transfers
    }

    /// A transfer is swallowed; `delivery`: its delivery's id, if it is the first of it.
    pub(super) fn swallow(&mut self, delivery: Option<u32>) {
        self.transfers = self.transfers.wrapping_add(1);
        let Some(id) = delivery else { return };
        self.deliveries = self.deliveries.wrapping_add(1);
        match self.gaps.back_mut() {
            Some(gap) if id.wrapping_sub(gap.first) == gap.len => gap.len += 1,
            Some(gap) if !is_behind(id, gap.first.wrapping_add(gap.len)) => {
                // Whoever numbers its deliveries so has no order that could be kept.
                self.gaps.clear();
                self.gaps.push_back(Gap { first: id, len: 1 });
            }
            _ => self.gaps.push_back(Gap { first: id, len: 1 }),
        }
        // Further apart than that, what is before cannot be told from what is behind.
        while self.gaps.len() > MAX_GAPS || self.gaps.front().is_some_and(|gap| !is_behind(id, gap.first)) {
            self.gaps.pop_front();
        }
    }

    /// The receiver's number for a delivery of the sender's. For one that was swallowed, that of the next which was not.
    pub(super) fn onward(&self, id: u32) -> u32 {
        let mut before = self.deliveries;
        for gap in self.gaps.iter().rev() {
            if is_behind(id, gap.first) {
                before = before.wrapping_sub(gap.len - gap.len.min(id.wrapping_sub(gap.first)));
                break;
            }
            before = before.wrapping_sub(gap.len);
        }
        id.wrapping_sub(before)
    }

    /// The sender's numbers for those that the receiver counts from `first` to `last`: runs without a gap.
    pub(super) fn back(&self, first: u32, last: u32) -> Vec<(u32, u32)> {
        let mut runs = Vec::new();
        let (mut at, mut left) = (first, u64::from(last.wrapping_sub(first)) + 1);
        while left > 0 {
            let start = self.back_one(at);
            let gap = self.gaps.iter().find(|gap| is_behind(gap.first, start.wrapping_add(1)));
            let len = gap.map_or(left, |gap| left.min(u64::from(gap.first.wrapping_sub(start))));
            runs.push((start, start.wrapping_add((len - 1) as u32)));
            at = at.wrapping_add(len as u32);
            left -= len;
        }
        runs
    }

    fn back_one(&self, id: u32) -> u32 {
        let mut before = self.deliveries;
        for gap in self.gaps.iter().rev() {
            let behind_gap = gap.first.wrapping_add(gap.len);
            if is_behind(id.wrapping_add(before), behind_gap) {
                break;
            }
            before = before.wrapping_sub(gap.len);
        }
        id.wrapping_add(before)
    }
}

/// Whether a number is this one or comes after it. They wrap.
fn is_behind(number: u32, other: u32) -> bool {
    number.wrapping_sub(other) <= u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_swallowed_has_no_number_and_the_rest_has_no_gap() {
        for start in [0, 7, u32::MAX - 4] {
            let mut numbering = Numbering::default();
            let id = |at: u32| start.wrapping_add(at);
            // Of ten deliveries: the first, two in the middle, the last but one.
            let is_swallowed = |at: u32| [0, 4, 5, 8].contains(&at);
            (0..10).filter(|at| is_swallowed(*at)).for_each(|at| numbering.swallow(Some(id(at))));
            numbering.swallow(None);
            assert_eq!(numbering.transfers(), 5);
            let kept: Vec<u32> = (0..10).filter(|at| !is_swallowed(*at)).collect();
            for (at, kept) in (0..).zip(&kept) {
                assert_eq!(numbering.onward(id(*kept)), id(at), "{start}: {kept}");
                assert_eq!(numbering.back(id(at), id(at)), [(id(*kept), id(*kept))], "{start}: {kept}");
            }
            assert_eq!(numbering.onward(id(4)), id(3));
            let runs = [(1, 3), (6, 7), (9, 12)].map(|(first, last)| (id(first), id(last)));
            assert_eq!(numbering.back(id(0), id(8)), runs, "{start}");
        }
    }

    #[test]
    fn a_range_of_everything_is_not_walked_through() {
        let mut numbering = Numbering::default();
        (0..20_000).step_by(2).for_each(|id| numbering.swallow(Some(id)));
        assert_eq!(numbering.gaps.len(), MAX_GAPS);
        assert!(numbering.back(0, u32::MAX).len() <= MAX_GAPS + 2);
        assert_eq!(numbering.onward(19_999), 9_999);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn numbers_may_be_anything(
            ids in proptest::collection::vec(0_u32.., 0..40),
            near in proptest::collection::vec(0_u32..30, 0..40),
            first: u32,
            last: u32,
        ) {
            let mut numbering = Numbering::default();
            for id in ids.into_iter().chain(near) {
                numbering.swallow(Some(id));
                _ = (numbering.onward(first), numbering.onward(id));
                assert!(numbering.back(first, last).len() <= 82 && numbering.back(0, u32::MAX).len() <= 82);
            }
        }
    }
}
