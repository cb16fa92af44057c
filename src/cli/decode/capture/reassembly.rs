//! Segments, in whatever order they were captured -> bytes in their order.

use std::collections::BTreeMap;

use super::packet::Segment;

/// What may wait for a segment that is missing: more than a receive window that is usual. Then it is a gap.
const MAX_WAITING_LEN: usize = 8 << 20;

/// What comes next in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// So many bytes were sent, and are not in the capture.
    Gap(u64),
}

/// One direction of a TCP connection.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    /// The sequence number that comes next, counted on beyond 32 bits. `None` before the first segment.
    next: Option<u64>,
    /// What came too early.
    waiting: BTreeMap<u64, Vec<u8>>,
    waiting_len: usize,
}

impl Reassembly {
    pub(super) fn push(&mut self, segment: &Segment<'_>, pieces: &mut Vec<Piece>) {
        let is_first = segment.opens || segment.accepts;
        // Far from 0, so that what came before the first segment seen has a place.
        let start = (1 << 32) + u64::from(segment.sequence_number) + u64::from(is_first);
        let next = *self.next.get_or_insert(start);
        let distance = (start as u32).wrapping_sub(next as u32) as i32;
        let at = next.saturating_add_signed(distance.into());
        if !segment.payload.is_empty() {
            self.place(at, segment.payload, next, pieces);
        }
    }

    fn place(&mut self, at: u64, payload: &[u8], next: u64, pieces: &mut Vec<Piece>) {
        // Sent again, in whole or in part.
        let known = usize::try_from(next.saturating_sub(at)).unwrap_or(usize::MAX);
        let Some(payload) = payload.get(known..).filter(|rest| !rest.is_empty()) else { return };
        let at = at.max(next);
        if at == next {
            self.give(at, payload.to_vec(), pieces);
            return self.give_waiting(pieces);
        }
        if self.waiting.get(&at).is_none_or(|known| known.len() < payload.len()) {
            let before = self.waiting.insert(at, payload.to_vec()).map_or(0, |before| before.len());
            self.waiting_len = self.waiting_len + payload.len() - before;
        }
        if self.waiting_len > MAX_WAITING_LEN {
            self.give_up(pieces);
        }
    }

    fn give(&mut self, at: u64, bytes: Vec<u8>, pieces: &mut Vec<Piece>) {
        self.next = Some(at + bytes.len() as u64);
        pieces.push(Piece::Bytes(bytes));
    }

    fn give_waiting(&mut self, pieces: &mut Vec<Piece>) {
        while let (Some(next), Some(first)) = (self.next, self.waiting.first_entry())
            && *first.key() <= next
        {
            let (at, mut bytes) = first.remove_entry();
            self.waiting_len -= bytes.len();
            let known = usize::try_from(next - at).unwrap_or(usize::MAX).min(bytes.len());
            if known < bytes.len() {
                self.give(next, bytes.split_off(known), pieces);
            }
        }
    }

    /// Goes on behind what is missing.
    fn give_up(&mut self, pieces: &mut Vec<Piece>) {
        if let (Some(next), Some((first, _))) = (self.next, self.waiting.first_key_value()) {
            pieces.push(Piece::Gap(first - next));
            self.next = Some(*first);
            self.give_waiting(pieces);
        }
    }

    /// No more segments come.
    pub(super) fn end(&mut self, pieces: &mut Vec<Piece>) {
        while !self.waiting.is_empty() {
            self.give_up(pieces);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    /// The pieces that segments make, neighbours joined; `None` for a SYN.
    fn pieces(segments: &[(u32, Option<&str>)]) -> Vec<String> {
        let end = SocketAddr::from(([127, 0, 0, 1], 5672));
        let (mut reassembly, mut pieces) = (Reassembly::default(), Vec::new());
        for (sequence_number, payload) in segments {
            let payload_bytes = payload.unwrap_or_default().as_bytes();
            let segment = Segment {
                source: end,
                destination: end,
                sequence_number: *sequence_number,
                opens: payload.is_none(),
                accepts: false,
                payload: payload_bytes,
            };
            reassembly.push(&segment, &mut pieces);
        }
        reassembly.end(&mut pieces);
        let mut shown: Vec<String> = Vec::new();
        for piece in pieces {
            match (piece, shown.last_mut().filter(|last| !last.starts_with("gap"))) {
                (Piece::Bytes(bytes), Some(last)) => last.push_str(std::str::from_utf8(&bytes).unwrap()),
                (Piece::Bytes(bytes), None) => shown.push(String::from_utf8(bytes).unwrap()),
                (Piece::Gap(len), _) => shown.push(format!("gap {len}")),
            }
        }
        shown
    }

    #[test]
    fn bytes_come_in_their_order_and_once() {
        for segments in [
            &[(0, None), (1, Some("abc")), (4, Some("def"))][..],
            &[(0, None), (4, Some("def")), (1, Some("abc"))],
            &[(0, None), (1, Some("abc")), (1, Some("abc")), (1, Some("abcde")), (3, Some("cdef")), (0, Some("_"))],
            &[(0, None), (6, Some("f")), (4, Some("de")), (4, Some("def")), (1, Some("abcd"))],
            // From the middle on.
            &[(700, Some("abc")), (700, None), (703, Some("def"))],
        ] {
            assert_eq!(pieces(segments), ["abcdef"], "{segments:?}");
        }
    }

    #[test]
    fn sequence_numbers_wrap() {
        let last = u32::MAX;
        for segments in [
            &[(last - 2, None), (last - 1, Some("abc")), (1, Some("def"))][..],
            &[(last - 2, None), (1, Some("def")), (last - 1, Some("abc"))],
            &[(last, Some("ab")), (1, Some("cd")), (last, Some("ab")), (3, Some("ef"))],
        ] {
            assert_eq!(pieces(segments), ["abcdef"], "{segments:?}");
        }
    }

    #[test]
    fn what_never_comes_is_a_gap() {
        assert_eq!(
            pieces(&[(0, None), (1, Some("ab")), (6, Some("fg")), (12, Some("l"))]),
            ["ab", "gap 3", "fg", "gap 4", "l"]
        );
    }

    #[test]
    fn what_waits_is_bounded() {
        let long = "x".repeat(MAX_WAITING_LEN / 2);
        let segments = [
            (0, None),
            (2, Some(long.as_str())),
            (2 + long.len() as u32, Some(&long)),
            (2 + 2 * long.len() as u32, Some("end")),
        ];
        let pieces = pieces(&segments);
        assert_eq!((pieces[0].as_str(), pieces[1].len()), ("gap 1", 2 * long.len() + 3));
    }
}
