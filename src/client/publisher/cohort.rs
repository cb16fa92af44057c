//! The events of one batch, and those who wait for what becomes of them.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::client::error::{Error, SendError};
use crate::client::sender::Accepted;
use crate::wire::batch::BatchReader;
use crate::wire::event::Event;

/// See the module.
#[derive(Debug)]
pub(super) struct Cohort {
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// And who is to be woken.
    Pending(Vec<Waker>),
    Accepted,
    Failed(Arc<Failed>),
    Abandoned,
}

#[derive(Debug)]
struct Failed {
    /// The message, and where its events are.
    message: Bytes,
    events: Vec<Range<usize>>,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Rejected { condition: String, description: String },
    NotSent(Error),
    Unknown(Error),
}

/// What became of one event, to be awaited: `Ok` means stored by the hub. It is told whenever it is asked for.
///
/// # Cancel
/// Nothing changes for the event.
#[must_use = "what becomes of the event is told here, and one that was not accepted comes back"]
#[derive(Debug)]
pub struct Receipt {
    cohort: Arc<Cohort>,
    index: usize,
    /// Which of the wakers is its own.
    waker: Option<usize>,
}

/// An event that was not accepted, given back.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Undelivered {
    /// The hub looked at the batch that it was in, and refused it.
    #[error("the hub rejected the event's batch: {condition}: {description}")]
    Rejected {
        /// As it was published.
        event: Box<Event>,
        /// The hub's error condition; empty when it gave none.
        condition: String,
        /// The hub's own words, with its TrackingId; empty when it gave none.
        description: String,
    },
    /// It never left, or came back untouched: publishing it again cannot duplicate.
    #[error("the event was not sent: {cause}")]
    NotSent {
        /// As it was published.
        event: Box<Event>,
        /// Why.
        cause: Error,
    },
    /// It left, or was about to, and no outcome came: it may be stored or not. Publishing it again may duplicate.
    #[error("the event's outcome is unknown: {cause}")]
    Unknown {
        /// As it was published.
        event: Box<Event>,
        /// Why no outcome came.
        cause: Error,
    },
    /// The runtime that carried it has ended. It may be stored or not, and is not to be had back: keep the runtime until
    /// [`Publisher::close`](crate::Publisher::close) is done.
    #[error("the event's outcome is unknown: the runtime that carried it has ended")]
    Abandoned,
}

impl Undelivered {
    /// The event, as it was encoded: with its partition key, if it was published with one.
    pub fn into_event(self) -> Option<Event> {
        match self {
            Self::Rejected { event, .. } | Self::NotSent { event, .. } | Self::Unknown { event, .. } => Some(*event),
            Self::Abandoned => None,
        }
    }
}

impl Default for Cohort {
    fn default() -> Self {
        Self { state: Mutex::new(State::Pending(Vec::new())) }
    }
}

impl Cohort {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, settled: State) {
        let before = std::mem::replace(&mut *self.state(), settled);
        if let State::Pending(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// The batch's end: tells those who wait, or that it was abandoned, when it is dropped before.
#[derive(Default)]
pub(super) struct Unsettled {
    cohort: Arc<Cohort>,
    is_settled: bool,
}

impl Unsettled {
    /// For the event that was added as number `index`, from 0.
    pub(super) fn receipt(&self, index: usize) -> Receipt {
        Receipt { cohort: self.cohort.clone(), index, waker: None }
    }

    /// Tells the outcome.
    pub(super) fn settle(mut self, outcome: Result<Accepted, SendError>) {
        self.is_settled = true;
        self.cohort.settle(match outcome {
            Ok(_) => State::Accepted,
            Err(error) => State::Failed(Arc::new(Failed::of(error))),
        });
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if !self.is_settled {
            self.cohort.settle(State::Abandoned);
        }
    }
}

impl Failed {
    fn of(error: SendError) -> Self {
        let (batch, why) = match error {
            SendError::Rejected { batch, condition, description } => (batch, Why::Rejected { condition, description }),
            SendError::NotSent { batch, cause } => (batch, Why::NotSent(cause)),
            SendError::Unknown { batch, cause } => (batch, Why::Unknown(cause)),
        };
        let message = batch.into_message().bytes;
        let mut events = Vec::new();
        if let Ok(mut reader) = BatchReader::new(message.clone()) {
            events.extend(std::iter::from_fn(|| reader.next_range()?.ok()));
        }
        Self { message, events, why }
    }

    fn tell(&self, index: usize) -> Undelivered {
        // What was encoded here decodes; an event that did not would be empty rather than lost from sight.
        let encoded = self.events.get(index).map(|range| self.message.slice(range.clone())).unwrap_or_default();
        let event = Box::new(Event::decode(&encoded).unwrap_or_default());
        match &self.why {
            Why::Rejected { condition, description } => {
                let (condition, description) = (condition.clone(), description.clone());
                Undelivered::Rejected { event, condition, description }
            }
            Why::NotSent(cause) => Undelivered::NotSent { event, cause: cause.clone() },
            Why::Unknown(cause) => Undelivered::Unknown { event, cause: cause.clone() },
        }
    }
}

impl Receipt {
    /// The outcome, if it has come, for a caller that may not wait for it.
    pub(crate) fn told_or_abandoned(&self) -> Result<(), Undelivered> {
        match &*self.cohort.state() {
            State::Accepted => Ok(()),
            State::Failed(failed) => Err(failed.tell(self.index)),
            State::Abandoned | State::Pending(_) => Err(Undelivered::Abandoned),
        }
    }
}

impl Future for Receipt {
    type Output = Result<(), Undelivered>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let cohort = self.cohort.clone();
        let failed = match &mut *cohort.state() {
            State::Accepted => return Poll::Ready(Ok(())),
            State::Abandoned => return Poll::Ready(Err(Undelivered::Abandoned)),
            State::Failed(failed) => failed.clone(),
            State::Pending(wakers) => {
                match self.waker {
                    Some(own) => wakers[own].clone_from(cx.waker()),
                    None => {
                        self.waker = Some(wakers.len());
                        wakers.push(cx.waker().clone());
                    }
                }
                return Poll::Pending;
            }
        };
        Poll::Ready(Err(failed.tell(self.index)))
    }
}
