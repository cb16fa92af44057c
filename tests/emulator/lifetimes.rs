//! What ends by itself when nothing happens: links, connections.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hubwire::emulator::{Emulator, Fault};
use hubwire::{Connection, ConnectionString, Options};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::client::{Client, accepted, events};

fn builder() -> hubwire::emulator::Builder {
    Emulator::builder().event_hub("telemetry", 1)
}

#[tokio::test(start_paused = true)]
async fn a_publishers_link_that_rests_is_detached_in_the_services_words() {
    let emulator = builder().build().unwrap();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry").await;
    let mut busy = client.named_sender("busy", "telemetry").await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(115)).await;
        accepted(busy.send(events(&["still here"])).await);
    }
    tokio::time::sleep(Duration::from_secs(24)).await;
    assert_eq!(emulator.stored_count(), 5);
    accepted(busy.send(events(&["599 s"])).await);
    let error = format!("{:?}", sender.on_detach().await);
    assert!(error.contains("DetachForced"), "{error}");
    assert!(error.contains("IdleTimerExpired: Idle timeout: 00:10:00"), "{error}");
    accepted(busy.send(events(&["it rested for no ten minutes"])).await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_links_is_closed() {
    for (attaches_first, limit_secs) in [(false, 60), (true, 300)] {
        let emulator = builder().build().unwrap();
        let mut client = Client::open(&emulator).await;
        if attaches_first {
            client = Client::authorized(&emulator).await;
        }
        tokio::time::sleep(Duration::from_secs(limit_secs - 1)).await;
        assert!(!client.connection.is_closed(), "{limit_secs}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let error = format!("{:?}", client.connection.on_close().await);
        assert!(error.contains(&format!("{} milliseconds", limit_secs * 1_000)), "{error}");
        assert!(error.contains("LinkTracker"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_limit_can_be_made_shorter() {
    let second = Duration::from_secs(1);
    let emulator = builder().link_idle_timeout(2 * second).linkless_timeout(second).build().unwrap();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry").await;
    tokio::time::sleep(3 * second).await;
    assert!(format!("{:?}", sender.on_detach().await).contains("00:00:02"));
    drop(sender);
    tokio::time::sleep(2 * second).await;
    assert!(format!("{:?}", client.connection.on_close().await).contains("1000 milliseconds"));
}

/// The emulator's end of a stream, which counts how often it is read.
struct Counted(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Lets every other task run until nothing is left to do without time passing.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// The link's time comes while the connection is closing and its peer has not said goodbye: nobody looks at it any more, and
/// so nobody may wake up for it again and again.
#[tokio::test(start_paused = true)]
async fn a_peer_that_owes_its_close_keeps_nobody_busy() {
    let emulator = builder().link_idle_timeout(Duration::from_secs(5)).build().unwrap();
    let (near, far) = tokio::io::duplex(1 << 16);
    let reads = Arc::new(AtomicUsize::new(0));
    let (served, counted) = (emulator.clone(), Counted(far, Arc::clone(&reads)));
    let serving = tokio::spawn(async move { served.serve(counted).await });
    let to = ConnectionString::parse(&emulator.connection_string(None)).unwrap();
    let connection = Connection::open_over(near, &to, &Options::default()).await.unwrap();
    let _sender = connection.sender("telemetry").await.unwrap();
    // Not told of the close, the client does not answer it.
    emulator.inject(Fault::silence());
    emulator.inject(Fault::close("amqp:connection:forced", "not heard"));
    settle().await;
    let before = reads.load(Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(6)).await;
    settle().await;
    let reads = reads.load(Ordering::Relaxed) - before;
    assert!(reads < 20, "{reads} reads, and nothing to be read");
    tokio::time::advance(Duration::from_secs(20)).await;
    tokio::time::timeout(Duration::from_secs(60), serving).await.expect("it is left in the end").expect("no panic");
}
