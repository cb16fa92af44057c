//! What the namespace is made of, fixed when it is built: event hubs, rules, limits.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::wire::condition;
use crate::wire::frame::PeerError;
use crate::wire::secret::{Secret, printable};

use super::activity::Transport;
use super::readers::Place;
use super::sentence;
use super::store::{PartitionRef, Retention};

/// Hubs, rules and limits. Nothing in it changes; the events are in the [`Store`](super::store::Store).
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) hubs: Vec<Hub>,
    pub(super) rules: Vec<Rule>,
    pub(super) limits: Limits,
    pub(super) created_at: SystemTime,
}

/// What the service would not let a client do, and how long it lets it do nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes.
    pub(super) max_message_size: u64,
    /// Bytes of a frame that is taken.
    pub(super) max_frame_size: u32,
    pub(super) link_credit: u32,
    pub(super) throughput_units: Option<u32>,
    /// Silence of a peer before its connection is cut.
    pub(super) idle_timeout: Duration,
    /// Rest of a publisher's link before it is detached.
    pub(super) link_idle_timeout: Duration,
    /// How long a connection may be without a link.
    pub(super) linkless_timeout: Duration,
    /// The same after its open.
    pub(super) first_link_timeout: Duration,
    /// There and back.
    pub(super) round_trip_time: Duration,
    pub(super) retention: Retention,
}

impl Limits {
    /// For programs: the units are in the names.
    #[cfg(feature = "cli")]
    pub(super) fn values(&self) -> [(&'static str, Option<u64>); 9] {
        let secs = |time: Duration| Some(time.as_secs());
        [
            ("max_message_bytes", Some(self.max_message_size)),
            ("link_credit_messages", Some(self.link_credit.into())),
            ("throughput_units", self.throughput_units.map(u64::from)),
            ("retention_secs", secs(self.retention.age)),
            ("retention_bytes", Some(self.retention.bytes)),
            ("retention_events", Some(self.retention.events).filter(|&events| events < u64::MAX)),
            ("idle_timeout_secs", secs(self.idle_timeout)),
            ("link_idle_timeout_secs", secs(self.link_idle_timeout)),
            ("linkless_timeout_secs", secs(self.linkless_timeout)),
        ]
    }
}

/// As `hubwire emulator` tells them.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kib, credit) = (self.max_message_size / 1_024, self.link_credit);
        write!(f, "{kib} KiB a message, {credit} messages of credit, ")?;
        match self.throughput_units {
            None => f.write_str("no end of throughput, ")?,
            Some(units) => write!(f, "{units} MiB or {units}000 events a second, ")?,
        }
        let Retention { age, bytes, events } = self.retention;
        write!(f, "events kept for {}, {} MiB of them in all", humantime::format_duration(age), bytes >> 20)?;
        if events < u64::MAX { write!(f, ", {events} or more of a partition") } else { Ok(()) }
    }
}

impl Default for Limits {
    /// The Standard tier's, with no end of throughput. Source: event-hubs-wire 4.2, 6.2, 11.
    fn default() -> Self {
        Self {
            max_message_size: 1_048_576,
            max_frame_size: 65_536,
            link_credit: 300,
            throughput_units: None,
            idle_timeout: Duration::from_secs(240),
            link_idle_timeout: Duration::from_secs(600),
            linkless_timeout: Duration::from_secs(300),
            first_link_timeout: Duration::from_secs(60),
            round_trip_time: Duration::ZERO,
            retention: Retention { age: Duration::from_secs(3_600), bytes: 256 << 20, events: u64::MAX },
        }
    }
}

/// The consumer group that every hub has.
pub(super) const DEFAULT_CONSUMER_GROUP: &str = "$Default";

/// An event hub.
#[derive(Clone)]
pub(super) struct Hub {
    pub(super) name: String,
    pub(super) partition_count: u32,
    /// Beside [`DEFAULT_CONSUMER_GROUP`].
    pub(super) consumer_groups: Vec<String>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("name", &printable(&self.name))
            .field("partition_count", &self.partition_count)
            .field("consumer_groups", &self.consumer_groups)
            .finish()
    }
}

impl Hub {
    /// The index of the group `name`, written in any case; the default one's is 0.
    pub(super) fn consumer_group(&self, name: &str) -> Option<usize> {
        let own = self.consumer_groups.iter().map(String::as_str);
        std::iter::once(DEFAULT_CONSUMER_GROUP).chain(own).position(|group| group.eq_ignore_ascii_case(name))
    }
}

