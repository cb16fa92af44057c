//! `hubwire emulator --fault` and `--fault-file`.

use std::path::PathBuf;

use super::support::{GUIDE, Run, Running, hubwire, send_to};

/// A file of this test process that goes when it is dropped.
struct Script(PathBuf);

impl Script {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hubwire-cli-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[track_caller]
fn assert_told(run: &Run, code: i32, words: &str) {
    assert_eq!(run.code, code, "{run:?}");
    assert!(run.stderr.contains(words), "{run:?}");
}

#[cfg(unix)]
#[test]
fn faults_of_the_flag_and_of_the_file_befall_one_send_each() {
    let script =
        Script::new("faults", "# one send each\n\nrefuse-put-token status=401 text=\"Not you.\" connection=1\n");
    let flag = "reject condition=amqp:not-allowed text=\"Not today.\"";
    let emulator =
        Running::emulator(&["--fault", flag, "--fault", "cut after-deliveries=3", "--fault-file", script.path()]);
    assert_told(&send_to(emulator.connection_string(), &[], GUIDE), 4, "401 Not you. TrackingId:");
    assert_told(&send_to(emulator.connection_string(), &[], GUIDE), 5, "amqp:not-allowed: Not today. TrackingId:");
    assert_eq!(send_to(emulator.connection_string(), &[], GUIDE).code, 0);
    assert_told(
        &send_to(emulator.connection_string(), &[], GUIDE),
        7,
        "no answer came for a batch: the connection was lost",
    );
    let (code, rest) = emulator.end("-INT");
    assert_eq!(
        (code, rest.as_str()),
        (0, "stored 6 events in 2 messages (112 B), rejected 1, over 4 connections, with 3 faults\n")
    );
}

#[test]
fn what_is_no_fault_is_told_by_word_and_line() {
    let script = Script::new("no-faults", "# fine\nlose\nexplode\n");
    for (args, code, words) in [
        (["--fault", "explode"], 2, "\"explode\" is no fault; begin with one of refuse-sasl"),
        (["--fault", "reject nth=x"], 2, "nth=\"x\": expected a whole number from 1"),
        (["--fault", "close"], 3, "nothing is there to be struck when the emulator starts"),
        (["--fault-file", script.path()], 3, ": line 3: \"explode\" is no fault"),
        (["--fault-file", "/nowhere/at/all"], 3, "cannot read /nowhere/at/all"),
    ] {
        assert_told(&hubwire(&[&["emulator"], &args[..]].concat(), "", &[]), code, words);
    }
}
