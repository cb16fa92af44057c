//! Drives the official Rust SDK, azure_messaging_eventhubs, against the emulator in `$CONNECTION_STR` and
//! `$CUSTOM_ENDPOINT` (`amqp://HOST:PORT`).
//!
//! One line for each check: `ok NAME`, or `FAIL NAME: why`. The emulator has the hubs `checks` (4 partitions), `shared`
//! (4 partitions) and `empty` (1 partition), and takes messages of up to 1 MiB.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use azure_core::time::Duration as SdkDuration;
use azure_messaging_eventhubs::error::ErrorKind;
use azure_messaging_eventhubs::models::{AmqpSimpleValue, EventData, ReceivedEventData, StartPositions};
use azure_messaging_eventhubs::{
    ConsumerClient, EventDataBatchOptions, EventProcessor, InMemoryCheckpointStore, OpenReceiverOptions, ProducerClient,
    RetryOptions, SendEventOptions, StartLocation, StartPosition,
};
use futures::StreamExt;

type Checked = Result<(), Box<dyn Error + Send + Sync>>;

const HUB: &str = "checks";
const PATIENCE: Duration = Duration::from_secs(30);

fn text() -> String {
    env::var("CONNECTION_STR").expect("CONNECTION_STR")
}

fn retries() -> RetryOptions {
    RetryOptions { max_retries: 1, initial_delay: SdkDuration::milliseconds(100), ..RetryOptions::default() }
}

fn endpoint() -> String {
    env::var("CUSTOM_ENDPOINT").expect("CUSTOM_ENDPOINT")
}

async fn producer_with(text: &str, hub: &str) -> azure_messaging_eventhubs::Result<ProducerClient> {
    let builder = ProducerClient::builder().with_custom_endpoint(endpoint()).with_retry_options(retries());
    builder.open_with_connection_string(text, Some(hub)).await
}

async fn producer() -> Result<ProducerClient, Box<dyn Error + Send + Sync>> {
    Ok(producer_with(&text(), HUB).await?)
}

async fn consumer(hub: &str, group: Option<&str>) -> Result<ConsumerClient, Box<dyn Error + Send + Sync>> {
    let mut builder = ConsumerClient::builder().with_custom_endpoint(endpoint()).with_retry_options(retries());
    if let Some(group) = group {
        builder = builder.with_consumer_group(group.to_owned());
    }
    Ok(builder.open_with_connection_string(&text(), Some(hub)).await?)
}

fn fail<T>(why: impl Into<String>) -> Result<T, Box<dyn Error + Send + Sync>> {
    Err(why.into().into())
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { fail(why()) }
}

async fn next_of(id: &str) -> Result<i64, Box<dyn Error + Send + Sync>> {
    let client = producer().await?;
    let told = client.get_partition_properties(id).await?;
    client.close().await?;
    Ok(told.last_enqueued_sequence_number + 1)
}

async fn send(bodies: &[&str], options: EventDataBatchOptions) -> Checked {
    let client = producer().await?;
    let batch = client.create_batch(Some(options)).await?;
    for body in bodies {
        let event = EventData::builder().with_body(body.as_bytes().to_vec()).build();
        ensure(batch.try_add_event_data(event, None)?, || "the batch is full".to_owned())?;
    }
    client.send_batch(batch, None).await?;
    client.close().await?;
    Ok(())
}

fn to_partition(id: &str) -> EventDataBatchOptions {
    EventDataBatchOptions { partition_id: Some(id.to_owned()), ..EventDataBatchOptions::default() }
}

fn at(location: StartLocation, inclusive: bool) -> StartPosition {
    StartPosition { location, inclusive }
}

fn from_sequence(number: i64) -> StartPosition {
    at(StartLocation::SequenceNumber(number), true)
}

