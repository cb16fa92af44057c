//! What holds for a while: silence, slowness, cuts to come, credit that is withheld.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::emulator::connection::{Link, Peer, requests};
use crate::emulator::faults::{Aim, Faulty, Manners, What};
use crate::engine::{Connection, LinkId};
use crate::pump::Pump;

impl Peer {
    /// Whether there is something that [`look_at_faults`](Self::look_at_faults) has not seen.
    pub(in super::super) fn has_new_faults(&self) -> bool {
        self.seen_faults != Some(self.shared.faults.edition())
    }

    /// Behaves from now on as the faults say.
    pub(in super::super) fn look_at_faults<S>(&mut self, pump: &mut Pump<Faulty<S>>, now: Instant)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let is_news = self.has_new_faults();
        self.seen_faults = Some(self.shared.faults.edition());
        self.shared.faults.turn(now);
        if is_news || self.shared.faults.is_any() {
            let worse = pump.stream_mut().behave(&self.manners(now));
            self.shared.faults.count(worse);
            self.look_at_credit(&mut pump.engine, now);
        }
    }

    fn manners(&self, now: Instant) -> Manners {
        let faults = &self.shared.faults;
        let is_at = |aim: &Aim| self.is_at(aim);
        Manners {
            is_silent: faults.has_come_over(now, &What::Silence, self.number, is_at),
            is_byte_by_byte: faults.has_come_over(now, &What::ByteByByte, self.number, is_at),
            cuts: faults.cuts(now, self.number, is_at),
        }
    }

    fn look_at_credit(&mut self, engine: &mut Connection, now: Instant) {
        let links = &self.links;
        self.withheld.retain(|id| links.contains_key(id));
        for id in self.links.keys().copied().collect::<Vec<LinkId>>() {
            let Some(full) = self.full_credit(id) else { continue };
            match (self.is_withheld(id, now), self.withheld.contains(&id)) {
                (true, false) => {
                    engine.withhold_credit(id);
                    self.withhold(id);
                }
                (false, true) => {
                    engine.set_credit(id, full);
                    self.withheld.remove(&id);
                }
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Gives a new link the credit that it may have.
    pub(in super::super) fn grant(&mut self, engine: &mut Connection, id: LinkId, now: Instant) {
        let Some(full) = self.full_credit(id) else { return };
        if self.is_withheld(id, now) {
            self.withhold(id);
        } else {
            engine.set_credit(id, full);
        }
    }

    fn withhold(&mut self, id: LinkId) {
        self.withheld.insert(id);
        self.shared.faults.count(1);
    }

    fn is_withheld(&self, id: LinkId, now: Instant) -> bool {
        let path = self.links.get(&id).and_then(Link::path).unwrap_or_default();
        self.shared.faults.holds(now, &What::WithholdCredit, |aim| aim.is_link(self.number, path))
    }

    fn full_credit(&self, id: LinkId) -> Option<u32> {
        match self.links.get(&id)? {
            Link::Publisher { .. } => Some(self.limits().link_credit),
            Link::Requests(_) => Some(requests::CREDIT),
            Link::Reader(_) | Link::Answers { .. } | Link::Refused => None,
        }
    }
}
