//! Claims-based security: authorize an audience over the `$cbs` links, and again in time.
//! Source: event-hubs-wire 5.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::error::{Error, Scope};
use crate::engine::{
    Attach, Connection, Delivery, DeliveryKey, LinkId, LinkRole, Outcome, Outgoing, SessionId, SettleMode,
};
use crate::wire::connection_string::Credential;
use crate::wire::frame::PeerError;
use crate::wire::put_token::{self, Answer};
use crate::wire::sas::{self, SasToken};

const NODE: &str = "$cbs";
/// Our end of the answers' link; requests name it as reply-to.
const REPLY_TO: &str = "hubwire-cbs";
/// Answers that may be under way. One request at a time is the rule; the rest is slack for late answers.
const ANSWER_CREDIT: u32 = 100;
/// Bytes of an answer; more is not kept. It is a status and a sentence.
const MAX_ANSWER_LEN: u64 = 64 * 1024;
/// After a renewal that failed, or a request that was not answered: not again before this.
const RENEWAL_FLOOR: Duration = Duration::from_secs(30);
/// Keys of our own messages, told from batches by their highest bit.
const KEY_BIT: DeliveryKey = 1 << 63;

/// The `$cbs` links of one connection, and what is authorized on it.
pub(super) struct Cbs {
    credential: Credential,
    ttl: Duration,
    wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// The links' own; it stays when they go.
    session: Option<SessionId>,
    requests: Option<LinkId>,
    answers: Option<LinkId>,
    attached: usize,
    next_pair: u64,
    next_message_id: u64,
    audiences: HashMap<String, State>,
}

/// Where the authorization of an audience stands.
#[derive(Debug)]
struct State {
    asked: Option<Asked>,
    granted: bool,
    renew_at: Option<Instant>,
}

/// A request without an answer yet.
#[derive(Debug)]
struct Asked {
    message_id: u64,
    at: Instant,
    /// When its token should be replaced, if it is taken.
    renew_at: Option<Instant>,
}

/// What an answer, or the loss of one, means for an audience.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) audience: String,
    pub(super) result: Result<(), Error>,
}

impl Cbs {
    pub(super) fn new(
        credential: Credential,
        ttl: Duration,
        wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    ) -> Self {
        Self {
            credential,
            ttl,
            wall_clock,
            session: None,
            requests: None,
            answers: None,
            attached: 0,
            next_pair: 0,
            next_message_id: 0,
            audiences: HashMap::new(),
        }
    }

    /// Asks for both links in a session of their own. Needs no open connection: it leaves with the open.
    pub(super) fn attach(&mut self, engine: &mut Connection) {
        self.session = self.session.or_else(|| engine.begin());
        let Some(session) = self.session else { return };
        self.next_pair += 1;
        self.answers = attach(engine, session, LinkRole::Receiver, self.next_pair);
        self.requests = attach(engine, session, LinkRole::Sender, self.next_pair);
    }

    pub(super) fn owns_link(&self, link: LinkId) -> bool {
        self.requests == Some(link) || self.answers == Some(link)
    }

    pub(super) fn owns_session(&self, session: SessionId) -> bool {
        self.session == Some(session)
    }

    pub(super) fn owns_key(key: DeliveryKey) -> bool {
        key & KEY_BIT != 0
    }

    /// The hub attached one of the links. Once both are there, what waited is asked for.
    pub(super) fn on_attached(&mut self, engine: &mut Connection, link: LinkId, now: Instant) -> Vec<Verdict> {
        if self.answers == Some(link) {
            engine.set_credit(link, ANSWER_CREDIT);
        }
        self.attached += 1;
        if !self.is_attached() {
            return Vec::new();
        }
        let waiting: Vec<String> = self.audiences.keys().cloned().collect();
        waiting.into_iter().filter_map(|audience| self.ask(engine, audience, now)).collect()
    }

    fn is_attached(&self) -> bool {
        self.attached == 2
    }

    /// Whether the links are there or on their way; asks for them anew when the hub took them away.
    fn has_links(&mut self, engine: &mut Connection) -> bool {
        if self.requests.is_none() || self.answers.is_none() {
            self.attach(engine);
        }
        self.requests.is_some() && self.answers.is_some()
    }

    /// Whether `audience` is authorized; if not, it is asked for, and a [`Verdict`] will come.
    pub(super) fn authorize(
        &mut self,
        engine: &mut Connection,
        audience: &str,
        now: Instant,
    ) -> Option<Result<(), Error>> {
        if self.audiences.get(audience).is_some_and(|state| state.granted) {
            return Some(Ok(()));
        }
        if !self.has_links(engine) {
            return Some(Err(lost_node(None)));
        }
        if self.audiences.contains_key(audience) {
            return None;
        }
        self.audiences.insert(audience.to_owned(), State { asked: None, granted: false, renew_at: None });
        if !self.is_attached() {
            return None;
        }
        self.ask(engine, audience.to_owned(), now).map(|verdict| verdict.result)
    }

