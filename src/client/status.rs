//! What happens to a connection, for those who look on: events as they come, and counters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use super::error::{Error, Scope};
use super::transport::Traffic;

/// What happened to a connection. `Display` tells it in a line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// The peer's `open` has come, for the first time or again.
    Opened,
    /// The hub took a token for `audience`; it will be renewed at the time that `renew_in` leads to, if it can be.
    Authorized {
        /// What the token is for.
        audience: String,
        /// How long until the next one is put.
        renew_in: Option<Duration>,
        /// When this one ends.
        expires_at: Option<SystemTime>,
    },
    /// A token could not be renewed. What is open stays so until the old one ends; it is tried again.
    RenewalFailed {
        /// What the token is for.
        audience: String,
        /// Why.
        cause: Error,
        /// How long until it is tried again.
        retry_in: Duration,
    },
    /// A link is there, for the first time or again.
    Attached {
        /// Where it leads: `<hub>`, `<hub>/Partitions/<id>`, or a receiver's source.
        address: String,
    },
    /// The hub takes no more for now: what is sent on this link waits.
    Throttled {
        /// Where the link leads.
        address: String,
        /// The hub's error condition.
        condition: String,
        /// The hub's own words.
        description: String,
        /// How long what was refused waits.
        wait: Duration,
    },
    /// A link, a session or the connection is gone, and is being restored.
    Lost {
        /// What is gone.
        scope: Scope,
        /// Where the link leads; empty for a connection.
        address: String,
        /// The first cause.
        cause: Error,
        /// Whether it is only that nothing was sent for long, which hubs answer so: no fault of anybody's.
        is_idle: bool,
        /// How long until it is tried again; `None` when that waits for the next send.
        retry_in: Option<Duration>,
    },
    /// The hub says no to a link that was there, and will go on saying so: it is not tried again.
    GaveUp {
        /// Where the link leads.
        address: String,
        /// The hub's no.
        cause: Error,
    },
    /// What was lost is there again.
    Recovered {
        /// What is there again.
        scope: Scope,
        /// Where the link leads; empty for a connection.
        address: String,
        /// How long it was gone.
        after: Duration,
    },
    /// The connection is over, and nothing will bring it back.
    Closed {
        /// Why; [`Error::ShutDown`] when this side wanted it.
        cause: Error,
    },
}

impl ConnectionEvent {
    /// Whether it is worth a warning: something is wrong that is not in the ordinary course of things.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Lost { is_idle, .. } => !is_idle,
            Self::RenewalFailed { .. } | Self::Throttled { .. } | Self::GaveUp { .. } => true,
            Self::Closed { cause } => !matches!(cause, Error::ShutDown),
            _ => false,
        }
    }
}

impl fmt::Display for ConnectionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => f.write_str("opened"),
            Self::Authorized { audience, renew_in: Some(span), .. } => {
                write!(f, "authorized for {audience}, renewal in {span:.0?}")
            }
            Self::Authorized { audience, .. } => write!(f, "authorized for {audience}"),
            Self::RenewalFailed { audience, cause, retry_in } => {
                write!(f, "the token for {audience} was not renewed, next attempt in {retry_in:.0?}: {cause}")
            }
            Self::Attached { address } => write!(f, "attached to {address}"),
            Self::Throttled { address, condition, description, wait } => {
                write!(f, "throttled at {address}, waiting {wait:.1?}: {condition}: {description}")
            }
            Self::Lost { scope, address, cause, retry_in, .. } => {
                let to = if address.is_empty() { "" } else { " to " };
                match retry_in {
                    Some(span) => write!(f, "lost the {scope}{to}{address}, next attempt in {span:.1?}: {cause}"),
                    None => write!(f, "lost the {scope}{to}{address} until the next send: {cause}"),
                }
            }
            Self::GaveUp { address, cause } => write!(f, "gave up the link to {address}: {cause}"),
            Self::Recovered { scope, address, after } => {
                let to = if address.is_empty() { "" } else { " to " };
                write!(f, "recovered the {scope}{to}{address} after {after:.1?}")
            }
            Self::Closed { cause } => write!(f, "closed: {cause}"),
        }
    }
}

/// Who is told.
pub(super) type Observer = Arc<dyn Fn(&ConnectionEvent) + Send + Sync>;

