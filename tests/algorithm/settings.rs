//! The sample's connection settings, row by row, and hubs that say no. Source: algorithm-process 5.2. Beside each stands what the
//! sample does with the newest SDK.

use std::time::Duration;

use hubwire::emulator::{Emulator, Fault, TlsIdentity};

use super::host::{Host, KEY};
use super::support::HUB;
use super::support::now;
use super::support::road::Road;
use super::{broker, connection_string, guide, once_within};

#[test]
fn the_samples_settings_row_by_row() {
    let broker = broker();
    let good = connection_string(broker.port());
    let bare = good.replace(";EntityPath=telemetry", "");
    let named = ("EVENTHUB_NAME", HUB);
    let init = "InitializationError";
    for (text, hub, sample, error) in [
        (Some(""), None, "blank or malformed", Some((init, "the connection string is empty"))),
        (None, Some(named), "'NoneType' object has no attribute 'strip'", Some((init, "no connection string"))),
        (Some("garbage"), Some(named), "blank or malformed", Some((init, "CONNECTION_STR: "))),
        (Some(&*format!("\"{good}\"")), None, "blank or malformed", Some((init, "CONNECTION_STR: "))),
        (Some(&*good.replace("Endpoint=", "End=")), None, "blank or malformed", Some((init, "Endpoint"))),
        (
            Some(&*format!("{good};SharedAccessKeyName=two")),
            None,
            "blank or malformed",
            Some((init, "SharedAccessKeyName")),
        ),
        (Some(&*bare), None, "can not be None or empty", Some((init, "no event hub is named"))),
        (
            Some(&*good.replace("EntityPath=telemetry", "EntityPath=other")),
            Some(named),
            "the argument wins, without a word",
            Some((init, "EVENTHUB_NAME names the event hub `telemetry`, and EntityPath")),
        ),
        (Some(&*good), None, "EntityPath is used", None),
        (Some(&*bare), Some(named), "the argument is used", None),
        (
            Some(&*good.replace("SharedAccessKeyName=send;", "")),
            None,
            "Invalid connection string",
            Some((init, "SharedAccessKeyName")),
        ),
        (
            Some(&*good.replace(&format!("SharedAccessKey={KEY};"), "")),
            None,
            "Invalid connection string",
            Some((init, "SharedAccessKey")),
        ),
        (Some(&*good.replace("sb://", "")), None, "Invalid Endpoint", None),
        (Some(&*format!("  {good};\n")), None, "accepted", None),
        (Some(&*good.replace("SharedAccessKeyName", "sharedaccesskeyname")), None, "accepted", None),
    ] {
        let mut env: Vec<(&str, &str)> = hub.into_iter().collect();
        env.extend(text.map(|text| ("CONNECTION_STR", text)));
        let mut host = Host::start(&env, &[]);
        let told = host.post(&guide());
        match error {
            None => assert_eq!(told.accepted(), 3, "{sample}"),
            Some((error_type, words)) => {
                let (its_type, message) = told.error();
                assert_eq!(its_type, error_type, "{sample}: {message}");
                assert!(message.contains(words), "{sample}: {message}");
            }
        }
        assert_eq!(host.end().0, 0);
    }
}

/// The sample takes 12 to 15 s for each of these, and tries again what will not change.
#[test]
fn a_hub_that_says_no_is_believed_at_once() {
    let broker = broker();
    let good = connection_string(broker.port());
    for (text, error_type, words) in [
        (good.replace("=send;", "=nobody;"), "ThirdPartyCredentialError", "401"),
        (good.replace(KEY, "d3Jvbmcga2V5"), "ThirdPartyCredentialError", "401"),
        (good.replace("EntityPath=telemetry", "EntityPath=nowhere"), "EntityNotFoundError", "nowhere"),
        (connection_string(free_port()), "AlgorithmError", "cannot connect to 127.0.0.1"),
    ] {
        once_within(Duration::from_secs(2), || {
            let mut host = Host::start(&[("CONNECTION_STR", &text)], &[]);
            let began = now();
            for _ in 0..2 {
                let (its_type, message) = host.post(&guide()).error();
                assert_eq!(its_type, error_type, "{message}");
                assert!(message.contains(words) && message.ends_with("none is stored"), "{message}");
            }
            began.elapsed()
        });
    }
}

