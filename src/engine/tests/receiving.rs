//! The receiving end: reassembly, limits, breaches.

use fe2o3_amqp_types::definitions::Role as WireRole;
use fe2o3_amqp_types::messaging::TargetArchetype;
use fe2o3_amqp_types::performatives::{self, Transfer};

use super::support::*;
use crate::engine::*;
use crate::wire::frame::{encoded, encoded_transfer};

/// A server with one receiving link, the peer's handle 5 on the peer's channel 3.
fn receiving(credit: u32, max_message_size: u64) -> (Script, LinkId) {
    let mut server = Script::opened(config(Role::Server), 65_536);
    server.feed(&encoded(3, &begin(None)));
    server.feed(&encoded(3, &attach("in", 5, WireRole::Sender)));
    let Some(Event::AttachRequest { link, .. }) = server.events.pop() else { panic!("an attach") };
    server.connection.accept(link, &Accept { max_message_size, ..Accept::default() });
    server.connection.set_credit(link, credit);
    server.frames();
    (server, link)
}

/// The deliveries that have come: id, size, what was kept of them.
fn deliveries(script: &mut Script) -> Vec<(u32, u64, Option<Vec<u8>>)> {
    let events = std::mem::take(&mut script.events).into_iter();
    let deliveries = events.filter_map(|event| match event {
        Event::Delivery { delivery, .. } => {
            Some((delivery.delivery_id, delivery.size, delivery.payload.map(|payload| payload.into_bytes().to_vec())))
        }
        _ => None,
    });
    deliveries.collect()
}

#[test]
fn frames_become_messages() {
    let cases: &[(&[&[u8]], &[u8])] = &[
        (&[b"whole"], b"whole"),
        (&[b""], b""),
        (&[b"in ", b"two"], b"in two"),
        (&[b"", b"late"], b"late"),
        (&[b"early", b"", b""], b"early"),
        (&[b"a", b"", b"b", b"c"], b"abc"),
    ];
    for (frames, whole) in cases {
        let (mut server, _) = receiving(5, 0);
        for (at, payload) in frames.iter().enumerate() {
            let id = (at == 0).then_some(9);
            server.feed(&transfer_frame(3, 5, id, at + 1 < frames.len(), payload));
        }
        assert_eq!(deliveries(&mut server), [(9, whole.len() as u64, Some(whole.to_vec()))], "{frames:?}");
        server.expect(&[]);
    }
}

#[test]
fn a_message_over_the_limit_is_counted_and_not_kept() {
    for (sizes, kept) in [(&[10][..], true), (&[11], false), (&[5, 5], true), (&[5, 6], false), (&[20, 0, 1], false)] {
        let (mut server, link) = receiving(5, 10);
        for (at, size) in sizes.iter().enumerate() {
            let id = (at == 0).then_some(0);
            server.feed(&transfer_frame(3, 5, id, at + 1 < sizes.len(), &vec![7; *size]));
        }
        let [(0, size, payload)] = &deliveries(&mut server)[..] else { panic!("one delivery") };
        assert_eq!((*size as usize, payload.is_some()), (sizes.iter().sum(), kept));
        assert!(server.connection.is_attached(link), "the link stays");
    }
}

#[test]
fn the_offered_message_size_is_the_lesser_of_both() {
    for (asked, ours, offered) in [(None, 100, 100), (Some(0), 100, 100), (Some(50), 100, 50), (Some(500), 100, 100)] {
        let mut server = Script::opened(config(Role::Server), 65_536);
        server.feed(&encoded(3, &begin(None)));
        let asked = performatives::Attach { max_message_size: asked, ..attach("in", 5, WireRole::Sender) };
        server.feed(&encoded(3, &asked));
        let Some(Event::AttachRequest { link, .. }) = server.events.pop() else { panic!("an attach") };
        server.frames();
        server.connection.accept(link, &Accept { max_message_size: ours, ..Accept::default() });
        let [fe2o3_amqp::frames::amqp::FrameBody::Attach(answer)] = &bodies(server.bytes())[..] else {
            panic!("an attach")
        };
        assert_eq!(answer.max_message_size, Some(offered));
        let Some(TargetArchetype::Target(target)) = answer.target.as_deref() else { panic!("a target") };
        assert_eq!(target.address.as_deref(), Some("hub"));
    }
}

#[test]
fn an_aborted_delivery_leaves_no_trace_but_its_credit() {
    let (mut server, _) = receiving(3, 0);
    server.feed(&transfer_frame(3, 5, Some(0), true, b"half"));
    let aborted = |id| encoded_transfer(3, &Transfer { aborted: true, ..transfer(5, id, false) }, b"");
    server.feed(&aborted(None));
    server.feed(&aborted(Some(1)));
    server.feed(&transfer_frame(3, 5, Some(2), false, b"whole"));
    assert_eq!(deliveries(&mut server), [(2, 5, Some(b"whole".to_vec()))]);
    server.feed(&transfer_frame(3, 5, Some(3), false, b"one too many"));
    server.expect(&["0 detach handle=0 closed=true error=amqp:link:transfer-limit-exceeded"]);
}

