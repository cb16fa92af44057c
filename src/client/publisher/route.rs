//! Where events wait for each other, and the way that their batches take.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit};
use tokio::task::AbortHandle;

use super::cohort::{Receipt, Unsettled};
use super::{Flights, Sender, Shared};
use crate::client::flights::Flight;
use crate::wire::batch::Batch;

/// Events that go the same way. Held by whoever adds to the batch that forms, and by the task that hands it over, until it
/// has: so batches leave in the order of their events.
pub(super) struct Route {
    open: Arc<Mutex<Option<Forming>>>,
    way: WayOut,
}

enum WayOut {
    /// To the hub, over the next connection in turn.
    Any,
    /// To the partition of a key.
    Key(Box<str>, Arc<Sender>),
    Partition(Arc<Sender>),
}

/// A batch that forms.
pub(super) struct Forming {
    pub(super) batch: Batch,
    cohort: Unsettled,
    /// Once it has an event.
    waiting: Option<Waiting>,
}

/// What a batch with events in it holds.
struct Waiting {
    flight: Flight,
    number: u64,
    /// For all of its events.
    room: Option<OwnedSemaphorePermit>,
    timer: AbortHandle,
}

impl Forming {
    pub(super) fn new(batch: Batch) -> Self {
        Self { batch, cohort: Unsettled::default(), waiting: None }
    }

    /// Takes note of an event that was added.
    pub(super) fn take_in(
        &mut self,
        shared: &Arc<Shared>,
        route: &Arc<Route>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Receipt {
        let waiting = self.waiting.get_or_insert_with(|| Waiting::begin(shared, route));
        match (&mut waiting.room, room) {
            (Some(all), Some(room)) => all.merge(room),
            (all, room) => *all = room,
        }
        self.cohort.receipt(self.batch.len() - 1)
    }
}

impl Waiting {
    /// The first event's time begins.
    fn begin(shared: &Arc<Shared>, route: &Arc<Route>) -> Self {
        let number = shared.next_flight.fetch_add(1, Ordering::AcqRel);
        let flight = Flights::take_off(&shared.flights, number);
        let (shared, route) = (shared.clone(), route.clone());
        let timer = tokio::spawn(async move {
            tokio::time::sleep(shared.options.linger).await;
            let open = route.open().await;
            let is_it = |waiting: &Self| waiting.number == number;
            if open.as_ref().and_then(|forming| forming.waiting.as_ref()).is_some_and(is_it) {
                route.depart(&shared, open);
            }
        });
        Self { flight, number, room: None, timer: timer.abort_handle() }
    }
}

impl Route {
    pub(super) fn any() -> Self {
        Self { open: Arc::default(), way: WayOut::Any }
    }

    /// `key` is a good one.
    pub(super) fn with_key(key: &str, sender: Arc<Sender>) -> Self {
        Self { open: Arc::default(), way: WayOut::Key(key.into(), sender) }
    }

    pub(super) fn to_partition(sender: Arc<Sender>) -> Self {
        Self { open: Arc::default(), way: WayOut::Partition(sender) }
    }

    pub(super) async fn open(&self) -> OwnedMutexGuard<Option<Forming>> {
        self.open.clone().lock_owned().await
    }

    /// Whether nothing is held, and nobody is about to add.
    pub(super) fn is_empty(&self) -> bool {
        self.open.try_lock().is_ok_and(|open| open.as_ref().is_none_or(|forming| forming.waiting.is_none()))
    }

    /// A batch for the next events.
    pub(super) fn batch(&self, shared: &Shared) -> Batch {
        let batch = match &self.way {
            WayOut::Any => shared.lanes[0].batch(),
            WayOut::Partition(sender) => sender.batch(),
            WayOut::Key(key, sender) => {
                let batch = sender.batch_with_partition_key(key);
                batch.expect("the key was looked at when it was new")
            }
        };
        batch.with_limit(shared.options.max_batch_len)
    }

    pub(super) async fn depart_as_it_is(self: &Arc<Self>, shared: &Arc<Shared>) {
        let open = self.open().await;
        if open.as_ref().is_some_and(|forming| forming.waiting.is_some()) {
            self.depart(shared, open);
        }
    }

    /// Hands the batch over, in a task of its own: whoever's event filled it may go away.
    pub(super) fn depart(self: &Arc<Self>, shared: &Arc<Shared>, mut open: OwnedMutexGuard<Option<Forming>>) {
        let Some(Forming { batch, cohort, waiting: Some(waiting) }) = open.take() else { return };
        let Waiting { flight, room, timer, .. } = waiting;
        timer.abort();
        let (shared, route) = (shared.clone(), self.clone());
        tokio::spawn(async move {
            let sender = match &route.way {
                WayOut::Any => shared.next_lane().clone(),
                WayOut::Key(_, sender) | WayOut::Partition(sender) => sender.clone(),
            };
            let handed = sender.enqueue(batch).await;
            // The next batch goes behind it.
            drop(open);
            let outcome = match handed {
                Ok(ticket) => ticket.await,
                Err(error) => Err(error),
            };
            cohort.settle(outcome);
            drop((room, flight));
            if let WayOut::Key(key, _) = &route.way {
                shared.forget_key(key, &route);
            }
        });
    }
}
