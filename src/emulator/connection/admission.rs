//! Which links are let in.

use std::time::Instant;

use fe2o3_amqp_types::definitions::{Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::TargetArchetype;
use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::primitives::Value;

use crate::emulator::address::path_of_address;
use crate::emulator::selector::Position;
use crate::emulator::sentence;
use crate::engine::{Accept, Connection, LinkId, SettleMode};
use crate::wire::condition;
use crate::wire::frame::PeerError;

use super::later::Deferred;
use super::reading::Reader;
use super::requests::{self, Node};
use super::{Claim, Link, MAX_LINKS, Peer};

/// A receiver that wants to be told how far its partition has come. Source: event-hubs-wire 8.
const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";
/// The owner level of a receiver.
const EPOCH: &str = "com.microsoft:epoch";
/// What a receiver calls itself; the Rust SDK has its own spelling.
const RECEIVER_NAMES: [&str; 2] = ["com.microsoft:receiver-name", "com.microsoft.com:receiver-name"];

impl Peer {
    /// Lets a link in, or refuses it. One whose time has not come waits.
    pub(super) fn on_attach(&mut self, engine: &mut Connection, id: LinkId, attach: Box<Attach>, now: Instant) {
        match self.attach_delay(path_of(&attach), now) {
            Some(by) => self.defer(now, by, Deferred::Attach(id, attach)),
            None => self.answer_attach(engine, id, &attach, now),
        }
    }

    pub(super) fn answer_attach(&mut self, engine: &mut Connection, id: LinkId, attach: &Attach, now: Instant) {
        let link = match self.admit(engine, id, attach, now) {
            Ok(link) => {
                self.linkless = None;
                link
            }
            Err(error) => {
                engine.refuse(id, &self.error(&error));
                self.refused += 1;
                self.report_refused(attach, &error);
                Link::Refused
            }
        };
        let mut store = self.shared.store();
        match &link {
            Link::Publisher { .. } => store.totals.links += 1,
            Link::Reader(_) => store.totals.receivers += 1,
            Link::Requests(_) | Link::Answers { .. } | Link::Refused => {}
        }
        drop(store);
        self.report_attached(&link);
        self.links.insert(id, link);
        self.grant(engine, id, now);
    }

    /// Accepts a link, or says why not.
    fn admit(&self, engine: &mut Connection, id: LinkId, attach: &Attach, now: Instant) -> Result<Link, PeerError> {
        if self.links.len() - self.refused >= MAX_LINKS {
            let text = format!("A connection to this emulator has at most {MAX_LINKS} links.");
            return Err(PeerError::new(condition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        let path = path_of(attach);
        if let Some(error) = self.attach_refusal(path, now) {
            return Err(error);
        }
        match (&attach.role, Node::of_path(path)) {
            (Role::Sender, Some(node)) => Ok(admit_requests(engine, id, node)),
            (Role::Sender, None) => self.admit_publisher(engine, id, attach, path, now),
            (Role::Receiver, Some(node)) => Ok(admit_answers(engine, id, node, attach)),
            (Role::Receiver, None) => self.admit_reader(engine, id, attach, path),
        }
    }

    fn admit_publisher(
        &self,
        engine: &mut Connection,
        id: LinkId,
        attach: &Attach,
        path: &str,
        now: Instant,
    ) -> Result<Link, PeerError> {
        self.authorize(Claim::Send, path)?;
        let to = self.shared.namespace.destination(path)?;
        let limit = self.limits().max_message_size;
        let max_message_size =
            attach.max_message_size.filter(|&asked| asked > 0).map_or(limit, |asked| asked.min(limit));
        engine.accept(id, &Accept { max_message_size, ..Accept::default() });
        Ok(Link::Publisher { to, path: path.to_owned(), max_message_size, used_at: now })
    }

    fn admit_reader(
        &self,
        engine: &mut Connection,
        id: LinkId,
        attach: &Attach,
        path: &str,
    ) -> Result<Link, PeerError> {
        self.authorize(Claim::Listen, path)?;
        let place = self.shared.namespace.place(path)?;
        let position = Position::of_attach(attach)?;
        let name = RECEIVER_NAMES.iter().find_map(|name| property(attach, name)).and_then(text);
        let name = sentence::quoted(name.unwrap_or("nil"));
        let owner_level = property(attach, EPOCH).and_then(integer);
        let seat = self.shared.readers().enter(place, owner_level, &name, id, &self.mailbox)?;
        let next = self.shared.store().sequence_at(place.partition, &position, self.now());
        let wants_metrics = wants(attach, RUNTIME_METRIC);
        let offered_capabilities = if wants_metrics { vec![RUNTIME_METRIC] } else { Vec::new() };
        engine.accept(id, &Accept { offered_capabilities, ..Accept::default() });
        let settle_mode = match attach.snd_settle_mode {
            SenderSettleMode::Settled => SettleMode::Settled,
            SenderSettleMode::Unsettled | SenderSettleMode::Mixed => SettleMode::Untracked,
        };
        Ok(Link::Reader(Reader::new(path.to_owned(), place.partition, next, seat, wants_metrics, settle_mode)))
    }

    fn authorize(&self, claim: Claim, path: &str) -> Result<(), PeerError> {
        if self.is_authorized(claim, path, self.now()) {
            return Ok(());
        }
        let text = format!(
            "Unauthorized access. '{claim:?}' claim(s) are required to perform this operation. Resource: \
             'sb://emulator/{}'. Put a token for it first, at '$cbs' on this connection.",
            sentence::quoted(path)
        );
        Err(PeerError::new(condition::UNAUTHORIZED_ACCESS, text))
    }
}

fn admit_requests(engine: &mut Connection, id: LinkId, node: Node) -> Link {
    engine.accept(id, &Accept { max_message_size: requests::MAX_REQUEST_LEN, ..Accept::default() });
    Link::Requests(node)
}

fn admit_answers(engine: &mut Connection, id: LinkId, node: Node, attach: &Attach) -> Link {
    engine.accept(id, &Accept::default());
    Link::Answers { node, name: attach.name.clone(), address: target_address(attach).map(ToOwned::to_owned) }
}

/// The path of the node that a link is wanted for.
pub(super) fn path_of(attach: &Attach) -> &str {
    let address = match attach.role {
        Role::Sender => target_address(attach),
        Role::Receiver => attach.source.as_ref().and_then(|source| source.address.as_deref()),
    };
    path_of_address(address.unwrap_or_default())
}

fn target_address(attach: &Attach) -> Option<&str> {
    match attach.target.as_deref() {
        Some(TargetArchetype::Target(target)) => target.address.as_deref(),
        _ => None,
    }
}

fn property<'a>(attach: &'a Attach, name: &str) -> Option<&'a Value> {
    let properties = attach.properties.as_ref()?;
    properties.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value)
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Symbol(text) => Some(text.as_str()),
        _ => None,
    }
}

/// SDKs write owner levels as long; small ones come as what their encoder finds shortest.
fn integer(value: &Value) -> Option<i64> {
    match *value {
        Value::Long(number) => Some(number),
        Value::Int(number) => Some(number.into()),
        Value::Short(number) => Some(number.into()),
        Value::Byte(number) => Some(number.into()),
        Value::Uint(number) => Some(number.into()),
        Value::Ushort(number) => Some(number.into()),
        Value::Ubyte(number) => Some(number.into()),
        Value::Ulong(number) => i64::try_from(number).ok(),
        _ => None,
    }
}

fn wants(attach: &Attach, capability: &str) -> bool {
    attach.desired_capabilities.as_ref().is_some_and(|desired| desired.0.iter().any(|name| name.as_str() == capability))
}
