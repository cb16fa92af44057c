//! Tokens: read from any text, and signed for anything.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::input::Input;
use crate::wire::sas::{self, SasToken, VerifyError};

/// A text that is read as a token keeps its bytes and prints without its signature. A token that is signed is read as
/// what was signed, holds until its last second under its key, and under no other key, expiry or audience.
pub fn sas_token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        read(text);
    }
    sign(Input::new(data));
}

/// `^` in the text stands for a signature: which one must not be seen.
fn read(text: &str) {
    let [one, other] = ["whbgiXr6%2Fr5u", "qZ7kRtP1%2BvB0"].map(|sig| text.replace('^', &format!("&sig={sig}")));
    let parsed = SasToken::parse(&one);
    let printed = [&parsed, &SasToken::parse(&other)].map(|token| format!("{token:?}"));
    assert_eq!(printed[0], printed[1], "the signature shows");
    let Ok(token) = parsed else { return };
    assert_eq!(token.as_str(), one.trim());
    let _ = token.verify("key", at(0));
    let _ = token.covers(token.audience());
    if let Some(renewal) = token.renew_at(at(1_000)) {
        assert!(renewal >= at(1_000));
    }
}

fn sign(mut input: Input<'_>) {
    let (audience, key_name) = (input.text(), input.text());
    let expiry_unix_secs = u64::from(input.number()) + 1;
    let key = String::from_utf8_lossy(input.rest()).into_owned();
    let signed = sas::sign_until(&audience, &key_name, &key, expiry_unix_secs);
    assert_holds(&signed, &key, expiry_unix_secs);
    if audience.is_empty() || key_name.is_empty() {
        return;
    }
    let token = SasToken::parse(signed.as_str()).expect("what is signed is a token");
    assert_eq!((token.audience(), token.key_name()), (audience.as_str(), key_name.as_str()));
    assert_eq!(token.expiry_unix_secs(), Some(expiry_unix_secs));
    assert_holds(&token, &key, expiry_unix_secs);
    for altered in [
        signed.as_str().replace(&format!("&se={expiry_unix_secs}"), &format!("&se={}", expiry_unix_secs + 1)),
        signed.as_str().replace("sr=", "sr=x"),
    ] {
        let altered = SasToken::parse(&altered).expect("it still looks like a token");
        assert_eq!(altered.verify(&key, at(0)), Err(VerifyError::BadSignature));
    }
}

fn assert_holds(token: &SasToken, key: &str, expiry_unix_secs: u64) {
    assert_eq!(token.verify(key, at(expiry_unix_secs) - Duration::from_nanos(1)), Ok(()));
    let ended = VerifyError::Expired { expiry_unix_secs, now_unix_secs: expiry_unix_secs };
    assert_eq!(token.verify(key, at(expiry_unix_secs)), Err(ended));
    let other_key = format!("{key}x");
    assert_eq!(token.verify(&other_key, at(0)), Err(VerifyError::BadSignature));
}

fn at(unix_secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix_secs)
}
