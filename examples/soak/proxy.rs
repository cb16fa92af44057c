//! A proxy that is bad for connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::random::Random;

/// What befell connections, counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) cuts: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) half_closes: AtomicU64,
    pub(crate) stalls: AtomicU64,
    /// Those that last until somebody's patience ends.
    pub(crate) black_holes: AtomicU64,
    pub(crate) throttles: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// How bytes pass just now.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Passage {
    Free,
    Stalled,
    BytesPerSec(u64),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Cut,
    Reset,
    HalfClose,
    BlackHole,
}

pub(crate) struct Proxy {
    local_addr: SocketAddr,
    accepting: JoinHandle<()>,
    counts: Arc<Counts>,
}

impl Proxy {
    /// Listens on loopback, and leads to `target`.
    pub(crate) async fn start(target: SocketAddr, mut random: Random) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (local_addr, counts) = (listener.local_addr()?, Arc::new(Counts::default()));
        let counting = Arc::clone(&counts);
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and all connections with it.
            let mut serving = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while serving.try_join_next().is_some() {}
                add(&counting.connections, 1);
                if random.percent(5) {
                    add(&counting.refused, 1);
                    continue;
                }
                serving.spawn(serve(client, target, random.split(), Arc::clone(&counting)));
            }
        });
        Ok(Self { local_addr, accepting, counts })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Ends every connection; what befell them.
    pub(crate) async fn stop(self) -> Arc<Counts> {
        self.accepting.abort();
        let _ = self.accepting.await;
        self.counts
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Carries bytes both ways, until the end that is drawn for this connection.
async fn serve(client: TcpStream, target: SocketAddr, mut random: Random, counts: Arc<Counts>) {
    let Ok(hub) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), hub.set_nodelay(true));
    let (passage, passing) = watch::channel(Passage::Free);
    let ((client_read, client_write), (hub_read, hub_write)) = (client.into_split(), hub.into_split());
    let up = tokio::spawn(carry(client_read, hub_write, passing.clone(), random.split(), Arc::clone(&counts)));
    let down = tokio::spawn(carry(hub_read, client_write, passing, random.split(), Arc::clone(&counts)));
    let ending = weather(&passage, &mut random, &counts).await;
    match ending {
        Ending::Cut => add(&counts.cuts, 1),
        Ending::Reset => {
            add(&counts.resets, 1);
            let _ = passage.send(Passage::Stalled);
        }
        Ending::HalfClose => {
            add(&counts.half_closes, 1);
            // One direction is over, and the other goes on for a while.
            if random.percent(50) {
                up.abort()
            } else {
                down.abort()
            }
            tokio::time::sleep(random.millis(0, 3_000)).await;
        }
        Ending::BlackHole => {
            add(&counts.black_holes, 1);
            let _ = passage.send(Passage::Stalled);
            tokio::time::sleep(Duration::from_secs(15)).await;
        }
    }
    if ending == Ending::Reset {
        // Whoever is dropped unread answers with a reset: its bytes wait in the socket for nobody.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    up.abort();
    down.abort();
}

/// Stalls and throttles for a while, until it is over.
async fn weather(passage: &watch::Sender<Passage>, random: &mut Random, counts: &Counts) -> Ending {
    loop {
        tokio::time::sleep(random.millis(10, 500)).await;
        let changed = match random.below(10) {
            0..=2 => {
                add(&counts.stalls, 1);
                Passage::Stalled
            }
            3..=5 => {
                add(&counts.throttles, 1);
                Passage::BytesPerSec(random.between(8, 1_024) * 1_024)
            }
            6 => return Ending::Reset,
            7 => return Ending::HalfClose,
            8 => return if random.percent(50) { Ending::BlackHole } else { Ending::Cut },
            _ => return Ending::Cut,
        };
        let _ = passage.send(changed);
        tokio::time::sleep(random.millis(10, 600)).await;
        let _ = passage.send(Passage::Free);
    }
}

/// One direction. An end on one side is handed on to the other.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passing: watch::Receiver<Passage>,
    mut random: Random,
    counts: Arc<Counts>,
) {
    let mut buffer = vec![0; 64 * 1_024];
    loop {
        // Pieces of every size: a cut may come between any two bytes.
        let room = 1 + random.magnitude(buffer.len() as u64 - 1) as usize;
        let Ok(len) = from.read(&mut buffer[..room.max(64)]).await else { return };
        if len == 0 || passing.wait_for(|passage| *passage != Passage::Stalled).await.is_err() {
            return;
        }
        let rate = *passing.borrow();
        if let Passage::BytesPerSec(rate) = rate {
            tokio::time::sleep(Duration::from_secs_f64(len as f64 / rate as f64)).await;
        }
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
        add(&counts.bytes, len as u64);
    }
}
