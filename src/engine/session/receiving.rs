//! The peer's deliveries: frame by frame until they are whole, and their settling. Source: AMQP 1.0 part 2, 2.6.12 and 2.7.5.

use bytes::Bytes;
use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::DeliveryState;
use fe2o3_amqp_types::performatives;

use super::{Breach, Event, INCOMING_WINDOW, Session, Shared};
use crate::engine::link::{Half, Link, LinkState, Partial, ReceiverHalf};
use crate::wire::frame::PeerError;

impl Session {
    pub(in crate::engine) fn on_transfer(
        &mut self,
        shared: &mut Shared,
        transfer: &performatives::Transfer,
        payload: Bytes,
    ) -> Result<(), Breach> {
        // It is opened again at half, below, so no peer can overrun it: credit is what bounds a peer.
        self.incoming_window -= 1;
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        let Some(&handle) = self.by_remote_handle.get(&transfer.handle.0) else {
            let text = format!("a transfer on handle {}, which is not attached", transfer.handle.0);
            return Err(Breach::new("amqp:session:unattached-handle", text));
        };
        if let Some(link) = self.links[handle as usize].as_mut().filter(|link| link.state != LinkState::DetachSent) {
            let id = link.id;
            if let Err(error) = receive(shared, link, transfer, payload) {
                link.told = true;
                shared.events.push_back(Event::Detached { link: id, error: Some(error.clone()) });
                self.detach(shared, id, Some(&error));
            }
        }
        if self.incoming_window <= INCOMING_WINDOW / 2 {
            self.put_flow(shared, None);
        }
        Ok(())
    }

    /// Gives the peer's deliveries `first..=last` their outcome, settled.
    pub(in crate::engine) fn settle(&self, shared: &mut Shared, first: u32, last: u32, state: DeliveryState) {
        let disposition = performatives::Disposition {
            role: Role::Receiver,
            first,
            last: Some(last),
            settled: true,
            state: Some(state),
            batchable: false,
        };
        shared.put_or_end(self.id.channel, &disposition);
    }
}

/// Takes one transfer frame for a receiving link. An error ends the link.
fn receive(
    shared: &mut Shared,
    link: &mut Link,
    transfer: &performatives::Transfer,
    payload: Bytes,
) -> Result<(), PeerError> {
    let Half::Receiver(half) = &mut link.half else {
        return Err(PeerError::new("amqp:not-allowed", "a transfer on a link whose sender is this end"));
    };
    let mut partial = match half.partial.take() {
        Some(partial) => continued(partial, transfer, payload.len() as u64, half.max_message_size)?,
        None => first_of_delivery(half, transfer)?,
    };
    if transfer.aborted {
        return Ok(());
    }
    partial.settled |= transfer.settled == Some(true);
    partial.push(payload, half.max_message_size);
    if transfer.more {
        half.partial = Some(partial);
    } else {
        let delivery = partial.finish(half.max_message_size);
        shared.events.push_back(Event::Delivery { link: link.id, delivery });
    }
    Ok(())
}

fn first_of_delivery(half: &mut ReceiverHalf, transfer: &performatives::Transfer) -> Result<Partial, PeerError> {
    if half.credit == 0 {
        return Err(PeerError::new("amqp:link:transfer-limit-exceeded", "a transfer without link credit"));
    }
    let Some(delivery_id) = transfer.delivery_id else {
        return Err(PeerError::new("amqp:invalid-field", "the first transfer of a delivery has no delivery-id"));
    };
    half.credit -= 1;
    half.delivery_count = half.delivery_count.wrapping_add(1);
    Ok(Partial::new(delivery_id, transfer.message_format.unwrap_or(0)))
}

/// A delivery goes on. One that is over the limit may change its number on the way, as those of fe2o3-amqp 0.16 do, on
/// which the official Rust SDK stands: it is refused for its size, which says more.
fn continued(
    partial: Partial,
    transfer: &performatives::Transfer,
    more: u64,
    limit: u64,
) -> Result<Partial, PeerError> {
    let is_too_large = limit > 0 && partial.size() + more > limit;
    match transfer.delivery_id {
        Some(id) if id != partial.delivery_id && !is_too_large => {
            Err(PeerError::new("amqp:not-allowed", "a delivery began before the one before it was complete"))
        }
        _ => Ok(partial),
    }
}
