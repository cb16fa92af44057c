//! The arguments of `hubwire doctor`.

use std::time::Duration;

use crate::cli::trace::TraceArgs;
use clap::{Args, ValueEnum};

use super::values::{name, time};
use super::{Output, WhereTo};
use crate::DEFAULT_CONSUMER_GROUP;

const EXAMPLES: &str = "\
Examples:
  hubwire doctor
  hubwire doctor --event-hub telemetry --round-trip
  hubwire doctor --for listen --consumer-group readers
  hubwire doctor --json > ticket.json";

const EXIT_CODES: &str = "\
Exit codes:
    0  all that was tried works
    2  the arguments are wrong
    3  the connection string or another setting is wrong
    4  the hub refused: key, token, right, event hub or partition; change something before you try again
    5  the hub rejected the event of --send
    6  the hub could not be reached, did not answer in time, or is busy
    7  what became of the event of --send is not known
  130  ended by Ctrl-C (143 by SIGTERM)";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct DoctorArgs {
    #[command(flatten)]
    pub(in crate::cli) to: WhereTo,

    /// Which right is tried
    #[arg(long = "for", value_name = "RIGHT", value_enum, default_value_t = Right::Send)]
    pub(in crate::cli) right: Right,

    /// Send one event, marked by the property `hubwire-doctor`
    #[arg(long)]
    pub(in crate::cli) send: bool,

    /// Send one event, and read it back from its partition
    #[arg(long)]
    pub(in crate::cli) round_trip: bool,

    /// The partition that is read, and sent to with --round-trip
    #[arg(long, value_name = "N", default_value = "0", value_parser = name)]
    pub(in crate::cli) partition_id: String,

    /// Read as this consumer group
    #[arg(short = 'g', long, value_name = "GROUP", default_value = DEFAULT_CONSUMER_GROUP, value_parser = name)]
    pub(in crate::cli) consumer_group: String,

    /// Time for all of it; a single step has 5 s at most, or half of this
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = time)]
    pub(in crate::cli) timeout: Duration,

    /// How it is told
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(in crate::cli) output: Output,

    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    pub(in crate::cli) json: bool,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Right {
    /// A link that sends
    Send,
    /// A link that reads one partition; nothing is taken from anybody by it
    Listen,
    /// Both
    Both,
}

impl DoctorArgs {
    pub(in crate::cli) fn sends(&self) -> bool {
        self.send || self.round_trip || self.right != Right::Listen
    }

    pub(in crate::cli) fn listens(&self) -> bool {
        self.round_trip || self.right != Right::Send
    }

    pub(in crate::cli) fn is_json(&self) -> bool {
        self.json || self.output == Output::Json
    }
}
