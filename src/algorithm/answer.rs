//! Reply or failure -> one JSON object and a line's end. Source: algorithm-process 2.4.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::failure::{ErrorType, Failure};

/// What an algorithm gives back: JSON, a text, or bytes.
#[derive(Clone)]
pub struct Answer {
    result: Box<RawValue>,
    content_type: &'static str,
}

impl Answer {
    /// Of any value; one that is a string is a text.
    ///
    /// # Errors
    /// [`Failure`] for a value that JSON cannot say.
    pub fn of(value: &impl Serialize) -> Result<Self, Failure> {
        let failed = |error| Failure::new(ErrorType::Algorithm, format!("the result cannot be told in JSON: {error}"));
        let result = serde_json::value::to_raw_value(value).map_err(failed)?;
        let content_type = if result.get().starts_with('"') { "text" } else { "json" };
        Ok(Self { result, content_type })
    }

    /// Of bytes, which travel as base64.
    #[must_use]
    pub fn binary(bytes: &[u8]) -> Self {
        let result = serde_json::value::to_raw_value(&STANDARD.encode(bytes)).expect("a text can be told in JSON");
        Self { result, content_type: "binary" }
    }
}

/// What it is and how long; not what is in it.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, content_type) = (self.result.get().len(), self.content_type);
        f.debug_struct("Answer").field("content_type", &content_type).field("len", &len).finish()
    }
}

#[derive(Serialize)]
struct Success<'a> {
    result: &'a RawValue,
    metadata: Metadata,
}

#[derive(Serialize)]
struct Metadata {
    content_type: &'static str,
}

#[derive(Serialize)]
struct Error<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    error_type: &'static str,
}

/// What goes to the host, its line's end included: it is to be written at once.
pub(super) fn encode(result: &Result<Answer, Failure>) -> Vec<u8> {
    let encoded = match result {
        Ok(Answer { result, content_type }) => {
            serde_json::to_vec(&Success { result, metadata: Metadata { content_type } })
        }
        Err(failure) => {
            let (message, error_type) = (failure.to_string(), failure.error_type().name());
            serde_json::to_vec(&Error { error: ErrorObject { message: &message, error_type } })
        }
    };
    // Neither can fail: raw JSON and texts.
    let mut encoded = encoded.unwrap_or_default();
    encoded.push(b'\n');
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(result: Result<Answer, Failure>) -> String {
        String::from_utf8(encode(&result)).unwrap()
    }

    #[test]
    fn answers_are_those_of_the_reference_to_the_byte() {
        let text = Answer::of(&"Sent 3 events");
        assert_eq!(told(text), "{\"result\":\"Sent 3 events\",\"metadata\":{\"content_type\":\"text\"}}\n");
        assert_eq!(told(Answer::of(&())), "{\"result\":null,\"metadata\":{\"content_type\":\"json\"}}\n");
        assert_eq!(told(Answer::of(&[1.5])), "{\"result\":[1.5],\"metadata\":{\"content_type\":\"json\"}}\n");
        let binary = Ok(Answer::binary(&[0, 255]));
        assert_eq!(told(binary), "{\"result\":\"AP8=\",\"metadata\":{\"content_type\":\"binary\"}}\n");
        let failure = Failure::input("events[1]: expected a string, got a \"number\"\n");
        assert_eq!(
            told(Err(failure)),
            "{\"error\":{\"message\":\"events[1]: expected a string, got a \\\"number\\\"\\n\",\
             \"error_type\":\"InputError\"}}\n"
        );
    }

    #[test]
    fn what_json_cannot_say_is_a_failure() {
        let map = std::collections::BTreeMap::from([(vec![1], 1)]);
        assert!(Answer::of(&map).expect_err("no key").to_string().contains("key must be a string"));
    }
}
