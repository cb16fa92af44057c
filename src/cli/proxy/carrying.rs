//! Bytes between a client and the namespace, both ways, until one of them ends.

mod ends;

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};

use super::interference::{Interference, Side};
use super::rewriting::{Out, Request, Rewriter};
use crate::wire::token::Token;
use crate::{TokenSource, clock};
use ends::{Reader, WRITE_WITHIN, Writer};

const TOKEN_WITHIN: Duration = Duration::from_secs(30);
/// Silence of both for so long is the end: neither is there any more.
const IDLE_FOR: Duration = Duration::from_secs(600);

/// A token that is on its way.
type Coming = Pin<Box<dyn Future<Output = Result<Token, String>> + Send>>;

/// What passes between the two, and how it is changed.
struct Passage<'a> {
    rewriter: Rewriter,
    interference: Option<Interference>,
    tokens: &'a Arc<dyn TokenSource>,
    /// A request, and the token that it waits for: what the client says behind it waits as well.
    asking: Option<(Box<Request>, Coming)>,
}

/// A connection that is carried.
struct Carried<'a, R, W, FR, FW> {
    passage: Passage<'a>,
    client: Reader<R>,
    to_client: Writer<W>,
    hub: Reader<FR>,
    to_hub: Writer<FW>,
    /// When either side has last said something.
    last_word: Instant,
}

/// Carries until either side ends; why, unless that is all there is to say. A client that says no more hears what is
/// still said to it.
///
/// Cancel: both streams are dropped.
pub(super) async fn carry<N, F>(
    near: N,
    far: F,
    host: &str,
    tokens: &Arc<dyn TokenSource>,
    interference: Option<Interference>,
) -> Result<(), String>
where
    N: AsyncRead + AsyncWrite,
    F: AsyncRead + AsyncWrite,
{
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    let mut carried = Carried {
        passage: Passage { rewriter: Rewriter::new(host), interference, tokens, asking: None },
        client: Reader::new(near_read, "the client"),
        to_client: Writer::new(near_write, "the client"),
        hub: Reader::new(far_read, "the namespace"),
        to_hub: Writer::new(far_write, "the namespace"),
        last_word: clock::now(),
    };
    let ended = carried.run().await;
    // Who is still there sees the end, and what was said before it.
    let goodbye = async { tokio::join!(carried.to_client.end(), carried.to_hub.end()) };
    let _ = timeout(WRITE_WITHIN, goodbye).await;
    ended
}

