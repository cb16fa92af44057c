//! The client's ways in, each to the emulator and back after a cut: TCP and WebSocket, with TLS and without, through a proxy
//! and without, to an endpoint of its own. And every way that is closed, named for what closes it.

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwire::emulator::{Activity, Emulator, Fault, Listening, TlsIdentity};
use hubwire::{Connection, ConnectionEvent, ConnectionString, Error, Options, Retry, Scope, Step, Transport};
use rcgen::{CertificateParams, KeyPair};
use support::{HUB, batch_of, built, emulator, stored};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A name that is nowhere dialled here.
const NAMESPACE: &str = "ns.servicebus.windows.net";
const LOOPBACK: &str = "127.0.0.1:0";
const PASSWORD: &str = "hunter2";
/// `user:hunter2`, as the header has it.
const BASIC: &str = "dXNlcjpodW50ZXIy";

/// A port on loopback; what connects is handed to `serve`.
async fn port<F, Fut>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(LOOPBACK).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// The head of a request.
async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).expect("text")
}

/// A port that answers each request with `answer`, and leaves.
async fn answering(answer: &'static [u8]) -> SocketAddr {
    port(move |mut stream| async move {
        head_of(&mut stream).await;
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
        // Closing over bytes that were not read would take the answer from the peer.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await
}

/// A port that takes what comes, and says nothing.
async fn silent() -> SocketAddr {
    port(|mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await
}

/// A proxy for HTTP that leads to `target` whatever it is asked for, if the login is right.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn to(target: SocketAddr) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        let address = port(move |mut stream| {
            let seen = seen.clone();
            async move {
                let head = head_of(&mut stream).await;
                let is_known = head.contains(&format!("\r\nProxy-Authorization: Basic {BASIC}\r\n"));
                seen.lock().expect("not poisoned").push(head);
                if !is_known {
                    let _ = stream.write_all(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n").await;
                    return;
                }
                let mut target = TcpStream::connect(target).await.expect("it listens");
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("written");
                let _ = copy_bidirectional(&mut stream, &mut target).await;
            }
        });
        Self { address: address.await, heads }
    }

    fn url(&self) -> String {
        format!("http://user:{PASSWORD}@{}", self.address)
    }

    /// The first lines of what it was asked.
    fn asked(&self) -> Vec<String> {
        let heads = self.heads.lock().expect("not poisoned");
        heads.iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

fn parsed(text: &str) -> ConnectionString {
    ConnectionString::parse(text).expect("well-formed")
}

/// A connection string for `endpoint`, with the emulator's key.
fn string(endpoint: &str, rest: &str) -> ConnectionString {
    parsed(&format!(
        "Endpoint=sb://{endpoint};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE{rest}"
    ))
}

/// Of an emulator: without TLS.
fn plain(endpoint: impl std::fmt::Display) -> ConnectionString {
    string(&endpoint.to_string(), ";UseDevelopmentEmulator=true")
}

fn identity() -> TlsIdentity {
    TlsIdentity::generate([NAMESPACE]).expect("names").with_host("localhost")
}

fn trusting(identity: &TlsIdentity) -> Options {
    Options::default().root_certificates_pem(identity.authority_pem().expect("it was made here"))
}

async fn send(connection: &Connection, body: &str) {
    let sender = connection.sender(HUB).await.expect("attached");
    sender.send(batch_of(sender.batch(), [body])).await.expect("accepted");
}

async fn refused(connection_string: &ConnectionString, options: &Options) -> Error {
    let error = Connection::open(connection_string, options).await.expect_err("the way is closed");
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD) && !text.contains(BASIC), "{text}");
    error
}

/// Opens, sends, is cut off, comes back and sends again.
async fn there_and_back(emulator: &Emulator, connection_string: &ConnectionString, options: Options) {
    let back = Arc::new(Notify::new());
    let telling = back.clone();
    let options = options.retry(Retry::default().base(Duration::from_millis(10))).on_event(move |event| {
        if matches!(event, ConnectionEvent::Recovered { scope: Scope::Connection, .. }) {
            telling.notify_one();
        }
    });
    let connection = Connection::open(connection_string, &options).await.expect("opens");
    let large = "x".repeat(300_000);
    send(&connection, &large).await;
    emulator.inject(Fault::cut_after_bytes(0));
    back.notified().await;
    send(&connection, "after").await;
    connection.close().await;
    assert_eq!(emulator.totals().connections, 2);
    let mut lens: Vec<usize> = stored(emulator).iter().map(String::len).collect();
    lens.sort_unstable();
    assert_eq!(lens, [5, 300_000]);
}

