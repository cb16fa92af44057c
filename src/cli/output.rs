//! Lines for people and programs. A reader that has gone away is not an error of ours.

use std::fmt;
use std::io::{self, Write};

/// A line to standard output.
pub(super) fn line(text: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush())
}

/// Whether it was the reader's choice to miss what is written.
pub(super) fn is_reader_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// An error to standard error.
pub(super) fn complain(text: impl fmt::Display) {
    note(format_args!("error: {text}"));
}

/// A warning to standard error.
pub(super) fn warn(text: impl fmt::Display) {
    note(format_args!("warning: {text}"));
}

/// A line to standard error.
pub(super) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
