//! Answers of the nodes that take requests: `$cbs` and `$management`. Source: event-hubs-wire 5.3 and 9.

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::event::Event;
use crate::wire::value::Value;

/// The value of an answer that has none.
const NULL: Bytes = Bytes::from_static(&[0x40]);

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// As in HTTP.
    pub(super) status_code: i32,
    pub(super) description: String,
    /// The error's name, where the node tells one.
    pub(super) condition: Option<&'static str>,
    /// An encoded value.
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn accepted() -> Self {
        Self { status_code: 202, description: "Accepted".into(), condition: None, body: NULL }
    }

    pub(super) fn ok(body: Bytes) -> Self {
        Self { status_code: 200, description: "OK".into(), condition: None, body }
    }

    pub(super) fn refused(status_code: i32, description: impl Into<String>) -> Self {
        Self { status_code, description: description.into(), condition: None, body: NULL }
    }

    pub(super) fn with_condition(self, condition: &'static str) -> Self {
        Self { condition: Some(condition), ..self }
    }

    pub(super) fn is_refusal(&self) -> bool {
        self.status_code >= 300
    }

    /// The answer as a message, which repeats the request's message-id in its own type.
    pub(super) fn encode(&self, request: &Event) -> Bytes {
        let message = Event::default()
            .with_property("status-code", self.status_code)
            .with_property("status-description", self.description.as_str());
        let message = match self.condition {
            Some(condition) => message.with_property("error-condition", Value::symbol(condition)),
            None => message,
        };
        let message = match request.properties().and_then(|properties| properties.message_id.clone()) {
            Some(id) => message.with_correlation_id(id),
            None => message,
        };
        // Nothing in it that could not be encoded: an id came from a message, and texts are texts.
        let mut out = BytesMut::from(&message.encode().unwrap_or_default()[..]);
        out.put_slice(&[0x00, 0x53, 0x77]);
        out.put_slice(&self.body);
        out.freeze()
    }
}

/// A text among a request's application properties.
pub(super) fn property<'a>(request: &'a Event, name: &str) -> Result<&'a str, Answer> {
    request.property(name).and_then(Value::as_str).ok_or_else(|| unexpected_property(name))
}

/// The service's own words. Source: event-hubs-wire 5.3.
pub(super) fn unexpected_property(name: &str) -> Answer {
    let text = format!(
        "Property '{name}' in the 'application-properties' section is either missing, has the wrong type, or has an \
         unexpected value."
    );
    Answer::refused(400, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::event::MessageId;

    #[test]
    fn the_answer_repeats_the_message_id_in_its_own_type() {
        for id in [
            MessageId::Ulong(7),
            MessageId::Uuid([9; 16]),
            MessageId::Binary(Bytes::from_static(b"id")),
            MessageId::String("id".into()),
        ] {
            let answer = Answer::refused(404, "no").with_condition("amqp:not-found");
            let answer = answer.encode(&Event::default().with_message_id(id.clone()));
            let answer = Event::decode(&answer).unwrap();
            assert_eq!(answer.value(), Some(&Value::Null));
            assert_eq!(answer.properties().unwrap().correlation_id, Some(id));
            assert_eq!(answer.property("status-code"), Some(&Value::Int(404)));
            assert_eq!(answer.property("status-description"), Some(&Value::from("no")));
            assert_eq!(answer.property("error-condition"), Some(&Value::symbol("amqp:not-found")));
        }
    }
}
