//! Send batches, and tell what became of each.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;

use super::connection::Inner;
use super::deadline::Deadline;
use super::driver::{Command, SendRequest, Settlement, SlotId, Told};
use super::error::{Error, SendError, Step};
use super::memory::Memory;
use super::window::{InLine, Place};
use crate::engine::DeliveryKey;
use crate::wire::batch::{Batch, Message, PartitionKeyError};

/// The limit of a hub that names none. Source: event-hubs-wire 6.2.
const DEFAULT_MAX_MESSAGE_SIZE: usize = 1_048_576;

/// Bytes that are worth a turn of the connection's task: many small batches still leave in one write.
const ENOUGH_TO_WRITE: usize = 128 * 1024;

/// A link to an event hub, or to one of its partitions, that takes batches.
///
/// Many batches may be under way at once: [`enqueue`](Self::enqueue) them, or poll several futures of [`send`](Self::send)
/// together. On one sender, batches leave in the order in which they were enqueued, or their `send` was first polled; one
/// that has to be sent again goes before those that have not left. When the hub ends the link, another one takes its place.
#[derive(Debug)]
pub struct Sender {
    hold: Arc<Hold>,
    max_message_size: usize,
    partition_id: Option<String>,
}

/// What a caller does when the window is full.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    None,
    Waits,
    /// Waits, and then comes back with more before it waits for an outcome.
    AndLetsWrite,
}

/// What was accepted. When it is dropped, the batch's memory is kept for the next [`Sender::batch`] on the connection.
pub struct Accepted {
    /// Events that the hub has stored.
    pub events: usize,
    /// Bytes of the message that held them.
    pub message_len: usize,
    /// Until it is taken.
    batch: Option<Batch>,
    memory: Arc<Memory>,
}