/// The first `count` events from a position; `before` runs once the receiver had time to attach.
async fn read<F: Future<Output = Checked>>(
    count: usize,
    id: &str,
    position: StartPosition,
    before: F,
) -> Result<Vec<ReceivedEventData>, Box<dyn Error + Send + Sync>> {
    let client = consumer(HUB, None).await?;
    let options = OpenReceiverOptions { start_position: Some(position), ..OpenReceiverOptions::default() };
    let receiver = client.open_receiver_on_partition(id.to_owned(), Some(options)).await?;
    let mut events = Vec::new();
    {
        let mut stream = pin!(receiver.stream_events());
        let mut before = pin!(async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            before.await
        });
        let mut is_before_done = false;
        let until = tokio::time::Instant::now() + Duration::from_secs(15);
        while events.len() < count {
            tokio::select! {
                event = stream.next() => match event {
                    Some(event) => events.push(event?),
                    None => return fail("the stream ended"),
                },
                done = &mut before, if !is_before_done => {
                    done?;
                    is_before_done = true;
                }
                () = tokio::time::sleep_until(until) => {
                    return fail(format!("{} of {count} events came", events.len()));
                }
            }
        }
    }
    receiver.close().await?;
    client.close().await?;
    Ok(events)
}

async fn read_now(
    count: usize,
    id: &str,
    position: StartPosition,
) -> Result<Vec<ReceivedEventData>, Box<dyn Error + Send + Sync>> {
    read(count, id, position, async { Ok(()) }).await
}

fn bodies(events: &[ReceivedEventData]) -> Vec<String> {
    let body = |event: &ReceivedEventData| String::from_utf8_lossy(event.event_data().body().unwrap_or(b"")).into_owned();
    events.iter().map(body).collect()
}

fn expect_bodies(events: &[ReceivedEventData], expected: &[&str]) -> Checked {
    let found = bodies(events);
    ensure(found == expected, || format!("{found:?}, not {expected:?}"))
}

/// An error, soon, in these words.
async fn expect<T>(words: &str, action: impl Future<Output = azure_messaging_eventhubs::Result<T>>) -> Checked {
    let began = Instant::now();
    match action.await {
        Ok(_) => fail("no error"),
        Err(error) => {
            let text = format!("{error:?}");
            ensure(text.contains(words), || format!("no {words:?} in {text}"))?;
            ensure(began.elapsed() < Duration::from_secs(15), || format!("took {:?}", began.elapsed()))
        }
    }
}

// ---- the checks ------------------------------------------------------------------------------------------------------

async fn send_one_event() -> Checked {
    let client = producer().await?;
    client.send_event("solo", None).await?;
    client.close().await?;
    Ok(())
}

async fn send_batch() -> Checked {
    send(&["one", "two", "three"], EventDataBatchOptions::default()).await
}

async fn send_to_partition_id() -> Checked {
    let first = next_of("1").await?;
    send(&["a", "b"], to_partition("1")).await?;
    expect_bodies(&read_now(2, "1", from_sequence(first)).await?, &["a", "b"])
}

async fn send_with_partition_key() -> Checked {
    let mut before = Vec::new();
    for id in ["0", "1", "2", "3"] {
        before.push(next_of(id).await?);
    }
    let keyed = || EventDataBatchOptions { partition_key: Some("device-42".to_owned()), ..Default::default() };
    send(&["k1", "k2"], keyed()).await?;
    send(&["k3"], keyed()).await?;
    let mut grown = Vec::new();
    for (id, before) in ["0", "1", "2", "3"].into_iter().zip(before) {
        if next_of(id).await? > before {
            grown.push((id, before));
        }
    }
    let [(id, before)] = grown[..] else { return fail(format!("{grown:?}")) };
    let events = read_now(3, id, from_sequence(before)).await?;
    expect_bodies(&events, &["k1", "k2", "k3"])?;
    let is_keyed = events.iter().all(|event| event.partition_key().as_deref() == Some("device-42"));
    ensure(is_keyed, || "a key is missing".to_owned())
}