/// One way: with WebSocket or not, with TLS or not, through a proxy or not.
async fn try_way(transport: Transport, tls: bool, proxied: bool) {
    let (emulator, identity) = (emulator(), identity());
    let listening = listen(&emulator, transport, tls.then_some(&identity)).await;
    let mut options = Options::default().transport(transport);
    if tls {
        options = options.root_certificates_pem(identity.authority_pem().expect("it was made here"));
    }
    let proxy = Proxy::to(listening.local_addr()).await;
    if !proxied {
        return there_and_back(&emulator, &parsed(&listening.connection_string(None)), options).await;
    }
    // A name that only the proxy could resolve, and the port that goes without saying.
    let rest = if tls { "" } else { ";UseDevelopmentEmulator=true" };
    there_and_back(&emulator, &string(NAMESPACE, rest), options.http_proxy(proxy.url())).await;
    let port = match (transport, tls) {
        (Transport::WebSocket, true) => 443,
        (Transport::WebSocket, false) => 80,
        (_, true) => 5671,
        (_, false) => 5672,
    };
    assert_eq!(proxy.asked(), vec![format!("CONNECT {NAMESPACE}:{port} HTTP/1.1"); 2]);
}

async fn listen(emulator: &Emulator, transport: Transport, identity: Option<&TlsIdentity>) -> Listening {
    let listening = match (transport, identity) {
        (Transport::WebSocket, Some(identity)) => emulator.listen_websocket_tls(LOOPBACK, identity).await,
        (Transport::WebSocket, None) => emulator.listen_websocket(LOOPBACK).await,
        (_, Some(identity)) => emulator.listen_tls(LOOPBACK, identity).await,
        (_, None) => emulator.listen(LOOPBACK).await,
    };
    listening.expect("a free port")
}

#[tokio::test]
async fn every_way_leads_to_the_emulator_and_back_after_a_cut() {
    for transport in [Transport::Tcp, Transport::WebSocket] {
        for tls in [false, true] {
            for proxied in [false, true] {
                let way = try_way(transport, tls, proxied);
                let in_time = tokio::time::timeout(Duration::from_secs(60), way).await;
                assert!(in_time.is_ok(), "{transport:?} tls={tls} proxied={proxied}");
            }
        }
    }
}

#[tokio::test]
async fn a_custom_endpoint_is_dialled_and_the_names_stay_the_namespaces() {
    let audiences = Arc::new(Mutex::new(Vec::new()));
    let told = audiences.clone();
    let emulator = built(Emulator::builder().on_activity(move |activity| {
        if let Activity::TokenPut { audience, .. } = activity {
            told.lock().expect("not poisoned").push(audience.clone());
        }
    }));
    let listening = emulator.listen(LOOPBACK).await.expect("a free port");
    // What the client says is kept: AMQP is in plain text here.
    let said = Arc::new(Mutex::new(Vec::new()));
    let (target, saying) = (listening.local_addr(), said.clone());
    let relay = port(move |client| {
        let saying = saying.clone();
        async move {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_hub, mut to_hub) = TcpStream::connect(target).await.expect("it listens").into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_hub, &mut to_client).await });
            let mut piece = [0; 4_096];
            while let Ok(len @ 1..) = from_client.read(&mut piece).await {
                saying.lock().expect("not poisoned").extend_from_slice(&piece[..len]);
                let _ = to_hub.write_all(&piece[..len]).await;
            }
        }
    });
    let options = Options::default().custom_endpoint(format!("amqp://{}", relay.await));
    let connection = Connection::open(&string(NAMESPACE, ""), &options).await.expect("opens");
    send(&connection, "event").await;
    connection.close().await;
    assert_eq!(*audiences.lock().expect("not poisoned"), [format!("sb://{NAMESPACE}/{HUB}")]);
    let said = said.lock().expect("not poisoned");
    let times = |text: &str| said.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    assert!(times(NAMESPACE) >= 2, "open.hostname, and the token");
    assert_eq!(times("127.0.0.1"), 0);
}

#[tokio::test]
async fn the_certificate_has_to_be_the_custom_endpoints() {
    let emulator = emulator();
    let for_localhost = TlsIdentity::generate([""; 0]).expect("names");
    let listening = emulator.listen_tls(LOOPBACK, &for_localhost).await.expect("a free port");
    let port = listening.local_addr().port();
    let options = trusting(&for_localhost).custom_endpoint(format!("localhost:{port}"));
    let connection = Connection::open(&string(NAMESPACE, ""), &options).await.expect("the name is the endpoint's");
    send(&connection, "event").await;
    connection.close().await;

    let (for_namespace, pem) = only_for(NAMESPACE);
    let listening = emulator.listen_tls(LOOPBACK, &for_namespace).await.expect("a free port");
    let endpoint = listening.local_addr().to_string();
    let options = Options::default().root_certificates_pem(pem).custom_endpoint(endpoint);
    let error = refused(&string(NAMESPACE, ""), &options).await;
    assert!(error.to_string().contains("the certificate is another host's"), "{error}");
}

