//! The end before the end.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks a run to end. A clone asks the same run.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<Wish>>);

/// How much is wished for. More comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    GoOn,
    Stop,
    GiveUp,
}

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Wish::GoOn)))
    }
}

impl Stop {
    /// Nothing more is offered; what is under way has its outcome.
    pub fn stop(&self) {
        self.wish(Wish::Stop);
    }

    /// What is under way is waited for no more: its outcome is unknown, or it was not sent.
    pub fn give_up(&self) {
        self.wish(Wish::GiveUp);
    }

    fn wish(&self, wish: Wish) {
        self.0.send_if_modified(|before| {
            let is_more = wish > *before;
            *before = wish.max(*before);
            is_more
        });
    }

    /// Whether nothing more is to be offered.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() >= Wish::Stop
    }

    /// Waits for that.
    pub(super) async fn stopped(&self) {
        self.until(Wish::Stop).await;
    }

    pub(super) async fn given_up(&self) {
        self.until(Wish::GiveUp).await;
    }

    async fn until(&self, wish: Wish) {
        // The sender is in `self`: the channel does not close.
        let _ = self.0.subscribe().wait_for(|wished| *wished >= wish).await;
    }
}
