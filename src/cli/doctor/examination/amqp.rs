//! What is spoken over the stream: SASL, open, token, links, and an event there and back.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use super::Examination;
use crate::cli::doctor::cause::Cause;
use crate::cli::doctor::milestones::Milestones;
use crate::cli::doctor::step::{Status, Step};
use crate::cli::doctor::table::Trouble;
use crate::cli::doctor::verdict::{Verdict, said};
use crate::cli::failure::{Failure, Kind};
use crate::cli::sas::date;
use crate::pump::BoxStream;
use crate::wire::condition::UNAUTHORIZED_ACCESS;
use crate::{
    Connection, ConnectionEvent, Error, Event, Options, Position, Receiver, ReceiverOptions, Retry, Scope, Sender,
    Step as Waiting, clock,
};

/// The property that marks an event of ours; its value is found again.
const MARK: &str = "hubwire-doctor";
/// A goodbye is no longer waited for: all is said by then.
const GOODBYE: Duration = Duration::from_millis(500);

/// When the hub took the token, and until when that holds.
type Authorized = Arc<OnceLock<(Instant, Option<SystemTime>)>>;

/// What ended it: a step, or the event itself.
enum Ended {
    Trouble(Trouble),
    Verdict(Box<Verdict>),
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Examination<'_> {
    /// All that AMQP carries, and the verdict.
    pub(super) async fn speak(mut self, stream: BoxStream) -> Verdict {
        let authorized = Authorized::default();
        let connection = match self.open(stream, &authorized).await {
            Ok(connection) => connection,
            Err(trouble) => return Verdict::of(&trouble, &self.facts),
        };
        let used = self.use_hub(&connection, &authorized).await;
        if let Err(Ended::Trouble(trouble)) = &used {
            self.try_other_right(&connection, trouble).await;
        }
        connection.close_within(GOODBYE.min(self.limit())).await;
        match used {
            Ok(()) => Verdict::well(self.what_works()),
            Err(Ended::Trouble(trouble)) => Verdict::of(&trouble, &self.facts),
            Err(Ended::Verdict(verdict)) => *verdict,
        }
    }

    fn what_works(&self) -> String {
        let (hub, host) = (&self.network.event_hub, self.network.connection_string.host());
        let done = match (self.args.round_trip, self.args.send, self.args.sends(), self.args.listens()) {
            (true, ..) => "an event went there and came back",
            (_, true, _, true) => "an event was sent, and events can be read",
            (_, true, ..) => "an event was sent",
            (_, _, true, true) => "events can be sent and read",
            (_, _, true, false) => "events can be sent",
            _ => "events can be read",
        };
        format!("all is well: {done} ({hub} of {host})")
    }

    fn options(&self, authorized: &Authorized) -> Options {
        let (limit, authorized) = (self.limit(), authorized.clone());
        let options = self.options.clone().open_timeout(limit).send_timeout(limit).close_timeout(GOODBYE);
        options.retry(Retry::none()).on_event(move |event| {
            if let ConnectionEvent::Authorized { expires_at, .. } = event {
                let _ = authorized.set((clock::now(), *expires_at));
            }
        })
    }

    async fn open(&mut self, stream: BoxStream, authorized: &Authorized) -> Result<Connection, Trouble> {
        let (stream, sasl_ended) = Milestones::new(stream);
        let options = self.options(authorized);
        self.table.begin(Step::Sasl);
        let opened = Connection::open_over(stream, &self.network.connection_string, &options).await;
        let step = match sasl_ended.get() {
            None => Step::Sasl,
            Some(&at) => {
                self.table.end_at(Step::Sasl, at, "ANONYMOUS");
                Step::Open
            }
        };
        let connection = opened.map_err(|error| self.table.fail(step, error))?;
        self.table.end(step, Status::Ok, format!("as {}", self.network.connection_string.host()));
        Ok(connection)
    }

    /// The links that are asked for, and what goes over them.
    async fn use_hub(&mut self, connection: &Connection, authorized: &Authorized) -> Result<(), Ended> {
        let sender = match self.args.sends() {
            true => Some(self.attach_sender(connection, authorized).await?),
            false => None,
        };
        let receiver = match self.args.listens() {
            true => Some(self.attach_receiver(connection, authorized).await?),
            false => None,
        };
        let Some(sender) = sender.filter(|_| self.args.send || self.args.round_trip) else { return Ok(()) };
        let mark = mark();
        self.send(&sender, &mark).await?;
        match receiver.filter(|_| self.args.round_trip) {
            Some(receiver) => self.read_back(receiver, &mark).await,
            None => Ok(()),
        }
    }

    async fn attach_sender(&mut self, connection: &Connection, authorized: &Authorized) -> Result<Sender, Trouble> {
        self.begin_link(Step::AttachSend, authorized);
        let attached = match self.args.round_trip {
            true => connection.partition_sender(&self.network.event_hub, &self.args.partition_id).await,
            false => connection.sender(&self.network.event_hub).await,
        };
        let sender = self.end_link(Step::AttachSend, authorized, attached)?;
        let max_len = crate::words::size(sender.max_message_size().try_into().unwrap_or(u64::MAX));
        self.table.end(Step::AttachSend, Status::Ok, format!("may send; messages of up to {max_len}"));
        Ok(sender)
    }

