//! hubwire's own client, through the proxy with faults in it, to an emulator. In memory, with paused time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::DuplexStream;

use super::carrying;
use super::interference::{Interference, Side};
use crate::client::token_source;
use crate::emulator::{Builder, Disturbance, Emulator, Fault};
use crate::{Connection, ConnectionString, Error, Options, Retry, SendError, Sender, clock};

const HUB: &str = "telemetry";
/// Nobody waits longer for an outcome.
const PATIENCE: Duration = Duration::from_secs(20);

/// An emulator, and what leads to it with faults in between.
struct Stage {
    emulator: Emulator,
    to: ConnectionString,
    disturbance: Disturbance,
    count: Arc<AtomicU64>,
    retry: Retry,
}

impl Stage {
    fn new(faults: &[&str]) -> Self {
        Self::with(Emulator::builder(), faults)
    }

    fn with(builder: Builder, faults: &[&str]) -> Self {
        let emulator = builder.event_hub(HUB, 1).build().unwrap();
        let to = ConnectionString::parse(&emulator.connection_string(None)).unwrap();
        let faults = faults.iter().map(|fault| fault.parse::<Fault>().unwrap()).collect();
        let disturbance = Disturbance::new(faults);
        Self { emulator, to, disturbance, count: Arc::default(), retry: Retry::none() }
    }

    fn retrying(self) -> Self {
        Self { retry: Retry::default(), ..self }
    }

    fn connector(&self) -> impl Fn() -> std::future::Ready<std::io::Result<DuplexStream>> + Send + Sync + 'static {
        let (emulator, disturbance, count) = (self.emulator.clone(), self.disturbance.clone(), Arc::clone(&self.count));
        let tokens = token_source(&self.to, &Options::default());
        move || {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            let (client, near) = tokio::io::duplex(1 << 16);
            let ((near, trouble), far) = (disturbance.connection(near, number), emulator.connect());
            let (tokens, interference) = (Arc::clone(&tokens), trouble.map(Interference::new));
            tokio::spawn(async move { carrying::carry(near, far, "localhost", &tokens, interference).await });
            std::future::ready(Ok(client))
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let options = Options::default().retry(self.retry.clone()).open_timeout(PATIENCE);
        Connection::open_with(self.connector(), &self.to, &options).await
    }

    async fn sender(&self) -> (Connection, Sender) {
        let connection = self.connect().await.unwrap();
        let sender = connection.sender(HUB).await.unwrap();
        (connection, sender)
    }

    fn stored(&self) -> Vec<String> {
        let text = |event: &crate::emulator::StoredEvent| {
            String::from_utf8(event.event().unwrap().data().unwrap().to_vec()).unwrap()
        };
        self.emulator.events(HUB).unwrap().iter().map(text).collect()
    }
}

/// What became of an event, in a word or by its condition.
async fn sent(sender: &Sender, body: &str) -> String {
    let mut batch = sender.batch();
    assert!(batch.try_add(body).is_added());
    outcome(sender.send_within(batch, PATIENCE).await)
}

fn outcome<T>(result: Result<T, SendError>) -> String {
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(SendError::Rejected { condition, .. }) => condition,
        Err(SendError::NotSent { cause, .. }) => format!("not sent: {}", cause.condition().unwrap_or_default()),
        Err(SendError::Unknown { .. }) => "unknown".to_owned(),
    }
}

/// What became of each of five events, and which of them are stored.
async fn five(stage: &Stage) -> (Vec<String>, String) {
    let (connection, sender) = stage.sender().await;
    let mut outcomes = Vec::new();
    for body in ["1", "2", "3", "4", "5"] {
        outcomes.push(sent(&sender, body).await);
    }
    connection.close().await;
    (outcomes, stage.stored().concat())
}

#[tokio::test(start_paused = true)]
async fn without_faults_all_passes() {
    let (outcomes, stored) = five(&Stage::new(&[])).await;
    assert_eq!((outcomes.concat(), stored.as_str()), ("accepted".repeat(5), "12345"));
}

