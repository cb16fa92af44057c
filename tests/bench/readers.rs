//! From end to end: what is read is what was published.

use std::time::Duration;

use hubwire::bench::{Bench, Keys, Received, Route, Workload};
use hubwire::emulator::Fault;
use hubwire::{Options, Retry};

use crate::{hub, round, target, target_with, workload};

fn read() -> Workload {
    Workload { rate: "500/s".parse().ok(), duration: Some(Duration::from_secs(4)), receive: true, ..workload() }
}

#[tokio::test(start_paused = true)]
async fn everything_arrives_once_and_in_order() {
    for keys in [Keys::None, Keys::Uniform(20)] {
        let emulator = hub().build().expect("it can be built");
        let workload = Workload { keys, links: 2, warm_up: Duration::from_secs(1), ..read() };
        let round = round(&emulator, &workload).await;
        assert_eq!(round.received, Some(Received { events: 2_500, lost: Some(0), ..Received::default() }));
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
    assert_eq!(third.received, Some(Received { events: 100, lost: Some(0), ..Received::default() }));
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_without_an_outcome_is_told() {
    let emulator = hub().fault(Fault::never_settle().nth(3)).build().expect("it can be built");
    let round =
        round(&emulator, &Workload { max_batch_events: Some(10), linger: Some(Duration::from_secs(1)), ..read() })
            .await;
    assert_eq!(round.ends.unknown, 10);
    let received = round.received.expect("it is read");
    assert_eq!((received.unknown_but_read, received.lost, received.duplicates), (10, Some(0), 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_again_and_is_stored_twice_is_told() {
    // The third batch is stored, and nothing is said of it until its connection ends.
    let close = Fault::close("amqp:connection:forced", "gone").on_connection(2).starting_in(Duration::from_secs(1));
    let emulator = hub().fault(Fault::never_settle().nth(3)).fault(close).build().expect("it can be built");
    let options = Options::default().retry(Retry::default().resend_unknown(true));
    let workload = Workload { max_batch_events: Some(10), linger: Some(Duration::from_secs(1)), ..read() };
    let report = Bench::new(target_with(&emulator, &options), "an emulator").run(&workload, |_| {}).await;
    let round = report.expect("it runs").rounds.remove(0);
    let received = round.received.expect("it is read");
    assert_eq!((round.ends.unknown, received.lost, received.duplicates), (0, Some(0), 10), "{received:?}");
    assert_eq!(received.events, round.ends.accepted + 10);
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_later_ones_is_out_of_order() {
    // The third batch is given back when others are under way behind it.
    let late = Fault::delay_outcomes(Duration::from_millis(200));
    let emulator = hub().fault(late).fault(Fault::release().nth(3)).build().expect("it can be built");
    let route = Route::Partition("0".to_owned());
    let workload =
        Workload { route, max_batch_events: Some(10), linger: Some(Duration::from_secs(1)), in_flight: 8, ..read() };
    let received = round(&emulator, &workload).await.received.expect("it is read");
    assert_eq!((received.lost, received.duplicates), (Some(0), 0), "{received:?}");
    assert!(received.out_of_order > 0, "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_fails_ends_the_run_and_what_it_left_unread_is_not_called_lost() {
    let fault = Fault::close("amqp:connection:forced", "gone").on_connection(1).starting_in(Duration::from_secs(1));
    let emulator = hub().fault(fault).build().expect("it can be built");
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let report = bench.run(&read(), |_| {}).await.expect("it runs");
    assert!(report.ended_early.as_deref().is_some_and(|cause| cause.starts_with("a reader ended: ")), "{report:?}");
    assert!(bench.interruption().is_some_and(|error| error.condition() == Some("amqp:connection:forced")));
    let round = &report.rounds[0];
    // Four seconds were asked for.
    assert!((450..=600).contains(&round.ends.accepted), "{:?}", round.ends);
    let received = round.received.expect("it is read");
    assert_eq!((received.lost, received.duplicates, received.out_of_order), (None, 0, 0));
    assert!(received.events > 400, "{received:?}");
    assert!(report.to_string().contains("the readers ended before all was read"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn readers_are_waited_for_no_longer_than_it_is_wished_for() {
    // What reads hears nothing any more, and what was accepted does not come.
    let fault = Fault::silence().on_connection(1).starting_in(Duration::from_secs(1));
    let emulator = hub().fault(fault).build().expect("it can be built");
    let mut bench = Bench::new(target(&emulator), "an emulator");
    let stop = bench.stop();
    let workload = read();
    let give_up = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.give_up();
        std::future::pending::<()>().await;
    };
    let run = async {
        tokio::select! {
            report = bench.run(&workload, |_| {}) => report.expect("it runs"),
            () = give_up => unreachable!("it does not end"),
        }
    };
    // Nor is a goodbye that nobody answers.
    let report = tokio::time::timeout(Duration::from_millis(5_100), run).await.expect("it ends");
    assert_eq!(report.rounds[0].ends.accepted, 2_000);
    assert_eq!(report.rounds[0].received.expect("it is read").lost, None);
}

#[tokio::test(start_paused = true)]
async fn what_the_hub_dropped_is_lost() {
    // A hub that keeps next to nothing, and a reader that hears nothing for longer than its credit lasts.
    let emulator = hub()
        .retention_events(1)
        .fault(Fault::silence().on_connection(1).starting_in(Duration::from_secs(1)).lasting(Duration::from_secs(2)));
    let emulator = emulator.build().expect("it can be built");
    let round = round(&emulator, &Workload { rate: "10000/s".parse().ok(), ..read() }).await;
    let received = round.received.expect("it is read");
    assert_eq!(round.ends.accepted, 40_000);
    assert!(received.lost > Some(0), "{received:?}");
    assert_eq!(received.events + received.lost.unwrap(), 40_000);
}
