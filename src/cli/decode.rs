//! `hubwire decode`: bytes from wherever they come, shown field by field.
//!
//! An input is read as it comes: of each direction of each connection the frame is held that is not whole yet, and the
//! message of which transfers are missing.

mod capture;
mod form;
mod hex;
mod json;
mod recording;
mod stream;
mod text;
mod unit;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;

use super::args::decode::{DecodeArgs, DecodeOutput, What};
use super::failure::{Failure, Kind};
use super::{output, shown};
use crate::wire::dissect::{self, Events, Secrets};
use crate::words::counted;
pub(super) use form::Form;
use stream::Stream;
use unit::{Origin, Unit};

/// What is shown whole, such as a message, is held whole.
const MAX_WHOLE_LEN: usize = 64 << 20;

/// Runs the command; the exit code.
pub(super) fn run(args: &DecodeArgs) -> u8 {
    let mut printer = Printer::new(args);
    let decoded = decode(args, &mut printer).and_then(|()| printer.finish());
    match decoded {
        Ok(()) => 0,
        // Whoever was to see more has left.
        Err(_) if printer.is_reader_gone => 0,
        Err(failure) => {
            output::complain(&failure);
            failure.kind.exit_code()
        }
    }
}

fn decode(args: &DecodeArgs, printer: &mut Printer) -> Result<(), Failure> {
    let input = form::Peeked::new(source(&args.input)?).map_err(unreadable)?;
    if input.is_empty() {
        return Err(Failure::input("nothing to decode: the input is empty"));
    }
    let form = match args.form {
        Form::Auto => form::of(input.start()),
        told => told,
    };
    match form {
        Form::Hex => bytes(hex::Reader::new(input), args, printer),
        Form::Capture => capture::decode(input, args.secrets(), printer),
        Form::Recording => recording::decode(input, args.secrets(), printer),
        Form::Auto | Form::Raw => {
            form::refuse_other_protocols(input.start())?;
            bytes(input, args, printer)
        }
    }
}

/// Decodes bytes that are one direction of a connection, a message or values.
fn bytes(input: impl Read, args: &DecodeArgs, printer: &mut Printer) -> Result<(), Failure> {
    let mut input = form::Peeked::new(input).map_err(unreadable)?;
    if input.is_empty() {
        return Err(Failure::input(
            "nothing to decode: the input has no hex digits; for bytes as they are, say --form raw",
        ));
    }
    let what = match args.r#as {
        What::Auto => form::what(input.start()),
        told => told,
    };
    match what {
        What::Auto | What::Frames => frames(input, args.secrets(), printer),
        What::Message | What::Value => {
            let bytes = whole(&mut input)?;
            let dissection = match what {
                What::Message => dissect::message(&bytes, 0..bytes.len(), Events::PerhapsWithin, args.secrets()),
                _ => dissect::values(&bytes, args.secrets()),
            };
            printer.unit(&Unit::new(0, bytes, dissection), &Origin::default())
        }
    }
}

fn frames(mut input: impl Read, secrets: Secrets, printer: &mut Printer) -> Result<(), Failure> {
    let (mut stream, origin) = (Stream::new(secrets), Origin::default());
    let mut buf = vec![0; 64 * 1024];
    loop {
        let len = match input.read(&mut buf) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        stream.push(&buf[..len], &mut |unit| printer.unit(&unit, &origin))?;
    }
    stream.end(&mut |unit| printer.unit(&unit, &origin))
}

fn whole(input: &mut impl Read) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    input.take(MAX_WHOLE_LEN as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_WHOLE_LEN {
        return Err(Failure::input("a message or value of more than 64 MiB; cut the input, or leave out --as"));
    }
    Ok(bytes.into())
}

fn source(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let advice = || if path.exists() { "check its permissions" } else { "check the path; `-` is standard input" };
    let cannot = |why: String| Failure::input(format!("cannot read {}: {why}", shown(path)));
    let file = File::open(path).map_err(|error| cannot(format!("{error}; {}", advice())))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(cannot("it is a directory; name a file".to_owned()));
    }
    Ok(Box::new(file))
}

/// What a reader says; those of ours say what to do.
fn unreadable(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::InvalidData {
        return Failure::input(error.to_string());
    }
    Failure::input(format!("cannot read the input: {error}"))
}

/// Writes units, and counts what is wrong in them.
struct Printer {
    out: io::BufWriter<io::StdoutLock<'static>>,
    output: DecodeOutput,
    hex: bool,
    faults: u64,
    is_reader_gone: bool,
}

impl Printer {
    fn new(args: &DecodeArgs) -> Self {
        let out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        Self { out, output: args.output, hex: args.hex, faults: 0, is_reader_gone: false }
    }

    fn unit(&mut self, unit: &Unit, origin: &Origin) -> Result<(), Failure> {
        self.faults += unit.dissection.faults.len() as u64;
        let written = match self.output {
            DecodeOutput::Text => text::write(&mut self.out, unit, origin, self.hex),
            DecodeOutput::Json => json::write(&mut self.out, unit, origin, self.hex),
        };
        written.map_err(|error| self.unwritable(&error))
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| self.unwritable(&error))?;
        let places = counted(self.faults, "place", "places");
        match self.faults {
            0 => Ok(()),
            _ => Err(Failure::new(Kind::Malformed, format!("the input is malformed in {places}, as the output says"))),
        }
    }

    fn unwritable(&mut self, error: &io::Error) -> Failure {
        self.is_reader_gone = output::is_reader_gone(error);
        Failure::configuration(format!("cannot print: {error}; check where standard output goes"))
    }
}
