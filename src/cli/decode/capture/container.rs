//! pcap and pcapng -> packets, one at a time, in either byte order.
//! Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.

use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No packet is this long, and no block around one.
const MAX_BLOCK_LEN: usize = 16 << 20;
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) time: Option<SystemTime>,
    pub(super) link_type: u32,
    pub(super) data: Vec<u8>,
    /// More was on the wire.
    pub(super) is_cut_short: bool,
}

/// Reads packets.
pub(super) struct Packets<R> {
    input: Input<R>,
    form: Form,
}

enum Form {
    Pcap { link_type: u32, ticks_per_sec: u64 },
    Pcapng { interfaces: Vec<Interface> },
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: u32,
    snap_len: usize,
    ticks_per_sec: Option<u64>,
    offset_secs: i64,
}

impl<R: Read> Packets<R> {
    pub(super) fn new(reader: R) -> io::Result<Self> {
        let mut input = Input { reader, at: 0, is_big_endian: false, is_cut_short: false };
        let magic = input.take(4)?.ok_or_else(|| no_capture(0))?;
        let number = u32::from_le_bytes([magic[0], magic[1], magic[2], magic[3]]);
        if number == SECTION_HEADER {
            // The length comes before what tells the byte order.
            let rest = input.take(8)?.ok_or_else(|| no_capture(4))?;
            input.section(&rest)?;
            return Ok(Self { input, form: Form::Pcapng { interfaces: Vec::new() } });
        }
        input.is_big_endian = matches!(number.swap_bytes(), 0xa1b2_c3d4 | 0xa1b2_3c4d);
        let ticks_per_sec = match input.u32(&magic) {
            0xa1b2_c3d4 => 1_000_000,
            0xa1b2_3c4d => 1_000_000_000,
            _ => return Err(no_capture(0)),
        };
        let header = input.take(20)?.ok_or_else(|| no_capture(4))?;
        // What stands above is about check sums.
        let link_type = input.u32(&header[16..]) & 0x0fff_ffff;
        Ok(Self { input, form: Form::Pcap { link_type, ticks_per_sec } })
    }

    /// Whether it ended in the middle of a packet.
    pub(super) fn is_cut_short(&self) -> bool {
        self.input.is_cut_short
    }

    /// The next packet; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Packet>> {
        match &mut self.form {
            Form::Pcap { link_type, ticks_per_sec } => self.input.record(*link_type, *ticks_per_sec),
            Form::Pcapng { interfaces } => loop {
                let Some((kind, body)) = self.input.block()? else { return Ok(None) };
                match kind {
                    SECTION_HEADER => interfaces.clear(),
                    INTERFACE => interfaces.push(self.input.interface(&body)?),
                    ENHANCED_PACKET | OBSOLETE_PACKET => return self.input.enhanced(kind, &body, interfaces).map(Some),
                    SIMPLE_PACKET => return self.input.simple(&body, interfaces).map(Some),
                    _ => {}
                }
            },
        }
    }
}

/// Numbers in the byte order of a capture.
struct Input<R> {
    reader: R,
    at: u64,
    is_big_endian: bool,
    is_cut_short: bool,
}

