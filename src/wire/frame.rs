//! Bytes -> frames, and back.
//!
//! Control frames go through the codecs of the fe2o3-amqp family; what guards them, and the transfer's header, which
//! is the hot path, is written here by hand.
//!
//! A frame, as on the wire (source: AMQP 1.0 part 2, 2.3):
//!
//! ```text
//!  0        4      5      6         8 .. 4*doff      4*doff
//! | size   | doff | type | channel | extended header | performative | payload |
//! ```

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};
use fe2o3_amqp::frames::{FRAME_TYPE_AMQP, FRAME_TYPE_SASL, amqp, sasl};
use serde_amqp::serde::Serialize;
use tokio_util::codec::Decoder;

use super::shape;

/// The protocol header that opens the SASL layer.
pub(crate) const SASL_HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
/// The protocol header that opens AMQP proper.
pub(crate) const AMQP_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
/// What every peer must take before it has said its own limit. Source: AMQP 1.0 part 2, 2.8.19.
pub(crate) const MIN_MAX_FRAME_SIZE: usize = 512;

const FRAME_HEADER_LEN: usize = 8;
/// Bytes of an error description that we send: with condition and performative they fit a frame of 512.
const MAX_DESCRIPTION_LEN: usize = 380;
/// An empty frame: nothing but a sign of life. Source: AMQP 1.0 part 2, 2.4.5.
pub(crate) const HEARTBEAT: [u8; 8] = [0, 0, 0, 8, 2, FRAME_TYPE_AMQP, 0, 0];

/// Why bytes from the peer are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// A size that cannot even hold the frame header.
    #[error("a frame of {size} bytes, shorter than its own 8-byte header")]
    Short { size: u32 },
    /// Larger than the limit we announced.
    #[error("a frame of {size} bytes, over the {limit} we announced")]
    Oversize { size: u32, limit: u32 },
    /// A data offset outside of the frame.
    #[error("a data offset of {doff} words in a frame of {size} bytes")]
    DataOffset { doff: u8, size: u32 },
    /// Neither the AMQP nor the SASL type where that was due.
    #[error("a frame of type {found:#04x} where {expected:#04x} was due")]
    Type { found: u8, expected: u8 },
    /// A performative that does not decode.
    #[error("an undecodable performative: {0}")]
    Performative(String),
}

/// One whole frame, cut from the stream, with its extended header removed.
pub(crate) struct RawFrame {
    kind: u8,
    /// doff, type, channel and body: what the family's decoders expect.
    bytes: BytesMut,
}

/// Cuts the next whole frame from `buffer`; `None` when more bytes are needed.
///
/// The size is checked before anything is read behind it: the decoders would panic on a frame of less than 8 bytes.
pub(crate) fn take(buffer: &mut BytesMut, limit: u32) -> Result<Option<RawFrame>, FrameError> {
    let Some(size_bytes) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes(*size_bytes);
    if (size as usize) < FRAME_HEADER_LEN {
        return Err(FrameError::Short { size });
    }
    if size > limit {
        return Err(FrameError::Oversize { size, limit });
    }
    if buffer.len() < size as usize {
        return Ok(None);
    }
    let mut bytes = buffer.split_to(size as usize);
    bytes.advance(4);
    let (doff, kind) = (bytes[0], bytes[1]);
    let data_offset = usize::from(doff) * 4;
    if data_offset < FRAME_HEADER_LEN || data_offset > size as usize {
        return Err(FrameError::DataOffset { doff, size });
    }
    let channel = [bytes[2], bytes[3]];
    bytes.advance(data_offset - FRAME_HEADER_LEN);
    bytes[..4].copy_from_slice(&[2, kind, channel[0], channel[1]]);
    Ok(Some(RawFrame { kind, bytes }))
}

/// How many bytes the first frame in `buffer` still lacks, if it tells and is within the limit.
pub(crate) fn missing(buffer: &[u8], limit: u32) -> Option<usize> {
    let size = u32::from_be_bytes(*buffer.first_chunk::<4>()?);
    if size > limit {
        return None;
    }
    (size as usize).checked_sub(buffer.len()).filter(|&missing| missing > 0)
}

