//! The arguments of `hubwire replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::EXIT_CODES;
use super::values::time;
use crate::cli::trace::TraceArgs;

const EXAMPLES: &str = "Examples:
  hubwire send --record session.rec 'first event'
  hubwire replay session.rec
  hubwire replay session.rec --connection 2 --fast --listen 127.0.0.1:5672";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct ReplayArgs {
    /// What `--record` has written, or `--trace=json --trace-hex`
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,

    /// Where to listen, on a loopback address; port 0 takes a free one
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(in crate::cli) listen: String,

    /// Play this connection alone, as the trace counted it
    #[arg(long, value_name = "N")]
    pub(in crate::cli) connection: Option<u64>,

    /// Do not wait as the server did then
    #[arg(long)]
    pub(in crate::cli) fast: bool,

    /// How long a client may take for what it owes: to connect, or to say what it said then
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub(in crate::cli) patience: Duration,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}