impl<R: Read> Input<R> {
    /// The next bytes; `None` if the input ends before them.
    fn take(&mut self, len: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(len as u64).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        if bytes.len() < len {
            self.is_cut_short = !bytes.is_empty();
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    /// What has to be there, since something stands before it.
    fn rest(&mut self, len: usize) -> io::Result<Option<Vec<u8>>> {
        let rest = self.take(len)?;
        self.is_cut_short |= rest.is_none();
        Ok(rest)
    }

    fn u16(&self, bytes: &[u8]) -> u16 {
        let bytes = bytes.first_chunk().copied().unwrap_or_default();
        if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(&self, bytes: &[u8]) -> u32 {
        let bytes = bytes.first_chunk().copied().unwrap_or_default();
        if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn u64(&self, bytes: &[u8]) -> u64 {
        let bytes = bytes.first_chunk().copied().unwrap_or_default();
        if self.is_big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }

    /// A packet of pcap.
    fn record(&mut self, link_type: u32, ticks_per_sec: u64) -> io::Result<Option<Packet>> {
        let at = self.at;
        let Some(header) = self.take(16)? else { return Ok(None) };
        let (secs, ticks) = (self.u32(&header), self.u32(&header[4..]));
        let (len, wire_len) = (self.u32(&header[8..]) as usize, self.u32(&header[12..]) as usize);
        if len > MAX_BLOCK_LEN {
            return Err(broken(at, "a packet"));
        }
        let Some(data) = self.rest(len)? else { return Ok(None) };
        let time = time(u64::from(secs) * ticks_per_sec + u64::from(ticks), ticks_per_sec, 0);
        Ok(Some(Packet { time, link_type, is_cut_short: data.len() < wire_len, data }))
    }

    /// Type and body of the next block of pcapng. A section's header changes the byte order.
    fn block(&mut self) -> io::Result<Option<(u32, Vec<u8>)>> {
        let at = self.at;
        let Some(header) = self.take(8)? else { return Ok(None) };
        let kind = self.u32(&header);
        if kind == SECTION_HEADER {
            let Some(order) = self.rest(4)? else { return Ok(None) };
            self.section(&[&header[4..], &order].concat())?;
            return Ok(Some((kind, Vec::new())));
        }
        let len = self.u32(&header[4..]) as usize;
        if !(12..=MAX_BLOCK_LEN).contains(&len) || !len.is_multiple_of(4) {
            return Err(broken(at, "a block"));
        }
        let Some(mut body) = self.rest(len - 8)? else { return Ok(None) };
        body.truncate(len - 12);
        Ok(Some((kind, body)))
    }

    /// Reads a section's header to its end, from its length and the byte order on.
    fn section(&mut self, start: &[u8]) -> io::Result<()> {
        let at = self.at - 12;
        self.is_big_endian = match start[4..8] {
            [0x1a, 0x2b, 0x3c, 0x4d] => true,
            [0x4d, 0x3c, 0x2b, 0x1a] => false,
            _ => return Err(broken(at, "a section")),
        };
        match self.u32(start) as usize {
            len @ 28..=MAX_BLOCK_LEN => self.rest(len - 12).map(drop),
            _ => Err(broken(at, "a section")),
        }
    }

    fn interface(&self, body: &[u8]) -> io::Result<Interface> {
        if body.len() < 8 {
            return Err(broken(self.at, "an interface"));
        }
        let snap_len = match self.u32(&body[4..]) as usize {
            0 => usize::MAX,
            len => len,
        };
        let mut interface =
            Interface { link_type: self.u16(body).into(), snap_len, ticks_per_sec: Some(1_000_000), offset_secs: 0 };
        let mut options = &body[8..];
        while let [_, _, _, _, rest @ ..] = options {
            let (code, len) = (self.u16(options), usize::from(self.u16(&options[2..])));
            match (code, rest.get(..len)) {
                (9, Some([resolution])) => interface.ticks_per_sec = ticks_per_sec(*resolution),
                (14, Some(offset)) if len == 8 => interface.offset_secs = self.u64(offset) as i64,
                (1.., Some(_)) => {}
                _ => break,
            }
            options = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(interface)
    }

    /// A packet with its time. The obsolete block differs in that two numbers share the first word.
    fn enhanced(&self, kind: u32, body: &[u8], interfaces: &[Interface]) -> io::Result<Packet> {
        let bad = || broken(self.at, "a packet");
        let index = match kind {
            OBSOLETE_PACKET => self.u16(body).into(),
            _ => self.u32(body) as usize,
        };
        let header = body.get(4..20).ok_or_else(bad)?;
        let interface = interfaces.get(index).ok_or_else(bad)?;
        let ticks = u64::from(self.u32(header)) << 32 | u64::from(self.u32(&header[4..]));
        let (len, wire_len) = (self.u32(&header[8..]) as usize, self.u32(&header[12..]) as usize);
        let data = body[20..].get(..len).ok_or_else(bad)?.to_vec();
        let time = interface.ticks_per_sec.and_then(|per_sec| time(ticks, per_sec, interface.offset_secs));
        Ok(Packet { time, link_type: interface.link_type, is_cut_short: len < wire_len, data })
    }

    /// A packet of the first interface, without its time.
    fn simple(&self, body: &[u8], interfaces: &[Interface]) -> io::Result<Packet> {
        let interface = interfaces.first().filter(|_| body.len() >= 4).ok_or_else(|| broken(self.at, "a packet"))?;
        let wire_len = self.u32(body) as usize;
        let len = wire_len.min(interface.snap_len).min(body.len() - 4);
        let data = body[4..4 + len].to_vec();
        Ok(Packet { time: None, link_type: interface.link_type, is_cut_short: len < wire_len, data })
    }
}

/// A power of ten, or of two where the highest bit is set.
fn ticks_per_sec(resolution: u8) -> Option<u64> {
    let power = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 { 10_u64.checked_pow(power) } else { 2_u64.checked_pow(power) }
}

fn time(ticks: u64, ticks_per_sec: u64, offset_secs: i64) -> Option<SystemTime> {
    let nanos = u128::from(ticks % ticks_per_sec) * 1_000_000_000 / u128::from(ticks_per_sec);
    let secs = (ticks / ticks_per_sec).checked_add_signed(offset_secs)?;
    UNIX_EPOCH.checked_add(Duration::new(secs, u32::try_from(nanos).ok()?))
}

fn no_capture(at: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("byte {at}: expected the header of a pcap or pcapng file"))
}

fn broken(at: u64, what: &str) -> io::Error {
    let text = format!("byte {at}: expected {what} of pcap or pcapng, found sizes that contradict each other");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
