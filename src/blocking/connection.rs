//! The handle to a connection, and what all handles share.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::drive::{Drive, Driving};
use super::sender::Sender;
use crate::client::{Deadline, Slumber};
use crate::{ConnectionString, Counters, Error, EventHubProperties, Options, PartitionProperties, Step};

/// A connection to a namespace that is driven by its callers: see [`blocking`](crate::blocking). Cheap to clone; every clone
/// is the same connection. [`hubwire::Connection`](crate::Connection) says what it does.
#[derive(Clone, Debug)]
pub struct Connection {
    shared: Arc<Shared>,
}

/// A connection and what drives it.
#[derive(Debug)]
pub(super) struct Shared {
    connection: crate::Connection,
    drive: Drive,
    open_timeout: Duration,
    pub(super) send_timeout: Duration,
    pub(super) close_timeout: Duration,
}

impl Connection {
    /// Connects, as [`hubwire::Connection::open`](crate::Connection::open) does.
    ///
    /// # Errors
    /// [`Error`], within [`Options::open_timeout`]; [`Error::InsideTask`] inside of an async task.
    pub fn open(connection_string: &ConnectionString, options: &Options) -> Result<Self, Error> {
        let options = options.clone().on_one_thread();
        let drive = Drive::start(&options)?;
        let connection = drive.enter()?.run(crate::Connection::open(connection_string, &options))?;
        Ok(Self::new(connection, drive, &options))
    }

    /// The same over streams that `connect` leads to, as
    /// [`hubwire::Connection::open_with`](crate::Connection::open_with) does. What it needs of a runtime is there.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn open_with<C, F, S>(
        connect: C,
        connection_string: &ConnectionString,
        options: &Options,
    ) -> Result<Self, Error>
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let drive = Drive::start(options)?;
        let opening = crate::Connection::open_with(connect, connection_string, options);
        let connection = drive.enter()?.run(opening)?;
        Ok(Self::new(connection, drive, options))
    }

    fn new(connection: crate::Connection, drive: Drive, options: &Options) -> Self {
        let Options { open_timeout, send_timeout, close_timeout, .. } = *options;
        Self { shared: Arc::new(Shared { connection, drive, open_timeout, send_timeout, close_timeout }) }
    }

    /// A sender to `event_hub`, as [`hubwire::Connection::sender`](crate::Connection::sender) makes it.
    ///
    /// # Errors
    /// As there, within [`Options::open_timeout`], which is also the time to make a connection anew that was lost meanwhile;
    /// [`Error::InsideTask`].
    pub fn sender(&self, event_hub: &str) -> Result<Sender, Error> {
        self.sender_within(event_hub, self.shared.open_timeout)
    }

    /// The same, within a time of its own.
    pub(crate) fn sender_within(&self, event_hub: &str, limit: Duration) -> Result<Sender, Error> {
        let sender = self.call(limit, async |connection, deadline| connection.sender_by(event_hub, deadline).await)?;
        Ok(Sender::new(sender, self.shared.clone()))
    }

    /// A sender to one partition of `event_hub`.
    ///
    /// # Errors
    /// As of [`sender`](Self::sender).
    pub fn partition_sender(&self, event_hub: &str, partition_id: &str) -> Result<Sender, Error> {
        let sender = self.call(self.shared.open_timeout, async |connection, deadline| {
            connection.partition_sender_by(event_hub, partition_id, deadline).await
        })?;
        Ok(Sender::new(sender, self.shared.clone()))
    }

    /// What there is to know of `event_hub`: its partitions, and when it was made.
    ///
    /// # Errors
    /// As of [`hubwire::Connection::event_hub_properties`](crate::Connection::event_hub_properties);
    /// [`Error::InsideTask`].
    pub fn event_hub_properties(&self, event_hub: &str) -> Result<EventHubProperties, Error> {
        self.call(self.shared.open_timeout, async |connection, deadline| {
            connection.event_hub_properties_by(event_hub, deadline).await
        })
    }

    /// How far a partition of `event_hub` has come.
    ///
    /// # Errors
    /// As of [`event_hub_properties`](Self::event_hub_properties).
    pub fn partition_properties(&self, event_hub: &str, partition_id: &str) -> Result<PartitionProperties, Error> {
        self.call(self.shared.open_timeout, async |connection, deadline| {
            connection.partition_properties_by(event_hub, partition_id, deadline).await
        })
    }

    fn call<T>(
        &self,
        limit: Duration,
        call: impl AsyncFnOnce(&crate::Connection, Deadline) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let driving = self.shared.enter()?;
        driving.run(async {
            let deadline = Deadline::after(limit);
            self.shared.wake(driving.slumber, deadline).await?;
            call(&self.shared.connection, deadline).await
        })
    }

    /// Waits for what was sent to be settled, then says goodbye, within [`Options::close_timeout`]. Whoever still has a
    /// handle is told [`Error::ShutDown`]. Inside of an async task, where it may not wait, it cuts the connection.
    pub fn close(&self) {
        self.close_within(self.shared.close_timeout);
    }

    /// The same, within a time of your own.
    pub fn close_within(&self, limit: Duration) {
        self.shared.close(limit);
    }

    /// What has been sent, accepted and lost so far.
    pub fn counters(&self) -> Counters {
        self.shared.connection.counters()
    }

    /// Whether nothing will bring it back: open another one.
    #[cfg(feature = "algorithm")]
    pub(crate) fn is_over(&self) -> bool {
        self.shared.connection.is_over()
    }
}

impl Shared {
    pub(super) fn enter(&self) -> Result<Driving<'_>, Error> {
        self.drive.enter()
    }

    /// See [`crate::Connection::wake`].
    pub(super) async fn wake(&self, slumber: Slumber, deadline: Deadline) -> Result<(), Error> {
        deadline.limit(Step::Recovery, self.connection.wake(slumber)).await?
    }

    /// Drives for a call that waits for what was handed over before: it may not have left yet, and does not before somebody
    /// has looked. What that led to is told by what it waits for.
    ///
    /// # Errors
    /// [`Error::InsideTask`].
    pub(super) fn drive<F: Future>(&self, work: F) -> Result<F::Output, Error> {
        Ok(self.enter()?.run_after(|slumber| self.connection.rouse(slumber), work))
    }

    fn close(&self, limit: Duration) {
        if self.drive(self.connection.close_within(limit)).is_err() {
            self.connection.abort();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close(self.close_timeout);
    }
}
