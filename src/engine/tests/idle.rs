//! Signs of life, and their absence.

use std::time::Duration;

use fe2o3_amqp::frames::amqp::FrameBody;
use fe2o3_amqp_types::performatives::Open;

use super::support::*;
use crate::engine::*;
use crate::wire::frame::{HEARTBEAT, encoded};

/// A client whose peer wants a frame every `millis`.
fn hurried(millis: Option<u32>) -> Script {
    let mut script = Script::new(config(Role::Client));
    script.feed(&greeting());
    assert_eq!(script.connection.next_timeout(), None, "no heartbeat before the open");
    script.frames();
    script.feed(&encoded(0, &Open { idle_time_out: millis, ..open(65_536) }));
    script
}

#[test]
fn a_heartbeat_leaves_at_half_the_peers_time_out() {
    for (millis, every) in
        [(Some(10_000), Some(5_000)), (Some(1_001), Some(500)), (Some(50), Some(100)), (Some(0), None), (None, None)]
    {
        let mut script = hurried(millis);
        assert_eq!(script.connection.next_timeout(), every.map(after), "{millis:?}");
        let Some(every) = every else {
            script.wait_until(after(1 << 40));
            script.expect(&[]);
            continue;
        };
        script.wait_until(after(every - 1));
        script.expect(&[]);
        for turn in 1..4 {
            script.wait_until(after(turn * every));
            assert_eq!(script.bytes()[..], HEARTBEAT);
            assert_eq!(script.connection.next_timeout(), Some(after((turn + 1) * every)));
        }
    }
}

#[test]
fn whatever_is_written_is_a_sign_of_life() {
    let mut script = hurried(Some(10_000));
    script.now = after(3_000);
    script.connection.begin();
    assert_eq!(script.connection.next_timeout(), None, "what waits to be written will do");
    script.frames();
    assert_eq!(script.connection.next_timeout(), Some(after(8_000)));
    script.wait_until(after(7_999));
    script.expect(&[]);
}

#[test]
fn heartbeats_do_not_pile_up_before_a_stream_that_takes_nothing() {
    let mut script = hurried(Some(1_000));
    for turn in 1..1_000 {
        script.wait_until(after(turn * 1_000));
    }
    assert_eq!(script.connection.outbox().len(), HEARTBEAT.len());
}

#[test]
fn a_silent_peer_is_given_up_after_our_time_out() {
    let config = Config { idle_timeout: Some(Duration::from_secs(60)), ..config(Role::Client) };
    // In every step of the handshake, and behind it.
    let whole = [greeting(), encoded(0, &open(512)).to_vec()].concat();
    for len in [0, 8, greeting().len() - 8, greeting().len(), whole.len()] {
        let mut script = Script::new(config.clone());
        script.now = after(1_000);
        script.feed(&whole[..len]);
        script.frames();
        let deadline = if len == 0 { 60_000 } else { 61_000 };
        assert_eq!(script.connection.next_timeout(), Some(after(deadline)));
        script.wait_until(after(deadline - 1));
        assert!(!script.connection.is_closed());
        script.wait_until(after(deadline));
        assert_eq!(*script.cause(), CloseCause::IdleTimeout(Duration::from_secs(60)));
        let said: &[&str] = if len < greeting().len() { &[] } else { &["0 close error=amqp:resource-limit-exceeded"] };
        script.expect(said);
    }
}

#[test]
fn anything_received_is_a_sign_of_life() {
    let config = Config { idle_timeout: Some(Duration::from_secs(60)), ..config(Role::Client) };
    let mut script = Script::opened(config, 65_536);
    for (at, bytes) in [(10_000, &HEARTBEAT[..]), (20_000, &HEARTBEAT[..3]), (30_000, &HEARTBEAT[3..])] {
        script.now = after(at);
        script.feed(bytes);
        assert_eq!(script.connection.next_timeout(), Some(after(at + 60_000)));
    }
}

#[test]
fn half_of_our_time_out_is_announced() {
    for (timeout, announced) in [
        (Some(Duration::from_secs(60)), Some(30_000)),
        (Some(Duration::from_secs(u64::MAX)), Some(u32::MAX)),
        (None, None),
    ] {
        let mut server = Script::new(Config { idle_timeout: timeout, ..config(Role::Server) });
        server.feed(&client_greeting());
        server.frames();
        server.feed(&encoded(0, &open(512)));
        let [FrameBody::Open(open)] = &bodies(server.bytes())[..] else { panic!("an open") };
        assert_eq!(open.idle_time_out, announced);
    }
}

#[test]
fn what_a_dead_stream_did_not_take_was_not_sent() {
    let config = Config { idle_timeout: Some(Duration::from_secs(60)), ..config(Role::Client) };
    let (mut script, link) = Script::sending_with(config, 512, 10);
    script.send(link, 0, 5);
    script.frames();
    script.send(link, 1, 5);
    script.send(link, 2, 5);
    script.connection.pump();
    script.connection.wrote(after(1_000), 3);
    script.wait_until(after(60_000));
    let expected = [(0, Outcome::Unknown), (1, Outcome::Unknown), (2, Outcome::NotSent)];
    assert_eq!(script.outcomes(), expected);
    script.expect(&[]);
}
