//! A pipe from a log file: each line is an event, in batches, for as long as lines come.
//!
//! `tail -n +1 -F app.log | CONNECTION_STR='Endpoint=sb://...' EVENTHUB_NAME=telemetry cargo run --example pipe`

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};

use hubwire::blocking::{Publisher, Receipt};
use hubwire::{ConnectionString, Options, PublisherOptions, Undelivered};

/// Receipts that are kept before the oldest is looked at.
const MAX_OPEN: usize = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connection_string = ConnectionString::parse(&std::env::var("CONNECTION_STR")?)?;
    let named = std::env::var("EVENTHUB_NAME").ok();
    let hub = connection_string.resolve_event_hub(named.as_deref())?;
    let publisher = Publisher::open(&connection_string, hub, &Options::default(), &PublisherOptions::default())?;

    let mut lines = BufReader::new(io::stdin());
    let (mut line, mut open, mut accepted) = (Vec::new(), VecDeque::new(), 0);
    while lines.read_until(b'\n', &mut line)? > 0 {
        let taken = publisher.publish(line.strip_suffix(b"\n").unwrap_or(&line));
        open.push_back(taken.map_err(|refused| refused.to_string())?);
        line.clear();
        // The next read may wait for long, and nothing leaves meanwhile.
        if lines.buffer().is_empty() {
            publisher.flush()?;
            accepted += settle(&mut open, 0)?;
        }
        accepted += settle(&mut open, MAX_OPEN)?;
    }
    publisher.close()?;
    accepted += settle(&mut open, 0)?;
    println!("accepted {accepted} events in {hub}");
    Ok(())
}

/// Looks at the oldest receipts until no more than `rest` are open; how many were accepted.
fn settle(open: &mut VecDeque<Receipt>, rest: usize) -> Result<usize, Undelivered> {
    let settled = open.len().saturating_sub(rest);
    for receipt in open.drain(..settled) {
        receipt.wait()?;
    }
    Ok(settled)
}
