//! `hubwire proxy`, with `hubwire emulator` as the namespace behind it.

use crate::support::{KEY, Running, hubwire, send_to};

/// A namespace whose key the proxy's clients do not know.
fn namespace() -> (Running, String) {
    let path =
        format!("{}/proxy-key-{}-{:?}", env!("CARGO_TARGET_TMPDIR"), std::process::id(), std::thread::current().id());
    std::fs::write(&path, KEY).unwrap();
    let emulator = Running::emulator(&["--rule", &format!("name=own,key-file={path}")]);
    std::fs::remove_file(path).unwrap();
    let text = emulator.connection_string().to_owned();
    let text = text.split(" (").next().unwrap().replace("SharedAccessKey=***", &format!("SharedAccessKey={KEY}"));
    (emulator, text)
}

fn proxy(to: &str, args: &[&str]) -> Running {
    Running::command_with(&[&["proxy", "--listen", "127.0.0.1:0"], args].concat(), &[("CONNECTION_STR", to)])
}

#[test]
fn a_client_goes_through_with_the_proxys_credentials() {
    let (_emulator, to) = namespace();
    let proxy = proxy(&to, &[]);
    assert!(!proxy.connection_string().contains(KEY));
    let sent = send_to(proxy.connection_string(), &["first event", "second event"], "");
    assert_eq!(sent.counts(), [2, 0, 0, 0], "{sent:?}");
    let env = [("CONNECTION_STR", proxy.connection_string())];
    let info = hubwire(&["info"], "", &env);
    assert_eq!(info.code, 0, "{info:?}");
    assert!(info.stdout.starts_with("telemetry of 127.0.0.1"), "{info:?}");
    let received = hubwire(&["receive"], "", &env);
    assert_eq!(received.stdout, "first event\nsecond event\n", "{received:?}");
    let (code, trace) = proxy.end("-TERM");
    assert_eq!(code, 0, "{trace}");
    for sentence in [
        "connection 1 is client 1",
        "connection 2 is 127.0.0.1, for client 1",
        "key-name=RootManageSharedAccessKey",
        "-> transfer $cbs delivery-id=0 put-token sb://127.0.0.1/telemetry type=servicebus.windows.net:sastoken key-name=own",
        "events=2",
        "connection 2, closed:",
    ] {
        assert!(trace.contains(sentence), "{sentence}: {trace}");
    }
}

#[test]
fn what_the_namespace_refuses_the_client_hears() {
    let (_emulator, to) = namespace();
    let proxy = proxy(&to.replace(KEY, "d3Jvbmc="), &["--trace=json"]);
    let sent = send_to(proxy.connection_string(), &["event"], "");
    assert_eq!(sent.code, 4, "{sent:?}");
    assert!(sent.stdout.contains("InvalidSignature"), "{sent:?}");
    let (code, trace) = proxy.end("-TERM");
    assert_eq!(code, 0);
    assert!(trace.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{trace}");
}

#[test]
fn a_namespace_out_of_reach_is_told_of_and_the_proxy_goes_on() {
    let to = crate::support::connection_string(crate::support::free_port());
    let proxy = proxy(&to, &[]);
    for _ in 0..2 {
        assert_eq!(send_to(proxy.connection_string(), &["event"], "").code, 6);
    }
    let (code, rest) = proxy.end("-TERM");
    assert_eq!(code, 0);
    assert!(rest.contains("warning: client 2: cannot connect to 127.0.0.1:"), "{rest}");
}

#[test]
fn a_fault_befalls_the_client_alone() {
    let (_emulator, to) = namespace();
    let proxy = proxy(&to, &["--fault", "cut written=900 connection=1"]);
    // The first connection is cut within its handshake; the second one is the client's own attempt.
    let cut = send_to(proxy.connection_string(), &["event", "--retries", "0"], "");
    assert_ne!(cut.counts()[0] + cut.counts()[2], 0, "{cut:?}");
    let again = send_to(proxy.connection_string(), &["event"], "");
    assert_eq!(again.counts(), [1, 0, 0, 0], "{again:?}");
    let (code, _) = proxy.end("-TERM");
    assert_eq!(code, 0);
}

#[test]
fn faults_that_need_an_emulator_are_refused() {
    let to = crate::support::connection_string(1);
    for fault in ["reject", "cut hub=telemetry", "silence after-deliveries=2"] {
        let run = hubwire(&["proxy", "--fault", fault], "", &[("CONNECTION_STR", &to)]);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("cannot be put between others"), "{run:?}");
    }
}
