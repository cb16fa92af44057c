//! Options -> a stream that AMQP can be spoken over: TCP, or a proxy's tunnel; TLS on it, or none; WebSocket on that, or
//! none.

mod endpoint;
mod http;
#[cfg(feature = "cli")]
mod probe;
mod proxy;
#[cfg(feature = "tls")]
mod tls;
mod traffic;
#[cfg(feature = "websocket")]
mod upgrade;
mod way;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::net::TcpStream;

use super::deadline::Deadline;
use super::error::{Error, Step};
use super::ways::{NameLookup, Transport};
use crate::pump::BoxStream;
pub(super) use endpoint::{CustomEndpoint, Endpoint};
#[cfg(feature = "cli")]
pub(crate) use probe::Probe;
pub(super) use proxy::Proxy;
pub(super) use traffic::{Counted, Traffic};
use way::Security;
pub(super) use way::Way;

/// Resolves, connects and does what the way asks for on top, all before `deadline`. `traffic` counts what goes over the
/// socket for AMQP: not what a proxy is told before.
///
/// Cancel: nothing is left behind.
pub(super) async fn connect(way: &Way, traffic: &Arc<Traffic>, deadline: Deadline) -> Result<BoxStream, Error> {
    let dialled: BoxStream = match &way.proxy {
        None => Box::new(Counted::new(dial(way, &way.endpoint, deadline).await?, traffic)),
        Some(proxy) => {
            let tcp = dial(way, proxy.address(), deadline).await?;
            Box::new(Counted::new(proxy.tunnel(tcp, &way.endpoint, deadline).await?, traffic))
        }
    };
    let secured = match &way.security {
        Security::Plain => dialled,
        #[cfg(feature = "tls")]
        Security::Tls(tls) => Box::new(tls.start(dialled, &way.endpoint, deadline).await?),
    };
    match way.transport {
        Transport::Tcp => Ok(secured),
        #[cfg(feature = "websocket")]
        Transport::WebSocket => Ok(Box::new(upgrade::ask(secured, way, deadline).await?.0)),
    }
}

async fn dial(way: &Way, endpoint: &Endpoint, deadline: Deadline) -> Result<TcpStream, Error> {
    let addresses = resolve(endpoint, way.name_lookup, deadline).await?;
    dial_one_of(endpoint, &addresses, deadline).await
}

async fn resolve(endpoint: &Endpoint, lookup: NameLookup, deadline: Deadline) -> Result<Vec<SocketAddr>, Error> {
    let failed = |source: io::Error| Error::Resolve { host: endpoint.host.clone(), source: Arc::new(source) };
    let name = (endpoint.bare_host(), endpoint.port);
    let lookup = async {
        match lookup {
            NameLookup::OwnThread => Ok(tokio::net::lookup_host(name).await?.collect()),
            NameLookup::SameThread => Ok(name.to_socket_addrs()?.collect()),
        }
    };
    let addresses: Vec<SocketAddr> = deadline.limit(Step::Resolve, lookup).await?.map_err(failed)?;
    if addresses.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(addresses)
}

/// Tries the addresses in turn. Each has an equal share of what is left, so that a dead first does not starve the rest.
async fn dial_one_of(endpoint: &Endpoint, addresses: &[SocketAddr], deadline: Deadline) -> Result<TcpStream, Error> {
    let mut last = Err(endpoint.unreachable(io::ErrorKind::AddrNotAvailable.into()));
    for (tried, &address) in addresses.iter().enumerate() {
        let share = deadline.share(addresses.len() - tried);
        last = match dial_address(endpoint, address, share).await {
            Err(Error::TimedOut { .. }) => Err(deadline.passed(Step::Connect)),
            Err(error) => Err(error),
            Ok(tcp) => return Ok(tcp),
        };
    }
    last
}

async fn dial_address(endpoint: &Endpoint, address: SocketAddr, deadline: Deadline) -> Result<TcpStream, Error> {
    let connected = deadline.limit(Step::Connect, TcpStream::connect(address)).await?;
    let tcp = connected.map_err(|source| endpoint.unreachable(source))?;
    // Without it, Nagle's algorithm holds back the end of each batch for 40 ms and more.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}
