//! Receivers and `$management`, as an independent AMQP client sees them.

use std::time::Duration;

use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{ReceiverAttachError, RecvError};
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Receiver, Session};
use fe2o3_amqp_management::MgmtClient;
use fe2o3_amqp_management::operations::ReadRequest;
use fe2o3_amqp_types::definitions::Fields;
use fe2o3_amqp_types::messaging::{Body, Message, Source};
use hubwire::emulator::{AccessRule, Emulator};
use serde_amqp::Value;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::{OrderedMap, Symbol};

use super::client::{Client, NAMESPACE, accepted, events, parts, token};
use super::emulator;

/// A receiver, and the session of its own that it needs: this client stumbles over a refused link's late detach.
struct Reader {
    receiver: Receiver,
    _session: SessionHandle<()>,
}

/// What a receiver asks for.
#[derive(Default)]
struct Ask {
    selector: Option<&'static str>,
    owner_level: Option<i64>,
    wants_metrics: bool,
    credit: u32,
}

fn source(address: &str, selector: Option<&str>) -> Source {
    let mut source = Source { address: Some(address.to_owned()), ..Source::default() };
    source.filter = selector.map(|selector| {
        let described = Described {
            descriptor: Descriptor::Name("apache.org:selector-filter:string".into()),
            value: Value::String(selector.to_owned()),
        };
        OrderedMap::from_iter([(
            Symbol::from("apache.org:selector-filter:string"),
            Value::Described(Box::new(described)),
        )])
    });
    source
}

impl Reader {
    async fn attach(client: &mut Client, address: &str, ask: Ask) -> Result<Self, (String, String)> {
        let mut session = Session::begin(&mut client.connection).await.expect("a session");
        let mut builder = Receiver::builder()
            .name(format!("{address} {:?}", ask.owner_level))
            .source(source(address, ask.selector))
            .credit_mode(CreditMode::Manual);
        if ask.wants_metrics {
            builder = builder.add_desired_capabilities("com.microsoft:enable-receiver-runtime-metric");
        }
        if let Some(level) = ask.owner_level {
            let mut properties = Fields::new();
            properties.insert("com.microsoft:epoch".into(), Value::Long(level));
            properties.insert("com.microsoft:receiver-name".into(), Value::String(format!("owner-{level}")));
            builder = builder.properties(properties);
        }
        match builder.attach(&mut session).await {
            Ok(mut receiver) => {
                receiver.set_credit(ask.credit).await.expect("a link");
                Ok(Self { receiver, _session: session })
            }
            Err(ReceiverAttachError::RemoteClosedWithError(error)) => Err(parts(error)),
            Err(other) => panic!("{address}: {other:?}"),
        }
    }

    async fn next(&mut self) -> Delivery<Body<Value>> {
        let delivery = self.receiver.recv().await.expect("an event");
        self.receiver.accept(&delivery).await.expect("a link");
        delivery
    }

    /// The next events' bodies.
    async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            bodies.push(body(self.next().await.message()));
        }
        bodies
    }

    /// Nothing comes while the time, which is paused, passes.
    async fn is_at_rest(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(5), self.receiver.recv::<Body<Value>>()).await.is_err()
    }

    /// How the link ended.
    async fn end(&mut self) -> String {
        match self.receiver.recv::<Body<Value>>().await.expect_err("the end") {
            RecvError::LinkStateError(error) => format!("{error:?}"),
            other => panic!("{other:?}"),
        }
    }
}

