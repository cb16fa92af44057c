//! Frames as bytes: what of a transfer a sink has to know, and frames to answer with.

use bytes::{BufMut, BytesMut};

use crate::wire::descriptors::codes::{ATTACH, BEGIN, CLOSE, DETACH, DISPOSITION, END, FLOW, OPEN, TRANSFER};
use crate::wire::shape::value_len;
use crate::wire::value::Value;

/// Fields of a performative, up to the last: the Python SDK reads none that is cut short. Source: sdk-handshakes.
fn field_count(code: u64) -> usize {
    match code {
        OPEN => 10,
        BEGIN => 8,
        ATTACH => 14,
        FLOW | TRANSFER => 11,
        DISPOSITION => 6,
        DETACH => 3,
        END | CLOSE => 1,
        _ => 0,
    }
}

/// Puts a frame into `out`; SASL frames have type 1.
pub(super) fn put(out: &mut Vec<u8>, kind: u8, channel: u16, code: u64, mut fields: Vec<Value>, payload: &[u8]) {
    fields.resize(fields.len().max(field_count(code)), Value::Null);
    let mut performative = BytesMut::new();
    Value::described(code, Value::List(fields)).encode(&mut performative);
    out.put_u32((8 + performative.len() + payload.len()) as u32);
    out.put_slice(&[2, kind]);
    out.put_u16(channel);
    out.put_slice(&performative);
    out.put_slice(payload);
}

/// What a transfer says that a sink has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) handle: u32,
    pub(super) delivery_id: Option<u32>,
    pub(super) is_settled: bool,
    pub(super) has_more: bool,
    /// Bytes of the performative: the payload follows.
    pub(super) len: usize,
}

impl Transfer {
    /// Reads the performative that `body` begins with; `None` if it is another one, or broken.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor { bytes: body.strip_prefix(&[0x00, 0x53, 0x14])?, at: 0 };
        let (len, count) = cursor.list()?;
        let end = cursor.at.checked_add(len)?;
        let mut transfer = Self { handle: 0, delivery_id: None, is_settled: false, has_more: false, len: 3 + end };
        for index in 0..count {
            match index {
                0 => transfer.handle = cursor.uint()?.unwrap_or(0),
                1 => transfer.delivery_id = cursor.uint()?,
                4 => transfer.is_settled = cursor.boolean()?,
                5 => {
                    transfer.has_more = cursor.boolean()?;
                    break;
                }
                _ => cursor.skip()?,
            }
        }
        (transfer.len <= body.len()).then_some(transfer)
    }
}

/// Reads AMQP values where they stand. Source: AMQP 1.0 part 1, 1.2.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = *self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(bytes)
    }

    /// A list's bytes after its count, and its count.
    fn list(&mut self) -> Option<(usize, usize)> {
        match self.take::<1>()? {
            [0x45] => Some((0, 0)),
            [0xc0] => {
                let [len, count] = self.take()?;
                Some((usize::from(len).checked_sub(1)?, count.into()))
            }
            [0xd0] => {
                let len = u32::from_be_bytes(self.take()?) as usize;
                Some((len.checked_sub(4)?, u32::from_be_bytes(self.take()?) as usize))
            }
            _ => None,
        }
    }

    fn uint(&mut self) -> Option<Option<u32>> {
        match self.take::<1>()? {
            [0x40] => Some(None),
            [0x43] => Some(Some(0)),
            [0x52] => self.take::<1>().map(|[byte]| Some(byte.into())),
            [0x70] => self.take().map(|bytes| Some(u32::from_be_bytes(bytes))),
            _ => None,
        }
    }

    /// False where it is null.
    fn boolean(&mut self) -> Option<bool> {
        match self.take::<1>()? {
            [0x41] => Some(true),
            [0x40 | 0x42] => Some(false),
            [0x56] => self.take::<1>().map(|[byte]| byte == 1),
            _ => None,
        }
    }

    fn skip(&mut self) -> Option<()> {
        self.at += value_len(self.bytes.get(self.at..)?).ok()?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(fields: Vec<Value>) -> BytesMut {
        let mut bytes = BytesMut::new();
        Value::described(TRANSFER, Value::List(fields)).encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_transfer_is_read_whatever_its_numbers_and_its_tag() {
        for number in [0_u32, 7, 255, 256, 70_000, u32::MAX] {
            for tag_len in [0, 4, 32, 300] {
                for (is_settled, has_more) in [(false, true), (true, false)] {
                    let tag = bytes::Bytes::from(vec![9; tag_len]);
                    let format = 0x8001_3700_u32.into();
                    let mut fields: Vec<Value> = vec![number.into(), number.into(), tag.into(), format];
                    fields.extend([is_settled.into(), has_more.into(), Value::Null]);
                    let mut bytes = encoded(fields);
                    let len = bytes.len();
                    bytes.put_slice(b"payload");
                    let expected = Transfer { handle: number, delivery_id: Some(number), is_settled, has_more, len };
                    assert_eq!(Transfer::read(&bytes), Some(expected));
                    assert!((0..len).all(|cut| Transfer::read(&bytes[..cut]).is_none()), "a part is not all of it");
                }
            }
        }
    }

    #[test]
    fn what_a_transfer_leaves_out_is_false_or_nothing() {
        let bytes = encoded(vec![3_u32.into()]);
        let len = bytes.len();
        let expected = Transfer { handle: 3, delivery_id: None, is_settled: false, has_more: false, len };
        assert_eq!(Transfer::read(&bytes), Some(expected));
        let mut attach = BytesMut::new();
        Value::described(ATTACH, Value::List(vec!["name".into()])).encode(&mut attach);
        assert_eq!(Transfer::read(&attach), None);
    }
}
