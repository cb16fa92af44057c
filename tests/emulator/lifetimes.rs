//! What ends by itself when nothing happens: links, connections.

use std::io;
use std::pin::Pin;
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

/// A stream that is read from so many times at most: by nobody who waits as he should.
struct Patient(DuplexStream, u32);

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.1 = self.1.checked_sub(1).expect("somebody polls for ever");
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
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

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_being_closed_waits_for_nothing_but_the_peers_word() {
    let second = Duration::from_secs(1);
    let emulator = builder().link_idle_timeout(2 * second).build().unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let server = emulator.clone();
    let served = tokio::spawn(async move { server.serve(Patient(theirs, 5_000)).await });
    let to = ConnectionString::parse(&emulator.connection_string(None)).unwrap();
    let connection = Connection::open_over(ours, &to, &Options::default()).await.unwrap();
    let _sender = connection.sender("telemetry").await.unwrap();
    // The close does not leave, so none comes back; meanwhile the link has rested for long enough.
    emulator.inject(Fault::silence().lasting(8 * second));
    emulator.inject(Fault::close("amqp:connection:forced", "Moved."));
    served.await.expect("it is left in peace");
}
