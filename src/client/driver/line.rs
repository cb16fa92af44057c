//! The stream under a connection, and the next one when it is lost.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Deadline, Driver, Engine, Error, Settings, Step};
use crate::client::error::Scope;
use crate::client::management::Management;
use crate::client::status::ConnectionEvent;
use crate::clock;
use crate::pump::{BoxStream, Pump};

/// Bytes of room for one read: the hub's side says little, unless events are read.
const READ_LEN: usize = 8 * 1024;
/// What lasted for so long counts as kept: the next loss is a first one.
pub(super) const STEADY: Duration = Duration::from_secs(10);

pub(super) type Connecting = Pin<Box<dyn Future<Output = Result<BoxStream, Error>> + Send>>;
/// Leads to a stream, within a deadline.
pub(in crate::client) type Connector = Arc<dyn Fn(Deadline) -> Connecting + Send + Sync>;

/// How far the connection is.
pub(super) enum Line {
    /// There is a stream; the peer's open has not come.
    Opening {
        deadline: Deadline,
        /// Whoever opened the connection, the first time.
        first: Option<oneshot::Sender<Result<(), Error>>>,
    },
    Open {
        since: Instant,
    },
    /// Before the next attempt.
    Resting {
        until: Instant,
    },
    Connecting(Connecting),
    /// Until somebody wants something.
    Asleep,
}

impl Line {
    /// Whether there is a stream.
    pub(super) fn is_up(&self) -> bool {
        matches!(self, Self::Opening { .. } | Self::Open { .. })
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        match self {
            Self::Opening { deadline, .. } => Some(deadline.at),
            Self::Resting { until } => Some(*until),
            // The connector keeps its own deadline.
            Self::Open { .. } | Self::Connecting(_) | Self::Asleep => None,
        }
    }
}

/// Something that is gone, and is to come back.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    /// The first cause.
    pub(super) cause: Error,
    pub(super) since: Instant,
}

impl Outage {
    /// Whether the hub did not ask for time.
    pub(super) fn may_hurry(&self) -> bool {
        self.cause.minimum_wait().is_zero()
    }
}

/// An engine of its own over `stream`.
pub(super) fn pump(settings: &Settings, stream: BoxStream, now: Instant) -> Pump<BoxStream> {
    let engine = Engine::new(settings.config.clone(), now);
    let stream = traced(settings, stream);
    Pump::new(engine, stream, READ_LEN).giving_up_after(settings.options.write_timeout)
}

#[cfg(feature = "trace")]
fn traced(settings: &Settings, stream: BoxStream) -> BoxStream {
    match &settings.options.tap {
        Some(tap) => Box::new(tap.wrap(stream)),
        None => stream,
    }
}

#[cfg(not(feature = "trace"))]
fn traced(_: &Settings, stream: BoxStream) -> BoxStream {
    stream
}

impl Driver {
    pub(super) fn on_opened(&mut self) {
        let now = clock::now();
        let Line::Opening { first, .. } = std::mem::replace(&mut self.line, Line::Open { since: now }) else { return };
        self.status.tell(&ConnectionEvent::Opened);
        if first.is_some_and(|first| first.send(Ok(())).is_err()) {
            return self.close(Deadline::after(self.close_timeout()), None);
        }
        if let Some(outage) = self.outage.take() {
            self.status.recovered();
            let (scope, address, after) = (Scope::Connection, String::new(), now.duration_since(outage.since));
            self.status.tell(&ConnectionEvent::Recovered { scope, address, after });
        }
        for request in std::mem::take(&mut self.unauthorized) {
            self.on_ask(request);
        }
        for slot in self.links.down() {
            self.seek(slot);
        }
        self.waking.tell(&Ok(()));
    }

    /// The stream, or the connection over it, is gone. Outcomes follow.
    pub(super) fn on_closed(&mut self, cause: Error) {
        if self.ended {
            return;
        }
        let is_first = matches!(self.line, Line::Opening { first: Some(_), .. });
        let is_wanted = self.closing.as_ref().is_some_and(|closing| closing.said);
        if is_first || is_wanted || self.settings.connector.is_none() || !is_passing(&cause) {
            return self.end_with(cause);
        }
        let was_steady = matches!(self.line, Line::Open { since } if clock::now().duration_since(since) >= STEADY);
        self.attempts = if was_steady { 0 } else { self.attempts + 1 };
        self.cbs.halt();
        self.waking.tell(&Err(cause.clone()));
        self.unauthorized.extend(self.management.take_all());
        if cause.is_idle() && self.is_quiet() {
            self.fall_asleep(cause.clone());
        } else {
            self.rest(cause.clone());
        }
        self.session = None;
        self.detaching.clear();
        for slot in self.links.lose_all() {
            self.fail(slot, cause.clone());
        }
    }

