//! Faults for connections that no emulator serves: what a proxy puts in between.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::aim::is_request_node;
use super::{Aim, Blow, Fate, Fault, Faults, Faulty, Manners, Stage, What};
use crate::clock;
use crate::emulator::address::{path_of_address, path_of_audience};
use crate::emulator::mailbox::{Mailbox, Order};
use crate::emulator::throttle;
use crate::wire::frame::PeerError;

/// The faults that are in force between clients and a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Disturbance {
    faults: Arc<Faults>,
    /// Whether one of them befalls frames, and not streams alone.
    is_of_frames: bool,
}

impl Disturbance {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        let is_of_frames = faults.iter().any(|fault| !is_of_streams(fault) || needs_frames(fault));
        Self { faults: Arc::new(Faults::new(faults, clock::now())), is_of_frames }
    }

    /// The connection of this number, from 1: its stream as the faults have it, and what befalls its frames, if anything ever
    /// does.
    pub(crate) fn connection<S>(&self, stream: S, number: u64) -> (Disturbed<S>, Option<Trouble>) {
        let (faults, paths) = (Arc::clone(&self.faults), Paths::default());
        let trouble = self.is_of_frames.then(|| {
            let mailbox = Arc::<Mailbox>::default();
            faults.enter(number, &mailbox);
            Trouble { faults: Arc::clone(&faults), number, mailbox, paths: paths.clone() }
        });
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        let stream = Faulty::new(stream, Arc::clone(&faults));
        (Disturbed { stream, faults, number, paths, timer }, trouble)
    }

    /// How often a fault befell something.
    #[cfg(test)]
    pub(crate) fn fired(&self) -> u64 {
        self.faults.fired()
    }
}

fn is_of_streams(fault: &Fault) -> bool {
    matches!(fault.what, What::Cut(..) | What::Silence | What::ByteByByte)
}

/// Whether frames say when, or whom, it befalls.
fn needs_frames(fault: &Fault) -> bool {
    fault.waits_for_deliveries() || fault.aim.target.is_some()
}

/// Where a connection's links lead, as its frames have said: how a stream is told from others.
#[derive(Clone, Debug, Default)]
struct Paths(Arc<Mutex<Vec<String>>>);

impl Paths {
    fn all(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What befalls the frames of one connection. Paths are those of links, tokens are known by the path that they are for.
#[derive(Debug)]
pub(crate) struct Trouble {
    faults: Arc<Faults>,
    number: u64,
    mailbox: Arc<Mailbox>,
    paths: Paths,
}

impl Trouble {
    /// Told when there is something to look at.
    pub(crate) fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.mailbox.news)
    }

    /// Begins what is due and drops what is over: which edition of the faults holds now.
    pub(crate) fn turn(&self, now: Instant) -> u64 {
        self.faults.turn(now);
        self.faults.edition()
    }

    /// When there is something to look at.
    pub(crate) fn next_change(&self) -> Option<Instant> {
        self.faults.next_change()
    }

    /// The blows that are due now, and what each is aimed at.
    pub(crate) fn strikes(&self) -> Vec<(Blow, Aim)> {
        let strike = |order| match order {
            Order::Strike(blow, aim) => Some((blow, aim)),
            Order::Detach(..) => None,
        };
        self.mailbox.take().into_iter().filter_map(strike).collect()
    }

    /// The path that a link's address names.
    pub(crate) fn path_of(address: &str) -> &str {
        path_of_address(address)
    }

    /// Whether requests are answered there.
    pub(crate) fn is_request_node(path: &str) -> bool {
        is_request_node(path)
    }

    pub(crate) fn is_link(&self, aim: &Aim, path: &str) -> bool {
        aim.is_link(self.number, path)
    }

