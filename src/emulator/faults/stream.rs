//! A stream that can be cut, silenced and slowed down.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::in_force::CutOrder;
use super::{Faults, Way};

/// How a stream is to behave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::emulator) struct Manners {
    pub(in crate::emulator) is_silent: bool,
    pub(in crate::emulator) is_byte_by_byte: bool,
    pub(in crate::emulator) cuts: Vec<CutOrder>,
}

/// A stream with manners. While it has none, everything goes straight through.
pub(in crate::emulator) struct Faulty<S> {
    inner: S,
    faults: Arc<Faults>,
    is_silent: bool,
    is_byte_by_byte: bool,
    /// A byte has just been written, and others are to run first.
    is_resting: bool,
    cuts: Vec<Cut>,
    is_cut: bool,
}

/// A cut, and how far away it is.
struct Cut {
    id: u64,
    way: Way,
    /// Bytes.
    left: u64,
}

impl<S> Faulty<S> {
    pub(in crate::emulator) fn new(inner: S, faults: Arc<Faults>) -> Self {
        Self {
            inner,
            faults,
            is_silent: false,
            is_byte_by_byte: false,
            is_resting: false,
            cuts: Vec::new(),
            is_cut: false,
        }
    }

    /// Behaves like this from now on. Cuts that were known before go on counting; how many things have changed for worse.
    pub(in crate::emulator) fn behave(&mut self, manners: &Manners) -> u64 {
        let worse = [manners.is_silent && !self.is_silent, manners.is_byte_by_byte && !self.is_byte_by_byte];
        (self.is_silent, self.is_byte_by_byte) = (manners.is_silent, manners.is_byte_by_byte);
        self.cuts.retain(|cut| manners.cuts.iter().any(|order| order.id == cut.id));
        for &CutOrder { id, way, bytes } in &manners.cuts {
            if !self.cuts.iter().any(|cut| cut.id == id) {
                self.cuts.push(Cut { id, way, left: bytes });
            }
        }
        worse.into_iter().filter(|is_worse| *is_worse).count() as u64
    }

    /// Cuts the stream if it has come so far.
    fn check(&mut self) -> io::Result<()> {
        while !self.is_cut
            && let Some(at) = self.cuts.iter().position(|cut| cut.left == 0)
        {
            self.is_cut = self.faults.take_cut(self.cuts.swap_remove(at).id);
        }
        if self.is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Bytes that may go this way before a cut; `None` is no end of them.
    fn allowance(&self, way: Way) -> Option<usize> {
        let left = self.cuts.iter().filter(|cut| cut.way == way).map(|cut| cut.left).min()?;
        Some(usize::try_from(left).unwrap_or(usize::MAX))
    }

    fn went(&mut self, way: Way, len: usize) {
        for cut in self.cuts.iter_mut().filter(|cut| cut.way == way) {
            cut.left = cut.left.saturating_sub(len as u64);
        }
    }

    /// Ready when a write may be tried.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_silent {
            // Whoever ends the silence polls again.
            return Poll::Pending;
        }
        if std::mem::take(&mut self.is_resting) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn is_plain(&self) -> bool {
        !self.is_silent && !self.is_byte_by_byte && !self.is_cut && self.cuts.is_empty()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Faulty<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let Some(allowance) = self.allowance(Way::Read) else { return Pin::new(&mut self.inner).poll_read(cx, buf) };
        let room = buf.remaining().min(allowance);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let len = part.filled().len();
        buf.advance(len);
        self.went(Way::Read, len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Faulty<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        ready!(self.poll_turn(cx));
        let most = if self.is_byte_by_byte { 1 } else { usize::MAX };
        let most = most.min(self.allowance(Way::Written).unwrap_or(usize::MAX));
        let part = &bytes[..bytes.len().min(most)];
        let len = ready!(Pin::new(&mut self.inner).poll_write(cx, part))?;
        self.is_resting = self.is_byte_by_byte;
        self.went(Way::Written, len);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_plain() {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| &slice[..]))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_silent { Poll::Pending } else { Pin::new(&mut self.inner).poll_flush(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Also of a peer that leaves: a goodbye is something written.
        if self.is_silent { Poll::Pending } else { Pin::new(&mut self.inner).poll_shutdown(cx) }
    }
}
