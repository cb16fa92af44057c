//! What becomes of deliveries, told in as few frames as will do.

use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Rejected};

use crate::engine::{Connection, SessionId};
use crate::wire::frame::PeerError;

/// Deliveries accepted one after the other, which one disposition settles.
#[derive(Debug, Default)]
pub(super) struct Settlements {
    accepted: Option<(SessionId, u32, u32)>,
    /// Those that go the other way round.
    held: Vec<(SessionId, u32, DeliveryState)>,
}

impl Settlements {
    /// Settles a delivery: with its neighbours when it is accepted, else at once.
    pub(super) fn settle(&mut self, engine: &mut Connection, session: SessionId, number: u32, state: DeliveryState) {
        match (state, &mut self.accepted) {
            (DeliveryState::Accepted(_), Some((same, _, last)))
                if *same == session && last.wrapping_add(1) == number =>
            {
                *last = number;
            }
            (DeliveryState::Accepted(_), _) => {
                self.flush_accepted(engine);
                self.accepted = Some((session, number, number));
            }
            (state, _) => {
                self.flush_accepted(engine);
                engine.settle(session, number, number, state);
            }
        }
    }

    /// Settles a delivery after those that come behind it.
    pub(super) fn hold(&mut self, session: SessionId, number: u32, state: DeliveryState) {
        self.held.push((session, number, state));
    }

    /// Settles what waits; how many were turned round.
    pub(super) fn flush(&mut self, engine: &mut Connection) -> usize {
        self.flush_accepted(engine);
        let turned = self.held.len();
        for (session, number, state) in self.held.drain(..).rev() {
            engine.settle(session, number, number, state);
        }
        turned
    }

    fn flush_accepted(&mut self, engine: &mut Connection) {
        if let Some((session, first, last)) = self.accepted.take() {
            engine.settle(session, first, last, DeliveryState::Accepted(Accepted {}));
        }
    }
}

/// What a delivery is told that was taken, or that was not for this reason.
pub(super) fn state(result: Result<(), PeerError>) -> DeliveryState {
    match result {
        Ok(()) => DeliveryState::Accepted(Accepted {}),
        Err(error) => DeliveryState::Rejected(Rejected { error: Some(Error::from(&error)) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::emulator::connection::config;
    use crate::emulator::namespace::Limits;
    use crate::engine::{Accept, Attach, Config, Event, LinkId, LinkRole, Outcome, Outgoing, Role, SettleMode};
    use bytes::{Bytes, BytesMut};
    use std::time::Instant;

    /// Two ends of a connection, and a sending link between them.
    struct Pair {
        client: Connection,
        server: Connection,
        link: LinkId,
        now: Instant,
    }

    impl Pair {
        fn new() -> Self {
            let now = clock::now();
            let server = Connection::new(config(0, &Limits::default()), now);
            let client = Config { role: Role::Client, ..config(1, &Limits::default()) };
            let mut client = Connection::new(client, now);
            let session = client.begin().expect("a session");
            let attach = Attach {
                name: "link".into(),
                role: LinkRole::Sender,
                source: None,
                target: Some("hub".into()),
                selector: None,
                max_message_size: 0,
                desired_capabilities: Vec::new(),
                properties: None,
            };
            let link = client.attach(session, &attach).expect("it fits").expect("a handle");
            let mut pair = Self { client, server, link, now };
            pair.exchange();
            let request = std::iter::from_fn(|| pair.server.poll_event())
                .find_map(|event| match event {
                    Event::AttachRequest { link, .. } => Some(link),
                    _ => None,
                })
                .expect("an attach");
            pair.server.accept(request, &Accept { max_message_size: 1_000, ..Accept::default() });
            pair.server.set_credit(request, 300);
            pair.exchange();
            pair
        }

        /// Moves bytes until neither end has any.
        fn exchange(&mut self) {
            while hand_over(&mut self.client, &mut self.server, self.now)
                | hand_over(&mut self.server, &mut self.client, self.now)
            {}
        }

        /// Sends `count` messages, which arrive together: their session, and their delivery ids.
        fn deliver(&mut self, count: u64) -> (SessionId, Vec<u32>) {
            for key in 0..count {
                let payload = Bytes::from_static(b"x");
                let outgoing = Outgoing { key, message_format: 0, payload, settle_mode: SettleMode::Unsettled };
                self.client.send(self.link, outgoing).expect("a link");
            }
            self.exchange();
            let deliveries: Vec<_> = std::iter::from_fn(|| self.server.poll_event())
                .filter_map(|event| match event {
                    Event::Delivery { link, delivery } => Some((link.session, delivery.delivery_id)),
                    _ => None,
                })
                .collect();
            (deliveries[0].0, deliveries.into_iter().map(|(_, id)| id).collect())
        }

        fn outcomes(&mut self) -> Vec<(u64, bool)> {
            std::iter::from_fn(|| self.client.poll_event())
                .filter_map(|event| match event {
                    Event::Outcome { key, outcome, .. } => Some((key, outcome == Outcome::Accepted)),
                    _ => None,
                })
                .collect()
        }
    }

    fn hand_over(from: &mut Connection, to: &mut Connection, now: Instant) -> bool {
        from.pump();
        let mut slices = [std::io::IoSlice::new(&[]); 64];
        let filled = from.outbox().slices(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        from.wrote(now, bytes.len());
        to.receive(now, &mut BytesMut::from(&bytes[..]));
        !bytes.is_empty()
    }

    #[test]
    fn deliveries_of_one_read_are_settled_by_one_disposition() {
        let mut pair = Pair::new();
        let (session, ids) = pair.deliver(20);
        let mut settlements = Settlements::default();
        let before = pair.server.outbox().len();
        for &id in &ids {
            settlements.settle(&mut pair.server, session, id, state(Ok(())));
        }
        assert_eq!(pair.server.outbox().len(), before, "nothing leaves before the read is through");
        settlements.flush(&mut pair.server);
        let one = pair.server.outbox().len() - before;
        assert!(one < 40, "{one} bytes are more than one disposition");
        pair.exchange();
        assert_eq!(pair.outcomes(), (0..20).map(|key| (key, true)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_held_is_settled_the_other_way_round() {
        let mut pair = Pair::new();
        let (session, ids) = pair.deliver(3);
        let mut settlements = Settlements::default();
        ids.iter().for_each(|&id| settlements.hold(session, id, state(Ok(()))));
        assert_eq!(settlements.flush(&mut pair.server), 3);
        pair.exchange();
        assert_eq!(pair.outcomes(), [(2, true), (1, true), (0, true)]);
    }

    #[test]
    fn a_rejection_among_the_accepted_is_settled_in_its_place() {
        let mut pair = Pair::new();
        let (session, ids) = pair.deliver(5);
        let mut settlements = Settlements::default();
        for &id in &ids {
            let result = if id == ids[2] { Err(PeerError::new("amqp:not-allowed", "no")) } else { Ok(()) };
            settlements.settle(&mut pair.server, session, id, state(result));
        }
        settlements.flush(&mut pair.server);
        pair.exchange();
        assert_eq!(pair.outcomes(), [(0, true), (1, true), (2, false), (3, true), (4, true)]);
    }
}