async fn all_property_types() -> Checked {
    let first = next_of("0").await?;
    let properties: HashMap<&str, AmqpSimpleValue> = HashMap::from([
        ("text", AmqpSimpleValue::String("Grüße 🚀".into())),
        ("bytes", AmqpSimpleValue::Binary(vec![0, 255])),
        ("true", AmqpSimpleValue::Boolean(true)),
        ("ubyte", AmqpSimpleValue::UByte(255)),
        ("byte", AmqpSimpleValue::Byte(-128)),
        ("char", AmqpSimpleValue::Char('ß')),
        ("ushort", AmqpSimpleValue::UShort(65_535)),
        ("short", AmqpSimpleValue::Short(-32_768)),
        ("uint", AmqpSimpleValue::UInt(u32::MAX)),
        ("int", AmqpSimpleValue::Int(i32::MIN)),
        ("ulong", AmqpSimpleValue::ULong(u64::MAX)),
        ("long", AmqpSimpleValue::Long(i64::MIN)),
        ("float", AmqpSimpleValue::Float(1.5)),
        ("double", AmqpSimpleValue::Double(-2.25)),
        ("null", AmqpSimpleValue::Null),
    ]);
    let mut event = EventData::builder()
        .with_body(b"typed".to_vec())
        .with_message_id("id-1")
        .with_correlation_id("corr-1")
        .with_content_type("text/plain".to_owned());
    for (key, value) in &properties {
        event = event.add_property((*key).to_owned(), value.clone());
    }
    let client = producer().await?;
    let options = SendEventOptions { partition_id: Some("0".to_owned()) };
    client.send_event(event.build(), Some(options)).await?;
    client.close().await?;
    let events = read_now(1, "0", from_sequence(first)).await?;
    let got = events[0].event_data();
    let found = got.properties().ok_or("no properties")?;
    for (key, value) in &properties {
        ensure(found.get(*key) == Some(value), || format!("{key}: {:?}, not {value:?}", found.get(*key)))?;
    }
    ensure(got.content_type() == Some("text/plain"), || format!("{:?}", got.content_type()))
}

async fn large_batch() -> Checked {
    let before = next_of("2").await?;
    let client = producer().await?;
    let batch = client.create_batch(Some(to_partition("2"))).await?;
    while batch.try_add_event_data(EventData::builder().with_body(vec![b'x'; 1_000]).build(), None)? {}
    let (count, size) = (batch.len(), batch.size());
    client.send_batch(batch, None).await?;
    client.close().await?;
    ensure(size > 1_000_000, || format!("{size} bytes"))?;
    ensure(next_of("2").await? == before + count as i64, || "not all came".to_owned())
}

async fn hub_properties() -> Checked {
    let client = producer().await?;
    let told = client.get_eventhub_properties().await?;
    client.close().await?;
    ensure(told.name == HUB && told.partition_ids == ["0", "1", "2", "3"] && told.created_on.is_some(), || {
        format!("{told:?}")
    })
}

async fn partition_properties() -> Checked {
    let client = producer_with(&text(), "empty").await?;
    let empty = client.get_partition_properties("0").await?;
    client.close().await?;
    ensure(empty.is_empty && empty.last_enqueued_sequence_number == -1, || format!("{empty:?}"))?;
    let before = next_of("3").await?;
    send(&["last"], to_partition("3")).await?;
    let client = producer().await?;
    let told = client.get_partition_properties("3").await?;
    client.close().await?;
    ensure(!told.is_empty && told.last_enqueued_sequence_number == before, || format!("{told:?}"))?;
    let age = SystemTime::now().duration_since(told.last_enqueued_time_utc.ok_or("no time")?)?;
    ensure(age < Duration::from_secs(60), || format!("{age:?}"))?;
    let events = read_now(1, "3", from_sequence(before)).await?;
    ensure(events[0].offset().as_deref() == Some(&*told.last_enqueued_offset), || format!("{told:?}"))
}

async fn receive_earliest() -> Checked {
    let events = read_now(2, "1", at(StartLocation::Earliest, false)).await?;
    let numbers: Vec<_> = events.iter().map(ReceivedEventData::sequence_number).collect();
    ensure(numbers == [Some(0), Some(1)], || format!("{numbers:?}"))
}

async fn receive_latest() -> Checked {
    let events = read(1, "1", at(StartLocation::Latest, false), send(&["after"], to_partition("1"))).await?;
    expect_bodies(&events, &["after"])
}

