//! Sessions: handles and links, what is sent on them, unsettled deliveries, end. Source: AMQP 1.0 part 2, 2.5.

mod flow;
mod receiving;

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use fe2o3_amqp_types::definitions::{DeliveryNumber, Error, Handle, Role};
use fe2o3_amqp_types::messaging::DeliveryState;
use fe2o3_amqp_types::performatives;

use super::connection::{Event, Shared};
use super::link::{Accept, Attach, Half, Link, LinkRole, LinkState, Outgoing, ReceiverHalf, SettleMode};
use super::{DeliveryKey, LinkId, SessionId, serial};
use crate::wire::frame::{FrameTooLarge, PeerError, TransferHeader};

/// Transfers that we are ready to take before we say so again: what the service grants.
/// Source: event-hubs-wire 4.3.
const INCOMING_WINDOW: u32 = 5_000;
/// Handles that we let a peer use. At most this many links in a session.
const HANDLE_MAX: u32 = 4_095;

/// What became of a delivery of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    Rejected(Option<PeerError>),
    Released,
    Modified,
    /// No frame of it left.
    NotSent,
    /// It left, whole or in part, and no outcome will come.
    Unknown,
}

impl Outcome {
    /// The outcome that a disposition states; `None` while it is not final.
    fn of_state(state: Option<&DeliveryState>, settled: bool) -> Option<Self> {
        match state {
            Some(DeliveryState::Accepted(_)) => Some(Self::Accepted),
            Some(DeliveryState::Rejected(rejected)) => {
                Some(Self::Rejected(rejected.error.as_ref().map(PeerError::from)))
            }
            Some(DeliveryState::Released(_)) => Some(Self::Released),
            Some(DeliveryState::Modified(_)) => Some(Self::Modified),
            // Settled without a final state: the peer forgot the delivery and did not say how it went.
            Some(DeliveryState::Received(_)) | None => settled.then_some(Self::Unknown),
        }
    }
}

/// A breach of the session's rules by the peer, and the condition that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breach(pub(super) PeerError);

impl Breach {
    fn new(condition: &str, description: impl Into<String>) -> Self {
        Self(PeerError::new(condition, description))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionState {
    /// We began; the peer has not answered.
    BeginSent,
    Mapped,
    /// We ended; what still comes is dropped, until the peer's end.
    EndSent,
}

/// A delivery of ours without an outcome yet.
#[derive(Debug)]
struct Unsettled {
    key: DeliveryKey,
    handle: u32,
    /// Where in the stream its first byte stands.
    position: u64,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) state: SessionState,
    pub(super) remote_channel: Option<u16>,
    first_transfer_id: u32,
    next_outgoing_id: u32,
    remote_incoming_window: u32,
    next_incoming_id: u32,
    incoming_window: u32,
    remote_handle_max: u32,
    /// Delivery ids, unwrapped: the low 32 bits are the wire's.
    next_delivery: u64,
    /// From `next_delivery - unsettled.len()` on; `None` where settled out of order.
    unsettled: VecDeque<Option<Unsettled>>,
    links: Vec<Option<Link>>,
    by_remote_handle: HashMap<u32, u32>,
}

impl Session {
    pub(super) fn new(id: SessionId, first_transfer_id: u32) -> Self {
        Self {
            id,
            state: SessionState::BeginSent,
            remote_channel: None,
            first_transfer_id,
            next_outgoing_id: first_transfer_id,
            remote_incoming_window: 0,
            next_incoming_id: 0,
            incoming_window: INCOMING_WINDOW,
            remote_handle_max: HANDLE_MAX,
            next_delivery: u64::from(first_transfer_id),
            unsettled: VecDeque::new(),
            links: Vec::new(),
            by_remote_handle: HashMap::new(),
        }
    }

    pub(super) fn begin(&self) -> performatives::Begin {
        performatives::Begin {
            remote_channel: self.remote_channel,
            next_outgoing_id: self.next_outgoing_id,
            incoming_window: INCOMING_WINDOW,
            outgoing_window: INCOMING_WINDOW,
            handle_max: Handle(HANDLE_MAX),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        }
    }

