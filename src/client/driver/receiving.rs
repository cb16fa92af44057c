//! Events on their way from the hub to whoever holds their receiver.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::Accepted;
use tokio::sync::mpsc;

use crate::client::error::Error;
use crate::engine::{Connection, Delivery, SessionId};

/// Encoded events for a receiver, and last of all why no more will come. Credit bounds what waits in it.
pub(in crate::client) type Events = mpsc::UnboundedSender<Result<Bytes, Error>>;

/// What has come, as its receiver gets it.
pub(super) fn event_of(delivery: Delivery) -> Result<Bytes, Error> {
    let size = delivery.size;
    let payload =
        delivery.payload.ok_or_else(|| Error::Violation { what: format!("it sent an event of {size} bytes") });
    payload.map(|payload| payload.into_bytes())
}

/// Deliveries that have come unsettled: they are accepted in ranges, many in one frame.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    range: Option<(SessionId, u32, u32)>,
}

impl Arrivals {
    /// A hub does not wait for outcomes, and keeps what was read. Source: event-hubs-wire 8.
    pub(super) fn note(&mut self, engine: &mut Connection, session: SessionId, delivery: &Delivery) {
        if delivery.settled {
            return;
        }
        let id = delivery.delivery_id;
        match &mut self.range {
            Some((of, _, last)) if *of == session && id == last.wrapping_add(1) => *last = id,
            _ => {
                self.settle(engine);
                self.range = Some((session, id, id));
            }
        }
    }

    pub(super) fn settle(&mut self, engine: &mut Connection) {
        if let Some((session, first, last)) = self.range.take() {
            engine.settle(session, first, last, Accepted {}.into());
        }
    }
}
