//! `hubwire sas mint`.

use std::io::{self, IsTerminal};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::explain::Validity;
use super::{Key, date, scope};
use crate::cli::args::Output;
use crate::cli::args::sas::MintArgs;
use crate::cli::failure::{self, Failure};
use crate::cli::{output, settings};
use crate::clock;
use crate::wire::connection_string::{ConnectionString, check_event_hub_name};
use crate::wire::sas::{self, SasToken};
use crate::wire::secret::printable;

/// What is printed as JSON. The token is in it: that is what was asked for.
#[derive(Serialize)]
struct Object<'a> {
    token: &'a str,
    audience: &'a str,
    key_name: &'a str,
    expires_at: Option<String>,
    expiry_unix_secs: u64,
}

pub(super) fn run(args: &MintArgs) -> Result<u8, Failure> {
    let key = Key::read(&args.signer)?;
    let Some(name) = args.key_name.as_ref().or(key.name.as_ref()) else {
        return Err(Failure::input("the key's rule is not named; add --key-name NAME, which goes into the token"));
    };
    let audience = audience(args, key.connection_string.as_ref())?;
    let now = clock::wall();
    let expiry = args.expiry.or_else(|| now.checked_add(args.ttl)).unwrap_or(now);
    let expiry_unix_secs = expiry.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let token = sas::sign_until(&audience, name, key.text.expose(), expiry_unix_secs);
    match args.output {
        Output::Text => failure::print(token.as_str())?,
        Output::Json => failure::print(json(&token, expiry_unix_secs))?,
    }
    if !args.quiet {
        tell(&token, now);
    }
    Ok(0)
}

fn json(token: &SasToken, expiry_unix_secs: u64) -> String {
    let object = Object {
        token: token.as_str(),
        audience: token.audience(),
        key_name: token.key_name(),
        expires_at: date(expiry_unix_secs),
        expiry_unix_secs,
    };
    serde_json::to_string(&object).unwrap_or_default()
}

/// What was given away, to standard error.
fn tell(token: &SasToken, now: SystemTime) {
    let validity = Validity::of(token, now);
    let rule = printable(token.key_name());
    output::note(format_args!("lets its bearer do what rule `{rule}` may, in {}; {validity}", scope(token.audience())));
    if validity.has_ended() {
        output::warn("the token has ended already; give a later --expiry");
    }
    if io::stdout().is_terminal() {
        output::warn("the token is on your screen, and perhaps in its history; `> FILE` keeps it off");
    }
}

fn audience(args: &MintArgs, connection_string: Option<&ConnectionString>) -> Result<String, Failure> {
    if let Some(audience) = &args.audience {
        return Ok(uri(audience)?.to_owned());
    }
    let of_host = |host: &str| {
        let parsed = ConnectionString::of_namespace(host);
        parsed.map_err(|_| Failure::input("--namespace: name a host, e.g. ns.servicebus.windows.net"))
    };
    let namespace = match (&args.namespace, connection_string) {
        (Some(host), _) => of_host(host)?,
        (None, Some(connection_string)) => connection_string.clone(),
        (None, None) => {
            let advice =
                "with --key-file say what the token is for: --audience URI, or --namespace HOST and --event-hub NAME";
            return Err(Failure::input(advice));
        }
    };
    if args.whole_namespace {
        return Ok(format!("sb://{}/", namespace.host()));
    }
    let named = args.event_hub.clone().map_or_else(settings::event_hub_of_environment, |name| Ok(Some(name)))?;
    let entity_path = connection_string.and_then(ConnectionString::event_hub);
    let Some(event_hub) = named.as_deref().or(entity_path) else {
        let advice = "no event hub is named; use --event-hub NAME, or --whole-namespace for all of them";
        return Err(Failure::configuration(advice));
    };
    check_event_hub_name(event_hub).map_err(|error| Failure::configuration(format!("the event hub: {error}")))?;
    Ok(namespace.audience(event_hub))
}

/// What could be a secret in the place of an audience is not signed, and not repeated.
fn uri(audience: &str) -> Result<&str, Failure> {
    let is_odd = |c: char| c == '=' || c == '&' || c.is_control() || c.is_whitespace();
    if audience.is_empty() || audience.contains(is_odd) {
        return Err(Failure::input(
            "--audience: give a URI such as sb://ns.servicebus.windows.net/telemetry, not encoded",
        ));
    }
    Ok(audience)
}
