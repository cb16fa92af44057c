//! TLS, and whose certificates it trusts.

#[cfg(feature = "cli")]
pub(super) mod watched;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{self, ClientConfig, ClientConnection, RootCertStore};

use super::Endpoint;
use crate::client::deadline::Deadline;
use crate::client::error::{Error, Step};
use crate::client::options::Options;
#[cfg(feature = "platform-roots")]
use crate::client::ways::NameLookup;
use crate::client::ways::Roots;

/// A configuration, and the name that the certificate has to be for.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads the certificates that are trusted.
    pub(super) async fn read(endpoint: &Endpoint, options: &Options, deadline: Deadline) -> Result<Self, Error> {
        let name = server_name(endpoint)?;
        let config = match &options.ways.rustls_config {
            Some(config) => config.clone(),
            None => config(options, deadline).await?,
        };
        Ok(Self { config, name })
    }

    pub(super) async fn start<S>(
        &self,
        stream: S,
        endpoint: &Endpoint,
        deadline: Deadline,
    ) -> Result<TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let roomy = |connection: &mut ClientConnection| connection.set_buffer_limit(Some(BUFFER_LEN));
        let handshake = TlsConnector::from(self.config.clone()).connect_with(self.name.clone(), stream, roomy);
        let failed = |source: io::Error| Error::Tls { host: endpoint.host.clone(), source: Arc::new(plain(source)) };
        deadline.limit(Step::Tls, handshake).await?.map_err(failed)
    }
}

fn server_name(endpoint: &Endpoint) -> Result<ServerName<'static>, Error> {
    let name = ServerName::try_from(endpoint.bare_host().to_owned());
    name.map_err(|_| setting("endpoint", "TLS takes neither its name nor an address in its place"))
}

/// Bytes that are encrypted before they are written. More at a time means fewer writes; rustls has 64 KiB.
const BUFFER_LEN: usize = 256 * 1024;

/// What is not TLS' own word is the stream's, which another try may spare: it is told by its kind alone.
fn plain(error: io::Error) -> io::Error {
    let is_of_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if is_of_tls { error } else { error.kind().into() }
}

/// The configuration for `options`. The one that goes by nothing but defaults is made once: it also keeps the sessions to
/// resume.
async fn config(options: &Options, deadline: Deadline) -> Result<Arc<ClientConfig>, Error> {
    static DEFAULT: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let is_default =
        options.ways.roots == Roots::Bundled && options.root_certificates_pem.is_empty() && !options.has_own_clock;
    if let Some(config) = DEFAULT.get().filter(|_| is_default) {
        return Ok(config.clone());
    }
    let config = with_roots(roots(options, deadline).await?, options.wall_clock.clone())?;
    Ok(if is_default { DEFAULT.get_or_init(|| config).clone() } else { config })
}

fn with_roots(roots: RootCertStore, clock: Clock) -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_details(Arc::new(ring::default_provider()), Arc::new(TimeOf(clock)))
        .with_safe_default_protocol_versions()
        .map_err(|error| setting("TLS configuration", error))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn roots(options: &Options, deadline: Deadline) -> Result<RootCertStore, Error> {
    let mut roots = match options.ways.roots {
        Roots::Bundled => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        #[cfg(feature = "platform-roots")]
        Roots::Platform => platform_roots(options.ways.name_lookup.unwrap_or_default(), deadline).await?,
        Roots::Given => RootCertStore::empty(),
    };
    let _ = deadline;
    for pem in &options.root_certificates_pem {
        add(&mut roots, pem).map_err(|error| setting("root certificate", error))?;
    }
    if roots.is_empty() {
        return Err(setting(
            "choice of roots",
            "nothing is trusted: add root certificates as PEM, or take other roots",
        ));
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Reading them may block: files, or a service of the system.
#[cfg(feature = "platform-roots")]
async fn platform_roots(lookup: NameLookup, deadline: Deadline) -> Result<RootCertStore, Error> {
    let found = match lookup {
        NameLookup::OwnThread => {
            let reading = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
            deadline.limit(Step::Tls, reading).await?.map_err(|error| setting("platform's roots", error))?
        }
        NameLookup::SameThread => rustls_native_certs::load_native_certs(),
    };
    let mut roots = RootCertStore::empty();
    // There are always some that a strict reader does not take; one that is missed is an unknown issuer later.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
        let advice = "install the system's CA certificates, name them in SSL_CERT_FILE, or take the bundled roots";
        return Err(setting("platform's roots", format!("{why}; {advice}")));
    }
    Ok(roots)
}

fn setting(name: &'static str, reason: impl ToString) -> Error {
    Error::Setting { name, reason: reason.to_string() }
}

/// Certificates are dated by the same clock as tokens.
struct TimeOf(Clock);

type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl TimeProvider for TimeOf {
    fn current_time(&self) -> Option<UnixTime> {
        (self.0)().duration_since(UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

impl fmt::Debug for TimeOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimeOf")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_rustls::rustls::client::WebPkiServerVerifier;
    use tokio_rustls::rustls::client::danger::ServerCertVerifier;

    use super::*;

    /// What a server presents under a root that is bundled: its certificate, and its issuer's.
    const PRESENTED: [&[u8]; 2] = [
        include_bytes!("../../../tests/data/certificates/aws.amazon.com-1.der"),
        include_bytes!("../../../tests/data/certificates/aws.amazon.com-2.der"),
    ];
    /// 2026-01-01, within its dates.
    const THEN: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));

    async fn verdict(options: &Options, name: &'static str, at: UnixTime) -> Result<(), String> {
        let roots = roots(options, Deadline::after(Duration::from_secs(1))).await.unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let [certificate, issuer] = PRESENTED.map(CertificateDer::from);
        let verified =
            verifier.verify_server_cert(&certificate, &[issuer], &ServerName::try_from(name).unwrap(), &[], at);
        verified.map(|_| ()).map_err(|error| format!("{error:?}"))
    }

    #[tokio::test]
    async fn the_bundled_roots_accept_what_is_under_one_of_them_and_nothing_else() {
        let bundled = Options::default();
        assert_eq!(verdict(&bundled, "aws.amazon.com", THEN).await, Ok(()));
        let refused = verdict(&bundled, "telemetry.servicebus.windows.net", THEN).await.unwrap_err();
        assert!(refused.contains("NotValidForName"), "{refused}");
        let later = UnixTime::since_unix_epoch(Duration::from_secs(1_893_456_000));
        let refused = verdict(&bundled, "aws.amazon.com", later).await.unwrap_err();
        assert!(refused.contains("Expired"), "{refused}");
        let own = rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap().cert.pem();
        let given = Options::default().roots(Roots::Given).root_certificates_pem(own);
        let refused = verdict(&given, "aws.amazon.com", THEN).await.unwrap_err();
        assert!(refused.contains("UnknownIssuer"), "{refused}");
    }
}
