//! A report for people.

use std::fmt::{self, Write};

use super::figure::RANKS;
use super::{Latency, MIB, Report, Round, facts};

/// Facts, then a table of figures, then one of latencies.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, words) in facts(self) {
            writeln!(f, "{name:12}{words}")?;
        }
        let Some(round) = self.middle() else { return f.write_str("nothing was measured") };
        f.write_char('\n')?;
        if self.rounds.len() > 1 {
            writeln!(f, "{}\n", rounds(self))?;
        }
        if !self.search.is_empty() {
            writeln!(f, "{}\n", crate::bench::search::table(&self.search))?;
        }
        let rows = rows(round);
        let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        for (name, value, unit) in &rows {
            writeln!(f, "{}", format!("{name:width$}  {value:>12}  {unit}").trim_end())?;
        }
        write!(f, "\n{}", latencies(round))
    }
}

/// Name, value, unit.
pub(super) type Row = (&'static str, String, String);

/// Everything of a round but its latencies.
pub(super) fn rows(round: &Round) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut row = |name, value: String, unit: &str| rows.push((name, value, unit.to_owned()));
    let ends = &round.ends;
    row("measured", decimals(round.span_secs, 2), "s, without the warm-up");
    row("rate", grouped(round.events_per_sec().round() as u64), "events/s");
    row("bodies", decimals(round.mib_per_sec(), 2), "MiB/s");
    row("offered", grouped(ends.offered), "events");
    row("accepted", grouped(ends.accepted), "events");
    row("rejected", grouped(ends.rejected), "events");
    row("not sent", grouped(ends.not_sent), "events");
    row("unknown", grouped(ends.unknown), "events");
    if round.missed > 0 || round.intended.is_some() {
        row("missed", grouped(round.missed), "events, due while nothing could be sent");
    }
    row("batches", grouped(round.batches), "batches, accepted");
    row("batch", decimals(round.events_per_batch(), 1), "events on average");
    row("batch", decimals(round.bytes_per_batch() / 1_024.0, 1), "KiB on average");
    row("overhead", decimals(round.overhead() * 100.0, 2), "% of the bodies, in messages");
    let on_wire = round.wire_overhead().map(|share| share * 100.0);
    row(
        "on the wire",
        on_wire.map_or("n/a".to_owned(), |share| decimals(share, 2)),
        "% beyond the bodies, both ways, with frames and TLS",
    );
    row("throughput", grouped(round.throughput_units()), "units of 1,000 events/s or 1 MiB/s");
    row("billed", grouped(round.billed_events), "ingress events of up to 64 KiB");
    let known = |value: Option<f64>, digits| value.map_or("n/a".to_owned(), |value| decimals(value, digits));
    row("client CPU", known(round.client_cpu_secs, 2), "s");
    row("client CPU", known(round.cpu_secs_per_million(), 3), "s for a million events");
    if round.peer_cpu_secs.is_some() {
        row("hub CPU", known(round.peer_cpu_secs, 2), "s, in this process");
    }
    if round.reader_cpu_secs.is_some() {
        row("reader CPU", known(round.reader_cpu_secs, 2), "s, in this process");
    }
    let peak = round.peak_rss_bytes.map(|bytes| bytes as f64 / MIB);
    let with_hub = if round.peer_cpu_secs.is_some() { "MiB, with the hub" } else { "MiB" };
    row("peak memory", known(peak, 1), with_hub);
    row("window full", decimals(round.window_wait_secs, 2), "s for each link");
    row("credit waits", grouped(round.credit_waits), "batches");
    row("throttled", grouped(round.throttles), "times");
    row("throttled", decimals(round.throttled_secs, 2), "s for each link");
    row("sent again", grouped(round.resent), "batches");
    row("losses", grouped(round.losses), "links, sessions and connections");
    if let Some(received) = &round.received {
        row("received", grouped(received.events), "events, with those of the warm-up");
        match received.lost {
            Some(lost) => row("lost", grouped(lost), "events, accepted and not received"),
            None => row("lost", "n/a".to_owned(), "events: the readers ended before all was read"),
        }
        row("duplicates", grouped(received.duplicates), "events");
        row("out of order", grouped(received.out_of_order), "events");
        row("ghosts", grouped(received.refused_but_read), "events, received though refused");
        row("unknown, stored", grouped(received.unknown_but_read), "events, received though their outcome was unknown");
    }
    rows
}

/// The latencies that there are: what they are called, and what they are.
pub(super) fn columns(round: &Round) -> Vec<(&'static str, &Latency)> {
    let columns = [("from due", &round.intended), ("from sent", &round.sent), ("to arrival", &round.arrival)];
    columns.into_iter().filter_map(|(name, latency)| Some((name, latency.as_ref()?))).collect()
}

/// The names of the figures that a column of latencies has.
pub(super) fn ranks() -> impl Iterator<Item = &'static str> {
    RANKS.iter().map(|(_, name)| *name)
}

fn latencies(round: &Round) -> String {
    let columns = columns(round);
    let mut text = format!("{:10}", "latency");
    for (name, _) in &columns {
        let _ = write!(text, "{:>16}", format!("{name}, ms"));
    }
    for rank in ranks() {
        let _ = write!(text, "\n{rank:10}");
        for (_, latency) in &columns {
            let _ = write!(text, "{:>16}", millis(latency.named(rank).unwrap_or_default()));
        }
    }
    let _ = write!(text, "\n{:10}", "events");
    for (_, latency) in &columns {
        let _ = write!(text, "{:>16}", grouped(latency.count));
    }
    text
}

/// A line for each round; the one that stands for them is marked.
fn rounds(report: &Report) -> String {
    let mut text = format!("{:>7}{:>14}{:>12}{:>12}{:>12}", "round", "events/s", "MiB/s", "p50, ms", "p99, ms");
    for (at, round) in report.rounds.iter().enumerate() {
        let latency = |name| round.latency().and_then(|latency| latency.named(name)).map_or("n/a".to_owned(), millis);
        let _ = write!(
            text,
            "\n{:>7}{:>14}{:>12}{:>12}{:>12}",
            at + 1,
            grouped(round.events_per_sec().round() as u64),
            decimals(round.mib_per_sec(), 2),
            latency("p50"),
            latency("p99"),
        );
        if report.middle().is_some_and(|middle| std::ptr::eq(middle, round)) {
            text.push_str("  the figures below");
        }
    }
    text
}

/// Microseconds as milliseconds, with three digits or so.
pub(in crate::bench) fn millis(micros: f64) -> String {
    let millis = micros / 1e3;
    decimals(
        millis,
        if millis < 10.0 {
            3
        } else if millis < 100.0 {
            2
        } else {
            1
        },
    )
}

pub(in crate::bench) fn decimals(value: f64, digits: usize) -> String {
    format!("{value:.digits$}")
}

/// `1,234,567`
pub(in crate::bench) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
