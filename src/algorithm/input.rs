//! A line of the host's -> an input.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::{ErrorType, Failure};

/// What a caller gave an algorithm. It shows what it is, and nothing of what is in it.
///
/// ```
/// use hubwire::algorithm::Input;
///
/// let input = Input::json(r#"{"events": ["first event", "second event", "..."]}"#);
/// assert!(matches!(input, Input::Json(_)));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Input {
    /// A JSON value.
    Json(Json),
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// The text of a JSON value.
#[derive(Clone, PartialEq, Eq)]
pub struct Json {
    /// It may hold the whole request: a large one is not copied out of it.
    text: String,
    range: Range<usize>,
}

impl Json {
    /// The text, as it came.
    pub fn as_str(&self) -> &str {
        &self.text[self.range.clone()]
    }
}

impl Input {
    /// Of the text of a JSON value. Whether it is one is found out by whoever reads it.
    pub fn json(text: impl Into<String>) -> Self {
        let text = text.into();
        let range = 0..text.len();
        Self::Json(Json { text, range })
    }

    /// Of a request's line, its end left out. Source: algorithm-process 2.3.
    pub(super) fn of_request(line: Vec<u8>) -> Result<Self, Failure> {
        let text = String::from_utf8(line).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::parsing(format!("the request is not UTF-8 at byte {at}; encode it as JSON in UTF-8"))
        })?;
        let request = serde_json::from_str::<Request<'_>>(&text).map_err(|error| {
            Failure::parsing(format!("the request is no object with `content_type` and `data`: {error}"))
        })?;
        match &*request.content_type {
            "json" => {
                let data = request.data.get();
                // It borrows from the text.
                let start = data.as_ptr().addr() - text.as_ptr().addr();
                let range = start..start + data.len();
                Ok(Self::Json(Json { text, range }))
            }
            "text" => Ok(Self::Text(string_of(request.data, "text")?.into_owned())),
            "binary" => {
                let encoded = string_of(request.data, "binary")?;
                let decoded = STANDARD.decode(&*encoded).map_err(|error| {
                    Failure::parsing(format!("the request's `data` is not base64, as `binary` has it: {error}"))
                })?;
                Ok(Self::Binary(decoded))
            }
            other => {
                let text = format!("content type {other:?} is not known; send json, text or binary");
                Err(Failure::new(ErrorType::Unsupported, text))
            }
        }
    }

    /// The text in which an object `{"events": [...]}` is looked for.
    pub(super) fn document(&self) -> Result<&str, Failure> {
        match self {
            Self::Json(json) => Ok(json.as_str()),
            Self::Text(text) => Ok(text),
            Self::Binary(bytes) => std::str::from_utf8(bytes).map_err(|error| {
                let at = error.valid_up_to();
                Failure::input(format!("the input is binary and not UTF-8 at byte {at}; send JSON"))
            }),
        }
    }

    fn kind(&self) -> (&'static str, usize) {
        match self {
            Self::Json(json) => ("Json", json.range.len()),
            Self::Text(text) => ("Text", text.len()),
            Self::Binary(bytes) => ("Binary", bytes.len()),
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, len) = self.kind();
        f.debug_struct(name).field("len", &len).finish()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").field("len", &self.range.len()).finish()
    }
}

