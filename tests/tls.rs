//! TLS from the first byte, with a certificate authority made for the test; the emulator is behind it.

mod support;

use std::sync::Arc;
use std::time::Duration;

use hubwire::emulator::Emulator;
use hubwire::{Connection, ConnectionString, Error, Options, Step};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::{HUB, batch_of, emulator, stored};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority, as PEM, and a server that has its certificate for `localhost`.
fn authority_and_acceptor() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
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
    assert!(wrong_name.to_string().contains("the certificate is another host's"), "{wrong_name}");

    let options = Options::default().root_certificates_pem("no certificate\n-----BEGIN CERTIFICATE-----\n!\n");
    let nonsense = open("localhost", port, &options).await.expect_err("that is no certificate");
    assert!(matches!(nonsense, Error::Tls { .. }), "{nonsense:?}");
    assert_eq!(emulator.totals().connections, 0);
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
