//! A peer on the level of bytes: it takes every link, grants credit, counts what comes, settles it in ranges, and looks at
//! nothing else.
//!
//! A figure taken against it is the client's own. It speaks enough of the protocol for every publisher: SASL with any
//! mechanism or none, CBS with a token that it does not read, several sessions, full-length performatives. It never rejects,
//! keeps nothing, and cannot be read from; what it counts are deliveries, and bytes of payload.
//!
//! ```
//! use std::net::TcpListener;
//! use hubwire::bench::sink::{Counts, serve};
//! use hubwire::{Connection, ConnectionString, Options};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let port = listener.local_addr()?.port();
//! let sink = std::thread::spawn(move || -> std::io::Result<_> {
//!     let counts = Counts::default();
//!     serve(listener.accept()?.0, &counts)?;
//!     Ok(counts)
//! });
//!
//! let text = format!("Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=any;SharedAccessKey=a2V5;UseDevelopmentEmulator=true");
//! let connection = Connection::open(&ConnectionString::parse(&text)?, &Options::default()).await?;
//! let sender = connection.sender("any").await?;
//! let mut batch = sender.batch();
//! assert!(batch.try_add("first event").is_added());
//! sender.send(batch).await.expect("a sink takes everything");
//! drop(sender);
//! connection.close().await;
//!
//! assert_eq!(sink.join().expect("no panic")?.deliveries(), 1);
//! # Ok(())
//! # }
//! ```

mod frames;
mod input;
mod peer;

use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use input::Input;
use peer::Peer;

/// What came, over all connections that are served with it.
#[derive(Debug, Default)]
pub struct Counts {
    deliveries: AtomicU64,
    payload_len: AtomicU64,
}

impl Counts {
    /// Deliveries that came whole, on links that are not for requests.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Bytes of their payloads, and of those of which the end has not come.
    pub fn payload_len(&self) -> u64 {
        self.payload_len.load(Ordering::Relaxed)
    }

    fn add(&self, deliveries: u64, payload_len: u64) {
        self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        self.payload_len.fetch_add(payload_len, Ordering::Relaxed);
    }
}

/// Serves one connection on this thread, until the peer closes it or leaves.
///
/// # Errors
/// Those of the stream, but a peer's leaving without a word; [`io::ErrorKind::InvalidData`] when the peer does not speak
/// AMQP.
pub fn serve(stream: impl Read + Write, counts: &Counts) -> io::Result<()> {
    match serve_to_the_end(stream, counts) {
        Err(error) if matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof) => Ok(()),
        served => served,
    }
}

fn serve_to_the_end(mut stream: impl Read + Write, counts: &Counts) -> io::Result<()> {
    let mut peer = Peer::default();
    let mut input = Input::default();
    while !peer.is_over() {
        let read = stream.read(input.room())?;
        if read == 0 {
            return Ok(());
        }
        input.add(read);
        let taken = peer.take(input.held(), counts)?;
        input.take(taken);
        let answer = peer.answer();
        if !answer.is_empty() {
            stream.write_all(answer)?;
            stream.flush()?;
            answer.clear();
        }
    }
    Ok(())
}
