//! Outcomes and answers that came together, told backwards.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use super::deliveries::of_range;
use super::{Interference, Side};
use crate::cli::proxy::frame::Frame;

/// What the client is told of some deliveries of its own, one behind the other.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The client's.
    pub(super) channel: u16,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) is_backwards: bool,
    /// The namespace's disposition.
    pub(super) frame: Frame,
}

/// A link: the client's channel, and the namespace's handle.
type Place = (u16, u32);

/// What is told backwards once all that came together is here.
#[derive(Debug, Default)]
pub(super) struct Backwards {
    outcomes: Vec<Outcome>,
    /// Answers, each whole, and where in the client's output each stands.
    answers: BTreeMap<Place, Vec<(Range<usize>, Frame)>>,
}

impl Backwards {
    /// An answer that stands in the client's output.
    pub(super) fn answered(&mut self, place: Place, at: Range<usize>, frame: Frame) {
        self.answers.entry(place).or_default().push((at, frame));
    }

    pub(super) fn has_any_of(&self, channel: u16) -> bool {
        self.outcomes.iter().any(|outcome| outcome.channel == channel)
    }
}

impl Interference {
    /// Tells it now, or with what comes together with it.
    pub(super) fn tell_outcome_of(&mut self, outcome: Outcome) {
        if outcome.is_backwards {
            self.backwards.outcomes.push(outcome);
        } else {
            self.tell_frame(Side::Client, of_range(&outcome.frame, outcome.first, outcome.last));
        }
    }

    /// All that came together is here, and so is what blows waited for.
    pub(super) fn tell_backwards(&mut self, now: Instant) {
        self.turn_around();
        self.deal_all_pending(now);
    }

    pub(super) fn turn_around(&mut self) {
        self.turn_answers_around();
        let outcomes = std::mem::take(&mut self.backwards.outcomes);
        for Outcome { first, last, frame, .. } in outcomes.iter().rev() {
            // Ids wrap.
            let mut id = *last;
            loop {
                self.tell_frame(Side::Client, of_range(frame, id, id));
                if id == *first {
                    break;
                }
                id = id.wrapping_sub(1);
            }
        }
        self.trouble
            .count(u64::from(outcomes.iter().any(|outcome| outcome.first != outcome.last) || outcomes.len() > 1));
    }

    /// The answers of each link change places: the numbers of deliveries stay where they are, for those have an order.
    fn turn_answers_around(&mut self) {
        let mut changed = Vec::new();
        for answers in std::mem::take(&mut self.backwards.answers).into_values().filter(|answers| answers.len() > 1) {
            let payloads: Vec<_> = answers.iter().rev().map(|(_, frame)| frame.payload.clone()).collect();
            let longest = answers.iter().map(|(at, _)| at.len()).max();
            let turned = answers.into_iter().zip(payloads).map(|((at, mut frame), payload)| {
                frame.set_payload(payload);
                (at, frame.into_bytes())
            });
            let turned: Vec<_> = turned.collect();
            // Behind another performative it may be longer than the client takes; what has come shows what that is at least.
            if turned.iter().all(|(_, bytes)| Some(bytes.len()) <= longest) {
                changed.extend(turned);
                self.trouble.count(1);
            }
        }
        if changed.is_empty() {
            return;
        }
        changed.sort_by_key(|(at, _)| at.start);
        let before = self.take(Side::Client);
        let mut copied = 0;
        for (at, bytes) in changed {
            self.tell(Side::Client, &before[copied..at.start]);
            self.tell(Side::Client, &bytes);
            copied = at.end;
        }
        self.tell(Side::Client, &before[copied..]);
    }
}
