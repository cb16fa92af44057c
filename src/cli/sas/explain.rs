//! `hubwire sas explain`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{date, given_token, oddities, refuse_argument};
use crate::cli::args::Output;
use crate::cli::args::sas::ExplainArgs;
use crate::cli::failure::{self, Failure, Kind};
use crate::cli::settings;
use crate::wire::connection_string::{ConnectionString, Credential, check_event_hub_name};
use crate::wire::sas::{SasToken, host_and_path};
use crate::wire::secret::printable;

/// What no token's text tells.
const NOT_KNOWN: &str = "whether the key is right, which `hubwire sas verify` tells; whether the rule is there, and has the \
    right to send or listen: rights stand in no token, and `hubwire doctor` tries them";

pub(super) fn run(args: &ExplainArgs) -> Result<u8, Failure> {
    let token = token(args)?;
    let now = crate::clock::wall();
    let explanation = Explanation {
        asked: asked(args, &token)?.map(|audience| Asked::new(&token, &audience, now)),
        ..Explanation::of(&token, now)
    };
    match args.output {
        Output::Text => failure::print(&explanation)?,
        Output::Json => failure::print(serde_json::to_string(&explanation).unwrap_or_default())?,
    }
    let is_refused = explanation.asked.is_some_and(|asked| !asked.may_be_taken);
    Ok(if is_refused { Kind::Refused.exit_code() } else { 0 })
}

fn token(args: &ExplainArgs) -> Result<SasToken, Failure> {
    if !args.from_connection_string && args.connection_string_file.is_none() {
        return given_token(&args.given);
    }
    refuse_argument(&args.given)?;
    let (text, source) = settings::connection_string_text(args.connection_string_file.as_deref())?;
    match settings::parsed(&text, &source)?.credential() {
        Credential::SharedAccessSignature(token) => Ok(token.clone()),
        _ => Err(Failure::configuration(format!(
            "{source}: there is a key in it, and no token; `hubwire sas mint` signs one, `hubwire connection-string explain` \
             says the rest"
        ))),
    }
}

/// The audience that is asked about.
fn asked(args: &ExplainArgs, token: &SasToken) -> Result<Option<String>, Failure> {
    if args.event_hub.is_none() && args.namespace.is_none() {
        return Ok(None);
    }
    let host = args.namespace.as_deref().unwrap_or_else(|| host_and_path(token.audience()).0);
    let namespace = ConnectionString::of_namespace(host);
    let namespace =
        namespace.map_err(|_| Failure::input("--namespace: name a host, e.g. ns.servicebus.windows.net"))?;
    let event_hub = args.event_hub.as_deref().unwrap_or_default();
    if !event_hub.is_empty() {
        check_event_hub_name(event_hub).map_err(|error| Failure::input(format!("--event-hub: {error}")))?;
    }
    Ok(Some(namespace.audience(event_hub)))
}

/// A token in words.
#[derive(Debug, Serialize)]
struct Explanation {
    /// Masked.
    token: String,
    audience: String,
    covers: String,
    key_name: String,
    expires_at: Option<String>,
    expiry_unix_secs: Option<u64>,
    validity: String,
    is_expired: bool,
    oddities: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<Asked>,
    not_known: &'static str,
}

impl Explanation {
    fn of(token: &SasToken, now: SystemTime) -> Self {
        let validity = Validity::of(token, now);
        Self {
            token: token.redacted(),
            audience: printable(token.audience()).to_owned(),
            covers: scope(token.audience()),
            key_name: printable(token.key_name()).to_owned(),
            expires_at: token.expiry_unix_secs().and_then(date),
            expiry_unix_secs: token.expiry_unix_secs(),
            validity: validity.to_string(),
            is_expired: validity.has_ended(),
            oddities: oddities(token, now),
            asked: None,
            not_known: NOT_KNOWN,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.token)?;
        writeln!(f, "  grants     what rule `{}` may do, in {}", self.key_name, self.covers)?;
        writeln!(f, "  holds      {}", self.validity)?;
        for oddity in &self.oddities {
            writeln!(f, "  odd        {oddity}")?;
        }
        if let Some(asked) = &self.asked {
            writeln!(f, "  would {} {}", if asked.may_be_taken { "be taken by" } else { "be refused by" }, asked.by)?;
            for reason in &asked.reasons {
                writeln!(f, "             {reason}")?;
            }
        }
        write!(f, "  not known  {}", self.not_known)
    }
}

/// Whether somebody would take the token, as far as its text tells.
#[derive(Debug, Serialize)]
struct Asked {
    by: String,
    may_be_taken: bool,
    /// Why not.
    reasons: Vec<String>,
}

impl Asked {
    fn new(token: &SasToken, audience: &str, now: SystemTime) -> Self {
        let validity = Validity::of(token, now);
        let mut reasons = Vec::new();
        if !token.covers(audience) {
            let told = scope(token.audience());
            reasons.push(format!("it is for {told}: sign one for {}, or for what lies above it", printable(audience)));
        }
        if validity.has_ended() {
            reasons.push(format!("{validity}: sign a new one; if it is fresh, check the clocks"));
        }
        if token.signature().is_none_or(|signature| signature.len() != 32) {
            reasons.push("its signature is none: copy the whole token, or sign a new one".to_owned());
        }
        Self { by: scope(audience), may_be_taken: reasons.is_empty(), reasons }
    }
}

