//! Settings and peers that are no good: exit codes, counts, and no key in what is printed.

use std::io::{Read, Write};

use super::emulator::with_rule;
use super::support::{
    GUIDE, KEY, Run, Running, Sending, connection_string, cut_off_at, free_port, hubwire, hubwire_into, peer, send_to,
};

/// A hub's no for want of a right stays one: it is told at once, and a script is not told to try again.
#[test]
fn a_right_that_a_rule_lacks_is_a_no() {
    let assert_refused = |run: &Run| {
        assert_eq!(run.code, 4, "{run:?}");
        assert!(format!("{}{}", run.stdout, run.stderr).contains("amqp:unauthorized-access"), "{run:?}");
        assert!(!run.stdout.contains(r#""retryable":true"#) && !run.stderr.contains(KEY), "{run:?}");
    };
    let (_emulator, string) = with_rule("lacks-send", KEY, "listen");
    assert_refused(&send_to(&string, &["one"], ""));
    let (_emulator, string) = with_rule("lacks-listen", KEY, "send");
    assert_eq!(send_to(&string, &["one"], "").code, 0);
    assert_refused(&hubwire(&["receive"], "", &[("CONNECTION_STR", &string)]));
}

#[test]
fn bad_settings_are_told_by_key_and_byte() {
    let good = format!("Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=send;SharedAccessKey={KEY}");
    let with = |rest: &str| format!("{good}{rest}");
    for (text, env, args, message) in [
        (
            with(""),
            None,
            &[][..],
            "no event hub is named; use --event-hub, set EVENTHUB_NAME, or add `EntityPath=<hub>`",
        ),
        (
            with(";EntityPath=a"),
            None,
            &["--event-hub", "b"],
            "--event-hub names the event hub `b`, and EntityPath in the connection string `a`; drop one of them",
        ),
        (
            with(";EntityPath=a"),
            Some("b"),
            &[],
            "EVENTHUB_NAME names the event hub `b`, and EntityPath in the connection string `a`; drop one of them",
        ),
        (with(""), None, &["--event-hub", " "], "--event-hub is empty; name an event hub"),
        (with(";x"), None, &[], "CONNECTION_STR: byte 90: expected `Name=Value`"),
        (String::new(), None, &[], "CONNECTION_STR: the connection string is empty"),
        (format!("SharedAccessKey={KEY}"), None, &[], "CONNECTION_STR: no Endpoint"),
        (with(";EntityPath=a"), None, &["--ca-file", "/nowhere"], "cannot read certificates from /nowhere"),
        (with(";EntityPath=a"), None, &["--ca-file", "Cargo.toml"], "Cargo.toml holds no certificate in PEM form"),
        (
            with(""),
            None,
            &["--connection-string-file", "/nowhere"],
            "cannot read the connection string from ***: No such file",
        ),
        (with(""), None, &["--connection-string-file", "-"], "`-` is not standard input here: name a file"),
    ] {
        let mut variables = vec![("CONNECTION_STR", text.as_str())];
        variables.extend(env.map(|name| ("EVENTHUB_NAME", name)));
        let args = [&["send", "--output", "json", "a"], args].concat();
        let run = hubwire(&args, "", &variables);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stderr.contains(message), "{message}: {run:?}");
        assert_eq!(run.json()["error"]["kind"], "configuration");
    }
    let run = hubwire(&["send", "a"], "", &[]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""));
    assert!(run.stderr.starts_with("error: no connection string; set CONNECTION_STR"), "{run:?}");
}

#[test]
fn warnings_are_printed_and_do_not_stop() {
    let emulator = Running::emulator(&[]);
    let text = format!("{};TransportType=Amqp", emulator.connection_string());
    let run = send_to(&text, &[], GUIDE);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.starts_with("warning: CONNECTION_STR: byte "), "{run:?}");
    assert!(run.stderr.contains("unknown key `TransportType` ignored"), "{run:?}");
    assert_eq!(send_to(&text, &["--quiet"], GUIDE).stderr, "");
}

