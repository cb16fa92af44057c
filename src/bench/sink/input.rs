//! What a sink has read and not yet taken.

use crate::page;

/// Bytes that one read may bring.
const READ_LEN: usize = 256 * 1024;

/// Bytes of a stream, each at the [address](crate::page) that is best for it.
pub(super) struct Input {
    memory: Vec<u8>,
    read_len: usize,
    /// Of what is held, in `memory`.
    start: usize,
    end: usize,
    /// Bytes of the stream before what is held.
    taken: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self { memory: vec![0; READ_LEN + page::LEN], read_len: READ_LEN, start: 0, end: 0, taken: 0 }
    }
}

impl Input {
    /// Where the next bytes go, behind those that are held.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let held = self.end - self.start;
        // A frame that does not fit is a request, or an attach full of properties.
        if held == self.read_len {
            self.read_len *= 2;
            self.memory.resize(self.read_len + page::LEN, 0);
        }
        let start = page::offset(&self.memory, self.taken);
        self.memory.copy_within(self.start..self.end, start);
        (self.start, self.end) = (start, start + held);
        &mut self.memory[self.end..start + self.read_len]
    }

    /// So many bytes came.
    pub(super) fn add(&mut self, len: usize) {
        self.end += len;
    }

    pub(super) fn held(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// The first `len` bytes are done with.
    pub(super) fn take(&mut self, len: usize) {
        self.start += len;
        self.taken += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_as_they_do_in_the_stream_and_none_is_lost() {
        let mut input = Input::default();
        let stream: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let (mut read, mut taken) = (0, 0);
        for (reads, takes) in [(1, 0), (4_095, 7), (262_144, 100_000), (70_000, 200_000), (9, 36_000)].iter().cycle() {
            let room = input.room();
            assert_eq!(room.as_ptr().addr() % page::LEN, read % page::LEN);
            let len = room.len().min(*reads).min(stream.len() - read);
            if len == 0 {
                break;
            }
            room[..len].copy_from_slice(&stream[read..read + len]);
            input.add(len);
            read += len;
            let len = input.held().len().min(*takes);
            assert_eq!(input.held()[..len], stream[taken..taken + len]);
            input.take(len);
            taken += len;
        }
        assert_eq!(read, stream.len());
        assert_eq!(input.held(), &stream[taken..]);
    }

    #[test]
    fn there_is_room_beyond_what_one_read_brings() {
        let mut input = Input::default();
        for number in 0..3_u8 {
            let room = input.room();
            room.fill(number);
            let len = room.len();
            input.add(len);
        }
        assert_eq!(input.held().len(), 4 * READ_LEN);
        assert_eq!((input.held()[0], input.held()[READ_LEN], input.held()[4 * READ_LEN - 1]), (0, 1, 2));
    }
}