/// What lies at and below an audience, in words.
pub(in crate::cli) fn scope(audience: &str) -> String {
    let (host, path) = host_and_path(audience);
    let (host, path) = (printable(host), printable(path));
    let parts: Vec<&str> = path.split('/').collect();
    let is = |at: usize, name: &str| parts.get(at).is_some_and(|part| part.eq_ignore_ascii_case(name));
    let last = parts.last().copied().unwrap_or_default();
    if path.is_empty() {
        return format!("every event hub of namespace {host}");
    }
    match parts.len() {
        _ if is(1, "ConsumerGroups") => {
            format!("readers of event hub `{}` alone ({path}), of namespace {host}", parts[0])
        }
        3 if is(1, "Partitions") => format!("partition {last} of event hub `{}`, of namespace {host}", parts[0]),
        3 if is(1, "Publishers") => format!("publisher `{last}` of event hub `{}`, of namespace {host}", parts[0]),
        _ => format!("event hub `{path}` of namespace {host}, with its partitions and consumer groups"),
    }
}

/// How long a token holds.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Validity {
    expiry_unix_secs: Option<u64>,
    now: Duration,
}

impl Validity {
    pub(in crate::cli) fn of(token: &SasToken, now: SystemTime) -> Self {
        let now = Duration::from_secs(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        Self { expiry_unix_secs: token.expiry_unix_secs(), now }
    }

    /// A token without an end is none that a hub takes.
    pub(in crate::cli) fn has_ended(&self) -> bool {
        self.expiry_unix_secs.is_none_or(|expiry| Duration::from_secs(expiry) <= self.now)
    }

    /// What is left of it, before it ends.
    pub(in crate::cli) fn left(&self) -> Option<Duration> {
        Duration::from_secs(self.expiry_unix_secs?).checked_sub(self.now)
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(expiry) = self.expiry_unix_secs else { return f.write_str("without an end, which no hub takes") };
        let at = date(expiry).unwrap_or_else(|| format!("second {expiry} since 1970, after the year 9999"));
        match self.left() {
            Some(left) if !left.is_zero() => write!(f, "valid until {at}, for {} from now", roughly(left)),
            _ => write!(f, "ended at {at}, {} ago", roughly(self.now - Duration::from_secs(expiry))),
        }
    }
}

/// A span in its two largest units.
pub(in crate::cli) fn roughly(span: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(span.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sas::sign_until;

    fn at(unix_secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(unix_secs)
    }

    #[test]
    fn scopes_are_named_by_what_lies_there() {
        for (audience, words) in [
            ("sb://ns.example", "every event hub of namespace ns.example"),
            ("sb://ns.example:5671/", "every event hub of namespace ns.example"),
            ("amqps://ns/hub/", "event hub `hub` of namespace ns, with its partitions and consumer groups"),
            ("sb://ns/hub/partitions/3", "partition 3 of event hub `hub`, of namespace ns"),
            ("sb://ns/hub/Publishers/p", "publisher `p` of event hub `hub`, of namespace ns"),
            (
                "sb://ns/hub/ConsumerGroups/g",
                "readers of event hub `hub` alone (hub/ConsumerGroups/g), of namespace ns",
            ),
            ("sb://ns/a=b", "event hub `***` of namespace ns, with its partitions and consumer groups"),
        ] {
            assert_eq!(scope(audience), words);
        }
    }

    #[test]
    fn validity_is_told_from_now() {
        let token = sign_until("sb://ns/hub", "send", "a2V5", 1_700_003_600);
        for (now, words, has_ended) in [
            (1_700_000_000, "valid until 2023-11-14T23:13:20Z, for 1h from now", false),
            (1_700_003_599, "valid until 2023-11-14T23:13:20Z, for 1s from now", false),
            (1_700_003_600, "ended at 2023-11-14T23:13:20Z, 0s ago", true),
            (1_700_090_061, "ended at 2023-11-14T23:13:20Z, 1day 1m ago", true),
        ] {
            let validity = Validity::of(&token, at(now));
            assert_eq!((validity.to_string().as_str(), validity.has_ended()), (words, has_ended));
        }
        let endless = SasToken::parse("SharedAccessSignature sr=sb%3A%2F%2Fns&sig=a&skn=b").unwrap();
        assert!(Validity::of(&endless, at(0)).has_ended());
    }

    #[test]
    fn who_would_take_it_is_said_with_every_reason() {
        let token = sign_until("sb://ns/hub", "send", "a2V5", 2_000);
        for (audience, now, reasons) in [
            ("sb://NS/hub", 1_000, &[][..]),
            ("sb://ns/hub/Partitions/1", 1_000, &[]),
            ("sb://ns/other", 1_000, &["it is for event hub `hub`"]),
            ("sb://ns/", 1_000, &["sign one for sb://ns/"]),
            ("sb://else/hub", 3_000, &["it is for", "ended at"]),
        ] {
            let asked = Asked::new(&token, audience, at(now));
            assert_eq!(asked.may_be_taken, reasons.is_empty(), "{audience}");
            assert_eq!(asked.reasons.len(), reasons.len(), "{asked:?}");
            for (reason, words) in asked.reasons.iter().zip(reasons) {
                assert!(reason.contains(words), "{reason}");
            }
        }
    }

    #[test]
    fn an_explanation_masks_the_signature() {
        let token = sign_until("sb://ns/hub", "send", "a2V5", 2_000);
        let explanation = Explanation::of(&token, at(1_000));
        let signature = token.as_str().split("sig=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
        for text in [explanation.to_string(), serde_json::to_string(&explanation).unwrap(), format!("{explanation:?}")]
        {
            assert!(text.contains("sig=***") && !text.contains(signature), "{text}");
        }
    }
}
