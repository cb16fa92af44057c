//! Faults: frames that get lost, links that go, streams that break half-way, callers that leave; and all of it at once.

mod support;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use hubwire::emulator::Emulator;
use hubwire::{Connection, Error, Options, Scope, SendError, Sender, Step};
use support::{
    HUB, batch_of, built, connection_string, emulator, next_frame, now, options, restful, restful_builder, stored,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

// ---- frames, looked at on their way ----------------------------------------------------------------------------

const BEGIN: u8 = 0x11;
const ATTACH: u8 = 0x12;
const TRANSFER: u8 = 0x14;
const DETACH: u8 = 0x16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToHub,
    ToClient,
}

/// What passed: which way, the performative's code, the channel.
type Passed = (Way, u8, u16);

/// Stands between a client and an emulator, and sees every frame.
struct Between {
    passed: Arc<Mutex<Vec<Passed>>>,
    to_client: mpsc::UnboundedSender<Vec<u8>>,
}

impl Between {
    /// The client's stream, on which the hub's first answer to a put-token is lost.
    fn losing_the_first_answer(emulator: &Emulator) -> (DuplexStream, Self) {
        let mut lost = false;
        Self::with(emulator, move |seen| {
            let first_answer = seen == (Way::ToClient, TRANSFER, 0) && !lost;
            lost |= first_answer;
            !first_answer
        })
    }

    /// The client's stream, with `keep` asked about every frame: it passes, or is lost.
    fn with(emulator: &Emulator, mut keep: impl FnMut(Passed) -> bool + Send + 'static) -> (DuplexStream, Self) {
        let (client, near) = tokio::io::duplex(1 << 20);
        let far = emulator.connect();
        let passed = Arc::new(Mutex::new(Vec::new()));
        let (to_client, mut said) = mpsc::unbounded_channel::<Vec<u8>>();
        let between = Self { passed: passed.clone(), to_client };
        tokio::spawn(async move {
            let (mut near_read, mut near_write) = tokio::io::split(near);
            let (mut far_read, mut far_write) = tokio::io::split(far);
            let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
            loop {
                let (way, frame) = tokio::select! {
                    Some(frame) = said.recv() => {
                        near_write.write_all(&frame).await.expect("the client is there");
                        continue;
                    }
                    frame = next_frame(&mut near_read, &mut up) => (Way::ToHub, frame),
                    frame = next_frame(&mut far_read, &mut down) => (Way::ToClient, frame),
                };
                let Some(frame) = frame else { return };
                let seen = (way, code(&frame), u16::from_be_bytes([frame[6], frame[7]]));
                passed.lock().expect("no panic").push(seen);
                if keep(seen) {
                    let written = match way {
                        Way::ToHub => far_write.write_all(&frame).await,
                        Way::ToClient => near_write.write_all(&frame).await,
                    };
                    if written.is_err() {
                        return;
                    }
                }
            }
        });
        (client, between)
    }

    fn count(&self, passed: Passed) -> usize {
        self.passed.lock().expect("no panic").iter().filter(|seen| **seen == passed).count()
    }

    /// Says `frame` to the client, in the hub's name.
    fn say(&self, frame: &[u8]) {
        self.to_client.send(frame.to_vec()).expect("the relay is there");
    }
}

/// The performative's code; 0 for headers, heartbeats and SASL.
fn code(frame: &[u8]) -> u8 {
    let amqp = frame[5] == 0 && frame.len() > 10 && !frame.starts_with(b"AMQP");
    if amqp { frame[10] } else { 0 }
}

/// A detach, closed, of `handle` (at most 255) on `channel`.
fn detach(channel: u8, handle: u8) -> [u8; 17] {
    [0, 0, 0, 17, 2, 0, 0, channel, 0x00, 0x53, DETACH, 0xc0, 4, 2, 0x52, handle, 0x41]
}

/// A close with the condition `amqp:connection:forced`.
fn forced_close() -> Vec<u8> {
    let condition = b"amqp:connection:forced";
    let error_len = condition.len() as u8 + 3;
    let mut body = vec![0x00, 0x53, 0x18, 0xc0, error_len + 6, 1, 0x00, 0x53, 0x1d, 0xc0, error_len, 1];
    body.extend([0xa3, condition.len() as u8]);
    body.extend(condition);
    let mut frame = (body.len() as u32 + 8).to_be_bytes().to_vec();
    frame.extend([2, 0, 0, 0]);
    frame.extend(body);
    frame
}