    pub(super) fn on_begin(&mut self, remote_channel: u16, begin: &performatives::Begin) {
        self.remote_channel = Some(remote_channel);
        self.state = SessionState::Mapped;
        self.next_incoming_id = begin.next_outgoing_id;
        self.remote_incoming_window = begin.incoming_window;
        self.remote_handle_max = begin.handle_max.0;
    }

    // ---- links -------------------------------------------------------------------------------------------------

    pub(super) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.handle as usize)?.as_mut().filter(|link| link.id == id)
    }

    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(id.handle as usize)?.as_ref().filter(|link| link.id == id)
    }

    /// A free handle of ours: the lowest.
    fn free_handle(&mut self) -> Option<u32> {
        let handle = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        if handle as u64 > u64::from(self.remote_handle_max.min(HANDLE_MAX)) {
            return None;
        }
        if handle == self.links.len() {
            self.links.push(None);
        }
        Some(handle as u32)
    }

    fn insert_link(&mut self, shared: &mut Shared, name: String, state: LinkState, half: Half) -> Option<LinkId> {
        let handle = self.free_handle()?;
        let id = LinkId { session: self.id, handle, serial: shared.next_serial() };
        let link = Link { id, name, state, remote_handle: None, asked: None, told: false, half };
        self.links[handle as usize] = Some(link);
        Some(id)
    }

    /// Asks for a link.
    pub(super) fn attach(&mut self, shared: &mut Shared, attach: &Attach) -> Result<Option<LinkId>, FrameTooLarge> {
        let first = shared.first_delivery_count;
        let half = attach.half(first);
        let Some(id) = self.insert_link(shared, attach.name.clone(), LinkState::AttachSent, half) else {
            return Ok(None);
        };
        let sent = shared.put(self.id.channel, &attach.performative(id.handle, first));
        if sent.is_err() {
            self.links[id.handle as usize] = None;
        }
        sent.map(|()| Some(id))
    }

    /// Says yes to the peer's link.
    pub(super) fn accept(&mut self, shared: &mut Shared, id: LinkId, accept: &Accept) {
        let first = shared.first_delivery_count;
        let channel = self.id.channel;
        let Some(link) = self.link_mut(id) else { return };
        let Some(asked) = &link.asked else { return };
        let answer = accept.performative(asked, id.handle, first);
        let limit = answer.max_message_size.unwrap_or(0);
        if let Err(error) = shared.put(channel, &answer) {
            // The peer's own source and target do not fit its own frame limit.
            return self.detach(shared, id, Some(&PeerError::new("amqp:frame-size-too-small", error.to_string())));
        }
        link.asked = None;
        link.state = LinkState::Attached;
        match &mut link.half {
            Half::Receiver(half) => half.max_message_size = limit,
            Half::Sender(half) => shared.mark_ready(id, half),
        }
    }

    /// Says no to the peer's link: an attach without a terminus, then a detach that says why.
    /// Source: AMQP 1.0 part 2, 2.6.3.
    pub(super) fn refuse(&mut self, shared: &mut Shared, id: LinkId, error: &PeerError) {
        if self.link(id).is_some_and(|link| link.asked.is_some()) {
            self.detach(shared, id, Some(error));
        }
    }

    /// Ends a link from our side. What was under way on it is resolved at once.
    pub(super) fn detach(&mut self, shared: &mut Shared, id: LinkId, error: Option<&PeerError>) {
        let channel = self.id.channel;
        let Some(link) = self.link_mut(id) else { return };
        if link.state == LinkState::DetachSent {
            return;
        }
        link.state = LinkState::DetachSent;
        link.put_refusal(shared, channel);
        shared.put_or_end(channel, &detach(id.handle, true, error));
        self.resolve_link(shared, id);
    }

    pub(super) fn on_attach(&mut self, shared: &mut Shared, attach: Box<performatives::Attach>) -> Result<(), Breach> {
        let role = LinkRole::of_peer(&attach.role);
        if self.by_remote_handle.contains_key(&attach.handle.0) {
            return Err(Breach::new("amqp:session:handle-in-use", format!("handle {} is attached", attach.handle.0)));
        }
        if attach.handle.0 > HANDLE_MAX {
            return Err(Breach::new("amqp:session:handle-in-use", format!("handle-max is {HANDLE_MAX}")));
        }
        let waiting = self.links.iter_mut().flatten().find(|link| {
            link.remote_handle.is_none() && link.name == attach.name && link.half.role() == role && link.asked.is_none()
        });
        match waiting {
            Some(link) => {
                let (handle, remote) = (link.id.handle, attach.handle.0);
                on_attach_answer(shared, link, &attach);
                self.by_remote_handle.insert(remote, handle);
                Ok(())
            }
            None => self.on_attach_request(shared, role, attach),
        }
    }

    fn on_attach_request(
        &mut self,
        shared: &mut Shared,
        role: LinkRole,
        attach: Box<performatives::Attach>,
    ) -> Result<(), Breach> {
        if !shared.takes_links {
            return Err(Breach::new("amqp:not-allowed", "this container takes no links"));
        }
        let half = match role {
            LinkRole::Sender => Half::sender(shared.first_delivery_count),
            LinkRole::Receiver => Half::Receiver(ReceiverHalf {
                delivery_count: attach.initial_delivery_count.unwrap_or(0),
                ..ReceiverHalf::default()
            }),
        };
        let remote = attach.handle.0;
        let Some(id) = self.insert_link(shared, attach.name.clone(), LinkState::AttachReceived, half) else {
            return Err(Breach::new("amqp:resource-limit-exceeded", "no handle is left in this session"));
        };
        self.by_remote_handle.insert(remote, id.handle);
        if let Some(link) = self.link_mut(id) {
            link.remote_handle = Some(remote);
            link.asked = Some(attach.clone());
        }
        shared.events.push_back(Event::AttachRequest { link: id, attach });
        Ok(())
    }

    pub(super) fn on_detach(&mut self, shared: &mut Shared, detached: &performatives::Detach) {
        // An unknown handle: both ends may detach at once, and some peers detach after they ended the session.
        let Some(handle) = self.by_remote_handle.remove(&detached.handle.0) else { return };
        let channel = self.id.channel;
        let Some(link) = self.links[handle as usize].as_mut() else { return };
        let (id, state) = (link.id, link.state);
        link.put_refusal(shared, channel);
        let error = detached.error.as_ref().map(PeerError::from);
        if !link.told {
            shared.events.push_back(Event::Detached { link: id, error });
        }
        self.resolve_link(shared, id);
        if state != LinkState::DetachSent {
            shared.put_or_end(channel, &detach(handle, detached.closed, None));
        }
        self.links[handle as usize] = None;
    }

    /// Resolves everything that was under way on a link that ends.
    ///
    /// What is queued for the stream counts as sent: the link may end while the connection goes on writing it.
    fn resolve_link(&mut self, shared: &mut Shared, id: LinkId) {
        for slot in &mut self.unsettled {
            if slot.as_ref().is_some_and(|unsettled| unsettled.handle == id.handle)
                && let Some(unsettled) = slot.take()
            {
                shared.outcome(id, unsettled.key, Outcome::Unknown);
            }
        }
        self.trim_unsettled();
        let Some(link) = self.link_mut(id) else { return };
        let Half::Sender(half) = &mut link.half else { return };
        if half.started {
            half.finish();
        }
        for outgoing in half.queue.drain(..) {
            shared.outcome(id, outgoing.key, Outcome::NotSent);
        }
    }

    /// Resolves everything in this session. With `written`, the connection is gone and took what it had not written
    /// with it: a delivery whose first byte lies beyond never left. Its links are no more.
    pub(super) fn resolve_all(&mut self, shared: &mut Shared, written: Option<u64>) {
        for slot in &mut self.unsettled {
            let Some(unsettled) = slot.take() else { continue };
            let Some(link) = self.links.get(unsettled.handle as usize).and_then(Option::as_ref) else { continue };
            let left = written.is_none_or(|written| unsettled.position < written);
            let outcome = if left { Outcome::Unknown } else { Outcome::NotSent };
            shared.outcome(link.id, unsettled.key, outcome);
        }
        self.unsettled.clear();
        let ids: Vec<LinkId> = self.links.iter().flatten().map(|link| link.id).collect();
        for id in ids {
            self.resolve_link(shared, id);
        }
        self.links.clear();
        self.by_remote_handle.clear();
    }

    // ---- sending -----------------------------------------------------------------------------------------------

    /// Queues a message on a link. `Err` gives it back: there is no such link, or it cannot send.
    pub(super) fn send(&mut self, shared: &mut Shared, id: LinkId, outgoing: Outgoing) -> Result<(), Outgoing> {
        let Some(link) = self.link_mut(id) else { return Err(outgoing) };
        if matches!(link.state, LinkState::DetachSent | LinkState::Refused) {
            return Err(outgoing);
        }
        let Half::Sender(half) = &mut link.half else { return Err(outgoing) };
        half.queue.push_back(outgoing);
        shared.mark_ready(id, half);
        Ok(())
    }

    /// Takes a delivery back: `NotSent` when no frame of it left, else `Unknown`; its outcome will not be reported.
    pub(super) fn cancel(&mut self, id: LinkId, key: DeliveryKey) -> Option<Outcome> {
        for slot in &mut self.unsettled {
            if slot.as_ref().is_some_and(|unsettled| unsettled.key == key && unsettled.handle == id.handle) {
                // It stays numbered, and a half-sent one goes on leaving: a delivery cannot be cut short.
                *slot = None;
                self.trim_unsettled();
                return Some(Outcome::Unknown);
            }
        }
        let link = self.link_mut(id)?;
        let Half::Sender(half) = &mut link.half else { return None };
        let index = half.queue.iter().position(|outgoing| outgoing.key == key)?;
        if index == 0 && half.started {
            // Half-sent. Unless it was sent settled, its outcome has been told.
            return (half.queue[0].settle_mode == SettleMode::Settled).then_some(Outcome::Unknown);
        }
        half.queue.remove(index);
        Some(Outcome::NotSent)
    }

    /// Takes a delivery back if no frame of it has left; whether it could.
    pub(super) fn withdraw(&mut self, id: LinkId, key: DeliveryKey) -> bool {
        let half = self.link_mut(id).and_then(|link| link.half.sender_mut());
        let Some(half) = half else { return false };
        let index = half.queue.iter().position(|outgoing| outgoing.key == key);
        let is_here = index.is_some_and(|index| index > 0 || !half.started);
        if is_here {
            index.map(|index| half.queue.remove(index));
        }
        is_here
    }

    /// Writes one frame of the link's next message; whether more could follow at once.
    pub(super) fn pump(&mut self, shared: &mut Shared, id: LinkId) -> bool {
        if self.state != SessionState::Mapped || self.remote_incoming_window == 0 {
            return false;
        }
        let channel = self.id.channel;
        let delivery_id = self.next_delivery;
        let Some(link) = self.links.get_mut(id.handle as usize).and_then(Option::as_mut).filter(|link| link.id == id)
        else {
            return false;
        };
        let (Half::Sender(half), LinkState::Attached) = (&mut link.half, link.state) else { return false };
        if !half.can_send() {
            return false;
        }
        let position = shared.out.position();
        let tag = (!half.started).then(|| half.start());
        let Some(outgoing) = half.queue.front() else { return false };
        let (settle_mode, message_format) = (outgoing.settle_mode, outgoing.message_format);
        let header = TransferHeader {
            channel,
            handle: id.handle,
            first: tag.map(|tag| (delivery_id as DeliveryNumber, tag, message_format)),
            settled: settle_mode == SettleMode::Settled,
        };
        let rest: Bytes = outgoing.payload.slice(half.offset..);
        let len = shared.out.put_transfer(&header, &rest, shared.max_frame_size);
        let (key, done) = (outgoing.key, len == rest.len());
        half.offset += len;
        if done {
            half.finish();
        }
        let more = half.can_send();
        let emptied = done && half.queue.is_empty();
        let drained = emptied && half.drain && !shared.takes_links;
        if emptied {
            shared.ask_for_more(id);
        }
        if tag.is_some() {
            self.next_delivery += 1;
            let unsettled =
                (settle_mode == SettleMode::Unsettled).then_some(Unsettled { key, handle: id.handle, position });
            self.unsettled.push_back(unsettled);
            self.trim_unsettled();
        }
        self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
        self.remote_incoming_window -= 1;
        if drained {
            self.drained(shared, id.handle);
        }
        more && self.remote_incoming_window > 0
    }

    fn trim_unsettled(&mut self) {
        while let Some(None) = self.unsettled.front() {
            self.unsettled.pop_front();
        }
    }

    /// Deliveries of ours that have left and have no outcome yet.
    #[cfg(test)]
    pub(super) fn unsettled_len(&self) -> usize {
        self.unsettled.iter().flatten().count()
    }

    pub(super) fn on_disposition(&mut self, shared: &mut Shared, disposition: &performatives::Disposition) {
        if disposition.role == Role::Sender {
            // The peer settles what it sent; a receiver of ours keeps no record of it.
            return;
        }
        let Some(outcome) = Outcome::of_state(disposition.state.as_ref(), disposition.settled) else { return };
        let base = self.next_delivery - self.unsettled.len() as u64;
        let last = disposition.last.unwrap_or(disposition.first);
        let Some(last) = serial::unwrapped(last, self.next_delivery) else { return };
        let Some(first) = serial::unwrapped(disposition.first, last) else { return };
        // Only what is unsettled is walked: the range is the peer's word, and may be 2^32 long.
        let end = last.saturating_add(1).min(self.next_delivery);
        for number in first.max(base)..end {
            let Some(unsettled) = self.unsettled[(number - base) as usize].take() else { continue };
            let Some(link) = self.links.get(unsettled.handle as usize).and_then(Option::as_ref) else { continue };
            shared.outcome(link.id, unsettled.key, outcome.clone());
        }
        self.trim_unsettled();
        if !disposition.settled {
            // Source: AMQP 1.0 part 2, 2.6.12: the sender settles last when the receiver did not.
            shared.put_or_end(self.id.channel, &settle_as_sender(disposition));
        }
    }
}