fn body(message: &Message<Body<Value>>) -> String {
    match &message.body {
        Body::Data(batch) => String::from_utf8(batch.iter().flat_map(|data| data.0.iter().copied()).collect()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn annotation(delivery: &Delivery<Body<Value>>, name: &str) -> Option<Value> {
    let annotations = delivery.message().message_annotations.as_ref()?;
    annotations.0.iter().find(|(key, _)| format!("{key:?}").contains(name)).map(|(_, value)| value.clone())
}

fn place(group: &str, partition: u32) -> String {
    format!("telemetry/ConsumerGroups/{group}/Partitions/{partition}")
}

/// An emulator with `one` to `four` in partition 0, a second apart.
async fn filled(client: &mut Client) {
    let mut sender = client.sender("telemetry/Partitions/0").await;
    for bodies in [&["one", "two"][..], &["three"], &["four"]] {
        accepted(sender.send(events(bodies)).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn all(credit: u32) -> Ask {
    Ask { credit, ..Ask::default() }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_gets_what_is_there_and_then_what_comes() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    filled(&mut client).await;
    let mut reader = Reader::attach(&mut client, &place("$default", 0), all(300)).await.unwrap();
    let first = reader.next().await;
    assert_eq!(body(first.message()), "one");
    assert_eq!(annotation(&first, "x-opt-sequence-number"), Some(Value::Long(0)));
    assert_eq!(annotation(&first, "x-opt-offset"), Some(Value::String("0".into())));
    assert!(matches!(annotation(&first, "x-opt-enqueued-time"), Some(Value::Timestamp(_))));
    assert_eq!(reader.bodies(3).await, ["two", "three", "four"]);
    assert!(reader.is_at_rest().await);
    let mut sender = client.sender("telemetry/Partitions/0").await;
    accepted(sender.send(events(&["five"])).await);
    assert_eq!(reader.bodies(1).await, ["five"]);
    assert_eq!((emulator.totals().receivers, emulator.totals().delivered), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_position_says_which_event_is_first() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    filled(&mut client).await;
    for (selector, first) in [
        ("amqp.annotation.x-opt-offset > '-1'", "one"),
        ("amqp.annotation.x-opt-sequence-number >= '1'", "two"),
        ("amqp.annotation.x-opt-sequence-number > '1'", "three"),
        ("amqp.annotation.x-opt-offset >='0'", "one"),
        ("amqp.annotation.x-opt-offset > '0'", "two"),
    ] {
        let ask = Ask { selector: Some(selector), credit: 1, ..Ask::default() };
        let mut reader = Reader::attach(&mut client, &place("$Default", 0), ask).await.unwrap();
        assert_eq!(reader.bodies(1).await, [first], "{selector}");
        reader.receiver.close().await.unwrap();
    }
    let ask = Ask { selector: Some("amqp.annotation.x-opt-offset > '@latest'"), credit: 9, ..Ask::default() };
    let mut reader = Reader::attach(&mut client, &place("$Default", 0), ask).await.unwrap();
    assert!(reader.is_at_rest().await);
    let mut sender = client.sender("telemetry/Partitions/0").await;
    accepted(sender.send(events(&["five"])).await);
    assert_eq!(reader.bodies(1).await, ["five"]);
    let ask = Ask { selector: Some("x-opt-offset"), ..Ask::default() };
    let (condition, _) = Reader::attach(&mut client, &place("$Default", 0), ask).await.err().unwrap();
    assert_eq!(condition, "com.microsoft:argument-error");
}

#[tokio::test(start_paused = true)]
async fn credit_holds_a_reader_back_and_holds_up_nobody() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    filled(&mut client).await;
    let mut slow = Reader::attach(&mut client, &place("$Default", 0), all(2)).await.unwrap();
    let mut other = Reader::attach(&mut client, &place("$Default", 0), all(300)).await.unwrap();
    assert_eq!(slow.bodies(2).await, ["one", "two"]);
    assert!(slow.is_at_rest().await);
    assert_eq!(other.bodies(4).await, ["one", "two", "three", "four"]);
    slow.receiver.set_credit(1).await.unwrap();
    assert_eq!(slow.bodies(1).await, ["three"]);
    assert!(slow.is_at_rest().await);
}

#[tokio::test(start_paused = true)]
async fn what_is_drained_is_sent_first() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    filled(&mut client).await;
    let mut reader = Reader::attach(&mut client, &place("$Default", 0), all(0)).await.unwrap();
    reader.receiver.set_credit(300).await.unwrap();
    reader.receiver.drain().await.unwrap();
    assert_eq!(reader.bodies(4).await, ["one", "two", "three", "four"]);
    assert!(reader.is_at_rest().await);
    // The credit is gone: what comes now waits for more.
    let mut sender = client.sender("telemetry/Partitions/0").await;
    accepted(sender.send(events(&["five"])).await);
    assert!(reader.is_at_rest().await);
    reader.receiver.set_credit(1).await.unwrap();
    assert_eq!(reader.bodies(1).await, ["five"]);
}

#[tokio::test(start_paused = true)]
async fn groups_read_apart_and_places_that_are_not_there_are_refused() {
    let emulator = Emulator::builder().event_hub("telemetry", 4).consumer_group("telemetry", "cg1").build().unwrap();
    let mut client = Client::authorized(&emulator).await;
    filled(&mut client).await;
    for group in ["$Default", "CG1"] {
        let mut reader = Reader::attach(&mut client, &place(group, 0), all(9)).await.unwrap();
        assert_eq!(reader.bodies(2).await, ["one", "two"]);
    }
    for (address, condition, words) in [
        (place("none", 0), "amqp:not-found", "could not be found."),
        ("other/ConsumerGroups/$Default/Partitions/0".to_owned(), "amqp:not-found", "could not be found."),
        (place("$Default", 4), "com.microsoft:argument-out-of-range", "between 0 and 3"),
        ("telemetry".to_owned(), "amqp:not-implemented", "receivers from"),
    ] {
        let (found, description) = Reader::attach(&mut client, &address, all(1)).await.err().unwrap();
        assert_eq!(found, condition, "{address}");
        assert!(description.contains(words), "{description}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_higher_owner_level_takes_the_partition_over_from_another_connection() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    let mut rival = Client::authorized(&emulator).await;
    let owner = |level| Ask { owner_level: Some(level), credit: 9, ..Ask::default() };
    let mut plain = Reader::attach(&mut client, &place("$Default", 0), all(9)).await.unwrap();
    let mut first = Reader::attach(&mut client, &place("$Default", 0), owner(1)).await.unwrap();
    let text = plain.end().await;
    assert!(text.contains("Stolen") && text.contains("without epoch"), "{text}");
    let mut second = Reader::attach(&mut rival, &place("$Default", 0), owner(2)).await.unwrap();
    let text = first.end().await;
    assert!(text.contains("Stolen") && text.contains("higher epoch of '2'"), "{text}");
    for ask in [owner(1), all(1)] {
        let (condition, _) = Reader::attach(&mut client, &place("$Default", 0), ask).await.err().unwrap();
        assert_eq!(condition, "amqp:link:stolen");
    }
    // Another partition, and the owner itself, are not concerned.
    Reader::attach(&mut client, &place("$Default", 1), all(1)).await.unwrap();
    filled(&mut client).await;
    assert_eq!(second.bodies(4).await, ["one", "two", "three", "four"]);
    // With its connection the owner's place is free.
    drop(second);
    rival.close().await;
    Reader::attach(&mut client, &place("$Default", 0), all(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sixth_receiver_without_owner_level_is_refused() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(Reader::attach(&mut client, &place("$Default", 0), all(1)).await.unwrap());
    }
    let (condition, _) = Reader::attach(&mut client, &place("$Default", 0), all(1)).await.err().unwrap();
    assert_eq!(condition, "amqp:resource-limit-exceeded");
    readers.pop().unwrap().receiver.close().await.unwrap();
    Reader::attach(&mut client, &place("$Default", 0), all(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rights_are_for_what_they_say_and_a_reader_ends_with_its_token() {
    let builder = Emulator::builder().event_hub("telemetry", 4);
    let rule = AccessRule::new("RootManageSharedAccessKey", "k").listen();
    let emulator = builder.access_rule(rule).build().unwrap();
    let mut client = Client::open(&emulator).await;
    client.put_token(NAMESPACE, &token(NAMESPACE, "k", Duration::from_secs(60))).await.unwrap();
    assert_eq!(client.refused_sender("telemetry").await.0, "amqp:unauthorized-access");
    let mut reader = Reader::attach(&mut client, &place("$Default", 0), all(1)).await.unwrap();
    let text = reader.end().await;
    assert!(text.contains("ExpiredToken"), "{text}");
    let (condition, text) = Reader::attach(&mut client, &place("$Default", 0), all(1)).await.err().unwrap();
    assert_eq!(condition, "amqp:unauthorized-access");
    assert!(text.contains("'Listen' claim(s) are required"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn metrics_are_told_to_those_who_ask() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    filled(&mut client).await;
    for wants_metrics in [true, false] {
        let ask = Ask { wants_metrics, credit: 1, ..Ask::default() };
        let mut reader = Reader::attach(&mut client, &place("$Default", 0), ask).await.unwrap();
        let delivery = reader.next().await;
        let told = delivery.message().delivery_annotations.as_ref().map(|annotations| format!("{annotations:?}"));
        assert_eq!(told.is_some_and(|told| told.contains("last_enqueued_sequence_number")), wants_metrics);
    }
}

#[tokio::test(start_paused = true)]
async fn management_tells_of_hub_and_partitions() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    filled(&mut client).await;
    let mut management = MgmtClient::attach(&mut client.session, "node").await.unwrap();
    let read = |kind: &'static str| ReadRequest::name("telemetry", kind, None);
    let response = management.call::<_, _>(read("com.microsoft:eventhub")).await.unwrap();
    let told = format!("{:?}", response.entity_attributes);
    assert!(told.contains("partition_ids") && told.contains("\"3\""), "{told}");
}

#[tokio::test(start_paused = true)]
async fn many_readers_are_served_and_a_slow_one_holds_up_nobody() {
    let emulator = emulator();
    let mut client = Client::authorized(&emulator).await;
    let large = "x".repeat(100_000);
    let mut sender = client.sender("telemetry/Partitions/0").await;
    for _ in 0..20 {
        accepted(sender.send(events(&[&large])).await);
    }
    // It reads nothing: neither its link's events nor its connection's bytes.
    let mut stuck = Client::authorized(&emulator).await;
    let _stuck = Reader::attach(&mut stuck, &place("$Default", 0), all(300)).await.unwrap();
    for partition in 0..4 {
        let mut quick = Client::authorized(&emulator).await;
        let mut reader = Reader::attach(&mut quick, &place("$Default", partition), all(300)).await.unwrap();
        if partition == 0 {
            assert_eq!(reader.bodies(20).await.len(), 20);
        }
    }
}
