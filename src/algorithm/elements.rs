//! The elements of `events` -> the bodies of events.

use std::borrow::Cow;
use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, DeserializeSeed, Deserializer};
use serde_json::value::RawValue;

use super::failure::Failure;
use crate::document::{self, Reader, SHAPE, Take};

/// What an element of `events` has to be, and how it becomes the body of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Elements {
    /// A string, whose UTF-8 is the body.
    #[default]
    Strings,
    /// Any JSON value, whose text is the body: without blanks, else as it came, numbers to the last digit. A string keeps its
    /// quotes.
    Json,
    /// A string, whose base64 (standard alphabet, padded) is decoded.
    Base64,
}

/// How an input is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    pub(super) elements: Elements,
    pub(super) keep_empty: bool,
}

/// Gives the bodies in `input` to `sink`, each with its number, until that finds a fault; how many there are.
#[allow(clippy::type_complexity, reason = "a closure by reference, said where it is taken")]
pub(super) fn read(
    input: &str,
    rules: Rules,
    sink: &mut dyn FnMut(u64, &[u8]) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let (mut bodies, at) = (Bodies { rules, decoded: Vec::new(), sink }, Cell::new(None));
    let mut json = serde_json::Deserializer::from_str(input);
    let reader = Reader { taker: &mut bodies, is_document: &Cell::default(), at: &at };
    let read = reader.deserialize(&mut json).and_then(|document| json.end().map(|()| document));
    let document = read.map_err(|error| match at.get() {
        Some(index) => Failure::input(format!("events[{index}]: {error}")),
        None => Failure::input(format!("the input is not one JSON object {SHAPE}: {error}")),
    })?;
    document.into_count().map(|(count, _)| count)
}

#[allow(clippy::type_complexity, reason = "a closure by reference, said where it is taken")]
struct Bodies<'a> {
    rules: Rules,
    /// Of the element that is being read.
    decoded: Vec<u8>,
    sink: &'a mut dyn FnMut(u64, &[u8]) -> Result<(), Failure>,
}

impl Bodies<'_> {
    fn hand_on(&mut self, index: u64, body: &[u8]) -> Result<(), Failure> {
        if body.is_empty() && !self.rules.keep_empty {
            return Err(Failure::input(format!("events[{index}]: empty; leave it out, or allow empty events")));
        }
        (self.sink)(index, body)
    }

    fn hand_on_decoded(&mut self, index: u64, text: &str) -> Result<(), Failure> {
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        let handed = match STANDARD.decode_vec(text, &mut decoded) {
            Ok(()) => self.hand_on(index, &decoded),
            Err(error) => Err(Failure::input(format!("events[{index}]: not base64: {error}"))),
        };
        self.decoded = decoded;
        handed
    }
}

impl<'de> Take<'de> for Bodies<'_> {
    type Fault = Failure;

    fn wanted(&self) -> &'static str {
        match self.rules.elements {
            Elements::Strings | Elements::Base64 => "strings",
            Elements::Json => "events",
        }
    }

    fn take<D: Deserializer<'de>>(&mut self, index: u64, element: D) -> Result<Result<(), Failure>, D::Error> {
        let taken = match self.rules.elements {
            Elements::Strings => document::text(element, |text| self.hand_on(index, text.as_bytes()))?,
            Elements::Base64 => document::text(element, |text| self.hand_on_decoded(index, text))?,
            Elements::Json => {
                let raw = <&RawValue>::deserialize(element)?;
                Ok(self.hand_on(index, compact(raw.get()).as_bytes()))
            }
        };
        let other = |kind| Err(Failure::input(format!("events[{index}]: expected a string, got {kind}")));
        Ok(taken.unwrap_or_else(other))
    }
}

