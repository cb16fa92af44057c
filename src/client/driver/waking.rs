//! An owner that drives its connection only now and then: what came while it slept is taken first, and a connection that
//! cannot have lasted is made anew, once, before anything is sent over it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::line::Line;
use super::{Driver, Error, Woken};
use crate::clock;

/// Looks at what came before it decides: a peer that never pauses does not hold up what was asked.
const LOOKS: u32 = 64;

/// How long a connection was not driven.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slumber {
    /// When it last was.
    pub(crate) since: Instant,
    /// How long ago that is, by the clock that went further: a frozen process' own may have stood still.
    pub(crate) span: Duration,
}

pub(in crate::client) struct WakeRequest {
    pub(in crate::client) slumber: Slumber,
    /// Of whoever wants to know what it led to.
    pub(in crate::client) reply: Option<oneshot::Sender<Result<(), Error>>>,
}

impl WakeRequest {
    pub(super) fn end(self, result: Result<(), Error>) {
        if let Some(reply) = self.reply {
            let _ = reply.send(result);
        }
    }
}

/// Whoever slept.
#[derive(Default)]
pub(super) struct Waking {
    /// Until all that came has been taken.
    asked: Vec<WakeRequest>,
    /// Looks since the last of them asked.
    looks: u32,
    /// Until the connection is back, or could not be had.
    waiting: Vec<WakeRequest>,
}

impl Waking {
    pub(super) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether nobody has looked yet.
    pub(super) fn begins(&self) -> bool {
        self.is_asked() && self.looks == 0
    }

    /// Tells those who wait for the connection.
    pub(super) fn tell(&mut self, result: &Result<(), Error>) {
        self.waiting.drain(..).for_each(|request| request.end(result.clone()));
    }

    /// The connection is over.
    pub(super) fn end(&mut self, cause: &Error) {
        self.waiting.append(&mut self.asked);
        self.tell(&Err(cause.clone()));
    }

    fn longest(&self) -> Option<Slumber> {
        self.asked.iter().map(|request| request.slumber).max_by_key(|slumber| slumber.span)
    }
}

impl Driver {
    pub(super) fn on_wake(&mut self, request: WakeRequest) {
        match self.closing {
            Some(_) => request.end(Err(Error::ShutDown)),
            None => {
                self.waking.asked.push(request);
                self.waking.looks = 0;
            }
        }
    }

    /// Only reads. Nothing is written, and nothing more is taken to be written, before it is known where to.
    pub(super) fn poll_catching_up(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        self.waking.looks += 1;
        let may_bring_more = self.line.is_up() && self.waking.looks <= LOOKS;
        if may_bring_more && self.pump.poll_catching_up(cx).is_ready() {
            return Poll::Ready(Woken::Engine);
        }
        Poll::Ready(Woken::Caught)
    }

    /// All that came has been taken. What is lost is tried once, at once, and whoever slept is told what that led to.
    pub(super) fn on_caught_up(&mut self) {
        if let Some(slumber) = self.waking.longest() {
            self.cbs.catch_up(slumber.span.saturating_sub(clock::now().saturating_duration_since(slumber.since)));
            if let Some(cause) = self.staleness(slumber) {
                self.drop_line(cause);
            }
            self.hurry();
        }
        let mut asked = std::mem::take(&mut self.waking.asked);
        self.waking.waiting.append(&mut asked);
        // A hub that asked for time gets it: what is sent waits.
        if self.line.is_open() || matches!(self.line, Line::Resting { .. }) {
            self.waking.tell(&Ok(()));
        }
    }

    /// Why the connection cannot be there any more, or is worth nothing, though nobody has said so.
    fn staleness(&self, slumber: Slumber) -> Option<Error> {
        let Line::Open { since } = self.line else { return None };
        // One that was made since has missed nothing: somebody else looked before.
        if since > slumber.since || self.settings.connector.is_none() {
            return None;
        }
        let engine = &self.pump.engine;
        let options = &self.settings.options;
        let is_silent = engine.last_received() <= slumber.since && slumber.span >= options.idle_timeout;
        let is_given_up = engine.peer_patience().is_some_and(|patience| slumber.span >= patience);
        let why = if is_silent || is_given_up {
            format!("nobody drove it for {:.0?}, longer than an idle connection is kept", slumber.span)
        } else if self.cbs.has_expired((options.wall_clock)()) {
            "its token ended while nobody drove it".to_owned()
        } else {
            return None;
        };
        Some(Error::Lost { source: Arc::new(io::Error::new(io::ErrorKind::TimedOut, why)) })
    }

