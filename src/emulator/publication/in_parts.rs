//! A batch read in the pieces that it came in: only an event that lies across two of them is moved.

use bytes::{Bytes, BytesMut};

use super::{Part, Publication, Span, check_event, is_body_alone};

/// Reads a batch of plain `data` sections without an envelope, which is what most large ones are. `None` for all else,
/// and for what is broken.
pub(super) fn read(pieces: &[Bytes]) -> Option<Publication> {
    let len = pieces.iter().map(Bytes::len).sum();
    let mut walk = Walk { pieces, piece: 0, at: 0, before: 0, moved: Vec::new() };
    let mut spans = Vec::with_capacity(64);
    while !walk.is_at_end() {
        let event_len = walk.section_header()?;
        let span = walk.take(event_len)?;
        let bytes = walk.bytes(span);
        if !is_body_alone(bytes) {
            check_event(spans.len(), &Bytes::copy_from_slice(bytes)).ok()?;
        }
        spans.push(span);
    }
    Some(Publication { partition_key: None, len, parts: walk.into_parts(), spans: spans.into() })
}

/// A place in the pieces.
struct Walk<'a> {
    pieces: &'a [Bytes],
    piece: usize,
    /// Within the piece.
    at: usize,
    /// Bytes of the pieces before this one.
    before: usize,
    /// Events that lay across pieces, behind which they are counted.
    moved: Vec<Part>,
}

impl Walk<'_> {
    /// Goes on to the next piece where one is at its end; whether there is none.
    fn is_at_end(&mut self) -> bool {
        while let Some(piece) = self.pieces.get(self.piece)
            && self.at == piece.len()
        {
            self.before += piece.len();
            (self.piece, self.at) = (self.piece + 1, 0);
        }
        self.piece == self.pieces.len()
    }

    /// Reads the head of a plain `data` section; the length of what is in it.
    fn section_header(&mut self) -> Option<usize> {
        let ahead = self.pieces[self.piece].get(self.at..)?;
        let (header_len, len) = match *ahead {
            [0x00, 0x53, 0x75, 0xa0, len, ..] => (5, usize::from(len)),
            [0x00, 0x53, 0x75, 0xb0, a, b, c, d, ..] => (8, u32::from_be_bytes([a, b, c, d]) as usize),
            _ => return self.split_section_header(),
        };
        self.at += header_len;
        Some(len)
    }

    /// The same across pieces, byte by byte.
    fn split_section_header(&mut self) -> Option<usize> {
        for expected in [0x00, 0x53, 0x75] {
            self.byte().filter(|&byte| byte == expected)?;
        }
        match self.byte()? {
            0xa0 => self.byte().map(usize::from),
            0xb0 => (0..4).try_fold(0, |len, _| Some(len << 8 | usize::from(self.byte()?))),
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        if self.is_at_end() {
            return None;
        }
        self.at += 1;
        Some(self.pieces[self.piece][self.at - 1])
    }

    /// Steps over `len` bytes, and gathers them if they lie in more than one piece.
    fn take(&mut self, len: usize) -> Option<Span> {
        // An event of no bytes is refused, like all that is broken.
        if len == 0 || self.is_at_end() {
            return None;
        }
        let start = self.at;
        if self.pieces[self.piece].len() - start >= len {
            self.at += len;
            return Some(Span::new(self.piece, &(start..self.at)));
        }
        let place = self.before + start;
        let left: usize = self.pieces[self.piece..].iter().map(Bytes::len).sum::<usize>() - start;
        if left < len {
            return None;
        }
        let mut gathered = BytesMut::with_capacity(len);
        while gathered.len() < len {
            self.is_at_end();
            let piece = &self.pieces[self.piece];
            let end = piece.len().min(self.at + len - gathered.len());
            gathered.extend_from_slice(&piece[self.at..end]);
            self.at = end;
        }
        self.moved.push(Part { at: place as u32, bytes: gathered.freeze() });
        Some(Span::new(self.pieces.len() + self.moved.len() - 1, &(0..len)))
    }

    fn bytes(&self, span: Span) -> &[u8] {
        let part = span.part as usize;
        let bytes = self.pieces.get(part).unwrap_or_else(|| &self.moved[part - self.pieces.len()].bytes);
        &bytes[span.range()]
    }

    /// The pieces, and behind them the moved events. A piece without a whole event is let go.
    fn into_parts(self) -> Box<[Part]> {
        let mut at = 0;
        let pieces = self.pieces.iter().map(|bytes| {
            let part = Part { at: at as u32, bytes: bytes.clone() };
            at += bytes.len();
            part
        });
        pieces.chain(self.moved).collect()
    }
}