fn on_attach_answer(shared: &mut Shared, link: &mut Link, attach: &performatives::Attach) {
    link.remote_handle = Some(attach.handle.0);
    if link.state == LinkState::DetachSent {
        // We gave up on it before the answer came; the peer's detach will free the handle.
        return;
    }
    let refused = match &link.half {
        Half::Sender(_) => attach.target.is_none(),
        Half::Receiver(_) => attach.source.is_none(),
    };
    if refused {
        link.state = LinkState::Refused;
        return;
    }
    link.state = LinkState::Attached;
    match &mut link.half {
        Half::Receiver(half) => half.delivery_count = attach.initial_delivery_count.unwrap_or(0),
        Half::Sender(half) => shared.mark_ready(link.id, half),
    }
    shared.events.push_back(Event::Attached {
        link: link.id,
        max_message_size: attach.max_message_size.filter(|&size| size > 0),
    });
}

fn detach(handle: u32, closed: bool, error: Option<&PeerError>) -> performatives::Detach {
    performatives::Detach { handle: Handle(handle), closed, error: error.map(Error::from) }
}

fn settle_as_sender(disposition: &performatives::Disposition) -> performatives::Disposition {
    performatives::Disposition { role: Role::Sender, settled: true, state: None, ..disposition.clone() }
}
