//! TLS from the first byte, with a certificate authority made for the test; the emulator is behind it. Each certificate
//! that cannot be trusted is named for what it is.

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use hubwire::emulator::Emulator;
use hubwire::{Connection, ConnectionEvent, ConnectionString, Error, Fault, Options, Roots, Scope, Step};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use support::{HUB, batch_of, emulator, stored};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore};

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate authority, as PEM, and a server that has its certificate for `localhost`.
fn authority_and_acceptor() -> (String, TlsAcceptor) {
    authority_and_acceptor_of(|_| {})
}

/// The same with a certificate that is changed first.
fn authority_and_acceptor_of(change: impl FnOnce(&mut CertificateParams)) -> (String, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let mut server = CertificateParams::new(vec!["localhost".to_owned(), "box.local".to_owned()]).expect("names");
    change(&mut server);
    let certificate = server.signed_by(&key, &authority).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions that ring has")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate and its key");
    (authority.pem(), TlsAcceptor::from(Arc::new(config)))
}

/// A port on loopback; what connects is handed to `serve`.
async fn port<F, Fut>(serve: F) -> u16
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

async fn tls_port(emulator: &Emulator, acceptor: TlsAcceptor) -> u16 {
    let emulator = emulator.clone();
    port(move |stream| {
        let (emulator, acceptor) = (emulator.clone(), acceptor.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                emulator.serve(stream).await;
            }
        }
    })
    .await
}

async fn plain_port(emulator: &Emulator) -> u16 {
    let emulator = emulator.clone();
    port(move |stream| {
        let emulator = emulator.clone();
        async move { emulator.serve(stream).await }
    })
    .await
}

async fn open(host: &str, port: u16, options: &Options) -> Result<Connection, Error> {
    let text = format!(
        "Endpoint=sb://{host}:{port};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE"
    );
    Connection::open(&ConnectionString::parse(&text).expect("well-formed"), options).await
}

#[tokio::test]
async fn a_batch_is_accepted_over_tls() {
    let emulator = emulator();
    let (authority, acceptor) = authority_and_acceptor();
    let port = tls_port(&emulator, acceptor).await;
    let options = Options::default().root_certificates_pem(authority);
    let connection = open("localhost", port, &options).await.expect("the authority is trusted");
    let sender = connection.sender(HUB).await.expect("attached");
    let large = "x".repeat(500_000);
    sender.send(batch_of(sender.batch(), ["event", large.as_str()])).await.expect("accepted");
    assert_eq!(stored(&emulator), ["event", large.as_str()]);
    connection.close().await;
}

#[tokio::test]
async fn what_tls_adds_is_counted() {
    let emulator = emulator();
    let (authority, acceptor) = authority_and_acceptor();
    let (secured, plain) = (tls_port(&emulator, acceptor).await, plain_port(&emulator).await);
    let options = Options::default().root_certificates_pem(authority);
    let mut counted = Vec::new();
    for (port, development) in [(secured, "false"), (plain, "true")] {
        let text = format!(
            "Endpoint=sb://localhost:{port};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
             UseDevelopmentEmulator={development}"
        );
        let to = ConnectionString::parse(&text).expect("well-formed");
        let connection = Connection::open(&to, &options).await.expect("a peer");
        let sender = connection.sender(HUB).await.expect("a link");
        sender.send(batch_of(sender.batch(), ["one"])).await.expect("accepted");
        counted.push(connection.counters());
    }
    // A greeting and a certificate, at the very least.
    let (secured, plain) = (counted[0], counted[1]);
    assert!(plain.sent_bytes > plain.accepted_bytes && plain.received_bytes > 500, "{plain:?}");
    assert!(secured.sent_bytes > plain.sent_bytes + 200, "{secured:?} {plain:?}");
    assert!(secured.received_bytes > plain.received_bytes + 500, "{secured:?} {plain:?}");
}

