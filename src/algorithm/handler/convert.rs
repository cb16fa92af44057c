//! What handlers take and give back.

use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::{Answer, Failure, Input};

/// What a handler can take: all that can be read from JSON, [`Input`], and [`ByteVec`].
pub trait FromInput: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// [`Failure`], in words for whoever gave the input.
    fn from_input(input: Input) -> Result<Self, Failure>;
}

/// What a handler can give back: all that can be written as JSON, and [`ByteVec`].
pub trait IntoAnswer {
    /// Writes it.
    ///
    /// # Errors
    /// [`Failure`] for what JSON cannot say.
    fn into_answer(self) -> Result<Answer, Failure>;
}

/// Bytes, which travel as `binary`.
#[derive(Clone, PartialEq, Eq)]
pub struct ByteVec(pub Vec<u8>);

/// How many; not what they are.
impl std::fmt::Debug for ByteVec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteVec").field("len", &self.0.len()).finish()
    }
}

impl From<Vec<u8>> for ByteVec {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl<T: DeserializeOwned> FromInput for T {
    fn from_input(input: Input) -> Result<Self, Failure> {
        let failed = |error: serde_json::Error| Failure::input(format!("the input does not fit: {error}"));
        match input {
            Input::Json(json) => serde_json::from_str(json.as_str()).map_err(failed),
            Input::Text(text) => {
                let text: StrDeserializer<'_, serde_json::Error> = text.as_str().into_deserializer();
                T::deserialize(text).map_err(failed)
            }
            Input::Binary(_) => Err(Failure::input("the input does not fit: it is binary; send JSON or text")),
        }
    }
}

impl FromInput for Input {
    fn from_input(input: Input) -> Result<Self, Failure> {
        Ok(input)
    }
}

impl FromInput for ByteVec {
    fn from_input(input: Input) -> Result<Self, Failure> {
        match input {
            Input::Binary(bytes) => Ok(Self(bytes)),
            Input::Text(text) => Ok(Self(text.into_bytes())),
            Input::Json(_) => Err(Failure::input("the input does not fit: it is JSON; send it as binary")),
        }
    }
}

impl<T: Serialize> IntoAnswer for T {
    fn into_answer(self) -> Result<Answer, Failure> {
        Answer::of(&self)
    }
}

impl IntoAnswer for ByteVec {
    fn into_answer(self) -> Result<Answer, Failure> {
        Ok(Answer::binary(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Titles {
        titles: Vec<String>,
    }

    #[test]
    fn inputs_are_what_the_handler_takes() {
        let json = || Input::json(r#"{"titles":["a"]}"#);
        assert_eq!(Titles::from_input(json()), Ok(Titles { titles: vec!["a".to_owned()] }));
        assert_eq!(Input::from_input(json()), Ok(json()));
        assert_eq!(String::from_input(Input::Text("a \"b\"".to_owned())), Ok("a \"b\"".to_owned()));
        assert_eq!(ByteVec::from_input(Input::Binary(vec![0, 255])), Ok(ByteVec(vec![0, 255])));
        assert_eq!(ByteVec::from_input(Input::Text("a".to_owned())), Ok(ByteVec(b"a".to_vec())));
    }

    #[test]
    fn inputs_that_do_not_fit_are_told() {
        let words = |failure: Failure| failure.to_string();
        let missing = Titles::from_input(Input::json("{}")).map_err(words);
        assert_eq!(missing, Err("the input does not fit: missing field `titles` at line 1 column 2".to_owned()));
        for input in [Input::Text("a".to_owned()), Input::Binary(Vec::new()), Input::json("7")] {
            assert!(Titles::from_input(input).is_err());
        }
        assert!(ByteVec::from_input(Input::json("\"AP8Q\"")).is_err());
    }
}
