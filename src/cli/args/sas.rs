//! The arguments of `hubwire sas`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::Output;
use super::values::time;

/// Why a token is no argument, and what to do instead.
pub(in crate::cli) const TOKEN_ADVICE: &str = "a token is not taken as an argument: every user of this machine can read the \
    arguments of a process, and shells keep them; give it on standard input, or name a file with --input";

const EXAMPLES: &str = "\
Examples:
  hubwire sas mint --event-hub telemetry --ttl 15m > token
  hubwire sas mint --key-file send.key --key-name send --audience sb://ns.servicebus.windows.net/telemetry
  hubwire sas explain --input token --event-hub telemetry
  hubwire sas verify --input token --key-file send.key";

const EXIT_CODES: &str = "\
Exit codes:
    0  done; the hub that was asked about would take the token; the key signed it, and it holds
    2  the arguments or the token cannot be read
    3  the key, the connection string or another setting is wrong
    4  the hub that was asked about would refuse the token; the key did not sign it, or it has ended";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct SasArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: SasCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SasCommand {
    /// Sign a token, and print it: it lets its bearer in until it ends. The key is never printed.
    ///
    /// The token goes to standard output, which is what the command is for: send it into a file or a variable, and not to
    /// a screen or a log. What it grants is said on standard error. The key comes from the connection string in
    /// CONNECTION_STR, or from --key-file.
    Mint(MintArgs),
    /// Say what a token grants, to whom, until when, and what is odd in it.
    ///
    /// The signature is masked. With --event-hub or --namespace it says, too, whether that hub would take it, as far as the
    /// token's own text tells.
    Explain(ExplainArgs),
    /// Say whether a key signed a token, and if not what may be the cause. Key and signature are never printed.
    ///
    /// The key comes from --key-file, or from the connection string in CONNECTION_STR.
    Verify(VerifyArgs),
}

/// Where the key comes from.
#[derive(Debug, Args)]
pub(in crate::cli) struct Signer {
    /// Read the connection string from this file instead of CONNECTION_STR
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) connection_string_file: Option<PathBuf>,

    /// Read the key from this file, in place of a connection string
    #[arg(long, value_name = "FILE", conflicts_with = "connection_string_file")]
    pub(in crate::cli) key_file: Option<PathBuf>,

    /// Not taken: arguments show in process lists
    #[arg(long, hide = true, num_args = 0..=1, alias = "connection-string")]
    pub(in crate::cli) key: Option<Option<OsString>>,
}

/// Where the token comes from.
#[derive(Debug, Args)]
pub(in crate::cli) struct Given {
    /// Read the token from this file; `-` is standard input
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(in crate::cli) input: PathBuf,

    /// Not taken: arguments show in process lists
    #[arg(hide = true)]
    pub(in crate::cli) token: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct MintArgs {
    #[command(flatten)]
    pub(in crate::cli) signer: Signer,

    /// The rule that --key-file's key is of
    #[arg(long, value_name = "NAME", requires = "key_file")]
    pub(in crate::cli) key_name: Option<String>,

    /// What the token is for, as it is signed, e.g. sb://ns.servicebus.windows.net/telemetry
    #[arg(long, value_name = "URI", conflicts_with_all = ["event_hub", "whole_namespace", "namespace"])]
    pub(in crate::cli) audience: Option<String>,

    /// The event hub that the token is for; else EVENTHUB_NAME from the environment, else EntityPath of the connection string
    #[arg(short, long, value_name = "NAME", conflicts_with = "whole_namespace")]
    pub(in crate::cli) event_hub: Option<String>,

    /// Sign for every event hub of the namespace
    #[arg(long)]
    pub(in crate::cli) whole_namespace: bool,

    /// The namespace's host; else that of the connection string
    #[arg(long, value_name = "HOST")]
    pub(in crate::cli) namespace: Option<String>,

    /// How long the token holds from now on
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    pub(in crate::cli) ttl: Duration,

    /// When it ends, e.g. 2026-11-25T18:00:00Z, or in seconds since 1970
    #[arg(long, value_name = "WHEN", value_parser = expiry, conflicts_with = "ttl")]
    pub(in crate::cli) expiry: Option<SystemTime>,

    /// How the result is told
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(in crate::cli) output: Output,

    /// Say nothing on standard error when all is well
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    #[command(flatten)]
    pub(in crate::cli) given: Given,

    /// Explain the SharedAccessSignature of the connection string in CONNECTION_STR
    #[arg(long, conflicts_with = "input")]
    pub(in crate::cli) from_connection_string: bool,

    /// The same of the connection string in this file
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    pub(in crate::cli) connection_string_file: Option<PathBuf>,

    /// Whether this event hub would take it
    #[arg(short, long, value_name = "NAME")]
    pub(in crate::cli) event_hub: Option<String>,

    /// Whether this namespace would: its host; else the token's own
    #[arg(long, value_name = "HOST")]
    pub(in crate::cli) namespace: Option<String>,

    /// How it is told
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(in crate::cli) output: Output,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    pub(in crate::cli) given: Given,

    #[command(flatten)]
    pub(in crate::cli) signer: Signer,

    /// How it is told
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(in crate::cli) output: Output,
}

fn expiry(text: &str) -> Result<SystemTime, String> {
    let secs = text.parse().ok().map(Duration::from_secs);
    let of_number = secs.and_then(|secs| SystemTime::UNIX_EPOCH.checked_add(secs));
    of_number
        .or_else(|| humantime::parse_rfc3339_weak(text).ok())
        .ok_or_else(|| "expected a time such as 2026-11-25T18:00:00Z, or seconds since 1970".to_owned())
}
