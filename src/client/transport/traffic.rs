//! Counts what goes over a stream, below everything that is spoken on it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of all streams that a connection has had, either way.
#[derive(Debug, Default)]
pub(in crate::client) struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    pub(in crate::client) fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(in crate::client) fn received_bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// A stream whose bytes are counted.
pub(in crate::client) struct Counted<S> {
    stream: S,
    traffic: Arc<Traffic>,
}

impl<S> Counted<S> {
    pub(in crate::client) fn new(stream: S, traffic: &Arc<Traffic>) -> Self {
        Self { stream, traffic: traffic.clone() }
    }

    fn wrote(&self, written: &io::Result<usize>) {
        self.traffic.sent.fetch_add(written.as_ref().map_or(0, |len| *len as u64), Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.traffic.received.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.wrote(&written);
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices));
        self.wrote(&written);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_passes_is_counted_either_way() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let traffic = Arc::<Traffic>::default();
        let mut counted = Counted::new(ours, &traffic);
        let slices = [IoSlice::new(b"123456"), IoSlice::new(b"7890")];
        let written = std::future::poll_fn(|cx| Pin::new(&mut counted).poll_write_vectored(cx, &slices)).await.unwrap();
        assert_eq!((written, traffic.sent_bytes()), (8, 8), "no more than there was room for");
        theirs.read_exact(&mut [0; 8]).await.unwrap();
        counted.write_all(b"90").await.unwrap();
        theirs.write_all(b"123").await.unwrap();
        counted.read_exact(&mut [0; 3]).await.unwrap();
        assert_eq!((traffic.sent_bytes(), traffic.received_bytes()), (10, 3));
        drop(theirs);
        assert!(counted.write_all(b"nobody").await.is_err());
        assert_eq!(traffic.sent_bytes(), 10);
    }
}
