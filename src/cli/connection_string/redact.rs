//! `hubwire connection-string redact`: the text with its secrets masked and its shape kept, be it a connection string or not.

use crate::cli::args::connection_string::RedactArgs;
use crate::cli::failure::{self, Failure};
use crate::wire::connection_string::Key;
use crate::wire::sas::SasToken;
use crate::wire::secret::{MASK, printable};

/// Letters of the name of a pair that is not known: a longer one may be a piece of a secret.
const MAX_NAME_LEN: usize = 32;

pub(super) fn run(args: &RedactArgs) -> Result<u8, Failure> {
    let (text, _) = super::read(&args.text)?;
    failure::print(redacted(text.expose()))?;
    Ok(0)
}

/// Order, spelling, blanks and faults stay; of values only those that cannot be secrets do.
fn redacted(text: &str) -> String {
    text.split(';').map(pair).collect::<Vec<_>>().join(";")
}

fn pair(pair: &str) -> String {
    if pair.trim().is_empty() {
        return pair.replace(|c: char| c.is_control() && c != '\n', " ");
    }
    let Some((name, value)) = pair.split_once('=') else { return MASK.to_owned() };
    let plain = name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\u{feff}'));
    let is_word = plain.len() <= MAX_NAME_LEN && plain.bytes().all(|byte| byte.is_ascii_alphabetic());
    let name = if is_word { name.trim_start_matches('\u{feff}') } else { MASK };
    let inner = value.trim();
    let shown = shown(plain, inner);
    if inner.is_empty() { format!("{name}={value}") } else { format!("{name}={}", value.replacen(inner, &shown, 1)) }
}

fn shown(name: &str, value: &str) -> String {
    let is = |key: Key| key.name().eq_ignore_ascii_case(name);
    if is(Key::Endpoint) {
        return endpoint(value);
    }
    if is(Key::SharedAccessSignature) {
        return SasToken::parse(value).map_or_else(|_| MASK.to_owned(), |token| token.redacted());
    }
    if [Key::SharedAccessKeyName, Key::EntityPath, Key::UseDevelopmentEmulator].into_iter().any(is) {
        return named(value).to_owned();
    }
    MASK.to_owned()
}

/// A name, unless a lost `;` may have put more into it.
fn named(value: &str) -> &str {
    let lower = value.to_ascii_lowercase();
    let is_odd = lower.contains("sharedaccesskey") && lower != "rootmanagesharedaccesskey" || value.len() > 256;
    if is_odd { MASK } else { printable(value) }
}

/// Scheme, host and port; what is before an `@` and behind the host may be meant for nobody.
fn endpoint(value: &str) -> String {
    let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, _)| value.split_at(scheme.len() + 3));
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, host)| ("***@", host));
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".-_:[]".contains(c))).unwrap_or(rest.len());
    let (host, after) = rest.split_at(end);
    let after = if after.bytes().all(|byte| matches!(byte, b'/' | b'"' | b'\'')) { after } else { "/***" };
    let scheme = if scheme.len() <= 10 { printable(scheme) } else { MASK };
    format!("{scheme}{user}{host}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_shape_stays_and_secrets_go() {
        let token = "SharedAccessSignature sr=sb%3A%2F%2Fns&sig=c2VjcmV0&se=1&skn=send";
        for (text, expected) in [
            (
                "Endpoint=sb://ns.example:5671/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0;EntityPath=hub"
                    .to_owned(),
                "Endpoint=sb://ns.example:5671/;SharedAccessKeyName=send;SharedAccessKey=***;EntityPath=hub",
            ),
            (" endpoint = ns ;; sharedaccesskey = c2VjcmV0 ;".into(), " endpoint = ns ;; sharedaccesskey = *** ;"),
            (
                format!("Endpoint=sb://ns;SharedAccessSignature={token}"),
                "Endpoint=sb://ns;SharedAccessSignature=SharedAccessSignature sr=sb://ns&sig=***&se=1&skn=send",
            ),
            ("SharedAccessSignature=c2VjcmV0".into(), "SharedAccessSignature=***"),
            ("Endpoint=sb://user:c2VjcmV0@ns/x?c2VjcmV0".into(), "Endpoint=sb://***@ns/***"),
            ("\"Endpoint=sb://ns/;SharedAccessKey=c2VjcmV0\"".into(), "\"Endpoint=sb://ns/;SharedAccessKey=***"),
            ("c2VjcmV0".into(), "***"),
            ("c2VjcmV0=x;Foo=c2VjcmV0".into(), "***=***;Foo=***"),
            ("SharedAccessKeyName=sendSharedAccessKey=c2VjcmV0".into(), "SharedAccessKeyName=***"),
            ("EntityPath=hubSharedAccessKeyc2VjcmV0".into(), "EntityPath=***"),
            ("SharedAccessKeyName=RootManageSharedAccessKey".into(), "SharedAccessKeyName=RootManageSharedAccessKey"),
            ("SharedAccessKey=".into(), "SharedAccessKey="),
        ] {
            assert_eq!(redacted(&text), expected);
            assert!(!redacted(&text).contains("c2VjcmV0"));
        }
    }

    proptest! {
        #[test]
        fn no_key_is_shown_wherever_a_separator_is_lost(lost in 0_usize..5, key in "[A-Za-z0-9+/]{42}[A-Za-z]=") {
            let text = format!("Endpoint=sb://ns/;SharedAccessKeyName=send;SharedAccessKey={key};EntityPath=hub");
            let at = text.char_indices().filter(|(_, c)| matches!(c, ';')).map(|(at, _)| at).nth(lost);
            let text = at.map_or(text.clone(), |at| format!("{}{}", &text[..at], &text[at + 1..]));
            prop_assert!(!redacted(&text).contains(&key[..12]), "{}", redacted(&text));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            redacted(&text);
        }
    }
}
