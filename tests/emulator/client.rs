//! An independent peer: fe2o3-amqp's own client.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::{SendError, SenderAttachError};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Sendable, Sender, Session};
use fe2o3_amqp_cbs::client::CbsClient;
use fe2o3_amqp_cbs::token::CbsToken;
use fe2o3_amqp_management::error::Error as MgmtError;
use fe2o3_amqp_types::definitions;
use fe2o3_amqp_types::messaging::{Batch, Data, Message, Outcome};
use fe2o3_amqp_types::primitives::Binary;
use hubwire::emulator::Emulator;
use hubwire::wire::event::Event;
use hubwire::wire::sas::sign;
use serde_amqp::primitives::Symbol;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) const BATCH: u32 = 0x8001_3700;
pub(crate) const NAMESPACE: &str = "sb://localhost";
const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) struct Client {
    pub(crate) connection: ConnectionHandle<()>,
    pub(crate) session: SessionHandle<()>,
}

impl Client {
    pub(crate) async fn open(emulator: &Emulator) -> Self {
        Self::open_with(emulator.connect()).await
    }

    pub(crate) async fn open_with<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static,
    {
        let builder = Connection::builder().container_id("test").scheme("amqp").sasl_profile(SaslProfile::Anonymous);
        let mut connection = builder.open_with_stream(stream).await.expect("a connection");
        let session = Session::begin(&mut connection).await.expect("a session");
        Self { connection, session }
    }

    /// A client with a token for the whole namespace.
    pub(crate) async fn authorized(emulator: &Emulator) -> Self {
        let mut client = Self::open(emulator).await;
        client.put_token(NAMESPACE, &token(NAMESPACE, "SAS_KEY_VALUE", HOUR)).await.expect("a grant");
        client
    }

    pub(crate) async fn put_token(&mut self, name: &str, token: &str) -> Result<(), MgmtError> {
        let mut cbs = CbsClient::attach(&mut self.session).await.expect("the `$cbs` pair");
        let result = cbs.put_token(name, CbsToken::new(token, "servicebus.windows.net:sastoken", None)).await;
        cbs.close().await.expect("an orderly end");
        result
    }

    /// A sender that must be there.
    pub(crate) async fn sender(&mut self, address: &str) -> Sender {
        self.named_sender(address, address).await
    }

    pub(crate) async fn named_sender(&mut self, name: &str, address: &str) -> Sender {
        Sender::attach(&mut self.session, name, address).await.unwrap_or_else(|error| panic!("{address}: {error:?}"))
    }

    /// Condition and description of a sender that must be refused.
    pub(crate) async fn refused_sender(&mut self, address: &str) -> (String, String) {
        // In a session of its own: after a refusal this client may take its own late detach for that of the next link.
        let mut session = Session::begin(&mut self.connection).await.expect("a session");
        match Sender::attach(&mut session, address, address).await {
            Err(SenderAttachError::RemoteClosedWithError(error)) => parts(error),
            Err(other) => panic!("{address}: {other:?}"),
            Ok(_) => panic!("{address}: attached"),
        }
    }

    pub(crate) async fn close(mut self) {
        self.session.end().await.expect("an orderly end");
        self.connection.close().await.expect("an orderly close");
    }
}

#[allow(clippy::disallowed_methods, reason = "a token for the emulator's clock, which starts from this one")]
pub(crate) fn token(audience: &str, key: &str, ttl: Duration) -> String {
    sign(audience, "RootManageSharedAccessKey", key, SystemTime::now(), ttl).as_str().to_owned()
}

/// A batch of these encoded events.
pub(crate) fn batch(events: impl IntoIterator<Item = Vec<u8>>) -> Sendable<Batch<Data>> {
    let events: Vec<Data> = events.into_iter().map(|event| Data(Binary::from(event))).collect();
    Sendable { message: Message::from(Batch::new(events)), message_format: BATCH, settled: None }
}

pub(crate) fn event(body: &str) -> Vec<u8> {
    Event::new(body).encode().expect("a plain event").to_vec()
}

pub(crate) fn events(bodies: &[&str]) -> Sendable<Batch<Data>> {
    batch(bodies.iter().map(|body| event(body)))
}

pub(crate) fn accepted(outcome: Result<Outcome, SendError>) {
    assert!(matches!(outcome, Ok(Outcome::Accepted(_))), "{outcome:?}");
}

/// Condition and description of a rejection.
pub(crate) fn rejected(outcome: Result<Outcome, SendError>) -> (String, String) {
    match outcome {
        Ok(Outcome::Rejected(rejected)) => parts(rejected.error.expect("a reason")),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn parts(error: definitions::Error) -> (String, String) {
    let condition = serde_amqp::to_vec(&error.condition).expect("a symbol");
    let condition: Symbol = serde_amqp::from_slice(&condition).expect("a symbol");
    (condition.0, error.description.unwrap_or_default())
}

/// A stream that keeps what was written to it, write by write.
#[derive(Debug)]
pub(crate) struct Recorded<S> {
    pub(crate) inner: S,
    pub(crate) written: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(len)) = written {
            self.written.lock().unwrap().push(bytes[..len].to_vec());
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A stream on which an attach's largest message of 1,000 bytes arrives as 16 MiB: its client does not refuse for the hub.
#[derive(Debug)]
pub(crate) struct Unlimited<S> {
    pub(crate) inner: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Unlimited<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let new = &mut buf.filled_mut()[before..];
        if let Some(at) = new.windows(9).position(|window| *window == [0x80, 0, 0, 0, 0, 0, 0, 0x03, 0xe8]) {
            new[at + 5] = 1;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unlimited<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
