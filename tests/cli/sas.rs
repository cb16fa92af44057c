//! `hubwire sas`: tokens are minted, explained and verified, and no key or signature shows beside the token that was asked for.

use hubwire::wire::sas::{SasToken, sign_until};

use super::emulator::doors::Scratch;
use super::support::{KEY, Run, Running, hubwire};

/// In 2065.
const LATER: u64 = 3_000_000_000;
const AUDIENCE: &str = "sb://ns.servicebus.windows.net/telemetry";

fn env(text: &str) -> [(&str, &str); 1] {
    [("CONNECTION_STR", text)]
}

fn string() -> String {
    format!(
        "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey={KEY};EntityPath=telemetry"
    )
}

fn minted(args: &[&str], text: &str) -> Run {
    hubwire(&[&["sas", "mint"], args].concat(), "", &env(text))
}

/// The token that was printed, which the key did sign.
fn token_of(run: &Run) -> SasToken {
    assert_eq!(run.code, 0, "{run:?}");
    let token = SasToken::parse(run.stdout.trim()).unwrap();
    assert_eq!(token.verify(KEY, std::time::UNIX_EPOCH), Ok(()));
    token
}

#[test]
fn a_minted_token_is_for_what_was_asked() {
    for (args, audience) in [
        (&[][..], AUDIENCE),
        (&["--event-hub", "audit"], "sb://ns.servicebus.windows.net/audit"),
        (&["--whole-namespace"], "sb://ns.servicebus.windows.net/"),
        (&["--namespace", "other.example"], "sb://other.example/telemetry"),
        (&["--audience", "amqps://x.example/a/b"], "amqps://x.example/a/b"),
    ] {
        let token = token_of(&minted(args, &string()));
        assert_eq!((token.audience(), token.key_name()), (audience, "send"), "{args:?}");
    }
    let run = minted(&["--expiry", "2065-01-24T05:20:00Z"], &string());
    assert_eq!(token_of(&run).expiry_unix_secs(), Some(LATER));
    assert!(run.stderr.contains("lets its bearer do what rule `send` may, in event hub `telemetry`"), "{run:?}");
    assert!(minted(&["--expiry", "3000000000", "--quiet"], &string()).stderr.is_empty());
    let run = minted(&["--expiry", "3000000000", "--output", "json"], &string());
    assert_eq!(
        (run.json()["expires_at"].as_str(), run.json()["key_name"].as_str()),
        (Some("2065-01-24T05:20:00Z"), Some("send"))
    );
    let file = Scratch::with("mint.key", &format!("{KEY}\n"));
    let args = ["--key-file", file.path(), "--key-name", "rule", "--audience", AUDIENCE];
    assert_eq!(token_of(&minted(&args, "")).key_name(), "rule");
}

#[test]
fn a_minted_token_opens_an_emulator() {
    let key = Scratch::with("mint-emulator.key", KEY);
    let emulator = Running::emulator(&["--rule", &format!("name=send,key-file={}", key.path())]);
    let (shown, _) = emulator.connection_string().split_once(" (the key").unwrap();
    let text = shown.replace("***", KEY);
    let token = token_of(&minted(&[], &text));
    let (endpoint, _) = text.split_once(";SharedAccessKeyName").unwrap();
    let with_token =
        format!("{endpoint};UseDevelopmentEmulator=true;EntityPath=telemetry;SharedAccessSignature={}", token.as_str());
    assert_eq!(hubwire(&["send", "event"], "", &env(&with_token)).code, 0);
}

