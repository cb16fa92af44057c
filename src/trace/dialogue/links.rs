//! Channels, handles and links: who a frame speaks of, by a name that people know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::BytesMut;

use super::Direction;
use crate::trace::contents::Contents;
use crate::trace::performative::Composite;
use crate::words::clipped;

/// Sessions of a connection, links of all of them, and deliveries of a session that are known; more are not told apart.
pub(super) const MAX_KNOWN: usize = 4_096;
/// Bytes of a link's name that are looked at.
const MAX_NAME_LEN: usize = 256;

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trace) enum Node {
    /// An event hub, or a part of one.
    EventHub,
    /// Takes tokens.
    Cbs,
    /// Answers questions.
    Management,
}

/// A link, as both ends have attached it.
#[derive(Debug)]
pub(super) struct Link {
    name: String,
    /// What it goes by.
    pub(super) nick: String,
    /// The direction that its deliveries go.
    pub(super) sends: Direction,
    pub(super) node: Node,
    /// Whether it brings what a node answers.
    pub(super) is_answers: bool,
    /// Whether both ends have attached.
    pub(super) is_answered: bool,
    /// Deliveries sent so far, and how many may be; numbers that wrap.
    pub(super) delivery_count: u32,
    pub(super) limit: Option<u32>,
    /// Since when there is no credit.
    pub(super) dry_since: Option<Duration>,
    /// The delivery whose transfers are coming.
    pub(super) partial: Option<Partial>,
}

/// A delivery that is not whole yet.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) id: u32,
    pub(super) format: u32,
    pub(super) is_settled: bool,
    pub(super) began: Duration,
    pub(super) len: u64,
    pub(super) transfers: u32,
    pub(super) contents: Contents,
    /// Its bytes, if it is a request or an answer.
    pub(super) message: BytesMut,
    /// The last of its bytes.
    pub(super) tail: Vec<u8>,
}

/// A delivery without an outcome.
#[derive(Debug)]
pub(super) struct Unsettled {
    pub(super) link: usize,
    pub(super) since: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Session {
    /// Ended links stay until others need their places.
    pub(super) links: Vec<Link>,
    handles: [BTreeMap<u32, usize>; 2],
    /// By the direction that they go.
    pub(super) unsettled: [BTreeMap<u32, Unsettled>; 2],
    /// The last delivery id, for transfers that leave it out.
    pub(super) last_id: [u32; 2],
}

/// The sessions of a connection.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: Vec<Session>,
    by_channel: [BTreeMap<u16, usize>; 2],
}

impl Sessions {
    /// A begin: of a new session, or the answer to the other side's.
    pub(super) fn begin(&mut self, direction: Direction, channel: u16, begin: &Composite) {
        let asked = begin.number("remote-channel").and_then(|channel| u16::try_from(channel).ok());
        let known = asked.and_then(|channel| self.by_channel[direction.other().index()].get(&channel).copied());
        let place = match known {
            Some(place) => place,
            None if self.sessions.len() < MAX_KNOWN => {
                self.sessions.push(Session::default());
                self.sessions.len() - 1
            }
            None => return,
        };
        self.by_channel[direction.index()].insert(channel, place);
    }

    /// Whether another link can be remembered.
    pub(super) fn has_room(&self) -> bool {
        self.sessions.iter().map(|session| session.links.len()).sum::<usize>() < MAX_KNOWN
    }

    pub(super) fn end(&mut self, direction: Direction, channel: u16) {
        self.by_channel[direction.index()].remove(&channel);
    }

    pub(super) fn get(&mut self, direction: Direction, channel: u16) -> Option<&mut Session> {
        let place = *self.by_channel[direction.index()].get(&channel)?;
        self.sessions.get_mut(place)
    }

    /// Places of sessions that are over are reused once all are: a connection that lives for long opens many.
    pub(super) fn forget_if_idle(&mut self) {
        if self.by_channel.iter().all(BTreeMap::is_empty) {
            self.sessions.clear();
        }
    }
}

impl Session {
    /// An attach: of a new link, or the other side's half of one. Its place; `None` when there is no room for it.
    pub(super) fn attach(&mut self, direction: Direction, attach: &Composite, has_room: bool) -> Option<usize> {
        let name = name_of(attach);
        let sends = if attach.is("role") { direction.other() } else { direction };
        let is_other_half = |link: &Link| !link.is_answered && link.sends == sends && link.name == name;
        let place = match self.links.iter().rposition(is_other_half) {
            Some(place) => {
                self.links[place].is_answered = true;
                place
            }
            None => {
                let link = self.link_of(direction, sends, attach);
                self.place(link, has_room)?
            }
        };
        if let Some(count) = attach.number("initial-delivery-count") {
            self.links[place].delivery_count = count;
        }
        self.handles[direction.index()].insert(attach.number("handle")?, place);
        Some(place)
    }

