//! What it tells while it runs: lines, or JSON objects; and what it reads before.

use serde_json::{Value, json};

use super::doors::Scratch;
use crate::support::{GUIDE, KEY, Running, hubwire, send_to};

/// The file that comes with the official emulator.
const OFFICIAL: &str = r#"{
  "UserConfig": {
    "NamespaceConfig": [{
      "Type": "EventHub",
      "Name": "emulatorNs1",
      "Entities": [{ "Name": "eh1", "PartitionCount": "2", "ConsumerGroups": [{ "Name": "cg1" }] }]
    }],
    "LoggingConfig": { "Type": "File" }
  }
}"#;

#[test]
fn the_official_configuration_is_served_and_options_add_to_it() {
    let config = Scratch::with("Config.json", OFFICIAL);
    let emulator = Running::emulator(&["--config", config.path()]);
    assert_eq!(emulator.told("event hubs: "), "eh1 (2 partitions)");
    assert!(emulator.connection_string().ends_with(";EntityPath=eh1"));
    assert!(!emulator.introduction.concat().contains("warning"), "{:?}", emulator.introduction);
    assert_eq!(send_to(emulator.connection_string(), &[], GUIDE).counts(), [3, 0, 0, 0]);

    let more = ["--event-hub", "audit:1", "--consumer-group", "eh1/cg2"];
    let emulator = Running::emulator(&[&["--config", config.path()], &more[..]].concat());
    assert_eq!(emulator.told("event hubs: "), "eh1 (2 partitions), audit (1 partition)");
    let run = send_to(emulator.connection_string(), &["--event-hub", "audit"], GUIDE);
    assert_eq!(run.counts(), [3, 0, 0, 0]);
}

#[test]
fn a_configuration_that_is_wrong_is_told_with_its_place() {
    let odd =
        Scratch::with("odd.json", &OFFICIAL.replace("\"Type\": \"File\"", "").replace("LoggingConfig", "Logging"));
    let emulator = Running::emulator(&["--config", odd.path()]);
    assert_eq!(emulator.told("warning: "), "UserConfig.Logging: unknown, and ignored");
    let wrong = Scratch::with("wrong.json", &OFFICIAL.replace("\"2\"", "\"33\""));
    let broken = Scratch::with("broken.json", "{");
    for (path, words) in [
        (
            wrong.path(),
            "UserConfig.NamespaceConfig[0].Entities[0].PartitionCount: expected a whole number from 1 to 32",
        ),
        (broken.path(), "at line 1 column 1"),
        ("/no/such.json", "--config /no/such.json: No such file"),
    ] {
        let run = hubwire(&["emulator", "--listen", "127.0.0.1:0", "--config", path], "", &[]);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stderr.starts_with("error: --config ") && run.stderr.contains(words), "{words}: {run:?}");
    }
}

#[cfg(unix)]
#[test]
fn each_connection_link_and_batch_is_a_line_if_asked() {
    let emulator = Running::emulator(&["-v"]);
    assert_eq!(send_to(emulator.connection_string(), &[], GUIDE).code, 0);
    let (code, rest) = emulator.end("-INT");
    assert_eq!(code, 0);
    let lines: Vec<&str> = rest.lines().collect();
    for words in [
        " s  connection 1 opened from 127.0.0.1:",
        " over TCP by hubwire ",
        " s  connection 1 token for sb://",
        " s  connection 1 link attached: publisher to telemetry",
        " s  connection 1 batch stored: telemetry partition 0, 3 events, 56 bytes, from sequence number 0",
        " s  connection 1 closed after ",
        "by the peer; 3 events in 1 message stored, 0 rejected, 0 events delivered",
    ] {
        assert_eq!(lines.iter().filter(|line| line.contains(words)).count(), 1, "{words}: {rest}");
    }
    assert_eq!(lines.last().copied(), Some("stored 3 events in 1 message (56 B), rejected 0, over 1 connection"));
    assert!(!rest.contains("sig="), "{rest}");
}

#[cfg(unix)]
#[test]
fn nothing_is_told_unless_asked() {
    let emulator = Running::emulator(&[]);
    assert_eq!(send_to(emulator.connection_string(), &[], GUIDE).code, 0);
    assert_eq!(emulator.end("-INT").1.lines().count(), 1);
}

#[cfg(unix)]
#[test]
fn json_is_one_object_for_the_start_for_each_thing_and_for_the_totals() {
    let emulator = Running::emulator(&["--json", "--verbose", "--health", "127.0.0.1:0", "--websocket", "127.0.0.1:0"]);
    let [ready] = &emulator.introduction[..] else { panic!("{:?}", emulator.introduction) };
    let ready: Value = serde_json::from_str(ready).unwrap();
    assert_eq!(ready["event"], "ready");
    let text = ready["connection_string"].as_str().unwrap();
    assert!(text.starts_with(&format!("Endpoint=sb://{};", ready["address"].as_str().unwrap())), "{ready}");
    assert_eq!(ready["event_hubs"], json!([{ "name": "telemetry", "partition_count": 4 }]));
    assert_eq!(ready["limits"]["max_message_bytes"], 1_048_576);
    assert_eq!(ready["limits"]["throughput_units"], Value::Null);
    let schemes: Vec<_> = ready["listeners"].as_array().unwrap().iter().map(|way| way["scheme"].clone()).collect();
    assert_eq!(schemes, ["amqp", "ws"]);
    assert!(ready["health"].as_str().unwrap().ends_with("/health"), "{ready}");

    assert_eq!(send_to(text, &[], GUIDE).code, 0);
    let (_, rest) = emulator.end("-TERM");
    let objects: Vec<Value> = rest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stored = objects.iter().find(|object| object["event"] == "batch_stored").unwrap();
    assert_eq!((&stored["events"], &stored["partition"], &stored["bytes"]), (&json!(3), &json!("0"), &json!(56)));
    let opened = objects.iter().find(|object| object["event"] == "connection_opened").unwrap();
    assert_eq!((&opened["product"], &opened["transport"]), (&json!("hubwire"), &json!("TCP")));
    let totals = objects.last().unwrap();
    assert_eq!((&totals["event"], &totals["events"], &totals["connections"]), (&json!("totals"), &json!(3), &json!(1)));
}

#[test]
fn json_masks_a_key_of_ones_own_and_tells_errors_as_objects() {
    let key = Scratch::with("json-key", KEY);
    let emulator = Running::emulator(&["--json", "--rule", &format!("name=send,key-file={}", key.path())]);
    let ready: Value = serde_json::from_str(&emulator.introduction[0]).unwrap();
    assert!(ready["connection_string"].as_str().unwrap().contains("SharedAccessKey=***"), "{ready}");
    assert_eq!(ready["key_file"], key.path());
    assert!(!emulator.introduction.concat().contains(KEY));

    let run = hubwire(&["emulator", "--json", "--event-hub", "a:0"], "", &[]);
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!((run.code, &error["event"], &error["kind"]), (3, &json!("error"), &json!("configuration")));
}
