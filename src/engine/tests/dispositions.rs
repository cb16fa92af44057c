//! What the peer says of deliveries.

use fe2o3_amqp_types::definitions::Role as WireRole;
use fe2o3_amqp_types::messaging::{DeliveryState, Modified, Received, Rejected, Released};
use fe2o3_amqp_types::performatives::Disposition;

use super::support::*;
use crate::engine::*;
use crate::wire::frame::{PeerError, encoded};

/// Dispositions, by first and last.
type Ranges = &'static [(u32, Option<u32>)];

/// A client with ten deliveries under way, 0 to 9.
fn ten_under_way() -> (Script, LinkId) {
    let (mut script, link) = Script::sending(10);
    for key in 0..10 {
        script.send(link, key, 1);
    }
    assert_eq!(script.frames().len(), 10);
    (script, link)
}

#[test]
fn a_range_settles_what_it_names_and_what_is_there() {
    let cases: &[(Ranges, &[u64])] = &[
        (&[(0, None)], &[0]),
        (&[(3, Some(5))], &[3, 4, 5]),
        (&[(5, Some(5)), (3, Some(4)), (0, Some(1))], &[0, 1, 3, 4, 5]),
        (&[(0, Some(9))], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (&[(8, Some(1_000))], &[8, 9]),
        (&[(10, Some(1_000))], &[]),
        (&[(5, Some(3))], &[]),
        (&[(0, Some(0)), (0, Some(0)), (0, Some(1))], &[0, 1]),
        (&[(u32::MAX, Some(2))], &[]),
        (&[(0, Some(i32::MAX as u32))], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        // Serial numbers: this ends before it begins.
        (&[(0, Some(u32::MAX))], &[]),
        (&[(u32::MAX, None)], &[]),
    ];
    for (ranges, settled) in cases {
        let (mut script, _) = ten_under_way();
        for &(first, last) in *ranges {
            script.feed(&encoded(9, &disposition(first, last, accepted())));
        }
        let keys: Vec<u64> = script.outcomes().iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, *settled, "{ranges:?}");
        script.expect(&[]);
    }
}

#[test]
fn the_widest_ranges_cost_nothing() {
    let (mut script, _) = ten_under_way();
    for _ in 0..1_000 {
        script.feed(&encoded(9, &disposition(0x7fff_0000, Some(u32::MAX), accepted())));
        script.feed(&encoded(9, &disposition(0, Some(u32::MAX), accepted())));
        script.feed(&encoded(9, &disposition(11, Some(0x7fff_ffff), accepted())));
    }
    assert_eq!(script.outcomes(), []);
}

#[test]
fn each_state_has_its_outcome() {
    let error = Some(wire_error("amqp:link:message-size-exceeded"));
    let told = PeerError::new("amqp:link:message-size-exceeded", "so it is");
    let received = || Some(DeliveryState::Received(Received { section_number: 0, section_offset: 0 }));
    let modified = Modified { delivery_failed: None, undeliverable_here: None, message_annotations: None };
    let cases = [
        (accepted(), true, Some(Outcome::Accepted)),
        (Some(DeliveryState::Rejected(Rejected { error })), true, Some(Outcome::Rejected(Some(told)))),
        (Some(DeliveryState::Rejected(Rejected { error: None })), true, Some(Outcome::Rejected(None))),
        (Some(DeliveryState::Released(Released {})), true, Some(Outcome::Released)),
        (Some(DeliveryState::Modified(modified)), true, Some(Outcome::Modified)),
        (None, true, Some(Outcome::Unknown)),
        (received(), true, Some(Outcome::Unknown)),
        (None, false, None),
        (received(), false, None),
    ];
    for (state, settled, outcome) in cases {
        let (mut script, _) = ten_under_way();
        script.feed(&encoded(9, &Disposition { settled, ..disposition(4, None, state.clone()) }));
        let expected: Vec<_> = outcome.into_iter().map(|outcome| (4, outcome)).collect();
        assert_eq!(script.outcomes(), expected, "{state:?} settled={settled}");
        script.expect(&[]);
    }
}

#[test]
fn a_final_state_that_is_not_settled_is_settled_by_us() {
    let (mut script, _) = ten_under_way();
    let unsettled = Disposition { settled: false, ..disposition(2, Some(3), accepted()) };
    script.feed(&encoded(9, &unsettled));
    assert_eq!(script.outcomes(), [(2, Outcome::Accepted), (3, Outcome::Accepted)]);
    script.expect(&["0 disposition role=Sender first=2 last=Some(3) settled=true"]);
    assert_eq!(script.connection.unsettled_len(), 8);
}

#[test]
fn what_the_peer_settles_as_a_sender_is_not_ours() {
    let (mut script, _) = ten_under_way();
    script.feed(&encoded(9, &Disposition { role: WireRole::Sender, ..disposition(0, Some(9), accepted()) }));
    assert_eq!(script.outcomes(), []);
}

#[test]
fn a_delivery_may_be_settled_before_its_last_frame() {
    let (mut script, link) = Script::sending_with(config(Role::Client), 512, 10);
    script.feed(&encoded(9, &session_flow(0, 1)));
    script.send(link, 0, 1_000);
    script.send(link, 1, 1);
    assert_eq!(script.frames().len(), 1);
    script.feed(&encoded(9, &disposition(0, None, Some(DeliveryState::Released(Released {})))));
    assert_eq!(script.outcomes(), [(0, Outcome::Released)]);
    assert_eq!(script.cancel(link, 0), None);
    // It goes on to its end: the next one must not begin inside of it.
    script.feed(&encoded(9, &session_flow(1, 100)));
    script.expect(&[
        "0 transfer handle=0 delivery-id=None more=true 487 B",
        "0 transfer handle=0 delivery-id=None more=false 35 B",
        "0 transfer handle=0 delivery-id=Some(1) more=false 1 B",
    ]);
}

#[test]
fn a_queued_message_that_is_cancelled_never_leaves() {
    let (mut script, link) = Script::sending(0);
    for key in 0..3 {
        script.send(link, key, 1);
    }
    assert_eq!(script.cancel(link, 1), Some(Outcome::NotSent));
    assert_eq!(script.cancel(link, 1), None);
    assert_eq!(script.cancel(link, 99), None);
    script.grant(10);
    script.expect(&[
        "0 transfer handle=0 delivery-id=Some(0) more=false 1 B",
        "0 transfer handle=0 delivery-id=Some(1) more=false 1 B",
    ]);
    script.feed(&encoded(9, &disposition(1, None, accepted())));
    assert_eq!(script.outcomes(), [(2, Outcome::Accepted)]);
}

#[test]
fn a_half_sent_message_that_is_cancelled_leaves_whole() {
    let (mut script, link) = Script::sending_with(config(Role::Client), 512, 10);
    script.feed(&encoded(9, &session_flow(0, 1)));
    script.send(link, 0, 1_000);
    assert_eq!(script.frames().len(), 1);
    assert_eq!(script.cancel(link, 0), Some(Outcome::Unknown));
    assert_eq!(script.cancel(link, 0), None);
    script.feed(&encoded(9, &session_flow(1, 100)));
    assert_eq!(script.frames().len(), 2);
    script.feed(&encoded(9, &disposition(0, None, accepted())));
    assert_eq!(script.outcomes(), []);
}

#[test]
fn deliveries_keep_their_numbers_whatever_is_settled_or_cancelled() {
    // A small deterministic walk: every order of settling and cancelling leaves the rest addressable.
    for seed in 0..50_u64 {
        let (mut script, link) = ten_under_way();
        let mut left: Vec<u64> = (0..10).collect();
        for step in 0..10 {
            let key = left.remove(((seed * 7 + step * 13) % left.len() as u64) as usize);
            if (seed + step) % 3 == 0 {
                assert_eq!(script.cancel(link, key), Some(Outcome::Unknown));
                script.feed(&encoded(9, &disposition(key as u32, None, accepted())));
            } else {
                script.feed(&encoded(9, &disposition(key as u32, None, accepted())));
                assert_eq!(script.cancel(link, key), None);
            }
            assert_eq!(script.unresolved(), left, "seed {seed}, step {step}");
            assert_eq!(script.connection.unsettled_len(), left.len());
        }
        script.grant(1);
        script.send(link, 10, 1);
        script.expect(&[]);
        script.grant(20);
        script.expect(&["0 transfer handle=0 delivery-id=Some(10) more=false 1 B"]);
    }
}
