//! A frame taken apart, to be changed and put together again.

use bytes::{Bytes, BytesMut};

use crate::trace::{Composite, channel_of, framed};
use crate::wire::descriptors::codes::TRANSFER;
use crate::wire::shape;
use crate::wire::value::Value;

/// A frame with a performative.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Its header, what extends it included.
    head: Bytes,
    pub(super) code: u64,
    fields: Vec<Value>,
    pub(super) payload: Bytes,
    /// As it came, as long as it is that.
    whole: Option<Bytes>,
}

impl Frame {
    /// Takes a frame apart; what has no performative that can be read comes back.
    pub(super) fn read(bytes: Bytes) -> Result<Self, Bytes> {
        let start = (usize::from(bytes[4]) * 4).min(bytes.len());
        let Ok((performative, len)) = Composite::decode(&bytes.slice(start..)) else { return Err(bytes) };
        let (code, fields) = performative.into_parts();
        let (head, payload) = (bytes.slice(..start), bytes.slice(start + len..));
        Ok(Self { head, code, fields, payload, whole: Some(bytes) })
    }

    /// A frame of AMQP with this performative.
    pub(super) fn new(channel: u16, code: u64, fields: Vec<Value>) -> Self {
        let [high, low] = channel.to_be_bytes();
        let head = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 0, high, low]);
        Self { head, code, fields, payload: Bytes::new(), whole: None }
    }

    pub(super) fn channel(&self) -> u16 {
        channel_of(&self.head)
    }

    /// The field in this place, unless it is absent or null.
    pub(super) fn get(&self, place: usize) -> Option<&Value> {
        self.fields.get(place).filter(|value| **value != Value::Null)
    }

    pub(super) fn number(&self, place: usize) -> Option<u32> {
        self.get(place)?.as_i64()?.try_into().ok()
    }

    pub(super) fn is(&self, place: usize) -> bool {
        self.get(place) == Some(&Value::Boolean(true))
    }

    /// The address of the source or target in this place.
    pub(super) fn address(&self, place: usize) -> Option<String> {
        Composite::of(self.get(place)?.clone())?.text("address").map(str::to_owned)
    }

    pub(super) fn set(&mut self, place: usize, value: impl Into<Value>) {
        let value = value.into();
        if self.fields.len() <= place {
            self.fields.resize(place + 1, Value::Null);
        }
        if self.fields[place] != value {
            self.fields[place] = value;
            self.whole = None;
        }
    }

    /// Adds to the number in this place, if there is one. It wraps.
    pub(super) fn add(&mut self, place: usize, more: u32) {
        if let Some(number) = self.number(place).filter(|_| more != 0) {
            self.set(place, number.wrapping_add(more));
        }
    }

    /// Puts a number into this place in the bytes that it has there: what fills a frame to its last byte goes on doing so.
    pub(super) fn renumber(&mut self, place: usize, number: u32) {
        if self.number(place) == Some(number) {
            return;
        }
        let patched = self.whole.as_ref().and_then(|bytes| patched(bytes, self.head.len(), place, number));
        self.set(place, number);
        self.whole = patched;
    }

    pub(super) fn set_payload(&mut self, payload: Bytes) {
        (self.payload, self.whole) = (payload, None);
    }

    /// As it goes over the wire. Whatever is not as it came has all its fields, as some SDKs miss those at the end; but for
    /// transfers, which are not to become longer than the other side takes.
    pub(super) fn into_bytes(self) -> Bytes {
        if let Some(bytes) = self.whole {
            return bytes;
        }
        let mut performative = BytesMut::new();
        Value::described(self.code, self.fields).encode(&mut performative);
        if self.code != TRANSFER {
            performative = BytesMut::from(&shape::full_length(&performative)[..]);
        }
        framed(&self.head, &[&performative[..], &self.payload].concat())
    }
}

/// The frame whose performative begins at `start` with another number in a field, unless that needs more bytes.
fn patched(frame: &[u8], start: usize, place: usize, number: u32) -> Option<Bytes> {
    let mut at = start + 1 + shape::value_len(frame.get(start + 1..)?).ok()?;
    at += match frame.get(at)? {
        0xc0 => 3,
        0xd0 => 9,
        _ => return None,
    };
    for _ in 0..place {
        at += shape::value_len(frame.get(at..)?).ok()?;
    }
    let mut patched = frame.to_vec();
    match (frame.get(at)?, u8::try_from(number)) {
        (0x52, Ok(number)) => *patched.get_mut(at + 1)? = number,
        (0x70, _) => patched.get_mut(at + 1..at + 5)?.copy_from_slice(&number.to_be_bytes()),
        _ => return None,
    }
    Some(patched.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::descriptors::codes::FLOW;

    #[test]
    fn what_is_not_changed_stays_byte_for_byte() {
        // A detach whose numbers are longer than they need be, behind a header that is extended.
        let bytes = b"\0\0\0\x15\x03\0\0\x07\0\0\0\0\0\x53\x16\xc0\x03\x01\x52\x01x";
        let mut frame = Frame::read(Bytes::from_static(bytes)).unwrap();
        assert_eq!((frame.channel(), frame.number(0), frame.get(1), &frame.payload[..]), (7, Some(1), None, &b"x"[..]));
        frame.add(0, 0);
        frame.set(0, 1_u32);
        assert_eq!(frame.clone().into_bytes(), &bytes[..]);
        frame.add(0, 1);
        assert_eq!(frame.into_bytes(), &b"\0\0\0\x17\x03\0\0\x07\0\0\0\0\0\x53\x16\xc0\x05\x03\x52\x02\x40\x40x"[..]);
        assert!(Frame::read(Bytes::from_static(&crate::wire::frame::HEARTBEAT)).is_err());
    }

    #[test]
    fn a_number_takes_the_bytes_that_are_there() {
        for (field, number, expected) in [
            (&b"\x52\x09"[..], 8, Some(&b"\x52\x08"[..])),
            (b"\x52\x09", 0, Some(b"\x52\0")),
            (b"\x70\0\0\x01\0", 255, Some(b"\x70\0\0\0\xff")),
            (b"\x52\x01", 256, None),
            (b"\x43", 1, None),
        ] {
            let list = |field: &[u8]| {
                let count = [&b"\0\x53\x14\xc0"[..], &[field.len() as u8 + 4, 3, 0x43], field, b"\x56\x01payload"];
                let body = count.concat();
                [&(body.len() as u32 + 8).to_be_bytes()[..], &[2, 0, 0, 0], &body].concat()
            };
            let mut frame = Frame::read(list(field).into()).unwrap();
            frame.renumber(1, number);
            assert_eq!(frame.number(1), Some(number));
            let bytes = frame.into_bytes();
            assert_eq!(bytes == list(expected.unwrap_or(b"\x40")), expected.is_some(), "{field:02x?}: {bytes:02x?}");
            assert_eq!(Frame::read(bytes).unwrap().number(1), Some(number));
        }
    }

    #[test]
    fn a_frame_of_ours_is_read_as_it_was_made() {
        let fields = [1_u32, 2, 3, 4].map(Value::from).to_vec();
        let frame = Frame::read(Frame::new(3, FLOW, fields).into_bytes()).unwrap();
        assert_eq!((frame.channel(), frame.code, frame.number(3), frame.number(4)), (3, FLOW, Some(4), None));
    }
}
