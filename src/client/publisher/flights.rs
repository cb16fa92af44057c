//! Which batches of a publisher have no outcome yet, for those who wait until there is none left.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// See the module. Numbers grow.
#[derive(Debug, Default)]
pub(super) struct Flights {
    open: Mutex<BTreeSet<u64>>,
    /// Told when the oldest has landed.
    landed: Notify,
}

/// A batch under way. Dropped once it has its outcome.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Arc<Flights>,
    number: u64,
}

impl Flights {
    pub(super) fn take_off(self: &Arc<Self>, number: u64) -> Flight {
        self.open().insert(number);
        Flight { flights: self.clone(), number }
    }

    /// Waits for those whose number is below `end`.
    pub(super) async fn land_before(&self, end: u64) {
        loop {
            let mut landed = pin!(self.landed.notified());
            landed.as_mut().enable();
            if self.open().first().is_none_or(|first| *first >= end) {
                return;
            }
            landed.await;
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut open = self.flights.open();
        let was_first = open.first() == Some(&self.number);
        open.remove(&self.number);
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
        assert!(pin!(flights.land_before(3)).poll(&mut cx).is_ready(), "nothing is under way");
        let (first, second) = (flights.take_off(1), flights.take_off(2));
        let mut landing = pin!(flights.land_before(3));
        assert!(landing.as_mut().poll(&mut cx).is_pending());
        let third = flights.take_off(3);
        drop(second);
        assert!(landing.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert!(landing.as_mut().poll(&mut cx).is_ready());
        let mut landing = pin!(flights.land_before(4));
        assert!(landing.as_mut().poll(&mut cx).is_pending());
        drop(third);
        assert!(landing.as_mut().poll(&mut cx).is_ready());
    }
}
