//! One task per connection: what the engine reports, turned into calls on namespace and store.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::TargetArchetype;
use fe2o3_amqp_types::performatives::Attach;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::clock;
use crate::engine::{Accept, Config, Connection, Delivery, Event, LinkId, Outgoing, Role as EngineRole, SettleMode};
use crate::pump::Pump;
use crate::wire::condition;
use crate::wire::event::Event as Message;
use crate::wire::frame::PeerError;

use super::Shared;
use super::address::path_of_address;
use super::cbs::{self, Grant};
use super::namespace::{Destination, not_served};
use super::publication::Publication;
use super::sentence;
use super::settlements::Settlements;

/// Bytes in a frame, as the service has it. Source: event-hubs-wire 4.2.
const MAX_FRAME_SIZE: u32 = 65_536;
/// Room offered to one read.
const READ_LEN: usize = 64 * 1024;
/// The engine announces half of it: 120 s, which producers keep that send no heartbeat of their own accord.
const IDLE_TIMEOUT: Duration = Duration::from_secs(240);
/// From connecting to the peer's open.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// From our close to the peer's.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// Links of one connection, accepted ones.
const MAX_LINKS: usize = 1_000;
/// Refused links whose detach the peer owes us; a peer that collects more does nothing else.
const MAX_REFUSED: usize = 1_000;
/// Tokens that one connection may lean on.
const MAX_GRANTS: usize = 1_000;
/// Put-token requests that may be under way. Source: event-hubs-wire 5.1.
const TOKEN_CREDIT: u32 = 100;
/// Bytes of one put-token request; tokens are far below.
const MAX_TOKEN_REQUEST: u64 = 64 * 1024;

/// Serves one peer until it leaves, breaks the rules or falls silent.
pub(super) async fn serve<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let started = clock::now();
    let mut pump = Pump::new(Connection::new(config(shared.next_serial()), started), stream, READ_LEN);
    let mut peer = Peer::new(shared, started + OPEN_WITHIN);
    while !pump.engine.is_closed() {
        let wake = peer.wake();
        poll_fn(|cx| pump.poll(cx, wake)).await;
        while let Some(event) = pump.engine.poll_event() {
            peer.on_event(&mut pump.engine, event);
        }
        peer.settlements.flush(&mut pump.engine);
        if !peer.keep_on(&mut pump.engine, clock::now()) {
            break;
        }
    }
    pump.finish(CLOSE_WITHIN).await;
}

pub(super) fn config(serial: u64) -> Config {
    Config {
        role: EngineRole::Server,
        container_id: format!("hubwire-emulator_G{serial}"),
        hostname: None,
        max_frame_size: MAX_FRAME_SIZE,
        idle_timeout: Some(IDLE_TIMEOUT),
        properties: Vec::new(),
        first_number: 0,
    }
}

/// What is known of the peer of one connection.
struct Peer {
    shared: Arc<Shared>,
    links: HashMap<LinkId, Link>,
    refused: usize,
    grants: Vec<Grant>,
    settlements: Settlements,
    /// When patience ends: with its open, and with its close.
    deadline: Option<Instant>,
    closing: bool,
}

/// A link, by what it is for.
enum Link {
    /// Takes events.
    Publisher { to: Destination, path: String, max_message_size: u64 },
    /// Takes put-token requests.
    TokenRequests,
    /// Carries the answers to them.
    TokenAnswers { name: String, address: Option<String> },
    /// Waits for the peer's detach.
    Refused,
}

/// Tops the credit of a receiving link up to `full` when it has fallen to two thirds: 300 at 200, as the service does.
fn top_up(engine: &mut Connection, link: LinkId, full: u32) {
    if u64::from(engine.credit(link)) <= u64::from(full) * 2 / 3 {
        engine.set_credit(link, full);
    }
}

impl Peer {
    fn new(shared: Arc<Shared>, deadline: Instant) -> Self {
        Self {
            shared,
            links: HashMap::new(),
            refused: 0,
            grants: Vec::new(),
            settlements: Settlements::default(),
            deadline: Some(deadline),
            closing: false,
        }
    }

    fn on_event(&mut self, engine: &mut Connection, event: Event) {
        match event {
            Event::Opened => self.deadline = None,
            Event::AttachRequest { link, attach } => self.on_attach(engine, link, &attach),
            Event::Delivery { link, delivery } => self.on_delivery(engine, link, delivery),
            Event::Detached { link, .. } => self.forget(|id| id == link),
            Event::SessionEnded { session, .. } => self.forget(|id| id.session == session),
            // Answers are sent settled, and this end asks for no links.
            Event::Attached { .. } | Event::Outcome { .. } | Event::Sendable { .. } | Event::Closed(_) => {}
        }
    }

    fn forget(&mut self, gone: impl Fn(LinkId) -> bool) {
        self.links.retain(|&id, _| !gone(id));
        self.refused = self.links.values().filter(|link| matches!(link, Link::Refused)).count();
    }

    // ---- time --------------------------------------------------------------------------------------------------

