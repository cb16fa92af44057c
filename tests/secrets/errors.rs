//! Every error and warning that can be had, with secrets in what they are about.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::time::Duration;

use hubwire::emulator::{AccessRule, Builder, Emulator};
use hubwire::wire::connection_string::ConnectionString;
use hubwire::wire::sas::SasToken;
use hubwire::{Connection, Options, ReceiverOptions, SendError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::forms::{KEY, RULE, WRONG_KEY, assert_clean, shown, token};
use crate::source::{variant, variants};
use crate::support::{HUB, Then, batch_of, relay};
use crate::types::{builder, connection_strings};

/// Variants of an error, as they were seen, each looked at.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    #[track_caller]
    fn note(&mut self, error: &(impl Display + Debug)) {
        let text = format!("{error} {}", shown(error));
        assert_clean(&variant(&format!("{error:?}")), &text);
        self.0.insert(variant(&format!("{error:?}")));
    }

    fn has(&self, variant: &str) -> bool {
        self.0.contains(variant)
    }

    /// All variants of the enum `name` have been seen, but for those `left_out`.
    #[track_caller]
    fn assert_all(&self, name: &str, left_out: &[&str]) {
        let all = variants(name);
        let left_out: BTreeSet<String> = left_out.iter().map(|name| (*name).to_owned()).collect();
        let missing: Vec<_> = all.difference(&self.0).filter(|name| !left_out.contains(*name)).collect();
        assert!(missing.is_empty(), "{name}: make one of each here: {missing:?}");
        let stale: Vec<_> = left_out.iter().filter(|name| self.0.contains(*name) || !all.contains(*name)).collect();
        assert!(stale.is_empty(), "{name}: left out, and seen or not there: {stale:?}");
    }
}

#[test]
fn errors_of_connection_strings_show_no_secret() {
    let key = format!("SharedAccessKeyName={RULE};SharedAccessKey={KEY}");
    let mut seen = Seen::default();
    for text in [
        String::new(),
        format!("{key};Endpoint"),
        format!("{key};={KEY}"),
        format!("Endpoint=;{key}"),
        format!("Endpoint=ns;{key};SharedAccessKey={WRONG_KEY}"),
        key.clone(),
        format!("Endpoint=sb://user:{KEY}@ns;{key}"),
        format!("Endpoint=sb://ns:{KEY};{key}"),
        format!("Endpoint={KEY}://ns;{key}"),
        format!("Endpoint=sb://{KEY};{key}"),
        format!("Endpoint=ns;{key};UseDevelopmentEmulator={KEY}"),
        format!("Endpoint=ns;{key};SharedAccessSignature={}", token()),
        format!("Endpoint=ns;SharedAccessSignature={}", &token()[1..]),
        format!("Endpoint=ns;SharedAccessSignature={}&{}", token(), KEY.trim_end_matches('=')),
        "Endpoint=ns".to_owned(),
        format!("Endpoint=ns;SharedAccessKeyName=x{KEY}"),
        format!("Endpoint=ns;SharedAccessKey={KEY}"),
        // Lost separators, and the whole in quotes.
        format!("Endpoint=ns{key}"),
        format!("\"Endpoint=ns;{key}\""),
        KEY.to_owned(),
        token(),
    ] {
        match ConnectionString::parse(&text) {
            Ok(parsed) => assert_clean("a connection string", &shown(&parsed)),
            Err(error) => {
                seen.note(&error);
                assert_clean("a class", &error.class());
            }
        }
    }
    seen.assert_all("ParseError", &[]);
}

#[test]
fn warnings_show_no_secret() {
    let key = format!("SharedAccessKeyName={RULE};SharedAccessKey={KEY}");
    let endless = token().replace("&se=3000000000", "");
    let mut seen = Seen::default();
    for text in [
        format!("Endpoint=ns;{key};Transport={KEY}"),
        // A stray `;` in a key makes its tail a key of its own.
        format!("Endpoint=ns;SharedAccessKeyName=n;SharedAccessKey=x;{KEY}"),
        format!("Endpoint=ns;{key};{KEY}=x"),
        format!("Endpoint=sb://ns/{KEY};{key}"),
        format!("Endpoint=ns.example;UseDevelopmentEmulator=true;{key}"),
        format!("Endpoint=ns;SharedAccessSignature={endless}"),
    ] {
        let parsed = ConnectionString::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        assert!(!parsed.warnings().is_empty(), "{parsed:?}");
        for warning in parsed.warnings() {
            seen.note(warning);
            assert_clean("a class", &warning.class());
        }
    }
    seen.assert_all("Warning", &[]);
}

