//! What the hub itself says: keys, rights, names, and every fault of the emulator that touches a step.

use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use super::{KEY, assert_told, doctor, examined, passed};
use crate::emulator::with_rule;
use crate::support::Running;
use hubwire::wire::sas::sign_until;

#[test]
fn a_way_that_works_is_told_step_by_step() {
    let emulator = Running::emulator(&[]);
    let string = emulator.connection_string();
    let base = ["settings", "resolve", "tcp", "sasl", "open", "token"];
    for (args, further, words) in [
        (&[][..], &["attach-send"][..], "events can be sent"),
        (&["--for", "listen"], &["attach-listen"], "events can be read"),
        (&["--for", "both"], &["attach-send", "attach-listen"], "events can be sent and read"),
        (&["--send"], &["attach-send", "send"], "an event was sent"),
        (
            &["--round-trip"],
            &["attach-send", "attach-listen", "send", "read-back"],
            "an event went there and came back",
        ),
        (
            &["--round-trip", "--partition-id", "3"],
            &["attach-send", "attach-listen", "send", "read-back"],
            "an event went there and came back",
        ),
    ] {
        let (text, json) = doctor(string, args);
        assert_eq!((text.code, &json["ok"]), (0, &true.into()), "{text:?}");
        assert_eq!(passed(&json), [&base[..], further].concat(), "{args:?}");
        assert!(text.stdout.contains(&format!("all is well: {words}")), "{text:?}");
        assert!(json.get("error").is_none() && text.stderr.is_empty(), "{text:?}");
        assert!(json["steps"].as_array().unwrap().iter().all(|row| row["elapsed_ms"].is_f64()), "{json:#}");
    }
}

#[test]
fn a_sent_event_is_marked() {
    let mut emulator = Running::emulator(&["--print-events"]);
    let string = emulator.connection_string().to_owned();
    assert_eq!(doctor(&string, &["--send"]).0.code, 0);
    assert!(emulator.event()["properties"]["hubwire-doctor"].is_string());
}

#[test]
fn keys_names_and_rights_are_told_apart() {
    let (_emulator, string) = with_rule("all", KEY, "send+listen");
    assert_eq!(doctor(&string, &["--round-trip"]).0.code, 0);
    let wrong_key = string.replace(KEY, "V1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1c=");
    assert_told(&doctor(&wrong_key, &[]), 4, "token", "wrong_key", "copy the rule's connection string anew");
    let nobody = string.replace("=tested", "=nobody");
    assert_told(&doctor(&nobody, &[]), 4, "token", "unknown_rule", "check SharedAccessKeyName");
    let mistyped = string.replace("EntityPath=telemetry", "EntityPath=telemetri");
    let told = doctor(&mistyped, &[]);
    assert_told(&told, 4, "token", "hub_unknown", "check the spelling of `telemetri`");
    assert!(told.1["error"]["message"].as_str().unwrap().contains("could not be found"), "the namespace's own answer");
    assert!(told.1["error"]["tracking_id"].is_string());
    let no_partition = doctor(&string, &["--round-trip", "--partition-id", "99"]);
    assert_told(&no_partition, 4, "attach-send", "partition_unknown", "hubwire info");
    let no_group = doctor(&string, &["--for", "listen", "--consumer-group", "nobody"]);
    assert_told(&no_group, 4, "attach-listen", "hub_unknown", "--consumer-group");
}

#[test]
fn a_missing_right_is_named_with_the_one_that_is_there() {
    let (_listener, string) = with_rule("listen", KEY, "listen");
    let told = doctor(&string, &[]);
    assert_told(&told, 4, "attach-send", "no_send_right", "may listen, and not send");
    assert_eq!(told.1["error"]["condition"], "amqp:unauthorized-access");
    assert_eq!(doctor(&string, &["--for", "listen"]).0.code, 0);
    let (_sender, string) = with_rule("send", KEY, "send");
    assert_eq!(doctor(&string, &["--send"]).0.code, 0);
    assert_told(
        &doctor(&string, &["--for", "listen"]),
        4,
        "attach-listen",
        "no_listen_right",
        "may send, and not listen",
    );
    assert_told(
        &doctor(&string, &["--for", "both"]),
        4,
        "attach-listen",
        "no_listen_right",
        "may send, and not listen",
    );
}

