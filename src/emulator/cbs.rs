//! Claims-based security: a put-token request in, the hub's answer out. Source: event-hubs-wire 5.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::engine::Login;
use crate::wire::event::Event;
use crate::wire::sas::{SasToken, VerifyError};
use crate::wire::secret::printable;
use crate::wire::value::Value;

use super::address::{is_at_or_above, path_of_audience};
use super::answer::{Answer, property, unexpected_property};
use super::namespace::{Namespace, Rights, Rule};
use super::sentence;

/// The one kind of token that is taken.
const SAS_TOKEN: &str = "servicebus.windows.net:sastoken";

/// Leave to use a path and all below it, for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) path: String,
    pub(super) until: SystemTime,
    pub(super) rights: Rights,
}

impl Grant {
    /// Whether it opens `path` at `now`, for whatever use.
    pub(super) fn covers(&self, path: &str, now: SystemTime) -> bool {
        now < self.until && is_at_or_above(&self.path, path)
    }
}

/// Takes a message to `$cbs`: leave for its sender, or the answer that says why not.
pub(super) fn put_token(namespace: &Namespace, request: &Event, now: SystemTime) -> Result<Grant, Answer> {
    if property(request, "operation")? != "put-token" {
        return Err(unexpected_property("operation"));
    }
    match property(request, "type")? {
        SAS_TOKEN => {}
        "jwt" => {
            let text =
                "This emulator knows no identity provider and takes no 'jwt': sign a token with a shared access key.";
            return Err(Answer::refused(400, text));
        }
        _ => return Err(unexpected_property("type")),
    }
    // The host is not compared: an emulator is reached by many names.
    let path = path_of_audience(property(request, "name")?);
    let token = request.value().and_then(Value::as_str);
    let token =
        token.ok_or_else(|| Answer::refused(400, "The body of a put-token request is the token, a string value."))?;
    let grant = claims(namespace, token, path, now)?;
    if !namespace.has_entity(path) {
        return Err(Answer::refused(404, sentence::not_found(path)));
    }
    Ok(grant)
}

/// What a rule's key allows that is shown in place of a token, if it is the rule's key.
pub(super) fn log_in(namespace: &Namespace, login: &Login, now: SystemTime) -> Option<Grant> {
    let rule = namespace.rule(&login.name).filter(|rule| rule.key.expose() == login.key.expose())?;
    let path = rule.event_hub.clone().unwrap_or_default();
    Some(Grant { path, until: never(now), rights: rule.rights })
}

/// What `token` allows at `path`, if it is one that holds there.
pub(super) fn claims(namespace: &Namespace, token: &str, path: &str, now: SystemTime) -> Result<Grant, Answer> {
    let token = SasToken::parse(token)
        .map_err(|error| Answer::refused(400, format!("MalformedToken: The token is malformed: {error}.")))?;
    let rule = rule(namespace, token.key_name(), path)?;
    let until = verified(rule, &token, now)?;
    if !is_at_or_above(path_of_audience(token.audience()), path) {
        return Err(wrong_audience(&token, path));
    }
    Ok(Grant { path: path.to_owned(), until, rights: rule.rights })
}

/// The rule `name`, if there is one at or above `path`.
fn rule<'a>(namespace: &'a Namespace, name: &str, path: &str) -> Result<&'a Rule, Answer> {
    let is_above = |rule: &&Rule| rule.event_hub.as_deref().is_none_or(|hub| is_at_or_above(hub, path));
    namespace.rule(name).filter(is_above).ok_or_else(|| {
        let name = sentence::quoted(printable(name));
        let text = format!("InvalidSignature: The token has an invalid signature: no rule is named '{name}'.");
        Answer::refused(401, text)
    })
}

