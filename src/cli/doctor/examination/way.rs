//! From a name to a stream: resolve, TCP, the proxy's tunnel, TLS, WebSocket, and the peer's clock on the way.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Examination, private};
use crate::cli::doctor::certificate;
use crate::cli::doctor::date::{self, Skew};
use crate::cli::doctor::step::{Status, Step};
use crate::cli::doctor::table::Trouble;
use crate::cli::doctor::verdict::said_of;
use crate::client::Probe;
use crate::pump::BoxStream;
use crate::wire::connection_string::ConnectionString;
use crate::{Error, Options, Transport, clock};

const AMQPS_PORT: u16 = 5671;
const HTTPS_PORT: u16 = 443;
/// A clock that is off by more is worth a word. Source: event-hubs-wire 2.1 tells of 15 minutes that signers should allow.
const SKEW_LIMIT: Duration = Duration::from_secs(60);
/// How long the clock is asked: nothing depends on it.
const CLOCK_LIMIT: Duration = Duration::from_secs(2);
/// Addresses that are told.
const MAX_SHOWN: usize = 4;

/// The way, with what is trusted on it.
pub(super) async fn read(
    connection_string: &ConnectionString,
    options: &Options,
    limit: Duration,
) -> Result<Probe, Error> {
    Probe::read(connection_string, options, limit).await
}