#[test]
fn tokens_that_do_not_hold_are_told_with_why() {
    let (_emulator, string) = with_rule("token", KEY, "send");
    let (endpoint, _) = string.split_once(";SharedAccessKeyName").unwrap();
    let with = |audience: &str, expiry| {
        let token = sign_until(audience, "tested", KEY, expiry);
        format!("{endpoint};UseDevelopmentEmulator=true;EntityPath=telemetry;SharedAccessSignature={}", token.as_str())
    };
    assert_eq!(doctor(&with("sb://127.0.0.1/telemetry", 3_000_000_000), &["--send"]).0.code, 0);
    let ended = doctor(&with("sb://127.0.0.1/telemetry", 1_700_000_000), &[]);
    assert_told(&ended, 4, "token", "expired_token", "hubwire sas mint");
    assert!(ended.0.stdout.contains("warn  settings"), "seen before anything is dialled: {:?}", ended.0);
    let elsewhere = doctor(&with("sb://127.0.0.1/other", 3_000_000_000), &[]);
    assert_told(&elsewhere, 4, "token", "wrong_audience", "hubwire sas explain");
    // So far off that no calendar has it.
    assert_eq!(doctor(&with("sb://127.0.0.1/telemetry", 1_700_000_000_000), &[]).0.code, 0);
}

/// A hub whose clock is ahead takes no token that was signed here.
#[test]
fn a_clock_that_is_behind_is_told_by_the_hubs_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // In 2065.
    let ahead = UNIX_EPOCH + Duration::from_secs(3_000_000_000);
    let listening = runtime.block_on(async {
        let built = hubwire::emulator::Emulator::builder().event_hub("telemetry", 1).starts_at(ahead).build();
        built.unwrap().listen("127.0.0.1:0").await.unwrap()
    });
    let told = doctor(&listening.connection_string(Some("telemetry")), &[]);
    assert_told(&told, 4, "token", "clock_wrong", "set this machine's clock");
}

