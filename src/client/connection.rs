//! The handle to a connection.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::credential::{OfConnectionString, TokenSource};
use super::deadline::Deadline;
use super::driver::{
    AttachRequest, Attached, Command, Connector, Driver, LinkTerms, Mailbox, Settings, SlotId, Slumber, WakeRequest,
};
use super::error::{Error, Step};
use super::memory::Memory;
use super::options::Options;
use super::sender::Sender;
use super::status::{Counters, Status};
use super::transport::{self, Counted, Traffic, Way};
use super::ways::{Authorization, Handshake};
use super::window::Window;
use crate::engine::{Config, Login, Role, Sasl};
use crate::pump::BoxStream;
use crate::wire::connection_string::{ConnectionString, Credential, check_event_hub_name};

/// The largest frame we take: what the service itself settles on. Source: event-hubs-wire 4.2.
const MAX_FRAME_SIZE: u32 = 65_536;

/// An AMQP connection to a namespace, which is restored when it is lost. Cheap to clone; every clone is the same
/// connection.
///
/// One task of the runtime carries it. It restores links, sessions and the connection itself as soon as it sees them go,
/// the smallest that will do, and goes on trying for as long as that may help; see [`Options::retry`] and
/// [`Options::on_event`]. A hub that says no for good (key, hub, partition) is believed, and everybody is told its words.
/// When the last handle and the last [`Sender`] on it are dropped, the task says goodbye by itself.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    commands: mpsc::UnboundedSender<Command>,
    wakes: mpsc::UnboundedSender<WakeRequest>,
    status: Arc<Status>,
    next_id: AtomicU64,
    pub(super) options: Options,
    connection_string: ConnectionString,
    pub(super) window: Arc<Window>,
    /// Bytes of batches handed over since the task was last given its turn.
    pub(super) unwritten: AtomicUsize,
    /// Of batches, for the next ones.
    pub(super) memory: Arc<Memory>,
}

