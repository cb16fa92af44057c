//! `hubwire info`.

use std::fmt::{self, Write};

use serde::Serialize;

use super::args::Output;
use super::args::info::InfoArgs;
use super::failure;
use super::failure::Failure;
use super::json::rfc3339;
use super::output;
use super::settings::{self, Network};
use super::signal::Signals;
use super::trace::Trace;
use crate::words::counted;
use crate::{Connection, Error, EventHubProperties, PartitionProperties};

/// Runs the command; the exit code.
pub(super) async fn run(args: Box<InfoArgs>) -> u8 {
    failure::exit_code_of(traced(&args).await.map(|()| 0))
}

async fn traced(args: &InfoArgs) -> Result<(), Failure> {
    let trace = Trace::start(&args.trace)?;
    let told = info(args, &trace).await;
    trace.finish().await;
    told
}

async fn info(args: &InfoArgs, trace: &Trace) -> Result<(), Failure> {
    let network = settings::network(&args.to)?;
    let options = trace.of(settings::options(&args.to, network.connection_string.host(), args.timeout)?);
    let warn = |warning| output::warn(format_args!("{}: {warning}", network.source));
    network.connection_string.warnings().iter().for_each(warn);
    let failed = |error| Failure::configuration(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::listen().map_err(failed)?;
    let asked = async {
        let connection = Connection::open(&network.connection_string, &options).await?;
        let told = ask(args, &network, &connection).await;
        connection.close().await;
        told
    };
    let told = tokio::select! {
        told = asked => told.map_err(|error| Failure::of_error(&error))?,
        kind = signals.next() => return Err(Failure::new(kind, "ended by a signal before the answer came")),
    };
    let text = match args.output {
        Output::Text => told.to_string(),
        Output::Json => serde_json::to_string(&told).unwrap_or_default(),
    };
    failure::print(text)
}

async fn ask(args: &InfoArgs, network: &Network, connection: &Connection) -> Result<Told, Error> {
    let EventHubProperties { name, created_at, partition_ids } =
        connection.event_hub_properties(&network.event_hub).await?;
    let ids = if args.partition_ids.is_empty() { &partition_ids } else { &args.partition_ids };
    let mut partitions = Vec::new();
    for id in ids {
        partitions.push(connection.partition_properties(&network.event_hub, id).await?.into());
    }
    Ok(Told {
        event_hub: name,
        namespace: network.connection_string.host().to_owned(),
        created_at: rfc3339(created_at),
        partition_count: partition_ids.len(),
        partitions,
    })
}

/// An event hub and its partitions.
#[derive(Debug, Serialize)]
struct Told {
    event_hub: String,
    namespace: String,
    created_at: String,
    partition_count: usize,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    id: String,
    beginning_sequence_number: i64,
    last_enqueued_sequence_number: i64,
    last_enqueued_offset: String,
    /// Absent when there never was an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_enqueued_time: Option<String>,
    is_empty: bool,
}

impl From<PartitionProperties> for Partition {
    fn from(properties: PartitionProperties) -> Self {
        Self {
            id: properties.id,
            beginning_sequence_number: properties.beginning_sequence_number,
            last_enqueued_sequence_number: properties.last_enqueued_sequence_number,
            last_enqueued_offset: properties.last_enqueued_offset,
            last_enqueued_time: properties.last_enqueued_time.map(rfc3339),
            is_empty: properties.is_empty,
        }
    }
}

impl Partition {
    fn cells(&self) -> [String; 5] {
        let time = self.last_enqueued_time.clone().unwrap_or_else(|| "-".to_owned());
        if self.is_empty {
            let last = self.last_enqueued_sequence_number.to_string();
            return [self.id.clone(), "empty".to_owned(), last, self.last_enqueued_offset.clone(), time];
        }
        let (first, last) = (self.beginning_sequence_number, self.last_enqueued_sequence_number);
        [self.id.clone(), first.to_string(), last.to_string(), self.last_enqueued_offset.clone(), time]
    }
}

const HEADINGS: [&str; 5] = ["partition", "first", "last", "last offset", "last enqueued"];

/// A line on the hub, then a table: sequence numbers of the first and the last event.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitions = counted(self.partition_count as u64, "partition", "partitions");
        write!(f, "{} of {}: {partitions}, created {}", self.event_hub, self.namespace, self.created_at)?;
        let rows: Vec<_> = self.partitions.iter().map(Partition::cells).collect();
        let rows = std::iter::once(HEADINGS.map(str::to_owned)).chain(rows);
        let rows: Vec<[String; 5]> = rows.collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                write!(line, "{cell:>width$}  ")?;
            }
            write!(f, "\n{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up() {
        let partition = |id: &str, first, last, is_empty| Partition {
            id: id.to_owned(),
            beginning_sequence_number: first,
            last_enqueued_sequence_number: last,
            last_enqueued_offset: (last * 10).to_string(),
            last_enqueued_time: (last >= 0).then(|| "2026-11-22T09:05:00.123Z".to_owned()),
            is_empty,
        };
        let told = Told {
            event_hub: "telemetry".into(),
            namespace: "ns.example".into(),
            created_at: "2026-11-22T09:00:00.000Z".into(),
            partition_count: 2,
            partitions: vec![partition("0", 5, 1_234, false), partition("1", 0, -1, true)],
        };
        let expected = "\
telemetry of ns.example: 2 partitions, created 2026-11-22T09:00:00.000Z
partition  first  last  last offset             last enqueued
        0      5  1234        12340  2026-11-22T09:05:00.123Z
        1  empty    -1          -10                         -";
        assert_eq!(told.to_string(), expected);
    }
}
