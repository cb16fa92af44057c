//! The ways in: TLS, WebSocket, health; and how they are told of.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};

use crate::support::{GUIDE, Running, hubwire, send_to};

/// A file of this test's own, gone with the value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Nothing is there yet.
    pub(crate) fn named(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("hubwire-cli-{}-{name}", std::process::id())))
    }

    pub(crate) fn with(name: &str, text: &str) -> Self {
        let scratch = Self::named(name);
        std::fs::write(&scratch.0, text).unwrap();
        scratch
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a peer says to `request`, to its end.
fn asked(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_certificate_made_on_start_is_trusted_by_its_authoritys_file() {
    let authority = Scratch::named("ca-made.pem");
    let emulator = Running::emulator(&["--tls", "--tls-ca-out", authority.path()]);
    let port = emulator.told("hubwire emulator ready on 127.0.0.1:");
    let expected = format!(
        "Endpoint=sb://localhost:{port};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
         EntityPath=telemetry"
    );
    assert_eq!(emulator.connection_string(), expected);
    assert_eq!(emulator.told("certificate authority, for clients to trust: "), authority.path());
    let hint = emulator.told("  Python      ");
    assert!(hint.contains(&format!("connection_verify=\"{}\"", authority.path())), "{hint}");

    let trusting = send_to(emulator.connection_string(), &["--ca-file", authority.path()], GUIDE);
    assert_eq!((trusting.code, trusting.counts()), (0, [3, 0, 0, 0]), "{trusting:?}");
    let by_address = emulator.connection_string().replace("localhost", "127.0.0.1");
    assert_eq!(send_to(&by_address, &["--ca-file", authority.path()], GUIDE).code, 0);
    let doubting = send_to(emulator.connection_string(), &[], GUIDE);
    assert_eq!(doubting.code, 6, "{doubting:?}");
    assert!(doubting.stderr.contains("nobody here trusts the certificate's issuer"), "{doubting:?}");
}

#[test]
fn a_certificate_of_ones_own_is_served() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let chain = Scratch::with("own.pem", &certificate.pem());
    let key = Scratch::with("own-key.pem", &key.serialize_pem());
    let emulator = Running::emulator(&["--tls-cert", chain.path(), "--tls-key", key.path()]);
    let run = send_to(emulator.connection_string(), &["--ca-file", chain.path()], GUIDE);
    assert_eq!((run.code, run.counts()), (0, [3, 0, 0, 0]), "{run:?}");
    let told = emulator.introduction.concat();
    assert!(!told.contains("certificate authority") && told.contains("--ca-file CA_FILE"), "{told}");
}

#[test]
fn what_is_no_identity_is_refused() {
    let nonsense = Scratch::with("nonsense.pem", "no PEM\n");
    let path = nonsense.path();
    for (args, code, words) in [
        (&["--tls-cert", path][..], 2, "--tls-key <FILE>"),
        (&["--tls-cert", path, "--tls-key", path], 3, "the certificate file holds no certificate"),
        (&["--tls-cert", "/no/such.pem", "--tls-key", path], 3, "--tls-cert /no/such.pem: No such file"),
        (&["--tls-cert", path, "--tls-key", "/no/such.pem"], 3, "--tls-key ***: No such file"),
        (&["--tls", "--tls-name", "no name"], 3, "use DNS names and IP addresses"),
        (&["--tls", "--tls-ca-out", "/no/such/ca.pem"], 3, "cannot write the certificate authority to /no/such/ca.pem"),
        (&["--tls-name", "a"], 2, "--tls"),
        (&["--tls-ca-out", "a"], 2, "--tls"),
    ] {
        let run = hubwire(&[&["emulator", "--listen", "127.0.0.1:0"], args].concat(), "", &[]);
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        assert!(run.stderr.contains(words), "{args:?}: {run:?}");
    }
}

#[test]
fn it_is_healthy_and_takes_websockets_beside_amqp() {
    let emulator = Running::emulator(&["--health", "127.0.0.1:0", "--websocket", "127.0.0.1:0"]);
    let health = emulator.told("health: http://").trim_end_matches("/health");
    let answer = asked(health, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(r#"{"status":"healthy","message":"Service is healthy."}"#), "{answer}");

    let text = emulator.told("connection string for WebSocket: ");
    let address = text.strip_prefix("Endpoint=sb://").and_then(|text| text.split(';').next()).unwrap();
    assert_ne!(address, emulator.told("hubwire emulator ready on "));
    assert!(text.contains("UseDevelopmentEmulator=true"), "{text}");
    let answer = asked(address, "GET /$servicebus/websocket HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
    assert_eq!(send_to(emulator.connection_string(), &[], GUIDE).code, 0);
}

#[test]
fn a_port_that_is_taken_is_told_with_its_option() {
    let emulator = Running::emulator(&[]);
    let address = emulator.told("hubwire emulator ready on ");
    for option in ["--websocket", "--health"] {
        let run = hubwire(&["emulator", "--listen", "127.0.0.1:0", option, address], "", &[]);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stderr.contains(&format!("choose another port, e.g. {option} 127.0.0.1:0")), "{run:?}");
    }
}

#[test]
fn every_address_that_others_can_reach_is_warned_about() {
    let everywhere = "0.0.0.0:0";
    let args = ["--listen", everywhere, "--websocket", everywhere, "--health", everywhere];
    let emulator = Running::emulator_at(&args);
    let warnings: Vec<&String> = emulator.introduction.iter().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].ends_with("anybody on the network can reach it, and reads what is sent, tokens included"));
    assert!(emulator.connection_string().starts_with("Endpoint=sb://127.0.0.1:"));
}
