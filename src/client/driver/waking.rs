//! An owner that drives its connection only now and then: what came while it slept is taken first, and a connection that
//! cannot have lasted is made anew, once, before anything is sent over it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::line::Line;
use super::{Driver, Error};
use crate::clock;

/// How long a connection was not driven.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slumber {
    /// When it last was.
    pub(crate) since: Instant,
    /// How long ago that is, by the clock that went further: a frozen process' own may have stood still.
    pub(crate) span: Duration,
}

pub(in crate::client) struct WakeRequest {
    pub(in crate::client) slumber: Slumber,
    pub(in crate::client) reply: oneshot::Sender<Result<(), Error>>,
}

impl WakeRequest {
    pub(super) fn end(self, result: Result<(), Error>) {
        let _ = self.reply.send(result);
    }
}

/// Whoever slept.
#[derive(Default)]
pub(super) struct Waking {
    /// Until all that came has been taken.
    asked: Vec<WakeRequest>,
    /// Until the connection is back, or could not be had.
    waiting: Vec<WakeRequest>,
}

impl Waking {
    pub(super) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Tells those who wait for the connection.
    pub(super) fn tell(&mut self, result: &Result<(), Error>) {
        self.waiting.drain(..).for_each(|request| request.end(result.clone()));
    }

    /// The connection is over.
    pub(super) fn end(&mut self, cause: &Error) {
        self.waiting.append(&mut self.asked);
        self.tell(&Err(cause.clone()));
    }

    fn longest(&self) -> Option<Slumber> {
        self.asked.iter().map(|request| request.slumber).max_by_key(|slumber| slumber.span)
    }
}

impl Driver {
    pub(super) fn on_wake(&mut self, request: WakeRequest) {
        match self.closing {
            Some(_) => request.end(Err(Error::ShutDown)),
            None => self.waking.asked.push(request),
        }
    }

    /// All that came has been taken. What is lost is tried once, at once, and whoever slept is told what that led to.
    pub(super) fn on_caught_up(&mut self) {
        if let Some(slumber) = self.waking.longest() {
            self.cbs.catch_up(slumber.span.saturating_sub(clock::now().saturating_duration_since(slumber.since)));
            if let Some(cause) = self.staleness(slumber) {
                self.drop_line(cause);
            }
            self.hurry();
        }
        let mut asked = std::mem::take(&mut self.waking.asked);
        self.waking.waiting.append(&mut asked);
        // A hub that asked for time gets it: what is sent waits.
        if self.line.is_open() || matches!(self.line, Line::Resting { .. }) {
            self.waking.tell(&Ok(()));
        }
    }

    /// Why the connection cannot be there any more, or is worth nothing, though nobody has said so.
    fn staleness(&self, slumber: Slumber) -> Option<Error> {
        if !self.line.is_open() || self.settings.connector.is_none() {
            return None;
        }
        let engine = &self.pump.engine;
        let options = &self.settings.options;
        let is_silent = engine.last_received() <= slumber.since && slumber.span >= options.idle_timeout;
        let is_given_up = engine.peer_patience().is_some_and(|patience| slumber.span >= patience);
        let why = if is_silent || is_given_up {
            format!("nobody drove it for {:.0?}, longer than an idle connection is kept", slumber.span)
        } else if self.cbs.has_expired((options.wall_clock)()) {
            "its token ended while nobody drove it".to_owned()
        } else {
            return None;
        };
        Some(Error::Lost { source: Arc::new(io::Error::new(io::ErrorKind::TimedOut, why)) })
    }

    /// What rests is tried now: its owner has rested long enough.
    fn hurry(&mut self) {
        let may_hurry = self.outage.as_ref().is_none_or(super::Outage::may_hurry);
        match self.line {
            Line::Asleep => self.connect(),
            Line::Resting { .. } if may_hurry => self.connect(),
            _ => {}
        }
        for id in self.links.resting() {
            self.seek(id);
        }
    }

    /// The wait before what is lost is tried again for the time `attempts`. There is none for an owner that has slept, but
    /// for what its hub asks for.
    pub(super) fn recovery_wait(&mut self, attempts: u32, cause: &Error) -> Duration {
        if self.waking.is_asked() {
            return cause.minimum_wait();
        }
        self.settings.options.retry.recovery_wait(attempts, cause.minimum_wait(), self.random.next())
    }
}
