//! `hubwire bench`: what it prints, saves, and exits with.

use std::fs;
use std::path::PathBuf;

use serde_json::Value as Json;

use crate::support::{KEY, Run, Running, connection_string, free_port, hubwire};

/// A file that is there for as long as this.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("hubwire-cli-bench-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn bench(args: &[&str]) -> Run {
    hubwire(&[&["bench"], args].concat(), "", &[])
}

/// Five hundred small events and no warm-up, as JSON.
fn small(args: &[&str]) -> Run {
    bench(&[&["--events", "500", "--size", "100", "--warm-up", "0s", "--output", "json", "--quiet"], args].concat())
}

fn first_round(run: &Run) -> Json {
    run.json()["rounds"][0].clone()
}

#[test]
fn without_a_target_it_says_what_to_do() {
    let run = bench(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""));
    assert!(run.stderr.starts_with("error: no connection string; set CONNECTION_STR"), "{run:?}");
    assert!(run.stderr.contains("--emulator"), "{run:?}");
}

#[test]
fn every_event_has_an_end_against_an_emulator_and_a_sink() {
    for target in ["--emulator", "--sink"] {
        let run = small(&[target]);
        assert_eq!(run.code, 0, "{run:?}");
        let ends = first_round(&run)["ends"].clone();
        assert_eq!(
            ends,
            serde_json::json!({"offered": 500, "accepted": 500, "rejected": 0, "not_sent": 0, "unknown": 0})
        );
        assert_eq!(run.json()["target_options"], target);
        assert_eq!(run.json()["workload"]["sizes"], "100");
    }
}

#[test]
fn a_namespace_stores_what_is_reported() {
    let emulator = Running::emulator(&["--event-hub", "telemetry:2"]);
    let to = [("CONNECTION_STR", emulator.connection_string()), ("EVENTHUB_NAME", "telemetry")];
    let args = [
        "bench",
        "--events",
        "300",
        "--warm-up",
        "0s",
        "--receive",
        "--output",
        "json",
        "--quiet",
        "--partition",
        "all",
    ];
    let run = hubwire(&args, "", &to);
    assert_eq!(run.code, 0, "{run:?}");
    let received = first_round(&run)["received"].clone();
    assert_eq!((&received["events"], &received["lost"]), (&300.into(), &0.into()));
    let info = hubwire(&["info", "--output", "json"], "", &to).json();
    let stored: i64 = info["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|partition| partition["last_enqueued_sequence_number"].as_i64().unwrap() + 1)
        .sum();
    assert_eq!(stored, 300);
}

#[test]
fn a_report_is_text_for_people_with_all_that_repeats_it() {
    let run = bench(&["--emulator", "--rate", "500/s", "--duration", "1s", "--warm-up", "0s", "--rtt", "4ms"]);
    assert_eq!(run.code, 0, "{run:?}");
    let command = "hubwire bench --emulator --rtt 4ms --size 1KiB --rate 500/s --duration 1s --warm-up 0s --seed 1";
    assert!(run.stdout.starts_with(&format!("workload    {command}\n")), "{run:?}");
    for word in [
        "events/s",
        "MiB/s",
        "from due, ms",
        "from sent, ms",
        "p99.99",
        "units of 1,000 events/s",
        "4ms there and back",
    ] {
        assert!(run.stdout.contains(word), "{word}: {run:?}");
    }
    // A line for each second.
    assert!(run.stderr.contains(" events/s ") && run.stderr.contains("in flight"), "{run:?}");
    assert_eq!(
        bench(&["--emulator", "--rtt", "4ms", "--rate", "500/s", "--duration", "1s", "--warm-up", "0s", "--dry-run"])
            .stdout,
        format!("{command}\n")
    );
}

#[test]
fn it_is_saved_in_the_form_that_the_name_says() {
    let files = ["json", "csv", "hlog", "html"].map(|form| File::new(&format!("saved.{form}")));
    let saves: Vec<&str> = files.iter().flat_map(|file| ["--save", file.path()]).collect();
    let run = small(&[&["--sink"], saves.as_slice()].concat());
    assert_eq!(run.code, 0, "{run:?}");
    let [json, csv, hlog, html] = files.each_ref().map(File::text);
    assert_eq!(serde_json::from_str::<Json>(&json).unwrap(), run.json());
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len()), (2, rows[1].len()));
    assert_eq!(rows[1][rows[0].iter().position(|name| *name == "accepted_events").unwrap()], "500");
    assert!(hlog.contains("[StartTime:") && hlog.contains("HISTFAAA"), "{hlog}");
    assert!(html.starts_with("<!doctype html>") && html.contains("<svg"), "{html}");
    let refused = small(&["--sink", "--save", "report.xml"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("end it with .json, .csv, .hlog or .html"), "{refused:?}");
}

