//! From end to end: what is read is what was published.

use std::time::Duration;

use hubwire::bench::{Keys, Received, Workload};
use hubwire::emulator::Fault;

use crate::{hub, round, workload};

fn read() -> Workload {
    Workload { rate: "500/s".parse().ok(), duration: Some(Duration::from_secs(4)), receive: true, ..workload() }
}

#[tokio::test(start_paused = true)]
async fn everything_arrives_once_and_in_order() {
    for keys in [Keys::None, Keys::Uniform(20)] {
        let emulator = hub().build().expect("it can be built");
        let workload = Workload { keys, links: 2, warm_up: Duration::from_secs(1), ..read() };
        let round = round(&emulator, &workload).await;
        assert_eq!(round.received, Some(Received { events: 2_500, ..Received::default() }));
        let arrival = round.arrival.expect("it is measured");
        assert_eq!(arrival.count, 2_000);
        assert!(arrival.max_us < 20e3, "{arrival:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_published_does_not_count() {
    let emulator = hub().build().expect("it can be built");
    round(&emulator, &Workload { events: Some(100), ..workload() }).await;
    round(&emulator, &Workload { events: Some(100), ..read() }).await;
    let third = round(&emulator, &Workload { events: Some(100), ..read() }).await;
    assert_eq!(third.received, Some(Received { events: 100, ..Received::default() }));
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_without_an_outcome_is_told() {
    let emulator = hub().fault(Fault::never_settle().nth(3)).build().expect("it can be built");
    let round =
        round(&emulator, &Workload { max_batch_events: Some(10), linger: Some(Duration::from_secs(1)), ..read() })
            .await;
    assert_eq!(round.ends.unknown, 10);
    let received = round.received.expect("it is read");
    assert_eq!((received.unknown_but_read, received.lost, received.duplicates), (10, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_hub_dropped_is_lost() {
    // A hub that keeps next to nothing, and a reader that has no time.
    let emulator = hub()
        .retention_events(1)
        .fault(Fault::silence().on_connection(1).starting_in(Duration::from_secs(1)).lasting(Duration::from_secs(2)));
    let emulator = emulator.build().expect("it can be built");
    let round = round(&emulator, &Workload { max_batch_events: Some(1), ..read() }).await;
    let received = round.received.expect("it is read");
    assert_eq!(round.ends.accepted, 2_000);
    assert_eq!(received.events + received.lost, 2_000);
}
