//! `hubwire partition`: where keys go, and how they spread. What is pure of it is in `wire::partition`.

mod spread;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};

use serde::Serialize;

use super::args::partition::PartitionArgs;
use super::args::{CONNECTION_STRING_ADVICE, Output};
use super::failure::{self, Failure, Kind};
use super::settings;
use super::trace::Trace;
use super::{may_hold_secret, output, shown};
use crate::wire::partition::partition_for_key;
use crate::{Connection, Error};
use spread::{Spread, Table};

/// What is known of how the service does it.
const CAVEAT: &str =
    "as the JavaScript and .NET SDKs reckon it on their side; that the service does the same is not verified";
/// Characters of a key that a hub takes.
const MAX_KEY_LEN: usize = 128;
/// Bytes of a line that are read as one key.
const MAX_LINE_LEN: u64 = 64 * 1024;

/// Runs the command; the exit code.
pub(super) async fn run(args: &PartitionArgs) -> u8 {
    failure::exit_code_of(tell(args).await.map(|()| 0))
}

async fn tell(args: &PartitionArgs) -> Result<(), Failure> {
    if args.keys.iter().any(|key| may_hold_secret(key.as_ref())) {
        return Err(Failure::input(CONNECTION_STRING_ADVICE));
    }
    if args.keys.is_empty() {
        // Opened first: a file that is not there costs no connection.
        let reader = reader(args)?;
        let spread = spread(reader, partition_count(args).await?)?;
        let table = Table::new(&spread, args.hottest, CAVEAT);
        return match args.output {
            Output::Text => failure::print(table),
            Output::Json => failure::print(serde_json::to_string(&table).unwrap_or_default()),
        };
    }
    let partition_count = partition_count(args).await?;
    let keys: Vec<Placed<'_>> = args.keys.iter().map(|key| Placed::new(key, partition_count)).collect();
    for placed in keys.iter().filter(|placed| placed.is_too_long) {
        let end: String = placed.key.chars().take(16).collect();
        output::warn(format_args!("a hub takes keys of up to {MAX_KEY_LEN} characters: `{end}...` is longer"));
    }
    match args.output {
        Output::Text => failure::print(lines(&keys, partition_count)),
        Output::Json => {
            let object = serde_json::json!({ "partitions": partition_count, "keys": keys, "caveat": CAVEAT });
            failure::print(object)
        }
    }
}

/// A key, and its partition.
#[derive(Debug, Serialize)]
struct Placed<'a> {
    key: &'a str,
    partition: u32,
    is_too_long: bool,
}

impl<'a> Placed<'a> {
    fn new(key: &'a str, partition_count: u32) -> Self {
        let is_too_long = key.chars().count() > MAX_KEY_LEN;
        Self { key, partition: partition_for_key(key, partition_count), is_too_long }
    }
}

fn lines(keys: &[Placed<'_>], partition_count: u32) -> String {
    let width = partition_count.saturating_sub(1).to_string().len();
    let line = |placed: &Placed<'_>| format!("{:>width$}  {}", placed.partition, spread::printable(placed.key));
    let mut lines: Vec<String> = keys.iter().map(line).collect();
    lines.push(format!("({CAVEAT})"));
    lines.join("\n")
}

async fn partition_count(args: &PartitionArgs) -> Result<u32, Failure> {
    if let Some(count) = args.partitions {
        return Ok(count);
    }
    let network = settings::network(&args.to).map_err(|failure| Failure {
        message: format!("{}; or say how many partitions there are: --partitions N", failure.message),
        ..failure
    })?;
    let trace = Trace::start(&args.trace)?;
    let options = trace.of(settings::options(&args.to, network.connection_string.host(), args.timeout)?);
    let asked = async {
        let connection = Connection::open(&network.connection_string, &options).await?;
        let told = connection.event_hub_properties(&network.event_hub).await;
        connection.close().await;
        Ok(told?.partition_ids.len())
    };
    let asked = asked.await;
    trace.finish().await;
    let count = asked.map_err(|error: Error| Failure::of_error(&error))?;
    u32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
        Failure::new(Kind::Unreachable, "the event hub tells of no partition; say how many there are: --partitions N")
    })
}

fn reader(args: &PartitionArgs) -> Result<Box<dyn BufRead + Send>, Failure> {
    if args.input.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            output::note("give keys, one a line, then end the input; or name one as an argument");
        }
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let opened = File::open(&args.input);
    let failed =
        |error| Failure::input(format!("cannot read keys from {}: {error}; check the path", shown(&args.input)));
    Ok(Box::new(BufReader::new(opened.map_err(failed)?)))
}

/// Reads keys, one a line: as they stand, without the line's end. Empty lines are no keys.
fn spread(mut reader: Box<dyn BufRead + Send>, partition_count: u32) -> Result<Spread, Failure> {
    let mut spread = Spread::new(partition_count);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE_LEN).read_until(b'\n', &mut line);
        let len = read.map_err(|error| Failure::input(format!("line {number}: cannot be read: {error}")))?;
        if len == 0 {
            break;
        }
        if len as u64 == MAX_LINE_LEN {
            return Err(Failure::input(format!("line {number}: longer than 64 KiB; give one key a line")));
        }
        let text = std::str::from_utf8(&line);
        let text = text.map_err(|_| Failure::input(format!("line {number}: not UTF-8; keys are text")))?;
        let key = text.trim_end_matches(['\r', '\n']);
        let key = if number == 1 { key.trim_start_matches('\u{feff}') } else { key };
        if !key.is_empty() {
            spread.add(key);
        }
    }
    if spread.keys == 0 { Err(Failure::input("no keys: give one a line, or as arguments")) } else { Ok(spread) }
}
