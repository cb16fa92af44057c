//! A delivery in several frames.

use fe2o3_amqp::frames::amqp::FrameBody;
use fe2o3_amqp_types::performatives::Flow;

use super::support::*;
use crate::engine::*;
use crate::wire::frame::encoded;

/// Lengths round the steps of a frame that holds `room` bytes of payload.
fn lengths(room: usize) -> Vec<usize> {
    vec![0, 1, room - 1, room, room + 1, 2 * room - 1, 2 * room, 2 * room + 1, 3 * room + 7]
}

#[test]
fn every_length_arrives_whole_in_frames_within_the_limit() {
    for max_frame_size in [512, 513, 1_000, 65_536] {
        let server = Config { max_frame_size, ..config(Role::Server) };
        let mut pair = Pair::new(config(Role::Client), server, usize::MAX, 100);
        let link = pair.link();
        pair.written.clear();
        // A header has 25 bytes, the first one of a delivery 34 to 39: each step is met from both sides.
        let lengths: Vec<usize> =
            [25, 34, 35, 36, 39].into_iter().flat_map(|header| lengths(max_frame_size as usize - header)).collect();
        for (key, &len) in lengths.iter().enumerate() {
            pair.client.send(link, key as u64, len);
            pair.run();
        }
        assert_eq!(pair.received.len(), lengths.len());
        for (key, (delivery, &len)) in pair.received.iter().zip(&lengths).enumerate() {
            assert_eq!(
                delivery.payload.clone().unwrap().into_bytes(),
                outgoing(key as u64, len).payload,
                "{len} bytes"
            );
            assert_eq!((delivery.size, delivery.message_format), (len as u64, 0x8001_3700));
        }
        assert!(pair.client.outcomes().iter().all(|(_, outcome)| *outcome == Outcome::Accepted));
        let mut rest = pair.written.split();
        while !rest.is_empty() {
            let size = u32::from_be_bytes(*rest.first_chunk().expect("a size"));
            assert!(size <= max_frame_size, "a frame of {size} for {max_frame_size}");
            let _ = rest.split_to(size as usize);
        }
    }
}

#[test]
fn only_the_first_frame_names_the_delivery_and_only_the_last_has_no_more() {
    let (mut script, link) = Script::sending_with(config(Role::Client), 512, 10);
    for (key, len) in [(0, 5), (1, 2_000), (2, 0), (3, 500)] {
        script.send(link, key, len);
    }
    let mut seen = Vec::new();
    for body in bodies(script.bytes()) {
        let FrameBody::Transfer { performative: transfer, payload } = body else { panic!("{body:?}") };
        let first = transfer.delivery_id.is_some();
        assert_eq!(first, transfer.delivery_tag.is_some());
        assert_eq!(first, transfer.message_format.is_some());
        assert_eq!(transfer.settled, Some(false));
        seen.push((transfer.delivery_id, transfer.more, payload.len()));
    }
    assert_eq!(
        seen,
        [
            (Some(0), false, 5),
            (Some(1), true, 477),
            (None, true, 487),
            (None, true, 487),
            (None, true, 487),
            (None, false, 62),
            (Some(2), false, 0),
            (Some(3), true, 477),
            (None, false, 23),
        ]
    );
}

#[test]
fn transfer_ids_count_frames() {
    let (mut script, link) = Script::sending_with(config(Role::Client), 512, 10);
    script.send(link, 0, 2_000);
    script.frames();
    let flow = Flow { echo: true, ..session_flow(0, 5_000) };
    script.feed(&encoded(9, &flow));
    let FrameBody::Flow(flow) = &bodies(script.bytes())[0] else { panic!("a flow") };
    assert_eq!(flow.next_outgoing_id, 5);
}

#[test]
fn how_the_stream_is_cut_does_not_matter() {
    for chunk in [1, 7, usize::MAX] {
        let mut pair = Pair::new(config(Role::Client), config(Role::Server), chunk, 3);
        let link = pair.link();
        for key in 0..10 {
            pair.client.send(link, key, 700 * key as usize);
        }
        pair.run();
        assert_eq!(pair.received.len(), 10, "in chunks of {chunk}");
        for (key, delivery) in pair.received.iter().enumerate() {
            assert_eq!(delivery.payload.clone().unwrap().into_bytes(), outgoing(key as u64, 700 * key).payload);
        }
        assert_eq!(pair.client.outcomes().len(), 10);
        pair.client.connection.close(None);
        pair.run();
        pair.client.note_events();
        assert_eq!(*pair.client.cause(), CloseCause::Peer(None));
        assert!(pair.server.connection.is_closed());
    }
}
