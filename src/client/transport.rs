//! Host -> a stream that AMQP can be spoken over: TLS from the first byte, or plain TCP for an emulator.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::deadline::Deadline;
use super::error::{Error, Step};
use super::options::Options;

/// AMQP over TLS. Source: event-hubs-wire 3.
const AMQPS_PORT: u16 = 5671;
/// AMQP without TLS: emulators.
const AMQP_PORT: u16 = 5672;

/// Where to, and how.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// Without port; an IPv6 address keeps its brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) tls: bool,
}

impl Address {
    fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { AMQPS_PORT } else { AMQP_PORT })
    }

    /// The host as the resolver and TLS want it.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Resolves, connects and, where asked, starts TLS, all before `deadline`.
///
/// Cancel: nothing is left behind.
pub(super) async fn connect(address: &Address, options: &Options, deadline: Deadline) -> Result<Stream, Error> {
    if address.tls && !cfg!(feature = "tls") {
        return Err(Error::TlsMissing { host: address.host.clone() });
    }
    let addresses = resolve(address, deadline).await?;
    let tcp = dial(address, &addresses, deadline).await?;
    if address.tls { start_tls(address, options, tcp, deadline).await } else { Ok(Stream::Plain(tcp)) }
}

async fn resolve(address: &Address, deadline: Deadline) -> Result<Vec<SocketAddr>, Error> {
    let failed = |source: io::Error| Error::Resolve { host: address.host.clone(), source: Arc::new(source) };
    let lookup = tokio::net::lookup_host((address.bare_host(), address.port()));
    let found = deadline.limit(Step::Resolve, lookup).await?.map_err(failed)?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(addresses)
}

/// Tries the addresses in turn. Each has an equal share of what is left, so that a dead first does not starve the rest.
async fn dial(address: &Address, addresses: &[SocketAddr], deadline: Deadline) -> Result<TcpStream, Error> {
    let mut last = Err(Error::Connect {
        host: address.host.clone(),
        port: address.port(),
        source: Arc::new(io::ErrorKind::AddrNotAvailable.into()),
    });
    for (tried, socket_address) in addresses.iter().enumerate() {
        let share = deadline.share(addresses.len() - tried);
        last = match share.limit(Step::Connect, TcpStream::connect(socket_address)).await {
            Ok(Ok(tcp)) => {
                // Without it, Nagle's algorithm holds back the end of each batch for 40 ms and more.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(source)) => {
                Err(Error::Connect { host: address.host.clone(), port: address.port(), source: Arc::new(source) })
            }
            Err(_) => Err(deadline.passed(Step::Connect)),
        };
    }
    last
}

#[cfg(not(feature = "tls"))]
async fn start_tls(address: &Address, _: &Options, _: TcpStream, _: Deadline) -> Result<Stream, Error> {
    Err(Error::TlsMissing { host: address.host.clone() })
}

#[cfg(feature = "tls")]
async fn start_tls(address: &Address, options: &Options, tcp: TcpStream, deadline: Deadline) -> Result<Stream, Error> {
    let failed = |source: io::Error| Error::Tls { host: address.host.clone(), source: Arc::new(source) };
    let config = tls::config(options).map_err(failed)?;
    let name = tls::server_name(address.bare_host()).map_err(failed)?;
    let handshake = tokio_rustls::TlsConnector::from(config).connect(name, tcp);
    let stream = deadline.limit(Step::Tls, handshake).await?.map_err(failed)?;
    Ok(Stream::Tls(Box::new(stream)))
}

#[cfg(feature = "tls")]
mod tls {
    use std::io;
    use std::sync::{Arc, OnceLock};

    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::Options;

    /// The configuration for `options`. The one without extra roots is made once: it also keeps the sessions to resume.
    pub(super) fn config(options: &Options) -> io::Result<Arc<ClientConfig>> {
        static BUNDLED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        if !options.root_certificates_pem.is_empty() {
            return with_roots(&options.root_certificates_pem);
        }
        match BUNDLED.get() {
            Some(config) => Ok(config.clone()),
            None => with_roots(&[]).map(|config| BUNDLED.get_or_init(|| config).clone()),
        }
    }

    fn with_roots(extra_pem: &[Vec<u8>]) -> io::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for pem in extra_pem {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| invalid(&format!("a root certificate: {error}")))?;
                roots.add(certificate).map_err(|error| invalid(&format!("a root certificate: {error}")))?;
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(&error.to_string()))?;
        Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }

    pub(super) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
        ServerName::try_from(host.to_owned()).map_err(|error| invalid(&error.to_string()))
    }

    fn invalid(text: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, text)
    }
}

/// A TCP connection, with or without TLS on it.
pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