/// What a connection has done so far. Nothing but what is in flight ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Batches that the hub has stored.
    pub accepted_batches: u64,
    /// Events in them.
    pub accepted_events: u64,
    /// Bytes of their messages.
    pub accepted_bytes: u64,
    /// Batches given back as rejected.
    pub rejected_batches: u64,
    /// Batches given back as not sent.
    pub not_sent_batches: u64,
    /// Batches given back with unknown outcome.
    pub unknown_batches: u64,
    /// Times that a batch was sent again.
    pub retried: u64,
    /// Batches that found their link without credit: they had to wait for the hub.
    pub credit_waits: u64,
    /// Links and connections that were lost and came back.
    pub recovered: u64,
    /// Bytes that went out over the sockets, or the streams that were handed in: with frames, tokens and heartbeats, and with TLS
    /// and WebSocket where they are spoken. What a proxy is asked for is not in it.
    pub sent_bytes: u64,
    /// Bytes that came in the same way.
    pub received_bytes: u64,
    /// Batches without an outcome yet.
    pub in_flight_batches: u64,
    /// Bytes of their messages.
    pub in_flight_bytes: u64,
    /// From the hub's last outcome: how long it took from handing the batch to the link.
    pub last_round_trip: Option<Duration>,
    /// The same, smoothed: an eighth of each new one.
    pub smoothed_round_trip: Option<Duration>,
}

/// What handles and the connection's task share.
#[derive(Default)]
pub(super) struct Status {
    epitaph: OnceLock<Error>,
    observer: Option<Observer>,
    traffic: Arc<Traffic>,
    cells: Cells,
}

#[derive(Default)]
struct Cells {
    accepted_batches: AtomicU64,
    accepted_events: AtomicU64,
    accepted_bytes: AtomicU64,
    rejected_batches: AtomicU64,
    not_sent_batches: AtomicU64,
    unknown_batches: AtomicU64,
    retried: AtomicU64,
    credit_waits: AtomicU64,
    recovered: AtomicU64,
    in_flight_batches: AtomicU64,
    in_flight_bytes: AtomicU64,
    /// Nanoseconds; 0 is none.
    last_round_trip: AtomicU64,
    smoothed_round_trip: AtomicU64,
}

/// How a batch ended, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Accepted { events: u64 },
    Rejected,
    NotSent,
    Unknown,
}

impl Status {
    pub(super) fn new(observer: Option<Observer>, traffic: Arc<Traffic>) -> Self {
        Self { observer, traffic, ..Self::default() }
    }

    /// Why the connection's task ended.
    pub(super) fn cause(&self) -> Error {
        self.epitaph.get().cloned().unwrap_or(Error::ShutDown)
    }

    /// Keeps why the connection's task ends, unless that is known already; the first cause.
    pub(super) fn end(&self, cause: Error) -> Error {
        self.epitaph.get_or_init(|| cause).clone()
    }

    pub(super) fn tell(&self, event: &ConnectionEvent) {
        #[cfg(feature = "tracing")]
        trace(event);
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }

    pub(super) fn began(&self, bytes: u64) {
        add(&self.cells.in_flight_batches, 1);
        add(&self.cells.in_flight_bytes, bytes);
    }

    pub(super) fn ended(&self, bytes: u64, count: Count) {
        let cells = &self.cells;
        add(&cells.in_flight_batches, 1_u64.wrapping_neg());
        add(&cells.in_flight_bytes, bytes.wrapping_neg());
        match count {
            Count::Accepted { events } => {
                add(&cells.accepted_batches, 1);
                add(&cells.accepted_events, events);
                add(&cells.accepted_bytes, bytes);
            }
            Count::Rejected => add(&cells.rejected_batches, 1),
            Count::NotSent => add(&cells.not_sent_batches, 1),
            Count::Unknown => add(&cells.unknown_batches, 1),
        }
    }

    pub(super) fn retried(&self) {
        add(&self.cells.retried, 1);
    }

    pub(super) fn waits_for_credit(&self) {
        add(&self.cells.credit_waits, 1);
    }

    pub(super) fn recovered(&self) {
        add(&self.cells.recovered, 1);
    }

    /// The hub has said what became of a batch, `span` after it was handed to its link.
    pub(super) fn round_trip(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.cells.last_round_trip.store(nanos, Ordering::Relaxed);
        let before = self.cells.smoothed_round_trip.load(Ordering::Relaxed);
        let smoothed = if before == 0 { nanos } else { before - before / 8 + nanos / 8 };
        self.cells.smoothed_round_trip.store(smoothed, Ordering::Relaxed);
    }

    pub(super) fn counters(&self) -> Counters {
        let cells = &self.cells;
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let span = |cell: &AtomicU64| Some(get(cell)).filter(|nanos| *nanos > 0).map(Duration::from_nanos);
        Counters {
            accepted_batches: get(&cells.accepted_batches),
            accepted_events: get(&cells.accepted_events),
            accepted_bytes: get(&cells.accepted_bytes),
            rejected_batches: get(&cells.rejected_batches),
            not_sent_batches: get(&cells.not_sent_batches),
            unknown_batches: get(&cells.unknown_batches),
            retried: get(&cells.retried),
            credit_waits: get(&cells.credit_waits),
            recovered: get(&cells.recovered),
            sent_bytes: self.traffic.sent_bytes(),
            received_bytes: self.traffic.received_bytes(),
            in_flight_batches: get(&cells.in_flight_batches),
            in_flight_bytes: get(&cells.in_flight_bytes),
            last_round_trip: span(&cells.last_round_trip),
            smoothed_round_trip: span(&cells.smoothed_round_trip),
        }
    }
}

