//! What is lost is restored: links, sessions, connections; batches that wait, and callers that leave; tokens; bounds.

mod support;

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hubwire::emulator::{Emulator, Fault};
use hubwire::{
    Batch, Connection, ConnectionEvent, Error, IdleLinks, Options, Retry, Scope, SendError, Sender, Step, Token,
    TokenError, TokenFuture, TokenSource,
};
use support::{HUB, batch_of, built, connection_string, emulator, now, options, restful_builder, stored};
use tokio::io::DuplexStream;

const SECOND: Duration = Duration::from_secs(1);

/// Everything that was told of a connection.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<ConnectionEvent>>>);

impl Told {
    fn watch(&self, options: Options) -> Options {
        let events = Arc::clone(&self.0);
        options.on_event(move |event| events.lock().expect("not poisoned").push(event.clone()))
    }

    fn count(&self, which: impl Fn(&ConnectionEvent) -> bool) -> usize {
        self.0.lock().expect("not poisoned").iter().filter(|event| which(event)).count()
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").iter().map(ToString::to_string).collect()
    }

    fn recovered(&self, scope: Scope) -> usize {
        self.count(|event| matches!(event, ConnectionEvent::Recovered { scope: of, .. } if *of == scope))
    }

    fn warnings(&self) -> usize {
        self.count(ConnectionEvent::is_warning)
    }
}

/// A connection that finds its way back to `emulator`.
async fn connect(emulator: &Emulator, options: &Options) -> Connection {
    let to = emulator.clone();
    let connect = move || std::future::ready(io::Result::Ok(to.connect()));
    Connection::open_with(connect, &connection_string(emulator), options).await.expect("opens")
}

async fn sender(emulator: &Emulator, options: &Options) -> (Connection, Sender) {
    let connection = connect(emulator, options).await;
    let sender = connection.sender(HUB).await.expect("attached");
    (connection, sender)
}

fn one(sender: &Sender, body: &str) -> Batch {
    batch_of(sender.batch(), [body])
}

async fn send(sender: &Sender, body: &str) -> Result<(), SendError> {
    sender.send(one(sender, body)).await.map(drop)
}

/// Lets every other task run until nothing is left to do without time passing.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn detach(condition: &str) -> Fault {
    Fault::detach(condition, "Moved.")
}

