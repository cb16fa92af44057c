//! The ways in, as the command line is told of them; an emulator in a process of its own is at their end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use super::emulator::doors::Scratch;
use super::support::{GUIDE, KEY, Run, Running, connection_string, free_port, hubwire, peer, send_to};

/// What a proxy's URL has before its host: the key that is searched for in everything that is printed.
fn login() -> String {
    format!("user:{KEY}@")
}

/// Leads to `port` whatever it is asked for, once. Its port, and what it was asked.
fn proxy_to(port: u16) -> (u16, mpsc::Receiver<String>) {
    let (asked, questions) = mpsc::channel();
    let port = peer(move |mut client| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.extend_from_slice(&byte);
        }
        asked.send(String::from_utf8(head).unwrap()).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
        let _ = std::io::copy(&mut client, &mut server);
    });
    (port, questions)
}

/// The port of an emulator's connection string.
fn port_of(connection_string: &str) -> u16 {
    let authority = connection_string.strip_prefix("Endpoint=sb://").and_then(|text| text.split(';').next()).unwrap();
    authority.rsplit(':').next().unwrap().parse().unwrap()
}

/// The emulator's string for a namespace that is nowhere.
fn elsewhere(connection_string: &str) -> String {
    connection_string.replace(&format!("localhost:{}", port_of(connection_string)), "ns.servicebus.windows.net")
}

fn assert_accepted(run: &Run) {
    assert_eq!((run.code, run.counts()), (0, [3, 0, 0, 0]), "{run:?}");
}

#[test]
fn websocket_is_spoken_by_every_command() {
    let authority = Scratch::named("ca-websocket.pem");
    let emulator = Running::emulator(&["--tls", "--tls-ca-out", authority.path(), "--websocket", "127.0.0.1:0"]);
    let text = emulator.told("connection string for WebSocket: ");
    let options = ["--websocket", "--ca-file", authority.path()];
    assert_accepted(&send_to(text, &options, GUIDE));
    for (command, words) in [("receive", "first event\n"), ("info", "telemetry of localhost: 4 partitions")] {
        let run = hubwire(&[&[command], &options[..]].concat(), "", &[("CONNECTION_STR", text)]);
        assert!(run.code == 0 && run.stdout.contains(words), "{run:?}");
    }
    let run = send_to(text, &["--ca-file", authority.path()], GUIDE);
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.stderr.contains("use AMQP over WebSocket"), "{run:?}");
}

#[test]
fn an_endpoint_takes_the_namespaces_place() {
    let authority = Scratch::named("ca-endpoint.pem");
    let emulator = Running::emulator(&["--tls", "--tls-ca-out", authority.path()]);
    let text = emulator.connection_string();
    let endpoint = format!("localhost:{}", port_of(text));
    let run = send_to(&elsewhere(text), &["--endpoint", &endpoint, "--ca-file", authority.path()], GUIDE);
    assert_accepted(&run);
    assert_eq!(run.json()["namespace"], "ns.servicebus.windows.net");
    let run = send_to(text, &["--endpoint", "http://gate"], GUIDE);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("the custom endpoint cannot be used"), "{run:?}");
}

#[test]
fn the_platforms_certificates_are_trusted_when_asked_for() {
    let authority = Scratch::named("ca-platform.pem");
    let emulator = Running::emulator(&["--tls", "--tls-ca-out", authority.path()]);
    let run = |args: &[&str], file: &str| {
        let args = [&["send", "--output", "json"], args].concat();
        hubwire(&args, GUIDE, &[("CONNECTION_STR", emulator.connection_string()), ("SSL_CERT_FILE", file)])
    };
    assert_accepted(&run(&["--platform-roots"], authority.path()));
    // The bundled ones are all that counts without the option.
    assert_eq!(run(&[], authority.path()).code, 6);
    let nothing = run(&["--platform-roots"], "/no/such.pem");
    assert_eq!(nothing.code, 3, "{nothing:?}");
    assert!(nothing.stderr.contains("the platform's roots cannot be used"), "{nothing:?}");
    assert!(nothing.stderr.contains("SSL_CERT_FILE"), "{nothing:?}");
}

