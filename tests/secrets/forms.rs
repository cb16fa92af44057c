//! The forms in which a secret could turn up.

use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hubwire::wire::sas;

/// A key as the portal hands them out: base64, with characters that percent-encoding changes.
pub(crate) const KEY: &str = "b3Blbn5zZXNhbWU/Pmh1YndpcmU=";
/// A key that no emulator of these tests has.
pub(crate) const WRONG_KEY: &str = "d3Jvbmd+c2VzYW1lPz5odWJ3aXJl";
/// A rule's name.
pub(crate) const RULE: &str = "tested";

/// A token that stands in connection strings; it ends in 2065.
pub(crate) fn token() -> String {
    sas::sign_until("sb://localhost/telemetry", RULE, KEY, 3_000_000_000).as_str().to_owned()
}

/// The signature in a token, percent-encoded as it stands there.
fn signature(token: &str) -> &str {
    let (_, rest) = token.split_once("&sig=").expect("a token has a signature");
    rest.split('&').next().expect("it has an end")
}

/// Every form of every secret.
fn forms() -> Vec<String> {
    let token = token();
    let signature = urlencoding::decode(signature(&token)).expect("text").into_owned();
    let mut forms = Vec::new();
    for secret in [KEY, WRONG_KEY, signature.as_str()] {
        forms.extend(forms_of(secret.as_bytes()));
        // What base64 stands for.
        forms.extend(forms_of(&STANDARD.decode(secret).expect("base64")));
    }
    forms
}

fn forms_of(secret: &[u8]) -> Vec<String> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    // As `Debug` shows bytes: the first of them are enough.
    let numbers = format!("{:?}", &secret[..8]);
    let encoded = urlencoding::encode_binary(secret).into_owned();
    let mut forms = vec![
        secret.escape_ascii().to_string(),
        encoded.replace('%', "%25"),
        encoded.to_ascii_lowercase(),
        encoded,
        hex.to_ascii_uppercase(),
        hex,
        numbers.trim_matches(['[', ']']).to_owned(),
    ];
    forms.extend([STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|engine| engine.encode(secret)));
    forms.extend(std::str::from_utf8(secret).map(str::to_owned));
    // A form in lower case is one too: hosts and names are lower-cased.
    forms.extend(forms.clone().iter().map(|form| form.to_ascii_lowercase()));
    forms
}

/// Fails if a secret is in `text`, which `what` has printed.
#[track_caller]
pub(crate) fn assert_clean(what: &str, text: &str) {
    for form in forms() {
        assert!(!text.contains(&form), "{what} shows a secret, as {form}: {text}");
    }
    for (at, _) in text.match_indices("sig=") {
        let shown = &text[at + 4..];
        assert!(shown.starts_with("***"), "{what} shows a signature: {text}");
    }
    for word in [text, &urlencoding::decode(text).unwrap_or_default()].iter().flat_map(|text| words(text)) {
        assert!(!is_signature(word), "{what} shows what looks like a signature, {word}: {text}");
    }
}

/// Runs of characters that base64 is made of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=-_".contains(c))
}

/// 32 bytes in base64, which is what an HMAC-SHA256 is.
fn is_signature(word: &str) -> bool {
    let word = word.trim_matches('=');
    let has = |kind: fn(&char) -> bool| word.chars().any(|c| kind(&c));
    let is_mixed = has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase) && has(char::is_ascii_digit);
    word.len() == 43 && is_mixed && URL_SAFE_NO_PAD.decode(word.replace('+', "-").replace('/', "_")).is_ok()
}

/// Both forms of `Debug`.
pub(crate) fn shown(value: &impl Debug) -> String {
    format!("{value:?} {value:#?}")
}

#[test]
fn a_secret_is_found_in_any_form() {
    let token = token();
    let raw = urlencoding::decode(signature(&token)).expect("text").into_owned();
    let bytes = STANDARD.decode(&raw).expect("base64");
    let other = sas::sign_until("sb://elsewhere", "n", "k", 1).as_str().to_owned();
    for text in [
        format!("key {KEY}!"),
        format!("key {WRONG_KEY}"),
        urlencoding::encode(KEY).into_owned(),
        STANDARD.encode(KEY),
        "open~sesame?>hubwire".to_owned(),
        format!("{:?}", KEY.as_bytes()),
        format!("{bytes:?}"),
        format!("b\"{}\"", KEY.as_bytes().escape_ascii()),
        KEY.to_ascii_lowercase(),
        token.clone(),
        raw,
        signature(&token).to_ascii_lowercase(),
        other.clone(),
        urlencoding::decode(signature(&other)).expect("text").into_owned(),
    ] {
        let found = std::panic::catch_unwind(|| assert_clean("a test", &text));
        assert!(found.is_err(), "not found in {text}");
    }
    assert_clean("a test", "SharedAccessSignature sr=sb://ns/hub&sig=***&se=1&skn=send, TrackingId:8a9bC0d1-0000");
}