#[test]
fn the_connection_string_can_come_from_a_file() {
    let emulator = Running::emulator(&[]);
    let path = std::env::temp_dir().join(format!("hubwire-cli-{}", std::process::id()));
    std::fs::write(&path, format!("{}\n", emulator.connection_string())).unwrap();
    let args = ["send", "--connection-string-file", path.to_str().unwrap(), "a"];
    // The file wins over the environment.
    let run = hubwire(&args, "", &[("CONNECTION_STR", "nonsense")]);
    assert_eq!(run.code, 0, "{run:?}");
    std::fs::write(&path, format!("\u{feff}{}\r\n", emulator.connection_string())).unwrap();
    assert_eq!(hubwire(&args, "", &[]).code, 0);
    std::fs::write(&path, b"\xff\xfeE\0n\0").unwrap();
    let run = hubwire(&args, "", &[]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.ends_with("the file is UTF-16; save it as UTF-8\n"), "{run:?}");
}

#[test]
fn a_wrong_key_is_refused_with_401() {
    let emulator = Running::emulator(&[]);
    let text = emulator.connection_string().replace("SAS_KEY_VALUE", KEY);
    let run = send_to(&text, &[], GUIDE);
    assert_eq!(run.code, 4, "{run:?}");
    assert_eq!(run.counts(), [0, 0, 3, 0]);
    let error = &run.json()["error"];
    assert_eq!((error["kind"].as_str(), error["retryable"].as_bool()), (Some("refused"), Some(false)), "{run:?}");
    assert!(error["message"].as_str().unwrap().contains("401"), "{run:?}");
    assert!(error["tracking_id"].is_string(), "{run:?}");
}

#[test]
fn a_hub_or_partition_that_is_not_there_is_refused() {
    let emulator = Running::emulator(&["--event-hub", "a:1", "--event-hub", "b:1"]);
    let text = emulator.connection_string();
    for args in [&["--event-hub", "c"][..], &["--event-hub", "a", "--partition-id", "1"]] {
        let run = send_to(text, args, GUIDE);
        assert_eq!(run.code, 4, "{run:?}");
        assert_eq!(run.counts(), [0, 0, 3, 0], "{run:?}");
        assert_eq!(run.json()["error"]["kind"], "refused", "{run:?}");
    }
}

#[test]
fn a_batch_that_the_hub_rejects_is_counted() {
    // The first batch owes for a minute.
    let emulator = Running::emulator(&["--throughput-units", "1"]);
    assert_eq!(send_to(emulator.connection_string(), &[], "x\n".repeat(60_000)).code, 0);
    let run = send_to(emulator.connection_string(), &["--retries", "0", "a", "b"], "");
    assert_eq!(run.code, 5, "{run:?}");
    assert_eq!(run.counts(), [0, 2, 0, 0], "{run:?}");
    assert_eq!(run.json()["error"]["condition"], "com.microsoft:server-busy");
}

#[test]
fn what_is_certain_not_to_be_stored_is_sent_again_and_that_is_told() {
    let emulator = Running::emulator(&["--fault", "release"]);
    let run = send_to(emulator.connection_string(), &["a"], "");
    assert_eq!((run.code, run.counts()), (0, [1, 0, 0, 0]), "{run:?}");
    let emulator = Running::emulator(&["--fault", "server-busy"]);
    let run = send_to(emulator.connection_string(), &["--retries", "1", "a"], "");
    assert_eq!((run.code, run.counts()), (5, [0, 1, 0, 0]), "{run:?}");
    assert!(run.stderr.starts_with("warning: throttled at telemetry, waiting "), "{run:?}");
}

