//! `--verbose`: what happens, a line each, to standard error.
//!
//! A thread writes, since standard error may block for as long as its reader likes, and no connection is to wait for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::object::Object;
use super::voice::Voice;
use crate::clock;
use crate::emulator::Activity;

/// What waits to be written; more is left out, and counted.
const QUEUE_LEN: usize = 8_192;
/// At the end, a reader that takes no more is waited for no longer.
const PATIENCE: Duration = Duration::from_secs(2);

enum Entry {
    Happened(Duration, Activity),
    End,
}

/// The thread that writes.
pub(super) struct Journal {
    writer: Writer,
    written: oneshot::Receiver<()>,
}

/// Leads to the [`Journal`].
#[derive(Clone)]
pub(super) struct Writer {
    started: Instant,
    queue: SyncSender<Entry>,
    /// Entries that found no room, since the last that did.
    left_out: Arc<AtomicU64>,
}

impl Journal {
    pub(super) fn start(voice: Voice) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE_LEN);
        let (finished, written) = oneshot::channel();
        let left_out = Arc::new(AtomicU64::new(0));
        let writer = Writer { started: clock::now(), queue, left_out: Arc::clone(&left_out) };
        thread::Builder::new().name("journal".to_owned()).spawn(move || {
            write_all(voice, &entries, &left_out);
            let _ = finished.send(());
        })?;
        Ok(Self { writer, written })
    }

    pub(super) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Writes what has happened by now, if somebody reads it.
    pub(super) async fn finish(self) {
        if self.writer.queue.try_send(Entry::End).is_ok() {
            let _ = timeout(PATIENCE, self.written).await;
        }
    }
}

impl Writer {
    /// Never waits.
    pub(super) fn write(&self, activity: &Activity) {
        let elapsed = clock::now().saturating_duration_since(self.started);
        if self.queue.try_send(Entry::Happened(elapsed, activity.clone())).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_all(voice: Voice, entries: &Receiver<Entry>, left_out: &AtomicU64) {
    while let Ok(Entry::Happened(elapsed, activity)) = entries.recv() {
        voice.happened(elapsed, &activity);
        tell_left_out(voice, left_out);
    }
    tell_left_out(voice, left_out);
}

fn tell_left_out(voice: Voice, left_out: &AtomicU64) {
    let count = left_out.swap(0, Ordering::Relaxed);
    if count > 0 {
        voice.warn(format_args!("{count} lines were left out: standard error is read more slowly than they come"));
    }
}

impl Voice {
    fn happened(self, elapsed: Duration, activity: &Activity) {
        let secs = elapsed.as_secs_f64();
        self.say(|| format!("{secs:9.3} s  {activity}"), || Object::of_activity(elapsed, activity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_is_counted_and_holds_nobody_up() {
        let (queue, entries) = sync_channel(1);
        let writer = Writer { started: clock::now(), queue, left_out: Arc::default() };
        let emulator = {
            let writer = writer.clone();
            let builder = crate::emulator::Emulator::builder().event_hub("hub", 1);
            builder.on_activity(move |activity| writer.write(activity)).build().unwrap()
        };
        for _ in 0..3 {
            // A stream that ends at once.
            emulator.serve(tokio::io::join(tokio::io::empty(), tokio::io::sink())).await;
        }
        assert_eq!(writer.left_out.load(Ordering::Relaxed), 2);
        assert!(matches!(entries.try_recv(), Ok(Entry::Happened(..))));
    }
}