/// A certificate for `name` and no other, and that as PEM.
fn only_for(name: &str) -> (TlsIdentity, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    let identity = TlsIdentity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes());
    (identity.expect("they belong together"), pem)
}

// ---- proxies ---------------------------------------------------------------------------------------------------

fn through(proxy: impl std::fmt::Display) -> Options {
    Options::default().http_proxy(format!("http://user:{PASSWORD}@{proxy}"))
}

#[tokio::test]
async fn a_proxys_no_is_told_with_what_to_do() {
    for (answer, status, is_retryable, words) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"a b\"\r\n\r\n"[..],
            407,
            false,
            "a user and a password that it knows",
        ),
        (
            b"HTTP/1.1 407 No\r\nproxy-authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n",
            407,
            false,
            "it takes Negotiate, NTLM alone",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<html>", 403, false, "it forbids this host or port"),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", 502, true, "it cannot reach the endpoint"),
        (b"HTTP/1.1 504 Gateway Time-out\r\n\r\n", 504, true, "it cannot reach the endpoint"),
        (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", 405, false, "it does not make tunnels"),
    ] {
        let proxy = answering(answer).await;
        for connection_string in [string(NAMESPACE, ""), plain(NAMESPACE)] {
            let error = refused(&connection_string, &through(proxy)).await;
            assert!(matches!(error, Error::ProxyRefused { status: told, .. } if told == status), "{error:?}");
            assert_eq!(error.is_retryable(), is_retryable, "{error}");
            let text = error.to_string();
            assert!(text.contains(words) && text.contains(NAMESPACE) && text.contains(&status.to_string()), "{text}");
        }
    }
}

#[tokio::test]
async fn what_is_no_proxy_is_named_as_such() {
    let error = refused(&string(NAMESPACE, ""), &through(answering(b"AMQP\x03\x01\x00\x00").await)).await;
    assert!(matches!(error, Error::NotHttp { .. }), "{error:?}");
    assert!(error.to_string().contains("speaks no HTTP: its first bytes are \"AMQP"), "{error}");

    let error = refused(&string(NAMESPACE, ""), &through(answering(b"").await)).await;
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.is_retryable() && error.to_string().contains("before its answer was complete"), "{error}");

    let error = refused(&string(NAMESPACE, ""), &through(closed().await)).await;
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");

    let options = through(silent().await).open_timeout(Duration::from_millis(300));
    let error = refused(&string(NAMESPACE, ""), &options).await;
    assert!(matches!(error, Error::TimedOut { step: Step::Proxy, .. }), "{error:?}");

    let options = Options::default().http_proxy(format!("socks5://user:{PASSWORD}@proxy"));
    let error = refused(&string(NAMESPACE, ""), &options).await;
    assert!(matches!(error, Error::Setting { name: "HTTP proxy", .. }), "{error:?}");
}

#[tokio::test]
async fn a_proxy_that_looks_into_tls_is_named_and_can_be_trusted() {
    let (emulator, identity) = (emulator(), identity());
    let listening = emulator.listen_tls(LOOPBACK, &identity).await.expect("a free port");
    let proxy = Proxy::to(listening.local_addr()).await;
    let error = refused(&string(NAMESPACE, ""), &Options::default().http_proxy(proxy.url())).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("most likely a proxy looks into TLS"), "{error}");
    let options = trusting(&identity).http_proxy(proxy.url());
    let connection = Connection::open(&string(NAMESPACE, ""), &options).await.expect("its authority is trusted");
    connection.close().await;
}

// ---- WebSocket -------------------------------------------------------------------------------------------------

fn websocket() -> Options {
    Options::default().transport(Transport::WebSocket)
}

