//! Links detached, sessions ended, connections closed.

use std::time::Instant;

use crate::emulator::activity;
use crate::emulator::connection::{Link, Peer};
use crate::emulator::faults::{Aim, Blow};
use crate::engine::{Connection, LinkId, SessionId};
use crate::wire::frame::PeerError;

impl Peer {
    /// Deals the blows that a delivery on this link sets off.
    pub(in super::super) fn after_delivery(&mut self, engine: &mut Connection, id: LinkId, now: Instant) {
        if !self.shared.faults.is_any() {
            return;
        }
        let Some(path) = self.links.get(&id).and_then(Link::path) else { return };
        for blow in self.shared.faults.after_delivery(now, self.number, path) {
            self.flush(engine);
            match blow {
                Blow::Detach(error) => {
                    let error = self.error(&error);
                    self.end_link(engine, id, &error);
                }
                Blow::End(error) => self.end_session(engine, now, id.session, &error),
                Blow::Close(error) => self.close(engine, now, error),
            }
        }
    }

    /// Deals a blow to whatever it is aimed at on this connection.
    pub(in super::super) fn strike(&mut self, engine: &mut Connection, now: Instant, blow: &Blow, aim: &Aim) {
        let struck = match blow {
            Blow::Detach(error) => {
                let (ids, error) = (self.links_at(aim), self.error(error));
                ids.iter().for_each(|&id| self.end_link(engine, id, &error));
                ids.len()
            }
            Blow::End(error) => {
                let sessions = self.sessions_at(aim);
                sessions.iter().for_each(|&session| self.end_session(engine, now, session, error));
                sessions.len()
            }
            // With a deadline it is not open yet, or closing already.
            Blow::Close(error) if self.deadline.is_none() && self.is_at(aim) => {
                self.close(engine, now, error.clone());
                1
            }
            Blow::Close(_) => 0,
        };
        self.shared.faults.count(struck as u64);
    }

    fn links_at(&self, aim: &Aim) -> Vec<LinkId> {
        let is_meant = |link: &Link| link.path().is_some_and(|path| aim.is_link(self.number, path));
        self.links.iter().filter(|(_, link)| is_meant(link)).map(|(&id, _)| id).collect()
    }

    fn sessions_at(&self, aim: &Aim) -> Vec<SessionId> {
        let mut sessions: Vec<SessionId> = Vec::new();
        for (id, path) in self.links.iter().filter_map(|(id, link)| Some((id, link.path()?))) {
            if aim.is_connection(self.number, [path]) && !sessions.contains(&id.session) {
                sessions.push(id.session);
            }
        }
        sessions
    }

    pub(in super::super) fn is_at(&self, aim: &Aim) -> bool {
        aim.is_connection(self.number, self.links.values().filter_map(Link::path))
    }

    pub(in super::super) fn end_session(
        &mut self,
        engine: &mut Connection,
        now: Instant,
        session: SessionId,
        error: &PeerError,
    ) {
        let error = self.error(error);
        engine.end(session, error.clone());
        self.forget(now, || activity::by_us(&error), |id| id.session == session);
    }
}