    fn link_of(&self, direction: Direction, sends: Direction, attach: &Composite) -> Link {
        // What is at the far end of whoever asks.
        let end = if sends == direction { "target" } else { "source" };
        let terminus = attach.composite(end);
        let address = terminus.as_ref().and_then(|terminus| terminus.text("address")).unwrap_or("?");
        let address = &clipped(clip(path_of(address)));
        let node = match address.as_str() {
            "$cbs" => Node::Cbs,
            _ if address.ends_with("$management") => Node::Management,
            _ => Node::EventHub,
        };
        let is_answers = node != Node::EventHub && end == "source";
        let nick = if is_answers { format!("{address}/answers") } else { short(address) };
        Link {
            name: name_of(attach).to_owned(),
            nick: self.unique(nick),
            sends,
            node,
            is_answers,
            is_answered: false,
            delivery_count: 0,
            limit: None,
            dry_since: None,
            partial: None,
        }
    }

    /// Told apart from the links that are there and lead to the same place.
    fn unique(&self, nick: String) -> String {
        let number_of = |other: &str| match other.strip_prefix(nick.as_str())? {
            "" => Some(1_u32),
            rest => rest.strip_prefix('#')?.parse().ok(),
        };
        let places = self.handles.iter().flat_map(BTreeMap::values);
        let taken: BTreeSet<u32> = places.filter_map(|place| number_of(&self.links[*place].nick)).collect();
        match (1..).find(|number| !taken.contains(number)) {
            Some(number @ 2..) => format!("{nick}#{number}"),
            _ => nick,
        }
    }

    pub(super) fn link(&self, direction: Direction, handle: u32) -> Option<usize> {
        self.handles[direction.index()].get(&handle).copied()
    }

    pub(super) fn detach(&mut self, direction: Direction, handle: u32) -> Option<usize> {
        self.handles[direction.index()].remove(&handle)
    }

    /// Puts a link where another one has been, or behind the last.
    fn place(&mut self, link: Link, has_room: bool) -> Option<usize> {
        let in_use: BTreeSet<usize> = self.handles.iter().flat_map(BTreeMap::values).copied().collect();
        let owed: BTreeSet<usize> = self.unsettled.iter().flat_map(BTreeMap::values).map(|owed| owed.link).collect();
        match (0..self.links.len()).find(|place| !in_use.contains(place) && !owed.contains(place)) {
            Some(place) => {
                self.links[place] = link;
                Some(place)
            }
            None if has_room => {
                self.links.push(link);
                Some(self.links.len() - 1)
            }
            None => None,
        }
    }

    /// Takes the deliveries of these ids: the links that they went over, and when they began.
    pub(super) fn settle(&mut self, sent: Direction, first: u32, last: u32) -> Vec<Unsettled> {
        let unsettled = &mut self.unsettled[sent.index()];
        // Ids wrap; a range that is upside down goes through zero.
        let parts = if first <= last { vec![(first, last)] } else { vec![(first, u32::MAX), (0, last)] };
        let ids = parts.into_iter().flat_map(|(first, last)| unsettled.range(first..=last).map(|(id, _)| *id));
        let ids: Vec<u32> = ids.collect();
        ids.into_iter().filter_map(|id| unsettled.remove(&id)).collect()
    }
}

fn name_of(attach: &Composite) -> &str {
    clip(attach.text("name").unwrap_or_default())
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_NAME_LEN)]
}

/// An address without scheme and host.
fn path_of(address: &str) -> &str {
    let rest = address.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or(address, |(_, path)| path);
    rest.trim_matches('/')
}

/// `telemetry/ConsumerGroups/$Default/Partitions/0` is `telemetry/$Default/0`.
fn short(path: &str) -> String {
    let is_word = |part: &&str| !["ConsumerGroups", "Partitions"].iter().any(|word| word.eq_ignore_ascii_case(part));
    path.split('/').filter(is_word).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_to_one_place_are_numbered() {
        let mut session = Session::default();
        for (handle, nick) in (0..).zip(["telemetry", "telemetry#2", "telemetry#3", "telemetry/3", "tele"]) {
            let base = nick.split('#').next().unwrap_or_default();
            assert_eq!(session.unique(base.to_owned()), nick);
            let link = Link { nick: nick.to_owned(), ..session.link_of(Direction::Sent, Direction::Sent, &attach()) };
            session.links.push(link);
            session.handles[0].insert(handle, handle as usize);
        }
        // A number that is free again is taken again.
        session.detach(Direction::Sent, 1);
        assert_eq!(session.unique("telemetry".to_owned()), "telemetry#2");
        session.detach(Direction::Sent, 0);
        assert_eq!(session.unique("telemetry".to_owned()), "telemetry");
    }

    fn attach() -> Composite {
        let attach = b"\0\x53\x12\xc0\x05\x02\xa1\x01n\x43";
        Composite::decode(&bytes::Bytes::from_static(attach)).unwrap().0
    }

    #[test]
    fn links_go_by_what_they_lead_to() {
        for (address, nick) in [
            ("telemetry", "telemetry"),
            ("telemetry/Partitions/3", "telemetry/3"),
            ("amqps://ns.example/telemetry/ConsumerGroups/$Default/Partitions/0", "telemetry/$Default/0"),
            ("sb://ns.example/telemetry/", "telemetry"),
            ("", ""),
        ] {
            assert_eq!(short(path_of(address)), nick, "{address}");
        }
    }
}