impl Connection {
    /// Connects to the namespace of `connection_string`: name, TCP, TLS (unless `UseDevelopmentEmulator=true`), SASL,
    /// open. [`Options::transport`], [`Options::custom_endpoint`] and [`Options::http_proxy`] lead another way. The links for tokens are asked for in the same breath; the token itself is put when a sender is made.
    ///
    /// The first connection is tried once, so that what is wrong is told at once; later ones are restored.
    ///
    /// # Errors
    /// [`Error`], within [`Options::open_timeout`]; [`Error::Setting`] for options that cannot be used.
    ///
    /// # Cancel
    /// Nothing is left behind.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn open(connection_string: &ConnectionString, options: &Options) -> Result<Self, Error> {
        let deadline = Deadline::after(options.open_timeout);
        let way = Arc::new(Way::read(connection_string, options, deadline).await?);
        let traffic = Arc::<Traffic>::default();
        let counting = traffic.clone();
        let connector: Connector = Arc::new(move |deadline| {
            let (way, traffic) = (way.clone(), counting.clone());
            Box::pin(async move { transport::connect(&way, &traffic, deadline).await })
        });
        Self::connect((connector, traffic), connection_string, options, deadline).await
    }

    /// The same over streams that `connect` leads to, each ready for AMQP: TLS done, or none needed. It is called again
    /// whenever the connection is lost.
    ///
    /// # Errors
    /// [`Error`], within [`Options::open_timeout`]; [`Error::Connect`] for what `connect` says.
    ///
    /// # Cancel
    /// Nothing is left behind.
    pub async fn open_with<C, F, S>(
        connect: C,
        connection_string: &ConnectionString,
        options: &Options,
    ) -> Result<Self, Error>
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (host, port) = (connection_string.host().to_owned(), connection_string.port().unwrap_or_default());
        let traffic = Arc::<Traffic>::default();
        let counting = traffic.clone();
        let connector: Connector = Arc::new(move |deadline| {
            let (connecting, host, traffic) = (connect(), host.clone(), counting.clone());
            Box::pin(async move {
                let connected = deadline.limit(Step::Connect, connecting).await?;
                let failed = |source: io::Error| Error::Connect { host, port, source: Arc::new(source) };
                Ok(Box::new(Counted::new(connected.map_err(failed)?, &traffic)) as BoxStream)
            })
        });
        let deadline = Deadline::after(options.open_timeout);
        Self::connect((connector, traffic), connection_string, options, deadline).await
    }

    /// The same over one stream that is there already. Its links are restored when they are lost; when the stream is, the
    /// connection is over.
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
        let deadline = Deadline::after(options.open_timeout);
        let config = config(connection_string, options)?;
        let traffic = Arc::<Traffic>::default();
        let stream = Box::new(Counted::new(stream, &traffic));
        Self::start((stream, traffic), None, config, connection_string, options, deadline).await
    }

    async fn connect(
        (connector, traffic): (Connector, Arc<Traffic>),
        connection_string: &ConnectionString,
        options: &Options,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        // What cannot be used is found before anybody is asked.
        let config = config(connection_string, options)?;
        let stream = connector(deadline).await?;
        Self::start((stream, traffic), Some(connector), config, connection_string, options, deadline).await
    }

    async fn start(
        (stream, traffic): (BoxStream, Arc<Traffic>),
        connector: Option<Connector>,
        config: Config,
        connection_string: &ConnectionString,
        options: &Options,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let status = Arc::new(Status::new(options.observer.clone(), traffic));
        let settings = Settings {
            options: options.clone(),
            config,
            connector,
            token_source: token_source(connection_string, options),
        };
        let (commands, to_commands) = mpsc::unbounded_channel();
        let (wakes, to_wakes) = mpsc::unbounded_channel();
        let mailbox = Mailbox { commands: to_commands, wakes: to_wakes };
        let (opened, opening) = oneshot::channel();
        let driver = Driver::new(settings, status.clone(), mailbox, stream, (deadline, opened));
        tokio::spawn(driver.run());
        let inner = Inner {
            commands,
            wakes,
            status,
            next_id: AtomicU64::new(1),
            options: options.clone(),
            connection_string: connection_string.clone(),
            window: Arc::new(Window::new(options.max_in_flight_batches, options.max_in_flight_bytes)),
            unwritten: AtomicUsize::new(0),
            memory: Arc::default(),
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
        self.sender_by(event_hub, self.open_deadline()).await
    }

    pub(crate) async fn sender_by(&self, event_hub: &str, deadline: Deadline) -> Result<Sender, Error> {
        self.attach_sender(event_hub, event_hub.to_owned(), None, deadline).await
    }

    /// A sender to one partition of `event_hub`.
    ///
    /// # Errors
    /// As of [`sender`](Self::sender); a partition that does not exist is [`Error::Closed`] as well.
    ///
    /// # Cancel
    /// As of [`sender`](Self::sender).
    pub async fn partition_sender(&self, event_hub: &str, partition_id: &str) -> Result<Sender, Error> {
        self.partition_sender_by(event_hub, partition_id, self.open_deadline()).await
    }

    pub(crate) async fn partition_sender_by(
        &self,
        event_hub: &str,
        partition_id: &str,
        deadline: Deadline,
    ) -> Result<Sender, Error> {
        check_partition_id(partition_id)?;
        let address = format!("{event_hub}/Partitions/{partition_id}");
        self.attach_sender(event_hub, address, Some(partition_id.to_owned()), deadline).await
    }

    async fn attach_sender(
        &self,
        event_hub: &str,
        address: String,
        partition_id: Option<String>,
        deadline: Deadline,
    ) -> Result<Sender, Error> {
        check_event_hub_name(event_hub)?;
        let (slot, attached) = self.attach(event_hub, LinkTerms::Sender { address }, deadline).await?;
        Ok(Sender::new(self.inner.clone(), slot, attached.max_message_size, partition_id))
    }

    /// When a call that begins now has to be over, as [`Options::open_timeout`] says.
    pub(crate) fn open_deadline(&self) -> Deadline {
        Deadline::after(self.inner.options.open_timeout)
    }

    pub(super) async fn attach(
        &self,
        event_hub: &str,
        terms: LinkTerms,
        deadline: Deadline,
    ) -> Result<(SlotId, Attached), Error> {
        let (reply, answer) = oneshot::channel();
        let slot = self.inner.next_id();
        let request = AttachRequest { slot, terms, audience: self.inner.audience(event_hub), deadline, reply };
        self.inner.ask(Command::Attach(Box::new(request)))?;
        let mut guard = DetachOnDrop { connection: &self.inner, slot, armed: true };
        let attached = answer.await.map_err(|_| self.inner.cause())?;
        guard.armed = false;
        attached.map(|attached| (slot, attached))
    }

    /// Waits for what was sent to be settled, then says goodbye; all within [`Options::close_timeout`]. What is not
    /// settled by then ends as [`SendError::Unknown`](super::SendError::Unknown) or `NotSent` for its own caller.
    /// Calling it again does no harm; on a connection that is over it returns at once.
    ///
    /// # Cancel
    /// The goodbye goes on without its caller.
    pub async fn close(&self) {
        self.close_within(self.inner.options.close_timeout).await;
    }

    /// The same, within a time of your own. Of several calls the shortest counts.
    ///
    /// # Cancel
    /// The goodbye goes on without its caller.
    pub async fn close_within(&self, limit: Duration) {
        let (reply, done) = oneshot::channel();
        let deadline = Deadline::after(limit);
        if self.inner.ask(Command::Close { deadline, reply }).is_ok() {
            let _ = done.await;
        }
    }

    /// Ends the connection at once, without waiting for anything and without a goodbye. What is not settled ends as
    /// [`SendError::Unknown`](super::SendError::Unknown) or `NotSent` for its own caller.
    pub fn abort(&self) {
        let _ = self.inner.ask(Command::Abort);
    }

    /// For an owner that has not driven the connection for a while: takes what came meanwhile, and makes the connection anew
    /// if it is lost, or cannot have lasted; once. `Ok` when it is there, or is on its way because its hub asked for time.
    pub(crate) async fn wake(&self, slumber: Slumber) -> Result<(), Error> {
        let (reply, told) = oneshot::channel();
        self.ask_to_wake(slumber, Some(reply));
        told.await.unwrap_or_else(|_| Err(self.inner.cause()))
    }

    /// The same, for an owner who does not wait for that. Whatever is asked afterwards, or was before and has not left, comes
    /// after it.
    pub(crate) fn rouse(&self, slumber: Slumber) {
        self.ask_to_wake(slumber, None);
    }

    fn ask_to_wake(&self, slumber: Slumber, reply: Option<oneshot::Sender<Result<(), Error>>>) {
        // A task that has ended drops the reply, which says so.
        let _ = self.inner.wakes.send(WakeRequest { slumber, reply });
    }

    /// Whether nothing will bring it back.
    #[cfg(feature = "algorithm")]
    pub(crate) fn is_over(&self) -> bool {
        self.inner.commands.is_closed()
    }

    /// What has been sent, accepted and lost so far.
    pub fn counters(&self) -> Counters {
        self.inner.status.counters()
    }
}

