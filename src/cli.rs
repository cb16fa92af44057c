//! The `hubwire` command.
//!
//! [`run`] takes the arguments and gives back the exit code; everything between is here. What the command promises is
//! in `docs/command-line.md`.

mod algorithm;
mod args;
mod background;
mod bench;
mod connection_string;
mod decode;
mod doctor;
mod emulator;
mod failure;
mod info;
mod input;
mod json;
mod listening;
mod output;
mod partition;
mod printer;
mod progress;
mod proxy;
mod publish;
mod receive;
mod replay;
mod report;
mod rule;
mod sas;
mod send;
mod settings;
mod signal;
mod trace;
mod ways;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::wire::secret::{may_hold_secret, shown};

use args::{Cli, Command};

/// Runs the command with `args`, the first of which is the program's own name.
///
/// Standard input, standard output, standard error and the environment are those of the process.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &args),
    };
    // It brings a runtime of its own, and drives it now and then.
    if let Command::Algorithm(args) = &cli.command {
        return ExitCode::from(algorithm::run(args));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(format_args!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Send(args) => send::run(args).await,
            Command::Receive(args) => receive::run(args).await,
            Command::Info(args) => info::run(args).await,
            Command::Decode(args) => decode::run(&args),
            Command::Doctor(args) => doctor::run(args).await,
            Command::Sas(args) => sas::run(*args),
            Command::ConnectionString(args) => connection_string::run(&args),
            Command::Partition(args) => partition::run(&args).await,
            Command::Emulator(args) => emulator::run(*args).await,
            Command::Bench(args) => Box::pin(bench::run(*args)).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Algorithm(args) => algorithm::run(&args),
            Command::Proxy(args) => proxy::run(args).await,
        }
    });
    // A thread may still be waiting for the input: the process ends without it.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Says what is wrong with the arguments. Repeats none of them when a secret may be among them.
fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let is_asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !is_asked_for && args.iter().any(|arg| may_hold_secret(arg)) {
        output::complain(format_args!("{}", args::CONNECTION_STRING_ADVICE));
        return ExitCode::from(failure::Kind::Input.exit_code());
    }
    // Nobody reading is no reason to fail.
    let _ = error.print();
    if is_asked_for { ExitCode::SUCCESS } else { ExitCode::from(failure::Kind::Input.exit_code()) }
}
