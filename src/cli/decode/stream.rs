//! One direction of a connection: bytes as they come -> units.

use std::borrow::Cow;

use bytes::{Buf, Bytes, BytesMut};

use super::super::failure::Failure;
use super::unit::Unit;
use crate::wire::dissect::{self, Cut, Deliveries, Delivery, Dissection, Events, Fault, Node, Secrets, Transfer};

/// Bytes that have to be there to tell whether a frame begins.
const START_LEN: usize = 12;

/// Where units go to.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Unit) -> Result<(), Failure>;

/// Cuts frames from what comes, and joins messages.
#[derive(Debug)]
pub(super) struct Stream {
    buffer: BytesMut,
    /// Where the buffer begins in the stream.
    at: u64,
    deliveries: Deliveries,
    secrets: Secrets,
    /// Where the bytes began that are no frame, while the next one is looked for.
    lost_at: Option<u64>,
}

impl Stream {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self { buffer: BytesMut::new(), at: 0, deliveries: Deliveries::default(), secrets, lost_at: None }
    }

    pub(super) fn push(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Failure> {
        self.buffer.extend_from_slice(bytes);
        while self.next(sink)? {}
        Ok(())
    }

    /// Bytes are missing here: what there is of a frame is shown, and the next one looked for.
    pub(super) fn gap(&mut self, len: u64, sink: Sink<'_>) -> Result<(), Failure> {
        self.end(sink)?;
        let at = self.at;
        self.at += len;
        self.deliveries = Deliveries::default();
        self.lost_at = Some(self.at);
        sink(remark(
            at,
            Fault {
                at: 0,
                expected: "the next bytes of the stream".into(),
                found: format!("a gap of {len} bytes, which were not captured").into(),
            },
        ))
    }

    /// Looks for the first frame: the stream has begun before its bytes were captured.
    pub(super) fn look_for_start(&mut self) {
        self.lost_at = Some(self.at);
    }

    /// No more comes: what is left is no whole frame.
    pub(super) fn end(&mut self, sink: Sink<'_>) -> Result<(), Failure> {
        if let Some(lost_at) = self.lost_at.take() {
            self.skip(self.buffer.len());
            return self.skipped(lost_at, sink);
        }
        let (at, rest) = (self.at, self.buffer.split().freeze());
        self.at += rest.len() as u64;
        if rest.is_empty() { Ok(()) } else { self.frame(at, rest, sink) }
    }

    /// Takes the next unit; whether there may be another one.
    fn next(&mut self, sink: Sink<'_>) -> Result<bool, Failure> {
        if let Some(lost_at) = self.lost_at {
            return self.find(lost_at, sink);
        }
        match dissect::cut(&self.buffer) {
            Cut::Unit(len) if !self.is_sound() => self.lose(len.min(8), sink),
            Cut::Unit(len) if self.buffer.len() >= len => {
                let (at, frame) = (self.at, self.buffer.split_to(len).freeze());
                self.at += len as u64;
                self.frame(at, frame, sink)?;
                Ok(true)
            }
            Cut::Unit(_) | Cut::Unknown => Ok(false),
            Cut::Nothing if self.buffer.len() < 8 => Ok(false),
            Cut::Nothing => self.lose(8, sink),
        }
    }

    /// Whether the header may be one, as far as it has come.
    fn is_sound(&self) -> bool {
        match *self.buffer {
            [b'A', ..] => true,
            [a, b, c, d, doff, kind, ..] => {
                kind <= 1 && doff >= 2 && u32::from(doff) * 4 <= u32::from_be_bytes([a, b, c, d])
            }
            _ => true,
        }
    }

    /// Shows the header that is none, and looks for the next.
    fn lose(&mut self, len: usize, sink: Sink<'_>) -> Result<bool, Failure> {
        let (at, header) = (self.at, self.buffer.split_to(len).freeze());
        self.at += len as u64;
        self.lost_at = Some(self.at);
        self.frame(at, header, sink)?;
        Ok(true)
    }

    fn find(&mut self, lost_at: u64, sink: Sink<'_>) -> Result<bool, Failure> {
        let starts = self.buffer.len().saturating_sub(START_LEN - 1);
        let found = (0..starts).find(|at| dissect::is_start(&self.buffer[*at..]));
        self.skip(found.unwrap_or(starts));
        if found.is_some() {
            self.lost_at = None;
            self.skipped(lost_at, sink)?;
        }
        Ok(found.is_some())
    }

    fn skip(&mut self, len: usize) {
        self.buffer.advance(len);
        self.at += len as u64;
    }

    fn skipped(&self, lost_at: u64, sink: Sink<'_>) -> Result<(), Failure> {
        match self.at - lost_at {
            0 => Ok(()),
            len => sink(remark(
                lost_at,
                Fault {
                    at: 0,
                    expected: "a frame or protocol header".into(),
                    found: format!("{len} bytes in which none begins").into(),
                },
            )),
        }
    }

    fn frame(&mut self, at: u64, frame: Bytes, sink: Sink<'_>) -> Result<(), Failure> {
        let (mut dissection, transfer) = dissect::frame(&frame, self.secrets);
        let joined = transfer.and_then(|transfer| self.payload(&frame, &mut dissection, transfer));
        sink(Unit::new(at, frame, dissection))?;
        match joined {
            Some((message, dissection)) => sink(Unit::new(0, message, dissection)),
            None => Ok(()),
        }
    }

    /// Shows the payload for what it is; the message, when this is the last of several parts.
    fn payload(&mut self, frame: &Bytes, found: &mut Dissection, transfer: Transfer) -> Option<(Bytes, Dissection)> {
        let note: Cow<'static, str> = match self.deliveries.add(&transfer, &frame[transfer.payload.clone()]) {
            Delivery::Whole { message_format } => {
                let events = Events::of_format(message_format);
                found.put_payload(dissect::message(frame, transfer.payload, events, self.secrets));
                return None;
            }
            Delivery::Part { len } => format!("a part of a message, {len} bytes so far").into(),
            Delivery::Headless => "a part of a message whose beginning is not here".into(),
            Delivery::Aborted => "of a message that its sender took back".into(),
            Delivery::TooLarge { len, transfers } => {
                format!("the end of a message of {len} bytes in {transfers} transfers, too large to be opened").into()
            }
            Delivery::Joined { message, message_format, transfers } => {
                found.payload()?.note = Some("the end of a message, which follows".into());
                let events = Events::of_format(message_format);
                let mut dissection = dissect::message(&message, 0..message.len(), events, self.secrets);
                let node = dissection.nodes.first_mut()?;
                let what = node.note.take().map(|what| format!("{what}, ")).unwrap_or_default();
                node.note = Some(format!("{what}from {transfers} transfers").into());
                return Some((message, dissection));
            }
        };
        if let Some(payload) = found.payload() {
            payload.note = Some(note);
        }
        None
    }
}

