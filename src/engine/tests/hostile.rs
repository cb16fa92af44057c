//! Whatever comes: no panic, no growth without end, no wait for ever.

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::definitions::{Handle, Role as WireRole};
use fe2o3_amqp_types::performatives::{Begin, Flow};
use fe2o3_amqp_types::sasl::SaslCode;

use super::support::*;
use crate::engine::*;
use crate::wire::frame::{AMQP_HEADER, SASL_HEADER, encoded};

/// A small generator, seeded: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Clients and servers in every phase, the last ones with links and deliveries under way.
fn phases() -> Vec<Script> {
    let mut scripts = Vec::new();
    let client = [&SASL_HEADER[..], &mechanisms(&["ANONYMOUS"]), &sasl_outcome(SaslCode::Ok), &AMQP_HEADER];
    for steps in 0..=client.len() {
        let mut script = Script::new(config(Role::Client));
        client[..steps].iter().for_each(|bytes| script.feed(bytes));
        scripts.push(script);
    }
    for len in [0, 8, client_greeting().len() - 8, client_greeting().len()] {
        let mut script = Script::new(config(Role::Server));
        script.feed(&client_greeting()[..len]);
        scripts.push(script);
    }
    scripts.push(Script::opened(config(Role::Client), 512));
    scripts.push(busy_client());
    scripts.push(busy_server());
    let mut closing = busy_client();
    closing.connection.close(None);
    scripts.push(closing);
    scripts
}

fn busy_client() -> Script {
    let (mut script, link) = Script::sending_with(config(Role::Client), 512, 3);
    for key in 0..5 {
        script.send(link, key, 700);
    }
    let cbs = script.connection.attach(link.session, &receiver("r")).expect("it fits").expect("a handle");
    script.feed(&encoded(9, &attach("r", 8, WireRole::Sender)));
    script.connection.set_credit(cbs, 5);
    script.frames();
    script
}

fn busy_server() -> Script {
    let mut server = Script::opened(config(Role::Server), 512);
    server.feed(&encoded(9, &begin(None)));
    for (name, handle, role) in [("in", 7, WireRole::Sender), ("out", 8, WireRole::Receiver)] {
        server.feed(&encoded(9, &attach(name, handle, role)));
        let Some(Event::AttachRequest { link, .. }) = server.events.pop() else { panic!("an attach") };
        server.connection.accept(link, &Accept { max_message_size: 1_000, ..Accept::default() });
        server.connection.set_credit(link, 5);
        if name == "out" {
            server.send(link, 0, 700);
        }
    }
    server.frames();
    server
}

/// Feeds `bytes`: all is taken, or the rest waits for more bytes of one frame.
fn withstand(script: &mut Script, bytes: &[u8]) {
    script.feed(bytes);
    script.now += std::time::Duration::from_millis(10);
    script.wait_until(script.now);
    // An answer has at most some hundred bytes a frame, and a frame at least eight.
    let bound = bytes.len() * 64 + 16 * 1024;
    assert!(script.connection.outbox().len() <= bound, "{} bytes to write", script.connection.outbox().len());
    assert!(script.events.len() <= 64 + bytes.len(), "{} events", script.events.len());
    script.bytes();
}

/// One valid frame of each kind, as a busy client's peer, or a busy server's, might send it.
fn valid_frames() -> Vec<Bytes> {
    vec![
        encoded(0, &open(4_096)),
        encoded(9, &begin(Some(0))),
        encoded(10, &begin(None)),
        encoded(9, &attach("new", 9, WireRole::Sender)),
        encoded(9, &attach("r", 9, WireRole::Receiver)),
        encoded(9, &Flow { echo: true, ..link_flow(7, Some(0), 5) }),
        encoded(9, &session_flow(3, 5_000)),
        transfer_frame(9, 7, Some(0), false, b"payload"),
        transfer_frame(9, 8, Some(0), true, b"payload"),
        encoded(9, &disposition(0, Some(3), accepted())),
        encoded(9, &detach(7, true, Some("amqp:link:detach-forced"))),
        encoded(9, &end(Some("amqp:session:window-violation"))),
        encoded(0, &close(Some("amqp:connection:forced"))),
        mechanisms(&["PLAIN", "ANONYMOUS"]).freeze(),
        sasl_outcome(SaslCode::Ok).freeze(),
        Bytes::from_static(&crate::wire::frame::HEARTBEAT),
    ]
}

