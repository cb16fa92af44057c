//! The ways in: over what, to which endpoint, through which proxy, and whose certificates are trusted.

use std::fmt;

use super::options::Options;
use super::transport::{CustomEndpoint, Proxy};

/// What carries AMQP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// TCP, with TLS from the first byte: port 5671. Without TLS, for an emulator, 5672.
    #[default]
    Tcp,
    /// WebSocket, at `/$servicebus/websocket`: port 443, which most firewalls let through. Without TLS 80. Costs one round
    /// trip more when a connection is made, and a few bytes a message. Source: event-hubs-wire 3.
    #[cfg(feature = "websocket")]
    WebSocket,
}

/// How a connection is opened, between TCP or TLS and the first token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handshake {
    /// What depends on an answer waits for it: six round trips from connected to the first accepted event. Every peer that
    /// speaks the protocol takes it.
    #[default]
    Stepwise,
    /// SASL, open, and the links for tokens in one write, before the peer has said anything: four round trips. AMQP allows
    /// it, for open and what follows (part 2, 2.4.1); for SASL it is a bet that the peer offers `ANONYMOUS`, which is lost
    /// with an error that says so. A peer, or something on the way to it, that drops what it has not asked for yet makes
    /// the connection fail, or run into [`Options::open_timeout`]. Nothing that needs to be secret is in what is said
    /// early, but with [`Authorization::SaslPlain`] the key is.
    Optimistic,
}

/// How the hub is told by what right we come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authorization {
    /// Claims-based security: tokens that were signed with the key and end by themselves, put at `$cbs`. The key stays here.
    #[default]
    Cbs,
    /// SASL PLAIN: the connection string's rule and key themselves, in place of tokens. One round trip fewer, and nothing to
    /// renew. The service takes it, but no SDK uses it (source: event-hubs-wire 4.1), so that it may be the first to go.
    ///
    /// What it costs: the key, which does not end by itself, is shown to whoever answers under the namespace's name with a
    /// certificate that is trusted here, a proxy that looks into TLS among them; with
    /// `UseDevelopmentEmulator=true`, which is without TLS, to everybody on the way. It needs `SharedAccessKeyName` and
    /// `SharedAccessKey` in the connection string: with a ready-made token, or [`Options::credential`], opening is
    /// [`Error::Setting`](super::Error::Setting), and so it is with a name and key of more than 200 bytes together.
    SaslPlain,
}

/// Whose certificates are trusted, beside those of [`Options::root_certificates_pem`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// Mozilla's, bundled: a host without CA files works.
    #[default]
    Bundled,
    /// The platform's, as its keeper has them: the authority of a company's own proxy is often there. Read when a
    /// connection is opened. On Linux `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    #[cfg(feature = "platform-roots")]
    Platform,
    /// None: only those of [`Options::root_certificates_pem`] count.
    Given,
}

/// Where names are looked up, and the platform's roots read. The system's resolver blocks its thread, and takes no deadline:
/// it gives up by its own rules (`/etc/resolv.conf`: 5 s, twice for each server, unless that says otherwise).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameLookup {
    /// On a thread of the runtime's, which ends 10 s later: nothing else waits for it, and it ends in time for whoever asked.
    #[default]
    OwnThread,
    /// On the thread that asks, which does nothing else meanwhile: for hosts where one thread is all there may be. The
    /// deadline is looked at when the resolver is done. [`blocking`](crate::blocking) does it so unless it is told.
    SameThread,
}

/// What the options say of the way. Texts are read when they are given, and what is wrong with them is told when a
/// connection is opened.
#[derive(Clone, Default)]
pub(super) struct Ways {
    pub(super) transport: Transport,
    pub(super) custom_endpoint: Option<Result<CustomEndpoint, &'static str>>,
    pub(super) http_proxy: Option<Result<Proxy, &'static str>>,
    pub(super) roots: Roots,
    pub(super) handshake: Handshake,
    pub(super) authorization: Authorization,
    /// Unless whoever connects knows better.
    pub(super) name_lookup: Option<NameLookup>,
    #[cfg(feature = "tls")]
    pub(super) rustls_config: Option<std::sync::Arc<tokio_rustls::rustls::ClientConfig>>,
}

