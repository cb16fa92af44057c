//! `hubwire connection-string check`: what is wrong, and what is odd though it can be used.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::args::Output;
use crate::cli::args::connection_string::CheckArgs;
use crate::cli::failure::{self, Failure, Kind};
use crate::cli::sas::{self, Validity};
use crate::clock;
use crate::wire::connection_string::{ConnectionString, Credential, check_event_hub_name};
use crate::wire::sas::{SasToken, host_and_path};
use crate::wire::secret::Secret;

/// Ends of the names of Azure's namespaces. Source: the clouds' endpoint lists.
const AZURE: [&str; 4] = [
    ".servicebus.windows.net",
    ".servicebus.chinacloudapi.cn",
    ".servicebus.usgovcloudapi.net",
    ".servicebus.cloudapi.de",
];
/// Bytes of the keys that Azure makes.
const KEY_LEN: usize = 32;
/// A token with less left is worth a word.
const SOON: Duration = Duration::from_secs(3_600);

pub(super) fn run(args: &CheckArgs) -> Result<u8, Failure> {
    let (text, source) = super::read(&args.given.text)?;
    let checked = Checked::new(&text, &source, clock::wall());
    match args.given.output {
        Output::Text => failure::print(&checked)?,
        Output::Json => failure::print(serde_json::to_string(&checked).unwrap_or_default())?,
    }
    let is_fine = checked.error.is_none() && (checked.oddities.is_empty() || !args.strict);
    Ok(if is_fine { 0 } else { Kind::Configuration.exit_code() })
}

#[derive(Debug, Serialize)]
struct Checked {
    source: String,
    /// Masked; absent when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_string: Option<String>,
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    oddities: Vec<String>,
}

impl Checked {
    fn new(text: &Secret, source: &str, now: SystemTime) -> Self {
        let mut oddities = of_text(text.expose());
        let (connection_string, error) = match ConnectionString::parse(text.expose()) {
            Ok(parsed) => {
                oddities.extend(self::oddities(&parsed, now));
                (Some(parsed.redacted()), None)
            }
            Err(error) => (None, Some(error.to_string())),
        };
        Self { source: source.to_owned(), connection_string, usable: error.is_none(), error, oddities }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, self.oddities.len()) {
            (Some(error), _) => write!(f, "{}: cannot be used: {error}", self.source)?,
            (None, 0) => write!(f, "{}: can be used, and nothing in it is odd", self.source)?,
            (None, 1) => write!(f, "{}: can be used; one thing is odd", self.source)?,
            (None, count) => write!(f, "{}: can be used; {count} things are odd", self.source)?,
        }
        self.oddities.iter().try_for_each(|oddity| write!(f, "\n  odd  {oddity}"))
    }
}

/// What the text itself shows, be it a connection string or not.
fn of_text(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let text = text.trim();
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        found.push("there are quotes round it: take them off; a shell wants them, a file does not");
    }
    if text.contains(['\r', '\n']) {
        found.push("there is a line's end in the middle: copy it anew, in one line");
    }
    if text.to_ascii_lowercase().contains("&amp;") || text.contains("%3B") {
        found.push("it was encoded for HTML or a URL on its way: copy it from the portal");
    }
    if text.starts_with("SharedAccessSignature ") {
        found.push("that is a token alone: put Endpoint=sb://<host>/;SharedAccessSignature= before it");
    }
    found.into_iter().map(str::to_owned).collect()
}

/// What is odd in a connection string that can be used: the parser's warnings, and what people get wrong.
pub(in crate::cli) fn oddities(parsed: &ConnectionString, now: SystemTime) -> Vec<String> {
    let mut found: Vec<String> = parsed.warnings().iter().map(ToString::to_string).collect();
    found.extend(of_host(parsed).into_iter().map(str::to_owned));
    match parsed.credential() {
        Credential::SharedAccessKey { name, key } => found.extend(of_key(parsed, name, key).map(str::to_owned)),
        Credential::SharedAccessSignature(token) => found.extend(of_token(parsed, token, now)),
        Credential::Absent => {}
    }
    match parsed.event_hub().map(check_event_hub_name) {
        None => found.push("it names no event hub: that of a program has to, e.g. by --event-hub".to_owned()),
        Some(Err(error)) => found.push(format!("EntityPath: {error}")),
        Some(Ok(())) => {}
    }
    found
}

fn of_host(parsed: &ConnectionString) -> Vec<&'static str> {
    let host = parsed.host().trim_end_matches('.');
    let is_azure = AZURE.iter().any(|end| host.ends_with(end));
    let bare = host.trim_matches(['[', ']']);
    let is_here = host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let mut found = Vec::new();
    if parsed.host().ends_with('.') {
        found.push("the host ends with a dot, which then is signed as well: take it off");
    }
    if parsed.use_development_emulator() {
        if is_azure {
            found.push("UseDevelopmentEmulator=true turns TLS off, and this is Azure's host: take it out");
        }
        return found;
    }
    if is_here {
        found.push("the host is this machine, and TLS will be spoken: for an emulator without it add UseDevelopmentEmulator=true");
    } else if !host.contains('.') {
        found.push("the host is a bare name: is it <name>.servicebus.windows.net?");
    } else if !is_azure {
        found.push(
            "the host is none of Azure's (*.servicebus.windows.net and its sisters): keep the namespace's own name here, and \
             lead elsewhere by --endpoint",
        );
    }
    found
}