    /// The hub refused a link on what it had granted.
    pub(super) fn revoke(&mut self, audience: &str) {
        if self.audiences.get(audience).is_some_and(|state| state.granted) {
            self.audiences.remove(audience);
        }
    }

    /// Sends a request; a verdict only when it cannot even be sent.
    fn ask(&mut self, engine: &mut Connection, audience: String, now: Instant) -> Option<Verdict> {
        self.take_back(engine, &audience);
        let token = self.token(&audience);
        self.next_message_id += 1;
        let message_id = self.next_message_id;
        let payload = put_token::request(message_id, REPLY_TO, &audience, &token);
        let outgoing =
            Outgoing { key: message_id | KEY_BIT, message_format: 0, payload, settle_mode: SettleMode::Unsettled };
        if self.requests.is_none_or(|link| engine.send(link, outgoing).is_err()) {
            return Some(self.refused(audience, lost_node(None), now));
        }
        let renew_at = self.renewal(&token, now);
        if let Some(state) = self.audiences.get_mut(&audience) {
            state.asked = Some(Asked { message_id, at: now, renew_at });
        }
        None
    }

    /// Forgets the request for `audience`, and an answer to it.
    fn take_back(&mut self, engine: &mut Connection, audience: &str) {
        let asked = self.audiences.get_mut(audience).and_then(|state| state.asked.take());
        if let (Some(asked), Some(link)) = (asked, self.requests) {
            engine.cancel(link, asked.message_id | KEY_BIT);
        }
    }

    /// Somebody's time for the answer is up. Others may still want it, and it may be lost: then it is asked for anew.
    pub(super) fn on_overdue(
        &mut self,
        engine: &mut Connection,
        audience: &str,
        is_wanted: bool,
        now: Instant,
    ) -> Option<Verdict> {
        let state = self.audiences.get(audience).filter(|state| !state.granted)?;
        if !is_wanted {
            self.take_back(engine, audience);
            self.audiences.remove(audience);
            return None;
        }
        let is_lost = state.asked.as_ref().is_some_and(|asked| now.duration_since(asked.at) >= RENEWAL_FLOOR);
        if is_lost { self.ask(engine, audience.to_owned(), now) } else { None }
    }

    fn token(&self, audience: &str) -> SasToken {
        match &self.credential {
            Credential::SharedAccessKey { name, key } => {
                sas::sign(audience, name, key.expose(), (self.wall_clock)(), self.ttl)
            }
            Credential::SharedAccessSignature(token) => token.clone(),
        }
    }

    /// When the token should be replaced. A token that was given cannot be.
    fn renewal(&self, token: &SasToken, now: Instant) -> Option<Instant> {
        if matches!(self.credential, Credential::SharedAccessSignature(_)) {
            return None;
        }
        let issued = (self.wall_clock)();
        let due = token.renew_at(issued)?;
        now.checked_add(due.duration_since(issued).unwrap_or(Duration::ZERO).max(RENEWAL_FLOOR))
    }

    /// When [`renew`](Self::renew) is due.
    pub(super) fn next_renewal(&self) -> Option<Instant> {
        self.audiences.values().filter(|state| state.granted).filter_map(|state| state.renew_at).min()
    }

    /// Puts fresh tokens where the old ones near their end. The links go on meanwhile.
    pub(super) fn renew(&mut self, engine: &mut Connection, now: Instant) {
        let is_due = |state: &State| state.granted && state.renew_at.is_some_and(|at| at <= now);
        let due = self.audiences.iter().filter(|(_, state)| is_due(state));
        let due: Vec<String> = due.map(|(audience, _)| audience.clone()).collect();
        // The links are asked for when they are needed: a hub that takes them away is not begged at once.
        let can_ask = !due.is_empty() && self.has_links(engine) && self.is_attached();
        for audience in due {
            if let Some(state) = self.audiences.get_mut(&audience) {
                // Unless the answer says better.
                state.renew_at = now.checked_add(RENEWAL_FLOOR);
            }
            if can_ask {
                // No verdict matters here: the hub says so by closing the links when the old token has expired.
                let _ = self.ask(engine, audience, now);
            }
        }
    }

    /// An answer has come.
    pub(super) fn on_delivery(
        &mut self,
        engine: &mut Connection,
        link: LinkId,
        delivery: &Delivery,
        now: Instant,
    ) -> Option<Verdict> {
        if !delivery.settled {
            let accepted = fe2o3_amqp_types::messaging::Accepted {}.into();
            engine.settle(link.session, delivery.delivery_id, delivery.delivery_id, accepted);
        }
        engine.set_credit(link, ANSWER_CREDIT);
        let answer = Answer::decode(&delivery.payload.clone()?.into_bytes()).ok()?;
        let audience = self.asked_by(answer.correlation_id?)?;
        Some(self.on_answer(audience, &answer, now))
    }

    /// The audience that the request `message_id` is for.
    fn asked_by(&self, message_id: u64) -> Option<String> {
        let asked = |state: &State| state.asked.as_ref().is_some_and(|asked| asked.message_id == message_id);
        self.audiences.iter().find(|(_, state)| asked(state)).map(|(audience, _)| audience.clone())
    }

