//! What an emulator cannot be built from, and why.

use std::time::Duration;

use super::Builder;
use crate::emulator::namespace::{DEFAULT_CONSUMER_GROUP, Hub, Rights, Rule};
use crate::wire::secret::printable;

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

impl Builder {
    pub(super) fn add_consumer_groups(&mut self) -> Result<(), BuildError> {
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

    pub(super) fn check(&self) -> Result<(), BuildError> {
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
        Ok(())
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
    use crate::emulator::{AccessRule, Emulator, Fault};

    fn hub() -> Builder {
        Emulator::builder().event_hub("hub", 1)
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
