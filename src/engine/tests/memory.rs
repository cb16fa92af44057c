//! What is held for a peer is bounded, whatever the peer does.

use fe2o3_amqp_types::performatives::Disposition;

use super::support::*;
use crate::engine::*;
use crate::wire::frame::encoded;

/// What waits for the stream at most: 2 MiB, and the frame that reached that.
const MOST_WAITING: usize = 2 * 1024 * 1024 + 65_536;

#[test]
fn what_waits_for_the_stream_is_bounded_however_much_is_queued() {
    for max_frame_size in [512, 65_536, u32::MAX] {
        let (mut script, link) = Script::sending_with(config(Role::Client), max_frame_size, 1_000);
        let bound = MOST_WAITING.max(max_frame_size.min(1 << 20) as usize + 2 * 1024 * 1024);
        let mebibyte = outgoing(0, 1 << 20);
        for key in 0..8 {
            assert!(script.try_send(link, Outgoing { key, ..mebibyte.clone() }));
        }
        script.feed(&encoded(9, &session_flow(0, 1_000_000)));
        script.connection.pump();
        let mut seen = 0;
        while !script.connection.outbox().is_empty() {
            let waiting = script.connection.outbox().len();
            assert!(waiting <= bound, "{waiting} bytes wait, in frames of {max_frame_size}");
            seen += take_outbox(&mut script.connection, epoch(), 100_000).len();
            script.connection.pump();
        }
        assert!(seen > 8 << 20, "{seen} bytes have left");
    }
}

#[test]
fn nothing_is_kept_of_deliveries_that_have_their_outcome() {
    let (mut script, link) = Script::sending(u32::MAX);
    for key in 0..5_000 {
        script.send(link, key, 1);
        script.bytes();
        // A peer that leaves the settling to us.
        let told = Disposition { settled: false, ..disposition(key as u32, None, accepted()) };
        script.feed(&encoded(9, &told));
        script.feed(&encoded(9, &session_flow(key as u32 + 1, 5_000)));
        script.bytes();
        assert_eq!(script.connection.unsettled_len(), 0);
    }
    assert_eq!(script.outcomes().len(), 5_000);
}
