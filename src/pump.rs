//! Moves bytes between a stream and the engine: the part that the client's and the emulator's tasks share.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use crate::clock;
use crate::engine::Connection;
use crate::spares::Spares;

/// Slices handed to one vectored write.
const WRITE_SLICES: usize = 256;
/// Reads in a row before writing, and the owner, get their turn.
const READS_IN_A_ROW: usize = 8;
/// Turns of writing and reading before time, and the owner, get theirs.
const TURNS_IN_A_ROW: usize = 16;

/// Anything that bytes go over. Behind a `dyn` there is one of the code that serves it, whatever the stream is made of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(crate) type BoxStream = LentStream<'static>;
/// The same, for as long as what is in it is lent.
pub(crate) type LentStream<'a> = Box<dyn Stream + 'a>;

/// An engine and the stream that it talks over.
///
/// Everything is polled, nothing is awaited: a write that blocks holds up neither reading, nor time, nor its owner.
pub(crate) struct Pump<S> {
    pub(crate) engine: Connection,
    stream: S,
    input: BytesMut,
    /// Bytes that came, in all.
    read: usize,
    read_len: usize,
    /// Where the next buffer comes from, if not from the allocator.
    spares: Option<Arc<Spares>>,
    /// Bytes were written since the last flush.
    unflushed: bool,
    /// Why the stream is of no more use.
    failure: Option<io::Error>,
    timer: Pin<Box<Sleep>>,
    /// How long the stream may take no byte of what waits.
    patience: Option<Duration>,
    /// Since when it has taken none.
    stuck_since: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    /// `read_len`: bytes of room offered to one read.
    pub(crate) fn new(engine: Connection, stream: S, read_len: usize) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self {
            engine,
            stream,
            input: BytesMut::new(),
            read: 0,
            read_len,
            spares: None,
            unflushed: false,
            failure: None,
            timer,
            patience: None,
            stuck_since: None,
        }
    }

    /// The same, with buffers from `spares`: whoever keeps what was read gives it back there.
    #[cfg(feature = "emulator")]
    pub(crate) fn reading_into(mut self, spares: Arc<Spares>) -> Self {
        self.spares = Some(spares);
        self
    }

    /// The same, but a stream that takes no byte of what waits for so long has failed: a peer may live and not read.
    pub(crate) fn giving_up_after(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Ready at the time `wake`, whatever becomes of the stream: for an owner whose connection is over, and who waits for
    /// something else.
    pub(crate) fn poll_wake(&mut self, cx: &mut Context<'_>, wake: Option<Instant>) -> Poll<()> {
        match wake {
            Some(wake) => self.poll_timer(cx, wake),
            None => Poll::Pending,
        }
    }

    /// Ready as soon as there may be something for the owner: events, the time `wake`, or the end of the stream.
    ///
    /// When the stream has ended, the engine has been told, and its events say what became of every delivery.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, wake: Option<Instant>) -> Poll<()> {
        if self.engine.is_closed() {
            return Poll::Ready(());
        }
        for _ in 0..TURNS_IN_A_ROW {
            self.resume();
            self.engine.pump();
            let wrote = self.poll_write_all(cx);
            if wrote.is_err() {
                self.engine.stop_writing();
            }
            // Read all the same: a peer that takes nothing any more may have said why.
            let read = self.poll_read(cx);
            match wrote.and(read) {
                Err(error) => self.fail(error),
                Ok(_) if self.engine.has_events() => {}
                // What was read may have been answered: write that before waiting.
                Ok(true) => continue,
                Ok(false) => return self.poll_time(cx, wake),
            }
            return Poll::Ready(());
        }
        // The peer never pauses.
        cx.waker().wake_by_ref();
        self.poll_time(cx, wake)
    }

    /// Only reads, which may say that there is nobody to write to. Ready when something came, or the stream has ended.
    pub(crate) fn poll_catching_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.engine.is_closed() {
            return Poll::Ready(());
        }
        self.resume();
        match self.poll_read(cx) {
            Ok(false) => return Poll::Pending,
            Ok(true) => {}
            Err(error) => self.fail(error),
        }
        Poll::Ready(())
    }

    /// The stream, for an owner whose stream takes orders.
    #[cfg(feature = "emulator")]
    pub(crate) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// What ended the stream, if it was the stream that ended.
    pub(crate) fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Writes what is still waiting and shuts the stream down, within `limit`. For an engine that has closed.
    pub(crate) async fn finish(mut self, limit: Duration) {
        if self.failure.is_some() {
            return;
        }
        let goodbye = std::future::poll_fn(|cx| {
            ready!(self.poll_write(cx))?;
            Pin::new(&mut self.stream).poll_shutdown(cx)
        });
        // A peer that does not take the last words will miss them.
        let _ = tokio::time::timeout(limit, goodbye).await;
    }

    fn fail(&mut self, error: io::Error) {
        self.failure = Some(error);
        self.engine.abandon();
    }

    /// Takes what came while the engine waited for its owner's word.
    fn resume(&mut self) {
        if self.engine.has_resumed() {
            self.engine.receive(clock::now(), &mut self.input);
        }
    }

    /// Writes until the outbox is empty, refilling it on the way, or the stream takes no more.
    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(result) = self.poll_write(cx) {
            result?;
            self.engine.pump();
            if self.engine.outbox().is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Ready when the outbox is empty and flushed.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.engine.outbox().is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let filled = self.engine.outbox().slices(&mut slices);
            let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..filled]) else {
                self.stuck_since.get_or_insert_with(clock::now);
                return Poll::Pending;
            };
            let written = written?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.stuck_since = None;
            self.engine.wrote(clock::now(), written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether anything came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        for already in 0..READS_IN_A_ROW {
            if self.engine.is_waiting() && self.input.len() >= self.read_len {
                return Ok(already > 0);
            }
            self.make_room();
            let stream = Pin::new(&mut self.stream);
            match tokio_util::io::poll_read_buf(stream, cx, &mut self.input) {
                Poll::Pending => return Ok(already > 0),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Ok(len)) => {
                    self.read = self.read.wrapping_add(len);
                    self.engine.receive(clock::now(), &mut self.input);
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
            if self.engine.is_closed() {
                break;
            }
        }
        Ok(true)
    }

    /// Makes room for the next read: in the buffer as it is, in what of it is free again, or in another one.
    fn make_room(&mut self) {
        let wanted = self.engine.missing(&self.input).unwrap_or(self.read_len);
        if self.input.try_reclaim(wanted) {
            return;
        }
        match &self.spares {
            Some(spares) => {
                let len = self.input.len() + wanted.max(self.read_len);
                let mut next = spares.take_for(len, self.read.wrapping_sub(self.input.len()));
                next.extend_from_slice(&self.input);
                self.input = next;
            }
            None => self.input.reserve(wanted.max(self.read_len)),
        }
    }

    fn poll_time(&mut self, cx: &mut Context<'_>, wake: Option<Instant>) -> Poll<()> {
        loop {
            let due = [wake, self.engine.next_timeout(), self.stuck_until()].into_iter().flatten().min();
            let Some(due) = due else { return Poll::Pending };
            ready!(self.poll_timer(cx, due));
            let now = clock::now();
            if self.stuck_until().is_some_and(|until| until <= now) {
                let text = format!("the peer has taken nothing for {:?}", self.patience.unwrap_or_default());
                self.fail(io::Error::new(io::ErrorKind::TimedOut, text));
                return Poll::Ready(());
            }
            self.engine.handle_timeout(now);
            // A heartbeat that falls due is queued, and leaves with the next poll.
            if !self.engine.outbox().is_empty() {
                cx.waker().wake_by_ref();
            }
            if self.engine.has_events() || wake.is_some_and(|wake| wake <= now) {
                return Poll::Ready(());
            }
        }
    }

    /// Ready once it is `due`. The timer is for waiting only: it does not fire while a peer that never pauses uses up the
    /// task's budget.
    fn poll_timer(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        if clock::now() < due {
            let due = tokio::time::Instant::from_std(due);
            if self.timer.deadline() != due {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(())
    }

    /// When patience with a stream that takes nothing ends.
    fn stuck_until(&self) -> Option<Instant> {
        self.stuck_since?.checked_add(self.patience?)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

    use super::*;
    use crate::engine::{Config, Role, Sasl};

    fn client() -> Config {
        Config {
            role: Role::Client,
            container_id: "client".to_owned(),
            hostname: None,
            max_frame_size: 65_536,
            idle_timeout: None,
            properties: Vec::new(),
            sasl: Sasl::Anonymous,
            is_optimistic: false,
            first_number: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn catching_up_reads_and_writes_nothing() {
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let mut pump = Pump::new(Connection::new(client(), clock::now()), ours, 1_024);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pump.poll_catching_up(&mut cx).is_pending(), "nothing has come");
        let mut said = [0; 8];
        assert!(
            Pin::new(&mut theirs).poll_read(&mut cx, &mut ReadBuf::new(&mut said)).is_pending(),
            "nothing was said"
        );
        assert!(pump.poll(&mut cx, None).is_pending());
        theirs.read_exact(&mut said).await.expect("what there was to say");
        assert_eq!(&said, b"AMQP\x03\x01\x00\x00");

        theirs.write_all(b"AMQP\x03\x01\x00\x00").await.expect("there is room");
        drop(theirs);
        assert!(pump.poll_catching_up(&mut cx).is_ready());
        while !pump.engine.is_closed() {
            assert!(pump.poll_catching_up(&mut cx).is_ready(), "it ends with the stream");
        }
        assert!(pump.failure().is_some());
    }
}