/// The connection's task alone writes: nothing comes in between.
fn add(cell: &AtomicU64, count: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

#[cfg(feature = "tracing")]
fn trace(event: &ConnectionEvent) {
    if event.is_warning() {
        tracing::warn!(target: "hubwire", "{event}");
    } else {
        tracing::debug!(target: "hubwire", "{event}");
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::error::Step;

    fn lost(is_idle: bool) -> ConnectionEvent {
        let cause = Error::closed(Scope::Connection, None);
        let (scope, address) = (Scope::Connection, String::new());
        ConnectionEvent::Lost { scope, address, cause, is_idle, retry_in: Some(Duration::from_millis(250)) }
    }

    #[test]
    fn each_event_is_a_line_and_some_are_warnings() {
        let timed_out = Error::timed_out(Step::Authorize, Duration::from_secs(30));
        let audience = "sb://ns/hub".to_owned();
        let renew_in = Some(Duration::from_secs(3_180));
        for (event, line, is_warning) in [
            (ConnectionEvent::Opened, "opened", false),
            (
                ConnectionEvent::Authorized { audience: audience.clone(), renew_in, expires_at: None },
                "authorized for sb://ns/hub, renewal in 3180s",
                false,
            ),
            (
                ConnectionEvent::RenewalFailed { audience, cause: timed_out, retry_in: Duration::from_secs(30) },
                "the token for sb://ns/hub was not renewed, next attempt in 30s: timed out after 30s while waiting for the \
                 hub to take the token; try again",
                true,
            ),
            (ConnectionEvent::Attached { address: "hub".into() }, "attached to hub", false),
            (lost(true), "lost the connection, next attempt in 250.0ms: the hub closed the connection", false),
            (lost(false), "lost the connection, next attempt in 250.0ms: the hub closed the connection", true),
            (
                ConnectionEvent::Recovered {
                    scope: Scope::Link,
                    address: "hub".into(),
                    after: Duration::from_millis(1_500),
                },
                "recovered the link to hub after 1.5s",
                false,
            ),
            (ConnectionEvent::Closed { cause: Error::ShutDown }, "closed: closed by this side", false),
        ] {
            assert!(event.to_string().starts_with(line), "{event}");
            assert_eq!(event.is_warning(), is_warning, "{event}");
        }
    }

    #[test]
    fn round_trips_are_smoothed() {
        let status = Status::default();
        assert_eq!(status.counters().smoothed_round_trip, None);
        status.round_trip(Duration::from_millis(80));
        status.round_trip(Duration::from_millis(160));
        let counters = status.counters();
        assert_eq!(counters.last_round_trip, Some(Duration::from_millis(160)));
        assert_eq!(counters.smoothed_round_trip, Some(Duration::from_millis(90)));
    }

    #[cfg(feature = "tracing")]
    #[test]
    fn events_go_to_tracing_by_their_weight() {
        use std::sync::Mutex;
        use tracing::field::{Field, Visit};
        use tracing::span::{Attributes, Id, Record};
        use tracing::{Event, Level, Metadata, Subscriber, subscriber};

        /// Keeps level, target and message.
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<(Level, String, String)>>>);

        struct Message(String);

        impl Visit for Message {
            fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
                self.0 = format!("{value:?}");
            }
        }

        impl Subscriber for Kept {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                true
            }

            fn new_span(&self, _: &Attributes<'_>) -> Id {
                Id::from_u64(1)
            }

            fn record(&self, _: &Id, _: &Record<'_>) {}

            fn record_follows_from(&self, _: &Id, _: &Id) {}

            fn event(&self, event: &Event<'_>) {
                let mut message = Message(String::new());
                event.record(&mut message);
                let (level, target) = (*event.metadata().level(), event.metadata().target().to_owned());
                self.0.lock().expect("not poisoned").push((level, target, message.0));
            }

            fn enter(&self, _: &Id) {}

            fn exit(&self, _: &Id) {}
        }

        let kept = Kept::default();
        subscriber::with_default(kept.clone(), || {
            let status = Status::default();
            status.tell(&ConnectionEvent::Opened);
            status.tell(&lost(false));
        });
        let kept = kept.0.lock().expect("not poisoned");
        assert_eq!(kept[0], (Level::DEBUG, "hubwire".to_owned(), "opened".to_owned()));
        assert_eq!((kept[1].0, kept.len()), (Level::WARN, 2));
        assert!(kept[1].2.starts_with("lost the connection"), "{}", kept[1].2);
    }
}
