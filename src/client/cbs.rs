//! Claims-based security: authorize an audience over the `$cbs` links, and again in time.
//! Source: event-hubs-wire 5.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use super::credential::{TokenFuture, TokenSource};
use super::error::{Error, Scope, Step};
use super::random::Random;
use super::requests::{CBS, Requests};
use crate::engine::{Connection, Delivery, DeliveryKey, LinkId, Outcome, SessionId};
use crate::wire::answer::Answer;
use crate::wire::frame::PeerError;
use crate::wire::put_token;
use crate::wire::token::Token;

/// A token, or the answer to it, is waited for no longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// After a renewal that failed: not again before this, and twice as long with each failure in a row.
const RENEWAL_FLOOR: Duration = Duration::from_secs(30);
/// Renewals that fail are tried at least so often.
const RENEWAL_CEILING: Duration = Duration::from_secs(300);

/// The `$cbs` links of one connection, and what is authorized on it. One audience at a time is asked for.
pub(super) struct Cbs {
    source: Arc<dyn TokenSource>,
    wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    random: Random,
    links: Requests,
    /// Otherwise the connection is authorized as it is, by SASL.
    is_needed: bool,
    audiences: BTreeMap<String, State>,
    /// Audiences that a token is to be put for.
    queue: VecDeque<String>,
    current: Option<Current>,
}

/// Where the authorization of an audience stands.
#[derive(Debug, Default)]
struct State {
    granted: bool,
    /// The last one that was taken.
    token: Option<Token>,
    renew_at: Option<Instant>,
    failures: u32,
}

/// What is being asked for.
struct Current {
    audience: String,
    until: Instant,
    stage: Stage,
}

enum Stage {
    /// The source has not given a token yet.
    Fetching(TokenFuture),
    /// The hub has not answered yet.
    Asked { message_id: u64, token: Token },
}

/// What an answer, or the loss of one, means for an audience.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) audience: String,
    pub(super) result: Result<(), Error>,
    /// The audience had a token before, and still has: nobody's link depends on this one yet.
    pub(super) is_renewal: bool,
}

impl Cbs {
    pub(super) fn new(
        source: Arc<dyn TokenSource>,
        wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
        random: Random,
        is_needed: bool,
    ) -> Self {
        Self {
            source,
            wall_clock,
            random,
            links: Requests::new(&CBS),
            is_needed,
            audiences: BTreeMap::new(),
            queue: VecDeque::new(),
            current: None,
        }
    }

    /// Starts anew on another connection: nothing is authorized there.
    pub(super) fn restart(&mut self, engine: &mut Connection) {
        self.links = Requests::new(&CBS);
        self.audiences.clear();
        self.queue.clear();
        self.current = None;
        self.attach(engine);
    }

    /// The connection is gone: nothing is asked for until [`restart`](Self::restart).
    pub(super) fn halt(&mut self) {
        self.queue.clear();
        self.current = None;
    }

    /// Asks for both links in a session of their own. Needs no open connection: it leaves with the open.
    pub(super) fn attach(&mut self, engine: &mut Connection) {
        if self.is_needed {
            self.links.attach(engine);
        }
    }

    pub(super) fn owns_link(&self, link: LinkId) -> bool {
        self.links.owns_link(link)
    }

    pub(super) fn owns_session(&self, session: SessionId) -> bool {
        self.links.owns_session(session)
    }

    /// The last token that the hub took for `audience`.
    pub(super) fn token(&self, audience: &str) -> Option<&Token> {
        self.audiences.get(audience)?.token.as_ref()
    }

    /// When the token for `audience` will be replaced, and when it ends.
    pub(super) fn terms(&self, audience: &str, now: Instant) -> (Option<Duration>, Option<SystemTime>) {
        let state = self.audiences.get(audience);
        let renew_in = state.and_then(|state| state.renew_at).map(|at| at.saturating_duration_since(now));
        (renew_in, self.token(audience).and_then(|token| token.expires_at))
    }

