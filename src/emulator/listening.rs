//! Sockets that lead to an emulator: plain, with TLS, with WebSocket, with both.

use std::future::ready;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host};
use tokio::task::JoinHandle;

use crate::pump::LentStream;

use super::activity::{Origin, Transport};
#[cfg(feature = "tls")]
use super::tls::TlsIdentity;
#[cfg(feature = "websocket")]
use super::upgrade;
use super::{Emulator, Opening};

/// How long accepting rests when the system has no more sockets to give.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// For TLS and WebSocket together, before the first byte of AMQP.
#[cfg(any(feature = "tls", feature = "websocket"))]
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

impl Emulator {
    /// Accepts connections over plain TCP, on the first address that `addr` stands for; port 0 picks a free one.
    ///
    /// # Errors
    /// What the system says; and [`PermissionDenied`](io::ErrorKind::PermissionDenied) for an address that other
    /// machines can reach, unless [`allow_remote`](super::Builder::allow_remote) was asked for.
    ///
    /// # Panics
    /// Outside of a Tokio runtime with its I/O driver.
    ///
    /// # Cancel
    /// Nothing is left behind.
    pub async fn listen(&self, addr: impl ToSocketAddrs) -> io::Result<Listening> {
        self.open(addr, Door::Tcp).await
    }

    /// The same with TLS from the first byte, as the service has it. A peer that has not shaken hands within 10 s, or
    /// speaks something else, is cut off.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    ///
    /// # Panics
    /// As [`listen`](Self::listen).
    ///
    /// # Cancel
    /// Nothing is left behind.
    #[cfg(feature = "tls")]
    pub async fn listen_tls(&self, addr: impl ToSocketAddrs, identity: &TlsIdentity) -> io::Result<Listening> {
        self.open(addr, Door::Tls(identity.clone())).await
    }

    /// The same for AMQP over WebSocket, in plain text: the path is `/$servicebus/websocket`, the subprotocol
    /// `AMQPWSB10`. Any other request is answered with what it should have been. Source: event-hubs-wire 3.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    ///
    /// # Panics
    /// As [`listen`](Self::listen).
    ///
    /// # Cancel
    /// Nothing is left behind.
    #[cfg(feature = "websocket")]
    pub async fn listen_websocket(&self, addr: impl ToSocketAddrs) -> io::Result<Listening> {
        self.open(addr, Door::WebSocket).await
    }

    /// The same for AMQP over WebSocket over TLS, as the service has it.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    ///
    /// # Panics
    /// As [`listen`](Self::listen).
    ///
    /// # Cancel
    /// Nothing is left behind.
    #[cfg(all(feature = "websocket", feature = "tls"))]
    pub async fn listen_websocket_tls(
        &self,
        addr: impl ToSocketAddrs,
        identity: &TlsIdentity,
    ) -> io::Result<Listening> {
        self.open(addr, Door::WebSocketTls(identity.clone())).await
    }

    async fn open(&self, addr: impl ToSocketAddrs, door: Door) -> io::Result<Listening> {
        let listener = self.bind(addr, door.transport().is_encrypted()).await?;
        let local_addr = listener.local_addr()?;
        let (transport, host) = (door.transport(), door.host());
        let emulator = self.clone();
        let accepting = tokio::spawn(accept(listener, move |stream, peer_addr| {
            let (emulator, door) = (emulator.clone(), door.clone());
            async move { emulator.let_in(&door, stream, peer_addr).await }
        }));
        Ok(Listening { emulator: self.clone(), local_addr, transport, host, accepting })
    }

