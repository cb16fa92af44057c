//! AMQP's byte stream in WebSocket's binary messages. Where a message ends means nothing: frames may be split and joined.
//! Source: event-hubs-wire 3.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Where a namespace takes WebSocket.
pub(crate) const PATH: &str = "/$servicebus/websocket";
/// What is spoken in it.
pub(crate) const SUBPROTOCOL: &str = "AMQPWSB10";

/// Bytes of a message that is taken. SDKs send an AMQP frame in each, which is 64 KiB here; some join a few.
const MAX_MESSAGE_IN: usize = 4 * 1024 * 1024;
/// Bytes of a message that is sent.
const MAX_MESSAGE_OUT: usize = 64 * 1024;
/// Room for what is read, for each connection.
const READ_BUFFER_LEN: usize = 16 * 1024;

/// What the server answers a client's `Sec-WebSocket-Key` with.
pub(crate) fn accept_key(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}

/// A client's `Sec-WebSocket-Key`, another one each time.
pub(crate) fn new_key() -> String {
    generate_key()
}

/// A stream of bytes over WebSocket, after its handshake.
///
/// Pings are answered while reading. A message that is not binary, or is over 4 MiB, is an error. The end is the peer's
/// close; an end of the stream without one is an error. Shutting down sends a close, and waits for the peer's.
pub(crate) struct MessageStream<S> {
    messages: WebSocketStream<S>,
    /// What is left of the last message.
    read: Bytes,
    is_close_sent: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MessageStream<S> {
    /// The server's end. `rest` is what came after the client's request.
    pub(crate) async fn of_server(stream: S, rest: Vec<u8>) -> Self {
        Self::new(stream, rest, Role::Server).await
    }

    /// The client's end. `rest` is what came after the server's answer.
    pub(crate) async fn of_client(stream: S, rest: Vec<u8>) -> Self {
        Self::new(stream, rest, Role::Client).await
    }

    async fn new(stream: S, rest: Vec<u8>, role: Role) -> Self {
        let messages = WebSocketStream::from_partially_read(stream, rest, role, Some(config())).await;
        Self { messages, read: Bytes::new(), is_close_sent: false }
    }

    /// Fills `read`, unless the peer has closed.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.read.is_empty() {
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Binary(bytes))) => self.read = bytes,
                Some(Ok(Message::Text(_))) => {
                    let text = "a text message, and AMQP over WebSocket is in binary ones";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
                // A ping has its answer queued, which the next turn writes; after a close nothing more comes.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, message: impl FnOnce() -> Bytes) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.messages).poll_ready(cx)).map_err(io_error)?;
        let bytes = message();
        let len = bytes.len();
        Pin::new(&mut self.messages).start_send(Message::Binary(bytes)).map_err(io_error)?;
        Poll::Ready(Ok(len))
    }
}

