//! Link credit and session windows.

use fe2o3_amqp_types::definitions::Role as WireRole;
use fe2o3_amqp_types::performatives::Flow;

use super::support::*;
use crate::engine::*;
use crate::wire::frame::encoded;

/// How many transfers a client with twenty short messages writes after `flow`; three have left before.
fn sent_after(flow: &Flow) -> usize {
    let (mut script, link) = Script::sending(3);
    for key in 0..20 {
        script.send(link, key, 1);
    }
    assert_eq!(script.frames().len(), 3);
    script.feed(&encoded(9, flow));
    script.frames().iter().filter(|line| line.starts_with("0 transfer")).count()
}

#[test]
fn credit_counts_from_the_receivers_delivery_count() {
    for (delivery_count, credit, sent) in [
        (Some(3), 0, 0),
        (Some(3), 4, 4),
        (Some(3), 100, 17),
        (Some(0), 4, 1),
        (Some(1), 4, 2),
        (Some(0), 3, 0),
        (Some(0), 0, 0),
        (Some(5), 4, 6),
        (None, 4, 1),
        (Some(3), u32::MAX, 17),
        (Some(0), 1 << 31, 17),
    ] {
        assert_eq!(sent_after(&link_flow(7, delivery_count, credit)), sent, "{delivery_count:?} + {credit}");
    }
}

#[test]
fn a_flow_on_a_handle_that_is_not_there_grants_nothing() {
    assert_eq!(sent_after(&link_flow(8, Some(3), 100)), 0);
}

#[test]
fn credit_that_is_taken_back_stops_what_is_queued() {
    let (mut script, link) = Script::sending(10);
    script.send(link, 0, 1);
    script.frames();
    script.feed(&encoded(9, &link_flow(7, Some(0), 1)));
    script.send(link, 1, 1);
    script.expect(&[]);
    script.grant(2);
    script.expect(&["0 transfer handle=0 delivery-id=Some(1) more=false 1 B"]);
}

#[test]
fn credit_granted_before_the_accept_counts() {
    // Some peers write attach and flow in one go.
    let mut server = Script::opened(config(Role::Server), 65_536);
    server.feed(&encoded(0, &begin(None)));
    server.feed(&encoded(0, &attach("in", 0, WireRole::Receiver)));
    let Some(Event::AttachRequest { link, .. }) = server.events.pop() else { panic!("an attach") };
    server.send(link, 0, 1);
    server.feed(&encoded(0, &link_flow(0, None, 1)));
    server.connection.accept(link, &Accept::default());
    let lines = server.frames();
    assert_eq!(lines[lines.len() - 1], "0 transfer handle=0 delivery-id=Some(0) more=false 1 B");
}

#[test]
fn a_drain_gives_back_what_is_left() {
    for (queued, count) in [(0, 10), (2, 10), (10, 10), (12, 10)] {
        let (mut script, link) = Script::sending(0);
        for key in 0..queued {
            script.send(link, key, 1);
        }
        script.feed(&encoded(9, &Flow { drain: true, ..link_flow(7, Some(0), count) }));
        let lines = script.frames();
        let sent = lines.iter().filter(|line| line.starts_with("0 transfer")).count();
        assert_eq!(sent as u64, queued.min(u64::from(count)));
        if queued <= u64::from(count) {
            let flow = "0 flow handle=Some(0) delivery-count=Some(10) link-credit=Some(0) incoming-window=5000";
            assert_eq!(lines.last().map(String::as_str), Some(flow), "{queued} queued");
        }
    }
}

#[test]
fn an_echo_is_answered() {
    let (mut script, link) = Script::sending(2);
    script.send(link, 0, 1);
    script.frames();
    script.feed(&encoded(9, &Flow { echo: true, ..link_flow(7, Some(0), 5) }));
    script.expect(&["0 flow handle=Some(0) delivery-count=Some(1) link-credit=Some(4) incoming-window=5000"]);
    script.feed(&encoded(9, &Flow { echo: true, ..session_flow(1, 5_000) }));
    script.expect(&["0 flow handle=None delivery-count=None link-credit=None incoming-window=5000"]);
    // On a handle that we gave up, or never had.
    script.detach(link);
    script.feed(&encoded(9, &Flow { echo: true, ..link_flow(7, Some(1), 5) }));
    let lines = script.frames();
    assert!(lines[1].starts_with("0 flow handle=None"), "{lines:?}");
}

#[test]
fn transfers_stop_at_the_window_and_go_on_behind_it() {
    let (mut script, link) = Script::sending_with(config(Role::Client), 512, 100);
    let peer = |next, window| encoded(9, &session_flow(next, window));
    script.feed(&peer(0, 0));
    script.send(link, 0, 2_000);
    script.send(link, 1, 1);
    script.expect(&[]);
    script.feed(&peer(0, 2));
    assert_eq!(script.frames().len(), 2);
    // Two are under way: a window of two from 0 on is used up.
    script.feed(&peer(0, 2));
    script.expect(&[]);
    script.feed(&peer(2, 3));
    assert_eq!(script.frames().len(), 3);
    script.feed(&peer(5, u32::MAX));
    script.expect(&["0 transfer handle=0 delivery-id=Some(1) more=false 1 B"]);
}

#[test]
fn a_window_of_all_ones_is_wide_open() {
    assert_eq!(sent_after(&Flow { incoming_window: u32::MAX, ..link_flow(7, Some(3), 5) }), 5);
}

#[test]
fn links_take_turns() {
    let (mut script, first) = Script::sending(0);
    let second = script.attach(first.session, "b");
    script.answer_attach(9, "b", 8);
    for key in 0..3 {
        script.send(first, key, 1);
        script.send(second, 10 + key, 1);
    }
    script.feed(&encoded(9, &link_flow(8, None, 3)));
    script.grant(3);
    let lines = script.frames();
    let handles: Vec<&str> = lines.iter().filter_map(|line| line.split("handle=").nth(1)?.get(..1)).collect();
    assert_eq!(handles[1..], ["1", "0", "1", "0", "1", "0"]);
}

#[test]
fn what_a_sender_says_of_its_own_link_changes_nothing() {
    let mut server = Script::opened(config(Role::Server), 65_536);
    server.feed(&encoded(0, &begin(None)));
    server.feed(&encoded(0, &attach("in", 0, WireRole::Sender)));
    let Some(Event::AttachRequest { link, .. }) = server.events.pop() else { panic!("an attach") };
    server.connection.accept(link, &Accept::default());
    server.connection.set_credit(link, 5);
    server.frames();
    server.feed(&encoded(0, &link_flow(0, Some(0), 10_000)));
    server.feed(&encoded(0, &Flow { echo: true, ..link_flow(0, Some(0), 10_000) }));
    server.expect(&["0 flow handle=Some(0) delivery-count=Some(0) link-credit=Some(5) incoming-window=5000"]);
    assert!(server.events.is_empty());
}