impl RawFrame {
    /// The frame's type: 0 is AMQP, 1 SASL.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn kind(&self) -> u8 {
        self.kind
    }

    /// Decodes an AMQP frame: its channel and its body.
    pub(crate) fn into_amqp(mut self) -> Result<(u16, amqp::FrameBody), FrameError> {
        let end = self.expect(FRAME_TYPE_AMQP)?;
        // The decoder is shown the performative alone: it cannot reach into the payload, nor leave a part of itself there.
        let behind = self.bytes.split_off(end).freeze();
        let frame = amqp::FrameDecoder {}.decode(&mut self.bytes).map_err(performative_error)?;
        let mut frame = frame.ok_or_else(|| FrameError::Performative("nothing in the frame".into()))?;
        if let amqp::FrameBody::Transfer { payload, .. } = &mut frame.body {
            *payload = behind;
        }
        Ok((frame.channel, frame.body))
    }

    /// Decodes a SASL frame.
    pub(crate) fn into_sasl(mut self) -> Result<sasl::Frame, FrameError> {
        let end = self.expect(FRAME_TYPE_SASL)?;
        self.bytes.truncate(end);
        let frame = sasl::FrameCodec {}.decode(&mut self.bytes).map_err(performative_error)?;
        frame.ok_or_else(|| FrameError::Performative("nothing in the frame".into()))
    }

    /// Checks the type, and walks the performative's structure: the decoders behind trust its sizes and counts.
    /// Returns where it ends.
    fn expect(&self, expected: u8) -> Result<usize, FrameError> {
        if self.kind != expected {
            return Err(FrameError::Type { found: self.kind, expected });
        }
        let body = &self.bytes[4..];
        if body.is_empty() {
            return Ok(4);
        }
        shape::value_len(body).map(|len| 4 + len).map_err(performative_error)
    }
}

fn performative_error(error: impl fmt::Display) -> FrameError {
    FrameError::Performative(error.to_string())
}

/// A control frame that does not fit the peer's limit. It is never cut to pieces: that would corrupt the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a control frame of {size} bytes, over the {limit} the peer accepts; shorten names and properties")]
pub(crate) struct FrameTooLarge {
    pub(crate) size: usize,
    pub(crate) limit: usize,
}

/// Appends an AMQP control frame, every field of its performative written out, to `out`.
///
/// The codec drops trailing nulls; some peers index into the field list and die of it, so they are put back
/// (source: event-hubs-wire 15.2).
pub(crate) fn put_amqp(
    out: &mut BytesMut,
    channel: u16,
    performative: &impl Serialize,
    limit: usize,
) -> Result<(), FrameTooLarge> {
    put(out, FRAME_TYPE_AMQP, channel, performative, limit)
}

/// Appends a SASL frame to `out`. Source: AMQP 1.0 part 5, 5.3.2.
pub(crate) fn put_sasl(out: &mut BytesMut, performative: &impl Serialize) -> Result<(), FrameTooLarge> {
    put(out, FRAME_TYPE_SASL, 0, performative, MIN_MAX_FRAME_SIZE)
}

fn put(
    out: &mut BytesMut,
    kind: u8,
    channel: u16,
    performative: &impl Serialize,
    limit: usize,
) -> Result<(), FrameTooLarge> {
    // Our own performatives always serialise: they are built from owned, finite values.
    let body = shape::full_length(&serde_amqp::to_vec(performative).unwrap_or_default());
    let size = FRAME_HEADER_LEN + body.len();
    if size > limit {
        return Err(FrameTooLarge { size, limit });
    }
    put_frame_header(out, size, kind, channel);
    out.put_slice(&body);
    Ok(())
}

fn put_frame_header(out: &mut BytesMut, size: usize, kind: u8, channel: u16) {
    out.put_u32(size as u32);
    out.put_u8(2);
    out.put_u8(kind);
    out.put_u16(channel);
}

