//! A writer on a thread of its own: what it writes to may block for as long as it likes, and no connection waits for it.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Bytes that wait to be written; what comes beyond finds no room.
const QUEUE_LEN: usize = 16 * 1024 * 1024;
/// At the end, whoever takes no more is waited for no longer.
const PATIENCE: Duration = Duration::from_secs(5);

enum Entry {
    Piece(Vec<u8>),
    End,
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Background {
    queue: Queue,
    written: oneshot::Receiver<()>,
}

/// Leads to a [`Background`]; a clone leads to the same one. Takes a piece whole or not at all:
/// [`WouldBlock`](io::ErrorKind::WouldBlock) for now, or [`BrokenPipe`](io::ErrorKind::BrokenPipe) for good.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    entries: Sender<Entry>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting_len: AtomicUsize,
    failure: Mutex<Option<io::Error>>,
}

impl Background {
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (entries, to_write) = channel();
        let (finished, written) = oneshot::channel();
        let state = Arc::<State>::default();
        let writing = Arc::clone(&state);
        thread::Builder::new().name("background".to_owned()).spawn(move || {
            if let Err(error) = write_all(out, to_write, &writing) {
                *writing.failure() = Some(error);
            }
            let _ = finished.send(());
        })?;
        Ok(Self { queue: Queue { entries, state }, written })
    }

    pub(super) fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// Waits until all is written, for a while.
    ///
    /// # Errors
    /// Why not all of it is.
    pub(super) async fn finish(self) -> io::Result<()> {
        let _ = self.queue.entries.send(Entry::End);
        if timeout(PATIENCE, self.written).await.is_err() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes no more"));
        }
        self.queue.state.failure().take().map_or(Ok(()), Err)
    }
}

impl State {
    fn failure(&self) -> std::sync::MutexGuard<'_, Option<io::Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Queue {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let waiting_len = self.state.waiting_len.load(Ordering::Acquire);
        if waiting_len > 0 && waiting_len + piece.len() > QUEUE_LEN {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.state.waiting_len.fetch_add(piece.len(), Ordering::AcqRel);
        let sent = self.entries.send(Entry::Piece(piece.to_vec()));
        sent.map(|()| piece.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes until the end is said, flushing whenever nothing waits. Once it returns, nothing more is taken for it.
fn write_all(mut out: impl Write, entries: Receiver<Entry>, state: &State) -> io::Result<()> {
    while let Ok(Entry::Piece(piece)) = entries.recv() {
        out.write_all(&piece)?;
        if state.waiting_len.fetch_sub(piece.len(), Ordering::AcqRel) == piece.len() {
            out.flush()?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing until it is let go.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_refused_whole_and_holds_nobody_up() {
        let (go, stuck) = std::sync::mpsc::channel();
        let background = Background::start(Stuck(stuck)).unwrap();
        let mut queue = background.queue();
        let piece = vec![0; QUEUE_LEN];
        assert!(queue.write_all(&piece).is_ok(), "one piece goes, whatever its size");
        assert_eq!(queue.write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(go);
        background.finish().await.unwrap();
    }

    #[tokio::test]
    async fn the_first_failure_is_kept() {
        let file = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let background = Background::start(file).unwrap();
        let mut queue = background.queue();
        let _ = queue.write_all(b"x");
        assert_eq!(background.finish().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(queue.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
