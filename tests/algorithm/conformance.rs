//! T1 to T12. Source: algorithm-process 2.6.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::host::{Fifo, Host, KEY, Told};
use super::support::road::Road;
use super::support::{now, stored};
use super::{broker, connection_string, guide, host_of, once_within};

/// T1: the ready word comes once, flushed, before anything is read.
#[test]
fn t1_the_ready_word_comes_before_any_request() {
    let host = host_of(&broker(), &[]);
    let (code, stdout, stderr) = host.end();
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "PIPE_INIT_COMPLETE\n", ""));
}

/// T2: the guide's input, to the byte.
#[test]
fn t2_the_guides_input_is_three_events_and_a_success() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    let line = br#"{"content_type":"json","data":{"events":["first event","second event","..."]}}"#;
    let Told::Result { result, content_type } = host.post_line(line) else { panic!("accepted") };
    let keys: Vec<&String> = result.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["accepted", "batches", "bytes", "elapsed_ms", "event_hub"]);
    assert_eq!(
        (&result["accepted"], &result["batches"], &result["event_hub"]),
        (&3.into(), &1.into(), &"telemetry".into())
    );
    assert!(result["elapsed_ms"].is_f64());
    assert_eq!(content_type, "json");
    assert_eq!(stored(&broker.emulator), ["first event", "second event", "..."]);
}

/// T3, and one connection for all of it.
#[test]
fn t3_two_hundred_calls_back_to_back() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    for call in 0..200 {
        assert_eq!(host.post(&guide()).accepted(), 3, "call {call}");
    }
    assert_eq!((broker.stored(), broker.emulator.totals().connections), (600, 1));
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string(format!("/proc/{}/status", host.id())).expect("it lives");
        assert!(status.lines().any(|line| line == "Threads:\t1"), "no thread beside the one: {status}");
    }
    assert_eq!(host.end().0, 0);
}

