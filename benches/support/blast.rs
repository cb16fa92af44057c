//! A client without protocol logic: it opens a connection, writes frames whose layout was found beforehand, and counts
//! outcomes. What it reaches is the ceiling of every client on the same machine.

use std::io::{self, IoSlice, Read, Write};
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use hubwire::wire::event::{Body, Event};
use hubwire::wire::sas::sign;
use hubwire::wire::value::Value;

/// The largest message, and so the largest batch.
pub const BATCH_LEN: usize = 1_048_576;
const MAX_FRAME_LEN: usize = 65_536;
/// Messages of one frame that leave in one write.
const MESSAGES_TOGETHER: usize = 64;
pub const BATCH_FORMAT: u32 = 0x8001_3700;

/// Packs events of one body into a message, by plain copies.
pub struct Packer {
    /// What stands before each body: the starts of two sections.
    start: Vec<u8>,
    /// Bytes of `start` that are the outer section's.
    outer_len: usize,
    body: Vec<u8>,
    count: usize,
}

impl Packer {
    /// Of as many events of `event_len` bytes as a message holds.
    pub fn full(event_len: usize) -> Self {
        let one = Self::of(event_len, 1);
        Self { count: BATCH_LEN / (one.start.len() + event_len), ..one }
    }

    /// Of `count` events of `event_len` bytes.
    pub fn of(event_len: usize, count: usize) -> Self {
        let section = |len: usize| match u8::try_from(len) {
            Ok(len) => vec![0x00, 0x53, 0x75, 0xa0, len],
            Err(_) => [&[0x00, 0x53, 0x75, 0xb0][..], &(len as u32).to_be_bytes()].concat(),
        };
        let inner = section(event_len);
        let outer = section(inner.len() + event_len);
        let outer_len = outer.len();
        Self { start: [outer, inner].concat(), outer_len, body: vec![7; event_len], count }
    }

    /// Events in a message.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What an event begins with.
    pub fn inner_start(&self) -> &[u8] {
        &self.start[self.outer_len..]
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of a message.
    pub fn message_len(&self) -> usize {
        self.count * (self.start.len() + self.body.len())
    }

    pub fn pack(&self, message: &mut Vec<u8>) {
        message.clear();
        for _ in 0..self.count {
            message.extend_from_slice(&self.start);
            message.extend_from_slice(&self.body);
        }
    }
}

/// The frames of a message: what stands before each piece of it. Only the delivery's number changes.
pub struct Layout {
    frames: Vec<(Vec<u8>, Range<usize>)>,
    /// Where the number stands in the first: as delivery-id and as delivery-tag.
    places: [usize; 2],
}

impl Layout {
    pub fn new(handle: u32, message_len: usize) -> Self {
        // A number of four bytes, whose bytes can be found again.
        const MARK: u32 = 0x7afe_c0de;
        const PIECE_LEN: usize = MAX_FRAME_LEN - 64;
        let pieces = (0..message_len).step_by(PIECE_LEN).map(|at| at..message_len.min(at + PIECE_LEN));
        let frames = pieces.map(|piece| {
            let more = piece.end < message_len;
            let performative = if piece.start == 0 {
                transfer(handle, MARK, BATCH_FORMAT, more)
            } else {
                performative(0x14, vec![handle.into(), Value::Null, Value::Null, Value::Null, Value::Null, more.into()])
            };
            (header(0, &performative, piece.len()), piece)
        });
        let frames: Vec<_> = frames.collect();
        let mut marks = frames[0].0.windows(4).enumerate().filter(|(_, window)| *window == MARK.to_be_bytes());
        let mut next = || marks.next().expect("the number, twice").0;
        let places = [next(), next()];
        Self { frames, places }
    }

