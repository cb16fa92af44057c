//! What the emulator proves itself with: a certificate of the user's, or one made on start.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// The name that an emulator goes by unless it is told another.
const LOCALHOST: &str = "localhost";

/// A certificate chain and its key, for [`Emulator::listen_tls`](super::Emulator::listen_tls). A clone is the same one.
///
/// ```
/// # #[cfg(feature = "certificates")] {
/// use hubwire::Options;
/// use hubwire::emulator::TlsIdentity;
///
/// let identity = TlsIdentity::generate(["my-machine.local"])?;
/// // What clients have to trust.
/// let authority = identity.authority_pem().unwrap();
/// let options = Options::default().root_certificates_pem(authority);
/// # drop(options);
/// # }
/// # Ok::<(), hubwire::emulator::TlsIdentityError>(())
/// ```
#[derive(Clone)]
pub struct TlsIdentity {
    config: Arc<ServerConfig>,
    host: String,
    authority_pem: Option<Arc<str>>,
}

/// Why there is no such identity. No part of a key is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsIdentityError {
    /// What should be the certificate chain is no PEM.
    #[error("the certificate file is not readable as PEM: {reason}; it begins with -----BEGIN CERTIFICATE-----")]
    CertificatePem {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no certificate.
    #[error(
        "the certificate file holds no certificate; put the server's own first, then those that lead to its authority"
    )]
    NoCertificate,
    /// There is no key.
    #[error("the key file holds no private key as PEM: {reason}; use PKCS #8, PKCS #1 or SEC 1, not encrypted")]
    KeyPem {
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not go together, or are of a kind that is not served.
    #[error("the certificate cannot be served with this key: {reason}; check that they belong together")]
    Pair {
        /// What is wrong with them.
        reason: String,
    },
    /// A name that no certificate can hold.
    #[error("no certificate can be made for {names:?}: {reason}; use DNS names and IP addresses")]
    Names {
        /// All names.
        names: Vec<String>,
        /// What is wrong with one of them.
        reason: String,
    },
}

impl TlsIdentity {
    /// From PEM: a certificate chain, the server's own certificate first, and the key to that.
    ///
    /// # Errors
    /// [`TlsIdentityError`] says which of the two is wrong. Names and dates are not checked: clients do that.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsIdentityError> {
        let unreadable = |error: pem::Error| TlsIdentityError::CertificatePem { reason: pem_reason(&error) };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(unreadable)?;
        if chain.is_empty() {
            return Err(TlsIdentityError::NoCertificate);
        }
        let no_key = |error: pem::Error| TlsIdentityError::KeyPem { reason: pem_reason(&error) };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(no_key)?;
        Self::new(chain, key)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsIdentityError> {
        let unfit = |error: rustls::Error| TlsIdentityError::Pair { reason: error.to_string() };
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unfit)?;
        Ok(Self { config: Arc::new(config), host: LOCALHOST.to_owned(), authority_pem: None })
    }

    /// The name that connection strings lead to; the certificate should be for it. Default: the first of the names that
    /// it was generated for, else `localhost`.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// The name that connection strings lead to.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The certificate of the authority that was made for it, as PEM: what clients have to trust. `None` for a
    /// certificate that was given.
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority_pem.as_deref()
    }

    pub(super) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await.map_err(handshake_failed)
    }
}

/// In words of ours: nothing of a file that may hold a key is repeated.
fn pem_reason(error: &pem::Error) -> String {
    let reason = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no -----END line",
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line is broken",
        pem::Error::Base64Decode(_) => "a section is not base64",
        pem::Error::NoItemsFound => "there is none",
        _ => "it cannot be read",
    };
    reason.to_owned()
}

/// Says what to look for at the client.
fn handshake_failed(error: io::Error) -> io::Error {
    let advice = match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(rustls::Error::InvalidMessage(_)) => {
            "; the peer speaks no TLS: look for UseDevelopmentEmulator=true in its connection string"
        }
        Some(rustls::Error::AlertReceived(_)) => {
            "; the peer refuses the certificate: let it trust the authority, and reach the emulator by a name in the \
             certificate"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("the TLS handshake failed: {error}{advice}"))
}

