//! A report as CSV: a line for each round.

use super::text::{columns, ranks};
use super::{Report, Round};

/// Every name has its unit in it.
pub(super) fn written(report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (at, round) in report.rounds.iter().enumerate() {
        let cells = cells(at, round);
        if at == 0 {
            lines.push(cells.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(","));
        }
        lines.push(cells.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(","));
    }
    lines.join("\n")
}

/// Numbers, and nothing where one is not known: none of it needs quotes.
fn cells(at: usize, round: &Round) -> Vec<(String, String)> {
    let ends = &round.ends;
    let known = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let mut cells: Vec<(String, String)> = [
        ("round", (at + 1).to_string()),
        ("span_s", round.span_secs.to_string()),
        ("events_per_s", round.events_per_sec().to_string()),
        ("mib_per_s", round.mib_per_sec().to_string()),
        ("offered_events", ends.offered.to_string()),
        ("accepted_events", ends.accepted.to_string()),
        ("rejected_events", ends.rejected.to_string()),
        ("not_sent_events", ends.not_sent.to_string()),
        ("unknown_events", ends.unknown.to_string()),
        ("missed_events", round.missed.to_string()),
        ("batches", round.batches.to_string()),
        ("body_bytes", round.body_bytes.to_string()),
        ("message_bytes", round.message_bytes.to_string()),
        ("wire_sent_bytes", round.wire_sent_bytes.to_string()),
        ("wire_received_bytes", round.wire_received_bytes.to_string()),
        ("billed_events", round.billed_events.to_string()),
        ("throughput_units", round.throughput_units().to_string()),
        ("client_cpu_s", known(round.client_cpu_secs)),
        ("client_cpu_s_per_million_events", known(round.cpu_secs_per_million())),
        ("hub_cpu_s", known(round.peer_cpu_secs)),
        ("reader_cpu_s", known(round.reader_cpu_secs)),
        ("peak_rss_bytes", round.peak_rss_bytes.map(|bytes| bytes.to_string()).unwrap_or_default()),
        ("window_full_s_per_link", round.window_wait_secs.to_string()),
        ("credit_waits_batches", round.credit_waits.to_string()),
        ("throttles", round.throttles.to_string()),
        ("throttled_s_per_link", round.throttled_secs.to_string()),
        ("sent_again_batches", round.resent.to_string()),
        ("losses", round.losses.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let latencies = columns(round);
    for (prefix, name) in [("due", "from due"), ("sent", "from sent"), ("arrival", "to arrival")] {
        let latency = latencies.iter().find(|(other, _)| *other == name).map(|(_, latency)| *latency);
        for rank in ranks() {
            cells.push((format!("{prefix}_{rank}_us"), known(latency.and_then(|latency| latency.named(rank)))));
        }
    }
    let received = round.received.unwrap_or_default();
    for (name, count) in [
        ("received_events", Some(received.events)),
        ("lost_events", received.lost),
        ("duplicate_events", Some(received.duplicates)),
        ("out_of_order_events", Some(received.out_of_order)),
    ] {
        let count = count.filter(|_| round.received.is_some());
        cells.push((name.to_owned(), count.map(|count| count.to_string()).unwrap_or_default()));
    }
    cells
}
