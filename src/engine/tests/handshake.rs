//! Headers, SASL, open: who says what when.

use fe2o3_amqp_types::sasl::SaslCode;

use super::support::*;
use crate::engine::*;
use crate::wire::frame::{AMQP_HEADER, SASL_HEADER, encoded};

#[test]
fn a_client_writes_all_it_can_in_each_turn() {
    let mut script = Script::new(config(Role::Client));
    let session = script.connection.begin().expect("a channel");
    script.attach(session, "a");
    script.attach(session, "b");
    script.expect(&["header 3"]);
    script.feed(&SASL_HEADER);
    script.expect(&[]);
    script.feed(&mechanisms(&["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"]));
    script.expect(&["sasl-init ANONYMOUS"]);
    script.feed(&sasl_outcome(SaslCode::Ok));
    script.expect(&[
        "header 0",
        "0 open max-frame-size=65536",
        "0 begin remote-channel=None",
        "0 attach handle=0 role=Sender name=a",
        "0 attach handle=1 role=Sender name=b",
    ]);
    script.feed(&AMQP_HEADER);
    assert!(script.events.is_empty());
    script.feed(&encoded(0, &open(4_096)));
    assert!(matches!(script.events[..], [Event::Opened]));
    script.expect(&[]);
}

#[test]
fn an_optimistic_client_says_all_at_once_and_then_listens() {
    let mut script = Script::new(Config { is_optimistic: true, ..config(Role::Client) });
    let session = script.connection.begin().expect("a channel");
    script.attach(session, "a");
    script.expect(&[
        "header 3",
        "sasl-init ANONYMOUS",
        "header 0",
        "0 open max-frame-size=65536",
        "0 begin remote-channel=None",
        "0 attach handle=0 role=Sender name=a",
    ]);
    script.feed(&SASL_HEADER);
    script.feed(&mechanisms(&["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"]));
    script.feed(&sasl_outcome(SaslCode::Ok));
    script.feed(&AMQP_HEADER);
    script.expect(&[]);
    script.feed(&encoded(0, &open(4_096)));
    assert!(matches!(script.events[..], [Event::Opened]));
    script.expect(&[]);
}

#[test]
fn an_optimistic_client_whose_bet_is_lost_is_told() {
    let mut script = Script::new(Config { is_optimistic: true, ..config(Role::Client) });
    script.feed(&SASL_HEADER);
    script.feed(&mechanisms(&["PLAIN"]));
    let [Event::Closed(CloseCause::NoMechanism { wanted: "ANONYMOUS", offered })] = &script.events[..] else {
        panic!("{:?}", script.events)
    };
    assert_eq!(offered[..], ["PLAIN"]);
    let mut script = Script::new(Config { is_optimistic: true, ..config(Role::Client) });
    script.feed(&SASL_HEADER);
    script.feed(&mechanisms(&["ANONYMOUS"]));
    script.feed(&sasl_outcome(SaslCode::Auth));
    assert!(matches!(script.events[..], [Event::Closed(CloseCause::SaslRefused(1))]), "{:?}", script.events);
}

#[test]
fn a_server_answers_in_turn() {
    let mut server = Script::new(config(Role::Server));
    server.expect(&[]);
    server.feed(&SASL_HEADER);
    server.expect(&["header 3", "sasl-mechanisms 4"]);
    server.feed(&client_greeting()[8..]);
    server.expect(&["sasl-outcome Ok", "header 0"]);
    server.feed(&encoded(0, &open(65_536)));
    server.expect(&["0 open max-frame-size=65536"]);
    server.feed(&encoded(5, &begin(None)));
    server.expect(&["0 begin remote-channel=Some(5)"]);
}

#[test]
fn a_server_knows_its_mechanisms() {
    for (mechanism, taken) in
        [("ANONYMOUS", true), ("MSSBCBS", true), ("PLAIN", true), ("EXTERNAL", true), ("SCRAM", false)]
    {
        let init = fe2o3_amqp_types::sasl::SaslInit {
            mechanism: mechanism.into(),
            initial_response: Some(b"\0user\0key".to_vec().into()),
            hostname: None,
        };
        let mut server = Script::new(config(Role::Server));
        server.feed(&SASL_HEADER);
        server.feed(&sasl_frame(&init));
        assert_eq!(server.connection.is_closed(), !taken, "{mechanism}");
        let outcome = if taken { "sasl-outcome Ok" } else { "sasl-outcome Auth" };
        assert_eq!(server.frames().last().map(String::as_str), Some(outcome));
    }
}

#[test]
fn what_is_not_amqp_is_named_by_its_first_bytes() {
    let cases: [(&[u8], [u8; 8]); 8] = [
        (b"HTTP/1.1 400 Bad Request\r\n", *b"HTTP/1.1"),
        (&[0x15, 3, 1, 0, 2, 2, 0x46], [0x15, 3, 1, 0, 2, 2, 0x46, 0]),
        (&[0x15, 3, 3], [0x15, 3, 3, 0, 0, 0, 0, 0]),
        (b"AMQP\x02\x01\x00\x00", *b"AMQP\x02\x01\x00\x00"),
        (b"AMQP\x00\x01\x00\x00", *b"AMQP\x00\x01\x00\x00"),
        (b"AMQP\x03\x00\x09\x01", *b"AMQP\x03\x00\x09\x01"),
        (b"A", [0; 8]),
        (b"AMX", *b"AMX\0\0\0\0\0"),
    ];
    for (bytes, header) in cases {
        for role in [Role::Client, Role::Server] {
            let mut script = Script::new(config(role));
            script.feed(bytes);
            if bytes == b"A" {
                assert!(!script.connection.is_closed(), "one letter may become a header");
                continue;
            }
            assert_eq!(*script.cause(), CloseCause::NotAmqp(header));
            // A server answers with what it speaks. Source: AMQP 1.0 part 2, 2.2.
            script.expect(&["header 3"]);
        }
    }
}