#[test]
fn errors_of_tokens_show_no_signature() {
    let token = token();
    let mut seen = Seen::default();
    for text in [
        token[1..].to_owned(),
        format!("{token}&{}", KEY.trim_end_matches('=')),
        token.replace(&format!("&skn={RULE}"), ""),
        format!("{token}&sig={KEY}"),
        token.replace("&se=", &format!("&se={KEY}")),
        token.replace("sr=", "sr=%ff"),
    ] {
        seen.note(&SasToken::parse(&text).expect_err("no token"));
    }
    seen.assert_all("ParseTokenError", &[]);

    let mut seen = Seen::default();
    let at = |unix_secs| std::time::UNIX_EPOCH + Duration::from_secs(unix_secs);
    let endless = SasToken::parse(&token.replace("&se=3000000000", "")).expect("it still is one");
    let token = SasToken::parse(&token).expect("a token");
    seen.note(&token.verify(WRONG_KEY, at(0)).expect_err("another key"));
    seen.note(&token.verify(KEY, at(3_000_000_000)).expect_err("it has ended"));
    seen.note(&endless.verify(KEY, at(0)).expect_err("it has no end"));
    seen.assert_all("VerifyError", &[]);
}

/// A connection string, given where a name was wanted.
#[test]
fn errors_of_names_do_not_repeat_a_connection_string() {
    let [with_key, with_token] = connection_strings();
    let mut seen = Seen::default();
    for text in [&with_key, &with_token] {
        let parsed = ConnectionString::parse(text).expect("well-formed");
        seen.note(&parsed.resolve_event_hub(Some(text)).map(str::len).expect_err("a name of its own"));
        seen.note(&parsed.resolve_event_hub(Some(" ")).expect_err("empty"));
        let plain = ConnectionString::parse(&text.replace(";EntityPath=telemetry", "")).expect("well-formed");
        seen.note(&plain.resolve_event_hub(None).expect_err("none is named"));
        seen.note(&plain.resolve_event_hub(Some(text)).expect_err("no name"));
        let swallowed = text.replace("EntityPath=", &format!("EntityPath=SharedAccessKey={KEY}"));
        let swallowed = ConnectionString::parse(&swallowed).expect("well-formed");
        seen.note(&swallowed.resolve_event_hub(Some("hub")).expect_err("another"));
    }
    seen.assert_all("EventHubNameError", &[]);
}

#[test]
fn errors_of_the_builder_show_no_secret() {
    let mut seen = Seen::default();
    let second = Duration::from_millis(1);
    let [text, _] = connection_strings();
    let groups = (0..1_001).fold(builder(), |builder, number| builder.consumer_group(HUB, format!("g{number}")));
    let cases: Vec<Builder> = vec![
        Emulator::builder().rule(RULE, KEY),
        builder().event_hub(&text, 1),
        builder().event_hub(HUB, 1),
        builder().event_hub("other", 0),
        builder().rule(&text, KEY),
        builder().rule("other", format!("{KEY};")),
        builder().rule(RULE, WRONG_KEY),
        builder().consumer_group(&text, "g"),
        builder().consumer_group(HUB, &text),
        builder().consumer_group(HUB, "$default"),
        groups,
        builder().access_rule(AccessRule::new("other", KEY)),
        builder().access_rule(AccessRule::new(&text, KEY)),
        builder().access_rule(AccessRule::new("other", KEY).send().event_hub(&text)),
        builder().max_message_size(0),
        builder().link_credit(0),
        builder().throughput_units(0),
        builder().idle_timeout(second),
        builder().retention(Duration::ZERO),
        builder().max_frame_size(511),
        builder().fault(hubwire::emulator::Fault::detach("amqp:link:detach-forced", "Too early.")),
    ];
    for builder in cases {
        assert_clean("a builder", &shown(&builder));
        seen.note(&builder.build().map(|_| ()).expect_err("it cannot be built"));
    }
    seen.assert_all("BuildError", &[]);
}

// ---- the client ----------------------------------------------------------------------------------------------------

fn options() -> Options {
    let short = Duration::from_secs(3);
    crate::support::options().open_timeout(short).send_timeout(short).close_timeout(short)
}

fn parsed(text: &str) -> ConnectionString {
    ConnectionString::parse(text).expect("well-formed")
}

async fn open(emulator: &Emulator, text: &str) -> Connection {
    Connection::open_over(emulator.connect(), &parsed(text), &options()).await.expect("opens")
}

/// A peer that answers whatever comes with `bytes`, and waits.
fn says(bytes: &'static [u8]) -> DuplexStream {
    let (client, mut peer) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let _ = peer.write_all(bytes).await;
        let _ = peer.read_to_end(&mut Vec::new()).await;
    });
    client
}