    /// What rests is tried now: its owner has rested long enough.
    fn hurry(&mut self) {
        let may_hurry = self.outage.as_ref().is_none_or(super::Outage::may_hurry);
        match self.line {
            Line::Asleep => self.connect(),
            Line::Resting { .. } if may_hurry => self.connect(),
            _ => {}
        }
        for id in self.links.resting() {
            self.seek(id);
        }
    }

    /// The wait before what is lost is tried again for the time `attempts`. There is none for an owner that has slept, but
    /// for what its hub asks for.
    pub(super) fn recovery_wait(&mut self, attempts: u32, cause: &Error) -> Duration {
        if self.waking.is_asked() {
            return cause.minimum_wait();
        }
        self.settings.options.retry.recovery_wait(attempts, cause.minimum_wait(), self.random.next())
    }
}

#[cfg(all(test, feature = "emulator"))]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;
    use crate::emulator::{Emulator, Fault};
    use crate::{Connection, ConnectionEvent, ConnectionString, Counters, Options, Sender};

    const HUB: &str = "telemetry";

    /// A connection that finds its emulator again, unless nobody may.
    struct Setting {
        emulator: Emulator,
        connection: Connection,
        sender: Sender,
        is_barred: Arc<AtomicBool>,
        /// Streams that were asked for.
        asked: Arc<AtomicU64>,
    }

    impl Setting {
        async fn new(options: Options) -> Self {
            let emulator = Emulator::builder().event_hub(HUB, 1).build().expect("a hub");
            let to = ConnectionString::parse(&emulator.connection_string(None)).expect("well-formed");
            let (is_barred, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let connect = {
                let (emulator, is_barred, asked) = (emulator.clone(), is_barred.clone(), asked.clone());
                move || {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let is_barred = is_barred.load(Ordering::Relaxed);
                    let refused = || Err(io::ErrorKind::ConnectionRefused.into());
                    std::future::ready(if is_barred { refused() } else { Ok(emulator.connect()) })
                }
            };
            let connection = Connection::open_with(connect, &to, &options).await.expect("opens");
            let sender = connection.sender(HUB).await.expect("attached");
            Self { emulator, connection, sender, is_barred, asked }
        }

        async fn wake_after(&self, secs: u64) -> Result<(), Error> {
            self.connection.wake(Slumber { since: clock::now(), span: Duration::from_secs(secs) }).await
        }

        fn asked(&self) -> u64 {
            self.asked.load(Ordering::Relaxed)
        }

        async fn send(&self) {
            let mut batch = self.sender.batch();
            assert!(batch.try_add("event").is_added());
            self.sender.send(batch).await.expect("accepted");
        }

        fn counters(&self) -> Counters {
            self.connection.counters()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_nap_is_nothing_and_a_sleep_makes_it_anew_without_a_wait() {
        let setting = Setting::new(Options::default()).await;
        setting.wake_after(60).await.expect("it is there");
        assert_eq!(setting.asked(), 1);
        let began = clock::now();
        setting.wake_after(300).await.expect("it is there again");
        setting.send().await;
        assert_eq!((setting.asked(), clock::now()), (2, began), "nothing is waited for");
        assert_eq!(setting.counters().recovered, 2, "the connection, and its link");
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_is_closed_is_tried_once_and_told() {
        let setting = Setting::new(Options::default()).await;
        setting.is_barred.store(true, Ordering::Relaxed);
        let began = clock::now();
        for asked in 2..5 {
            let error = setting.wake_after(300).await.expect_err("nobody is there");
            assert!(matches!(error, Error::Connect { .. }), "{error}");
            assert_eq!((setting.asked(), clock::now()), (asked, began));
        }
        setting.is_barred.store(false, Ordering::Relaxed);
        setting.wake_after(0).await.expect("it is there again");
        setting.send().await;
        assert_eq!(setting.emulator.totals().events, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_closed_a_resting_connection_is_asked_for_another_one() {
        let setting = Setting::new(Options::default()).await;
        let text = "The connection was inactive for more than the allowed 300000 milliseconds.";
        setting.emulator.inject(Fault::close("amqp:connection:forced", text));
        tokio::time::sleep(Duration::from_millis(1)).await;
        setting.wake_after(300).await.expect("it is there again");
        assert_eq!(setting.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_asks_for_time_gets_it() {
        let setting = Setting::new(Options::default()).await;
        setting.emulator.inject(Fault::close("com.microsoft:server-busy", "later"));
        tokio::time::sleep(Duration::from_millis(1)).await;
        let began = clock::now();
        setting.wake_after(10).await.expect("it is on its way");
        assert_eq!(setting.asked(), 1);
        setting.send().await;
        assert!(clock::now() - began > Duration::from_secs(3), "what is sent waits");
        assert_eq!(setting.asked(), 2);
    }

    /// A stream whose peer says that it lives, without a pause, once it is told to.
    struct Chatty {
        stream: tokio::io::DuplexStream,
        is_on: Arc<AtomicBool>,
    }

    impl AsyncRead for Chatty {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            const HEARTBEAT: [u8; 8] = [0, 0, 0, 8, 2, 0, 0, 0];
            if self.is_on.load(Ordering::Relaxed) && buffer.remaining() >= HEARTBEAT.len() {
                buffer.put_slice(&HEARTBEAT);
                return Poll::Ready(Ok(()));
            }
            Pin::new(&mut self.stream).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Chatty {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.stream).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_pauses_does_not_hold_up_a_look() {
        let emulator = Emulator::builder().event_hub(HUB, 1).build().expect("a hub");
        let to = ConnectionString::parse(&emulator.connection_string(None)).expect("well-formed");
        let is_on = Arc::new(AtomicBool::new(false));
        let stream = Chatty { stream: emulator.connect(), is_on: is_on.clone() };
        let connection = Connection::open_over(stream, &to, &Options::default()).await.expect("opens");
        is_on.store(true, Ordering::Relaxed);
        connection.wake(Slumber { since: clock::now(), span: Duration::from_secs(60) }).await.expect("it is there");
        connection.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_slept_together_have_one_connection_made() {
        let setting = Setting::new(Options::default()).await;
        let slumber = Slumber { since: clock::now(), span: Duration::from_secs(600) };
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            setting.connection.rouse(slumber);
            setting.connection.wake(slumber).await.expect("it is there again");
            assert_eq!(setting.asked(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_handed_over_before_a_sleep_leaves_after_the_look() {
        let setting = Setting::new(Options::default().max_in_flight_batches(1_000)).await;
        let mut tickets = Vec::new();
        // More than the task takes in a row.
        for _ in 0..300 {
            let mut batch = setting.sender.batch();
            assert!(batch.try_add("event").is_added());
            tickets.push(setting.sender.enqueue(batch).await.expect("there is room"));
        }
        setting.connection.rouse(Slumber { since: clock::now(), span: Duration::from_secs(600) });
        for ticket in tickets {
            ticket.await.expect("accepted");
        }
        assert_eq!((setting.asked(), setting.emulator.totals().events), (2, 300));
        assert_eq!(setting.counters().retried, 0, "none was sent twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_a_time_that_went_by_unseen_is_renewed() {
        let authorized = Arc::new(AtomicU64::new(0));
        let count = authorized.clone();
        let options = Options::default().token_ttl(Duration::from_secs(120)).on_event(move |event| {
            count.fetch_add(u64::from(matches!(event, ConnectionEvent::Authorized { .. })), Ordering::Relaxed);
        });
        let setting = Setting::new(options).await;
        // Shorter than until the token's end.
        setting.wake_after(100).await.expect("it is there");
        setting.send().await;
        assert_eq!((setting.asked(), authorized.load(Ordering::Relaxed)), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_closed_or_over_says_so() {
        let setting = Setting::new(Options::default()).await;
        setting.connection.close().await;
        assert!(matches!(setting.wake_after(1).await, Err(Error::ShutDown)));
        let emulator = Emulator::builder().event_hub(HUB, 1).build().expect("a hub");
        let to = ConnectionString::parse(&emulator.connection_string(None)).expect("well-formed");
        let connection = Connection::open_over(emulator.connect(), &to, &Options::default()).await.expect("opens");
        // Without a way to another one, the one that is there is better than none.
        let slumber = Slumber { since: clock::now(), span: Duration::from_secs(300) };
        connection.wake(slumber).await.expect("it is there");
    }
}
