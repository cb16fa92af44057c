//! A namespace that is far away: what goes over its streams arrives later.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};

use super::DUPLEX_LEN;
use crate::clock;
use crate::pump::Stream;

/// Bytes on their way in one direction; more wait where they are.
const MAX_UNDER_WAY: usize = 64 * 1_048_576;
/// Bytes that one read may bring.
const READ_LEN: usize = 256 * 1_024;

/// The end of `stream` that is as far away as `one_way` says, and what carries the bytes between the two: it has to be polled,
/// and is over when all that the near end said has arrived, or the far one has gone.
pub(super) fn put_between(stream: &mut dyn Stream, one_way: Duration) -> (DuplexStream, impl Future<Output = ()>) {
    let (near, far) = tokio::io::duplex(DUPLEX_LEN);
    (near, carry_both(stream, far, one_way))
}

async fn carry_both(stream: &mut dyn Stream, far: DuplexStream, one_way: Duration) {
    let ((from_peer, to_peer), (from_near, to_near)) = (split(stream), split(far));
    let coming = async {
        let _ = carry(from_peer, to_near, one_way).await;
        // The near end sees that the peer has gone, and says its last words.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        // What cannot be written any more is read by nobody.
        _ = carry(from_near, to_peer, one_way) => {}
        () = coming => {}
    }
}

/// Carries bytes until their end, which is carried too.
async fn carry(
    mut from: ReadHalf<impl AsyncRead>,
    mut to: WriteHalf<impl AsyncWrite>,
    one_way: Duration,
) -> io::Result<()> {
    let mut under_way: VecDeque<(Instant, BytesMut)> = VecDeque::new();
    let (mut under_way_len, mut is_over) = (0, false);
    while !is_over || !under_way.is_empty() {
        let first = under_way.front().map(|(at, _)| *at);
        let mut piece = BytesMut::with_capacity(READ_LEN);
        tokio::select! {
            biased;
            () = until(first), if first.is_some() => {
                if let Some((_, mut arrived)) = under_way.pop_front() {
                    under_way_len -= arrived.len();
                    to.write_all_buf(&mut arrived).await?;
                    to.flush().await?;
                }
            }
            read = from.read_buf(&mut piece), if !is_over && under_way_len < MAX_UNDER_WAY => {
                is_over = !matches!(read, Ok(len) if len > 0);
                under_way_len += piece.len();
                under_way.push_back((clock::now() + one_way, piece));
            }
        }
    }
    to.shutdown().await
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_and_ends_arrive_later_and_in_order() {
        let (mut peer, mut stream) = tokio::io::duplex(1_000);
        let (near, carrying) = put_between(&mut stream, Duration::from_millis(10));
        tokio::join!(carrying, talk(near, &mut peer));
    }

    async fn talk(mut near: DuplexStream, peer: &mut DuplexStream) {
        let start = clock::now();
        peer.write_all(b"first").await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        peer.write_all(b"second").await.unwrap();
        let mut read = [0; 11];
        near.read_exact(&mut read[..5]).await.unwrap();
        assert_eq!(clock::now().duration_since(start).as_millis(), 10);
        near.read_exact(&mut read[5..]).await.unwrap();
        assert_eq!((&read, clock::now().duration_since(start).as_millis()), (b"firstsecond", 15));
        near.write_all(b"answer").await.unwrap();
        drop(near);
        let mut answer = [0; 6];
        peer.read_exact(&mut answer).await.unwrap();
        assert_eq!((&answer[..], clock::now().duration_since(start).as_millis()), (&b"answer"[..], 25));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_goes_is_seen_to_go() {
        let (peer, mut stream) = tokio::io::duplex(1_000);
        let (mut near, carrying) = put_between(&mut stream, Duration::from_millis(10));
        drop(peer);
        let leave = async move { assert_eq!(near.read(&mut [0]).await.unwrap(), 0) };
        tokio::join!(carrying, leave);
    }
}
