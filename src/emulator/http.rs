//! As much of HTTP/1.1 as one request and its answer take: strict, and bounded. Source: RFC 9112.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a request's head; what SDKs send is below 1 KiB.
const MAX_HEAD_LEN: usize = 16 * 1024;
/// Bytes taken and dropped after an answer, so that the peer gets to read it.
const MAX_DRAINED: usize = 64 * 1024;

/// A request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    target: String,
    headers: Vec<(String, String)>,
    /// What came after the head.
    pub(super) rest: Vec<u8>,
}

/// An answer, after which the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: String,
}

impl Request {
    /// The path, without host and query.
    pub(super) fn path(&self) -> &str {
        let after_scheme = self.target.split_once("://").map(|(_, rest)| rest);
        let target = after_scheme.map_or(&*self.target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The first header of this name, written in any case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Whether `word` is in a header that is a list, in any case.
    pub(super) fn lists(&self, name: &str, word: &str) -> bool {
        self.values(name).flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let same = move |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str())
    }
}

impl Response {
    /// An answer in words.
    pub(super) fn text(status: &'static str, body: impl Into<String>) -> Self {
        let body = body.into() + "\n";
        Self { status, content_type: "text/plain; charset=utf-8", headers: Vec::new(), body }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn head(&self) -> String {
        let own = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
        let (status, content_type, len) = (self.status, self.content_type, self.body.len());
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n{own}Connection: close\r\n\r\n"
        )
    }
}

/// Reads a request's head, or says what it should be answered with. Its deadline is the caller's.
///
/// # Errors
/// What the stream says, and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when it ends within the head.
pub(super) async fn read_request<S>(stream: &mut S) -> io::Result<Result<Request, Response>>
where
    S: AsyncRead + Unpin,
{
    let mut buffer = Vec::with_capacity(1_024);
    loop {
        if let Some(end) = end_of_head(&buffer) {
            let rest = buffer.split_off(end);
            return Ok(parse(&buffer).map(|request| Request { rest, ..request }));
        }
        if buffer.len() >= MAX_HEAD_LEN {
            let text = format!("The head of the request is longer than {MAX_HEAD_LEN} bytes.");
            return Ok(Err(Response::text("431 Request Header Fields Too Large", text)));
        }
        if !could_be_http(&buffer) {
            return Ok(Err(malformed("it does not begin as a request of HTTP/1.1 does")));
        }
        let room = (MAX_HEAD_LEN - buffer.len()) as u64;
        if (&mut *stream).take(room).read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer left before its request was complete"));
        }
    }
}

/// Writes an answer, ends our direction, and lets the peer end its own.
pub(super) async fn respond<S>(stream: &mut S, request: Option<&Request>, response: &Response) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut text = response.head();
    if request.is_none_or(|request| request.method != "HEAD") {
        text += &response.body;
    }
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    // Closing over bytes that were not read would take the answer from the peer.
    tokio::io::copy(&mut stream.take(MAX_DRAINED as u64), &mut tokio::io::sink()).await?;
    Ok(())
}

fn end_of_head(buffer: &[u8]) -> Option<usize> {
    buffer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Whether more bytes could make a request of it: TLS and AMQP are told at their first byte or soon after.
fn could_be_http(start: &[u8]) -> bool {
    let method = start.split(|&byte| byte == b' ').next().unwrap_or_default();
    method.len() <= 16 && method.iter().all(|&byte| is_token(byte))
}

fn parse(head: &[u8]) -> Result<Request, Response> {
    let text = std::str::from_utf8(head).map_err(|_| malformed("it is not UTF-8"))?;
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let (method, target) = request_line(lines.next().unwrap_or_default())?;
    let headers = lines.map(header).collect::<Result<Vec<_>, _>>()?;
    Ok(Request { method: method.to_owned(), target: target.to_owned(), headers, rest: Vec::new() })
}

fn request_line(line: &str) -> Result<(&str, &str), Response> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(malformed("its first line is not `GET /path HTTP/1.1`"));
    };
    let is_target = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    if method.is_empty() || !method.bytes().all(is_token) || !is_target {
        return Err(malformed("its first line is not `GET /path HTTP/1.1`"));
    }
    match version {
        "HTTP/1.1" | "HTTP/1.0" => Ok((method, target)),
        _ => Err(Response::text("505 HTTP Version Not Supported", "Use HTTP/1.1.")),
    }
}

