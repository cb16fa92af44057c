//! Ask a namespace about its event hubs and their partitions. Source: event-hubs-wire 9.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::oneshot;

use super::cbs::Cbs;
use super::connection::{Connection, check_partition_id};
use super::deadline::Deadline;
use super::driver::Command;
use super::error::{self, Error, Scope, Step};
use super::requests::{MANAGEMENT, Requests};
use crate::engine::{self, Delivery, DeliveryKey, LinkId, Outcome, SessionId};
use crate::wire::answer::Answer;
use crate::wire::connection_string::check_event_hub_name;
use crate::wire::management::{EventHubProperties, PartitionProperties, Query};
use crate::wire::value::Value;

impl Connection {
    /// What the namespace tells of `event_hub`: its partitions, and when it was made.
    ///
    /// Puts a token for the hub, unless one is there, and asks at `$management`, whose links stay for the next question.
    ///
    /// # Errors
    /// [`Error::TokenRefused`], [`Error::RequestRefused`] and [`Error::Closed`] are the namespace's no, which come at
    /// once. [`Error::TimedOut`] after [`Options::open_timeout`](super::Options::open_timeout).
    ///
    /// # Cancel
    /// Nothing is left behind but the token and the links.
    pub async fn event_hub_properties(&self, event_hub: &str) -> Result<EventHubProperties, Error> {
        self.event_hub_properties_by(event_hub, self.open_deadline()).await
    }

    pub(crate) async fn event_hub_properties_by(
        &self,
        event_hub: &str,
        deadline: Deadline,
    ) -> Result<EventHubProperties, Error> {
        let answer = self.ask_management(Query::EventHub { event_hub: event_hub.to_owned() }, deadline).await?;
        EventHubProperties::of_value(&answer).map_err(lacking)
    }

    /// What the hub tells of one of its partitions: how far back it goes, and how far it has come.
    ///
    /// # Errors
    /// As of [`event_hub_properties`](Self::event_hub_properties); a partition that does not exist is
    /// [`Error::RequestRefused`].
    ///
    /// # Cancel
    /// As of [`event_hub_properties`](Self::event_hub_properties).
    pub async fn partition_properties(
        &self,
        event_hub: &str,
        partition_id: &str,
    ) -> Result<PartitionProperties, Error> {
        self.partition_properties_by(event_hub, partition_id, self.open_deadline()).await
    }

    pub(crate) async fn partition_properties_by(
        &self,
        event_hub: &str,
        partition_id: &str,
        deadline: Deadline,
    ) -> Result<PartitionProperties, Error> {
        check_partition_id(partition_id)?;
        let query = Query::Partition { event_hub: event_hub.to_owned(), partition_id: partition_id.to_owned() };
        PartitionProperties::of_value(&self.ask_management(query, deadline).await?).map_err(lacking)
    }

    async fn ask_management(&self, query: Query, deadline: Deadline) -> Result<Value, Error> {
        check_event_hub_name(query.event_hub())?;
        let (reply, answer) = oneshot::channel();
        let audience = self.inner.audience(query.event_hub());
        self.inner.ask(Command::Ask(Box::new(AskRequest { query, audience, deadline, reply })))?;
        answer.await.map_err(|_| self.inner.cause())?
    }
}

fn lacking(name: &'static str) -> Error {
    Error::Violation { what: format!("its answer at $management has no `{name}` of the right type") }
}

pub(super) struct AskRequest {
    pub(super) query: Query,
    pub(super) audience: String,
    pub(super) deadline: Deadline,
    pub(super) reply: oneshot::Sender<Result<Value, Error>>,
}

impl AskRequest {
    pub(super) fn end(self, result: Result<Value, Error>) {
        let _ = self.reply.send(result);
    }
}

/// The `$management` links of one connection, attached when first needed, and what was asked there.
pub(super) struct Management {
    links: Requests,
    /// Authorized, and waiting for the links.
    waiting: Vec<AskRequest>,
    /// By message-id.
    asked: BTreeMap<u64, AskRequest>,
}

impl Default for Management {
    fn default() -> Self {
        Self { links: Requests::new(&MANAGEMENT), waiting: Vec::new(), asked: BTreeMap::new() }
    }
}

impl Management {
    pub(super) fn owns_link(&self, link: LinkId) -> bool {
        self.links.owns_link(link)
    }

