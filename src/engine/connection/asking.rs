//! A server that asks its owner before it answers SASL, open and begin.
//!
//! While it waits for the word nothing that follows is looked at, as with a peer that is slow.

use std::time::Instant;

use fe2o3_amqp_types::sasl::SaslCode;

use super::{CloseCause, Connection, Event, Login, Step, Waiting};
use crate::engine::SessionId;

impl Connection {
    /// Goes on with the step that was asked about; the session, if that was a begin that could be taken.
    ///
    /// What came meanwhile waits for the next [`receive`](Self::receive): see [`has_resumed`](Self::has_resumed).
    pub(crate) fn allow(&mut self, now: Instant) -> Option<SessionId> {
        let waiting = self.waiting.take()?;
        self.resumed = true;
        match waiting {
            Waiting::Sasl(_) => self.end_sasl(SaslCode::Ok),
            Waiting::Open(open) => self.on_open(now, &open),
            Waiting::Begin(channel, begin) => {
                let session = self.on_begin_request(channel, &begin);
                self.check_outbox();
                return session;
            }
        }
        None
    }

    /// Who the client says it is, while it waits for what is said of that.
    pub(crate) fn login(&self) -> Option<&Login> {
        match &self.waiting {
            Some(Waiting::Sasl(login)) => login.as_ref(),
            _ => None,
        }
    }

    /// Ends the connection, if it asked about SASL, with `code`.
    pub(crate) fn refuse_sasl(&mut self, code: SaslCode) {
        if let Some(Waiting::Sasl(_)) = self.waiting {
            self.waiting = None;
            self.end_sasl(code.clone());
            self.closed(CloseCause::SaslRefused(code as u8));
        }
    }

    /// Whether the owner owes its word.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether bytes that came before the word was given are still to be taken.
    pub(crate) fn has_resumed(&self) -> bool {
        self.resumed
    }

    pub(super) fn wait_with(&mut self, step: Step, waiting: Waiting) {
        self.waiting = Some(waiting);
        self.shared.events.push_back(Event::Asked(step));
    }
}
