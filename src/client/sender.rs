//! Send batches, and tell what became of each.

use std::sync::Arc;

use tokio::sync::{MutexGuard, oneshot};

use super::connection::Inner;
use super::deadline::Deadline;
use super::driver::{Command, Place, SendRequest, Settlement, SlotId};
use super::error::{Error, SendError, Step};
use crate::engine::DeliveryKey;
use crate::wire::batch::{Batch, Message, PartitionKeyError};

/// The limit of a hub that names none. Source: event-hubs-wire 6.2.
const DEFAULT_MAX_MESSAGE_SIZE: usize = 1_048_576;

/// A link to an event hub, or to one of its partitions, that takes batches.
///
/// Many sends may be under way at once: poll several futures of [`send`](Self::send) together. On one sender, batches
/// leave in the order in which their `send` was first polled; one that has to be sent again goes before those that have
/// not left. When the hub ends the link, another one takes its place.
#[derive(Debug)]
pub struct Sender {
    connection: Arc<Inner>,
    slot: SlotId,
    max_message_size: usize,
    partition_id: Option<String>,
}

/// What was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Events that the hub has stored.
    pub events: usize,
    /// Bytes of the message that held them.
    pub message_len: usize,
    batch: Batch,
}

impl Accepted {
    /// The batch, emptied, its memory and its partition key kept: for the next events.
    pub fn into_batch(self) -> Batch {
        self.batch
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
        Self { connection, slot, max_message_size, partition_id }
    }

    /// The largest message that the hub takes on this link, in bytes: 1 MiB, or 256 KiB in the Basic tier.
    pub fn max_message_size(&self) -> usize {
        self.max_message_size
    }

    /// The partition that everything on this sender goes to.
    pub fn partition_id(&self) -> Option<&str> {
        self.partition_id.as_deref()
    }

    /// An empty batch of this link's size.
    pub fn batch(&self) -> Batch {
        Batch::new(self.max_message_size)
    }

    /// An empty batch of this link's size whose events all go to the partition of `key`.
    ///
    /// # Errors
    /// [`PartitionKeyError`] when the key is empty or too long.
    pub fn batch_with_partition_key(&self, key: &str) -> Result<Batch, PartitionKeyError> {
        Batch::with_partition_key(self.max_message_size, key)
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
        self.send_when(batch, true).await
    }

    /// The same, but when the window is full it does not wait for room: the batch comes back at once, as
    /// [`SendError::NotSent`] for [`Error::WindowFull`].
    ///
    /// # Cancel
    /// As of [`send`](Self::send).
    pub async fn try_send(&self, batch: Batch) -> Result<Accepted, SendError> {
        self.send_when(batch, false).await
    }

    async fn send_when(&self, batch: Batch, may_wait: bool) -> Result<Accepted, SendError> {
        if let Some(cause) = self.local_fault(&batch) {
            return Err(SendError::NotSent { batch, cause });
        }
        let deadline = Deadline::after(self.connection.options.send_timeout);
        let (place, turn) = match self.place(batch.encoded_len(), deadline, may_wait).await {
            Ok(place) => place,
            Err(cause) => return Err(SendError::NotSent { batch, cause }),
        };
        let message = batch.into_message();
        let (reply, outcome) = oneshot::channel();
        let key = self.connection.next_id();
        let (payload, events) = (message.bytes.clone(), message.len() as u64);
        let request = SendRequest { slot: self.slot, key, payload, events, deadline, reply, place };
        if let Err(cause) = self.connection.ask(Command::Send(request)) {
            return Err(SendError::NotSent { batch: Batch::from_message(message), cause });
        }
        drop(turn);
        let mut guard = ForgetOnDrop { sender: self, key, armed: true };
        let settlement = outcome.await;
        guard.armed = false;
        // No answer: the connection's task was torn down with its runtime.
        self.settled(message, settlement.unwrap_or_else(|_| Settlement::Unknown(self.connection.cause())))
    }

    /// A place in the window, and the turn, which is to be kept until the batch is handed over: one that found its place a
    /// moment later would overtake it.
    async fn place(
        &self,
        batch_len: usize,
        deadline: Deadline,
        may_wait: bool,
    ) -> Result<(Place, MutexGuard<'_, ()>), Error> {
        let turn = &self.connection.turn;
        let (batches, bytes) = (self.connection.batches.clone(), self.connection.bytes.clone());
        let places = self.connection.places_of(batch_len);
        if !may_wait {
            let full = |_| Error::WindowFull;
            // Whoever waits is first.
            let turn = turn.try_lock().map_err(|_| Error::WindowFull)?;
            let batch = batches.try_acquire_owned().map_err(full)?;
            return Ok(([batch, bytes.try_acquire_many_owned(places).map_err(full)?], turn));
        }
        let waiting = async {
            // Neither is ever closed.
            let closed = |_| Error::ShutDown;
            let turn = turn.lock().await;
            let batch = batches.acquire_owned().await.map_err(closed)?;
            Ok(([batch, bytes.acquire_many_owned(places).await.map_err(closed)?], turn))
        };
        deadline.limit(Step::Window, waiting).await?
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

    #[allow(
        clippy::result_large_err,
        reason = "the batch is what makes it large, and moves as cheaply as when accepted"
    )]
    fn settled(&self, message: Message, settlement: Settlement) -> Result<Accepted, SendError> {
        let (events, message_len) = (message.len(), message.bytes.len());
        let mut batch = Batch::from_message(message);
        match settlement {
            Settlement::Accepted => {
                batch.clear();
                Ok(Accepted { events, message_len, batch })
            }
            Settlement::Rejected { condition, description } => {
                Err(SendError::Rejected { batch, condition, description })
            }
            Settlement::NotSent(cause) => Err(SendError::NotSent { batch, cause }),
            Settlement::Unknown(cause) => Err(SendError::Unknown { batch, cause }),
        }
    }

    /// Detaches the link, and waits for the hub to agree, within
    /// [`Options::close_timeout`](super::Options::close_timeout).
    ///
    /// # Cancel
    /// The link is detached all the same.
    pub async fn close(self) {
        self.connection.detach(self.slot).await;
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // Nothing to wait for: the connection's task does it.
        let _ = self.connection.ask(Command::Detach { slot: self.slot, reply: None });
    }
}

/// Tells the connection's task when a send's caller goes away before the outcome.
struct ForgetOnDrop<'a> {
    sender: &'a Sender,
    key: DeliveryKey,
    armed: bool,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            let _ = self.sender.connection.ask(Command::Forget(self.key));
        }
    }
}
