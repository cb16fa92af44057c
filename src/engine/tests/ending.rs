//! Links, sessions and connections that end, in every state.

use fe2o3_amqp_types::definitions::Role as WireRole;
use fe2o3_amqp_types::performatives;

use super::support::*;
use crate::engine::*;
use crate::wire::frame::{PeerError, encoded};

/// A client with one delivery settled (0), one unsettled (1), one half-sent (2) and one queued (3).
fn busy() -> (Script, LinkId) {
    let (mut script, link) = Script::sending_with(config(Role::Client), 512, 10);
    script.feed(&encoded(9, &session_flow(0, 3)));
    for (key, len) in [(0, 1), (1, 1), (2, 1_000), (3, 1)] {
        script.send(link, key, len);
    }
    assert_eq!(script.frames().len(), 3);
    script.feed(&encoded(9, &disposition(0, None, accepted())));
    (script, link)
}

fn all_told() -> Vec<(u64, Outcome)> {
    vec![(0, Outcome::Accepted), (1, Outcome::Unknown), (2, Outcome::Unknown), (3, Outcome::NotSent)]
}

#[test]
fn the_peers_detach_ends_the_link_and_tells_every_delivery() {
    for (closed, error) in [(true, Some("amqp:link:detach-forced")), (false, None), (true, None)] {
        let (mut script, link) = busy();
        script.feed(&encoded(9, &detach(7, closed, error)));
        script.expect(&[&format!("0 detach handle=0 closed={closed} error=none")]);
        assert_eq!(script.outcomes(), all_told());
        let told = error.map(|condition| PeerError::new(condition, "so it is"));
        let found = script.events.iter().find_map(|event| match event {
            Event::Detached { link: id, error } => Some((*id, error.clone())),
            _ => None,
        });
        assert_eq!(found, Some((link, told)));
        stale_ids_do_nothing(&mut script, link);
        // The handle is free again, and the numbers of the session go on.
        let link = script.attach(link.session, "b");
        assert_eq!(link.handle, 0);
        script.answer_attach(9, "b", 7);
        script.grant(5);
        script.send(link, 10, 1);
        script.feed(&encoded(9, &session_flow(3, 100)));
        let lines = script.frames();
        assert_eq!(lines[1], "0 transfer handle=0 delivery-id=Some(3) more=false 1 B");
        script.feed(&encoded(9, &disposition(3, None, accepted())));
        assert_eq!(script.outcomes().last(), Some(&(10, Outcome::Accepted)));
    }
}

fn stale_ids_do_nothing(script: &mut Script, link: LinkId) {
    assert!(!script.connection.is_attached(link));
    assert!(!script.try_send(link, outgoing(99, 1)));
    assert_eq!(script.cancel(link, 1), None);
    script.connection.detach(link, None);
    script.connection.set_credit(link, 9);
    script.connection.accept(link, &Accept::default());
    script.connection.refuse(link, &PeerError::new("amqp:not-found", "no"));
    script.expect(&[]);
}

#[test]
fn our_own_detach_tells_every_delivery_at_once() {
    let (mut script, link) = busy();
    script.detach(link);
    assert_eq!(script.outcomes(), all_told());
    script.expect(&["0 detach handle=0 closed=true error=none"]);
    script.connection.detach(link, None);
    assert!(!script.try_send(link, outgoing(99, 1)));
    // What still comes for it is dropped; its answer frees the handle.
    script.feed(&encoded(9, &disposition(1, Some(2), accepted())));
    script.grant(100);
    script.feed(&encoded(9, &detach(7, true, None)));
    script.expect(&[]);
    assert_eq!(script.attach(link.session, "b").handle, 0);
}

#[test]
fn the_peers_end_ends_all_links_of_the_session() {
    for error in [None, Some("amqp:session:window-violation")] {
        let (mut script, link) = busy();
        let waiting = script.attach(link.session, "unanswered");
        script.send(waiting, 7, 1);
        script.frames();
        script.feed(&encoded(9, &end(error)));
        script.expect(&["0 end error=none"]);
        assert_eq!(script.outcomes(), [all_told(), vec![(7, Outcome::NotSent)]].concat());
        stale_ids_do_nothing(&mut script, link);
        assert!(script.connection.attach(link.session, &sender("c")).is_ok_and(|link| link.is_none()));
        // Frames that were under way, and a second end, are dropped.
        script.feed(&encoded(9, &detach(7, true, None)));
        script.feed(&encoded(9, &end(None)));
        script.expect(&[]);
        assert_eq!(script.connection.begin().map(|session| session.channel), Some(0));
        script.feed(&encoded(9, &begin(Some(0))));
        script.expect(&["0 begin remote-channel=None"]);
        assert!(!script.connection.is_closed());
    }
}

