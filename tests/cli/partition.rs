//! `hubwire partition`.

use super::emulator::doors::Scratch;
use super::support::{Running, hubwire};

#[test]
fn a_key_goes_where_the_library_says() {
    let run = hubwire(&["partition", "device-42", "a", "--partitions", "32"], "", &[]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.starts_with("12  device-42\n"), "{run:?}");
    assert!(run.stdout.contains("not verified"), "{run:?}");
    let told = hubwire(&["partition", "device-42", "-n", "32", "-o", "json"], "", &[]).json();
    assert_eq!((told["keys"][0]["partition"].as_u64(), told["partitions"].as_u64()), (Some(12), Some(32)));
}

#[test]
fn the_keys_of_a_file_spread() {
    let keys: String =
        (0..1_000).map(|number| format!("device-{number}\r\n")).collect::<String>() + &"hot\n".repeat(250);
    let file = Scratch::with("keys.txt", &format!("\u{feff}{keys}\n"));
    for (args, input) in [(&["--input", file.path()][..], ""), (&[], keys.as_str())] {
        let args = [&["partition", "--partitions", "4", "--hottest", "1"], args].concat();
        let run = hubwire(&args, input, &[]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("1250 keys, 1001 of them different; empty partitions: 0"), "{run:?}");
        assert!(run.stdout.contains(" 20.0%  250 times, in partition "), "{run:?}");
        let told = hubwire(&[&args[..], &["--output", "json"]].concat(), input, &[]).json();
        let counts = told["partitions"].as_array().unwrap().iter().map(|row| row["keys"].as_u64().unwrap());
        assert_eq!(counts.sum::<u64>(), 1_250);
        assert_eq!(
            (told["hottest"][0]["key"].as_str(), told["hottest"][0]["events"].as_u64()),
            (Some("hot"), Some(250))
        );
    }
}

#[test]
fn an_event_hub_is_asked_for_its_partitions() {
    let emulator = Running::emulator(&["--event-hub", "telemetry:7"]);
    let run = hubwire(
        &["partition", "device-42", "--output", "json"],
        "",
        &[("CONNECTION_STR", emulator.connection_string())],
    );
    assert_eq!((run.code, run.json()["partitions"].as_u64()), (0, Some(7)), "{run:?}");
}

#[test]
fn what_is_missing_is_named() {
    for (args, input, code, words) in [
        (&["a"][..], "", 3, "--partitions N"),
        (&["--partitions", "4"], "\n\n", 2, "no keys"),
        (&["--partitions", "4", "--input", "/no/such/file"], "", 2, "check the path"),
        (&["--partitions", "0", "a"], "", 2, "0 is not in"),
    ] {
        let run = hubwire(&[&["partition"], args].concat(), input, &[]);
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        assert!(run.stderr.contains(words), "{args:?}: {run:?}");
    }
    let run = hubwire(&["partition", "--partitions", "4"], b"\xff\n", &[]);
    assert!(run.code == 2 && run.stderr.contains("line 1: not UTF-8"), "{run:?}");
}
