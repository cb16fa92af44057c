//! Lines, read with bounded memory.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::cli::failure::Failure;

use super::item::{Item, Template, Unit};
use super::jsonl;

/// Bytes of lines that are handed on together.
pub(super) const CHUNK_LEN: usize = 128 * 1024;
/// What an event costs beside its body, roughly: short lines must not fill the memory either.
const ITEM_LEN: usize = size_of::<Item>();
/// Bytes of one line. No hub takes a larger message than 20 MiB; base64 and JSON's escapes need more.
const MAX_LINE_LEN: usize = 64 << 20;

/// How lines become events.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    pub(super) template: &'a Template,
    pub(super) keep_empty: bool,
    /// Each line is a JSON value, not a body.
    pub(super) is_json: bool,
    /// Grows with every event that is read.
    pub(super) count: &'a AtomicU64,
}

impl Lines<'_> {
    /// Hands events to `hand_on` until the input ends, or until nobody takes them. Waits with no event in hand: what
    /// was read is handed on before a read that may block.
    pub(super) fn read(&self, reader: impl Read, mut hand_on: impl FnMut(Vec<Item>) -> bool) -> Result<(), Failure> {
        let mut reader = BufReader::with_capacity(CHUNK_LEN / 2, reader);
        let (mut items, mut held_len) = (Vec::new(), 0);
        for number in 1.. {
            let line = match read_line(&mut reader, number) {
                Ok(Some(line)) => line,
                Ok(None) if number > 1 && self.count.load(Ordering::Acquire) == 0 => {
                    let advice = if self.is_json { "an empty event is `\"\"`" } else { "--keep-empty sends them" };
                    return Err(Failure::input(format!("no events: the input has only empty lines; {advice}")));
                }
                ended => {
                    hand_on_any(items, &mut hand_on);
                    return ended.map(|_| ());
                }
            };
            let len = line.len();
            match self.item(number, line) {
                Ok(None) => {}
                Ok(Some(item)) => {
                    items.push(item);
                    held_len += len + ITEM_LEN;
                    self.count.fetch_add(1, Ordering::Release);
                }
                Err(why) => {
                    hand_on_any(items, &mut hand_on);
                    return Err(Failure::input(format!("{}: {why}", Unit::Line.name(number))));
                }
            }
            // The rest of a line may be long in coming, too.
            let may_block = !reader.buffer().contains(&b'\n');
            if held_len >= CHUNK_LEN || (may_block && !items.is_empty()) {
                held_len = 0;
                if !hand_on(std::mem::take(&mut items)) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn item(&self, number: u64, line: Vec<u8>) -> Result<Option<Item>, String> {
        if self.is_json {
            // A blank line is no JSON value, and an empty event is written `""`.
            return match line.trim_ascii() {
                [] => Ok(None),
                text => jsonl::item(text, number, self.template).map(Some),
            };
        }
        let is_kept = !line.is_empty() || self.keep_empty;
        Ok(is_kept.then(|| self.template.item(number, Bytes::from(line))))
    }
}

fn hand_on_any(items: Vec<Item>, hand_on: &mut impl FnMut(Vec<Item>) -> bool) {
    if !items.is_empty() {
        hand_on(items);
    }
}

/// The next line without its `\n` or `\r\n`; `None` at the end.
fn read_line(reader: &mut impl BufRead, number: u64) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let limit = MAX_LINE_LEN as u64 + 2;
    let read = reader.take(limit).read_until(b'\n', &mut line);
    read.map_err(|error: io::Error| Failure::input(format!("cannot read the input: {error}")))?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.len() > MAX_LINE_LEN {
        let unit = Unit::Line.name(number);
        return Err(Failure::input(format!("{unit}: longer than 64 MiB; no event hub takes such an event")));
    }
    // Events may wait for long: give back what the growing line was given in advance.
    line.shrink_to_fit();
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;

    fn template() -> Template {
        let Command::Send(args) = Cli::parse_from(["hubwire", "send"]).command else { panic!() };
        Template::new(&args).unwrap()
    }

    fn bodies(input: &[u8], keep_empty: bool) -> Vec<(u64, Vec<u8>)> {
        let (template, mut read) = (template(), Vec::new());
        let lines = Lines { template: &template, keep_empty, is_json: false, count: &AtomicU64::new(0) };
        let hand_on = |items: Vec<Item>| {
            read.extend(items.iter().map(|item| (item.number, item.event.data().unwrap().to_vec())));
            true
        };
        lines.read(input, hand_on).unwrap();
        read
    }

    #[test]
    fn lines_end_in_either_way_and_keep_their_numbers() {
        let read = bodies(b"a\r\n\nb\rc\n\r\n\xff\xfe\n d ", false);
        let expected: [(u64, &[u8]); 4] = [(1, b"a"), (3, b"b\rc"), (5, b"\xff\xfe"), (6, b" d ")];
        assert_eq!(read, expected.map(|(number, body)| (number, body.to_vec())));
    }

    #[test]
    fn empty_lines_are_events_if_asked() {
        assert_eq!(bodies(b"\n\r\na", true).len(), 3);
        assert_eq!(bodies(b"\n\r\na", false).len(), 1);
        // The end of the last line begins no other.
        assert_eq!(bodies(b"a\n", true).len(), 1);
        assert!(bodies(b"", true).is_empty());
    }

    #[test]
    fn many_lines_come_in_pieces_of_bounded_size() {
        let (template, input) = (template(), "x".repeat(99) + "\n");
        let lines = Lines { template: &template, keep_empty: false, is_json: false, count: &AtomicU64::new(0) };
        let mut pieces = Vec::new();
        lines
            .read(input.repeat(10_000).as_bytes(), |items| {
                pieces.push(items.len());
                true
            })
            .unwrap();
        assert_eq!(pieces.iter().sum::<usize>(), 10_000);
        assert!(pieces.iter().all(|len| len * 99 <= CHUNK_LEN), "{pieces:?}");
    }

    #[test]
    fn whole_lines_do_not_wait_for_one_that_is_not_whole() {
        let (template, count) = (template(), AtomicU64::new(0));
        let lines = Lines { template: &template, keep_empty: false, is_json: false, count: &count };
        let (mut handed_on, input) = (Vec::new(), b"a\nb\nc".chain(&b"\n"[..]));
        lines
            .read(input, |items| {
                handed_on.push((items.len(), count.load(Ordering::Acquire)));
                true
            })
            .unwrap();
        assert_eq!(handed_on, [(2, 2), (1, 3)]);
    }

    #[test]
    fn reading_ends_when_nobody_takes_events() {
        let (template, mut taken) = (template(), 0);
        let lines = Lines { template: &template, keep_empty: false, is_json: false, count: &AtomicU64::new(0) };
        // Endless, so that the test only ends if the reading does.
        lines
            .read(io::repeat(b'\n').take(10).chain(EndlessLines), |items| {
                taken += items.len();
                false
            })
            .unwrap();
        assert!(taken > 0);
    }

    struct EndlessLines;

    impl Read for EndlessLines {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            buf.fill(b'\n');
            buf.iter_mut().step_by(2).for_each(|byte| *byte = b'x');
            Ok(buf.len())
        }
    }
}
