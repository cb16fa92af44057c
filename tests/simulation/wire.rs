//! A stream in memory that behaves like a bad network: pieces, delays, stalls, and ends of every kind.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::now;
use super::random::Random;
use super::weather::{Ending, Way, Weather};

/// Polls of one connection, of which no sound one needs so many: somebody spins.
const MAX_POLLS: u64 = 2_000_000;

/// The client's end of a connection, and the emulator's.
pub(crate) fn pair(weather: Weather, random: Random) -> (End, End) {
    let wire = Wire { pipes: weather.map(Pipe::new), sights: [Sight::default(); 2], random, is_dead: false, polls: 0 };
    let wire = Arc::new(Mutex::new(wire));
    (End::new(&wire, 0), End::new(&wire, 1))
}

/// One end. What it writes goes into the pipe of its number.
pub(crate) struct End {
    wire: Arc<Mutex<Wire>>,
    number: usize,
    timer: Pin<Box<Sleep>>,
}

struct Wire {
    pipes: [Pipe; 2],
    sights: [Sight; 2],
    random: Random,
    /// Nothing goes into it any more that comes out.
    is_dead: bool,
    polls: u64,
}

/// What an end sees of the end.
#[derive(Clone, Copy, Default)]
struct Sight {
    broken_at: Option<Instant>,
    is_reset: bool,
}

impl Sight {
    fn is_broken(&self) -> bool {
        self.broken_at.is_some_and(|at| at <= now())
    }
}

struct Pipe {
    way: Way,
    under_way: VecDeque<(Instant, Bytes)>,
    queued: usize,
    written: u64,
    last_due: Instant,
    /// Its writer has said that nothing follows.
    is_ended: bool,
    /// Its reader is gone.
    is_unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(way: Way) -> Self {
        Self {
            way,
            under_way: VecDeque::new(),
            queued: 0,
            written: 0,
            last_due: now(),
            is_ended: false,
            is_unread: false,
            reader: None,
            writer: None,
        }
    }

    /// Bytes that a write may give away now, of `len`: up to the next thing that happens.
    fn allowance(&self, len: usize, piece: usize) -> usize {
        let marks = [self.way.stall.map(|(at, _)| at), self.way.ending.map(|(at, _)| at)];
        let marks = marks.into_iter().flatten().filter(|at| *at > self.written);
        let to_mark = marks.map(|at| (at - self.written) as usize).min().unwrap_or(usize::MAX);
        len.min(piece).min(self.way.room - self.queued).min(to_mark)
    }

    fn put(&mut self, bytes: Bytes, due: Instant) {
        self.last_due = self.last_due.max(due);
        if let Some((_, stall)) = self.way.stall.take_if(|(at, _)| *at < self.written) {
            self.last_due += stall;
        }
        self.queued += bytes.len();
        self.under_way.push_back((self.last_due, bytes));
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Wire {
    fn piece(&mut self, number: usize) -> usize {
        let piece = self.pipes[number].way.piece;
        match piece {
            usize::MAX => piece,
            // One byte now and then, whatever the weather.
            _ if self.random.percent(5) => 1,
            _ => self.random.between(1 + piece as u64 / 4, piece as u64) as usize,
        }
    }

    fn write(&mut self, number: usize, slices: &[IoSlice<'_>]) -> usize {
        let piece = self.piece(number);
        let delay = self.random.millis(0, self.pipes[number].way.delay.as_millis() as u64);
        let pipe = &mut self.pipes[number];
        let len = pipe.allowance(slices.iter().map(|slice| slice.len()).sum(), piece);
        pipe.written += len as u64;
        if self.is_dead {
            // It fills what room there is, as a socket's buffer does.
            pipe.queued += len;
        } else if !pipe.is_unread && !pipe.is_ended {
            pipe.put(first_of(slices, len), now() + delay);
        }
        // Else it is taken, and gone: the answer that says so comes later, or never.
        let ending = pipe.way.ending.take_if(|(at, _)| *at <= pipe.written);
        if let Some((_, ending)) = ending {
            self.end(number, ending);
        }
        self.pipes[number].reader.take().into_iter().for_each(Waker::wake);
        len
    }

    fn end(&mut self, number: usize, ending: Ending) {
        match ending {
            Ending::HalfClose => self.pipes[number].is_ended = true,
            Ending::Cut { seen, delivers, is_reset } => {
                self.is_dead = true;
                for (sight, seen) in self.sights.iter_mut().zip(seen) {
                    *sight = Sight { broken_at: seen.map(|after| now() + after), is_reset };
                }
                if !delivers {
                    self.pipes.iter_mut().for_each(|pipe| pipe.under_way.clear());
                }
            }
        }
        self.pipes.iter_mut().for_each(Pipe::wake);
    }

    fn count_poll(&mut self) {
        self.polls += 1;
        assert!(self.polls < MAX_POLLS, "somebody polls for ever");
    }
}

/// The first `len` bytes of `slices`.
fn first_of(slices: &[IoSlice<'_>], len: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(len);
    for slice in slices {
        let left = len - bytes.len();
        bytes.extend_from_slice(&slice[..slice.len().min(left)]);
    }
    bytes.into()
}

/// What a read comes to, and until when it has to wait.
enum Read {
    Some,
    Wait(Option<Instant>),
    Failed,
}

impl End {
    fn new(wire: &Arc<Mutex<Wire>>, number: usize) -> Self {
        Self { wire: Arc::clone(wire), number, timer: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Read {
        let mut wire = self.wire();
        wire.count_poll();
        let (from, sight) = (1 - self.number, wire.sights[self.number]);
        let piece = wire.piece(from).min(buf.remaining());
        let pipe = &mut wire.pipes[from];
        pipe.reader = Some(cx.waker().clone());
        if let Some((due, bytes)) = pipe.under_way.front_mut()
            && *due <= now()
        {
            let len = piece.min(bytes.len());
            buf.put_slice(&bytes.split_to(len));
            if bytes.is_empty() {
                pipe.under_way.pop_front();
            }
            pipe.queued -= len;
            pipe.writer.take().into_iter().for_each(Waker::wake);
            return Read::Some;
        }
        if sight.is_broken() {
            return if sight.is_reset { Read::Failed } else { Read::Some };
        }
        let due = pipe.under_way.front().map(|(due, _)| *due);
        if due.is_none() && pipe.is_ended {
            return Read::Some;
        }
        Read::Wait(due.into_iter().chain(sight.broken_at).min())
    }
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.read(cx, buf) {
                Read::Some => return Poll::Ready(Ok(())),
                Read::Failed => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Read::Wait(None) => return Poll::Pending,
                Read::Wait(Some(until)) => {
                    self.timer.as_mut().reset(until);
                    if self.timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.wire();
        wire.count_poll();
        if wire.sights[self.number].is_broken() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let pipe = &mut wire.pipes[self.number];
        if pipe.queued >= pipe.way.room {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(wire.write(self.number, slices)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        let number = self.number;
        wire.pipes[number].is_ended = true;
        wire.pipes[number].wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut wire = self.wire();
        let number = self.number;
        // The other end may see it as an end or as an error, and what was under way may be lost with it.
        wire.pipes[1 - number].is_unread = true;
        if wire.is_dead || wire.random.percent(50) {
            wire.pipes[number].is_ended = true;
        } else {
            let mut seen = [None, None];
            seen[1 - number] = Some(Duration::ZERO);
            let delivers = wire.random.percent(50);
            wire.end(number, Ending::Cut { seen, delivers, is_reset: true });
        }
        wire.pipes.iter_mut().for_each(Pipe::wake);
    }
}
