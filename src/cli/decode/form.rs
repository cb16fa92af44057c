//! What an input is: told by how it begins.

use std::io::{self, Read};

use clap::ValueEnum;

use super::super::failure::Failure;
use crate::cli::args::decode::What;
use crate::wire::dissect;
use crate::wire::shape;

/// Bytes that are looked at. Wide enough for the first lines of a dump, with a comment above them.
const START_LEN: usize = 4 * 1024;

/// How bytes are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Form {
    /// Found out by how the input begins
    Auto,
    /// Hex digits, also as xxd, hexdump -C, od or Wireshark print them; # begins a comment
    Hex,
    /// The bytes themselves: one direction of a connection, or a message
    Raw,
    /// A capture of packets: pcap or pcapng
    Capture,
    /// What --record has written, or --trace=json with --trace-hex
    Recording,
}

/// A reader whose first bytes are known.
#[derive(Debug)]
pub(super) struct Peeked<R> {
    start: Vec<u8>,
    /// How much of them has been read.
    taken: usize,
    rest: R,
}

impl<R: Read> Peeked<R> {
    pub(super) fn new(mut rest: R) -> io::Result<Self> {
        let mut start = Vec::new();
        rest.by_ref().take(START_LEN as u64).read_to_end(&mut start)?;
        Ok(Self { start, taken: 0, rest })
    }

    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start.is_empty()
    }
}

impl<R: Read> Read for Peeked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let known = &self.start[self.taken..];
        if known.is_empty() {
            return self.rest.read(buf);
        }
        let len = known.len().min(buf.len());
        buf[..len].copy_from_slice(&known[..len]);
        self.taken += len;
        Ok(len)
    }
}

/// How an input that begins so is written down.
pub(super) fn of(start: &[u8]) -> Form {
    const CAPTURES: [[u8; 4]; 5] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    let is_text = start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || *byte >= 0x80);
    if CAPTURES.iter().any(|magic| start.starts_with(magic)) {
        Form::Capture
    } else if !is_text || is_other_text(start) {
        Form::Raw
    } else if start.trim_ascii_start().starts_with(b"{\"") {
        Form::Recording
    } else {
        Form::Hex
    }
}

/// What bytes that begin so are.
pub(super) fn what(start: &[u8]) -> What {
    let body = |code: u8| match code {
        0x70..=0x78 => What::Message,
        _ => What::Value,
    };
    match *start {
        [0x00, 0x53, code, ..] | [0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, code, ..] => body(code),
        [0x00, 0xa3 | 0xb3, ..] => What::Value,
        _ if dissect::is_start(start) => What::Frames,
        // Not a frame, and all of it is one value.
        _ if start.len() < START_LEN && shape::value_len(start) == Ok(start.len()) => What::Value,
        _ => What::Frames,
    }
}

/// Text of a protocol, not of a dump.
fn is_other_text(start: &[u8]) -> bool {
    start.starts_with(b"AMQP") || is_http(start)
}

fn is_http(start: &[u8]) -> bool {
    start.starts_with(b"GET ") || start.starts_with(b"HTTP/1.1 ") || start.starts_with(b"CONNECT ")
}

/// Whether a TLS record of a handshake or of data begins there.
pub(super) fn is_tls(start: &[u8]) -> bool {
    matches!(start, [0x14..=0x17, 0x03, 0x00..=0x04, ..])
}

/// What to do about bytes that are not AMQP for all to read; `None` if they may be.
pub(super) fn other_protocol(start: &[u8]) -> Option<&'static str> {
    if is_tls(start) {
        return Some(
            "TLS, whose content cannot be read; trace inside of it with --trace or --record, or capture against \
             `hubwire emulator` without TLS",
        );
    }
    is_http(start).then_some(
        "HTTP, so AMQP over WebSocket or a proxy's tunnel, which is not decoded; trace inside of it with --trace or \
         --record",
    )
}

pub(super) fn refuse_other_protocols(start: &[u8]) -> Result<(), Failure> {
    match other_protocol(start) {
        Some(text) => Err(Failure::input(format!("the input is {text}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_known_by_how_it_begins() {
        for (start, form) in [
            (b"414d5150".as_slice(), Form::Hex),
            (b"# a frame\n0000: 41 4d", Form::Hex),
            (b"0x41, 0x4d", Form::Hex),
            (b"AMQP\x00\x01\x00\x00", Form::Raw),
            (b"AMQP", Form::Raw),
            (b"\x00\x00\x00\x08", Form::Raw),
            (b"\x16\x03\x01", Form::Raw),
            (b"\xd4\xc3\xb2\xa1\x02\x00", Form::Capture),
            (b"\x0a\x0d\x0d\x0a", Form::Capture),
            (b"{\"type\":\"frame\"", Form::Recording),
        ] {
            assert_eq!(of(start), form, "{start:02x?}");
        }
    }

    #[test]
    fn bytes_may_begin_anywhere() {
        for (start, expected) in [
            (b"AMQP\x00\x01\x00\x00".as_slice(), What::Frames),
            (b"\x00\x00\x00\x08\x02\x00\x00\x00", What::Frames),
            (b"\x00\x53\x75\xa0\x01x", What::Message),
            (b"\x00\x80\x00\x00\x00\x00\x00\x00\x00\x75\xa0\x01x", What::Message),
            (b"\x00\x53\x18\x45", What::Value),
            (b"\xa1\x01x", What::Value),
            (b"\xff\xff", What::Frames),
        ] {
            assert_eq!(what(start), expected, "{start:02x?}");
        }
    }
}