#[test]
fn a_wrong_second_header_is_told_too() {
    let mut script = Script::new(config(Role::Client));
    script.feed(&greeting()[..greeting().len() - 8]);
    script.feed(&SASL_HEADER);
    assert_eq!(*script.cause(), CloseCause::NotAmqp(SASL_HEADER));
}

#[test]
fn a_peer_without_anonymous_is_told_by_what_it_offers() {
    for offered in [&["PLAIN", "EXTERNAL"][..], &["anonymous"]] {
        let mut script = Script::new(config(Role::Client));
        script.feed(&SASL_HEADER);
        script.feed(&mechanisms(offered));
        let names = offered.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(*script.cause(), CloseCause::NoMechanism { wanted: "ANONYMOUS", offered: names });
        script.expect(&["header 3"]);
    }
}

#[test]
fn a_refusal_keeps_its_code() {
    for (code, number) in [(SaslCode::Auth, 1), (SaslCode::Sys, 2), (SaslCode::SysPerm, 3), (SaslCode::SysTemp, 4)] {
        let mut script = Script::new(config(Role::Client));
        script.feed(&SASL_HEADER);
        script.feed(&mechanisms(&["ANONYMOUS"]));
        script.feed(&sasl_outcome(code));
        assert_eq!(*script.cause(), CloseCause::SaslRefused(number));
    }
}

#[test]
fn a_peer_may_hang_up_at_any_step() {
    let whole = [greeting(), encoded(0, &open(512)).to_vec()].concat();
    for len in 0..=whole.len() {
        let mut script = Script::new(config(Role::Client));
        let session = script.connection.begin().expect("a channel");
        let link = script.attach(session, "a");
        script.send(link, 0, 10);
        script.feed(&whole[..len]);
        script.abandon();
        assert_eq!(script.outcomes(), [(0, Outcome::NotSent)], "after {len} bytes");
        assert_eq!(*script.cause(), CloseCause::Stream);
    }
}

#[test]
fn a_close_instead_of_an_open_is_answered() {
    let mut script = Script::new(config(Role::Client));
    script.feed(&greeting());
    script.frames();
    script.feed(&encoded(0, &close(Some("amqp:connection:forced"))));
    assert!(matches!(script.cause(), CloseCause::Peer(Some(error)) if error.condition == "amqp:connection:forced"));
    script.expect(&["0 close error=none"]);
}

#[test]
fn closing_early_ends_at_once_until_the_open_has_left() {
    for steps in [0, 8, greeting().len() - 8] {
        let mut script = Script::new(config(Role::Client));
        script.feed(&greeting()[..steps]);
        script.frames();
        script.connection.close(None);
        script.note_events();
        assert_eq!(*script.cause(), CloseCause::Unopened, "after {steps} bytes");
        script.feed(&greeting()[steps..]);
        script.expect(&[]);
    }
    let mut script = Script::new(config(Role::Client));
    script.feed(&greeting());
    script.frames();
    script.connection.close(None);
    script.expect(&["0 close error=none"]);
    script.feed(&encoded(0, &open(512)));
    script.feed(&encoded(0, &close(None)));
    assert_eq!(*script.cause(), CloseCause::Peer(None));
}

#[test]
fn an_open_sheds_its_properties_before_it_outgrows_512_bytes() {
    let properties = |len| vec![("user-agent", "x".repeat(len))];
    for (len, host, kept) in [(10, 10, true), (400, 10, true), (440, 10, false), (5_000, 10, false), (200, 253, false)]
    {
        let config = Config {
            container_id: "c".repeat(36),
            hostname: Some("h".repeat(host)),
            properties: properties(len),
            ..config(Role::Client)
        };
        let mut script = Script::new(config);
        script.feed(&greeting()[..greeting().len() - 8]);
        let mut bytes = script.bytes();
        while bytes.starts_with(b"AMQP") || bytes[5] == 1 {
            let size = if bytes.starts_with(b"AMQP") { 8 } else { u32::from_be_bytes(*bytes.first_chunk().unwrap()) };
            let _ = bytes.split_to(size as usize);
        }
        assert!(bytes.len() <= 512, "{} bytes", bytes.len());
        let [fe2o3_amqp::frames::amqp::FrameBody::Open(open)] = &bodies(bytes)[..] else { panic!("an open") };
        assert_eq!(open.properties.is_some(), kept, "{len} bytes of properties, host of {host}");
        assert_eq!(open.hostname.as_ref().map(String::len), Some(host));
    }
}

#[test]
fn an_open_that_cannot_fit_ends_the_connection() {
    let mut script = Script::new(Config { container_id: "c".repeat(600), ..config(Role::Client) });
    script.feed(&greeting());
    assert!(matches!(script.cause(), CloseCause::OpenTooLong(_)));
    assert!(script.connection.is_closed());
}

#[test]
fn nothing_longer_than_512_bytes_leaves_before_the_peers_open() {
    let mut script = Script::new(config(Role::Client));
    let session = script.connection.begin().expect("a channel");
    let long = Attach { target: Some("x".repeat(500)), ..sender("a") };
    assert!(script.connection.attach(session, &long).is_err());
    script.feed(&greeting());
    script.feed(&encoded(0, &open(4_096)));
    assert!(script.connection.attach(session, &long).is_ok_and(|link| link.is_some()));
}

#[test]
fn a_limit_below_512_is_refused() {
    let mut script = Script::new(config(Role::Client));
    script.feed(&greeting());
    script.feed(&encoded(0, &open(511)));
    assert!(matches!(script.cause(), CloseCause::Violation(text) if text.contains("max-frame-size 511")));
}
