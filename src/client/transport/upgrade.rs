//! From a stream to AMQP over WebSocket. Source: event-hubs-wire 3; RFC 6455, 4.1.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, BufReader};

use super::http::{self, Answer, NoAnswer};
use super::way::default_port;
use super::{Security, Way};
use crate::client::deadline::Deadline;
use crate::client::error::{Error, Step};
use crate::websocket::{MessageStream, PATH, SUBPROTOCOL, accept_key, new_key};

/// Bytes of room for the answer.
const BUFFER_LEN: usize = 1_024;

/// Asks for WebSocket over `stream`, by `deadline`. What it leads to, and the answer.
pub(super) async fn ask<S>(stream: S, way: &Way, deadline: Deadline) -> Result<(MessageStream<S>, Answer), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::with_capacity(BUFFER_LEN, stream);
    let key = new_key();
    let endpoint = way.endpoint.to_string();
    let request = request(&host(way), &key);
    let answer = match deadline.limit(Step::WebSocket, http::ask(&mut stream, &request)).await? {
        Ok(answer) => answer,
        Err(NoAnswer::NotHttp(received)) => return Err(Error::NotHttp { peer: endpoint, received }),
        Err(NoAnswer::Stream(source)) => return Err(Error::Lost { source: Arc::new(source) }),
    };
    if !is_as_asked(&answer, &key) {
        let redirected_to = answer.redirected_to();
        return Err(Error::WebSocketRefused { endpoint, status: answer.status, line: answer.line, redirected_to });
    }
    let rest = stream.buffer().to_vec();
    Ok((MessageStream::of_client(stream.into_inner(), rest).await, answer))
}

fn request(host: &str, key: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\
         User-Agent: hubwire/{version}\r\n\r\n"
    )
}

/// The endpoint, without the port that goes without saying.
fn host(way: &Way) -> String {
    let is_tls = !matches!(way.security, Security::Plain);
    let is_default = way.endpoint.port == default_port(way.transport, is_tls);
    if is_default { way.endpoint.host.clone() } else { way.endpoint.to_string() }
}

/// Whether the peer switched, to AMQP, and in answer to this very request.
fn is_as_asked(answer: &Answer, key: &str) -> bool {
    let says = |name: &str, expected: &str| answer.values(name).any(|value| value.eq_ignore_ascii_case(expected));
    answer.status == 101
        && says("Upgrade", "websocket")
        && answer.values("Sec-WebSocket-Accept").any(|accept| accept == accept_key(key))
        && says("Sec-WebSocket-Protocol", SUBPROTOCOL)
}