/// A JSON text without the blanks between its parts.
fn compact(json: &str) -> Cow<'_, str> {
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    if !json.contains(is_blank) {
        return Cow::Borrowed(json);
    }
    let (mut is_in_string, mut is_escaped) = (false, false);
    let keep = |c: &char| {
        match (is_in_string, is_escaped, *c) {
            (true, true, _) => is_escaped = false,
            (true, false, '\\') => is_escaped = true,
            (_, false, '"') => is_in_string = !is_in_string,
            _ => {}
        }
        is_in_string || !is_blank(*c)
    };
    Cow::Owned(json.chars().filter(keep).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::ErrorType;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn bodies(input: &str, elements: Elements) -> Result<Vec<Vec<u8>>, String> {
        let mut bodies = Vec::new();
        let rules = Rules { elements, keep_empty: false };
        let read = read(input, rules, &mut |index, body| {
            assert_eq!(index, bodies.len() as u64);
            bodies.push(body.to_vec());
            Ok(())
        });
        let count = read.map_err(|failure| {
            assert_eq!(failure.error_type(), ErrorType::Input, "{failure}");
            failure.to_string()
        })?;
        assert_eq!(count, bodies.len() as u64);
        Ok(bodies)
    }

    #[test]
    fn strings_are_bodies() {
        let input = r#"{"other":1,"events":["first event","é\n\u0041"]}"#;
        assert_eq!(bodies(input, Elements::Strings), Ok(vec![b"first event".to_vec(), "é\nA".as_bytes().to_vec()]));
    }

    #[test]
    fn json_keeps_its_text_but_for_blanks() {
        let input = r#"{"events":["a \" b\\", 1.0, 12345678901234567890, { "k" : [ true , null ] } ,[]]}"#;
        let texts = [r#""a \" b\\""#, "1.0", "12345678901234567890", r#"{"k":[true,null]}"#, "[]"];
        assert_eq!(bodies(input, Elements::Json), Ok(texts.map(|text| text.as_bytes().to_vec()).to_vec()));
    }

    #[test]
    fn base64_is_decoded() {
        assert_eq!(bodies(r#"{"events":["AP8Q","YQ=="]}"#, Elements::Base64), Ok(vec![vec![0, 255, 16], vec![b'a']]));
        for (input, words) in [
            (r#"{"events":["YQ==","YQ"]}"#, "events[1]: not base64: "),
            (r#"{"events":["YQ==",""]}"#, "events[1]: empty"),
            (r#"{"events":["YQ==",7]}"#, "events[1]: expected a string, got a number"),
        ] {
            let text = bodies(input, Elements::Base64).expect_err(input);
            assert!(text.starts_with(words), "{input}: {text}");
        }
    }

    #[test]
    fn elements_are_named_by_their_number() {
        for (input, text) in [
            (r#"{"events":["a",42]}"#, "events[1]: expected a string, got a number"),
            (r#"{"events":["a","b",null]}"#, "events[2]: expected a string, got null"),
            (r#"{"events":["a",""]}"#, "events[1]: empty; leave it out, or allow empty events"),
            (r#"{"events":[]}"#, "events: no events, the array is empty"),
            (r#"{"events":"hello"}"#, "events: expected an array of strings, got a string"),
            (r#"{"events":["a","\ud800"]}"#, "events[1]: unexpected end of hex escape at line 1 column 23"),
            ("7", r#"expected an object {"events": ["...", "..."]}, got a number"#),
            (r#"{"event":["a"]}"#, r#"the object has no member `events`; expected {"events": ["...", "..."]}"#),
            (r#"{"events":["a"],"events":["b"]}"#, "`events` is there twice"),
        ] {
            assert_eq!(bodies(input, Elements::Strings), Err(text.to_owned()), "{input}");
        }
        let text = bodies("hello", Elements::Strings).expect_err("no JSON");
        assert!(text.starts_with(r#"the input is not one JSON object {"events": ["...", "..."]}: "#), "{text}");
    }

    #[test]
    fn what_finds_a_fault_is_offered_no_more() {
        let mut offered = 0;
        let read = read(r#"{"events":["a","b","c"]}"#, Rules::default(), &mut |index, _| {
            offered += 1;
            if index == 1 { Err(Failure::input("enough")) } else { Ok(()) }
        });
        assert_eq!((read.expect_err("a fault").to_string().as_str(), offered), ("enough", 2));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|members| members.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        /// However it is laid out, a value's text is the one that it has without blanks.
        #[test]
        fn blanks_are_all_that_goes(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(compact(&pretty), serde_json::to_string(&value).unwrap());
        }

        #[test]
        fn any_strings_come_through(texts in prop::collection::vec("(?s).{1,20}", 1..8)) {
            let input = json!({ "events": texts }).to_string();
            let expected: Vec<_> = texts.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(bodies(&input, Elements::Strings), Ok(expected));
        }
    }
}
