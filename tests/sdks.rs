//! The official SDKs against the emulator, each in a process of its own, unchanged.
//!
//! `tests/interop/setup` installs them. Without it these tests say that they were skipped; with `CI` or
//! `HUBWIRE_INTEROP=1` set they fail instead. Each driver prints a line for each check, which are all repeated here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hubwire::emulator::{Emulator, Listening};
use tokio::process::Command;

/// All of a driver's checks together; each has its own, shorter patience.
const PATIENCE: Duration = Duration::from_secs(420);

/// What every SDK is asked to do.
const CHECKS: [&str; 21] = [
    "send-one-event",
    "send-batch",
    "send-to-partition-id",
    "send-with-partition-key",
    "all-property-types",
    "large-batch",
    "hub-properties",
    "partition-properties",
    "receive-earliest",
    "receive-latest",
    "receive-from-offset",
    "receive-from-sequence-number",
    "receive-from-enqueued-time",
    "last-enqueued-event-properties",
    "processor-two-consumers",
    "owner-level-steals",
    "wrong-key-401",
    "hub-not-found",
    "message-too-large",
    "unknown-consumer-group",
    "unknown-partition",
];

fn beside_target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(name)
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

/// `path` if it is there; `None`, said aloud, when setup was not run.
fn installed(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    let skipped = format!("skipped: there is no {}; run tests/interop/setup", path.display());
    let is_required =
        std::env::var_os("CI").is_some() || std::env::var_os("HUBWIRE_INTEROP").is_some_and(|value| value == "1");
    assert!(!is_required, "{skipped}");
    println!("{skipped}");
    None
}

async fn listening() -> Listening {
    let builder = Emulator::builder().event_hub("checks", 4).event_hub("shared", 4).event_hub("empty", 1);
    let emulator = builder.consumer_group("checks", "second").build().expect("hubs that can be built");
    emulator.listen("127.0.0.1:0").await.expect("a port")
}

/// Runs a driver against an emulator of its own; the names of its checks, none of which failed.
async fn drive(driver: Command, listening: &Listening) -> BTreeSet<String> {
    drive_at(driver, &listening.connection_string(None), &[]).await
}

