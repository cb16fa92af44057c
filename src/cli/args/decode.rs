//! The arguments of `hubwire decode`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::decode::Form;
use crate::wire::dissect::Secrets;

const EXAMPLES: &str = "Examples:
  echo 414d515000010000 | hubwire decode
  hubwire decode capture.pcapng
  hubwire decode --as message --hex batch.bin
  hubwire decode --output json capture.pcap | jq .parts";

const EXIT_CODES: &str = "\
Exit codes:
    0  all of it is decoded
    2  the arguments are wrong, or the input cannot be read; see the message
    3  standard output cannot be written to
    8  something is malformed; it is shown up to where it breaks";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct DecodeArgs {
    /// What to decode; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(in crate::cli) input: PathBuf,

    /// How the bytes are written down
    #[arg(short, long, value_enum, default_value_t = Form::Auto)]
    pub(in crate::cli) form: Form,

    /// What hex or raw bytes are
    #[arg(long, value_enum, default_value_t = What::Auto)]
    pub(in crate::cli) r#as: What,

    /// How it is shown
    #[arg(short, long, value_enum, default_value_t = DecodeOutput::Text)]
    pub(in crate::cli) output: DecodeOutput,

    /// Show the bytes of each part beside it
    #[arg(long)]
    pub(in crate::cli) hex: bool,

    /// Show tokens, keys and logins as they are: whoever sees the output can use them
    #[arg(long)]
    pub(in crate::cli) show_secrets: bool,
}

impl DecodeArgs {
    pub(in crate::cli) fn secrets(&self) -> Secrets {
        if self.show_secrets { Secrets::Shown } else { Secrets::Masked }
    }
}

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum What {
    /// Found out by how they begin
    Auto,
    /// Protocol headers and frames, as on a connection
    Frames,
    /// A message: its sections, and its events if it is a batch
    Message,
    /// Values, one behind the other: a performative without its frame is one
    Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DecodeOutput {
    /// An indented tree: place, size, name, type, value
    Text,
    /// A JSON object a line for each frame or message, with the whole of every value
    Json,
}