impl<R, W, FR, FW> Carried<'_, R, W, FR, FW>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    FR: AsyncRead + Unpin,
    FW: AsyncWrite + Unpin,
{
    async fn run(&mut self) -> Result<(), String> {
        let news = self.passage.interference.as_ref().map(Interference::news);
        loop {
            let now = clock::now();
            self.passage.turn(&mut self.to_client, &mut self.to_hub, now)?;
            if self.is_over() {
                return Ok(());
            }
            if self.client.ended_at().is_some() && self.passage.hears(Side::Client) {
                self.to_hub.finish();
            }
            if let Some((_, why)) = self.deadlines().into_iter().find(|(at, _)| *at <= now) {
                return why;
            }
            let next = self.deadlines().into_iter().map(|(at, _)| at).chain(self.passage.wake()).min();
            let (hears_client, hears_hub) = (self.hears_client(), self.hears_hub());
            tokio::select! {
                read = self.client.read(), if hears_client => self.heard(Side::Client, read?)?,
                read = self.hub.read(), if hears_hub => self.heard(Side::Hub, read?)?,
                written = self.to_client.write(), if self.to_client.has_work() => written?,
                written = self.to_hub.write(), if self.to_hub.has_work() => written?,
                token = self.passage.token() => self.passage.answered(&token?, &mut self.to_hub),
                () = told(news.as_deref()) => {}
                () = until(next) => {}
            }
        }
    }

    fn hears_client(&self) -> bool {
        self.client.ended_at().is_none() && self.passage.hears(Side::Client) && self.to_hub.has_room()
    }

    fn hears_hub(&self) -> bool {
        self.hub.ended_at().is_none() && self.passage.hears(Side::Hub) && self.to_client.has_room()
    }

    fn heard(&mut self, from: Side, len: usize) -> Result<(), String> {
        self.last_word = clock::now();
        match from {
            Side::Client => self.passage.heard_client(self.client.said(len), self.last_word)?,
            Side::Hub => self.passage.heard_hub(self.hub.said(len), &mut self.to_client, self.last_word)?,
        }
        Ok(())
    }

    /// Whether all is said, and the client has been told.
    fn is_over(&self) -> bool {
        let has_hub_ended = self.hub.ended_at().is_some() && self.passage.hears(Side::Hub);
        (has_hub_ended || self.passage.is_over()) && !self.to_client.has_work()
    }

    /// What must not last longer, and what it means if it does.
    fn deadlines(&self) -> Vec<(Instant, Result<(), String>)> {
        let quiet = "neither side has said anything for 10 min".to_owned();
        [
            self.to_client.deadline().map(|at| (at, Err(self.to_client.gives_up()))),
            self.to_hub.deadline().map(|at| (at, Err(self.to_hub.gives_up()))),
            // The client has said all it has to say, and hears no end of the answers.
            self.client.ended_at().map(|at| (at + WRITE_WITHIN, Ok(()))),
            Some((self.last_word + IDLE_FOR, Err(quiet))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Passage<'_> {
    /// Whether what this side says can be taken now.
    fn hears(&self, side: Side) -> bool {
        let is_paused = self.interference.as_ref().is_some_and(|interference| interference.is_paused(side));
        !is_paused && (side == Side::Hub || self.asking.is_none())
    }

    fn is_over(&self) -> bool {
        self.interference.as_ref().is_some_and(Interference::is_over)
    }

    fn wake(&self) -> Option<Instant> {
        self.interference.as_ref()?.wake()
    }

    fn heard_client(&mut self, bytes: &[u8], now: Instant) -> Result<(), String> {
        match &mut self.interference {
            Some(interference) => interference.hear(Side::Client, bytes, now).map_err(|error| error.to_string()),
            None => {
                self.rewriter.push(bytes);
                Ok(())
            }
        }
    }

    fn heard_hub(
        &mut self,
        bytes: &[u8],
        to_client: &mut Writer<impl AsyncWrite + Unpin>,
        now: Instant,
    ) -> Result<(), String> {
        match &mut self.interference {
            Some(interference) => interference.hear(Side::Hub, bytes, now).map_err(|error| error.to_string()),
            None => {
                to_client.push(bytes);
                Ok(())
            }
        }
    }

    /// Does what is due, and hands on what has been heard.
    fn turn(
        &mut self,
        to_client: &mut Writer<impl AsyncWrite + Unpin>,
        to_hub: &mut Writer<impl AsyncWrite + Unpin>,
        now: Instant,
    ) -> Result<(), String> {
        if let Some(interference) = &mut self.interference {
            interference.turn(now).map_err(|error| error.to_string())?;
            to_client.push(&interference.take(Side::Client));
            self.rewriter.push(&interference.take(Side::Hub));
        }
        while self.asking.is_none() {
            match self.rewriter.next().map_err(|error| error.to_string())? {
                Some(Out::Bytes(bytes)) => to_hub.push(&bytes),
                Some(Out::Request(request)) => {
                    let token = coming(self.tokens, &request.audience);
                    self.asking = Some((request, token));
                }
                None => break,
            }
        }
        Ok(())
    }

    /// The token that is asked for, if one is.
    async fn token(&mut self) -> Result<Token, String> {
        match &mut self.asking {
            Some((_, token)) => token.as_mut().await,
            None => pending().await,
        }
    }

    fn answered(&mut self, token: &Token, to_hub: &mut Writer<impl AsyncWrite + Unpin>) {
        if let Some((request, _)) = self.asking.take() {
            to_hub.push(&request.with(token));
        }
    }
}

fn coming(tokens: &Arc<dyn TokenSource>, audience: &str) -> Coming {
    let token = timeout(TOKEN_WITHIN, tokens.token(audience));
    Box::pin(async move {
        let token = token.await.map_err(|_| "there was no token within 30 s".to_owned())?;
        token.map_err(|error| error.to_string())
    })
}

async fn told(news: Option<&Notify>) {
    match news {
        Some(news) => news.notified().await,
        None => pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}
