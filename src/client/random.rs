//! Numbers that spread clients apart. Nothing secret rests on them.

use std::hash::{BuildHasher, RandomState};

/// Draws evenly from 0 to 1.
#[derive(Clone, Debug)]
pub(super) enum Random {
    /// SplitMix64, by its state.
    Seeded(u64),
    /// The same number for ever, for tests.
    #[cfg(test)]
    Fixed(f64),
}

impl Random {
    /// `seed`, or one that no two processes share.
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self::Seeded(seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8)))
    }

    #[cfg(test)]
    pub(super) fn fixed(number: f64) -> Self {
        Self::Fixed(number)
    }

    /// Another source, which goes its own way.
    pub(super) fn split(&mut self) -> Self {
        match self {
            Self::Seeded(state) => Self::Seeded(state.rotate_left(32) ^ 0x5851_f42d_4c95_7f2d),
            #[cfg(test)]
            Self::Fixed(number) => Self::Fixed(*number),
        }
    }

    pub(super) fn next(&mut self) -> f64 {
        match self {
            Self::Seeded(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = *state;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                // The 53 bits that a double holds.
                ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
            }
            #[cfg(test)]
            Self::Fixed(number) => *number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_spread_over_the_whole_range_and_repeat_with_the_seed() {
        let mut random = Random::new(Some(7));
        let mut buckets = [0; 10];
        for _ in 0..10_000 {
            buckets[(random.next() * 10.0) as usize] += 1;
        }
        assert!(buckets.iter().all(|count| (800..1_200).contains(count)), "{buckets:?}");
        assert_eq!(Random::new(Some(7)).next(), Random::new(Some(7)).next());
        assert_ne!(Random::new(None).next(), Random::new(None).next());
    }
}
