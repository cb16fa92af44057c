//! What is in events.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::{TextError, held_as_text};
use crate::wire::secret::shown;

/// The events' bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Bodies {
    /// Bytes without a pattern.
    Random,
    /// Words of text, which compress to a fraction.
    Compressible,
    /// The text of a file, with `{{sequence}}`, `{{key}}`, `{{random}}` (0 to 999999), `{{float}}` (0 to 1) and
    /// `{{seconds}}` (since the start) put in. Its length is what comes of it.
    Template(PathBuf),
    /// The lines of a file, in turn, as long as they are.
    Lines(PathBuf),
}

held_as_text!(Bodies);

impl Bodies {
    /// Whether they have a length of their own, which leaves nothing to [`Sizes`](super::Sizes).
    pub(in crate::bench) fn have_sizes(&self) -> bool {
        matches!(self, Self::Template(_) | Self::Lines(_))
    }
}

impl FromStr for Bodies {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text.split_once(':') {
            None if text == "random" => Ok(Self::Random),
            None if text == "compressible" => Ok(Self::Compressible),
            Some(("template", path)) if !path.is_empty() => Ok(Self::Template(path.into())),
            Some(("lines", path)) if !path.is_empty() => Ok(Self::Lines(path.into())),
            _ => Err(TextError::new("body", "random, compressible, template:PATH or lines:PATH")),
        }
    }
}

impl fmt::Display for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("random"),
            Self::Compressible => f.write_str("compressible"),
            Self::Template(path) => write!(f, "template:{}", shown(path)),
            Self::Lines(path) => write!(f, "lines:{}", shown(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same_and_the_rest_is_refused() {
        for text in ["random", "compressible", "template:event.json", "lines:a:b"] {
            assert_eq!(text.parse::<Bodies>().map(|bodies| bodies.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "zeros", "lines:", "template", "file:x"] {
            assert!(text.parse::<Bodies>().is_err(), "{text}");
        }
    }
}
