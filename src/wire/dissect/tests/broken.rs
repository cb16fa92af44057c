//! Input that is cut off, wrong or random: no panic, what there is, and where it breaks.

use proptest::prelude::*;

use super::super::invariants::check;
use super::*;

#[test]
fn a_capture_cut_anywhere_is_told_up_to_the_cut() {
    for (bytes, text, _) in frames() {
        for len in 1..bytes.len() {
            let cut = bytes.slice(..len);
            let found = whole(&cut, Secrets::Masked);
            found.iter().for_each(|dissection| check(&cut, dissection));
            // The fields are told up to the byte where they end.
            let body = values(&bytes.slice(len.min(8)..len), Secrets::Masked);
            assert!(body.faults.last().is_none_or(|fault| fault.at == len - 8), "{len} bytes of {text}: {body:?}");
            let faults: Vec<_> = found.iter().flat_map(|dissection| &dissection.faults).collect();
            assert!(!faults.is_empty(), "{len} bytes of {text}");
            // At the latest, what is missing is missing at the cut.
            assert!(faults.iter().any(|fault| fault.found.contains("the end") && fault.at <= len), "{len}: {faults:?}");
        }
    }
}

#[test]
fn a_batch_cut_anywhere_keeps_the_events_before_the_cut() {
    for Golden { id, bytes, .. } in batches() {
        let whole = message(&bytes, 0..bytes.len(), Events::Within, Secrets::Masked);
        for len in 1..bytes.len() {
            let cut = bytes.slice(..len);
            let found = message(&cut, 0..len, Events::Within, Secrets::Masked);
            check(&cut, &found);
            let complete = whole.nodes[0].children.iter().filter(|section| section.range.end <= len);
            for section in complete {
                assert!(found.nodes[0].children.contains(section), "{id}, {len} bytes: {section:?}");
            }
        }
    }
}

#[test]
fn the_byte_and_what_was_due_there_are_named() {
    for (what, hex, expected) in [
        ("a frame without all of its header", "00000026", "byte 4: expected a frame header of 8 bytes, found the end"),
        ("a size that is none", "0000000702000000", "byte 0: expected a size of 8 bytes or more, found 7"),
        ("a data offset outside", "0000000809000000", "byte 4: expected a data offset from 2 to 2 words, found 9"),
        ("a type of its own", "0000000802070000", "byte 5: expected type 0 (AMQP) or 1 (SASL), found 7"),
        ("no constructor", "000000090200000010", "byte 8: expected a constructor, found 0x10"),
        (
            "a string too long",
            "0000001102000000005310c00402a10561",
            "byte 17: expected the rest of a string, found the end",
        ),
        ("a handle that is a text", "0000001102000000005316c00401a10168", "byte 14: expected uint, found string"),
        (
            "a handle that is null",
            "0000000f02000000005316c0020140",
            "byte 14: expected handle of type uint, found null",
        ),
        ("no handle", "0000000c0200000000531645", "byte 11: expected handle of type uint, found the end of the list"),
        (
            "a field too many",
            "0000001202000000005316c0050443414040",
            "byte 17: expected no more than 3 fields in detach, found another one",
        ),
        ("a map for a list", "0000000e02000000005318c10100", "byte 11: expected a list, found map"),
        ("another protocol", "414d515001010000", "byte 4: expected id 0 (AMQP), 2 (TLS) or 3 (SASL), found 1"),
        (
            "more than a performative",
            "0000000d02000000005318454040",
            "byte 12: expected the end of the frame, found 2 more bytes",
        ),
    ] {
        let mut bytes = unhex(hex).to_vec();
        if what != "a frame without all of its header" && !what.starts_with("a size") && bytes[0] == 0 {
            bytes[3] = bytes.len() as u8;
        }
        let (found, _) = frame(&Bytes::from(bytes), Secrets::Masked);
        assert_eq!(found.faults.first().map(ToString::to_string).as_deref(), Some(expected), "{what}");
    }
}

#[test]
fn a_section_that_breaks_is_the_section_that_it_is() {
    // `data` of eleven bytes, two of which are there; a map that ends within its second entry.
    for (hex, name) in [("005375a00b6669", "data"), ("005374c11004a1016ba10176a1026f", "application-properties")] {
        let bytes = unhex(hex);
        let found = message(&bytes, 0..bytes.len(), Events::No, Secrets::Masked);
        assert_eq!(found.faults.len(), 1, "{found:?}");
        assert_eq!((&*found.nodes[0].children[0].name, found.nodes[0].children[0].kind), (name, "section"));
    }
}

#[test]
fn what_was_read_before_the_break_is_kept() {
    // An open whose third field is no value.
    let bytes = unhex("0000001502000000005310c00803a10161a1016210");
    let (found, _) = frame(&bytes, Secrets::Masked);
    let open = found.nodes[0].child("open").unwrap();
    assert_eq!(open.field("container-id"), Some(&Value::from("a")));
    assert_eq!(open.field("hostname"), Some(&Value::from("b")));
    assert_eq!(found.faults[0].to_string(), "byte 20: expected a constructor, found 0x10");
    assert_eq!(found.rests.first(), Some(&(20..21)));
}

#[test]
fn a_broken_event_does_not_hide_the_next_one() {
    let good = b"\x00\x53\x75\xa0\x06\x00\x53\x75\xa0\x01a";
    let batch = [good.as_slice(), b"\x00\x53\x75\xa0\x03\x00\x53\x10", good].concat();
    let len = batch.len();
    let found = message(&batch.into(), 0..len, Events::Within, Secrets::Masked);
    let bodies: Vec<_> = found.nodes[0].children.iter().map(|event| event.body_len).collect();
    assert_eq!(bodies, [Some(1), Some(0), Some(1)]);
    assert_eq!(found.faults.last().map(|fault| fault.at), Some(19), "{:?}", found.faults);
}

#[test]
fn nesting_and_parts_are_bounded() {
    let deep = values(&Bytes::from(vec![0x00; 10_000]), Secrets::Masked);
    assert!(deep.faults[0].expected.contains("at most 32 deep"), "{:?}", deep.faults);
    let mut wide = vec![0xd0];
    wide.extend_from_slice(&1_000_004_u32.to_be_bytes());
    wide.extend_from_slice(&1_000_000_u32.to_be_bytes());
    wide.resize(wide.len() + 1_000_000, 0x40);
    let wide = values(&wide.into(), Secrets::Masked);
    assert!(wide.nodes[0].children.len() <= MAX_NODES);
    assert_eq!(wide.nodes[0].note.as_deref(), Some("600001 more are not shown"));
    let many = values(&Bytes::from(vec![0x40; MAX_NODES + 3]), Secrets::Masked);
    assert_eq!((many.nodes.len(), many.rests.first()), (MAX_NODES, Some(&(MAX_NODES..MAX_NODES + 3))));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, at in 0_usize..400, flipped: u8, place: prop::sample::Index) {
        let random = Bytes::from(bytes);
        let frames = frames();
        let mut flipping = frames[at % frames.len()].0.to_vec();
        let place = place.index(flipping.len());
        flipping[place] ^= flipped;
        for input in [random, Bytes::from(flipping)] {
            whole(&input, Secrets::Masked).iter().for_each(|dissection| check(&input, dissection));
            check(&input, &values(&input, Secrets::Masked));
            for events in [Events::Within, Events::No, Events::PerhapsWithin] {
                check(&input, &message(&input, 0..input.len(), events, Secrets::Masked));
            }
        }
    }
}
