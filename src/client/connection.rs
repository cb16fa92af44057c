//! The handle to a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::cbs::Cbs;
use super::deadline::Deadline;
use super::driver::{AttachRequest, Attached, Command, Driver, Epitaph, LinkTerms};
use super::error::Error;
use super::options::Options;
use super::sender::Sender;
use super::transport::{self, Address};
use crate::clock;
use crate::engine::{self, Config, LinkId, Role};
use crate::pump::Pump;
use crate::wire::connection_string::{ConnectionString, check_event_hub_name};

/// Bytes of room for one read: the hub's side says little.
const READ_LEN: usize = 8 * 1024;
/// The largest frame we take: what the service itself settles on. Source: event-hubs-wire 4.2.
const MAX_FRAME_SIZE: u32 = 65_536;

/// An open AMQP connection to a namespace. Cheap to clone; every clone is the same connection.
///
/// One task of the runtime carries it. When the last handle and the last [`Sender`] on it are dropped, that task says
/// goodbye by itself.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    commands: mpsc::UnboundedSender<Command>,
    epitaph: Arc<Epitaph>,
    next_key: AtomicU64,
    pub(super) options: Options,
    connection_string: ConnectionString,
}

impl Connection {
    /// Connects to the namespace of `connection_string`: name, TCP, TLS (unless `UseDevelopmentEmulator=true`), SASL,
    /// open. The links for tokens are asked for in the same breath; the token itself is put when a sender is made.
    ///
    /// # Errors
    /// [`Error`], within [`Options::open_timeout`].
    ///
    /// # Cancel
    /// Nothing is left behind.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn open(connection_string: &ConnectionString, options: &Options) -> Result<Self, Error> {
        let deadline = Deadline::after(options.open_timeout);
        let address = Address {
            host: connection_string.host().to_owned(),
            port: connection_string.port(),
            tls: !connection_string.use_development_emulator(),
        };
        let stream = transport::connect(&address, options, deadline).await?;
        Self::start(stream, connection_string, options, deadline).await
    }

    /// The same over a stream that is there already: TLS done, or none needed.
    ///
    /// # Errors
    /// [`Error`], within [`Options::open_timeout`].
    ///
    /// # Cancel
    /// The stream is closed.
    pub async fn open_over<S>(stream: S, connection_string: &ConnectionString, options: &Options) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::start(stream, connection_string, options, Deadline::after(options.open_timeout)).await
    }

    async fn start<S>(
        stream: S,
        connection_string: &ConnectionString,
        options: &Options,
        deadline: Deadline,
    ) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let engine = engine::Connection::new(config(connection_string, options), clock::now());
        let wall_clock = options.wall_clock.clone();
        let cbs = Cbs::new(connection_string.credential().clone(), options.token_ttl, wall_clock);
        let (commands, receiver) = mpsc::unbounded_channel();
        let (opened, opening) = oneshot::channel();
        let epitaph = Arc::new(Epitaph::default());
        let pump = Pump::new(engine, stream, READ_LEN);
        let driver = Driver::new(pump, cbs, receiver, epitaph.clone(), (deadline, opened), options.close_timeout);
        tokio::spawn(driver.run());
        let inner = Inner {
            commands,
            epitaph,
            next_key: AtomicU64::new(1),
            options: options.clone(),
            connection_string: connection_string.clone(),
        };
        opening.await.unwrap_or(Err(Error::ShutDown))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A sender to `event_hub`: the hub spreads its batches over the partitions, by their key if they have one.
    ///
    /// Puts a token for the hub, unless one is there, and attaches a link.
    ///
    /// # Errors
    /// [`Error::TokenRefused`] and [`Error::Closed`] are the hub's no, which come at once. [`Error::TimedOut`] after
    /// [`Options::open_timeout`].
    ///
    /// # Cancel
    /// The token stays; the link is detached as soon as it is there.
    pub async fn sender(&self, event_hub: &str) -> Result<Sender, Error> {
        self.attach_sender(event_hub, event_hub.to_owned(), None).await
    }

    /// A sender to one partition of `event_hub`.
    ///
    /// # Errors
    /// As of [`sender`](Self::sender); a partition that does not exist is [`Error::Closed`] as well.
    ///
    /// # Cancel
    /// As of [`sender`](Self::sender).
    pub async fn partition_sender(&self, event_hub: &str, partition_id: &str) -> Result<Sender, Error> {
        let address = format!("{event_hub}/Partitions/{partition_id}");
        self.attach_sender(event_hub, address, Some(partition_id.to_owned())).await
    }

    async fn attach_sender(
        &self,
        event_hub: &str,
        address: String,
        partition_id: Option<String>,
    ) -> Result<Sender, Error> {
        check_event_hub_name(event_hub)?;
        let Attached { link, max_message_size } = self.attach(event_hub, LinkTerms::Sender { address }).await?;
        Ok(Sender::new(self.inner.clone(), link, max_message_size, partition_id))
    }

    pub(super) async fn attach(&self, event_hub: &str, terms: LinkTerms) -> Result<Attached, Error> {
        let (reply, answer) = oneshot::channel();
        let deadline = Deadline::after(self.inner.options.open_timeout);
        let request = AttachRequest { terms, audience: self.inner.audience(event_hub), deadline, reply };
        self.inner.ask(Command::Attach(request))?;
        let mut answer = DetachOnDrop { connection: &self.inner, answer };
        (&mut answer.answer).await.map_err(|_| self.inner.cause())?
    }

    /// Waits for what was sent to be settled, then says goodbye; all within [`Options::close_timeout`]. What is not
    /// settled by then ends as [`SendError::Unknown`](super::SendError::Unknown) or `NotSent` for its own caller.
    /// Calling it again does no harm; on a connection that fell it returns at once.
    ///
    /// # Cancel
    /// The goodbye goes on without its caller.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        let deadline = Deadline::after(self.inner.options.close_timeout);
        if self.inner.ask(Command::Close { deadline, reply }).is_ok() {
            let _ = done.await;
        }
    }
}

