//! Each workload offers what it says.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hubwire::bench::{BenchError, Keys, Route, Workload};

use crate::{HUB, hub, round, run, workload};

#[tokio::test(start_paused = true)]
async fn so_many_events_and_no_more() {
    for (connections, links) in [(1, 1), (2, 3)] {
        let emulator = hub().build().expect("it can be built");
        let workload = Workload { events: Some(10_001), connections, links, ..workload() };
        let round = round(&emulator, &workload).await;
        assert_eq!((round.ends.offered, emulator.stored_count()), (10_001, 10_001));
        assert_eq!(round.body_bytes, 1_000_100);
        assert_eq!(round.billed_events, 10_001);
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_bytes_and_no_more_than_an_event_beyond() {
    let emulator = hub().build().expect("it can be built");
    let round = round(&emulator, &Workload { bytes: Some(10_050), ..workload() }).await;
    assert_eq!((round.ends.accepted, round.body_bytes), (101, 10_100));
}

#[tokio::test(start_paused = true)]
async fn batches_are_as_large_as_they_are_asked_for() {
    let emulator = hub().build().expect("it can be built");
    let by_count = round(&emulator, &Workload { events: Some(1_000), max_batch_events: Some(7), ..workload() }).await;
    assert_eq!((by_count.batches, by_count.ends.accepted), (143, 1_000));
    let by_bytes =
        round(&emulator, &Workload { events: Some(1_000), max_batch_bytes: Some(2_000), ..workload() }).await;
    // Events of 110 bytes, 18 to a batch.
    assert_eq!((by_bytes.batches, by_bytes.message_bytes), (56, 110_000));
    let lingering = Workload {
        rate: "1000/s".parse().ok(),
        duration: Some(Duration::from_secs(1)),
        linger: Some(Duration::from_millis(20)),
        ..workload()
    };
    let lingering = round(&emulator, &lingering).await;
    assert!((45..=51).contains(&lingering.batches), "{}", lingering.batches);
    assert_eq!(lingering.ends.accepted, 1_000);
}

#[tokio::test(start_paused = true)]
async fn events_have_the_keys_and_properties_of_the_workload() {
    let emulator = hub().build().expect("it can be built");
    let properties = vec![("kind".to_owned(), "bench".to_owned())];
    let workload = Workload { keys: Keys::RoundRobin(10), properties, events: Some(1_000), ..workload() };
    round(&emulator, &workload).await;
    let mut keys: HashMap<String, u32> = HashMap::new();
    for stored in emulator.events(HUB).unwrap() {
        assert_eq!(stored.event().unwrap().property("kind").and_then(|kind| kind.as_str()), Some("bench"));
        *keys.entry(stored.partition_key.expect("a key").to_string()).or_default() += 1;
    }
    assert_eq!(keys.len(), 10);
    assert!(keys.values().all(|count| *count == 100), "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn events_go_to_the_partitions_of_the_workload() {
    for (route, expected) in [(Route::Partition("2".to_owned()), vec![2]), (Route::EachPartition, vec![0, 1, 2, 3])] {
        let emulator = hub().build().expect("it can be built");
        round(&emulator, &Workload { route, events: Some(1_000), ..workload() }).await;
        let stored = emulator.events(HUB).unwrap();
        let mut partitions: Vec<u32> =
            stored.iter().map(|stored| stored.partition_id).collect::<HashSet<_>>().into_iter().collect();
        partitions.sort();
        assert_eq!(partitions, expected);
        assert!(stored.iter().filter(|stored| stored.partition_id == 2).count() == 1_000 / expected.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_the_events() {
    let bodies = |seed| async move {
        let emulator = hub().build().expect("it can be built");
        let sizes = "1..500".parse().unwrap();
        round(
            &emulator,
            &Workload { sizes, seed, events: Some(500), route: Route::Partition("0".into()), ..workload() },
        )
        .await;
        let stored = emulator.events(HUB).unwrap();
        stored.iter().map(|stored| stored.event().unwrap().data().unwrap().clone()).collect::<Vec<_>>()
    };
    let (one, again, other) = (bodies(1).await, bodies(1).await, bodies(2).await);
    assert_eq!(one, again);
    assert_ne!(one, other);
}

#[tokio::test(start_paused = true)]
async fn rates_of_bytes_steps_and_ramps_are_kept() {
    for (rate, secs, events) in [("100kB/s", 5, 5_000), ("100/s:2s,300/s:3s", 9, 1_100), ("0..400/s:5s", 9, 1_000)] {
        let emulator = hub().build().expect("it can be built");
        let workload = Workload { rate: rate.parse().ok(), duration: Some(Duration::from_secs(secs)), ..workload() };
        let round = round(&emulator, &workload).await;
        assert!(round.ends.accepted.abs_diff(events) <= 1, "{rate}: {}", round.ends.accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn one_batch_at_a_time_is_never_two() {
    // Two and a half seconds' worth, and a look in between: one is under way then, or with a window sixteen.
    for (is_sequential, expected) in [(true, 1), (false, 16)] {
        let emulator = hub().round_trip_time(Duration::from_millis(300)).build().expect("it can be built");
        let workload = Workload {
            is_sequential,
            duration: Some(Duration::from_millis(2_500)),
            max_batch_events: Some(1),
            ..workload()
        };
        let round = round(&emulator, &workload).await;
        assert_eq!(round.seconds[0].in_flight, expected, "{round:?}");
        assert!(round.seconds.iter().all(|second| second.in_flight <= expected), "{round:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rounds_are_apart() {
    let emulator = hub().build().expect("it can be built");
    let report = run(&emulator, &Workload { rounds: 3, events: Some(100), ..workload() }).await;
    assert_eq!(report.rounds.len(), 3);
    assert!(report.rounds.iter().all(|round| round.ends.accepted == 100));
    assert_eq!(emulator.totals().connections, 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_is_told_before_anything_is_sent() {
    let emulator = hub().build().expect("it can be built");
    let mut bench = hubwire::bench::Bench::new(crate::target(&emulator), "an emulator");
    let zero = Workload { links: 0, ..workload() };
    assert!(matches!(bench.run(&zero, |_| {}).await, Err(BenchError::Workload(_))));
    let no_file = Workload { bodies: "lines:/no/such/file".parse().unwrap(), ..workload() };
    assert!(matches!(bench.run(&no_file, |_| {}).await, Err(BenchError::Material(_))));
    let nowhere = Workload { route: Route::Partition("9".into()), ..workload() };
    assert!(matches!(bench.run(&nowhere, |_| {}).await, Err(BenchError::Connect(_))));
}