/// No key, and no certificate.
impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsIdentity").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(feature = "certificates")]
mod generated {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        KeyUsagePurpose,
    };
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

    use super::{LOCALHOST, TlsIdentity, TlsIdentityError};
    use crate::clock;

    const DAY: Duration = Duration::from_secs(86_400);
    /// Long enough for an emulator, and short enough for clients that refuse what holds longer than 825 days.
    const VALID_FOR: Duration = Duration::from_secs(365 * 86_400);

    impl TlsIdentity {
        /// Makes an authority, and a certificate of its for `names`, `localhost`, `127.0.0.1` and `::1`, valid from
        /// yesterday on for a year. The authority's key is forgotten at once; the other is in memory only.
        ///
        /// # Errors
        /// [`Names`](TlsIdentityError::Names) for what is neither a DNS name nor an IP address.
        pub fn generate(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, TlsIdentityError> {
            let given: Vec<String> = names.into_iter().map(Into::into).collect();
            let host = given.first().map_or(LOCALHOST, String::as_str).to_owned();
            let mut names = given.clone();
            for own in [LOCALHOST, "127.0.0.1", "::1"] {
                if !names.iter().any(|name| name == own) {
                    names.push(own.to_owned());
                }
            }
            if let Some(odd) = given.iter().find(|name| !is_name(name)) {
                let reason = format!("{odd:?} is neither");
                return Err(TlsIdentityError::Names { names: given, reason });
            }
            let failed =
                |error: rcgen::Error| TlsIdentityError::Names { names: given.clone(), reason: error.to_string() };
            let now = clock::wall();
            let authority = CertifiedIssuer::self_signed(authority(now), KeyPair::generate().map_err(failed)?);
            let authority = authority.map_err(failed)?;
            let key = KeyPair::generate().map_err(failed)?;
            let certificate =
                server(names, now).and_then(|params| params.signed_by(&key, &authority)).map_err(failed)?;
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            let mut identity = Self::new(vec![certificate.der().clone()], key)?.with_host(host);
            identity.authority_pem = Some(Arc::from(authority.pem()));
            Ok(identity)
        }
    }

    /// A DNS name, `*.` before it or not, or an IP address: what a client could look for.
    fn is_name(name: &str) -> bool {
        ServerName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok()
    }

    fn authority(now: SystemTime) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "hubwire emulator: made on start, trust it for tests only");
        valid_from(params, now)
    }

    fn server(names: Vec<String>, now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, "hubwire emulator");
        Ok(valid_from(params, now))
    }

    fn valid_from(mut params: CertificateParams, now: SystemTime) -> CertificateParams {
        // Clocks differ.
        params.not_before = (now - DAY).into();
        params.not_after = (now + VALID_FOR).into();
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_identity_is_refused_and_says_which_file() {
        const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        const KEY: &str = "-----BEGIN PRIVATE KEY-----\naHVzaA==\n-----END PRIVATE KEY-----\n";
        for (chain, key, words) in [
            ("", KEY, "holds no certificate"),
            ("words", KEY, "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", KEY, "not readable as PEM"),
            (CERTIFICATE, "", "holds no private key as PEM: there is none"),
            (CERTIFICATE, &KEY[..40], "holds no private key as PEM: a section has no -----END line"),
            (CERTIFICATE, CERTIFICATE, "holds no private key"),
            (CERTIFICATE, KEY, "cannot be served with this key"),
        ] {
            let error = TlsIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{error} | {words}");
            assert!(!error.contains("aHVzaA"), "{error}");
        }
    }

    #[cfg(feature = "certificates")]
    #[test]
    fn a_generated_one_is_for_this_machine_and_the_names_given() {
        let identity = TlsIdentity::generate(["box.local", "10.0.0.7"]).unwrap();
        assert_eq!(identity.host(), "box.local");
        assert!(identity.authority_pem().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(TlsIdentity::generate([""; 0]).unwrap().host(), "localhost");
        assert!(TlsIdentity::generate(["*.box.local"]).is_ok());
        for odd in ["", "no name", "\u{fc}", "https://box", "box:5671", "a.*.b"] {
            let error = TlsIdentity::generate([odd]).unwrap_err();
            assert!(matches!(error, TlsIdentityError::Names { .. }), "{odd}: {error}");
        }
    }
}