    /// Whether nobody wants anything of the connection: it would only be closed again for resting.
    fn is_quiet(&self) -> bool {
        self.sends.is_empty() && self.unauthorized.is_empty() && self.management.is_quiet() && self.links.are_quiet()
    }

    /// A hub that closes what rests for long is not asked for another connection before there is something to do.
    fn fall_asleep(&mut self, cause: Error) {
        let (scope, address) = (Scope::Connection, String::new());
        self.status.tell(&ConnectionEvent::Lost {
            scope,
            address,
            cause: cause.clone(),
            is_idle: true,
            retry_in: None,
        });
        self.outage.get_or_insert(Outage { cause, since: clock::now() });
        self.line = Line::Asleep;
    }

    /// Somebody wants something of the connection.
    pub(super) fn wake_line(&mut self) {
        if matches!(self.line, Line::Asleep) {
            self.connect();
        }
    }

    /// Waits before the next attempt to connect.
    fn rest(&mut self, cause: Error) {
        let now = clock::now();
        let is_idle = cause.is_idle();
        let wait = self.recovery_wait(self.attempts, &cause);
        let event = ConnectionEvent::Lost {
            scope: Scope::Connection,
            address: String::new(),
            cause: cause.clone(),
            is_idle,
            retry_in: Some(wait),
        };
        self.status.tell(&event);
        self.outage.get_or_insert(Outage { cause, since: now });
        let until = now.checked_add(wait).unwrap_or(now + Duration::from_secs(86_400));
        self.line = Line::Resting { until };
    }

    pub(super) fn on_connected(&mut self, result: Result<BoxStream, Error>) {
        match result {
            Ok(stream) => {
                let deadline = Deadline::after(self.settings.options.open_timeout);
                self.pump = pump(&self.settings, stream, clock::now());
                self.management = Management::default();
                self.cbs.restart(&mut self.pump.engine);
                self.line = Line::Opening { deadline, first: None };
            }
            Err(error) if is_passing(&error) => {
                self.attempts += 1;
                self.waking.tell(&Err(error.clone()));
                self.rest(error);
            }
            Err(error) => self.end_with(error),
        }
    }

    pub(super) fn take_line_time(&mut self, now: Instant) {
        match &self.line {
            Line::Opening { deadline, .. } if deadline.at <= now => {
                let error = deadline.passed(Step::Open);
                self.drop_line(error);
            }
            Line::Resting { until } if *until <= now => self.connect(),
            _ => {}
        }
    }

    pub(super) fn connect(&mut self) {
        let Some(connector) = &self.settings.connector else { return };
        let deadline = Deadline::after(self.settings.options.open_timeout);
        self.line = Line::Connecting(connector(deadline));
    }

    /// Gives the stream up without waiting for the peer; what that leads to is decided as for any other loss.
    pub(super) fn drop_line(&mut self, cause: Error) {
        if self.line.is_up() {
            self.doom.get_or_insert(cause);
            self.pump.engine.close(None);
            self.pump.engine.abandon();
            self.take_events();
        }
    }

    /// Ends the connection for good, here and now.
    pub(super) fn end(&mut self, cause: Error) {
        if self.ended {
            return;
        }
        self.settings.connector = None;
        if self.line.is_up() {
            self.drop_line(cause);
        } else {
            self.end_with(cause);
        }
    }

    /// The connection is over: everybody who waits is told the first cause.
    fn end_with(&mut self, cause: Error) {
        let cause = self.status.end(cause);
        self.ended = true;
        if let Line::Opening { first, .. } = &mut self.line
            && let Some(first) = first.take()
        {
            let _ = first.send(Err(cause.clone()));
        }
        for request in self.unauthorized.drain(..) {
            request.end(Err(cause.clone()));
        }
        self.management.fail_all(&cause);
        self.waking.end(&cause);
        self.end_links(&cause);
        self.detaching.clear();
    }
}

/// Whether another connection may fare better, without anybody changing anything.
fn is_passing(error: &Error) -> bool {
    match error {
        // A middlebox that cut the handshake short; a certificate that is not trusted will not be later.
        Error::Tls { source, .. } => source.get_ref().is_none(),
        error => error.is_retryable(),
    }
}