#[test]
fn a_breach_ends_the_session_once_and_for_all() {
    let (mut script, link) = busy();
    script.feed(&transfer_frame(9, 55, Some(0), false, b""));
    script.expect(&["0 end error=amqp:session:unattached-handle"]);
    assert_eq!(script.outcomes(), all_told());
    stale_ids_do_nothing(&mut script, link);
    assert!(script.connection.attach(link.session, &sender("c")).is_ok_and(|link| link.is_none()));
    script.feed(&encoded(9, &link_flow(7, None, 10)));
    script.feed(&encoded(9, &attach("d", 12, WireRole::Sender)));
    script.feed(&encoded(9, &end(None)));
    script.expect(&[]);
    assert_eq!(script.connection.begin().map(|session| session.channel), Some(0));
}

#[test]
fn a_channel_that_never_began_is_a_violation_and_one_that_ended_is_not() {
    let (mut script, _) = busy();
    script.feed(&encoded(8, &end(None)));
    let CloseCause::Violation(text) = script.cause() else { panic!("{:?}", script.cause()) };
    assert_eq!(text, "a frame on channel 8, where no session has begun");
    script.expect(&["0 close error=amqp:not-allowed"]);
    assert_eq!(script.outcomes(), all_told());
}

#[test]
fn the_peers_close_is_answered_and_tells_every_delivery() {
    for error in [None, Some("amqp:connection:forced")] {
        let (mut script, link) = busy();
        script.feed(&encoded(0, &close(error)));
        assert_eq!(*script.cause(), CloseCause::Peer(error.map(|condition| PeerError::new(condition, "so it is"))));
        script.expect(&["0 close error=none"]);
        assert_eq!(script.outcomes(), all_told());
        stale_ids_do_nothing(&mut script, link);
        assert!(script.connection.begin().is_none());
        script.feed(&encoded(0, &close(None)));
        script.feed(b"and more");
        script.expect(&[]);
    }
}

#[test]
fn nothing_follows_our_close() {
    let (mut script, link) = busy();
    script.connection.close(Some(&PeerError::new("amqp:connection:forced", "bye")));
    script.expect(&["0 close error=amqp:connection:forced"]);
    script.connection.close(None);
    script.connection.detach(link, None);
    assert!(!script.try_send(link, outgoing(99, 1)));
    assert!(script.connection.begin().is_none());
    assert!(script.connection.attach(link.session, &sender("c")).is_ok_and(|link| link.is_none()));
    script.feed(&encoded(9, &session_flow(3, 100)));
    script.feed(&encoded(9, &detach(7, true, None)));
    script.expect(&[]);
    script.feed(&encoded(0, &close(None)));
    assert_eq!(*script.cause(), CloseCause::Peer(None));
    assert_eq!(script.outcomes(), all_told());
}

#[test]
fn a_refused_attach_is_told_with_its_reason() {
    let (mut script, other) = Script::sending(1);
    let link = script.attach(other.session, "b");
    script.send(link, 0, 1);
    let refusal = performatives::Attach { source: None, target: None, ..attach("b", 8, WireRole::Receiver) };
    script.feed(&encoded(9, &refusal));
    assert!(script.events.is_empty(), "{:?}", script.events);
    assert!(!script.connection.is_attached(link));
    assert!(!script.try_send(link, outgoing(1, 1)));
    script.feed(&encoded(9, &detach(8, true, Some("amqp:not-found"))));
    assert_eq!(script.outcomes(), [(0, Outcome::NotSent)]);
    let error = PeerError::new("amqp:not-found", "so it is");
    assert!(matches!(&script.events[0], Event::Detached { error: Some(found), .. } if *found == error));
    assert!(script.connection.is_attached(other));
    let lines = script.frames();
    assert_eq!(lines[1..], ["0 detach handle=1 closed=true error=none"]);
}

#[test]
fn a_link_given_up_before_its_answer_goes_quietly() {
    let (mut script, other) = Script::sending(1);
    let link = script.attach(other.session, "b");
    script.detach(link);
    // A second try under the same name, while the first is not answered.
    let again = script.attach(other.session, "b");
    script.answer_attach(9, "b", 8);
    script.feed(&encoded(9, &detach(8, true, None)));
    script.answer_attach(9, "b", 8);
    assert!(script.connection.is_attached(again));
    assert!(script.connection.is_attached(other));
    script.expect(&[
        "0 attach handle=1 role=Sender name=b",
        "0 detach handle=1 closed=true error=none",
        "0 attach handle=2 role=Sender name=b",
    ]);
}

