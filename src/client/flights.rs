//! Which batches of a sender have no outcome yet, for those who wait until there is none left.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::engine::DeliveryKey;

/// See the module. Keys grow.
#[derive(Debug, Default)]
pub(super) struct Flights {
    open: Mutex<BTreeSet<DeliveryKey>>,
    /// Told when the oldest has landed.
    landed: Notify,
}

/// A batch under way. Dropped once it has its outcome.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Arc<Flights>,
    key: DeliveryKey,
}

impl Flights {
    pub(super) fn take_off(self: &Arc<Self>, key: DeliveryKey) -> Flight {
        self.open().insert(key);
        Flight { flights: self.clone(), key }
    }

    /// Waits for those that are under way now.
    pub(super) async fn land(&self) {
        let Some(last) = self.open().last().copied() else { return };
        self.land_before(last + 1).await;
    }

    /// Waits for those whose key is below `end`.
    pub(super) async fn land_before(&self, end: DeliveryKey) {
        loop {
            let mut landed = pin!(self.landed.notified());
            landed.as_mut().enable();
            if self.open().first().is_none_or(|first| *first >= end) {
                return;
            }
            landed.await;
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<DeliveryKey>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut open = self.flights.open();
        let was_first = open.first() == Some(&self.key);
        open.remove(&self.key);
        drop(open);
        if was_first {
            self.flights.landed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn those_before_are_waited_for_and_those_after_are_not() {
        let flights = Arc::<Flights>::default();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(flights.land()).poll(&mut cx).is_ready(), "nothing is under way");
        let (first, second) = (flights.take_off(1), flights.take_off(2));
        let mut landing = pin!(flights.land());
        assert!(landing.as_mut().poll(&mut cx).is_pending());
        let third = flights.take_off(3);
        drop(second);
        assert!(landing.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert!(landing.as_mut().poll(&mut cx).is_ready());
        let mut landing = pin!(flights.land());
        assert!(landing.as_mut().poll(&mut cx).is_pending());
        drop(third);
        assert!(landing.as_mut().poll(&mut cx).is_ready());
    }
}
