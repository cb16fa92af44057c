//! `hubwire decode`: every form of an input, what is shown of it, and what is said of input that is none.

mod packets;

use std::path::PathBuf;

use serde_json::Value as Json;

use super::support::{Run, hubwire};
use packets::{Conversation, From, Link};

/// What a Python publisher and its peer said, each in one piece.
fn sides() -> [Vec<u8>; 2] {
    let file: Json = serde_json::from_str(include_str!("../data/wire-captures.json")).unwrap();
    let connection = file["connections"].as_array().unwrap().iter().find(|it| it["id"] == "py-2").unwrap();
    ["client", "scratch peer"].map(|side| {
        let frames = connection["frames"].as_array().unwrap().iter().filter(|frame| frame["from"] == side);
        frames.filter_map(|frame| frame["hex"].as_str()).flat_map(unhex).collect()
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(args: &[&str], input: impl AsRef<[u8]>) -> Run {
    hubwire(&[&["decode"], args].concat(), input, &[])
}

/// The lines of JSON, without what only a connection has.
fn trees(run: &Run, side: Option<&str>) -> Vec<Json> {
    let lines = run.stdout.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let lines = lines.filter(|line| side.is_none_or(|side| line["from"] == side));
    let lines = lines.map(|mut line| {
        for name in ["connection", "from", "client", "server", "time", "at_us"] {
            line.as_object_mut().unwrap().remove(name);
        }
        line
    });
    lines.collect()
}

/// An input in a file. Removed when dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("hubwire-decode-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_batch_is_shown_event_by_event() {
    let run = decode(&[], "005375a010 005375a00b6669727374206576656e74 005375a006 005375a00178");
    let expected = "       0       32  message (a batch of 2 events; 12 bytes of body, 20 of overhead)
       0       21    event 0: data (11 bytes of body, 10 of overhead)
       5       16      data: section b\"first event\"
      21       11    event 1: data (1 byte of body, 10 of overhead)
      26        6      data: section b\"x\"

";
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, expected, ""));
}

#[test]
fn bytes_stand_beside_their_fields() {
    let run = decode(&["--hex"], "00000013 02000001 005316c0060352034140");
    assert_eq!(run.code, 8, "a frame of 19 bytes, and there are 18: {run:?}");
    let run = decode(&["--hex"], "00000012 02000001 005316c0050352034140");
    assert_eq!(run.code, 0, "{run:?}");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines[5], format!("       8       10  {:<47}    detach: performative", "00 53 16 c0 05 03"));
    assert_eq!(lines[6], format!("      14        2  {:<47}      handle: uint 3", "52 03"));
}

#[test]
fn every_form_of_an_input_gives_the_same_tree() {
    let [client, _] = sides();
    let expected = decode(&["--output", "json"], &client);
    assert_eq!(expected.code, 0, "{}", expected.stderr);
    let expected = trees(&expected, None);
    assert!(expected.len() > 10, "{}", expected.len());
    let dump: String = client
        .chunks(16)
        .enumerate()
        .map(|(row, bytes)| {
            let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{:08x}  {:<48} |{}|\n", row * 16, digits.join(" "), ".".repeat(bytes.len()))
        })
        .collect();
    let file = File::new("raw", &client);
    for (args, input) in [
        (&[][..], hex(&client).into_bytes()),
        (&["--form", "hex", "--as", "frames"], dump.into_bytes()),
        (&["--form", "raw"], client.clone()),
        (&[file.path()], Vec::new()),
    ] {
        let run = decode(&[args, &["--output", "json"]].concat(), input);
        assert_eq!(trees(&run, None), expected, "{args:?}");
    }
    let recording: String = client
        .chunks(100)
        .map(|piece| {
            format!(
                "{{\"type\":\"frame\",\"connection\":1,\"at_us\":5,\"direction\":\"sent\",\"hex\":\"{}\"}}\n",
                hex(piece)
            )
        })
        .collect();
    let run = decode(&["--output", "json"], format!("{recording}{{\"type\":\"summary\",\"connection\":1}}\n"));
    assert_eq!(trees(&run, Some("client")), expected);
}

