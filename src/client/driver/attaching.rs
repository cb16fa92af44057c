//! First a token that the hub takes, then what it is for: a link, or a question to `$management`.

use std::time::Instant;

use fe2o3_amqp_types::definitions::Fields;
use fe2o3_amqp_types::primitives::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::receiving::{Events, Held};
use super::{Driver, Verdict};
use crate::client::deadline::Deadline;
use crate::client::error::{Error, Step};
use crate::client::management::AskRequest;
use crate::clock;
use crate::engine::{Attach, Connection, LinkId, LinkRole};

/// Bytes of an event that is taken: the largest that any hub stores, and the hub's annotations on it.
/// Source: event-hubs-wire 6.2.
const MAX_EVENT_LEN: u64 = 21 * 1_048_576;
/// The owner level of a receiver. Source: event-hubs-wire 8.
const EPOCH: &str = "com.microsoft:epoch";
const RECEIVER_NAME: &str = "com.microsoft:receiver-name";
const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";

pub(in crate::client) struct AttachRequest {
    pub(in crate::client) terms: LinkTerms,
    pub(in crate::client) audience: String,
    pub(in crate::client) deadline: Deadline,
    pub(in crate::client) reply: oneshot::Sender<Result<Attached, Error>>,
}

impl AttachRequest {
    pub(super) fn end(self, result: Result<Attached, Error>) {
        let _ = self.reply.send(result);
    }
}

/// What a link is for.
pub(in crate::client) enum LinkTerms {
    Sender {
        /// The target: `<hub>` or `<hub>/Partitions/<id>`.
        address: String,
    },
    Receiver(ReceiverTerms),
}

pub(in crate::client) struct ReceiverTerms {
    /// The source: `<hub>/ConsumerGroups/<group>/Partitions/<id>`.
    pub(in crate::client) address: String,
    pub(in crate::client) selector: String,
    pub(in crate::client) owner_level: Option<i64>,
    pub(in crate::client) name: Option<String>,
    pub(in crate::client) wants_metrics: bool,
    pub(in crate::client) credit: u32,
    pub(in crate::client) events: Events,
}

impl LinkTerms {
    /// The attach, for the connection's link number `number`.
    fn attach(&self, number: u32) -> Attach {
        match self {
            Self::Sender { address } => {
                let name = format!("hubwire-sender-{number}");
                let target = Some(address.clone());
                Attach { source: Some(name.clone()), target, ..Attach::new(name, LinkRole::Sender) }
            }
            Self::Receiver(terms) => terms.attach(format!("hubwire-receiver-{number}")),
        }
    }
}

impl ReceiverTerms {
    fn attach(&self, name: String) -> Attach {
        let owner_level = self.owner_level.map(|level| (EPOCH.into(), Value::Long(level)));
        let receiver_name = self.name.clone().map(|name| (RECEIVER_NAME.into(), Value::String(name)));
        let properties: Fields = owner_level.into_iter().chain(receiver_name).collect();
        Attach {
            source: Some(self.address.clone()),
            target: Some(name.clone()),
            selector: Some(self.selector.clone()),
            max_message_size: MAX_EVENT_LEN,
            desired_capabilities: if self.wants_metrics { vec![RUNTIME_METRIC] } else { Vec::new() },
            properties: (!properties.is_empty()).then_some(properties),
            ..Attach::new(name, LinkRole::Receiver)
        }
    }
}

/// A link that is there.
#[derive(Debug)]
pub(in crate::client) struct Attached {
    pub(in crate::client) link: LinkId,
    pub(in crate::client) max_message_size: Option<u64>,
}

/// What waits for the hub to take a token.
pub(super) enum Unauthorized {
    Attach(AttachRequest),
    Ask(AskRequest),
}

impl Unauthorized {
    pub(super) fn audience(&self) -> &str {
        match self {
            Self::Attach(request) => &request.audience,
            Self::Ask(request) => &request.audience,
        }
    }

    pub(super) fn deadline(&self) -> Deadline {
        match self {
            Self::Attach(request) => request.deadline,
            Self::Ask(request) => request.deadline,
        }
    }

    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Attach(request) => request.end(Err(error)),
            Self::Ask(request) => request.end(Err(error)),
        }
    }
}

