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

    /// Takes the next body. The batch before it is sent when it is full.
    pub(super) fn take(&mut self, index: u64, body: &[u8]) -> Result<(), Failure> {
        let mut added = self.batch.try_add(body);
        if matches!(added, TryAdd::Full(_)) {
            self.send()?;
            added = self.batch.try_add(body);
        }
        let why = match added {
            TryAdd::Added => return Ok(()),
            // Whoever checked it before thought that it fits.
            TryAdd::Full(_) | TryAdd::TooLarge(_) => "no batch can hold it; make it smaller".to_owned(),
            TryAdd::Invalid(_, why) => why.to_string(),
        };
        Err(Failure::new(ErrorType::TooLarge, format!("events[{index}]: {why}")).after(self.progress(0)))
    }

    /// Sends the rest. All that was asked for is stored, or it is a failure.
    pub(super) fn finish(mut self) -> Result<Sent, Failure> {
        self.send()?;
        if self.sent.accepted != self.total {
            let text = "not all of the events were sent; report it";
            return Err(Failure::new(ErrorType::Algorithm, text).after(self.progress(0)));
        }
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

#[cfg(all(test, feature = "emulator"))]
mod tests {
    use super::*;
    use crate::emulator::Emulator;
    use crate::{ConnectionString, Options};

    /// A sender to a hub that takes `limit` bytes in one message, in this process.
    fn sender(limit: u64) -> (blocking::Connection, blocking::Sender) {
        let built = Emulator::builder().event_hub("telemetry", 1).max_message_size(limit).build();
        let emulator = built.expect("a hub");
        let to = ConnectionString::parse(&emulator.connection_string(None)).expect("well-formed");
        let connect = move || std::future::ready(Ok(emulator.connect()));
        let connection = blocking::Connection::open_with(connect, &to, &Options::default()).expect("it opens");
        let sender = connection.sender("telemetry").expect("the hub is there");
        (connection, sender)
    }

    fn soon() -> Instant {
        clock::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_body_that_nothing_can_hold_is_told_and_not_left_out() {
        let (_connection, sender) = sender(1_024);
        let mut sending = Sending::new(&sender, soon(), 2);
        sending.take(0, b"fits").expect("taken");
        let failure = sending.take(1, &[b'x'; 2_000]).expect_err("too large");
        assert_eq!(failure.error_type(), ErrorType::TooLarge);
        assert!(failure.to_string().starts_with("events[1]: no batch can hold it"), "{failure}");
        assert_eq!((failure.accepted(), failure.not_sent()), (0, 2));
    }

    #[test]
    fn what_was_not_sent_is_no_success() {
        let (_connection, sender) = sender(1_024);
        let mut sending = Sending::new(&sender, soon(), 2);
        sending.take(0, b"one").expect("taken");
        let failure = sending.finish().expect_err("one of two");
        assert_eq!((failure.accepted(), failure.not_sent()), (1, 1), "{failure}");
    }
}