fn of_key<'a>(parsed: &ConnectionString, name: &str, key: &Secret) -> impl Iterator<Item = &'a str> {
    let is_azures = STANDARD.decode(key.expose()).map(Zeroizing::new).is_ok_and(|bytes| bytes.len() == KEY_LEN);
    let is_cut = !parsed.use_development_emulator() && !is_azures;
    let cut = is_cut
        .then_some("the key does not look like Azure's, 44 characters of base64: was all of it copied, `=` included?");
    let root = (name == "RootManageSharedAccessKey" && !parsed.use_development_emulator()).then_some(
        "the rule is the namespace's root rule, which may do everything: for a publisher take a rule with Send alone",
    );
    cut.into_iter().chain(root)
}

fn of_token(parsed: &ConnectionString, token: &SasToken, now: SystemTime) -> Vec<String> {
    let mut found = sas::oddities(token, now);
    let validity = Validity::of(token, now);
    if validity.has_ended() {
        found.push(format!("the token {validity}: sign a new one"));
    } else if validity.left().is_some_and(|left| left < SOON) {
        found.push(format!("the token is {validity}, and cannot be renewed here"));
    }
    let (host, path) = host_and_path(token.audience());
    let audience = parsed.audience(parsed.event_hub().unwrap_or(path));
    if !host.is_empty() && !token.covers(&audience) {
        let told = sas::scope(token.audience());
        found.push(format!("the token is for {told}, and the string leads to {audience}: sign one for that"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sas::sign_until;

    const NS: &str = "Endpoint=sb://ns.servicebus.windows.net/";
    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn checked(text: &str) -> Checked {
        Checked::new(&Secret::from(text), "CONNECTION_STR", SystemTime::UNIX_EPOCH + Duration::from_secs(1_000))
    }

    fn rule(text: &str) -> String {
        format!("{text};SharedAccessKeyName=send;SharedAccessKey={KEY};EntityPath=hub")
    }

    #[test]
    fn what_the_portal_gives_is_not_odd() {
        for text in [
            rule(NS),
            rule("Endpoint=sb://ns.servicebus.usgovcloudapi.net/"),
            "Endpoint=sb://localhost;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
             UseDevelopmentEmulator=true;EntityPath=hub"
                .to_owned(),
            format!(
                "{NS};EntityPath=hub;SharedAccessSignature={}",
                sign_until("sb://ns.servicebus.windows.net/hub", "send", KEY, 90_000).as_str()
            ),
        ] {
            let checked = checked(&text);
            assert_eq!((checked.usable, checked.oddities.as_slice()), (true, &[][..]), "{text}");
        }
    }

    #[test]
    fn what_is_odd_says_what_to_do() {
        let token = |audience: &str, end| {
            let token = sign_until(audience, "send", KEY, end);
            format!("{NS};EntityPath=hub;SharedAccessSignature={}", token.as_str())
        };
        for (text, words) in [
            (rule("Endpoint=sb://ns.servicebus.windows.net."), "ends with a dot"),
            (rule("Endpoint=sb://localhost/"), "add UseDevelopmentEmulator=true"),
            (rule("Endpoint=sb://[::1]/"), "add UseDevelopmentEmulator=true"),
            (rule("Endpoint=sb://ns/"), "bare name"),
            (rule("Endpoint=sb://ns.example/"), "by --endpoint"),
            (rule(&format!("{NS}hub")), "path in Endpoint ignored"),
            (rule(&format!("{NS};Foo=x")), "check its spelling"),
            (rule(NS).replace(KEY, "c2VjcmV0"), "was all of it copied"),
            (rule(NS).replace("=send", "=RootManageSharedAccessKey"), "a rule with Send alone"),
            (rule(NS).replace(";EntityPath=hub", ""), "names no event hub"),
            (rule(NS).replace("=hub", "=a b"), "letters, digits"),
            (token("sb://ns.servicebus.windows.net/hub", 500), "sign a new one"),
            (token("sb://ns.servicebus.windows.net/hub", 1_500), "cannot be renewed here"),
            (
                token("sb://ns.servicebus.windows.net/other", 90_000),
                "the string leads to sb://ns.servicebus.windows.net/hub",
            ),
        ] {
            let checked = checked(&text);
            assert!(checked.usable && checked.oddities.len() == 1, "{text}: {checked:?}");
            assert!(checked.oddities[0].contains(words), "{checked}");
            assert!(!checked.to_string().contains(KEY) && !checked.to_string().contains("c2VjcmV0"), "{checked}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_with_what_the_text_shows() {
        for (text, words) in [
            (format!("\"{}\"", rule(NS)), "quotes"),
            ("SharedAccessSignature sr=a&sig=b&se=1&skn=c".to_owned(), "a token alone"),
            (rule(NS).replace(";SharedAccessKey", "\nSharedAccessKey"), "a line's end"),
            (String::new(), "is empty"),
        ] {
            let checked = checked(&text);
            assert!(checked.to_string().contains(words) && !checked.to_string().contains(KEY), "{checked}");
        }
        let both = checked(&format!("{NS};SharedAccessKey={KEY}"));
        assert!(!both.usable && both.error.is_some());
    }
}
