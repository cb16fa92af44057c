//! What is odd in a token's text: each in a sentence that says what to do. No part of a signature is shown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::date;
use crate::wire::sas::{Field, SasToken, host_and_path};

/// Seconds since 1970 beyond which milliseconds are meant: the year 5138, and as milliseconds 1973.
const MILLISECONDS_FROM: u64 = 100_000_000_000;
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const SIGNATURE_LEN: usize = 32;

/// All that is odd, in the order of the token's usual fields.
pub(in crate::cli) fn oddities(token: &SasToken, now: SystemTime) -> Vec<String> {
    let mut found: Vec<&str> = Vec::new();
    of_resource(token, &mut found);
    of_signature(token, &mut found);
    of_key_name(token, &mut found);
    let others = fields(token.as_str()).filter(|name| !["sr", "sig", "se", "skn"].contains(name));
    if others.count() > 0 {
        found.push(
            "there are fields beside sr, sig, se and skn: a hub passes over them; was the token joined with something?",
        );
    }
    if token.as_str().contains(['\r', '\n']) {
        found.push("there is a line's end in the middle: copy the token anew, in one line");
    }
    found.into_iter().map(str::to_owned).chain(of_expiry(token, now)).collect()
}

fn fields(text: &str) -> impl Iterator<Item = &str> {
    let body = text.split_once(' ').map_or(text, |(_, body)| body);
    body.split('&').filter_map(|field| field.split_once('=')).map(|(name, _)| name)
}

fn of_resource(token: &SasToken, found: &mut Vec<&str>) {
    let audience = token.audience();
    let (host, path) = host_and_path(audience);
    if token.field(Field::Resource).contains([':', '/']) {
        found.push(
            "sr is not percent-encoded: SDKs write sb%3A%2F%2F. A hub verifies sr as it stands, so encode it before signing, \
             not after",
        );
    }
    if is_encoded(audience) {
        found.push("sr is percent-encoded twice: encode the audience once, then sign");
    }
    match audience.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()) {
        None if !is_encoded(audience) => found.push("sr has no scheme such as sb://, which every SDK signs"),
        Some(scheme) if !["sb", "amqps", "amqp", "https", "http"].contains(&scheme.as_str()) => {
            found.push("sr has a scheme that no SDK signs: use sb://");
        }
        Some(scheme) if scheme.starts_with("http") => {
            found.push(
                "sr has the scheme of HTTP, as tokens for its REST interface have: over AMQP it is taken as well",
            );
        }
        _ => {}
    }
    if host.is_empty() {
        found.push("sr names no host: sign sb://<namespace>.servicebus.windows.net/<event hub>");
    }
    if audience.ends_with('/') && !path.is_empty() {
        found.push("sr ends with a slash, which hubs do not mind");
    }
    if audience.contains("servicebus.windows.net:") {
        found.push("sr names a port, which does not count: leave it out");
    }
    if audience.trim() != audience {
        found.push("sr has blanks at its ends: take them out before signing");
    }
}

/// Whether what is decoded once is still encoded.
fn is_encoded(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["%3a", "%2f", "%25"].iter().any(|code| lower.contains(code))
}

fn of_signature(token: &SasToken, found: &mut Vec<&str>) {
    let sig = token.field(Field::Signature);
    if sig.contains("%25") {
        found.push("sig is percent-encoded twice: encode the base64 once");
    } else if sig.contains('+') {
        found.push("sig has a bare `+`, which is read as a blank: encode it as %2B");
    } else if sig.contains(['-', '_']) {
        found.push(
            "sig is base64 of the alphabet for URLs: sign with the usual one, with `+` and `/`, then percent-encode",
        );
    } else if sig.len() > SIGNATURE_LEN && !has_capitals(sig) {
        found.push("sig has no capital letter: something lower-cased it on its way; copy the token as it was signed");
    } else {
        match token.signature().map(|bytes| bytes.len()) {
            Some(SIGNATURE_LEN) if sig.contains(['/', '=']) => {
                found.push("sig is not percent-encoded: write %2F for `/` and %3D for `=`");
            }
            Some(SIGNATURE_LEN) => {}
            Some(_) => found.push("sig is not the 32 bytes of an HMAC-SHA256: was it cut, or written in hex?"),
            None => found.push("sig is not base64: a part may be missing; copy the whole token, or sign a new one"),
        }
    }
}

/// Of the 43 letters of a signature none is a capital once in thousands of millions. Those of `%2F` do not count.
fn has_capitals(encoded: &str) -> bool {
    let mut pieces = encoded.split('%');
    let first = pieces.next().unwrap_or_default();
    let capitals = |piece: &str| piece.bytes().any(|byte| byte.is_ascii_uppercase());
    capitals(first) || pieces.any(|piece| capitals(piece.get(2..).unwrap_or_default()))
}

