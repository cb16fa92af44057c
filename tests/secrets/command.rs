//! Runs of the binary that succeed, and runs that fail, with secrets in what they are given.

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
const COMMANDS: [&[&str]; 10] = [
    &["send", "event"],
    &["send", "--output", "json", "event"],
    &["info"],
    &["info", "--output", "json"],
    &["receive"],
    &["receive", "--output", "jsonl"],
    &["receive", "--print", "%t %p %q %h %s\\n"],
    &["receive", "--output", "raw"],
    &["doctor", "--round-trip"],
    &["doctor", "--json"],
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
