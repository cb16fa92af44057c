//! The host's requests, one a line.

use std::io::{self, BufRead};

/// Bytes of a request. The platform takes 10 MiB, which JSON's escapes can make six times as long.
pub(super) const MAX_LINE_LEN: usize = 64 << 20;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its end.
    Whole(Vec<u8>),
    /// It is read past.
    TooLong,
}

/// The next line; `None` at the end. A last line need not have an end.
pub(super) fn next(reader: &mut impl BufRead, max_len: usize) -> io::Result<Option<Line>> {
    let (mut line, mut is_too_long, mut is_begun) = (Vec::new(), false, false);
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() && !is_begun {
            return Ok(None);
        }
        is_begun = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        is_too_long |= line.len() + part.len() > max_len;
        if is_too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        let is_over = end.is_some() || buffer.is_empty();
        let len = part.len() + usize::from(end.is_some());
        reader.consume(len);
        if is_over {
            return Ok(Some(if is_too_long { Line::TooLong } else { Line::Whole(line) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Cursor};

    fn all(text: &str, room: usize) -> Vec<Line> {
        let mut reader = BufReader::with_capacity(room, Cursor::new(text.as_bytes().to_vec()));
        std::iter::from_fn(|| next(&mut reader, 4).expect("it can be read")).collect()
    }

    #[test]
    fn lines_are_cut_at_their_ends_however_they_come() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        for room in [1, 2, 3, 64] {
            assert_eq!(all("", room), [], "{room}");
            assert_eq!(all("a\n\nbcde\nf", room), [whole("a"), whole(""), whole("bcde"), whole("f")], "{room}");
            assert_eq!(all("abcde\nf\n", room), [Line::TooLong, whole("f")], "{room}");
            assert_eq!(all("f\nabcdefghi", room), [whole("f"), Line::TooLong], "{room}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_and_a_signal_is_nothing() {
        struct Trouble(Vec<io::ErrorKind>);
        impl io::Read for Trouble {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                self.0.pop().map_or(Ok(0), |kind| Err(kind.into()))
            }
        }
        let read = |kinds: Vec<io::ErrorKind>| next(&mut BufReader::new(Trouble(kinds)), 4);
        assert_eq!(read(vec![io::ErrorKind::Interrupted]).expect("it is the end"), None);
        assert_eq!(read(vec![io::ErrorKind::NotConnected]).expect_err("no input").kind(), io::ErrorKind::NotConnected);
    }
}