impl Examination<'_> {
    pub(super) async fn travel(&mut self, way: &Probe) -> Result<BoxStream, Trouble> {
        let addresses = self.resolve(way).await?;
        let stream = self.dial(way, &addresses).await?;
        let stream = self.pass_proxy(way, stream).await?;
        let stream = self.secure(way, stream).await?;
        let (stream, date) = self.upgrade(way, stream).await?;
        self.compare_clocks(way, &addresses, date).await;
        Ok(stream)
    }

    async fn resolve(&mut self, way: &Probe) -> Result<Vec<SocketAddr>, Trouble> {
        let limit = self.limit();
        let addresses = self.table.run(Step::Resolve, way.resolve(limit)).await?;
        if way.proxy().is_none() {
            self.facts.private_address = private(&addresses);
        }
        let shown: Vec<String> = addresses.iter().take(MAX_SHOWN).map(|address| address.ip().to_string()).collect();
        let host = way.proxy().map_or_else(|| way.endpoint().0.to_owned(), |proxy| format!("proxy {proxy}"));
        let private = if self.facts.private_address.is_some() { ", a private address" } else { "" };
        self.table.end(Step::Resolve, Status::Ok, format!("{host} is {}{private}", shown.join(", ")));
        Ok(addresses)
    }

    /// Each address in its turn, and a row for each, until one is open.
    async fn dial(&mut self, way: &Probe, addresses: &[SocketAddr]) -> Result<TcpStream, Trouble> {
        let whole = self.limit();
        let share = whole / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        for (tried, &address) in addresses.iter().enumerate() {
            self.table.begin(Step::Tcp);
            match way.dial(address, share).await {
                Ok(tcp) => {
                    self.table.end(Step::Tcp, Status::Ok, address.to_string());
                    return Ok(tcp);
                }
                // There is another one.
                Err(error) if tried + 1 < addresses.len() => {
                    self.table.end(Step::Tcp, Status::Warning, format!("{address}: {}", said_of(&error)));
                }
                Err(error) => {
                    self.table.end(Step::Tcp, Status::Failed, format!("{address}: {}", said_of(&error)));
                    return Err(Trouble { step: Step::Tcp, error });
                }
            }
        }
        // Resolving gives one address at least.
        Err(self.table.fail(Step::Tcp, Error::ShutDown))
    }

    async fn pass_proxy(&mut self, way: &Probe, tcp: TcpStream) -> Result<BoxStream, Trouble> {
        let limit = self.limit();
        let Some(proxy) = way.proxy() else { return Ok(Box::new(tcp)) };
        let stream = self.table.run(Step::Proxy, way.tunnel(tcp, limit)).await?;
        let (host, port) = way.endpoint();
        self.table.end(Step::Proxy, Status::Ok, format!("{proxy} leads to {host}:{port}"));
        Ok(stream)
    }

    /// The peer's certificates are told whether it works or not.
    async fn secure(&mut self, way: &Probe, stream: BoxStream) -> Result<BoxStream, Trouble> {
        if !way.speaks_tls() {
            return Ok(stream);
        }
        self.table.begin(Step::Tls);
        let secured = way.secure(stream, self.limit()).await;
        let chain = certificate::chain(&way.certificates());
        match secured {
            Ok((stream, version)) => {
                // `TLSv1_3` is how rustls has it.
                let version = version.replacen("TLSv", "TLS ", 1).replace('_', ".");
                self.table.end_with(Step::Tls, Status::Ok, version, chain);
                Ok(stream)
            }
            Err(error) => {
                self.table.end_with(Step::Tls, Status::Failed, said_of(&error), chain);
                Err(Trouble { step: Step::Tls, error })
            }
        }
    }

    async fn upgrade(&mut self, way: &Probe, stream: BoxStream) -> Result<(BoxStream, Option<String>), Trouble> {
        if !way.is_websocket() {
            return Ok((stream, None));
        }
        let limit = self.limit();
        let (stream, date) = self.table.run(Step::WebSocket, way.upgrade(stream, limit)).await?;
        self.table.end(Step::WebSocket, Status::Ok, "AMQP over WebSocket");
        Ok((stream, date))
    }

    /// By the date of the WebSocket's answer, or of the web server beside the port of AMQP. Nothing fails by it.
    async fn compare_clocks(&mut self, way: &Probe, addresses: &[SocketAddr], date: Option<String>) {
        self.table.begin(Step::Clock);
        let date = match date {
            None if way.endpoint().1 == AMQPS_PORT && way.speaks_tls() => self.date_of_neighbour(addresses).await,
            date => date,
        };
        let theirs = date.as_deref().and_then(date::parse);
        let Some(skew) = theirs.map(|theirs| Skew::of(clock::wall(), theirs)) else {
            if way.speaks_tls() {
                self.table.end(
                    Step::Clock,
                    Status::Unknown,
                    "the peer does not tell its time over HTTP; the certificate's dates hold",
                );
            }
            return;
        };
        if skew.size() < SKEW_LIMIT {
            return self.table.end(Step::Clock, Status::Ok, "this machine's and the peer's agree within a minute");
        }
        self.facts.skew = Some(skew);
        self.table.end(Step::Clock, Status::Warning, format!("this machine's clock is {skew} the peer's: set it"));
    }

    /// The same host's port 443, which answers HTTP at Azure.
    async fn date_of_neighbour(&self, addresses: &[SocketAddr]) -> Option<String> {
        let limit = self.limit().min(CLOCK_LIMIT);
        let asking = async {
            let way = self.on_port_443(limit).await.ok()?;
            let stream = reach(&way, addresses, limit).await.ok()?;
            way.date_of(stream, limit).await
        };
        tokio::time::timeout(limit, asking).await.ok().flatten()
    }

    /// When the port of AMQP is closed: whether port 443 is open for AMQP over WebSocket.
    pub(super) async fn look_elsewhere(&mut self, failed: Step) {
        let is_way = matches!(failed, Step::Tcp | Step::Proxy | Step::Tls);
        if !is_way || self.facts.is_websocket || self.facts.is_emulator || self.table.has_certificates() {
            return;
        }
        self.table.begin(Step::Port443);
        let limit = self.limit();
        let trying = async {
            let way = self.on_port_443(limit).await?;
            let addresses = way.resolve(limit).await?;
            way.upgrade(reach(&way, &addresses, limit).await?, limit).await
        };
        let tried = tokio::time::timeout(limit, trying).await;
        self.facts.websocket_works = Some(matches!(tried, Ok(Ok(_))));
        match tried {
            Ok(Ok(_)) => self.table.end(Step::Port443, Status::Ok, "AMQP over WebSocket is open there"),
            Ok(Err(error)) => self.table.end(Step::Port443, Status::Failed, said_of(&error)),
            Err(_) => self.table.end(Step::Port443, Status::Failed, format!("no answer within {limit:?}")),
        }
    }

    async fn on_port_443(&self, limit: Duration) -> Result<Probe, Error> {
        let host = self.args.to.endpoint.as_deref().map_or(self.facts.host.as_str(), crate::cli::ways::host_of);
        let options = self.options.clone().transport(Transport::WebSocket);
        let options = options.custom_endpoint(format!("{host}:{HTTPS_PORT}"));
        Probe::read(&self.network.connection_string, &options, limit).await
    }
}

/// From addresses to a stream with TLS, the last failure of several.
async fn reach(way: &Probe, addresses: &[SocketAddr], limit: Duration) -> Result<BoxStream, Error> {
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let port = |address: &SocketAddr| match way.proxy() {
        Some(_) => *address,
        None => SocketAddr::new(address.ip(), way.endpoint().1),
    };
    let mut last = Error::ShutDown;
    for address in addresses.iter().map(port) {
        match way.dial(address, share).await {
            Ok(tcp) => return Ok(way.secure(way.tunnel(tcp, limit).await?, limit).await?.0),
            Err(error) => last = error,
        }
    }
    Err(last)
}
