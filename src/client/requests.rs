//! A node that answers requests, `$cbs` or `$management`: the two links to it, and which answer is whose.

use crate::engine::{Attach, Connection, Delivery, DeliveryKey, LinkId, LinkRole, Outgoing, SessionId, SettleMode};
use crate::wire::answer::Answer;

use bytes::Bytes;
use fe2o3_amqp_types::messaging::Accepted;

/// Answers that may be under way on a link.
const ANSWER_CREDIT: u32 = 100;
/// Bytes of an answer; more is not kept.
const MAX_ANSWER_LEN: u64 = 256 * 1024;

/// What tells one node from the other.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: &'static str,
    /// Our end of the answers' link; requests name it as reply-to, and links are named after it.
    pub(super) reply_to: &'static str,
    /// The bit that tells the keys of its requests from those of batches and of the other node.
    pub(super) key_bit: DeliveryKey,
}

pub(super) const CBS: Node = Node { address: "$cbs", reply_to: "hubwire-cbs", key_bit: 1 << 63 };
pub(super) const MANAGEMENT: Node = Node { address: "$management", reply_to: "hubwire-management", key_bit: 1 << 62 };

impl Node {
    pub(super) fn owns_key(&self, key: DeliveryKey) -> bool {
        key & self.key_bit != 0
    }
}

/// The links to a node, in a session of their own: an error there does not end the senders.
#[derive(Debug)]
pub(super) struct Requests {
    node: &'static Node,
    /// The links' own; it stays when they go.
    session: Option<SessionId>,
    requests: Option<LinkId>,
    answers: Option<LinkId>,
    attached: usize,
    next_pair: u64,
    next_message_id: u64,
}

impl Requests {
    pub(super) fn new(node: &'static Node) -> Self {
        Self { node, session: None, requests: None, answers: None, attached: 0, next_pair: 0, next_message_id: 0 }
    }

    pub(super) fn owns_link(&self, link: LinkId) -> bool {
        self.requests == Some(link) || self.answers == Some(link)
    }

    pub(super) fn owns_session(&self, session: SessionId) -> bool {
        self.session == Some(session)
    }

    /// Asks for both links. Needs no open connection: they leave with the open.
    pub(super) fn attach(&mut self, engine: &mut Connection) {
        self.session = self.session.or_else(|| engine.begin());
        let Some(session) = self.session else { return };
        self.next_pair += 1;
        self.answers = self.attach_one(engine, session, LinkRole::Receiver);
        self.requests = self.attach_one(engine, session, LinkRole::Sender);
    }

    fn attach_one(&self, engine: &mut Connection, session: SessionId, role: LinkRole) -> Option<LinkId> {
        let Node { address, reply_to, .. } = *self.node;
        let (direction, source, target, max_message_size) = match role {
            LinkRole::Sender => ("requests", reply_to, address, 0),
            LinkRole::Receiver => ("answers", address, reply_to, MAX_ANSWER_LEN),
        };
        let attach = Attach {
            source: Some(source.to_owned()),
            target: Some(target.to_owned()),
            max_message_size,
            ..Attach::new(format!("{reply_to}-{direction}-{}", self.next_pair), role)
        };
        engine.attach(session, &attach).ok().flatten()
    }

    /// Whether the links are there or on their way; asks for them anew when the hub took them away.
    pub(super) fn has_links(&mut self, engine: &mut Connection) -> bool {
        if !self.are_asked_for() {
            self.attach(engine);
        }
        self.are_asked_for()
    }

    pub(super) fn are_asked_for(&self) -> bool {
        self.requests.is_some() && self.answers.is_some()
    }

    /// The hub attached one of the links.
    pub(super) fn on_attached(&mut self, engine: &mut Connection, link: LinkId) {
        if self.answers == Some(link) {
            engine.set_credit(link, ANSWER_CREDIT);
        }
        self.attached += 1;
    }

    pub(super) fn are_attached(&self) -> bool {
        self.attached == 2
    }

    /// A message-id that no request has had.
    pub(super) fn next_message_id(&mut self) -> u64 {
        self.next_message_id += 1;
        self.next_message_id
    }

    /// Sends a request; whether there is a link to send it on.
    pub(super) fn send(&self, engine: &mut Connection, message_id: u64, payload: Bytes) -> bool {
        let key = message_id | self.node.key_bit;
        let outgoing = Outgoing { key, message_format: 0, payload, settle_mode: SettleMode::Unsettled };
        self.requests.is_some_and(|link| engine.send(link, outgoing).is_ok())
    }

    /// Takes a request back that has not left.
    pub(super) fn cancel(&self, engine: &mut Connection, message_id: u64) {
        if let Some(link) = self.requests {
            engine.cancel(link, message_id | self.node.key_bit);
        }
    }

    /// An answer has come; `None` for one that cannot be read.
    pub(super) fn on_delivery(&self, engine: &mut Connection, link: LinkId, delivery: Delivery) -> Option<Answer> {
        if !delivery.settled {
            engine.settle(link.session, delivery.delivery_id, delivery.delivery_id, Accepted {}.into());
        }
        engine.set_credit(link, ANSWER_CREDIT);
        Answer::decode(&delivery.payload?.into_bytes()).ok()
    }

    pub(super) fn lose_session(&mut self) {
        self.session = None;
    }

    /// A link is gone: the other one is given up as well, for the service takes one pair at a time.
    /// Source: event-hubs-wire 5.1.
    pub(super) fn lose_links(&mut self, engine: &mut Connection) {
        for link in [self.requests.take(), self.answers.take()].into_iter().flatten() {
            engine.detach(link, None);
        }
        self.attached = 0;
    }
}
