//! The arguments of `hubwire proxy`.

use std::time::Duration;

use clap::Args;

use super::WhereTo;
use super::values::time;
use crate::cli::trace::TraceArgs;
use crate::emulator::Fault;

const EXAMPLES: &str = "Examples:
  hubwire proxy
  hubwire proxy --listen 127.0.0.1:5672 --trace=json --trace-file sdk.jsonl --pcap sdk.pcapng
  hubwire proxy --fault 'reject condition=com.microsoft:server-busy nth=2' --fault 'cut written=2000'";

const EXIT_CODES: &str = "\
Exit codes:
    0  ended by Ctrl-C or SIGTERM, as it is meant to be
    2  the arguments are wrong
    3  the connection string or another setting is wrong";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct ProxyArgs {
    #[command(flatten)]
    pub(in crate::cli) to: WhereTo,

    /// Where to listen, on a loopback address; port 0 takes a free one
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:5672")]
    pub(in crate::cli) listen: String,

    /// Time for connecting to the namespace
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) timeout: Option<Duration>,

    /// Do something wrong in between, e.g. 'reject nth=2', 'delay-outcomes by=2s', 'detach after-deliveries=3',
    /// 'cut written=2000': every fault of `hubwire emulator`; may be repeated
    #[arg(long = "fault", value_name = "FAULT")]
    pub(in crate::cli) faults: Vec<Fault>,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}