/// The header of one transfer frame: everything before the payload.
/// Source: AMQP 1.0 part 2, 2.7.5 (transfer).
pub(crate) struct TransferHeader {
    /// Our channel.
    pub(crate) channel: u16,
    /// Our handle for the link.
    pub(crate) handle: u32,
    /// Only on the first frame of a delivery: its id, its tag and its message format.
    pub(crate) first: Option<(u32, u32, u32)>,
    /// Whether the delivery is settled by its sender.
    pub(crate) settled: bool,
}

/// The encoded form of a [`TransferHeader`]: at most 42 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodedTransfer {
    bytes: [u8; 48],
    len: u8,
}

impl std::ops::Deref for EncodedTransfer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }
}

impl TransferHeader {
    /// The frame header and the performative for as much of `payload_len` as fits a frame of `max_frame_size`, and how
    /// many bytes that are: what must follow.
    pub(crate) fn encode(&self, payload_len: usize, max_frame_size: usize) -> (EncodedTransfer, usize) {
        let mut bytes = [0; 48];
        let mut out = &mut bytes[FRAME_HEADER_LEN..];
        out.put_slice(&[0x00, 0x53, 0x14, 0xc0, 0, 11]);
        put_uint(&mut out, self.handle);
        self.put_delivery(&mut out);
        out.put_u8(bool_code(self.settled));
        out.put_u8(0);
        // rcv-settle-mode, state, resume, aborted, batchable
        out.put_slice(&[0x40; 5]);

        let header_len = 48 - out.len();
        let room = max_frame_size - header_len;
        let len = payload_len.min(room);
        bytes[header_len - 6] = bool_code(len < payload_len);
        bytes[12] = (header_len - 13) as u8;
        bytes[..4].copy_from_slice(&((header_len + len) as u32).to_be_bytes());
        bytes[4..8].copy_from_slice(&frame_words(self.channel));
        (EncodedTransfer { bytes, len: header_len as u8 }, len)
    }

    /// delivery-id, delivery-tag and message-format; nulls on a continuation.
    fn put_delivery(&self, out: &mut impl BufMut) {
        let Some((delivery_id, tag, message_format)) = self.first else {
            return out.put_slice(&[0x40; 3]);
        };
        put_uint(out, delivery_id);
        out.put_slice(&[0xa0, 4]);
        out.put_u32(tag);
        out.put_u8(0x70);
        out.put_u32(message_format);
    }
}

fn frame_words(channel: u16) -> [u8; 4] {
    let [high, low] = channel.to_be_bytes();
    [2, FRAME_TYPE_AMQP, high, low]
}

fn bool_code(value: bool) -> u8 {
    if value { 0x41 } else { 0x42 }
}

/// A uint in its shortest form. Source: AMQP 1.0 part 1, 1.6.5.
fn put_uint(out: &mut impl BufMut, value: u32) {
    match value {
        0 => out.put_u8(0x43),
        1..=0xff => out.put_slice(&[0x52, value as u8]),
        _ => {
            out.put_u8(0x70);
            out.put_u32(value);
        }
    }
}

/// The one-line form of a frame: how the engine's scripts read.
#[cfg(test)]
pub(crate) struct Summary<'a>(pub(crate) &'a amqp::FrameBody);

#[cfg(test)]
impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use amqp::FrameBody as Body;
        match self.0 {
            Body::Open(open) => write!(f, "open max-frame-size={}", open.max_frame_size.0),
            Body::Begin(begin) => write!(f, "begin remote-channel={:?}", begin.remote_channel),
            Body::Attach(attach) => {
                write!(f, "attach handle={} role={:?} name={}", attach.handle.0, attach.role, attach.name)
            }
            Body::Flow(flow) => write!(
                f,
                "flow handle={:?} delivery-count={:?} link-credit={:?} incoming-window={}",
                flow.handle.as_ref().map(|handle| handle.0),
                flow.delivery_count,
                flow.link_credit,
                flow.incoming_window
            ),
            Body::Transfer { performative, payload } => write!(
                f,
                "transfer handle={} delivery-id={:?} more={} {} B",
                performative.handle.0,
                performative.delivery_id,
                performative.more,
                payload.len()
            ),
            Body::Disposition(disposition) => write!(
                f,
                "disposition role={:?} first={} last={:?} settled={}",
                disposition.role, disposition.first, disposition.last, disposition.settled
            ),
            Body::Detach(detach) => write!(
                f,
                "detach handle={} closed={} error={}",
                detach.handle.0,
                detach.closed,
                error_text(detach.error.as_ref())
            ),
            Body::End(end) => write!(f, "end error={}", error_text(end.error.as_ref())),
            Body::Close(close) => write!(f, "close error={}", error_text(close.error.as_ref())),
            Body::Empty => f.write_str("empty"),
        }
    }
}

