//! The knee is where the hub has it.

use std::time::Duration;

use hubwire::bench::{Bench, Limit, Workload};
use hubwire::emulator::Emulator;

use crate::{hub, target, workload};

/// Tries rates from 400 a second on: the knee, what broke the lowest rate that did, and how many were tried.
async fn knee(emulator: &Emulator, workload: Workload, limit: &str) -> (f64, f64, usize) {
    let limits: Vec<Limit> = vec![limit.parse().expect("a limit")];
    let (mut told, workload) = (0, Workload { rate: "400/s".parse().ok(), ..workload });
    let mut bench = Bench::new(target(emulator), "an emulator");
    let report = bench.find_max(&workload, &limits, |_| {}, |_| told += 1).await.expect("it runs");
    assert_eq!(told, report.search.len());
    let rates = |is_broken: bool| {
        let steps = report.search.iter().filter(move |step| step.broken.is_some() == is_broken);
        steps.map(|step| step.rate).collect::<Vec<_>>()
    };
    let knee = rates(false).into_iter().fold(0.0, f64::max);
    (knee, rates(true).into_iter().fold(f64::INFINITY, f64::min), told)
}

#[tokio::test(start_paused = true)]
async fn a_window_of_one_in_a_round_trip_of_ten_milliseconds_keeps_a_hundred_events_a_second() {
    let emulator = hub().round_trip_time(Duration::from_millis(10)).build().expect("it can be built");
    let one = Workload { max_batch_events: Some(1), in_flight: 1, ..workload() };
    let (knee, broken, steps) = knee(&emulator, one, "errors>0%").await;
    assert!((80.0..=102.0).contains(&knee) && knee < broken && broken <= knee * 1.06, "{knee} {broken}");
    assert!(steps < 20, "{steps}");
}

#[tokio::test(start_paused = true)]
async fn a_throughput_unit_keeps_a_thousand_events_a_second() {
    let emulator = hub().throughput_units(1).build().expect("it can be built");
    // A unit saves up a second's worth, which a longer run uses up.
    let long = Workload { duration: Some(Duration::from_secs(8)), ..workload() };
    let (knee, broken, _) = knee(&emulator, long, "p99>100ms").await;
    assert!((950.0..=1_190.0).contains(&knee) && knee < broken && broken <= knee * 1.06, "{knee} {broken}");
}
