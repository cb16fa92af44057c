//! TLS and WebSocket before AMQP, each over a stream in memory; and what becomes of peers that speak neither.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hubwire::emulator::{Activity, Emulator, TlsIdentity, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::activities::Told;
use super::client::{Client, NAMESPACE, accepted, events, token};
use super::{HOUR, bodies};

const LARGE: usize = 300_000;

fn identity() -> TlsIdentity {
    TlsIdentity::generate([""; 0]).unwrap()
}

/// A stream to the emulator, which serves it by `serve` until it leaves.
fn served<F, Fut>(serve: F) -> DuplexStream
where
    F: FnOnce(DuplexStream) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (ours, theirs) = duplex(64 * 1024);
    tokio::spawn(serve(theirs));
    ours
}

async fn start_tls<S>(stream: S, identity: &TlsIdentity, name: &str) -> std::io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(identity.authority_pem().unwrap().as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn request(path: &str, subprotocol: Option<&'static str>) -> Request {
    let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
    if let Some(subprotocol) = subprotocol {
        request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.parse().unwrap());
    }
    request
}

async fn start_websocket<S>(stream: S) -> WebSocketStream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (messages, _) = client_async(request("/$servicebus/websocket", Some("AMQPWSB10")), stream).await.unwrap();
    messages
}

/// A byte stream that goes through `messages`, up in pieces of `piece_len`: no message begins where a frame does.
fn through<S>(mut messages: WebSocketStream<S>, piece_len: usize) -> DuplexStream
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (near, far) = duplex(64 * 1024);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(far);
        let mut piece = vec![0; piece_len];
        loop {
            tokio::select! {
                len = read.read(&mut piece) => match len.unwrap() {
                    0 => break,
                    len => messages.send(Message::Binary(Bytes::copy_from_slice(&piece[..len]))).await.unwrap(),
                },
                message = messages.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => write.write_all(&bytes).await.unwrap(),
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => break,
                },
            }
        }
        let _ = messages.close(None).await;
        while messages.next().await.is_some() {}
    });
    near
}

/// Publishes a small and a large batch over `stream`, and leaves.
async fn publish<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static,
{
    let mut client = Client::open_with(stream).await;
    client.put_token(NAMESPACE, &token(NAMESPACE, "SAS_KEY_VALUE", HOUR)).await.unwrap();
    let mut sender = client.sender("telemetry").await;
    accepted(sender.send(events(&["small"])).await);
    accepted(sender.send(events(&[&"x".repeat(LARGE)])).await);
    sender.close().await.unwrap();
    client.session.end().await.unwrap();
    // Its own last word under TLS may find nobody: both sides have said theirs in AMQP.
    let _ = client.connection.close().await;
}

fn assert_stored(emulator: &Emulator) {
    let stored = bodies(&emulator.events("telemetry").unwrap());
    assert_eq!(stored.iter().map(String::len).collect::<Vec<_>>(), [5, LARGE]);
}

fn transports(activities: &[Activity]) -> Vec<Transport> {
    let opened = activities.iter().filter_map(|activity| match activity {
        Activity::ConnectionOpened { transport, .. } => Some(*transport),
        _ => None,
    });
    opened.collect()
}

fn one_partition() -> hubwire::emulator::Builder {
    Emulator::builder().event_hub("telemetry", 1)
}

