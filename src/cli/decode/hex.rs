//! Hex digits as people and tools write them -> bytes.
//!
//! Understood are digits with or without spaces, `0x` and commas, `\x41`, and dumps with an offset before the bytes and their
//! text behind them: of xxd, `hexdump -C`, `od -A x -t x1` and Wireshark. `#` and `//` begin a comment.

use std::io::{self, BufRead, BufReader, Read};

/// A line of hex; nobody writes longer ones than a whole message.
const MAX_LINE_LEN: u64 = 160 << 20;
/// What `*` in a dump may stand for.
const MAX_REPEATED_LEN: u64 = 64 << 20;

/// Reads the bytes that the hex of `R` stands for.
pub(super) struct Reader<R> {
    lines: BufReader<R>,
    line_number: usize,
    /// Bytes of the last line, as far as they are not taken.
    bytes: Vec<u8>,
    taken: usize,
    dump: Dump,
}

/// What earlier lines of a dump say about later ones.
#[derive(Debug, Default)]
struct Dump {
    /// The offset that the next line has.
    next: Option<u64>,
    last_row: Vec<u8>,
    /// `*`: rows like the last one are left out.
    repeats: bool,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { lines: BufReader::new(input), line_number: 0, bytes: Vec::new(), taken: 0, dump: Dump::default() }
    }

    /// Reads the next line; whether there was one.
    fn fill(&mut self) -> io::Result<bool> {
        let mut line = Vec::new();
        self.lines.by_ref().take(MAX_LINE_LEN).read_until(b'\n', &mut line)?;
        self.line_number += 1;
        (self.bytes, self.taken) = (Vec::new(), 0);
        let text = String::from_utf8_lossy(&line);
        let number = self.line_number;
        let bytes = self.dump.line(text.trim_start_matches('\u{feff}'));
        self.bytes = bytes.map_err(|why| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("line {number}: {why}; for bytes as they are, say --form raw"),
            )
        })?;
        Ok(!line.is_empty())
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.bytes.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let len = buf.len().min(self.bytes.len() - self.taken);
        buf[..len].copy_from_slice(&self.bytes[self.taken..self.taken + len]);
        self.taken += len;
        Ok(len)
    }
}

impl Dump {
    /// The bytes that a line stands for.
    fn line(&mut self, line: &str) -> Result<Vec<u8>, String> {
        let line = without_comment(line, self.next).trim();
        if line == "*" && self.next.is_some() {
            self.repeats = true;
            return Ok(Vec::new());
        }
        if line.contains("\\x") {
            return escaped(line);
        }
        match offset(line, self.next) {
            Some((offset, row)) => self.row(offset, row),
            None => digits(line),
        }
    }

    fn row(&mut self, offset: u64, row: &str) -> Result<Vec<u8>, String> {
        let mut bytes = self.left_out(offset)?;
        let row = row_digits(row)?;
        self.next = Some(
            offset
                .checked_add(row.len() as u64)
                .ok_or_else(|| "expected an offset that bytes can stand behind".to_owned())?,
        );
        bytes.extend_from_slice(&row);
        self.last_row = row;
        Ok(bytes)
    }

    /// What a `*` stood for, now that the next offset is known.
    fn left_out(&mut self, offset: u64) -> Result<Vec<u8>, String> {
        let from = self.next.unwrap_or(offset);
        if !std::mem::take(&mut self.repeats) {
            // Dumps may stand one behind the other, each from 0 on.
            return if offset == from || offset == 0 { Ok(Vec::new()) } else { Err(wrong_offset(from)) };
        }
        match offset.checked_sub(from) {
            Some(len) if len <= MAX_REPEATED_LEN => {
                Ok(self.last_row.iter().copied().cycle().take(len as usize).collect())
            }
            _ => Err(wrong_offset(from)),
        }
    }
}

fn wrong_offset(expected: u64) -> String {
    format!("expected offset {expected:#x}, found another one: lines are missing")
}

