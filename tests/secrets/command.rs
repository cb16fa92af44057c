//! Runs of the binary that succeed, and runs that fail, with secrets in what they are given.

use hubwire::wire::event::{Body, Event};
use hubwire::wire::value::Value;

use crate::forms::{KEY, RULE, WRONG_KEY, assert_clean, token};
use cli::{Run, Running, connection_string, free_port, hubwire};

#[allow(dead_code, reason = "the command line's own tests take the rest")]
#[path = "../cli/support.rs"]
mod cli;

/// A file with a secret in it. Removed when dropped.
struct SecretFile(std::path::PathBuf);

impl SecretFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hubwire-secrets-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An emulator whose rule has [`KEY`], and the connection string that leads there.
fn emulator(name: &str) -> (Running, String) {
    let file = SecretFile::new(name, KEY);
    let rule = format!("name={RULE},key-file={}", file.path());
    let emulator = Running::emulator(&["--rule", &rule, "--print-events"]);
    assert_clean("the emulator's introduction", &emulator.introduction.join("\n"));
    let (shown, _) = emulator.connection_string().split_once(" (the key is in ").expect("it names the file");
    let text = shown.replace("SharedAccessKey=***", &format!("SharedAccessKey={KEY}"));
    (emulator, text)
}

/// Runs the binary with the connection string `text`.
#[track_caller]
fn run(args: &[&str], text: &str) -> Run {
    let run = hubwire(args, "", &[("CONNECTION_STR", text)]);
    assert_clean(&format!("{args:?}"), &format!("{}\n{}", run.stdout, run.stderr));
    run
}

/// The commands that need a hub, in each of their outputs.
const COMMANDS: [&[&str]; 15] = [
    &["send", "event"],
    &["send", "--output", "json", "event"],
    &["info"],
    &["info", "--output", "json"],
    &["receive"],
    &["receive", "--output", "jsonl"],
    &["receive", "--print", "%t %p %q %h %s\\n"],
    &["receive", "--output", "raw"],
    &["send", "--trace", "event"],
    &["send", "--trace=json", "--trace-hex", "event"],
    &["receive", "--trace"],
    &["info", "--trace=text"],
    &["doctor", "--round-trip"],
    &["doctor", "--json"],
    &["doctor", "--send", "--trace"],
];

#[test]
fn runs_that_succeed_show_no_secret() {
    let (emulator, text) = emulator("good");
    let token = hubwire::wire::sas::sign_until("sb://127.0.0.1/telemetry", RULE, KEY, 3_000_000_000);
    let (endpoint, _) = text.split_once(";SharedAccessKeyName").expect("a key's name");
    let with_token =
        format!("{endpoint};UseDevelopmentEmulator=true;EntityPath=telemetry;SharedAccessSignature={}", token.as_str());
    for text in [&text, &with_token] {
        for args in COMMANDS {
            let run = run(args, text);
            assert_eq!(run.code, 0, "{args:?}: {run:?}");
        }
        let file = SecretFile::new("string", text);
        let args = ["send", "--connection-string-file", file.path(), "event"];
        let run = run(&args, "");
        assert_eq!(run.code, 0, "{run:?}");
    }
    let (code, rest) = end(emulator);
    assert_eq!(code, 0, "{rest}");
    assert_clean("the emulator's end", &rest);
}

/// Ends the emulator; exit code and what it said last, its events included.
fn end(mut emulator: Running) -> (i32, String) {
    let mut printed = String::new();
    let stdout = emulator.stdout.take();
    let (code, rest) = emulator.end("-TERM");
    std::io::Read::read_to_string(&mut stdout.expect("it prints events"), &mut printed).expect("text");
    assert!(!printed.is_empty());
    (code, printed + &rest)
}

#[test]
fn runs_that_are_refused_show_no_secret() {
    let (_emulator, text) = emulator("refused");
    let nobody = connection_string(free_port()).replace(cli::KEY, KEY);
    let forged = token().replace("localhost", "127.0.0.1");
    let (endpoint, _) = text.split_once(";SharedAccessKeyName").expect("a key's name");
    let with_token =
        format!("{endpoint};UseDevelopmentEmulator=true;EntityPath=telemetry;SharedAccessSignature={forged}");
    for text in [
        text.replace(KEY, WRONG_KEY),
        text.replace(&format!("={RULE}"), "=nobody"),
        text.replace("EntityPath=telemetry", "EntityPath=nowhere"),
        text.replace(";UseDevelopmentEmulator=true", ""),
        with_token,
        nobody,
    ] {
        for args in COMMANDS {
            let args = [args, &["--timeout", "2s"]].concat();
            let code = run(&args, &text).code;
            assert!(code != 0, "{args:?}");
        }
    }
    for args in [&["--event-hub", "other"][..], &["--partition-id", "9"]] {
        for command in ["receive", "info"] {
            assert_ne!(run(&[&[command], args].concat(), &text).code, 0, "{command} {args:?}");
        }
    }
}

