//! Reading partitions: from where, how far, in order, each event once, and how it ends.

mod support;

use std::time::Duration;

use hubwire::emulator::{AccessRule, Emulator};
use hubwire::{Connection, ConnectionString, Error, Event, Position, Receiver, ReceiverOptions, Scope};
use support::{HUB, Then, batch_of, built, connect, emulator, now, options, relay};

/// Sends each body in a batch of its own to partition 0.
async fn fill<'a>(connection: &Connection, bodies: impl IntoIterator<Item = &'a str>) {
    let sender = connection.partition_sender(HUB, "0").await.expect("attached");
    for body in bodies {
        sender.send(batch_of(sender.batch(), [body])).await.expect("accepted");
    }
}

async fn receiver(connection: &Connection, options: &ReceiverOptions) -> Receiver {
    connection.receiver(HUB, "0", options).await.expect("attached")
}

fn from(position: Position) -> ReceiverOptions {
    ReceiverOptions::default().position(position)
}

fn body(event: &Event) -> &str {
    std::str::from_utf8(event.data().expect("one data section")).expect("text")
}

/// The bodies that come without waiting for anything to happen.
async fn bodies(receiver: &mut Receiver) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Some(received) = receiver.recv_within(Duration::from_millis(1)).await.expect("the link lives") {
        bodies.push(body(&received.event).to_owned());
    }
    bodies
}

