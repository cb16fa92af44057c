//! The knee is where the hub has it.

use std::time::Duration;

use hubwire::bench::{Bench, Limit, Second, Step, Unit, Workload};
use hubwire::emulator::{Emulator, Fault};

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

#[tokio::test(start_paused = true)]
async fn a_throughput_unit_keeps_a_mebibyte_a_second() {
    let emulator = hub().throughput_units(1).build().expect("it can be built");
    let limits = ["p99>100ms".parse().expect("a limit")];
    let large = Workload {
        sizes: "10kB".parse().expect("a size"),
        rate: "500kB/s".parse().ok(),
        duration: Some(Duration::from_secs(8)),
        ..workload()
    };
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let report = bench.find_max(&large, &limits, |_| {}, |_| {}).await.expect("it runs");
    assert!(report.search.iter().all(|step| step.unit == Unit::Bytes), "{:?}", report.search);
    let held = report.search.iter().filter(|step| step.broken.is_none());
    let knee = held.map(|step| step.rate).fold(0.0, f64::max);
    assert!((1_000e3..=1_250e3).contains(&knee), "{knee}");
    // It says how it is repeated: from the beginning, and not from the knee.
    let command = report.command();
    assert!(command.contains("--rate 500000B/s --duration 8s") && command.ends_with("--find-max --limit 'p99>100ms'"));
}

/// At random times there are more events or fewer than the rate says: that is no fault of the hub's.
#[tokio::test(start_paused = true)]
async fn random_times_do_not_break_a_rate() {
    for seed in 1..=5 {
        let emulator = hub().build().expect("it can be built");
        let workload = Workload {
            rate: "100/s".parse().ok(),
            is_poisson: true,
            duration: Some(Duration::from_secs(1)),
            seed,
            ..workload()
        };
        let mut bench = Bench::new(target(&emulator), "an emulator");
        let (stop, mut steps) = (bench.stop(), 0);
        let on_step = |_: &Step| {
            steps += 1;
            if steps == 3 {
                stop.stop();
            }
        };
        let report = bench.find_max(&workload, &[], |_| {}, on_step).await.expect("it runs");
        assert!(report.search.iter().all(|step| step.broken.is_none()), "{seed}: {:?}", report.search);
        assert_eq!((report.search.len(), report.ended_early.as_deref()), (3, Some("it was stopped")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_was_cut_short_is_not_judged() {
    let emulator = hub().build().expect("it can be built");
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let (stop, mut seconds) = (bench.stop(), 0);
    let on_second = |_: &Second| {
        seconds += 1;
        if seconds == 5 {
            stop.stop();
        }
    };
    // Three seconds each: the second rate is cut short.
    let report = bench.find_max(&workload(), &[], on_second, |_| {}).await.expect("it runs");
    assert_eq!((report.search.len(), report.ended_early.as_deref()), (1, Some("it was stopped")), "{report:?}");
    assert_eq!(report.search[0].broken, None);
    assert_eq!(report.rounds[0].ends.accepted, 3_000);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_made_leaves_the_rates_that_were_tried() {
    let fault = Fault::refuse_attach("amqp:unauthorized-access", "no more").on_connection(3).always();
    let emulator = hub().fault(fault).build().expect("it can be built");
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let (stop, mut steps) = (bench.stop(), 0);
    let on_step = |_: &Step| {
        steps += 1;
        if steps == 5 {
            stop.stop();
        }
    };
    let report = bench.find_max(&workload(), &[], |_| {}, on_step).await.expect("it has something to tell");
    assert_eq!(report.search.len(), 2);
    assert!(report.ended_early.is_some_and(|why| why.contains("no more")));
    assert!(bench.interruption().is_some_and(|error| error.condition() == Some("amqp:unauthorized-access")));
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_less_than_one_a_second_is_tried() {
    let emulator = hub().round_trip_time(Duration::from_millis(100)).build().expect("it can be built");
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let slow = Workload { rate: "0.5/s".parse().ok(), ..workload() };
    let limits = ["p99>50ms".parse().expect("a limit")];
    let report = bench.find_max(&slow, &limits, |_| {}, |_| {}).await.expect("it runs");
    assert_eq!(report.search.iter().map(|step| step.rate).collect::<Vec<_>>(), [0.5]);
    assert!(report.to_string().contains("no rate held the limits"), "{report}");
}
