//! Frames as a capture that Wireshark opens: each connection as TCP over IPv4 between made-up addresses, the server on port
//! 5672, which is AMQP's in plain. Acknowledged as it comes, with checksums that are right.
//!
//! Source: the IETF's draft-ietf-opsawg-pcapng, 3 and 4 (blocks); RFC 791 3.1, RFC 9293 3.1.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::dialogue::{Direction, Record};

/// IP packets without anything around them.
const LINK_TYPE_RAW: u16 = 101;
const NANOSECONDS: u8 = 9;
const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
const SERVER_PORT: u16 = 5672;
/// The first client's is one above; they come round after a good many connections.
const CLIENT_PORTS: u16 = 49_152;
/// Bytes in one segment: what an IP packet can carry, with room to spare.
const SEGMENT_LEN: usize = 60_000;
/// Room at the end of a segment that no capture fills.
const WINDOW: u16 = 0xffff;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// See the module.
#[derive(Debug)]
pub(super) struct Capture {
    /// The time of day when the trace began.
    began_at: SystemTime,
    streams: BTreeMap<u64, Stream>,
}

/// A connection, as TCP sees it.
#[derive(Debug)]
struct Stream {
    client: Direction,
    client_port: u16,
    /// Of the next byte, by direction.
    sequence: [u32; 2],
}

impl Capture {
    pub(super) fn new(began_at: SystemTime) -> Self {
        Self { began_at, streams: BTreeMap::new() }
    }

    /// The packets of a frame.
    pub(super) fn frame(&mut self, record: &Record) -> Vec<u8> {
        let mut out = Vec::new();
        let unix_nanos = self.unix_nanos(record.at);
        let stream = self.streams.entry(record.connection).or_insert_with(|| {
            let mut stream = Stream::new(record);
            stream.shake_hands(unix_nanos, &mut out);
            stream
        });
        let bytes = record.bytes.concat();
        for segment in bytes.chunks(SEGMENT_LEN) {
            stream.packet(record.direction, PSH | ACK, segment, unix_nanos, &mut out);
        }
        // What is not held is missing: a reader sees it by the numbers.
        stream.advance(record.direction, record.len.saturating_sub(bytes.len()));
        out
    }

    /// The packets of a goodbye.
    pub(super) fn end(&mut self, connection: u64, at: Duration) -> Vec<u8> {
        let mut out = Vec::new();
        let unix_nanos = self.unix_nanos(at);
        if let Some(mut stream) = self.streams.remove(&connection) {
            for direction in [stream.client, stream.client.other()] {
                stream.packet(direction, FIN | ACK, &[], unix_nanos, &mut out);
                stream.advance(direction, 1);
            }
            stream.packet(stream.client, ACK, &[], unix_nanos, &mut out);
        }
        out
    }