#[test]
fn captures_of_every_kind_give_the_same_trees() {
    let [client, server] = sides();
    let expected = [&client, &server].map(|side| trees(&decode(&["--output", "json"], side), None));
    let check = |what: &str, capture: &[u8]| {
        let run = decode(&["--output", "json"], capture);
        for (side, expected) in ["client", "server"].into_iter().zip(&expected) {
            assert_eq!(&trees(&run, Some(side)), expected, "{what}: {}", run.stderr);
        }
        assert!(!run.stderr.contains("warning"), "{what}: {}", run.stderr);
    };
    for is_v6 in [false, true] {
        let mut conversation = Conversation::new(is_v6);
        conversation.say(From::Client, &client, 100);
        conversation.say(From::Server, &server, 1_000);
        for link in Link::ALL {
            for is_big_endian in [false, true] {
                let what = format!("{link:?}, IPv6 {is_v6}, big endian {is_big_endian}");
                check(&what, &conversation.pcap(link, is_big_endian, is_v6));
                check(&what, &conversation.pcapng(link, is_big_endian));
            }
        }
    }
}

#[test]
fn segments_are_put_in_order_and_taken_once() {
    let [client, server] = sides();
    let mut conversation = Conversation::new(false);
    conversation.say(From::Client, &client, 64);
    conversation.say(From::Server, &server, 64);
    let expected = decode(&["--output", "json"], conversation.pcap(Link::Raw, false, false));
    let count = conversation.packets.len();
    for at in (3..count - 1).step_by(3) {
        conversation.packets.swap(at, at + 1);
        let again = conversation.packets[at - 1].clone();
        conversation.packets.push(again);
    }
    let run = decode(&["--output", "json"], conversation.pcap(Link::Raw, false, false));
    for side in ["client", "server"] {
        assert_eq!(trees(&run, Some(side)), trees(&expected, Some(side)));
    }
}

#[test]
fn a_gap_is_named_and_the_next_frame_found() {
    let [client, _] = sides();
    let mut conversation = Conversation::new(false);
    conversation.say(From::Client, &client, 50);
    conversation.packets.remove(6);
    let run = decode(&[], conversation.pcap(Link::Ethernet, false, false));
    assert_eq!(run.code, 8);
    assert!(run.stdout.contains("found a gap of 50 bytes, which were not captured"), "{}", run.stdout);
    assert!(run.stdout.contains("a batch of 1 event"), "{}", run.stdout);
    // A capture that begins in the middle is the same.
    conversation.packets.drain(..5);
    let run = decode(&[], conversation.pcap(Link::Ethernet, false, false));
    assert!(run.stdout.contains("a batch of 1 event"), "{}", run.stdout);
}

#[test]
fn a_message_in_several_transfers_is_opened_behind_the_last() {
    let body = "x".repeat(300);
    let section = |body: &[u8]| [b"\x00\x53\x75\xb0", &(body.len() as u32).to_be_bytes()[..], body].concat();
    let batch = section(&section(body.as_bytes()));
    let frame = |fields: &[u8], payload: &[u8]| {
        let list = [&[0x00, 0x53, 0x14, 0xc0, fields.len() as u8][..], fields, payload].concat();
        [&(list.len() as u32 + 8).to_be_bytes()[..], &[2, 0, 0, 0], &list].concat()
    };
    let first = frame(b"\x06\x43\x43\xa0\x01t\x70\x80\x01\x37\x00\x42\x41", &batch[..200]);
    let last = frame(b"\x01\x43", &batch[200..]);
    let run = decode(&[], [first, last].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("payload: binary (a part of a message, 200 bytes so far)"), "{}", run.stdout);
    let expected = "message (a batch of 1 event, from 2 transfers; 300 bytes of body, 16 of overhead)";
    assert!(run.stdout.contains(expected), "{}", run.stdout);
}

