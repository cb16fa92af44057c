//! `Debug` of every public type, made with secrets wherever it can hold one.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hubwire::emulator::{
    AccessRule, Activity, Builder, ConnectionCounts, Emulator, Fault as EmulatedFault, LinkRole, Stage, StoredEvent,
    Tier, TlsIdentity,
};
use hubwire::trace::{Form, Tap};
use hubwire::wire::batch::{BatchReader, PartitionKeyError};
use hubwire::wire::condition::Recovery;
use hubwire::wire::connection_string::{EndpointPart, EventHubNameError, Key, Warning};
use hubwire::wire::event::{Annotations, Body, Event, Header, MessageId, Properties};
use hubwire::wire::received::ReceivedError;
use hubwire::wire::sas::{Field, SasToken};
use hubwire::wire::secret::Secret;
use hubwire::wire::value::{Array, ArrayError, DecodeError, Kind, Value};
use hubwire::{
    Batch, Connection, ConnectionEvent, ConnectionString, Error, Fault, IdleLinks, LastEnqueued, Options, Position,
    ReceiverOptions, Retry, Roots, Scope, SendError, Step, Token, TokenError, Transport, TryAdd,
};

use crate::forms::{KEY, RULE, assert_clean, shown, token};
use crate::source::public_types;
use crate::support::{HUB, batch_of};