/// A connection that is lost comes back with the session that it had: no certificate is sent and checked again.
#[tokio::test]
async fn a_lost_connection_resumes_its_tls_session() {
    let emulator = emulator();
    let (authority, acceptor) = authority_and_acceptor();
    let (kinds, cut) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
    let (behind, seen, cutting) = (emulator.clone(), kinds.clone(), cut.clone());
    let port = port(move |stream| {
        let (emulator, acceptor, seen, cut) = (behind.clone(), acceptor.clone(), seen.clone(), cutting.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            seen.lock().expect("not poisoned").extend(stream.get_ref().1.handshake_kind());
            tokio::select! {
                () = emulator.serve(stream) => {}
                () = cut.notified() => {}
            }
        }
    })
    .await;
    let recovered = Arc::new(Notify::new());
    let told = recovered.clone();
    let options = Options::default().root_certificates_pem(authority).on_event(move |event| {
        if matches!(event, ConnectionEvent::Recovered { scope: Scope::Connection, .. }) {
            told.notify_one();
        }
    });
    let connection = open("localhost", port, &options).await.expect("the authority is trusted");
    let sender = connection.sender(HUB).await.expect("attached");
    sender.send(batch_of(sender.batch(), ["before"])).await.expect("accepted");
    cut.notify_one();
    recovered.notified().await;
    sender.send(batch_of(sender.batch(), ["after"])).await.expect("accepted");
    assert_eq!(stored(&emulator), ["before", "after"]);
    let kinds = kinds.lock().expect("not poisoned").clone();
    assert_eq!((kinds[0], kinds[1]), (HandshakeKind::Full, HandshakeKind::Resumed));
    connection.close().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_named_as_such() {
    let emulator = emulator();
    let (authority, acceptor) = authority_and_acceptor();
    let port = tls_port(&emulator, acceptor).await;

    let unknown = open("localhost", port, &Options::default()).await.expect_err("nobody knows the authority");
    assert!(matches!(unknown, Error::Tls { .. }), "{unknown:?}");
    assert!(unknown.to_string().contains("nobody here trusts the certificate's issuer"), "{unknown}");

    let options = Options::default().root_certificates_pem(authority);
    let wrong_name = open("127.0.0.1", port, &options).await.expect_err("the certificate is for localhost");
    assert!(matches!(wrong_name, Error::Tls { .. }), "{wrong_name:?}");
    let text = wrong_name.to_string();
    assert!(text.contains("the certificate is another host's"), "{text}");
    assert!(text.contains("\"localhost\"") && text.contains("\"box.local\""), "the names it is for: {text}");

    let options = Options::default().root_certificates_pem("no certificate\n-----BEGIN CERTIFICATE-----\n!\n");
    let nonsense = open("localhost", port, &options).await.expect_err("that is no certificate");
    assert!(matches!(nonsense, Error::Setting { name: "root certificate", .. }), "{nonsense:?}");
    assert_eq!(nonsense.fault(), Fault::Caller);
    assert_eq!(emulator.totals().connections, 0);
}

/// What a client that trusts the authority says of a server's certificate that was changed before it was signed.
async fn refusal(options: Options, change: impl FnOnce(&mut CertificateParams)) -> String {
    let emulator = emulator();
    let (authority, acceptor) = authority_and_acceptor_of(change);
    let port = tls_port(&emulator, acceptor).await;
    let error =
        open("localhost", port, &options.root_certificates_pem(authority)).await.expect_err("a bad certificate");
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(!error.is_retryable(), "{error:?}");
    assert_eq!(emulator.totals().connections, 0);
    error.to_string()
}

/// Noon of 2026-11-25, as every clock of these tests has it.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_608_000)
}

#[tokio::test]
async fn dates_that_do_not_fit_are_told_with_the_clocks_own() {
    let options = || Options::default().wall_clock(noon);
    let expired = refusal(options(), |server| {
        server.not_before = (noon() - 30 * DAY).into();
        server.not_after = (noon() - DAY).into();
    });
    let expired = expired.await;
    let words = "the clock here says 2026-11-25T12:00:00Z, and the certificate ended 2026-11-24T12:00:00Z";
    assert!(expired.contains(words), "{expired}");
    let early = refusal(options(), |server| server.not_before = (noon() + DAY).into()).await;
    let words = "the clock here says 2026-11-25T12:00:00Z, and the certificate begins 2026-11-26T12:00:00Z";
    assert!(early.contains(words) && early.contains("set the clock"), "{early}");
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_decades_is_named() {
    let in_1970 = Options::default().wall_clock(|| SystemTime::UNIX_EPOCH + DAY);
    // Certificates begin in 1975, where rcgen is left alone.
    let text = refusal(in_1970, |_| {}).await;
    assert!(text.contains("the clock here says 1970-01-02T00:00:00Z"), "{text}");
    assert!(text.contains("the certificate begins 1975-01-01T00:00:00Z"), "{text}");
}

#[tokio::test]
async fn an_authoritys_certificate_is_no_servers() {
    let text = refusal(Options::default(), |server| server.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)).await;
    assert!(text.contains("shows an authority's certificate as its own"), "{text}");
}