    fn number(&mut self, delivery_id: u32) {
        for place in self.places {
            self.frames[0].0[place..place + 4].copy_from_slice(&delivery_id.to_be_bytes());
        }
    }
}

/// An open connection of a client without protocol logic, with one link whose handle is 2.
pub struct Blaster<S> {
    stream: S,
    input: Vec<u8>,
    at: usize,
    next_id: u32,
}

impl<S: Read + Write> Blaster<S> {
    /// Opens a connection up to a link that has credit.
    pub fn open(stream: S) -> io::Result<Self> {
        let mut this = Self { stream, input: Vec::new(), at: 0, next_id: 1 };
        let mut init = BytesMut::new();
        performative(0x41, vec![Value::symbol("ANONYMOUS")]).encode(&mut init);
        this.say(b"AMQP\x03\x01\x00\x00")?;
        this.say(&[&((8 + init.len()) as u32).to_be_bytes()[..], &[2, 1, 0, 0], &init].concat())?;
        this.skip(8)?;
        this.until(0x40)?;
        this.until(0x44)?;
        this.say(b"AMQP\x00\x01\x00\x00")?;
        this.skip(8)?;
        let window: Value = 1_000_000_u32.into();
        let open = performative(0x10, vec!["blast".into(), "localhost".into(), (MAX_FRAME_LEN as u32).into()]);
        this.say(&header(0, &open, 0))?;
        this.say(&header(0, &performative(0x11, vec![Value::Null, 0_u32.into(), window.clone(), window]), 0))?;
        this.say(&attach("answers", 0, true, "$cbs", "me"))?;
        this.say(&attach("requests", 1, false, "me", "$cbs"))?;
        let credit = [0_u32, 1_000_000, 0, 1_000_000, 0, 0, 10];
        this.say(&header(0, &performative(0x13, credit.map(Value::from).to_vec()), 0))?;
        this.until(0x13)?;
        // The token is delivery 0.
        let token = put_token();
        this.say(&[&header(0, &transfer(1, 0, 0, false), token.len())[..], &token].concat())?;
        this.until(0x14)?;
        this.say(&attach("events", 2, false, "me", "telemetry"))?;
        this.until(0x13)?;
        Ok(this)
    }

    /// Writes messages, as `pack` makes each in one of `memory` after the other, up to `window` of them without an outcome; the
    /// time from the first byte to the last outcome.
    #[allow(clippy::disallowed_methods, reason = "a bench measures time")]
    pub fn blast(
        &mut self,
        layout: &mut Layout,
        window: usize,
        messages: usize,
        memory: &mut [Vec<u8>],
        pack: impl Fn(&mut Vec<u8>),
    ) -> io::Result<Duration> {
        let began = Instant::now();
        let (mut sent, mut settled) = (0, 0);
        while settled < messages {
            while sent < messages && sent - settled < window {
                let message = &mut memory[sent % memory.len()];
                pack(message);
                layout.number(self.next_id);
                self.next_id += 1;
                self.write(layout, message)?;
                sent += 1;
            }
            settled += self.settled()?;
        }
        Ok(began.elapsed())
    }

    /// The same for messages of one frame, many of which leave in one write.
    #[allow(clippy::disallowed_methods, reason = "a bench measures time")]
    pub fn blast_together(&mut self, packer: &Packer, window: usize, messages: usize) -> io::Result<Duration> {
        let mut layout = Layout::new(2, packer.message_len());
        let (mut message, mut bytes) = (Vec::new(), Vec::new());
        let began = Instant::now();
        let (mut sent, mut settled) = (0, 0);
        while settled < messages {
            while sent < messages && sent - settled < window {
                bytes.clear();
                for _ in 0..MESSAGES_TOGETHER.min(messages - sent).min(window - (sent - settled)) {
                    packer.pack(&mut message);
                    layout.number(self.next_id);
                    self.next_id += 1;
                    bytes.extend_from_slice(&layout.frames[0].0);
                    bytes.extend_from_slice(&message);
                    sent += 1;
                }
                self.say(&bytes)?;
            }
            settled += self.settled()?;
        }
        Ok(began.elapsed())
    }

