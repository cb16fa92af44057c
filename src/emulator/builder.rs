//! What an emulator is built from. What it cannot be built from: checks.rs.

mod checks;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::WallClock;
use crate::wire::secret::Secret;

use super::activity::{Activity, Listener};
use super::faults::Fault;
use super::namespace::{Hub, Limits, Namespace, Rights, Rule};
use super::store::Store;
use super::{Emulator, Shared};
pub use checks::BuildError;
#[cfg(feature = "cli")]
pub(crate) use checks::is_name;

/// What the official emulator's connection string has.
const DEFAULT_RULE: (&str, &str) = ("RootManageSharedAccessKey", "SAS_KEY_VALUE");

/// Builds an [`Emulator`]. See [`Emulator::builder`].
#[derive(Clone, Default)]
#[must_use]
pub struct Builder {
    hubs: Vec<Hub>,
    /// Event hub and consumer group, each as it was asked for.
    consumer_groups: Vec<(String, String)>,
    rules: Vec<Rule>,
    limits: Limits,
    allow_remote: bool,
    starts_at: Option<SystemTime>,
    faults: Vec<Fault>,
    listener: Option<Listener>,
    #[cfg(feature = "trace")]
    tap: Option<crate::trace::Tap>,
}

/// Event hubs, rules and limits; no keys, and no connection string that was taken for a name.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("hubs", &self.hubs)
            .field("consumer_groups", &self.consumer_groups.len())
            .field("rules", &self.rules)
            .field("limits", &self.limits)
            .field("allow_remote", &self.allow_remote)
            .field("starts_at", &self.starts_at)
            .finish()
    }
}

/// A tier of Event Hubs, for [`Builder::tier`]. Source: event-hubs-wire 13.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Messages of up to 256 KiB, one throughput unit.
    Basic,
    /// Messages of up to 1 MiB, one throughput unit.
    Standard,
    /// Messages of up to 1 MiB, no throughput units.
    Premium,
}

impl Tier {
    fn limits(self) -> Limits {
        let (max_message_size, throughput_units) = match self {
            Self::Basic => (262_144, Some(1)),
            Self::Standard => (1_048_576, Some(1)),
            Self::Premium => (1_048_576, None),
        };
        Limits { max_message_size, throughput_units, ..Limits::default() }
    }
}

impl Builder {
    /// Adds an event hub of 1 to 32 partitions. Names are compared without case.
    pub fn event_hub(mut self, name: impl Into<String>, partition_count: u32) -> Self {
        self.hubs.push(Hub { name: name.into(), partition_count, consumer_groups: Vec::new() });
        self
    }

    /// Adds a consumer group to an event hub. `$Default` is always there. Names are compared without case.
    pub fn consumer_group(mut self, event_hub: impl Into<String>, name: impl Into<String>) -> Self {
        self.consumer_groups.push((event_hub.into(), name.into()));
        self
    }

    /// Adds a shared access rule, good for the whole namespace. The first one is in the connection strings.
    ///
    /// Default, when none is added: `RootManageSharedAccessKey` with the key `SAS_KEY_VALUE`, as in Microsoft's emulator.
    pub fn rule(self, name: impl Into<String>, key: impl Into<String>) -> Self {
        self.access_rule(AccessRule::new(name, key).send().listen().manage())
    }

    /// Adds a shared access rule with rights of its own, for the namespace or for one event hub.
    pub fn access_rule(mut self, rule: AccessRule) -> Self {
        self.rules.push(rule.0);
        self
    }

    /// The largest message that is taken, in bytes: 1 to 20 MiB. Default: 1 MiB, that of the Standard tier.
    ///
    /// A larger one is rejected with `amqp:link:message-size-exceeded`, and its link lives on.
    pub fn max_message_size(mut self, bytes: u64) -> Self {
        self.limits.max_message_size = bytes;
        self
    }

    /// How long events are kept. Default: 1 hour, as in the official emulator. Older ones are dropped.
    pub fn retention(mut self, age: Duration) -> Self {
        self.limits.retention.age = age;
        self
    }

    /// How much the stored events of all event hubs may take, in bytes. Default: 256 MiB. Past it, the oldest are
    /// dropped; within it, and within the other two bounds, nothing that was accepted is.
    ///
    /// Counted are the stored messages, 12 bytes of index for each event and about 200 for each message.
    pub fn retention_bytes(mut self, bytes: u64) -> Self {
        self.limits.retention.bytes = bytes;
        self
    }

    /// How many events of a partition are kept at least, unless age or bytes say otherwise. Default: all.
    ///
    /// Events go as they came, a message at a time: as soon as the messages after it hold this many.
    pub fn retention_events(mut self, count: u64) -> Self {
        self.limits.retention.events = count;
        self
    }

    /// The limits of a tier. Default: those of [`Tier::Standard`], without an end of throughput.
    ///
    /// Settings that are made after it change it; those made before it are overwritten.
    pub fn tier(mut self, tier: Tier) -> Self {
        self.limits = Limits { retention: self.limits.retention, ..tier.limits() };
        self
    }

    /// Throughput units: each takes 1 MiB or 1,000 events a second. Past them, messages are rejected with
    /// `com.microsoft:server-busy` and the service's sentence. Default: no end of throughput.
    pub fn throughput_units(mut self, units: u32) -> Self {
        self.limits.throughput_units = Some(units);
        self
    }

