//! Wakes at a time, finer than the runtime's timers can.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::clock;

/// The runtime's timers go by milliseconds. What is due between them is woken by a thread that sleeps as finely as the system
/// can; it takes no CPU while it does.
#[derive(Clone, Debug)]
pub(in crate::bench) enum Alarm {
    /// The runtime's own timers: they follow a clock that is paused.
    Coarse,
    Fine(Arc<Clockwork>),
}

/// Who waits for what time. The thread ends when this does.
#[derive(Debug)]
pub(in crate::bench) struct Clockwork(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_over: bool,
    waiting: BinaryHeap<Reverse<Waiting>>,
    count: u64,
}

#[derive(Debug)]
struct Waiting {
    at: Instant,
    /// Sets those apart that wait for the same time.
    number: u64,
    wake: oneshot::Sender<()>,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl Alarm {
    /// One with a thread of its own.
    pub(in crate::bench) fn fine() -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let running = Arc::clone(&queue);
        thread::Builder::new().name("alarm".to_owned()).spawn(move || running.run())?;
        Ok(Self::Fine(Arc::new(Clockwork(queue))))
    }

    /// Waits until `at`.
    ///
    /// Cancel: nothing is left behind but a wake-up that nobody hears.
    pub(in crate::bench) async fn at(&self, at: Instant) {
        match self {
            Self::Coarse => tokio::time::sleep_until(at.into()).await,
            Self::Fine(clockwork) => {
                // It answers until it is dropped, and it is not while this borrows it.
                let _ = clockwork.0.wait(at).await;
            }
        }
    }
}

impl Drop for Clockwork {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.changed.notify_one();
    }
}

impl State {
    /// Whoever waits for `at`, and whether nobody waits for an earlier time.
    fn wait(&mut self, at: Instant) -> (oneshot::Receiver<()>, bool) {
        let (wake, woken) = oneshot::channel();
        self.count += 1;
        let is_first = self.waiting.peek().is_none_or(|Reverse(first)| at < first.at);
        self.waiting.push(Reverse(Waiting { at, number: self.count, wake }));
        (woken, is_first)
    }

    /// Wakes those whose time has come, and forgets who has gone. Answers with the next one's time.
    fn wake(&mut self, now: Instant) -> Option<Instant> {
        while self.waiting.peek().is_some_and(|Reverse(first)| first.at <= now || first.wake.is_closed()) {
            if let Some(Reverse(first)) = self.waiting.pop() {
                let _ = first.wake.send(());
            }
        }
        self.waiting.peek().map(|Reverse(first)| first.at)
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, at: Instant) -> oneshot::Receiver<()> {
        let (woken, is_first) = self.state().wait(at);
        if is_first {
            self.changed.notify_one();
        }
        woken
    }

    fn run(&self) {
        let mut state = self.state();
        while !state.is_over {
            let now = clock::now();
            state = match state.wake(now) {
                Some(due) => {
                    let span = due.saturating_duration_since(now);
                    self.changed.wait_timeout(state, span).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn those_who_wait_are_woken_at_their_times_and_not_before() {
        let (mut state, start) = (State::default(), clock::now());
        let at = |millis| start + Duration::from_millis(millis);
        let (mut third, is_first) = state.wait(at(3));
        assert!(is_first);
        let (mut first, is_first) = state.wait(at(1));
        assert!(is_first, "its time is earlier");
        let (mut second, is_first) = state.wait(at(2));
        assert!(!is_first);
        let mut woken = |state: &mut State, now| {
            let next = state.wake(now);
            ([&mut first, &mut second, &mut third].map(|woken| woken.try_recv().is_ok()), next)
        };
        assert_eq!(woken(&mut state, at(0)), ([false, false, false], Some(at(1))));
        assert_eq!(woken(&mut state, at(1)), ([true, false, false], Some(at(2))));
        assert_eq!(woken(&mut state, at(5)), ([false, true, true], None), "each once");
        drop(state.wait(at(6)).0);
        assert_eq!(state.wake(at(5)), None, "nobody waits for it any more");
    }

    #[tokio::test]
    async fn nobody_is_woken_early() {
        let alarm = Alarm::fine().unwrap();
        let due = clock::now() + Duration::from_millis(2);
        alarm.at(due).await;
        assert!(clock::now() >= due);
    }

    #[tokio::test]
    async fn what_is_past_is_not_waited_for() {
        let alarm = Alarm::fine().unwrap();
        alarm.at(clock::now()).await;
    }
}
