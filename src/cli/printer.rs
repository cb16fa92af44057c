//! Standard output on a thread of its own: it may block for as long as its reader likes, and the connections live on.

use std::io::{self, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

/// Pieces that wait to be written.
const QUEUE_LEN: usize = 64;
/// Bytes that are written at a time, and one piece more.
const WRITE_LEN: usize = 64 * 1024;

/// Writes what it is given, in order.
#[derive(Debug)]
pub(super) struct Printer {
    pieces: mpsc::Sender<Vec<u8>>,
    /// What ended the writing.
    written: oneshot::Receiver<io::Result<()>>,
}

impl Printer {
    pub(super) fn start() -> io::Result<Self> {
        let (pieces, queue) = mpsc::channel(QUEUE_LEN);
        let (finished, written) = oneshot::channel();
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            let _ = finished.send(write_all(queue));
        })?;
        Ok(Self { pieces, written })
    }

    /// Hands a piece over; waits while too much is unwritten.
    ///
    /// # Errors
    /// Why nothing is written any more.
    pub(super) async fn print(&mut self, piece: Vec<u8>) -> io::Result<()> {
        match self.pieces.send(piece).await {
            Ok(()) => Ok(()),
            Err(_) => {
                Err(of_thread((&mut self.written).await).err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    /// Waits until everything is written.
    pub(super) async fn finish(self) -> io::Result<()> {
        drop(self.pieces);
        of_thread(self.written.await)
    }
}

fn of_thread(written: Result<io::Result<()>, oneshot::error::RecvError>) -> io::Result<()> {
    written.unwrap_or_else(|_| Err(io::Error::other("the printing was lost")))
}

/// Writes until the queue is closed, flushing whenever it is empty.
fn write_all(mut queue: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    while let Some(mut bytes) = queue.blocking_recv() {
        while bytes.len() < WRITE_LEN
            && let Ok(more) = queue.try_recv()
        {
            bytes.extend_from_slice(&more);
        }
        stdout.write_all(&bytes)?;
        stdout.flush()?;
    }
    Ok(())
}