    pub(crate) fn is_connection<'a>(&self, aim: &Aim, paths: impl IntoIterator<Item = &'a str>) -> bool {
        aim.is_connection(self.number, paths)
    }

    /// Something was befallen that nobody asked about.
    pub(crate) fn count(&self, times: u64) {
        self.faults.count(times);
    }

    pub(crate) fn sasl_refusal(&self, now: Instant) -> Option<u8> {
        self.faults.sasl_refusal(now, |aim| aim.is_connection(self.number, []))
    }

    /// Of an open or a begin.
    pub(crate) fn refusal(&self, now: Instant, stage: Stage) -> Option<PeerError> {
        self.faults.refusal(now, stage, |aim| aim.is_connection(self.number, []))
    }

    pub(crate) fn attach_refusal(&self, now: Instant, path: &str) -> Option<PeerError> {
        self.faults.refusal(now, Stage::Attach, |aim| aim.is_link(self.number, path))
    }

    /// Status and words.
    pub(crate) fn token_refusal(&self, now: Instant, audience: &str) -> Option<(i32, String)> {
        self.faults.token_refusal(now, |aim| aim.is_token(self.number, path_of_audience(audience)))
    }

    /// Of SASL, an open or a begin.
    pub(crate) fn delay(&self, now: Instant, stage: Stage) -> Option<Duration> {
        self.faults.delay(now, stage, |aim| aim.is_connection(self.number, []))
    }

    pub(crate) fn attach_delay(&self, now: Instant, path: &str) -> Option<Duration> {
        self.faults.delay(now, Stage::Attach, |aim| aim.is_link(self.number, path))
    }

    pub(crate) fn token_delay(&self, now: Instant, audience: &str) -> Option<Duration> {
        self.faults.delay(now, Stage::PutToken, |aim| aim.is_token(self.number, path_of_audience(audience)))
    }

    pub(crate) fn fate(&self, now: Instant, path: &str) -> Option<Fate> {
        let fate = self.faults.fate(now, |aim| aim.is_link(self.number, path))?;
        Some(if fate == Fate::ServerBusy { Fate::Reject(throttle::busy()) } else { fate })
    }

    pub(crate) fn outcome_delay(&self, now: Instant, path: &str) -> Option<Duration> {
        self.faults.outcome_delay(now, |aim| aim.is_link(self.number, path))
    }

    pub(crate) fn is_credit_withheld(&self, now: Instant, path: &str) -> bool {
        self.faults.holds(now, &What::WithholdCredit, |aim| aim.is_link(self.number, path))
    }

    /// Whether what came together is to be answered backwards. `$cbs` and `$management` are not spared.
    pub(crate) fn is_out_of_order(&self, now: Instant, path: &str) -> bool {
        self.faults.holds(now, &What::OutOfOrder, |aim| aim.is_connection(self.number, [path]))
    }

    /// The connection's links lead there now, all of them.
    pub(crate) fn lead_to(&self, paths: impl Iterator<Item = String>) {
        *self.paths.all() = paths.collect();
    }

    /// What a delivery sets off. Silence and cuts begin by themselves.
    pub(crate) fn after_delivery(&self, now: Instant, path: &str) -> Vec<Blow> {
        self.faults.after_delivery(now, self.number, path)
    }
}

/// See [`Disturbance::connection`].
pub(crate) struct Disturbed<S> {
    stream: Faulty<S>,
    faults: Arc<Faults>,
    number: u64,
    paths: Paths,
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
            cuts: self.faults.cuts(now, self.number, |aim| self.is_meant(aim)),
        };
        self.faults.count(self.stream.behave(&manners));
        if let Some(change) = self.faults.next_change() {
            self.timer.as_mut().reset(tokio::time::Instant::from_std(change));
            // It is due later: this only asks to be woken.
            let _ = self.timer.as_mut().poll(cx);
        }
    }

    fn comes_over(&self, what: &What) -> bool {
        self.faults.has_come_over(clock::now(), what, self.number, |aim| self.is_meant(aim))
    }

    fn is_meant(&self, aim: &Aim) -> bool {
        aim.is_connection(self.number, self.paths.all().iter().map(String::as_str))
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
