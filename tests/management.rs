//! What a namespace tells of its event hubs and partitions.

mod support;

use std::time::{Duration, UNIX_EPOCH};

use hubwire::emulator::{AccessRule, Emulator};
use hubwire::{Connection, ConnectionString, Error, Options, Step};
use support::{HUB, Then, batch_of, built, connect, emulator, now, options, relay};

#[tokio::test(start_paused = true)]
async fn a_hub_tells_its_name_its_age_and_its_partitions() {
    let born = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let emulator = built(Emulator::builder().starts_at(born));
    let connection = connect(&emulator, &options().wall_clock(move || born)).await;
    let properties = connection.event_hub_properties("TELEMETRY").await.expect("the hub is there");
    assert_eq!(properties.name, HUB);
    assert_eq!(properties.created_at, born);
    assert_eq!(properties.partition_ids, ["0", "1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_tells_what_is_first_and_last_in_it() {
    let emulator = built(Emulator::builder().retention_events(2));
    let connection = connect(&emulator, &options()).await;
    let empty = connection.partition_properties(HUB, "3").await.expect("the partition is there");
    assert!(empty.is_empty && empty.last_enqueued_time.is_none(), "{empty:?}");
    assert_eq!((empty.last_enqueued_sequence_number, empty.last_enqueued_offset.as_str()), (-1, "-1"));

    let sender = connection.partition_sender(HUB, "3").await.expect("attached");
    for body in ["one", "two", "three"] {
        sender.send(batch_of(sender.batch(), [body])).await.expect("accepted");
    }
    let filled = connection.partition_properties(HUB, "3").await.expect("the partition is there");
    assert_eq!((filled.event_hub.as_str(), filled.id.as_str()), (HUB, "3"));
    assert_eq!((filled.beginning_sequence_number, filled.last_enqueued_sequence_number), (1, 2));
    assert!(!filled.is_empty && filled.last_enqueued_time.is_some(), "{filled:?}");
}

#[tokio::test(start_paused = true)]
async fn many_questions_share_a_pair_of_links() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    let asked = ["0", "1", "2", "3"].map(|id| connection.partition_properties(HUB, id));
    let [a, b, c, d] = asked;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let ids = [a, b, c, d].map(|answer| answer.expect("answered").id);
    assert_eq!(ids, ["0", "1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_told_at_once_in_the_hubs_words() {
    let emulator = emulator();
    let connection = connect(&emulator, &options()).await;
    let began = now();
    let error = connection.event_hub_properties("none").await.expect_err("no such hub");
    assert!(matches!(&error, Error::TokenRefused { status: 404, .. }), "{error:?}");
    let error = connection.partition_properties(HUB, "4").await.expect_err("no such partition");
    let Error::RequestRefused { status: 400, .. } = &error else { panic!("{error:?}") };
    assert_eq!(error.condition(), Some("com.microsoft:argument-out-of-range"));
    assert!(error.tracking_id().is_some() && !error.is_retryable(), "{error}");
    assert!(error.to_string().contains("partition 4 of event hub telemetry"), "{error}");
    let error = connection.event_hub_properties("a'b").await.expect_err("that is no name");
    assert!(matches!(error, Error::EventHubName(_)), "{error:?}");
    assert_eq!(now(), began, "nothing was waited for");
    connection.event_hub_properties(HUB).await.expect("the links are still good");
}

#[tokio::test(start_paused = true)]
async fn a_rule_for_another_hub_learns_nothing() {
    let rule = AccessRule::new("audit", "a2V5").listen().event_hub("audit");
    let emulator = built(Emulator::builder().access_rule(rule).event_hub("audit", 1));
    let connection = connect(&emulator, &options()).await;
    let error = connection.event_hub_properties(HUB).await.expect_err("refused");
    assert!(matches!(error, Error::TokenRefused { status: 401, .. }), "{error:?}");
    assert_eq!(connection.event_hub_properties("audit").await.expect("its own").partition_ids, ["0"]);
}

/// The hub falls silent after every number of bytes that leads to an answer.
#[tokio::test(start_paused = true)]
async fn a_hub_that_falls_silent_is_not_waited_for_beyond_the_deadline() {
    let emulator = emulator();
    let text = emulator.connection_string(None);
    let connection_string = ConnectionString::parse(&text).expect("well-formed");
    let options = options().open_timeout(Duration::from_secs(7)).close_timeout(Duration::from_secs(1));
    let mut answered = false;
    for limit in (200..).step_by(60).take_while(|limit| *limit < 4_000) {
        let stream = relay(&emulator, limit, Then::Stall);
        let Ok(connection) = Connection::open_over(stream, &connection_string, &options).await else { continue };
        let began = now();
        match connection.event_hub_properties(HUB).await {
            Ok(_) => answered = true,
            Err(Error::TimedOut { step: Step::Authorize | Step::Attach | Step::Answer, after }) => {
                assert_eq!((after, now() - began), (Duration::from_secs(7), Duration::from_secs(7)), "{limit}");
            }
            Err(other) => panic!("{limit}: {other:?}"),
        }
    }
    assert!(answered, "a limit beyond all that is said lets the answer through");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_falls_ends_the_question() {
    let emulator = emulator();
    let text = emulator.connection_string(None);
    let connection_string = ConnectionString::parse(&text).expect("well-formed");
    let (mut lost, mut answered) = (0, 0);
    for limit in (200..4_000).step_by(60) {
        let stream = relay(&emulator, limit, Then::Cut);
        let Ok(connection) = Connection::open_over(stream, &connection_string, &Options::default()).await else {
            continue;
        };
        let began = now();
        match connection.partition_properties(HUB, "0").await {
            Ok(_) => answered += 1,
            Err(Error::Lost { .. }) => lost += 1,
            Err(other) => panic!("{limit}: {other:?}"),
        }
        assert_eq!(now(), began, "{limit}: told at once");
    }
    assert!(lost > 3 && answered > 3, "{lost} lost, {answered} answered");
}
