//! A bar on standard error, for a person who waits.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::report::Tally;
use crate::clock;
use crate::words::size;

/// What is done before this needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Draws nothing unless standard error is a terminal and the sending takes long.
#[derive(Debug)]
pub(super) struct Progress {
    is_wanted: bool,
    started: Instant,
    /// Events, where their number is known.
    total: Option<u64>,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(is_wanted: bool, total: Option<u64>) -> Self {
        let is_wanted = is_wanted && io::stderr().is_terminal();
        Self { is_wanted, started: clock::now(), total, bar: None }
    }

    pub(super) fn update(&mut self, tally: &Tally) {
        if !self.is_wanted {
            return;
        }
        let elapsed = clock::now().duration_since(self.started);
        if self.bar.is_none() && elapsed >= PATIENCE {
            self.bar = Some(bar(self.total, tally.accepted));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(tally.accepted);
            let events_per_sec = tally.accepted as f64 / elapsed.as_secs_f64();
            bar.set_message(format!("{}, {events_per_sec:.0} events/s", size(tally.bytes)));
        }
    }

    /// Takes the bar off the screen: the result follows.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar for what goes on at `position`: the time that is left is reckoned from here.
fn bar(total: Option<u64>, position: u64) -> ProgressBar {
    let template = match total {
        Some(_) => "{bar:30} {human_pos}/{human_len} events accepted, {msg}, {eta} left",
        None => "{spinner} {human_pos} events accepted, {msg}",
    };
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_position(position);
    bar.reset_eta();
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