/// The line's members; others are no concern of ours.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    content_type: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn string_of<'a>(data: &'a RawValue, content_type: &str) -> Result<Cow<'a, str>, Failure> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let text = serde_json::from_str::<Text<'a>>(data.get()).map_err(|error| {
        Failure::parsing(format!("the request's `data` is no text, as `{content_type}` has it: {error}"))
    })?;
    Ok(text.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Result<Input, (&'static str, String)> {
        let failed = |failure: Failure| (failure.error_type().name(), failure.to_string());
        Input::of_request(line.as_bytes().to_vec()).map_err(failed)
    }

    /// The lines of the reference, as a server sent them.
    #[test]
    fn lines_of_the_platform_are_read() {
        let text = r#"{"content_type":"text","data":"I am text \"q\" \\ é"}"#;
        assert_eq!(read(text), Ok(Input::Text(r#"I am text "q" \ é"#.to_owned())));
        let json = r#"{"content_type":"json","data":{"events":["first event","second event","..."]}}"#;
        let Ok(Input::Json(read_json)) = read(json) else { panic!("JSON") };
        assert_eq!(read_json.as_str(), r#"{"events":["first event","second event","..."]}"#);
        let numbers = r#"{"content_type":"json","data":{"a":1.0,"n":12345678901234567890,"u":"é😀\n","z":1}}"#;
        let Ok(Input::Json(read_numbers)) = read(numbers) else { panic!("JSON") };
        assert_eq!(read_numbers.as_str(), r#"{"a":1.0,"n":12345678901234567890,"u":"é😀\n","z":1}"#);
        let binary = r#"{"content_type":"binary","data":"AP8Q"}"#;
        assert_eq!(read(binary), Ok(Input::Binary(vec![0, 255, 16])));
    }

    #[test]
    fn members_may_come_in_any_order_and_others_beside_them() {
        let line = " { \"data\" : [ 1 ] , \"more\" : {} , \"content_type\" : \"js\\u006fn\" } ";
        let Ok(Input::Json(json)) = read(line) else { panic!("JSON") };
        assert_eq!(json.as_str(), "[ 1 ]");
    }

    #[test]
    fn what_is_no_request_is_named() {
        for (line, name, words) in [
            ("", "ParsingError", "the request is no object with `content_type` and `data`: EOF"),
            ("{", "ParsingError", "EOF while parsing an object"),
            ("[]", "ParsingError", "the request is no object"),
            ("{}", "ParsingError", "missing field `content_type`"),
            (r#"{"content_type":"json"}"#, "ParsingError", "missing field `data`"),
            (r#"{"content_type":7,"data":1}"#, "ParsingError", "invalid type: integer `7`"),
            (r#"{"content_type":"json","data":1} x"#, "ParsingError", "trailing characters"),
            (r#"{"content_type":"json","data":{]}"#, "ParsingError", "key must be a string"),
            (r#"{"content_type":"text","data":7}"#, "ParsingError", "`data` is no text, as `text` has it"),
            (r#"{"content_type":"text","data":"\ud800"}"#, "ParsingError", "`data` is no text, as `text` has it"),
            (r#"{"content_type":"binary","data":null}"#, "ParsingError", "`data` is no text, as `binary` has it"),
            (r#"{"content_type":"binary","data":"%"}"#, "ParsingError", "not base64, as `binary` has it"),
            (r#"{"content_type":"binary","data":"AP8"}"#, "ParsingError", "not base64, as `binary` has it"),
            (r#"{"content_type":"xml","data":"x"}"#, "UnsupportedError", "content type \"xml\" is not known"),
        ] {
            let (its_name, its_words) = read(line).expect_err(line);
            assert_eq!(its_name, name, "{line}");
            assert!(its_words.contains(words), "{line}: {its_words}");
        }
        let failure = Input::of_request(b"{\"content_type\":\"\xff\"}".to_vec()).expect_err("not UTF-8");
        let text = "the request is not UTF-8 at byte 17; encode it as JSON in UTF-8";
        assert_eq!((failure.error_type(), failure.to_string().as_str()), (ErrorType::Parsing, text));
    }

    #[test]
    fn what_is_in_it_does_not_show() {
        let input = read(r#"{"content_type":"json","data":{"events":["secret"]}}"#).unwrap();
        assert_eq!(format!("{input:?} {:?}", Input::Text("secret".into())), "Json { len: 21 } Text { len: 6 }");
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Input::of_request(line);
        }

        #[test]
        fn any_data_comes_through(text: String) {
            let data = serde_json::to_string(&text).unwrap();
            let line = format!(r#"{{"content_type":"text","data":{data}}}"#);
            prop_assert_eq!(Input::of_request(line.into_bytes()), Ok(Input::Text(text)));
        }
    }
}