    /// A socket at the first address that `addr` stands for, if that is one that may be listened on.
    pub(super) async fn bind(&self, addr: impl ToSocketAddrs, is_encrypted: bool) -> io::Result<TcpListener> {
        let addr = lookup_host(addr).await?.next();
        let addr = addr.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the address stands for no socket"))?;
        if !addr.ip().is_loopback() && !self.allow_remote {
            let how = if is_encrypted { "" } else { ", in plain text" };
            let text = format!(
                "{addr} can be reached from other machines{how}; listen on 127.0.0.1 or [::1], or ask for it with \
                 `allow_remote(true)`"
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        TcpListener::bind(addr).await
    }

    async fn let_in(&self, door: &Door, stream: TcpStream, peer_addr: SocketAddr) {
        let origin = Origin { transport: door.transport(), peer_addr: Some(peer_addr) };
        let stream: LentStream<'_> = Box::new(stream);
        let opening: Opening<'_> = match door {
            Door::Tcp => Box::pin(ready(Ok(stream))),
            #[cfg(feature = "tls")]
            Door::Tls(identity) => Box::pin(in_time(over_tls(stream, identity))),
            #[cfg(feature = "websocket")]
            Door::WebSocket => Box::pin(in_time(over_websocket(stream))),
            #[cfg(all(feature = "websocket", feature = "tls"))]
            Door::WebSocketTls(identity) => {
                Box::pin(in_time(async { over_websocket(over_tls(stream, identity).await?).await }))
            }
        };
        self.admit(origin, opening).await;
    }

    /// Serves a client that speaks TLS over any stream, until it leaves.
    ///
    /// # Cancel
    /// As [`serve`](Self::serve).
    #[cfg(feature = "tls")]
    pub async fn serve_tls<S>(&self, stream: S, identity: &TlsIdentity)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
    {
        let origin = Origin { transport: Transport::Tls, peer_addr: None };
        self.admit(origin, Box::pin(in_time(over_tls(Box::new(stream), identity)))).await;
    }

    /// Serves a client that speaks WebSocket over any stream, its HTTP request included, until it leaves.
    ///
    /// # Cancel
    /// As [`serve`](Self::serve).
    #[cfg(feature = "websocket")]
    pub async fn serve_websocket<S>(&self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
    {
        let origin = Origin { transport: Transport::WebSocket, peer_addr: None };
        self.admit(origin, Box::pin(in_time(over_websocket(Box::new(stream))))).await;
    }
}

/// An [`Emulator`] that accepts connections. Dropping it ends the accepting; connections that are there go on.
#[derive(Debug)]
pub struct Listening {
    emulator: Emulator,
    local_addr: SocketAddr,
    transport: Transport,
    /// The name that its certificate is for.
    host: Option<String>,
    accepting: JoinHandle<()>,
}

impl Listening {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What is spoken there, below AMQP.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The emulator that takes what comes in here.
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// Whether other machines can reach it, which is worth a warning.
    pub fn is_remote(&self) -> bool {
        !self.local_addr.ip().is_loopback()
    }

    /// What a client of this machine connects with: the address, the first rule and its key, and `EntityPath` if an
    /// event hub is given. It is the emulator's own key, and is meant to be shown.
    ///
    /// With TLS the host is the name of the certificate, and there is no `UseDevelopmentEmulator=true`, which would tell
    /// SDKs to do without. For WebSocket the SDK has to be told to use that, beside the string.
    pub fn connection_string(&self, event_hub: Option<&str>) -> String {
        self.emulator.shared.namespace.connection_string(&self.authority(), self.transport, event_hub)
    }

    /// Host and port, as a client of this machine writes them.
    pub fn authority(&self) -> String {
        let port = self.local_addr.port();
        match &self.host {
            Some(host) if host.contains(':') => format!("[{host}]:{port}"),
            Some(host) => format!("{host}:{port}"),
            None => SocketAddr::new(reachable(self.local_addr.ip()), port).to_string(),
        }
    }

    /// Ends the accepting, as dropping does.
    pub fn stop(self) {}
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What a client of this machine dials for what is listened on.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// What stands between a socket and AMQP.
#[derive(Clone, Debug)]
enum Door {
    Tcp,
    #[cfg(feature = "tls")]
    Tls(TlsIdentity),
    #[cfg(feature = "websocket")]
    WebSocket,
    #[cfg(all(feature = "websocket", feature = "tls"))]
    WebSocketTls(TlsIdentity),
}

impl Door {
    fn transport(&self) -> Transport {
        match self {
            Self::Tcp => Transport::Tcp,
            #[cfg(feature = "tls")]
            Self::Tls(_) => Transport::Tls,
            #[cfg(feature = "websocket")]
            Self::WebSocket => Transport::WebSocket,
            #[cfg(all(feature = "websocket", feature = "tls"))]
            Self::WebSocketTls(_) => Transport::WebSocketTls,
        }
    }

    fn host(&self) -> Option<String> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(identity) => Some(identity.host().to_owned()),
            #[cfg(all(feature = "websocket", feature = "tls"))]
            Self::WebSocketTls(identity) => Some(identity.host().to_owned()),
            _ => None,
        }
    }
}

/// Hands every connection to `serve`, in a task of its own.
pub(super) async fn accept<F, Fut>(listener: TcpListener, serve: F)
where
    F: Fn(TcpStream, SocketAddr) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    loop {
        let (stream, peer_addr) = accepted(&listener, |_| {}).await;
        tokio::spawn(serve(stream, peer_addr));
    }
}

/// The next connection; `failed` is told of those that could not be accepted.
///
/// Cancel: none is lost.
pub(crate) async fn accepted(listener: &TcpListener, failed: impl Fn(&io::Error)) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer_addr)) => {
                // Best effort: without it answers come later, not wrong.
                let _ = stream.set_nodelay(true);
                return (stream, peer_addr);
            }
            // That one connection failed, or the process is out of sockets: neither may spin.
            Err(error) => {
                failed(&error);
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

#[cfg(feature = "tls")]
async fn over_tls<'a>(stream: LentStream<'a>, identity: &TlsIdentity) -> io::Result<LentStream<'a>> {
    Ok(Box::new(identity.accept(stream).await?))
}

#[cfg(feature = "websocket")]
async fn over_websocket(stream: LentStream<'_>) -> io::Result<LentStream<'_>> {
    Ok(Box::new(upgrade::accept(stream).await?))
}

/// What comes of a handshake, if it comes in time.
#[cfg(any(feature = "tls", feature = "websocket"))]
async fn in_time<'a>(handshake: impl Future<Output = io::Result<LentStream<'a>>>) -> io::Result<LentStream<'a>> {
    let late = |_| {
        let text = format!("the handshake was not done within {} s", HANDSHAKE_WITHIN.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(late)?
}
