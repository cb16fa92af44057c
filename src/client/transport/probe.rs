//! The way to a namespace, a step at a time, for whoever wants to see each: by the same rules as a connection's own.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::TcpStream;

use super::http::{self, Answer};
use super::tls::Tls;
use super::tls::watched::Certificates;
use super::{BoxStream, Endpoint, Security, Transport, Way, dial_address, resolve, upgrade};
use crate::client::deadline::Deadline;
use crate::client::error::{Error, Step};
use crate::client::options::Options;
use crate::wire::connection_string::ConnectionString;

/// Bytes of room for the head of an answer.
const BUFFER_LEN: usize = 1_024;

/// A way that is gone step by step; each has a time of its own.
pub(crate) struct Probe {
    way: Way,
    certificates: Certificates,
}

impl Probe {
    /// Reads the way, and the certificates that are trusted on it.
    pub(crate) async fn read(
        connection_string: &ConnectionString,
        options: &Options,
        limit: Duration,
    ) -> Result<Self, Error> {
        let deadline = Deadline::after(limit);
        let mut way = Way::read(connection_string, options, deadline).await?;
        let mut certificates = Certificates::default();
        if matches!(way.security, Security::Tls(_)) {
            let (tls, shown) = Tls::watched(&way.endpoint, options, deadline).await?;
            (way.security, certificates) = (Security::Tls(tls), shown);
        }
        Ok(Self { way, certificates })
    }

    /// Host and port at the end of the way.
    pub(crate) fn endpoint(&self) -> (&str, u16) {
        (&self.way.endpoint.host, self.way.endpoint.port)
    }

    /// Host and port of the HTTP proxy.
    pub(crate) fn proxy(&self) -> Option<String> {
        self.way.proxy.as_ref().map(|proxy| proxy.address().to_string())
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        matches!(self.way.security, Security::Tls(_))
    }

    pub(crate) fn is_websocket(&self) -> bool {
        self.way.transport == Transport::WebSocket
    }

    /// The certificates that the peer has shown so far, its own first: DER.
    pub(crate) fn certificates(&self) -> Vec<Vec<u8>> {
        self.certificates.seen()
    }

    /// The proxy's, if there is one.
    fn dialled(&self) -> &Endpoint {
        self.way.proxy.as_ref().map_or(&self.way.endpoint, |proxy| proxy.address())
    }

    /// The addresses of what is dialled: the endpoint, or the proxy in front of it.
    pub(crate) async fn resolve(&self, limit: Duration) -> Result<Vec<SocketAddr>, Error> {
        resolve(self.dialled(), self.way.name_lookup, Deadline::after(limit)).await
    }

    pub(crate) async fn dial(&self, address: SocketAddr, limit: Duration) -> Result<TcpStream, Error> {
        dial_address(self.dialled(), address, Deadline::after(limit)).await
    }

    /// The proxy's tunnel; without a proxy the stream as it is.
    pub(crate) async fn tunnel(&self, tcp: TcpStream, limit: Duration) -> Result<BoxStream, Error> {
        match &self.way.proxy {
            None => Ok(Box::new(tcp)),
            Some(proxy) => Ok(Box::new(proxy.tunnel(tcp, &self.way.endpoint, Deadline::after(limit)).await?)),
        }
    }

    /// TLS, and its version; without TLS the stream as it is.
    pub(crate) async fn secure(&self, stream: BoxStream, limit: Duration) -> Result<(BoxStream, &'static str), Error> {
        let Security::Tls(tls) = &self.way.security else { return Ok((stream, "no TLS")) };
        let secured = tls.start(stream, &self.way.endpoint, Deadline::after(limit)).await?;
        let version = secured.get_ref().1.protocol_version().and_then(|version| version.as_str());
        Ok((Box::new(secured), version.unwrap_or("TLS")))
    }

    /// WebSocket, and what the peer's clock says, if it does.
    pub(crate) async fn upgrade(
        &self,
        stream: BoxStream,
        limit: Duration,
    ) -> Result<(BoxStream, Option<String>), Error> {
        let (messages, answer) = upgrade::ask(stream, &self.way, Deadline::after(limit)).await?;
        Ok((Box::new(messages), date(&answer)))
    }

    /// What the clock of a web server says, on a stream to it. `None` for whatever it does not say.
    pub(crate) async fn date_of(&self, stream: BoxStream, limit: Duration) -> Option<String> {
        let mut stream = BufReader::with_capacity(BUFFER_LEN, stream);
        let host = &self.way.endpoint.host;
        let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let asked = http::ask(&mut stream, &request);
        let answer = Deadline::after(limit).limit(Step::WebSocket, asked).await.ok()?.ok()?;
        date(&answer)
    }
}

fn date(answer: &Answer) -> Option<String> {
    answer.values("Date").next().map(str::to_owned)
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe")
            .field("endpoint", &self.way.endpoint)
            .field("proxy", &self.proxy())
            .finish_non_exhaustive()
    }
}