/// The way in.
impl Options {
    /// What carries AMQP. Default [`Transport::Tcp`].
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.ways.transport = transport;
        self
    }

    /// How a connection is opened. Default [`Handshake::Stepwise`]; see there what the other one saves and risks.
    #[must_use]
    pub fn handshake(mut self, handshake: Handshake) -> Self {
        self.ways.handshake = handshake;
        self
    }

    /// How the hub is told by what right we come. Default [`Authorization::Cbs`]; see there what the other one saves and
    /// risks.
    #[must_use]
    pub fn authorization(mut self, authorization: Authorization) -> Self {
        self.ways.authorization = authorization;
        self
    }

    /// Where names are looked up. Default [`NameLookup::OwnThread`], and [`NameLookup::SameThread`] in
    /// [`blocking`](crate::blocking). An address in the place of a name is not looked up at all.
    #[must_use]
    pub fn name_lookup(mut self, name_lookup: NameLookup) -> Self {
        self.ways.name_lookup = Some(name_lookup);
        self
    }

    /// Where the socket goes in place of the namespace's own host: a private endpoint, a gateway, a relay. It is also the
    /// name that the certificate has to be for. What AMQP, tokens and their audience name stays the namespace.
    ///
    /// `host`, `host:port`, or a URL of these; the port is else the [`transport`](Self::transport)'s. With `amqp://` or
    /// `ws://` there is no TLS, and whoever is in between reads everything, tokens too; with `amqps://` or `wss://` there
    /// is; with `sb://`, `https://` or no scheme the connection string decides. `ws` and `wss` go with
    /// `Transport::WebSocket` alone. What it cannot be is [`Error::Setting`](crate::Error::Setting) when a connection
    /// is opened. Source: event-hubs-wire 3.
    ///
    /// ```
    /// use hubwire::Options;
    ///
    /// let options = Options::default().custom_endpoint("my-endpoint.example:5671");
    /// # drop(options);
    /// ```
    #[must_use]
    pub fn custom_endpoint(mut self, endpoint: impl AsRef<str>) -> Self {
        self.ways.custom_endpoint = Some(CustomEndpoint::parse(endpoint.as_ref()));
        self
    }

    /// The HTTP proxy to go through: `http://host:port`, or `http://user:password@host:port` with what is special in user
    /// and password percent-encoded. Port 80 unless it says. The proxy is asked for a tunnel (CONNECT) to the endpoint,
    /// and resolves its name; of logins, Basic is spoken. The password goes to the proxy in plain text, and is never
    /// shown. What it cannot be is [`Error::Setting`](crate::Error::Setting) when a connection is opened. Default: none;
    /// no environment variable is looked at.
    ///
    /// Many proxies lead to port 443 alone, which is that of `Transport::WebSocket`.
    #[must_use]
    pub fn http_proxy(mut self, url: impl AsRef<str>) -> Self {
        self.ways.http_proxy = Some(Proxy::parse(url.as_ref()));
        self
    }

    /// Whose certificates are trusted. Default [`Roots::Bundled`].
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.ways.roots = roots;
        self
    }

    /// A rustls configuration of your own, for what has no option here: a client's certificate, other ciphers, pinning. It
    /// counts whole: [`roots`](Self::roots), [`root_certificates_pem`](Self::root_certificates_pem) and
    /// [`wall_clock`](Self::wall_clock) have no part in TLS then. [`hubwire::rustls`](crate::rustls) is the version that
    /// fits.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use hubwire::{Options, rustls};
    ///
    /// let provider = Arc::new(rustls::crypto::ring::default_provider());
    /// let config = rustls::ClientConfig::builder_with_provider(provider)
    ///     .with_protocol_versions(&[&rustls::version::TLS13])?
    ///     .with_root_certificates(rustls::RootCertStore::empty())
    ///     .with_no_client_auth();
    /// let options = Options::default().rustls_config(Arc::new(config));
    /// # drop(options);
    /// # Ok::<(), rustls::Error>(())
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn rustls_config(mut self, config: std::sync::Arc<tokio_rustls::rustls::ClientConfig>) -> Self {
        self.ways.rustls_config = Some(config);
        self
    }
}

impl fmt::Debug for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways")
            .field("transport", &self.transport)
            .field("custom_endpoint", &self.custom_endpoint)
            .field("http_proxy", &self.http_proxy)
            .field("roots", &self.roots)
            .field("handshake", &self.handshake)
            .field("authorization", &self.authorization)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_password() {
        let options = Options::default().http_proxy("http://user:hunter2@proxy:3128").custom_endpoint("u:hunter2@h");
        let shown = format!("{options:?}");
        assert!(shown.contains("3128") && !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("dXNlcjpodW50ZXIy"), "{shown}");
    }
}
