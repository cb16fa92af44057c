//! Bytes between a client and the namespace, both ways, until one of them ends.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::rewriting::{Out, Rewriter};
use crate::{TokenSource, clock};

const READ_LEN: usize = 64 * 1024;
/// A peer that takes nothing for so long is given up.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
const TOKEN_WITHIN: Duration = Duration::from_secs(30);
/// Silence of both for so long is the end: neither is there any more.
const IDLE_FOR: Duration = Duration::from_secs(600);

/// Since when neither side has said anything.
#[derive(Debug)]
struct Quiet(Mutex<Instant>);

impl Quiet {
    fn broken(&self) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = clock::now();
    }

    fn lasts(&self) -> Duration {
        clock::now().saturating_duration_since(*self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// Carries until either side ends; why, unless that is all there is to say.
///
/// Cancel: both streams are dropped.
pub(super) async fn carry<N, F>(near: N, far: F, host: &str, tokens: &Arc<dyn TokenSource>) -> Result<(), String>
where
    N: AsyncRead + AsyncWrite,
    F: AsyncRead + AsyncWrite,
{
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    let quiet = Quiet(Mutex::new(clock::now()));
    let ended = tokio::select! {
        ended = up(&mut near_read, &mut far_write, host, tokens, &quiet) => ended,
        ended = down(&mut far_read, &mut near_write, &quiet) => ended,
    };
    // Who is still there sees the end, and what was said before it.
    let goodbye = async { tokio::join!(near_write.shutdown(), far_write.shutdown()) };
    let _ = timeout(WRITE_WITHIN, goodbye).await;
    ended
}

async fn up(
    near: &mut (impl AsyncRead + Unpin),
    far: &mut (impl AsyncWrite + Unpin),
    host: &str,
    tokens: &Arc<dyn TokenSource>,
    quiet: &Quiet,
) -> Result<(), String> {
    let mut rewriter = Rewriter::new(host);
    let mut buffer = vec![0; READ_LEN];
    while let Some(len) = read(near, &mut buffer, quiet).await? {
        rewriter.push(&buffer[..len]);
        while let Some(out) = rewriter.next().map_err(|error| error.to_string())? {
            let bytes = match out {
                Out::Bytes(bytes) => bytes,
                Out::Request(request) => {
                    let token = timeout(TOKEN_WITHIN, tokens.token(&request.audience)).await;
                    let token = token.map_err(|_| "there was no token within 30 s".to_owned())?;
                    request.with(&token.map_err(|error| error.to_string())?)
                }
            };
            write(far, &bytes, "the namespace").await?;
        }
    }
    Ok(())
}

async fn down(
    far: &mut (impl AsyncRead + Unpin),
    near: &mut (impl AsyncWrite + Unpin),
    quiet: &Quiet,
) -> Result<(), String> {
    let mut buffer = vec![0; READ_LEN];
    while let Some(len) = read(far, &mut buffer, quiet).await? {
        write(near, &buffer[..len], "the client").await?;
    }
    Ok(())
}

/// How much came; `None` at the end.
async fn read(from: &mut (impl AsyncRead + Unpin), buffer: &mut [u8], quiet: &Quiet) -> Result<Option<usize>, String> {
    loop {
        match timeout(IDLE_FOR, from.read(buffer)).await {
            Ok(Ok(0)) => return Ok(None),
            Ok(Ok(len)) => {
                quiet.broken();
                return Ok(Some(len));
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) if quiet.lasts() >= IDLE_FOR => return Err("neither side has said anything for 10 min".to_owned()),
            Err(_) => {}
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], whom: &str) -> Result<(), String> {
    let all = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    let written = timeout(WRITE_WITHIN, all).await.map_err(|_| format!("{whom} takes nothing any more"))?;
    written.map_err(|error| format!("{whom}: {error}"))
}