#[test]
fn a_hub_that_was_taken_away_is_told_when_it_is_needed() {
    let broker = broker();
    let road = Road::to(&broker);
    let mut host = Host::start(&[("CONNECTION_STR", &connection_string(road.port()))], &[]);
    assert_eq!(host.post(&guide()).accepted(), 3);
    let given = road.given();
    broker.emulator.inject(Fault::detach("amqp:not-found", "The messaging entity could not be found."));
    road.until_more_than(given);
    let (error_type, message) = host.post(&guide()).error();
    assert_eq!(error_type, "EntityNotFoundError", "{message}");
    assert_eq!(host.post(&guide()).accepted(), 3, "the next call begins anew");
}

/// A right that was taken, and given back: the sender is given up for good, and the next call has another one.
#[test]
fn a_right_that_comes_back_is_found() {
    let broker = broker();
    let road = Road::to(&broker);
    let mut host = Host::start(&[("CONNECTION_STR", &connection_string(road.port()))], &[]);
    assert_eq!(host.post(&guide()).accepted(), 3);
    let given = road.given();
    broker.emulator.inject(Fault::refuse_attach("amqp:unauthorized-access", "Send is required.").always());
    broker.emulator.inject(Fault::detach("amqp:unauthorized-access", "Send is required."));
    road.until_more_than(given);
    // The first may have waited for the link while it was sought.
    for _ in 0..2 {
        let (error_type, message) = host.post(&guide()).error();
        assert_eq!(error_type, "ThirdPartyCredentialError", "{message}");
    }
    broker.emulator.clear_faults();
    assert_eq!(host.post(&guide()).accepted(), 3, "the next call begins anew");
}

#[test]
fn what_a_hub_refuses_is_told_in_its_words() {
    let broker = broker();
    let mut host = Host::start(&[("CONNECTION_STR", &connection_string(broker.port()))], &[]);
    broker.emulator.inject(Fault::reject("amqp:not-allowed", "not today"));
    let (error_type, message) = host.post(&guide()).error();
    assert_eq!(error_type, "AlgorithmError");
    assert!(message.contains("the hub rejected the batch: amqp:not-allowed: not today"), "{message}");
    assert_eq!((broker.stored(), host.post(&guide()).accepted()), (0, 3));
}

/// With bundled roots a certificate of one's own is unknown; with its authority it is known.
#[test]
fn a_certificate_that_is_not_trusted_is_told() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let identity = TlsIdentity::generate(["localhost"]).expect("it can be made");
    let emulator = Emulator::builder().rule("send", KEY).event_hub(HUB, 4).build().expect("a hub");
    let listening = runtime.block_on(emulator.listen_tls("127.0.0.1:0", &identity)).expect("a free port");
    let authority = std::env::temp_dir().join(format!("hubwire-algorithm-ca-{}.pem", std::process::id()));
    std::fs::write(&authority, identity.authority_pem().expect("made here")).expect("a file");
    let text = listening.connection_string(Some(HUB));
    let mut host = Host::start(&[("CONNECTION_STR", &text)], &[]);
    let (error_type, message) = host.post(&guide()).error();
    assert_eq!(error_type, "AlgorithmError");
    assert!(message.contains("TLS with localhost failed: invalid peer certificate: UnknownIssuer"), "{message}");
    let mut host = Host::start(&[("CONNECTION_STR", &text)], &["--ca-file", authority.to_str().expect("a name")]);
    assert_eq!(host.post(&guide()).accepted(), 3);
    std::fs::remove_file(authority).expect("it is there");
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}
