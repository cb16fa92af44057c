//! Handler functions, with the calling convention of the platform's own crate.

use std::process::Command;

use hubwire::algorithm::handler::{ByteVec, Process};
use hubwire::algorithm::{ErrorType, Failure, Input};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::host::{Host, Told};

/// Where a child finds its FIFO, and which handler it is to run.
const FIFO: &str = "HUBWIRE_TEST_FIFO";
const HANDLER: &str = "HUBWIRE_TEST_HANDLER";

#[derive(Deserialize)]
struct Titles {
    titles: Vec<String>,
    max: usize,
}

#[derive(Serialize)]
struct Chosen {
    titles: Vec<String>,
    calls: u32,
}

/// Not a test of its own: what the tests below run as a child, which is this program once more.
#[test]
fn child() {
    let (Ok(fifo), Ok(handler)) = (std::env::var(FIFO), std::env::var(HANDLER)) else { return };
    let process = Process::new().response(fifo);
    let mut calls = 0;
    let ended = match handler.as_str() {
        "state" => process.run(|input: Titles| {
            calls += 1;
            println!("call {calls}");
            let titles = input.titles.into_iter().take(input.max).collect();
            Ok::<_, String>(Chosen { titles, calls })
        }),
        "text" => process.run(|name: String| match name.as_str() {
            "panic" => panic!("as asked for"),
            "words" => Err("no such name".into()),
            "kind" => Err(Box::<dyn std::error::Error>::from(Failure::new(ErrorType::EntityNotFound, "no such model"))),
            name => Ok(format!("Hello, {name}")),
        }),
        "bytes" => process.run(|ByteVec(mut bytes): ByteVec| {
            bytes.reverse();
            Ok::<_, String>(ByteVec(bytes))
        }),
        "input" => process.run(|input: Input| Ok::<_, String>(format!("{input:?}"))),
        other => panic!("no handler {other}"),
    };
    ended.expect("it ends with its input");
}

fn host(handler: &str) -> Host {
    Host::start_command(|fifo| {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["handlers::child", "--exact", "--nocapture", "--test-threads=1"]);
        command.env_clear().env(HANDLER, handler).env(FIFO, fifo);
        command
    })
}

fn told(result: impl Into<serde_json::Value>, content_type: &str) -> Told {
    Told::Result { result: result.into(), content_type: content_type.to_owned() }
}

#[test]
fn state_lives_from_call_to_call() {
    let mut host = host("state");
    for calls in 1..=3 {
        let input = json!({"titles": ["a", "b", "c"], "max": calls});
        let titles = &["a", "b", "c"][..calls];
        assert_eq!(host.post(&input), told(json!({"titles": titles, "calls": calls}), "json"));
    }
    let (error_type, message) = host.post(&json!({"titles": []})).error();
    assert_eq!(error_type, "InputError");
    assert!(message.starts_with("the input does not fit: missing field `max`"), "{message}");
    let (code, stdout, _) = host.end();
    assert!(code == 0 && stdout.contains("call 3\n"), "{stdout}");
}

#[test]
fn text_comes_as_text_and_errors_in_their_words() {
    let mut host = host("text");
    let mut post = |text: &str| host.post_line(json!({"content_type": "text", "data": text}).to_string().as_bytes());
    assert_eq!(post("World"), told("Hello, World", "text"));
    assert_eq!(post("words").error(), ("AlgorithmError".into(), "no such name".into()));
    assert_eq!(post("kind").error(), ("EntityNotFoundError".into(), "no such model".into()));
    assert_eq!(post("panic").error(), ("AlgorithmError".into(), "the algorithm panicked: as asked for".into()));
    assert_eq!(post("again"), told("Hello, again", "text"), "a panic does not cost the slot");
    assert_eq!(host.post(&json!("JSON")), told("Hello, JSON", "text"));
    assert_eq!(host.end().0, 0);
}

#[test]
fn bytes_come_as_bytes() {
    let mut host = host("bytes");
    assert_eq!(host.post_line(br#"{"content_type":"binary","data":"AP8Q"}"#), told("EP8A", "binary"));
    let (error_type, message) = host.post(&json!([])).error();
    assert!(error_type == "InputError" && message.contains("send it as binary"), "{message}");
}

#[test]
fn an_input_is_had_as_it_came() {
    let mut host = host("input");
    assert_eq!(host.post(&json!({"a": 1})), told("Json { len: 7 }", "text"));
}
