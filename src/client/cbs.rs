//! Claims-based security: authorize an audience over the `$cbs` links, and again in time.
//! Source: event-hubs-wire 5.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::error::{Error, Scope};
use super::requests::{CBS, Requests};
use crate::engine::{Connection, Delivery, DeliveryKey, LinkId, Outcome, SessionId};
use crate::wire::answer::Answer;
use crate::wire::connection_string::Credential;
use crate::wire::frame::PeerError;
use crate::wire::put_token;
use crate::wire::sas::{self, SasToken};

/// After a renewal that failed, or a request that was not answered: not again before this.
const RENEWAL_FLOOR: Duration = Duration::from_secs(30);

/// The `$cbs` links of one connection, and what is authorized on it.
pub(super) struct Cbs {
    credential: Credential,
    ttl: Duration,
    wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    links: Requests,
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
        Self { credential, ttl, wall_clock, links: Requests::new(&CBS), audiences: HashMap::new() }
    }

    /// Asks for both links in a session of their own. Needs no open connection: it leaves with the open.
    pub(super) fn attach(&mut self, engine: &mut Connection) {
        self.links.attach(engine);
    }

    pub(super) fn owns_link(&self, link: LinkId) -> bool {
        self.links.owns_link(link)
    }

    pub(super) fn owns_session(&self, session: SessionId) -> bool {
        self.links.owns_session(session)
    }

    /// The hub attached one of the links. Once both are there, what waited is asked for.
    pub(super) fn on_attached(&mut self, engine: &mut Connection, link: LinkId, now: Instant) -> Vec<Verdict> {
        self.links.on_attached(engine, link);
        if !self.links.are_attached() {
            return Vec::new();
        }
        let waiting: Vec<String> = self.audiences.keys().cloned().collect();
        waiting.into_iter().filter_map(|audience| self.ask(engine, audience, now)).collect()
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
        if !self.links.has_links(engine) {
            return Some(Err(lost_node(None)));
        }
        if self.audiences.contains_key(audience) {
            return None;
        }
        self.audiences.insert(audience.to_owned(), State { asked: None, granted: false, renew_at: None });
        if !self.links.are_attached() {
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
        let message_id = self.links.next_message_id();
        let payload = put_token::request(message_id, CBS.reply_to, &audience, &token);
        if !self.links.send(engine, message_id, payload) {
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
        if let Some(asked) = asked {
            self.links.cancel(engine, asked.message_id);
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

    /// A token for `audience`, signed now unless one was given.
    pub(super) fn token(&self, audience: &str) -> SasToken {
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
        let can_ask = !due.is_empty() && self.links.has_links(engine) && self.links.are_attached();
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
        delivery: Delivery,
        now: Instant,
    ) -> Option<Verdict> {
        let answer = self.links.on_delivery(engine, link, delivery)?;
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
        let audience = self.asked_by(key & !CBS.key_bit)?;
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
        self.links.lose_session();
        self.on_lost(engine, cause)
    }

    /// A link is gone: everything that waits fails for `cause`. Granted tokens hold until they expire.
    pub(super) fn on_lost(&mut self, engine: &mut Connection, cause: &Error) -> Vec<Verdict> {
        self.links.lose_links(engine);
        let waiting = self.audiences.iter().filter(|(_, state)| !state.granted);
        let waiting: Vec<String> = waiting.map(|(audience, _)| audience.clone()).collect();
        self.audiences.retain(|_, state| {
            state.asked = None;
            state.granted
        });
        waiting.into_iter().map(|audience| Verdict { audience, result: Err(cause.clone()) }).collect()
    }
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
        assert!(!cbs.links.are_asked_for(), "nothing is due yet");
        cbs.renew(&mut engine, now + Duration::from_secs(300));
        assert!(cbs.links.are_asked_for(), "a renewal needs them");
        assert_eq!(cbs.next_renewal(), Some(now + Duration::from_secs(330)), "and is tried again until answered");
    }
}