impl Inner {
    /// Hands `command` to the connection's task; an error when that has ended.
    pub(super) fn ask(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| self.cause())
    }

    /// Why the connection's task ended.
    pub(super) fn cause(&self) -> Error {
        self.epitaph.cause()
    }

    /// What a token for `event_hub` is for. It is good for the hub's partitions and consumer groups too.
    /// Source: event-hubs-wire 2.1.
    pub(super) fn audience(&self, event_hub: &str) -> String {
        self.connection_string.audience(event_hub)
    }

    /// Detaches a link, and waits for the peer to agree.
    pub(super) async fn detach(&self, link: LinkId) {
        let (reply, done) = oneshot::channel();
        let deadline = Deadline::after(self.options.close_timeout);
        if self.ask(Command::Detach { link, reply: Some(reply) }).is_ok() {
            let _ = tokio::time::timeout_at(deadline.at.into(), done).await;
        }
    }

    pub(super) fn next_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }
}

/// Detaches a link that came while its caller was leaving.
struct DetachOnDrop<'a> {
    connection: &'a Inner,
    answer: oneshot::Receiver<Result<Attached, Error>>,
}

impl Drop for DetachOnDrop<'_> {
    fn drop(&mut self) {
        // From here on the connection's task notices by itself; an answer that was taken is not there any more.
        self.answer.close();
        if let Ok(Ok(Attached { link, .. })) = self.answer.try_recv() {
            let _ = self.connection.ask(Command::Detach { link, reply: None });
        }
    }
}

fn config(connection_string: &ConnectionString, options: &Options) -> Config {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let default_id = || {
        let count = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        format!("hubwire-{}-{count}", std::process::id())
    };
    let version = env!("CARGO_PKG_VERSION");
    let own_agent = format!("hubwire/{version}");
    let user_agent = options.user_agent.as_ref().map_or(own_agent.clone(), |agent| format!("{agent} {own_agent}"));
    Config {
        role: Role::Client,
        container_id: options.container_id.clone().unwrap_or_else(default_id),
        hostname: Some(connection_string.host().to_owned()),
        max_frame_size: MAX_FRAME_SIZE,
        idle_timeout: Some(options.idle_timeout),
        properties: vec![
            ("product", "hubwire".to_owned()),
            ("version", version.to_owned()),
            ("platform", std::env::consts::OS.to_owned()),
            ("user-agent", user_agent),
        ],
        first_number: 0,
    }
}
