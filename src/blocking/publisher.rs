//! Events in, batches out.

use std::sync::Arc;
use std::time::Duration;

use super::drive::Drive;
use crate::client::{Deadline, Slumber, To};
use crate::wire::batch::BatchItem;
use crate::{ConnectionString, Error, Options, PublishError, PublisherOptions, Step, Undelivered};

/// A rest that is worth a look at the connections, and a turn for what has come due; for a shorter linger, that. A shorter one is
/// a caller with one event after the other.
const REST: Duration = Duration::from_millis(100);
/// What a runtime's timer can tell apart.
const LEAST_REST: Duration = Duration::from_millis(1);

/// Takes events one by one and sends them in batches. [`hubwire::Publisher`](crate::Publisher) says more.
///
/// A batch leaves with the first call after it is full, or after its time, since nothing leaves between calls: [`flush`](Self::flush)
/// before the process sleeps, or freezes, or waits for something else. For a linger of more than 100 ms a call gives what waits
/// its turn after 100 ms all the same, and heartbeats with it.
///
/// # Drop
/// What it holds is sent and waited for, within [`Options::close_timeout`]; the receipts tell what became of it. Inside of an
/// async task, where it may not wait, nothing more leaves, and what has no outcome yet is [`Undelivered::Abandoned`].
#[derive(Debug)]
pub struct Publisher {
    /// Until it is closed.
    publisher: Option<crate::Publisher>,
    shared: Arc<Shared>,
    close_timeout: Duration,
    /// Without a turn for what is held.
    rest: Duration,
}

/// Connections and what drives them.
#[derive(Debug)]
struct Shared {
    connections: Vec<crate::Connection>,
    drive: Drive,
}

impl Publisher {
    /// Opens the connections, and a link to `event_hub` on each.
    ///
    /// # Errors
    /// As of [`hubwire::Publisher::open`](crate::Publisher::open); [`Error::InsideTask`].
    pub fn open(
        connection_string: &ConnectionString,
        event_hub: &str,
        options: &Options,
        publisher_options: &PublisherOptions,
    ) -> Result<Self, Error> {
        let options = options.clone().on_one_thread();
        let drive = Drive::start(&options)?;
        let opening = crate::Publisher::open(connection_string, event_hub, &options, publisher_options);
        let publisher = drive.enter()?.run(opening)?;
        let shared = Arc::new(Shared { connections: publisher.connections().to_vec(), drive });
        let rest = publisher_options.linger_time().clamp(LEAST_REST, REST);
        Ok(Self { publisher: Some(publisher), shared, close_timeout: options.close_timeout, rest })
    }

    /// Takes an event; the hub chooses its partition. It waits for room as its `async` twin does.
    ///
    /// # Errors
    /// [`PublishError`], with the event in it.
    pub fn publish<E: BatchItem>(&self, event: E) -> Result<Receipt, PublishError<E>> {
        self.take(To::Hub, event)
    }

    /// The same for an event that goes to the partition of `key`, behind those of the same key.
    ///
    /// # Errors
    /// [`PublishError`], with the event in it.
    pub fn publish_with_key<E: BatchItem>(&self, key: &str, event: E) -> Result<Receipt, PublishError<E>> {
        self.take(To::Key(key), event)
    }

    /// The same for an event that goes to one partition, behind those that went there by this publisher.
    ///
    /// # Errors
    /// [`PublishError`], with the event in it.
    pub fn publish_to_partition<E: BatchItem>(&self, partition_id: &str, event: E) -> Result<Receipt, PublishError<E>> {
        self.take(To::Partition(partition_id), event)
    }

    fn take<E: BatchItem>(&self, to: To<'_>, event: E) -> Result<Receipt, PublishError<E>> {
        let driving = match self.shared.drive.enter() {
            Ok(driving) => driving,
            Err(cause) => return Err(PublishError::NotTaken(event, cause)),
        };
        let receipt = driving.run(async {
            let deadline = self.publisher().deadline();
            if driving.slumber.span >= self.rest {
                self.shared.wake(driving.slumber, deadline).await;
            }
            self.publisher().publish_by(to, event, deadline).await
        })?;
        Ok(Receipt { receipt, shared: self.shared.clone() })
    }

    fn publisher(&self) -> &crate::Publisher {
        self.publisher.as_ref().expect("it is there until it is closed")
    }

    /// Sends what is held, without waiting for its time, and waits until every event that was taken before has its outcome:
    /// the [`Receipt`]s tell which. It ends at the latest when those events' own time does.
    ///
    /// # Errors
    /// [`Error::InsideTask`].
    pub fn flush(&self) -> Result<(), Error> {
        self.shared.drive(self.publisher().flush())
    }

    /// Sends what is held, waits for the outcomes, within [`Options::send_timeout`], and closes the connections one after the
    /// other, each within [`Options::close_timeout`].
    ///
    /// # Errors
    /// [`Error::InsideTask`]; see [Drop](#drop).
    pub fn close(mut self) -> Result<(), Error> {
        match self.publisher.take() {
            Some(publisher) => self.shared.drive(publisher.close()),
            None => Ok(()),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let Some(publisher) = self.publisher.take() else { return };
        let _ = self.shared.drive(async { tokio::time::timeout(self.close_timeout, publisher.close()).await });
    }
}

impl Shared {
    /// Looks at the connections, and gives what has come due its turn. What they have missed is told where it matters: by the
    /// receipts.
    async fn wake(&self, slumber: Slumber, deadline: Deadline) {
        self.rouse(slumber);
        for connection in &self.connections {
            let _ = deadline.limit(Step::Recovery, connection.wake(slumber)).await;
        }
        tokio::task::yield_now().await;
    }

    /// The same, without waiting for it: nothing leaves before somebody has looked.
    fn rouse(&self, slumber: Slumber) {
        for connection in &self.connections {
            connection.rouse(slumber);
        }
    }

    /// Drives for a call that waits for what was taken before.
    ///
    /// # Errors
    /// [`Error::InsideTask`].
    fn drive<F: Future>(&self, work: F) -> Result<F::Output, Error> {
        Ok(self.drive.enter()?.run_after(|slumber| self.rouse(slumber), work))
    }
}

/// What became of one event.
#[derive(Debug)]
#[must_use = "what becomes of the event is told here, and one that was not accepted comes back"]
pub struct Receipt {
    receipt: crate::Receipt,
    shared: Arc<Shared>,
}

impl Receipt {
    /// Waits for the outcome: `Ok` means stored by the hub. An event whose batch is still held leaves when its time has come,
    /// which this waits for.
    ///
    /// # Errors
    /// [`Undelivered`]. Inside of an async task, where it may not wait, an outcome that has not come is
    /// [`Undelivered::Abandoned`].
    pub fn wait(mut self) -> Result<(), Undelivered> {
        self.shared.drive(&mut self.receipt).unwrap_or_else(|_| self.receipt.told_or_abandoned())
    }
}
