//! `GET /health`, as the official emulator answers it. Source: event-hubs-wire 12.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::ToSocketAddrs;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Emulator;
use super::http::{self, Request, Response};
use super::listening::accept;

/// From connecting to the end of the connection.
const WITHIN: Duration = Duration::from_secs(5);
/// Connections at one time; more are cut off.
const MAX_CONNECTIONS: usize = 64;
const PATH: &str = "/health";
const HEALTHY: &str = r#"{"status":"healthy","message":"Service is healthy."}"#;

impl Emulator {
    /// Answers `GET /health` over HTTP with status 200, as the official emulator does on its port 5300: for scripts that
    /// wait until it is there. The answer is `{"status":"healthy","message":"Service is healthy."}`.
    ///
    /// One request a connection, which has 5 s.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    ///
    /// # Panics
    /// As [`listen`](Self::listen).
    ///
    /// # Cancel
    /// Nothing is left behind.
    pub async fn listen_health(&self, addr: impl ToSocketAddrs) -> io::Result<ListeningHealth> {
        let listener = self.bind(addr, false).await?;
        let local_addr = listener.local_addr()?;
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let accepting = tokio::spawn(accept(listener, move |stream, _| {
            let place = Arc::clone(&places).try_acquire_owned();
            async move {
                if let Ok(_place) = place {
                    // A peer that leaves, or takes too long, has had its chance.
                    let _ = timeout(WITHIN, answer(stream)).await;
                }
            }
        }));
        Ok(ListeningHealth { local_addr, accepting })
    }
}

/// A health endpoint. Dropping it ends it.
#[derive(Debug)]
pub struct ListeningHealth {
    local_addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl ListeningHealth {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

impl Drop for ListeningHealth {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers one request.
async fn answer<S>(mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = http::read_request(&mut stream).await?;
    let response = request.as_ref().map_or_else(Clone::clone, response_to);
    http::respond(&mut stream, request.as_ref().ok(), &response).await
}

fn response_to(request: &Request) -> Response {
    match (request.path(), request.method.as_str()) {
        (PATH, "GET") => {
            Response { content_type: "application/json", ..Response::text("200 OK", "") }.with_body(HEALTHY)
        }
        (PATH, _) => Response::text("405 Method Not Allowed", "Use GET.").with_header("Allow", "GET"),
        _ => Response::text("404 Not Found", "There is only /health here."),
    }
}

impl Response {
    fn with_body(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn answer_to(request: &[u8]) -> String {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let answering = tokio::spawn(answer(ours));
        theirs.write_all(request).await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        let _ = answering.await.unwrap();
        text
    }

    #[tokio::test]
    async fn it_is_healthy_in_the_official_emulators_words() {
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 52\r\nConnection: \
                        close\r\n\r\n{\"status\":\"healthy\",\"message\":\"Service is healthy.\"}";
        assert_eq!(answer_to(b"GET /health HTTP/1.1\r\nHost: localhost:5300\r\n\r\n").await, expected);
    }

    #[tokio::test]
    async fn anything_else_has_its_status() {
        for (request, status, end) in [
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found", "There is only /health here.\n"),
            ("GET /health/ HTTP/1.1\r\n\r\n", "404 Not Found", "here.\n"),
            ("POST /health HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "405 Method Not Allowed", "Use GET.\n"),
            ("HEAD /health HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "\r\n\r\n"),
            ("nonsense\r\n\r\n", "400 Bad Request", "HTTP/1.1`.\n"),
        ] {
            let answer = answer_to(request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
            assert!(answer.ends_with(end), "{request}: {answer}");
        }
        assert!(answer_to(b"PUT /health HTTP/1.1\r\n\r\n").await.contains("\r\nAllow: GET\r\n"));
        assert_eq!(answer_to(b"GET /hea").await, "");
    }
}
