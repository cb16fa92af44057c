//! RFC 1982 serial numbers of 32 bits: delivery counts, delivery ids and transfer ids wrap.
//! Source: AMQP 1.0 part 2, 2.8.10 (sequence-no).

/// What is left of `granted` numbers that begin at `from`, seen by a sender that stands at `now`.
///
/// `from` and `now` are compared as serial numbers; `granted` is a plain quantity, and may be all of 2^32 - 1.
pub(super) fn left(from: u32, granted: u32, now: u32) -> u32 {
    let ahead = from.wrapping_sub(now).cast_signed();
    granted.saturating_add_signed(ahead)
}

/// The unwrapped number nearest to `reference` whose low 32 bits are `wire`.
/// `None` when it would lie before zero.
pub(super) fn unwrapped(wire: u32, reference: u64) -> Option<u64> {
    let distance = wire.wrapping_sub(reference as u32).cast_signed();
    reference.checked_add_signed(i64::from(distance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_grant() {
        for (from, granted, now, expected) in [
            (0, 5, 0, 5),
            (0, 5, 3, 2),
            (0, 5, 9, 0),
            (7, 5, 3, 9),
            (u32::MAX - 2, 10, 7, 0),
            (u32::MAX - 2, 12, 7, 2),
            (u32::MAX, 0, 0, 0),
            (0, u32::MAX, 0, u32::MAX),
            (0, u32::MAX, 10, u32::MAX - 10),
            (10, u32::MAX, 0, u32::MAX),
        ] {
            assert_eq!(left(from, granted, now), expected, "{granted} from {from} at {now}");
        }
    }

    #[test]
    fn unwrapping_finds_the_nearest() {
        let lap = 1_u64 << 32;
        for (wire, reference, expected) in [
            (5, 7, Some(5)),
            (9, 7, Some(9)),
            (u32::MAX, lap + 1, Some(lap - 1)),
            (0, lap - 1, Some(lap)),
            (u32::MAX, 0, None),
        ] {
            assert_eq!(unwrapped(wire, reference), expected, "{wire} near {reference}");
        }
    }
}
