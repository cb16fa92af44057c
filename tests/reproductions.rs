//! The faults that were found in the AMQP client that hubwire's codecs come from, by their numbers in
//! `docs/reliability.md`: what made that client hang, spin, panic or break the protocol, done to hubwire.
//!
//! What is told of a batch is held against what the hub has stored, whatever else is done about the fault.

mod support;

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use hubwire::emulator::Emulator;
use hubwire::{Accepted, Connection, Error, Options, ReceiverOptions, SendError, Sender};
use support::stage::{CLOSE, ClientEnd, DETACH, DISPOSITION, END, FLOW, Reading, Stage, ending};
use support::{HUB, batch_of, built, connection_string, emulator, now, options, stored};

const SEND_TIMEOUT: Duration = Duration::from_secs(60);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// What no wait of a call is in.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Bytes that the road holds.
const ROAD_LEN: usize = 1 << 20;

fn impatient() -> Options {
    options().send_timeout(SEND_TIMEOUT).close_timeout(CLOSE_TIMEOUT).idle_timeout(IDLE_TIMEOUT)
}

async fn open(stream: ClientEnd, emulator: &Emulator) -> Connection {
    Connection::open_over(stream, &connection_string(emulator), &impatient()).await.expect("opens")
}

/// A sender on a road whose faults can be switched on.
async fn staged(emulator: &Emulator) -> (Connection, Sender, Stage) {
    let (stream, stage) = Stage::new(emulator, ROAD_LEN);
    let connection = open(stream, emulator).await;
    let sender = connection.sender(HUB).await.expect("attached");
    settle().await;
    (connection, sender, stage)
}

