//! A stream that notices when the peer has ended SASL: its AMQP header comes next. Source: AMQP 1.0 part 5, 5.3.2.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock;

const HEADER: &[u8; 8] = b"AMQP\0\x01\0\0";

/// When the peer said its AMQP header, once it has.
pub(super) type SaslEnded = Arc<OnceLock<Instant>>;

/// Passes everything on as it is.
pub(super) struct Milestones<S> {
    inner: S,
    /// Bytes of the header that came last.
    matched: usize,
    sasl_ended: SaslEnded,
}

impl<S> Milestones<S> {
    pub(super) fn new(inner: S) -> (Self, SaslEnded) {
        let sasl_ended = SaslEnded::default();
        (Self { inner, matched: 0, sasl_ended: sasl_ended.clone() }, sasl_ended)
    }

    fn look_at(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.sasl_ended.get().is_some() {
                return;
            }
            // `A` is nowhere in the header but at its start.
            self.matched = if byte == HEADER[self.matched] { self.matched + 1 } else { usize::from(byte == HEADER[0]) };
            if self.matched == HEADER.len() {
                let _ = self.sasl_ended.set(clock::now());
                self.matched = 0;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Milestones<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.look_at(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Milestones<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_noticed_however_it_is_cut() {
        let sasl = b"AMQP\x03\x01\0\0\0\0\0\x10\x02\x01\0\0";
        let bytes = [&sasl[..], b"AMQAMQP\0", b"\x01\0\0\0\0\0\x10"].concat();
        for piece_len in 1..bytes.len() {
            let (mut milestones, ended) = Milestones::new(());
            let end = sasl.len() + 3 + HEADER.len();
            let mut taken = 0;
            for piece in bytes.chunks(piece_len) {
                milestones.look_at(piece);
                taken += piece.len();
                assert_eq!(ended.get().is_some(), taken >= end, "{piece_len}: {taken}");
            }
        }
    }
}
