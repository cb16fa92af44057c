//! A stream between a client and an emulator whose faults are switched on while it runs.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use hubwire::emulator::Emulator;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use super::next_frame;

pub const FLOW: u8 = 0x13;
pub const DISPOSITION: u8 = 0x15;
pub const DETACH: u8 = 0x16;
pub const END: u8 = 0x17;
pub const CLOSE: u8 = 0x18;

/// What the client's end of the stream gives it to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// What the emulator said.
    #[default]
    Open,
    /// Nothing any more, and no end.
    Silent,
    /// The end.
    Ended,
    /// The network's word that the connection was reset.
    Reset,
}

/// The stream, from the side of whoever switches its faults.
#[derive(Clone)]
pub struct Stage {
    state: Arc<Mutex<State>>,
    said: mpsc::UnboundedSender<Vec<u8>>,
}

#[derive(Default)]
struct State {
    reading: Reading,
    /// Bytes that the stream still takes; then it blocks.
    room: Option<usize>,
    /// Performatives of the emulator that get lost.
    lost: Vec<u8>,
    polls: usize,
    is_dropped: bool,
    wakers: Vec<Waker>,
}

/// The client's end.
pub struct ClientEnd {
    inner: DuplexStream,
    state: Arc<Mutex<State>>,
}

impl Stage {
    /// A road to `emulator` that holds `buffer_len` bytes in each direction.
    pub fn new(emulator: &Emulator, buffer_len: usize) -> (ClientEnd, Self) {
        let (client, near) = tokio::io::duplex(buffer_len);
        let state = Arc::<Mutex<State>>::default();
        let (said, to_say) = mpsc::unbounded_channel();
        tokio::spawn(carry(near, emulator.connect(), to_say, Arc::clone(&state)));
        (ClientEnd { inner: client, state: Arc::clone(&state) }, Self { state, said })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.wakers.drain(..).for_each(Waker::wake);
    }

    pub fn reading(&self, reading: Reading) {
        self.change(|state| state.reading = reading);
    }

    /// The stream takes `len` bytes more, and then nothing.
    pub fn block_after(&self, len: usize) {
        self.change(|state| state.room = Some(len));
    }

    /// The stream takes what comes.
    pub fn unblock(&self) {
        self.change(|state| state.room = None);
    }

    /// These performatives of the emulator get lost from now on.
    pub fn lose(&self, codes: &[u8]) {
        self.change(|state| state.lost = codes.to_vec());
    }

    /// Says `frame` to the client, in the hub's name.
    pub fn say(&self, frame: impl Into<Vec<u8>>) {
        self.said.send(frame.into()).expect("the road is there");
    }

    /// How often the client has tried to read, write or flush.
    pub fn polls(&self) -> usize {
        self.state().polls
    }

    /// Whether the client has let its end go.
    pub fn is_dropped(&self) -> bool {
        self.state().is_dropped
    }
}

/// An end or a close (`code`) on the hub's `channel` (at most 255), with a condition.
pub fn ending(code: u8, channel: u8, condition: &str) -> Vec<u8> {
    let error_len = condition.len() as u8 + 3;
    let mut frame = vec![0, 0, 0, 0, 2, 0, 0, channel];
    frame.extend([0x00, 0x53, code, 0xc0, error_len + 6, 1, 0x00, 0x53, 0x1d, 0xc0, error_len, 1]);
    frame.extend([0xa3, condition.len() as u8]);
    frame.extend(condition.as_bytes());
    frame[3] = frame.len() as u8;
    frame
}

async fn carry(
    near: DuplexStream,
    far: DuplexStream,
    mut to_say: mpsc::UnboundedReceiver<Vec<u8>>,
    state: Arc<Mutex<State>>,
) {
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    let down = async {
        let mut buffer = BytesMut::new();
        loop {
            let frame = tokio::select! {
                Some(said) = to_say.recv() => said,
                frame = next_frame(&mut far_read, &mut buffer) => match frame {
                    Some(frame) if is_lost(&frame, &state) => continue,
                    Some(frame) => frame.to_vec(),
                    None => break,
                },
            };
            if near_write.write_all(&frame).await.is_err() {
                break;
            }
        }
        let _ = near_write.shutdown().await;
    };
    let up = async {
        let _ = tokio::io::copy(&mut near_read, &mut far_write).await;
        let _ = far_write.shutdown().await;
    };
    tokio::join!(down, up);
}

fn is_lost(frame: &[u8], state: &Mutex<State>) -> bool {
    // Its type is AMQP, and it is neither a header nor a heartbeat.
    let is_performative = frame[5] == 0 && frame.len() > 10 && !frame.starts_with(b"AMQP");
    is_performative && state.lock().expect("no panic").lost.contains(&frame[10])
}

impl ClientEnd {
    /// Takes note of a poll; it is woken whenever something is switched.
    fn note(&self, cx: &Context<'_>) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().expect("no panic");
        state.polls += 1;
        state.wakers.retain(|waker| !waker.will_wake(cx.waker()));
        state.wakers.push(cx.waker().clone());
        state
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        self.state.lock().expect("no panic").is_dropped = true;
    }
}

impl AsyncRead for ClientEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let reading = this.note(cx).reading;
        match reading {
            Reading::Open => Pin::new(&mut this.inner).poll_read(cx, buf),
            Reading::Silent => Poll::Pending,
            Reading::Ended => Poll::Ready(Ok(())),
            Reading::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for ClientEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let room = this.note(cx).room;
        let len = room.unwrap_or(usize::MAX).min(buf.len());
        if len == 0 {
            return Poll::Pending;
        }
        let written = Pin::new(&mut this.inner).poll_write(cx, &buf[..len]);
        if let Poll::Ready(Ok(written)) = written {
            let mut state = this.state.lock().expect("no panic");
            state.room = state.room.map(|room| room - written);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        drop(this.note(cx));
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        drop(this.note(cx));
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
