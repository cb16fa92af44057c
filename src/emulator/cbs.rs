//! Claims-based security: a put-token request in, the hub's answer out. Source: event-hubs-wire 5.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::wire::event::{Body, Event};
use crate::wire::sas::{SasToken, VerifyError};
use crate::wire::secret::printable;
use crate::wire::value::Value;

use super::address::{is_at_or_above, path_of_audience};
use super::namespace::Namespace;
use super::sentence;

/// The one kind of token that is taken.
const SAS_TOKEN: &str = "servicebus.windows.net:sastoken";

/// The hub's answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status_code: i32,
    pub(super) description: String,
    /// What the token opens, when it was accepted.
    pub(super) grant: Option<Grant>,
}

/// Leave to use a path and all below it, for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) path: String,
    pub(super) until: SystemTime,
}

impl Grant {
    /// Whether it opens `path` at `now`.
    pub(super) fn covers(&self, path: &str, now: SystemTime) -> bool {
        now < self.until && is_at_or_above(&self.path, path)
    }
}

impl Answer {
    fn accepted(grant: Grant) -> Self {
        Self { status_code: 202, description: "Accepted".into(), grant: Some(grant) }
    }

    fn refused(status_code: i32, description: impl Into<String>) -> Self {
        Self { status_code, description: description.into(), grant: None }
    }

    /// The answer as a message, which repeats the request's message-id in its own type.
    pub(super) fn to_message(&self, request: &Event) -> Event {
        let message = Event::from_body(Body::Value(Value::Null))
            .with_property("status-code", self.status_code)
            .with_property("status-description", self.description.as_str());
        match request.properties().and_then(|properties| properties.message_id.clone()) {
            Some(id) => message.with_correlation_id(id),
            None => message,
        }
    }
}

/// Answers a message to `$cbs`.
pub(super) fn answer(namespace: &Namespace, request: &Event, now: SystemTime) -> Answer {
    match put_token(namespace, request, now) {
        Ok(grant) => Answer::accepted(grant),
        Err(refused) => refused,
    }
}

fn put_token(namespace: &Namespace, request: &Event, now: SystemTime) -> Result<Grant, Answer> {
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
    let name = property(request, "name")?;
    let text = request.value().and_then(Value::as_str);
    let text =
        text.ok_or_else(|| Answer::refused(400, "The body of a put-token request is the token, a string value."))?;
    let token = SasToken::parse(text)
        .map_err(|error| Answer::refused(400, format!("MalformedToken: The token is malformed: {error}.")))?;
    let until = verified(namespace, &token, now)?;
    let path = path_of_audience(name);
    // The host is not compared: an emulator is reached by many names.
    if !is_at_or_above(path_of_audience(token.audience()), path) {
        return Err(wrong_audience(&token, name));
    }
    if !namespace.has_entity(path) {
        return Err(Answer::refused(404, sentence::not_found(path)));
    }
    Ok(Grant { path: path.to_owned(), until })
}

/// Until when a token holds that one of the rules has signed.
fn verified(namespace: &Namespace, token: &SasToken, now: SystemTime) -> Result<SystemTime, Answer> {
    let Some(rule) = namespace.rule(token.key_name()) else {
        let name = sentence::quoted(printable(token.key_name()));
        let text = format!("InvalidSignature: The token has an invalid signature: no rule is named '{name}'.");
        return Err(Answer::refused(401, text));
    };
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
    Ok(UNIX_EPOCH.checked_add(expiry).unwrap_or(now + Duration::from_secs(u64::from(u32::MAX))))
}

fn property<'a>(request: &'a Event, name: &str) -> Result<&'a str, Answer> {
    match request.property(name) {
        Some(Value::String(text) | Value::Symbol(text)) => Ok(text),
        _ => Err(unexpected_property(name)),
    }
}

/// The service's own words. Source: event-hubs-wire 5.3.
fn unexpected_property(name: &str) -> Answer {
    let text = format!(
        "Property '{name}' in the 'application-properties' section is either missing, has the wrong type, or has an \
         unexpected value."
    );
    Answer::refused(400, text)
}

fn wrong_audience(token: &SasToken, name: &str) -> Answer {
    let text = format!(
        "InvalidAudience: The authorization header contains a token with a wrong audience: it is for '{}', and '{}' was \
         asked for.",
        sentence::quoted(printable(token.audience())),
        sentence::quoted(printable(name))
    );
    Answer::refused(401, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::namespace::tests::namespace;
    use crate::emulator::namespace::{Hub, Rights, Rule};
    use crate::wire::event::MessageId;
    use crate::wire::sas::{sign, sign_until};
    use crate::wire::secret::Secret;
    use bytes::Bytes;

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

    fn answer_to(request: &Event) -> Answer {
        answer(&namespace(), request, now())
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
            assert_eq!(answer, Answer::accepted(Grant { path: path.into(), until }), "{audience} for {name}");
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
            let answer = answer(&namespace, &request("amqps://127.0.0.1/myhub/Partitions/0", &token), now());
            assert_eq!(answer.status_code, status, "{}", answer.description);
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
            let answer = answer_to(&request(name, &token));
            assert_eq!((answer.status_code, answer.grant), (status, None), "{}", answer.description);
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
            let answer = answer_to(&request);
            assert_eq!(answer.status_code, 400, "{words}");
            assert!(answer.description.starts_with(words), "{} | {words}", answer.description);
        }
    }

    #[test]
    fn the_answer_repeats_the_message_id_in_its_own_type() {
        for id in [
            MessageId::Ulong(7),
            MessageId::Uuid([9; 16]),
            MessageId::Binary(Bytes::from_static(b"id")),
            MessageId::String("id".into()),
        ] {
            let answer = Answer::refused(404, "no").to_message(&Event::default().with_message_id(id.clone()));
            let answer = Event::decode(&answer.encode().unwrap()).unwrap();
            assert_eq!(answer.properties().unwrap().correlation_id, Some(id));
            assert_eq!(answer.property("status-code"), Some(&Value::Int(404)));
            assert_eq!(answer.property("status-description"), Some(&Value::from("no")));
        }
    }

    #[test]
    fn a_grant_ends_with_its_token() {
        let grant = Grant { path: "telemetry".into(), until: now() };
        let before = now() - Duration::from_nanos(1);
        assert!(grant.covers("Telemetry/Partitions/0", before));
        assert!(!grant.covers("telemetry", now()));
        assert!(!grant.covers("audit", before));
    }
}