    /// The hub attached one of the links. Once both are there, what waits is asked for.
    pub(super) fn on_attached(&mut self, engine: &mut Connection, link: LinkId, now: Instant) {
        self.links.on_attached(engine, link);
        self.advance(engine, now);
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
        if !self.is_needed {
            return Some(self.sign(audience));
        }
        if !self.links.has_links(engine) {
            return Some(Err(lost_node(None)));
        }
        if !self.audiences.contains_key(audience) {
            self.audiences.insert(audience.to_owned(), State::default());
            self.queue.push_back(audience.to_owned());
            self.advance(engine, now);
        }
        None
    }

    /// A token that nobody asks for, but with what goes to `$management`. One that a key signs is there at once.
    fn sign(&mut self, audience: &str) -> Result<(), Error> {
        let mut signing = self.source.token(audience);
        match signing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(token)) => {
                let state = State { token: Some(token), ..State::default() };
                self.audiences.insert(audience.to_owned(), state);
                Ok(())
            }
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Pending => Err(Error::timed_out(Step::Token, Duration::ZERO)),
        }
    }

    /// The hub refused a link on what it had granted.
    pub(super) fn revoke(&mut self, engine: &mut Connection, audience: &str) {
        if self.audiences.get(audience).is_some_and(|state| state.granted) {
            self.drop_audience(engine, audience);
        }
    }

    /// Nobody waits for `audience` any more.
    pub(super) fn unwant(&mut self, engine: &mut Connection, audience: &str) {
        if self.audiences.get(audience).is_some_and(|state| !state.granted) {
            self.drop_audience(engine, audience);
        }
    }

    fn drop_audience(&mut self, engine: &mut Connection, audience: &str) {
        self.audiences.remove(audience);
        self.queue.retain(|waiting| waiting != audience);
        if self.current.as_ref().is_some_and(|current| current.audience == audience) {
            self.take_back(engine);
        }
    }

    /// Forgets the request that is under way, and an answer to it.
    fn take_back(&mut self, engine: &mut Connection) -> Option<String> {
        let current = self.current.take()?;
        if let Stage::Asked { message_id, .. } = current.stage {
            self.links.cancel(engine, message_id);
        }
        Some(current.audience)
    }

    /// Turns to the next audience, if none is being asked for and the links are there.
    fn advance(&mut self, engine: &mut Connection, now: Instant) {
        // The links are asked for when they are needed: a hub that takes them away is not begged at once.
        if self.current.is_some()
            || self.queue.is_empty()
            || !self.links.has_links(engine)
            || !self.links.are_attached()
        {
            return;
        }
        if let Some(audience) = self.queue.pop_front() {
            let stage = Stage::Fetching(self.source.token(&audience));
            self.current = Some(Current { audience, until: now + ANSWER_WITHIN, stage });
        }
    }

    /// Ready when a token could not be had: see the verdict. To be polled whenever something has happened.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, engine: &mut Connection, now: Instant) -> Poll<Verdict> {
        loop {
            let Some(Current { stage: Stage::Fetching(fetching), .. }) = &mut self.current else {
                return Poll::Pending;
            };
            let Poll::Ready(fetched) = fetching.as_mut().poll(cx) else { return Poll::Pending };
            let error = match fetched {
                Ok(token) => match self.put(engine, token) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error.into(),
            };
            if let Some(verdict) = self.refused(engine, error, now) {
                return Poll::Ready(verdict);
            }
        }
    }

    /// Sends the token that has been fetched.
    fn put(&mut self, engine: &mut Connection, token: Token) -> Result<(), Error> {
        let message_id = self.links.next_message_id();
        let Some(current) = &mut self.current else { return Ok(()) };
        let payload = put_token::request(message_id, CBS.reply_to, &current.audience, &token);
        current.stage = Stage::Asked { message_id, token };
        if self.links.send(engine, message_id, payload) { Ok(()) } else { Err(lost_node(None)) }
    }

    /// When the token should be replaced, up to a twentieth of the time earlier, so that not all do it at once. `None`
    /// for one that ends when it pleases.
    fn renewal(&mut self, token: &Token, now: Instant) -> Option<Instant> {
        let issued = (self.wall_clock)();
        let due = token.renew_at(issued)?;
        let span = due.duration_since(issued).unwrap_or(Duration::ZERO);
        now.checked_add(span.mul_f64(1.0 - self.random.next() / 20.0).max(RENEWAL_FLOOR))
    }

    /// So much time went by that `now` does not know of.
    pub(super) fn catch_up(&mut self, unseen: Duration) {
        for state in self.audiences.values_mut() {
            state.renew_at = state.renew_at.map(|at| at.checked_sub(unseen).unwrap_or(at));
        }
    }

    /// Whether a token that the hub took has ended.
    pub(super) fn has_expired(&self, wall_now: SystemTime) -> bool {
        let has_expired = |token: &Token| token.expires_at.is_some_and(|at| at <= wall_now);
        self.audiences.values().filter(|state| state.granted).filter_map(|state| state.token.as_ref()).any(has_expired)
    }

    /// When [`take_time`](Self::take_time) has something to do.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let renewal = self.audiences.values().filter(|state| state.granted).filter_map(|state| state.renew_at).min();
        let answer = self.current.as_ref().map(|current| current.until);
        [renewal, answer].into_iter().flatten().min()
    }

    /// Queues fresh tokens where the old ones near their end, and gives up waiting for an answer.
    pub(super) fn take_time(&mut self, engine: &mut Connection, now: Instant) -> Option<Verdict> {
        for (audience, state) in &mut self.audiences {
            if state.granted && state.renew_at.is_some_and(|at| at <= now) {
                // Unless an answer says better.
                state.renew_at = now.checked_add(RENEWAL_FLOOR);
                if !self.queue.contains(audience)
                    && self.current.as_ref().is_none_or(|current| current.audience != *audience)
                {
                    self.queue.push_back(audience.clone());
                }
            }
        }
        let verdict = if self.current.as_ref().is_some_and(|current| current.until <= now) {
            self.on_overdue(engine, now)
        } else {
            None
        };
        self.advance(engine, now);
        verdict
    }

    /// No answer came. One that is needed is asked for anew: it may have been lost.
    fn on_overdue(&mut self, engine: &mut Connection, now: Instant) -> Option<Verdict> {
        let is_asked = self.current.as_ref().is_some_and(|current| matches!(current.stage, Stage::Asked { .. }));
        if !is_asked {
            let error = Error::timed_out(Step::Token, ANSWER_WITHIN);
            return self.refused(engine, error, now);
        }
        let audience = self.take_back(engine)?;
        let state = self.audiences.get_mut(&audience)?;
        if state.granted {
            let cause = Error::timed_out(Step::Authorize, ANSWER_WITHIN);
            state.fail_renewal(now);
            return Some(Verdict { audience, result: Err(cause), is_renewal: true });
        }
        self.queue.push_back(audience);
        None
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
        self.is_current(answer.correlation_id?).then(|| self.on_answer(engine, &answer, now))?
    }

    fn is_current(&self, id: u64) -> bool {
        let stage = self.current.as_ref().map(|current| &current.stage);
        matches!(stage, Some(Stage::Asked { message_id, .. }) if *message_id == id)
    }

    fn on_answer(&mut self, engine: &mut Connection, answer: &Answer, now: Instant) -> Option<Verdict> {
        if !answer.is_success() {
            let audience = self.current.as_ref()?.audience.clone();
            let (status, description) = (answer.status, answer.description.clone());
            return self.refused(engine, Error::TokenRefused { audience, status, description }, now);
        }
        let Current { audience, stage, .. } = self.current.take()?;
        let Stage::Asked { token, .. } = stage else { return None };
        let renew_at = self.renewal(&token, now);
        let state = self.audiences.entry(audience.clone()).or_default();
        let is_renewal = state.granted;
        *state = State { granted: true, token: Some(token), renew_at, failures: 0 };
        self.advance(engine, now);
        Some(Verdict { audience, result: Ok(()), is_renewal })
    }

    /// What is being asked for is not to be had. A first request is forgotten, so that the next caller asks anew; a
    /// renewal is tried again.
    fn refused(&mut self, engine: &mut Connection, error: Error, now: Instant) -> Option<Verdict> {
        let audience = self.take_back(engine)?;
        let is_renewal = self.audiences.get(&audience).is_some_and(|state| state.granted);
        match self.audiences.get_mut(&audience).filter(|_| is_renewal) {
            Some(state) => state.fail_renewal(now),
            None => drop(self.audiences.remove(&audience)),
        }
        self.advance(engine, now);
        Some(Verdict { audience, result: Err(error), is_renewal })
    }

    /// The request message itself was settled: only a refusal says anything.
    pub(super) fn on_outcome(
        &mut self,
        engine: &mut Connection,
        key: DeliveryKey,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Verdict> {
        let error = match outcome {
            Outcome::Accepted => return None,
            Outcome::Rejected(error) => lost_node(error),
            Outcome::Released | Outcome::Modified => Error::Released,
            Outcome::NotSent | Outcome::Unknown => lost_node(None),
        };
        self.is_current(key & !CBS.key_bit).then(|| self.refused(engine, error, now))?
    }

    /// The session is gone, and the links with it.
    pub(super) fn on_session_lost(&mut self, engine: &mut Connection, cause: &Error) -> Vec<Verdict> {
        self.links.lose_session();
        self.on_lost(engine, cause)
    }

    /// A link is gone: everything that waits fails for `cause`. Granted tokens hold until they expire.
    pub(super) fn on_lost(&mut self, engine: &mut Connection, cause: &Error) -> Vec<Verdict> {
        self.links.lose_links(engine);
        self.current = None;
        self.queue.clear();
        let waiting = self.audiences.iter().filter(|(_, state)| !state.granted);
        let waiting: Vec<String> = waiting.map(|(audience, _)| audience.clone()).collect();
        self.audiences.retain(|_, state| state.granted);
        let failed = |audience| Verdict { audience, result: Err(cause.clone()), is_renewal: false };
        waiting.into_iter().map(failed).collect()
    }
}