/// What was shown, by the name of its type.
type Shown = Vec<(&'static str, String)>;

fn rule() -> AccessRule {
    AccessRule::new(RULE, KEY).manage()
}

pub(crate) fn builder() -> Builder {
    Emulator::builder().access_rule(rule()).event_hub(HUB, 4)
}

/// A connection string with the key, and one with the token.
pub(crate) fn connection_strings() -> [String; 2] {
    let endpoint = "Endpoint=sb://localhost;UseDevelopmentEmulator=true;EntityPath=telemetry";
    [
        format!("{endpoint};SharedAccessKeyName={RULE};SharedAccessKey={KEY}"),
        format!("{endpoint};SharedAccessSignature={}", token()),
    ]
}

fn of_the_wire() -> Shown {
    let mut shown_types = Vec::new();
    for text in connection_strings() {
        let parsed = ConnectionString::parse(&text).expect("well-formed");
        shown_types.push(("Credential", shown(parsed.credential())));
        shown_types.push(("ConnectionString", shown(&parsed) + &parsed.redacted()));
    }
    let signed = SasToken::parse(&token()).expect("a token");
    // Tokens travel in events: to `$cbs` as a body, to `$management` as a property.
    let event = Event::from_body(Body::Value(token().into())).with_property("security_token", token());
    let batch = batch_of(Batch::new(1_000), ["event"]);
    let reader = BatchReader::new(bytes::Bytes::copy_from_slice(batch.encoded())).expect("a batch");
    let offset = Position::FromOffset("4".to_owned());
    shown_types.extend([
        ("SasToken", shown(&signed) + &signed.redacted()),
        ("Secret", shown(&Secret::from(KEY))),
        ("Field", shown(&Field::Signature)),
        ("ParseTokenError", shown(&SasToken::parse(&token()[1..]).expect_err("cut short"))),
        ("VerifyError", shown(&signed.verify("other", std::time::UNIX_EPOCH).expect_err("another key"))),
        ("Body", shown(event.body())),
        ("TryAdd", shown(&TryAdd::Full(event.clone()))),
        ("Event", shown(&event)),
        ("Batch", shown(&batch)),
        ("Batches", shown(&Batch::new(100).batches([token()]))),
        ("Refused", shown(&Batch::new(10).batches(["too large for it"]).next())),
        ("Counts", shown(&hubwire::bench::sink::Counts::default())),
        ("BatchReader", shown(&reader)),
        ("Position", shown(&offset)),
        ("Key", shown(&Key::SharedAccessKey)),
        ("EndpointPart", shown(&EndpointPart::UserInfo)),
        ("ParseError", shown(&ConnectionString::parse(KEY).expect_err("a key alone"))),
        ("EventHubNameError", shown(&EventHubNameError::Invalid)),
        ("Warning", shown(&Warning::TokenWithoutExpiry { at: 0 })),
        ("PartitionKeyError", shown(&PartitionKeyError::Empty)),
        ("Recovery", shown(&Recovery::Reauthorize)),
        ("Form", shown(&Form::Text)),
        ("Tap", shown(&Tap::builder().to(Form::Text, std::io::sink()).build())),
        ("Tapped", shown(&Tap::builder().build().wrap(()))),
        ("Builder", shown(&Tap::builder().to(Form::Text, std::io::sink()))),
    ]);
    shown_types.extend(without_secrets());
    shown_types
}

/// Types that say what they hold, and hold no secret of hubwire's: one of each.
fn without_secrets() -> Shown {
    let at = std::time::UNIX_EPOCH;
    let last = LastEnqueued { sequence_number: 1, offset: "2".to_owned(), enqueued_time: at, retrieved_at: at };
    let not_simple = Event::new("x").with_property("p", Value::List(Vec::new())).encode();
    vec![
        ("Value", shown(&Value::Null)),
        ("Kind", shown(&Kind::Null)),
        ("Array", shown(&Array::strings(["text"]))),
        ("ArrayError", shown(&ArrayError::DescribedKind)),
        ("DecodeError", shown(&DecodeError::Truncated { at: 0, expected: "a value" })),
        ("EncodeError", shown(&not_simple.expect_err("a list"))),
        ("Header", shown(&Header::default())),
        ("Properties", shown(&Properties::default())),
        ("MessageId", shown(&MessageId::from(1_u64))),
        ("Annotations", shown(&Annotations::default())),
        ("LastEnqueued", shown(&last)),
        ("ReceivedError", shown(&ReceivedError::Annotation { name: "x-opt-offset" })),
    ]
}

/// What is measured, against a namespace with a key.
async fn of_the_bench(emulator: &Emulator) -> Shown {
    use hubwire::bench::{
        Aside, Bench, BenchError, Bodies, Column, Comparison, Figure, Held, Keys, Limit, LocalHub, LocalHubError,
        Outcome, Rank, Report, Route, Schedule, Search, SendFailure, Sizes, Step, Stop, Target, Unit, Verdict,
        Workload,
    };
    let [with_key, _] = connection_strings();
    let connection_string = ConnectionString::parse(&with_key).expect("well-formed");
    let namespace = emulator.clone();
    let options = Options::default().http_proxy(format!("http://user:{KEY}@proxy.example:3128"));
    let target = Target::over(move || namespace.connect(), &connection_string, HUB, &options);
    let warm_up = std::time::Duration::ZERO;
    let workload = Workload { events: Some(10), receive: true, warm_up, ..Workload::default() };
    let mut bench = Bench::new(target.clone(), "an emulator");
    let report = bench.run(&workload, |_| {}).await.expect("it runs");
    let round = &report.rounds[0];
    let comparison = Comparison::of(&report, &report);
    let latency = round.sent.clone().expect("events were sent");
    let not_read = Workload { sizes: Sizes::File("/no/such/file".into()), ..workload.clone() };
    let hub = LocalHub::emulator(emulator.clone()).expect("it starts");
    let step = Step { unit: Unit::Events, rate: 1.0, accepted_per_sec: 1.0, p99_us: 1.0, broken: None };
    let failure = SendFailure { outcome: Outcome::NotSent, condition: None, message: String::new(), cause: None };
    vec![
        ("Target", shown(&target)),
        ("Workload", shown(&workload) + &workload.to_string()),
        ("WorkloadError", shown(&Workload { links: 0, ..workload.clone() }.check().expect_err("no link"))),
        ("MaterialError", shown(&bench.run(&not_read, |_| {}).await.expect_err("no file"))),
        ("BenchError", shown(&BenchError::Stopped)),
        ("Bench", shown(&bench)),
        ("Report", shown(&report) + &report.to_string() + &report.to_json() + &report.to_html() + &report.to_hdr_log()),
        ("ReportError", shown(&Report::from_json(KEY).expect_err("no report"))),
        ("Round", shown(round)),
        ("Second", shown(&round.seconds)),
        ("Ends", shown(&round.ends)),
        ("Latency", shown(&latency)),
        ("Received", shown(&round.received)),
        ("Machine", shown(&report.machine)),
        ("NamedFile", shown(&report.files)),
        ("Comparison", shown(&comparison) + &comparison.to_string()),
        ("Change", shown(&comparison.changes)),
        ("Verdict", shown(&Verdict::Better)),
        ("Limit", shown(&"p99>1ms".parse::<Limit>())),
        ("Held", shown(&Held::Yes)),
        ("Figure", shown(&Figure::Rate)),
        ("Column", shown(&Column::Sent)),
        ("Rank", shown(&Rank::P50)),
        ("Search", shown(&Search::from(1.0, 0.1))),
        ("Step", shown(&step)),
        ("Outcome", shown(&Outcome::Unknown)),
        ("SendFailure", shown(&failure)),
        ("Stop", shown(&Stop::default())),
        ("Aside", shown(&Aside::start("aside").expect("a thread"))),
        ("LocalHub", shown(&hub)),
        ("LocalHubError", shown(&LocalHubError::System(std::io::ErrorKind::AddrInUse.into()))),
        ("Sizes", shown(&workload.sizes)),
        ("Bodies", shown(&Bodies::Random)),
        ("Keys", shown(&Keys::None)),
        ("Route", shown(&Route::Hub)),
        ("Schedule", shown(&Schedule::steady(1.0))),
        ("Unit", shown(&Unit::Events)),
        (
            "TextError",
            shown(&KEY.parse::<Sizes>().expect_err("no size")) + &KEY.parse::<Limit>().expect_err("none").to_string(),
        ),
    ]
}

async fn of_the_client(emulator: &Emulator) -> Shown {
    let [with_key, with_token] = connection_strings();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let watching = std::sync::Arc::clone(&told);
    let options = Options::default().on_event(move |event: &ConnectionEvent| {
        watching.lock().expect("not poisoned").push(shown(event) + &event.to_string());
    });
    let mut shown_types = Vec::new();
    for text in [with_token, with_key] {
        let connection_string = ConnectionString::parse(&text).expect("well-formed");
        let opened = Connection::open_over(emulator.connect(), &connection_string, &options).await;
        let connection = opened.expect("opens");
        let sender = connection.sender(HUB).await.expect("authorized");
        let mut receiver = connection.receiver(HUB, "0", &ReceiverOptions::default()).await.expect("authorized");
        let batch = batch_of(sender.batch(), ["event"]);
        let accepted = connection.partition_sender(HUB, "0").await.expect("attached").send(batch).await;
        let refused = sender.send(sender.batch()).await;
        let properties = connection.event_hub_properties(HUB).await.expect("told");
        // What is published stays here: the store shows its events, and tokens are not to be among them.
        let options = hubwire::PublisherOptions::default().linger(std::time::Duration::from_secs(3_600));
        let publisher = hubwire::Publisher::over(vec![connection.clone()], HUB, &options).await.expect("a link");
        shown_types.extend([
            ("Accepted", shown(&accepted.expect("accepted"))),
            ("SendError", shown(&refused.expect_err("an empty batch"))),
            ("ReceivedEvent", shown(&receiver.recv().await.expect("an event"))),
            ("EventHubProperties", shown(&properties)),
            ("PartitionProperties", shown(&connection.partition_properties(HUB, "0").await.expect("told"))),
            ("Receiver", shown(&receiver)),
            ("Sender", shown(&sender)),
            ("Publisher", shown(&publisher)),
            ("Receipt", shown(&publisher.publish(token()).await.expect("taken"))),
            ("PublishError", shown(&publisher.publish_with_key("", "event").await.expect_err("no key"))),
            ("Ticket", shown(&sender.enqueue(batch_of(sender.batch(), ["event"])).await.expect("room"))),
            ("Connection", shown(&connection)),
            ("Counters", shown(&connection.counters())),
        ]);
    }
    let lines = told.lock().expect("not poisoned").clone();
    assert!(lines.len() > 6, "{lines:?}");
    shown_types.extend(lines.into_iter().map(|line| ("ConnectionEvent", line)));
    let with_login = options.http_proxy(format!("http://user:{KEY}@proxy.example:3128"));
    shown_types.extend([
        ("Options", shown(&with_login)),
        ("Transport", shown(&Transport::Tcp)),
        ("Authorization", shown(&hubwire::Authorization::SaslPlain)),
        ("Handshake", shown(&hubwire::Handshake::Optimistic)),
        ("KeySpread", shown(&hubwire::KeySpread::Here)),
        ("PublisherOptions", shown(&hubwire::PublisherOptions::default())),
        ("Undelivered", shown(&hubwire::Undelivered::Abandoned)),
        ("Roots", shown(&Roots::Bundled)),
        ("IdleLinks", shown(&IdleLinks::Restore)),
        ("Retry", shown(&Retry::default())),
        ("Token", shown(&Token::jwt(KEY, std::time::UNIX_EPOCH)) + &shown(&Token::shared_access_signature(&signed()))),
        ("TokenError", shown(&TokenError::transient("the source is away"))),
        ("ReceiverOptions", shown(&ReceiverOptions::default())),
        ("Error", shown(&Error::ShutDown)),
        ("Scope", shown(&Scope::Link)),
        ("Step", shown(&Step::Authorize)),
        ("Fault", shown(&Fault::Caller)),
    ]);
    shown_types
}

fn signed() -> SasToken {
    SasToken::parse(&token()).expect("a token")
}

/// All that an emulator tells of a client that publishes with the key, and of one that is refused.
async fn activities() -> Shown {
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let watching = std::sync::Arc::clone(&told);
    let emulator = builder()
        .on_activity(move |activity: &Activity| {
            watching.lock().expect("not poisoned").push(shown(activity) + &activity.to_string());
        })
        .build()
        .expect("it can be built");
    let [with_key, with_token] = connection_strings();
    for text in [&with_key, &with_token, &with_key.replace(RULE, "nobody")] {
        let connection_string = ConnectionString::parse(text).expect("well-formed");
        let opened = Connection::open_over(emulator.connect(), &connection_string, &Options::default()).await;
        let connection = opened.expect("opens");
        if let Ok(sender) = connection.sender(HUB).await {
            sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
        }
        connection.close().await;
    }
    let lines = told.lock().expect("not poisoned").clone();
    assert!(lines.len() > 10, "{lines:?}");
    lines.into_iter().map(|line| ("Activity", line)).collect()
}

async fn of_the_emulator(emulator: &Emulator) -> Shown {
    let identity = TlsIdentity::generate(["localhost"]).expect("it can be made");
    let health = emulator.listen_health("127.0.0.1:0").await.expect("a free port");
    let listening = emulator.listen("127.0.0.1:0").await.expect("a free port");
    let stored: Vec<StoredEvent> = emulator.events(HUB).expect("the hub is there");
    assert!(!stored.is_empty());
    vec![
        ("Builder", shown(&builder())),
        ("BuildError", shown(&builder().rule(RULE, KEY).build().expect_err("twice"))),
        ("Tier", shown(&Tier::Basic)),
        ("AccessRule", shown(&rule())),
        ("Emulator", shown(emulator) + &emulator.limits().to_string()),
        ("Listening", shown(&listening)),
        ("StoredEvent", shown(&stored)),
        ("Totals", shown(&emulator.totals())),
        ("Fault", shown(&EmulatedFault::reject("amqp:not-allowed", "no"))),
        ("FaultError", shown(&"reject nth=x".parse::<EmulatedFault>().expect_err("no number"))),
        ("ScriptError", shown(&EmulatedFault::script("reject nth=x").expect_err("no number"))),
        ("Stage", shown(&Stage::Attach)),
        ("LinkRole", shown(&LinkRole::Publisher)),
        ("ConnectionCounts", shown(&ConnectionCounts::default())),
        ("ListeningHealth", shown(&health)),
        ("TlsIdentity", shown(&identity)),
        ("TlsIdentityError", shown(&TlsIdentity::from_pem(KEY.as_bytes(), KEY.as_bytes()).expect_err("no PEM"))),
    ]
}

/// The calls without `async`, and the algorithm, over one emulator.
fn of_the_small_hosts(emulator: &Emulator) -> Shown {
    use hubwire::algorithm::{Algorithm, Elements, ErrorType, Failure, Input, handler};
    let [with_key, with_token] = connection_strings();
    let mut shown_types = vec![
        ("Elements", shown(&Elements::Json)),
        ("ErrorType", shown(&ErrorType::Input)),
        ("Failure", shown(&Failure::new(ErrorType::Input, "wrong"))),
        ("Input", shown(&Input::Text(token())) + &shown(&Input::Binary(KEY.into()))),
        ("ByteVec", shown(&handler::ByteVec(KEY.into()))),
        ("Process", shown(&handler::Process::new())),
        ("ProcessError", shown(&handler::ProcessError::Request(std::io::ErrorKind::NotFound.into()))),
        ("Answer", shown(&handler::Answer::of(&token()))),
        ("NameLookup", shown(&hubwire::NameLookup::SameThread)),
    ];
    let runtime = tokio::runtime::Handle::current();
    let listening = runtime.block_on(emulator.listen("127.0.0.1:0")).expect("a free port");
    let place = format!("sb://127.0.0.1:{}", listening.local_addr().port());
    for text in [with_key, with_token] {
        let to = ConnectionString::parse(&text.replace("sb://localhost", &place)).expect("well-formed");
        // Nobody shows the store any more, where the event goes with the publisher's end.
        let slowly = hubwire::PublisherOptions::default().linger(std::time::Duration::from_secs(3_600));
        let publisher = hubwire::blocking::Publisher::open(&to, HUB, &Options::default(), &slowly).expect("a link");
        let receipt = publisher.publish(token()).expect("taken");
        shown_types.extend([("Publisher", shown(&publisher)), ("Receipt", shown(&receipt))]);
        let to = ConnectionString::parse(&text).expect("well-formed");
        let open = {
            let emulator = emulator.clone();
            move |to: &ConnectionString, options: &Options| {
                let emulator = emulator.clone();
                let connect = move || std::future::ready(Ok(emulator.connect()));
                hubwire::blocking::Connection::open_with(connect, to, options)
            }
        };
        let connection = open(&to, &Options::default()).expect("opens");
        let sender = connection.sender(HUB).expect("authorized");
        shown_types.push(("Ticket", shown(&sender.enqueue(batch_of(sender.batch(), ["event"])).expect("room"))));
        shown_types.extend([("Connection", shown(&connection)), ("Sender", shown(&sender))]);
        let input = Input::json(r#"{"events": ["event"]}"#);
        let Input::Json(json) = &input else { panic!("JSON") };
        shown_types.push(("Json", shown(json)));
        let mut algorithm = Algorithm::new(to, HUB).expect("a name").open_by(open);
        shown_types.push(("Reply", shown(&algorithm.apply(&input).expect("accepted"))));
        shown_types.push(("Algorithm", shown(&algorithm)));
    }
    shown_types
}

#[tokio::test]
async fn no_public_type_shows_a_secret() {
    let emulator = builder().build().expect("it can be built");
    let mut shown_types = of_the_wire();
    shown_types.extend(of_the_client(&emulator).await);
    shown_types.extend(of_the_bench(&emulator).await);
    shown_types.extend(of_the_emulator(&emulator).await);
    shown_types.extend(activities().await);
    let small_hosts = tokio::task::spawn_blocking(move || of_the_small_hosts(&emulator));
    shown_types.extend(small_hosts.await.expect("no panic"));
    for (name, text) in &shown_types {
        assert_clean(name, text);
    }
    let looked_at: BTreeSet<String> = shown_types.iter().map(|(name, _)| (*name).to_owned()).collect();
    let public = public_types();
    let forgotten: Vec<_> = public.difference(&looked_at).collect();
    assert!(forgotten.is_empty(), "show one of each here, made with secrets if it can hold one: {forgotten:?}");
    let gone: Vec<_> = looked_at.difference(&public).collect();
    assert!(gone.is_empty(), "no such type: {gone:?}");
}

/// What `unwrap` and `expect` say of what they did not expect.
#[test]
fn panics_show_no_secret() {
    let [with_key, with_token] = connection_strings();
    let parsed = || ConnectionString::parse(&with_key);
    assert_panic_clean(|| _ = parsed().unwrap_err());
    assert_panic_clean(|| _ = ConnectionString::parse(&with_token).expect_err("a refusal"));
    assert_panic_clean(|| _ = ConnectionString::parse(&token()).unwrap());
    assert_panic_clean(|| _ = SasToken::parse(&token()).unwrap_err());
    assert_panic_clean(|| assert_eq!(format!("{:?}", parsed()), "Ok"));
    assert_panic_clean(|| _ = builder().rule(RULE, KEY).build().unwrap());
    assert_panic_clean(|| panic!("{:?}", SendError::NotSent { batch: Batch::new(1), cause: Error::ShutDown }));
}

#[track_caller]
fn assert_panic_clean(panic: impl FnOnce()) {
    let payload = catch_unwind(AssertUnwindSafe(panic)).expect_err("it panics");
    assert_clean("a panic", payload.downcast_ref::<String>().expect("a message"));
}