/// What the hub refuses, and what is refused before it leaves.
async fn refusals(seen: &mut Seen, sent: &mut Seen) {
    let emulator = builder().throughput_units(1).build().expect("it can be built");
    for text in connection_strings() {
        let wrong = [text.replace(KEY, WRONG_KEY), text.replace(&format!("={RULE}"), "=nobody")];
        for text in wrong.iter().filter(|wrong| **wrong != text) {
            seen.note(&open(&emulator, text).await.sender(HUB).await.expect_err("refused"));
        }
        let connection = open(&emulator, &text).await;
        seen.note(&connection.sender(&text).await.expect_err("no name"));
        seen.note(&connection.partition_sender(HUB, "9").await.expect_err("no partition"));
        seen.note(&connection.partition_sender(HUB, &text).await.expect_err("no id"));
        seen.note(&connection.partition_properties(HUB, &text).await.expect_err("no id"));
        let group = ReceiverOptions::default().consumer_group(&text);
        seen.note(&connection.receiver(HUB, "0", &group).await.expect_err("no group"));
        seen.note(&connection.receiver(HUB, &text, &ReceiverOptions::default()).await.expect_err("no id"));
        seen.note(&connection.partition_properties(HUB, "9").await.expect_err("no partition"));
        let group = ReceiverOptions::default().consumer_group("g".repeat(70_000));
        seen.note(&connection.receiver(HUB, "0", &group).await.expect_err("too long"));

        let sender = connection.sender(HUB).await.expect("attached");
        let empty = sender.send(sender.batch()).await.expect_err("empty");
        let keyed = batch_of(sender.batch_with_partition_key("key").expect("a key"), ["event"]);
        let one = connection.partition_sender(HUB, "0").await.expect("attached");
        let large = batch_of(hubwire::Batch::new(1 << 22), ["x".repeat(1 << 21).as_str()]);
        for error in
            [empty, one.send(keyed).await.expect_err("keyed"), sender.send(large).await.expect_err("too large")]
        {
            sent.note(&error);
            let SendError::NotSent { cause, .. } = error else { panic!("{error:?}") };
            seen.note(&cause);
        }
        let many: Vec<&str> = vec!["x"; 60_000];
        let _ = sender.send(batch_of(sender.batch(), many)).await;
        sent.note(&sender.send(batch_of(sender.batch(), ["throttled"])).await.expect_err("throttled"));
        connection.close().await;
        seen.note(&connection.sender(HUB).await.expect_err("closed"));
    }
}

/// Peers that speak something else, or break off.
async fn faults(seen: &mut Seen, sent: &mut Seen) {
    let sasl_plain = b"AMQP\x03\x01\x00\x00\x00\x00\x00\x21\x02\x01\x00\x00\x00\x53\x40\xc0\x14\x01\xe0\x11\x02\xa3\x05PLAIN\x08EXTERNAL";
    let [text, _] = connection_strings();
    let long = options().container_id("c".repeat(600));
    for (stream, options) in [
        (says(b"HTTP/1.1 400 Bad Request\r\n"), options()),
        (says(sasl_plain), options()),
        (says(b"AMQP\x03\x01\x00\x00\x00\x00\x00\x04\x02\x01\x00\x00"), options()),
        (says(b""), options()),
        (says(b""), options().idle_timeout(Duration::from_secs(1))),
    ] {
        seen.note(&Connection::open_over(stream, &parsed(&text), &options).await.expect_err("no hub"));
    }
    let emulator = builder().build().expect("it can be built");
    seen.note(&Connection::open_over(emulator.connect(), &parsed(&text), &long).await.expect_err("too long"));
    // The stream breaks off, or goes silent, while an event is under way.
    for then in [Then::Cut, Then::Stall] {
        for limit in (50..1_500).step_by(50) {
            let stream = relay(&emulator, limit, then);
            match Connection::open_over(stream, &parsed(&text), &options()).await {
                Err(error) => seen.note(&error),
                Ok(connection) => attach_and_send(&connection, seen, sent).await,
            }
        }
    }
}

