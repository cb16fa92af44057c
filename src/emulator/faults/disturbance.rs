//! Faults of streams, for streams that no emulator serves: what a proxy puts in between.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::{Fault, Faults, Faulty, Manners, What};
use crate::clock;

/// A fault that needs an emulator: it befalls links, deliveries or tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{fault}` cannot be put between others, where streams are cut, silenced and slowed down: use `cut`, `silence` or \
     `byte-by-byte`, aimed at a connection or at none; for anything else use `hubwire emulator --fault`"
)]
pub(crate) struct NotOfStreams {
    /// As it was written.
    fault: String,
}

/// The faults that are in force on some streams.
#[derive(Clone, Debug)]
pub(crate) struct Disturbance {
    faults: Arc<Faults>,
}

impl Disturbance {
    pub(crate) fn new(faults: Vec<Fault>) -> Result<Self, NotOfStreams> {
        match faults.iter().find(|fault| !is_of_streams(fault)) {
            Some(fault) => Err(NotOfStreams { fault: fault.to_string() }),
            None => Ok(Self { faults: Arc::new(Faults::new(faults, clock::now())) }),
        }
    }

    /// The stream of the connection of this number, from 1, as the faults have it.
    pub(crate) fn of<S>(&self, stream: S, number: u64) -> Disturbed<S> {
        let faults = Arc::clone(&self.faults);
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Disturbed { stream: Faulty::new(stream, Arc::clone(&faults)), faults, number, timer }
    }
}

fn is_of_streams(fault: &Fault) -> bool {
    let is_known = matches!(fault.what, What::Cut(..) | What::Silence | What::ByteByByte);
    is_known && fault.aim.target.is_none() && !fault.waits_for_deliveries()
}

/// See [`Disturbance::of`].
pub(crate) struct Disturbed<S> {
    stream: Faulty<S>,
    faults: Arc<Faults>,
    number: u64,
    /// For the next change.
    timer: Pin<Box<Sleep>>,
}

impl<S> Disturbed<S> {
    /// Behaves as the faults say now, and is woken when they say something else.
    fn look(&mut self, cx: &mut Context<'_>) {
        if !self.faults.is_any() {
            // The last one is over.
            self.faults.count(self.stream.behave(&Manners::default()));
            return;
        }
        let now = clock::now();
        self.faults.turn(now);
        let manners = Manners {
            is_silent: self.comes_over(&What::Silence),
            is_byte_by_byte: self.comes_over(&What::ByteByByte),
            cuts: self.faults.cuts(now, self.number, |aim| aim.is_connection(self.number, [])),
        };
        self.faults.count(self.stream.behave(&manners));
        if let Some(change) = self.faults.next_change() {
            self.timer.as_mut().reset(tokio::time::Instant::from_std(change));
            // It is due later: this only asks to be woken.
            let _ = self.timer.as_mut().poll(cx);
        }
    }

    fn comes_over(&self, what: &What) -> bool {
        self.faults.has_come_over(clock::now(), what, self.number, |aim| aim.is_connection(self.number, []))
    }
}

impl<S> Drop for Disturbed<S> {
    fn drop(&mut self) {
        self.faults.leave(self.number);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Disturbed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.look(cx);
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Disturbed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.look(cx);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look(cx);
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(cx);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(cx);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