async fn three_in_a_row() -> Result<Vec<ReceivedEventData>, Box<dyn Error + Send + Sync>> {
    let first = next_of("2").await?;
    for body in ["r1", "r2", "r3"] {
        send(&[body], to_partition("2")).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    read_now(3, "2", from_sequence(first)).await
}

async fn receive_from(location: impl FnOnce(&ReceivedEventData) -> StartLocation) -> Checked {
    let events = three_in_a_row().await?;
    let location = location(&events[0]);
    expect_bodies(&read_now(2, "2", at(location.clone(), false)).await?, &["r2", "r3"])?;
    expect_bodies(&read_now(3, "2", at(location, true)).await?, &["r1", "r2", "r3"])
}

async fn receive_from_offset() -> Checked {
    receive_from(|event| StartLocation::Offset(event.offset().clone().unwrap_or_default())).await
}

async fn receive_from_sequence_number() -> Checked {
    receive_from(|event| StartLocation::SequenceNumber(event.sequence_number().unwrap_or(-1))).await
}

async fn receive_from_enqueued_time() -> Checked {
    receive_from(|event| StartLocation::EnqueuedTime(event.enqueued_time().unwrap_or(SystemTime::UNIX_EPOCH))).await
}

async fn processor_two_consumers() -> Checked {
    let fill = |round: usize| async move {
        let client = producer_with(&text(), "shared").await?;
        for id in ["0", "1", "2", "3"] {
            let batch = client.create_batch(Some(to_partition(id))).await?;
            batch.try_add_event_data(format!("{id}-{round}"), None)?;
            client.send_batch(batch, None).await?;
        }
        client.close().await?;
        Checked::Ok(())
    };
    fill(0).await?;
    let store = Arc::new(InMemoryCheckpointStore::new());
    let seen: Arc<Mutex<HashMap<String, BTreeSet<&str>>>> = Arc::default();
    let mut tasks = Vec::new();
    for name in ["first", "second"] {
        let start = StartPositions { default: at(StartLocation::Earliest, false), ..StartPositions::default() };
        let processor = EventProcessor::builder()
            .with_update_interval(SdkDuration::milliseconds(500))
            .with_partition_expiration_duration(SdkDuration::seconds(3))
            .with_load_balancing_strategy(azure_messaging_eventhubs::ProcessorStrategy::Balanced)
            .with_start_positions(start)
            .build(consumer("shared", None).await?, store.clone())
            .await?;
        let running = processor.clone();
        tasks.push(tokio::task::spawn_local(async move { drop(running.run().await) }));
        let seen = seen.clone();
        tasks.push(tokio::task::spawn_local(async move {
            while let Ok(client) = processor.next_partition_client().await {
                let seen = seen.clone();
                tokio::task::spawn_local(async move {
                    let mut stream = pin!(client.stream_events());
                    while let Some(Ok(event)) = stream.next().await {
                        let body = bodies(std::slice::from_ref(&event)).remove(0);
                        seen.lock().unwrap().entry(body).or_default().insert(name);
                        let _ = client.update_checkpoint(&event).await;
                    }
                });
            }
        }));
    }
    let workers = || -> BTreeSet<&str> { seen.lock().unwrap().values().flatten().copied().collect() };
    let mut rounds = 1;
    while rounds < 20 && workers().len() < 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fill(rounds).await?;
        rounds += 1;
    }
    // What was sent last arrives.
    for _ in 0..100 {
        if seen.lock().unwrap().len() == 4 * rounds {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    ensure(workers().len() == 2, || format!("by {:?}", workers()))?;
    let count = seen.lock().unwrap().len();
    ensure(count == 4 * rounds, || format!("{count} of {} events", 4 * rounds))
}

async fn owner_level_steals() -> Checked {
    let (low, high) = (consumer(HUB, None).await?, consumer(HUB, None).await?);
    let owner = |level| OpenReceiverOptions {
        owner_level: Some(level),
        start_position: Some(at(StartLocation::Earliest, false)),
        ..OpenReceiverOptions::default()
    };
    let first = low.open_receiver_on_partition("0".to_owned(), Some(owner(1))).await?;
    let mut first = pin!(first.stream_events());
    first.next().await.ok_or("the stream ended")??;
    let second = high.open_receiver_on_partition("0".to_owned(), Some(owner(2))).await?;
    let mut second = pin!(second.stream_events());
    second.next().await.ok_or("the stream ended")??;
    let stolen = tokio::time::timeout(Duration::from_secs(15), async {
        loop {
            match first.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        }
    });
    match stolen.await? {
        Some(error) => ensure(matches!(error.kind, ErrorKind::ConsumerDisconnected(_)), || format!("{error:?}")),
        None => fail("the stream ended without a word"),
    }
}

async fn wrong_key_401() -> Checked {
    let text = text().replace("SAS_KEY_VALUE", "wrong");
    let client = producer_with(&text, HUB).await;
    // This SDK keeps the status and the sentence to itself.
    expect("Error authorizing", async { client?.get_eventhub_properties().await }).await
}

async fn hub_not_found() -> Checked {
    let client = producer_with(&text(), "none").await;
    // The token for it is refused already.
    expect("404", async { client?.send_event("x", None).await }).await
}

async fn message_too_large() -> Checked {
    let client = producer().await?;
    let large = EventData::builder().with_body(vec![b'x'; 1_100_000]).build();
    ensure(client.send_event(large, None).await.is_err(), || "no error".to_owned())?;
    client.send_event("still usable", None).await?;
    client.close().await?;
    Ok(())
}

/// The first thing that a receiver reports which may not attach.
async fn error_of_receiver(group: Option<&str>, id: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
    let client = consumer(HUB, group).await?;
    let receiver = client.open_receiver_on_partition(id.to_owned(), None).await?;
    let mut stream = pin!(receiver.stream_events());
    match stream.next().await {
        Some(Err(error)) => Ok(format!("{error:?}")),
        other => fail(format!("{other:?}")),
    }
}

async fn unknown_consumer_group() -> Checked {
    let error = error_of_receiver(Some("none"), "0").await?;
    ensure(error.contains("could not be found"), || error)
}

async fn unknown_partition() -> Checked {
    let client = producer().await?;
    let options = SendEventOptions { partition_id: Some("9".to_owned()) };
    expect("specified partition is invalid", client.send_event("x", Some(options))).await?;
    let error = error_of_receiver(None, "9").await?;
    ensure(error.contains("specified partition is invalid"), || error)
}

async fn check<F: Future<Output = Checked> + 'static>(name: &str, body: F) -> bool {
    // On a task of its own, so that a panic is that check's alone.
    let task = tokio::task::spawn_local(tokio::time::timeout(PATIENCE, body));
    let why = match task.await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(error))) => Some(error.to_string().replace('\n', " ")),
        Ok(Err(_)) => Some(format!("no end within {PATIENCE:?}")),
        Err(panic) => Some(panic.to_string()),
    };
    match &why {
        None => println!("ok {name}"),
        Some(why) => println!("FAIL {name}: {why}"),
    }
    why.is_none()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Some of this SDK's streams stay on the thread they are made on.
    tokio::task::LocalSet::new().run_until(run()).await
}

