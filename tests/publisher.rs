//! Events in, batches out: when they leave, in what order, and what each event is told.

mod support;

use std::task::Poll;
use std::time::Duration;

use hubwire::emulator::{Emulator, Fault, Stage};
use hubwire::wire::partition::partition_for_key;
use hubwire::{
    Connection, Error, Event, KeySpread, Options, PublishError, Publisher, PublisherOptions, Receipt, Retry,
    Undelivered,
};

use support::{HUB, built, connect, connection_string, emulator, now, stored};

const SECOND: Duration = Duration::from_secs(1);

async fn publisher(emulator: &Emulator, options: &PublisherOptions) -> Publisher {
    Publisher::over(vec![connect(emulator, &Options::default()).await], HUB, options).await.expect("a link")
}

fn text(event: &Event) -> String {
    String::from_utf8(event.data().expect("data").to_vec()).expect("text")
}

/// Messages that have been stored.
fn batches(emulator: &Emulator) -> u64 {
    emulator.totals().batches
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_when_its_first_event_has_waited_long_enough() {
    let emulator = emulator();
    let publisher = publisher(&emulator, &PublisherOptions::default().linger(SECOND)).await;
    let began = now();
    let first = publisher.publish("one").await.expect("taken");
    tokio::time::sleep(SECOND / 2).await;
    let second = publisher.publish("two").await.expect("taken");
    assert_eq!(batches(&emulator), 0);
    first.await.expect("accepted");
    assert_eq!(began.elapsed(), SECOND);
    second.await.expect("accepted");
    assert_eq!((batches(&emulator), stored(&emulator)), (1, vec!["one".to_owned(), "two".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait() {
    for options in [PublisherOptions::default().max_batch_events(3), PublisherOptions::default().max_batch_len(3 * 15)]
    {
        let emulator = emulator();
        let publisher = publisher(&emulator, &options.linger(3_600 * SECOND)).await;
        let began = now();
        let mut receipts = Vec::new();
        for number in 0..7 {
            // 15 bytes each in a batch.
            receipts.push(publisher.publish(format!("evt {number}")).await.expect("taken"));
        }
        let waiting = receipts.pop().expect("the seventh");
        for receipt in receipts {
            receipt.await.expect("accepted");
        }
        assert_eq!((batches(&emulator), began.elapsed()), (2, Duration::ZERO));
        publisher.flush().await;
        assert_eq!((batches(&emulator), began.elapsed()), (3, Duration::ZERO), "a flush does not wait either");
        waiting.await.expect("accepted");
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_a_key_and_of_a_partition_keep_together_and_in_order() {
    let emulator = emulator();
    let publisher = publisher(&emulator, &PublisherOptions::default().max_batch_events(7)).await;
    for number in 0..100 {
        publisher.publish_with_key("red", format!("red {number}")).await.expect("taken").forget();
        publisher.publish_with_key("blue", format!("blue {number}")).await.expect("taken").forget();
        publisher.publish_to_partition("3", format!("three {number}")).await.expect("taken").forget();
    }
    publisher.flush().await;
    let events = emulator.events(HUB).expect("the hub is there");
    for (name, partition) in
        [("red", partition_for_key("red", 4)), ("blue", partition_for_key("blue", 4)), ("three", 3)]
    {
        let its: Vec<_> =
            events.iter().filter(|event| text(&event.event().expect("it decodes")).starts_with(name)).collect();
        assert!(its.iter().all(|event| event.partition_id == partition), "{name}");
        let texts: Vec<_> = its.iter().map(|event| text(&event.event().expect("it decodes"))).collect();
        assert_eq!(texts, (0..100).map(|number| format!("{name} {number}")).collect::<Vec<_>>());
        let key = (name != "three").then_some(name);
        assert!(its.iter().all(|event| event.partition_key.as_deref() == key), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_may_be_spread_here_and_then_share_batches() {
    let emulator = emulator();
    let options = PublisherOptions::default().key_spread(KeySpread::Here);
    let publisher = publisher(&emulator, &options).await;
    for number in 0..64 {
        publisher.publish_with_key(&format!("key {number}"), format!("{number}")).await.expect("taken").forget();
    }
    publisher.flush().await;
    assert_eq!(batches(&emulator), 4, "one a partition");
    for event in emulator.events(HUB).expect("the hub is there") {
        let key = format!("key {}", text(&event.event().expect("it decodes")));
        assert_eq!(event.partition_id, partition_for_key(&key, 4), "where the hub would have put {key}");
    }
}

#[tokio::test(start_paused = true)]
async fn batches_without_a_key_go_over_all_connections() {
    let emulator = emulator();
    let connections =
        vec![connect(&emulator, &Options::default()).await, connect(&emulator, &Options::default()).await];
    let counted: Vec<Connection> = connections.clone();
    let options = PublisherOptions::default().max_batch_events(10);
    let publisher = Publisher::over(connections, HUB, &options).await.expect("links");
    for number in 0..100 {
        publisher.publish(format!("event {number}")).await.expect("taken").forget();
    }
    publisher.close().await;
    assert_eq!(counted.iter().map(|connection| connection.counters().accepted_batches).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(emulator.totals().events, 100);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_accepted_comes_back_event_by_event() {
    let emulator = emulator();
    let publisher = publisher(&emulator, &PublisherOptions::default().max_batch_events(2)).await;
    emulator.inject(Fault::reject("amqp:not-allowed", "Not today."));
    let mut receipts = Vec::new();
    for number in 0..4 {
        let event = Event::new(format!("event {number}")).with_property("number", number);
        receipts.push(publisher.publish(event).await.expect("taken"));
    }
    for (number, receipt) in receipts.into_iter().enumerate() {
        match receipt.await {
            Ok(()) => assert!(number >= 2, "{number}"),
            Err(Undelivered::Rejected { event, condition, description }) => {
                assert!(number < 2, "{number}");
                assert_eq!(text(&event), format!("event {number}"));
                assert_eq!(event.property("number").and_then(hubwire::wire::value::Value::as_i64), Some(number as i64));
                assert_eq!((condition.as_str(), &description[..10]), ("amqp:not-allowed", "Not today."));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(stored(&emulator), ["event 2", "event 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_outcome_is_unknown_for_each_of_the_batch() {
    let emulator = emulator();
    let options = Options::default().send_timeout(SECOND).retry(Retry::none());
    let connection = connect(&emulator, &options).await;
    let publisher = Publisher::over(vec![connection], HUB, &PublisherOptions::default()).await.expect("a link");
    emulator.inject(Fault::delay_outcomes(60 * SECOND));
    let receipts = [publisher.publish("one").await.expect("taken"), publisher.publish("two").await.expect("taken")];
    publisher.flush().await;
    for (receipt, expected) in receipts.into_iter().zip(["one", "two"]) {
        let error = receipt.await.expect_err("no outcome");
        assert!(matches!(&error, Undelivered::Unknown { cause: Error::TimedOut { .. }, .. }), "{error:?}");
        assert_eq!(text(&error.into_event().expect("it comes back")), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_published_comes_back_at_once() {
    let emulator = emulator();
    let publisher = publisher(&emulator, &PublisherOptions::default().linger(SECOND)).await;
    let before = publisher.publish("before").await.expect("taken");
    let large = vec![7_u8; 1_048_577];
    let Err(PublishError::TooLarge(back)) = publisher.publish(large.clone()).await else { panic!("it is too large") };
    assert_eq!(back, large);
    let Err(PublishError::Key(back, _)) = publisher.publish_with_key("", "no key").await else { panic!("no key") };
    assert_eq!(back, "no key");
    let Err(PublishError::NotTaken(back, cause)) = publisher.publish_to_partition("77", "nowhere").await else {
        panic!("no partition")
    };
    assert_eq!(back, "nowhere");
    assert!(matches!(cause, Error::Closed { .. }), "{cause:?}");
    before.await.expect("the others are not concerned");
    assert_eq!(stored(&emulator), ["before"]);
}

/// The largest event takes a batch of its own, and those around it go before and after.
#[tokio::test(start_paused = true)]
async fn a_flood_waits_for_room_and_is_bounded() {
    let emulator = emulator();
    emulator.inject(Fault::delay_outcomes(SECOND));
    let options = PublisherOptions::default().max_held_bytes(100_000).linger(Duration::ZERO);
    let publisher = publisher(&emulator, &options).await;
    let began = now();
    let body = vec![7_u8; 30_000];
    let mut receipts = Vec::new();
    for number in 0..9 {
        receipts.push(publisher.publish(&body).await.expect("taken"));
        assert_eq!(began.elapsed().as_secs(), number / 3, "three at a time have room: {number}");
    }
    for receipt in receipts {
        receipt.await.expect("accepted");
    }
    // More than there ever is room for goes alone.
    publisher.publish(&vec![7_u8; 200_000]).await.expect("taken").await.expect("accepted");
}

#[tokio::test(start_paused = true)]
async fn room_that_does_not_come_in_time_gives_the_event_back() {
    let emulator = emulator();
    emulator.inject(Fault::delay_outcomes(60 * SECOND));
    let options = Options::default().send_timeout(2 * SECOND);
    let connection = connect(&emulator, &options).await;
    let options = PublisherOptions::default().max_held_bytes(10).linger(3_600 * SECOND);
    let publisher = Publisher::over(vec![connection], HUB, &options).await.expect("a link");
    let held = publisher.publish("held for long").await.expect("taken");
    let began = now();
    let Err(PublishError::NotTaken(back, cause)) = publisher.publish("no room").await else {
        panic!("there is no room")
    };
    assert_eq!((back, began.elapsed().as_secs()), ("no room", 2));
    assert!(matches!(cause, Error::TimedOut { .. }), "{cause:?}");
    drop((held, publisher));
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_given_up_takes_nothing_with_it() {
    let emulator = emulator();
    emulator.inject(Fault::delay_outcomes(SECOND));
    let connection = connect(&emulator, &Options::default().max_in_flight_batches(1)).await;
    let options = PublisherOptions::default().max_batch_events(2).linger(60 * SECOND);
    let publisher = Publisher::over(vec![connection], HUB, &options).await.expect("a link");
    let mut receipts = Vec::new();
    for number in 0..4 {
        receipts.push(publisher.publish(format!("event {number}")).await.expect("taken"));
    }
    // The window is full and the second batch waits for it: whoever comes now waits as well, and goes away.
    let given_up = tokio::time::timeout(SECOND / 10, publisher.publish("given up")).await;
    assert!(given_up.is_err());
    for receipt in receipts {
        receipt.await.expect("accepted");
    }
    publisher.flush().await;
    assert_eq!(stored(&emulator), ["event 0", "event 1", "event 2", "event 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_does_not_answer_holds_up_nobody_else() {
    let emulator = emulator();
    let options = Options::default().send_timeout(2 * SECOND).open_timeout(30 * SECOND);
    let connection = connect(&emulator, &options).await;
    let publisher = Publisher::over(vec![connection], HUB, &PublisherOptions::default()).await.expect("a link");
    publisher.publish_to_partition("0", "before").await.expect("taken").await.expect("accepted");
    emulator.inject(Fault::delay(Stage::Attach, 3_600 * SECOND).always());
    let began = now();
    let stuck = async |id| {
        let outcome = publisher.publish_to_partition(id, "stuck").await;
        assert!(matches!(&outcome, Err(PublishError::NotTaken("stuck", Error::TimedOut { .. }))), "{outcome:?}");
        began.elapsed().as_secs()
    };
    let attached = async {
        publisher.publish_to_partition("0", "after").await.expect("taken").await.expect("accepted");
        publisher.flush().await;
        began.elapsed().as_secs()
    };
    assert_eq!(tokio::join!(stuck("1"), stuck("2"), stuck("3"), attached), (2, 2, 2, 0));
}

/// The publisher's tasks are its own runtime's, whoever publishes.
#[test]
fn a_caller_whose_runtime_ends_leaves_its_event_to_the_publishers() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let main = runtime();
    let (emulator, publisher) = main.block_on(async {
        let emulator = emulator();
        let publisher = publisher(&emulator, &PublisherOptions::default().linger(Duration::from_millis(1))).await;
        (emulator, publisher)
    });
    let first = runtime().block_on(publisher.publish("short-lived")).expect("taken");
    main.block_on(async {
        let second = publisher.publish("long-lived").await.expect("taken");
        first.await.expect("accepted");
        second.await.expect("accepted");
    });
    assert_eq!(stored(&emulator), ["short-lived", "long-lived"]);
}

#[tokio::test(start_paused = true)]
async fn events_published_together_keep_their_order_across_batches() {
    let emulator = emulator();
    emulator.inject(Fault::delay_outcomes(SECOND));
    let connection = connect(&emulator, &Options::default().max_in_flight_batches(1)).await;
    let options = PublisherOptions::default().max_batch_len(3 * 16);
    let publisher = Publisher::over(vec![connection], HUB, &options).await.expect("a link");
    let bodies: Vec<String> = (10..40).map(|number| format!("evt {number}")).collect();
    let mut publishes: Vec<_> =
        bodies.iter().map(|body| Box::pin(publisher.publish_to_partition("0", body.as_str()))).collect();
    std::future::poll_fn(|cx| {
        publishes.retain_mut(|publish| match publish.as_mut().poll(cx) {
            Poll::Ready(taken) => {
                taken.expect("taken").forget();
                false
            }
            Poll::Pending => true,
        });
        if publishes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    publisher.flush().await;
    assert_eq!(stored(&emulator), bodies);
}

#[tokio::test(start_paused = true)]
async fn what_only_waits_for_its_time_makes_room() {
    let emulator = emulator();
    let options = PublisherOptions::default().max_held_bytes(100).linger(3_600 * SECOND);
    let publisher = publisher(&emulator, &options).await;
    let began = now();
    for number in 0..20 {
        publisher.publish_with_key(&format!("key {number}"), "event").await.expect("taken").forget();
    }
    publisher.flush().await;
    assert_eq!((emulator.totals().events, began.elapsed()), (20, Duration::ZERO));
}

/// What a batch costs beside its events counts as well.
#[tokio::test(start_paused = true)]
async fn many_keys_with_small_events_are_bounded_too() {
    let emulator = emulator();
    emulator.inject(Fault::delay_outcomes(50 * SECOND));
    let options = PublisherOptions::default().max_held_bytes(1 << 20);
    let publisher = publisher(&emulator, &options).await;
    let mut taken = 0;
    while let Ok(Ok(receipt)) =
        tokio::time::timeout(SECOND, publisher.publish_with_key(&format!("device {taken}"), "e")).await
    {
        receipt.forget();
        taken += 1;
    }
    assert!((500..1_024).contains(&taken), "{taken} batches are held in 1 MiB");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_publisher_sends_what_it_holds() {
    let emulator = emulator();
    let publisher = publisher(&emulator, &PublisherOptions::default().linger(SECOND)).await;
    let receipts: [Receipt; 2] = [
        publisher.publish("one").await.expect("taken"),
        publisher.publish_with_key("key", "two").await.expect("taken"),
    ];
    drop(publisher);
    for receipt in receipts {
        receipt.await.expect("accepted");
    }
    assert_eq!(emulator.totals().events, 2);
}

#[test]
fn a_runtime_that_ends_leaves_no_receipt_waiting() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let first = runtime();
    let mut receipt = None;
    first.block_on(async {
        let emulator = emulator();
        let publisher = publisher(&emulator, &PublisherOptions::default().linger(3_600 * SECOND)).await;
        receipt = Some(publisher.publish("held").await.expect("taken"));
    });
    drop(first);
    let receipt = receipt.expect("a receipt");
    let outcome = runtime().block_on(receipt);
    assert!(matches!(outcome, Err(Undelivered::Abandoned)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_what_comes_later() {
    let emulator = emulator();
    emulator.inject(Fault::delay_outcomes(SECOND));
    let publisher = publisher(&emulator, &PublisherOptions::default()).await;
    publisher.flush().await;
    let began = now();
    publisher.publish("before").await.expect("taken").forget();
    let later = async {
        tokio::time::sleep(SECOND / 2).await;
        publisher.publish("after").await.expect("taken").await.expect("accepted");
        began.elapsed()
    };
    let flushing = async {
        publisher.flush().await;
        began.elapsed()
    };
    let (flushed, later) = tokio::join!(flushing, later);
    assert!(flushed < SECOND + SECOND / 10, "{flushed:?}");
    assert!(later >= SECOND + SECOND / 2, "{later:?}");
}

#[tokio::test]
async fn a_publisher_opens_as_many_connections_as_it_is_told() {
    let emulator = emulator();
    let listening = emulator.listen("127.0.0.1:0").await.expect("a free port");
    let to = hubwire::ConnectionString::parse(&listening.connection_string(None)).expect("well-formed");
    let options = PublisherOptions::default().connections(3).linger(Duration::ZERO);
    let publisher = Publisher::open(&to, HUB, &Options::default(), &options).await.expect("opens");
    publisher.publish("event").await.expect("taken").await.expect("accepted");
    publisher.close().await;
    assert_eq!((emulator.totals().connections, emulator.totals().events), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_over_nothing_is_refused() {
    let outcome = Publisher::over(Vec::new(), HUB, &PublisherOptions::default()).await;
    assert!(matches!(outcome, Err(Error::Setting { name: "connections", .. })), "{outcome:?}");
    let other = built(Emulator::builder());
    let connection = Connection::open_over(other.connect(), &connection_string(&other), &Options::default()).await;
    let outcome = Publisher::over(vec![connection.expect("opens")], "elsewhere", &PublisherOptions::default()).await;
    assert!(matches!(outcome, Err(Error::Closed { .. } | Error::TokenRefused { .. })), "{outcome:?}");
}

/// For events of which the store tells.
trait Forget {
    fn forget(self);
}

impl Forget for Receipt {
    fn forget(self) {}
}
