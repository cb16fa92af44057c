//! The arguments of `hubwire connection-string`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;

const EXAMPLES: &str = "\
Examples:
  hubwire connection-string check
  hubwire connection-string explain --input production.txt
  hubwire connection-string redact < ticket.txt --input -";

const EXIT_CODES: &str = "\
Exit codes:
    0  it can be used; with --strict: and nothing in it is odd
    2  the arguments are wrong
    3  it cannot be used, or is not there; with --strict: or something in it is odd";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct ConnectionStringArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: ConnectionStringCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConnectionStringCommand {
    /// Say what each part means. Secrets are masked.
    Explain(Given),
    /// Tell everything that is wrong or odd, and what to do about it.
    Check(CheckArgs),
    /// Mask every secret and keep the shape: what is printed can be pasted.
    Redact(RedactArgs),
}

/// Where the connection string comes from.
#[derive(Debug, Args)]
pub(in crate::cli) struct Text {
    /// Read it from this file instead of CONNECTION_STR; `-` is standard input
    #[arg(short, long, visible_alias = "connection-string-file", value_name = "FILE")]
    pub(in crate::cli) input: Option<PathBuf>,

    /// Not taken: arguments show in process lists
    #[arg(hide = true)]
    pub(in crate::cli) argument: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Given {
    #[command(flatten)]
    pub(in crate::cli) text: Text,

    /// How it is told
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(in crate::cli) output: Output,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    pub(in crate::cli) given: Given,

    /// What is odd is a failure too
    #[arg(long)]
    pub(in crate::cli) strict: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RedactArgs {
    #[command(flatten)]
    pub(in crate::cli) text: Text,
}