    /// Silence of a peer for this long ends its connection; half of it is announced as `idle-time-out`. Default: 240 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.idle_timeout = timeout;
        self
    }

    /// A publisher's link that rests for this long is detached with `amqp:link:detach-forced`. Default: 10 minutes.
    pub fn link_idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.link_idle_timeout = timeout;
        self
    }

    /// A connection without a link for this long is closed with `amqp:connection:forced`. Default: 5 minutes; at the
    /// start of a connection 1 minute, or this if it is less.
    pub fn linkless_timeout(mut self, timeout: Duration) -> Self {
        self.limits.linkless_timeout = timeout;
        self.limits.first_link_timeout = Limits::default().first_link_timeout.min(timeout);
        self
    }

    /// The largest frame that is taken, in bytes: 512 or more. Default: 65,536, as the service has it.
    ///
    /// Small ones cut every message into many, for tests of what that brings.
    pub fn max_frame_size(mut self, bytes: u32) -> Self {
        self.limits.max_frame_size = bytes;
        self
    }

    /// Messages that a publisher may have under way on a link. Default: 300, as the service grants.
    ///
    /// Topped up when it has fallen to two thirds.
    pub fn link_credit(mut self, messages: u32) -> Self {
        self.limits.link_credit = messages;
        self
    }

    /// How long it takes to the namespace and back: bytes arrive half of it later, either way. Default: no time.
    ///
    /// Timers go by milliseconds.
    pub fn round_trip_time(mut self, time: Duration) -> Self {
        self.limits.round_trip_time = time;
        self
    }

    /// Whether [`Emulator::listen`] and its siblings take addresses that other machines can reach. Default: no.
    ///
    /// Without TLS, keys do not cross the network, but signed tokens and events do, readable to all.
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.allow_remote = allow;
        self
    }

    /// What the emulator's clock shows when it is built. Default: the system's time. For tests of what time brings.
    pub fn starts_at(mut self, time: SystemTime) -> Self {
        self.starts_at = Some(time);
        self
    }

    /// Does something wrong from the start. See [`Emulator::inject`].
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Calls `listener` with everything that happens: connections, tokens, links and batches. The last one set counts.
    /// Default: nobody listens, and nothing is put together.
    ///
    /// It is called by the task that serves the connection, and holds that up: it should be quick, and must not panic.
    ///
    /// ```
    /// use hubwire::emulator::{Activity, Emulator};
    ///
    /// let emulator = Emulator::builder()
    ///     .event_hub("telemetry", 4)
    ///     .on_activity(|activity| match activity {
    ///         Activity::BatchStored { event_hub, events, .. } => println!("{events} events in {event_hub}"),
    ///         other => println!("{other}"),
    ///     })
    ///     .build()?;
    /// # Ok::<(), hubwire::emulator::BuildError>(())
    /// ```
    pub fn on_activity(mut self, listener: impl Fn(&Activity) + Send + Sync + 'static) -> Self {
        self.listener = Some(Listener(Arc::new(listener)));
        self
    }

    /// Shows every frame of every connection to `tap`; what is sent is what the emulator sends.
    #[cfg(feature = "trace")]
    pub fn tap(mut self, tap: &crate::trace::Tap) -> Self {
        self.tap = Some(tap.clone());
        self
    }

    /// Builds it. Its clock starts here: in a test with paused time, tokens and enqueued times go by that time.
    ///
    /// # Errors
    /// [`BuildError`] says what to change.
    pub fn build(mut self) -> Result<Emulator, BuildError> {
        if self.rules.is_empty() {
            let (name, key) = DEFAULT_RULE;
            self = self.rule(name, key);
        }
        self.add_consumer_groups()?;
        self.check()?;
        let store = Store::new(&self.hubs, self.limits.retention);
        let clock = self.starts_at.map_or_else(WallClock::start, WallClock::starting_at);
        let namespace = Namespace { hubs: self.hubs, rules: self.rules, limits: self.limits, created_at: clock.now() };
        let shared = Shared {
            #[cfg(feature = "trace")]
            tap: self.tap,
            ..Shared::new(namespace, store, clock, self.faults, self.listener)
        };
        Ok(Emulator { shared: Arc::new(shared), allow_remote: self.allow_remote })
    }
}

/// A shared access rule: a name, a key, what it allows, and where. See [`Builder::access_rule`].
///
/// ```
/// use hubwire::emulator::{AccessRule, Emulator};
///
/// let emulator = Emulator::builder()
///     .event_hub("telemetry", 4)
///     .access_rule(AccessRule::new("publish", "a2V5").send().event_hub("telemetry"))
///     .access_rule(AccessRule::new("read", "b3RoZXI=").listen())
///     .build()?;
/// # Ok::<(), hubwire::emulator::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct AccessRule(Rule);

impl AccessRule {
    /// A rule for the whole namespace that allows nothing yet.
    pub fn new(name: impl Into<String>, key: impl Into<String>) -> Self {
        let key = Secret::from(key.into());
        Self(Rule { name: name.into(), key, rights: Rights::default(), event_hub: None })
    }

    /// Allows publishing.
    pub fn send(mut self) -> Self {
        self.0.rights.send = true;
        self
    }

    /// Allows receiving.
    pub fn listen(mut self) -> Self {
        self.0.rights.listen = true;
        self
    }

    /// Allows everything: who may manage may send and listen too.
    pub fn manage(mut self) -> Self {
        self.0.rights = Rights::ALL;
        self
    }

    /// Makes it good for one event hub only.
    pub fn event_hub(mut self, name: impl Into<String>) -> Self {
        self.0.event_hub = Some(name.into());
        self
    }
}