fn config() -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BUFFER_LEN;
    config.write_buffer_size = MAX_MESSAGE_OUT;
    config.max_message_size = Some(MAX_MESSAGE_IN);
    config.max_frame_size = Some(MAX_MESSAGE_IN);
    config
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MessageStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_message(cx))?;
        let len = this.read.len().min(buf.remaining());
        buf.put_slice(&this.read[..len]);
        this.read.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MessageStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.get_mut().poll_send(cx, || Bytes::copy_from_slice(&buf[..buf.len().min(MAX_MESSAGE_OUT)]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.get_mut().poll_send(cx, || joined(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().messages).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_close_sent {
            ready!(Pin::new(&mut this.messages).poll_close(cx)).map_err(io_error)?;
            this.is_close_sent = true;
        }
        // What else the peer has to say is of no use any more, and its end, whatever it is, is one.
        while let Some(Ok(_)) = ready!(Pin::new(&mut this.messages).poll_next(cx)) {}
        Poll::Ready(Ok(()))
    }
}

/// As much as a message holds, in one piece.
fn joined(bufs: &[IoSlice<'_>]) -> Bytes {
    let len = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(MAX_MESSAGE_OUT);
    let mut message = BytesMut::with_capacity(len);
    for buf in bufs {
        let room = len - message.len();
        message.extend_from_slice(&buf[..buf.len().min(room)]);
    }
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// The server's end, and a client's.
    async fn pair(capacity: usize) -> (MessageStream<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (ours, theirs) = tokio::io::duplex(capacity);
        let client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        (MessageStream::of_server(ours, Vec::new()).await, client)
    }

    fn binary(bytes: &'static [u8]) -> Message {
        Message::Binary(Bytes::from_static(bytes))
    }

    #[tokio::test]
    async fn messages_are_split_and_joined_into_a_stream() {
        let (mut server, mut client) = pair(4_096).await;
        for message in [binary(b"abc"), binary(b""), binary(b"defgh"), Message::Ping(Bytes::new()), binary(b"i")] {
            client.send(message).await.unwrap();
        }
        client.close(None).await.unwrap();
        let mut two = [0; 2];
        let mut read = Vec::new();
        loop {
            match server.read(&mut two).await.unwrap() {
                0 => break,
                len => read.extend_from_slice(&two[..len]),
            }
        }
        assert_eq!(read, b"abcdefghi");
    }

    #[tokio::test]
    async fn what_came_with_the_request_is_read_first() {
        // Masked with zeros, as a client's frames have to be.
        let first = [0x82, 0x82, 0, 0, 0, 0, b'h', b'i'];
        let (ours, theirs) = tokio::io::duplex(64);
        let mut server = MessageStream::of_server(ours, first.to_vec()).await;
        let mut text = [0; 2];
        server.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"hi");
        drop(theirs);
    }

    #[tokio::test]
    async fn much_goes_through_a_narrow_stream_in_bounded_messages() {
        let (mut server, mut client) = pair(1_000).await;
        let sent: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let (head, tail) = sent.split_at(100);
            let mut slices = [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(tail)];
            let mut left = &mut slices[..];
            while !left.is_empty() {
                let len = server.write_vectored(left).await.unwrap();
                IoSlice::advance_slices(&mut left, len);
            }
            server.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        while let Some(message) = client.next().await {
            match message.unwrap() {
                Message::Binary(bytes) => {
                    assert!(bytes.len() <= MAX_MESSAGE_OUT);
                    received.extend_from_slice(&bytes);
                }
                Message::Close(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(received == expected);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn a_ping_is_answered_while_nothing_else_is_said() {
        let (mut server, mut client) = pair(4_096).await;
        let reading = tokio::spawn(async move { server.read(&mut [0; 8]).await });
        client.send(Message::Ping(Bytes::from_static(b"are you there"))).await.unwrap();
        let answer = client.next().await.unwrap().unwrap();
        assert_eq!(answer, Message::Pong(Bytes::from_static(b"are you there")));
        client.send(binary(b"x")).await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn an_end_without_a_close_is_an_error_and_so_is_what_amqp_is_not_in() {
        let (mut server, mut client) = pair(4_096).await;
        client.send(binary(b"half")).await.unwrap();
        drop(client);
        let mut read = Vec::new();
        assert!(server.read_to_end(&mut read).await.is_err());
        assert_eq!(read, b"half");

        let (mut server, mut client) = pair(4_096).await;
        client.send(Message::text("half")).await.unwrap();
        assert_eq!(server.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_message_over_the_limit_is_refused_by_its_head() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut server = MessageStream::of_server(ours, Vec::new()).await;
        let len = (MAX_MESSAGE_IN as u64 + 1).to_be_bytes();
        theirs.write_all(&[&[0x82, 0xff][..], &len, &[0; 4]].concat()).await.unwrap();
        assert_eq!(server.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_client_masks_what_it_says_and_both_ends_agree_on_the_end() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut client = MessageStream::of_client(near, b"\x82\x02hi".to_vec()).await;
        let mut text = [0; 2];
        client.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"hi", "what came with the answer");
        client.write_all(b"AMQP").await.unwrap();
        client.flush().await.unwrap();
        let mut frame = [0; 10];
        far.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[..2], [0x82, 0x84], "binary, whole, masked");
        let unmasked: Vec<u8> = frame[6..].iter().zip(&frame[2..6]).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(unmasked, b"AMQP");

        let (near, far) = tokio::io::duplex(64);
        let mut client = MessageStream::of_client(near, Vec::new()).await;
        let mut server = MessageStream::of_server(far, Vec::new()).await;
        let reading = tokio::spawn(async move { server.read(&mut [0; 8]).await });
        client.shutdown().await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn no_bytes_make_it_panic() {
        for first in 0..=255u8 {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let mut server = MessageStream::of_server(ours, Vec::new()).await;
            theirs.write_all(&[first, 0xff, first, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, first, first, first]).await.unwrap();
            drop(theirs);
            let _ = server.read_to_end(&mut Vec::new()).await;
        }
    }
}
