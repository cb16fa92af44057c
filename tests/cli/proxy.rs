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
    let proxy = proxy(&to, &["--fault", "cut written=300 connection=1"]);
    // The first connection is cut within its handshake, and the client makes a second one.
    let sent = send_to(proxy.connection_string(), &["event"], "");
    assert_eq!(sent.counts(), [1, 0, 0, 0], "{sent:?}");
    let (code, rest) = proxy.end("-TERM");
    assert_eq!(code, 0);
    assert!(rest.contains("warning: client 1: the client: connection aborted"), "{rest}");
    assert!(rest.contains("connection 3 is client 2") && !rest.contains("warning: client 2"), "{rest}");
}

#[test]
fn faults_befall_deliveries_in_between_and_the_client_tells_of_them() {
    let (_emulator, to) = namespace();
    let fault = r#"reject condition=amqp:not-allowed text="Not today." nth=2"#;
    let proxy = proxy(&to, &["--fault", fault, "--fault", "detach after-deliveries=3"]);
    for (event, code, counts) in [("first", 0, [1, 0, 0, 0]), ("second", 5, [0, 1, 0, 0]), ("third", 0, [1, 0, 0, 0])] {
        let sent = send_to(proxy.connection_string(), &[event], "");
        assert_eq!((sent.code, sent.counts()), (code, counts), "{sent:?}");
        assert_eq!(sent.stdout.contains("Not today."), code == 5, "{sent:?}");
    }
    let held = hubwire(&["receive"], "", &[("CONNECTION_STR", &to)]);
    assert_eq!(held.stdout, "first\nthird\n", "{held:?}");
    let (code, trace) = proxy.end("-TERM");
    assert_eq!(code, 0);
    assert!(trace.contains(r#"error=amqp:link:detach-forced "A fault was asked for.""#), "{trace}");
}
