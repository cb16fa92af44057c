//! Links: attach, credit, deliveries under way, detach. Source: AMQP 1.0 part 2, 2.6.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::definitions::{Fields, Handle, ReceiverSettleMode, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::{FilterSet, Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives;
use fe2o3_amqp_types::primitives::{Array, Symbol, Value};
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;

use super::connection::Shared;
use super::{DeliveryKey, LinkId, serial};

/// Which end of a link is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkRole {
    Sender,
    Receiver,
}

impl LinkRole {
    pub(super) fn of_peer(role: &Role) -> Self {
        // The peer's sender is our receiver.
        match role {
            Role::Sender => Self::Receiver,
            Role::Receiver => Self::Sender,
        }
    }

    fn on_wire(self) -> Role {
        match self {
            Self::Sender => Role::Sender,
            Self::Receiver => Role::Receiver,
        }
    }
}

/// A link that we ask for.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) name: String,
    pub(crate) role: LinkRole,
    pub(crate) source: Option<String>,
    pub(crate) target: Option<String>,
    /// Which events are wanted, for a receiver: the text of the source's selector filter.
    pub(crate) selector: Option<String>,
    /// Bytes that we take, as the receiver; 0 is no limit.
    pub(crate) max_message_size: u64,
    pub(crate) desired_capabilities: Vec<&'static str>,
    pub(crate) properties: Option<Fields>,
}

impl Attach {
    /// A link without anything but its name and its role.
    pub(crate) fn new(name: String, role: LinkRole) -> Self {
        Self {
            name,
            role,
            source: None,
            target: None,
            selector: None,
            max_message_size: 0,
            desired_capabilities: Vec::new(),
            properties: None,
        }
    }

    /// Our end of the link.
    pub(super) fn half(&self, delivery_count: u32) -> Half {
        match self.role {
            LinkRole::Sender => Half::sender(delivery_count),
            LinkRole::Receiver => {
                Half::Receiver(ReceiverHalf { max_message_size: self.max_message_size, ..ReceiverHalf::default() })
            }
        }
    }

    pub(super) fn performative(&self, handle: u32, initial_delivery_count: u32) -> performatives::Attach {
        performatives::Attach {
            name: self.name.clone(),
            handle: Handle(handle),
            role: self.role.on_wire(),
            snd_settle_mode: SenderSettleMode::Unsettled,
            rcv_settle_mode: ReceiverSettleMode::First,
            source: Some(Box::new(self.source())),
            target: Some(Box::new(target(self.target.clone()))),
            unsettled: None,
            incomplete_unsettled: false,
            initial_delivery_count: (self.role == LinkRole::Sender).then_some(initial_delivery_count),
            max_message_size: (self.max_message_size > 0).then_some(self.max_message_size),
            offered_capabilities: None,
            desired_capabilities: symbols(&self.desired_capabilities),
            properties: self.properties.clone(),
        }
    }

    fn source(&self) -> Source {
        Source { address: self.source.clone(), filter: self.selector.as_deref().map(filter), ..Source::default() }
    }
}

/// The one filter that Event Hubs knows. Source: event-hubs-wire 8.
pub(crate) const SELECTOR_FILTER: &str = "apache.org:selector-filter:string";
/// The same by number.
pub(crate) const SELECTOR_FILTER_CODE: u64 = 0x0000_468c_0000_0004;

fn filter(selector: &str) -> FilterSet {
    let described =
        Described { descriptor: Descriptor::Code(SELECTOR_FILTER_CODE), value: Value::String(selector.to_owned()) };
    std::iter::once((Symbol::from(SELECTOR_FILTER), Value::Described(Box::new(described)))).collect()
}

fn symbols(names: &[&str]) -> Option<Array<Symbol>> {
    (!names.is_empty()).then(|| Array(names.iter().copied().map(Symbol::from).collect()))
}

fn target(address: Option<String>) -> TargetArchetype {
    TargetArchetype::Target(Target { address, ..Target::default() })
}

/// Our yes to a link that the peer asks for.
#[derive(Debug, Default)]
pub(crate) struct Accept {
    /// Bytes; 0 announces no limit.
    pub(crate) max_message_size: u64,
    pub(crate) offered_capabilities: Vec<&'static str>,
}

