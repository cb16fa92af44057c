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
    /// Who sees it, and which connection of theirs this is; nobody, where one type is to stand for both.
    seen: Option<(Tap, u64)>,
}

impl<S> Tapped<S> {
    pub(super) fn new(inner: S, tap: Tap, number: u64) -> Self {
        Self { inner, seen: Some((tap, number)) }
    }

    /// A stream that nobody sees.
    #[cfg(feature = "emulator")]
    pub(super) fn unseen(inner: S) -> Self {
        Self { inner, seen: None }
    }
}

impl<S> Drop for Tapped<S> {
    fn drop(&mut self) {
        if let Some((tap, number)) = &self.seen {
            tap.end(*number, Ended::Dropped);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let Some((tap, number)) = &self.seen else { return Poll::Ready(read) };
        match &read {
            Ok(()) if buf.filled().len() > before => {
                tap.passed(*number, Direction::Received, &[IoSlice::new(&buf.filled()[before..])]);
            }
            Ok(()) if room > 0 => tap.ended(*number, Ended::ByPeer),
            Ok(()) => {}
            Err(error) => tap.ended(*number, Ended::Failed(error)),
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
        let Some((tap, number)) = &self.seen else { return };
        let mut left = match written {
            Ok(len) => *len,
            Err(error) => return tap.ended(*number, Ended::Failed(error)),
        };
        let mut taken = Vec::with_capacity(slices.len());
        for slice in slices {
            let len = slice.len().min(left);
            left -= len;
            if len > 0 {
                taken.push(IoSlice::new(&slice[..len]));
            }
        }
        tap.passed(*number, Direction::Sent, &taken);
    }
}