    fn on_answer(&mut self, audience: String, answer: &Answer, now: Instant) -> Verdict {
        if answer.is_success() {
            if let Some(state) = self.audiences.get_mut(&audience) {
                state.renew_at = state.asked.take().and_then(|asked| asked.renew_at);
                state.granted = true;
            }
            return Verdict { audience, result: Ok(()) };
        }
        let error = Error::TokenRefused {
            audience: audience.clone(),
            status: answer.status,
            description: answer.description.clone(),
        };
        self.refused(audience, error, now)
    }

    /// A first request that fails is forgotten, so that the next caller asks anew; a renewal is tried again.
    fn refused(&mut self, audience: String, error: Error, now: Instant) -> Verdict {
        match self.audiences.get_mut(&audience) {
            Some(state) if state.granted => {
                (state.asked, state.renew_at) = (None, now.checked_add(RENEWAL_FLOOR));
            }
            _ => {
                self.audiences.remove(&audience);
            }
        }
        Verdict { audience, result: Err(error) }
    }

    /// The request message itself was settled: only a refusal says anything.
    pub(super) fn on_outcome(&mut self, key: DeliveryKey, outcome: Outcome, now: Instant) -> Option<Verdict> {
        let audience = self.asked_by(key & !KEY_BIT)?;
        let error = match outcome {
            Outcome::Accepted => return None,
            Outcome::Rejected(error) => lost_node(error),
            Outcome::Released | Outcome::Modified => Error::Released,
            Outcome::NotSent | Outcome::Unknown => lost_node(None),
        };
        Some(self.refused(audience, error, now))
    }

    /// The session is gone, and the links with it.
    pub(super) fn on_session_lost(&mut self, engine: &mut Connection, cause: &Error) -> Vec<Verdict> {
        self.session = None;
        self.on_lost(engine, cause)
    }

    /// A link is gone: everything that waits fails for `cause`. Granted tokens hold until they expire.
    ///
    /// The other link is given up as well: the service takes one pair at a time. Source: event-hubs-wire 5.1.
    pub(super) fn on_lost(&mut self, engine: &mut Connection, cause: &Error) -> Vec<Verdict> {
        for link in [self.requests.take(), self.answers.take()].into_iter().flatten() {
            engine.detach(link, None);
        }
        self.attached = 0;
        let waiting = self.audiences.iter().filter(|(_, state)| !state.granted);
        let waiting: Vec<String> = waiting.map(|(audience, _)| audience.clone()).collect();
        self.audiences.retain(|_, state| {
            state.asked = None;
            state.granted
        });
        waiting.into_iter().map(|audience| Verdict { audience, result: Err(cause.clone()) }).collect()
    }
}

fn attach(engine: &mut Connection, session: SessionId, role: LinkRole, pair: u64) -> Option<LinkId> {
    let (direction, source, target, max_message_size) = match role {
        LinkRole::Sender => ("requests", REPLY_TO, NODE, 0),
        LinkRole::Receiver => ("answers", NODE, REPLY_TO, MAX_ANSWER_LEN),
    };
    let attach = Attach {
        name: format!("{REPLY_TO}-{direction}-{pair}"),
        role,
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        max_message_size,
        properties: None,
        selector: None,
        desired_capabilities: Vec::new(),
    };
    engine.attach(session, &attach).ok().flatten()
}

/// What callers are told when `$cbs` went away under their request.
fn lost_node(error: Option<PeerError>) -> Error {
    let error = error.unwrap_or_else(|| PeerError::new("", "the $cbs links are gone"));
    Error::closed(Scope::Link, Some(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::engine::{Config, Role};

    fn engine(now: Instant) -> Connection {
        let config = Config {
            role: Role::Client,
            container_id: "test".to_owned(),
            hostname: None,
            max_frame_size: 65_536,
            idle_timeout: None,
            properties: Vec::new(),
            first_number: 0,
        };
        Connection::new(config, now)
    }

    #[test]
    fn links_that_the_hub_took_away_are_asked_for_only_when_needed() {
        let now = clock::now();
        let mut engine = engine(now);
        let credential = Credential::SharedAccessKey { name: "n".to_owned(), key: "k".into() };
        let mut cbs = Cbs::new(credential, Duration::from_secs(600), Arc::new(clock::wall));
        cbs.attach(&mut engine);
        let state = State { asked: None, granted: true, renew_at: Some(now + Duration::from_secs(300)) };
        cbs.audiences.insert("hub".to_owned(), state);
        assert!(cbs.on_lost(&mut engine, &Error::Released).is_empty(), "what is granted stays so");

        cbs.renew(&mut engine, now + Duration::from_secs(299));
        assert!(cbs.requests.is_none(), "nothing is due yet");
        cbs.renew(&mut engine, now + Duration::from_secs(300));
        assert!(cbs.requests.is_some(), "a renewal needs them");
        assert_eq!(cbs.next_renewal(), Some(now + Duration::from_secs(330)), "and is tried again until answered");
    }
}
