//! A batch read in the pieces that it came in: nothing of it is moved.

use bytes::Bytes;

use super::{Part, Publication, Span, check_event, gathered, is_body_alone};

/// Reads a batch of plain `data` sections without an envelope, which is what most large ones are. `None` for all else,
/// and for what is broken.
pub(super) fn read(pieces: &[Bytes]) -> Option<Publication> {
    let parts = in_order(pieces);
    let len = pieces.iter().map(Bytes::len).sum();
    let mut walk = Walk { parts: &parts, part: 0, at: 0 };
    let mut spans = Vec::with_capacity(64);
    while !walk.is_at_end() {
        let event_len = walk.section_header()?;
        let span = walk.take(event_len)?;
        if !walk.is_body_alone(span) {
            check_event(spans.len(), &gathered(&parts, span)).ok()?;
        }
        spans.push(span);
    }
    Some(Publication { partition_key: None, len, parts, spans: spans.into() })
}

/// The pieces, each with its place in the message.
fn in_order(pieces: &[Bytes]) -> Box<[Part]> {
    let mut at = 0;
    let pieces = pieces.iter().map(|bytes| {
        let part = Part { at, bytes: bytes.clone() };
        at += bytes.len() as u32;
        part
    });
    pieces.collect()
}

/// A place in the pieces.
struct Walk<'a> {
    parts: &'a [Part],
    part: usize,
    /// Within the part.
    at: usize,
}

impl Walk<'_> {
    /// Goes on to the next part where one is at its end; whether there is none.
    fn is_at_end(&mut self) -> bool {
        while let Some(part) = self.parts.get(self.part)
            && self.at == part.bytes.len()
        {
            (self.part, self.at) = (self.part + 1, 0);
        }
        self.part == self.parts.len()
    }

    /// Reads the head of a plain `data` section; the length of what is in it.
    fn section_header(&mut self) -> Option<usize> {
        let ahead = self.parts[self.part].bytes.get(self.at..)?;
        let (header_len, len) = match *ahead {
            [0x00, 0x53, 0x75, 0xa0, len, ..] => (5, usize::from(len)),
            [0x00, 0x53, 0x75, 0xb0, a, b, c, d, ..] => (8, u32::from_be_bytes([a, b, c, d]) as usize),
            _ => return self.split_section_header(),
        };
        self.at += header_len;
        Some(len)
    }

    /// The same across parts, byte by byte.
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
        Some(self.parts[self.part].bytes[self.at - 1])
    }

    /// Steps over `len` bytes, which may lie in several parts.
    fn take(&mut self, len: usize) -> Option<Span> {
        // An event of no bytes is refused, like all that is broken.
        if len == 0 || self.is_at_end() {
            return None;
        }
        let span = Span::new(self.part, &(self.at..self.at.checked_add(len)?));
        let mut left = len;
        while left > 0 {
            if self.is_at_end() {
                return None;
            }
            let step = left.min(self.parts[self.part].bytes.len() - self.at);
            self.at += step;
            left -= step;
        }
        Some(span)
    }

    fn is_body_alone(&self, span: Span) -> bool {
        let len = span.range().len();
        let part = &self.parts[span.part as usize].bytes;
        match part.get(span.range().start..span.range().start + len.min(8)) {
            Some(head) => is_body_alone(head, len),
            None => is_body_alone(&gathered(self.parts, Span { end: span.start + len.min(8) as u32, ..span }), len),
        }
    }
}
