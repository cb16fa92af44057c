//! A server that is asked for its word at each step, ends sessions, and takes credit back.

use fe2o3_amqp_types::definitions::Role as WireRole;
use fe2o3_amqp_types::sasl::SaslCode;

use super::support::*;
use crate::engine::*;
use crate::wire::frame::{PeerError, encoded};

/// A server that asks, and that has been told everything up to a begin.
fn asked() -> Script {
    let mut script = Script::new(config(Role::Server));
    script.connection = Connection::new(config(Role::Server), epoch()).asking();
    script.feed(&[&client_greeting()[..], &encoded(0, &open(65_536)), &encoded(5, &begin(None))].concat());
    script
}

/// Gives the word, and takes what came meanwhile.
fn allow(script: &mut Script) -> Option<SessionId> {
    let session = script.connection.allow(script.now);
    assert!(script.connection.has_resumed());
    script.feed(&[]);
    assert!(!script.connection.has_resumed());
    session
}

#[track_caller]
fn expect_asked(script: &mut Script, expected: Step) {
    let asked = script.events.pop();
    assert!(matches!(asked, Some(Event::Asked(step)) if step == expected), "{asked:?}");
    assert!(script.connection.is_waiting());
}

#[test]
fn nothing_is_answered_before_the_word_is_given() {
    let mut script = asked();
    expect_asked(&mut script, Step::Sasl);
    script.expect(&["header 3", "sasl-mechanisms 4"]);
    script.feed(&[]);
    script.expect(&[]);
    allow(&mut script);
    expect_asked(&mut script, Step::Open);
    script.expect(&["sasl-outcome Ok", "header 0"]);
    allow(&mut script);
    expect_asked(&mut script, Step::Begin);
    script.expect(&["0 open max-frame-size=65536"]);
    assert!(allow(&mut script).is_some());
    script.expect(&["0 begin remote-channel=Some(5)"]);
    assert!(!script.connection.is_waiting());
    assert_eq!(script.connection.allow(script.now), None, "nothing is asked");
}

#[test]
fn sasl_is_refused_with_a_code() {
    let mut script = asked();
    script.connection.refuse_sasl(SaslCode::SysTemp);
    script.expect(&["header 3", "sasl-mechanisms 4", "sasl-outcome SysTemp"]);
    script.note_events();
    assert_eq!(*script.cause(), CloseCause::SaslRefused(4));
}

#[test]
fn a_connection_that_ends_waits_for_no_word() {
    let mut script = asked();
    script.abandon();
    assert!(!script.connection.is_waiting());
    assert_eq!(script.connection.allow(script.now), None);
    assert!(script.connection.is_closed());
}

#[test]
fn a_session_is_ended_from_this_side_once() {
    let mut script = asked();
    allow(&mut script);
    allow(&mut script);
    let session = allow(&mut script).expect("a session");
    script.frames();
    script.events.clear();
    for _ in 0..2 {
        script.connection.end(session, PeerError::new("amqp:not-allowed", "no"));
        script.note_events();
    }
    let frames = script.frames();
    assert!(matches!(&frames[..], [end] if end.starts_with("0 end")), "{frames:?}");
    assert!(matches!(&script.events[..], [Event::SessionEnded { error: Some(_), .. }]), "{:?}", script.events);
}

#[test]
fn what_was_sent_before_the_credit_was_taken_back_is_still_taken() {
    let mut script = Script::opened(config(Role::Server), 65_536);
    script.feed(&[encoded(5, &begin(None)), encoded(5, &attach("a", 3, WireRole::Sender))].concat());
    let Some(Event::AttachRequest { link, .. }) = script.events.pop() else { panic!("an attach") };
    script.connection.accept(link, &Accept::default());
    script.connection.set_credit(link, 2);
    script.frames();
    script.connection.withhold_credit(link);
    let frames = script.frames();
    assert!(matches!(&frames[..], [flow] if flow.contains("link-credit=Some(0)")), "{frames:?}");
    for id in 0..2 {
        script.feed(&transfer_frame(5, 3, Some(id), false, b"x"));
        assert!(matches!(script.events.pop(), Some(Event::Delivery { .. })), "delivery {id}");
    }
    script.feed(&transfer_frame(5, 3, Some(2), false, b"x"));
    assert!(matches!(script.events.pop(), Some(Event::Detached { error: Some(_), .. })), "past what was ever granted");
}