#[test]
fn what_mint_lacks_is_named() {
    let file = Scratch::with("mint-lacks.key", KEY);
    for (args, text, code, words) in [
        (&["--key", "x"][..], string(), 2, "a key is not taken as an argument"),
        (&["--key-file", file.path(), "--audience", AUDIENCE], String::new(), 2, "--key-name"),
        (&["--key-file", file.path(), "--key-name", "a"], String::new(), 2, "--audience URI, or --namespace HOST"),
        (&["--audience", "sr=x&sig=y"], string(), 2, "give a URI"),
        (&["--event-hub", "a b"], string(), 3, "letters, digits"),
        (&[], string().replace(";EntityPath=telemetry", ""), 3, "--whole-namespace"),
        (&[], string().replace(&format!("SharedAccessKey={KEY}"), ""), 3, "add the policy's key"),
        (&["--ttl", "soon"], string(), 2, "expected a time"),
    ] {
        let run = minted(args, &text);
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{args:?}: {run:?}");
        assert!(run.stderr.contains(words), "{args:?}: {run:?}");
    }
}

/// Runs on `token`, and finds no signature in what is printed.
fn told(args: &[&str], token: &str, text: &str) -> Run {
    let run = hubwire(&[&["sas"], args].concat(), token, &env(text));
    let signature = token.split("sig=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or("no signature");
    assert!(!run.stdout.contains(signature) && !run.stderr.contains(signature), "{run:?}");
    run
}

#[test]
fn a_token_is_explained_and_who_would_take_it() {
    let token = sign_until(AUDIENCE, "send", KEY, LATER);
    let ended = sign_until(AUDIENCE, "send", KEY, 1_700_003_600);
    for (args, token, code, words) in [
        (
            &[][..],
            &token,
            0,
            "what rule `send` may do, in event hub `telemetry` of namespace ns.servicebus.windows.net",
        ),
        (&["--event-hub", "telemetry"], &token, 0, "would be taken by event hub `telemetry`"),
        (&["--event-hub", "other"], &token, 4, "would be refused by event hub `other`"),
        (&["--namespace", "else.example"], &token, 4, "would be refused by every event hub of namespace else.example"),
        (&[], &ended, 0, "ended at 2023-11-14T23:13:20Z"),
        (&["--event-hub", "telemetry"], &ended, 4, "sign a new one"),
    ] {
        let run = told(&[&["explain"], args].concat(), token.as_str(), "");
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        assert!(run.stdout.contains(words) && run.stdout.contains("not known"), "{args:?}: {run:?}");
        let json = told(&[&["explain", "--output", "json"], args].concat(), token.as_str(), "");
        assert_eq!((json.code, json.json()["key_name"].as_str()), (code, Some("send")));
    }
    let with_token = format!("Endpoint=sb://ns.servicebus.windows.net/;SharedAccessSignature={}", token.as_str());
    for (args, input) in [(&["explain"][..], with_token.as_str()), (&["explain", "--from-connection-string"], "")] {
        let run = told(args, input, &with_token);
        assert!(run.code == 0 && run.stdout.contains("sig=***"), "{run:?}");
    }
}

#[test]
fn a_key_is_found_to_have_signed_or_not() {
    let file = Scratch::with("verify.key", KEY);
    let by_file = ["verify", "--key-file", file.path()];
    for (signed_with, end, code, words) in [
        (KEY.to_owned(), LATER, 0, "this key signed it"),
        (KEY.to_owned(), 1_700_000_000, 4, "ended at"),
        ("other".to_owned(), LATER, 4, "try the other"),
        (format!("{KEY}\n"), LATER, 4, "a line's end"),
    ] {
        let token = sign_until(AUDIENCE, "send", &signed_with, end);
        for run in [told(&by_file, token.as_str(), ""), told(&["verify"], token.as_str(), &string())] {
            assert_eq!(run.code, code, "{run:?}");
            assert!(run.stdout.contains(words), "{run:?}");
        }
    }
}

#[test]
fn what_is_no_token_is_refused_without_being_shown() {
    let token = sign_until(AUDIENCE, "send", KEY, LATER);
    for command in ["explain", "verify"] {
        let run = told(&[command, token.as_str()], "", &string());
        assert!(run.code == 2 && run.stderr.contains("a token is not taken as an argument"), "{run:?}");
        let run = told(&[command], "sig=c2VjcmV0", &string());
        assert!(run.code == 2 && run.stderr.contains("starts with `SharedAccessSignature`"), "{run:?}");
    }
}
