//! Sessions and links, as both sides have them.

use std::collections::BTreeMap;

use super::{Both, Side};
use crate::cli::proxy::frame::Frame;
use crate::cli::proxy::numbering::Numbering;
use crate::emulator::{Blow, Fate, Trouble};
use crate::wire::descriptors::codes as code;
use crate::wire::event::MessageId;
use crate::wire::value::Value;

/// Deliveries without an outcome that are known of a session; what becomes of more is not looked at.
const MAX_OWED: usize = 65_536;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    /// The namespace's channel, once it has answered.
    pub(super) hub_channel: Option<u16>,
    pub(super) half: Both<Half>,
    /// By who sent them.
    pub(super) numbers: Both<Numbering>,
    /// By the client's handle.
    pub(super) links: BTreeMap<u32, Link>,
    /// The client's handle, by the namespace's.
    pub(super) by_hub: BTreeMap<u32, u32>,
    /// Handles of links that we have detached, until the side itself does; and the last delivery that was begun there.
    pub(super) cut: Both<BTreeMap<u32, Option<u32>>>,
    /// The client's deliveries without an outcome, by its ids.
    pub(super) owed: BTreeMap<u32, Owed>,
    /// Blows that wait for outcomes: of the link with this handle, up to this delivery.
    pub(super) pending: Vec<(Blow, u32, u32)>,
    /// Tokens that are to be refused, by the message that puts each: status and words.
    pub(super) refused: Vec<(Option<MessageId>, (i32, String))>,
    has_ended: Both<bool>,
}

/// What a side has said of itself in a session, in its own numbers.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// The transfer that it awaits.
    next_incoming: Option<u32>,
    incoming_window: u32,
    /// The transfer that it sends next.
    next_outgoing: u32,
    outgoing_window: u32,
}

/// A link, of which the client has attached its half.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: String,
    /// What it leads to.
    pub(super) path: String,
    /// Whether the client sends over it.
    pub(super) is_clients: bool,
    /// The namespace's handle, once it has answered.
    pub(super) hub_handle: Option<u32>,
    /// Deliveries that the client has sent, as it counts.
    pub(super) sent: u32,
    /// Those that were swallowed.
    pub(super) swallowed: u32,
    /// The last delivery count and credit of the namespace, in its numbers.
    pub(super) granted: Option<(u32, u32)>,
    is_withheld: bool,
    /// The delivery whose transfers are coming.
    pub(super) current: Option<Current>,
    /// Of a link of the namespace's: the transfers of a delivery are coming.
    pub(super) is_partial: bool,
}

/// A delivery whose transfers are coming.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) id: u32,
    pub(super) fate: Option<Fate>,
    pub(super) is_settled: bool,
}

/// A delivery of the client's without an outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    /// The client's handle.
    pub(super) link: u32,
    /// Nobody is told of it.
    pub(super) is_withheld: bool,
}

impl Half {
    pub(super) fn of_begin(begin: &Frame) -> Self {
        let number = |place| begin.number(place).unwrap_or_default();
        Self { next_incoming: None, next_outgoing: number(1), incoming_window: number(2), outgoing_window: number(3) }
    }

    /// A flow of this side's.
    pub(super) fn heard(&mut self, flow: &Frame) {
        self.next_incoming = flow.number(0).or(self.next_incoming);
        self.incoming_window = flow.number(1).unwrap_or(self.incoming_window);
        self.next_outgoing = flow.number(2).unwrap_or(self.next_outgoing);
        self.outgoing_window = flow.number(3).unwrap_or(self.outgoing_window);
    }

    /// A transfer of this side's.
    pub(super) fn transferred(&mut self) {
        self.next_outgoing = self.next_outgoing.wrapping_add(1);
    }
}

impl Session {
    pub(super) fn new(client: Half) -> Self {
        Self {
            hub_channel: None,
            half: Both { client, hub: Half::default() },
            numbers: Both::default(),
            links: BTreeMap::new(),
            by_hub: BTreeMap::new(),
            cut: Both::default(),
            owed: BTreeMap::new(),
            pending: Vec::new(),
            refused: Vec::new(),
            has_ended: Both::default(),
        }
    }

