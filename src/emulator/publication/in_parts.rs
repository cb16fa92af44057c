//! A message read in the pieces that it came in: nothing of it is moved.

use std::sync::Arc;

use bytes::Bytes;

use super::{Part, Publication, Span, check_event, gathered, is_body_alone};
use crate::wire::batch::BatchReader;

/// Reads a batch of plain `data` sections whose envelope, if it has one, lies in the first piece, which is what most large ones
/// are. `None` for all else, and for what is broken.
pub(super) fn read(pieces: &[Bytes]) -> Option<Publication> {
    let parts = in_order(pieces);
    let len = pieces.iter().map(Bytes::len).sum();
    let (partition_key, at) = envelope(pieces)?;
    let mut walk = Walk { parts: &parts, part: 0, at };
    let mut spans = Vec::new();
    while !walk.is_at_end() {
        walk.take_whole_events(&mut spans, len)?;
        if walk.is_at_end() {
            break;
        }
        // The next one goes on in the next part.
        let event_len = walk.section_header()?;
        let span = walk.take(event_len)?;
        if !walk.is_body_alone(span) {
            check_event(spans.len(), &gathered(&parts, span)).ok()?;
        }
        spans.push(span);
    }
    // It may be that the envelope is all there is.
    (!spans.is_empty()).then(|| Publication { partition_key, len, parts, spans: spans.into() })
}

/// The partition key, and where the first `data` section begins in the first piece. A piece that ends within the envelope has none.
fn envelope(pieces: &[Bytes]) -> Option<(Option<Arc<str>>, usize)> {
    let reader = BatchReader::new(pieces.first()?.clone()).ok()?;
    Some((reader.partition_key().map(Arc::from), reader.next_at()))
}

/// Reads an event alone whose body is plain `data` sections and ends it, likewise.
pub(super) fn read_single(pieces: &[Bytes]) -> Option<Publication> {
    let parts = in_order(pieces);
    let len = pieces.iter().map(Bytes::len).sum();
    let (partition_key, at) = envelope(pieces)?;
    let mut walk = Walk { parts: &parts, part: 0, at };
    while !walk.is_at_end() {
        walk.step_over_whole_sections();
        if walk.is_at_end() {
            break;
        }
        let body_len = walk.section_header()?;
        walk.take(body_len)?;
    }
    Some(Publication { partition_key, len, parts, spans: Box::new([Span::new(0, &(0..len))]) })
}

/// What is in the plain `data` section that `bytes` begin with, and what follows it; `None` where there is not all of one, or
/// nothing is in it.
fn section(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match *bytes {
        [0x00, 0x53, 0x75, 0xa0, len, ref rest @ ..] if len > 0 => rest.split_at_checked(usize::from(len)),
        [0x00, 0x53, 0x75, 0xb0, a, b, c, d, ref rest @ ..] if [a, b, c, d] != [0; 4] => {
            rest.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)
        }
        _ => None,
    }
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

    /// Takes the events that lie whole in this part, which most do: of a message of `message_len` bytes with many small ones, this
    /// loop is the work.
    fn take_whole_events(&mut self, spans: &mut Vec<Span>, message_len: usize) -> Option<()> {
        let bytes = &self.parts[self.part].bytes;
        let (part, mut at) = (self.part as u32, self.at);
        while let Some((event, rest)) = section(&bytes[at..]) {
            let end = bytes.len() - rest.len();
            let start = end - event.len();
            if !is_body_alone(event, event.len()) {
                check_event(spans.len(), &bytes.slice(start..end)).ok()?;
            }
            if spans.is_empty() {
                // As if all were alike, which they mostly are.
                spans.reserve(message_len / (end - at));
            }
            spans.push(Span { part, start: start as u32, end: end as u32 });
            at = end;
        }
        self.at = at;
        Some(())
    }

    /// Steps over the sections that lie whole in this part.
    fn step_over_whole_sections(&mut self) {
        let bytes = &self.parts[self.part].bytes;
        while let Some((_, rest)) = section(&bytes[self.at..]) {
            self.at = bytes.len() - rest.len();
        }
    }

    /// Reads the head of a plain `data` section, which may lie in two parts; the length of what is in it.
    fn section_header(&mut self) -> Option<usize> {
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