#[test]
fn after_a_rejected_batch_nothing_new_is_sent() {
    let emulator = Running::emulator(&["--throughput-units", "1"]);
    let args = ["--max-batch-bytes", "512KiB", "--in-flight", "1", "--retries", "0"];
    // The first batch holds 43,690 events, and owes for 42 seconds.
    let run = send_to(emulator.connection_string(), &args, "xx\n".repeat(600_000));
    assert_eq!(run.code, 5, "{run:?}");
    let [accepted, rejected, _, unknown] = run.counts();
    assert!(accepted == 43_690 && accepted == rejected, "one batch each: {run:?}");
    assert_eq!(unknown, 0);
}

#[test]
fn a_batch_that_left_without_an_answer_has_an_unknown_outcome() {
    let emulator = Running::emulator(&[]);
    let port: u16 = emulator.told("hubwire emulator ready on 127.0.0.1:").parse().unwrap();
    let text = emulator.connection_string().replace(&port.to_string(), &cut_off_at("last word", port).to_string());
    let run = send_to(&text, &["one", "last word"], "");
    assert_eq!(run.code, 7, "{run:?}");
    assert_eq!(run.counts(), [0, 0, 0, 2], "{run:?}");
    assert_eq!(run.json()["error"]["kind"], "unknown_outcome");
    assert!(run.stderr.starts_with("warning: lost the connection, next attempt in "), "{run:?}");
    assert!(run.stderr.contains("\nerror: no answer came for a batch: the connection was lost"), "{run:?}");
    assert!(run.stderr.ends_with("; sending again may store up to 2 events twice: decide\n"), "{run:?}");
}

#[test]
fn nobody_listening_is_told_at_once() {
    let run = send_to(&connection_string(free_port()), &[], GUIDE);
    assert_eq!(run.code, 6, "{run:?}");
    assert_eq!(run.counts(), [0, 0, 3, 0]);
    let error = &run.json()["error"];
    assert_eq!((error["kind"].as_str(), error["retryable"].as_bool()), (Some("unreachable"), Some(true)));
}

#[test]
fn peers_that_speak_something_else_or_nothing_are_told_from_a_hub() {
    let http = peer(|mut stream| {
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let closes = peer(drop);
    let silent = peer(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for (port, words) in [
        (http, "the peer speaks no AMQP 1.0"),
        (closes, "the connection was lost"),
        (silent, "timed out after 300ms while opening the AMQP connection"),
    ] {
        let run = send_to(&connection_string(port), &["--timeout", "300ms"], GUIDE);
        assert_eq!(run.code, 6, "{words}: {run:?}");
        assert_eq!(run.counts(), [0, 0, 3, 0], "{words}: {run:?}");
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
}

#[test]
fn a_peer_without_tls_is_told_of_where_tls_is_asked_for() {
    let port = peer(|mut stream| {
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let text = connection_string(port).replace(";UseDevelopmentEmulator=true", "");
    let run = send_to(&text, &[], GUIDE);
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.stderr.contains("TLS with 127.0.0.1 failed"), "{run:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_told_on_standard_error() {
    for (args, expected) in [
        (&["send", "--emulator", "a"][..], "it is: accepted 1 event in telemetry"),
        (&["send", "--emulator", "--output", "json", "a"], "it is: {\"accepted\":1,"),
    ] {
        let (code, stderr) = hubwire_into("/dev/full", args);
        // The events are accepted: nothing is to be sent again.
        assert_eq!(code, 0, "{stderr}");
        let words = "error: cannot write the result to standard output: No space left on device";
        assert!(stderr.starts_with(words) && stderr.contains(expected), "{stderr}");
    }
    assert_eq!(hubwire_into("/dev/full", &["send", "--emulator", "--quiet", "a"]), (0, String::new()));
}

#[test]
fn a_result_that_nobody_reads_is_nothing_to_complain_about() {
    let mut sending = Sending::start("", &["--emulator"]);
    sending.leave();
    sending.write("a\n");
    let run = sending.finish();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
}
