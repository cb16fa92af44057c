//! A runtime that is driven by its callers, and knows for how long nobody did.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::client::Slumber;
use crate::{Error, Options, clock};

/// More than any budget that tokio gives a task, which is a byte.
const MORE_THAN_A_BUDGET: usize = 256;

/// See the module.
pub(crate) struct Drive {
    /// Until it is dropped.
    runtime: Option<Runtime>,
    wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    watch: Mutex<Watch>,
}

/// Who drives, or since when nobody has.
struct Watch {
    /// Callers that wait, which is when the runtime has its turns.
    drivers: usize,
    since: Instant,
    /// The same moment, as the world counts: a frozen process' own clock may stand still.
    since_wall: SystemTime,
}

impl Drive {
    /// # Errors
    /// As [`enter`](Self::enter); [`Error::NoRuntime`].
    pub(crate) fn start(options: &Options) -> Result<Self, Error> {
        refuse_inside_task()?;
        let built = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = built.map_err(|error| Error::NoRuntime { source: Arc::new(error) })?;
        let wall_clock = options.wall_clock.clone();
        let watch = Watch { drivers: 0, since: clock::now(), since_wall: wall_clock() };
        Ok(Self { runtime: Some(runtime), wall_clock, watch: Mutex::new(watch) })
    }

    /// Takes the wheel.
    ///
    /// # Errors
    /// [`Error::InsideTask`].
    pub(crate) fn enter(&self) -> Result<Driving<'_>, Error> {
        refuse_inside_task()?;
        let watch = self.watch();
        let now = clock::now();
        let slumber = if watch.drivers == 0 {
            let (own, worlds) = (now - watch.since, (self.wall_clock)().duration_since(watch.since_wall));
            Slumber { since: watch.since, span: own.max(worlds.unwrap_or_default()) }
        } else {
            Slumber { since: now, span: Duration::ZERO }
        };
        Ok(Driving { drive: self, slumber, has_waited: Cell::new(false) })
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        // Without waiting: it may be dropped where that is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive").finish_non_exhaustive()
    }
}

/// A caller that drives.
pub(crate) struct Driving<'a> {
    drive: &'a Drive,
    /// How long nobody had.
    pub(crate) slumber: Slumber,
    /// Work that is done at its first poll gives no task, no timer and no socket a turn: nobody drove.
    has_waited: Cell<bool>,
}

impl Driving<'_> {
    /// Drives until `work` is done.
    pub(crate) fn run<F: Future>(&self, work: F) -> F::Output {
        self.run_after(|_| (), work)
    }

    /// The same for work that may find all done. If it has to wait, `look` comes before anything else has a turn.
    pub(crate) fn run_after<F: Future>(&self, look: impl FnOnce(Slumber), work: F) -> F::Output {
        let (mut done, mut look) = (None, Some(look));
        let mut before_a_turn = || {
            if let Some(look) = look.take() {
                look(self.slumber);
            }
        };
        self.drive_until(pin!(async { done = Some(work.await) }), &mut before_a_turn);
        done.expect("it is done")
    }

    /// Whatever the work: a runtime's loop is there once, and not once for each kind of call.
    fn drive_until(&self, mut work: Pin<&mut dyn Future<Output = ()>>, before_a_turn: &mut dyn FnMut()) {
        let runtime = self.drive.runtime.as_ref().expect("it is there until it is dropped");
        runtime.block_on(poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            if polled.is_pending() {
                before_a_turn();
                self.note_waiting();
            }
            polled
        }));
    }

    fn note_waiting(&self) {
        if !self.has_waited.replace(true) {
            self.drive.watch().drivers += 1;
        }
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        if !self.has_waited.get() {
            return;
        }
        let mut watch = self.drive.watch();
        watch.drivers -= 1;
        (watch.since, watch.since_wall) = (clock::now(), (self.drive.wall_clock)());
    }
}

fn refuse_inside_task() -> Result<(), Error> {
    if Handle::try_current().is_ok() && is_inside_task() { Err(Error::InsideTask) } else { Ok(()) }
}

/// Whether a runtime polls on this thread. Tokio gives what it polls a budget, and none to a thread of its own that may block:
/// one that can be used up is a task's. It is, which makes that task yield soon, as it should.
fn is_inside_task() -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    let mut is_left = || match tokio::task::coop::poll_proceed(&mut cx) {
        Poll::Ready(step) => {
            step.made_progress();
            true
        }
        Poll::Pending => false,
    };
    !(0..MORE_THAN_A_BUDGET).all(|_| is_left())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn started() -> Result<(), Error> {
        Drive::start(&Options::default())?.enter().map(|driving| driving.run(async {}))
    }

    #[test]
    fn a_thread_of_ones_own_may_block() {
        started().expect("a plain thread");
        let runtime = Runtime::new().expect("a runtime");
        let _context = runtime.enter();
        started().expect("a thread that only knows a runtime");
    }

    #[tokio::test]
    async fn a_task_may_not_and_is_told_what_may() {
        let error = started().expect_err("a task");
        assert!(matches!(error, Error::InsideTask), "{error}");
        assert!(error.to_string().contains("spawn_blocking"), "{error}");
        tokio::task::spawn_blocking(started).await.expect("no panic").expect("it may block");
        let started_there = tokio::spawn(async { started() }).await.expect("no panic");
        assert!(matches!(started_there, Err(Error::InsideTask)));
    }

    #[tokio::test]
    #[should_panic(expected = "Cannot start a runtime from within a runtime")]
    async fn a_task_without_a_budget_is_tokios_to_refuse() {
        tokio::task::unconstrained(async { drop(started()) }).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_worker_that_was_told_to_may_block() {
        assert!(started().is_err());
        tokio::task::block_in_place(started).expect("it may block");
    }

    #[test]
    fn a_call_that_waits_for_nothing_is_no_turn_for_those_that_do() {
        let ahead = Arc::new(AtomicU64::new(0));
        let behind = ahead.clone();
        let clock = move || SystemTime::UNIX_EPOCH + Duration::from_secs(behind.load(Ordering::Relaxed));
        let drive = Drive::start(&Options::default().wall_clock(clock)).expect("a plain thread");
        let slept = || drive.enter().expect("a plain thread").slumber.span.as_secs();
        ahead.store(600, Ordering::Relaxed);
        drive.enter().expect("a plain thread").run(async {});
        assert_eq!(slept(), 600, "nothing had a turn");
        let driving = drive.enter().expect("a plain thread");
        driving.run(async {
            assert_eq!(drive.watch().drivers, 0, "nothing has had a turn yet");
            tokio::task::yield_now().await;
            assert_eq!(drive.watch().drivers, 1);
        });
        drop(driving);
        assert_eq!(slept(), 0);
    }

    #[tokio::test]
    async fn it_may_be_dropped_anywhere() {
        let drive = std::thread::spawn(|| Drive::start(&Options::default())).join().expect("no panic");
        drop(drive.expect("it starts"));
    }
}