/// A link that was asked for.
pub(super) struct Attaching {
    pub(super) request: AttachRequest,
    pub(super) link: LinkId,
}

impl Attaching {
    /// The hub has answered; `None` when whoever asked has gone.
    pub(super) fn succeed(self, engine: &mut Connection, max_message_size: Option<u64>) -> Option<Held> {
        let Self { request: AttachRequest { terms, reply, .. }, link } = self;
        reply.send(Ok(Attached { link, max_message_size })).ok()?;
        Some(match terms {
            LinkTerms::Sender { .. } => Held::Sender { lost: None },
            LinkTerms::Receiver(ReceiverTerms { credit, events, .. }) => {
                engine.set_credit(link, credit);
                Held::Receiver { events }
            }
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Goes on with what has a token that the hub took, and asks for one otherwise.
    pub(super) fn authorize(&mut self, waiting: Unauthorized) {
        if self.closing.is_some() {
            return waiting.fail(Error::ShutDown);
        }
        match self.cbs.authorize(&mut self.pump.engine, waiting.audience(), clock::now()) {
            Some(Ok(())) => self.authorized(waiting),
            Some(Err(error)) => waiting.fail(error),
            None => self.unauthorized.push(waiting),
        }
    }

    /// The token is taken.
    fn authorized(&mut self, waiting: Unauthorized) {
        match waiting {
            // The reason is the next event, and ends everybody who waits.
            waiting if self.pump.engine.is_closed() => self.unauthorized.push(waiting),
            Unauthorized::Attach(request) => self.attach(request),
            Unauthorized::Ask(request) => self.management.ask(&mut self.pump.engine, request, &self.cbs),
        }
    }

    fn attach(&mut self, request: AttachRequest) {
        let engine = &mut self.pump.engine;
        let Some(session) = self.session.or_else(|| engine.begin()) else {
            let what = "the peer allows no further session on this connection".to_owned();
            return request.end(Err(Error::CannotAttach { what }));
        };
        self.session = Some(session);
        self.next_link_name += 1;
        match engine.attach(session, &request.terms.attach(self.next_link_name)) {
            Ok(Some(link)) => self.attaching.push(Attaching { request, link }),
            Ok(None) => {
                let what = "the session has no handle left; close some senders or receivers".to_owned();
                request.end(Err(Error::CannotAttach { what }));
            }
            Err(error) => request.end(Err(Error::CannotAttach { what: error.to_string() })),
        }
    }

    pub(super) fn on_verdicts(&mut self, verdicts: impl IntoIterator<Item = Verdict>) {
        for Verdict { audience, result } in verdicts {
            let waits = |waiting: &mut Unauthorized| waiting.audience() == audience;
            for waiting in self.unauthorized.extract_if(.., waits).collect::<Vec<_>>() {
                match &result {
                    Ok(()) => self.authorized(waiting),
                    Err(error) => waiting.fail(error.clone()),
                }
            }
        }
    }

    pub(super) fn expire_unauthorized(&mut self, now: Instant) {
        let is_late = |waiting: &mut Unauthorized| waiting.deadline().at <= now;
        for waiting in self.unauthorized.extract_if(.., is_late).collect::<Vec<_>>() {
            let is_wanted = self.unauthorized.iter().any(|other| other.audience() == waiting.audience());
            let verdict = self.cbs.on_overdue(&mut self.pump.engine, waiting.audience(), is_wanted, now);
            self.on_verdicts(verdict);
            let error = waiting.deadline().passed(Step::Authorize);
            waiting.fail(error);
        }
    }

    pub(super) fn expire_attaching(&mut self, now: Instant) {
        let is_late = |attaching: &mut Attaching| attaching.request.deadline.at <= now;
        for Attaching { request, link } in self.attaching.extract_if(.., is_late).collect::<Vec<_>>() {
            self.pump.engine.detach(link, None);
            let error = request.deadline.passed(Step::Attach);
            request.end(Err(error));
        }
    }
}
