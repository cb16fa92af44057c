//! Peers that misbehave: each a typed error within its deadline, never a hang.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwire::emulator::{AccessRule, Activity, Emulator, Fault as Blow};
use hubwire::{
    Authorization, Connection, ConnectionString, Error, Fault, Handshake, Options, ReceiverOptions, SendError, Sender,
    Step,
};
use support::{HUB, Then, batch_of, built, connection_string, emulator, now, relay, stored};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const SEND_TIMEOUT: Duration = Duration::from_secs(7);

fn options() -> Options {
    Options::default().open_timeout(Duration::from_secs(5)).send_timeout(SEND_TIMEOUT)
}

fn any_connection_string() -> ConnectionString {
    let text = "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true";
    ConnectionString::parse(text).expect("well-formed")
}

/// How far a publish came.
#[derive(Debug)]
enum Came {
    NotOpen(Error),
    NotAttached(Error),
    NotAccepted(SendError),
    Accepted,
}

async fn publish(stream: DuplexStream, connection_string: &ConnectionString) -> Came {
    let connection = match Connection::open_over(stream, connection_string, &options()).await {
        Ok(connection) => connection,
        Err(error) => return Came::NotOpen(error),
    };
    let sender: Sender = match connection.sender(HUB).await {
        Ok(sender) => sender,
        Err(error) => return Came::NotAttached(error),
    };
    match sender.send(batch_of(sender.batch(), ["event"])).await {
        Ok(_) => Came::Accepted,
        Err(error) => Came::NotAccepted(error),
    }
}

/// Runs a publish with the hub's side ending after every number of bytes, and checks that what is told is true.
async fn end_after_every_byte(then: Then) {
    let mut came_so_far = 0;
    for limit in 0.. {
        let emulator = emulator();
        let began = now();
        let came = publish(relay(&emulator, limit, then), &connection_string(&emulator)).await;
        let took = began.elapsed();
        let is_stored = stored(&emulator) == ["event"];
        let stage = match &came {
            Came::NotOpen(error) => {
                assert_ended(error, then, limit);
                0
            }
            Came::NotAttached(error) => {
                assert_ended(error, then, limit);
                1
            }
            Came::NotAccepted(SendError::NotSent { cause, .. }) => {
                assert_ended(cause, then, limit);
                assert!(!is_stored, "byte {limit}: told not sent, and it was stored");
                2
            }
            Came::NotAccepted(SendError::Unknown { cause, .. }) => {
                assert_ended(cause, then, limit);
                2
            }
            Came::NotAccepted(other) => panic!("byte {limit}: {other:?}"),
            Came::Accepted => {
                assert!(is_stored, "byte {limit}: told accepted, and it is not there");
                3
            }
        };
        assert!(stage >= came_so_far, "byte {limit}: more bytes, less progress: {came:?}");
        came_so_far = stage;
        assert!(took <= SEND_TIMEOUT + Duration::from_secs(5), "byte {limit}: took {took:?}");
        if stage == 3 {
            assert!(limit > 300, "the whole exchange is longer than {limit} bytes");
            return;
        }
    }
}