impl Accepted {
    /// The batch, emptied, its memory and its partition key kept: for the next events.
    pub fn into_batch(mut self) -> Batch {
        // It is there until now.
        self.batch.take().unwrap_or_else(|| Batch::new(0))
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.memory.keep(batch);
        }
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, message_len, .. } = self;
        f.debug_struct("Accepted").field("events", events).field("message_len", message_len).finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new(
        connection: Arc<Inner>,
        slot: SlotId,
        max_message_size: Option<u64>,
        partition_id: Option<String>,
    ) -> Self {
        let max_message_size =
            max_message_size.map_or(DEFAULT_MAX_MESSAGE_SIZE, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let hold = Arc::new(Hold { connection, slot });
        Self { hold, max_message_size, partition_id }
    }

    /// The largest message that the hub takes on this link, in bytes: 1 MiB, or 256 KiB in the Basic tier.
    pub fn max_message_size(&self) -> usize {
        self.max_message_size
    }

    /// The partition that everything on this sender goes to.
    pub fn partition_id(&self) -> Option<&str> {
        self.partition_id.as_deref()
    }

    /// An empty batch of this link's size, in the memory of one that was accepted and is used no more, if there is one.
    pub fn batch(&self) -> Batch {
        self.hold.connection.memory.lend(Batch::new(self.max_message_size))
    }

    /// An empty batch of this link's size whose events all go to the partition of `key`.
    ///
    /// # Errors
    /// [`PartitionKeyError`] when the key is empty or too long.
    pub fn batch_with_partition_key(&self, key: &str) -> Result<Batch, PartitionKeyError> {
        Batch::with_partition_key(self.max_message_size, key).map(|empty| self.hold.connection.memory.lend(empty))
    }

    /// Sends `batch` and waits for its outcome, within [`Options::send_timeout`](super::Options::send_timeout): waiting for
    /// room in the window, for a lost link to be back and for a busy hub is in it, and so is every time that the batch is
    /// sent again (see [`Retry`](super::Retry)).
    ///
    /// `Ok` means stored by the hub. Everything else is one of the three kinds of [`SendError`], with the batch in it.
    ///
    /// # Cancel
    /// A batch of which nothing has left yet does not leave any more. One that has left stays on its way; whether the
    /// hub stored it will not be known. The sender stays usable.
    pub async fn send(&self, batch: Batch) -> Result<Accepted, SendError> {
        self.send_by(batch, self.send_deadline()).await
    }

    /// The same, within a time of your own.
    ///
    /// # Cancel
    /// As of [`send`](Self::send).
    pub async fn send_within(&self, batch: Batch, limit: Duration) -> Result<Accepted, SendError> {
        self.send_by(batch, Deadline::after(limit)).await
    }

    pub(crate) async fn send_by(&self, batch: Batch, deadline: Deadline) -> Result<Accepted, SendError> {
        self.hand_over(batch, Patience::Waits, deadline).await?.or_forget().await
    }

    /// The same, but when the window is full it does not wait for room: the batch comes back at once, as
    /// [`SendError::NotSent`] for [`Error::WindowFull`].
    ///
    /// # Cancel
    /// As of [`send`](Self::send).
    pub async fn try_send(&self, batch: Batch) -> Result<Accepted, SendError> {
        self.hand_over(batch, Patience::None, self.send_deadline()).await?.or_forget().await
    }

    /// Hands `batch` over as soon as there is room in the window, and does not wait for its outcome: that is the
    /// [`Ticket`]'s. So one caller keeps many batches on their way, in their order, without a task for each. The time that
    /// [`send`](Self::send) has begins here.
    ///
    /// # Errors
    /// [`SendError::NotSent`], with the batch in it, when it could not be handed over.
    ///
    /// # Cancel
    /// The batch does not leave.
    ///
    /// ```
    /// # use hubwire::{Connection, ConnectionString, Options};
    /// # use hubwire::emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let emulator = Emulator::builder().event_hub("telemetry", 4).build()?;
    /// # let to = ConnectionString::parse(&emulator.connection_string(None))?;
    /// # let connection = Connection::open_over(emulator.connect(), &to, &Options::default()).await?;
    /// let sender = connection.sender("telemetry").await?;
    /// let mut tickets = Vec::new();
    /// for number in 0..10 {
    ///     let mut batch = sender.batch();
    ///     assert!(batch.try_add(format!("event {number}")).is_added());
    ///     tickets.push(sender.enqueue(batch).await?);
    /// }
    /// for ticket in tickets {
    ///     assert_eq!(ticket.await?.events, 1);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn enqueue(&self, batch: Batch) -> Result<Ticket, SendError> {
        self.enqueue_by(batch, self.send_deadline()).await
    }

    pub(crate) async fn enqueue_by(&self, batch: Batch, deadline: Deadline) -> Result<Ticket, SendError> {
        self.hand_over(batch, Patience::AndLetsWrite, deadline).await
    }

    /// Waits until every batch that was handed over before has its outcome, whoever waits for that. What is handed over
    /// later is not waited for. It ends at the latest when those batches' own time does.
    ///
    /// # Cancel
    /// Nothing changes.
    pub async fn flush(&self) {
        let (reply, landed) = oneshot::channel();
        // A task that has ended has told every outcome.
        if self.hold.connection.ask(Command::Flush { slot: self.hold.slot, reply }).is_ok() {
            let _ = landed.await;
        }
    }

    /// When a call that begins now has to be over, as [`Options::send_timeout`](super::Options::send_timeout) says.
    pub(crate) fn send_deadline(&self) -> Deadline {
        Deadline::after(self.hold.connection.options.send_timeout)
    }

    async fn hand_over(&self, batch: Batch, patience: Patience, deadline: Deadline) -> Result<Ticket, SendError> {
        if let Some(cause) = self.local_fault(&batch) {
            return Err(SendError::NotSent { batch, cause });
        }
        let batch_len = batch.encoded_len();
        let lets_write = patience == Patience::AndLetsWrite && self.is_enough_to_write(batch_len);
        if !lets_write && let Some(place) = self.hold.connection.window.try_place(batch_len) {
            return self.hand_over_in(place, batch, deadline);
        }
        if patience == Patience::None {
            return Err(SendError::NotSent { batch, cause: Error::WindowFull });
        }
        // Apart: room for what is waited for would be moved with every batch, and most have no need of it.
        match Box::pin(self.stand_in_line(batch_len, deadline, lets_write)).await {
            // The turn is kept until the batch is handed over.
            Ok((place, _turn)) => self.hand_over_in(place, batch, deadline),
            Err(cause) => Err(SendError::NotSent { batch, cause }),
        }
    }

    #[allow(clippy::result_large_err, reason = "see `settled`")]
    fn hand_over_in(&self, place: Place, batch: Batch, deadline: Deadline) -> Result<Ticket, SendError> {
        let message = batch.into_message();
        let (reply, outcome) = oneshot::channel();
        let key = self.hold.connection.next_id();
        let (payload, events) = (message.bytes.clone(), message.len() as u64);
        let request = SendRequest { slot: self.hold.slot, key, payload, events, deadline, reply, place };
        if let Err(cause) = self.hold.connection.ask(Command::Send(request)) {
            return Err(SendError::NotSent { batch: Batch::from_message(message), cause });
        }
        Ok(Ticket { message: Some(message), outcome, key, hold: self.hold.clone(), forgets: false })
    }

    /// A place in the window, and the turn in which it came.
    async fn stand_in_line(
        &self,
        batch_len: usize,
        deadline: Deadline,
        lets_write: bool,
    ) -> Result<(Place, InLine), Error> {
        let turn = self.hold.connection.window.line_up();
        if lets_write {
            tokio::task::yield_now().await;
        }
        let place = deadline.limit(Step::Window, turn.place(batch_len)).await?;
        Ok((place, turn))
    }

    /// A caller that packs one batch after the other lets the connection's task have its turn in between, where they share a
    /// thread: what is there leaves while the next one is packed, and not all at once in the end. It stands in line
    /// meanwhile: nobody overtakes.
    fn is_enough_to_write(&self, batch_len: usize) -> bool {
        let unwritten = &self.hold.connection.unwritten;
        let is_enough = unwritten.load(Ordering::Relaxed) >= ENOUGH_TO_WRITE;
        if is_enough {
            unwritten.store(0, Ordering::Relaxed);
        }
        unwritten.fetch_add(batch_len, Ordering::Relaxed);
        is_enough
    }

    /// What would be refused anyway, found before anything is sent.
    fn local_fault(&self, batch: &Batch) -> Option<Error> {
        if batch.is_empty() {
            return Some(Error::EmptyBatch);
        }
        if batch.partition_key().is_some() && self.partition_id.is_some() {
            return Some(Error::KeyOnPartition);
        }
        let (len, limit) = (batch.encoded_len(), self.max_message_size);
        (len > limit).then_some(Error::BatchTooLarge { len, limit })
    }

    /// Detaches the link, whatever is still under way on it ([`flush`](Self::flush) first), and waits for the hub to agree, within
    /// [`Options::close_timeout`](super::Options::close_timeout).
    ///
    /// # Cancel
    /// The link is detached all the same.
    pub async fn close(self) {
        self.hold.connection.detach(self.hold.slot).await;
    }
}

