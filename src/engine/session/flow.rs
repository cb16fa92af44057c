//! Windows and credit: what either side may send. Source: AMQP 1.0 part 2, 2.5.6 and 2.6.7.

use fe2o3_amqp_types::definitions::Handle;
use fe2o3_amqp_types::performatives;

use super::{INCOMING_WINDOW, Session, SessionState, Shared};
use crate::engine::link::{Half, LinkState, SenderHalf};
use crate::engine::{LinkId, serial};

impl Session {
    pub(in crate::engine) fn on_flow(&mut self, shared: &mut Shared, flow: &performatives::Flow) {
        let their_next = flow.next_incoming_id.unwrap_or(self.first_transfer_id);
        let was_shut = self.remote_incoming_window == 0;
        self.remote_incoming_window = serial::left(their_next, flow.incoming_window, self.next_outgoing_id);
        let handle = flow.handle.as_ref().and_then(|handle| self.by_remote_handle.get(&handle.0)).copied();
        if let Some(handle) = handle {
            self.on_link_flow(shared, handle, flow);
        }
        if was_shut && self.remote_incoming_window > 0 {
            self.mark_all_ready(shared);
        }
        if flow.echo {
            self.put_flow(shared, handle);
        }
    }

    fn on_link_flow(&mut self, shared: &mut Shared, handle: u32, flow: &performatives::Flow) {
        let Some(link) = self.links[handle as usize].as_mut() else { return };
        let (id, state) = (link.id, link.state);
        // What a sender says of its own link changes nothing for us: credit is ours to give.
        let Half::Sender(half) = &mut link.half else { return };
        if state == LinkState::DetachSent {
            return;
        }
        if let Some(credit) = flow.link_credit {
            half.grant(flow.delivery_count, credit, shared.first_delivery_count);
        }
        half.drain = flow.drain;
        shared.mark_ready(id, half);
        if shared.takes_links && half.queue.is_empty() {
            shared.ask_for_more(id);
        } else if half.drain && half.queue.is_empty() {
            self.drained(shared, handle);
        }
    }

    /// See [`Connection::exhausted`](super::connection::Connection::exhausted).
    pub(in crate::engine) fn exhausted(&mut self, shared: &mut Shared, id: LinkId) {
        let half = self.link_mut(id).and_then(|link| link.half.sender_mut());
        if half.is_some_and(|half| half.drain && half.queue.is_empty()) {
            self.drained(shared, id.handle);
        }
    }

    /// Gives the credit back that the receiver asked for and that nothing is left to use.
    /// Source: AMQP 1.0 part 2, 2.6.7.
    pub(super) fn drained(&mut self, shared: &mut Shared, handle: u32) {
        let link = self.links[handle as usize].as_mut();
        let Some(half) = link.and_then(|link| link.half.sender_mut()) else { return };
        half.delivery_count = half.delivery_count.wrapping_add(half.credit);
        half.credit = 0;
        self.put_flow(shared, Some(handle));
        // Asked once, answered once.
        if let Some(half) = self.links[handle as usize].as_mut().and_then(|link| link.half.sender_mut()) {
            half.drain = false;
        }
    }

    pub(super) fn mark_all_ready(&mut self, shared: &mut Shared) {
        for link in self.links.iter_mut().flatten() {
            if let Half::Sender(half) = &mut link.half {
                shared.mark_ready(link.id, half);
            }
        }
    }

    /// Grants `credit` deliveries from now on, in all.
    pub(in crate::engine) fn set_credit(&mut self, shared: &mut Shared, id: LinkId, credit: u32) {
        let Some(link) = self.link_mut(id) else { return };
        if link.state != LinkState::Attached {
            return;
        }
        let Half::Receiver(half) = &mut link.half else { return };
        (half.credit, half.is_withheld) = (credit, false);
        self.put_flow(shared, Some(id.handle));
    }

    /// See [`Connection::withhold_credit`](super::connection::Connection::withhold_credit).
    pub(in crate::engine) fn withhold_credit(&mut self, shared: &mut Shared, id: LinkId) {
        let Some(link) = self.link_mut(id).filter(|link| link.state == LinkState::Attached) else { return };
        let Half::Receiver(half) = &mut link.half else { return };
        half.is_withheld = true;
        self.put_flow(shared, Some(id.handle));
    }

    pub(super) fn put_flow(&mut self, shared: &mut Shared, handle: Option<u32>) {
        self.incoming_window = INCOMING_WINDOW;
        let link = handle.and_then(|handle| self.links[handle as usize].as_ref());
        // A handle that we have not attached, or have detached, means nothing to the peer.
        let link = link.filter(|link| link.state == LinkState::Attached);
        let (delivery_count, credit, drain) = match link.map(|link| &link.half) {
            Some(Half::Sender(SenderHalf { delivery_count, credit, drain, .. })) => {
                (Some(*delivery_count), Some(*credit), *drain)
            }
            Some(Half::Receiver(half)) => {
                (Some(half.delivery_count), Some(if half.is_withheld { 0 } else { half.credit }), false)
            }
            None => (None, None, false),
        };
        let flow = performatives::Flow {
            next_incoming_id: (self.state == SessionState::Mapped).then_some(self.next_incoming_id),
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: INCOMING_WINDOW,
            handle: link.map(|link| Handle(link.id.handle)),
            delivery_count,
            link_credit: credit,
            available: None,
            drain,
            echo: false,
            properties: None,
        };
        shared.put_or_end(self.id.channel, &flow);
    }
}