#[test]
fn a_size_that_cannot_be_ends_the_connection() {
    for size in (0..8).chain([65_537, 1 << 30, u32::MAX]) {
        let mut script = busy_client();
        script.feed(&size.to_be_bytes());
        assert!(matches!(script.cause(), CloseCause::Violation(_)), "{size}");
        script.expect(&["0 close error=amqp:connection:framing-error"]);
    }
}

#[test]
fn a_data_offset_is_kept_within_its_frame() {
    let beat = |doff: u8, len: u8| [&[0, 0, 0, len, doff, 0, 0, 0][..], &vec![0xee; usize::from(len) - 8]].concat();
    for (doff, len, taken) in
        [(0, 8, false), (1, 8, false), (3, 8, false), (255, 200, false), (3, 12, true), (5, 20, true)]
    {
        let mut script = busy_client();
        script.feed(&beat(doff, len));
        assert_eq!(!script.connection.is_closed(), taken, "doff {doff} in {len} bytes");
    }
    // An extended header before a performative is stepped over.
    let mut script = busy_client();
    let plain = encoded(9, &disposition(0, None, accepted()));
    let mut extended = BytesMut::from(&plain[..8]);
    extended.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    extended.extend_from_slice(&plain[8..]);
    extended[3] += 8;
    extended[4] = 4;
    script.feed(&extended);
    assert_eq!(script.outcomes(), [(0, Outcome::Accepted)]);
}

#[test]
fn a_frame_of_unknown_type_ends_the_connection() {
    for kind in [1, 2, 0x7f, 0xff] {
        let mut script = busy_client();
        script.feed(&[0, 0, 0, 8, 2, kind, 0, 0]);
        assert!(matches!(script.cause(), CloseCause::Violation(text) if text.contains("type")));
    }
}

#[test]
fn random_bytes_are_withstood_in_every_phase() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..30 {
        for script in &mut phases() {
            let len = random.below(200);
            let bytes = random.bytes(len);
            withstand(script, &bytes);
        }
    }
}

#[test]
fn random_bodies_are_withstood_in_every_phase() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    for round in 0..200_u8 {
        for script in &mut phases() {
            let len = random.below(60);
            let body = random.bytes(len);
            // A described list of a random performative, so that it comes past the first check.
            let code = [0x10 + round % 9, 0x40 + round % 5][usize::from(round % 7 == 0)];
            let head = [0x00, 0x53, code, 0xc0, len as u8 + 1, random.below(12) as u8];
            let kind = u8::from(code >= 0x40);
            let size = 8 + head.len() as u32 + len as u32;
            let frame = [&size.to_be_bytes()[..], &[2, kind, 0, 9], &head, &body].concat();
            withstand(script, &frame);
        }
    }
}

#[test]
fn every_byte_of_every_frame_may_be_any_other() {
    for frame in valid_frames() {
        for at in 0..frame.len() {
            for change in [0x01, 0x80, 0xff, frame[at] ^ 0xf0, frame[at] ^ 0x45] {
                let mut mutated = frame.to_vec();
                mutated[at] ^= change;
                let (mut client, mut server) = (busy_client(), busy_server());
                withstand(&mut client, &mutated);
                withstand(&mut server, &mutated);
            }
        }
    }
}

#[test]
fn every_frame_may_be_cut_short() {
    for frame in valid_frames() {
        for len in 8..frame.len() {
            let mut cut = frame[..len].to_vec();
            cut[..4].copy_from_slice(&(len as u32).to_be_bytes());
            withstand(&mut busy_client(), &cut);
            withstand(&mut busy_server(), &cut);
        }
    }
}