async fn attach_and_send(connection: &Connection, seen: &mut Seen, sent: &mut Seen) {
    match connection.sender(HUB).await {
        Err(error) => seen.note(&error),
        Ok(sender) => {
            let outcome = sender.send(batch_of(sender.batch(), ["event"])).await;
            outcome.err().iter().for_each(|error| sent.note(error));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_client_show_no_secret() {
    let (mut seen, mut sent) = (Seen::default(), Seen::default());
    refusals(&mut seen, &mut sent).await;
    faults(&mut seen, &mut sent).await;
    let refused = "Endpoint=sb://127.0.0.1:1;UseDevelopmentEmulator=true;SharedAccessKeyName=n;SharedAccessKey=";
    let refused = parsed(&format!("{refused}{KEY}"));
    seen.note(&Connection::open(&refused, &Options::default()).await.expect_err("nobody listens"));
    let nobody = ConnectionString::of_namespace("localhost").expect("a host");
    let opened = Connection::open_over(builder().build().expect("built").connect(), &nobody, &options()).await;
    seen.note(&opened.expect("opens").sender(HUB).await.expect_err("no credential"));
    seen.note(&hubwire::blocking::Connection::open(&refused, &Options::default()).expect_err("inside of a task"));
    full_window(&mut seen, &mut sent).await;
    echoes(&mut seen).await;
    given_up(&mut seen).await;
    let not_had = [
        // Seen below, over sockets.
        "Setting",
        "ProxyRefused",
        "WebSocketRefused",
        "NotHttp",
        // They need a name server, a TLS peer, and a build without TLS; `tests/tls.rs` and the command's runs see TLS.
        "Resolve",
        "Tls",
        "TlsMissing",
        // A system without a descriptor left.
        "NoRuntime",
        // A hub that releases messages, and one that refuses ANONYMOUS after it has offered it.
        "Released",
        "SaslRefused",
    ];
    seen.assert_all("Error", &not_had);
    sent.assert_all("SendError", &[]);
}

/// A peer that repeats in its own words what it was shown.
async fn echoes(seen: &mut Seen) {
    let emulator = builder().build().expect("it can be built");
    let [text, _] = connection_strings();
    let echo = format!("refused: {}", token());
    for fault in [
        hubwire::emulator::Fault::refuse_put_token(401, &echo),
        hubwire::emulator::Fault::refuse_attach("amqp:unauthorized-access", &echo).nth(1),
        hubwire::emulator::Fault::refuse_open("amqp:unauthorized-access", &echo),
    ] {
        emulator.inject(fault);
        match Connection::open_over(emulator.connect(), &parsed(&text), &options()).await {
            Ok(connection) => seen.note(&connection.sender(HUB).await.expect_err("refused")),
            Err(error) => seen.note(&error),
        }
    }
}

/// A sender whose right was taken, in words that repeat what was shown.
async fn given_up(seen: &mut Seen) {
    let emulator = builder().build().expect("it can be built");
    let [text, _] = connection_strings();
    let connection = Connection::open_over(emulator.connect(), &parsed(&text), &options()).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("attached");
    let echo = format!("refused: {}", token());
    emulator.inject(hubwire::emulator::Fault::refuse_attach("amqp:unauthorized-access", &echo).always());
    emulator.inject(hubwire::emulator::Fault::detach("amqp:unauthorized-access", &echo));
    while !seen.has("StillUnauthorized") {
        let sent = sender.send(batch_of(sender.batch(), ["event"])).await;
        let Err(SendError::NotSent { cause, .. }) = sent else { continue };
        seen.note(&cause);
    }
}

/// A batch for which there is no room.
async fn full_window(seen: &mut Seen, sent: &mut Seen) {
    let emulator = builder().build().expect("it can be built");
    let [text, _] = connection_strings();
    let narrow = options().max_in_flight_batches(1);
    let connection = Connection::open_over(emulator.connect(), &parsed(&text), &narrow).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("attached");
    emulator.inject(hubwire::emulator::Fault::never_settle());
    let (first, second) = tokio::join!(
        sender.send(batch_of(sender.batch(), ["first"])),
        sender.try_send(batch_of(sender.batch(), ["second"]))
    );
    sent.note(&first.expect_err("never settled"));
    let second = second.expect_err("no room");
    sent.note(&second);
    let SendError::NotSent { cause, .. } = second else { panic!("{second:?}") };
    seen.note(&cause);
}

/// A peer on a socket that answers the first connection with `bytes`; its port.
fn answers(bytes: &'static [u8]) -> u16 {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(bytes);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    port
}

#[tokio::test]
async fn errors_of_the_ways_in_show_no_secret() {
    let mut seen = Seen::default();
    let [text, _] = connection_strings();
    let proxy = |port: u16| format!("http://user:{KEY}@127.0.0.1:{port}");
    let refusing = answers(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    let forbidding = answers(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let strange = answers(b"SSH-2.0-OpenSSH_9.9\r\n");
    let at = |port: u16| text.replace("localhost", &format!("127.0.0.1:{port}"));
    let socket = hubwire::Transport::WebSocket;
    for (text, options) in [
        (text.clone(), Options::default().http_proxy(format!("ftp://user:{KEY}@host:1"))),
        (text.clone(), Options::default().http_proxy(proxy(refusing))),
        (text.clone(), Options::default().http_proxy(proxy(strange))),
        (at(forbidding), Options::default().transport(socket)),
    ] {
        assert_clean("the options", &shown(&options));
        seen.note(&Connection::open(&parsed(&text), &options).await.expect_err("no way in"));
    }
    for variant in ["Setting", "ProxyRefused", "WebSocketRefused", "NotHttp"] {
        assert!(seen.has(variant), "{variant} was not seen");
    }
}
