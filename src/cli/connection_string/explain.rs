//! `hubwire connection-string explain`.

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;

use super::check::oddities;
use crate::cli::args::Output;
use crate::cli::args::connection_string::Given;
use crate::cli::failure::{self, Failure};
use crate::cli::sas::{Validity, scope};
use crate::cli::settings;
use crate::clock;
use crate::wire::connection_string::{ConnectionString, Credential, Key};
use crate::wire::secret::{MASK, printable};

pub(super) fn run(given: &Given) -> Result<u8, Failure> {
    let (text, source) = super::read(&given.text)?;
    let explanation = Explanation::of(&settings::parsed(&text, &source)?, clock::wall());
    match given.output {
        Output::Text => failure::print(&explanation)?,
        Output::Json => failure::print(serde_json::to_string(&explanation).unwrap_or_default())?,
    }
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Explanation {
    /// Masked.
    connection_string: String,
    namespace: String,
    event_hub: Option<String>,
    parts: Vec<Part>,
    oddities: Vec<String>,
}

/// A pair, and what it means.
#[derive(Debug, Serialize)]
struct Part {
    key: &'static str,
    value: String,
    meaning: String,
}

impl Explanation {
    fn of(parsed: &ConnectionString, now: SystemTime) -> Self {
        let mut parts = vec![endpoint(parsed)];
        parts.extend(credential(parsed, now));
        parts.push(event_hub(parsed));
        if parsed.use_development_emulator() {
            let meaning = "for an emulator: plain TCP on port 5672 unless the endpoint has one, and no TLS".to_owned();
            parts.push(part(Key::UseDevelopmentEmulator, "true", meaning));
        }
        Self {
            connection_string: parsed.redacted(),
            namespace: parsed.host().to_owned(),
            event_hub: parsed.event_hub().map(|hub| printable(hub).to_owned()),
            parts,
            oddities: oddities(parsed, now),
        }
    }
}

fn part(key: Key, value: &str, meaning: String) -> Part {
    Part { key: key.name(), value: value.to_owned(), meaning }
}

fn endpoint(parsed: &ConnectionString) -> Part {
    let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
    let dialled = match (parsed.port(), parsed.use_development_emulator()) {
        (Some(port), _) => format!("port {port}"),
        (None, true) => "port 5672".to_owned(),
        (None, false) => "port 5671 with TLS, or 443 with --websocket".to_owned(),
    };
    let meaning = format!("the namespace {}; {dialled} is dialled", parsed.host());
    part(Key::Endpoint, &format!("sb://{}{port}/", parsed.host()), meaning)
}

fn credential(parsed: &ConnectionString, now: SystemTime) -> Vec<Part> {
    match parsed.credential() {
        Credential::SharedAccessKey { name, .. } => {
            let whose =
                "the rule (shared access policy) that the key is of; what it may do, the namespace knows".to_owned();
            let what = "its key: signs tokens, as its text stands; the key itself is never sent".to_owned();
            vec![part(Key::SharedAccessKeyName, printable(name), whose), part(Key::SharedAccessKey, MASK, what)]
        }
        Credential::SharedAccessSignature(token) => {
            let (rule, covers) = (printable(token.key_name()), scope(token.audience()));
            let validity = Validity::of(token, now);
            let meaning =
                format!("a token signed elsewhere: what rule `{rule}` may, in {covers}; {validity}; not renewed here");
            vec![part(Key::SharedAccessSignature, &token.redacted(), meaning)]
        }
        Credential::Absent => Vec::new(),
    }
}

fn event_hub(parsed: &ConnectionString) -> Part {
    match parsed.event_hub() {
        Some(hub) => part(Key::EntityPath, printable(hub), "the event hub".to_owned()),
        None => part(
            Key::EntityPath,
            "-",
            "absent: the string is for the whole namespace, and the event hub is named beside it".into(),
        ),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.connection_string)?;
        for Part { key, value, meaning } in &self.parts {
            write!(f, "\n  {key}\n    {value}\n    {meaning}")?;
        }
        self.oddities.iter().try_for_each(|oddity| write!(f, "\n  odd  {oddity}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_part_is_explained_and_no_secret_shown() {
        let token = "SharedAccessSignature sr=sb%3A%2F%2Fns.example%2Fhub&sig=c2VjcmV0&se=2000&skn=send";
        for (rest, words) in [
            (
                ";SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0;EntityPath=hub".to_owned(),
                "the key itself is never sent",
            ),
            (format!(";SharedAccessSignature={token}"), "valid until 1970-01-01T00:33:20Z"),
            (";SharedAccessKeyName=a;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true".to_owned(), "port 5672"),
        ] {
            let parsed = ConnectionString::parse(&format!("Endpoint=sb://ns.example/{rest}")).unwrap();
            let explanation = Explanation::of(&parsed, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
            let text = format!("{explanation} {}", serde_json::to_string(&explanation).unwrap());
            assert!(text.contains(words) && text.contains("the namespace ns.example"), "{text}");
            assert!(!text.contains("c2VjcmV0"), "{text}");
        }
    }
}