fn assert_ended(error: &Error, then: Then, limit: usize) {
    let expected = match then {
        Then::Cut => matches!(error, Error::Lost { .. }),
        Then::Stall => matches!(error, Error::TimedOut { .. }),
    };
    assert!(expected, "byte {limit}: {error:?}");
    assert!(error.is_retryable(), "byte {limit}: {error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_hangs_up_after_any_byte_is_a_lost_connection() {
    end_after_every_byte(Then::Cut).await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_goes_silent_after_any_byte_is_a_passed_deadline() {
    end_after_every_byte(Then::Stall).await;
}

/// A peer that answers whatever comes with `bytes`, and waits.
fn says(bytes: &'static [u8]) -> DuplexStream {
    let (client, mut peer) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        peer.write_all(bytes).await.expect("the client listens");
        let mut heard = Vec::new();
        let _ = peer.read_to_end(&mut heard).await;
    });
    client
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_speaks_something_else_is_found_out_at_once() {
    let sasl = b"AMQP\x03\x01\x00\x00";
    let began = now();
    for (bytes, told) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "\"HTTP/1.1\"; that is a web server"),
        (b"\x15\x03\x01\x00\x02\x02\x0a", "the port wants TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "\"SSH-2.0-\"; check host and port"),
        (b"AMQP\x00\x00\x09\x01", "AMQP 0-9-1"),
        (b"AMQP\x00\x01\x00\x00", "AMQP without SASL"),
        (b"AMQP\x02\x01\x00\x00", "check host and port"),
    ] {
        let error = Connection::open_over(says(bytes), &any_connection_string(), &options()).await;
        let error = error.expect_err("no AMQP with SASL");
        assert!(matches!(error, Error::NotAmqp { .. }), "{bytes:02x?}: {error:?}");
        assert!(error.to_string().contains(told), "{error}");
    }
    for (rest, what) in [
        (&b"\x00\x00\x00\x04\x02\x01\x00\x00"[..], "shorter than its own 8-byte header"),
        (b"\x7f\xff\xff\xff\x02\x01\x00\x00", "over the"),
        (b"\x00\x00\x00\x08\x01\x01\x00\x00", "data offset"),
        (b"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x18\x45", "a frame of type"),
        (b"\x00\x00\x00\x0a\x02\x01\x00\x00\x00\x53", "undecodable"),
    ] {
        let bytes: &'static [u8] = [&sasl[..], rest].concat().leak();
        let error = Connection::open_over(says(bytes), &any_connection_string(), &options()).await.expect_err("broken");
        assert!(matches!(&error, Error::Violation { .. }), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(error.fault(), Fault::Peer);
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "none of it waits for a deadline");
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_anonymous_is_told_by_its_offer() {
    // Two mechanisms, PLAIN and EXTERNAL, as an array of sym8.
    let frame = b"AMQP\x03\x01\x00\x00\x00\x00\x00\x21\x02\x01\x00\x00\x00\x53\x40\xc0\x14\x01\xe0\x11\x02\xa3\x05PLAIN\x08EXTERNAL";
    let error = Connection::open_over(says(frame), &any_connection_string(), &options()).await.expect_err("no way in");
    assert!(
        matches!(&error, Error::NoMechanism { wanted: "ANONYMOUS", offered } if offered == &["PLAIN", "EXTERNAL"]),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_plain_is_not_asked_for_it() {
    // ANONYMOUS alone, as a sym8.
    let frame = b"AMQP\x03\x01\x00\x00\x00\x00\x00\x19\x02\x01\x00\x00\x00\x53\x40\xc0\x0c\x01\xa3\x09ANONYMOUS";
    let options = options().authorization(Authorization::SaslPlain);
    let error = Connection::open_over(says(frame), &any_connection_string(), &options).await.expect_err("no way in");
    assert!(matches!(&error, Error::NoMechanism { wanted: "PLAIN", .. }), "{error:?}");
    assert!(error.to_string().contains("let tokens authorize"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_will_pass_is_not_the_end_of_a_connection() {
    let emulator = emulator();
    emulator.inject(Blow::refuse_sasl(4));
    let to = connection_string(&emulator);
    let error = Connection::open_over(emulator.connect(), &to, &options()).await.expect_err("refused");
    assert!(error.is_retryable(), "{error}");
    let way = emulator.clone();
    let connect = move || std::future::ready(Ok(way.connect()));
    let connection = Connection::open_with(connect, &to, &options()).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("attached");
    emulator.inject(Blow::refuse_sasl(4));
    emulator.inject(Blow::cut_after_bytes(0));
    sender.send(batch_of(sender.batch(), ["one"])).await.expect("accepted over the third connection");
    assert_eq!(emulator.totals().faults, 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_sasl_plain_stands_in_for_tokens_and_is_shown_again_after_a_cut() {
    for handshake in [Handshake::Stepwise, Handshake::Optimistic] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heard = seen.clone();
        let listen = move |activity: &Activity| heard.lock().expect("not poisoned").push(activity.clone());
        let emulator = Arc::new(built(Emulator::builder().on_activity(listen)));
        let options = options().authorization(Authorization::SaslPlain).handshake(handshake);
        let to = emulator.clone();
        let connect = move || std::future::ready(Ok(to.connect()));
        let connection = Connection::open_with(connect, &connection_string(&emulator), &options).await.expect("opens");
        let sender = connection.sender(HUB).await.expect("attached");
        sender.send(batch_of(sender.batch(), ["first"])).await.expect("accepted");
        emulator.inject(Blow::cut_after_bytes(0));
        // The connection is restored by itself.
        tokio::time::sleep(Duration::from_secs(30)).await;
        sender.send(batch_of(sender.batch(), ["second"])).await.expect("accepted");
        // A node that wants a token in each request.
        let properties = connection.event_hub_properties(HUB).await.expect("told");
        assert_eq!(properties.partition_ids.len(), 4);
        connection.close().await;
        let seen = seen.lock().expect("not poisoned");
        let of = |wanted: fn(&Activity) -> bool| seen.iter().filter(|activity| wanted(activity)).count();
        assert!(of(|activity| matches!(activity, Activity::LoggedIn { is_taken: true, .. })) >= 2, "{seen:?}");
        assert_eq!(of(|activity| matches!(activity, Activity::TokenPut { .. })), 0);
        assert!(seen.iter().any(|activity| {
            activity.to_string().ends_with("SASL PLAIN: the key of rule RootManageSharedAccessKey is taken")
        }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_does_not_hold_is_refused_at_once_and_is_the_callers_to_mend() {
    let emulator = emulator();
    let text = emulator.connection_string(None);
    let wrong = text.replace("SharedAccessKey=", "SharedAccessKey=x");
    let wrong = ConnectionString::parse(&wrong).expect("well-formed");
    let options = options().authorization(Authorization::SaslPlain);
    let began = now();
    let error = Connection::open_over(emulator.connect(), &wrong, &options).await.expect_err("a wrong key");
    assert!(matches!(error, Error::SaslRefused { code: 1 }), "{error:?}");
    assert_eq!((error.fault(), error.is_retryable()), (Fault::Caller, false));
    assert!(error.to_string().contains("check the rule's name and its key"), "{error}");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn sasl_plain_opens_what_the_rule_does() {
    let emulator = built(Emulator::builder().access_rule(AccessRule::new("read", "a2V5").listen()));
    let text = "Endpoint=sb://localhost;SharedAccessKeyName=read;SharedAccessKey=a2V5;UseDevelopmentEmulator=true";
    let connection_string = ConnectionString::parse(text);
    let options = options().authorization(Authorization::SaslPlain);
    let connection =
        Connection::open_over(emulator.connect(), &connection_string.expect("well-formed"), &options).await;
    let connection = connection.expect("opens");
    let error = connection.sender(HUB).await.expect_err("no right to send");
    assert_eq!(error.condition(), Some("amqp:unauthorized-access"), "{error:?}");
    connection.receiver(HUB, "0", &ReceiverOptions::default()).await.expect("attached");
}

#[tokio::test(start_paused = true)]
async fn sasl_plain_without_a_key_is_refused_before_anything_is_said() {
    let options = options().authorization(Authorization::SaslPlain);
    let nobody = ConnectionString::of_namespace("localhost").expect("a host");
    let long = format!(
        "Endpoint=sb://localhost;SharedAccessKeyName={};SharedAccessKey={};UseDevelopmentEmulator=true",
        "n".repeat(100),
        "k".repeat(101)
    );
    let long = ConnectionString::parse(&long).expect("well-formed");
    for connection_string in [nobody, long] {
        let error = Connection::open_over(says(b""), &connection_string, &options).await.expect_err("not to be said");
        assert!(matches!(&error, Error::Setting { name: "authorization", .. }), "{error:?}");
        let connect = || -> std::future::Ready<std::io::Result<DuplexStream>> { panic!("nobody is to be asked") };
        let error = Connection::open_with(connect, &connection_string, &options).await.expect_err("not to be said");
        assert!(matches!(&error, Error::Setting { name: "authorization", .. }), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_at_the_deadline() {
    let began = now();
    let error = Connection::open_over(says(b""), &any_connection_string(), &options()).await.expect_err("silence");
    assert!(matches!(error, Error::TimedOut { step: Step::Open, .. }), "{error:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_name_too_long_for_the_open_is_the_callers_to_mend() {
    let emulator = emulator();
    let options = options().container_id("c".repeat(600));
    let error = Connection::open_over(emulator.connect(), &connection_string(&emulator), &options).await;
    let error = error.expect_err("600 bytes in a frame of 512");
    assert!(matches!(&error, Error::CannotOpen { what } if what.contains("512")), "{error:?}");
    assert_eq!(error.fault(), Fault::Caller);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_open_closes_its_stream() {
    let (client, mut peer) = tokio::io::duplex(1 << 16);
    let (connection_string, options) = (any_connection_string(), options());
    let open = Connection::open_over(client, &connection_string, &options);
    assert!(tokio::time::timeout(Duration::from_millis(1), open).await.is_err());
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).await.expect("the stream ends");
    assert_eq!(heard, b"AMQP\x03\x01\x00\x00");
}

#[tokio::test]
async fn nobody_listening_is_said_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let text =
        format!("Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true");
    let error = Connection::open(&ConnectionString::parse(&text).expect("well-formed"), &options()).await;
    let error = error.expect_err("nobody listens");
    assert!(matches!(&error, Error::Connect { port: tried, .. } if *tried == port), "{error:?}");
    assert_eq!(error.fault(), Fault::Network);
}