/// Lets every other task run until nothing is left to do without time passing.
async fn settle() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// All of them at once, each with the time that it took.
async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<(F::Output, Duration)> {
    let began = now();
    let mut left: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_done = true;
        for (future, output) in &mut left {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(ready) => *output = Some((ready, began.elapsed())),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    left.into_iter().filter_map(|(_, output)| output).collect()
}

/// What is told of the batch of one event `body` is true.
#[track_caller]
fn assert_true(emulator: &Emulator, body: &str, outcome: &Result<Accepted, SendError>) {
    let times = stored(emulator).iter().filter(|stored| *stored == body).count();
    let is_true = match outcome {
        Ok(_) => times == 1,
        Err(SendError::NotSent { .. } | SendError::Rejected { .. }) => times == 0,
        Err(_) => times <= 1,
    };
    assert!(is_true, "{body} is stored {times} times, and was told {outcome:?}");
}

// ---- 1: the connection dies with sends under way ------------------------------------------------------------------

/// Two batches leave and are not answered, two wait for credit; then `kill` does what it does. How they ended.
async fn killed(kill: impl FnOnce(&Stage)) -> Vec<(Result<Accepted, SendError>, Duration)> {
    let emulator = built(Emulator::builder().link_credit(2));
    let (_connection, sender, stage) = staged(&emulator).await;
    stage.lose(&[DISPOSITION, FLOW]);
    let bodies = ["left 1", "left 2", "waits 1", "waits 2"];
    let killing = async {
        settle().await;
        assert_eq!(emulator.stored_count(), 2, "two have left");
        stage.lose(&[]);
        kill(&stage);
    };
    let sends = bodies.map(|body| sender.send(batch_of(sender.batch(), [body])));
    let ((), outcomes) = tokio::join!(killing, all(sends));
    for (body, (outcome, took)) in bodies.iter().zip(&outcomes) {
        assert_true(&emulator, body, outcome);
        assert!(*took <= SEND_TIMEOUT, "{body} took {took:?}");
    }
    assert!(stored(&emulator).iter().filter(|body| body.starts_with("left")).count() == 2, "none is stored twice");
    // Whatever has become of the sender, it has an answer for the next one as well.
    let began = now();
    let next = sender.send(batch_of(sender.batch(), ["next"])).await;
    assert!(began.elapsed() <= SEND_TIMEOUT);
    assert_true(&emulator, "next", &next);
    outcomes
}

/// Those that had left are told at `time` that their outcome is unknown.
#[track_caller]
fn assert_left_unknown(outcomes: &[(Result<Accepted, SendError>, Duration)], time: Duration) {
    for (outcome, took) in &outcomes[..2] {
        assert!(matches!(outcome, Err(SendError::Unknown { .. })), "{outcome:?}");
        assert!(*took >= time && *took < time + AT_ONCE, "after {took:?}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_1_a_stream_that_ends_tells_every_send() {
    assert_left_unknown(&killed(|stage| stage.reading(Reading::Ended)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn fault_1_a_stream_that_is_reset_tells_every_send() {
    assert_left_unknown(&killed(|stage| stage.reading(Reading::Reset)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn fault_1_a_close_tells_every_send() {
    let close = ending(CLOSE, 0, "amqp:connection:forced");
    assert_left_unknown(&killed(|stage| stage.say(close)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn fault_1_an_end_tells_every_send() {
    // The hub's channel for the second session: the first one is for tokens.
    let end = ending(END, 1, "amqp:internal-error");
    assert_left_unknown(&killed(|stage| stage.say(end)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn fault_1_silence_tells_every_send() {
    let outcomes = killed(|stage| stage.reading(Reading::Silent)).await;
    assert_left_unknown(&outcomes, IDLE_TIMEOUT);
}

// ---- 2: the write black hole --------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn fault_2_a_peer_that_takes_and_says_nothing_is_found_dead_while_a_write_blocks() {
    let emulator = emulator();
    let (connection, sender, stage) = staged(&emulator).await;
    stage.block_after(0);
    stage.reading(Reading::Silent);
    let bodies = ["one", "two", "three"];
    let outcomes = all(bodies.map(|body| sender.send(batch_of(sender.batch(), [body])))).await;
    for (body, (outcome, took)) in bodies.iter().zip(outcomes) {
        assert!(matches!(outcome, Err(SendError::NotSent { .. })), "{body} never left: {outcome:?}");
        assert!(took <= SEND_TIMEOUT, "{body} took {took:?}");
        assert_true(&emulator, body, &outcome);
    }
    let began = now();
    connection.close().await;
    assert!(began.elapsed() <= CLOSE_TIMEOUT);
    drop((sender, connection));
    tokio::time::sleep(CLOSE_TIMEOUT + AT_ONCE).await;
    assert!(stage.is_dropped(), "the stream is let go");
}

#[tokio::test(start_paused = true)]
async fn fault_2_a_peer_that_takes_nothing_but_lives_costs_each_send_its_deadline_at_most() {
    let emulator = emulator();
    let (connection, sender, stage) = staged(&emulator).await;
    // A mebibyte begins to leave, and the rest of it cannot; others queue behind it.
    stage.block_after(100_000);
    let large = "x".repeat(1_000_000);
    let bodies = [large.as_str(), "behind", "last"];
    let living = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            stage.say([0, 0, 0, 8, 2, 0, 0, 0]);
        }
    };
    let sends = bodies.map(|body| sender.send(batch_of(sender.batch(), [body])));
    let outcomes = tokio::select! { outcomes = all(sends) => outcomes, () = living => unreachable!("it has no end") };
    for ((outcome, took), expected) in outcomes.iter().zip(["unknown", "not sent", "not sent"]) {
        assert!(*took <= SEND_TIMEOUT, "{expected} took {took:?}");
        assert!(outcome.as_ref().is_err_and(|error| error.to_string().contains(expected)), "{expected}: {outcome:?}");
    }
    let began = now();
    connection.close().await;
    assert!(began.elapsed() <= CLOSE_TIMEOUT);
    assert_eq!(emulator.stored_count(), 0);
}

// ---- 3: attach and begin, cancelled -------------------------------------------------------------------------------

/// Polls `future` up to `polls` times, the others getting their turn between, and drops it; whether it was ready.
async fn cancelled_after<F: Future>(future: F, polls: usize) -> bool {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if poll_once(future.as_mut()).await.is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn fault_3_an_attach_cancelled_at_any_step_leaves_the_others_alone() {
    let emulator = emulator();
    let (connection, sender, _stage) = staged(&emulator).await;
    let mut is_ready = false;
    for polls in 0..200 {
        is_ready = cancelled_after(connection.sender(HUB), polls).await;
        cancelled_after(connection.receiver(HUB, "0", &ReceiverOptions::default()), polls).await;
        let again = connection.sender(HUB).await.expect("the next one is attached");
        again.send(batch_of(again.batch(), ["again"])).await.expect("accepted");
        sender.send(batch_of(sender.batch(), ["healthy"])).await.expect("the healthy link lives on");
        if is_ready {
            break;
        }
    }
    assert!(is_ready, "every step was cancelled");
    assert_eq!(emulator.totals().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn fault_3_a_begin_cancelled_at_any_step_leaves_the_connection_alone() {
    let mut is_ready = false;
    for polls in 0..200 {
        // The first sender of a connection begins the session for all of them.
        let emulator = emulator();
        let (stream, _stage) = Stage::new(&emulator, ROAD_LEN);
        let connection = open(stream, &emulator).await;
        is_ready = cancelled_after(connection.sender(HUB), polls).await;
        let sender = connection.sender(HUB).await.expect("the next one is attached");
        sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
        assert_eq!(emulator.totals().connections, 1);
        if is_ready {
            break;
        }
    }
    assert!(is_ready, "every step was cancelled");
}

// ---- 4: closing ---------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn fault_4_a_goodbye_that_is_not_answered_sleeps_until_its_deadline() {
    for (lost, reading) in [(&[DETACH, END, CLOSE][..], Reading::Open), (&[], Reading::Silent)] {
        let emulator = emulator();
        let (connection, sender, stage) = staged(&emulator).await;
        stage.lose(lost);
        stage.reading(reading);
        let (before, began) = (stage.polls(), now());
        sender.close().await;
        connection.close().await;
        let polls = stage.polls() - before;
        assert!(began.elapsed() <= 2 * CLOSE_TIMEOUT, "{reading:?}: took {:?}", began.elapsed());
        assert!(polls < 60, "{reading:?}: {polls} polls to say goodbye");
        tokio::time::sleep(2 * CLOSE_TIMEOUT).await;
        assert!(stage.is_dropped(), "{reading:?}: the stream is let go");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_4_dropped_handles_leave_nothing_behind_when_the_peer_is_dead() {
    let emulator = emulator();
    let (connection, sender, stage) = staged(&emulator).await;
    stage.reading(Reading::Silent);
    stage.block_after(0);
    let before = stage.polls();
    drop((connection, sender));
    tokio::time::sleep(2 * CLOSE_TIMEOUT).await;
    assert!(stage.is_dropped(), "the task and its stream are gone");
    assert!(stage.polls() - before < 60, "{} polls", stage.polls() - before);
}

// ---- 5: small queues ----------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn fault_5_a_road_that_holds_few_bytes_does_not_lock() {
    for buffer_len in [1, 2, 4, 16, 64] {
        let emulator = emulator();
        let (client, server) = tokio::io::duplex(buffer_len);
        let serving = emulator.clone();
        tokio::spawn(async move { serving.serve(server).await });
        let text = connection_string(&emulator);
        let connection = Connection::open_over(client, &text, &impatient()).await.expect("opens");
        let sender = connection.sender(HUB).await.expect("attached");
        let bodies: Vec<String> = (0..100).map(|number| format!("{number} {}", "x".repeat(200))).collect();
        let outcomes = all(bodies.iter().map(|body| sender.send(batch_of(sender.batch(), [body.as_str()])))).await;
        assert!(outcomes.iter().all(|(outcome, _)| outcome.is_ok()), "with {buffer_len}");
        assert_eq!(emulator.stored_count(), 100, "with {buffer_len}");
    }
}

// ---- 6: frames that cannot be -------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn fault_6_a_frame_shorter_than_its_header_ends_the_connection_and_nothing_else() {
    for size in 0..8 {
        let emulator = emulator();
        let (_connection, sender, stage) = staged(&emulator).await;
        stage.lose(&[DISPOSITION]);
        let mut send = Box::pin(sender.send(batch_of(sender.batch(), ["event"])));
        assert!(poll_once(send.as_mut()).await.is_pending());
        settle().await;
        stage.say([0, 0, 0, size, 2, 0, 0, 0]);
        let began = now();
        let outcome = send.await;
        assert!(began.elapsed() < AT_ONCE);
        assert!(matches!(&outcome, Err(SendError::Unknown { cause: Error::Violation { .. }, .. })), "{outcome:?}");
        assert_true(&emulator, "event", &outcome);
    }
}

// ---- 8: a send dropped half-way -----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn fault_8_a_send_dropped_half_way_does_not_corrupt_the_next() {
    let large = "x".repeat(1_000_000);
    for room in [0, 1, 40, 65_535, 65_536, 70_000, 262_144, 999_999] {
        let emulator = emulator();
        let (_connection, sender, stage) = staged(&emulator).await;
        stage.block_after(room);
        let send = sender.send(batch_of(sender.batch(), [large.as_str()]));
        let dropped = tokio::time::timeout(AT_ONCE, send).await;
        assert!(dropped.is_err(), "{room} bytes are not all of it");
        stage.unblock();
        let next = sender.send(batch_of(sender.batch(), ["next"])).await;
        next.unwrap_or_else(|error| panic!("after {room} bytes: {error}"));
        let mut stored = stored(&emulator);
        stored.sort();
        let is_whole = stored.iter().all(|body| body == "next" || *body == large);
        assert!(is_whole && stored.len() <= 2 && stored[0] == "next", "after {room} bytes");
        assert_eq!(emulator.totals().rejected, 0, "after {room} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_8_sends_that_are_dropped_take_no_credit_with_them() {
    let emulator = built(Emulator::builder().link_credit(1));
    let (_connection, sender, stage) = staged(&emulator).await;
    stage.block_after(0);
    for _ in 0..50 {
        let send = sender.send(batch_of(sender.batch(), ["dropped"]));
        assert!(tokio::time::timeout(Duration::from_millis(1), send).await.is_err(), "nothing leaves");
    }
    stage.unblock();
    for body in ["one", "two", "three"] {
        sender.send(batch_of(sender.batch(), [body])).await.expect("accepted");
    }
    let stored = stored(&emulator);
    // The one that the credit was for may have been on its way.
    assert!(stored.iter().filter(|body| *body == "dropped").count() <= 1, "{stored:?}");
}

// ---- 9: control frames that do not fit ----------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn fault_9_an_attach_too_long_for_a_frame_is_refused_whole() {
    let emulator = emulator();
    let (connection, sender, _stage) = staged(&emulator).await;
    let options = ReceiverOptions::default().consumer_group("g".repeat(70_000));
    let error = connection.receiver(HUB, "0", &options).await.expect_err("70,000 bytes in a frame of 65,536");
    assert!(matches!(&error, Error::CannotAttach { what } if what.contains("65536")), "{error:?}");
    sender.send(batch_of(sender.batch(), ["event"])).await.expect("the stream is whole");
}

#[tokio::test(start_paused = true)]
async fn fault_9_an_open_takes_512_bytes_at_most() {
    for (len, is_open) in [(300, true), (440, true), (2_000, false)] {
        let emulator = emulator();
        let options = impatient().user_agent("u".repeat(len)).container_id("c".repeat(len));
        let opened = Connection::open_over(emulator.connect(), &connection_string(&emulator), &options).await;
        match opened {
            Ok(connection) => {
                assert!(is_open, "{len}");
                let sender = connection.sender(HUB).await.expect("the stream is whole");
                sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
            }
            Err(error) => assert!(!is_open && matches!(error, Error::CannotOpen { .. }), "{len}: {error:?}"),
        }
    }
}
