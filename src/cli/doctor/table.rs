//! The table that fills as it goes: a step that is under way is shown on a terminal, and one that is over everywhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::certificate::Certificate;
use super::step::{Row, Status, Step};
use super::verdict::said_of;
use crate::cli::output;
use crate::words;
use crate::{Error, clock};

/// What takes the cursor back and wipes the line.
const WIPE: &str = "\r\x1b[2K";

/// The rows so far.
#[derive(Debug)]
pub(super) struct Table {
    is_printed: bool,
    is_terminal: bool,
    rows: Vec<Row>,
    /// When the step under way began.
    began: Instant,
}

/// A step that failed, and why.
#[derive(Debug)]
pub(super) struct Trouble<E = Error> {
    pub(super) step: Step,
    pub(super) error: E,
}

impl Table {
    /// `is_printed`: to standard output, as it goes.
    pub(super) fn new(is_printed: bool) -> Self {
        let is_terminal = is_printed && io::stdout().is_terminal();
        Self { is_printed, is_terminal, rows: Vec::new(), began: clock::now() }
    }

    pub(super) fn rows(self) -> Vec<Row> {
        self.rows
    }

    /// Whether the step is over.
    pub(super) fn has(&self, step: Step) -> bool {
        self.rows.iter().any(|row| row.step == step)
    }

    /// Whether the peer has shown a certificate: it was reached.
    pub(super) fn has_certificates(&self) -> bool {
        self.rows.iter().any(|row| !row.certificates.is_empty())
    }

    pub(super) fn begin(&mut self, step: Step) {
        self.began = clock::now();
        if self.is_terminal {
            let mut stdout = io::stdout().lock();
            let _ = write!(stdout, "{WIPE}...   {}", step.name()).and_then(|()| stdout.flush());
        }
    }

    /// Runs a step. One that fails is a row; one that does not is to be told by [`end`](Self::end).
    pub(super) async fn run<T>(
        &mut self,
        step: Step,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Trouble> {
        self.begin(step);
        match work.await {
            Ok(done) => Ok(done),
            Err(error) => Err(self.fail(step, error)),
        }
    }

    pub(super) fn fail(&mut self, step: Step, error: Error) -> Trouble {
        self.end(step, Status::Failed, said_of(&error));
        Trouble { step, error }
    }

    pub(super) fn end(&mut self, step: Step, status: Status, detail: impl Into<String>) {
        self.end_with(step, status, detail, Vec::new());
    }

    pub(super) fn end_with(
        &mut self,
        step: Step,
        status: Status,
        detail: impl Into<String>,
        certificates: Vec<Certificate>,
    ) {
        let now = clock::now();
        let elapsed = now.saturating_duration_since(self.began);
        self.began = now;
        self.keep(Row { step, status, elapsed, detail: detail.into(), certificates });
    }

    /// A step that ended at `at`, and another one that began there.
    pub(super) fn end_at(&mut self, step: Step, at: Instant, detail: impl Into<String>) {
        let elapsed = at.saturating_duration_since(self.began);
        self.began = at;
        self.keep(Row { step, status: Status::Ok, elapsed, detail: detail.into(), certificates: Vec::new() });
    }

    fn keep(&mut self, row: Row) {
        if self.is_printed {
            let wipe = if self.is_terminal { WIPE } else { "" };
            // A reader that has gone away has seen enough; the exit code is there all the same.
            let _ = output::line(format_args!("{wipe}{}", line(&row)));
            for certificate in &row.certificates {
                let _ = output::line(format_args!("{:31}{certificate}", ""));
            }
        }
        self.rows.push(row);
    }
}

fn line(row: &Row) -> String {
    let elapsed = if row.elapsed == Duration::ZERO { String::new() } else { words::time(row.elapsed) };
    format!("{:<4}  {:<13} {:>9}  {}", row.status.mark(), row.step.name(), elapsed, row.detail)
}
