//! Send batches, and tell what became of each.
#![allow(clippy::result_large_err, reason = "the batch is what makes it large, and moves as cheaply as when accepted")]

use std::sync::Arc;
use std::time::Duration;

use super::connection::Shared;
use crate::client::Deadline;
use crate::wire::batch::PartitionKeyError;
use crate::{Accepted, Batch, Error, SendError};

/// A link to an event hub, or to one of its partitions, that takes batches. [`hubwire::Sender`](crate::Sender) says more.
///
/// ```no_run
/// use hubwire::{ConnectionString, Options, SendError, blocking};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let connection_string = ConnectionString::parse(&std::env::var("CONNECTION_STR")?)?;
/// let sender = blocking::Connection::open(&connection_string, &Options::default())?.sender("telemetry")?;
/// let mut batch = sender.batch();
/// assert!(batch.try_add("first event").is_added());
/// match sender.send(batch) {
///     Ok(accepted) => println!("accepted {} events", accepted.events),
///     Err(SendError::NotSent { cause, .. }) => println!("safe to send again: {cause}"),
///     Err(SendError::Unknown { cause, .. }) => println!("may be stored: {cause}"),
///     Err(refused) => println!("{refused}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Drop
/// It waits for what is under way on it, within [`Options::close_timeout`](crate::Options::close_timeout), and lets go of the
/// link. Inside of an async task it does not wait.
#[derive(Debug)]
pub struct Sender {
    /// Until it is closed.
    sender: Option<crate::Sender>,
    shared: Arc<Shared>,
}

impl Sender {
    pub(super) fn new(sender: crate::Sender, shared: Arc<Shared>) -> Self {
        Self { sender: Some(sender), shared }
    }

    fn sender(&self) -> &crate::Sender {
        self.sender.as_ref().expect("it is there until it is closed")
    }

    /// The largest message that the hub takes on this link, in bytes: 1 MiB, or 256 KiB in the Basic tier.
    pub fn max_message_size(&self) -> usize {
        self.sender().max_message_size()
    }

    /// The partition that everything on this sender goes to.
    pub fn partition_id(&self) -> Option<&str> {
        self.sender().partition_id()
    }

    /// An empty batch of this link's size, in the memory of one that was accepted and is used no more, if there is one.
    pub fn batch(&self) -> Batch {
        self.sender().batch()
    }

    /// An empty batch of this link's size whose events all go to the partition of `key`.
    ///
    /// # Errors
    /// [`PartitionKeyError`] when the key is empty or too long.
    pub fn batch_with_partition_key(&self, key: &str) -> Result<Batch, PartitionKeyError> {
        self.sender().batch_with_partition_key(key)
    }

    /// Sends `batch` and waits for its outcome, within [`Options::send_timeout`](crate::Options::send_timeout).
    ///
    /// # Errors
    /// The three kinds of [`SendError`], with the batch in it. [`SendError::NotSent`] also for a connection that was lost
    /// between calls and could not be made anew at the first try, and for [`Error::InsideTask`].
    pub fn send(&self, batch: Batch) -> Result<Accepted, SendError> {
        self.send_within(batch, self.shared.send_timeout)
    }

    /// The same, within a time of your own.
    ///
    /// # Errors
    /// As of [`send`](Self::send).
    pub fn send_within(&self, batch: Batch, limit: Duration) -> Result<Accepted, SendError> {
        let driving = match self.shared.enter() {
            Ok(driving) => driving,
            Err(cause) => return Err(SendError::NotSent { batch, cause }),
        };
        driving.run(async {
            let deadline = Deadline::after(limit);
            match self.shared.wake(driving.slumber, deadline).await {
                Ok(()) => self.sender().send_by(batch, deadline).await,
                Err(cause) => Err(SendError::NotSent { batch, cause }),
            }
        })
    }

    /// The time that [`send`](Self::send) has.
    #[cfg(feature = "algorithm")]
    pub(crate) fn send_timeout(&self) -> Duration {
        self.shared.send_timeout
    }

    /// Hands `batch` over as soon as there is room in the window, and does not wait for its outcome: that is the
    /// [`Ticket`]'s. It leaves during this call or a later one; nothing leaves between calls. The time that
    /// [`send`](Self::send) has begins here.
    ///
    /// # Errors
    /// [`SendError::NotSent`], with the batch in it, when it could not be handed over.
    pub fn enqueue(&self, batch: Batch) -> Result<Ticket, SendError> {
        let driving = match self.shared.enter() {
            Ok(driving) => driving,
            Err(cause) => return Err(SendError::NotSent { batch, cause }),
        };
        let ticket = driving.run(async {
            let deadline = self.sender().send_deadline();
            match self.shared.wake(driving.slumber, deadline).await {
                Ok(()) => self.sender().enqueue_by(batch, deadline).await,
                Err(cause) => Err(SendError::NotSent { batch, cause }),
            }
        })?;
        Ok(Ticket { ticket, shared: self.shared.clone() })
    }

    /// Waits until every batch that was handed over before has its outcome.
    ///
    /// # Errors
    /// [`Error::InsideTask`].
    pub fn flush(&self) -> Result<(), Error> {
        self.shared.drive(self.sender().flush())
    }

    /// Detaches the link, whatever is still under way on it ([`flush`](Self::flush) first), and waits for the hub to agree,
    /// within [`Options::close_timeout`](crate::Options::close_timeout).
    pub fn close(mut self) {
        if let Some(sender) = self.sender.take() {
            // Inside of a task the link is let go of all the same.
            let _ = self.shared.drive(sender.close());
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            // What has no outcome by then has no one who waits for it, or a ticket that tells.
            let limit = self.shared.close_timeout;
            let _ = self.shared.drive(async { tokio::time::timeout(limit, sender.flush()).await });
        }
    }
}

/// The outcome of a batch that was handed over by [`Sender::enqueue`].
#[derive(Debug)]
#[must_use = "what becomes of the batch is told here, and what was not accepted comes back"]
pub struct Ticket {
    ticket: crate::Ticket,
    shared: Arc<Shared>,
}

impl Ticket {
    /// Whether the outcome has come: [`wait`](Self::wait) does not wait then.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.ticket.is_settled()
    }

    /// Waits for the outcome, until the time of its batch is over.
    ///
    /// # Errors
    /// The three kinds of [`SendError`], with the batch in it. Inside of an async task, where it may not wait, an outcome that
    /// has not come is [`SendError::Unknown`].
    pub fn wait(self) -> Result<Accepted, SendError> {
        let Self { mut ticket, shared } = self;
        match shared.drive(&mut ticket) {
            Ok(outcome) => outcome,
            Err(refused) => ticket.told_or_unknown(refused),
        }
    }
}
