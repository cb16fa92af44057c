//! `hubwire sas verify`: whether a key signed a token, and if not what the signer may have done otherwise.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::explain::Validity;
use super::{Key, given_token};
use crate::cli::args::Output;
use crate::cli::args::sas::VerifyArgs;
use crate::cli::failure::{self, Failure, Kind};
use crate::clock;
use crate::wire::sas::{Field, SasToken};
use crate::wire::secret::printable;

pub(super) fn run(args: &VerifyArgs) -> Result<u8, Failure> {
    let token = given_token(&args.given)?;
    let key = Key::read(&args.signer)?;
    let validity = Validity::of(&token, clock::wall());
    let is_signed = token.is_signed_by(key.text.expose().as_bytes(), None);
    let finding = Finding {
        token: token.redacted(),
        is_signed_by_key: is_signed,
        is_expired: validity.has_ended(),
        validity: validity.to_string(),
        causes: if is_signed { Vec::new() } else { causes(&token, key.text.expose(), key.name.as_deref()) },
    };
    match args.output {
        Output::Text => failure::print(&finding)?,
        Output::Json => failure::print(serde_json::to_string(&finding).unwrap_or_default())?,
    }
    Ok(if is_signed && !finding.is_expired { 0 } else { Kind::Refused.exit_code() })
}

#[derive(Debug, Serialize)]
struct Finding {
    /// Masked.
    token: String,
    is_signed_by_key: bool,
    is_expired: bool,
    validity: String,
    /// What the signer may have done otherwise, the likeliest first.
    causes: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.token)?;
        let signature =
            if self.is_signed_by_key { "this key signed it" } else { "this key did not sign it as it stands" };
        writeln!(f, "  signature  {signature}")?;
        for cause in &self.causes {
            writeln!(f, "  cause      {cause}")?;
        }
        write!(f, "  holds      {}", self.validity)
    }
}

/// What explains that `key` did not sign the token. One that is shown by trying stands alone.
fn causes(token: &SasToken, key: &str, name: Option<&str>) -> Vec<String> {
    if token.expiry_unix_secs().is_none() {
        return vec!["the token has no se, which is part of what is signed: sign one with an end".to_owned()];
    }
    if token.signature().is_none_or(|signature| signature.len() != 32) {
        return vec!["sig is not the 32 bytes of an HMAC-SHA256: copy the whole token, or sign a new one".to_owned()];
    }
    if let Some(cause) = of_key(token, key).or_else(|| of_audience(token, key)) {
        return vec![cause.to_owned()];
    }
    let mut causes = Vec::new();
    if let Some(name) = name.filter(|name| *name != token.key_name()) {
        let (ours, theirs) = (printable(name), printable(token.key_name()));
        causes.push(format!(
            "the token names rule `{theirs}`, and the key is that of rule `{ours}`: take that rule's key"
        ));
    }
    causes.push(
        "another key: a rule has a primary and a secondary one, and each can have been made anew: try the other".into(),
    );
    causes.push("a part of the token was altered after it was signed (sr, se): sign a new one".into());
    causes
}

/// The same key, read in another way.
fn of_key(token: &SasToken, key: &str) -> Option<&'static str> {
    let signs = |bytes: &[u8]| token.is_signed_by(bytes, None);
    let decoded = STANDARD.decode(key).map(Zeroizing::new);
    let encoded = Zeroizing::new(STANDARD.encode(key));
    let unquoted = key.trim_matches(['"', '\'']);
    if decoded.is_ok_and(|bytes| signs(&bytes)) {
        return Some("the signer base64-decoded the key first: its text as it stands is the key");
    }
    if signs(encoded.as_bytes()) {
        return Some("the signer base64-encoded the key first: its text as it stands is the key");
    }
    for end in ["\n", "\r\n", " "] {
        if signs(Zeroizing::new(format!("{key}{end}")).as_bytes()) {
            return Some(
                "the signer's key has a line's end or a blank behind it: take that off where it reads the key",
            );
        }
    }
    for quote in ["\"", "'"] {
        if signs(Zeroizing::new(format!("{quote}{key}{quote}")).as_bytes()) {
            return Some("the signer's key has quotes round it: take them off");
        }
    }
    if unquoted != key && signs(unquoted.as_bytes()) {
        return Some("the key that was given here has quotes round it: take them off");
    }
    None
}