    fn unix_nanos(&self, at: Duration) -> u64 {
        let since = self.began_at.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(at);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The blocks that a file begins with.
pub(super) fn preamble() -> Vec<u8> {
    let mut out = Vec::new();
    // Byte order, version 1.0, and a length that is not said.
    let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    block(0x0a0d_0d0a, &section, &mut out);
    // The link type, no limit to packets, the unit of time, and the end of options.
    let [low, high] = LINK_TYPE_RAW.to_le_bytes();
    block(1, &[low, high, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, NANOSECONDS, 0, 0, 0, 0, 0, 0, 0], &mut out);
    out
}

impl Stream {
    /// The client is who speaks first.
    fn new(record: &Record) -> Self {
        let port = (record.connection % u64::from(u16::MAX - CLIENT_PORTS)) as u16;
        Self { client: record.direction, client_port: CLIENT_PORTS + port, sequence: [0; 2] }
    }

    fn shake_hands(&mut self, unix_nanos: u64, out: &mut Vec<u8>) {
        let (client, server) = (self.client, self.client.other());
        self.packet(client, SYN, &[], unix_nanos, out);
        self.advance(client, 1);
        self.packet(server, SYN | ACK, &[], unix_nanos, out);
        self.advance(server, 1);
        self.packet(client, ACK, &[], unix_nanos, out);
    }

    fn advance(&mut self, direction: Direction, len: usize) {
        let sequence = &mut self.sequence[direction.index()];
        *sequence = sequence.wrapping_add(len as u32);
    }

    /// A packet, which acknowledges all that came the other way.
    fn packet(&mut self, direction: Direction, flags: u8, payload: &[u8], unix_nanos: u64, out: &mut Vec<u8>) {
        let is_client = direction == self.client;
        let (from, to) = if is_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let tcp = self.segment(direction, flags, payload, from, to);
        let packet = [&ip_header(from, to, tcp.len())[..], &tcp].concat();
        let len = (packet.len() as u32).to_le_bytes();
        let (high, low) = ((unix_nanos >> 32) as u32, unix_nanos as u32);
        let header = [&[0; 4], &high.to_le_bytes(), &low.to_le_bytes(), &len, &len].map(|field| *field).concat();
        block(6, &[header, packet].concat(), out);
        self.advance(direction, payload.len());
    }

    fn segment(&self, direction: Direction, flags: u8, payload: &[u8], from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let is_client = direction == self.client;
        let (source, target) =
            if is_client { (self.client_port, SERVER_PORT) } else { (SERVER_PORT, self.client_port) };
        let acknowledged = if flags & ACK == 0 { 0 } else { self.sequence[direction.other().index()] };
        // With the first segments, a window that is scaled as far as it goes.
        let options: &[u8] = if flags & SYN == 0 { &[] } else { &[3, 3, 14, 0] };
        let mut tcp = Vec::with_capacity(24 + payload.len());
        tcp.extend_from_slice(&source.to_be_bytes());
        tcp.extend_from_slice(&target.to_be_bytes());
        tcp.extend_from_slice(&self.sequence[direction.index()].to_be_bytes());
        tcp.extend_from_slice(&acknowledged.to_be_bytes());
        tcp.extend_from_slice(&[((20 + options.len()) as u8 / 4) << 4, flags]);
        tcp.extend_from_slice(&WINDOW.to_be_bytes());
        tcp.extend_from_slice(&[0; 4]);
        tcp.extend_from_slice(options);
        tcp.extend_from_slice(payload);
        let pseudo_header = [&from[..], &to, &[0, 6], &(tcp.len() as u16).to_be_bytes()].concat();
        let sum = checksum(&[&pseudo_header, &tcp]);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }
}

fn ip_header(from: [u8; 4], to: [u8; 4], payload_len: usize) -> [u8; 20] {
    let [high, low] = ((20 + payload_len) as u16).to_be_bytes();
    // Version and length, total length, no fragments, 64 hops, TCP.
    let mut header = [0x45, 0, high, low, 0, 0, 0x40, 0, 64, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[12..16].copy_from_slice(&from);
    header[16..].copy_from_slice(&to);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// Of parts whose length is a multiple of four, but for the last. Words of 32 bits give the same sum as two of 16 each.
/// Source: RFC 1071, 1 and 2.
fn checksum(parts: &[&[u8]]) -> u16 {
    let sum_of = |part: &[u8]| -> u64 {
        let (words, rest) = part.as_chunks::<4>();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        words.iter().chain([&last]).map(|word| u64::from(u32::from_be_bytes(*word))).sum()
    };
    let mut sum: u64 = parts.iter().map(|part| sum_of(part)).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A block: its type, its length before and behind, and its body, padded to words.
fn block(kind: u32, body: &[u8], out: &mut Vec<u8>) {
    let padding = body.len().next_multiple_of(4) - body.len();
    let len = (12 + body.len() + padding) as u32;
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&[0; 4][..padding]);
    out.extend_from_slice(&len.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_the_specifications() {
        // Source: RFC 1071, 3.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        let header = ip_header(CLIENT, SERVER, 20);
        assert_eq!(checksum(&[&header]), 0, "over a header with its checksum it is none");
    }

    #[test]
    fn blocks_are_whole_words() {
        for len in 0..8 {
            let mut out = Vec::new();
            block(6, &vec![7; len], &mut out);
            assert_eq!(out.len() % 4, 0);
            assert_eq!(out[4..8], out[out.len() - 4..]);
            assert_eq!(out[4..8], (out.len() as u32).to_le_bytes());
        }
    }
}
