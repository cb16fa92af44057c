//! What is on the way to a hub: names, ports, proxies, certificates, WebSocket, clocks.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::{KEY, assert_timed_out, assert_told, doctor, examined, passed};
use crate::emulator::doors::Scratch;
use crate::support::{Running, free_port};

const NAMESPACE: &str = "ns.servicebus.windows.net";

/// A connection string for `endpoint`, with what follows.
fn string(endpoint: &str, rest: &str) -> String {
    format!("Endpoint=sb://{endpoint}/;SharedAccessKeyName=send;SharedAccessKey={KEY};EntityPath=telemetry{rest}")
}

fn plain(port: u16) -> String {
    string(&format!("127.0.0.1:{port}"), ";UseDevelopmentEmulator=true")
}

/// Treats every connection as `serve` says, for as long as the tests run; its port.
fn peers(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// The head of a request.
fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.extend_from_slice(&byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Both directions, until either ends.
fn relay(mut client: TcpStream, port: u16) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(std::net::Shutdown::Both);
}

fn answering(answer: &'static [u8]) -> u16 {
    peers(move |mut stream| {
        head_of(&mut stream);
        let _ = stream.write_all(answer);
    })
}

#[test]
fn names_and_ports_that_lead_nowhere_are_named() {
    let unknown = string("no-such-namespace.invalid", "");
    assert_told(&doctor(&unknown, &["--timeout", "10s"]), 6, "resolve", "name_unknown", "check the namespace's name");
    let told = doctor(&plain(free_port()), &[]);
    assert_told(&told, 6, "tcp", "port_refused", "start the emulator");
    let elsewhere = string(&format!("127.0.0.1:{}", free_port()), "");
    let told = doctor(&elsewhere, &["--timeout", "4s"]);
    assert_told(&told, 6, "tcp", "port_refused", "port 443 is closed as well");
    assert!(told.0.stdout.contains("FAIL  port-443"), "{:?}", told.0);
    let mut steps = told.1["steps"].as_array().unwrap().iter();
    assert!(steps.any(|row| row["step"] == "port-443"), "the same name in JSON: {:#}", told.1);
    let (text, _) = examined(&[], &[("CONNECTION_STR", &elsewhere), ("HTTPS_PROXY", "http://proxy.invalid:1")]);
    assert!(text.stdout.contains("try --proxy env"), "{text:?}");
}

/// A port that takes the connection and says nothing: each step has its end.
#[test]
fn a_port_that_never_answers_ends_in_time() {
    let silent = peers(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let told = doctor(&plain(silent), &["--timeout", "4s"]);
    assert_timed_out(&told, "sasl", "hub_silent", "--timeout");
    let told = doctor(&string(&format!("127.0.0.1:{silent}"), ""), &["--timeout", "4s"]);
    assert_timed_out(&told, "tls", "tls_cut", "a firewall that reads host names");
    let told = doctor(&plain(silent), &["--websocket", "--timeout", "4s"]);
    assert_timed_out(&told, "websocket", "not_web_socket", "443");
    let through = format!("http://127.0.0.1:{silent}");
    let told = doctor(&plain(1), &["--proxy", &through, "--timeout", "4s"]);
    assert_timed_out(&told, "proxy", "not_a_proxy", "an HTTP proxy");
}

#[test]
fn what_answers_in_a_hubs_place_is_named() {
    for (answer, args, step, cause, next) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[][..], "sasl", "not_amqp", "web server"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", &["--websocket"], "websocket", "not_web_socket", "443"),
        (b"SSH-2.0-x\r\n\r\n", &["--websocket"], "websocket", "not_web_socket", "443"),
    ] {
        let port = peers(move |mut stream| {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(answer);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert_told(&doctor(&plain(port), args), 6, step, cause, next);
    }
    let emulator = Running::emulator(&[]);
    let port = emulator.told("hubwire emulator ready on 127.0.0.1:");
    let told = doctor(&string(&format!("127.0.0.1:{port}"), ""), &["--timeout", "4s"]);
    assert_told(&told, 6, "tls", "not_tls", "add UseDevelopmentEmulator=true");
}

#[test]
fn proxies_that_refuse_are_named() {
    for (answer, cause, next) in [
        (&b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n"[..], "proxy_login", "user and password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy_forbids", "let this host and port pass"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "proxy_forbids", "let this host and port pass"),
        (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", "not_a_proxy", "an HTTP proxy"),
        (b"SSH-2.0-x\r\n\r\n", "not_a_proxy", "an HTTP proxy"),
    ] {
        let through = format!("http://127.0.0.1:{}", answering(answer));
        assert_told(&doctor(&string(NAMESPACE, ""), &["--proxy", &through]), 6, "proxy", cause, next);
    }
    let through = format!("http://127.0.0.1:{}", free_port());
    let told = doctor(&string(NAMESPACE, ""), &["--proxy", &through]);
    assert_told(&told, 6, "tcp", "proxy_unreachable", "the proxy's host and port");
}

fn websocket_port(emulator: &Running) -> u16 {
    let string = emulator.told("connection string for WebSocket: ");
    let endpoint = string.split(';').next().and_then(|pair| pair.rsplit(':').next());
    endpoint.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{string}"))
}

/// A proxy that leads to port 443 alone, as most do.
#[test]
fn a_way_that_is_open_for_websocket_alone_is_found() {
    let authority = Scratch::named("doctor-443.pem");
    let emulator = Running::emulator(&[
        "--tls",
        "--tls-name",
        NAMESPACE,
        "--tls-ca-out",
        authority.path(),
        "--websocket",
        "127.0.0.1:0",
    ]);
    let websocket = websocket_port(&emulator);
    let proxy = peers(move |mut client| {
        let allowed = head_of(&mut client).starts_with(&format!("CONNECT {NAMESPACE}:443 "));
        let answer: &[u8] = if allowed { b"HTTP/1.1 200 OK\r\n\r\n" } else { b"HTTP/1.1 403 Forbidden\r\n\r\n" };
        let _ = client.write_all(answer);
        if allowed {
            relay(client, websocket);
        }
    });
    let through = format!("http://127.0.0.1:{proxy}");
    let args = ["--proxy", &through, "--ca-file", authority.path()];
    let emulators = format!(
        "Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
         EntityPath=telemetry"
    );
    let told = doctor(&emulators, &args);
    assert_told(&told, 6, "proxy", "only_web_socket", "use --websocket");
    assert!(told.0.stdout.contains("ok    port-443"), "{:?}", told.0);
    let (text, json) = doctor(&emulators, &[&args[..], &["--websocket", "--send"]].concat());
    assert_eq!(text.code, 0, "the advice holds: {text:?}");
    assert_eq!(passed(&json)[2..6], ["tcp", "proxy", "tls", "websocket"]);
}

/// An emulator with a certificate of its own, for `names` and between two years.
fn certified(name: &str, names: &[&str], years: (i32, i32)) -> (Running, Scratch) {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    let key = KeyPair::generate().unwrap();
    let certificate = Scratch::with(&format!("doctor-{name}.pem"), &params.self_signed(&key).unwrap().pem());
    let key = Scratch::with(&format!("doctor-{name}.key.pem"), &key.serialize_pem());
    let emulator = Running::emulator(&["--tls-cert", certificate.path(), "--tls-key", key.path()]);
    (emulator, certificate)
}

#[test]
fn certificates_are_told_and_what_is_wrong_with_them() {
    for (name, names, years, is_trusted, code, cause, next) in [
        ("other", &["elsewhere.example"][..], (2020, 2090), true, 6, "certificate_name", "names in the certificate"),
        ("ended", &["localhost"], (2020, 2021), true, 6, "certificate_expired", "this machine's clock"),
        ("early", &["localhost"], (2089, 2090), true, 6, "certificate_expired", "this machine's clock"),
        ("unknown", &["localhost"], (2020, 2090), false, 6, "certificate_untrusted", "--ca-file FILE"),
    ] {
        let (emulator, certificate) = certified(name, names, years);
        let port = emulator.told("hubwire emulator ready on 127.0.0.1:");
        let args = if is_trusted { vec!["--ca-file", certificate.path()] } else { Vec::new() };
        let told = doctor(&string(&format!("localhost:{port}"), ""), &args);
        assert_told(&told, code, "tls", cause, next);
        let rows = told.1["steps"].as_array().unwrap();
        let shown = &rows.iter().find(|row| row["step"] == "tls").unwrap()["certificates"][0];
        assert_eq!(shown["names"][0], names[0], "the certificate is shown though it was refused");
        assert_eq!(shown["not_before"], format!("{}-01-01T00:00:00Z", years.0));
        assert!(told.0.stdout.contains(&format!("for {}; by CN=", names[0])), "{:?}", told.0);
    }
    let authority = Scratch::named("doctor-good.pem");
    let emulator = Running::emulator(&["--tls", "--tls-ca-out", authority.path()]);
    let (text, json) = doctor(emulator.connection_string(), &["--ca-file", authority.path(), "--round-trip"]);
    assert_eq!(text.code, 0, "{text:?}");
    assert!(passed(&json).contains(&"tls") && text.stdout.contains("TLS 1.3"), "{text:?}");
    assert!(text.stdout.contains("-     clock"), "nobody told the time: {text:?}");
}

/// The peer's clock, from the answer to the WebSocket's request.
#[test]
fn a_clock_that_is_off_is_told() {
    let emulator = Running::emulator(&["--websocket", "127.0.0.1:0"]);
    let websocket = websocket_port(&emulator);
    for (date, words) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), "ahead of the peer's: set it"),
        ("Thu, 06 Nov 2094 08:49:37 GMT".to_owned(), "behind the peer's: set it"),
    ] {
        let dated = peers(move |mut client| {
            let head = head_of(&mut client);
            let mut server = TcpStream::connect(("127.0.0.1", websocket)).unwrap();
            server.write_all(head.as_bytes()).unwrap();
            let answer = head_of(&mut server).replacen("\r\n", &format!("\r\nDate: {date}\r\n"), 1);
            client.write_all(answer.as_bytes()).unwrap();
            let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
            let _ = std::io::copy(&mut client, &mut server);
        });
        let string = format!(
            "Endpoint=sb://127.0.0.1:{dated};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
             EntityPath=telemetry;UseDevelopmentEmulator=true"
        );
        let (text, json) = doctor(&string, &["--websocket", "--send"]);
        assert_eq!(text.code, 0, "a clock alone fails nothing: {text:?}");
        assert!(text.stdout.contains("warn  clock") && text.stdout.contains(words), "{text:?}");
        assert!(
            json["steps"].as_array().unwrap().iter().any(|row| row["step"] == "clock" && row["status"] == "warning")
        );
    }
}
