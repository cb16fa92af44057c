//! Credit, transfers, and what becomes of deliveries.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::links::{Link, MAX_KNOWN, Node, Partial, Session, Unsettled};
use super::requests::{MAX_MESSAGE_LEN, Request};
use super::{Dialogue, Direction, Events, Message, Notes, Refusal, Secrets, Settled};
use crate::trace::contents::Contents;
use crate::trace::mask;
use crate::trace::performative::Composite;
use crate::trace::summary::Phase;

impl Dialogue {
    pub(super) fn flow(
        &mut self,
        direction: Direction,
        channel: u16,
        flow: &Composite,
        at: Duration,
        notes: &mut Notes,
    ) {
        let Some(session) = self.sessions.get(direction, channel) else { return };
        let Some(place) = flow.number("handle").and_then(|handle| session.link(direction, handle)) else { return };
        let link = &mut session.links[place];
        notes.link = Some((link.nick.clone(), link.sends));
        let Some(credit) = flow.number("link-credit").filter(|_| link.sends != direction) else { return };
        let delivery_count = flow.number("delivery-count").unwrap_or(link.delivery_count);
        link.limit = Some(delivery_count.wrapping_add(credit));
        if credit_of(link) > 0
            && let Some(since) = link.dry_since.take()
        {
            let stalled = at.saturating_sub(since);
            notes.stalled = Some(stalled);
            let totals = self.summary.link(&link.nick);
            totals.stalls += 1;
            totals.stalled += stalled;
        }
    }

    pub(super) fn transfer(
        &mut self,
        direction: Direction,
        channel: u16,
        transfer: &Composite,
        payload: &mut BytesMut,
        at: Duration,
        notes: &mut Notes,
    ) {
        let (secrets, events) = (self.secrets, self.events);
        let found = self.sessions.get(direction, channel).and_then(|session| {
            let place = session.link(direction, transfer.number("handle")?)?;
            Some((session, place))
        });
        let Some((session, place)) = found else {
            // Whose it is cannot be told: it may be a request.
            return self.mask(|| mask::request(payload, true));
        };
        let id = transfer.number("delivery-id");
        let delivery_id = id.unwrap_or(session.last_id[direction.index()]);
        session.last_id[direction.index()] = delivery_id;
        let link = &mut session.links[place];
        let is_first = link.partial.is_none();
        if is_first {
            begin(link, at);
        }
        let mut partial = link.partial.take().unwrap_or_else(|| Partial::new(delivery_id, transfer, at));
        let is_seen = link.node != Node::EventHub || events == Events::Seen;
        if secrets == Secrets::Masked && is_seen {
            mask_payload(link, &partial, is_first, payload);
        }
        partial.take(payload, link.node != Node::EventHub);
        partial.is_settled |= transfer.is("settled");
        notes.link = Some((link.nick.clone(), link.sends));
        notes.delivery_id = Some(partial.id);
        if link.node == Node::EventHub && self.summary.is_clients(direction) {
            self.summary.begin(Phase::FirstAccepted, at);
        }
        if transfer.is("more") {
            link.partial = Some(partial);
        } else if !transfer.is("aborted") {
            self.whole(direction, channel, place, partial, at, notes);
        }
    }

    /// A delivery whose last transfer has passed.
    fn whole(
        &mut self,
        direction: Direction,
        channel: u16,
        place: usize,
        partial: Partial,
        at: Duration,
        notes: &mut Notes,
    ) {
        let Some(session) = self.sessions.get(direction, channel) else { return };
        let link = &session.links[place];
        let (node, nick) = (link.node, link.nick.clone());
        if !partial.is_settled {
            owe(session, direction, partial.id, Unsettled { link: place, since: partial.began });
        }
        if node != Node::EventHub {
            return self.said_to_node(node, &partial.message.freeze(), at, notes);
        }
        let events = partial.contents.events(partial.format);
        notes.message = Some(Message { len: partial.len, events, transfers: partial.transfers });
        if !self.summary.is_clients(direction) {
            self.summary.end(Phase::FirstEvent, at);
        }
        let totals = self.summary.link(&nick);
        totals.deliveries += 1;
        totals.events += events.unwrap_or(0);
        totals.bytes += partial.len;
        // What is sent settled has no outcome to wait for.
        totals.accepted += u64::from(partial.is_settled);
    }

