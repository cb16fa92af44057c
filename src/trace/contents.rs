//! What a message is made of, counted while it comes in pieces.

use crate::wire::batch::MESSAGE_FORMAT;
use crate::wire::descriptors::codes::DATA;

/// Counts the events of a message whose bytes come in transfers, holding no more of them than the start of a section.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The start of a section, as long as it does not tell how long the section is.
    start: Vec<u8>,
    /// Bytes of a section that are still to come.
    left: usize,
    data_sections: u64,
    /// Something else stands there.
    is_strange: bool,
}

impl Contents {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !self.is_strange {
            let there = self.left.min(bytes.len());
            (self.left, bytes) = (self.left - there, &bytes[there..]);
            let Some((byte, rest)) = bytes.split_first() else { break };
            self.start.push(*byte);
            bytes = rest;
            self.look();
        }
    }

    /// How many events there are in a message of this format, as far as it has come; `None` when that cannot be told.
    pub(super) fn events(&self, message_format: u32) -> Option<u64> {
        if message_format == MESSAGE_FORMAT { (!self.is_strange).then_some(self.data_sections) } else { Some(1) }
    }

    fn look(&mut self) {
        match left_of(&self.start) {
            Left::Unknown => return,
            Left::Strange => self.is_strange = true,
            Left::Bytes(left) => {
                self.left = left;
                self.data_sections += u64::from(u64::from(self.start[2]) == DATA);
            }
        }
        self.start.clear();
    }
}

enum Left {
    Unknown,
    Bytes(usize),
    Strange,
}

/// How many bytes of the section are behind `start`, which ends as soon as that can be told.
fn left_of(start: &[u8]) -> Left {
    match *start {
        [] | [0x00] | [0x00, 0x53] | [0x00, 0x53, _] => Left::Unknown,
        [0x00, 0x53, _, 0x45] => Left::Bytes(0),
        [0x00, 0x53, _, 0xa0 | 0xc0 | 0xc1, ref len @ ..] => match len {
            [] => Left::Unknown,
            [len, ..] => Left::Bytes(usize::from(*len)),
        },
        [0x00, 0x53, _, 0xb0 | 0xd0 | 0xd1, ref len @ ..] => match len.first_chunk() {
            None => Left::Unknown,
            Some(len) => Left::Bytes(u32::from_be_bytes(*len) as usize),
        },
        _ => Left::Strange,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Event};

    #[test]
    fn the_events_of_a_batch_are_counted_however_it_is_cut() {
        let mut batch = Batch::with_partition_key(100_000, "key").unwrap();
        for event_len in [0, 1, 255, 256, 70_000] {
            assert!(batch.try_add(Event::new(vec![b'x'; event_len])).is_added());
        }
        for piece_len in [1, 7, 512, 100_000] {
            let mut contents = Contents::default();
            batch.encoded().chunks(piece_len).for_each(|piece| contents.push(piece));
            assert_eq!(contents.events(MESSAGE_FORMAT), Some(5), "{piece_len}");
        }
    }

    #[test]
    fn what_is_no_batch_has_no_count() {
        let mut contents = Contents::default();
        contents.push(b"\x00\x53\x77\xa1\x05hello");
        assert_eq!((contents.events(MESSAGE_FORMAT), contents.events(0)), (None, Some(1)));
    }
}