fn of_key_name(token: &SasToken, found: &mut Vec<&str>) {
    if is_encoded(token.key_name()) || token.key_name().contains("%20") {
        found.push("skn is percent-encoded twice, as one SDK does: the rule's name may not be found");
    }
    if token.key_name() == "RootManageSharedAccessKey" {
        found.push(
            "skn is the namespace's root rule, which may do everything: for a publisher take a rule with Send alone, on its \
             event hub",
        );
    }
}

fn of_expiry(token: &SasToken, now: SystemTime) -> Option<String> {
    let Some(expiry) = token.expiry_unix_secs() else {
        return Some("there is no se: no hub takes a token without an end; sign one with it".to_owned());
    };
    if expiry >= MILLISECONDS_FROM {
        let meant = date(expiry / 1_000).unwrap_or_else(|| "nothing".to_owned());
        return Some(format!(
            "se looks like milliseconds, and is read as seconds: if {meant} is meant, divide by 1000"
        ));
    }
    let left = Duration::from_secs(expiry).saturating_sub(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    (left > YEAR).then(|| {
        "se is more than a year off: such a token is ended only by changing the rule's key; sign for hours instead"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sas::sign_until;

    const NOW: u64 = 1_700_000_000;
    const SIG: &str = "whbgiXr6%2Fr5ueYNfuhWBGRmtz3Ur81dx5Q%2FVsrfvSOU%3D";

    fn found(text: &str) -> Vec<String> {
        let token = SasToken::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        oddities(&token, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    fn with(sr: &str, sig: &str, se: &str, skn: &str) -> String {
        format!("SharedAccessSignature sr={sr}&sig={sig}{se}&skn={skn}")
    }

    #[test]
    fn what_the_sdks_write_is_not_odd() {
        for audience in ["sb://ns.servicebus.windows.net/hub", "amqps://ns/hub", "sb://ns.servicebus.windows.net/"] {
            let token = sign_until(audience, "send", "a2V5", NOW + 60);
            assert_eq!(found(token.as_str()), [""; 0], "{audience}");
        }
        assert_eq!(found(&with("sb%3a%2f%2fns%2fhub", SIG, "&se=1700000001", "send")), [""; 0]);
    }

    #[test]
    fn each_oddity_says_what_to_do() {
        let good = "sb%3A%2F%2Fns%2Fhub";
        let se = "&se=1700000001";
        for (text, words) in [
            (with("sb://ns/hub", SIG, se, "send"), "sr is not percent-encoded"),
            (with("sb%253A%252F%252Fns%252Fhub", SIG, se, "send"), "sr is percent-encoded twice"),
            (with("ns%2Fhub", SIG, se, "send"), "no scheme"),
            (with("ftp%3A%2F%2Fns%2Fhub", SIG, se, "send"), "no SDK signs"),
            (with("http%3A%2F%2Fns%2Fhub", SIG, se, "send"), "scheme of HTTP"),
            (with("sb%3A%2F%2F", SIG, se, "send"), "no host"),
            (with("sb%3A%2F%2Fns%2Fhub%2F", SIG, se, "send"), "ends with a slash"),
            (with("sb%3A%2F%2Fns.servicebus.windows.net%3A5671%2Fhub", SIG, se, "send"), "a port"),
            (with("sb%3A%2F%2Fns%2Fhub+", SIG, se, "send"), "blanks"),
            (with(good, "whbg%252Fr5", se, "send"), "sig is percent-encoded twice"),
            (with(good, "whbg+r5", se, "send"), "bare `+`"),
            (with(good, "whbg-r5_", se, "send"), "alphabet for URLs"),
            (with(good, "whbg", se, "send"), "not the 32 bytes"),
            (with(good, &SIG.to_ascii_lowercase(), se, "send"), "lower-cased it"),
            (with(good, "!", se, "send"), "not base64"),
            (with(good, "whbgiXr6/r5ueYNfuhWBGRmtz3Ur81dx5Q/VsrfvSOU=", se, "send"), "sig is not percent-encoded"),
            (with(good, SIG, se, "my%2520rule"), "skn is percent-encoded twice"),
            (with(good, SIG, se, "RootManageSharedAccessKey"), "a rule with Send alone"),
            (with(good, SIG, "", "send"), "there is no se"),
            (with(good, SIG, "&se=1700003600000", "send"), "if 2023-11-14T23:13:20Z is meant"),
            (with(good, SIG, "&se=3000000000", "send"), "more than a year off"),
            (with(good, SIG, "&se=1700000001&st=1", "send"), "fields beside"),
        ] {
            let found = found(&text);
            assert!(found.len() == 1 && found[0].contains(words), "{text}: {found:?}");
            assert!(found[0].contains([':', ';', ',']) && !found[0].contains("whbg"), "{found:?}");
        }
    }
}
