//! Bytes of one direction -> protocol headers and frames, however the stream has cut them.
//!
//! What a peer claims is not believed: of a frame that is larger than any that is in use its start is held, and the rest
//! is counted.

use bytes::BytesMut;

/// Bytes of one frame that are held; hubwire writes none that is larger.
const MAX_HELD_LEN: usize = 1 << 20;
/// Bytes that are shown of a stream that is no AMQP.
const MAX_STRANGE_LEN: usize = 256;
const HEADER_LEN: usize = 8;

/// What a stream consists of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// `AMQP`, protocol id and version.
    Header(BytesMut),
    /// A frame, and how long it says it is: more than is held of one that is too large.
    Frame(BytesMut, usize),
    /// The start of what is no AMQP. Nothing is made of the stream any more.
    Strange(BytesMut),
}

impl Piece {
    /// On the wire.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Header(bytes) | Self::Strange(bytes) => bytes.len(),
            Self::Frame(_, len) => *len,
        }
    }
}

/// The channel that an AMQP frame is for.
#[cfg(feature = "cli")]
pub(crate) fn channel_of(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[6], frame[7]])
}

/// A frame with the header `head` and this body.
#[cfg(feature = "cli")]
pub(crate) fn framed(head: &[u8], body: &[u8]) -> bytes::Bytes {
    let len = (head.len() + body.len()) as u32;
    [&len.to_be_bytes(), &head[4..], body].concat().into()
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: BytesMut,
    /// Bytes of a frame that are still to come and are not held.
    left_out: usize,
    is_strange: bool,
}

impl Frames {
    /// Takes what came next.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let skipped = self.left_out.min(bytes.len());
        self.left_out -= skipped;
        if !self.is_strange {
            self.buffer.extend_from_slice(&bytes[skipped..]);
        }
    }

    /// The next that is whole.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        let start = *self.buffer.first_chunk::<4>()?;
        if &start == b"AMQP" {
            return (self.buffer.len() >= HEADER_LEN).then(|| Piece::Header(self.buffer.split_to(HEADER_LEN)));
        }
        let len = u32::from_be_bytes(start) as usize;
        if !may_be_frame(&self.buffer, len) {
            return Some(self.strange());
        }
        let held_len = len.min(MAX_HELD_LEN);
        if self.buffer.len() < held_len {
            return None;
        }
        let held = self.buffer.split_to(held_len);
        self.skip(len - held_len);
        Some(Piece::Frame(held, len))
    }

    /// Bytes of what has begun and has not become whole.
    pub(super) fn rest(&self) -> usize {
        self.buffer.len()
    }

    fn skip(&mut self, len: usize) {
        let there = len.min(self.buffer.len());
        let _ = self.buffer.split_to(there);
        self.left_out = len - there;
    }

    fn strange(&mut self) -> Piece {
        self.is_strange = true;
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(MAX_STRANGE_LEN);
        Piece::Strange(bytes)
    }
}

/// Whether `bytes` can begin a frame of `len` bytes, as far as they go: by its data offset, which counts words, and its type,
/// of which there are two.
fn may_be_frame(bytes: &[u8], len: usize) -> bool {
    let is_offset = |doff: &u8| (2..=len / 4).contains(&usize::from(*doff));
    len >= HEADER_LEN && bytes.get(4).is_none_or(is_offset) && bytes.get(5).is_none_or(|kind| *kind <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(chunks: &[&[u8]]) -> Vec<Piece> {
        let mut frames = Frames::default();
        let mut pieces = Vec::new();
        for chunk in chunks {
            frames.push(chunk);
            pieces.extend(std::iter::from_fn(|| frames.next()));
        }
        pieces
    }

    #[test]
    fn a_stream_is_cut_the_same_however_it_comes() {
        let stream =
            [&b"AMQP\x03\x01\x00\x00"[..], &crate::wire::frame::HEARTBEAT, b"\0\0\0\x09\x02\0\0\x07x"].concat();
        let whole = pieces(&[&stream]);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[2], Piece::Frame(BytesMut::from(&stream[16..]), 9));
        assert_eq!(pieces(&stream.chunks(1).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn a_giant_frame_is_counted_not_held() {
        let len: u32 = 3 << 20;
        let mut frames = Frames::default();
        frames.push(&[&len.to_be_bytes()[..], b"\x02\0\0\0"].concat());
        frames.push(&vec![0; 1 << 20]);
        assert!(matches!(frames.next(), Some(Piece::Frame(held, 0x30_0000)) if held.len() == MAX_HELD_LEN));
        for _ in 0..2 {
            assert_eq!((frames.next(), frames.rest()), (None, 0));
            frames.push(&vec![0; 1 << 20]);
        }
        // What was counted in front of the first: the start of the next.
        assert_eq!(frames.rest(), 8);
    }

    #[test]
    fn what_is_no_amqp_is_shown_once() {
        let answer = b"HTTP/1.1 400 Bad Request\r\n";
        assert_eq!(pieces(&[answer, b"more"]), [Piece::Strange(BytesMut::from(&answer[..]))]);
        assert_eq!(pieces(&[b"\0\0\0\x07\x02\0\0"]), [Piece::Strange(BytesMut::from(&b"\0\0\0\x07\x02\0\0"[..]))]);
        assert_eq!(pieces(&[b"\0\0\0\x09\x01\0\0", b"more"]).len(), 1);
    }
}