    async fn attach_receiver(&mut self, connection: &Connection, authorized: &Authorized) -> Result<Receiver, Trouble> {
        self.begin_link(Step::AttachListen, authorized);
        let attached = self.receiver(connection).await;
        let receiver = self.end_link(Step::AttachListen, authorized, attached)?;
        let (group, partition) = (&self.args.consumer_group, &self.args.partition_id);
        self.table.end(Step::AttachListen, Status::Ok, format!("may read partition {partition} as {group}"));
        Ok(receiver)
    }

    async fn receiver(&self, connection: &Connection) -> Result<Receiver, Error> {
        let options = ReceiverOptions::default().consumer_group(&self.args.consumer_group);
        let options = options.position(Position::Latest).credit(10);
        connection.receiver(&self.network.event_hub, &self.args.partition_id, &options).await
    }

    /// A link needs a token first: that is a step of its own, once.
    fn begin_link(&mut self, step: Step, authorized: &Authorized) {
        self.table.begin(if authorized.get().is_none() { Step::Token } else { step });
    }

    fn end_link<T>(&mut self, step: Step, authorized: &Authorized, attached: Result<T, Error>) -> Result<T, Trouble> {
        let is_told = self.table.has(Step::Token);
        match authorized.get() {
            Some(&(at, expires_at)) if !is_told => {
                let until =
                    expires_at.and_then(|time| date(since_epoch(time).as_secs())).map(|date| format!(", until {date}"));
                let audience = self.network.connection_string.audience(&self.network.event_hub);
                self.table.end_at(Step::Token, at, format!("taken for {audience}{}", until.unwrap_or_default()));
            }
            _ => {}
        }
        attached.map_err(|error| self.table.fail(step_of(&error, step, authorized), error))
    }

    /// A rule that lacks one right may have the other: that says that the key is right.
    async fn try_other_right(&mut self, connection: &Connection, trouble: &Trouble) {
        if trouble.error.condition() != Some(UNAUTHORIZED_ACCESS) {
            return;
        }
        let tried = match trouble.step {
            Step::AttachSend => self.receiver(connection).await.map(drop),
            Step::AttachListen if !self.args.sends() => connection.sender(&self.network.event_hub).await.map(drop),
            Step::AttachListen => Ok(()),
            _ => return,
        };
        self.facts.has_other_right = tried.is_ok();
    }

    async fn send(&mut self, sender: &Sender, mark: &str) -> Result<(), Ended> {
        let mut batch = sender.batch();
        let event = Event::new("sent by `hubwire doctor`").with_property(MARK, mark);
        // One that does not fit leaves the batch empty, which is told when it is sent.
        let _ = batch.try_add(event);
        self.table.begin(Step::Send);
        match sender.send(batch).await {
            Ok(_) => {
                self.table.end(Step::Send, Status::Ok, format!("accepted: one event with {MARK}={mark}"));
                Ok(())
            }
            Err(error) => {
                self.table.end(Step::Send, Status::Failed, said(&error));
                Err(Ended::Verdict(Box::new(Verdict::of_send(&error, &self.facts))))
            }
        }
    }

    async fn read_back(&mut self, mut receiver: Receiver, mark: &str) -> Result<(), Ended> {
        self.table.begin(Step::ReadBack);
        let until = clock::now() + self.limit();
        loop {
            let received = receiver.recv_within(until.saturating_duration_since(clock::now())).await;
            match received.map_err(|error| self.table.fail(Step::ReadBack, error))? {
                Some(received) if received.event.property(MARK).and_then(|value| value.as_str()) == Some(mark) => {
                    let (partition, number) = (&self.args.partition_id, received.sequence_number);
                    self.table.end(
                        Step::ReadBack,
                        Status::Ok,
                        format!("sequence number {number} of partition {partition}"),
                    );
                    return Ok(());
                }
                // Somebody else's.
                Some(_) => {}
                None => return Err(Ended::Verdict(Box::new(self.not_read_back()))),
            }
        }
    }

    fn not_read_back(&mut self) -> Verdict {
        let text = format!("the event did not come back from partition {} in time", self.args.partition_id);
        self.table.end(Step::ReadBack, Status::Failed, text.as_str());
        let failure = Failure { is_retryable: true, ..Failure::new(Kind::Unreachable, text) };
        Verdict::new(Step::ReadBack, Cause::NotReadBack, failure, &self.facts)
    }
}

/// Where a link failed that was to be there in the end.
fn step_of(error: &Error, step: Step, authorized: &Authorized) -> Step {
    match error {
        // Open answers, and a close follows: that is how a namespace refuses.
        Error::Closed { scope: Scope::Connection, .. } if authorized.get().is_none() => Step::Open,
        Error::TokenRefused { .. } | Error::NoToken { .. } => Step::Token,
        Error::TimedOut { step: Waiting::Token | Waiting::Authorize, .. } => Step::Token,
        _ if authorized.get().is_none() => Step::Token,
        _ => step,
    }
}

/// What no other event has.
fn mark() -> String {
    let nanos = since_epoch(clock::wall()).as_nanos();
    format!("{nanos:x}-{}", std::process::id())
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