#[test]
fn a_session_that_is_not_answered_tells_its_deliveries_when_the_connection_ends() {
    let mut script = Script::opened(config(Role::Client), 65_536);
    let session = script.connection.begin().expect("a channel");
    let link = script.attach(session, "a");
    script.send(link, 0, 1);
    script.feed(&encoded(0, &close(None)));
    assert_eq!(script.outcomes(), [(0, Outcome::NotSent)]);
}

#[test]
fn every_detach_of_a_server_has_an_attach_before_it() {
    let asked = || {
        let mut server = Script::opened(config(Role::Server), 65_536);
        server.feed(&encoded(3, &begin(None)));
        server.feed(&encoded(3, &attach("in", 5, WireRole::Sender)));
        server.frames();
        let Some(Event::AttachRequest { link, .. }) = server.events.pop() else { panic!("an attach") };
        (server, link)
    };
    let attach_line = "0 attach handle=0 role=Receiver name=in";

    let (mut server, link) = asked();
    server.connection.refuse(link, &PeerError::new("amqp:not-found", "no such hub"));
    server.expect(&[attach_line, "0 detach handle=0 closed=true error=amqp:not-found"]);
    server.connection.refuse(link, &PeerError::new("amqp:not-found", "no such hub"));
    server.connection.accept(link, &Accept::default());
    server.expect(&[]);
    server.feed(&encoded(3, &detach(5, true, None)));
    server.expect(&[]);

    let (mut server, link) = asked();
    server.feed(&encoded(3, &detach(5, false, None)));
    server.expect(&[attach_line, "0 detach handle=0 closed=false error=none"]);
    server.connection.accept(link, &Accept::default());
    server.expect(&[]);

    let (mut server, _) = asked();
    server.feed(&transfer_frame(3, 5, Some(0), false, b"early"));
    server.expect(&[attach_line, "0 detach handle=0 closed=true error=amqp:link:transfer-limit-exceeded"]);
}

#[test]
fn a_lost_stream_tells_what_left_by_what_it_took() {
    let whole = {
        let (mut script, link) = Script::sending_with(config(Role::Client), 512, 10);
        queue_five(&mut script, link);
        script.connection.pump();
        script.connection.outbox().len()
    };
    for written in 0..=whole {
        let (mut script, link) = Script::sending_with(config(Role::Client), 512, 10);
        queue_five(&mut script, link);
        script.connection.pump();
        let taken = taken(&mut script, written);
        // Where each delivery begins in the bytes: found from the frames themselves.
        let mut starts = Vec::new();
        let mut at = 0;
        let mut all = taken.1.clone();
        while !all.is_empty() {
            let size = u32::from_be_bytes(*all.first_chunk().expect("a size")) as usize;
            let line = lines(&mut all.split_to(size)).remove(0);
            if line.contains("delivery-id=Some") {
                starts.push(at);
            }
            at += size;
        }
        script.abandon();
        let expected: Vec<(u64, Outcome)> = (0..5_u64)
            .zip(starts)
            .map(|(key, start)| (key, if start < written { Outcome::Unknown } else { Outcome::NotSent }))
            .collect();
        assert_eq!(script.outcomes(), expected, "{written} bytes were written");
        // What is called unsent cannot leave any more.
        assert!(script.connection.outbox().is_empty());
    }
}

fn queue_five(script: &mut Script, link: LinkId) {
    for (key, len) in [(0, 3), (1, 600), (2, 0), (3, 1_200), (4, 2)] {
        script.send(link, key, len);
    }
}

/// Lets the stream take `len` bytes; returns those, and all that waited.
fn taken(script: &mut Script, len: usize) -> (Vec<u8>, bytes::BytesMut) {
    let mut slices = [std::io::IoSlice::new(&[]); 64];
    let filled = script.connection.outbox().slices(&mut slices);
    let all: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
    script.connection.wrote(epoch(), len);
    (all[..len].to_vec(), all[..].into())
}

#[test]
fn a_lost_stream_tells_what_was_queued() {
    let (mut script, _) = busy();
    script.abandon();
    assert_eq!(*script.cause(), CloseCause::Stream);
    assert_eq!(script.outcomes(), all_told());
    script.abandon();
}
