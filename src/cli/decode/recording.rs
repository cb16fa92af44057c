//! What a trace has written in JSON, with the bytes of each frame: lines of `--record`, or of `--trace=json` with hex.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;

use super::super::failure::Failure;
use super::stream::Stream;
use super::unit::{Origin, Side, Time};
use super::{Printer, unreadable};
use crate::wire::dissect::Secrets;

/// A frame of 64 MiB in hex, and what stands beside it.
const MAX_LINE_LEN: u64 = (128 << 20) + (1 << 20);
/// Connections of which unfinished messages are held.
const MAX_CONNECTIONS: usize = 1_024;

/// The members that matter here.
#[derive(Deserialize)]
struct Line {
    r#type: String,
    #[serde(default)]
    connection: u64,
    #[serde(default)]
    at_us: u64,
    #[serde(default)]
    direction: String,
    hex: Option<String>,
}

/// Decodes each frame; of secrets there are only masks in a recording, unless it was asked for them.
pub(super) fn decode(input: impl Read, secrets: Secrets, printer: &mut Printer) -> Result<(), Failure> {
    let mut lines = BufReader::new(input);
    let mut streams: BTreeMap<(u64, Side), Stream> = BTreeMap::new();
    let (mut number, mut frames) = (0_u64, 0_u64);
    loop {
        let mut line = Vec::new();
        number += 1;
        if lines.by_ref().take(MAX_LINE_LEN).read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        // What is wrong in it is not repeated: it may be a secret.
        let line: Line = serde_json::from_slice(&line).map_err(|error| no_line(number, error.column()))?;
        let Some(hex) = line.hex.filter(|_| line.r#type == "frame") else { continue };
        let side = if line.direction == "received" { Side::Server } else { Side::Client };
        if streams.len() >= MAX_CONNECTIONS {
            streams.pop_first();
        }
        let stream = streams.entry((line.connection, side)).or_insert_with(|| Stream::new(secrets));
        let origin = Origin {
            connection: Some(line.connection),
            from: Some(side),
            peers: None,
            time: Some(Time::MicrosSinceStart(line.at_us)),
        };
        let bytes = bytes(&hex).ok_or_else(|| no_hex(number))?;
        stream.push(&bytes, &mut |unit| printer.unit(&unit, &origin))?;
        frames += 1;
    }
    if frames == 0 {
        return Err(Failure::input(
            "no frame in it has `hex`; record with --record, or trace with --trace=json --trace-hex",
        ));
    }
    for ((connection, side), mut stream) in streams {
        let origin = Origin { connection: Some(connection), from: Some(side), ..Origin::default() };
        stream.end(&mut |unit| printer.unit(&unit, &origin))?;
    }
    Ok(())
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn no_line(number: u64, column: usize) -> Failure {
    Failure::input(format!(
        "line {number}, column {column}: expected an object of a trace; for hex or bytes as they are, say --form hex or \
         --form raw"
    ))
}

fn no_hex(number: u64) -> Failure {
    Failure::input(format!("line {number}: expected hex digits, two for each byte, in `hex`"))
}