#[test]
fn settings_that_are_wrong_show_no_secret() {
    let good = format!("Endpoint=sb://127.0.0.1:1;SharedAccessKeyName={RULE};SharedAccessKey={KEY}");
    for text in [
        format!("{good};{KEY}"),
        format!("{good};SharedAccessKey={WRONG_KEY}"),
        format!("{good};EntityPath=x{KEY}"),
        format!("{good};SharedAccessSignature={}", token()),
        good.replace("SharedAccessKeyName", "Name"),
        good.replace("Endpoint=", "Endpoint:"),
        good.replace(";SharedAccessKey=", "SharedAccessKey="),
        format!("\"{good}\""),
        format!("{good}EntityPath=telemetry"),
        format!("SharedAccessSignature={}", token()),
        KEY.to_owned(),
    ] {
        for command in ["send", "receive", "info", "doctor", "partition"] {
            let run = run(&[command], &text);
            assert!(run.code != 0, "{command}: {run:?}");
        }
    }
}

/// A frame of AMQP, or of SASL, around `body`.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], &[2, kind, 0, 0], body].concat()
}

/// A transfer of the whole of `message`.
fn transfer(message: &Event) -> Vec<u8> {
    let transfer = b"\x00\x53\x14\xc0\x07\x04\x43\x43\xa0\x01t\x43";
    frame(0, &[transfer, &message.encode().expect("a message")[..]].concat())
}

/// What a client says that has secrets in it: a login, tokens, and an event that holds a connection string.
fn frames_with_secrets() -> Vec<Vec<u8>> {
    let login = [b"\0user\0".as_slice(), KEY.as_bytes()].concat();
    let sasl = [b"\xa3\x05PLAIN\xa0".as_slice(), &[login.len() as u8], &login].concat();
    let sasl = [b"\x00\x53\x41\xc0".as_slice(), &[sasl.len() as u8 + 1, 2], &sasl].concat();
    let put = |token: &str| {
        let put = Event::from_body(Body::Value(token.into())).with_property("operation", "put-token");
        transfer(&put.with_property("name", "sb://localhost/telemetry"))
    };
    let question = Event::from_body(Body::Value(Value::Null)).with_property("security_token", KEY);
    let text = format!("Endpoint=sb://localhost/;SharedAccessKeyName={RULE};SharedAccessKey={KEY}");
    let event = Event::new(text.as_str()).with_property("token", token()).with_subject(text.as_str());
    vec![frame(1, &sasl), put(&token()), put(KEY), transfer(&question), transfer(&event)]
}

#[test]
fn what_is_decoded_shows_no_secret() {
    for frame in frames_with_secrets() {
        // Whole, without its frame, changed in the middle, and cut.
        let len = frame.len();
        let mut changed = frame.clone();
        changed[12] ^= 0x01;
        let cuts = [len / 4, len / 2, len - 9, len - 1].map(|len| &frame[..len]);
        let inputs = [&frame[..], &changed, &frame[8..], &frame[20..]].into_iter().chain(cuts);
        for input in inputs {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            for form in [&["decode"][..], &["decode", "--hex"], &["decode", "--hex", "--output", "json"]] {
                for input in [input, hex.as_bytes()] {
                    let run = hubwire(form, input, &[]);
                    let shown = format!("{}{}", run.stdout, run.stderr);
                    assert_clean("decode", &shown);
                    assert_clean("decode", &shown.replace([' ', '\n'], ""));
                }
            }
        }
        let shown = hubwire(&["decode", "--show-secrets", "--output", "json", "--hex"], &frame, &[]).stdout;
        assert!(std::panic::catch_unwind(|| assert_clean("decode", &shown)).is_err(), "they are to be seen in {shown}");
    }
    // What is no input is not repeated.
    let of_number = format!("{{\"type\": \"frame\", \"connection\": \"{KEY}\"}}");
    for input in
        [format!("4142 {KEY}"), token(), format!("{{\"type\": {KEY}}}"), format!("{{\"type\": \"{KEY}\"}}"), of_number]
    {
        let file = SecretFile::new("recording", &input);
        for args in [&["decode"][..], &["replay", file.path()]] {
            let run = hubwire(args, &input, &[]);
            assert_eq!(run.code, 2, "{run:?}");
            assert_clean(args[0], &format!("{}{}", run.stdout, run.stderr));
        }
    }
}

