//! The two ends of a connection: what is read from one, and what waits to be written to it.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::clock;

const READ_LEN: usize = 64 * 1024;
/// Bytes that may wait to be written before no more are read for it.
const ROOM: usize = 256 * 1024;
/// A peer that takes nothing for so long is given up.
pub(super) const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// What is read from a peer.
pub(super) struct Reader<R> {
    half: R,
    whom: &'static str,
    buffer: Vec<u8>,
    /// Since when it says no more.
    ended_at: Option<Instant>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(half: R, whom: &'static str) -> Self {
        Self { half, whom, buffer: vec![0; READ_LEN], ended_at: None }
    }

    /// How many bytes it has said; none are its end.
    ///
    /// Cancel: nothing is lost.
    pub(super) async fn read(&mut self) -> Result<usize, String> {
        let len = self.half.read(&mut self.buffer).await.map_err(|error| format!("{}: {error}", self.whom))?;
        if len == 0 {
            self.ended_at = Some(clock::now());
        }
        Ok(len)
    }

    /// The bytes that it has just said.
    pub(super) fn said(&self, len: usize) -> &[u8] {
        &self.buffer[..len]
    }

    pub(super) fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }
}

/// What is written to a peer.
pub(super) struct Writer<W> {
    half: W,
    whom: &'static str,
    waiting: BytesMut,
    /// Something was written that may not have left yet.
    is_dirty: bool,
    is_finishing: bool,
    is_shut: bool,
    /// When the peer has last taken something, or was first offered it.
    since: Instant,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(super) fn new(half: W, whom: &'static str) -> Self {
        let since = clock::now();
        Self { half, whom, waiting: BytesMut::new(), is_dirty: false, is_finishing: false, is_shut: false, since }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.offer();
        self.waiting.extend_from_slice(bytes);
    }

    /// Nothing more is to be written behind what waits.
    pub(super) fn finish(&mut self) {
        self.offer();
        self.is_finishing = true;
    }

    fn offer(&mut self) {
        if !self.has_work() {
            self.since = clock::now();
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < ROOM
    }

    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.is_dirty || (self.is_finishing && !self.is_shut)
    }

    /// When the peer is given up, unless it takes something until then.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.has_work().then(|| self.since + WRITE_WITHIN)
    }

    pub(super) fn gives_up(&self) -> String {
        format!("{} takes nothing any more", self.whom)
    }

    /// Writes some of it, or has what was written leave.
    ///
    /// Cancel: what was not written waits on.
    pub(super) async fn write(&mut self) -> Result<(), String> {
        if !self.waiting.is_empty() {
            let len =
                self.half.write_buf(&mut self.waiting).await.map_err(|error| format!("{}: {error}", self.whom))?;
            if len == 0 {
                return Err(self.gives_up());
            }
            self.is_dirty = true;
        } else if self.is_dirty {
            self.half.flush().await.map_err(|error| format!("{}: {error}", self.whom))?;
            self.is_dirty = false;
        } else if self.is_finishing && !self.is_shut {
            // Whoever is gone already need not be told.
            let _ = self.half.shutdown().await;
            self.is_shut = true;
        }
        self.since = clock::now();
        Ok(())
    }

    /// Writes all of it, and a goodbye.
    pub(super) async fn end(&mut self) {
        self.finish();
        while self.has_work() {
            if self.write().await.is_err() {
                return;
            }
        }
    }
}
