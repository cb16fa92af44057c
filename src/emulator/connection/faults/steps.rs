//! SASL, open, begin, attach and put-token: refused, or later.

use std::time::{Duration, Instant};

use fe2o3_amqp_types::sasl::SaslCode;

use crate::emulator::address::path_of_audience;
use crate::emulator::answer::property;
use crate::emulator::cbs;
use crate::emulator::connection::Peer;
use crate::emulator::connection::later::Deferred;
use crate::emulator::connection::requests::Node;
use crate::emulator::faults::{Aim, Stage};
use crate::engine::{Connection, Step};
use crate::wire::event::Event as Message;
use crate::wire::frame::PeerError;

impl Peer {
    /// The engine asks before it answers SASL, open or begin.
    pub(in super::super) fn on_asked(&mut self, engine: &mut Connection, step: Step, now: Instant) {
        match self.delay(now, stage(step), |aim| aim.is_connection(self.number, [])) {
            Some(by) => {
                // Whoever makes the peer wait must not blame it.
                self.deadline = self.deadline.and_then(|deadline| deadline.checked_add(by));
                self.defer(now, by, Deferred::Step(step));
            }
            None => self.answer_step(engine, step, now),
        }
    }

    pub(in super::super) fn answer_step(&mut self, engine: &mut Connection, step: Step, now: Instant) {
        let refusal = self.refusal(now, stage(step), |aim| aim.is_connection(self.number, []));
        match step {
            Step::Sasl => match self.sasl_refusal(now) {
                Some(code) => engine.refuse_sasl(code),
                None => self.log_in(engine, now),
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

    /// Who shows a key of a rule need not put a token: the connection is good for what the rule is, as long as it lasts.
    /// Source: event-hubs-wire 4.1.
    fn log_in(&mut self, engine: &mut Connection, now: Instant) {
        let Some(login) = engine.login() else {
            engine.allow(now);
            return;
        };
        let grant = cbs::log_in(&self.shared.namespace, login, self.now());
        self.report_login(login, grant.is_some());
        match grant {
            Some(grant) => {
                self.add_grant(grant);
                engine.allow(now);
            }
            None => engine.refuse_sasl(SaslCode::Auth),
        }
    }

    fn sasl_refusal(&self, now: Instant) -> Option<SaslCode> {
        let code = self.shared.faults.sasl_refusal(now, |aim| aim.is_connection(self.number, []))?;
        Some(match code {
            2 => SaslCode::Sys,
            3 => SaslCode::SysPerm,
            4 => SaslCode::SysTemp,
            _ => SaslCode::Auth,
        })
    }

    pub(in super::super) fn attach_delay(&self, path: &str, now: Instant) -> Option<Duration> {
        self.delay(now, Stage::Attach, |aim| aim.is_link(self.number, path))
    }

    pub(in super::super) fn attach_refusal(&self, path: &str, now: Instant) -> Option<PeerError> {
        self.refusal(now, Stage::Attach, |aim| aim.is_link(self.number, path))
    }

    pub(in super::super) fn request_delay(&self, node: Node, request: &Message, now: Instant) -> Option<Duration> {
        if node != Node::Cbs {
            return None;
        }
        self.delay(now, Stage::PutToken, |aim| aim.is_token(self.number, audience(request)))
    }

    /// Status and words.
    pub(in super::super) fn request_refusal(
        &self,
        node: Node,
        request: &Message,
        now: Instant,
    ) -> Option<(i32, String)> {
        if node != Node::Cbs {
            return None;
        }
        self.shared.faults.token_refusal(now, |aim| aim.is_token(self.number, audience(request)))
    }

    fn delay(&self, now: Instant, stage: Stage, is_meant: impl Fn(&Aim) -> bool) -> Option<Duration> {
        self.shared.faults.delay(now, stage, is_meant)
    }

    fn refusal(&self, now: Instant, stage: Stage, is_meant: impl Fn(&Aim) -> bool) -> Option<PeerError> {
        self.shared.faults.refusal(now, stage, is_meant)
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
