//! A stall cannot hide, and every event has one end.

use std::time::Duration;

use hubwire::bench::{Bench, Workload};
use hubwire::emulator::Fault;

use crate::{hub, p99, round, run, target, workload};

/// 100 events a second for ten seconds, each a batch of its own, one at a time.
fn paced() -> Workload {
    Workload {
        rate: "100/s".parse().ok(),
        duration: Some(Duration::from_secs(10)),
        max_batch_events: Some(1),
        in_flight: 1,
        ..workload()
    }
}

/// An emulator that answers nothing from 5 s on, for a second.
fn stalling() -> hubwire::emulator::Emulator {
    let stall = Fault::silence().starting_in(Duration::from_secs(5)).lasting(Duration::from_secs(1));
    hub().fault(stall).build().expect("it can be built")
}

#[tokio::test(start_paused = true)]
async fn a_stall_of_a_second_shows_from_the_time_events_were_due() {
    let round = round(&stalling(), &paced()).await;
    assert!(p99(round.intended.as_ref()) > 900.0, "{:?}", round.intended);
    // Two events saw it, of a thousand: that is how it hides.
    assert!(p99(round.sent.as_ref()) < 10.0, "{:?}", round.sent);
    assert!(round.sent.expect("sent").max_us > 900e3);
    assert!((80..=110).contains(&round.missed), "{}", round.missed);
    assert_eq!(round.ends.accepted + round.missed, 1_000);
    assert!((0.8..=1.1).contains(&round.window_wait_secs), "{}", round.window_wait_secs);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_told_though_the_next_batch_fails() {
    let stall = Fault::silence().starting_in(Duration::from_secs(5)).lasting(Duration::from_secs(1));
    // The first batch behind the stall: 500 came before it, and one saw it through.
    let refusal = Fault::reject("com.microsoft:argument-out-of-range", "no").nth(502);
    let emulator = hub().fault(stall).fault(refusal).build().expect("it can be built");
    let report = run(&emulator, &paced()).await;
    let round = &report.rounds[0];
    assert_eq!(round.ends.rejected, 1, "{:?}", round.ends);
    // A refusal for good ends it.
    let due = round.ends.offered + round.missed;
    assert!((600..=602).contains(&due) && (80..=110).contains(&round.missed), "{:?} {}", round.ends, round.missed);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_burst_after_a_stall_unless_it_is_asked_for() {
    let spread = round(&stalling(), &paced()).await;
    let most = |round: &hubwire::bench::Round| round.seconds.iter().map(|second| second.events).max();
    assert!(most(&spread) <= Some(103), "{:?}", most(&spread));
    let caught_up = round(&stalling(), &Workload { catch_up: true, ..paced() }).await;
    assert_eq!((caught_up.missed, caught_up.ends.accepted), (0, 1_000));
    assert!(most(&caught_up) >= Some(180), "{:?}", most(&caught_up));
    assert!(p99(caught_up.intended.as_ref()) > 900.0, "{:?}", caught_up.intended);
}

#[tokio::test(start_paused = true)]
async fn without_a_stall_nothing_is_late_and_nothing_missed() {
    let emulator = hub().build().expect("it can be built");
    let round = round(&emulator, &paced()).await;
    assert_eq!((round.ends.accepted, round.missed), (1_000, 0));
    // The runtime's timers go by milliseconds.
    assert!(round.intended.as_ref().expect("due").max_us <= 2e3, "{:?}", round.intended);
    let rates: Vec<u64> = round.seconds.iter().map(|second| second.events).collect();
    assert!(rates.iter().take(9).all(|rate| (99..=101).contains(rate)), "{rates:?}");
}

#[tokio::test(start_paused = true)]
async fn every_end_is_counted_and_they_add_up_to_what_was_offered() {
    let emulator = hub()
        .fault(Fault::reject("com.microsoft:timeout", "later").nth(2).times(20))
        .fault(Fault::lose().nth(40).times(3))
        .build()
        .expect("it can be built");
    let workload = Workload { events: Some(1_000), max_batch_events: Some(10), ..workload() };
    let report = run(&emulator, &workload).await;
    let ends = report.rounds[0].ends;
    assert_eq!(ends.offered, 1_000);
    assert_eq!(ends.accepted + ends.rejected + ends.not_sent + ends.unknown, 1_000);
    assert!(ends.unknown == 30 && ends.rejected + ends.not_sent > 0, "{ends:?}");
    assert_eq!(emulator.stored_count(), ends.accepted);
}

#[tokio::test(start_paused = true)]
async fn what_goes_over_the_wire_is_counted_with_its_frames() {
    let emulator = hub().build().expect("it can be built");
    let workload = Workload { sizes: "1000".parse().unwrap(), events: Some(1_000), in_flight: 1, ..workload() };
    let round = round(&emulator, &workload).await;
    let messages = round.overhead();
    let wire = round.wire_overhead().expect("counted");
    // A frame's head for each 64 KiB and for each outcome, and no more.
    assert!(wire > messages + 0.000_3 && wire < messages + 0.005, "{messages} of the messages, {wire} on the wire");
    assert!(round.wire_sent_bytes > round.message_bytes, "{} of {}", round.wire_sent_bytes, round.message_bytes);
    assert!(round.wire_received_bytes > 0 && round.wire_received_bytes < 2_000, "{}", round.wire_received_bytes);
}

#[tokio::test(start_paused = true)]
async fn what_is_reported_is_what_the_emulator_stored() {
    let emulator = hub().build().expect("it can be built");
    let workload = Workload {
        sizes: "0..3000".parse().unwrap(),
        rate: "700/s".parse().ok(),
        is_poisson: true,
        connections: 2,
        links: 2,
        warm_up: Duration::from_secs(2),
        duration: Some(Duration::from_secs(5)),
        ..workload()
    };
    let round = round(&emulator, &workload).await;
    assert_eq!(round.ends.accepted + round.warm_up.accepted, emulator.stored_count());
    assert!((1_200..1_600).contains(&round.warm_up.accepted), "{:?}", round.warm_up);
    assert!((3_300..3_700).contains(&round.ends.accepted), "{:?}", round.ends);
    let stored: u64 = emulator
        .events("telemetry")
        .unwrap()
        .iter()
        .map(|stored| stored.event().unwrap().data().unwrap().len() as u64)
        .sum();
    assert!(round.body_bytes < stored && round.body_bytes > stored / 2);
    assert_eq!(round.seconds.iter().map(|second| second.events).sum::<u64>(), round.ends.accepted);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_refuses_for_good_ends_the_run() {
    let emulator = hub().fault(Fault::reject("amqp:not-allowed", "no").always()).build().expect("it can be built");
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let report = bench.run(&Workload { rounds: 3, ..workload() }, |_| {}).await.expect("it connects");
    assert_eq!(report.rounds.len(), 1);
    assert!(report.ended_early.as_deref().is_some_and(|cause| cause.contains("amqp:not-allowed")), "{report:?}");
    assert_eq!(report.rounds[0].ends.accepted, 0);
    assert_eq!(bench.failures().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fits_no_batch_ends_the_run() {
    let emulator = hub().build().expect("it can be built");
    let report = run(&emulator, &Workload { sizes: "2MiB".parse().unwrap(), ..workload() }).await;
    assert_eq!((report.rounds[0].ends.offered, report.rounds[0].ends.not_sent), (1, 1));
    assert!(report.ended_early.as_deref().is_some_and(|cause| cause.contains("--size")), "{:?}", report.ended_early);
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_it_is_told_with_the_report_so_far() {
    let emulator = hub().build().expect("it can be built");
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let stop = bench.stop();
    let mut seconds = 0;
    let on_second = |_: &hubwire::bench::Second| {
        seconds += 1;
        if seconds == 3 {
            stop.stop();
        }
    };
    let report = bench.run(&paced(), on_second).await.expect("it runs");
    assert_eq!(report.ended_early.as_deref(), Some("it was stopped"));
    assert!((299..=301).contains(&report.rounds[0].ends.accepted), "{:?}", report.rounds[0].ends);
}

#[tokio::test(start_paused = true)]
async fn what_was_packed_ahead_does_not_leave_before_it_is_due_when_it_is_stopped() {
    let emulator = hub().round_trip_time(Duration::from_millis(40)).build().expect("it can be built");
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let stop = bench.stop();
    let workload = Workload {
        rate: "1000/s".parse().ok(),
        duration: Some(Duration::from_secs(10)),
        linger: Some(Duration::from_millis(400)),
        ..workload()
    };
    // At 1.0 s, while a batch forms from 0.8 s to 1.2 s.
    let report = bench.run(&workload, |_| stop.stop()).await.expect("it runs");
    let round = &report.rounds[0];
    assert!((1_200..=1_201).contains(&round.ends.accepted), "{:?}", round.ends);
    assert!(round.span_secs > 1.23, "{}", round.span_secs);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_over_the_time_in_which_events_were_due() {
    for (ends, connections) in [
        (Workload { duration: Some(Duration::from_secs(10)), ..workload() }, 1),
        (Workload { events: Some(10_000), ..workload() }, 1),
        (Workload { events: Some(10_000), ..workload() }, 4),
    ] {
        let emulator = hub().build().expect("it can be built");
        let workload = Workload { rate: "1000/s".parse().ok(), warm_up: Duration::from_secs(1), connections, ..ends };
        let round = round(&emulator, &workload).await;
        assert_eq!((round.ends.accepted, round.throughput_units()), (10_000, 1), "{}", round.span_secs);
        assert!((10.0..10.01).contains(&round.span_secs), "{}", round.span_secs);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_to_the_end_is_in_the_rate() {
    // Five of ten seconds; what is under way is given up some time later.
    let stall = Fault::silence().starting_in(Duration::from_secs(5));
    let emulator = hub().fault(stall).build().expect("it can be built");
    let round = round(&emulator, &paced()).await;
    assert!((490..=510).contains(&round.ends.accepted), "{:?}", round.ends);
    assert!(round.events_per_sec() <= 51.0 && round.span_secs >= 10.0, "{} s", round.span_secs);
    assert_eq!(round.ends.offered + round.missed, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_falls_silent_is_given_up_on_request() {
    let emulator = hub().fault(Fault::silence().starting_in(Duration::from_secs(1))).build().expect("it can be built");
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let stop = bench.stop();
    let on_second = |second: &hubwire::bench::Second| {
        if second.at_secs >= 3.0 {
            stop.give_up();
        }
    };
    // A batch's own time would be a minute.
    let workload = paced();
    let run = tokio::time::timeout(Duration::from_secs(10), bench.run(&workload, on_second));
    let report = run.await.expect("it does not wait for the hub").expect("it runs");
    let ends = report.rounds[0].ends;
    assert_eq!(ends.unknown, 1);
    assert_eq!(ends.accepted + ends.not_sent + ends.unknown, ends.offered);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_far_away_shows_in_every_latency() {
    let emulator = hub().round_trip_time(Duration::from_millis(40)).build().expect("it can be built");
    let workload = Workload { in_flight: 16, receive: true, ..paced() };
    let round = round(&emulator, &workload).await;
    for latency in [&round.intended, &round.sent, &round.arrival] {
        let latency = latency.as_ref().expect("it is measured");
        assert!(latency.p50_us >= 40e3 && latency.max_us < 50e3, "{latency:?}");
    }
    assert_eq!((round.ends.accepted, round.missed), (1_000, 0));
    // One at a time, there is no more than one in a round trip; what was due in between is missed.
    let one = crate::round(&emulator, &paced()).await;
    assert!((200..=260).contains(&one.ends.accepted), "{:?}", one.ends);
    assert!(one.missed > 700 && p99(one.intended.as_ref()) > 40.0, "{one:?}");
}

#[tokio::test(start_paused = true)]
async fn throttling_and_missing_credit_are_told() {
    let emulator = hub().throughput_units(1).build().expect("it can be built");
    let workload = Workload { rate: "2000/s".parse().ok(), duration: Some(Duration::from_secs(8)), ..workload() };
    let throttled = round(&emulator, &workload).await;
    assert!(throttled.throttles > 0 && throttled.throttled_secs > 0.0, "{throttled:?}");
    // A link cannot rest for longer than there is time, however many of its batches are refused together.
    assert!(throttled.throttled_secs <= throttled.span_secs + 4.0, "{throttled:?}");
    let ends = throttled.ends;
    assert_eq!(ends.accepted + ends.rejected + ends.not_sent + ends.unknown, ends.offered);
    assert!(ends.accepted <= 9_100, "{ends:?}");
    let emulator = hub().link_credit(1).round_trip_time(Duration::from_millis(20)).build().expect("it can be built");
    let waiting = round(&emulator, &Workload { in_flight: 16, ..paced() }).await;
    assert!(waiting.credit_waits > 100, "{}", waiting.credit_waits);
}