#[test]
fn valid_frames_may_come_in_any_order() {
    let frames = valid_frames();
    let mut random = Random(0xfeed_f00d_dead_beef);
    for _ in 0..300 {
        let (mut client, mut server) = (busy_client(), busy_server());
        for _ in 0..12 {
            let frame = &frames[random.below(frames.len())];
            withstand(&mut client, frame);
            withstand(&mut server, frame);
        }
    }
}

/// A field of `attach.properties`, as bytes: a map of one key, `x`, whose value is `value`.
fn attach_with_property(value: &[u8]) -> Vec<u8> {
    let mut map = vec![0, 0, 0, 2, 0xa3, 1, b'x'];
    map.extend_from_slice(value);
    let mut fields = vec![0xa1, 1, b'n', 0x43, 0x42];
    fields.extend_from_slice(&[0x40; 8]);
    fields.push(0xd1);
    fields.extend_from_slice(&(map.len() as u32).to_be_bytes());
    fields.extend_from_slice(&map);
    let count = 3 + 8 + 1;
    // properties is the fourteenth: two more nulls before it.
    fields.splice(5..5, [0x40; 2]);
    let mut body = vec![0, 0x53, 0x12, 0xd0];
    body.extend_from_slice(&(fields.len() as u32 + 4).to_be_bytes());
    body.extend_from_slice(&(count as u32 + 2).to_be_bytes());
    body.extend_from_slice(&fields);
    let size = body.len() as u32 + 8;
    [&size.to_be_bytes()[..], &[2, 0, 0, 9], &body].concat()
}

#[test]
fn values_that_mislead_the_decoder_do_not_reach_it() {
    let nested_map = {
        // An array of one map32; inside, what the decoder would read as maps within maps.
        let map = [&[0, 0, 0, 2, 0xb0][..], &20_000_u32.to_be_bytes(), &[2; 20_000], &[0x40]].concat();
        let array = [&[0, 0, 0, 1, 0xd1][..], &(map.len() as u32).to_be_bytes(), &map].concat();
        [&[0xf0][..], &(array.len() as u32).to_be_bytes(), &array].concat()
    };
    let refused: [&[u8]; 8] = [
        &nested_map,
        // A map of one and a half entries.
        &[0xc1, 5, 3, 0x40, 0x40, 0x40, 0x40],
        &[0xc1, 2, 1, 0x40],
        // Two arrays in an array.
        &[0xe0, 10, 2, 0xe0, 3, 1, 0x50, 1, 3, 1, 0x50, 2],
        // An array of 65 536 nulls.
        &[0xf0, 0, 0, 0, 5, 0, 1, 0, 0, 0x40],
        // A symbol of four GiB.
        &[0xb3, 0xff, 0xff, 0xff, 0xff],
        // A descriptor that is described.
        &[0x00, 0x00, 0x53, 0x01, 0x53, 0x02, 0x40],
        // An accepted with a field, which would be taken for the next entry.
        &[0x00, 0x53, 0x24, 0xc0, 6, 1, 0xb3, 0xff, 0xff, 0xff, 0xff],
    ];
    for value in refused {
        let mut server = busy_server();
        server.feed(&attach_with_property(value));
        assert!(matches!(server.cause(), CloseCause::Violation(_)), "{:02x?}", &value[..value.len().min(16)]);
    }
    let mut server = busy_server();
    server.feed(&attach_with_property(&[0xe0, 4, 2, 0x50, 1, 2]));
    assert!(matches!(server.events.pop(), Some(Event::AttachRequest { .. })), "the frame is well made");
}

