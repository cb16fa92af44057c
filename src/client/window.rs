//! How much may be under way on a connection, and whose turn it is to add to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use std::future::poll_fn;

/// See the module. One lock for all of it, held for a few instructions.
#[derive(Debug)]
pub(super) struct Window {
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free_batches: usize,
    free_bytes: usize,
    /// Those who wait, in their order. The first has the turn until it has handed its batch over: one that found its place
    /// a moment later would overtake it.
    line: VecDeque<Waiting>,
    next_number: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    waker: Option<Waker>,
}

/// A share of the window: one batch, and its bytes. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    window: Arc<Window>,
    bytes: usize,
}

/// A place in the line. Left when it is dropped.
#[derive(Debug)]
pub(super) struct InLine {
    window: Arc<Window>,
    number: u64,
}

impl Window {
    pub(super) fn new(max_batches: usize, max_bytes: usize) -> Self {
        let state = State { free_batches: max_batches, free_bytes: max_bytes, line: VecDeque::new(), next_number: 0 };
        Self { max_bytes, state: Mutex::new(state) }
    }

    /// A place for a batch of so many bytes, if there is room and nobody is before.
    pub(super) fn try_place(self: &Arc<Self>, len: usize) -> Option<Place> {
        let mut state = self.state();
        if !state.line.is_empty() {
            return None;
        }
        self.take(&mut state, len)
    }

    /// Stands in line, behind all others.
    pub(super) fn line_up(self: &Arc<Self>) -> InLine {
        let mut state = self.state();
        let number = state.next_number;
        state.next_number += 1;
        state.line.push_back(Waiting { number, waker: None });
        InLine { window: self.clone(), number }
    }

    fn take(self: &Arc<Self>, state: &mut State, len: usize) -> Option<Place> {
        // One that is larger than the whole window has it for itself.
        let bytes = len.min(self.max_bytes);
        if state.free_batches == 0 || state.free_bytes < bytes {
            return None;
        }
        state.free_batches -= 1;
        state.free_bytes -= bytes;
        Some(Place { window: self.clone(), bytes })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where somebody stands in the line, which is one of growing numbers.
    fn position(&self, number: u64) -> Option<usize> {
        self.line.binary_search_by_key(&number, |waiting| waiting.number).ok()
    }

    /// Whoever is first looks again.
    fn first(&mut self) -> Option<Waker> {
        self.line.front_mut()?.waker.take()
    }
}

impl InLine {
    /// Waits for its turn, and for room. The turn is its own until it is dropped.
    pub(super) async fn place(&self, len: usize) -> Place {
        poll_fn(|cx| self.poll_place(cx, len)).await
    }

    fn poll_place(&self, cx: &mut Context<'_>, len: usize) -> Poll<Place> {
        let mut state = self.window.state();
        if state.line.front().is_some_and(|first| first.number == self.number)
            && let Some(place) = self.window.take(&mut state, len)
        {
            return Poll::Ready(place);
        }
        if let Some(at) = state.position(self.number) {
            state.line[at].waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let mut state = self.window.state();
        if let Some(at) = state.position(self.number) {
            state.line.remove(at);
        }
        let next = state.first();
        drop(state);
        next.inspect(Waker::wake_by_ref);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.window.state();
        state.free_batches += 1;
        state.free_bytes += self.bytes;
        let next = state.first();
        drop(state);
        next.inspect(Waker::wake_by_ref);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;

    use super::*;

    fn window(batches: usize, bytes: usize) -> Arc<Window> {
        Arc::new(Window::new(batches, bytes))
    }

    #[test]
    fn batches_and_bytes_are_bounded_and_come_back() {
        let window = window(2, 100);
        let first = window.try_place(60).expect("room");
        assert!(window.try_place(41).is_none(), "too many bytes");
        let second = window.try_place(40).expect("room");
        assert!(window.try_place(0).is_none(), "too many batches");
        drop(first);
        assert!(window.try_place(61).is_none());
        drop((window.try_place(60).expect("room"), second));
        let whole = window.try_place(1_000).expect("a batch larger than the window has it for itself");
        assert!(window.try_place(1).is_none());
        drop(whole);
        assert!(window.try_place(100).is_some());
    }

    #[test]
    fn those_who_wait_come_in_their_order_and_nobody_overtakes_one_that_has_its_turn() {
        let window = window(2, 100);
        let mut cx = Context::from_waker(Waker::noop());
        let (large, small) = (window.line_up(), window.line_up());
        let held = window.try_place(1);
        assert!(held.is_none(), "others are before");
        assert!(pin!(small.place(1)).poll(&mut cx).is_pending(), "it is not its turn");
        let Poll::Ready(place) = pin!(large.place(100)).poll(&mut cx) else { panic!("room, and its turn") };
        drop(place);
        // There is room for it, but what has the turn is not handed over yet.
        assert!(pin!(small.place(1)).poll(&mut cx).is_pending());
        drop(large);
        assert!(pin!(small.place(1)).poll(&mut cx).is_ready());
        drop(small);
        assert!(window.try_place(100).is_some());
    }

    #[test]
    fn the_first_is_woken_by_room_and_by_the_leaving_of_the_one_before() {
        struct Flag(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let is_woken = |flag: &Arc<Flag>| flag.0.swap(false, std::sync::atomic::Ordering::Relaxed);
        let flag = Arc::new(Flag(false.into()));
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        let window = window(1, 100);
        let place = window.try_place(1).expect("room");
        let (first, second) = (window.line_up(), window.line_up());
        assert!(pin!(second.place(1)).poll(&mut cx).is_pending());
        drop(first);
        assert!(is_woken(&flag), "the one before has gone");
        assert!(pin!(second.place(1)).poll(&mut cx).is_pending(), "no room");
        drop(place);
        assert!(is_woken(&flag), "there is room");
        assert!(pin!(second.place(1)).poll(&mut cx).is_ready());
    }
}
