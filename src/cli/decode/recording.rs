//! What a trace has written in JSON, with the bytes of each frame: lines of `--record`, or of `--trace=json` with hex.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use super::super::failure::Failure;
use super::stream::Stream;
use super::unit::{Origin, Side, Time};
use super::{Printer, unreadable};
use crate::trace::recording::{Line, LineError};
use crate::wire::dissect::Secrets;

/// A frame of 64 MiB in hex, and what stands beside it.
const MAX_LINE_LEN: u64 = (128 << 20) + (1 << 20);
/// Connections of which unfinished messages are held.
const MAX_CONNECTIONS: usize = 1_024;

/// Decodes each frame; of secrets there are only masks in a recording, unless it was asked for them.
pub(super) fn decode(input: impl Read, secrets: Secrets, printer: &mut Printer) -> Result<(), Failure> {
    let mut lines = BufReader::new(input);
    let mut streams: BTreeMap<(u64, Side), Stream> = BTreeMap::new();
    let (mut number, mut frames) = (0_usize, 0_u64);
    loop {
        let mut text = Vec::new();
        number += 1;
        if lines.by_ref().take(MAX_LINE_LEN).read_until(b'\n', &mut text).map_err(unreadable)? == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let line = Line::read(&text, number).map_err(no_line)?;
        let Some(bytes) = line.bytes(number).filter(|_| line.is_frame()) else { continue };
        // What was written by hand may leave out whose it is.
        let side = if line.is_sent() == Some(false) { Side::Server } else { Side::Client };
        let place = (line.connection().unwrap_or_default(), side);
        let origin = Origin {
            connection: Some(place.0),
            from: Some(side),
            peers: None,
            time: Some(Time::MicrosSinceStart(line.at_us())),
        };
        if !streams.contains_key(&place)
            && streams.len() >= MAX_CONNECTIONS
            && let Some((oldest, stream)) = streams.pop_first()
        {
            end(oldest, stream, printer)?;
        }
        let stream = streams.entry(place).or_insert_with(|| Stream::new(secrets));
        stream.push(&bytes.map_err(no_line)?, &mut |unit| printer.unit(&unit, &origin))?;
        frames += 1;
    }
    if frames == 0 {
        return Err(Failure::input(
            "no frame in it has `hex`; record with --record, or trace with --trace=json --trace-hex",
        ));
    }
    streams.into_iter().try_for_each(|(place, stream)| end(place, stream, printer))
}

/// Tells what is not whole at the end of a stream.
fn end((connection, side): (u64, Side), mut stream: Stream, printer: &mut Printer) -> Result<(), Failure> {
    let origin = Origin { connection: Some(connection), from: Some(side), ..Origin::default() };
    stream.end(&mut |unit| printer.unit(&unit, &origin))
}

fn no_line(error: LineError) -> Failure {
    Failure::input(format!("{error}; for hex or bytes as they are, say --form hex or --form raw"))
}
