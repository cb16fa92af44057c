//! From a batch to its outcome, against the emulator in memory.

mod support;

use std::time::Duration;

use hubwire::wire::event::Properties;
use hubwire::{Batch, Connection, Error, Event, Options, Retry, SendError, Sender, Step, TryAdd};

use support::{HUB, Then, batch_of, built, connect, relay, sender, stored};

#[tokio::test(start_paused = true)]
async fn the_guides_three_events_are_accepted_and_stored() {
    let (emulator, connection, sender) = sender().await;
    let batch = batch_of(sender.batch(), ["first event", "second event", "..."]);
    let message_len = batch.encoded_len();
    let accepted = sender.send(batch).await.expect("accepted");
    assert_eq!((accepted.events, accepted.message_len), (3, message_len));
    assert_eq!(stored(&emulator), ["first event", "second event", "..."]);
    connection.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_accepted_batch_comes_back_empty_with_its_memory() {
    let (_emulator, _connection, sender) = sender().await;
    let batch = batch_of(sender.batch(), ["event"; 100]);
    let memory = batch.encoded().as_ptr();
    let batch = sender.send(batch).await.expect("accepted").into_batch();
    assert!(batch.is_empty());
    let batch = batch_of(batch, ["event"; 100]);
    assert_eq!(batch.encoded().as_ptr(), memory, "the same buffer serves again");
}

#[tokio::test(start_paused = true)]
async fn many_batches_in_flight_keep_their_order() {
    let (emulator, connection, _) = sender().await;
    let sender = connection.partition_sender(HUB, "2").await.expect("the partition is there");
    let bodies: Vec<String> = (0..500).map(|number| format!("event {number}")).collect();
    let sends = bodies.iter().map(|body| sender.send(batch_of(sender.batch(), [body.as_str()])));
    let outcomes = join_all(sends).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(stored(&emulator), bodies);
    assert!(emulator.events(HUB).expect("there").iter().all(|event| event.partition_id == 2));
}

#[tokio::test(start_paused = true)]
async fn tickets_keep_batches_in_order_and_tell_their_outcomes_in_any() {
    let (emulator, connection, _) = sender().await;
    let sender = connection.partition_sender(HUB, "2").await.expect("the partition is there");
    let bodies: Vec<String> = (0..100).map(|number| format!("event {number}")).collect();
    let mut tickets = Vec::new();
    for body in &bodies {
        tickets.push(sender.enqueue(batch_of(sender.batch(), [body.as_str()])).await.expect("room"));
    }
    // One of which nobody wants to know.
    drop(tickets.swap_remove(50));
    for ticket in tickets.into_iter().rev() {
        assert_eq!(ticket.await.expect("accepted").events, 1);
    }
    sender.flush().await;
    assert_eq!(stored(&emulator), bodies);
    assert_eq!(connection.counters().accepted_batches, 100);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_waits_for_room_in_the_window_and_not_for_the_outcome() {
    let emulator = support::emulator();
    emulator.inject(hubwire::emulator::Fault::delay_outcomes(Duration::from_secs(1)));
    let connection = connect(&emulator, &Options::default().max_in_flight_batches(2)).await;
    let sender = connection.sender(HUB).await.expect("attached");
    let began = support::now();
    let first = sender.enqueue(batch_of(sender.batch(), ["one"])).await.expect("room");
    let second = sender.enqueue(batch_of(sender.batch(), ["two"])).await.expect("room");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(!first.is_settled());
    let third = sender.enqueue(batch_of(sender.batch(), ["three"])).await.expect("room");
    assert!(first.is_settled() && !third.is_settled());
    assert_eq!(began.elapsed().as_secs(), 1, "the first has its outcome then");
    for ticket in [first, second, third] {
        ticket.await.expect("accepted");
    }
    assert_eq!(began.elapsed().as_secs(), 2);
}

/// Large batches give the connection's task its turn in between: nobody gets ahead in that.
#[tokio::test(start_paused = true)]
async fn batches_enqueued_together_keep_their_order() {
    let (emulator, connection, _) = sender().await;
    let sender = connection.partition_sender(HUB, "0").await.expect("the partition is there");
    let large = "x".repeat(300_000);
    let tickets = tokio::join!(
        sender.enqueue(batch_of(sender.batch(), [large.as_str()])),
        sender.enqueue(batch_of(sender.batch(), ["second"])),
        sender.enqueue(batch_of(sender.batch(), ["third"])),
        sender.send(batch_of(sender.batch(), ["fourth"])),
    );
    for ticket in [tickets.0, tickets.1, tickets.2] {
        ticket.expect("room").await.expect("accepted");
    }
    tickets.3.expect("accepted");
    assert_eq!(stored(&emulator)[1..], ["second", "third", "fourth"]);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_outlives_its_sender() {
    for has_left in [false, true] {
        let emulator = support::emulator();
        emulator.inject(hubwire::emulator::Fault::delay_outcomes(Duration::from_secs(1)));
        let connection = connect(&emulator, &Options::default()).await;
        let sender = connection.sender(HUB).await.expect("attached");
        let ticket = sender.enqueue(batch_of(sender.batch(), ["event"])).await.expect("room");
        if has_left {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        drop(sender);
        ticket.await.expect("accepted");
        assert_eq!(stored(&emulator), ["event"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_ticket_is_dropped_is_sent_again_where_that_is_called_for() {
    let (emulator, connection, sender) = sender().await;
    emulator.inject(hubwire::emulator::Fault::release().times(1));
    drop(sender.enqueue(batch_of(sender.batch(), ["event"])).await.expect("room"));
    sender.flush().await;
    assert_eq!((stored(&emulator), connection.counters().retried), (vec!["event".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_was_handed_over_before_it() {
    let emulator = support::emulator();
    emulator.inject(hubwire::emulator::Fault::delay_outcomes(Duration::from_secs(1)));
    let connection = connect(&emulator, &Options::default()).await;
    let sender = connection.sender(HUB).await.expect("attached");
    sender.flush().await;
    let began = support::now();
    let before = sender.enqueue(batch_of(sender.batch(), ["before"])).await.expect("room");
    let flushing = async {
        sender.flush().await;
        began.elapsed().as_secs()
    };
    let later = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        sender.enqueue(batch_of(sender.batch(), ["after"])).await.expect("room").await.expect("accepted");
        began.elapsed().as_millis()
    };
    assert_eq!(tokio::join!(flushing, later), (1, 1_500));
    before.await.expect("accepted");
}

/// All of `futures`, driven together, in order.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |cx| {
        let mut ready = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if !ready {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(waiting.iter_mut().filter_map(|(_, output)| output.take()).collect())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_of_a_mebibyte_arrives_whole() {
    let (emulator, _connection, sender) = sender().await;
    let body = "x".repeat(1_000);
    let mut batch = sender.batch();
    while batch.try_add(body.as_str()).is_added() {}
    assert!(batch.encoded_len() > 1_040_000);
    let events = batch.len();
    assert_eq!(sender.send(batch).await.expect("accepted").events, events);
    assert!(stored(&emulator).iter().all(|stored| *stored == body));
    assert_eq!(emulator.stored_count() as usize, events);
}

#[tokio::test(start_paused = true)]
async fn the_largest_single_event_fits_and_one_byte_more_does_not() {
    let (emulator, _connection, sender) = sender().await;
    // Source: event-hubs-wire 7.2: 8 bytes for each of the two data sections.
    let largest = sender.max_message_size() - 16;
    assert!(matches!(sender.batch().try_add(vec![7; largest + 1]), TryAdd::TooLarge(_)));
    let mut batch = sender.batch();
    assert!(batch.try_add(vec![7; largest]).is_added());
    assert!(sender.send(batch).await.is_ok());
    assert_eq!(emulator.stored_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn everything_with_one_key_lands_in_one_partition() {
    let (emulator, _connection, sender) = sender().await;
    for key in ["device-42", "a", "hüb"] {
        for round in ["one", "two"] {
            let batch = sender.batch_with_partition_key(key).expect("a fine key");
            sender.send(batch_of(batch, [round])).await.expect("accepted");
        }
        let events = emulator.events(HUB).expect("there");
        let keyed: Vec<_> = events.iter().filter(|event| event.partition_key.as_deref() == Some(key)).collect();
        assert_eq!(keyed.len(), 2, "{key}");
        assert_eq!(keyed[0].partition_id, keyed[1].partition_id, "{key}");
        assert_eq!(keyed[0].event().expect("decodes").partition_key(), Some(key));
    }
}

#[tokio::test(start_paused = true)]
async fn every_section_of_an_event_arrives() {
    let (emulator, _connection, sender) = sender().await;
    let event = Event::new("body")
        .with_properties(Properties { group_sequence: Some(7), ..Properties::default() })
        .with_message_id("id-1")
        .with_content_type("text/plain")
        .with_property("text", "v")
        .with_property("number", 42_i64)
        .with_annotation("x-opt-mine", true)
        .with_delivery_annotation("d", 1_u32)
        .with_footer("f", "end");
    let mut batch = sender.batch();
    assert!(batch.try_add(&event).is_added());
    sender.send(batch).await.expect("accepted");
    let arrived = emulator.events(HUB).expect("there")[0].event().expect("decodes");
    assert_eq!(arrived, event);
}

#[tokio::test(start_paused = true)]
async fn what_would_be_refused_anyway_is_not_sent() {
    let (emulator, connection, sender) = sender().await;
    let partition = connection.partition_sender(HUB, "0").await.expect("the partition is there");

    let empty = sender.send(sender.batch()).await.expect_err("empty");
    assert!(matches!(empty, SendError::NotSent { cause: Error::EmptyBatch, .. }), "{empty:?}");

    let mut huge = Batch::new(4 << 20);
    assert!(huge.try_add(vec![0; 2 << 20]).is_added());
    let huge = sender.send(huge).await.expect_err("too large");
    assert!(matches!(huge, SendError::NotSent { cause: Error::BatchTooLarge { .. }, .. }), "{huge:?}");

    let keyed = batch_of(sender.batch_with_partition_key("k").expect("a fine key"), ["event"]);
    let keyed = partition.send(keyed).await.expect_err("a key on a partition");
    assert!(matches!(keyed, SendError::NotSent { cause: Error::KeyOnPartition, .. }), "{keyed:?}");
    assert_eq!(emulator.totals().batches + emulator.totals().rejected, 0, "nothing left");
}

#[tokio::test(start_paused = true)]
async fn a_connection_string_taken_for_a_name_goes_nowhere() {
    let (emulator, connection, _sender) = sender().await;
    let name = "Endpoint=sb://ns/;SharedAccessKey=c2VjcmV0";
    let error = connection.sender(name).await.expect_err("no such name");
    assert!(matches!(error, Error::EventHubName(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("c2VjcmV0"), "{error:?}");
    assert_eq!(emulator.totals().links, 1, "the hub was not asked");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_throttles_rejects_in_its_own_words() {
    let emulator = built(hubwire::emulator::Emulator::builder().throughput_units(1));
    let connection = connect(&emulator, &Options::default().retry(Retry::none())).await;
    let sender = connection.sender(HUB).await.expect("attached");
    sender.send(batch_of(sender.batch(), ["x"; 2_000])).await.expect("a second's worth, and a debt of another");
    let error = sender.send(batch_of(sender.batch(), ["too soon"])).await.expect_err("throttled");
    assert!(
        matches!(&error, SendError::Rejected { condition, description, .. }
            if condition == "com.microsoft:server-busy" && description.contains("50002")),
        "{error:?}"
    );
    assert!(error.tracking_id().is_some(), "{error}");
    assert_eq!((emulator.totals().throttled, emulator.totals().rejected), (1, 1));
    let batch = error.into_batch();
    tokio::time::sleep(Duration::from_millis(1_001)).await;
    sender.send(batch).await.expect("the link lives on");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_credit_nothing_leaves() {
    let emulator = built(hubwire::emulator::Emulator::builder().link_credit(2));
    // The hub falls silent with the last byte that the attach needs: no outcome, and no more credit.
    let (_connection, sender) = silent_once_attached(&emulator).await;
    let batches: Vec<Batch> = ["one", "two", "three"].map(|body| batch_of(sender.batch(), [body])).into();
    let outcomes = join_all(batches.iter().map(|batch| sender.send(batch.clone()))).await;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let error = outcome.expect_err("the hub says nothing");
        let as_told = match number {
            0 | 1 => matches!(&error, SendError::Unknown { cause: Error::TimedOut { step: Step::Outcome, .. }, .. }),
            _ => matches!(&error, SendError::NotSent { cause: Error::TimedOut { step: Step::Credit, .. }, .. }),
        };
        assert!(as_told, "{number}: {error:?}");
        assert_eq!(error.into_batch(), batches[number], "encoded as it was");
    }
    assert_eq!(stored(&emulator), ["one", "two"], "unknown may be stored, not sent is not");
}

/// A sender whose hub says nothing more after the attach.
async fn silent_once_attached(emulator: &hubwire::emulator::Emulator) -> (Connection, Sender) {
    let connection_string = support::connection_string(emulator);
    let options = Options::default().open_timeout(Duration::from_secs(1)).send_timeout(Duration::from_secs(3));
    for limit in 0.. {
        let stream = relay(emulator, limit, Then::Stall);
        let Ok(connection) = Connection::open_over(stream, &connection_string, &options).await else { continue };
        if connection.sender(HUB).await.is_ok() {
            // The attach has come whole: let the flow behind it through as well, and nothing whole after that.
            let stream = relay(emulator, limit + CREDIT_FLOW_LEN, Then::Stall);
            let connection = Connection::open_over(stream, &connection_string, &options).await.expect("as before");
            let sender = connection.sender(HUB).await.expect("as before");
            return (connection, sender);
        }
    }
    unreachable!("the attach needs some number of bytes")
}

/// Room for the flow that grants a new link its credit: some 35 bytes. A disposition more would need 28 again.
const CREDIT_FLOW_LEN: usize = 40;

#[tokio::test(start_paused = true)]
async fn a_dropped_send_leaves_the_sender_usable() {
    let emulator = built(hubwire::emulator::Emulator::builder().link_credit(1));
    let connection = connect(&emulator, &Options::default()).await;
    let sender = connection.sender(HUB).await.expect("attached");
    for round in 0..20 {
        // Dropped at its first, second, ... pause.
        let batch = batch_of(sender.batch(), ["abandoned"]);
        let send = sender.send(batch);
        tokio::pin!(send);
        for _ in 0..round % 4 {
            let polled = tokio::time::timeout(Duration::ZERO, &mut send).await;
            if polled.is_ok() {
                break;
            }
        }
    }
    sender.send(batch_of(sender.batch(), ["kept"])).await.expect("accepted");
    assert_eq!(stored(&emulator).iter().filter(|body| *body == "kept").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_is_quiet_and_final() {
    let (emulator, connection, sender) = sender().await;
    sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
    connection.close().await;
    connection.close().await;
    let batch = batch_of(sender.batch(), ["late"]);
    let error = sender.send(batch.clone()).await.expect_err("closed");
    assert!(matches!(&error, SendError::NotSent { cause: Error::ShutDown, .. }), "{error:?}");
    assert_eq!(error.into_batch(), batch);
    assert!(matches!(connection.sender(HUB).await, Err(Error::ShutDown)));
    assert_eq!(stored(&emulator), ["event"]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_sender_leaves_its_connection_open() {
    let (emulator, connection, sender) = sender().await;
    sender.close().await;
    for _ in 0..300 {
        // More than the handles of a session: each is free again when its sender is gone.
        let sender = connection.sender(HUB).await.expect("attached again");
        sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
        sender.close().await;
    }
    assert_eq!(emulator.stored_count(), 300);
}

#[tokio::test(start_paused = true)]
async fn many_senders_share_one_connection() {
    let (emulator, connection, _sender) = sender().await;
    let mut senders = Vec::new();
    for number in 0..64 {
        senders.push(connection.partition_sender(HUB, &(number % 4).to_string()).await.expect("attached"));
    }
    for sender in &senders {
        sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
    }
    assert_eq!(emulator.stored_count(), 64);
    assert_eq!(emulator.totals().connections, 1);
}
