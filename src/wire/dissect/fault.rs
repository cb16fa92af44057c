//! What is wrong at which byte.

use std::borrow::Cow;
use std::fmt;

use crate::wire::value::{DecodeError, MAX_DEPTH};

/// A byte at which the input is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Counted from the start of the input.
    pub(crate) at: usize,
    pub(crate) expected: Cow<'static, str>,
    pub(crate) found: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(at: usize, expected: impl Into<Cow<'static, str>>, found: impl Into<Cow<'static, str>>) -> Self {
        Self { at, expected: expected.into(), found: found.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: expected {}, found {}", self.at, self.expected, self.found)
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Truncated { at, expected } => Self::new(at, expected, "the end"),
            DecodeError::Unexpected { at, expected, found } => Self::new(at, expected, format!("{found:#04x}")),
            DecodeError::WrongType { at, expected, found } => Self::new(at, expected, found.name()),
            DecodeError::InvalidContent { at, expected } => Self::new(at, expected, "other bytes"),
            DecodeError::CountTooLarge { at, count, len } => {
                Self::new(at, format!("as many elements as {len} bytes hold"), format!("a count of {count}"))
            }
            DecodeError::OddMap { at, count } => Self::new(at, "a value for each key", format!("a count of {count}")),
            DecodeError::Trailing { at, expected, len } => {
                Self::new(at, format!("the end of {expected}"), format!("{len} more bytes"))
            }
            DecodeError::TooDeep { at } => {
                Self::new(at, format!("values in values at most {MAX_DEPTH} deep"), "one deeper")
            }
            DecodeError::UnknownSection { at, descriptor } => Self::new(at, "a message section", descriptor),
            DecodeError::NotData { at, found } => Self::new(at, "data sections, as in a batch", found),
            DecodeError::MixedBody { at, found } => Self::new(at, "one kind of body", found),
        }
    }
}