    /// When [`keep_on`](Self::keep_on) has something to look at.
    fn wake(&self) -> Option<Instant> {
        let next_lapse = self.grants.iter().map(|grant| grant.until).min();
        let next_lapse = next_lapse.and_then(|until| self.shared.clock.instant_of(until));
        [self.deadline, next_lapse].into_iter().flatten().min()
    }

    /// Looks after time and measure; `false` when the peer is to be left at once.
    fn keep_on(&mut self, engine: &mut Connection, now: Instant) -> bool {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return false;
        }
        if self.refused > MAX_REFUSED && !self.closing {
            let text = format!("More than {MAX_REFUSED} links were refused and not detached.");
            engine.close(Some(&self.error(&PeerError::new(condition::RESOURCE_LIMIT_EXCEEDED, text))));
            self.closing = true;
            self.deadline = Some(now + CLOSE_WITHIN);
        }
        self.drop_lapsed(engine);
        true
    }

    /// Ends the links that no living token covers any more, as the service does. Source: event-hubs-wire 5.3.
    fn drop_lapsed(&mut self, engine: &mut Connection) {
        let now = self.now();
        if self.grants.iter().all(|grant| now < grant.until) {
            return;
        }
        self.grants.retain(|grant| now < grant.until);
        let error = PeerError::new(condition::UNAUTHORIZED_ACCESS, "ExpiredToken: The token is expired.");
        let error = self.error(&error);
        let lapsed = self.links.iter().filter_map(|(&id, link)| match link {
            Link::Publisher { path, .. } => (!self.is_authorized(path, now)).then_some(id),
            _ => None,
        });
        let lapsed: Vec<LinkId> = lapsed.collect();
        for id in lapsed {
            engine.detach(id, Some(&error));
            self.refused += 1;
            self.links.insert(id, Link::Refused);
        }
    }

    fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// `error` with the marks by which it can be found again.
    fn error(&self, error: &PeerError) -> PeerError {
        let description = self.shared.tracked(error.description.as_deref().unwrap_or_default());
        PeerError { condition: error.condition.clone(), description: Some(description) }
    }

    // ---- links -------------------------------------------------------------------------------------------------

    fn on_attach(&mut self, engine: &mut Connection, id: LinkId, attach: &Attach) {
        let link = self.admit(engine, id, attach).unwrap_or_else(|error| {
            engine.refuse(id, &self.error(&error));
            self.refused += 1;
            Link::Refused
        });
        if matches!(link, Link::Publisher { .. }) {
            self.shared.store().totals.links += 1;
        }
        self.links.insert(id, link);
    }

    /// Accepts a link, or says why not.
    fn admit(&self, engine: &mut Connection, id: LinkId, attach: &Attach) -> Result<Link, PeerError> {
        if self.links.len() - self.refused >= MAX_LINKS {
            let text = format!("A connection to this emulator has at most {MAX_LINKS} links.");
            return Err(PeerError::new(condition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        match attach.role {
            Role::Sender => {
                let path = path_of_address(target_address(attach).unwrap_or_default());
                self.admit_sender(engine, id, attach, path)
            }
            Role::Receiver => {
                let source = attach.source.as_ref().and_then(|source| source.address.as_deref());
                let path = path_of_address(source.unwrap_or_default());
                self.admit_receiver(engine, id, attach, path)
            }
        }
    }

    fn admit_sender(
        &self,
        engine: &mut Connection,
        id: LinkId,
        attach: &Attach,
        path: &str,
    ) -> Result<Link, PeerError> {
        if path.eq_ignore_ascii_case("$cbs") {
            engine.accept(id, &Accept { max_message_size: MAX_TOKEN_REQUEST, ..Accept::default() });
            engine.set_credit(id, TOKEN_CREDIT);
            return Ok(Link::TokenRequests);
        }
        if path.eq_ignore_ascii_case("$management") {
            return Err(not_served(path));
        }
        self.authorize("Send", path)?;
        let to = self.shared.namespace.destination(path)?;
        let limit = self.shared.namespace.max_message_size;
        let max_message_size =
            attach.max_message_size.filter(|&asked| asked > 0).map_or(limit, |asked| asked.min(limit));
        engine.accept(id, &Accept { max_message_size, ..Accept::default() });
        engine.set_credit(id, self.shared.namespace.link_credit);
        Ok(Link::Publisher { to, path: path.to_owned(), max_message_size })
    }

    fn admit_receiver(
        &self,
        engine: &mut Connection,
        id: LinkId,
        attach: &Attach,
        path: &str,
    ) -> Result<Link, PeerError> {
        if !path.eq_ignore_ascii_case("$cbs") {
            return Err(not_served(path));
        }
        engine.accept(id, &Accept::default());
        Ok(Link::TokenAnswers { name: attach.name.clone(), address: target_address(attach).map(ToOwned::to_owned) })
    }

    fn authorize(&self, claim: &str, path: &str) -> Result<(), PeerError> {
        if self.is_authorized(path, self.now()) {
            return Ok(());
        }
        let text = format!(
            "Unauthorized access. '{claim}' claim(s) are required to perform this operation. Resource: \
             'sb://emulator/{}'. Put a token for it first, at '$cbs' on this connection.",
            sentence::quoted(path)
        );
        Err(PeerError::new(condition::UNAUTHORIZED_ACCESS, text))
    }

    fn is_authorized(&self, path: &str, now: SystemTime) -> bool {
        self.grants.iter().any(|grant| grant.covers(path, now))
    }

    // ---- deliveries --------------------------------------------------------------------------------------------

    fn on_delivery(&mut self, engine: &mut Connection, id: LinkId, delivery: Delivery) {
        let (number, settled) = (delivery.delivery_id, delivery.settled);
        let result = match self.links.get(&id) {
            Some(&Link::Publisher { to, max_message_size, .. }) => {
                top_up(engine, id, self.shared.namespace.link_credit);
                self.publish(to, max_message_size, delivery)
            }
            Some(Link::TokenRequests) => {
                top_up(engine, id, TOKEN_CREDIT);
                self.on_token_request(engine, id, delivery)
            }
            // The link has ended; the peer had not heard of it when it sent.
            Some(Link::TokenAnswers { .. } | Link::Refused) | None => return,
        };
        if !settled {
            let result = result.map_err(|error| self.error(&error));
            self.settlements.settle(engine, id.session, number, result);
        }
    }

    fn publish(&self, to: Destination, max_message_size: u64, delivery: Delivery) -> Result<(), PeerError> {
        let publication = match delivery.payload {
            Some(payload) => Publication::read(delivery.message_format, payload),
            None => Err(too_large(delivery.delivery_id, delivery.size, max_message_size)),
        };
        self.shared.publish(to, publication)
    }

    fn on_token_request(&mut self, engine: &mut Connection, id: LinkId, delivery: Delivery) -> Result<(), PeerError> {
        let Some(payload) = delivery.payload else {
            return Err(too_large(delivery.delivery_id, delivery.size, MAX_TOKEN_REQUEST));
        };
        let request = Message::decode(&payload).map_err(|error| {
            PeerError::new(condition::DECODE_ERROR, format!("The request does not decode: {error}."))
        })?;
        let mut answer = cbs::answer(&self.shared.namespace, &request, self.now());
        if let Some(grant) = answer.grant.take() {
            self.add_grant(grant);
        } else {
            answer.description = self.shared.tracked(&answer.description);
        }
        let Some(answers) = self.answers_for(id, &request) else {
            let text = "There is no receiver from '$cbs' to answer on: attach one before asking.";
            return Err(PeerError::new(condition::NOT_ALLOWED, text));
        };
        if engine.queued(answers) >= TOKEN_CREDIT as usize {
            let text = "The answers to earlier requests have not been taken: give the receiver from '$cbs' credit.";
            return Err(PeerError::new(condition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        let payload = answer.to_message(&request).encode().unwrap_or_default();
        // Settled, as every answer here: nobody would act on the outcome.
        let outgoing = Outgoing { key: 0, message_format: 0, payload, settle_mode: SettleMode::Settled };
        engine.send(answers, outgoing).map_err(|_| PeerError::new(condition::NOT_ALLOWED, "The receiver has gone."))
    }

    /// The link that carries the answer: by reply-to, which SDKs fill with a target address or with a link's name, else
    /// the one beside the request. Source: event-hubs-wire 5.2.
    fn answers_for(&self, requests: LinkId, request: &Message) -> Option<LinkId> {
        let reply_to = request.properties().and_then(|properties| properties.reply_to.as_deref());
        let rank = |id: LinkId, link: &Link| match link {
            Link::TokenAnswers { address, .. } if reply_to.is_some() && address.as_deref() == reply_to => Some(0),
            Link::TokenAnswers { name, .. } if Some(name.as_str()) == reply_to => Some(1),
            Link::TokenAnswers { .. } if id.session == requests.session => Some(2),
            Link::TokenAnswers { .. } => Some(3),
            _ => None,
        };
        let ranked = self.links.iter().filter_map(|(&id, link)| Some((rank(id, link)?, id)));
        // Of equals, the same session's.
        ranked.min_by_key(|&(rank, id)| (rank, id.session != requests.session)).map(|(_, id)| id)
    }

    /// A token for the same path takes the older one's place.
    fn add_grant(&mut self, grant: Grant) {
        self.grants.retain(|held| !held.path.eq_ignore_ascii_case(&grant.path));
        if self.grants.len() == MAX_GRANTS {
            let first_to_end = (0..MAX_GRANTS).min_by_key(|&index| self.grants[index].until);
            first_to_end.map(|index| self.grants.swap_remove(index));
        }
        self.grants.push(grant);
    }
}

/// Source: event-hubs-wire 6.2.
fn too_large(delivery_id: u32, size: u64, limit: u64) -> PeerError {
    let text = format!(
        "The received message (delivery-id:{delivery_id}, size:{size} bytes) exceeds the limit ({limit} bytes) currently \
         allowed on the link."
    );
    PeerError::new(condition::LINK_MESSAGE_SIZE_EXCEEDED, text)
}

fn target_address(attach: &Attach) -> Option<&str> {
    match attach.target.as_deref() {
        Some(TargetArchetype::Target(target)) => target.address.as_deref(),
        _ => None,
    }
}
