//! Every form of a report, with figures that are known.

use std::time::Duration;

use super::*;
use crate::bench::compare::tests::report;
use crate::bench::latency::Latencies;
use crate::bench::{Keys, Sizes};

/// A round with something in every figure.
fn full() -> Report {
    let mut report = report(&[4_998, 5_002, 4_990], 2.0);
    report.target_options = "--emulator --rtt 20ms".to_owned();
    report.target = "an emulator <here> & \"there\"".to_owned();
    report.workload = Workload {
        sizes: Sizes::Fixed(1_024),
        keys: Keys::Uniform(10),
        rate: "5000/s".parse().ok(),
        duration: Some(Duration::from_secs(1)),
        rounds: 3,
        ..Workload::default()
    };
    report.machine.memory_len = Some(24 << 30);
    report.files = vec![NamedFile::of("keys.txt".as_ref(), "a\nb\n")];
    let mut latencies = Latencies::new();
    for micros in 1..=5_000 {
        latencies.record(Duration::from_micros(micros), 1);
    }
    for round in &mut report.rounds {
        round.intended = latencies.summary();
        round.arrival = latencies.summary();
        (round.missed, round.throttles, round.throttled_secs, round.window_wait_secs) = (7, 2, 4.5, 0.25);
        (round.credit_waits, round.resent, round.losses) = (3, 2, 1);
        (round.peer_cpu_secs, round.reader_cpu_secs) = (Some(0.25), Some(0.125));
        (round.wire_sent_bytes, round.wire_received_bytes) = (round.message_bytes + 20_000, 1_000);
        round.received = Some(Received { events: 5_000, lost: Some(0), duplicates: 1, ..Received::default() });
        round.seconds = vec![second(0.0, &latencies), second(1.0, &latencies)];
    }
    report
}

fn second(at_secs: f64, latencies: &Latencies) -> Second {
    Second {
        at_secs,
        span_secs: 1.0,
        events: 5_000,
        p50_us: 2_500.0,
        p99_us: 4_950.0,
        max_us: 5_000.0,
        hdr_base64: latencies.encoded(),
        ..Second::default()
    }
}

#[test]
fn text_and_csv_are_as_they_were() {
    let report = full();
    for (written, expected) in [
        (report.to_string(), include_str!("../../../tests/data/bench/report.txt")),
        (report.to_csv(), include_str!("../../../tests/data/bench/report.csv")),
    ] {
        assert_eq!(written, expected.trim_end(), "\n{written}");
    }
}

#[test]
fn json_comes_back_as_it_was() {
    let report = full();
    assert_eq!(Report::from_json(&report.to_json()).unwrap(), report);
    assert!(matches!(Report::from_json("{}"), Err(ReportError::Json(_))));
    let later = report.to_json().replacen("\"format\":1", "\"format\":2", 1);
    assert!(matches!(Report::from_json(&later), Err(ReportError::Format { found: 2 })));
    let none = Report { rounds: Vec::new(), ..report };
    assert!(matches!(Report::from_json(&none.to_json()), Err(ReportError::NoRound)));
}

#[test]
fn an_hdr_log_reads_as_one() {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let log = full().to_hdr_log();
    let entries: Vec<_> = IntervalLogIterator::new(log.as_bytes()).map(|entry| entry.expect("well-formed")).collect();
    let intervals: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            LogEntry::Interval(interval) => Some(interval),
            _ => None,
        })
        .collect();
    assert_eq!(intervals.len(), 6);
    let starts: Vec<u64> = intervals.iter().map(|interval| interval.start_timestamp().as_secs()).collect();
    assert_eq!(starts, [0, 1, 2, 3, 4, 5]);
    assert_eq!(intervals[5].tag().map(|tag| tag.as_str().to_owned()).as_deref(), Some("round-3"));
    assert!((intervals[0].max() - 5.0).abs() < 0.01, "{}", intervals[0].max());
    let first = Latencies::decode(intervals[0].encoded_histogram()).expect("a histogram");
    assert_eq!(first.summary().expect("events").count, 5_000);
}

#[test]
fn spans_that_cannot_be_are_no_reason_to_panic() {
    for span_secs in [-1.0, 1e300, 1e19, f64::MAX] {
        let mut report = full();
        report.rounds[0].seconds[0].span_secs = span_secs;
        let read = Report::from_json(&report.to_json()).expect("it is a report");
        assert!(read.to_hdr_log().contains("round-3"), "{span_secs}");
    }
}

#[test]
fn a_page_stands_alone_and_says_what_it_is_given() {
    let page = full().to_html();
    for absent in ["<script", "http:", "https:", "src=", "url(", "@import", "<here>"] {
        assert!(!page.contains(absent), "{absent}");
    }
    for present in
        ["prefers-color-scheme:dark", "an emulator &lt;here&gt; &amp; &quot;there&quot;", "99.99 %", "from due, ms"]
    {
        assert!(page.contains(present), "{present}");
    }
    // Three plots for each round, every number of them in its place.
    assert_eq!(page.matches("<svg").count(), 9);
    assert!(!page.contains("NaN") && !page.contains("inf"));
    for tag in ["svg", "table", "tr", "dl", "h2", "body", "html", "style"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn a_report_of_nothing_can_be_written() {
    let mut empty = report(&[0], 1.0);
    empty.rounds[0].sent = None;
    for form in [empty.to_string(), empty.to_csv(), empty.to_hdr_log(), empty.to_html()] {
        assert!(!form.contains("NaN") && !form.is_empty(), "{form}");
    }
    empty.rounds.clear();
    assert!(empty.to_string().ends_with("nothing was measured"));
}

#[test]
fn figures_have_their_names() {
    for name in
        ["rate", "mib", "cpu", "rss", "errors", "missed", "lost", "duplicates", "out-of-order", "p50", "p99.99", "max"]
    {
        assert_eq!(Figure::named(name).map(Figure::name).as_deref(), Some(name));
    }
    for name in ["intended.p99", "sent.p99.9", "arrival.mean"] {
        assert_eq!(Figure::named(name).map(Figure::name).as_deref(), Some(name));
    }
    for name in ["", "p", "p98", "sent", "sent.", "sent.rate", ".p99", "p99."] {
        assert_eq!(Figure::named(name), None, "{name}");
    }
}

#[test]
fn throughput_units_are_the_more_of_events_and_bytes() {
    let units = |events: u64, message_bytes: u64| {
        let ends = Ends { accepted: events, ..Ends::default() };
        Round { span_secs: 1.0, ends, message_bytes, ..Round::default() }.throughput_units()
    };
    assert_eq!((units(0, 0), units(1, 1), units(1_000, 1 << 20)), (0, 1, 1));
    assert_eq!((units(1_001, 1), units(1, (1 << 20) + 1), units(2_500, 9 << 20)), (2, 2, 9));
}
