//! What the nodes that take requests, `$cbs` and `$management`, answer. Source: event-hubs-wire 5.3 and 9.

use bytes::Bytes;

use super::event::{Event, MessageId};
use super::secret::masked;
use super::value::{DecodeError, Value};

/// A hub's answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The message-id of the request it answers, when it is one of ours.
    pub(crate) correlation_id: Option<u64>,
    /// As in HTTP: any 2xx is a yes.
    pub(crate) status: i64,
    pub(crate) description: String,
    /// The error's name; empty when there is none.
    pub(crate) condition: String,
    /// The body, if it is a value.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn decode(message: &Bytes) -> Result<Self, DecodeError> {
        let answer = Event::decode(message)?;
        let correlation_id = match answer.properties().and_then(|properties| properties.correlation_id.as_ref()) {
            Some(MessageId::Ulong(id)) => Some(*id),
            _ => None,
        };
        // Both spellings are in use. Source: event-hubs-wire 5.3 and 9.
        let property = |kebab, camel| answer.property(kebab).or_else(|| answer.property(camel));
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self {
            correlation_id,
            status: property("status-code", "statusCode").and_then(Value::as_i64).unwrap_or(0),
            description: masked(&text(property("status-description", "statusDescription"))),
            condition: text(property("error-condition", "errorCondition")),
            body: answer.value().cloned().unwrap_or(Value::Null),
        })
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::event::Body;

    #[test]
    fn both_spellings_are_read() {
        for (status, description, condition) in [
            ("status-code", "status-description", "error-condition"),
            ("statusCode", "statusDescription", "errorCondition"),
        ] {
            let message = Event::from_body(Body::Value(Value::Null))
                .with_correlation_id(7)
                .with_property(status, 404)
                .with_property(description, "gone")
                .with_property(condition, Value::symbol("amqp:not-found"));
            let answer = Answer::decode(&message.encode().unwrap()).unwrap();
            assert_eq!((answer.correlation_id, answer.status, answer.is_success()), (Some(7), 404, false));
            assert_eq!((answer.description.as_str(), answer.condition.as_str()), ("gone", "amqp:not-found"));
        }
    }

    #[test]
    fn an_answer_without_anything_is_no_success() {
        let answer = Answer::decode(&Event::new("").encode().unwrap()).unwrap();
        assert_eq!((answer.correlation_id, answer.status, answer.is_success()), (None, 0, false));
        assert_eq!(answer.body, Value::Null);
    }
}