/// Until when a token holds that `rule` is said to have signed.
fn verified(rule: &Rule, token: &SasToken, now: SystemTime) -> Result<SystemTime, Answer> {
    token.verify(rule.key.expose(), now).map_err(|error| match error {
        VerifyError::BadSignature => Answer::refused(401, "InvalidSignature: The token has an invalid signature."),
        VerifyError::Expired { expiry_unix_secs, now_unix_secs } => {
            let text = format!(
                "ExpiredToken: The token is expired. It ended at {expiry_unix_secs}, and it is {now_unix_secs} (seconds \
                 since 1970)."
            );
            Answer::refused(401, text)
        }
        VerifyError::MissingExpiry => Answer::refused(400, "MalformedToken: The token is malformed: it has no 'se'."),
    })?;
    let expiry = Duration::from_secs(token.expiry_unix_secs().unwrap_or(0));
    // Beyond what the clock can count is as good as never.
    Ok(UNIX_EPOCH.checked_add(expiry).unwrap_or_else(|| never(now)))
}

fn never(now: SystemTime) -> SystemTime {
    now + Duration::from_secs(u64::from(u32::MAX))
}

fn wrong_audience(token: &SasToken, path: &str) -> Answer {
    let text = format!(
        "InvalidAudience: The authorization header contains a token with a wrong audience: it is for '{}', and '{}' was \
         asked for.",
        sentence::quoted(printable(token.audience())),
        sentence::quoted(printable(path))
    );
    Answer::refused(401, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::namespace::Hub;
    use crate::emulator::namespace::tests::namespace;
    use crate::wire::event::Body;
    use crate::wire::sas::{sign, sign_until};
    use crate::wire::secret::Secret;

    const NAME: &str = "sb://localhost/telemetry";

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn token(audience: &str, rule: &str, key: &str) -> String {
        sign(audience, rule, key, now(), Duration::from_secs(60)).as_str().to_owned()
    }

    fn request(name: &str, token: &str) -> Event {
        Event::from_body(Body::Value(token.into()))
            .with_property("operation", "put-token")
            .with_property("type", SAS_TOKEN)
            .with_property("name", name)
    }

    fn answer_to(request: &Event) -> Result<Grant, Answer> {
        put_token(&namespace(), request, now())
    }

    #[test]
    fn a_good_token_opens_what_was_asked_for() {
        let until = now() + Duration::from_secs(60);
        for (audience, name, path) in [
            (NAME, NAME, "telemetry"),
            ("sb://localhost", NAME, "telemetry"),
            ("sb://localhost/", "sb://localhost/", ""),
            ("amqps://other-name:5671/TELEMETRY/", "sb://127.0.0.1:40000/telemetry", "telemetry"),
            (NAME, "sb://localhost/telemetry/Partitions/0", "telemetry/Partitions/0"),
            (NAME, "sb://localhost/telemetry/consumergroups/$Default", "telemetry/consumergroups/$Default"),
        ] {
            let answer = answer_to(&request(name, &token(audience, "send", "k1")));
            assert_eq!(answer, Ok(Grant { path: path.into(), until, rights: Rights::ALL }), "{audience} for {name}");
        }
    }

    #[test]
    fn the_resource_is_verified_as_received() {
        let mut namespace = namespace();
        namespace.hubs.push(Hub { name: "myhub".into(), partition_count: 1, consumer_groups: Vec::new() });
        let key = Secret::from("+FehbdIzXYc6Hk2sckMuX0iTfLV4wWuZMkCGeNImi6s=");
        namespace.rules.push(Rule {
            name: "RootManageSharedAccessKey".into(),
            key,
            rights: Rights::ALL,
            event_hub: None,
        });
        // Go and Rust write the resource in lower-case hex, and sign that. Source: event-hubs-wire 2.3, sas01.
        let token = "SharedAccessSignature sr=sb%3a%2f%2ftest-azure-eh-namespace.servicebus.windows.net%2fmyhub\
                     &sig=4PrmyMh2S5VMa8zpYOIAHhaCq5qaiPFUR6qAs7B785w%3D&se=1700003600&skn=RootManageSharedAccessKey";
        for (token, status) in [(token.to_owned(), 202), (token.replace("%3a", "%3A"), 401)] {
            let answer = put_token(&namespace, &request("amqps://127.0.0.1/myhub/Partitions/0", &token), now());
            assert_eq!(answer.map_or_else(|refused| refused.status_code, |_| 202), status);
        }
    }

    #[test]
    fn a_token_that_does_not_hold_is_refused_and_the_sentence_says_why() {
        let expired = sign_until(NAME, "send", "k1", 1_700_000_000);
        for (name, token, status, words) in [
            (NAME, token(NAME, "send", "k2"), 401, "InvalidSignature: The token has an invalid signature."),
            (
                NAME,
                token(NAME, "nobody", "k1"),
                401,
                "InvalidSignature: The token has an invalid signature: no rule is named 'nobody'.",
            ),
            (NAME, expired.as_str().to_owned(), 401, "ExpiredToken: The token is expired."),
            (NAME, token("sb://localhost/audit", "send", "k1"), 401, "InvalidAudience: "),
            (NAME, token("sb://localhost/telemetry/Partitions/0", "send", "k1"), 401, "InvalidAudience: "),
            (NAME, "nonsense".into(), 400, "MalformedToken: "),
            (NAME, String::new(), 400, "MalformedToken: "),
            (
                "sb://localhost/none",
                token("sb://localhost", "send", "k1"),
                404,
                "The messaging entity 'sb://emulator/none' could not be found.",
            ),
        ] {
            let answer = answer_to(&request(name, &token)).unwrap_err();
            assert_eq!(answer.status_code, status, "{}", answer.description);
            assert!(answer.description.starts_with(words), "{} | {words}", answer.description);
        }
    }

    #[test]
    fn a_request_that_is_not_one_is_refused() {
        let good = request(NAME, &token(NAME, "send", "k1"));
        for (request, words) in [
            (Event::default(), "Property 'operation'"),
            (good.clone().with_property("operation", "delete-token"), "Property 'operation'"),
            (good.clone().with_property("type", "other"), "Property 'type'"),
            (good.clone().with_property("type", 7), "Property 'type'"),
            (good.clone().with_property("type", "jwt"), "This emulator knows no identity provider"),
            (good.clone().with_property("name", Value::Null), "Property 'name'"),
            (
                Event::new("token")
                    .with_property("operation", "put-token")
                    .with_property("type", SAS_TOKEN)
                    .with_property("name", NAME),
                "The body",
            ),
        ] {
            let answer = answer_to(&request).unwrap_err();
            assert_eq!(answer.status_code, 400, "{words}");
            assert!(answer.description.starts_with(words), "{} | {words}", answer.description);
        }
    }

    #[test]
    fn a_rule_of_one_hub_opens_that_hub_alone_and_gives_its_own_rights() {
        let mut namespace = namespace();
        let rights = Rights { listen: true, ..Rights::default() };
        let rule = Rule { name: "read".into(), key: "k3".into(), rights, event_hub: Some("Audit".into()) };
        namespace.rules.push(rule);
        let ask = |name: &str| put_token(&namespace, &request(name, &token("sb://localhost", "read", "k3")), now());
        assert_eq!(ask("sb://localhost/audit/Partitions/0").unwrap().rights, rights);
        for other in ["sb://localhost/telemetry", "sb://localhost/"] {
            let refused = ask(other).unwrap_err();
            assert_eq!(refused.status_code, 401, "{other}");
            assert!(refused.description.contains("no rule is named 'read'"), "{}", refused.description);
        }
    }

    #[test]
    fn a_key_in_place_of_a_token_opens_what_its_rule_does() {
        let mut namespace = namespace();
        let rights = Rights { send: true, ..Rights::default() };
        namespace.rules.push(Rule { name: "write".into(), key: "k3".into(), rights, event_hub: Some("audit".into()) });
        let log_in = |name: &str, key: &str| {
            log_in(&namespace, &Login { name: name.into(), key: key.into() }, now())
                .map(|grant| (grant.path, grant.rights))
        };
        assert_eq!(log_in("send", "k1"), Some((String::new(), Rights::ALL)));
        assert_eq!(log_in("write", "k3"), Some(("audit".into(), rights)));
        assert_eq!(log_in("write", "k1"), None);
        assert_eq!(log_in("nobody", "k1"), None);
    }

    #[test]
    fn a_grant_ends_with_its_token() {
        let grant = Grant { path: "telemetry".into(), until: now(), rights: Rights::ALL };
        let before = now() - Duration::from_nanos(1);
        assert!(grant.covers("Telemetry/Partitions/0", before));
        assert!(!grant.covers("telemetry", now()));
        assert!(!grant.covers("audit", before));
    }
}
