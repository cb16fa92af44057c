//! What becomes of deliveries: outcomes, credit, throttling, order.

use std::sync::{Arc, Mutex};

use super::*;
use hubwire::Step;

#[tokio::test(start_paused = true)]
async fn the_nth_delivery_is_rejected_released_or_given_back_and_not_stored() {
    for (fault, is_rejected) in [
        (Fault::reject("amqp:not-allowed", "Not today.").nth(2), true),
        (Fault::release().nth(2), false),
        (Fault::modify().nth(2), false),
    ] {
        let emulator = emulator_with([fault.clone()]);
        let (_connection, sender) = sender(&emulator).await;
        send(&sender, "one").await.expect("accepted");
        let second = send(&sender, "two").await;
        if is_rejected {
            let (condition, description) = rejected(second);
            assert_eq!(condition, "amqp:not-allowed");
            assert!(description.starts_with("Not today. TrackingId:"), "{description}");
        } else {
            let cause = not_sent(second);
            assert!(matches!(cause, Error::Released), "{fault}: {cause:?}");
        }
        send(&sender, "three").await.expect("accepted");
        assert_eq!(stored(&emulator), ["one", "three"], "{fault}");
        assert_eq!(emulator.totals().faults, 1);
        all_is_well(&emulator).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_never_settled_is_unknown_stored_or_not() {
    for (fault, expected) in [(Fault::never_settle(), vec!["one", "two"]), (Fault::lose(), vec!["two"])] {
        let emulator = emulator_with([fault]);
        let (_connection, sender) = sender(&emulator).await;
        let began = now();
        let cause = unknown(send(&sender, "one").await);
        assert!(matches!(cause, Error::TimedOut { step: Step::Outcome, .. }), "{cause:?}");
        assert_eq!(began.elapsed(), TIMEOUT);
        send(&sender, "two").await.expect("accepted");
        assert_eq!(stored(&emulator), expected);
        all_is_well(&emulator).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_is_busy_for_a_while_in_the_services_words() {
    let emulator = emulator_with([]);
    let (_connection, sender) = sender(&emulator).await;
    emulator.inject(Fault::server_busy().lasting(SECOND * 5));
    for _ in 0..5 {
        let (condition, description) = rejected(send(&sender, "busy").await);
        assert_eq!(condition, "com.microsoft:server-busy");
        assert!(description.contains("Error code : 50002. Please wait 4 seconds"), "{description}");
        tokio::time::sleep(SECOND).await;
    }
    send(&sender, "well").await.expect("five seconds are over");
    assert_eq!((stored(&emulator), emulator.totals().rejected), (vec!["well".to_owned()], 5));
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_delayed_one_by_one_and_not_one_after_the_other() {
    let emulator = emulator_with([Fault::delay_outcomes(Duration::from_millis(2))]);
    let (_connection, sender) = sender(&emulator).await;
    let began = now();
    let (one, two) = tokio::join!(send(&sender, "one"), send(&sender, "two"));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    assert_eq!((began.elapsed(), emulator.totals().faults), (Duration::from_millis(2), 2));
    emulator.clear_faults();
    send(&sender, "three").await.expect("accepted");
    assert_eq!(began.elapsed(), Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn credit_is_withheld_from_new_links_and_taken_from_those_that_are_there() {
    let emulator = emulator_with([]);
    let (connection, old) = sender(&emulator).await;
    send(&old, "one").await.expect("accepted");
    emulator.inject(Fault::withhold_credit().lasting(TIMEOUT + SECOND));
    settle().await;
    let new = connection.sender(HUB).await.expect("attaches all the same");
    let began = now();
    let (one, two) = tokio::join!(send(&old, "two"), send(&new, "three"));
    for result in [one, two] {
        let cause = not_sent(result);
        assert!(matches!(cause, Error::TimedOut { step: Step::Credit, .. }), "{cause:?}");
    }
    assert_eq!(began.elapsed(), TIMEOUT);
    let (one, two) = tokio::join!(send(&old, "four"), send(&new, "five"));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    assert_eq!((began.elapsed(), emulator.totals().faults), (TIMEOUT + SECOND, 2), "as soon as it is over");
    assert_eq!(stored(&emulator).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_came_together_are_settled_the_other_way_round() {
    for (fault, expected) in [(None, [1, 2, 3]), (Some(Fault::out_of_order()), [3, 2, 1])] {
        let emulator = emulator_with(fault);
        let (_connection, sender) = sender(&emulator).await;
        let (sender, order) = (Arc::new(sender), Arc::new(Mutex::new(Vec::new())));
        let sends = (1..=3).map(|number| {
            let (sender, order) = (Arc::clone(&sender), Arc::clone(&order));
            tokio::spawn(async move {
                send(&sender, "event").await.expect("accepted");
                order.lock().unwrap().push(number);
            })
        });
        for sending in sends.collect::<Vec<_>>() {
            sending.await.unwrap();
        }
        // Whoever is told first goes on first.
        assert_eq!(*order.lock().unwrap(), expected);
        assert_eq!(stored(&emulator).len(), 3);
        all_is_well(&emulator).await;
    }
}

#[tokio::test(start_paused = true)]
async fn questions_that_came_together_are_answered_the_other_way_round() {
    let emulator = emulator_with([Fault::out_of_order()]);
    let connection = connect(&emulator).await.expect("opens");
    connection.event_hub_properties(HUB).await.expect("answered");
    let before = emulator.totals().faults;
    let (one, two) = tokio::join!(connection.partition_properties(HUB, "0"), connection.partition_properties(HUB, "1"));
    assert_eq!((one.expect("answered").id, two.expect("answered").id), ("0".to_owned(), "1".to_owned()));
    assert!(emulator.totals().faults > before, "two answers were turned round");
}