impl Accept {
    /// The answer: the peer's own terms, source and target echoed.
    pub(super) fn performative(
        &self,
        asked: &performatives::Attach,
        handle: u32,
        initial_delivery_count: u32,
    ) -> performatives::Attach {
        let role = LinkRole::of_peer(&asked.role);
        let asked_limit = asked.max_message_size.unwrap_or(0);
        let limit = match (asked_limit, self.max_message_size) {
            (0, ours) => ours,
            (asked, 0) => asked,
            (asked, ours) => asked.min(ours),
        };
        performatives::Attach {
            handle: Handle(handle),
            role: role.on_wire(),
            source: Some(asked.source.clone().unwrap_or_default()),
            target: Some(asked.target.clone().unwrap_or_else(|| Box::new(target(None)))),
            unsettled: None,
            incomplete_unsettled: false,
            initial_delivery_count: (role == LinkRole::Sender).then_some(initial_delivery_count),
            max_message_size: Some(limit),
            offered_capabilities: symbols(&self.offered_capabilities),
            desired_capabilities: None,
            properties: None,
            ..asked.clone()
        }
    }
}

/// A message to send: encoded, and named by the caller.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) key: DeliveryKey,
    pub(crate) message_format: u32,
    pub(crate) payload: Bytes,
    pub(crate) settle_mode: SettleMode,
}

/// What an outgoing message's receiver is asked to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettleMode {
    /// Its outcome, which is reported as an event.
    Unsettled,
    /// Its outcome, which nobody here waits for: nothing is kept until it comes.
    Untracked,
    /// Nothing: it is settled as it leaves.
    Settled,
}

/// A message that arrived whole.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) delivery_id: u32,
    pub(crate) message_format: u32,
    pub(crate) settled: bool,
    /// Bytes of the whole message, kept or not.
    pub(crate) size: u64,
    /// `None` when it was larger than the link's limit: its bytes were counted, not kept.
    pub(crate) payload: Option<Payload>,
}

/// The bytes of a message, in the pieces that they came in: none is copied before somebody wants them in one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload {
    pub(crate) parts: Vec<Bytes>,
}

impl Payload {
    /// The bytes in one piece. Those of a message that came in one are not copied.
    pub(crate) fn into_bytes(mut self) -> Bytes {
        if let [only] = self.parts.as_mut_slice() {
            return std::mem::take(only);
        }
        let mut whole = Vec::with_capacity(self.parts.iter().map(Bytes::len).sum());
        self.parts.iter().for_each(|part| whole.extend_from_slice(part));
        whole.into()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    /// We asked; the peer has not answered.
    AttachSent,
    /// The peer asked; we have not answered.
    AttachReceived,
    Attached,
    /// The peer answered without a terminus: its detach with the reason follows.
    Refused,
    /// We detached; the peer has not answered.
    DetachSent,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) name: String,
    pub(super) state: LinkState,
    pub(super) remote_handle: Option<u32>,
    /// The peer's attach, until we answered it.
    pub(super) asked: Option<Box<performatives::Attach>>,
    /// The owner knows that it has ended.
    pub(super) told: bool,
    pub(super) half: Half,
}

impl Link {
    /// Answers an attach that is still unanswered with one without termini: a detach needs an attach before it.
    /// Source: AMQP 1.0 part 2, 2.6.3.
    pub(super) fn put_refusal(&mut self, shared: &mut Shared, channel: u16) {
        if let Some(asked) = self.asked.take() {
            let mut answer = Accept::default().performative(&asked, self.id.handle, 0);
            (answer.source, answer.target, answer.max_message_size) = (None, None, None);
            shared.put_or_end(channel, &answer);
        }
    }
}

#[derive(Debug)]
pub(super) enum Half {
    Sender(SenderHalf),
    Receiver(ReceiverHalf),
}

impl Half {
    pub(super) fn sender(delivery_count: u32) -> Self {
        Self::Sender(SenderHalf { delivery_count, ..SenderHalf::default() })
    }

    pub(super) fn sender_mut(&mut self) -> Option<&mut SenderHalf> {
        match self {
            Self::Sender(half) => Some(half),
            Self::Receiver(_) => None,
        }
    }