#[cfg(test)]
fn error_text(error: Option<&fe2o3_amqp_types::definitions::Error>) -> String {
    error.map_or_else(|| "none".to_owned(), |error| PeerError::from(error).condition)
}

/// What the peer said when it ended something: its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerError {
    pub(crate) condition: String,
    pub(crate) description: Option<String>,
}

impl PeerError {
    pub(crate) fn new(condition: &str, description: impl Into<String>) -> Self {
        Self { condition: condition.to_owned(), description: Some(description.into()) }
    }
}

impl From<&fe2o3_amqp_types::definitions::Error> for PeerError {
    fn from(error: &fe2o3_amqp_types::definitions::Error) -> Self {
        Self { condition: condition_text(&error.condition), description: error.description.clone() }
    }
}

impl From<&PeerError> for fe2o3_amqp_types::definitions::Error {
    fn from(error: &PeerError) -> Self {
        use fe2o3_amqp_types::definitions::ErrorCondition;
        let condition = ErrorCondition::Custom(error.condition.as_str().into());
        // A description may quote the peer; it must not outgrow the smallest frame.
        let description = error.description.as_deref().map(|text| clipped(text, MAX_DESCRIPTION_LEN).to_owned());
        Self::new(condition, description, None)
    }
}

/// As much of `text` as fits `len` bytes, whole characters only.
fn clipped(text: &str, len: usize) -> &str {
    &text[..text.floor_char_boundary(len)]
}

/// The condition's symbol, as it stood on the wire.
fn condition_text(condition: &fe2o3_amqp_types::definitions::ErrorCondition) -> String {
    let encoded = serde_amqp::to_vec(condition).unwrap_or_default();
    serde_amqp::from_slice::<serde_amqp::primitives::Symbol>(&encoded).map(|symbol| symbol.0).unwrap_or_default()
}

/// A whole AMQP frame as bytes, for scripts that feed the engine.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn encoded(channel: u16, performative: &impl Serialize) -> bytes::Bytes {
    let mut out = BytesMut::new();
    put_amqp(&mut out, channel, performative, usize::MAX).expect("no limit");
    out.freeze()
}