/// A unit that has no bytes, and says what is wrong.
fn remark(at: u64, fault: Fault) -> Unit {
    let dissection = Dissection { nodes: Vec::<Node>::new(), faults: vec![fault], secrets: vec![], rests: vec![] };
    Unit::new(at, Bytes::new(), dissection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;
    use crate::wire::batch::MESSAGE_FORMAT;
    use crate::wire::frame::TransferHeader;

    /// What a stream shows that comes in pieces: each unit's place, and the notes and faults in it.
    fn shown(stream: &[u8], piece_len: usize) -> Vec<(u64, String)> {
        let mut units = Vec::new();
        let mut sink = |unit: Unit| {
            let told = unit.dissection.nodes.iter().map(|node| node.note.as_deref().unwrap_or(&node.name).to_owned());
            let wrong = unit.dissection.faults.iter().map(ToString::to_string);
            units.push((unit.at, told.chain(wrong).collect::<Vec<_>>().join("; ")));
            Ok(())
        };
        let mut decoder = Stream::new(Secrets::Masked);
        for piece in stream.chunks(piece_len) {
            decoder.push(piece, &mut sink).unwrap();
        }
        decoder.end(&mut sink).unwrap();
        units
    }

    /// A batch of one event, in transfers of 64 bytes at most.
    fn transfers() -> Vec<u8> {
        let mut batch = Batch::new(1_000);
        assert!(batch.try_add(vec![b'x'; 100]).is_added());
        let (mut rest, mut first, mut out) = (batch.encoded(), Some((0, 0, MESSAGE_FORMAT)), Vec::new());
        while !rest.is_empty() {
            let header = TransferHeader { channel: 0, handle: 0, first: first.take(), settled: false };
            let (encoded, len) = header.encode(rest.len(), 64);
            out.extend_from_slice(&encoded);
            out.extend_from_slice(&rest[..len]);
            rest = &rest[len..];
        }
        out
    }

    #[test]
    fn a_message_is_joined_however_its_bytes_come() {
        let stream = [b"AMQP\x00\x01\x00\x00".as_slice(), &transfers(), &[0, 0, 0, 8, 2, 0, 0, 0]].concat();
        let whole = shown(&stream, stream.len());
        assert_eq!(whole[0], (0, "protocol-header".to_owned()));
        assert_eq!(whole[whole.len() - 2], (0, format!("a batch of 1 event, from {} transfers", whole.len() - 3)));
        assert_eq!(whole.last().unwrap().1, "a sign of life");
        for piece_len in 1..40 {
            assert_eq!(shown(&stream, piece_len), whole, "{piece_len}");
        }
    }

    #[test]
    fn a_stream_that_loses_its_place_finds_it_again() {
        let stream = [b"AMQP\x00\x01\x00\x00".as_slice(), b"not a frame at all", &[0, 0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 8]];
        let stream = [&stream.concat()[..], &[2, 0, 0, 0]].concat();
        for piece_len in 1..stream.len() {
            let units = shown(&stream, piece_len);
            assert_eq!(
                units.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
                [0, 8, 16, 26, 34],
                "{piece_len}: {units:?}"
            );
            assert!(units[2].1.contains("found 10 bytes in which none begins"), "{units:?}");
        }
    }
}