impl Inner {
    /// Hands `command` to the connection's task; an error when that has ended.
    pub(super) fn ask(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| self.cause())
    }

    /// Why the connection's task ended.
    pub(super) fn cause(&self) -> Error {
        self.status.cause()
    }

    /// What a token for `event_hub` is for. It is good for the hub's partitions and consumer groups too.
    /// Source: event-hubs-wire 2.1.
    pub(super) fn audience(&self, event_hub: &str) -> String {
        self.connection_string.audience(event_hub)
    }

    /// Detaches a link, and waits for the peer to agree.
    pub(super) async fn detach(&self, slot: SlotId) {
        let (reply, done) = oneshot::channel();
        let deadline = Deadline::after(self.options.close_timeout);
        if self.ask(Command::Detach { slot, reply: Some(reply) }).is_ok() {
            let _ = tokio::time::timeout_at(deadline.at.into(), done).await;
        }
    }

    /// A number that no batch and no link of this connection has had.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

pub(super) fn check_partition_id(id: &str) -> Result<(), Error> {
    check_name(id, "partition id")
}

/// Whether a part of an address can be one: what cannot would travel in it, and come back in the hub's words.
pub(super) fn check_name(name: &str, what: &'static str) -> Result<(), Error> {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_$".contains(&byte);
    if name.is_empty() || !name.bytes().all(in_name) { Err(Error::InvalidName { what }) } else { Ok(()) }
}

/// Gives a link up whose caller leaves before it is there.
struct DetachOnDrop<'a> {
    connection: &'a Inner,
    slot: SlotId,
    armed: bool,
}

impl Drop for DetachOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            let _ = self.connection.ask(Command::Detach { slot: self.slot, reply: None });
        }
    }
}

/// A stream to the namespace, ready for AMQP, within [`Options::open_timeout`].
#[cfg(feature = "cli")]
pub(crate) async fn dial(
    connection_string: &ConnectionString,
    options: &Options,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static + use<>, Error> {
    let deadline = Deadline::after(options.open_timeout);
    let way = Way::read(connection_string, options, deadline).await?;
    transport::connect(&way, &Arc::default(), deadline).await
}

/// Where the tokens of a connection come from.
pub(crate) fn token_source(connection_string: &ConnectionString, options: &Options) -> Arc<dyn TokenSource> {
    let own = || -> Arc<dyn TokenSource> {
        Arc::new(OfConnectionString {
            credential: connection_string.credential().clone(),
            ttl: options.token_ttl,
            wall_clock: options.wall_clock.clone(),
        })
    };
    options.token_source.clone().unwrap_or_else(own)
}

fn config(connection_string: &ConnectionString, options: &Options) -> Result<Config, Error> {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let default_id = || {
        let count = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        format!("hubwire-{}-{count}", std::process::id())
    };
    let version = env!("CARGO_PKG_VERSION");
    let own_agent = format!("hubwire/{version}");
    let user_agent = options.user_agent.as_ref().map_or(own_agent.clone(), |agent| format!("{agent} {own_agent}"));
    Ok(Config {
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
        sasl: sasl(connection_string, options)?,
        is_optimistic: options.ways.handshake == Handshake::Optimistic,
        first_number: 0,
    })
}

fn sasl(connection_string: &ConnectionString, options: &Options) -> Result<Sasl, Error> {
    if options.ways.authorization == Authorization::Cbs {
        return Ok(Sasl::Anonymous);
    }
    let setting = |reason: &str| Error::Setting { name: "authorization", reason: reason.to_owned() };
    let (Credential::SharedAccessKey { name, key }, None) = (connection_string.credential(), &options.token_source)
    else {
        return Err(setting(
            "SASL PLAIN shows a key: give one in the connection string, and no other credential, or leave it at CBS",
        ));
    };
    let login = Login { name: name.clone(), key: key.clone() };
    if !login.is_sayable() {
        return Err(setting("the rule's name and key are too long for SASL PLAIN; leave it at CBS"));
    }
    Ok(Sasl::Plain(login))
}