    pub(super) fn owns_session(&self, session: SessionId) -> bool {
        self.links.owns_session(session)
    }

    /// Asks as soon as the links are there. `cbs` has the token that goes along.
    pub(super) fn ask(&mut self, engine: &mut engine::Connection, request: AskRequest, cbs: &Cbs) {
        if !self.links.has_links(engine) {
            let what = "the peer allows no further links for $management".to_owned();
            return request.end(Err(Error::CannotAttach { what }));
        }
        if !self.links.are_attached() {
            return self.waiting.push(request);
        }
        let Some(token) = cbs.token(&request.audience) else {
            // Taken back since it was granted.
            return request.end(Err(Error::closed(Scope::Link, None)));
        };
        let message_id = self.links.next_message_id();
        let payload = request.query.encode(message_id, MANAGEMENT.reply_to, token);
        if self.links.send(engine, message_id, payload) {
            self.asked.insert(message_id, request);
        } else {
            request.end(Err(Error::closed(Scope::Link, None)));
        }
    }

    pub(super) fn on_attached(&mut self, engine: &mut engine::Connection, link: LinkId, cbs: &Cbs) {
        self.links.on_attached(engine, link);
        if self.links.are_attached() {
            for request in std::mem::take(&mut self.waiting) {
                self.ask(engine, request, cbs);
            }
        }
    }

    pub(super) fn on_delivery(&mut self, engine: &mut engine::Connection, link: LinkId, delivery: Delivery) {
        let Some(answer) = self.links.on_delivery(engine, link, delivery) else { return };
        let request = answer.correlation_id.and_then(|id| self.asked.remove(&id));
        if let Some(request) = request {
            let result = answered(&request.query, answer);
            request.end(result);
        }
    }

    /// The request itself was settled: only a refusal says anything.
    pub(super) fn on_outcome(&mut self, key: DeliveryKey, outcome: Outcome) {
        let error = match outcome {
            Outcome::Accepted => return,
            Outcome::Rejected(error) => error,
            Outcome::Released | Outcome::Modified | Outcome::NotSent | Outcome::Unknown => None,
        };
        if let Some(request) = self.asked.remove(&(key & !MANAGEMENT.key_bit)) {
            let (condition, description) = error::words(error);
            let what = subject(&request.query);
            request.end(Err(Error::RequestRefused { what, status: 0, condition, description }));
        }
    }

    pub(super) fn on_session_lost(&mut self, engine: &mut engine::Connection, cause: &Error) {
        self.links.lose_session();
        self.on_lost(engine, cause);
    }

    /// A link is gone; the next question asks for both anew.
    pub(super) fn on_lost(&mut self, engine: &mut engine::Connection, cause: &Error) {
        self.links.lose_links(engine);
        self.fail_all(cause);
    }

    pub(super) fn fail_all(&mut self, cause: &Error) {
        for request in self.take_all() {
            request.end(Err(cause.clone()));
        }
    }

    /// Every question without an answer: to be asked anew, which changes nothing at the hub.
    pub(super) fn take_all(&mut self) -> Vec<AskRequest> {
        self.waiting.drain(..).chain(std::mem::take(&mut self.asked).into_values()).collect()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().chain(self.asked.values()).map(|request| request.deadline.at).min()
    }

    pub(super) fn expire(&mut self, engine: &mut engine::Connection, now: Instant) {
        let is_late = |request: &AskRequest| request.deadline.at <= now;
        for request in self.waiting.extract_if(.., |request| is_late(request)).collect::<Vec<_>>() {
            let error = request.deadline.passed(Step::Attach);
            request.end(Err(error));
        }
        for (message_id, request) in self.asked.extract_if(.., |_, request| is_late(request)).collect::<Vec<_>>() {
            self.links.cancel(engine, message_id);
            let error = request.deadline.passed(Step::Answer);
            request.end(Err(error));
        }
    }
}

fn answered(query: &Query, answer: Answer) -> Result<Value, Error> {
    if answer.is_success() {
        return Ok(answer.body);
    }
    let Answer { status, condition, description, .. } = answer;
    Err(Error::RequestRefused { what: subject(query), status, condition, description })
}

/// What was asked about.
fn subject(query: &Query) -> String {
    match query {
        Query::EventHub { event_hub } => format!("event hub {event_hub}"),
        Query::Partition { event_hub, partition_id } => format!("partition {partition_id} of event hub {event_hub}"),
    }
}
