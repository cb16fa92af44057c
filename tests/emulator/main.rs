//! The emulator, as an independent AMQP client sees it.

mod activities;
mod captures;
mod client;
#[cfg(all(feature = "certificates", feature = "websocket"))]
mod doors;
mod faults;
mod lifetimes;
mod receivers;
mod strangers;

use std::time::Duration;

use fe2o3_amqp::{Receiver, Sendable, Session};
use fe2o3_amqp_types::messaging::{Batch, Data, Message, MessageAnnotations};
use fe2o3_amqp_types::primitives::Binary;
use hubwire::emulator::{Emulator, StoredEvent};

use client::{BATCH, Client, NAMESPACE, Unlimited, accepted, batch, event, events, rejected, token};

const HOUR: Duration = Duration::from_secs(3_600);

fn emulator() -> Emulator {
    Emulator::builder().event_hub("telemetry", 4).event_hub("audit", 1).build().unwrap()
}

fn bodies(events: &[StoredEvent]) -> Vec<String> {
    let body = |event: &StoredEvent| String::from_utf8(event.event().unwrap().data().unwrap().to_vec()).unwrap();
    events.iter().map(body).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_accepted_and_read_back() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry").await;
    assert_eq!(sender.max_message_size(), Some(1_048_576));
    accepted(sender.send(events(&["one", "two", "three"])).await);
    accepted(sender.send(Message::from(Data(Binary::from(b"solo".to_vec())))).await);
    sender.close().await.unwrap();
    client.close().await;

    let stored = emulator.events("Telemetry").unwrap();
    assert_eq!(bodies(&stored), ["one", "two", "three", "solo"]);
    let places: Vec<_> = stored.iter().map(|event| (event.partition_id, event.sequence_number)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (0, 2), (1, 0)]);
    assert_eq!(stored[1].encoded, event("two"));
    assert!(emulator.events("audit").unwrap().is_empty());
    assert!(emulator.events("other").is_none());

    let totals = emulator.totals();
    assert_eq!((totals.connections, totals.links, totals.batches, totals.events), (1, 1, 2, 4));
    assert_eq!((totals.rejected, totals.refused_connections), (0, 0));
    emulator.until_stored(4).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_hold_grants_nothing() {
    let emulator = emulator();
    let mut client = Client::open(&emulator).await;
    let name = "sb://localhost/telemetry";
    let wrong_key = client.put_token(name, &token(name, "other", HOUR)).await.unwrap_err().to_string();
    assert!(wrong_key.contains("401"), "{wrong_key}");
    let no_hub = client.put_token("sb://localhost/none", &token(NAMESPACE, "SAS_KEY_VALUE", HOUR)).await;
    assert!(no_hub.unwrap_err().to_string().contains("404"));

    let (condition, description) = client.refused_sender("telemetry").await;
    assert_eq!(condition, "amqp:unauthorized-access");
    assert!(description.contains("'Send' claim(s) are required"), "{description}");
    assert!(description.contains("TrackingId:"), "{description}");

    // A token for one hub opens no other, but all that lies below; the connection has lived through all of this.
    client.put_token(name, &token(name, "SAS_KEY_VALUE", HOUR)).await.unwrap();
    assert_eq!(client.refused_sender("audit").await.0, "amqp:unauthorized-access");
    client.sender("telemetry/Partitions/1").await;
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_with_its_token_unless_that_was_renewed() {
    let emulator = emulator();
    let mut client = Client::open(&emulator).await;
    let (hub, partition) = ("sb://localhost/telemetry", "sb://localhost/audit");
    client.put_token(hub, &token(hub, "SAS_KEY_VALUE", Duration::from_secs(60))).await.unwrap();
    client.put_token(partition, &token(partition, "SAS_KEY_VALUE", Duration::from_secs(60))).await.unwrap();
    let mut renewed = client.sender("telemetry").await;
    let mut lapsing = client.sender("audit").await;
    client.put_token(hub, &token(hub, "SAS_KEY_VALUE", HOUR)).await.unwrap();

    let error = lapsing.on_detach().await;
    assert!(format!("{error:?}").contains("ExpiredToken: The token is expired."), "{error:?}");
    accepted(renewed.send(events(&["still here"])).await);
    assert_eq!(client.refused_sender("audit").await.0, "amqp:unauthorized-access");
}

#[tokio::test(start_paused = true)]
async fn addresses_are_taken_in_every_form_that_sdks_write() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    for address in
        ["telemetry", "/telemetry", "TELEMETRY", "amqps://127.0.0.1:5672/telemetry", "sb://any.host/Telemetry/"]
    {
        accepted(client.sender(address).await.send(events(&[address])).await);
    }
    assert_eq!(emulator.stored_count(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_not_served_is_refused_in_words() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    for (address, condition, words) in [
        ("other", "amqp:not-found", "The messaging entity 'sb://emulator/other' could not be found."),
        ("telemetry/Partitions/4", "com.microsoft:argument-out-of-range", "between 0 and 3"),
        ("telemetry/Publishers/me", "amqp:not-implemented", "does not serve 'telemetry/Publishers/me'"),
    ] {
        let (found, description) = client.refused_sender(address).await;
        assert_eq!(found, condition, "{address}");
        assert!(description.contains(words), "{address}: {description}");
    }
    let source = "telemetry/ConsumerGroups/$Default";
    let mut session = Session::begin(&mut client.connection).await.unwrap();
    let error = Receiver::attach(&mut session, "r", source).await.unwrap_err();
    assert!(format!("{error:?}").contains("does not serve 'telemetry/ConsumerGroups/$Default'"), "{error:?}");
    client.sender("telemetry").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_rejected_and_the_link_lives_on() {
    let emulator = Emulator::builder().event_hub("telemetry", 1).max_message_size(1_000).build().unwrap();
    let mut client = Client::open_with(Unlimited { inner: emulator.connect() }).await;
    client.put_token(NAMESPACE, &token(NAMESPACE, "SAS_KEY_VALUE", HOUR)).await.unwrap();
    let mut sender = client.sender("telemetry").await;
    let outcome = sender.send(events(&[&"x".repeat(200_000)])).await;
    let (condition, description) = rejected(outcome);
    assert_eq!(condition, "amqp:link:message-size-exceeded");
    assert!(description.contains("exceeds the limit (1000 bytes) currently allowed on the link."), "{description}");
    accepted(sender.send(events(&["small"])).await);
    assert_eq!((emulator.totals().rejected, emulator.stored_count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_partition_link_leads_to_its_partition_and_takes_no_key() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry/Partitions/2").await;
    for body in ["a", "b"] {
        accepted(sender.send(events(&[body])).await);
    }
    let (condition, _) = rejected(sender.send(keyed("k", "c")).await);
    assert_eq!(condition, "amqp:not-allowed");
    let stored = emulator.events("telemetry").unwrap();
    assert!(stored.iter().all(|event| event.partition_id == 2));
    assert_eq!(bodies(&stored), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_key_chooses_the_partition() {
    let emulator = Emulator::builder().event_hub("telemetry", 32).build().unwrap();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry").await;
    for _ in 0..3 {
        accepted(sender.send(keyed("device-42", "x")).await);
    }
    // A single event carries the key itself.
    let annotations = MessageAnnotations::builder().insert("x-opt-partition-key", "device-42").build();
    let message = Message::builder().message_annotations(annotations).data(b"solo".to_vec()).build();
    accepted(sender.send(message).await);
    let stored = emulator.events("telemetry").unwrap();
    assert_eq!(stored.len(), 4);
    for event in stored {
        assert_eq!((event.partition_id, event.partition_key.as_deref()), (12, Some("device-42")));
    }
}

/// A batch of one event, with a partition key on its envelope.
fn keyed(key: &str, body: &str) -> Sendable<Batch<Data>> {
    let mut sendable = events(&[body]);
    let annotations = MessageAnnotations::builder().insert("x-opt-partition-key", key).build();
    sendable.message.message_annotations = Some(annotations);
    sendable
}

#[tokio::test(start_paused = true)]
async fn past_its_retention_the_oldest_events_go() {
    let builder = Emulator::builder().event_hub("telemetry", 1).max_message_size(65_536).retention_bytes(150_000);
    let emulator = builder.retention(Duration::from_secs(90)).build().unwrap();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry").await;
    for number in 0..3 {
        accepted(sender.send(events(&[&number.to_string().repeat(60_000)])).await);
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let held = || emulator.events("telemetry").unwrap().iter().map(|event| event.sequence_number).collect::<Vec<_>>();
    assert_eq!(held(), [1, 2], "two of them fit");
    tokio::time::sleep(Duration::from_secs(30)).await;
    accepted(sender.send(events(&["later"])).await);
    assert_eq!(held(), [2, 3], "number 1 was 90 s old");
    assert_eq!(emulator.totals().expired, 2);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_batch_is_rejected_whole() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry").await;
    let (condition, description) = rejected(sender.send(batch([event("good"), b"garbage".to_vec()])).await);
    assert_eq!(condition, "amqp:decode-error");
    assert!(description.starts_with("Event 1 of the batch does not decode: byte 0"), "{description}");
    let value = Sendable { message: Message::from("no batch"), message_format: BATCH, settled: None };
    assert_eq!(rejected(sender.send(value).await).0, "amqp:decode-error");
    let foreign = Sendable { message: Message::from("of another format"), message_format: 9, settled: None };
    assert_eq!(rejected(sender.send(foreign).await).0, "amqp:not-implemented");
    assert_eq!(emulator.stored_count(), 0);
    accepted(sender.send(events(&["good"])).await);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_credit_can_be_under_way() {
    let emulator = Emulator::builder().event_hub("telemetry", 2).link_credit(3).build().unwrap();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry").await;
    let mut outcomes = Vec::new();
    for index in 0..100 {
        outcomes.push(sender.send_batchable(events(&[&index.to_string()])).await.unwrap());
    }
    for outcome in outcomes {
        accepted(outcome.await);
    }
    assert_eq!(emulator.stored_count(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_connections_publish_at_once() {
    let emulator = emulator();
    let listening = emulator.listen("127.0.0.1:0").await.unwrap();
    let addr = listening.local_addr();
    let publish = |index: usize| async move {
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let mut client = Client::open_with(stream).await;
        client.put_token(NAMESPACE, &token(NAMESPACE, "SAS_KEY_VALUE", HOUR)).await.unwrap();
        let mut sender = client.sender("telemetry").await;
        for turn in 0..10 {
            accepted(sender.send(events(&[&format!("{index}-{turn}")])).await);
        }
        sender.close().await.unwrap();
        client.close().await;
    };
    let publishers: Vec<_> = (0..100).map(|index| tokio::spawn(publish(index))).collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let stored = emulator.events("telemetry").unwrap();
    let distinct: std::collections::HashSet<_> = bodies(&stored).into_iter().collect();
    assert_eq!((stored.len(), distinct.len()), (1_000, 1_000));
    assert_eq!(emulator.totals().connections, 100);
}

#[tokio::test]
async fn other_machines_are_let_in_only_when_asked() {
    let builder = Emulator::builder().event_hub("telemetry", 1);
    let error = builder.clone().build().unwrap().listen("0.0.0.0:0").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    let listening = builder.allow_remote(true).build().unwrap().listen("0.0.0.0:0").await.unwrap();
    assert!(listening.is_remote());
    assert!(listening.connection_string(None).starts_with("Endpoint=sb://127.0.0.1:"));
}

#[tokio::test]
async fn stopping_ends_the_accepting_and_nothing_else() {
    let emulator = emulator();
    let listening = emulator.listen("127.0.0.1:0").await.unwrap();
    let addr = listening.local_addr();
    let mut client = Client::open_with(tokio::net::TcpStream::connect(addr).await.unwrap()).await;
    listening.stop();
    // The task that held the port ends at its next turn.
    while tokio::net::TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    client.put_token(NAMESPACE, &token(NAMESPACE, "SAS_KEY_VALUE", HOUR)).await.unwrap();
    accepted(client.sender("telemetry").await.send(events(&["still served"])).await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_string_leads_back_to_the_namespace() {
    let emulator = Emulator::builder().event_hub("telemetry", 1).rule("send", "a2V5").build().unwrap();
    assert_eq!(
        emulator.connection_string(Some("telemetry")),
        "Endpoint=sb://localhost;SharedAccessKeyName=send;SharedAccessKey=a2V5;UseDevelopmentEmulator=true;\
         EntityPath=telemetry"
    );
    assert!(!format!("{emulator:?}").contains("a2V5"));
}
