//! `hubwire emulator`.
//!
//! Standard output is for events alone, if they are asked for; everything else goes to standard error.

mod building;
mod config;
mod doors;
mod hints;
mod introduce;
mod journal;
mod object;
mod printing;
mod voice;

use std::{io, thread};

use super::args::emulator::EmulatorArgs;
use super::failure::Failure;
use super::signal::Signals;
use super::trace::Trace;
use crate::emulator::Emulator;
pub(super) use building::DEFAULT_EVENT_HUB;
use doors::Doors;
use journal::Journal;
use printing::{Printing, finish, of_written, print_events};
use voice::Voice;

/// Runs the command until a signal; the exit code.
pub(super) async fn run(args: EmulatorArgs) -> u8 {
    let voice = if args.json { Voice::Json } else { Voice::Text };
    match serve(&args, voice).await {
        Ok(()) => 0,
        Err(failure) => {
            voice.complain(&failure);
            failure.kind.exit_code()
        }
    }
}

async fn serve(args: &EmulatorArgs, voice: Voice) -> Result<(), Failure> {
    let no_signals = |error: io::Error| Failure::configuration(format!("cannot listen for signals: {error}"));
    let no_thread = |error: io::Error| Failure::configuration(format!("cannot start a thread to print with: {error}"));
    let mut signals = Signals::listen().map_err(no_signals)?;
    let config = args.config.as_deref().map(config::read).transpose()?;
    for warning in config.iter().flat_map(|config| &config.warnings) {
        voice.warn(format_args!("{warning}"));
    }
    let journal = args.verbose.then(|| Journal::start(voice)).transpose().map_err(no_thread)?;
    let trace = Trace::start(&args.trace)?;
    let emulator = building::emulator(args, config.as_ref(), journal.as_ref(), &trace)?;
    let doors = Doors::open(&emulator, args).await?;
    introduce::introduce(voice, args, &doors);
    pretouch(&emulator, args.pretouch);

    let mut printing = args.print_events.then(|| Printing::start(&emulator)).transpose().map_err(no_thread)?;
    let printed = tokio::select! {
        _ = signals.next() => None,
        written = print_events(&emulator, printing.as_mut()) => Some(written),
    };
    drop(doors);
    // Nothing is accepted from here on: what is stored now is all there is to print.
    emulator.end();
    let ended = match (printing, printed) {
        (_, Some(written)) => of_written(written),
        (Some(printing), None) => finish(printing, &emulator, &mut signals).await,
        (None, None) => Ok(()),
    };
    if let Some(journal) = journal {
        // Connections tell their end when they get their turn.
        tokio::task::yield_now().await;
        journal.finish().await;
    }
    trace.finish().await;
    introduce::tell_totals(voice, &emulator);
    ended
}

/// Has memory touched while clients start. Where no thread is to be had, it is touched as events come.
fn pretouch(emulator: &Emulator, max_bytes: u64) {
    if max_bytes == 0 {
        return;
    }
    let emulator = emulator.clone();
    let _ = thread::Builder::new().name("pretouch".to_owned()).spawn(move || emulator.pretouch(max_bytes));
}
