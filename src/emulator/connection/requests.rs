//! The nodes that take requests, `$cbs` and `$management`, and the way back of their answers.

use std::time::Instant;

use crate::emulator::answer::Answer;
use crate::emulator::cbs::{self, Grant};
use crate::emulator::management;
use crate::engine::{Connection, Delivery, LinkId, Outgoing, SettleMode};
use crate::wire::condition;
use crate::wire::event::Event as Message;
use crate::wire::frame::PeerError;

use super::later::Deferred;
use super::{Link, Peer, too_large};

/// Requests that may be under way on a link. Source: event-hubs-wire 5.1.
pub(super) const CREDIT: u32 = 100;
/// Bytes of one request; tokens are far below.
pub(super) const MAX_REQUEST_LEN: u64 = 64 * 1024;
/// Tokens that one connection may lean on.
const MAX_GRANTS: usize = 1_000;

/// A node that takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Cbs,
    Management,
}

impl Node {
    /// The node at `path`. Go asks a hub's own: `<hub>/$management`. Source: event-hubs-wire 9.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let last = path.rsplit_once('/').map_or(path, |(_, last)| last);
        if path.eq_ignore_ascii_case("$cbs") {
            Some(Self::Cbs)
        } else {
            last.eq_ignore_ascii_case("$management").then_some(Self::Management)
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cbs => "$cbs",
            Self::Management => "$management",
        }
    }
}

impl Peer {
    pub(super) fn on_request(
        &mut self,
        engine: &mut Connection,
        id: LinkId,
        node: Node,
        delivery: Delivery,
        now: Instant,
    ) -> Result<(), PeerError> {
        let Some(payload) = delivery.payload else {
            return Err(too_large(delivery.delivery_id, delivery.size, MAX_REQUEST_LEN));
        };
        let request = Message::decode(&payload.into_bytes()).map_err(|error| {
            PeerError::new(condition::DECODE_ERROR, format!("The request does not decode: {error}."))
        })?;
        match self.request_delay(node, &request, now) {
            Some(by) => {
                self.defer(now, by, Deferred::Request(id, node, Box::new(request)));
                Ok(())
            }
            None => self.answer_request(engine, id, node, &request, now),
        }
    }

    /// Queues the answer, or says why there can be none.
    pub(super) fn answer_request(
        &mut self,
        engine: &mut Connection,
        id: LinkId,
        node: Node,
        request: &Message,
        now: Instant,
    ) -> Result<(), PeerError> {
        let Some(answers) = self.answers_for(id, node, request) else {
            let name = node.name();
            let text = format!("There is no receiver from '{name}' to answer on: attach one before asking.");
            return Err(PeerError::new(condition::NOT_ALLOWED, text));
        };
        if engine.queued(answers) >= CREDIT as usize {
            let text = "The answers to earlier requests have not been taken: give their receiver credit.";
            return Err(PeerError::new(condition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        let mut answer = match self.request_refusal(node, request, now) {
            Some((status, text)) => Answer::refused(status, text),
            None => self.answer(node, request),
        };
        if answer.is_refusal() {
            answer.description = self.shared.tracked(&answer.description);
        }
        let payload = answer.encode(request);
        // Settled, as every answer here: nobody would act on the outcome.
        let outgoing = Outgoing { key: 0, message_format: 0, payload, settle_mode: SettleMode::Settled };
        if self.is_out_of_order(node.name(), now) {
            self.held_answers.push((answers, outgoing));
            return Ok(());
        }
        engine.send(answers, outgoing).map_err(|_| PeerError::new(condition::NOT_ALLOWED, "The receiver has gone."))
    }

    fn answer(&mut self, node: Node, request: &Message) -> Answer {
        let now = self.now();
        match node {
            Node::Cbs => {
                let answer = match cbs::put_token(&self.shared.namespace, request, now) {
                    Ok(grant) => {
                        self.add_grant(grant);
                        Answer::accepted()
                    }
                    Err(refused) => refused,
                };
                self.report_token(request, &answer);
                answer
            }
            Node::Management => {
                let is_authorized = |path: &str| self.grants.iter().any(|grant| grant.covers(path, now));
                let mut store = self.shared.store();
                management::answer(&self.shared.namespace, &mut store, request, is_authorized, now)
            }
        }
    }

    /// The link that carries the answer: by reply-to, which SDKs fill with a target address or with a link's name, else
    /// the one beside the request. Source: event-hubs-wire 5.2.
    fn answers_for(&self, requests: LinkId, node: Node, request: &Message) -> Option<LinkId> {
        let reply_to = request.properties().and_then(|properties| properties.reply_to.as_deref());
        let rank = |id: LinkId, link: &Link| match link {
            Link::Answers { node: other, .. } if *other != node => None,
            Link::Answers { address, .. } if reply_to.is_some() && address.as_deref() == reply_to => Some(0),
            Link::Answers { name, .. } if Some(name.as_str()) == reply_to => Some(1),
            Link::Answers { .. } if id.session == requests.session => Some(2),
            Link::Answers { .. } => Some(3),
            _ => None,
        };
        let ranked = self.links.iter().filter_map(|(&id, link)| Some((rank(id, link)?, id)));
        // Of equals, the same session's.
        ranked.min_by_key(|&(rank, id)| (rank, id.session != requests.session)).map(|(_, id)| id)
    }

    /// A token for the same path takes the older one's place.
    pub(super) fn add_grant(&mut self, grant: Grant) {
        self.grants.retain(|held| !held.path.eq_ignore_ascii_case(&grant.path));
        if self.grants.len() == MAX_GRANTS {
            let first_to_end = (0..MAX_GRANTS).min_by_key(|&index| self.grants[index].until);
            first_to_end.map(|index| self.grants.swap_remove(index));
        }
        self.grants.push(grant);
    }
}