async fn open(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, emulator: &Emulator) -> Connection {
    open_with(stream, emulator, &options()).await
}

async fn open_with(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    emulator: &Emulator,
    options: &Options,
) -> Connection {
    Connection::open_over(stream, &connection_string(emulator), options).await.expect("opens")
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Lets every other task run until nothing is left to do without time passing.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

// ---- callers that leave ----------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_sender_that_came_as_its_caller_left_is_detached() {
    let emulator = emulator();
    let (stream, between) = Between::with(&emulator, |_| true);
    let connection = open(stream, &emulator).await;
    drop(connection.sender(HUB).await.expect("attached"));
    settle().await;
    for round in 0..3 {
        let mut waiting = Box::pin(connection.sender(HUB));
        assert!(poll_once(waiting.as_mut()).await.is_pending(), "an attach takes a round trip");
        // The hub's answer comes, and the caller leaves before it looks.
        settle().await;
        assert_eq!(between.count((Way::ToClient, ATTACH, 1)), round + 2);
        drop(waiting);
        settle().await;
        assert_eq!(between.count((Way::ToHub, DETACH, 1)), round + 2, "nothing is left behind");
    }
}

// ---- tokens ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_token_that_is_never_answered_is_put_again_for_the_next_caller() {
    let emulator = emulator();
    let (stream, _between) = Between::losing_the_first_answer(&emulator);
    let connection = open(stream, &emulator).await;
    let began = now();
    let error = connection.sender(HUB).await.expect_err("the answer is lost");
    assert!(matches!(error, Error::TimedOut { step: Step::Authorize, .. }), "{error:?}");
    assert_eq!(began.elapsed(), OPEN_TIMEOUT);
    connection.sender(HUB).await.expect("asked anew");
    assert_eq!(began.elapsed(), OPEN_TIMEOUT, "at once");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_never_answered_is_put_again_for_those_who_still_wait() {
    let emulator = emulator();
    let (stream, _between) = Between::losing_the_first_answer(&emulator);
    let connection = open(stream, &emulator).await;
    let began = now();
    let later = async {
        tokio::time::sleep(OPEN_TIMEOUT / 2).await;
        connection.sender(HUB).await
    };
    let (first, second) = tokio::join!(connection.sender(HUB), later);
    assert!(matches!(first, Err(Error::TimedOut { step: Step::Authorize, .. })), "{first:?}");
    assert!(second.is_ok(), "{second:?}");
    assert_eq!(began.elapsed(), OPEN_TIMEOUT, "at the first caller's deadline");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_never_answered_is_tried_again_before_the_token_ends() {
    let emulator = restful();
    let mut requests = 0;
    let (stream, _between) = Between::with(&emulator, move |seen| {
        requests += usize::from(seen == (Way::ToHub, TRANSFER, 0));
        // The first is for the sender; the next two are renewals.
        seen != (Way::ToHub, TRANSFER, 0) || !(2..=3).contains(&requests)
    });
    let connection = open_with(stream, &emulator, &options().token_ttl(Duration::from_secs(600))).await;
    let sender = connection.sender(HUB).await.expect("attached");
    tokio::time::sleep(Duration::from_secs(650)).await;
    sender.send(batch_of(sender.batch(), ["event"])).await.expect("the first token has ended, the link has not");
}

#[tokio::test(start_paused = true)]
async fn one_link_for_tokens_that_goes_takes_the_other_along_and_both_come_back() {
    let emulator = built(restful_builder().event_hub("audit", 1));
    let (stream, between) = Between::with(&emulator, |_| true);
    let connection = open(stream, &emulator).await;
    let sender = connection.sender(HUB).await.expect("attached");
    for (round, handle) in [0, 1, 0].into_iter().enumerate() {
        between.say(&detach(0, handle));
        settle().await;
        // One pair at a time is what the service takes. Source: event-hubs-wire 5.1.
        assert_eq!(between.count((Way::ToHub, DETACH, 0)), 2 * (round + 1), "one is answered, one asked for");
        if round == 0 {
            connection.sender("audit").await.expect("authorized over new links");
        } else {
            tokio::time::sleep(Duration::from_secs(3_500)).await;
        }
        assert_eq!(between.count((Way::ToHub, ATTACH, 0)), 2 * (round + 2), "a pair again");
    }
    assert_eq!(between.count((Way::ToHub, BEGIN, 0)), 1, "in the session that is there");
    sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
}

// ---- streams that break ----------------------------------------------------------------------------------------

/// What a [`Broken`] stream does from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// Writes fail; these bytes are still there to be read.
    WritesFail(Vec<u8>),
    /// Heartbeats without end, faster than they can be read.
    Flood,
}