    /// The namespace has begun its half.
    pub(super) fn answer(&mut self, channel: u16, half: Half) {
        self.hub_channel = Some(channel);
        self.half.hub = half;
        // Where either has not said what it awaits, it is what the other began with.
        self.half.hub.next_incoming = Some(self.half.client.next_outgoing);
        self.half.client.next_incoming = Some(self.half.hub.next_outgoing);
    }

    /// A side has ended its half; whether both have.
    pub(super) fn ends(&mut self, side: Side) -> bool {
        *self.has_ended.of_mut(side) = true;
        self.has_ended.client && self.has_ended.hub
    }

    /// A link by the handle that a side gave it; with the client's handle.
    pub(super) fn link_mut(&mut self, from: Side, handle: u32) -> Option<(u32, &mut Link)> {
        let handle = match from {
            Side::Client => handle,
            Side::Hub => *self.by_hub.get(&handle)?,
        };
        self.links.get_mut(&handle).map(|link| (handle, link))
    }

    /// A side has detached a link.
    pub(super) fn detach(&mut self, from: Side, handle: u32) {
        match from {
            Side::Client => drop(self.links.remove(&handle)),
            Side::Hub => drop(self.by_hub.remove(&handle)),
        }
    }

    /// Puts the numbers of a side's flow into those that the other counts by.
    pub(super) fn translate(&self, from: Side, flow: &mut Frame) {
        // What was swallowed on its way to this side was never awaited by it, and is over for the other.
        flow.add(0, self.numbers.of(from.other()).transfers());
        flow.add(2, self.numbers.of(from).transfers().wrapping_neg());
    }

    /// The flow that the side opposite of `to` would send now, of the link of the client's with this handle or of none.
    pub(super) fn flow(&self, channel: u16, to: Side, handle: Option<u32>) -> Option<Frame> {
        let half = self.half.of(to.other());
        let fields = [half.next_incoming?, half.incoming_window, half.next_outgoing, half.outgoing_window];
        let channel = if to == Side::Client { self.hub_channel? } else { channel };
        let mut flow = Frame::new(channel, code::FLOW, fields.map(Value::from).to_vec());
        self.translate(to.other(), &mut flow);
        let link = handle.and_then(|handle| self.links.get(&handle)).filter(|_| to == Side::Client);
        if let Some(link) = link
            && let (Some(handle), Some((count, credit))) = (link.hub_handle, link.granted)
        {
            let count = count.wrapping_add(link.swallowed);
            let (count, credit) = if link.is_withheld { (link.sent, 0) } else { (count, credit) };
            [handle, count, credit].into_iter().zip(4..).for_each(|(number, place)| flow.set(place, number));
        }
        Some(flow)
    }

    /// Remembers a delivery without an outcome.
    pub(super) fn owe(&mut self, id: u32, owed: Owed) {
        if self.owed.len() < MAX_OWED {
            self.owed.insert(id, owed);
        }
    }

    /// Whether a link has no delivery without an outcome up to this one.
    pub(super) fn is_settled(&self, link: u32, up_to: u32) -> bool {
        let is_awaited =
            |id: u32, owed: &Owed| owed.link == link && !owed.is_withheld && up_to.wrapping_sub(id) <= u32::MAX / 2;
        !self.owed.iter().any(|(id, owed)| is_awaited(*id, owed))
    }
}

impl Link {
    pub(super) fn of_attach(attach: &Frame, is_clients: bool, path: String) -> Self {
        Self {
            name: name_of(attach),
            path,
            is_clients,
            hub_handle: None,
            sent: attach.number(9).unwrap_or_default(),
            swallowed: 0,
            granted: None,
            is_withheld: false,
            current: None,
            is_partial: false,
        }
    }

    /// Whether it brings what `$cbs` or `$management` answers.
    pub(super) fn is_answers(&self) -> bool {
        !self.is_clients && Trouble::is_request_node(&self.path)
    }

    /// Whether credit is withheld from now on; whether that is news.
    pub(super) fn withhold(&mut self, is_withheld: bool, trouble: &Trouble) -> bool {
        let is_news = self.is_withheld != is_withheld;
        self.is_withheld = is_withheld;
        trouble.count(u64::from(is_news && is_withheld));
        is_news
    }
}

/// A link's name.
pub(super) fn name_of(attach: &Frame) -> String {
    attach.get(0).and_then(Value::as_str).unwrap_or_default().to_owned()
}
