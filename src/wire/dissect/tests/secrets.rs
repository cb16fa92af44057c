//! No secret enters a tree, and where it stands in the bytes is told.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::wire::event::{Body, Event};
use crate::wire::sas::sign;

/// The bytes with the secrets overwritten, and all that the tree says.
fn shown(input: &Bytes, dissections: &[Dissection]) -> String {
    let mut bytes = input.to_vec();
    for dissection in dissections {
        dissection.secrets.iter().for_each(|range| bytes[range.clone()].fill(b'*'));
    }
    format!("{dissections:?} {}", String::from_utf8_lossy(&bytes))
}

/// A transfer, whose performative is broken if `list_len` is not 7.
fn transfer_of(message: &[u8], list_len: u8) -> Bytes {
    let start = b"\x02\x00\x00\x01\x00\x53\x14\xc0";
    let fields = b"\x04\x43\x43\xa0\x01t\x43";
    let size = (5 + start.len() + fields.len() + message.len()) as u32;
    [&size.to_be_bytes()[..], start, &[list_len], fields, message].concat().into()
}

#[test]
fn no_signature_of_the_captures_is_shown() {
    let mut tokens = 0;
    for (bytes, text, sections) in frames() {
        let told = shown(&bytes, &whole(&bytes, Secrets::Masked));
        for signature in sections.iter().filter_map(|section| section.split_once("sig=")) {
            let signature = signature.1.split('&').next().unwrap();
            assert!(!told.contains(signature), "{text}: {told}");
            assert!(told.contains("sig=***"), "{text}: {told}");
            tokens += 1;
        }
    }
    assert!(tokens > 10, "{tokens}");
}

#[test]
fn a_token_that_is_cut_is_hidden_as_well() {
    let token = sign("sb://ns/hub", "send", "a2V5", UNIX_EPOCH, Duration::from_secs(60));
    let (_, signature) = token.as_str().split_once("sig=").unwrap();
    for text in [token.as_str(), "opaque-and-not-to-be-shown", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2ln"] {
        let request = Event::from_body(Body::Value(text.into()))
            .with_property("operation", "put-token")
            .with_property("name", "sb://ns/hub");
        let request = request.encode().unwrap();
        let frames = [7, 8].map(|list_len| transfer_of(&request, list_len));
        for (frame, len) in frames.iter().flat_map(|frame| (1..=frame.len()).map(move |len| (frame, len))) {
            let cut = frame.slice(..len);
            let told = shown(&cut, &whole(&cut, Secrets::Masked));
            for secret in [&signature[..8], "opaque", "hbGciOi", "e30"] {
                assert!(!told.contains(secret), "{len} bytes: {told}");
            }
        }
    }
}

#[test]
fn a_token_is_told_by_what_it_is_for() {
    let token = sign("sb://ns/hub", "send", "a2V5", UNIX_EPOCH, Duration::from_secs(60));
    let request = Event::from_body(Body::Value(token.as_str().into())).with_property("operation", "put-token");
    let question = Event::from_body(Body::Value(Value::Null)).with_property("security_token", token.as_str());
    for event in [request, question] {
        let bytes = event.encode().unwrap();
        let found = message(&bytes, 0..bytes.len(), Events::No, Secrets::Masked);
        let sections = &found.nodes[0].children;
        let body = sections.iter().find(|section| section.child("audience").is_some());
        let node = body.or_else(|| sections[0].child("security_token")).unwrap();
        assert_eq!(node.value, Some("SharedAccessSignature sr=sb://ns/hub&sig=***&se=60&skn=send".into()));
        assert_eq!(node.field("audience"), Some(&"sb://ns/hub".into()));
        assert_eq!(node.field("expiry"), Some(&Value::Timestamp(60_000)));
        assert_eq!(node.field("key-name"), Some(&"send".into()));
    }
}

#[test]
fn logins_and_keys_are_hidden_wherever_they_stand() {
    let plain = unhex("0000002402010000005341c01703a305504c41494ea00b0075736572006b65796b6579a10168");
    let told = shown(&plain, &whole(&plain, Secrets::Masked));
    assert!(!told.contains("keykey") && !told.contains("user\\0") && told.contains("PLAIN"), "{told}");
    for len in 20..plain.len() {
        let cut = plain.slice(..len);
        assert!(!shown(&cut, &whole(&cut, Secrets::Masked)).contains("keyk"), "{len}");
    }
    // Without its frame, and as a text, which it should not be.
    for bare in [&plain[8..], &unhex("005341c01703a305504c41494ea10b0075736572006b65796b6579a10168")[..]] {
        let bare = Bytes::copy_from_slice(bare);
        for len in 12..=bare.len() {
            let cut = bare.slice(..len);
            assert!(!shown(&cut, &[values(&cut, Secrets::Masked)]).contains("keyk"), "{len}");
        }
    }
    let body = "Endpoint=sb://ns/;SharedAccessKeyName=send;SharedAccessKey=a2V5a2V5;EntityPath=x";
    let bodies = [Body::Data(Bytes::from(body)), Body::Value(body.into()), Body::Value(Value::symbol(body))];
    for event in bodies.map(Event::from_body).into_iter().chain([Event::new("").with_property("a", body)]) {
        let bytes = event.encode().unwrap();
        for len in 1..=bytes.len() {
            let cut = bytes.slice(..len);
            let told = shown(&cut, &[message(&cut, 0..len, Events::PerhapsWithin, Secrets::Masked)]);
            assert!(!told.contains("a2V5"), "{told}");
        }
    }
}

#[test]
fn they_are_shown_on_request() {
    let (bytes, ..) =
        frames().into_iter().find(|(_, _, sections)| sections.iter().any(|it| it.contains("sig="))).unwrap();
    let found = whole(&bytes, Secrets::Shown);
    assert!(found.iter().all(|dissection| dissection.secrets.is_empty()));
    assert!(!format!("{found:?}").contains("sig=***"));
}