/// Every fault of the emulator's grammar that touches a step.
#[test]
fn each_fault_is_named_for_what_it_is() {
    const CASES: [Case; 26] = [
        ("refuse-sasl times=always", &[], 6, "sasl", "sasl_refused", "Event Hubs namespace"),
        ("refuse-open times=always", &[], 6, "open", "open_refused", "do what the hub's own words say"),
        (
            "refuse-open times=always condition=amqp:unauthorized-access text=\"Ip has been prevented to connect to the endpoint.\"",
            &[],
            4,
            "open",
            "network_rules",
            "Networking",
        ),
        ("refuse-begin times=always", &[], 6, "token", "attach_refused", "own words"),
        ("refuse-attach times=always condition=amqp:not-allowed", &[], 4, "attach-send", "attach_refused", "own words"),
        (
            "refuse-attach times=always condition=com.microsoft:entity-disabled",
            &[],
            4,
            "attach-send",
            "hub_disabled",
            "Active",
        ),
        (
            "refuse-attach times=always condition=amqp:resource-limit-exceeded",
            &["--for", "listen"],
            4,
            "attach-listen",
            "quota",
            "raise the quota",
        ),
        (
            "refuse-attach times=always condition=com.microsoft:server-busy",
            &[],
            6,
            "attach-send",
            "busy",
            "throughput units",
        ),
        ("refuse-put-token times=always status=401", &[], 4, "token", "token_refused", "own words"),
        ("refuse-put-token times=always status=503", &[], 6, "token", "busy", "try again"),
        ("delay-sasl times=always by=1h", &["--timeout", "4s"], 6, "sasl", "hub_silent", "--timeout"),
        ("delay-open times=always by=1h", &["--timeout", "4s"], 6, "open", "hub_silent", "--timeout"),
        ("delay-begin times=always by=1h", &["--timeout", "4s"], 6, "token", "hub_silent", "--timeout"),
        ("delay-put-token times=always by=1h", &["--timeout", "4s"], 6, "token", "hub_silent", "--timeout"),
        ("delay-attach times=always by=1h", &["--timeout", "4s"], 6, "attach-send", "hub_silent", "--timeout"),
        (
            "reject times=always condition=amqp:not-allowed text=\"not today\"",
            &["--send"],
            5,
            "send",
            "event_rejected",
            "own words",
        ),
        ("release times=always", &["--send"], 6, "send", "event_given_back", "nothing is stored"),
        ("modify times=always", &["--send"], 6, "send", "event_given_back", "nothing is stored"),
        (
            "never-settle times=always",
            &["--send", "--timeout", "4s"],
            7,
            "send",
            "outcome_unknown",
            "may store it twice",
        ),
        ("lose times=always", &["--send", "--timeout", "4s"], 7, "send", "outcome_unknown", "may store it twice"),
        ("server-busy", &["--send"], 6, "send", "busy", "throughput units"),
        ("delay-outcomes by=1h", &["--send", "--timeout", "4s"], 7, "send", "outcome_unknown", "may store it twice"),
        ("withhold-credit", &["--send", "--timeout", "4s"], 6, "send", "no_credit", "try again"),
        ("silence", &["--timeout", "4s"], 6, "sasl", "hub_silent", "firewall that cuts idle streams"),
        ("cut times=always written=0", &[], 6, "sasl", "connection_lost", "--websocket"),
        ("cut times=always written=200", &[], 6, "token", "connection_lost", "--websocket"),
    ];
    // Most of them are waits.
    thread::scope(|scope| {
        for cases in CASES.chunks(CASES.len() / 4) {
            scope.spawn(|| cases.iter().for_each(assert_named));
        }
    });
}

/// A fault, the doctor's arguments, and what it should say: exit code, step, cause, advice.
type Case = (&'static str, &'static [&'static str], i32, &'static str, &'static str, &'static str);

fn assert_named(&(fault, args, code, step, cause, next): &Case) {
    let emulator = Running::emulator(&["--fault", fault]);
    assert_told(&doctor(emulator.connection_string(), args), code, step, cause, next);
}

#[test]
fn blows_end_it_and_manners_do_not() {
    for (fault, cause) in [
        ("close after-deliveries=1", None),
        ("detach after-deliveries=1", None),
        ("end after-deliveries=1", None),
        ("out-of-order", None),
        ("byte-by-byte", None),
        ("delay-outcomes by=2ms", None),
        ("lose times=always", Some("outcome_unknown")),
    ] {
        let emulator = Running::emulator(&["--fault", fault]);
        let (text, json) = doctor(emulator.connection_string(), &["--send", "--timeout", "4s"]);
        let told = json.get("error").and_then(|error| error["cause"].as_str());
        assert_eq!(told, cause, "{fault}: {text:?}");
    }
}

#[test]
fn settings_that_are_wrong_are_told_before_anything_is_dialled() {
    let string =
        format!("Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey={KEY};UseDevelopmentEmulator=true");
    for (args, env, words) in [
        (&[][..], "", "the connection string is empty"),
        (&[], string.as_str(), "no event hub is named"),
        (&["--event-hub", "a b"], &string, "letters, digits"),
    ] {
        let (text, json) = examined(args, &[("CONNECTION_STR", env)]);
        assert_eq!((text.code, json["error"]["kind"].as_str()), (3, Some("configuration")), "{text:?}");
        assert!(text.stderr.contains(words) && json["error"]["message"].as_str().unwrap().contains(words), "{text:?}");
    }
    let odd = format!("{string};EntityPath=telemetry;Foo=x");
    assert!(doctor(&odd, &[]).0.stdout.contains("unknown key `Foo` ignored"));
}