/// The same with a connection string, but for checks that are to fail.
async fn drive_at(mut driver: Command, text: &str, fails: &[&str]) -> BTreeSet<String> {
    // SDKs take the emulator's connection string with this host name alone.
    driver.env("CONNECTION_STR", text.replace("127.0.0.1", "localhost")).stdout(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, driver.output()).await.expect("the driver ends");
    let output = output.expect("the driver runs");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{lines}");
    let failed: Vec<_> = lines.lines().filter(|line| line.starts_with("FAIL")).collect();
    let is_meant = |line: &&str| fails.iter().any(|name| line.starts_with(&format!("FAIL {name}:")));
    assert!(failed.iter().all(is_meant), "{failed:#?}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(failed.len(), fails.len(), "{fails:?} fail, and nothing else");
    let is_well = output.status.success() == fails.is_empty();
    assert!(is_well, "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let name = |line: &str| line.split([' ', ':']).nth(1).expect("a name").to_owned();
    lines.lines().map(name).collect()
}

/// Every check was made, and the emulator saw what it should: events that came, and one message that was refused.
fn complete(checked: &BTreeSet<String>, listening: &Listening) {
    let missing: Vec<_> = CHECKS.iter().filter(|check| !checked.contains(**check)).collect();
    assert!(missing.is_empty(), "never checked: {missing:?}");
    let totals = listening.emulator().totals();
    assert!(totals.events > 1_000 && totals.delivered > 50 && totals.receivers > 10, "{totals:?}");
}

/// Checks of Python's other half alone.
const AIO_CHECKS: [&str; 4] = ["aio-send", "aio-properties", "aio-receive", "aio-owner-level-steals"];

#[test]
fn the_emulators_page_tells_of_each_check() {
    let page = include_str!("../docs/emulator.md");
    let is_told = |check: &&&str| page.lines().any(|line| line.starts_with(&format!("| `{check}`")));
    let untold: Vec<_> = CHECKS.iter().chain(&AIO_CHECKS).filter(|check| !is_told(check)).collect();
    assert!(untold.is_empty(), "docs/emulator.md has no row for {untold:?}");
}

fn python_driver() -> Option<Command> {
    let venv = std::env::var_os("HUBWIRE_INTEROP_VENV").map_or_else(|| beside_target("interop-venv"), PathBuf::from);
    let mut driver = Command::new(installed(venv.join("bin/python"))?);
    // `-B`: no byte code beside the sources.
    driver.arg("-B").arg(source("sdk_python.py"));
    Some(driver)
}

fn javascript_driver() -> Option<Command> {
    let modules = installed(beside_target("interop-node").join("installed"))?;
    let mut driver = Command::new("node");
    driver.arg(source("sdk_javascript.mjs")).current_dir(modules.parent().expect("a folder"));
    Some(driver)
}

/// What listens at `authority` is told to this SDK beside the connection string.
fn rust_driver(authority: &str) -> Option<Command> {
    let mut driver = Command::new(installed(beside_target("interop-rust").join("debug/hubwire-interop-rust"))?);
    driver.env("CUSTOM_ENDPOINT", format!("amqp://{authority}"));
    Some(driver)
}

#[tokio::test]
async fn python() {
    let Some(driver) = python_driver() else { return };
    let listening = listening().await;
    let checked = drive(driver, &listening).await;
    complete(&checked, &listening);
    for check in AIO_CHECKS {
        assert!(checked.contains(check), "never checked: {check}");
    }
}

#[tokio::test]
async fn javascript() {
    let Some(driver) = javascript_driver() else { return };
    let listening = listening().await;
    complete(&drive(driver, &listening).await, &listening);
}

#[tokio::test]
async fn rust() {
    let listening = listening().await;
    let Some(driver) = rust_driver(&listening.local_addr().to_string()) else { return };
    complete(&drive(driver, &listening).await, &listening);
}

/// The same through `hubwire proxy`, which has a key of its own: to it no key of an SDK's is wrong.
#[cfg(feature = "cli")]
mod through_a_proxy {
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::Child;

    use super::*;

    /// A proxy in front of an emulator.
    struct Proxy {
        listening: Listening,
        /// What an SDK connects with.
        text: String,
        trace: PathBuf,
        _process: Child,
    }

    impl Proxy {
        /// `name`: of the trace's file, which is the test's own.
        async fn start(name: &str) -> Self {
            let listening = listening().await;
            let trace = beside_target(&format!("proxy-trace-{name}.txt"));
            let mut process = Command::new(env!("CARGO_BIN_EXE_hubwire"));
            process.args(["proxy", "--event-hub", "checks", "--listen", "127.0.0.1:0", "--trace-file"]).arg(&trace);
            process.env("CONNECTION_STR", listening.connection_string(None)).stderr(Stdio::piped()).kill_on_drop(true);
            let mut process = process.spawn().expect("it runs");
            let mut told = BufReader::new(process.stderr.take().expect("piped")).lines();
            let text = loop {
                let line = told.next_line().await.expect("text").expect("it gets ready");
                if let Some(text) = line.strip_prefix("connection string: ") {
                    break text.replace(";EntityPath=checks", "");
                }
            };
            // It may have more to say than a pipe holds.
            tokio::spawn(async move { while let Ok(Some(_)) = told.next_line().await {} });
            Self { listening, text, trace, _process: process }
        }

        fn authority(&self) -> &str {
            let host = self.text.strip_prefix("Endpoint=sb://").expect("an endpoint first");
            host.split([';', '/']).next().expect("a host")
        }

        /// Every check but that of a wrong key holds, and every frame is understood.
        async fn stands(&self, driver: Command) {
            complete(&drive_at(driver, &self.text, &["wrong-key-401"]).await, &self.listening);
            let trace = std::fs::read_to_string(&self.trace).expect("a trace");
            for sentence in ["put-token ", "READ checks", "error=amqp:link:stolen", "events="] {
                assert!(trace.contains(sentence), "{sentence}");
            }
            assert!(!trace.contains("cannot be read"), "every frame of the SDK's is understood");
        }
    }

    #[tokio::test]
    async fn python() {
        let Some(driver) = python_driver() else { return };
        Proxy::start("python").await.stands(driver).await;
    }

    #[tokio::test]
    async fn javascript() {
        let Some(driver) = javascript_driver() else { return };
        Proxy::start("javascript").await.stands(driver).await;
    }

    #[tokio::test]
    async fn rust() {
        let proxy = Proxy::start("rust").await;
        let Some(driver) = rust_driver(proxy.authority()) else { return };
        proxy.stands(driver).await;
    }
}
