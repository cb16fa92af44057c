//! RFC 1982 serial numbers of 32 bits: delivery counts, delivery ids and transfer ids wrap.
//! Source: AMQP 1.0 part 2, 2.8.10 (sequence-no).

/// How far `to` lies ahead of `from`; zero when it lies behind.
pub(super) fn ahead(from: u32, to: u32) -> u32 {
    match to.wrapping_sub(from) {
        distance if distance < 1 << 31 => distance,
        _ => 0,
    }
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
    fn distances_wrap() {
        for (from, to, expected) in
            [(0, 5, 5), (5, 0, 0), (u32::MAX, 0, 1), (u32::MAX - 2, 7, 10), (7, u32::MAX, 0), (3, 3, 0)]
        {
            assert_eq!(ahead(from, to), expected, "{from} -> {to}");
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
