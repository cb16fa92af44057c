//! What an emulator is built from, and what is refused.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::WallClock;
use crate::memory;
use crate::wire::secret::{Secret, printable};

use super::activity::{Activity, Listener};
use super::faults::Fault;
use super::namespace::{DEFAULT_CONSUMER_GROUP, Hub, Limits, Namespace, Rights, Rule};
use super::store::Store;
use super::{Emulator, Shared};

/// Partitions of one event hub, as on the Basic and Standard tiers.
const MAX_PARTITION_COUNT: u32 = 32;
/// Characters of an event hub's name. Source: event-hubs-wire 13.
const MAX_NAME_LEN: usize = 256;
/// Bytes: what the Dedicated tier can be set to. Source: event-hubs-wire 6.2.
const MAX_MESSAGE_SIZE: u64 = 20 * 1_048_576;
/// Consumer groups of one event hub, beside the one that is always there. Source: event-hubs-wire 13: that of the
/// Dedicated tier.
const MAX_CONSUMER_GROUPS: usize = 1_000;
/// Shorter ones would end a peer that does all it should.
const MIN_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// The smallest limit of frames that AMQP allows. Source: AMQP 1.0 part 2, 2.7.1.
const MIN_MAX_FRAME_SIZE: u32 = 512;
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
    pretouch: Pretouch,
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
            .field("pretouch", &self.pretouch)
            .field("starts_at", &self.starts_at)
            .finish()
    }
}

/// Why an emulator cannot be built. A name that may be a connection string by mistake is masked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// There is nothing to publish to.
    #[error("the namespace has no event hub; add one with `event_hub(name, partition_count)`")]
    NoEventHub,
    /// The name is none that Event Hubs takes.
    #[error(
        "event hub name {name:?}: use 1 to 256 ASCII letters, digits, `.`, `-` and `_`, with a letter or digit at both ends"
    )]
    EventHubName {
        /// The name.
        name: String,
    },
    /// Two event hubs have the same name, written in whatever case.
    #[error("event hub {name:?} is there already; names are compared without case")]
    DuplicateEventHub {
        /// The second one's name.
        name: String,
    },
    /// An event hub has 1 to 32 partitions.
    #[error("event hub {name:?} with {partition_count} partitions: use 1 to 32")]
    PartitionCount {
        /// The event hub.
        name: String,
        /// Its partitions.
        partition_count: u32,
    },
    /// A rule whose name or key could not stand in a connection string. The key is not shown.
    #[error("rule {name:?}: name and key must be 1 to 256 printable characters without `;`, and the name without `=`")]
    Rule {
        /// The rule's name.
        name: String,
    },
    /// Two rules have the same name.
    #[error("rule {name:?} is there already; give each rule its own name")]
    DuplicateRule {
        /// The second one's name.
        name: String,
    },
    /// A consumer group for an event hub that is not there.
    #[error("consumer group {name:?} is for event hub {event_hub:?}, which is not there; add it with `event_hub`")]
    ConsumerGroupOfNoHub {
        /// The event hub.
        event_hub: String,
        /// The group.
        name: String,
    },
    /// The name is none that Event Hubs takes.
    #[error(
        "consumer group {name:?}: use 1 to 256 ASCII letters, digits, `.`, `-` and `_`, with a letter or digit at both ends"
    )]
    ConsumerGroupName {
        /// The group.
        name: String,
    },
    /// Two groups of an event hub have the same name, written in whatever case.
    #[error("consumer group {name:?} of event hub {event_hub:?} is there already; names are compared without case")]
    DuplicateConsumerGroup {
        /// The event hub.
        event_hub: String,
        /// The second one's name.
        name: String,
    },
    /// More groups than any tier has.
    #[error("event hub {event_hub:?} has more than 1000 consumer groups; leave some out")]
    TooManyConsumerGroups {
        /// The event hub.
        event_hub: String,
    },
    /// A rule that allows nothing.
    #[error("rule {name:?} gives no right; give it one or more of `send`, `listen`, `manage`")]
    NoRights {
        /// The rule's name.
        name: String,
    },
    /// A rule for an event hub that is not there.
    #[error("rule {name:?} is for event hub {event_hub:?}, which is not there; add it with `event_hub`")]
    RuleOfNoHub {
        /// The rule's name.
        name: String,
        /// The event hub.
        event_hub: String,
    },
    /// The largest message is outside of 1 byte to 20 MiB.
    #[error("a largest message of {bytes} bytes: use 1 to 20971520; Event Hubs' own is 1048576")]
    MaxMessageSize {
        /// The size.
        bytes: u64,
    },
    /// AMQP has peers take frames of 512 bytes at least.
    #[error("a largest frame of {bytes} bytes: use 512 or more, as AMQP 1.0 asks; Event Hubs' own is 65536")]
    MaxFrameSize {
        /// The size.
        bytes: u32,
    },
    /// With no credit no event could ever be sent.
    #[error("a link credit of 0 lets nothing be sent; use 1 or more, Event Hubs' own is 300")]
    NoLinkCredit,
    /// With no throughput unit no event could ever be sent.
    #[error("0 throughput units let nothing be sent; use 1 or more, or leave them out for no end of throughput")]
    NoThroughput,
    /// Peers could not keep such a time-out.
    #[error("an idle time-out below 1 s ends peers that do all they should; use 1 s or more")]
    IdleTimeout,
    /// What is accepted could not be kept.
    #[error(
        "the retention is too small to keep one event: use more than no time, 1 event or more, and bytes for the largest message"
    )]
    Retention,
    /// Touching it would end the process.
    #[error(
        "{bytes} bytes of memory are to be touched and {available_bytes} are left: keep less with `retention_bytes` \
         (--retention-bytes), or have it touched later with `Pretouch::Ahead` (--pretouch ahead)"
    )]
    Pretouch {
        /// What the retention may take.
        bytes: u64,
        /// What the system, or this process's control group, has left.
        available_bytes: u64,
    },
    /// A blow at a time when nothing is there.
    #[error(
        "fault `{fault}`: nothing is there to be struck when the emulator starts; say when, with `starting_in` (at=30s) or \
         `after_deliveries` (after-deliveries=3)"
    )]
    FaultTooEarly {
        /// The fault, as a line.
        fault: String,
    },
}

