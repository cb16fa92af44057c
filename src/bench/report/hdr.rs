//! A report as the log of HdrHistogram's tools: an interval for each second. Source: HistogramLogWriter, version 1.3.

use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::Report;
use crate::bench::latency::Latencies;

/// Values are nanoseconds; the column of maxima, by custom, says milliseconds.
const MAX_DIVISOR: f64 = 1e6;

/// Rounds follow each other, each with a tag of its own if there are several.
pub(super) fn written(report: &Report) -> String {
    let mut out = Vec::new();
    let started = humantime::parse_rfc3339(&report.started_at).unwrap_or(UNIX_EPOCH);
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment(&format!("hubwire {}: {}", report.version, report.command()));
    builder.add_comment(
        "latencies in nanoseconds; of events from the time they were due, or without a rate from when they were sent",
    );
    builder.with_start_time(started).with_base_time(started).with_max_value_divisor(MAX_DIVISOR);
    // Nothing fails that writes to memory.
    if let Ok(mut log) = builder.begin_log_with(&mut out, &mut serializer) {
        let mut start = Duration::ZERO;
        for (at, round) in report.rounds.iter().enumerate() {
            let name = format!("round-{}", at + 1);
            let tag = Tag::new(&name).filter(|_| report.rounds.len() > 1);
            for second in &round.seconds {
                // A file may say anything.
                let span = Duration::try_from_secs_f64(second.span_secs).unwrap_or_default();
                if let Some(latencies) = Latencies::decode(&second.hdr_base64) {
                    let _ = log.write_histogram(latencies.histogram(), start, span, tag);
                }
                start = start.saturating_add(span);
            }
        }
    }
    String::from_utf8(out).unwrap_or_default()
}