#[test]
fn a_proxy_is_named_by_url_by_file_and_by_the_environment() {
    let authority = Scratch::named("ca-proxy.pem");
    let emulator =
        Running::emulator(&["--tls", "--tls-name", "ns.servicebus.windows.net", "--tls-ca-out", authority.path()]);
    let port = port_of(emulator.connection_string());
    let text = "Endpoint=sb://ns.servicebus.windows.net;SharedAccessKeyName=RootManageSharedAccessKey;\
                SharedAccessKey=SAS_KEY_VALUE;EntityPath=telemetry";
    let url_in_file = Scratch::named("proxy-url");
    for (named_by, has_login) in [("url", false), ("file", true), ("env", true)] {
        let (proxy, asked) = proxy_to(port);
        let with_login = format!("http://{}127.0.0.1:{proxy}", login());
        std::fs::write(url_in_file.path(), format!("{with_login}\n")).unwrap();
        let without = format!("http://127.0.0.1:{proxy}");
        let named = match named_by {
            "url" => without.as_str(),
            "file" => url_in_file.path(),
            _ => "env",
        };
        let args = ["send", "--output", "json", "--ca-file", authority.path(), "--proxy", named];
        let env = [("CONNECTION_STR", text), ("HTTPS_PROXY", with_login.as_str()), ("NO_PROXY", "localhost")];
        assert_accepted(&hubwire(&args, GUIDE, &env));
        let head = asked.recv().unwrap();
        assert!(head.starts_with("CONNECT ns.servicebus.windows.net:5671 HTTP/1.1\r\n"), "{head}");
        assert_eq!(head.contains("\r\nProxy-Authorization: Basic "), has_login, "{named_by}: {head}");
    }
}

#[test]
fn the_environments_exceptions_count_and_its_proxy_only_on_request() {
    let emulator = Running::emulator(&[]);
    let dead = format!("http://{}127.0.0.1:{}", login(), free_port());
    let run = |args: &[&str], env: &[(&str, &str)]| {
        let env = [&[("CONNECTION_STR", emulator.connection_string())], env].concat();
        hubwire(&[&["send", "--output", "json"], args].concat(), GUIDE, &env)
    };
    assert_accepted(&run(&[], &[("HTTPS_PROXY", &dead)]));
    assert_accepted(&run(&["--proxy", "env"], &[("all_proxy", &dead), ("no_proxy", "localhost, 127.0.0.1")]));
    let refused = run(&["--proxy", "env"], &[("HTTPS_PROXY", &dead)]);
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains("nothing listens on that port"), "{refused:?}");
    let unset = run(&["--proxy", "env"], &[("HTTPS_PROXY", "")]);
    assert_eq!(unset.code, 3, "{unset:?}");
    assert!(unset.stderr.contains("neither HTTPS_PROXY nor ALL_PROXY is set"), "{unset:?}");
}

#[test]
fn a_proxys_password_is_no_argument_and_is_never_shown() {
    let text = connection_string(free_port());
    let url = format!("http://{}proxy:3128", login());
    for (named, code, words) in [
        (url.as_str(), 2, "a proxy's user and password are not taken as an argument"),
        (&format!("{}proxy:3128", login()), 3, "cannot read the proxy's URL from ***"),
        ("socks5://proxy", 3, "the HTTP proxy cannot be used: its scheme is not http"),
    ] {
        let run = send_to(&text, &["--proxy", named], GUIDE);
        assert_eq!(run.code, code, "{run:?}");
        assert!(run.stderr.contains(words), "{run:?}");
    }
    let conflict = send_to(&text, &["--proxy", &url, "--emulator"], GUIDE);
    assert_eq!(conflict.code, 2, "{conflict:?}");
}
