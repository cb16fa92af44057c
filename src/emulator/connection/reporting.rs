//! Tells what happens on a connection to whoever listens. Without a listener nothing is put together.

use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::performatives::Attach;

use crate::clock;
use crate::emulator::activity::{Activity, LinkRole, description};
use crate::emulator::answer::Answer;
use crate::emulator::namespace::Destination;
use crate::emulator::sentence::quoted;
use crate::emulator::store::Enqueued;
use crate::engine::{Login, PeerOpen};
use crate::wire::event::Event as Message;
use crate::wire::frame::PeerError;
use crate::wire::sas::SasToken;
use crate::wire::secret::printable;
use crate::wire::value::Value;

use super::admission::path_of;
use super::requests::Node;
use super::{Link, Peer};

impl Link {
    /// What it is for, and its node; `None` once it is refused or ended.
    fn named(&self) -> Option<(LinkRole, &str)> {
        match self {
            Self::Publisher { path, .. } => Some((LinkRole::Publisher, path)),
            Self::Reader(reader) => Some((LinkRole::Receiver, &reader.path)),
            Self::Requests(node) => Some((LinkRole::Requests, node.name())),
            Self::Answers { node, .. } => Some((LinkRole::Answers, node.name())),
            Self::Refused => None,
        }
    }
}

impl Peer {
    pub(super) fn report_opened(&self, peer: Option<&PeerOpen>) {
        self.shared.tell(|| Activity::opened(self.number, self.origin, peer));
    }

    pub(super) fn report_attached(&self, link: &Link) {
        if let Some((role, path)) = link.named() {
            self.shared.tell(|| Activity::LinkAttached { connection: self.number, role, address: quoted(path) });
        }
    }

    pub(super) fn report_refused(&self, attach: &Attach, error: &PeerError) {
        self.shared.tell(|| {
            let path = path_of(attach);
            let role = match (&attach.role, Node::of_path(path)) {
                (Role::Sender, None) => LinkRole::Publisher,
                (Role::Sender, Some(_)) => LinkRole::Requests,
                (Role::Receiver, None) => LinkRole::Receiver,
                (Role::Receiver, Some(_)) => LinkRole::Answers,
            };
            Activity::refused(self.number, role, path, error)
        });
    }

    pub(super) fn report_detached(&self, link: &Link, reason: impl FnOnce() -> String) {
        if let Some((role, path)) = link.named() {
            let (connection, address) = (self.number, || quoted(path));
            self.shared.tell(|| Activity::LinkDetached { connection, role, address: address(), reason: reason() });
        }
    }

    /// Tells who put a token, never the token.
    pub(super) fn report_token(&self, request: &Message, answer: &Answer) {
        self.shared.tell(|| {
            let audience = request.property("name").and_then(Value::as_str).unwrap_or("no name");
            let token = request.value().and_then(Value::as_str).and_then(|token| SasToken::parse(token).ok());
            Activity::TokenPut {
                connection: self.number,
                audience: quoted(printable(audience)),
                rule: token.map(|token| quoted(printable(token.key_name()))),
                status_code: answer.status_code,
                description: answer.description.clone(),
            }
        });
    }

    /// Tells who showed a key, never the key.
    pub(super) fn report_login(&self, login: &Login, is_taken: bool) {
        let rule = || quoted(printable(&login.name));
        self.shared.tell(|| Activity::LoggedIn { connection: self.number, rule: rule(), is_taken });
    }

    pub(super) fn report_publication(&mut self, to: Destination, bytes: u64, result: &Result<Enqueued, PeerError>) {
        match result {
            Ok(enqueued) => {
                self.counts.batches += 1;
                self.counts.events += enqueued.events;
            }
            Err(_) => self.counts.rejected += 1,
        }
        self.shared.tell(|| {
            let (connection, event_hub) = (self.number, self.shared.namespace.hubs[to.hub].name.clone());
            match result {
                Ok(Enqueued { partition_id, first_sequence_number, events, bytes }) => Activity::BatchStored {
                    connection,
                    event_hub,
                    partition_id: *partition_id,
                    events: *events,
                    bytes: *bytes,
                    first_sequence_number: *first_sequence_number,
                },
                Err(error) => Activity::BatchRejected {
                    connection,
                    event_hub,
                    partition_id: to.partition,
                    bytes,
                    condition: error.condition.clone(),
                    description: description(error).to_owned(),
                },
            }
        });
    }

    pub(super) fn report_closed(&mut self) {
        let reason = self.ending.take();
        self.shared.tell(|| Activity::ConnectionClosed {
            connection: self.number,
            reason: reason.unwrap_or_else(|| "cut off by the emulator".to_owned()),
            after: clock::now().saturating_duration_since(self.started),
            counts: self.counts,
        });
    }
}
