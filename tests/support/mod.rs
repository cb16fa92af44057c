//! What the tests of client and emulator share.
#![allow(dead_code, unreachable_pub, reason = "each test file takes what it needs")]

pub mod road;
pub mod stage;

use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use hubwire::emulator::{Builder, Emulator};
use hubwire::{Batch, Connection, ConnectionString, Options, Sender};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};

/// The event hub that the tests publish to: four partitions.
pub const HUB: &str = "telemetry";

/// An emulator with one event hub.
pub fn emulator() -> Emulator {
    built(Emulator::builder())
}

/// An emulator with one event hub, and otherwise as `builder` has it.
pub fn built(builder: Builder) -> Emulator {
    builder.event_hub(HUB, 4).build().expect("a hub that can be built")
}

/// An emulator that lets a publisher's link rest for as long as it likes: for tests of what else time brings.
pub fn restful() -> Emulator {
    built(restful_builder())
}

/// See [`restful`].
pub fn restful_builder() -> Builder {
    Emulator::builder().link_idle_timeout(Duration::from_secs(30 * 86_400))
}

/// The emulator's own connection string.
pub fn connection_string(emulator: &Emulator) -> ConnectionString {
    ConnectionString::parse(&emulator.connection_string(None)).expect("well-formed")
}

/// Now, on the clock that a test may have paused.
#[allow(clippy::disallowed_methods, reason = "a test looks at its own clock")]
pub fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Options whose time of day goes with the paused clock, as the emulator's does.
#[allow(clippy::disallowed_methods, reason = "where the tests' time of day begins")]
pub fn options() -> Options {
    let (base, start) = (SystemTime::now(), tokio::time::Instant::now());
    Options::default().wall_clock(move || base + start.elapsed())
}

/// A connection to `emulator`, in memory.
pub async fn connect(emulator: &Emulator, options: &Options) -> Connection {
    Connection::open_over(emulator.connect(), &connection_string(emulator), options).await.expect("the emulator opens")
}

/// A sender to [`HUB`], its connection, and where both lead.
pub async fn sender() -> (Emulator, Connection, Sender) {
    let emulator = emulator();
    let connection = connect(&emulator, &Options::default()).await;
    let sender = connection.sender(HUB).await.expect("the hub is there");
    (emulator, connection, sender)
}

/// A batch of these bodies.
pub fn batch_of<'a>(mut batch: Batch, bodies: impl IntoIterator<Item = &'a str>) -> Batch {
    for body in bodies {
        assert!(batch.try_add(body).is_added(), "{body} fits");
    }
    batch
}

/// The bodies that [`HUB`] holds, by partition and sequence number.
pub fn stored(emulator: &Emulator) -> Vec<String> {
    let events = emulator.events(HUB).expect("the hub is there");
    let text = |event: &hubwire::emulator::StoredEvent| {
        let event = event.event().expect("what is stored decodes");
        String::from_utf8(event.data().expect("one data section").to_vec()).expect("text")
    };
    events.iter().map(text).collect()
}

/// What a [`relay`] does once its bytes are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Ends both directions.
    Cut,
    /// Forwards nothing more, and says nothing.
    Stall,
}

/// Stands between a client and `emulator`: lets `limit` bytes through from the emulator, and everything to it.
pub fn relay(emulator: &Emulator, limit: usize, then: Then) -> DuplexStream {
    let (client, near) = tokio::io::duplex(1 << 20);
    let far = emulator.connect();
    tokio::spawn(async move {
        let (mut near_read, mut near_write) = tokio::io::split(near);
        let (mut far_read, mut far_write) = tokio::io::split(far);
        let down = async move {
            let mut left = limit;
            let mut buffer = [0; 4096];
            while left > 0 {
                let room = left.min(buffer.len());
                match far_read.read(&mut buffer[..room]).await {
                    Ok(len) if len > 0 => {
                        left -= len;
                        if near_write.write_all(&buffer[..len]).await.is_err() {
                            return;
                        }
                    }
                    _ => return,
                }
            }
            if then == Then::Stall {
                std::future::pending::<()>().await;
            }
        };
        let up = async move {
            let _ = tokio::io::copy(&mut near_read, &mut far_write).await;
            std::future::pending::<()>().await;
        };
        tokio::select! { () = down => {}, () = up => {} }
    });
    client
}

/// The next header or frame of `stream`, whole; `None` at its end.
///
/// A dropped future loses nothing: what was read stays in `buffer`.
pub async fn next_frame(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Option<BytesMut> {
    loop {
        if let Some(start) = buffer.first_chunk::<4>() {
            let len = if start == b"AMQP" { 8 } else { u32::from_be_bytes(*start) as usize };
            if buffer.len() >= len {
                return Some(buffer.split_to(len));
            }
        }
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}