/// What is asked to look into a secret says what is in it, and shows none of it.
#[test]
fn what_looks_into_secrets_shows_none() {
    let good = format!("Endpoint=sb://127.0.0.1:1;SharedAccessKeyName={RULE};SharedAccessKey={KEY}");
    let with_token = format!("Endpoint=sb://127.0.0.1:1/;EntityPath=telemetry;SharedAccessSignature={}", token());
    let file = SecretFile::new("key", WRONG_KEY);
    for text in [
        good.clone(),
        with_token,
        format!("{good};{KEY}"),
        format!("{good};SharedAccessKey={WRONG_KEY}"),
        format!("{good};EntityPath=x{KEY}"),
        format!("{good};SharedAccessSignature={}", token()),
        good.replace(";SharedAccessKey=", "SharedAccessKey="),
        good.replace("SharedAccessKey=", "SharedAccessKey"),
        good.replace(RULE, KEY),
        format!("\"{good}\""),
        format!("{good}EntityPath=telemetry"),
        token(),
        KEY.to_owned(),
    ] {
        for args in [
            &["connection-string", "explain"][..],
            &["connection-string", "explain", "--output", "json"],
            &["connection-string", "check"],
            &["connection-string", "check", "--output", "json"],
            &["connection-string", "redact"],
            &["sas", "explain", "--from-connection-string"],
        ] {
            run(args, &text);
        }
        for args in [
            &["sas", "explain"][..],
            &["sas", "explain", "--output", "json"],
            &["sas", "verify"],
            &["sas", "verify", "--output", "json", "--key-file", file.path()],
            &["connection-string", "redact", "--input", "-"],
        ] {
            let run = hubwire(args, &text, &[("CONNECTION_STR", &good)]);
            assert_clean(&format!("{args:?}"), &format!("{}\n{}", run.stdout, run.stderr));
        }
    }
}

/// A connection string, given in the place of something else.
#[test]
fn arguments_are_not_repeated_when_they_hold_a_secret() {
    let (_emulator, reachable) = emulator("arguments");
    assert_eq!(run(&["send", "something to be received"], &reachable).code, 0);
    let with_key =
        format!("Endpoint=sb://127.0.0.1:1/;SharedAccessKeyName={RULE};SharedAccessKey={KEY};EntityPath=telemetry");
    let with_token = format!("Endpoint=sb://127.0.0.1:1/;EntityPath=telemetry;SharedAccessSignature={}", token());
    for text in [with_key.as_str(), with_token.as_str(), &token()] {
        let joined = format!("--event-hub={text}");
        let rule = format!("name={text},key-file=x");
        let group = format!("telemetry/{text}");
        for args in [
            &["send", "--connection-string", text][..],
            &["send", "--connection-string-file", text, "x"],
            &["send", "--event-hub", text, "x"],
            &["send", &joined, "x"],
            &["send", "--partition-id", text, "x"],
            &["send", "--timeout", text, "x"],
            &["send", "--input", text],
            &["send", "--ca-file", text, "x"],
            &["send", "--content-type", "text/plain", "--no-such-option", text],
            &["receive", text],
            &["receive", "--from", text],
            &["receive", "--consumer-group", text],
            &["receive", "--output", text],
            &["receive", "--partition-id", text],
            &["info", "--partition-id", text],
            &["info", text],
            &["info", "--event-hub", text],
            &["decode", text],
            &["decode", "--as", text],
            &["doctor", text],
            &["doctor", "--event-hub", text],
            &["doctor", "--partition-id", text],
            &["doctor", "--connection-string", text],
            &["sas", "explain", text],
            &["sas", "explain", "--input", text],
            &["sas", "explain", "--namespace", text],
            &["sas", "verify", text],
            &["sas", "verify", "--key", text],
            &["sas", "mint", "--key", text],
            &["sas", "mint", "--key-file", text, "--key-name", "a", "--audience", "sb://ns/hub"],
            &["sas", "mint", "--audience", text],
            &["sas", "mint", "--namespace", text],
            &["sas", "mint", "--event-hub", text],
            &["connection-string", "check", text],
            &["connection-string", "redact", "--input", text],
            &["partition", text, "--partitions", "4"],
            &["partition", "--input", text, "--partitions", "4"],
            &["emulator", text],
            &["emulator", "--listen", text],
            &["emulator", "--event-hub", text],
            &["emulator", "--consumer-group", &group],
            &["emulator", "--rule", text],
            &["emulator", "--rule", &rule],
            &[text],
        ] {
            let run = run(args, &reachable);
            assert!(run.code != 0, "{args:?}: {run:?}");
        }
        let named = hubwire(&["send", "x"], "", &[("CONNECTION_STR", &reachable), ("EVENTHUB_NAME", text)]);
        assert_clean("EVENTHUB_NAME", &format!("{}{}", named.stdout, named.stderr));
    }
}

#[test]
fn a_workload_does_not_repeat_a_secret_in_a_files_place() {
    let text = format!("Endpoint=sb://ns.example;SharedAccessKeyName={RULE};SharedAccessKey={KEY}");
    for (option, kind) in [("--size", "file"), ("--keys", "file"), ("--body", "lines"), ("--body", "template")] {
        for more in [&["--dry-run"][..], &["--output", "json"]] {
            let value = format!("{kind}:{text}");
            let run = run(&[&["bench", "--sink", option, &value], more].concat(), "");
            assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{option} {kind}: {run:?}");
            assert!(run.stderr.contains(option), "{run:?}");
        }
    }
}
