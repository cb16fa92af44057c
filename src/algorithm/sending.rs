//! Bodies -> batches -> outcomes, one batch after the other: what is accepted is always the first part of an input.

use std::time::{Duration, Instant};

use super::failure::{ErrorType, Failure};
use super::reply::Progress;
use crate::{Batch, SendError, TryAdd, blocking, clock};

/// What has been sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) accepted: u64,
    pub(super) batches: u64,
    pub(super) bytes: u64,
}

/// The events of one call, on their way.
pub(super) struct Sending<'a> {
    sender: &'a blocking::Sender,
    /// When the call has to be over.
    until: Instant,
    /// Events of the call.
    total: u64,
    batch: Batch,
    sent: Sent,
}

impl<'a> Sending<'a> {
    pub(super) fn new(sender: &'a blocking::Sender, until: Instant, total: u64) -> Self {
        Self { sender, until, total, batch: sender.batch(), sent: Sent::default() }
    }

    /// Takes the next body, which fits into a batch of its own. The batch before it is sent when it is full.
    pub(super) fn take(&mut self, body: &[u8]) -> Result<(), Failure> {
        if let TryAdd::Full(body) = self.batch.try_add(body) {
            self.send()?;
            let _ = self.batch.try_add(body);
        }
        Ok(())
    }

    /// Sends the rest.
    pub(super) fn finish(mut self) -> Result<Sent, Failure> {
        self.send()?;
        Ok(self.sent)
    }

    fn send(&mut self) -> Result<(), Failure> {
        let left = self.until.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Err(Failure::new(ErrorType::Algorithm, "the time of the call is over; send less in one")
                .after(self.progress(0)));
        }
        let batch = std::mem::replace(&mut self.batch, Batch::new(0));
        match self.sender.send_within(batch, self.limit(left)) {
            Ok(accepted) => {
                self.sent.accepted += accepted.events as u64;
                self.sent.batches += 1;
                self.sent.bytes += accepted.message_len as u64;
                self.batch = accepted.into_batch();
                Ok(())
            }
            Err(error) => {
                let unknown = if matches!(error, SendError::Unknown { .. }) { error.batch().len() as u64 } else { 0 };
                Err(Failure::from(&error).after(self.progress(unknown)))
            }
        }
    }

    fn limit(&self, left: Duration) -> Duration {
        left.min(self.sender.send_timeout())
    }

    fn progress(&self, unknown: u64) -> Progress {
        let accepted = self.sent.accepted;
        Progress { accepted, unknown, not_sent: self.total - accepted - unknown }
    }
}
