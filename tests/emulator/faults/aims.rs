//! A fault hits what it is aimed at, and nothing else.

use super::*;
use hubwire::emulator::Stage;

#[tokio::test(start_paused = true)]
async fn a_fault_is_aimed_at_a_hub() {
    let emulator = emulator_with([Fault::reject("amqp:not-allowed", "no").on_hub("AUDIT").always()]);
    let (connection, telemetry) = sender(&emulator).await;
    let audit = connection.sender("audit").await.expect("attaches");
    let partition = connection.partition_sender("audit", "0").await.expect("attaches");
    send(&telemetry, "one").await.expect("another hub");
    rejected(send(&audit, "two").await);
    rejected(send(&partition, "three").await);
    assert_eq!(emulator.stored_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_aimed_at_one_address() {
    let emulator = emulator_with([]);
    let (connection, hub) = sender(&emulator).await;
    let zero = connection.partition_sender(HUB, "0").await.expect("attaches");
    let one = connection.partition_sender(HUB, "1").await.expect("attaches");
    emulator.inject(Fault::detach("amqp:link:detach-forced", "Moved.").on_link("telemetry/Partitions/0"));
    settle().await;
    send(&zero, "one").await.expect("over a link that took the lost one's place");
    send(&one, "two").await.expect("another partition");
    send(&hub, "three").await.expect("the hub's own link");
    assert_eq!((emulator.totals().faults, emulator.totals().links), (1, 4), "one of them was lost");
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_aimed_at_a_connection_by_its_number() {
    let emulator = emulator_with([
        Fault::refuse_sasl(1).on_connection(2),
        Fault::silence().on_connection(3),
        Fault::delay(Stage::Attach, SECOND * 3).on_connection(4),
    ]);
    all_is_well(&emulator).await;
    assert!(matches!(connect(&emulator).await, Err(Error::SaslRefused { .. })));
    assert!(matches!(connect(&emulator).await, Err(Error::TimedOut { .. })));
    let began = now();
    all_is_well(&emulator).await;
    assert_eq!(began.elapsed(), SECOND * 3);
    all_is_well(&emulator).await;
    assert_eq!((began.elapsed(), emulator.totals().faults), (SECOND * 3, 3));
}

#[tokio::test(start_paused = true)]
async fn connections_are_struck_by_the_hubs_that_they_have_links_to() {
    let emulator = emulator_with([]);
    let (_one, telemetry) = sender(&emulator).await;
    let two = connect(&emulator).await.expect("opens");
    let audit = two.sender("audit").await.expect("attaches");
    emulator.inject(Fault::close("amqp:connection:forced", "Moved.").on_hub("audit"));
    settle().await;
    emulator.inject(Fault::silence().on_hub("audit"));
    send(&telemetry, "one").await.expect("another connection");
    assert_eq!(not_sent(send(&audit, "two").await).scope(), Some(Scope::Connection));
    let three = connect(&emulator).await.expect("silence waits for the link");
    three.sender(HUB).await.expect("another hub");
    for hub in ["audit", HUB] {
        let error = three.sender(hub).await.expect_err("it falls with the link, and stays when that is given up");
        assert!(matches!(error, Error::TimedOut { .. }), "{hub}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn links_for_tokens_are_struck_when_they_are_named() {
    let emulator = emulator_with([Fault::refuse_attach("amqp:not-allowed", "No tokens.").on_link("$cbs").always()]);
    let began = now();
    let connection = connect(&emulator).await.expect("opens");
    let error = connection.sender(HUB).await.expect_err("no way to put a token");
    assert!(matches!(&error, Error::Closed { condition, .. } if condition == "amqp:not-allowed"), "{error:?}");
    assert!(began.elapsed() <= TIMEOUT);
    emulator.clear_faults();
    all_is_well(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn receivers_are_detached_with_their_hub() {
    let emulator = emulator_with([]);
    let mut client = crate::client::Client::authorized(&emulator).await;
    let source = "telemetry/ConsumerGroups/$Default/Partitions/0";
    let mut receiver = fe2o3_amqp::Receiver::attach(&mut client.session, "r", source).await.unwrap();
    emulator.inject(Fault::detach("amqp:link:detach-forced", "Moved.").on_hub(HUB));
    let error = receiver.recv::<fe2o3_amqp_types::primitives::Value>().await.unwrap_err();
    assert!(format!("{error:?}").contains("Moved. TrackingId:"), "{error:?}");
}