fn without_comment(line: &str, next: Option<u64>) -> &str {
    let at = [line.find('#'), line.find("//")].into_iter().flatten().min();
    // In the text beside the bytes of a dump they are no comment.
    let is_dump = offset(line.trim(), next).is_some();
    at.filter(|at| !is_dump || *at == 0).map_or(line, |at| &line[..at])
}

/// The offset that a line begins with, and what stands behind it.
fn offset(line: &str, next: Option<u64>) -> Option<(u64, &str)> {
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (word, has_colon) = first.strip_suffix(':').map_or((first, false), |word| (word, true));
    let offset = u64::from_str_radix(word, 16).ok().filter(|_| (4..=16).contains(&word.len()))?;
    // Without a colon the first word of a dump is 0: another one is the size of a frame.
    let may_be = has_colon || next.is_some() || offset == 0;
    let second = rest.split_whitespace().next().unwrap_or_default();
    // The last line of hexdump and od has nothing but the length.
    let is_end = rest.trim().is_empty() && next == Some(offset);
    let is_row = may_be && (has_colon || is_byte(second));
    (is_row || is_end).then_some((offset, rest))
}

fn is_byte(word: &str) -> bool {
    word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The bytes of a row: its text stands behind two spaces or `|`.
fn row_digits(row: &str) -> Result<Vec<u8>, String> {
    let row = row.split_once('|').map_or(row, |(bytes, _)| bytes).trim();
    let (first, rest) = row.split_once("  ").unwrap_or((row, ""));
    let mut bytes = digits(first)?;
    // hexdump and Wireshark leave a gap in the middle as well.
    let words: Vec<_> = rest.trim_start().split("  ").next().unwrap_or_default().split_whitespace().collect();
    if bytes.len() == 8 && words.len() <= 8 && words.iter().all(|word| is_byte(word)) {
        bytes.extend(digits(&words.concat())?);
    }
    Ok(bytes)
}

/// `\x41\x4d`, in quotes or not.
fn escaped(line: &str) -> Result<Vec<u8>, String> {
    line.split("\\x").skip(1).map(|part| byte(part.trim_matches(|c| "\"';,+ \\".contains(c)))).collect()
}

fn byte(word: &str) -> Result<u8, String> {
    match word.len() {
        2 => u8::from_str_radix(word, 16).map_err(|_| "expected two hex digits behind \\x".to_owned()),
        _ => Err("expected two hex digits behind each \\x, and nothing else".to_owned()),
    }
}

/// Words of hex digits. Where one has `0x`, the others are a program's text.
fn digits(line: &str) -> Result<Vec<u8>, String> {
    let words = line.split(|c: char| c.is_whitespace() || ",;:-{}[]()\"'".contains(c)).filter(|word| !word.is_empty());
    let has_prefix = |word: &str| word.starts_with("0x") || word.starts_with("0X");
    let is_program = line.contains(['{', '}']) || line.starts_with("unsigned ");
    let mut bytes = Vec::with_capacity(line.len() / 2);
    for word in words {
        match has_prefix(word) {
            true => pairs(&word[2..], &mut bytes)?,
            false if is_program => {}
            false => pairs(word, &mut bytes)?,
        }
    }
    Ok(bytes)
}

/// Appends the bytes of a word. No message repeats it: it may be a secret.
fn pairs(word: &str, bytes: &mut Vec<u8>) -> Result<(), String> {
    if let Some(at) = word.find(|c: char| !c.is_ascii_hexdigit()) {
        return Err(format!("expected hex digits, found another character as number {} of a word", at + 1));
    }
    if word.len() == 1 {
        bytes.push(nibble(word.as_bytes()[0]));
        return Ok(());
    }
    if word.len() % 2 == 1 {
        return Err(format!("expected two hex digits for each byte, found a word of {}", word.len()));
    }
    bytes.extend(word.as_bytes().chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])));
    Ok(())
}

