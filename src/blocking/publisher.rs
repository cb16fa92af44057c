//! Events in, batches out.

use std::sync::Arc;
use std::time::Duration;

use super::drive::{Drive, Driving};
use crate::wire::batch::BatchItem;
use crate::{ConnectionString, Error, Options, PublishError, PublisherOptions, Undelivered};

/// A rest that is worth a look at the connections. A shorter one is a caller with one event after the other.
const REST: Duration = Duration::from_millis(100);

/// Takes events one by one and sends them in batches. [`hubwire::Publisher`](crate::Publisher) says more.
///
/// A batch leaves when it is full, or with the first call after its time, since nothing leaves between calls:
/// [`flush`](Self::flush) before the process sleeps, or freezes, or waits for something else.
///
/// # Drop
/// What it holds is sent and waited for, within [`Options::close_timeout`]; the receipts tell what became of it. Inside of an
/// async task, where it may not wait, nothing more leaves, and what has no outcome yet is [`Undelivered::Abandoned`].
#[derive(Debug)]
pub struct Publisher {
    /// Until it is closed.
    publisher: Option<crate::Publisher>,
    drive: Arc<Drive>,
    close_timeout: Duration,
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
        Ok(Self { publisher: Some(publisher), drive: Arc::new(drive), close_timeout: options.close_timeout })
    }

    /// Takes an event; the hub chooses its partition. It waits for room as its `async` twin does.
    ///
    /// # Errors
    /// [`PublishError`], with the event in it.
    pub fn publish<E: BatchItem>(&self, event: E) -> Result<Receipt, PublishError<E>> {
        self.take(event, async |publisher, event| publisher.publish(event).await)
    }

    /// The same for an event that goes to the partition of `key`, behind those of the same key.
    ///
    /// # Errors
    /// [`PublishError`], with the event in it.
    pub fn publish_with_key<E: BatchItem>(&self, key: &str, event: E) -> Result<Receipt, PublishError<E>> {
        self.take(event, async |publisher, event| publisher.publish_with_key(key, event).await)
    }

    /// The same for an event that goes to one partition, behind those that went there by this publisher.
    ///
    /// # Errors
    /// [`PublishError`], with the event in it.
    pub fn publish_to_partition<E: BatchItem>(&self, partition_id: &str, event: E) -> Result<Receipt, PublishError<E>> {
        self.take(event, async |publisher, event| publisher.publish_to_partition(partition_id, event).await)
    }

    fn take<E: BatchItem>(
        &self,
        event: E,
        publish: impl AsyncFnOnce(&crate::Publisher, E) -> Result<crate::Receipt, PublishError<E>>,
    ) -> Result<Receipt, PublishError<E>> {
        let driving = match self.drive.enter() {
            Ok(driving) => driving,
            Err(cause) => return Err(PublishError::NotTaken(event, cause)),
        };
        let receipt = driving.run(async {
            self.wake(&driving).await;
            publish(self.publisher(), event).await
        })?;
        Ok(Receipt { receipt, drive: self.drive.clone() })
    }

    /// What the connections have missed is told where it matters: by the receipts.
    async fn wake(&self, driving: &Driving<'_>) {
        if driving.slumber.span < REST {
            return;
        }
        tokio::task::yield_now().await;
        for connection in self.publisher().connections() {
            let _ = connection.wake(driving.slumber).await;
        }
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
        let driving = self.drive.enter()?;
        driving.run(async {
            self.wake(&driving).await;
            self.publisher().flush().await;
        });
        Ok(())
    }

    /// Sends what is held, waits for the outcomes, within [`Options::send_timeout`], and closes the connections one after the
    /// other, each within [`Options::close_timeout`].
    ///
    /// # Errors
    /// [`Error::InsideTask`]; see [Drop](#drop).
    pub fn close(mut self) -> Result<(), Error> {
        let driving = self.drive.enter()?;
        if let Some(publisher) = self.publisher.take() {
            driving.run(publisher.close());
        }
        Ok(())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let Some(publisher) = self.publisher.take() else { return };
        if let Ok(driving) = self.drive.enter() {
            let _ = driving.run(async { tokio::time::timeout(self.close_timeout, publisher.close()).await });
        }
    }
}

/// What became of one event.
#[derive(Debug)]
#[must_use = "what becomes of the event is told here, and one that was not accepted comes back"]
pub struct Receipt {
    receipt: crate::Receipt,
    drive: Arc<Drive>,
}

impl Receipt {
    /// Waits for the outcome: `Ok` means stored by the hub. An event whose batch is still held leaves when its time has come,
    /// which this waits for.
    ///
    /// # Errors
    /// [`Undelivered`]. Inside of an async task, where it may not wait, an outcome that has not come is
    /// [`Undelivered::Abandoned`].
    pub fn wait(self) -> Result<(), Undelivered> {
        match self.drive.enter() {
            Ok(driving) => driving.run(self.receipt),
            Err(_) => self.receipt.told_or_abandoned(),
        }
    }
}
