//! Lines for people and programs. A reader that has gone away is not an error of ours.

use std::fmt;
use std::io::{self, Write};

/// A line to standard output; whether it was written. A reader that has gone away is passed over in silence.
pub(super) fn line(text: impl fmt::Display) -> bool {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    if let Err(error) = &written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        warn(format_args!("cannot write to standard output: {error}; what it was to say is lost"));
    }
    written.is_ok()
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