fn nibble(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or(0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        Reader::new(text.as_bytes()).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// The start of a connection, 24 bytes.
    const BYTES: &[u8] = b"AMQP\x03\x01\x00\x00\x00\x00\x00\x10\x02\x01\x00\x00\x00\x53\x44\xc0\x03\x01\x50\x00";

    #[test]
    fn every_way_of_writing_bytes_is_read() {
        let ways = [
            "414d5150030100000000001002010000005344c003015000",
            "41 4d 51 50 03 01 00 00\n00 00 00 10 02 01 00 00 # a frame\n// its body\n00 53 44 c0 03 01 50 00",
            "414D 5150 0301 0000, 0000 0010 0201 0000: 00-53-44-C0-03-01-50-00",
            "0x414d5150030100000000001002010000005344c003015000",
            "unsigned char f8[] = {\n  0x41, 0x4d, 0x51, 0x50, 0x03, 0x01, 0x00, 0x00,\n  0x0, 0x00, 0x00, 0x10, 0x02, 0x01, \
             0x00, 0x00,\n  0x00, 0x53, 0x44, 0xc0, 0x03, 0x01, 0x50, 0x00\n};\nunsigned int f8_len = 24;\n",
            "\"\\x41\\x4d\\x51\\x50\\x03\\x01\\x00\\x00\\x00\\x00\\x00\\x10\" \\\n\
             \"\\x02\\x01\\x00\\x00\\x00\\x53\\x44\\xc0\\x03\\x01\\x50\\x00\"",
            // xxd
            "00000000: 414d 5150 0301 0000 0000 0010 0201 0000  AMQP............\n\
             00000010: 0053 44c0 0301 5000                      .SD...P.\n",
            // hexdump -C
            "00000000  41 4d 51 50 03 01 00 00  00 00 00 10 02 01 00 00  |AMQP............|\n\
             00000010  00 53 44 c0 03 01 50 00                           |.SD...P.|\n00000018\n",
            // Wireshark
            "0000   41 4d 51 50 03 01 00 00 00 00 00 10 02 01 00 00   AMQP............\n\
             0010   00 53 44 c0 03 01 50 00                           .SD...P.\n",
            "0000  41 4d 51 50 03 01 00 00  00 00 00 10 02 01 00 00   AMQP.... ........\n\
             0010  00 53 44 c0 03 01 50 00                            .SD...P.\n",
            // od -A x -t x1
            "000000 41 4d 51 50 03 01 00 00 00 00 00 10 02 01 00 00\n000010 00 53 44 c0 03 01 50 00\n000018\n",
            "\u{feff}414d5150030100000000001002010000\r\n\r\n005344c003015000\r\n",
        ];
        for way in ways {
            assert_eq!(read(way).as_deref(), Ok(BYTES), "{way}");
        }
    }

    #[test]
    fn rows_that_are_left_out_are_put_back() {
        let dump = "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n*\n\
                    00000040  01                                                |.|\n00000041\n";
        let mut expected = vec![0; 64];
        expected.push(1);
        assert_eq!(read(dump), Ok(expected));
    }

    #[test]
    fn text_beside_the_bytes_is_not_taken_for_bytes() {
        // The text of these bytes reads like hex.
        assert_eq!(read("00000000: 6162 6364  abcd\n").as_deref(), Ok(b"abcd".as_slice()));
        assert_eq!(
            read("0000   61 62 63 64                                       abcd\n").as_deref(),
            Ok(b"abcd".as_slice())
        );
        assert_eq!(read("00000009 02 00 0000 10").as_deref(), Ok(b"\0\0\0\x09\x02\0\0\0\x10".as_slice()));
        assert_eq!(read("00000000  23 23 |##|\n").as_deref(), Ok(b"##".as_slice()));
    }

    #[test]
    fn what_is_no_hex_is_named_by_its_line_and_not_repeated() {
        for (text, message) in [
            ("4142\nsecret", "line 2: expected hex digits, found another character as number 1 of a word"),
            ("414", "line 1: expected two hex digits for each byte, found a word of 3"),
            ("00000000  41 |A|\n00000010  42 |B|", "line 2: expected offset 0x1, found another one: lines are missing"),
            ("ffffffffffffffff: 41", "line 1: expected an offset that bytes can stand behind"),
            ("\\x4", "line 1: expected two hex digits behind each \\x, and nothing else"),
        ] {
            let expected = format!("{message}; for bytes as they are, say --form raw");
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }
}