/// A link, as long as somebody waits for something on it: its sender, or a ticket.
#[derive(Debug)]
struct Hold {
    connection: Arc<Inner>,
    slot: SlotId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Nothing to wait for: the connection's task does it.
        let _ = self.connection.ask(Command::Detach { slot: self.slot, reply: None });
    }
}

/// The outcome of a batch that was handed over by [`Sender::enqueue`], to be awaited. It is told in any order, whenever it
/// is asked for. The link stays while there is a ticket, even if its [`Sender`] is dropped, but not if that is closed.
///
/// # Cancel
/// A batch whose ticket is dropped is sent all the same, and sent again where that is called for, as long as its sender, or
/// another ticket of it, is there; only the counters tell what became of it, and it comes back to nobody.
#[must_use = "what becomes of the batch is told here, and what was not accepted comes back"]
pub struct Ticket {
    /// Until the outcome is told.
    message: Option<Message>,
    outcome: oneshot::Receiver<Told>,
    key: DeliveryKey,
    hold: Arc<Hold>,
    /// Without the ticket, the batch is not to leave any more.
    forgets: bool,
}

impl Ticket {
    /// Whether the outcome has come: awaiting it does not wait then. A caller with many tickets looks at the oldest, and has
    /// its batch's memory for the next one.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.outcome.is_empty()
    }

    /// The outcome, if it has come, for a caller that may not wait for it because of `cause`.
    #[allow(clippy::result_large_err, reason = "see `settled`")]
    pub(crate) fn told_or_unknown(mut self, cause: Error) -> Result<Accepted, SendError> {
        let message = self.message.take().expect("an outcome is told once");
        let settlement = self.outcome.try_recv().map_or(Settlement::Unknown(cause), of_told);
        settled(message, settlement, &self.hold.connection.memory)
    }

    /// The same, for a caller whose going away is to be heeded.
    fn or_forget(mut self) -> Self {
        self.forgets = true;
        self
    }
}

fn of_told(told: Told) -> Settlement {
    told.map_or(Settlement::Accepted, |failed| *failed)
}

impl Future for Ticket {
    type Output = Result<Accepted, SendError>;

    /// # Panics
    /// When it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let told = ready!(Pin::new(&mut self.outcome).poll(cx));
        let message = self.message.take().expect("an outcome is told once");
        // No answer: the connection's task was torn down with its runtime.
        let settlement = told.map_or_else(|_| Settlement::Unknown(self.hold.connection.cause()), of_told);
        Poll::Ready(settled(message, settlement, &self.hold.connection.memory))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.forgets && self.message.is_some() {
            let _ = self.hold.connection.ask(Command::Forget(self.key));
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("message", &self.message).finish_non_exhaustive()
    }
}

#[allow(clippy::result_large_err, reason = "the batch is what makes it large, and moves as cheaply as when accepted")]
fn settled(message: Message, settlement: Settlement, memory: &Arc<Memory>) -> Result<Accepted, SendError> {
    let (events, message_len) = (message.len(), message.bytes.len());
    let mut batch = Batch::from_message(message);
    match settlement {
        Settlement::Accepted => {
            batch.clear();
            Ok(Accepted { events, message_len, batch: Some(batch), memory: memory.clone() })
        }
        Settlement::Rejected { condition, description } => Err(SendError::Rejected { batch, condition, description }),
        Settlement::NotSent(cause) => Err(SendError::NotSent { batch, cause }),
        Settlement::Unknown(cause) => Err(SendError::Unknown { batch, cause }),
    }
}