#[tokio::test(start_paused = true)]
async fn what_is_swallowed_is_not_stored_and_what_is_not_settled_is() {
    for (fault, outcome, stored) in [
        ("reject condition=amqp:not-allowed nth=2", "amqp:not-allowed", "1345"),
        ("reject condition=amqp:not-allowed nth=2 times=3", "amqp:not-allowed", "15"),
        ("server-busy times=2", "com.microsoft:server-busy", "345"),
        ("release nth=5", "not sent: ", "1234"),
        ("modify nth=2", "not sent: ", "1345"),
        ("lose nth=2", "unknown", "1345"),
        ("never-settle nth=2", "unknown", "12345"),
        ("reject condition=amqp:not-allowed hub=telemetry nth=3 connection=1", "amqp:not-allowed", "1245"),
    ] {
        // One credit at a time: none of it may be lost.
        for credit in [1, 100] {
            let stage = Stage::with(Emulator::builder().link_credit(credit), &[fault]);
            let (outcomes, held) = five(&stage).await;
            assert_eq!(held, stored, "{fault}: {outcomes:?}");
            let is_kept =
                |at: usize| stored.contains(&(at + 1).to_string()) && !(fault.starts_with("never") && at == 1);
            for (at, told) in outcomes.iter().enumerate() {
                assert_eq!(
                    told,
                    if is_kept(at) { "accepted" } else { outcome },
                    "{fault}, credit {credit}: {outcomes:?}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn links_that_are_aimed_at_by_others_are_spared() {
    let stage = Stage::new(&["reject hub=elsewhere", "reject connection=7", "lose link=telemetry/Partitions/0"]);
    let (outcomes, stored) = five(&stage).await;
    assert_eq!((outcomes.concat(), stored.as_str()), ("accepted".repeat(5), "12345"));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_of_many_transfers_goes_whole_or_not_at_all() {
    let stage = Stage::new(&["reject condition=amqp:not-allowed nth=2"]);
    let (_connection, sender) = stage.sender().await;
    for (body, expected) in [("a", "accepted"), ("b", "amqp:not-allowed"), ("c", "accepted")] {
        assert_eq!(sent(&sender, &body.repeat(900_000)).await, expected);
    }
    let lens: Vec<_> = stage.stored().iter().map(|body| (body.len(), body.as_bytes()[0])).collect();
    assert_eq!(lens, [(900_000, b'a'), (900_000, b'c')]);
}

#[tokio::test(start_paused = true)]
async fn outcomes_come_later() {
    let stage = Stage::new(&["delay-outcomes by=5s nth=2 times=1"]);
    let (_connection, sender) = stage.sender().await;
    for (body, secs) in [("1", 0), ("2", 5), ("3", 0)] {
        let began = clock::now();
        assert_eq!(sent(&sender, body).await, "accepted");
        assert_eq!((clock::now() - began).as_secs(), secs, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_struck_comes_back_and_goes_on() {
    for blow in ["detach", "end", "close"] {
        let stage = Stage::new(&[&format!("{blow} after-deliveries=2")]).retrying();
        let (outcomes, stored) = five(&stage).await;
        assert_eq!((outcomes.concat(), stored.as_str()), ("accepted".repeat(5), "12345"), "{blow}");
        let connections = if blow == "close" { 2 } else { 1 };
        assert_eq!(stage.count.load(Ordering::Relaxed), connections, "{blow}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_blow_falls_at_its_time_on_those_it_is_aimed_at() {
    for (blow, connections) in [("detach", 1), ("end", 1), ("close", 2)] {
        let stage = Stage::new(&[&format!("{blow} at=3s hub=telemetry"), &format!("{blow} at=3s hub=elsewhere")]);
        let (_connection, sender) = stage.sender().await;
        assert_eq!(sent(&sender, "1").await, "accepted");
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(sent(&sender, "2").await, "accepted", "{blow}");
        assert_eq!(stage.count.load(Ordering::Relaxed), connections, "{blow}");
        assert_eq!(stage.stored().concat(), "12");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_and_cuts_begin_with_a_delivery_that_is_stored() {
    for (fault, connections) in [("silence after-deliveries=2 for=25s", 1), ("cut after-deliveries=2", 2)] {
        let stage = Stage::new(&[fault]);
        let (_connection, sender) = stage.sender().await;
        assert_eq!(sent(&sender, "1").await, "accepted");
        assert_eq!(sent(&sender, "2").await, "unknown", "{fault}");
        assert_eq!(stage.stored().concat(), "12", "{fault}");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(sent(&sender, "3").await, "accepted", "{fault}");
        assert_eq!(stage.count.load(Ordering::Relaxed), connections, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn credit_is_withheld_for_a_while() {
    for (fault, first_secs) in [("withhold-credit for=5s", 5), ("withhold-credit at=1s for=5s", 0)] {
        let stage = Stage::new(&[fault]);
        let (_connection, sender) = stage.sender().await;
        let began = clock::now();
        assert_eq!(sent(&sender, "1").await, "accepted");
        assert_eq!((clock::now() - began).as_secs(), first_secs, "{fault}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(sent(&sender, "2").await, "accepted");
        assert_eq!((clock::now() - began).as_secs(), if first_secs == 0 { 6 } else { 7 }, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn steps_are_refused_once_and_then_taken() {
    for (fault, words) in [
        ("refuse-sasl code=1", "SASL"),
        ("refuse-open condition=amqp:not-allowed", "amqp:not-allowed"),
        // The client begins another session.
        ("refuse-begin condition=amqp:not-allowed", ""),
        ("refuse-attach condition=amqp:not-allowed", "amqp:not-allowed"),
        (r#"refuse-put-token status=401 text="Not you.""#, "401"),
        ("refuse-put-token status=404 hub=telemetry", "404"),
    ] {
        let stage = Stage::new(&[fault]);
        let refused = match stage.connect().await {
            Ok(connection) => connection.sender(HUB).await.err(),
            Err(error) => Some(error),
        };
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(words), "{fault}: {refused:?}");
        assert_eq!(stage.disturbance.fired(), 1, "{fault}");
        let (outcomes, stored) = five(&stage).await;
        assert_eq!((outcomes.concat(), stored.as_str()), ("accepted".repeat(5), "12345"), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn steps_come_later() {
    for stage in ["sasl", "open", "begin", "attach", "put-token"] {
        let began = clock::now();
        let (outcomes, _) = five(&Stage::new(&[&format!("delay-{stage} by=7s")])).await;
        assert_eq!(outcomes.concat(), "accepted".repeat(5), "{stage}");
        assert_eq!((clock::now() - began).as_secs(), 7, "{stage}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_together_is_told_backwards() {
    for (fault, expected) in [("lose nth=99", "123"), ("out-of-order", "321"), ("out-of-order hub=elsewhere", "123")] {
        for delay in ["", "delay-outcomes by=1s"] {
            let faults: Vec<&str> = [fault, delay].into_iter().filter(|fault| !fault.is_empty()).collect();
            let stage = Stage::new(&faults);
            let (_connection, sender) = stage.sender().await;
            let (sender, order) = (Arc::new(sender), Arc::new(Mutex::new(String::new())));
            let sends = ["1", "2", "3"].map(|body| {
                let (sender, order) = (Arc::clone(&sender), Arc::clone(&order));
                tokio::spawn(async move {
                    assert_eq!(sent(&sender, body).await, "accepted");
                    order.lock().unwrap().push_str(body);
                })
            });
            for sending in sends {
                sending.await.unwrap();
            }
            // Whoever is told first goes on first.
            assert_eq!(*order.lock().unwrap(), expected, "{faults:?}");
            assert_eq!(stage.stored().len(), 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_that_are_told_backwards_are_told_before_the_end() {
    let stage = Stage::new(&["out-of-order", "detach after-deliveries=3"]).retrying();
    let (_connection, sender) = stage.sender().await;
    let outcomes = tokio::join!(sent(&sender, "1"), sent(&sender, "2"), sent(&sender, "3"));
    let accepted = "accepted".to_owned();
    assert_eq!(outcomes, (accepted.clone(), accepted.clone(), accepted));
    assert_eq!((stage.stored().len(), stage.disturbance.fired()), (3, 2), "one turn, one detach");
}

/// What blows wait for may be told because something else on the connection ends.
#[tokio::test(start_paused = true)]
async fn a_blow_that_waits_for_outcomes_falls_whatever_has_them_told() {
    let faults = ["delay-outcomes by=1h", "detach condition=amqp:not-allowed after-deliveries=1 hub=telemetry times=1"];
    let stage = Stage::new(&faults);
    let (connection, sender) = stage.sender().await;
    let other = connection.partition_sender(HUB, "0").await.unwrap();
    let sender = Arc::new(sender);
    let sending = Arc::clone(&sender);
    let waiting = tokio::spawn(async move { sent(&sending, "1").await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Its detach has all outcomes of the session told.
    other.close().await;
    assert_eq!(waiting.await.unwrap(), "accepted");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sent(&sender, "2").await, "not sent: amqp:not-allowed");
}

#[tokio::test(start_paused = true)]
async fn questions_that_came_together_are_answered_backwards() {
    let stage = Stage::new(&["out-of-order"]);
    let connection = stage.connect().await.unwrap();
    connection.event_hub_properties(HUB).await.unwrap();
    let before = stage.disturbance.fired();
    let (hub, partition) =
        tokio::join!(connection.event_hub_properties(HUB), connection.partition_properties(HUB, "0"));
    assert_eq!((hub.unwrap().name.as_str(), partition.unwrap().id.as_str()), (HUB, "0"));
    assert_eq!(stage.disturbance.fired() - before, 2, "the outcomes of two questions, and their answers");
    // Their numbers have not.
    assert_eq!(connection.partition_properties(HUB, "0").await.unwrap().id, "0");
}

#[tokio::test(start_paused = true)]
async fn streams_are_aimed_at_by_where_their_links_lead() {
    for fault in
        ["cut written=0 hub=telemetry", "cut written=0 link=telemetry", "cut written=0 hub=telemetry connection=1"]
    {
        let stage =
            Stage::new(&["cut written=0 hub=elsewhere", "silence link=telemetry/Partitions/0", fault]).retrying();
        // Nothing leads to the hub while it is asked about.
        let connection = stage.connect().await.unwrap();
        assert_eq!(connection.event_hub_properties(HUB).await.unwrap().name, HUB);
        assert_eq!(stage.disturbance.fired(), 0, "{fault}");
        let sender = connection.sender(HUB).await.unwrap();
        assert_eq!(sent(&sender, "1").await, "accepted");
        assert_eq!(stage.stored().concat(), "1");
        assert_eq!((stage.disturbance.fired(), stage.count.load(Ordering::Relaxed)), (1, 2), "{fault}");
    }
    let stage = Stage::new(&["silence hub=telemetry at=5s for=10s"]);
    let (_connection, sender) = stage.sender().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let began = clock::now();
    assert_eq!(sent(&sender, "1").await, "accepted");
    assert_eq!((clock::now() - began).as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn readers_go_on_beside_what_is_struck() {
    let stage = Stage::new(&["detach after-deliveries=3 hub=telemetry", "lose nth=5"]);
    let (connection, sender) = stage.sender().await;
    let from = crate::ReceiverOptions::default();
    let mut receiver = connection.receiver(HUB, "0", &from).await.unwrap();
    for body in ["1", "2", "3", "4", "5", "6"] {
        _ = sent(&sender, body).await;
    }
    let mut read = String::new();
    while let Ok(Some(event)) = receiver.recv_within(PATIENCE).await {
        read += std::str::from_utf8(event.event.data().unwrap()).unwrap();
    }
    assert_eq!((read.as_str(), stage.stored().concat()), ("12346", "12346".to_owned()));
}

/// A client that says no more hears the answers to what it has said.
#[tokio::test(start_paused = true)]
async fn a_client_that_shuts_its_writing_half_hears_what_is_still_said() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (mut client, near) = tokio::io::duplex(1_024);
    let (far, mut hub) = tokio::io::duplex(1_024);
    let stage = Stage::new(&[]);
    let tokens = token_source(&stage.to, &Options::default());
    let carried = tokio::spawn(async move { carrying::carry(near, far, "localhost", &tokens, None).await });
    client.write_all(b"AMQP\0\x01\0\0").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    hub.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"AMQP\0\x01\0\0");
    tokio::time::sleep(Duration::from_secs(10)).await;
    hub.write_all(b"AMQP\0\x01\0\0").await.unwrap();
    drop(hub);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"AMQP\0\x01\0\0");
    assert_eq!(carried.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_error_says_whose_it_is() {
    let (client, near) = tokio::io::duplex(64);
    let stage = Stage::new(&["cut read=0"]);
    let tokens = token_source(&stage.to, &Options::default());
    let (near, _) = stage.disturbance.connection(near, 1);
    let why = carrying::carry(near, stage.emulator.connect(), "localhost", &tokens, None).await.unwrap_err();
    assert!(why.starts_with("the client: "), "{why}");
    drop(client);
}

/// Faults that befall deliveries now and then.
fn some_fault() -> impl Strategy<Value = String> {
    let what = prop::sample::select(vec!["reject", "release", "modify", "lose", "never-settle", "detach", "end"]);
    (what, 1_u64..20, 1_u64..4).prop_map(|(what, nth, times)| match what {
        "detach" | "end" => format!("{what} after-deliveries={nth} times={times}"),
        _ => format!("{what} nth={nth} times={times}"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 40, ..ProptestConfig::default() })]

    /// Whatever goes wrong in between, what the client is told is true.
    #[test]
    fn what_a_client_is_told_is_true(faults in prop::collection::vec(some_fault(), 1..4), credit in 1_u32..9, retries: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
            let stage = Stage::with(Emulator::builder().link_credit(credit), &faults);
            let stage = if retries { stage.retrying() } else { stage };
            let (connection, sender) = stage.sender().await;
            let mut tickets = Vec::new();
            for number in 0..30 {
                let mut batch = sender.batch();
                assert!(batch.try_add(format!("{number}")).is_added());
                let ticket = tokio::time::timeout(PATIENCE, sender.enqueue(batch)).await;
                tickets.push(ticket.expect("there is room in time"));
            }
            let mut told = Vec::new();
            for ticket in tickets {
                told.push(match ticket {
                    Ok(ticket) => outcome(ticket.await),
                    Err(error) => outcome::<()>(Err(error)),
                });
            }
            connection.close().await;
            let stored = stage.stored();
            for (number, told) in told.iter().enumerate() {
                let times = stored.iter().filter(|body| **body == number.to_string()).count();
                match told.as_str() {
                    "accepted" => assert_eq!(times, 1, "{number} of {faults:?}: {told}"),
                    "unknown" => assert!(times <= 1, "{number} of {faults:?}: {told}"),
                    _ => assert_eq!(times, 0, "{number} of {faults:?}: {told}"),
                }
            }
        });
    }
}

/// What both sides have said in a session, in its order: whether it was the client, and the frame.
fn session() -> Vec<(bool, Vec<u8>)> {
    let recording = include_bytes!("../../../tests/data/traces/throttle.rec");
    let lines = recording.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let frames = lines.map(|line| crate::trace::recording::Line::read(line, 1).unwrap());
    let frames = frames.filter_map(|line| Some((line.is_sent()?, line.bytes(1)?.unwrap().to_vec())));
    frames.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Sessions that are almost right, whose frames come twice, or not at all.
    #[test]
    fn both_sides_may_say_anything(
        faults in prop::collection::vec(some_fault(), 1..4),
        order in prop::collection::vec((0_usize..64, any::<u16>(), any::<u8>(), any::<bool>()), 0..64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let faults = faults.iter().map(|fault| fault.parse::<Fault>().unwrap()).collect();
            let (_stream, trouble) = Disturbance::new(faults).connection(tokio::io::empty(), 1);
            let (mut interference, frames) = (Interference::new(trouble.unwrap()), session());
            let plain = (0..frames.len()).map(|at| (at, 0, 0, false));
            for (at, place, byte, is_changed) in plain.chain(order) {
                let (is_client, mut frame) = frames[at % frames.len()].clone();
                if is_changed {
                    let place = 8 + usize::from(place) % (frame.len() - 8).max(1);
                    if let Some(there) = frame.get_mut(place) {
                        *there = byte;
                    }
                }
                let side = if is_client { Side::Client } else { Side::Hub };
                _ = interference.hear(side, &frame, clock::now());
                _ = interference.turn(clock::now());
                let told = [Side::Client, Side::Hub].map(|side| interference.take(side));
                // What is written is frames, whatever was said.
                for bytes in told {
                    let mut output = crate::trace::Frames::default();
                    output.push(&bytes);
                    while let Some(piece) = output.next() {
                        assert!(!matches!(piece, crate::trace::Piece::Strange(_)));
                    }
                }
            }
        });
    }
}