#[tokio::test]
async fn a_refusal_of_websocket_shows_status_and_line() {
    for (answer, status, is_retryable, words) in [
        (&b"HTTP/1.1 403 Ip has been prevented\r\n\r\n"[..], 403, false, "\"HTTP/1.1 403 Ip has been prevented\""),
        (b"HTTP/1.1 407 No\r\n\r\n", 407, false, "name it as your HTTP proxy"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://login.example/in?secret=hunter2\r\n\r\n",
            302,
            false,
            "it leads to http://login.example, as networks do",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Welcome!</html>", 200, false, "a web page"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", 404, false, "there is no AMQP over WebSocket there"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", 503, true, "try again"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", 101, false, "not to what was asked"),
    ] {
        let error = refused(&plain(answering(answer).await), &websocket()).await;
        assert!(matches!(error, Error::WebSocketRefused { status: told, .. } if told == status), "{error:?}");
        assert_eq!(error.is_retryable(), is_retryable, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_port_that_speaks_something_else_is_named_by_what_it_speaks() {
    let (emulator, identity) = (emulator(), identity());
    let listening = emulator.listen_tls(LOOPBACK, &identity).await.expect("a free port");
    let tls = listening.local_addr();
    let web = emulator.listen_websocket(LOOPBACK).await.expect("a free port");
    let web_tls = emulator.listen_websocket_tls(LOOPBACK, &identity).await.expect("a free port");
    let tcp = answering(b"AMQP\x03\x01\x00\x00").await;
    let by_name = |address: SocketAddr| string(&format!("localhost:{}", address.port()), "");
    for (connection_string, options, words) in [
        (plain(tcp), websocket(), "use it without WebSocket"),
        (plain(tls), websocket(), "the port wants TLS"),
        (plain(tls), Options::default(), "the port wants TLS"),
        (by_name(web.local_addr()), trusting(&identity).transport(Transport::WebSocket), "the port speaks no TLS"),
        (by_name(web.local_addr()), trusting(&identity), "the port speaks no TLS"),
        (by_name(web_tls.local_addr()), trusting(&identity), "that is a web server"),
        (plain(web.local_addr()), Options::default(), "that is a web server"),
    ] {
        let error = refused(&connection_string, &options).await;
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_not_answered_is_given_up() {
    let options = websocket().open_timeout(Duration::from_millis(300));
    let error = refused(&plain(silent().await), &options).await;
    assert!(matches!(error, Error::TimedOut { step: Step::WebSocket, .. }), "{error:?}");
    let error = refused(&plain(answering(b"").await), &websocket()).await;
    assert!(matches!(error, Error::Lost { .. }) && error.is_retryable(), "{error:?}");
}

// ---- ports and settings ----------------------------------------------------------------------------------------

/// A port that nobody listens on.
async fn closed() -> SocketAddr {
    TcpListener::bind(LOOPBACK).await.expect("a free port").local_addr().expect("bound")
}

#[tokio::test]
async fn a_closed_port_is_named_as_such() {
    for options in [Options::default(), websocket()] {
        let address = closed().await;
        for connection_string in [plain(address), string(&address.to_string(), "")] {
            let error = refused(&connection_string, &options).await;
            let expected = matches!(&error, Error::Connect { port, .. } if *port == address.port());
            assert!(expected && error.is_retryable(), "{error:?}");
            assert!(error.to_string().contains("nothing listens on that port"), "{error}");
        }
    }
}

/// A queue of connections that is full takes no more, and says nothing: what a firewall that drops packets looks like.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn packets_that_are_dropped_are_a_time_out_that_names_a_firewall() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(LOOPBACK.parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("a short queue");
    let address = listener.local_addr().expect("bound");
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
        queued.push(stream.expect("it is queued"));
        assert!(queued.len() < 100, "the queue has no end");
    }
    let error = refused(&plain(address), &Options::default().open_timeout(Duration::from_millis(300))).await;
    assert!(matches!(error, Error::TimedOut { step: Step::Connect, .. }), "{error:?}");
    assert!(error.is_retryable() && error.to_string().contains("a firewall may drop the packets"), "{error}");
}

#[tokio::test]
async fn a_stream_that_is_cut_in_the_handshake_of_tls_may_fare_better_next_time() {
    let address = port(|mut stream| async move {
        let _ = stream.read(&mut [0; 16]).await;
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let error = refused(&string(&address.to_string(), ""), &Options::default()).await;
    assert!(matches!(error, Error::Tls { .. }) && error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("the handshake was cut off"), "{error}");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told_before_anything_is_dialled() {
    for (options, words) in [
        (
            Options::default().custom_endpoint("http://gate"),
            "the custom endpoint cannot be used: its scheme is none of",
        ),
        (Options::default().custom_endpoint("gate/path"), "only host and port count"),
        (Options::default().custom_endpoint("wss://gate"), "its scheme is WebSocket's"),
        (Options::default().http_proxy("https://proxy"), "the HTTP proxy cannot be used: its scheme is not http"),
        (Options::default().http_proxy(""), "it is not http://host:port"),
    ] {
        let error = refused(&string(NAMESPACE, ""), &options).await;
        assert!(matches!(error, Error::Setting { .. }) && !error.is_retryable(), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
