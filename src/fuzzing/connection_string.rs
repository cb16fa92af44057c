//! Connection strings: read, and printed without their secret.

use crate::wire::connection_string::{ConnectionString, Credential, ParseError};
use crate::wire::sas;

/// Two keys, and two signatures, of one length and one kind: which of them a string holds must not be seen.
const KEYS: [&str; 2] = ["c2VjcmV0LWtleS1vbmU/", "dGhlLW90aGVyLWtleSE+"];
const SIGNATURES: [&str; 2] = ["whbgiXr6%2Fr5ueYN%3D", "qZ7kRtP1%2BvB0mXc%3D"];

/// Two strings that differ in their key, or in their token's signature, print alike: value, warnings and error. An error
/// names a byte of the string; what is taken is read again from its printed form, and its token covers its hub.
///
/// `~` in the input stands for a `SharedAccessKey`, `^` for a token's `sig`.
pub fn connection_string(data: &[u8]) {
    let Ok(template) = std::str::from_utf8(data) else { return };
    let [one, other] = [0, 1].map(|which| with_secrets(template, which));
    let parsed = ConnectionString::parse(&one);
    assert_eq!(printed(&parsed), printed(&ConnectionString::parse(&other)), "the secret shows");
    match &parsed {
        Ok(parsed) => taken(parsed),
        Err(error) => assert_names_a_byte(&error.to_string(), one.len()),
    }
}

fn with_secrets(template: &str, which: usize) -> String {
    let with_key = template.replace('~', &format!(";SharedAccessKey={}", KEYS[which]));
    with_key.replace('^', &format!("&sig={}", SIGNATURES[which]))
}

/// Everything that can be printed of it.
fn printed(parsed: &Result<ConnectionString, ParseError>) -> String {
    match parsed {
        Ok(parsed) => {
            let warnings = parsed.warnings().iter().map(|warning| format!("{warning} {}", warning.class()));
            let warnings: Vec<String> = warnings.collect();
            let hubs =
                [None, Some("hub"), Some("a=b")].map(|hub| parsed.resolve_event_hub(hub).map_err(|e| e.to_string()));
            let refused: Vec<_> = hubs.iter().filter_map(|hub| hub.as_ref().err()).collect();
            format!("{parsed:?} {:?} {} {warnings:?} {refused:?}", parsed.credential(), parsed.redacted())
        }
        Err(error) => format!("{error} {error:?} {}", error.class()),
    }
}

fn assert_names_a_byte(message: &str, len: usize) {
    let byte = message.strip_prefix("byte ").and_then(|rest| rest.split(':').next());
    let at: Option<usize> = byte.map(|digits| digits.parse().expect("a number"));
    assert!(at.is_none_or(|at| at <= len), "{message}, in {len} bytes");
}

fn taken(parsed: &ConnectionString) {
    let host = parsed.host();
    assert!(!host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_ascii_uppercase()), "{host:?}");
    if let Ok(hub) = parsed.resolve_event_hub(None) {
        let audience = parsed.audience(hub);
        assert!(sas::sign_until(&audience, "n", "k", 1).covers(&audience), "{audience}");
    }
    if let Credential::SharedAccessKey { name, key } = parsed.credential()
        && !name.is_empty()
        && !key.expose().is_empty()
    {
        read_again(parsed);
    }
}

/// The printed form is a connection string too; only its secret, and names that are no names, are masked.
fn read_again(parsed: &ConnectionString) {
    let again = ConnectionString::parse(&parsed.redacted()).expect("the printed form is well-formed");
    assert_eq!((again.host(), again.use_development_emulator()), (parsed.host(), parsed.use_development_emulator()));
    assert_eq!(again.event_hub().is_some(), parsed.event_hub().is_some());
    // `sb` has no default port to leave out.
    assert_eq!(again.port(), parsed.port());
    assert_eq!(again.redacted(), parsed.redacted());
}
