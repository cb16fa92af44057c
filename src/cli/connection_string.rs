//! `hubwire connection-string`: what is in one, what is odd in one, and one that can be shown. What is pure of it is in
//! `wire::connection_string`.

mod check;
mod explain;
mod redact;

use super::args::CONNECTION_STRING_ADVICE;
use super::args::connection_string::{ConnectionStringArgs, ConnectionStringCommand, Text};
use super::failure::{self, Failure};
use super::settings;
use crate::wire::secret::{Secret, printable};
pub(super) use check::oddities;

/// Runs the command; the exit code.
pub(super) fn run(args: &ConnectionStringArgs) -> u8 {
    let told = match &args.command {
        ConnectionStringCommand::Explain(given) => explain::run(given),
        ConnectionStringCommand::Check(args) => check::run(args),
        ConnectionStringCommand::Redact(args) => redact::run(args),
    };
    failure::exit_code_of(told)
}

/// The text, and where it comes from.
fn read(text: &Text) -> Result<(Secret, String), Failure> {
    if !text.argument.is_empty() {
        return Err(Failure::input(CONNECTION_STRING_ADVICE));
    }
    match &text.input {
        None => settings::connection_string_text(None),
        Some(path) => {
            let source = if path.as_os_str() == "-" { "standard input" } else { printable_path(path) };
            Ok((settings::read_secret_or_input(path, "the connection string")?, source.to_owned()))
        }
    }
}

fn printable_path(path: &std::path::Path) -> &str {
    path.to_str().map_or("the file", printable)
}
