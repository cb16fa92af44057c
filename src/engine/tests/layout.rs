//! Every performative that leaves has all of its fields. Source: event-hubs-wire 15.2.

use std::collections::BTreeSet;

use bytes::BytesMut;
use fe2o3_amqp_types::definitions::Role as WireRole;
use fe2o3_amqp_types::performatives::{Disposition, Flow};

use super::support::*;
use crate::engine::*;
use crate::wire::frame::{PeerError, encoded};
use crate::wire::shape::value_len;

/// The described lists in `value`, at any depth, as (code, fields).
fn lists(value: &[u8], found: &mut BTreeSet<(u8, u32)>) {
    let (count, mut items): (u32, &[u8]) = match value {
        [0x00, 0x53, code, list @ ..] => {
            let count = match list {
                [0xc0, _, count, ..] => u32::from(*count),
                [0xd0, _, _, _, _, count @ ..] => u32::from_be_bytes(*count.first_chunk().expect("a count")),
                [0x45] => 0,
                _ => return,
            };
            found.insert((*code, count));
            (count, list)
        }
        _ => return,
    };
    items = match items {
        [0xc0, _, _, rest @ ..] | [0xd0, _, _, _, _, _, _, _, _, rest @ ..] => rest,
        _ => return,
    };
    for _ in 0..count {
        let len = value_len(items).expect("a value");
        lists(&items[..len], found);
        items = &items[len..];
    }
}

fn lists_in(mut bytes: BytesMut, found: &mut BTreeSet<(u8, u32)>) {
    while !bytes.is_empty() {
        let size = u32::from_be_bytes(*bytes.first_chunk().expect("a size")) as usize;
        let frame = bytes.split_to(size);
        let body = &frame[8..];
        if body.first() == Some(&0) {
            lists(&body[..value_len(body).expect("a performative")], found);
        }
    }
}

#[test]
fn every_list_is_written_to_its_last_field() {
    let mut found = BTreeSet::new();
    let (mut script, link) = Script::sending_with(config(Role::Client), 512, 10);
    script.send(link, 0, 600);
    script.connection.begin();
    script.attach(link.session, "b");
    script.feed(&encoded(9, &Flow { echo: true, ..link_flow(7, None, 5) }));
    lists_in(script.bytes(), &mut found);
    script.feed(&encoded(9, &Disposition { settled: false, ..disposition(0, None, accepted()) }));
    script.connection.settle(link.session, 0, 0, accepted().expect("a state"));
    script.detach(link);
    script.feed(&encoded(9, &end(None)));
    script.connection.close(Some(&PeerError::new("amqp:internal-error", "")));
    lists_in(script.bytes(), &mut found);

    let mut server = Script::new(config(Role::Server));
    server.feed(&client_greeting());
    server.frames();
    server.feed(&encoded(0, &open(512)));
    server.feed(&encoded(0, &begin(None)));
    server.feed(&encoded(0, &attach("in", 0, WireRole::Sender)));
    let Some(Event::AttachRequest { link, .. }) = server.events.pop() else { panic!("an attach") };
    server.connection.refuse(link, &PeerError::new("amqp:not-found", "no such hub"));
    lists_in(server.bytes(), &mut found);

    let expected = [
        (0x10, 10),
        (0x11, 8),
        (0x12, 14),
        (0x13, 11),
        (0x14, 11),
        (0x15, 6),
        (0x16, 3),
        (0x17, 1),
        (0x18, 1),
        (0x1d, 3),
        (0x24, 0),
        (0x28, 11),
        (0x29, 7),
    ];
    assert_eq!(found, expected.into());
}
