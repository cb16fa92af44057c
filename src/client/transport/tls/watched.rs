//! TLS whose peer's certificates are seen, those of a handshake that fails as well.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, DigitallySignedStruct, SignatureScheme};

use super::{Tls, roots, server_name, setting, with_roots};
use crate::client::deadline::Deadline;
use crate::client::error::Error;
use crate::client::options::Options;
use crate::client::transport::Endpoint;

/// The certificates that a peer showed, its own first. DER.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates(Arc<Mutex<Vec<Vec<u8>>>>);

impl Certificates {
    /// None before the peer has shown any.
    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tls {
    /// As [`read`](Self::read), by the same rules; what the peer shows is kept.
    pub(in crate::client::transport) async fn watched(
        endpoint: &Endpoint,
        options: &Options,
        deadline: Deadline,
    ) -> Result<(Self, Certificates), Error> {
        let name = server_name(endpoint)?;
        let roots = roots(options, deadline).await?;
        let certificates = Certificates::default();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), Arc::new(ring::default_provider()));
        let inner = verifier.build().map_err(|error| setting("choice of roots", error))?;
        let mut config = (*with_roots(roots, options.wall_clock.clone())?).clone();
        config.dangerous().set_certificate_verifier(Arc::new(Watching { inner, seen: certificates.clone() }));
        Ok((Self { config: Arc::new(config), name }, certificates))
    }
}

/// Decides nothing by itself.
#[derive(Debug)]
struct Watching {
    inner: Arc<WebPkiServerVerifier>,
    seen: Certificates,
}

impl ServerCertVerifier for Watching {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = std::iter::once(end_entity).chain(intermediates).map(|certificate| certificate.to_vec()).collect();
        *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
