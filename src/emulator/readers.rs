//! Who reads a partition, and who has to give way. Source: event-hubs-wire 8.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::LinkId;
use crate::wire::condition;
use crate::wire::frame::PeerError;

use super::mailbox::{Mailbox, Order};
use super::store::PartitionRef;

/// Receivers without an owner level that may read a partition for one consumer group. Source: event-hubs-wire 13.
const MAX_WITHOUT_OWNER: usize = 5;

/// A partition, read for a consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) partition: PartitionRef,
    /// Index of the group; see [`Hub::consumer_group`](super::namespace::Hub::consumer_group).
    pub(super) group: usize,
}

/// A receiver's place among its like, for [`Readers::leave`].
#[derive(Debug)]
pub(super) struct Seat {
    place: Place,
    serial: u64,
}

/// Every receiver of every connection.
#[derive(Debug, Default)]
pub(super) struct Readers {
    by_place: HashMap<Place, Vec<Reader>>,
    next_serial: u64,
}

#[derive(Debug)]
struct Reader {
    serial: u64,
    owner_level: Option<i64>,
    name: String,
    link: LinkId,
    mailbox: Arc<Mailbox>,
}

impl Readers {
    /// Lets a receiver in, and has those detached that it displaces; or says why it may not read.
    pub(super) fn enter(
        &mut self,
        place: Place,
        owner_level: Option<i64>,
        name: &str,
        link: LinkId,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Seat, PeerError> {
        let readers = self.by_place.entry(place).or_default();
        match owner_level {
            Some(level) => {
                if let Some(owner) = readers.iter().find(|reader| reader.owner_level > Some(level)) {
                    return Err(lower(owner, name, level));
                }
                for displaced in readers.drain(..) {
                    displaced.mailbox.post(Order::Detach(displaced.link, stolen(&displaced, name, level)));
                }
            }
            None => {
                if let Some(owner) = readers.iter().find_map(|reader| reader.owner_level) {
                    return Err(owned(owner));
                }
                if readers.len() >= MAX_WITHOUT_OWNER {
                    return Err(too_many(readers));
                }
            }
        }
        self.next_serial += 1;
        let serial = self.next_serial;
        readers.push(Reader { serial, owner_level, name: name.to_owned(), link, mailbox: Arc::clone(mailbox) });
        Ok(Seat { place, serial })
    }

    /// A receiver has gone. One that was displaced has left already.
    pub(super) fn leave(&mut self, seat: &Seat) {
        let Some(readers) = self.by_place.get_mut(&seat.place) else { return };
        readers.retain(|reader| reader.serial != seat.serial);
        if readers.is_empty() {
            self.by_place.remove(&seat.place);
        }
    }
}

fn stolen(displaced: &Reader, name: &str, level: i64) -> PeerError {
    let text = match displaced.owner_level {
        Some(own) => format!(
            "New receiver '{name}' with {} epoch of '{level}' is created hence current receiver '{}' with epoch '{own}' \
             is getting disconnected. If you are recreating the receiver, make sure a higher epoch is used.",
            if level > own { "higher" } else { "the same" },
            displaced.name
        ),
        None => format!(
            "New receiver '{name}' with epoch '{level}' is created hence current receiver '{}' without epoch is getting \
             disconnected. Receive with an epoch, or from another consumer group.",
            displaced.name
        ),
    };
    PeerError::new(condition::LINK_STOLEN, text)
}

fn lower(owner: &Reader, name: &str, level: i64) -> PeerError {
    let text = format!(
        "Receiver '{}' with a higher epoch of '{}' already exists. Receiver '{name}' with epoch {level} cannot be \
         created. Make sure you are creating receiver with increasing epoch value to ensure connectivity, or ensure all \
         old epoch receivers are closed or disconnected.",
        owner.name,
        owner.owner_level.unwrap_or_default()
    );
    PeerError::new(condition::LINK_STOLEN, text)
}

fn owned(owner_level: i64) -> PeerError {
    let text = format!(
        "At least one receiver for the endpoint is created with epoch of '{owner_level}', and so non-epoch receiver is \
         not allowed. Either reconnect with a higher epoch, or make sure all epoch receivers are closed or disconnected."
    );
    PeerError::new(condition::LINK_STOLEN, text)
}

fn too_many(readers: &[Reader]) -> PeerError {
    let names: Vec<_> = readers.iter().map(|reader| format!("'{}'", reader.name)).collect();
    let text = format!(
        "Exceeded the maximum number of allowed receivers per partition in a consumer group which is \
         {MAX_WITHOUT_OWNER}. List of connected receivers - {}.",
        names.join(", ")
    );
    PeerError::new(condition::RESOURCE_LIMIT_EXCEEDED, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::emulator::connection::config;
    use crate::emulator::namespace::Limits;
    use crate::engine::{Attach, Config, Connection, LinkRole, Role};

    const PLACE: Place = Place { partition: PartitionRef { hub: 0, partition: 0 }, group: 0 };

    /// Any link's name.
    fn link() -> LinkId {
        let mut client = Connection::new(Config { role: Role::Client, ..config(0, &Limits::default()) }, clock::now());
        let session = client.begin().expect("a session");
        let attach = Attach {
            name: "link".into(),
            role: LinkRole::Receiver,
            source: None,
            target: None,
            selector: None,
            max_message_size: 0,
            desired_capabilities: Vec::new(),
            properties: None,
        };
        client.attach(session, &attach).expect("it fits").expect("a handle")
    }

    struct Table {
        readers: Readers,
        link: LinkId,
        mailboxes: Vec<Arc<Mailbox>>,
    }

    impl Table {
        fn new() -> Self {
            Self { readers: Readers::default(), link: link(), mailboxes: Vec::new() }
        }

        /// Lets a receiver in; its mailbox stands at the end of the list.
        fn enter(&mut self, owner_level: Option<i64>) -> Result<Seat, PeerError> {
            let mailbox = Arc::new(Mailbox::default());
            self.mailboxes.push(Arc::clone(&mailbox));
            let name = format!("r{}", self.mailboxes.len());
            self.readers.enter(PLACE, owner_level, &name, self.link, &mailbox)
        }

        /// What those were told who had to give way.
        fn told(&self) -> Vec<usize> {
            let told = |(index, mailbox): (usize, &Arc<Mailbox>)| match mailbox.take().as_slice() {
                [] => None,
                [Order::Detach(link, error)] if *link == self.link && error.condition == condition::LINK_STOLEN => {
                    Some(index)
                }
                other => panic!("{other:?}"),
            };
            self.mailboxes.iter().enumerate().filter_map(told).collect()
        }
    }

    #[test]
    fn five_read_side_by_side_and_the_sixth_is_told_of_them() {
        let mut table = Table::new();
        let seats: Vec<Seat> = (0..5).map(|_| table.enter(None).unwrap()).collect();
        let error = table.enter(None).unwrap_err();
        assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
        assert!(error.description.unwrap().ends_with("'r1', 'r2', 'r3', 'r4', 'r5'."));
        table.readers.leave(&seats[2]);
        assert!(table.enter(None).is_ok());
        assert!(table.told().is_empty());
    }

    #[test]
    fn an_owner_displaces_everyone_below_and_its_equals() {
        let mut table = Table::new();
        table.enter(None).unwrap();
        table.enter(None).unwrap();
        table.enter(Some(0)).unwrap();
        assert_eq!(table.told(), [0, 1]);
        table.enter(Some(7)).unwrap();
        assert_eq!(table.told(), [2]);
        table.enter(Some(7)).unwrap();
        assert_eq!(table.told(), [3]);
        let error = table.enter(Some(6)).unwrap_err();
        assert_eq!(error.condition, condition::LINK_STOLEN);
        assert!(error.description.unwrap().starts_with("Receiver 'r5' with a higher epoch of '7' already exists."));
        assert_eq!(table.enter(None).unwrap_err().condition, condition::LINK_STOLEN);
        assert!(table.told().is_empty());
    }

    #[test]
    fn a_place_is_free_when_its_owner_has_left() {
        let mut table = Table::new();
        let old = table.enter(Some(1)).unwrap();
        let new = table.enter(Some(2)).unwrap();
        // It was displaced, and says goodbye late: the new one keeps its place.
        table.readers.leave(&old);
        assert!(table.enter(None).is_err());
        table.readers.leave(&new);
        assert!(table.enter(None).is_ok());
    }
}