/// T4: an error each time, the process alive, nothing sent, nothing connected.
#[test]
fn t4_what_is_wrong_is_an_error_and_nothing_is_sent() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    for (line, error_type, words) in [
        ("{", "ParsingError", "the request is no object"),
        ("", "ParsingError", "the request is no object"),
        ("not JSON", "ParsingError", "the request is no object"),
        (r#"{"content_type":"xml","data":"x"}"#, "UnsupportedError", r#"content type "xml" is not known"#),
        (r#"{"content_type":"binary","data":"%%%"}"#, "ParsingError", "not base64"),
        (r#"{"content_type":"binary","data":"AP8Q"}"#, "InputError", "binary and not UTF-8"),
        (r#"{"content_type":"json","data":{}}"#, "InputError", "the object has no member `events`"),
        (r#"{"content_type":"json","data":{"events":"x"}}"#, "InputError", "events: expected an array of strings"),
        (
            r#"{"content_type":"json","data":{"events":["a",7]}}"#,
            "InputError",
            "events[1]: expected a string, got a number",
        ),
        (r#"{"content_type":"text","data":"hello"}"#, "InputError", "the input is not one JSON object"),
    ] {
        let (its_type, message) = host.post_line(line.as_bytes()).error();
        assert_eq!(its_type, error_type, "{line}: {message}");
        assert!(message.contains(words), "{line}: {message}");
    }
    let not_utf8 = host.post_line(b"{\"content_type\":\"text\",\"data\":\"\xff\"}").error();
    assert_eq!(
        not_utf8,
        ("ParsingError".into(), "the request is not UTF-8 at byte 31; encode it as JSON in UTF-8".into())
    );
    assert_eq!(broker.emulator.totals().connections, 0, "a mistake costs no connection");
    assert_eq!(host.post(&guide()).accepted(), 3, "and the next call is served");
}

/// T5: ten MiB in one line, in as many batches as it takes.
#[test]
fn t5_a_line_of_ten_mib() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    let events: Vec<String> = (0..10_240).map(|number| format!("{number:01000}")).collect();
    let Told::Result { result, .. } = host.post(&json!({ "events": events })) else { panic!("accepted") };
    assert_eq!((&result["accepted"], &result["batches"]), (&10_240.into(), &10.into()));
    assert_eq!(broker.stored(), 10_240);
    // One event of that length is named, whatever it is made of.
    for text in ["x".repeat(10 << 20), "é\n".repeat(3 << 20)] {
        let (error_type, message) = host.post(&json!({"events": ["small", text]})).error();
        assert_eq!(error_type, "TooLargeError");
        assert!(message.starts_with("events[1]: takes ") && message.len() < 200, "{message}");
    }
    assert_eq!((broker.stored(), host.post(&guide()).accepted()), (10_240, 3));
}

/// T6: the end of the input is the end, with a connection open and the last send settled.
#[test]
fn t6_the_end_of_the_input_is_the_end() {
    once_within(Duration::from_secs(1), || {
        let broker = broker();
        let mut host = host_of(&broker, &[]);
        host.post(&guide()).accepted();
        let began = now();
        let (code, _, stderr) = host.end();
        let took = began.elapsed();
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert_eq!(broker.stored(), 3);
        took
    });
}

/// T6, where the hub says nothing any more: there is no goodbye to wait for.
#[test]
fn t6_a_hub_that_is_silent_does_not_hold_up_the_end() {
    once_within(Duration::from_secs(1), || {
        let broker = broker();
        let mut host = host_of(&broker, &[]);
        host.post(&guide()).accepted();
        broker.emulator.inject(hubwire::emulator::Fault::silence());
        let began = now();
        assert_eq!(host.end().0, 0);
        began.elapsed()
    });
}

/// T7: a broker that is killed between two calls: another one is found, or it is said that there is none.
#[test]
fn t7_the_broker_is_killed_between_calls() {
    let mut broker = broker();
    let mut host = host_of(&broker, &[]);
    for round in 1..=10 {
        assert_eq!(host.post(&guide()).accepted(), 3);
        let port = broker.die();
        if round % 2 == 0 {
            let (error_type, message) = host.post(&guide()).error();
            assert_eq!(error_type, "AlgorithmError");
            assert!(
                message.contains("cannot connect to 127.0.0.1")
                    && message.ends_with("accepted 0 of 3 events: none is stored"),
                "{message}"
            );
        }
        broker.listen(port);
        assert_eq!(host.post(&guide()).accepted(), 3);
        assert_eq!(broker.stored(), round * 6, "none lost, none twice");
    }
}

/// T7 in the middle of a call: what left has no outcome, and that is said.
#[test]
fn t7_a_cut_in_a_call_is_told_with_what_was_accepted() {
    let broker = broker();
    let road = Road::to(&broker);
    let mut host = Host::start(&[("CONNECTION_STR", &connection_string(road.port()))], &[]);
    host.post(&guide()).accepted();
    // The second batch is stored, and its outcome does not leave any more.
    broker.emulator.inject("cut after-deliveries=2".parse().expect("a fault"));
    let events: Vec<String> = (0..2_500).map(|number| format!("{number:01000}")).collect();
    let (error_type, message) = host.post(&json!({ "events": events })).error();
    assert_eq!(error_type, "AlgorithmError");
    assert!(message.contains("outcome is unknown"), "{message}");
    let words = "; accepted 1032 of 2500 events, 1032 with unknown outcome: to go on with events[1032] may store those twice, \
                 with events[2064] not at all";
    assert!(message.ends_with(words), "{message}");
    assert_eq!(broker.stored(), 3 + 2_064);
    assert_eq!(host.post(&guide()).accepted(), 3);
}

/// T8: told to everybody who asks, and in the log.
#[test]
fn t8_without_a_connection_string_every_request_is_told() {
    for env in [&[][..], &[("CONNECTION_STR", ""), ("EVENTHUB_NAME", "telemetry")]] {
        let mut host = Host::start(env, &[]);
        for _ in 0..2 {
            let (error_type, message) = host.post(&guide()).error();
            assert_eq!(error_type, "InitializationError");
            assert!(message.contains("CONNECTION_STR") || message.contains("connection string"), "{message}");
        }
        let (code, stdout, stderr) = host.end();
        assert_eq!((code, stdout.as_str()), (0, "PIPE_INIT_COMPLETE\n"));
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}

/// T9: `Host` looks at everything that is said; here is what might say it.
#[test]
fn t9_no_secret_is_told() {
    let broker = broker();
    let text = connection_string(broker.port());
    let texts = [
        text.replace("SharedAccessKeyName=send", "SharedAccessKeyName=nobody"),
        text.replace(';', ""),
        text.replace("SharedAccessKey=", "SharedAccessKey"),
        format!("{text};{text}"),
        format!("\"{text}\""),
        KEY.to_owned(),
    ];
    for text in texts {
        let mut host = Host::start(&[("CONNECTION_STR", &text)], &[]);
        let (error_type, message) = host.post(&guide()).error();
        assert_ne!(error_type, "AlgorithmError", "{message}");
        host.end();
    }
    // As an argument it is not taken, and not repeated.
    let run = Command::new(env!("CARGO_BIN_EXE_hubwire"))
        .args(["algorithm", "--connection-string", &text])
        .stdin(Stdio::null())
        .env_clear()
        .output()
        .expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(!said.contains(KEY), "{said}");
}

/// T10: the FIFO, held open and read raw, has one line of JSON for each request, and standard output nothing but log.
#[test]
fn t10_nothing_but_json_in_the_fifo_and_nothing_but_log_on_standard_output() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    let mut fifo = OpenOptions::new().read(true).write(true).open(&host.fifo.0).expect("a FIFO");
    let mut answers = Vec::new();
    for line in [guide_line(), "{".to_owned(), guide_line(), String::new()] {
        host.write(line.as_bytes());
        let mut answer = Vec::new();
        while answer.last() != Some(&b'\n') {
            let mut byte = [0];
            fifo.read_exact(&mut byte).expect("an answer");
            answer.extend(byte);
        }
        answers.push(serde_json::from_slice::<Value>(&answer).expect("one JSON value and a line's end"));
    }
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0]["result"]["accepted"], 3);
    assert_eq!(answers[1]["error"]["error_type"], "ParsingError");
    assert_eq!(host.end().1, "PIPE_INIT_COMPLETE\n");
}

fn guide_line() -> String {
    json!({"content_type": "json", "data": guide()}).to_string()
}

/// T11: a reader of the FIFO that leaves in the middle of an answer, which is longer than the pipe holds.
#[test]
fn t11_the_reader_of_an_answer_may_leave() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    for round in 1..=3 {
        host.write(json!({"content_type": "x".repeat(300_000), "data": 1}).to_string().as_bytes());
        let mut byte = [0];
        std::fs::File::open(&host.fifo.0).and_then(|mut fifo| fifo.read_exact(&mut byte)).expect("the child writes");
        host.until_stderr_has(round, "the host left before it had read the answer");
        assert_eq!(host.post(&guide()).accepted(), 3);
    }
    assert_eq!(host.end().0, 0);
}

/// T11: readers of the log that leave.
#[test]
fn t11_readers_of_the_log_may_leave() {
    let broker = broker();
    let fifo = Fifo::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwire"));
    command.args(["algorithm", "--response"]).arg(&fifo.0).env_clear();
    command.env("CONNECTION_STR", connection_string(broker.port()));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // Nobody reads any log, not even the ready word.
    drop((child.stdout.take(), child.stderr.take()));
    let mut stdin = child.stdin.take().expect("piped");
    let mut post = |line: &str| {
        stdin.write_all(format!("{line}\n").as_bytes()).expect("the child reads");
        let mut answer = String::new();
        std::fs::File::open(&fifo.0).and_then(|mut fifo| fifo.read_to_string(&mut answer)).expect("the child writes");
        answer
    };
    for _ in 0..2 {
        let answer = post(&guide_line());
        assert!(answer.starts_with(r#"{"result":"#) && answer.ends_with("}\n"), "{answer}");
    }
    drop(stdin);
    assert_eq!(child.wait().expect("a child").code(), Some(0));
    assert_eq!(broker.stored(), 6);
}

/// T12: what is not ASCII comes through, and what is no text is named.
#[test]
fn t12_text_is_kept_and_a_lone_surrogate_is_named() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    let events = ["é", "😀", "日本語", "\u{0}\u{7f}", "a\r\nb", "\u{feff}"];
    assert_eq!(host.post(&json!({ "events": events })).accepted(), 6);
    let escaped = r#"{"content_type":"json","data":{"events":["\u00e9\ud83d\ude00"]}}"#;
    assert_eq!(host.post_line(escaped.as_bytes()).accepted(), 1);
    assert_eq!(stored(&broker.emulator), [&events[..], &["é😀"]].concat());

    for surrogate in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud83d"] {
        let line = format!(r#"{{"content_type":"json","data":{{"events":["a","{surrogate}"]}}}}"#);
        let (error_type, message) = host.post_line(line.as_bytes()).error();
        assert_eq!(error_type, "InputError", "{surrogate}");
        assert!(message.starts_with("events[1]: "), "{surrogate}: {message}");
    }
    let (error_type, _) = host.post_line(br#"{"content_type":"text","data":"\ud800"}"#).error();
    assert_eq!((error_type.as_str(), broker.stored()), ("ParsingError", 7));
}

/// The fake itself: a child that answers and closes late is found, which a server finds with its next request.
#[test]
#[cfg(target_os = "linux")]
fn a_late_close_is_found() {
    for (close, is_late) in [("", false), ("sleep 0.2;", true)] {
        let mut host = Host::start_command(|fifo| {
            let script = format!(
                "echo PIPE_INIT_COMPLETE; while read line; do exec 3>\"$0\"; echo '{ANSWER}' >&3; {close} exec 3>&-; done"
            );
            let mut command = Command::new("sh");
            command.arg("-c").arg(script).arg(fifo);
            command
        });
        let told = host.post(&guide());
        assert_eq!(matches!(told, Told::SystemExit(_)), is_late, "{told:?}");
    }
}

#[cfg(target_os = "linux")]
const ANSWER: &str = r#"{"result":1,"metadata":{"content_type":"json"}}"#;

/// Beyond the list: answers that fill the pipe come whole, and nothing else is needed than the FIFO.
#[test]
fn a_long_answer_comes_whole() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    // Its name is in the answer.
    let content_type = "x".repeat(300_000);
    for _ in 0..20 {
        let line = json!({"content_type": content_type, "data": 1}).to_string();
        let (error_type, message) = host.post_line(line.as_bytes()).error();
        assert!(error_type == "UnsupportedError" && message.len() > 300_000 && message.ends_with("binary"));
    }
    assert_eq!(host.post(&guide()).accepted(), 3);
}

/// A host that ends while it has asked is no reason to wait for ever: the FIFO that is not there is told, and ends it.
#[test]
fn a_fifo_that_is_not_there_is_told() {
    let run = Command::new(env!("CARGO_BIN_EXE_hubwire"))
        .args(["algorithm", "--emulator", "--response", "/nowhere/algoout"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            child.stdin.take().expect("piped").write_all(guide_line().as_bytes())?;
            child.wait_with_output()
        })
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr.contains("cannot write the answer to /nowhere/algoout: No such file"), "{stderr}");
}
