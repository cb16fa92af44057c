//! What a connection came to: counts, phases, and how full and how fast its batches were.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::dialogue::Direction;
use crate::words::{counted, size, time};

/// Links that are counted each by its name; more go together.
const MAX_LINKS: usize = 64;
const OTHERS: &str = "other links";

/// The steps of a connection, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Sasl,
    Open,
    Token,
    Attach,
    /// The first batch, until it is accepted.
    FirstAccepted,
    /// The first event that is read, since its link was attached.
    FirstEvent,
}

const PHASES: [(Phase, &str); 6] = [
    (Phase::Sasl, "sasl"),
    (Phase::Open, "open"),
    (Phase::Token, "token"),
    (Phase::Attach, "attach"),
    (Phase::FirstAccepted, "first accepted"),
    (Phase::FirstEvent, "first event"),
];

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

/// What became of a link's deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkTotals {
    pub(super) deliveries: u64,
    pub(super) events: u64,
    /// Of the messages.
    pub(super) bytes: u64,
    /// The largest message that the link takes.
    pub(super) max_message_size: Option<u64>,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    /// Released or modified: given back.
    pub(super) released: u64,
    /// How often, and for how long, there was no credit.
    pub(super) stalls: u64,
    pub(super) stalled: Duration,
    /// How long an outcome took, the longest.
    pub(super) slowest: Duration,
}

/// The summary of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) began: Duration,
    pub(super) ended: Duration,
    pub(super) traffic: [Traffic; 2],
    /// How often the server spoke after the client had.
    pub(super) round_trips: u64,
    /// How many of them until the first batch was accepted.
    pub(super) to_first_accepted: Option<u64>,
    phases: [(Option<Duration>, Option<Duration>); 6],
    pub(super) links: BTreeMap<String, LinkTotals>,
    last: Option<Direction>,
    /// The way that the client's bytes go: it speaks first.
    pub(super) client: Option<Direction>,
}

impl Summary {
    pub(super) fn new(began: Duration) -> Self {
        Self { began, ended: began, ..Self::default() }
    }

    pub(super) fn count(&mut self, direction: Direction, len: usize, at: Duration) {
        let traffic = &mut self.traffic[direction.index()];
        traffic.frames += 1;
        traffic.bytes += len as u64;
        let is_answer = self.last.is_some_and(|last| self.is_clients(last)) && !self.is_clients(direction);
        self.round_trips += u64::from(is_answer);
        self.last = Some(direction);
        self.ended = at;
    }

    pub(super) fn is_clients(&self, direction: Direction) -> bool {
        self.client == Some(direction)
    }

    /// Begins a phase, or ends it if it has begun: of what both sides say.
    pub(super) fn mark(&mut self, phase: Phase, at: Duration) {
        match self.phases[phase as usize].0 {
            Some(_) => self.end(phase, at),
            None => self.begin(phase, at),
        }
    }

    /// The first time counts.
    pub(super) fn begin(&mut self, phase: Phase, at: Duration) {
        self.phases[phase as usize].0.get_or_insert(at);
    }

    /// The first time counts, of a phase that has begun.
    pub(super) fn end(&mut self, phase: Phase, at: Duration) {
        let (begun, ended) = &mut self.phases[phase as usize];
        if begun.is_some() && ended.is_none() {
            *ended = Some(at);
            if phase == Phase::FirstAccepted {
                self.to_first_accepted = Some(self.round_trips);
            }
        }
    }

    pub(super) fn link(&mut self, nick: &str) -> &mut LinkTotals {
        let is_full = self.links.len() >= MAX_LINKS && !self.links.contains_key(nick);
        self.links.entry(if is_full { OTHERS } else { nick }.to_owned()).or_default()
    }

    /// The phases that have begun and ended, by name.
    pub(super) fn phases(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        PHASES.iter().filter_map(|(phase, name)| match self.phases[*phase as usize] {
            (Some(begun), Some(ended)) => Some((*name, ended.saturating_sub(begun))),
            _ => None,
        })
    }
}

impl LinkTotals {
    /// How full the messages were, of what the link takes, in percent.
    pub(super) fn fill(&self) -> Option<f64> {
        let room = self.max_message_size?.checked_mul(self.deliveries).filter(|room| *room > 0)?;
        Some(self.bytes as f64 * 100.0 / room as f64)
    }
}

/// Some lines, without a line's end behind the last.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [sent, received] = self.traffic;
        let frames =
            |traffic: Traffic| format!("{} ({})", counted(traffic.frames, "frame", "frames"), size(traffic.bytes));
        write!(f, "sent {}, received {}", frames(sent), frames(received))?;
        write!(f, ", {}", counted(self.round_trips, "round trip", "round trips"))?;
        if let Some(count) = self.to_first_accepted {
            write!(f, " ({count} to the first accepted)")?;
        }
        write!(f, ", in {}", time(self.ended.saturating_sub(self.began)))?;
        let phases: Vec<_> = self.phases().map(|(name, span)| format!("{name} {}", time(span))).collect();
        if !phases.is_empty() {
            write!(f, "\n  {}", phases.join(", "))?;
        }
        self.links.iter().try_for_each(|(nick, totals)| write!(f, "\n  {nick}: {totals}"))
    }
}

impl fmt::Display for LinkTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deliveries = counted(self.deliveries, "delivery", "deliveries");
        write!(f, "{deliveries}, {}, {}", counted(self.events, "event", "events"), size(self.bytes))?;
        if let Some(fill) = self.fill() {
            write!(f, ", {fill:.0} % full")?;
        }
        let outcomes = [(self.accepted, "accepted"), (self.rejected, "rejected"), (self.released, "given back")];
        for (count, what) in outcomes.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        if self.slowest > Duration::ZERO {
            write!(f, ", the slowest outcome after {}", time(self.slowest))?;
        }
        if self.stalls > 0 {
            write!(f, ", without credit {} for {}", counted(self.stalls, "time", "times"), time(self.stalled))?;
        }
        Ok(())
    }
}