    /// How many messages the next disposition settles.
    fn settled(&mut self) -> io::Result<usize> {
        let fields = self.until(0x15)?;
        let first = fields[1].as_i64().unwrap_or_default();
        let last = fields.get(2).and_then(Value::as_i64).unwrap_or(first);
        // The token's may come late.
        Ok(if first > 0 { (last - first + 1) as usize } else { 0 })
    }

    fn write(&mut self, layout: &Layout, message: &[u8]) -> io::Result<()> {
        let slices = layout.frames.iter().flat_map(|(header, piece)| [&header[..], &message[piece.clone()]]);
        let mut slices: Vec<IoSlice<'_>> = slices.map(IoSlice::new).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let written = self.stream.write_vectored(left)?;
            IoSlice::advance_slices(&mut left, written);
        }
        self.stream.flush()
    }

    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    fn more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4_096];
        let len = self.stream.read(&mut bytes)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.drain(..self.at);
        self.at = 0;
        self.input.extend_from_slice(&bytes[..len]);
        Ok(())
    }

    fn skip(&mut self, len: usize) -> io::Result<()> {
        while self.input.len() - self.at < len {
            self.more()?;
        }
        self.at += len;
        Ok(())
    }

    /// The code of the next performative, and its fields.
    fn next(&mut self) -> io::Result<(u64, Vec<Value>)> {
        loop {
            self.skip(4)?;
            let len = u32::from_be_bytes(self.input[self.at - 4..self.at].try_into().expect("four bytes")) as usize;
            self.at -= 4;
            self.skip(len)?;
            let frame = &self.input[self.at - len..self.at];
            if len > 8 {
                let (value, _) = Value::decode_prefix(&Bytes::copy_from_slice(&frame[8..])).expect("a performative");
                if let Value::Described(parts) = value
                    && let (Value::Ulong(code), Value::List(fields)) = *parts
                {
                    return Ok((code, fields));
                }
            }
        }
    }

    fn until(&mut self, code: u64) -> io::Result<Vec<Value>> {
        loop {
            let (found, fields) = self.next()?;
            assert!(![0x16, 0x17, 0x18].contains(&found), "the peer refused: {fields:?}");
            if found == code {
                return Ok(fields);
            }
        }
    }
}

/// A frame up to its payload of `payload_len` bytes.
fn header(channel: u16, performative: &Value, payload_len: usize) -> Vec<u8> {
    let mut body = BytesMut::new();
    performative.encode(&mut body);
    let mut frame = ((8 + body.len() + payload_len) as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&[2, 0]);
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

fn performative(code: u64, fields: Vec<Value>) -> Value {
    Value::described(code, Value::List(fields))
}

fn transfer(handle: u32, delivery_id: u32, format: u32, more: bool) -> Value {
    let tag = Bytes::copy_from_slice(&delivery_id.to_be_bytes());
    let fields = vec![handle.into(), delivery_id.into(), tag.into(), format.into(), false.into(), more.into()];
    performative(0x14, fields)
}

fn attach(name: &str, handle: u32, is_receiver: bool, source: &str, target: &str) -> Vec<u8> {
    let terminus = |code, address: &str| performative(code, vec![address.into()]);
    let mut fields = vec![name.into(), handle.into(), is_receiver.into(), Value::Null, Value::Null];
    fields.extend([terminus(0x28, source), terminus(0x29, target), Value::Null, Value::Null, 0_u32.into()]);
    header(0, &performative(0x12, fields), 0)
}

#[allow(clippy::disallowed_methods, reason = "a token is dated")]
fn put_token() -> Bytes {
    let audience = "sb://localhost/telemetry";
    let ttl = Duration::from_secs(3_600);
    let token = sign(audience, "RootManageSharedAccessKey", "SAS_KEY_VALUE", SystemTime::now(), ttl);
    let request = Event::from_body(Body::Value(token.as_str().into()))
        .with_message_id(1)
        .with_property("operation", "put-token")
        .with_property("type", "servicebus.windows.net:sastoken")
        .with_property("name", audience);
    request.encode().expect("a request")
}