/// A whole transfer frame as bytes, for scripts that feed the engine.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn encoded_transfer(channel: u16, transfer: &impl Serialize, payload: &[u8]) -> bytes::Bytes {
    let mut out = BytesMut::new();
    put_amqp(&mut out, channel, transfer, usize::MAX).expect("no limit");
    out.put_slice(payload);
    let size = out.len() as u32;
    out[..4].copy_from_slice(&size.to_be_bytes());
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(mut bytes: BytesMut) -> (u16, amqp::FrameBody) {
        let raw = take(&mut bytes, u32::MAX).expect("a frame").expect("all of it");
        assert!(bytes.is_empty());
        raw.into_amqp().expect("an AMQP frame")
    }

    #[test]
    fn a_frame_tells_what_it_lacks_once_its_size_has_come() {
        let size = |size: u32, behind: usize| [&size.to_be_bytes()[..], &vec![0; behind]].concat();
        for (input, lacks) in [
            (vec![], None),
            (vec![0, 0, 0], None),
            (size(100, 0), Some(96)),
            (size(100, 95), Some(1)),
            (size(100, 96), None),
            (size(100, 200), None),
            (size(512, 0), Some(508)),
            (size(513, 0), None),
        ] {
            assert_eq!(missing(&input, 512), lacks, "{input:?}");
        }
    }

    #[test]
    fn a_transfer_header_reads_as_the_family_writes_it() {
        let numbers = [0, 1, 255, 256, 65_536, u32::MAX];
        for handle in numbers {
            for first in numbers.map(|id| Some((id, 7, 0x8001_3700))).into_iter().chain([None]) {
                for settled in [false, true] {
                    let header = TransferHeader { channel: 0x0102, handle, first, settled };
                    let (encoded, len) = header.encode(5, 512);
                    assert_eq!(len, 5);
                    let mut out = BytesMut::from(&encoded[..]);
                    out.put_slice(b"hello");
                    let (channel, amqp::FrameBody::Transfer { performative: transfer, payload }) = decoded(out) else {
                        panic!("a transfer")
                    };
                    assert_eq!((channel, transfer.handle.0, transfer.settled), (0x0102, handle, Some(settled)));
                    assert_eq!(transfer.delivery_id, first.map(|(id, ..)| id));
                    assert_eq!(transfer.delivery_tag.map(|tag| tag.to_vec()), first.map(|_| vec![0, 0, 0, 7]));
                    assert_eq!(transfer.message_format, first.map(|(.., format)| format));
                    assert!(!transfer.more && !transfer.resume && !transfer.aborted && !transfer.batchable);
                    assert!(transfer.rcv_settle_mode.is_none() && transfer.state.is_none());
                    assert_eq!(&payload[..], b"hello");
                }
            }
        }
    }

    /// Python's is `0000003b 02 00 0001 005314 c0190b 5203 5201 a00400000001 7080013700 5600 5600 4040404040`, and the
    /// 26 bytes of its payload (source: event-hubs-wire 7.3): the same fields, the booleans in two bytes each.
    #[test]
    fn a_transfer_header_byte_by_byte() {
        let header = TransferHeader { channel: 1, handle: 3, first: Some((1, 1, 0x8001_3700)), settled: false };
        let (out, len) = header.encode(21, 65_536);
        assert_eq!(len, 21);
        let golden = b"\x00\x00\x00\x39\x02\x00\x00\x01\x00\x53\x14\xc0\x17\x0b\x52\x03\x52\x01\
                       \xa0\x04\x00\x00\x00\x01\x70\x80\x01\x37\x00\x42\x42\x40\x40\x40\x40\x40";
        assert_eq!(out[..], golden[..]);
    }

    #[test]
    fn the_payload_begins_where_the_performative_ends() {
        let header = TransferHeader { channel: 0, handle: 0, first: None, settled: false };
        for payload in [&b""[..], &[0x40], &[0x00, 0x53, 0x14, 0x45], &[0xff; 9]] {
            let mut out = BytesMut::from(&header.encode(payload.len(), 512).0[..]);
            out.put_slice(payload);
            let (_, amqp::FrameBody::Transfer { payload: found, .. }) = decoded(out) else { panic!("a transfer") };
            assert_eq!(found[..], *payload);
        }
    }

    #[test]
    fn a_control_frame_over_the_limit_is_refused_whole() {
        let begin = fe2o3_amqp_types::performatives::End { error: None };
        let mut out = BytesMut::new();
        let whole = encoded(0, &begin);
        assert_eq!(
            put_amqp(&mut out, 0, &begin, whole.len() - 1),
            Err(FrameTooLarge { size: whole.len(), limit: whole.len() - 1 })
        );
        assert!(out.is_empty());
        assert_eq!(put_amqp(&mut out, 0, &begin, whole.len()), Ok(()));
        assert_eq!(out, whole);
    }

    #[test]
    fn our_errors_fit_the_smallest_frame() {
        let long = PeerError::new("amqp:connection:framing-error", "\u{e9}".repeat(1_000));
        let close = fe2o3_amqp_types::performatives::Close { error: Some((&long).into()) };
        assert!(encoded(0, &close).len() <= MIN_MAX_FRAME_SIZE);
    }

    #[test]
    fn a_condition_comes_back_as_it_stood_on_the_wire() {
        for condition in ["amqp:not-found", "amqp:link:detach-forced", "com.microsoft:server-busy", ""] {
            let wire = fe2o3_amqp_types::definitions::Error::from(&PeerError::new(condition, "why"));
            assert_eq!(PeerError::from(&wire), PeerError::new(condition, "why"));
        }
    }
}