#[test]
fn malformed_input_is_shown_up_to_the_break() {
    let run = decode(&[], "AMQP\0\u{1}\0\0\0\0\0\u{13}\u{2}\0\0\0\0S\u{10}");
    assert_eq!(run.code, 8, "{run:?}");
    assert!(run.stdout.contains("open: performative"), "{}", run.stdout);
    for wrong in ["a frame of 19 bytes, found the end after 11", "a list, found the end"] {
        assert!(run.stdout.contains(&format!("malformed at byte 19: expected {wrong}\n")), "{}", run.stdout);
    }
    assert!(run.stderr.starts_with("error: the input is malformed in 2 places"), "{}", run.stderr);
    let run = decode(&["--output", "json"], "0000000902000000 10");
    assert_eq!(run.code, 8);
    assert_eq!(run.json()["malformed"][0], serde_json::json!({"at": 8, "expected": "a constructor", "found": "0x10"}));
}

#[test]
fn what_cannot_be_decoded_is_named_with_what_to_do() {
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00";
    let mut conversation = Conversation::with_port(false, 5671);
    conversation.say(From::Client, tls, 100);
    let mut other = Conversation::with_port(false, 8080);
    other.say(From::Client, b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b", 100);
    let mut none = Conversation::new(false);
    none.packets.clear();
    for (args, input, expected) in [
        (&[][..], Vec::new(), "nothing to decode: the input is empty"),
        (&[], tls.to_vec(), "the input is TLS, whose content cannot be read; trace inside of it"),
        (&[], b"GET / HTTP/1.1\r\n\r\n".to_vec(), "the input is HTTP, so AMQP over WebSocket"),
        (&[], conversation.pcap(Link::Raw, false, false), "the capture is of TLS, whose content cannot be read"),
        (
            &[],
            other.pcap(Link::Raw, false, false),
            "no AMQP in the capture: its TCP connections, 1, speak something else",
        ),
        (&[], none.pcapng(Link::Raw, false), "no TCP in the capture"),
        (&["--form", "capture"], b"AMQP".to_vec(), "byte 0: expected the header of a pcap or pcapng file"),
        (&[], b"4142\nxyz".to_vec(), "line 2: expected hex digits"),
        (&[], b"{\"type\":\"frame\",\"performative\":\"open\"}".to_vec(), "no frame in it has `hex`"),
        (&[], b"{\"nothing".to_vec(), "line 1, column 9: expected an object of a trace"),
        (&["/no/such/file"], Vec::new(), "cannot read /no/such/file: "),
        (&["/"], Vec::new(), "cannot read /: it is a directory; name a file"),
    ] {
        let run = decode(args, input);
        assert_eq!(run.code, 2, "{expected}: {run:?}");
        assert!(run.stderr.starts_with(&format!("error: {expected}")), "{expected}: {}", run.stderr);
    }
}

#[test]
fn a_capture_cut_or_changed_anywhere_is_no_reason_to_panic() {
    let mut conversation = Conversation::new(false);
    conversation.say(From::Client, b"AMQP\x00\x01\x00\x00\x00\x00\x00\x08\x02\x00\x00\x00", 8);
    for capture in [conversation.pcap(Link::Ethernet, false, false), conversation.pcapng(Link::Raw, true)] {
        for at in (1..capture.len()).step_by(23) {
            let mut changed = capture.clone();
            changed[at] ^= 0xff;
            for input in [&capture[..at], &changed] {
                let run = decode(&["--form", "capture"], input);
                assert!([0, 2, 8].contains(&run.code), "{at}: {run:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_written_is_a_failure() {
    let file = File::new("full", b"AMQP\x00\x01\x00\x00");
    let (code, stderr) = super::support::hubwire_into("/dev/full", &["decode", file.path()]);
    assert_eq!((code, stderr.contains("cannot print")), (3, true), "{stderr}");
}

/// More connections than are held at a time: what is left unfinished is told all the same.
#[test]
fn a_frame_that_is_cut_is_told_however_many_connections_follow() {
    let line = |connection: u64, hex: &str| {
        format!(
            "{{\"type\":\"frame\",\"connection\":{connection},\"at_us\":1,\"direction\":\"sent\",\"hex\":\"{hex}\"}}\n"
        )
    };
    let mut recording = line(0, "0000002002000000");
    recording.extend((1..=1_100).map(|connection| line(connection, "0000000802000000")));
    let run = hubwire(&["decode"], &recording, &[]);
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(run.stdout.contains("expected a frame of 32 bytes, found the end after 8"), "{}", run.stdout);
}
