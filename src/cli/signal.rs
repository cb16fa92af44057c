//! Ctrl-C and SIGTERM.

use std::io;

use super::failure::Kind;

/// Waits for the signals that ask a program to end. Made once, early: a signal is kept from then on.
#[derive(Debug)]
pub(super) struct Signals {
    /// How many [`next`](Self::next) has told.
    received: u32,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            received: 0,
        })
    }

    /// The next signal.
    ///
    /// Cancel: none is lost.
    pub(super) async fn next(&mut self) -> Kind {
        let kind = tokio::select! {
            biased;
            _ = self.interrupt.recv() => Kind::Interrupted,
            _ = self.terminate.recv() => Kind::Terminated,
        };
        self.received += 1;
        kind
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { received: 0 })
    }

    /// The next Ctrl-C.
    pub(super) async fn next(&mut self) -> Kind {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.received += 1;
        Kind::Interrupted
    }
}

impl Signals {
    /// Whether somebody asked again, after having been heard once: nothing is waited for any more.
    pub(super) fn are_urgent(&self) -> bool {
        self.received > 1
    }
}