fn header(line: &str) -> Result<(String, String), Response> {
    let Some((name, value)) = line.split_once(':') else { return Err(malformed("a header has no colon")) };
    // A line that begins with a blank goes on with the one before, which has been given up.
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(malformed("a header's name has characters that it cannot have"));
    }
    let value = value.trim_matches([' ', '\t']);
    if value.contains(|c: char| c.is_control() && c != '\t') {
        return Err(malformed("a header's value has control characters"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Source: RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn malformed(what: &str) -> Response {
    Response::text("400 Bad Request", format!("The request cannot be read: {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes`, which come in pieces of `piece_len`.
    async fn read(bytes: &[u8], piece_len: usize) -> io::Result<Result<Request, Response>> {
        let (mut ours, mut theirs) = tokio::io::duplex(piece_len);
        let bytes = bytes.to_vec();
        let writing = tokio::spawn(async move {
            let _ = theirs.write_all(&bytes).await;
        });
        let read = read_request(&mut ours).await;
        drop(ours);
        writing.await.unwrap();
        read
    }

    #[tokio::test]
    async fn a_request_is_read_however_it_is_cut() {
        for piece_len in [1, 2, 7, 4_096] {
            let request = read(b"GET /health?x=1 HTTP/1.1\r\nHost: a\r\nX:\t b , c \r\n\r\nrest", piece_len).await;
            let request = request.unwrap().unwrap();
            assert_eq!((request.method.as_str(), request.path()), ("GET", "/health"));
            assert_eq!((request.header("HOST"), request.header("y")), (Some("a"), None));
            assert!(request.lists("x", "B") && request.lists("x", "c") && !request.lists("x", "b , c"));
            assert!(b"rest".starts_with(&request.rest));
        }
    }

    #[tokio::test]
    async fn paths_are_found_in_every_form_of_target() {
        for (target, path) in
            [("/", "/"), ("http://host/a?b", "/a"), ("http://host", "/"), ("*", "*"), ("/a//b", "/a//b")]
        {
            let request = read(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes(), 64).await.unwrap().unwrap();
            assert_eq!(request.path(), path, "{target}");
        }
    }

    #[tokio::test]
    async fn what_is_no_request_is_answered_in_words() {
        let long = [b"GET / HTTP/1.1\r\nX: ", "x".repeat(MAX_HEAD_LEN).as_bytes()].concat();
        for (bytes, status, words) in [
            (&b"AMQP\x03\x01\x00\x00"[..], "400", "does not begin as a request"),
            (b"\x16\x03\x01\x02\x00", "400", "does not begin as a request"),
            (b"GETGETGETGETGETGETGET", "400", "does not begin as a request"),
            (b"GET /\r\n\r\n", "400", "first line"),
            (b"GET  / HTTP/1.1\r\n\r\n", "400", "first line"),
            (b"GET /a\x01b HTTP/1.1\r\n\r\n", "400", "first line"),
            (b"GET / HTTP/2\r\n\r\n", "505", "Use HTTP/1.1"),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "400", "no colon"),
            (b"GET / HTTP/1.1\r\na: b\r\n folded: c\r\n\r\n", "400", "name has characters"),
            (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", "400", "name has characters"),
            (b"GET / HTTP/1.1\r\nA: b\nc\r\n\r\n", "400", "control characters"),
            (b"GET / HTTP/1.1\r\nA: \xff\r\n\r\n", "400", "not UTF-8"),
            (&long, "431", "longer than 16384 bytes"),
        ] {
            let refused = read(bytes, 64).await.unwrap().unwrap_err();
            assert!(refused.status.starts_with(status), "{words}: {refused:?}");
            assert!(refused.body.contains(words), "{words}: {refused:?}");
        }
        assert_eq!(read(b"GET / HT", 64).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