#[tokio::test(start_paused = true)]
async fn a_client_publishes_over_tls_by_any_name_of_the_certificate() {
    for name in ["localhost", "127.0.0.1", "::1"] {
        let (told, identity) = (Told::default(), identity());
        let emulator = told.listen(one_partition());
        let (serving, its) = (emulator.clone(), identity.clone());
        let stream = served(|stream| async move { serving.serve_tls(stream, &its).await });
        publish(start_tls(stream, &identity, name).await.unwrap()).await;
        assert_stored(&emulator);
        assert_eq!(transports(&told.after(1).await), [Transport::Tls]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_publishes_over_websocket_however_its_messages_are_cut() {
    for piece_len in [7, 1_000, 200_000] {
        let told = Told::default();
        let emulator = told.listen(one_partition());
        let serving = emulator.clone();
        let stream = served(|stream| async move { serving.serve_websocket(stream).await });
        publish(through(start_websocket(stream).await, piece_len)).await;
        assert_stored(&emulator);
        assert_eq!(transports(&told.after(1).await), [Transport::WebSocket]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_ends_with_a_close_after_amqps_own() {
    let emulator = one_partition().build().unwrap();
    let stream = served(|stream| async move { emulator.serve_websocket(stream).await });
    let mut messages = start_websocket(stream).await;
    let no_amqp = Message::Binary(Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"));
    messages.send(no_amqp).await.unwrap();
    let header = messages.next().await.unwrap().unwrap();
    assert_eq!(header, Message::Binary(Bytes::from_static(b"AMQP\x03\x01\x00\x00")));
    assert!(matches!(messages.next().await, Some(Ok(Message::Close(_)))));
    assert!(messages.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_cut_in_the_middle_ends_its_connection_and_no_other() {
    let told = Told::default();
    let emulator = told.listen(one_partition());
    let serving = emulator.clone();
    let stream = served(|stream| async move { serving.serve_websocket(stream).await });
    let mut messages = start_websocket(stream).await;
    messages.send(Message::Binary(Bytes::from_static(b"AMQP\x03"))).await.unwrap();
    drop(messages);
    let told = told.after(1).await;
    assert!(told[0].to_string().contains("the stream ended without a close"), "{told:?}");
    publish(emulator.connect()).await;
    assert_stored(&emulator);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_wrong_is_answered_with_its_status() {
    for (path, subprotocol, status) in [
        ("/", Some("AMQPWSB10"), 404),
        ("/$servicebus/websocket", None, 400),
        ("/$servicebus/websocket", Some("amqp"), 400),
    ] {
        let emulator = one_partition().build().unwrap();
        let serving = emulator.clone();
        let stream = served(|stream| async move { serving.serve_websocket(stream).await });
        match client_async(request(path, subprotocol), stream).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status, "{path}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(emulator.totals().connections, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_given_up() {
    for is_websocket in [false, true] {
        let told = Told::default();
        let emulator = told.listen(one_partition());
        let mut stream = served(|stream| async move {
            match is_websocket {
                true => emulator.serve_websocket(stream).await,
                false => emulator.serve_tls(stream, &identity()).await,
            }
        });
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "nothing is said, and the stream ends");
        let lines = told.lines();
        assert!(lines.concat().contains("the handshake was not done within 10 s"), "{lines:?}");
    }
}

async fn listen_for_tls(emulator: &Emulator, identity: &TlsIdentity) -> (SocketAddr, hubwire::emulator::Listening) {
    let listening = emulator.listen_tls("127.0.0.1:0", identity).await.unwrap();
    (listening.local_addr(), listening)
}

#[tokio::test]
async fn a_peer_that_speaks_plain_amqp_to_a_tls_port_is_cut_off_and_others_are_served() {
    let (told, identity) = (Told::default(), identity());
    let emulator = told.listen(one_partition());
    let (addr, _listening) = listen_for_tls(&emulator, &identity).await;
    let good = start_tls(TcpStream::connect(addr).await.unwrap(), &identity, "localhost").await.unwrap();
    let mut plain = TcpStream::connect(addr).await.unwrap();
    plain.write_all(b"AMQP\x03\x01\x00\x00").await.unwrap();
    // An alert, then the end.
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&0x15));
    publish(good).await;
    assert_stored(&emulator);
    assert!(told.lines().concat().contains("the peer speaks no TLS"), "{:?}", told.lines());
}

#[tokio::test]
async fn each_listener_has_its_own_connection_string() {
    let emulator = Emulator::builder().event_hub("telemetry", 1).build().unwrap();
    let identity = TlsIdentity::generate(["box.local"]).unwrap();
    let (addr, tls) = listen_for_tls(&emulator, &identity).await;
    assert_eq!(
        tls.connection_string(Some("telemetry")),
        format!(
            "Endpoint=sb://box.local:{};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
             EntityPath=telemetry",
            addr.port()
        )
    );
    let websocket = emulator.listen_websocket("127.0.0.1:0").await.unwrap();
    assert!(websocket.connection_string(None).ends_with(";UseDevelopmentEmulator=true"));
    assert_eq!((tls.transport(), websocket.transport()), (Transport::Tls, Transport::WebSocket));
    let by_address = emulator.listen_websocket_tls("127.0.0.1:0", &identity.with_host("::1")).await.unwrap();
    assert_eq!(by_address.authority(), format!("[::1]:{}", by_address.local_addr().port()));
}

#[tokio::test]
async fn an_emulator_that_is_full_refuses_before_any_handshake() {
    let told = Told::default();
    let emulator = told.listen(one_partition());
    let identity = identity();
    let (addr, _listening) = listen_for_tls(&emulator, &identity).await;
    let _thousand: Vec<DuplexStream> = (0..1_000).map(|_| emulator.connect()).collect();
    tokio::time::timeout(Duration::from_secs(30), async {
        while emulator.totals().connections < 1_000 {
            tokio::task::yield_now().await;
        }
        let stream = TcpStream::connect(addr).await.unwrap();
        assert!(start_tls(stream, &identity, "localhost").await.is_err());
    })
    .await
    .unwrap();
    assert_eq!(emulator.totals().refused_connections, 1);
    assert!(told.lines().concat().contains("there are 1000 connections"), "{:?}", told.lines());
}
