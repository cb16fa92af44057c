//! Whom a workload is published to, and where readers run.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;

use super::usage::Threads;
use crate::{Connection, ConnectionString, Error, Options};

type Opening = Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send>>;

/// An event hub, and the way to it.
#[derive(Clone)]
pub struct Target {
    event_hub: String,
    options: Options,
    open: Arc<dyn Fn(Options) -> Opening + Send + Sync>,
    /// What is measured apart: the peer's CPU, if it is in this process, and the readers'.
    pub(super) peer: Threads,
    readers: Option<(Handle, Threads)>,
}

impl Target {
    /// A hub of the namespace that `connection_string` leads to. Of `options`, the window is the workload's to say, and
    /// what happens is told to the report.
    pub fn new(connection_string: &ConnectionString, event_hub: impl Into<String>, options: &Options) -> Self {
        let connection_string = connection_string.clone();
        Self::opened_by(event_hub.into(), options, move |options| {
            let connection_string = connection_string.clone();
            Box::pin(async move { Connection::open(&connection_string, &options).await })
        })
    }

    /// The same over streams that `connect` makes, such as those of [`Emulator::connect`](crate::emulator::Emulator::connect).
    pub fn over<S>(
        connect: impl Fn() -> S + Clone + Send + Sync + 'static,
        connection_string: &ConnectionString,
        event_hub: impl Into<String>,
        options: &Options,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connection_string = connection_string.clone();
        Self::opened_by(event_hub.into(), options, move |options| {
            let (connection_string, connect) = (connection_string.clone(), connect.clone());
            let connect = move || std::future::ready(Ok(connect()));
            Box::pin(async move { Connection::open_with(connect, &connection_string, &options).await })
        })
    }

    fn opened_by(
        event_hub: String,
        options: &Options,
        open: impl Fn(Options) -> Opening + Send + Sync + 'static,
    ) -> Self {
        Self { event_hub, options: options.clone(), open: Arc::new(open), peer: Threads::default(), readers: None }
    }

    /// The peer is in this process, and these are its threads.
    pub(super) fn with_peer(mut self, threads: Threads) -> Self {
        self.peer = threads;
        self
    }

    /// Has readers run where `aside` is, so that their CPU is not taken for the publisher's. Default: with the publisher.
    #[must_use]
    pub fn reading_on(mut self, aside: &super::Aside) -> Self {
        self.readers = Some((aside.handle().clone(), aside.threads().clone()));
        self
    }

    /// The event hub's name.
    pub fn event_hub(&self) -> &str {
        &self.event_hub
    }

    pub(super) fn options(&self) -> Options {
        self.options.clone()
    }

    pub(super) async fn open(&self, options: Options) -> Result<Connection, Error> {
        (self.open)(options).await
    }

    /// Where readers run, and what they use there.
    pub(super) fn readers(&self) -> (Handle, Option<Threads>) {
        match &self.readers {
            Some((handle, threads)) => (handle.clone(), Some(threads.clone())),
            None => (Handle::current(), None),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("event_hub", &self.event_hub).finish_non_exhaustive()
    }
}
