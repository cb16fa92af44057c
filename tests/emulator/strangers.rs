//! Peers that are half-written, hostile or gone: the emulator ends with each of them, and goes on serving the others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwire::emulator::Emulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::client::{Client, NAMESPACE, Recorded, accepted, events, token};

fn emulator() -> Emulator {
    Emulator::builder().event_hub("telemetry", 4).build().unwrap()
}

/// What the emulator answered to `writes` and the end of the stream, once it has let go without a panic.
async fn answer_to(emulator: &Emulator, writes: &[Vec<u8>]) -> Vec<u8> {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let served = tokio::spawn({
        let emulator = emulator.clone();
        async move { emulator.serve(theirs).await }
    });
    for bytes in writes {
        // It may have hung up before it heard all.
        let _ = ours.write_all(bytes).await;
        // Paused time moves on when everyone waits: the emulator has said all that it has to say.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let _ = ours.shutdown().await;
    let mut answer = Vec::new();
    ours.read_to_end(&mut answer).await.unwrap();
    served.await.expect("no panic");
    answer
}

/// What a client writes from its first byte to the settlement of a batch.
async fn recorded_publish(emulator: &Emulator) -> Vec<Vec<u8>> {
    let written = Arc::new(Mutex::new(Vec::new()));
    let stream = Recorded { inner: emulator.connect(), written: Arc::clone(&written) };
    let mut client = Client::open_with(stream).await;
    client.put_token(NAMESPACE, &token(NAMESPACE, "SAS_KEY_VALUE", Duration::from_secs(3_600))).await.unwrap();
    let mut sender = client.sender("telemetry").await;
    accepted(sender.send(events(&["one", "two"])).await);
    written.lock().unwrap().clone()
}

/// The first `len` bytes of `writes`.
fn prefix(writes: &[Vec<u8>], mut len: usize) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    for bytes in writes {
        let part = len.min(bytes.len());
        taken.push(bytes[..part].to_vec());
        len -= part;
    }
    taken.retain(|bytes| !bytes.is_empty());
    taken
}

/// Now, on the paused clock.
#[allow(clippy::disallowed_methods, reason = "how long the emulator waits is what is tested")]
fn now() -> Instant {
    Instant::now()
}

async fn still_serves(emulator: &Emulator) {
    let before = emulator.stored_count();
    let mut client = Client::authorized(emulator).await;
    accepted(client.sender("telemetry").await.send(events(&["here"])).await);
    assert_eq!(emulator.stored_count(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn other_protocols_are_answered_with_the_header_that_is_spoken_here() {
    let emulator = emulator();
    for bytes in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "AMQP\0\0\u{9}\u{1}", "\u{16}\u{3}\u{1}\0", "x"] {
        assert_eq!(answer_to(&emulator, &[bytes.into()]).await, b"AMQP\x03\x01\0\0", "{bytes:?}");
    }
    assert!(answer_to(&emulator, &[]).await.is_empty());
    still_serves(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_may_leave_at_every_byte() {
    let emulator = emulator();
    let script = recorded_publish(&emulator).await;
    let whole: usize = script.iter().map(Vec::len).sum();
    for len in 0..whole {
        answer_to(&emulator, &prefix(&script, len)).await;
    }
    assert_eq!(emulator.stored_count(), 2, "a batch that did not come whole was stored");
    answer_to(&emulator, &script).await;
    assert_eq!(emulator.stored_count(), 4, "the recorded bytes publish again");
    still_serves(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn any_one_byte_may_be_wrong() {
    let emulator = emulator();
    let script = recorded_publish(&emulator).await;
    for (write, bytes) in script.iter().enumerate() {
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut script = script.clone();
                script[write][at] ^= flip;
                answer_to(&emulator, &script).await;
            }
        }
    }
    still_serves(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn noise_is_survived() {
    let emulator = emulator();
    let mut state = 1_u64;
    let mut random = || {
        // Knuth's MMIX generator: the same noise every time.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for _ in 0..200 {
        let mut noise: Vec<u8> = (0..300).map(|_| random()).collect();
        answer_to(&emulator, &[noise.clone()]).await;
        // Noise behind a good start goes further in.
        noise.splice(
            0..0,
            *b"AMQP\x03\x01\0\0\0\0\0\x12\x02\x01\0\0\0\x53\x41\xc0\x05\x01\xa3\x09ANONYMOUSAMQP\0\x01\0\0",
        );
        answer_to(&emulator, &[noise]).await;
    }
    still_serves(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_left_after_half_a_minute() {
    let emulator = emulator();
    for first_bytes in [&b""[..], b"AMQP", b"AMQP\x03\x01\0\0"] {
        let started = now();
        let mut stream = emulator.connect();
        stream.write_all(first_bytes).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 30, "{first_bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_left_and_its_place_is_free_again() {
    let emulator = emulator();
    let script = recorded_publish(&emulator).await;
    let started = now();
    let mut stream = emulator.connect();
    for bytes in script {
        stream.write_all(&bytes).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 240);
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_a_thousand_are_turned_away() {
    let emulator = emulator();
    let mut held: Vec<_> = (0..1_000).map(|_| emulator.connect()).collect();
    // Each task takes its place at its first turn.
    while emulator.totals().connections < 1_000 {
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    emulator.connect().read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty());
    assert_eq!(emulator.totals().refused_connections, 1);

    drop(held.pop());
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    still_serves(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn links_beyond_a_thousand_are_refused() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    let mut links = Vec::new();
    for index in 0..1_000 {
        links.push(client.named_sender(&format!("link-{index}"), "telemetry").await);
    }
    let (condition, _) = client.refused_sender("telemetry").await;
    assert_eq!(condition, "amqp:resource-limit-exceeded");
    links.pop().unwrap().close().await.unwrap();
    client.sender("telemetry").await;
}