#[test]
fn a_breach_on_a_link_ends_the_link() {
    let limit = "amqp:link:transfer-limit-exceeded";
    let cases: [(u32, &[bytes::Bytes], &str); 4] = [
        (0, &[transfer_frame(3, 5, Some(0), false, b"")], limit),
        (1, &[transfer_frame(3, 5, Some(0), false, b""), transfer_frame(3, 5, Some(1), false, b"")], limit),
        (5, &[transfer_frame(3, 5, None, false, b"")], "amqp:invalid-field"),
        (5, &[transfer_frame(3, 5, Some(0), true, b""), transfer_frame(3, 5, Some(1), true, b"")], "amqp:not-allowed"),
    ];
    for (credit, frames, condition) in cases {
        let (mut server, link) = receiving(credit, 0);
        for frame in frames {
            server.feed(frame);
        }
        server.expect(&[&format!("0 detach handle=0 closed=true error={condition}")]);
        let Some(Event::Detached { error: Some(error), .. }) = server.events.pop() else { panic!("{condition}") };
        assert_eq!(error.condition, condition);
        server.events.clear();
        // What was under way is dropped, and the answer is not told again.
        server.feed(&transfer_frame(3, 5, Some(2), false, b"late"));
        server.feed(&encoded(3, &detach(5, true, None)));
        assert!(server.events.is_empty(), "{:?}", server.events);
        server.expect(&[]);
        assert!(!server.connection.is_attached(link));
    }
}

#[test]
fn a_transfer_to_a_sender_ends_its_link_and_tells_why_first() {
    let (mut script, link) = Script::sending(5);
    script.send(link, 0, 1);
    script.frames();
    script.feed(&transfer_frame(9, 7, Some(0), false, b""));
    script.expect(&["0 detach handle=0 closed=true error=amqp:not-allowed"]);
    assert!(matches!(&script.events[..], [Event::Detached { error: Some(_), .. }, Event::Outcome { .. }]));
    script.feed(&encoded(9, &detach(7, true, None)));
    assert_eq!(script.events.len(), 2);
}

#[test]
fn a_transfer_without_its_link_ends_the_session() {
    let (mut server, link) = receiving(5, 0);
    server.feed(&transfer_frame(3, 6, Some(0), false, b""));
    server.expect(&["0 end error=amqp:session:unattached-handle"]);
    assert!(!server.connection.is_attached(link));
    server.feed(&encoded(3, &end(None)));
    server.feed(&encoded(3, &begin(None)));
    server.expect(&["0 begin remote-channel=Some(3)"]);
}

#[test]
fn the_window_is_opened_again_when_half_of_it_is_used() {
    let (mut server, _) = receiving(10_000, 0);
    let mut flows = Vec::new();
    for id in 0..6_000 {
        server.feed(&transfer_frame(3, 5, Some(id), false, b""));
        flows.extend(server.frames().into_iter().map(|line| (id + 1, line)));
    }
    let flow = "0 flow handle=None delivery-count=None link-credit=None incoming-window=5000".to_owned();
    assert_eq!(flows, [(2_500, flow.clone()), (5_000, flow)]);
}

#[test]
fn a_client_takes_no_links_and_no_sessions() {
    let (mut script, _) = Script::sending(0);
    script.feed(&encoded(9, &attach("theirs", 3, WireRole::Sender)));
    script.expect(&["0 end error=amqp:not-allowed"]);
    script.feed(&encoded(10, &begin(None)));
    script.expect(&["0 close error=amqp:not-allowed"]);
}

#[test]
fn a_client_receives_too() {
    let (mut script, other) = Script::sending(0);
    let link = script.connection.attach(other.session, &receiver("cbs")).expect("it fits").expect("a handle");
    script.feed(&encoded(9, &attach("cbs", 2, WireRole::Sender)));
    script.connection.set_credit(link, 2);
    script.feed(&transfer_frame(9, 2, Some(0), false, b"202"));
    assert_eq!(deliveries(&mut script), [(0, 3, Some(b"202".to_vec()))]);
    script.connection.settle(link.session, 0, 0, accepted().expect("a state"));
    script.expect(&[
        "0 attach handle=1 role=Receiver name=cbs",
        "0 flow handle=Some(1) delivery-count=Some(0) link-credit=Some(2) incoming-window=5000",
        "0 disposition role=Receiver first=0 last=Some(0) settled=true",
    ]);
}
