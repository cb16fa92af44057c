//! What a connection does wrong because it was asked to. See [`Fault`](crate::emulator::Fault).

use std::time::{Duration, Instant};

use fe2o3_amqp_types::messaging::{DeliveryState, Modified, Released};
use fe2o3_amqp_types::sasl::SaslCode;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::emulator::address::path_of_audience;
use crate::emulator::answer::property;
use crate::emulator::faults::{Aim, Blow, Fate, Faulty, Manners, Stage, What};
use crate::emulator::settlements;
use crate::engine::{Connection, LinkId, SessionId, Step};
use crate::pump::Pump;
use crate::wire::event::Event as Message;
use crate::wire::frame::PeerError;

use super::later::Deferred;
use super::requests::{self, Node};
use super::{Link, Peer};

/// Whether a delivery is taken in spite of its fate.
pub(super) fn is_kept(fate: Option<&Fate>) -> bool {
    matches!(fate, None | Some(Fate::NeverSettle))
}

// ---- the steps to a link ---------------------------------------------------------------------------------------

impl Peer {
    /// The engine asks before it answers SASL, open or begin.
    pub(super) fn on_asked(&mut self, engine: &mut Connection, step: Step, now: Instant) {
        match self.delay(now, stage(step), |aim| aim.is_connection(self.number, [])) {
            Some(by) => {
                // Whoever makes the peer wait must not blame it.
                self.deadline = self.deadline.and_then(|deadline| deadline.checked_add(by));
                self.defer(now, by, Deferred::Step(step));
            }
            None => self.answer_step(engine, step, now),
        }
    }

    fn answer_step(&mut self, engine: &mut Connection, step: Step, now: Instant) {
        let refusal = self.refusal(now, stage(step), |aim| aim.is_connection(self.number, []));
        match step {
            Step::Sasl => match self.sasl_refusal(now) {
                Some(code) => engine.refuse_sasl(code),
                None => drop(engine.allow(now)),
            },
            Step::Open => {
                engine.allow(now);
                if let Some(error) = refusal {
                    self.close(engine, now, error);
                }
            }
            Step::Begin => {
                let session = engine.allow(now);
                if let (Some(session), Some(error)) = (session, refusal) {
                    self.end_session(engine, now, session, &error);
                }
            }
        }
    }

    fn sasl_refusal(&self, now: Instant) -> Option<SaslCode> {
        let code = |what: &What| match what {
            What::RefuseSasl(2) => Some(SaslCode::Sys),
            What::RefuseSasl(3) => Some(SaslCode::SysPerm),
            What::RefuseSasl(4) => Some(SaslCode::SysTemp),
            What::RefuseSasl(_) => Some(SaslCode::Auth),
            _ => None,
        };
        self.shared.faults.befall(now, |aim| aim.is_connection(self.number, []), code)
    }

    pub(super) fn attach_delay(&self, path: &str, now: Instant) -> Option<Duration> {
        self.delay(now, Stage::Attach, |aim| aim.is_link(self.number, path))
    }

    pub(super) fn attach_refusal(&self, path: &str, now: Instant) -> Option<PeerError> {
        self.refusal(now, Stage::Attach, |aim| aim.is_link(self.number, path))
    }

    pub(super) fn request_delay(&self, node: Node, request: &Message, now: Instant) -> Option<Duration> {
        if node != Node::Cbs {
            return None;
        }
        self.delay(now, Stage::PutToken, |aim| aim.is_token(self.number, audience(request)))
    }

    /// Status and words.
    pub(super) fn request_refusal(&self, node: Node, request: &Message, now: Instant) -> Option<(i32, String)> {
        let refusal = |what: &What| match what {
            What::RefusePutToken(status, text) if node == Node::Cbs => Some((*status, text.clone())),
            _ => None,
        };
        self.shared.faults.befall(now, |aim| aim.is_token(self.number, audience(request)), refusal)
    }

    fn delay(&self, now: Instant, stage: Stage, is_meant: impl Fn(&Aim) -> bool) -> Option<Duration> {
        self.shared.faults.befall(now, is_meant, |what| match what {
            What::Delay(delayed, by) if *delayed == stage => Some(*by),
            _ => None,
        })
    }

    fn refusal(&self, now: Instant, stage: Stage, is_meant: impl Fn(&Aim) -> bool) -> Option<PeerError> {
        self.shared.faults.befall(now, is_meant, |what| match what {
            What::Refuse(refused, error) if *refused == stage => Some(error.clone()),
            _ => None,
        })
    }
}

fn stage(step: Step) -> Stage {
    match step {
        Step::Sasl => Stage::Sasl,
        Step::Open => Stage::Open,
        Step::Begin => Stage::Begin,
    }
}

