//! A tap changes nothing: neither bytes, nor errors, nor the connection when its writer fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hubwire::trace::{Form, Tap};
use hubwire::{Connection, Options};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::sessions::Page;
use crate::support::{HUB, batch_of, connection_string, emulator, stored};

/// Fails as it is told to, and counts how often it was asked.
struct Failing(io::ErrorKind, Arc<AtomicUsize>);

impl io::Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_fails_ends_the_trace_and_not_the_run() {
    for (kind, is_asked_again) in [(io::ErrorKind::StorageFull, false), (io::ErrorKind::WouldBlock, true)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let tap = Tap::builder().to(Form::Text, Failing(kind, Arc::clone(&asked))).build();
        let emulator = emulator();
        let options = Options::default().tap(&tap);
        let connection = Connection::open_over(emulator.connect(), &connection_string(&emulator), &options).await;
        let connection = connection.expect("it opens");
        let sender = connection.sender(HUB).await.expect("attached");
        sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
        connection.close().await;
        assert_eq!(stored(&emulator), ["event"]);
        assert_eq!(asked.load(Ordering::Relaxed) > 1, is_asked_again);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_many_transfers_is_told_with_the_last() {
    let page = Page::default();
    let tap = Tap::builder().to(Form::Text, page.clone()).build();
    let emulator = emulator();
    let options = Options::default().tap(&tap);
    let connection = Connection::open_over(emulator.connect(), &connection_string(&emulator), &options).await;
    let connection = connection.expect("it opens");
    let sender = connection.sender(HUB).await.expect("attached");
    let event = "x".repeat(1_000);
    sender.send(batch_of(sender.batch(), [event.as_str(); 200])).await.expect("accepted");
    connection.close().await;
    let text = String::from_utf8(page.take()).expect("text");
    assert_eq!(text.matches("delivery-id=0 more 64.0 KiB").count(), 3, "{text}");
    assert!(text.contains("delivery-id=0 events=200 198.4 KiB in 4 transfers, the last of 6.5 KiB"), "{text}");
    assert!(!text.contains("xxx"), "no content");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_amqp_is_shown_and_passed_on() {
    let page = Page::default();
    let tap = Tap::builder().to(Form::Text, page.clone()).build();
    let (near, mut far) = tokio::io::duplex(1_024);
    let mut near = tap.wrap(near);
    far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("room");
    drop(far);
    let mut read = String::new();
    near.read_to_string(&mut read).await.expect("text");
    assert_eq!(read, "HTTP/1.1 400 Bad Request\r\n\r\n");
    drop(near);
    let text = String::from_utf8(page.take()).expect("text");
    assert!(text.contains("<- no AMQP: \"HTTP/1.1 400 Bad Request"), "{text}");
    assert!(text.contains("connection 1, without a close: the peer ended the stream:"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn hex_stands_below_and_a_cut_frame_is_told() {
    let page = Page::default();
    let tap = Tap::builder().to(Form::Text, page.clone()).with_hex().build();
    let mut stream = tap.wrap(tokio::io::sink());
    stream.write_all(b"AMQP\x00\x01\x00\x00\x00\x00\x00\x08\x02\x00\x00\x00\x00\x00\x00").await.expect("a sink");
    drop(stream);
    let text = String::from_utf8(page.take()).expect("text");
    assert!(text.contains("000000  41 4d 51 50 00 01 00 00                          AMQP....\n"), "{text}");
    assert!(text.contains("ch0 -> empty frame"), "{text}");
    assert!(text.contains("without a close, within a frame"), "{text}");
}

/// A frame on channel 0: a performative with its fields, encoded.
fn frame(code: u8, fields: &[&[u8]]) -> Vec<u8> {
    let (count, body) = (fields.len() as u8, fields.concat());
    let mut frame = (8 + 6 + body.len() as u32).to_be_bytes().to_vec();
    frame.extend([2, 0, 0, 0, 0, 0x53, code, 0xc0, body.len() as u8 + 1, count]);
    frame.extend(body);
    frame
}

/// An attach of a link, with handle, role and target.
fn attach(name: &[u8], handle: &[u8], role: &[u8], target: &[u8]) -> Vec<u8> {
    const NOTHING: &[u8] = b"\x40";
    frame(0x12, &[name, handle, role, NOTHING, NOTHING, NOTHING, target])
}

#[tokio::test(start_paused = true)]
async fn only_an_answer_without_its_terminus_is_a_refusal() {
    const NOTHING: &[u8] = b"\x40";
    let (sender, receiver) = (b"\x42", b"\x41");
    let target = b"\0\x53\x29\xc0\x0c\x01\xa1\x09telemetry";
    let page = Page::default();
    let tap = Tap::builder().to(Form::Text, page.clone()).build();
    let (near, mut far) = tokio::io::duplex(1_024);
    let mut near = tap.wrap(near);
    // Neither of them asks with a source of its own, as some clients do.
    let asked = [
        b"AMQP\0\x01\0\0".to_vec(),
        frame(0x11, &[NOTHING, b"\x43", b"\x43", b"\x43"]),
        attach(b"\xa1\x01a", b"\x43", sender, target),
        attach(b"\xa1\x01b", b"\x52\x01", sender, target),
    ];
    let answered = [
        b"AMQP\0\x01\0\0".to_vec(),
        frame(0x11, &[b"\x60\0\0", b"\x43", b"\x43", b"\x43"]),
        attach(b"\xa1\x01a", b"\x43", receiver, target),
        attach(b"\xa1\x01b", b"\x52\x01", receiver, NOTHING),
    ];
    near.write_all(&asked.concat()).await.expect("room");
    far.write_all(&answered.concat()).await.expect("room");
    near.read_exact(&mut vec![0; answered.concat().len()]).await.expect("bytes");
    let text = String::from_utf8(page.take()).expect("text");
    let attaches: Vec<&str> = text.lines().filter(|line| line.contains(" attach ")).collect();
    let refused: Vec<bool> = attaches.iter().map(|line| line.contains("(refused: a detach follows)")).collect();
    assert_eq!(refused, [false, false, false, true], "{text}");
}

const FORMS: [Form; 5] = [Form::Text, Form::ColouredText, Form::Json, Form::Pcapng, Form::Recording];

/// Every form of `bytes`, in pieces of this length; how many bytes were written of it.
fn written_of(bytes: &[u8], piece_len: usize) -> usize {
    let page = Page::default();
    let tap = FORMS.into_iter().fold(Tap::builder(), |builder, form| builder.to(form, page.clone())).with_hex().build();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut stream = tap.wrap(tokio::io::sink());
        for piece in bytes.chunks(piece_len) {
            stream.write_all(piece).await.expect("a sink");
        }
    });
    page.take().len()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 1..600), piece_len in 1_usize..64) {
        prop_assert!(written_of(&bytes, piece_len) > 0);
    }

    /// A session of an SDK's, with bytes of it changed.
    #[test]
    fn frames_that_are_almost_right_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        piece_len in 1_usize..700,
    ) {
        let mut bytes = crate::captures::of_client("py-2").concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert!(written_of(&bytes, piece_len) > 0);
    }
}
