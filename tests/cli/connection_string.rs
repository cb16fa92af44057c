//! `hubwire connection-string`.

use super::emulator::doors::Scratch;
use super::support::{KEY, Run, hubwire};

fn good() -> String {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    format!(
        "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey={key};EntityPath=telemetry"
    )
}

fn run(args: &[&str], input: &str, text: &str) -> Run {
    hubwire(&[&["connection-string"], args].concat(), input, &[("CONNECTION_STR", text)])
}

#[test]
fn a_check_tells_by_its_exit_code() {
    for (args, text, code, words) in [
        (&[][..], good(), 0, "CONNECTION_STR: can be used, and nothing in it is odd"),
        (&["--strict"], good(), 0, "nothing in it is odd"),
        (&[], good().replace(";EntityPath=telemetry", ""), 0, "one thing is odd\n  odd  it names no event hub"),
        (&["--strict"], good().replace(";EntityPath=telemetry", ""), 3, "one thing is odd"),
        (&[], good().replace("SharedAccessKeyName=send;", ""), 3, "cannot be used: byte 41: SharedAccessKey without"),
        (&[], format!("\"{}\"", good()), 3, "odd  there are quotes round it"),
        (&[], String::new(), 3, "cannot be used: the connection string is empty"),
    ] {
        let run = run(&[&["check"], args].concat(), "", &text);
        assert_eq!(run.code, code, "{text}: {run:?}");
        assert!(run.stdout.contains(words), "{text}: {run:?}");
    }
    let told = run(&["check", "--output", "json"], "", &good()).json();
    assert_eq!((told["usable"].as_bool(), told["oddities"].as_array().map(Vec::len)), (Some(true), Some(0)));
}

#[test]
fn it_comes_from_the_environment_a_file_or_standard_input_and_from_no_argument() {
    let text = good().replace("=send;", "=read-from-file;");
    let file = Scratch::with("cs.txt", &format!("\u{feff}{text}\n"));
    for (args, input) in [
        (&["explain", "--input", file.path()][..], ""),
        (&["explain", "--connection-string-file", file.path()], ""),
        (&["explain", "-i", "-"], text.as_str()),
    ] {
        let run = run(args, input, &good());
        assert!(run.code == 0 && run.stdout.contains("read-from-file"), "{args:?}: {run:?}");
    }
    for command in ["explain", "check", "redact"] {
        let run = run(&[command, &good()], "", "");
        assert!(run.code == 2 && run.stderr.contains("is not taken as an argument"), "{run:?}");
        assert!(!run.stderr.contains("AAAA"), "{run:?}");
    }
}

#[test]
fn what_is_redacted_keeps_its_shape() {
    let text = format!(" Endpoint=sb://ns/ ;sharedaccesskey={KEY};;EntityPath=telemetry");
    let run = run(&["redact", "-i", "-"], &text, "");
    assert_eq!((run.code, run.stdout.as_str()), (0, " Endpoint=sb://ns/ ;sharedaccesskey=***;;EntityPath=telemetry\n"));
}

#[test]
fn each_part_is_explained() {
    let run = run(&["explain"], "", &good());
    for words in
        ["the namespace ns.servicebus.windows.net; port 5671", "the rule (shared access policy)", "the event hub"]
    {
        assert!(run.stdout.contains(words), "{run:?}");
    }
    assert!(!run.stdout.contains("AAAA"), "{run:?}");
    let told = self::run(&["explain", "-o", "json"], "", &good()).json();
    assert_eq!(told["event_hub"], "telemetry");
}
