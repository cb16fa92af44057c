//! How to connect.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::credential::TokenSource;
use super::retry::Retry;
use super::status::{ConnectionEvent, Observer};
use super::ways::{NameLookup, Ways};
use crate::clock;

/// What becomes of a sender's link that the hub detached because nothing was sent for long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleLinks {
    /// Another one is attached at once: the next send finds it there.
    #[default]
    Restore,
    /// Another one is attached when the next batch is sent, which waits for it: two round trips at most.
    OnDemand,
}

/// How a connection is made and kept. Every setting has a default that suits Azure; change what you must.
///
/// ```
/// use std::time::Duration;
/// use hubwire::Options;
///
/// let options = Options::default().send_timeout(Duration::from_secs(10));
/// # drop(options);
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) open_timeout: Duration,
    pub(crate) send_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) token_ttl: Duration,
    pub(super) container_id: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) root_certificates_pem: Vec<Vec<u8>>,
    pub(super) ways: Ways,
    pub(crate) wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// It is not the system's.
    pub(super) has_own_clock: bool,
    pub(super) retry: Retry,
    pub(super) idle_links: IdleLinks,
    pub(super) write_timeout: Duration,
    pub(super) max_in_flight_batches: usize,
    pub(super) max_in_flight_bytes: usize,
    pub(super) token_source: Option<Arc<dyn TokenSource>>,
    pub(super) observer: Option<Observer>,
    pub(super) seed: Option<u64>,
    #[cfg(feature = "trace")]
    pub(super) tap: Option<crate::trace::Tap>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            open_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(120),
            token_ttl: Duration::from_secs(3_600),
            container_id: None,
            user_agent: None,
            root_certificates_pem: Vec::new(),
            ways: Ways::default(),
            wall_clock: Arc::new(clock::wall),
            has_own_clock: false,
            retry: Retry::default(),
            idle_links: IdleLinks::default(),
            write_timeout: Duration::from_secs(30),
            max_in_flight_batches: 1_000,
            max_in_flight_bytes: 64 * 1_048_576,
            token_source: None,
            observer: None,
            seed: None,
            #[cfg(feature = "trace")]
            tap: None,
        }
    }
}

impl Options {
    /// The time for each of: opening a connection (name, TCP, TLS, SASL, open); making a sender (token, attach).
    /// Default 30 s.
    #[must_use]
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// The time from [`Sender::send`](crate::Sender::send) to its outcome, waiting for credit included.
    /// Default 60 s, as the SDKs have it.
    #[must_use]
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.send_timeout = timeout;
        self
    }

    /// The time for a goodbye, unsettled batches included. Default 5 s.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Silence of the hub for this long means that it is gone. Half of it is announced as AMQP `idle-time-out`, within
    /// which the hub sends a sign of life. Default 120 s. Shorter notices a dead peer sooner and costs a few bytes.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a signed token holds. It is renewed on the open connection in time, so longer buys little. Less than a
    /// minute is too short to be renewed in time. Default 1 h.
    #[must_use]
    pub fn token_ttl(mut self, ttl: Duration) -> Self {
        self.token_ttl = ttl;
        self
    }

    /// The name that the connection goes by in the hub's logs. Default: `hubwire-`, process id, and a count.
    #[must_use]
    pub fn container_id(mut self, container_id: impl Into<String>) -> Self {
        self.container_id = Some(container_id.into());
        self
    }

    /// Put before hubwire's own in the `user-agent` that the hub sees. When the `open` would not fit the 512 bytes that
    /// a hub must take, it goes without any of its properties, this one included.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Certificates to trust beside those of [`roots`](Self::roots): a private authority's, PEM, one or more in `pem`.
    /// Read when a connection is opened; what is no certificate is [`Error::Setting`](crate::Error::Setting) then.
    #[must_use]
    pub fn root_certificates_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates_pem.push(pem.into());
        self
    }

    /// Where the time of day comes from, which tokens and certificates are dated by. Default: the system. For tests, and
    /// for hosts that know better than their own clock.
    #[must_use]
    pub fn wall_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.wall_clock = Arc::new(now);
        self.has_own_clock = true;
        self
    }
}

impl Options {
    /// The same for an owner that has one thread, unless they say otherwise.
    pub(crate) fn on_one_thread(mut self) -> Self {
        self.ways.name_lookup.get_or_insert(NameLookup::SameThread);
        self
    }
}

/// What happens when things go wrong.
impl Options {
    /// When what was not sent is sent again, and how lost links and connections are restored. Default:
    /// [`Retry::default`].
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// What becomes of a sender's link that the hub detached because nothing was sent for long: after ten minutes, or
    /// thirty. Default [`IdleLinks::Restore`].
    #[must_use]
    pub fn idle_links(mut self, idle_links: IdleLinks) -> Self {
        self.idle_links = idle_links;
        self
    }

    /// A peer that takes no byte of what waits to be written for this long is dead, whatever it says. Default 30 s.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Batches of all senders of a connection that may be without an outcome; at least 1. What is sent beyond waits.
    /// Default 1,000.
    #[must_use]
    pub fn max_in_flight_batches(mut self, batches: usize) -> Self {
        self.max_in_flight_batches = batches.max(1);
        self
    }

    /// Bytes of them. A single batch that is larger goes alone. Default 64 MiB. A dead or slow peer makes no more than
    /// this pile up.
    #[must_use]
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.max_in_flight_bytes = bytes.max(1);
        self
    }

    /// Where tokens come from, in place of the connection string's key: Entra ID, or a service that signs.
    #[must_use]
    pub fn credential(mut self, source: impl TokenSource) -> Self {
        self.token_source = Some(Arc::new(source));
        self
    }

    /// Is told what happens to the connection, as it happens, by the connection's task: it must not block. With the
    /// feature `tracing` the same goes there, under the target `hubwire`.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&ConnectionEvent) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Shows every frame to `tap`, of this connection and of all that replace it when it is lost. Default: none, which costs
    /// nothing.
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn tap(mut self, tap: &crate::trace::Tap) -> Self {
        self.tap = Some(tap.clone());
        self
    }

    /// Where the draws of waits begin, for a run that can be repeated. Default: each connection draws its own.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("open_timeout", &self.open_timeout)
            .field("send_timeout", &self.send_timeout)
            .field("close_timeout", &self.close_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("token_ttl", &self.token_ttl)
            .field("container_id", &self.container_id)
            .field("user_agent", &self.user_agent)
            .field("root_certificates_pem", &self.root_certificates_pem.len())
            .field("ways", &self.ways)
            .field("retry", &self.retry)
            .field("idle_links", &self.idle_links)
            .field("write_timeout", &self.write_timeout)
            .field("max_in_flight_batches", &self.max_in_flight_batches)
            .field("max_in_flight_bytes", &self.max_in_flight_bytes)
            .finish_non_exhaustive()
    }
}