/// The same key over another text in the place of `sr`.
fn of_audience(token: &SasToken, key: &str) -> Option<&'static str> {
    let signs = |sr: &str| token.is_signed_by(key.as_bytes(), Some(sr));
    let (sr, audience) = (token.field(Field::Resource), token.audience());
    let encoded = urlencoding::encode(audience).into_owned();
    let lower_hex = encoded.to_ascii_lowercase();
    if signs(audience) {
        return Some(
            "the signer signed the audience before percent-encoding it: encode first, sign that, and send the same",
        );
    }
    if [encoded.as_str(), sr].iter().any(|text| signs(&text.to_ascii_lowercase()))
        || signs(&audience.to_ascii_lowercase())
    {
        return Some("the signer signed the audience in lower case, and sr is not: send the same text that was signed");
    }
    if signs(&encoded) || signs(&lower_hex) || signs(&urlencoding::encode(&encoded)) {
        return Some("sr was encoded anew after signing: send the same text that was signed, to the letter");
    }
    let other_end = audience.strip_suffix('/').map_or_else(|| format!("{audience}/"), str::to_owned);
    if signs(&urlencoding::encode(&other_end)) || signs(&other_end) {
        return Some(
            "a slash at the end of the audience came or went after signing: send the same text that was signed",
        );
    }
    let rest = audience.split_once("://").map_or(audience, |(_, rest)| rest);
    for scheme in ["sb://", "amqps://", "amqp://", "https://", "http://", ""] {
        if signs(&urlencoding::encode(&format!("{scheme}{rest}"))) {
            return Some("the audience's scheme was changed after signing: send the same text that was signed");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sas::sign_until;

    const KEY: &str = "b3Blbn5zZXNhbWU/Pmh1YndpcmU=";
    const AUDIENCE: &str = "sb://Ns.example/hub";

    fn token(text: &str) -> SasToken {
        SasToken::parse(text).unwrap()
    }

    /// The token that a signer makes who signs `signed` and sends `sr`.
    fn altered(signed: &str, sr: &str, key: &str) -> SasToken {
        // What is not reserved is encoded as itself, so the wanted text is signed by way of its own encoding.
        let made = sign_until("x", "send", key, 2_000);
        let sig = hmac_of(signed, key);
        token(&made.as_str().replacen("sr=x", &format!("sr={sr}"), 1).replace(made.field(Field::Signature), &sig))
    }

    fn hmac_of(sr: &str, key: &str) -> String {
        use hmac::{Hmac, KeyInit, Mac};
        let mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        let mac = mac.chain_update(format!("{sr}\n2000"));
        urlencoding::encode(&STANDARD.encode(mac.finalize().into_bytes())).into_owned()
    }

    #[test]
    fn what_a_signer_did_to_the_key_is_found_by_trying() {
        for (signed_with, words) in [
            (STANDARD.encode(KEY), "base64-encoded the key"),
            (format!("{KEY}\n"), "a line's end"),
            (format!("\"{KEY}\""), "quotes"),
            ("open~sesame?>hubwire".to_owned(), "base64-decoded the key"),
        ] {
            let token = sign_until(AUDIENCE, "send", &signed_with, 2_000);
            let causes = causes(&token, KEY, None);
            assert!(causes.len() == 1 && causes[0].contains(words), "{causes:?}");
        }
        let token = sign_until(AUDIENCE, "send", KEY, 2_000);
        assert!(causes(&token, &format!("\"{KEY}\""), None)[0].contains("given here has quotes"));
    }

    #[test]
    fn what_became_of_the_audience_is_found_by_trying() {
        let encoded = urlencoding::encode(AUDIENCE).into_owned();
        let slashed = urlencoding::encode("sb://Ns.example/hub/").into_owned();
        for (signed, sr, words) in [
            (AUDIENCE, encoded.as_str(), "before percent-encoding"),
            (&encoded.to_ascii_lowercase(), &encoded, "in lower case"),
            (&encoded, AUDIENCE, "encoded anew"),
            (&encoded, &slashed, "a slash"),
            (&urlencoding::encode("amqps://Ns.example/hub"), &encoded, "scheme was changed"),
        ] {
            let token = altered(signed, sr, KEY);
            let causes = causes(&token, KEY, None);
            assert!(causes.len() == 1 && causes[0].contains(words), "{signed} {sr}: {causes:?}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_offered() {
        let token = sign_until(AUDIENCE, "send", "another", 2_000);
        let causes_told = causes(&token, KEY, Some("listen")).join("\n");
        for words in ["names rule `send`, and the key is that of rule `listen`", "primary and a secondary", "altered"] {
            assert!(causes_told.contains(words), "{causes_told}");
        }
        assert!(!causes_told.contains(KEY));
        assert!(
            causes(&super::super::SasToken::parse("SharedAccessSignature sr=a&sig=b&skn=c").unwrap(), KEY, None)[0]
                .contains("no se")
        );
    }
}