async fn run() -> ExitCode {
    let only: Vec<String> = env::args().skip(1).collect();
    let mut all_well = true;
    macro_rules! checks {
        ($($name:literal => $body:ident,)*) => {$(
            if only.is_empty() || only.iter().any(|name| name == $name) {
                all_well &= check($name, $body()).await;
            }
        )*};
    }
    checks! {
        "send-one-event" => send_one_event,
        "send-batch" => send_batch,
        "send-to-partition-id" => send_to_partition_id,
        "send-with-partition-key" => send_with_partition_key,
        "all-property-types" => all_property_types,
        "large-batch" => large_batch,
        "hub-properties" => hub_properties,
        "partition-properties" => partition_properties,
        "receive-earliest" => receive_earliest,
        "receive-latest" => receive_latest,
        "receive-from-offset" => receive_from_offset,
        "receive-from-sequence-number" => receive_from_sequence_number,
        "receive-from-enqueued-time" => receive_from_enqueued_time,
        "processor-two-consumers" => processor_two_consumers,
        "owner-level-steals" => owner_level_steals,
        "wrong-key-401" => wrong_key_401,
        "hub-not-found" => hub_not_found,
        "message-too-large" => message_too_large,
        "unknown-consumer-group" => unknown_consumer_group,
        "unknown-partition" => unknown_partition,
    }
    println!("skip last-enqueued-event-properties: this SDK does not offer them");
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