/// A stream that breaks when told to.
struct Broken {
    inner: DuplexStream,
    fault: Arc<Mutex<Option<Fault>>>,
    reads: Arc<AtomicUsize>,
}

/// Reads of a flood before it pauses, so that a test which would fail also ends.
const FLOOD_READS: usize = 200_000;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let reads = this.reads.fetch_add(1, Ordering::Relaxed);
        match &mut *this.fault.lock().expect("no panic") {
            None => return Pin::new(&mut this.inner).poll_read(cx, buf),
            Some(Fault::WritesFail(last_words)) => buf.put_slice(&std::mem::take(last_words)),
            Some(Fault::Flood) if reads < FLOOD_READS => buf.put_slice(&[0, 0, 0, 8, 2, 0, 0, 0]),
            Some(Fault::Flood) => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &*this.fault.lock().expect("no panic") {
            Some(Fault::WritesFail(_)) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            _ => Pin::new(&mut this.inner).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// A sender whose stream can be broken, and how often it was read.
async fn breakable(emulator: &Emulator) -> (Connection, Sender, Arc<Mutex<Option<Fault>>>, Arc<AtomicUsize>) {
    let (fault, reads) = (Arc::default(), Arc::default());
    let stream = Broken { inner: emulator.connect(), fault: Arc::clone(&fault), reads: Arc::clone(&reads) };
    let connection = open(stream, emulator).await;
    let sender = connection.sender(HUB).await.expect("attached");
    settle().await;
    (connection, sender, fault, reads)
}

#[tokio::test(start_paused = true)]
async fn the_hubs_last_words_count_though_nothing_can_be_written_any_more() {
    let emulator = emulator();
    let (_connection, sender, fault, _) = breakable(&emulator).await;
    *fault.lock().expect("no panic") = Some(Fault::WritesFail(forced_close()));
    let error = sender.send(batch_of(sender.batch(), ["event"])).await.expect_err("the stream is broken");
    let SendError::NotSent { cause, .. } = &error else { panic!("no byte left: {error:?}") };
    assert_eq!((cause.scope(), cause.condition()), (Some(Scope::Connection), Some("amqp:connection:forced")));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_pauses_does_not_stop_the_clock() {
    let emulator = emulator();
    let (_connection, sender, fault, reads) = breakable(&emulator).await;
    *fault.lock().expect("no panic") = Some(Fault::Flood);
    let began = now();
    let mut send = Box::pin(sender.send(batch_of(sender.batch(), ["event"])));
    assert!(poll_once(send.as_mut()).await.is_pending());
    tokio::task::yield_now().await;
    tokio::time::advance(SEND_TIMEOUT).await;
    let error = send.await.expect_err("no outcome was read");
    assert!(matches!(error, SendError::Unknown { cause: Error::TimedOut { .. }, .. }), "{error:?}");
    assert_eq!(began.elapsed(), SEND_TIMEOUT);
    assert!(reads.load(Ordering::Relaxed) < FLOOD_READS, "the clock waits for no pause");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_sleeps() {
    let emulator = emulator();
    let (_connection, _sender, _, reads) = breakable(&emulator).await;
    let before = reads.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    let reads = reads.load(Ordering::Relaxed) - before;
    assert!(reads < 500, "{reads} reads for some 100 heartbeats");
}

#[tokio::test(start_paused = true)]
async fn callers_that_insist_on_a_dead_link_do_not_hold_up_the_others() {
    let emulator = emulator();
    let (stream, between) = Between::with(&emulator, |_| true);
    let connection = open(stream, &emulator).await;
    let dead = Arc::new(connection.sender(HUB).await.expect("attached"));
    let alive = connection.sender(HUB).await.expect("attached");
    between.say(&detach(1, 0));
    settle().await;
    let insisting: Vec<_> = (0..300)
        .map(|_| {
            let dead = dead.clone();
            tokio::spawn(async move {
                let mut batch = batch_of(dead.batch(), ["event"]);
                while let Err(SendError::NotSent { batch: back, cause: Error::Closed { scope: Scope::Link, .. } }) =
                    dead.send(batch).await
                {
                    batch = back;
                }
            })
        })
        .collect();
    settle().await;
    let mut send = Box::pin(alive.send(batch_of(alive.batch(), ["kept"])));
    let mut turns = 0;
    let outcome = loop {
        if let Poll::Ready(outcome) = poll_once(send.as_mut()).await {
            break outcome;
        }
        turns += 1;
        assert!(turns < 2_000, "the stream never gets its turn");
        tokio::task::yield_now().await;
    };
    outcome.expect("accepted");
    for task in &insisting {
        assert!(!task.is_finished());
        task.abort();
    }
    assert_eq!(stored(&emulator), ["kept"]);
}

// ---- all of it at once -----------------------------------------------------------------------------------------

/// A small generator of numbers that look random and are the same on every run. Source: xorshift64*.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number below `end`; small ones are as likely as large ones.
    fn small_below(&mut self, end: u64) -> u64 {
        let bits = self.below(u64::from(u64::BITS - end.leading_zeros()) + 1);
        self.below(end.min(1 << bits))
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn millis_below(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.small_below(end))
    }
}

/// What one direction of a rough road does with its bytes.
struct Lane {
    left: u64,
    piece: usize,
    pause: Duration,
    /// After `left` bytes: the end of everything, or silence.
    cuts: bool,
}

impl Lane {
    fn roll(dice: &mut Dice) -> Self {
        let whole = dice.one_in(3);
        Self {
            left: if whole { u64::MAX } else { dice.small_below(1 << 20) },
            piece: 1 + dice.small_below(32 * 1024) as usize,
            pause: if dice.one_in(4) { dice.millis_below(2_000) } else { Duration::ZERO },
            cuts: dice.one_in(2),
        }
    }

    /// Ends when the road does.
    async fn carry(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; 32 * 1024];
        // Pieces of a byte or two are for the beginning: later they only cost time.
        let (mut carried, mut piece) = (0, self.piece);
        while self.left > 0 {
            let room = piece.min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let len = from.read(&mut buffer[..room]).await.unwrap_or(0);
            if len == 0 || to.write_all(&buffer[..len]).await.is_err() {
                return;
            }
            self.left -= len as u64;
            carried += len;
            if carried > 4_096 {
                piece = piece.max(8 * 1024);
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
        if !self.cuts {
            std::future::pending::<()>().await;
        }
    }
}

/// The client's end of its stream, whose drop is noticed: the connection's task has ended then.
struct Watched(DuplexStream, Arc<AtomicBool>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// A road to `emulator` with faults of its own in each direction.
fn rough_road(emulator: &Emulator, dice: &mut Dice) -> (Watched, Arc<AtomicBool>) {
    let (client, near) = tokio::io::duplex(64 + dice.small_below(1 << 18) as usize);
    let far = emulator.connect();
    let (up, down) = (Lane::roll(dice), Lane::roll(dice));
    tokio::spawn(async move {
        let (near_read, near_write) = tokio::io::split(near);
        let (far_read, far_write) = tokio::io::split(far);
        tokio::select! {
            () = up.carry(near_read, far_write) => {},
            () = down.carry(far_read, near_write) => {},
        }
    });
    let ended = Arc::new(AtomicBool::new(false));
    (Watched(client, ended.clone()), ended)
}

/// What the caller of a send was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Accepted,
    Rejected,
    NotSent,
    Unknown,
    /// The caller left before.
    Nothing,
}

const ROUGH_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time that is passed on in whole milliseconds may run a little over.
const SLACK: Duration = Duration::from_millis(5);

/// Runs `work`, which has to be over by then.
async fn within<T>(limit: Duration, seed: u64, what: &str, work: impl Future<Output = T>) -> T {
    let began = now();
    let done = tokio::time::timeout(limit * 10, work).await;
    let done = done.unwrap_or_else(|_| panic!("seed {seed}: {what} hangs"));
    assert!(began.elapsed() <= limit + SLACK, "seed {seed}: {what} took {:?} of {limit:?}", began.elapsed());
    done
}

/// Sends event number `id` as `dice` has it.
async fn rough_send(sender: Arc<Sender>, id: usize, seed: u64, mut dice: Dice) -> Told {
    tokio::time::sleep(dice.millis_below(8_000)).await;
    let mut batch = match dice.one_in(4) && sender.partition_id().is_none() {
        true => sender.batch_with_partition_key("key").expect("a fine key"),
        false => sender.batch(),
    };
    let mut body = id.to_be_bytes().to_vec();
    body.resize(body.len() + 1 + dice.small_below(300_000) as usize, 7);
    assert!(batch.try_add(body).is_added());
    let as_it_was = batch.clone();
    let leaves_after = dice.one_in(4).then(|| dice.millis_below(2_000));
    let send = within(ROUGH_TIMEOUT, seed, "a send", sender.send(batch));
    let outcome = match leaves_after {
        Some(after) => match tokio::time::timeout(after, send).await {
            Ok(outcome) => outcome,
            Err(_) => return Told::Nothing,
        },
        None => send.await,
    };
    let (told, back) = match outcome {
        Ok(accepted) => return if accepted.events == 1 { Told::Accepted } else { panic!("seed {seed}: {accepted:?}") },
        Err(SendError::Rejected { batch, .. }) => (Told::Rejected, batch),
        Err(SendError::NotSent { batch, .. }) => (Told::NotSent, batch),
        Err(SendError::Unknown { batch, .. }) => (Told::Unknown, batch),
        Err(other) => panic!("seed {seed}: {other:?}"),
    };
    assert!(back == as_it_was, "seed {seed}: {told:?}, and not encoded as it was");
    told
}

/// One connection over one rough road; what each send was told.
async fn rough_ride(emulator: &Emulator, seed: u64) -> Vec<Told> {
    let mut dice = Dice::new(seed);
    let options = options()
        .open_timeout(ROUGH_TIMEOUT)
        .send_timeout(ROUGH_TIMEOUT)
        .close_timeout(CLOSE_TIMEOUT)
        .idle_timeout(Duration::from_secs(5 + dice.below(30)));
    let (stream, ended) = rough_road(emulator, &mut dice);
    let connection_string = connection_string(emulator);
    let open = Connection::open_over(stream, &connection_string, &options);
    let connection = within(ROUGH_TIMEOUT, seed, "an open", open).await;
    let mut sends = Vec::new();
    if let Ok(connection) = &connection {
        for number in 0..1 + dice.below(3) {
            let partition_id = dice.below(4).to_string();
            let attach = async {
                if number == 0 {
                    connection.sender(HUB).await
                } else {
                    connection.partition_sender(HUB, &partition_id).await
                }
            };
            let Ok(sender) = within(ROUGH_TIMEOUT, seed, "an attach", attach).await else { continue };
            let sender = Arc::new(sender);
            for _ in 0..1 + dice.below(6) {
                let send = rough_send(sender.clone(), sends.len(), seed, Dice::new(dice.next()));
                sends.push(tokio::spawn(send));
            }
        }
        if dice.one_in(3) {
            tokio::time::sleep(dice.millis_below(10_000)).await;
            within(CLOSE_TIMEOUT, seed, "a close", connection.close()).await;
            // A connection that had fallen before may still be shutting its stream down.
            tokio::time::sleep(CLOSE_TIMEOUT + SLACK).await;
            assert!(ended.load(Ordering::Relaxed), "seed {seed}: closed, and its task goes on");
        }
    }
    let mut told = Vec::new();
    for send in sends {
        told.push(send.await.expect("no panic"));
    }
    drop(connection);
    tokio::time::sleep(CLOSE_TIMEOUT + SLACK).await;
    assert!(ended.load(Ordering::Relaxed), "seed {seed}: every handle is gone, and its task goes on");
    told
}

#[tokio::test(start_paused = true)]
async fn whatever_the_road_does_what_is_told_is_true() {
    let mut totals = [0; 5];
    for seed in 0..400 {
        let emulator = built(Emulator::builder().link_credit(1 + (seed % 7) as u32));
        let told = rough_ride(&emulator, seed).await;
        // What is under way may still arrive.
        tokio::time::sleep(Duration::from_secs(600)).await;
        let mut times_stored = vec![0; told.len()];
        for event in emulator.events(HUB).expect("the hub is there") {
            let event = event.event().expect("what is stored decodes");
            let body = event.data().expect("one data section");
            times_stored[usize::from_be_bytes(body[..8].try_into().expect("its number"))] += 1;
        }
        for (id, (told, times)) in told.into_iter().zip(times_stored).enumerate() {
            let is_true = match told {
                Told::Accepted => times == 1,
                Told::Rejected | Told::NotSent => times == 0,
                Told::Unknown | Told::Nothing => times <= 1,
            };
            assert!(is_true, "seed {seed}: event {id} was told {told:?}, and is stored {times} times");
            totals[told as usize] += 1;
        }
    }
    let [accepted, rejected, not_sent, unknown, nothing] = totals;
    assert!(accepted > 200 && not_sent > 50 && unknown > 50 && nothing > 20, "the dice are loaded: {totals:?}");
    assert_eq!(rejected, 0);
}