impl State {
    fn fail_renewal(&mut self, now: Instant) {
        let floor = RENEWAL_FLOOR.saturating_mul(2_u32.saturating_pow(self.failures)).min(RENEWAL_CEILING);
        self.failures = self.failures.saturating_add(1);
        self.renew_at = now.checked_add(floor);
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
    use crate::client::credential::OfConnectionString;
    use crate::clock;
    use crate::engine::{Config, Role, Sasl};
    use crate::wire::connection_string::Credential;

    fn engine(now: Instant) -> Connection {
        let config = Config {
            role: Role::Client,
            container_id: "test".to_owned(),
            hostname: None,
            max_frame_size: 65_536,
            idle_timeout: None,
            properties: Vec::new(),
            sasl: Sasl::Anonymous,
            is_optimistic: false,
            first_number: 0,
        };
        Connection::new(config, now)
    }

    #[test]
    fn links_that_the_hub_took_away_are_asked_for_only_when_needed() {
        let now = clock::now();
        let mut engine = engine(now);
        let credential = Credential::SharedAccessKey { name: "n".to_owned(), key: "k".into() };
        let wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync> = Arc::new(clock::wall);
        let source = OfConnectionString { credential, ttl: Duration::from_secs(600), wall_clock: wall_clock.clone() };
        let mut cbs = Cbs::new(Arc::new(source), wall_clock, Random::fixed(0.0), true);
        cbs.attach(&mut engine);
        let renew_at = Some(now + Duration::from_secs(300));
        cbs.audiences.insert("hub".to_owned(), State { granted: true, renew_at, ..State::default() });
        assert!(cbs.on_lost(&mut engine, &Error::Released).is_empty(), "what is granted stays so");

        assert!(cbs.take_time(&mut engine, now + Duration::from_secs(299)).is_none());
        assert!(!cbs.links.are_asked_for(), "nothing is due yet");
        assert!(cbs.take_time(&mut engine, now + Duration::from_secs(300)).is_none());
        assert!(cbs.links.are_asked_for(), "a renewal needs them");
        assert_eq!(cbs.next_wake(), Some(now + Duration::from_secs(330)), "and is tried again until answered");
    }

    #[test]
    fn renewals_that_fail_come_at_growing_distances() {
        let now = clock::now();
        let mut state = State::default();
        let waits: Vec<u64> = (0..6)
            .map(|_| {
                state.fail_renewal(now);
                state.renew_at.expect("set").duration_since(now).as_secs()
            })
            .collect();
        assert_eq!(waits, [30, 60, 120, 240, 300, 300]);
    }
}