    fn said_to_node(&mut self, node: Node, message: &Bytes, at: Duration, notes: &mut Notes) {
        if let Some(request) = Request::read(message) {
            self.requests.ask(node, message, &request, at);
            if node == Node::Cbs {
                self.summary.begin(Phase::Token, at);
            }
            notes.request = Some(request);
        } else if let Some(reply) = self.requests.answer(node, message, at) {
            if node == Node::Cbs {
                self.summary.end(Phase::Token, at);
            }
            notes.error = Refusal::of_reply(node, &reply);
            notes.reply = Some(reply);
        }
    }

    pub(super) fn disposition(
        &mut self,
        direction: Direction,
        channel: u16,
        disposition: &Composite,
        at: Duration,
        notes: &mut Notes,
    ) {
        let Some(session) = self.sessions.get(direction, channel) else { return };
        let Some(first) = disposition.number("first") else { return };
        let last = disposition.number("last").unwrap_or(first);
        // The receiver's word is about what the other side has sent.
        let sent = if disposition.is("role") { direction.other() } else { direction };
        let settled = session.settle(sent, first, last);
        let state = disposition.composite("state");
        let name = state.as_ref().map_or("", Composite::name);
        let mut note = Settled { deliveries: 0, after: Duration::ZERO };
        for unsettled in &settled {
            let link = &session.links[unsettled.link];
            let after = at.saturating_sub(unsettled.since);
            note = Settled { deliveries: note.deliveries + 1, after: note.after.max(after) };
            notes.link = Some((link.nick.clone(), link.sends));
            if link.node != Node::EventHub {
                continue;
            }
            let totals = self.summary.link(&link.nick);
            totals.slowest = totals.slowest.max(after);
            match name {
                "accepted" => totals.accepted += 1,
                "rejected" => totals.rejected += 1,
                "released" | "modified" => totals.released += 1,
                _ => {}
            }
            if name == "accepted" {
                self.summary.end(Phase::FirstAccepted, at);
            }
        }
        notes.settled = (note.deliveries > 0).then_some(note);
    }
}

impl Partial {
    fn new(id: u32, transfer: &Composite, began: Duration) -> Self {
        Self {
            id,
            format: transfer.number("message-format").unwrap_or(0),
            is_settled: false,
            began,
            len: 0,
            transfers: 0,
            contents: Contents::default(),
            message: BytesMut::new(),
            tail: Vec::new(),
        }
    }

    fn take(&mut self, payload: &[u8], is_kept: bool) {
        self.len += payload.len() as u64;
        self.transfers += 1;
        if is_kept {
            let room = MAX_MESSAGE_LEN.saturating_sub(self.message.len());
            self.message.extend_from_slice(&payload[..payload.len().min(room)]);
        } else {
            self.contents.push(payload);
        }
        mask::extend_tail(&mut self.tail, payload);
    }
}

/// A delivery takes a credit.
fn begin(link: &mut Link, at: Duration) {
    link.delivery_count = link.delivery_count.wrapping_add(1);
    if link.limit.is_some() && credit_of(link) == 0 {
        link.dry_since.get_or_insert(at);
    }
}

/// Of numbers that wrap.
fn credit_of(link: &Link) -> u32 {
    let left = link.limit.unwrap_or(link.delivery_count).wrapping_sub(link.delivery_count);
    if left > u32::MAX / 2 { 0 } else { left }
}

fn mask_payload(link: &Link, partial: &Partial, is_first: bool, payload: &mut [u8]) {
    let is_request = link.node != Node::EventHub && !link.is_answers;
    match (is_request, is_first) {
        (true, true) => mask::request(payload, link.node == Node::Cbs),
        // Where the token stands in it is not known any more.
        (true, false) => mask::all(payload),
        (false, true) => mask::sections(payload),
        (false, false) => mask::continued(&partial.tail, payload),
    }
}

/// Remembers what has no outcome yet; of too many the oldest is forgotten.
fn owe(session: &mut Session, direction: Direction, id: u32, unsettled: Unsettled) {
    let owed = &mut session.unsettled[direction.index()];
    if owed.len() >= MAX_KNOWN {
        owed.pop_first();
    }
    owed.insert(id, unsettled);
}
