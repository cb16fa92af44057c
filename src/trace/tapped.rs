//! A stream whose bytes are shown to a tap as they pass.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dialogue::Direction;
use super::{Ended, Tap};

/// A stream that a [`Tap`] sees. It does what the stream under it does, and no more.
#[derive(Debug)]
pub struct Tapped<S> {
    inner: S,
    tap: Tap,
    /// Which connection of the tap's this is.
    number: u64,
}

impl<S> Tapped<S> {
    pub(super) fn new(inner: S, tap: Tap, number: u64) -> Self {
        Self { inner, tap, number }
    }

    #[cfg(feature = "cli")]
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl<S> Drop for Tapped<S> {
    fn drop(&mut self) {
        self.tap.end(self.number, Ended::Dropped);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        match &read {
            Ok(()) if buf.filled().len() > before => {
                self.tap.passed(self.number, Direction::Received, &[IoSlice::new(&buf.filled()[before..])]);
            }
            Ok(()) if room > 0 => self.tap.ended(self.number, Ended::ByPeer),
            Ok(()) => {}
            Err(error) => self.tap.ended(self.number, Ended::Failed(error)),
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        self.wrote(&written, &[IoSlice::new(bytes)]);
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, slices));
        self.wrote(&written, slices);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S> Tapped<S> {
    /// As much of `slices` as was `written` has passed.
    fn wrote(&mut self, written: &io::Result<usize>, slices: &[IoSlice<'_>]) {
        let mut left = match written {
            Ok(len) => *len,
            Err(error) => return self.tap.ended(self.number, Ended::Failed(error)),
        };
        let mut taken = Vec::with_capacity(slices.len());
        for slice in slices {
            let len = slice.len().min(left);
            left -= len;
            if len > 0 {
                taken.push(IoSlice::new(&slice[..len]));
            }
        }
        self.tap.passed(self.number, Direction::Sent, &taken);
    }
}