#[test]
fn random_values_in_properties_are_withstood() {
    let mut random = Random(0x5eed_5eed_5eed_5eed);
    let constructors = [
        0x00, 0x40, 0x43, 0x45, 0x53, 0x54, 0x70, 0x74, 0x80, 0x83, 0x94, 0x98, 0xa0, 0xa1, 0xa3, 0xb1, 0xc0, 0xc1,
        0xe0,
    ];
    for _ in 0..20_000 {
        let value = value(&mut random, &constructors, 4);
        let mut bytes = BytesMut::from(&attach_with_property(&value)[..]);
        if let Ok(Some(raw)) = crate::wire::frame::take(&mut bytes, 65_536) {
            let _ = raw.into_amqp();
        }
    }
}

/// A value of plausible shape, with small lies.
fn value(random: &mut Random, constructors: &[u8], depth: u32) -> Vec<u8> {
    let constructor = constructors[random.below(constructors.len())];
    let mut out = vec![constructor];
    match constructor >> 4 {
        0x0 if depth > 0 => {
            out.extend([0x53, [0x10, 0x24, 0x28, 0x77][random.below(4)]]);
            out.extend(value(random, constructors, depth - 1));
        }
        0x5 | 0x7 | 0x8 | 0x9 => {
            let len = [1, 0, 4, 8, 16][usize::from(constructor >> 4) - 5];
            out.extend(random.bytes(len));
        }
        0xa | 0xb => {
            let len = random.below(5);
            let text = vec![b'a' + random.below(26) as u8; len];
            if constructor >> 4 == 0xb {
                out.extend([0, 0, 0]);
            }
            out.push(len as u8);
            out.extend(text);
        }
        0xc | 0xe if depth > 0 => {
            let count = random.below(4);
            let items: Vec<u8> = (0..count).flat_map(|_| value(random, constructors, depth - 1)).collect();
            if items.len() < 250 {
                out.push(items.len() as u8 + 1);
                out.push(count as u8 + u8::from(random.below(20) == 0));
                out.extend(items);
            }
        }
        _ => {}
    }
    out
}

#[test]
fn a_flood_of_links_and_sessions_is_bounded() {
    let mut server = Script::opened(config(Role::Server), 65_536);
    server.feed(&encoded(0, &begin(None)));
    for handle in 0..10_000 {
        server.feed(&encoded(0, &attach("same", handle, WireRole::Sender)));
    }
    let asked = server.events.iter().filter(|event| matches!(event, Event::AttachRequest { .. })).count();
    assert_eq!(asked, 4_096);
    assert_eq!(server.frames().last().map(String::as_str), Some("0 end error=amqp:session:handle-in-use"));

    let mut server = Script::opened(config(Role::Server), 65_536);
    for channel in 0..10_000 {
        server.feed(&encoded(channel, &begin(None)));
    }
    assert!(matches!(server.cause(), CloseCause::Violation(text) if text == "channel-max is 4999"));
    assert_eq!(server.frames().len(), 5_000 + 1);
}

#[test]
fn links_and_sessions_that_come_and_go_leave_nothing() {
    let mut server = Script::opened(config(Role::Server), 65_536);
    for turn in 0..3_000_u32 {
        let channel = (turn % 7) as u16;
        server.feed(&encoded(channel, &Begin { handle_max: Handle(0), ..begin(None) }));
        server.feed(&encoded(channel, &attach("same", turn % 11, WireRole::Sender)));
        server.feed(&encoded(channel, &detach(turn % 11, true, None)));
        server.feed(&encoded(channel, &end(None)));
        let lines = server.frames();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[1].contains("handle=0"), "{lines:?}");
    }
    assert!(!server.connection.is_closed());
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_cut_off() {
    let mut script = busy_client();
    let echo = encoded(9, &Flow { echo: true, ..session_flow(0, 0) });
    let many = echo.repeat(1_000);
    for _ in 0..1_000 {
        script.feed(&many);
        if script.connection.is_closed() {
            break;
        }
    }
    assert!(matches!(script.cause(), CloseCause::Violation(text) if text.contains("read")));
    assert!(script.connection.outbox().len() < 5 << 20);
}