    pub(super) fn credit(&self) -> u32 {
        match self {
            Self::Sender(half) => half.credit,
            Self::Receiver(half) => half.credit,
        }
    }

    pub(super) fn role(&self) -> LinkRole {
        match self {
            Self::Sender(_) => LinkRole::Sender,
            Self::Receiver(_) => LinkRole::Receiver,
        }
    }
}

/// The sending end.
#[derive(Debug, Default)]
pub(super) struct SenderHalf {
    pub(super) delivery_count: u32,
    pub(super) credit: u32,
    pub(super) drain: bool,
    pub(super) queue: VecDeque<Outgoing>,
    /// The front of the queue has left in part: this many bytes of it.
    pub(super) offset: usize,
    pub(super) started: bool,
    /// Listed among the links that have something to send.
    pub(super) ready: bool,
}

impl SenderHalf {
    /// Whether a frame could leave, given an open session window.
    pub(super) fn can_send(&self) -> bool {
        self.started || (self.credit > 0 && !self.queue.is_empty())
    }

    /// Takes the receiver's word for the credit. `initial` stands in for a delivery-count that it left out because it
    /// had not seen our attach. Source: AMQP 1.0 part 2, 2.6.7.
    pub(super) fn grant(&mut self, their_delivery_count: Option<u32>, their_credit: u32, initial: u32) {
        self.credit = serial::left(their_delivery_count.unwrap_or(initial), their_credit, self.delivery_count);
    }

    /// Spends one credit for the delivery that starts now; returns its tag: unique on this link while unsettled.
    pub(super) fn start(&mut self) -> u32 {
        let tag = self.delivery_count;
        self.delivery_count = self.delivery_count.wrapping_add(1);
        self.credit -= 1;
        self.started = true;
        self.offset = 0;
        tag
    }

    /// The front of the queue has left whole.
    pub(super) fn finish(&mut self) -> Option<Outgoing> {
        self.started = false;
        self.offset = 0;
        self.queue.pop_front()
    }
}

/// The receiving end.
#[derive(Debug, Default)]
pub(super) struct ReceiverHalf {
    pub(super) delivery_count: u32,
    pub(super) credit: u32,
    /// The peer is told that it has no credit, whatever is left of it.
    pub(super) is_withheld: bool,
    /// Bytes; 0 is no limit.
    pub(super) max_message_size: u64,
    pub(super) partial: Option<Partial>,
}

/// A delivery of which not every frame has come.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) delivery_id: u32,
    pub(super) message_format: u32,
    pub(super) settled: bool,
    size: u64,
    /// Large payloads as they came, and what came in small pieces between them.
    parts: Vec<Bytes>,
    /// Small pieces that go to the end of `parts`.
    tail: BytesMut,
}

/// A payload of fewer bytes is copied: it shares the memory of the read that it came in, and must not keep far more alive
/// than it is worth.
const SMALL_PAYLOAD: usize = 16 * 1024;

impl Partial {
    pub(super) fn new(delivery_id: u32, message_format: u32) -> Self {
        Self { delivery_id, message_format, settled: false, size: 0, parts: Vec::new(), tail: BytesMut::new() }
    }

    /// Bytes so far, kept or not.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a frame's payload. Past `limit` nothing more is kept.
    pub(super) fn push(&mut self, payload: Bytes, limit: u64) {
        self.size += payload.len() as u64;
        let is_only = self.size == payload.len() as u64;
        if limit > 0 && self.size > limit {
            (self.parts, self.tail) = (Vec::new(), BytesMut::new());
        } else if is_only || payload.len() >= SMALL_PAYLOAD {
            if !self.tail.is_empty() {
                self.parts.push(self.tail.split().freeze());
            }
            self.parts.push(payload);
        } else {
            self.tail.extend_from_slice(&payload);
        }
    }

    pub(super) fn finish(mut self, limit: u64) -> Delivery {
        if !self.tail.is_empty() {
            self.parts.push(self.tail.freeze());
        }
        let payload = (limit == 0 || self.size <= limit).then_some(Payload { parts: self.parts });
        Delivery {
            delivery_id: self.delivery_id,
            message_format: self.message_format,
            settled: self.settled,
            size: self.size,
            payload,
        }
    }
}
