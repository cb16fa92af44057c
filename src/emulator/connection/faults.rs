//! What a connection does wrong because it was asked to. See [`Fault`](crate::emulator::Fault).

mod blows;
mod deliveries;
mod states;
mod steps;

use std::time::{Duration, Instant};

use crate::engine::Connection;

use super::Peer;
use super::later::Deferred;
pub(super) use deliveries::is_kept;

impl Peer {
    /// Does it later. What would be too late to be waited for is never done.
    pub(super) fn defer(&mut self, now: Instant, by: Duration, deferred: Deferred) {
        if let Some(due) = now.checked_add(by) {
            self.later.push(due, deferred);
        }
    }

    pub(super) fn do_what_is_due(&mut self, engine: &mut Connection, now: Instant) {
        for deferred in self.later.take_due(now) {
            match deferred {
                Deferred::Step(step) => self.answer_step(engine, step, now),
                Deferred::Attach(id, attach) => self.answer_attach(engine, id, &attach, now),
                // Its delivery is settled: nobody is left to be told that there is no way back.
                Deferred::Request(id, node, request) => drop(self.answer_request(engine, id, node, &request, now)),
                Deferred::Outcome(id, number, state) => self.settle_now(engine, id, number, state, now),
            }
        }
    }

    /// Ends a turn: what goes the other way round goes now.
    pub(super) fn flush(&mut self, engine: &mut Connection) {
        let turned = [self.settlements.flush(engine), self.held_answers.len()];
        for (answers, outgoing) in self.held_answers.drain(..).rev() {
            // A link that cannot take it has ended.
            let _ = engine.send(answers, outgoing);
        }
        self.shared.faults.count(turned.into_iter().filter(|&len| len > 1).count() as u64);
    }
}
