//! The calls without `async`: what they do between and across sleeps of their process, over real sockets.

#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, SystemTime};

use hubwire::emulator::{Emulator, Fault};
use hubwire::{
    ConnectionEvent, ConnectionString, Error, Options, PublishError, PublisherOptions, SendError, Step, Undelivered,
    blocking,
};
use support::road::{Road, Served};
use support::{HUB, batch_of};

fn served() -> Served {
    Served::start(Emulator::builder())
}

/// Options whose world's clock is ahead of the system's by as many seconds as the number says.
#[allow(clippy::disallowed_methods, reason = "where the tests' time of day begins")]
fn frozen_options(ahead_secs: &Arc<AtomicU64>) -> Options {
    let ahead = Arc::clone(ahead_secs);
    Options::default().wall_clock(move || SystemTime::now() + Duration::from_secs(ahead.load(Ordering::Relaxed)))
}

/// How often a connection was opened, as its options tell.
fn counting(options: Options) -> (Options, Arc<AtomicU64>) {
    let opened = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&opened);
    let options = options.on_event(move |event| {
        if matches!(event, ConnectionEvent::Opened) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (options, opened)
}

fn sender(to: &ConnectionString, options: &Options) -> (blocking::Connection, blocking::Sender) {
    let connection = blocking::Connection::open(to, options).expect("it opens");
    let sender = connection.sender(HUB).expect("the hub is there");
    (connection, sender)
}

#[track_caller]
fn accepted(sender: &blocking::Sender, body: &str) {
    let accepted = sender.send(batch_of(sender.batch(), [body])).expect("accepted");
    assert_eq!(accepted.events, 1);
}

#[test]
fn a_plain_main_publishes_and_says_goodbye() {
    let served = served();
    let (connection, sender) = sender(&served.connection_string(), &Options::default());
    let accepted = sender.send(batch_of(sender.batch(), ["first event", "second event", "..."])).expect("accepted");
    assert_eq!((accepted.events, served.stored()), (3, 3));
    assert_eq!(connection.event_hub_properties(HUB).expect("told").partition_ids.len(), 4);
    assert_eq!(connection.partition_properties(HUB, "0").expect("told").id, "0");
    assert_eq!(connection.partition_sender(HUB, "3").expect("there").partition_id(), Some("3"));
    connection.close();
    let Err(SendError::NotSent { batch, cause: Error::ShutDown }) = sender.send(batch_of(sender.batch(), ["late"]))
    else {
        panic!("the connection is closed");
    };
    assert_eq!(batch.len(), 1, "what is not sent comes back");
}

#[test]
fn a_connection_that_was_cut_between_calls_is_made_anew_before_anything_is_sent() {
    let served = served();
    let road = Road::to(&served);
    let (options, opened) = counting(Options::default());
    let (connection, sender) = sender(&road.connection_string(&served), &options);
    for round in 1..=5 {
        accepted(&sender, "event");
        road.cut();
        assert_eq!(opened.load(Ordering::Relaxed), round, "nothing happens between calls");
    }
    accepted(&sender, "event");
    assert_eq!((served.stored(), connection.counters().retried), (6, 0));
}

#[test]
fn what_the_hub_said_between_calls_is_heard_first() {
    let served = served();
    let road = Road::to(&served);
    let (options, opened) = counting(Options::default());
    let (connection, sender) = sender(&road.connection_string(&served), &options);
    accepted(&sender, "event");
    for (blow, connections) in [
        (Fault::detach("amqp:link:detach-forced", "The link is idle."), 1),
        (Fault::end("amqp:internal-error", "again"), 1),
        (Fault::close("amqp:connection:forced", "The connection was inactive for more than the allowed time."), 2),
    ] {
        let given = road.given();
        served.emulator.inject(blow.clone());
        road.until_more_than(given);
        accepted(&sender, "event");
        assert_eq!(opened.load(Ordering::Relaxed), connections, "{blow}");
    }
    assert_eq!((served.stored(), connection.counters().retried), (4, 0), "none was sent twice");
}

#[test]
fn a_hub_that_is_gone_is_told_at_once_and_one_that_is_back_is_found() {
    let mut served = served();
    let (connection, sender) = sender(&served.connection_string(), &Options::default());
    accepted(&sender, "event");
    let port = served.die();
    for _ in 0..3 {
        let Err(SendError::NotSent { batch, cause }) = sender.send(batch_of(sender.batch(), ["event"])) else {
            panic!("nobody is there");
        };
        assert!(matches!(cause, Error::Connect { .. }), "{cause}");
        assert_eq!(batch.len(), 1);
    }
    served.listen(port);
    accepted(&sender, "event");
    assert_eq!((served.stored(), connection.counters().recovered), (2, 2), "the connection, and its link");
}

#[test]
fn a_process_that_was_frozen_for_longer_than_a_hub_waits_connects_anew() {
    let served = served();
    let ahead = Arc::new(AtomicU64::new(0));
    let (options, opened) = counting(frozen_options(&ahead));
    let (_connection, sender) = sender(&served.connection_string(), &options);
    for (frozen_secs, connections) in [(0, 1), (60, 1), (600, 2), (86_400, 3)] {
        ahead.fetch_add(frozen_secs, Ordering::Relaxed);
        accepted(&sender, "event");
        assert_eq!(opened.load(Ordering::Relaxed), connections, "{frozen_secs} s");
    }
    assert_eq!(served.stored(), 4);
}

#[test]
fn a_token_that_ended_in_a_nap_costs_a_new_connection() {
    let served = served();
    let ahead = Arc::new(AtomicU64::new(0));
    let (options, opened) = counting(frozen_options(&ahead).token_ttl(Duration::from_secs(30)));
    let (_connection, sender) = sender(&served.connection_string(), &options);
    // Shorter than the hub waits for a sign of life.
    for (frozen_secs, connections) in [(10, 1), (40, 2)] {
        ahead.fetch_add(frozen_secs, Ordering::Relaxed);
        accepted(&sender, "event");
        assert_eq!(opened.load(Ordering::Relaxed), connections, "{frozen_secs} s");
    }
}

#[test]
fn many_batches_are_under_way_from_one_thread() {
    let served = served();
    let (connection, sender) = sender(&served.connection_string(), &Options::default());
    let bodies: Vec<String> = (0..50).map(|number| format!("event {number}")).collect();
    let mut tickets: Vec<_> = bodies
        .iter()
        .map(|body| sender.enqueue(batch_of(sender.batch(), [body.as_str()])).expect("there is room"))
        .collect();
    sender.flush().expect("it may wait");
    assert_eq!(served.stored(), 50);
    assert!(tickets.iter().all(blocking::Ticket::is_settled));
    assert_eq!(tickets.pop().expect("the last").wait().expect("accepted").events, 1);
    // Nobody waits for this one: the last handle does.
    drop(sender.enqueue(batch_of(sender.batch(), ["the last"])).expect("there is room"));
    drop((connection, sender, tickets));
    assert_eq!(served.stored(), 51);
}

#[test]
fn threads_share_a_sender() {
    let served = served();
    let (connection, sender) = sender(&served.connection_string(), &Options::default());
    let (sender, start) = (Arc::new(sender), Arc::new(Barrier::new(4)));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (sender, start) = (Arc::clone(&sender), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                (0..50).for_each(|_| accepted(&sender, "event"));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!((served.stored(), connection.counters().accepted_batches), (200, 200));
}

#[test]
fn a_call_ends_with_its_time() {
    let served = served();
    let (_connection, sender) = sender(&served.connection_string(), &Options::default());
    served.emulator.inject(Fault::never_settle());
    let sent = sender.send_within(batch_of(sender.batch(), ["event"]), Duration::from_millis(50));
    assert!(matches!(sent, Err(SendError::Unknown { .. })), "{sent:?}");
    assert_eq!(served.stored(), 1);
    accepted(&sender, "another");
}

#[test]
fn a_publisher_sends_what_it_holds_when_it_is_flushed_closed_or_dropped() {
    let served = served();
    let slowly = PublisherOptions::default().linger(Duration::from_secs(3_600));
    let open = || blocking::Publisher::open(&served.connection_string(), HUB, &Options::default(), &slowly);
    let publisher = open().expect("it opens");
    let receipt = publisher.publish("one").expect("taken");
    drop(publisher.publish_with_key("key", "two").expect("taken"));
    drop(publisher.publish_to_partition("1", "three").expect("taken"));
    assert_eq!(served.stored(), 0, "their time has not come");
    publisher.flush().expect("it may wait");
    receipt.wait().expect("accepted");
    assert_eq!(served.stored(), 3);

    let receipt = publisher.publish("four").expect("taken");
    publisher.close().expect("it may wait");
    receipt.wait().expect("accepted");

    let publisher = open().expect("it opens");
    let receipt = publisher.publish("five").expect("taken");
    drop(publisher);
    receipt.wait().expect("accepted");
    assert_eq!(served.stored(), 5);
}

#[test]
fn a_receipt_waits_for_its_batch_to_leave() {
    let served = served();
    let options = PublisherOptions::default();
    let publisher = blocking::Publisher::open(&served.connection_string(), HUB, &Options::default(), &options);
    let publisher = publisher.expect("it opens");
    publisher.publish("event").expect("taken").wait().expect("accepted");
    assert!(publisher.publish("").expect("taken").wait().is_ok());
}

#[test]
fn a_publisher_finds_its_hub_again() {
    let served = served();
    let road = Road::to(&served);
    let options = PublisherOptions::default();
    let to = road.connection_string(&served);
    let publisher = blocking::Publisher::open(&to, HUB, &Options::default(), &options).expect("it opens");
    publisher.publish("event").expect("taken").wait().expect("accepted");
    road.cut();
    let receipt = publisher.publish("event").expect("taken");
    publisher.flush().expect("it may wait");
    receipt.wait().expect("accepted");
    assert_eq!(served.stored(), 2);
}

#[test]
fn what_a_publisher_holds_goes_over_the_next_connection_whoever_makes_it_leave() {
    type Leave = fn(blocking::Publisher, blocking::Receipt) -> Result<(), Undelivered>;
    let ways: [(&str, Leave); 4] = [
        ("flush", |publisher, receipt| {
            publisher.flush().expect("it may wait");
            receipt.wait()
        }),
        ("close", |publisher, receipt| {
            publisher.close().expect("it may wait");
            receipt.wait()
        }),
        ("drop", |publisher, receipt| {
            drop(publisher);
            receipt.wait()
        }),
        ("wait", |_publisher, receipt| receipt.wait()),
    ];
    for (way, leave) in ways {
        let served = served();
        let road = Road::to(&served);
        let options = PublisherOptions::default();
        let to = road.connection_string(&served);
        let publisher = blocking::Publisher::open(&to, HUB, &Options::default(), &options).expect("it opens");
        publisher.publish("event").expect("taken").wait().expect("accepted");
        let receipt = publisher.publish("event").expect("taken");
        road.cut();
        let told = leave(publisher, receipt);
        assert!(told.is_ok(), "{way}: {told:?}");
        assert_eq!(served.stored(), 2, "{way}");
    }
}

#[test]
fn what_a_sender_was_handed_goes_over_the_next_connection_whoever_makes_it_leave() {
    type Leave = fn(blocking::Connection, blocking::Sender, blocking::Ticket) -> Result<usize, String>;
    fn outcome(ticket: blocking::Ticket) -> Result<usize, String> {
        match ticket.wait() {
            Ok(accepted) => Ok(accepted.events),
            Err(error) => Err(error.to_string()),
        }
    }
    let ways: [(&str, Leave); 4] = [
        ("wait", |_connection, _sender, ticket| outcome(ticket)),
        ("flush", |_connection, sender, ticket| {
            sender.flush().expect("it may wait");
            outcome(ticket)
        }),
        ("drop", |_connection, sender, ticket| {
            drop(sender);
            outcome(ticket)
        }),
        ("close", |connection, _sender, ticket| {
            connection.close();
            outcome(ticket)
        }),
    ];
    for (way, leave) in ways {
        let served = served();
        let road = Road::to(&served);
        let (connection, sender) = sender(&road.connection_string(&served), &Options::default());
        accepted(&sender, "event");
        let ticket = sender.enqueue(batch_of(sender.batch(), ["event"])).expect("there is room");
        road.cut();
        let told = leave(connection, sender, ticket);
        assert!(told.is_ok(), "{way}: {told:?}");
        assert_eq!(served.stored(), 2, "{way}");
    }
}

#[test]
fn a_batch_leaves_with_a_call_after_its_time_however_often_they_come() {
    let served = served();
    let options = PublisherOptions::default().linger(Duration::from_millis(50));
    let publisher = blocking::Publisher::open(&served.connection_string(), HUB, &Options::default(), &options);
    let publisher = publisher.expect("it opens");
    // Each finds room, and waits for nothing; and none comes so late that it is a rest by itself.
    for _ in 0..100 {
        drop(publisher.publish("event").expect("taken"));
        if served.stored() > 0 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing has left");
}

#[test]
fn a_word_that_was_there_already_is_no_sign_of_life() {
    let served = served();
    let ahead = Arc::new(AtomicU64::new(0));
    let (options, opened) = counting(frozen_options(&ahead));
    let (_connection, sender) = sender(&served.connection_string(), &options);
    let ticket = sender.enqueue(batch_of(sender.batch(), ["event"])).expect("there is room");
    sender.flush().expect("it may wait");
    ahead.fetch_add(600, Ordering::Relaxed);
    ticket.wait().expect("accepted");
    accepted(&sender, "event");
    assert_eq!(opened.load(Ordering::Relaxed), 2, "frozen for longer than a hub waits");
}

/// A connection in this process, whose second stream never comes.
fn without_a_second_stream(options: &Options) -> (blocking::Connection, Emulator) {
    let emulator = Emulator::builder().event_hub(HUB, 4).build().expect("a hub");
    let to = ConnectionString::parse(&emulator.connection_string(None)).expect("well-formed");
    let (from, asked) = (emulator.clone(), AtomicU64::new(0));
    let connect = move || {
        let stream = (asked.fetch_add(1, Ordering::Relaxed) == 0).then(|| from.connect());
        async move {
            match stream {
                Some(stream) => Ok(stream),
                None => std::future::pending().await,
            }
        }
    };
    (blocking::Connection::open_with(connect, &to, options).expect("it opens"), emulator)
}

#[test]
fn looking_is_in_the_time_of_the_call() {
    let ahead = Arc::new(AtomicU64::new(0));
    let options = frozen_options(&ahead).send_timeout(Duration::from_millis(50));
    let (connection, _emulator) = without_a_second_stream(&options);
    let sender = connection.sender(HUB).expect("the hub is there");
    ahead.fetch_add(600, Ordering::Relaxed);
    let in_vain = |told: &SendError| {
        matches!(told, SendError::NotSent { cause: Error::TimedOut { step: Step::Recovery, .. }, .. })
    };
    let told = sender.enqueue(batch_of(sender.batch(), ["event"])).expect_err("nobody is there");
    assert!(in_vain(&told), "{told}");
    let told = sender.send(batch_of(sender.batch(), ["event"])).expect_err("nobody is there");
    assert!(in_vain(&told), "{told}");
    connection.close_within(Duration::ZERO);
}

#[tokio::test]
async fn a_task_is_refused_whatever_it_calls() {
    let served = thread::spawn(served).join().expect("no panic");
    let to = served.connection_string();
    assert!(matches!(blocking::Connection::open(&to, &Options::default()), Err(Error::InsideTask)));

    let (options, publisher_options) = (Options::default(), PublisherOptions::default());
    let opened = tokio::task::spawn_blocking(move || {
        let publisher = blocking::Publisher::open(&to, HUB, &options, &publisher_options).expect("it opens");
        let receipt = publisher.publish("held").expect("taken");
        let (connection, sender) = sender(&to, &options);
        let ticket = sender.enqueue(batch_of(sender.batch(), ["on its way"])).expect("there is room");
        (connection, sender, ticket, publisher, receipt)
    });
    let (connection, sender, ticket, publisher, receipt) = opened.await.expect("a thread that may block");

    assert!(matches!(connection.sender(HUB), Err(Error::InsideTask)));
    assert!(matches!(connection.event_hub_properties(HUB), Err(Error::InsideTask)));
    let batch = batch_of(sender.batch(), ["event"]);
    let Err(SendError::NotSent { batch, cause: Error::InsideTask }) = sender.send(batch) else { panic!("refused") };
    assert!(matches!(sender.enqueue(batch), Err(SendError::NotSent { cause: Error::InsideTask, .. })));
    assert!(matches!(sender.flush(), Err(Error::InsideTask)));
    match ticket.wait() {
        Ok(_) | Err(SendError::Unknown { cause: Error::InsideTask, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(publisher.publish("event"), Err(PublishError::NotTaken("event", Error::InsideTask))));
    assert!(matches!(receipt.wait(), Err(Undelivered::Abandoned) | Ok(())));
    assert!(matches!(publisher.close(), Err(Error::InsideTask)));
    // No goodbye can be waited for here: nothing panics, and nothing waits.
    drop((connection, sender));
    thread::spawn(move || drop(served)).join().expect("no panic");
}

#[test]
fn a_name_is_looked_up_without_another_thread() {
    let served = served();
    let text = served.connection_string();
    let to = ConnectionString::parse(&format!(
        "Endpoint=sb://localhost:{};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
         UseDevelopmentEmulator=true",
        text.port().expect("it has one"),
    ));
    let to = to.expect("well-formed");
    let (connection, sender) = sender(&to, &Options::default().open_timeout(Duration::from_secs(10)));
    accepted(&sender, "event");
    connection.close_within(Duration::from_secs(1));

    let nowhere =
        "Endpoint=sb://no-such-host.invalid;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true";
    let nowhere = ConnectionString::parse(nowhere).expect("well-formed");
    assert!(matches!(blocking::Connection::open(&nowhere, &Options::default()), Err(Error::Resolve { .. })));
}