#[tokio::test(start_paused = true)]
async fn each_position_begins_where_it_says() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    fill(&connection, ["0", "1"]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    fill(&connection, ["2", "3"]).await;
    let stored = emulator.events(HUB).expect("the hub is there");
    let (offset, time) = (stored[1].offset.to_string(), stored[2].enqueued_time);
    let last_offset = stored[3].offset.to_string();
    for (position, expected) in [
        (Position::Earliest, &["0", "1", "2", "3"][..]),
        (Position::FromOffset(offset.clone()), &["1", "2", "3"]),
        (Position::AfterOffset(offset), &["2", "3"]),
        (Position::AfterOffset(last_offset), &[]),
        (Position::FromSequenceNumber(3), &["3"]),
        (Position::AfterSequenceNumber(1), &["2", "3"]),
        (Position::AfterSequenceNumber(-1), &["0", "1", "2", "3"]),
        (Position::FromEnqueuedTime(time), &["2", "3"]),
        (Position::FromEnqueuedTime(time + Duration::from_secs(1)), &[]),
        (Position::Latest, &[]),
    ] {
        let mut receiver = receiver(&connection, &from(position.clone())).await;
        assert_eq!(bodies(&mut receiver).await, expected, "{position:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_later_comes_as_it_is_sent() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    fill(&connection, ["before"]).await;
    let mut latest = receiver(&connection, &from(Position::Latest)).await;
    let waiting = tokio::spawn(async move {
        let received = latest.recv().await.expect("the link lives");
        (body(&received.event).to_owned(), received.sequence_number, latest.position().clone())
    });
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    fill(&connection, ["after"]).await;
    let (body, number, position) = waiting.await.expect("no panic");
    assert_eq!((body.as_str(), number, position), ("after", 1, Position::AfterSequenceNumber(1)));
}

#[tokio::test(start_paused = true)]
async fn an_event_comes_with_all_that_its_publisher_and_the_hub_say() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    let sender = connection.sender(HUB).await.expect("attached");
    let mut batch = sender.batch_with_partition_key("device-42").expect("a key");
    let event = Event::new("21.5").with_content_type("text/plain").with_message_id(7).with_property("unit", "C");
    assert!(batch.try_add(event.clone()).is_added());
    sender.send(batch).await.expect("accepted");
    let stored = &emulator.events(HUB).expect("the hub is there")[0];

    let partition_id = stored.partition_id.to_string();
    let options = ReceiverOptions::default().metrics(true);
    let mut receiver = connection.receiver(HUB, &partition_id, &options).await.expect("attached");
    let received = receiver.recv().await.expect("an event");
    assert_eq!(received.event.data(), event.data());
    assert_eq!(received.event.properties(), event.properties());
    assert_eq!(received.event.application_properties(), event.application_properties());
    assert_eq!(received.partition_key.as_deref(), Some("device-42"));
    assert_eq!((received.sequence_number, received.offset), (0, stored.offset.to_string()));
    let since = stored.enqueued_time.duration_since(received.enqueued_time).expect("cut to the millisecond");
    assert!(since < Duration::from_millis(1));
    let last = received.last_enqueued.expect("asked for");
    assert_eq!((last.sequence_number, last.enqueued_time), (0, received.enqueued_time));
}

#[tokio::test(start_paused = true)]
async fn credit_is_all_that_piles_up_and_order_holds_beyond_it() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    let sender = connection.partition_sender(HUB, "0").await.expect("attached");
    let mut batch = sender.batch();
    for number in 0..1_000 {
        assert!(batch.try_add(number.to_string()).is_added());
    }
    sender.send(batch).await.expect("accepted");
    for credit in [1, 2, 10, 299] {
        let before = emulator.totals().delivered;
        let mut receiver = receiver(&connection, &ReceiverOptions::default().credit(credit)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(emulator.totals().delivered - before, u64::from(credit), "nobody has taken any");
        for number in 0..1_000 {
            let received = receiver.recv().await.expect("the next one");
            assert_eq!((received.sequence_number, body(&received.event)), (number, number.to_string().as_str()));
        }
        assert_eq!(emulator.totals().delivered - before, 1_000);
    }
}

#[tokio::test(start_paused = true)]
async fn many_are_taken_at_a_time_and_none_is_waited_for() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    fill(&connection, ["0", "1", "2"]).await;
    let mut receiver = receiver(&connection, &ReceiverOptions::default()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.recv_many(2).await.expect("two").len(), 2);
    assert_eq!(receiver.recv_many(2).await.expect("the rest").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_higher_owner_level_takes_over_and_a_lower_one_is_refused() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    fill(&connection, ["0"]).await;
    let level = |level| ReceiverOptions::default().owner_level(level).name("reader");
    let mut first = receiver(&connection, &level(1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut second = receiver(&connection, &level(2)).await;

    assert_eq!(first.recv().await.expect("what had come is kept").sequence_number, 0);
    for _ in 0..2 {
        let stolen = first.recv().await.expect_err("the partition has another owner");
        assert_eq!((stolen.condition(), stolen.scope()), (Some("amqp:link:stolen"), Some(Scope::Link)), "{stolen}");
        assert!(!stolen.is_retryable(), "taking it back would steal it in turn");
    }
    let refused = connection.receiver(HUB, "0", &level(1)).await.expect_err("a lower level");
    assert_eq!(refused.condition(), Some("amqp:link:stolen"), "{refused}");
    assert_eq!(second.recv().await.expect("the owner reads").sequence_number, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_refused_at_once() {
    let emulator = built(Emulator::builder().access_rule(AccessRule::new("send", "a2V5").send()));
    let connection = connect(&emulator, &options()).await;
    let unread = connection.receiver(HUB, "0", &ReceiverOptions::default()).await.expect_err("no Listen right");
    assert_eq!(unread.condition(), Some("amqp:unauthorized-access"), "{unread}");

    let emulator = support::emulator();
    let connection = connect(&emulator, &options()).await;
    let began = now();
    let group = ReceiverOptions::default().consumer_group("none");
    for (partition, options, condition) in [
        ("4", ReceiverOptions::default(), "com.microsoft:argument-out-of-range"),
        ("0", group, "amqp:not-found"),
        ("0", from(Position::AfterOffset("not a number".into())), "com.microsoft:argument-error"),
    ] {
        let error = connection.receiver(HUB, partition, &options).await.expect_err("refused");
        assert_eq!(error.condition(), Some(condition), "{error}");
    }
    assert_eq!(now(), began);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_receiver_or_its_future_leaves_nothing_attached() {
    let emulator = built(Emulator::builder().linkless_timeout(Duration::from_secs(3_600)));
    let connection = connect(&emulator, &options()).await;
    // Five may read side by side: a sixth shows that one was left behind.
    for _ in 0..12 {
        let receiver = receiver(&connection, &ReceiverOptions::default()).await;
        drop(receiver);
        let options = ReceiverOptions::default();
        let attaching = connection.receiver(HUB, "0", &options);
        tokio::select! { biased; _ = attaching => panic!("no answer can be there yet"), () = std::future::ready(()) => {} }
        receiver_closed(&connection).await;
    }
}

async fn receiver_closed(connection: &Connection) {
    receiver(connection, &ReceiverOptions::default()).await.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_connection_is_told_at_once_with_its_first_cause() {
    let emulator = emulator();
    fill(&connect(&emulator, &options()).await, ["0", "1"]).await;
    let text = emulator.connection_string(None);
    let connection_string = ConnectionString::parse(&text).expect("well-formed");
    let mut whole = 0;
    for limit in (400..4_000).step_by(50) {
        let stream = relay(&emulator, limit, Then::Cut);
        let Ok(connection) = Connection::open_over(stream, &connection_string, &options()).await else { continue };
        let Ok(mut receiver) = connection.receiver(HUB, "0", &ReceiverOptions::default()).await else { continue };
        let began = now();
        let mut numbers = Vec::new();
        let error = loop {
            match receiver.recv_within(Duration::from_secs(1)).await {
                Ok(Some(received)) => numbers.push(received.sequence_number),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!([&[][..], &[0], &[0, 1]].contains(&numbers.as_slice()), "{limit}: {numbers:?}");
        match error {
            // Cut, and heard of it at once.
            Some(error) => {
                assert!(matches!(error, Error::Lost { .. }), "{limit}: {error:?}");
                assert_eq!(now(), began, "{limit}");
            }
            None => whole += 1,
        }
    }
    assert!(whole > 0, "a limit beyond all that is said cuts nothing");
}

#[tokio::test(start_paused = true)]
async fn a_silent_hub_is_noticed_while_waiting_for_events() {
    let emulator = emulator();
    let text = emulator.connection_string(None);
    let connection_string = ConnectionString::parse(&text).expect("well-formed");
    let stream = relay(&emulator, 2_500, Then::Stall);
    let options = options().idle_timeout(Duration::from_secs(30));
    let connection = Connection::open_over(stream, &connection_string, &options).await.expect("opens");
    let mut receiver = receiver(&connection, &ReceiverOptions::default()).await;
    // Heartbeats use the bytes up, and then there is silence.
    let error = receiver.recv().await.expect_err("the peer is dead");
    assert!(matches!(error, Error::IdleTimeout { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn readers_rest_for_days_on_tokens_that_are_renewed() {
    let emulator = emulator();
    let connection = connect(&emulator, &options().token_ttl(Duration::from_secs(600))).await;
    let mut receiver = receiver(&connection, &ReceiverOptions::default()).await;
    assert!(receiver.recv_within(Duration::from_secs(2 * 86_400)).await.expect("the link lives").is_none());
    fill(&connection, ["late"]).await;
    assert_eq!(body(&receiver.recv().await.expect("it came").event), "late");
    assert_eq!(emulator.totals().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn a_large_event_comes_in_many_frames() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    let large = "x".repeat(900_000);
    fill(&connection, [large.as_str(), "small"]).await;
    let mut receiver = receiver(&connection, &ReceiverOptions::default()).await;
    assert_eq!(body(&receiver.recv().await.expect("the large one").event), large);
    assert_eq!(body(&receiver.recv().await.expect("the small one").event), "small");
}
