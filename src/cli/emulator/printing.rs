//! `--print-events`: events as they come, to standard output.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::cli::failure::{Failure, Kind};
use crate::cli::signal::Signals;
use crate::cli::{json, output};
use crate::emulator::Emulator;
use crate::words::counted;

/// Lines that wait to be printed.
const QUEUE_LEN: usize = 64;
/// When all that is left is to print, a reader that takes nothing for this long is waited for no more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints the rest, as long as somebody reads it, or until a second signal.
pub(super) async fn finish(printing: Printing, emulator: &Emulator, signals: &mut Signals) -> Result<(), Failure> {
    let written_count = Arc::clone(&printing.written_count);
    let (kind, why) = tokio::select! {
        written = printing.finish(emulator) => return of_written(written),
        kind = signals.next() => (kind, "a second signal ended the printing"),
        () = stands_still(&written_count) => (Kind::Configuration, "nobody read them for 10 s"),
    };
    let missing = emulator.totals().events.saturating_sub(written_count.load(Ordering::Acquire));
    let missing = counted(missing, "stored event was", "stored events were");
    Err(Failure::new(kind, format!("{missing} not printed: {why}")))
}

/// Ends when `count` has not changed for [`PATIENCE`].
async fn stands_still(count: &AtomicU64) {
    let mut before = None;
    loop {
        let now = Some(count.load(Ordering::Acquire));
        if now == before {
            return;
        }
        before = now;
        tokio::time::sleep(PATIENCE).await;
    }
}

pub(super) fn of_written(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if !output::is_reader_gone(&error) => {
            Err(Failure::configuration(format!("cannot print events: {error}; check where standard output goes")))
        }
        _ => Ok(()),
    }
}

/// Prints every event that is stored. Ends when nothing can be written any more; never, if nothing is to be printed.
pub(super) async fn print_events(emulator: &Emulator, printing: Option<&mut Printing>) -> io::Result<()> {
    let Some(printing) = printing else { return std::future::pending().await };
    loop {
        tokio::select! {
            written = &mut printing.written => return of_thread(written),
            () = emulator.until_stored(printing.seen + 1) => {}
        }
        if !printing.print_new(emulator).await {
            return of_thread((&mut printing.written).await);
        }
    }
}

fn of_thread(written: Result<io::Result<()>, oneshot::error::RecvError>) -> io::Result<()> {
    written.unwrap_or_else(|_| Err(io::Error::other("the printing was lost")))
}

/// How far the printing is, and the thread that does it: standard output may block for as long as its reader likes.
pub(super) struct Printing {
    /// The next event of each event hub's partitions.
    positions: Vec<(String, u32, i64)>,
    /// Events stored when it last looked, printed or dropped by now.
    seen: u64,
    lines: mpsc::Sender<String>,
    /// What ended the writing.
    written: oneshot::Receiver<io::Result<()>>,
    /// Lines that are out.
    written_count: Arc<AtomicU64>,
}

impl Printing {
    pub(super) fn start(emulator: &Emulator) -> io::Result<Self> {
        let (lines, mut queue) = mpsc::channel::<String>(QUEUE_LEN);
        let (finished, written) = oneshot::channel();
        let written_count = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written_count);
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            let mut result = Ok(());
            while result.is_ok()
                && let Some(line) = queue.blocking_recv()
            {
                result = output::line(line);
                count.fetch_add(u64::from(result.is_ok()), Ordering::Release);
            }
            // The queue closes before whoever waits is told.
            drop(queue);
            let _ = finished.send(result);
        })?;
        let partitions = |(name, count): (&str, u32)| (0..count).map(|id| (name.to_owned(), id, 0)).collect::<Vec<_>>();
        let positions = emulator.event_hubs().flat_map(partitions).collect();
        Ok(Self { positions, seen: 0, lines, written, written_count })
    }

    /// Prints what was stored since the last time; whether somebody still reads.
    ///
    /// Cancel: the next call goes on where this one was.
    async fn print_new(&mut self, emulator: &Emulator) -> bool {
        let seen = emulator.stored_count();
        for (event_hub, partition_id, next) in &mut self.positions {
            for stored in emulator.events_from(event_hub, *partition_id, *next).unwrap_or_default() {
                if self.lines.send(json::stored_line(event_hub, &stored)).await.is_err() {
                    return false;
                }
                *next = stored.sequence_number + 1;
            }
        }
        self.seen = seen;
        true
    }

    /// Prints what is stored by now, and waits until it is written.
    async fn finish(mut self, emulator: &Emulator) -> io::Result<()> {
        self.print_new(emulator).await;
        drop(self.lines);
        of_thread(self.written.await)
    }
}