/// A shared access rule: what whoever signs with its key may do.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) key: Secret,
    pub(super) rights: Rights,
    /// The one event hub that it is good for; without one, all of them.
    pub(super) event_hub: Option<String>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &printable(&self.name))
            .field("key", &self.key)
            .field("rights", &self.rights)
            .field("event_hub", &self.event_hub.as_deref().map(printable))
            .finish()
    }
}

/// What a rule allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) send: bool,
    pub(super) listen: bool,
    pub(super) manage: bool,
}

impl Rights {
    pub(super) const ALL: Self = Self { send: true, listen: true, manage: true };
}

/// Where the deliveries of a link go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// Index of the hub.
    pub(super) hub: usize,
    /// The partition that the link is bound to; without one, a key or the turn decides.
    pub(super) partition: Option<u32>,
}

impl Namespace {
    /// The index of the hub `name`, written in any case.
    pub(super) fn hub(&self, name: &str) -> Option<usize> {
        self.hubs.iter().position(|hub| hub.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn rule(&self, name: &str) -> Option<&Rule> {
        // Names of rules keep their case: the service compares them exactly.
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// What a client connects with, at `authority`. `UseDevelopmentEmulator` is how SDKs are told to do without TLS.
    pub(super) fn connection_string(&self, authority: &str, over: Transport, event_hub: Option<&str>) -> String {
        let mut pairs = vec![format!("Endpoint=sb://{authority}")];
        if let Some(Rule { name, key, .. }) = self.rules.first() {
            pairs.push(format!("SharedAccessKeyName={name};SharedAccessKey={}", key.expose()));
        }
        if !over.is_encrypted() {
            pairs.push("UseDevelopmentEmulator=true".to_owned());
        }
        pairs.extend(event_hub.map(|event_hub| format!("EntityPath={event_hub}")));
        pairs.join(";")
    }

    /// Whether there is anything at or above `path`: the namespace itself, or one of its hubs.
    pub(super) fn has_entity(&self, path: &str) -> bool {
        path.is_empty() || self.hub(first_segment(path)).is_some()
    }

    /// What a publisher means by `path`, or why it cannot have it.
    pub(super) fn destination(&self, path: &str) -> Result<Destination, PeerError> {
        let mut segments = path.split('/');
        let name = segments.next().unwrap_or_default();
        let Some(hub) = self.hub(name) else {
            return Err(PeerError::new(condition::NOT_FOUND, sentence::not_found(path)));
        };
        let below: Vec<&str> = segments.collect();
        match below.as_slice() {
            [] => Ok(Destination { hub, partition: None }),
            [kind, id] if kind.eq_ignore_ascii_case("Partitions") => {
                let partition = self.partition(hub, id)?;
                Ok(Destination { hub, partition: Some(partition) })
            }
            _ => Err(not_served(path)),
        }
    }

    /// What a receiver means by `path`, or why it cannot have it.
    pub(super) fn place(&self, path: &str) -> Result<Place, PeerError> {
        let segments: Vec<&str> = path.split('/').collect();
        let [hub, groups, group, partitions, id] = segments.as_slice() else { return Err(not_served(path)) };
        if !groups.eq_ignore_ascii_case("ConsumerGroups") || !partitions.eq_ignore_ascii_case("Partitions") {
            return Err(not_served(path));
        }
        let not_found = || PeerError::new(condition::NOT_FOUND, sentence::not_found(path));
        let hub = self.hub(hub).ok_or_else(not_found)?;
        let group = self.hubs[hub].consumer_group(group).ok_or_else(not_found)?;
        let partition = self.partition(hub, id)?;
        Ok(Place { partition: PartitionRef { hub, partition }, group })
    }

    pub(super) fn partition(&self, hub: usize, id: &str) -> Result<u32, PeerError> {
        let count = self.hubs[hub].partition_count;
        // Compared as text: `+1` and `01` are no ids.
        (0..count).find(|partition| partition.to_string() == id).ok_or_else(|| {
            let text = format!(
                "The specified partition is invalid for an EventHub partition sender or receiver. It should be between \
                 0 and {}. Parameter name: PartitionId",
                count - 1
            );
            PeerError::new(condition::ARGUMENT_OUT_OF_RANGE, text)
        })
    }
}

/// The answer to an attach whose node this emulator does not have.
pub(super) fn not_served(path: &str) -> PeerError {
    let text = format!(
        "This emulator does not serve '{}': it takes publishers to '<event hub>' and '<event hub>/Partitions/<id>', \
         receivers from '<event hub>/ConsumerGroups/<group>/Partitions/<id>', and requests at '$cbs' and '$management'.",
        sentence::quoted(path)
    );
    PeerError::new(condition::NOT_IMPLEMENTED, text)
}

fn first_segment(path: &str) -> &str {
    path.split_once('/').map_or(path, |(first, _)| first)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::emulator) fn namespace() -> Namespace {
        let hub = |name: &str, partition_count| Hub { name: name.into(), partition_count, consumer_groups: Vec::new() };
        Namespace {
            hubs: vec![hub("telemetry", 4), hub("Audit", 1)],
            rules: vec![
                Rule { name: "send".into(), key: "k1".into(), rights: Rights::ALL, event_hub: None },
                Rule { name: "other".into(), key: "k2".into(), rights: Rights::ALL, event_hub: None },
            ],
            limits: Limits::default(),
            created_at: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn receivers_reach_partitions_by_group_in_any_case() {
        let mut namespace = namespace();
        namespace.hubs[0].consumer_groups.push("Readers".into());
        for (path, partition, group) in [
            ("telemetry/ConsumerGroups/$Default/Partitions/0", 0, 0),
            ("TELEMETRY/consumergroups/$default/partitions/3", 3, 0),
            ("telemetry/ConsumerGroups/readers/Partitions/1", 1, 1),
        ] {
            let partition = PartitionRef { hub: 0, partition };
            assert_eq!(namespace.place(path), Ok(Place { partition, group }), "{path}");
        }
        for (path, condition) in [
            ("none/ConsumerGroups/$Default/Partitions/0", condition::NOT_FOUND),
            ("telemetry/ConsumerGroups/none/Partitions/0", condition::NOT_FOUND),
            ("telemetry/ConsumerGroups/$Default/Partitions/4", condition::ARGUMENT_OUT_OF_RANGE),
            ("telemetry/ConsumerGroups/$Default", condition::NOT_IMPLEMENTED),
            ("telemetry", condition::NOT_IMPLEMENTED),
            ("telemetry/Groups/$Default/Partitions/0", condition::NOT_IMPLEMENTED),
        ] {
            assert_eq!(namespace.place(path).unwrap_err().condition, condition, "{path}");
        }
    }

    #[test]
    fn publishers_reach_hubs_and_partitions_in_any_case() {
        let namespace = namespace();
        for (path, hub, partition) in [
            ("telemetry", 0, None),
            ("TELEMETRY", 0, None),
            ("audit", 1, None),
            ("telemetry/Partitions/3", 0, Some(3)),
            ("Telemetry/partitions/0", 0, Some(0)),
        ] {
            assert_eq!(namespace.destination(path), Ok(Destination { hub, partition }), "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_refused_with_its_condition() {
        let namespace = namespace();
        for (path, condition) in [
            ("", condition::NOT_FOUND),
            ("other", condition::NOT_FOUND),
            ("other/Partitions/0", condition::NOT_FOUND),
            ("telemetry/Partitions/4", condition::ARGUMENT_OUT_OF_RANGE),
            ("telemetry/Partitions/01", condition::ARGUMENT_OUT_OF_RANGE),
            ("telemetry/Partitions/+1", condition::ARGUMENT_OUT_OF_RANGE),
            ("telemetry/Partitions/", condition::ARGUMENT_OUT_OF_RANGE),
            ("telemetry/Partitions", condition::NOT_IMPLEMENTED),
            ("telemetry/Publishers/me", condition::NOT_IMPLEMENTED),
            ("telemetry/$management", condition::NOT_IMPLEMENTED),
            ("telemetry/ConsumerGroups/$Default/Partitions/0", condition::NOT_IMPLEMENTED),
        ] {
            assert_eq!(namespace.destination(path).unwrap_err().condition, condition, "{path}");
        }
    }

    #[test]
    fn an_unknown_hub_is_named_in_the_services_own_sentence() {
        let error = namespace().destination("other").unwrap_err();
        let expected = "The messaging entity 'sb://emulator/other' could not be found.";
        assert_eq!(error.description.as_deref(), Some(expected));
    }
}
