//! From an HTTP request to AMQP over WebSocket, or to an answer that says what the request should have been.
//! Source: event-hubs-wire 3; RFC 6455, 4.2.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::websocket::{MessageStream, PATH, SUBPROTOCOL, accept_key};

use super::http::{self, Request, Response};

/// Takes a client's WebSocket handshake. Its deadline is the caller's.
///
/// # Errors
/// What the stream says, and why the request was refused.
pub(super) async fn accept<S>(mut stream: S) -> io::Result<MessageStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = http::read_request(&mut stream).await?;
    match request.as_ref().map_err(Clone::clone).and_then(upgrade) {
        Ok(switching) => {
            stream.write_all(switching.as_bytes()).await?;
            stream.flush().await?;
            let rest = request.map(|request| request.rest).unwrap_or_default();
            Ok(MessageStream::of_server(stream, rest).await)
        }
        Err(response) => {
            let why = format!("answered {}: {}", response.status, response.body.trim_end());
            // The refusal is what counts, whether or not the peer waits for it.
            let _ = http::respond(&mut stream, request.as_ref().ok(), &response).await;
            Err(io::Error::other(why))
        }
    }
}

/// The head that switches protocols, or what is wrong with the request.
fn upgrade(request: &Request) -> Result<String, Response> {
    if request.path().trim_end_matches('/') != PATH {
        let text = format!("AMQP over WebSocket is at {PATH}.");
        return Err(Response::text("404 Not Found", text));
    }
    if request.method != "GET" {
        return Err(Response::text("405 Method Not Allowed", "Use GET.").with_header("Allow", "GET"));
    }
    if !request.lists("Upgrade", "websocket") || !request.lists("Connection", "upgrade") {
        let text = format!("Only WebSocket is spoken here: connect with it, and the subprotocol {SUBPROTOCOL}.");
        return Err(Response::text("426 Upgrade Required", text).with_header("Upgrade", "websocket"));
    }
    if request.header("Sec-WebSocket-Version") != Some("13") {
        let response = Response::text("426 Upgrade Required", "Use version 13 of WebSocket.");
        return Err(response.with_header("Sec-WebSocket-Version", "13"));
    }
    let key = request.header("Sec-WebSocket-Key").filter(|key| is_key(key));
    let Some(key) = key else {
        return Err(Response::text("400 Bad Request", "Sec-WebSocket-Key has to be 16 bytes in base64."));
    };
    if !request.lists("Sec-WebSocket-Protocol", SUBPROTOCOL) {
        let text = format!("Ask for the subprotocol {SUBPROTOCOL}, in Sec-WebSocket-Protocol.");
        return Err(Response::text("400 Bad Request", text));
    }
    let accept = accept_key(key);
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    ))
}

fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    const GOOD: &str = "GET /$servicebus/websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: \
                        keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
                        dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: AMQPWSB10\r\n\r\n";

    /// What a client reads, and whether the handshake was taken.
    async fn answer_to(request: &str) -> (String, bool) {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let accepting = tokio::spawn(async move { accept(ours).await.is_ok() });
        theirs.write_all(request.as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        (text, accepting.await.unwrap())
    }

    /// The key and its answer are the RFC's own. Source: RFC 6455, 1.3.
    #[tokio::test]
    async fn a_good_request_switches_protocols() {
        let with_slash = GOOD.replace("websocket HTTP", "websocket/ HTTP");
        let among_others = GOOD.replace(": AMQPWSB10", ": amqp, AMQPWSB10");
        for request in [GOOD, &with_slash, &among_others] {
            let (answer, is_taken) = answer_to(request).await;
            assert!(is_taken);
            assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
            assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
            assert!(answer.contains("Sec-WebSocket-Protocol: AMQPWSB10\r\n"), "{answer}");
        }
    }

    #[tokio::test]
    async fn any_other_is_told_what_it_should_have_been() {
        let plain = "GET /$servicebus/websocket HTTP/1.1\r\nHost: h\r\n\r\n";
        let without = |line: &str| GOOD.replace(line, "");
        for (request, status, words) in [
            (GOOD.replace("/$servicebus", "/other"), "404", "is at /$servicebus/websocket"),
            (GOOD.replace("GET", "POST"), "405", "Use GET"),
            (plain.to_owned(), "426", "Only WebSocket is spoken here"),
            (without("Upgrade: websocket\r\n"), "426", "Only WebSocket is spoken here"),
            (GOOD.replace("Version: 13", "Version: 8"), "426", "Use version 13"),
            (without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "400", "16 bytes in base64"),
            (GOOD.replace("dGhl", "dGhlIHNh"), "400", "16 bytes in base64"),
            (without("Sec-WebSocket-Protocol: AMQPWSB10\r\n"), "400", "Ask for the subprotocol AMQPWSB10"),
            (GOOD.replace(": AMQPWSB10", ": mqtt"), "400", "Ask for the subprotocol AMQPWSB10"),
            ("AMQP\u{3}\u{1}\0\0".to_owned(), "400", "does not begin as a request"),
        ] {
            let (answer, is_taken) = answer_to(&request).await;
            assert!(!is_taken && answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            assert!(answer.contains(words), "{request}: {answer}");
        }
    }
}