#[test]
fn runs_are_compared_and_limits_decide() {
    let (before, after) = (File::new("before.json"), File::new("after.json"));
    assert_eq!(small(&["--sink", "--rounds", "2", "--save", before.path()]).code, 0);
    let twice =
        |limit: &str| small(&["--sink", "--save", after.path(), "--baseline", before.path(), "--fail-if", limit]);
    let kept = twice("errors>+1%");
    assert_eq!(kept.code, 0, "{kept:?}");
    assert!(kept.stderr.contains("change, %") && kept.stderr.contains("noise, %"), "{kept:?}");
    let broken = twice("rate>0");
    assert_eq!(broken.code, 9, "{broken:?}");
    assert!(broken.stderr.contains("error: rate>0: rate is "), "{broken:?}");
    let compared = bench(&["compare", before.path(), after.path(), "--fail-if", "errors>+0%"]);
    assert_eq!(compared.code, 0, "{compared:?}");
    assert!(compared.stdout.starts_with("figure "), "{compared:?}");
    // Nothing to compare with, before anything is run.
    let alone = small(&["--sink", "--fail-if", "p99>+10%"]);
    assert_eq!((alone.code, alone.stdout.as_str()), (2, ""));
    assert!(alone.stderr.contains("--baseline FILE"), "{alone:?}");
    fs::write(&before.0, "{\"format\":1}").unwrap();
    let unread = bench(&["compare", before.path(), after.path()]);
    assert_eq!(unread.code, 3, "{unread:?}");
    assert!(unread.stderr.contains("it is no report of"), "{unread:?}");
}