/// When the memory for events is touched, for [`Builder::pretouch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pretouch {
    /// As events come: no more than they take, and no thread.
    #[default]
    Off,
    /// Ahead of those that come, once 2 MiB of them are held: as much again as is held, up to 32 MiB, by a thread that lives as
    /// long as that takes.
    Ahead,
    /// All that the retention allows, when the emulator is built. More than the system has left is [`BuildError::Pretouch`],
    /// where the system tells (Linux).
    AtStart,
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

    /// When the memory for the bytes that may be kept is touched. Default: [`Pretouch::Off`].
    ///
    /// A page that is touched for the first time costs more than what is read into it. A client that is measured against an
    /// emulator waits for that until the retention has been full once, unless the emulator has done it before.
    pub fn pretouch(mut self, when: Pretouch) -> Self {
        self.pretouch = when;
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
        let store = Store::new(&self.hubs, self.limits.retention, self.pretouch);
        let clock = self.starts_at.map_or_else(WallClock::start, WallClock::starting_at);
        let namespace = Namespace { hubs: self.hubs, rules: self.rules, limits: self.limits, created_at: clock.now() };
        let shared = Shared {
            #[cfg(feature = "trace")]
            tap: self.tap,
            ..Shared::new(namespace, store, clock, self.faults, self.listener)
        };
        Ok(Emulator { shared: Arc::new(shared), allow_remote: self.allow_remote })
    }

    fn add_consumer_groups(&mut self) -> Result<(), BuildError> {
        for (event_hub, name) in std::mem::take(&mut self.consumer_groups) {
            let Some(hub) = self.hubs.iter_mut().find(|hub| hub.name.eq_ignore_ascii_case(&event_hub)) else {
                return Err(BuildError::ConsumerGroupOfNoHub { event_hub: shown(&event_hub), name: shown(&name) });
            };
            if !is_name(&name) && !name.eq_ignore_ascii_case(DEFAULT_CONSUMER_GROUP) {
                return Err(BuildError::ConsumerGroupName { name: shown(&name) });
            }
            if hub.consumer_group(&name).is_some() {
                return Err(BuildError::DuplicateConsumerGroup { event_hub, name });
            }
            if hub.consumer_groups.len() == MAX_CONSUMER_GROUPS {
                return Err(BuildError::TooManyConsumerGroups { event_hub });
            }
            hub.consumer_groups.push(name);
        }
        Ok(())
    }

    fn check_scope(&self, rule: &Rule) -> Result<(), BuildError> {
        let name = rule.name.clone();
        if rule.rights == Rights::default() {
            return Err(BuildError::NoRights { name });
        }
        match &rule.event_hub {
            Some(event_hub) if !self.hubs.iter().any(|hub| hub.name.eq_ignore_ascii_case(event_hub)) => {
                Err(BuildError::RuleOfNoHub { name, event_hub: shown(event_hub) })
            }
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.hubs.is_empty() {
            return Err(BuildError::NoEventHub);
        }
        for (index, hub) in self.hubs.iter().enumerate() {
            check_hub(hub, &self.hubs[..index])?;
        }
        for (index, rule) in self.rules.iter().enumerate() {
            check_rule(rule, &self.rules[..index])?;
            self.check_scope(rule)?;
        }
        let too_early = self.faults.iter().find(|fault| fault.strikes_at_once() && fault.starts_in.is_zero());
        if let Some(fault) = too_early {
            return Err(BuildError::FaultTooEarly { fault: fault.to_string() });
        }
        self.check_limits()
    }

    fn check_limits(&self) -> Result<(), BuildError> {
        let limits = &self.limits;
        if !(1..=MAX_MESSAGE_SIZE).contains(&limits.max_message_size) {
            return Err(BuildError::MaxMessageSize { bytes: limits.max_message_size });
        }
        if limits.max_frame_size < MIN_MAX_FRAME_SIZE {
            return Err(BuildError::MaxFrameSize { bytes: limits.max_frame_size });
        }
        if limits.link_credit == 0 {
            return Err(BuildError::NoLinkCredit);
        }
        if limits.throughput_units == Some(0) {
            return Err(BuildError::NoThroughput);
        }
        let least = [limits.idle_timeout, limits.link_idle_timeout, limits.linkless_timeout].into_iter().min();
        if least < Some(MIN_IDLE_TIMEOUT) {
            return Err(BuildError::IdleTimeout);
        }
        if self.limits.retention.bytes < limits.max_message_size
            || self.limits.retention.events == 0
            || self.limits.retention.age.is_zero()
        {
            return Err(BuildError::Retention);
        }
        self.check_pretouch()
    }

    fn check_pretouch(&self) -> Result<(), BuildError> {
        let bytes = self.limits.retention.bytes;
        let is_at_start = self.pretouch == Pretouch::AtStart;
        match is_at_start.then(memory::available_len).flatten() {
            Some(available_bytes) if bytes > available_bytes => Err(BuildError::Pretouch { bytes, available_bytes }),
            _ => Ok(()),
        }
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

fn check_hub(hub: &Hub, before: &[Hub]) -> Result<(), BuildError> {
    let name = hub.name.clone();
    if !is_name(&name) {
        return Err(BuildError::EventHubName { name: shown(&name) });
    }
    if before.iter().any(|other| other.name.eq_ignore_ascii_case(&name)) {
        return Err(BuildError::DuplicateEventHub { name });
    }
    let partition_count = hub.partition_count;
    if !(1..=MAX_PARTITION_COUNT).contains(&partition_count) {
        return Err(BuildError::PartitionCount { name, partition_count });
    }
    Ok(())
}

/// A refused name, fit to print.
fn shown(name: &str) -> String {
    printable(name).to_owned()
}

/// Whether an event hub or a consumer group can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let within = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let ends = [name.bytes().next(), name.bytes().last()];
    within
        && name.len() <= MAX_NAME_LEN
        && ends.iter().flatten().filter(|byte| byte.is_ascii_alphanumeric()).count() == 2
}

fn check_rule(rule: &Rule, before: &[Rule]) -> Result<(), BuildError> {
    let name = rule.name.clone();
    let fits = |text: &str| {
        let unfit = |c: char| c == ';' || c.is_control();
        (1..=256).contains(&text.chars().count()) && !text.contains(unfit) && text.trim() == text
    };
    if !fits(&name) || name.contains('=') || !fits(rule.key.expose()) {
        return Err(BuildError::Rule { name: shown(&name) });
    }
    if before.iter().any(|other| other.name == name) {
        return Err(BuildError::DuplicateRule { name });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Builder {
        Emulator::builder().event_hub("hub", 1)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_that_is_not_there_is_not_touched() {
        let bytes = 1 << 50;
        let error = hub().retention_bytes(bytes).pretouch(Pretouch::AtStart).build().map(|_| ()).unwrap_err();
        assert!(
            matches!(error, BuildError::Pretouch { bytes: asked, available_bytes } if asked == bytes && available_bytes < bytes)
        );
        assert!(hub().retention_bytes(bytes).build().is_ok(), "it is taken as events come");
        assert!(hub().retention_bytes(1 << 20).pretouch(Pretouch::AtStart).build().is_ok());
    }

    #[test]
    fn what_cannot_be_built_is_refused_by_name() {
        let name = |text: &str| text.to_owned();
        for (builder, error) in [
            (Emulator::builder(), BuildError::NoEventHub),
            (hub().event_hub("", 1), BuildError::EventHubName { name: name("") }),
            (hub().event_hub("a b", 1), BuildError::EventHubName { name: name("a b") }),
            (hub().event_hub("hüb", 1), BuildError::EventHubName { name: name("hüb") }),
            (hub().event_hub("a/b", 1), BuildError::EventHubName { name: name("a/b") }),
            (hub().event_hub("-a", 1), BuildError::EventHubName { name: name("-a") }),
            (hub().event_hub("$cbs", 1), BuildError::EventHubName { name: name("$cbs") }),
            (hub().event_hub("HUB", 1), BuildError::DuplicateEventHub { name: name("HUB") }),
            (hub().event_hub("h", 0), BuildError::PartitionCount { name: name("h"), partition_count: 0 }),
            (hub().event_hub("h", 33), BuildError::PartitionCount { name: name("h"), partition_count: 33 }),
            (hub().rule("", "k"), BuildError::Rule { name: name("") }),
            (hub().rule("a=b", "k"), BuildError::Rule { name: name("***") }),
            (hub().rule("a", ""), BuildError::Rule { name: name("a") }),
            (hub().rule("a", "k;l"), BuildError::Rule { name: name("a") }),
            (hub().rule("a", "k").rule("a", "l"), BuildError::DuplicateRule { name: name("a") }),
            (
                hub().consumer_group("other", "g"),
                BuildError::ConsumerGroupOfNoHub { event_hub: name("other"), name: name("g") },
            ),
            (hub().consumer_group("hub", "a b"), BuildError::ConsumerGroupName { name: name("a b") }),
            (
                hub().consumer_group("HUB", "$default"),
                BuildError::DuplicateConsumerGroup { event_hub: name("HUB"), name: name("$default") },
            ),
            (
                hub().consumer_group("hub", "g").consumer_group("hub", "G"),
                BuildError::DuplicateConsumerGroup { event_hub: name("hub"), name: name("G") },
            ),
            (hub().access_rule(AccessRule::new("a", "k")), BuildError::NoRights { name: name("a") }),
            (
                hub().access_rule(AccessRule::new("a", "k").send().event_hub("other")),
                BuildError::RuleOfNoHub { name: name("a"), event_hub: name("other") },
            ),
            (hub().max_message_size(0), BuildError::MaxMessageSize { bytes: 0 }),
            (hub().max_message_size(20_971_521), BuildError::MaxMessageSize { bytes: 20_971_521 }),
            (hub().max_frame_size(511), BuildError::MaxFrameSize { bytes: 511 }),
            (hub().link_credit(0), BuildError::NoLinkCredit),
            (hub().throughput_units(0), BuildError::NoThroughput),
            (hub().linkless_timeout(Duration::from_millis(999)), BuildError::IdleTimeout),
            (hub().retention_bytes(1_048_575), BuildError::Retention),
            (hub().retention_events(0), BuildError::Retention),
            (hub().retention(Duration::ZERO), BuildError::Retention),
            (
                hub().fault(Fault::close("a", "b")),
                BuildError::FaultTooEarly { fault: "close condition=a text=b".to_owned() },
            ),
        ] {
            assert_eq!(builder.build().map(|_| ()).unwrap_err(), error);
        }
    }

    #[test]
    fn names_may_be_short_or_long() {
        let long = "x".repeat(256);
        for name in ["h", "0", "my.hub-1_x", &long] {
            assert!(Emulator::builder().event_hub(name, 32).build().is_ok(), "{name}");
        }
        assert!(Emulator::builder().event_hub("x".repeat(257), 1).build().is_err());
    }

    #[test]
    fn keys_are_never_printed() {
        let builder = hub().rule("send", "hush");
        assert!(!format!("{builder:?}").contains("hush"));
        let swallowed = hub().event_hub("Endpoint=ns;SharedAccessKey=hush", 1);
        assert!(!format!("{swallowed:?} {:?}", swallowed.clone().build().unwrap_err()).contains("hush"));
        let error = builder.rule("other", "hush;").build().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"));
    }
}