// ---- links, sessions, connections ------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn each_scope_is_restored_by_the_smallest_thing_that_will_do() {
    for (fault, scope, connections) in [
        (detach("amqp:link:detach-forced"), Scope::Link, 1),
        (detach("amqp:internal-error"), Scope::Link, 1),
        (Fault::end("amqp:internal-error", "Moved."), Scope::Link, 1),
        (Fault::close("amqp:connection:forced", "Moved."), Scope::Connection, 2),
        (detach("amqp:connection:forced"), Scope::Connection, 2),
        (Fault::cut_after_bytes(0), Scope::Connection, 2),
    ] {
        let told = Told::default();
        let emulator = emulator();
        let (connection, sender) = sender(&emulator, &told.watch(options())).await;
        send(&sender, "before").await.expect("accepted");
        emulator.inject(fault.clone());
        // Nobody sends: what is lost is seen, and restored, all the same.
        tokio::time::sleep(SECOND * 30).await;
        assert_eq!(told.recovered(scope), 1, "{fault}: {:#?}", told.lines());
        let began = now();
        send(&sender, "after").await.expect("accepted");
        assert_eq!(now(), began, "{fault}: the link was there");
        assert_eq!(emulator.totals().connections, connections, "{fault}");
        assert_eq!(stored(&emulator).len(), 2);
        assert!(connection.counters().recovered >= 1);
        connection.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_a_link_falls_is_sent_over_the_next_one_in_its_order() {
    let emulator = emulator();
    let (_connection, sender) = sender(&emulator, &options()).await;
    let partition = sender_to_partition(&_connection).await;
    emulator.inject(Fault::withhold_credit().lasting(SECOND));
    settle().await;
    // Three hundred have credit still; what is beyond waits for more, and then the link goes.
    let sends: Vec<_> = (0..400).map(|number| partition.send(one(&partition, &number.to_string()))).collect();
    let going = futures_join(sends);
    let fault = async {
        settle().await;
        emulator.inject(detach("amqp:link:detach-forced"));
    };
    let (outcomes, ()) = tokio::join!(going, fault);
    let mut accepted = 0;
    for outcome in outcomes {
        match outcome {
            Ok(_) => accepted += 1,
            Err(SendError::Unknown { cause, .. }) => assert_eq!(cause.scope(), Some(Scope::Link), "{cause}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(accepted >= 100, "{accepted}");
    let numbers: Vec<u32> = stored(&emulator).iter().map(|body| body.parse().expect("a number")).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    drop(sender);
}

async fn sender_to_partition(connection: &Connection) -> Sender {
    connection.partition_sender(HUB, "0").await.expect("attached")
}

/// Polls all of them together; their results, in order.
async fn futures_join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_done = true;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    futures.into_iter().map(|(_, output)| output.expect("ready")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_send_to_a_hub_that_is_away_waits_and_is_told_the_first_cause_in_the_end() {
    let told = Told::default();
    let emulator = emulator();
    let away = Arc::new(AtomicUsize::new(0));
    let (to, is_away) = (emulator.clone(), Arc::clone(&away));
    let connect = move || {
        let stream = match is_away.load(Ordering::Relaxed) {
            0 => Ok(to.connect()),
            _ => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
        };
        std::future::ready(stream)
    };
    let retry = Retry::default().cap(SECOND * 5);
    let options = told.watch(options().send_timeout(SECOND * 20).retry(retry));
    let connection = Connection::open_with(connect, &connection_string(&emulator), &options).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("attached");
    away.store(1, Ordering::Relaxed);
    emulator.inject(Fault::close("amqp:connection:forced", "Upgrade."));
    settle().await;

    let began = now();
    let Err(SendError::NotSent { batch, cause }) = sender.send(one(&sender, "one")).await else { panic!("away") };
    assert_eq!(began.elapsed(), SECOND * 20);
    assert_eq!(cause.condition(), Some("amqp:connection:forced"), "the first cause, not the last: {cause}");
    let refused = |event: &ConnectionEvent| {
        matches!(event, ConnectionEvent::Lost { cause: Error::Connect { .. }, retry_in: Some(_), .. })
    };
    assert!(told.count(refused) >= 2, "{:#?}", told.lines());

    away.store(0, Ordering::Relaxed);
    sender.send(batch).await.expect("accepted");
    assert_eq!(stored(&emulator), ["one"]);
    assert_eq!(told.recovered(Scope::Connection), 1);
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_grow_and_spread() {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let emulator = emulator();
    let (to, seen) = (emulator.clone(), Arc::clone(&attempts));
    let connect = move || {
        seen.lock().expect("not poisoned").push(now());
        let is_first = seen.lock().expect("not poisoned").len() == 1;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        std::future::ready(is_first.then(|| to.connect()).ok_or_else(refused))
    };
    let retry = Retry::default().base(SECOND).cap(SECOND * 16);
    let options = options().retry(retry).seed(7);
    let connection = Connection::open_with(connect, &connection_string(&emulator), &options).await.expect("opens");
    tokio::time::sleep(SECOND * 60).await;
    emulator.inject(Fault::close("amqp:connection:forced", "Gone."));
    let lost_at = now();
    tokio::time::sleep(SECOND * 1_000).await;
    let attempts = attempts.lock().expect("not poisoned").clone();
    let mut before = lost_at;
    for (index, at) in attempts[1..].iter().enumerate() {
        let ceiling = SECOND * 2_u32.pow(index.min(4) as u32);
        assert!(*at - before <= ceiling, "attempt {index} came after {:?}", *at - before);
        before = *at;
    }
    // Half of the cap in the mean, over a thousand seconds.
    assert!((90..200).contains(&attempts.len()), "{} attempts", attempts.len());
    connection.abort();
}

#[tokio::test(start_paused = true)]
async fn a_no_for_good_is_believed_and_told_to_everybody() {
    let told = Told::default();
    let emulator = emulator();
    let (_connection, sender) = sender(&emulator, &told.watch(options())).await;
    emulator.inject(Fault::refuse_attach("amqp:not-found", "The messaging entity could not be found.").always());
    emulator.inject(detach("amqp:link:detach-forced"));
    settle().await;
    let began = now();
    for _ in 0..2 {
        let Err(SendError::NotSent { cause, .. }) = send(&sender, "one").await else { panic!("gone") };
        // The link's first cause for the one that waited; the hub's last word for who comes later.
        assert!(["amqp:link:detach-forced", "amqp:not-found"].contains(&cause.condition().expect("one")), "{cause}");
    }
    assert!(began.elapsed() < SECOND, "and that at once");
    let Err(SendError::NotSent { cause, .. }) = send(&sender, "one").await else { panic!("gone") };
    assert_eq!(cause.condition(), Some("amqp:not-found"));
    assert_eq!(told.count(|event| matches!(event, ConnectionEvent::GaveUp { .. })), 1, "{:#?}", told.lines());
    let links = emulator.totals().faults;
    tokio::time::sleep(SECOND * 3_600).await;
    assert_eq!(emulator.totals().faults, links, "nobody asks again");
}

#[tokio::test(start_paused = true)]
async fn a_second_refusal_after_a_fresh_token_is_final_and_says_so() {
    let emulator = emulator();
    let (connection, sender) = sender(&emulator, &options()).await;
    emulator.inject(Fault::refuse_attach("amqp:unauthorized-access", "Send is required.").always());
    emulator.inject(detach("amqp:unauthorized-access"));
    settle().await;
    let Err(SendError::NotSent { cause, .. }) = send(&sender, "one").await else { panic!("no right") };
    assert!(matches!(cause, Error::StillUnauthorized { .. }), "{cause:?}");
    assert_eq!((cause.condition(), cause.is_retryable()), (Some("amqp:unauthorized-access"), false), "{cause}");
    emulator.clear_faults();
    let Err(again) = send(&sender, "one").await else { panic!("it is given up") };
    assert!(!again.is_retryable(), "so a caller is not to hope: {again}");
    let another = connection.sender(HUB).await.expect("the rights are back");
    send(&another, "one").await.expect("accepted");
}

#[tokio::test(start_paused = true)]
async fn one_stream_is_not_two() {
    let emulator = emulator();
    let to = connection_string(&emulator);
    let connection = Connection::open_over(emulator.connect(), &to, &options()).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("attached");
    emulator.inject(detach("amqp:link:detach-forced"));
    settle().await;
    send(&sender, "one").await.expect("a link can be had again");
    emulator.inject(Fault::close("amqp:connection:forced", "Gone."));
    settle().await;
    let began = now();
    let Err(SendError::NotSent { cause, .. }) = send(&sender, "two").await else { panic!("gone") };
    assert_eq!((cause.condition(), began.elapsed()), (Some("amqp:connection:forced"), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_attach_waits_for_the_connection_to_be_back() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    emulator.inject(Fault::close("amqp:connection:forced", "Upgrade."));
    settle().await;
    let sender = connection.sender(HUB).await.expect("attached to the next one");
    send(&sender, "one").await.expect("accepted");
    let properties = connection.event_hub_properties(HUB).await.expect("answered");
    assert_eq!(properties.partition_ids.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_undoes_nothing() {
    let emulator = emulator();
    let (_connection, sender) = sender(&emulator, &options()).await;
    emulator.inject(Fault::close("amqp:connection:forced", "Upgrade."));
    settle().await;
    let left = tokio::time::timeout(Duration::from_millis(1), send(&sender, "left")).await;
    assert!(left.is_err(), "the connection is away");
    tokio::time::sleep(SECOND * 5).await;
    send(&sender, "stayed").await.expect("accepted");
    assert_eq!(stored(&emulator), ["stayed"], "what its caller left was not sent");
}

// ---- idle ------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_link_that_rested_for_too_long_is_there_when_it_is_needed_and_nobody_was_alarmed() {
    for (policy, links) in [(IdleLinks::Restore, 13), (IdleLinks::OnDemand, 2)] {
        let told = Told::default();
        let emulator = emulator();
        let (_connection, sender) = sender(&emulator, &told.watch(options().idle_links(policy))).await;
        tokio::time::sleep(SECOND * 7_200).await;
        let began = now();
        send(&sender, "after two hours").await.expect("accepted");
        assert_eq!(now(), began, "{policy:?}");
        // One every ten minutes or so, or one when it is needed.
        let seen = emulator.totals().links;
        assert!(seen.abs_diff(links) <= 1, "{policy:?}: {seen} links");
        assert_eq!(told.warnings(), 0, "{policy:?}: {:#?}", told.lines());
        let idle = |event: &ConnectionEvent| matches!(event, ConnectionEvent::Lost { is_idle: true, .. });
        assert!(told.count(idle) >= 1, "it is told all the same");
        assert_eq!(emulator.totals().connections, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_left_closed_until_somebody_does() {
    let told = Told::default();
    let emulator = emulator();
    let connection = connect(&emulator, &told.watch(options().idle_links(IdleLinks::OnDemand))).await;
    let sender = connection.sender(HUB).await.expect("attached");
    // The link goes for resting; as if there had been no other, so does the connection.
    tokio::time::sleep(SECOND * 700).await;
    let text = "The connection was inactive for more than the allowed 300000 milliseconds and is closed by container \
                'LinkTracker'.";
    emulator.inject(Fault::close("amqp:connection:forced", text));
    tokio::time::sleep(SECOND * 7_200).await;
    assert_eq!((emulator.totals().connections, told.warnings()), (1, 0), "{:#?}", told.lines());
    send(&sender, "after two hours").await.expect("accepted");
    assert_eq!((emulator.totals().connections, told.recovered(Scope::Connection)), (2, 1));
    let properties = connection.event_hub_properties(HUB).await.expect("answered");
    assert_eq!(properties.name, HUB);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_was_under_way_is_asked_again_on_the_next_connection() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    connection.event_hub_properties(HUB).await.expect("answered");
    // In the middle of the answer.
    emulator.inject(Fault::cut_after_bytes(10));
    let answer = connection.partition_properties(HUB, "1").await;
    assert_eq!(answer.expect("answered").id, "1");
    assert_eq!(emulator.totals().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_lives_and_does_not_read_is_left() {
    let emulator = emulator();
    let (silent, live) = (emulator.clone(), emulator.clone());
    let first = Arc::new(AtomicUsize::new(0));
    let connect = move || {
        let number = first.fetch_add(1, Ordering::Relaxed);
        std::future::ready(io::Result::Ok(if number == 0 { black_hole(&silent, 3_000) } else { live.connect() }))
    };
    let options = options().write_timeout(SECOND * 12).send_timeout(SECOND * 60);
    let connection = Connection::open_with(connect, &connection_string(&emulator), &options).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("attached");
    let began = now();
    let large = "x".repeat(1_000_000);
    let outcome = send(&sender, &large).await;
    // A part of it has left; the peer said nothing, and took nothing, for as long as it was given.
    let Err(SendError::Unknown { cause, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(&cause, Error::Lost { source } if source.kind() == io::ErrorKind::TimedOut), "{cause:?}");
    assert_eq!(began.elapsed().as_secs(), 12);
    send(&sender, "small").await.expect("over another stream");
    assert_eq!(stored(&emulator), ["small"]);
}

/// A way to `emulator` that takes `limit` bytes, and then nothing; what the emulator says comes through.
fn black_hole(emulator: &Emulator, limit: usize) -> DuplexStream {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
    let (client, near) = tokio::io::duplex(4_096);
    let far = emulator.connect();
    tokio::spawn(async move {
        let (near_read, mut near_write) = split(near);
        let (mut far_read, mut far_write) = split(far);
        let up = async move {
            let mut some = near_read.take(limit as u64);
            let _ = copy(&mut some, &mut far_write).await;
            // Heartbeats go on: the emulator's patience is not what is tried here.
            loop {
                tokio::time::sleep(SECOND * 5).await;
                if far_write.write_all(&[0, 0, 0, 8, 2, 0, 0, 0]).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let down = async move {
            let _ = copy(&mut far_read, &mut near_write).await;
        };
        tokio::select! { () = up => {}, () = down => {} }
    });
    client
}

// ---- throttling ------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_busy_hub_is_given_four_seconds_and_more_and_everybody_on_the_link_waits() {
    let told = Told::default();
    let emulator = emulator();
    let (connection, sender) = sender(&emulator, &told.watch(options())).await;
    emulator.inject(Fault::server_busy().lasting(SECOND * 3));
    let began = now();
    let (first, second) = tokio::join!(send(&sender, "first"), async {
        tokio::time::sleep(SECOND).await;
        send(&sender, "second").await
    });
    first.expect("accepted");
    second.expect("accepted");
    assert!((4..10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let totals = emulator.totals();
    assert_eq!((totals.rejected, totals.batches), (1, 2), "the second one did not try in vain");
    let throttled = told.lines().into_iter().find(|line| line.starts_with("throttled")).expect("told");
    assert!(throttled.contains("telemetry") && throttled.contains("50002"), "{throttled}");
    assert_eq!(connection.counters().retried, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_stays_busy_is_told_of_in_its_own_words() {
    let emulator = emulator();
    let retry = Retry::default().attempts(2).base(Duration::from_millis(10));
    let (_connection, sender) = sender(&emulator, &options().retry(retry)).await;
    emulator.inject(Fault::server_busy());
    let began = now();
    let Err(SendError::Rejected { condition, batch, .. }) = sender.send(one(&sender, "one")).await else { panic!() };
    assert_eq!((condition.as_str(), batch.len()), ("com.microsoft:server-busy", 1));
    assert_eq!(began.elapsed().as_secs(), 8, "four seconds before each of two more attempts");
    assert_eq!(emulator.totals().rejected, 3);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_certain_not_to_be_stored_is_sent_again_unless_asked_for() {
    let cases = [
        (Fault::release(), true),
        (Fault::reject("com.microsoft:server-busy", "Error code : 50002."), true),
        (Fault::reject("com.microsoft:timeout", "Perhaps."), false),
        (Fault::reject("amqp:internal-error", "Perhaps."), false),
        (Fault::reject("amqp:not-allowed", "No."), false),
    ];
    for (fault, is_sent_again) in cases {
        let emulator = emulator();
        let (_connection, sender) = sender(&emulator, &options()).await;
        emulator.inject(fault.clone());
        assert_eq!(send(&sender, "one").await.is_ok(), is_sent_again, "{fault}");
    }
    for (resend, stored_count) in [(false, 1), (true, 2)] {
        let emulator = emulator();
        let retry = Retry::default().resend_unknown(resend);
        let (_connection, sender) = sender(&emulator, &options().retry(retry)).await;
        emulator.inject(Fault::never_settle());
        let sending = send(&sender, "one");
        let fault = async {
            settle().await;
            emulator.inject(Fault::close("amqp:connection:forced", "Gone."));
        };
        let (sent, ()) = tokio::join!(sending, fault);
        assert_eq!(sent.is_ok(), resend, "{sent:?}");
        assert_eq!(stored(&emulator).len(), stored_count, "the price of sending again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_holds_whatever_the_retries() {
    let emulator = emulator();
    let retry = Retry::default().attempts(1_000);
    let (_connection, sender) = sender(&emulator, &options().retry(retry.clone()).send_timeout(SECOND * 10)).await;
    emulator.inject(Fault::server_busy());
    let began = now();
    let refused = send(&sender, "one").await.expect_err("busy all the time");
    assert!(matches!(&refused, SendError::Rejected { .. }), "the hub's words are the outcome: {refused:?}");
    assert!(began.elapsed() <= SECOND * 10);

    let (_connection, sender) = self::sender(&emulator, &options().retry(retry.total(SECOND * 5))).await;
    let began = now();
    send(&sender, "one").await.expect_err("busy all the time");
    assert!(began.elapsed() <= SECOND * 5, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_may_be_stored_stays_unknown_whatever_becomes_of_a_later_attempt() {
    let rejected = Fault::reject("amqp:not-allowed", "No.");
    for (second, fault) in [("never comes", Fault::refuse_open("", "")), ("is rejected", rejected)] {
        let emulator = emulator();
        let retry = Retry::default().resend_unknown(true);
        let (_connection, sender) = sender(&emulator, &options().retry(retry).send_timeout(SECOND * 30)).await;
        // It is stored, its outcome does not leave, and then this happens.
        emulator.inject(Fault::cut_after_bytes(0).after_deliveries(1));
        emulator.inject(fault.nth(if second == "is rejected" { 2 } else { 1 }).always());
        let outcome = send(&sender, "one").await.expect_err("nobody said that it is stored");
        assert!(matches!(outcome, SendError::Unknown { .. }), "the second one {second}: {outcome:?}");
        assert_eq!(stored(&emulator).len(), 1);
    }
}

// ---- tokens ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_in_mid_life_ends_in_clear_words_and_in_no_storm() {
    let told = Told::default();
    let emulator = built(restful_builder());
    let options = told.watch(options().token_ttl(SECOND * 600));
    let (connection, sender) = sender(&emulator, &options).await;
    // As when the key is rotated: what was granted holds, and nothing new is.
    emulator.inject(Fault::refuse_put_token(401, "InvalidSignature: The token has an invalid signature.").always());
    tokio::time::sleep(SECOND * 599).await;
    send(&sender, "one").await.expect("the old token holds");
    let failed = |event: &ConnectionEvent| matches!(event, ConnectionEvent::RenewalFailed { .. });
    let failures = told.count(failed);
    assert!((2..6).contains(&failures), "at growing distances: {failures}");
    tokio::time::sleep(SECOND * 60).await;
    let Err(SendError::NotSent { cause, .. }) = send(&sender, "two").await else { panic!("refused") };
    assert!(matches!(&cause, Error::TokenRefused { status: 401, .. }), "{cause:?}");
    assert!(cause.to_string().contains("InvalidSignature") && cause.to_string().contains("check the key"), "{cause}");
    let asked = emulator.totals().faults;
    tokio::time::sleep(SECOND * 86_400).await;
    assert!(emulator.totals().faults - asked <= 1, "nobody hammers");
    // A key that is right again is for a new sender to try.
    emulator.clear_faults();
    let sender = connection.sender(HUB).await.expect("authorized");
    send(&sender, "three").await.expect("accepted");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_is_made_up_for_by_a_fresh_token() {
    let emulator = built(restful_builder());
    let base = std::time::UNIX_EPOCH + SECOND * 1_700_000_000;
    let emulator_options = options();
    // The emulator's clock is right; ours stands still while the machine sleeps, and is set right after.
    let behind = Arc::new(Mutex::new(None));
    let frozen = Arc::clone(&behind);
    #[allow(clippy::disallowed_methods, reason = "where the tests' time of day begins")]
    let (real, start) = (std::time::SystemTime::now(), tokio::time::Instant::now());
    let clock = move || frozen.lock().expect("not poisoned").unwrap_or_else(|| real + start.elapsed());
    let (_connection, sender) = sender(&emulator, &emulator_options.token_ttl(SECOND * 600).wall_clock(clock)).await;
    *behind.lock().expect("not poisoned") = Some(base);
    tokio::time::sleep(SECOND * 700).await;
    // The hub has let the link go: the tokens of a clock that stands still are over before they are put.
    assert!(send(&sender, "one").await.is_err());
    *behind.lock().expect("not poisoned") = None;
    let fresh = self::sender(&emulator, &options()).await;
    send(&fresh.1, "two").await.expect("accepted");
}

/// A source that gives out what it is told to.
struct Source {
    asked: Arc<AtomicUsize>,
    give: fn(usize) -> Result<Option<Token>, TokenError>,
}

impl TokenSource for Source {
    fn token(&self, audience: &str) -> TokenFuture {
        assert_eq!(audience, "sb://localhost/telemetry");
        let given = (self.give)(self.asked.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move {
            match given {
                Ok(Some(token)) => Ok(token),
                Ok(None) => std::future::pending().await,
                Err(error) => Err(error),
            }
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "a token for the emulator, whose clock began at the real time")]
fn signed(secs: u64) -> Token {
    use hubwire::wire::sas;
    let (name, key) = ("RootManageSharedAccessKey", "SAS_KEY_VALUE");
    let token = sas::sign("sb://localhost/telemetry", name, key, std::time::SystemTime::now(), SECOND * secs as u32);
    Token::shared_access_signature(&token)
}

#[tokio::test(start_paused = true)]
async fn tokens_may_come_from_anywhere() {
    type Give = fn(usize) -> Result<Option<Token>, TokenError>;
    let cases: [(Give, &str, u64); 4] = [
        (|_| Ok(Some(signed(3_600))), "", 0),
        (|_| Ok(None), "waiting for a token from its source", 30),
        (|_| Err(TokenError::permanent("the tenant is unknown")), "no token: the tenant is unknown", 0),
        (|_| Ok(Some(Token::jwt("eyJ0", std::time::UNIX_EPOCH + SECOND * 4_000_000_000))), "jwt", 0),
    ];
    for (give, words, secs) in cases {
        let emulator = emulator();
        let asked = Arc::new(AtomicUsize::new(0));
        let source = Source { asked: Arc::clone(&asked), give };
        let options = options().credential(source).open_timeout(SECOND * 60);
        let connection = connect(&emulator, &options).await;
        let began = now();
        let attached = connection.sender(HUB).await;
        assert_eq!(began.elapsed().as_secs(), secs, "{words}");
        match (attached, words) {
            (Ok(sender), "") => {
                send(&sender, "one").await.expect("accepted");
                connection.sender(HUB).await.expect("on the same token");
                assert_eq!(asked.load(Ordering::Relaxed), 1);
            }
            (Err(error), words) => assert!(error.to_string().contains(words), "{error}"),
            (Ok(_), words) => panic!("{words}"),
        }
    }
}

// ---- bounds ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_full_window_makes_send_wait_and_try_send_say_so() {
    let emulator = emulator();
    let options = options().max_in_flight_batches(2).send_timeout(SECOND * 10);
    let (connection, sender) = sender(&emulator, &options).await;
    emulator.inject(Fault::delay_outcomes(SECOND));
    let began = now();
    let sends: Vec<_> = (0..6).map(|number| sender.send(one(&sender, &number.to_string()))).collect();
    let going = futures_join(sends);
    let meanwhile = async {
        settle().await;
        assert_eq!(connection.counters().in_flight_batches, 2);
        let full = sender.try_send(one(&sender, "at once")).await;
        assert!(matches!(full, Err(SendError::NotSent { cause: Error::WindowFull, .. })), "{full:?}");
    };
    let (outcomes, ()) = tokio::join!(going, meanwhile);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(began.elapsed(), SECOND * 3, "two at a time");
    assert_eq!(connection.counters().in_flight_bytes, 0);
    sender.try_send(one(&sender, "room")).await.expect("there is room");
}

/// Lets the tasks run that are due, but none that they make due.
async fn next_in_line() {
    let mut has_waited = false;
    let poll = |cx: &mut Context<'_>| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    };
    poll_fn(poll).await;
}

/// Until two batches are in flight, or until it is not two any more.
async fn until_full(connection: &Connection, is_full: bool) {
    for _ in 0..1_000 {
        if (connection.counters().in_flight_batches == 2) == is_full {
            return;
        }
        next_in_line().await;
    }
    panic!("in flight: {}", connection.counters().in_flight_batches);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_not_overtaken_by_who_comes_when_there_is_some() {
    for (batches, bytes) in [(2, 1 << 20), (1_000, 25)] {
        let emulator = emulator();
        let options = options().max_in_flight_batches(batches).max_in_flight_bytes(bytes);
        let (connection, _sender) = sender(&emulator, &options).await;
        let sender = Arc::new(sender_to_partition(&connection).await);
        let start = |body: &'static str, has_to_look: bool| {
            let (connection, sender) = (connection.clone(), Arc::clone(&sender));
            tokio::spawn(async move {
                for is_full in [true, false].into_iter().filter(|_| has_to_look) {
                    until_full(&connection, is_full).await;
                }
                send(&sender, body).await
            })
        };
        // Both places are free at once: one for whoever waits, who has not heard of it yet, and one for the next.
        let sends = [start("1", false), start("2", false), start("3", false), start("4", true)];
        for sending in sends {
            sending.await.expect("no panic").expect("accepted");
        }
        assert_eq!(stored(&emulator), ["1", "2", "3", "4"], "{batches} batches, {bytes} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_as_well_and_one_batch_always_fits() {
    let emulator = emulator();
    let (connection, sender) = sender(&emulator, &options().max_in_flight_bytes(1_000)).await;
    emulator.inject(Fault::delay_outcomes(SECOND));
    let large = "x".repeat(5_000);
    let began = now();
    let sends = ["x".repeat(600), "y".repeat(600), large].map(|body| sender.send(one(&sender, &body)));
    let outcomes = futures_join(sends.into_iter().collect()).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(began.elapsed(), SECOND * 3, "one at a time");
    assert_eq!(connection.counters().accepted_batches, 3);
}

#[tokio::test(start_paused = true)]
async fn callers_that_come_and_go_at_a_dead_peer_leave_no_more_than_the_window() {
    let emulator = emulator();
    let options = options().max_in_flight_batches(10).send_timeout(SECOND * 100);
    let (connection, sender) = sender(&emulator, &options).await;
    emulator.inject(Fault::silence());
    for _ in 0..1_000 {
        let _ = tokio::time::timeout(Duration::from_millis(1), send(&sender, "x")).await;
    }
    let counters = connection.counters();
    assert!(counters.in_flight_batches <= 10, "{counters:?}");
}

// ---- the end ---------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn closing_is_bounded_and_may_be_asked_for_twice_wherever_the_connection_is() {
    for fault in [None, Some(Fault::silence()), Some(Fault::cut_after_bytes(0))] {
        let emulator = emulator();
        let (connection, sender) = sender(&emulator, &options()).await;
        if let Some(fault) = fault.clone() {
            emulator.inject(fault.always());
        }
        settle().await;
        let sending = tokio::spawn(async move { send(&sender, "one").await });
        settle().await;
        let began = now();
        tokio::join!(connection.close_within(SECOND * 3), connection.close());
        assert!(began.elapsed() <= SECOND * 3, "{fault:?}: {:?}", began.elapsed());
        let outcome = sending.await.expect("no panic");
        assert_eq!(outcome.is_ok(), fault.is_none(), "{fault:?}: {outcome:?}");
        connection.close().await;
        let late = connection.sender(HUB).await.expect_err("it is over");
        assert!(matches!(late, Error::ShutDown), "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn aborting_is_at_once_and_tells_everybody() {
    let told = Told::default();
    let emulator = emulator();
    let (connection, sender) = sender(&emulator, &told.watch(options())).await;
    emulator.inject(Fault::silence());
    let sending = tokio::spawn(async move { send(&sender, "one").await });
    settle().await;
    let began = now();
    connection.abort();
    let outcome = sending.await.expect("no panic").expect_err("nothing was answered");
    assert!(matches!(&outcome, SendError::Unknown { cause: Error::ShutDown, .. }), "{outcome:?}");
    assert_eq!(now(), began);
    settle().await;
    assert_eq!(
        told.lines().last().map(String::as_str),
        Some("closed: closed by this side; open a new connection, or make a new sender")
    );
    assert_eq!(told.warnings(), 0);
}

#[tokio::test(start_paused = true)]
async fn counters_add_up() {
    let emulator = emulator();
    let options = options().retry(Retry::none()).send_timeout(SECOND);
    let (connection, sender) = sender(&emulator, &options).await;
    sender.send(batch_of(sender.batch(), ["one", "two"])).await.expect("accepted");
    for fault in [Fault::reject("amqp:not-allowed", "No."), Fault::release(), Fault::never_settle()] {
        emulator.inject(fault);
        send(&sender, "three").await.expect_err("not accepted");
    }
    let counters = connection.counters();
    assert_eq!((counters.accepted_batches, counters.accepted_events), (1, 2));
    let bytes = counters.accepted_bytes;
    assert_eq!(bytes, 2 * (5 + 5 + 3));
    let others = (counters.rejected_batches, counters.not_sent_batches, counters.unknown_batches);
    assert_eq!((others, counters.in_flight_batches, counters.in_flight_bytes), ((1, 1, 1), 0, 0));
    assert!(counters.last_round_trip.is_some() && counters.smoothed_round_trip.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_window_that_stays_full_ends_a_send_at_its_deadline() {
    let emulator = emulator();
    let options = options().max_in_flight_batches(1).send_timeout(SECOND * 5);
    let (_connection, sender) = sender(&emulator, &options).await;
    emulator.inject(Fault::never_settle());
    let began = now();
    let (first, second) = tokio::join!(send(&sender, "first"), send(&sender, "second"));
    assert!(matches!(first, Err(SendError::Unknown { cause: Error::TimedOut { step: Step::Outcome, .. }, .. })));
    // Its room came with the other's end, at the same time.
    let step = |step| matches!(step, Step::Window | Step::Recovery | Step::Write | Step::Credit);
    match second {
        Err(SendError::NotSent { cause: Error::TimedOut { step: late, .. }, .. }) => assert!(step(late), "{late:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(began.elapsed(), SECOND * 5);
}