#[test]
fn a_search_tells_every_rate_that_it_tried() {
    // Nothing is as fast as this: it breaks whatever the machine does, until there is less than one event a second.
    let args =
        ["--emulator", "--find-max", "--rate", "4/s", "--duration", "300ms", "--warm-up", "0s", "--limit", "p99<1h"];
    let run = bench(&[&args[..], &["--output", "json"]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    let steps = run.json()["search"].clone();
    let steps = steps.as_array().unwrap();
    assert_eq!(steps.iter().map(|step| step["rate"].as_f64().unwrap()).collect::<Vec<_>>(), [4.0, 2.0, 1.0]);
    assert!(steps.iter().all(|step| step["broken"].as_str().unwrap().starts_with("p99<1h: p99 is ")), "{steps:?}");
    assert!(run.stderr.contains("2.00 events/s: p99<1h"), "{run:?}");
    // What repeats it is in the report, and told without running it.
    let search = "--rate 4/s --duration 300ms --warm-up 0s --seed 1 --find-max --limit 'p99<1h'";
    assert_eq!(run.json()["search_limits"], serde_json::json!(["p99<1h"]));
    assert_eq!(run.json()["workload"]["rate"], "4/s");
    let text = bench(&[&args[..], &["--quiet"]].concat());
    assert!(text.stdout.lines().next().is_some_and(|line| line.ends_with(search)), "{text:?}");
    let dry = bench(&[&args[..], &["--dry-run"]].concat());
    assert!(dry.stdout.trim_end().ends_with(search), "{dry:?}");
}

#[test]
fn a_search_that_found_its_knee_is_no_failure_though_it_had_to_break_something() {
    // More than the unit takes is refused, and not sent again.
    let args = ["--emulator", "--throughput-units", "1", "--retries", "0", "--batch-events", "1", "--find-max"];
    let pace = ["--rate", "500/s", "--duration", "3s", "--warm-up", "0s", "--limit", "errors>0%"];
    let run = bench(&[&args[..], &pace, &["--output", "json", "--quiet"]].concat());
    let report = run.json();
    let steps = report["search"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["broken"].is_null()), "{steps:?}");
    assert!(steps.iter().any(|step| step["broken"].as_str().is_some_and(|why| why.contains("errors"))), "{steps:?}");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{steps:?}");
}

#[test]
fn a_file_that_cannot_be_written_takes_nothing_else_with_it() {
    let folder = std::env::temp_dir().join(format!("hubwire-bench-{}-folder.json", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let beside = std::env::temp_dir().join(format!("hubwire-bench-{}-beside.csv", std::process::id()));
    let (in_the_way, good) = (folder.to_str().unwrap(), beside.to_str().unwrap());
    let run = small(&["--sink", "--save", in_the_way, "--save", good, "--fail-if", "rate>0"]);
    // The limit weighs more.
    assert_eq!(run.code, 9, "{run:?}");
    assert!(run.stderr.contains("cannot save ") && run.stderr.contains("error: rate>0: rate is "), "{run:?}");
    assert!(fs::read_to_string(&beside).unwrap().starts_with("round,"));
    let alone = small(&["--sink", "--save", in_the_way]);
    assert_eq!(alone.code, 3, "{alone:?}");
    let inside = format!("{in_the_way}/none/x.json");
    let nowhere = small(&["--sink", "--save", &inside]);
    assert_eq!((nowhere.code, nowhere.stdout.as_str()), (3, ""), "it runs nothing: {nowhere:?}");
    fs::remove_dir(&folder).unwrap();
    fs::remove_file(&beside).unwrap();
}

#[test]
fn an_event_that_fits_no_batch_is_wrong_input() {
    let run = bench(&["--sink", "--size", "2MiB", "--quiet"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("make --size smaller"), "{run:?}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_with_the_report_so_far() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut running = Running::bench(&[
            "--emulator",
            "--rate",
            "500/s",
            "--duration",
            "1h",
            "--warm-up",
            "0s",
            "--output",
            "json",
        ]);
        running.until_told(" events/s ");
        running.signal(signal);
        let mut report = String::new();
        std::io::Read::read_to_string(running.stdout.as_mut().unwrap(), &mut report).unwrap();
        let (ended_with, rest) = running.wait();
        assert_eq!(ended_with, code, "{rest}");
        let report: Json = serde_json::from_str(&report).unwrap();
        assert_eq!(report["ended_early"], "it was stopped");
        let ends = &report["rounds"][0]["ends"];
        assert!(ends["accepted"].as_u64() > Some(0) && ends["offered"] == ends["accepted"], "{ends}");
    }
}

#[test]
fn what_cannot_be_run_is_an_error_of_the_arguments() {
    for (args, words) in [
        (&["--sink", "--size", "big"][..], "size: expected bytes"),
        (&["--sink", "--rate", "fast"], "rate: expected"),
        (&["--sink", "--keys", "uniform:5", "--partition", "1"], "leave out the keys or the partition"),
        (&["--sink", "--poisson"], "--rate"),
        (&["--sink", "--body", "lines:/no/such/file"], "cannot read /no/such/file"),
        (&["--sink", "--connections", "0"], "1 or more"),
        (&["--sink", "--emulator"], "cannot be used with"),
        (&["--sink", "--receive"], "cannot be used with"),
        (&["--sink", "--partition", "all"], "a sink tells of no partitions"),
    ] {
        let run = bench(args);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
}

#[test]
fn a_namespace_that_is_not_there_is_unreachable_and_no_secret_is_told() {
    let to = connection_string(free_port());
    let run = hubwire(&["bench", "--timeout", "5s", "--output", "json"], "", &[("CONNECTION_STR", &to)]);
    assert_eq!((run.code, run.stdout.as_str()), (6, ""), "{run:?}");
    let run = hubwire(&["bench", "--event-hub", &to, "--sink"], "", &[]);
    assert_ne!(run.code, 0);
    assert!(!run.stderr.contains(KEY));
}
