//! `hubwire algorithm`.

use super::args::algorithm::{AlgorithmArgs, ElementsArg};
use super::failure::Failure;
use super::output;
use super::send::{emulator_of, warning};
use super::settings::{self, Destination};
use super::trace::Trace;
use crate::algorithm::handler::Process;
use crate::algorithm::{self, Algorithm, Elements, ErrorType, Input, Reply};
use crate::blocking;

/// Runs the command; the exit code.
pub(super) fn run(args: &AlgorithmArgs) -> u8 {
    let (made, trace) = match Trace::start(&args.trace) {
        Ok(trace) => (make(args, &trace), Some(trace)),
        Err(failure) => (Err(failure), None),
    };
    let mut made = made.map_err(|failure| {
        // Said to whoever runs it, and to everybody who asks: a process that ends at once would say it to nobody.
        output::complain(&failure);
        algorithm::Failure::new(ErrorType::Initialization, failure.message)
    });
    let apply = |input: Input| -> Result<Reply, algorithm::Failure> {
        made.as_mut().map_err(|failure| failure.clone())?.apply(&input)
    };
    let ended = Process::new().response(&args.response).run(apply);
    // Its connection tells its end.
    drop(made);
    if let Some(trace) = trace {
        trace.finish_blocking();
    }
    match ended {
        Ok(()) => 0,
        Err(error) => {
            output::complain(error);
            1
        }
    }
}

fn make(args: &AlgorithmArgs, trace: &Trace) -> Result<Algorithm, Failure> {
    if args.to.connection_string_file.is_some() {
        return Err(Failure::input("an algorithm has its secret from the environment alone; set CONNECTION_STR"));
    }
    let destination = settings::destination(&args.to, args.emulator)?;
    let (host, source) = (destination.host().to_owned(), destination.source().to_owned());
    let made = match destination {
        Destination::Network { connection_string, event_hub, .. } => {
            for told in connection_string.warnings() {
                output::warn(format_args!("{source}: {told}"));
            }
            Algorithm::new(*connection_string, event_hub)
        }
        Destination::Emulator { event_hub } => {
            let (emulator, connection_string) = emulator_of(&event_hub)?;
            let made = Algorithm::new(connection_string, event_hub);
            made.map(|algorithm| {
                algorithm.open_by(move |connection_string, options| {
                    let emulator = emulator.clone();
                    let connect = move || std::future::ready(Ok(emulator.connect()));
                    blocking::Connection::open_with(connect, connection_string, options)
                })
            })
        }
    };
    let algorithm = made.map_err(|failure| Failure::configuration(failure.to_string()))?;
    let options = settings::options(&args.to, &host, None)?;
    let max_message_size = usize::try_from(args.max_message_size).unwrap_or(usize::MAX);
    Ok(algorithm
        .options(trace.of(warning(options.close_timeout(algorithm::CLOSE_WITHIN))))
        .elements(elements(args.elements))
        .keep_empty(args.keep_empty)
        .max_message_size(max_message_size)
        .call_within(args.timeout))
}

fn elements(asked: ElementsArg) -> Elements {
    match asked {
        ElementsArg::Strings => Elements::Strings,
        ElementsArg::Json => Elements::Json,
        ElementsArg::Base64 => Elements::Base64,
    }
}
