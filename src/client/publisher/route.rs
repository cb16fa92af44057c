//! Where events wait for each other, and the way that their batches take.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, oneshot};
use tokio::task::AbortHandle;

use super::cohort::{Receipt, Unsettled};
use super::flights::{Flight, Flights};
use super::{Sender, Shared};
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

/// A route that is held: nobody else adds to its batch.
pub(super) type Open = OwnedMutexGuard<Option<Forming>>;

/// A batch that forms.
pub(super) struct Forming {
    pub(super) batch: Batch,
    sender: Arc<Sender>,
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

    fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }
}

impl Waiting {
    /// The first event's time begins. It is the publisher's runtime that counts it, whoever's this call is.
    fn begin(shared: &Arc<Shared>, route: &Arc<Route>) -> Self {
        let number = shared.next_flight.fetch_add(1, Ordering::AcqRel);
        let flight = Flights::take_off(&shared.flights, number);
        // A route that has events is kept where it was found.
        let (of, route) = (shared.clone(), Arc::downgrade(route));
        let timer = shared.runtime.spawn(async move {
            tokio::time::sleep(of.options.linger).await;
            let Some(route) = route.upgrade() else { return };
            let open = route.open().await;
            let is_it = |waiting: &Self| waiting.number == number;
            if open.as_ref().and_then(|forming| forming.waiting.as_ref()).is_some_and(is_it) {
                route.depart(&of, open, None);
            }
            of.let_go(route);
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

    pub(super) fn key(&self) -> Option<&str> {
        match &self.way {
            WayOut::Key(key, _) => Some(key),
            WayOut::Any | WayOut::Partition(_) => None,
        }
    }

    pub(super) async fn open(&self) -> Open {
        self.open.clone().lock_owned().await
    }

    /// Whether nothing is held, and nobody is about to add.
    pub(super) fn is_empty(&self) -> bool {
        self.open.try_lock().is_ok_and(|open| !open.as_ref().is_some_and(Forming::is_waiting))
    }

    /// The batch that forms, or a new one.
    pub(super) fn forming<'a>(&self, shared: &Shared, open: &'a mut Open) -> &'a mut Forming {
        open.get_or_insert_with(|| {
            let (sender, batch) = match &self.way {
                WayOut::Any => {
                    let sender = shared.next_lane().clone();
                    let batch = sender.batch();
                    (sender, batch)
                }
                WayOut::Partition(sender) => (sender.clone(), sender.batch()),
                WayOut::Key(key, sender) => {
                    let batch = sender.batch_with_partition_key(key);
                    (sender.clone(), batch.expect("the key was looked at when it was new"))
                }
            };
            let batch = batch.with_limit(shared.options.max_batch_len);
            Forming { batch, sender, cohort: Unsettled::default(), waiting: None }
        })
    }

    pub(super) async fn depart_as_it_is(self: &Arc<Self>, shared: &Arc<Shared>) {
        let open = self.open().await;
        self.depart(shared, open, None);
    }

    /// The same, unless somebody holds it, who will see to it.
    pub(super) fn depart_if_free(self: &Arc<Self>, shared: &Arc<Shared>) {
        if let Ok(open) = self.open.clone().try_lock_owned() {
            self.depart(shared, open, None);
        }
    }

    /// Hands the batch over, if it has events, in a task of its own: whoever's event filled it may go away. Once it is handed
    /// over, the route goes to `next`, or to whoever waits.
    pub(super) fn depart(self: &Arc<Self>, shared: &Arc<Shared>, mut open: Open, next: Option<oneshot::Sender<Open>>) {
        if !open.as_ref().is_some_and(Forming::is_waiting) {
            return;
        }
        let Some(Forming { batch, sender, cohort, waiting: Some(waiting) }) = open.take() else { return };
        let Waiting { flight, room, timer, .. } = waiting;
        timer.abort();
        let (of, route) = (shared.clone(), self.clone());
        shared.runtime.spawn(async move {
            let handed = sender.enqueue(batch).await;
            // The next batch goes behind it; who has gone away leaves the route to the others.
            match next {
                Some(next) => drop(next.send(open)),
                None => drop(open),
            }
            let outcome = match handed {
                Ok(ticket) => ticket.await,
                Err(error) => Err(error),
            };
            cohort.settle(outcome);
            drop((room, flight));
            of.let_go(route);
        });
    }
}
