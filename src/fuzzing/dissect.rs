//! Bytes, taken apart.

use bytes::Bytes;

use crate::wire::descriptors;
use crate::wire::dissect::invariants::check;
use crate::wire::dissect::{self, Events, Node, Secrets};
use crate::wire::event::Event;

/// Whatever the bytes are taken for, the tree stands within them. What the encoder of events writes is never malformed.
pub fn dissect(data: &[u8]) {
    let input = Bytes::copy_from_slice(data);
    let (mut frame, transfer) = dissect::frame(&input, Secrets::Masked);
    if let Some(transfer) = transfer {
        let events = Events::of_format(transfer.message_format);
        frame.put_payload(dissect::message(&input, transfer.payload, events, Secrets::Masked));
    }
    check(&input, &frame);
    check(&input, &dissect::values(&input, Secrets::Masked));
    for events in [Events::Within, Events::PerhapsWithin] {
        check(&input, &dissect::message(&input, 0..input.len(), events, Secrets::Masked));
    }
    check(&input, &dissect::message(&input, 0..input.len(), Events::No, Secrets::Masked));
    if let Some(written) = Event::decode(&input).ok().and_then(|event| event.encode().ok()) {
        let message = dissect::message(&written, 0..written.len(), Events::No, Secrets::Masked);
        assert_eq!(message.rests, [], "{message:?}");
        // What a value says of itself by its descriptor, it may not be.
        let mut parts = message.nodes[0].children.iter().flat_map(|section| &section.children);
        assert!(message.faults.is_empty() || parts.any(is_described), "{message:?}");
    }
}

/// Whether there is a value with a descriptor in it.
fn is_described(node: &Node) -> bool {
    let is_described = node.kind == "described" || descriptors::by_name(node.kind).is_some();
    is_described || node.children.iter().any(self::is_described)
}
