//! Frames: cut from a stream, decoded, and written again.

use bytes::{BufMut, BytesMut};
use fe2o3_amqp::frames::{amqp::FrameBody, sasl};

use super::input::Input;
use crate::wire::frame::{self, FrameError, RawFrame, TransferHeader};

/// However a stream is cut, the same frames come out of it, and then the same error. A frame that is decoded is written
/// again as a frame that says the same. The header that is written by hand is read as what it says.
pub fn frame(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = 512 + input.number() % 65_536;
    let cut = input.number() as usize;
    header(&mut input);
    let stream = input.rest();
    let (first, second) = stream.split_at(cut.min(stream.len()));
    let in_one = frames([stream, &[]], limit);
    assert_eq!(frames([first, second], limit), in_one, "cut at {}", first.len());
}

/// The frames of a stream that comes in pieces, as text; the last one may be an error.
fn frames(pieces: [&[u8]; 2], limit: u32) -> Vec<String> {
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            // Of a frame that is yet to come only the size is there: room is made for that much, and no more.
            match frame::take(&mut buffer, limit) {
                Ok(Some(raw)) => found.push(decoded(raw)),
                Ok(None) => break,
                Err(error) => {
                    found.push(error.to_string());
                    return found;
                }
            }
        }
        let most = (limit as usize + pieces[0].len() + pieces[1].len()) * 2 + 64;
        assert!(buffer.capacity() <= most, "{} bytes", buffer.capacity());
    }
    found
}

fn decoded(raw: RawFrame) -> String {
    // Only one of the two can be its type.
    let text = match raw.kind() {
        0 => raw.into_amqp().map(|(channel, body)| {
            let written = written(channel, &body);
            assert_eq!(written_again(written.clone()), written);
            format!("{channel} {body:?}")
        }),
        _ => raw.into_sasl().map(|frame| {
            let written = written_sasl(&frame);
            assert_eq!(written_sasl_again(written.clone()), written);
            format!("{frame:?}")
        }),
    };
    text.unwrap_or_else(|error: FrameError| error.to_string())
}

fn written(channel: u16, body: &FrameBody) -> BytesMut {
    let mut out = BytesMut::new();
    let limit = usize::MAX;
    let result = match body {
        FrameBody::Open(open) => frame::put_amqp(&mut out, channel, open, limit),
        FrameBody::Begin(begin) => frame::put_amqp(&mut out, channel, begin, limit),
        FrameBody::Attach(attach) => frame::put_amqp(&mut out, channel, attach, limit),
        FrameBody::Flow(flow) => frame::put_amqp(&mut out, channel, flow, limit),
        FrameBody::Transfer { performative, payload } => {
            out.extend_from_slice(&frame::encoded_transfer(channel, performative, payload));
            Ok(())
        }
        FrameBody::Disposition(disposition) => frame::put_amqp(&mut out, channel, disposition, limit),
        FrameBody::Detach(detach) => frame::put_amqp(&mut out, channel, detach, limit),
        FrameBody::End(end) => frame::put_amqp(&mut out, channel, end, limit),
        FrameBody::Close(close) => frame::put_amqp(&mut out, channel, close, limit),
        FrameBody::Empty => {
            out.put_slice(&frame::HEARTBEAT);
            Ok(())
        }
    };
    assert_eq!(result, Ok(()));
    out
}

fn written_again(mut bytes: BytesMut) -> BytesMut {
    let raw = frame::take(&mut bytes, u32::MAX).expect("a frame").expect("all of it");
    let (channel, body) = raw.into_amqp().expect("what is written is read");
    written(channel, &body)
}

fn written_sasl(frame: &sasl::Frame) -> BytesMut {
    let mut out = BytesMut::new();
    // One that does not fit the 512 bytes of SASL is refused whole.
    let _ = match frame {
        sasl::Frame::Mechanisms(mechanisms) => frame::put_sasl(&mut out, mechanisms),
        sasl::Frame::Init(init) => frame::put_sasl(&mut out, init),
        sasl::Frame::Challenge(challenge) => frame::put_sasl(&mut out, challenge),
        sasl::Frame::Response(response) => frame::put_sasl(&mut out, response),
        sasl::Frame::Outcome(outcome) => frame::put_sasl(&mut out, outcome),
    };
    assert!(out.len() <= frame::MIN_MAX_FRAME_SIZE);
    out
}

fn written_sasl_again(mut bytes: BytesMut) -> BytesMut {
    match frame::take(&mut bytes, u32::MAX).expect("a frame, or nothing") {
        Some(raw) => written_sasl(&raw.into_sasl().expect("what is written is read")),
        None => bytes,
    }
}

/// Writes a transfer, and reads it.
fn header(input: &mut Input<'_>) {
    let header = TransferHeader {
        channel: input.number() as u16,
        handle: input.number(),
        first: input.option(|input| (input.number(), input.number(), input.number())),
        settled: input.is_chosen(),
    };
    let (payload, max_frame_size) = (input.bytes(), 512 - input.below(256));
    let (encoded, len) = header.encode(payload.len(), max_frame_size);
    let mut out = BytesMut::from(&encoded[..]);
    out.extend_from_slice(&payload[..len]);
    assert!(out.len() <= max_frame_size);
    let raw = frame::take(&mut out, 512).expect("a frame").expect("all of it");
    let (channel, body) = raw.into_amqp().expect("what is written is read");
    let FrameBody::Transfer { performative: transfer, payload: found } = body else { panic!("{body:?}") };
    assert_eq!((channel, transfer.handle.0), (header.channel, header.handle));
    assert_eq!(transfer.delivery_id, header.first.map(|(delivery_id, ..)| delivery_id));
    assert_eq!(transfer.message_format, header.first.map(|(.., message_format)| message_format));
    assert_eq!((transfer.settled, transfer.more), (Some(header.settled), len < payload.len()));
    assert_eq!(found[..], payload[..len]);
}