/// The path that a token is put for.
fn audience(request: &Message) -> &str {
    property(request, "name").map_or("", path_of_audience)
}

// ---- what waits ------------------------------------------------------------------------------------------------

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

// ---- deliveries ------------------------------------------------------------------------------------------------

impl Peer {
    pub(super) fn fate(&self, id: LinkId, now: Instant) -> Option<Fate> {
        self.befall(id, now, |what| match what {
            What::Outcome(fate) => Some(fate.clone()),
            _ => None,
        })
    }

    /// What the peer is told of a delivery, if anything.
    pub(super) fn state(&self, result: Result<(), PeerError>, fate: Option<Fate>) -> Option<DeliveryState> {
        let rejected = |error: &PeerError| {
            self.shared.store().totals.rejected += 1;
            Some(settlements::state(Err(self.error(error))))
        };
        match fate {
            None => Some(settlements::state(result.map_err(|error| self.error(&error)))),
            Some(Fate::Reject(error)) => rejected(&error),
            Some(Fate::ServerBusy) => rejected(&crate::emulator::throttle::busy()),
            Some(Fate::Release) => Some(DeliveryState::Released(Released {})),
            Some(Fate::Modify) => Some(DeliveryState::Modified(Modified {
                delivery_failed: Some(true),
                undeliverable_here: None,
                message_annotations: None,
            })),
            Some(Fate::NeverSettle | Fate::Lose) => None,
        }
    }

    /// Settles a delivery, later if outcomes are delayed.
    pub(super) fn settle(
        &mut self,
        engine: &mut Connection,
        id: LinkId,
        number: u32,
        state: DeliveryState,
        now: Instant,
    ) {
        let delay = self.befall(id, now, |what| match what {
            What::DelayOutcomes(by) => Some(*by),
            _ => None,
        });
        match delay {
            Some(by) => self.defer(now, by, Deferred::Outcome(id, number, state)),
            None => self.settle_now(engine, id, number, state, now),
        }
    }

    fn settle_now(&mut self, engine: &mut Connection, id: LinkId, number: u32, state: DeliveryState, now: Instant) {
        let is_out_of_order = |path| self.is_out_of_order(path, now);
        if self.shared.faults.is_any() && self.links.get(&id).and_then(Link::path).is_some_and(is_out_of_order) {
            self.settlements.hold(id.session, number, state);
        } else {
            self.settlements.settle(engine, id.session, number, state);
        }
    }

    pub(super) fn is_out_of_order(&self, path: &str, now: Instant) -> bool {
        // `$cbs` and `$management` are not spared: what they answer is what this is about.
        self.shared.faults.holds(now, &What::OutOfOrder, |aim| aim.is_connection(self.number, [path]))
    }

    /// Deals the blows that a delivery on this link sets off.
    pub(super) fn after_delivery(&mut self, engine: &mut Connection, id: LinkId, now: Instant) {
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

    fn befall<T>(&self, id: LinkId, now: Instant, pick: impl Fn(&What) -> Option<T>) -> Option<T> {
        if !self.shared.faults.is_any() {
            return None;
        }
        let path = self.links.get(&id).and_then(Link::path)?;
        self.shared.faults.befall(now, |aim| aim.is_link(self.number, path), pick)
    }
}

// ---- blows -----------------------------------------------------------------------------------------------------

impl Peer {
    /// Deals a blow to whatever it is aimed at on this connection.
    pub(super) fn strike(&mut self, engine: &mut Connection, now: Instant, blow: &Blow, aim: &Aim) {
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

    fn is_at(&self, aim: &Aim) -> bool {
        aim.is_connection(self.number, self.links.values().filter_map(Link::path))
    }

    fn end_session(&mut self, engine: &mut Connection, now: Instant, session: SessionId, error: &PeerError) {
        engine.end(session, self.error(error));
        self.forget(now, |id| id.session == session);
    }
}

// ---- states ----------------------------------------------------------------------------------------------------

impl Peer {
    /// Whether there is something that [`look_at_faults`](Self::look_at_faults) has not seen.
    pub(super) fn has_new_faults(&self) -> bool {
        self.seen_faults != Some(self.shared.faults.edition())
    }

    /// Behaves from now on as the faults say.
    pub(super) fn look_at_faults<S>(&mut self, pump: &mut Pump<Faulty<S>>, now: Instant)
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
            is_silent: faults.holds(now, &What::Silence, is_at),
            is_byte_by_byte: faults.holds(now, &What::ByteByByte, is_at),
            cuts: faults.cuts(now, is_at),
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
    pub(super) fn grant(&mut self, engine: &mut Connection, id: LinkId, now: Instant) {
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