#[tokio::test]
async fn a_certificate_for_another_purpose_is_named_as_such() {
    let for_clients = |server: &mut CertificateParams| {
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let text = refusal(Options::default(), for_clients).await;
    assert!(text.contains("the certificate is not made for servers"), "{text}");
}

#[tokio::test]
async fn of_roots_only_those_given_may_count() {
    let emulator = emulator();
    let (authority, acceptor) = authority_and_acceptor();
    let port = tls_port(&emulator, acceptor).await;
    let alone = Options::default().roots(Roots::Given);
    let nothing = open("localhost", port, &alone).await.expect_err("nothing is trusted");
    assert!(matches!(nothing, Error::Setting { .. }), "{nothing:?}");
    assert!(nothing.to_string().contains("add root certificates as PEM"), "{nothing}");
    let connection = open("localhost", port, &alone.root_certificates_pem(authority)).await.expect("it is trusted");
    connection.close().await;
}

/// A server that wants a certificate of its clients, and a configuration that shows one.
fn mutual() -> (TlsAcceptor, Arc<ClientConfig>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let key = || PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone());
    // TLS 1.2: the server's no is then part of the handshake.
    let versions = &[&hubwire::rustls::version::TLS12];
    let server = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).expect("1.2");
    let server = server.with_client_cert_verifier(verifier.build().expect("a root"));
    let server = server.with_single_cert(vec![certificate.clone()], key()).expect("a certificate and its key");
    let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("1.2");
    let client = client.with_root_certificates(roots);
    let client = client.with_client_auth_cert(vec![certificate], key()).expect("a certificate and its key");
    (TlsAcceptor::from(Arc::new(server)), Arc::new(client))
}

#[tokio::test]
async fn a_configuration_of_the_callers_counts_whole() {
    let emulator = emulator();
    let (acceptor, config) = mutual();
    let port = tls_port(&emulator, acceptor).await;
    // Of roots there would be none, and that is nobody's matter here.
    let options = Options::default().rustls_config(config).roots(Roots::Given);
    let connection = open("localhost", port, &options).await.expect("the client shows its certificate");
    let sender = connection.sender(HUB).await.expect("attached");
    sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
    connection.close().await;
}

#[tokio::test]
async fn a_port_without_tls_is_an_error_of_tls() {
    let emulator = emulator();
    let plain = emulator.clone();
    let port = port(move |stream| {
        let emulator = plain.clone();
        async move { emulator.serve(stream).await }
    })
    .await;
    let error = open("localhost", port, &Options::default()).await.expect_err("AMQP in plain text");
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("UseDevelopmentEmulator=true"), "{error}");
}

#[tokio::test]
async fn a_port_that_says_nothing_is_given_up() {
    let port = port(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let options = Options::default().open_timeout(Duration::from_secs(1));
    let error = open("127.0.0.1", port, &options).await.expect_err("silence");
    assert!(matches!(error, Error::TimedOut { step: Step::Tls, .. }), "{error:?}");
}

#[tokio::test]
async fn a_name_without_an_address_is_said_so() {
    let error = open("no-such-host.invalid", 5671, &Options::default().open_timeout(Duration::from_secs(10))).await;
    let error = error.expect_err("the name cannot exist");
    let expected = matches!(error, Error::Resolve { .. } | Error::TimedOut { step: Step::Resolve, .. });
    assert!(expected, "{error:?}");
    assert!(error.to_string().contains("resolv"), "{error}");
}
