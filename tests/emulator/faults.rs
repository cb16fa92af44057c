//! Faults on request, as hubwire's own client meets them.

mod aims;
mod deliveries;
mod steps;
mod streams;

use std::time::Duration;

use hubwire::emulator::{Emulator, Fault, Totals};
use hubwire::{Batch, Connection, ConnectionString, Error, Options, Retry, Scope, SendError, Sender};

/// What an operation has, in all of these tests.
const TIMEOUT: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);
const HUB: &str = "telemetry";

#[allow(clippy::disallowed_methods, reason = "a test looks at its own clock")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// What a fault does is told as it is: nothing is sent again.
fn options() -> Options {
    Options::default().open_timeout(TIMEOUT).send_timeout(TIMEOUT).retry(Retry::none())
}

/// An emulator that has these faults from the start.
fn emulator_with(faults: impl IntoIterator<Item = Fault>) -> Emulator {
    let builder = Emulator::builder().event_hub(HUB, 4).event_hub("audit", 1);
    faults.into_iter().fold(builder, |builder, fault| builder.fault(fault)).build().unwrap()
}

async fn connect(emulator: &Emulator) -> Result<Connection, Error> {
    let to = ConnectionString::parse(&emulator.connection_string(None)).unwrap();
    Connection::open_over(emulator.connect(), &to, &options()).await
}

/// A sender to [`HUB`] on a connection of its own.
async fn sender(emulator: &Emulator) -> (Connection, Sender) {
    let connection = connect(emulator).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("attaches");
    (connection, sender)
}

fn batch(sender: &Sender, body: &str) -> Batch {
    let mut batch = sender.batch();
    assert!(batch.try_add(body).is_added());
    batch
}

async fn send(sender: &Sender, body: &str) -> Result<(), SendError> {
    sender.send(batch(sender, body)).await.map(drop)
}

/// A fresh connection, on which everything must go well.
async fn all_is_well(emulator: &Emulator) {
    let (connection, sender) = sender(emulator).await;
    send(&sender, "well").await.expect("accepted");
    connection.close().await;
}

/// The bodies that [`HUB`] holds.
fn stored(emulator: &Emulator) -> Vec<String> {
    super::bodies(&emulator.events(HUB).unwrap())
}

/// Scope and condition of what ended, and that its words are `text`, with the service's marks behind.
#[track_caller]
fn assert_closed(error: &Error, scope: Scope, condition: &str, text: &str) {
    assert_eq!((error.scope(), error.condition()), (Some(scope), Some(condition)), "{error:?}");
    let description = error.description().unwrap();
    assert!(description.starts_with(text) && description.contains(" TrackingId:"), "{description}");
}

/// Why a batch did not leave.
#[track_caller]
fn not_sent(result: Result<(), SendError>) -> Error {
    match result {
        Err(SendError::NotSent { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

/// Why nothing is known of a batch.
#[track_caller]
fn unknown(result: Result<(), SendError>) -> Error {
    match result {
        Err(SendError::Unknown { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

/// Condition and words of a rejection.
#[track_caller]
fn rejected(result: Result<(), SendError>) -> (String, String) {
    match result {
        Err(SendError::Rejected { condition, description, .. }) => (condition, description),
        other => panic!("{other:?}"),
    }
}

/// Lets every other task run until nothing is left to do without time passing.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn faults_are_counted_and_cleared() {
    let emulator = emulator_with([Fault::lose().starting_in(SECOND * 100), Fault::release()]);
    let (_connection, sender) = sender(&emulator).await;
    not_sent(send(&sender, "one").await);
    assert_eq!(emulator.totals().faults, 1);
    emulator.inject(Fault::reject("amqp:not-allowed", "no").always());
    rejected(send(&sender, "two").await);
    emulator.clear_faults();
    tokio::time::sleep(SECOND * 100).await;
    send(&sender, "three").await.expect("nothing is left of them");
    let Totals { faults, rejected, events, .. } = emulator.totals();
    assert_eq!((faults, rejected, events), (2, 1, 1));
}
