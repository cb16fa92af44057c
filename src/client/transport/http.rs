//! As much of HTTP/1.1 as one question and the head of its answer take: strict, and bounded. Source: RFC 9112.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of an answer's head. Proxies and gateways stay well below.
const MAX_HEAD_LEN: usize = 16 * 1024;
/// Bytes of what is no HTTP that are shown.
const MAX_SHOWN: usize = 16;
/// Characters of a status line that are shown.
const MAX_LINE_LEN: usize = 120;
/// What every answer begins with.
const BEGINNING: &[u8] = b"HTTP/1.";

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The first line, fit to print.
    pub(super) line: String,
    headers: Vec<(String, String)>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The stream failed, or ended too soon.
    Stream(io::Error),
    /// The peer speaks something else: its first bytes.
    NotHttp(Vec<u8>),
}

impl From<io::Error> for NoAnswer {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// Asks, and reads the head of the answer and no byte more. Its deadline is the caller's.
pub(super) async fn ask<S>(stream: &mut S, request: &str) -> Result<Answer, NoAnswer>
where
    S: AsyncBufRead + AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let head = read_head(stream).await?;
    parse(&head).ok_or_else(|| not_http(&head))
}

impl Answer {
    /// All headers of this name, written in any case.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let same = move |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str())
    }

    /// Where it leads elsewhere: scheme and host alone, since what follows may be meant for nobody's eyes.
    #[cfg_attr(not(feature = "websocket"), allow(dead_code, reason = "proxies lead nowhere else"))]
    pub(super) fn redirected_to(&self) -> Option<String> {
        let location = self.values("Location").next().filter(|_| (300..400).contains(&self.status))?;
        let (scheme, rest) = location.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit('@').next()?;
        Some(printable(&format!("{scheme}://{host}")))
    }
}

async fn read_head<S: AsyncBufRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, NoAnswer> {
    let mut head = Vec::with_capacity(512);
    loop {
        let chunk = stream.fill_buf().await?;
        if chunk.is_empty() {
            let text = "the peer ended the connection before its answer was complete";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
        }
        let len = take(&mut head, chunk);
        stream.consume(len);
        if head.ends_with(b"\r\n\r\n") {
            return Ok(head);
        }
        let is_http = head.iter().zip(BEGINNING).all(|(is, should)| is == should);
        if !is_http || head.len() >= MAX_HEAD_LEN {
            return Err(not_http(&head));
        }
    }
}

/// Adds of `chunk` what belongs to the head, and tells how much that is.
fn take(head: &mut Vec<u8>, chunk: &[u8]) -> usize {
    let mut taken = 0;
    for &byte in chunk {
        head.push(byte);
        taken += 1;
        if head.ends_with(b"\r\n\r\n") || head.len() >= MAX_HEAD_LEN {
            break;
        }
    }
    taken
}

fn not_http(head: &[u8]) -> NoAnswer {
    NoAnswer::NotHttp(head[..head.len().min(MAX_SHOWN)].to_vec())
}

fn parse(head: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let line = lines.next()?;
    let (version, rest) = line.split_once(' ')?;
    let digits = rest.split(' ').next()?;
    let is_status = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_status || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return None;
    }
    let headers = lines.filter_map(header).collect();
    Some(Answer { status: digits.parse().ok()?, line: printable(line), headers })
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

/// ASCII that a terminal can be shown, and not too much of it.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.trim_end().chars().take(MAX_LINE_LEN).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, BufReader};

    /// The answer to a peer's `bytes`, which come in pieces of `piece_len`, and what is left behind it.
    async fn answer(bytes: &[u8], piece_len: usize) -> (Result<Answer, NoAnswer>, Vec<u8>) {
        let (ours, theirs) = tokio::io::duplex(piece_len.max(8));
        let bytes = bytes.to_vec();
        let peer = tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(theirs);
            read.read_exact(&mut [0; 3]).await.unwrap();
            for piece in bytes.chunks(piece_len) {
                if write.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            let _ = write.shutdown().await;
        });
        let mut ours = BufReader::new(ours);
        let answer = ask(&mut ours, "ask").await;
        let mut rest = Vec::new();
        if answer.is_ok() {
            ours.read_to_end(&mut rest).await.unwrap();
        }
        drop(ours);
        peer.await.unwrap();
        (answer, rest)
    }

    #[tokio::test]
    async fn a_head_is_read_however_it_is_cut_and_no_byte_more() {
        for piece_len in [1, 2, 7, 4_096] {
            let bytes = b"HTTP/1.1 200 Connection established\r\nX: a\r\nx:  b \r\n\r\nAMQP";
            let (answer, rest) = answer(bytes, piece_len).await;
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.line.as_str()), (200, "HTTP/1.1 200 Connection established"));
            assert_eq!(answer.values("X").collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(rest, b"AMQP");
        }
    }

    #[tokio::test]
    async fn what_is_no_http_is_told_by_its_first_bytes() {
        for bytes in [
            &b"AMQP\x03\x01\x00\x00"[..],
            b"\x15\x03\x03\x00\x02\x02\x46",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"SSH-2.0-x\r\n",
            b"\xff",
        ] {
            let (answer, _) = answer(bytes, 4_096).await;
            let Err(NoAnswer::NotHttp(shown)) = answer else { panic!("{answer:?}") };
            assert!(bytes.starts_with(&shown), "{shown:?}");
        }
    }

    #[tokio::test]
    async fn a_head_is_bounded_and_has_to_be_whole() {
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 2 * MAX_HEAD_LEN]].concat();
        assert!(matches!(answer(&endless, 4_096).await.0, Err(NoAnswer::NotHttp(_))));
        for part in ["", "HTTP", "HTTP/1.1 200 OK\r\n"] {
            let (answer, _) = answer(part.as_bytes(), 4_096).await;
            let Err(NoAnswer::Stream(error)) = answer else { panic!("{answer:?}") };
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn a_line_is_shown_as_far_as_it_is_fit_to_print() {
        let (shown, _) = answer(b"HTTP/1.1 403 \x1b[2J\xff no\r\n\r\n", 4_096).await;
        assert_eq!(shown.unwrap().line, "HTTP/1.1 403 ?[2J? no");
        let long = format!("HTTP/1.1 403 {}\r\n\r\n", "x".repeat(1_000));
        assert_eq!(answer(long.as_bytes(), 4_096).await.0.unwrap().line.len(), MAX_LINE_LEN);
    }

    #[tokio::test]
    async fn a_redirection_is_told_by_its_host() {
        let bytes = b"HTTP/1.1 302 Found\r\nLocation: https://u:p@login.example:8/a?token=secret\r\n\r\n";
        let (redirected, _) = answer(bytes, 4_096).await;
        assert_eq!(redirected.unwrap().redirected_to().as_deref(), Some("https://login.example:8"));
        let (plain, _) = answer(b"HTTP/1.1 200 OK\r\nLocation: https://a/\r\n\r\n", 4_096).await;
        assert_eq!(plain.unwrap().redirected_to(), None);
    }

    #[tokio::test]
    async fn no_bytes_make_it_panic() {
        for byte in 0..=255u8 {
            let bytes = [b"HTTP/1.1 ", &[byte, byte, byte, b' ', byte, b'\r', b'\n', byte][..], b":\r\n\r\n"].concat();
            let (answer, _) = answer(&bytes, 3).await;
            let _ = answer.map(|answer| answer.redirected_to());
        }
    }
}
