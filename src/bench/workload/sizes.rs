//! How large events are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::{TextError, bytes, held_as_text, joined, of_bytes, positive};
use crate::wire::secret::shown;

/// The largest body, in bytes: no tier takes a message that is larger.
pub(in crate::bench) const MAX_BODY_LEN: u64 = 20 * 1_048_576;

/// Bytes of the events' bodies.
///
/// ```
/// use hubwire::bench::Sizes;
///
/// assert_eq!("1KiB".parse(), Ok(Sizes::Fixed(1_024)));
/// assert_eq!("100..2k".parse(), Ok(Sizes::Range(100, 2_000)));
/// assert_eq!("100:0.7,1k:0.25,60k:0.05".parse(), Ok(Sizes::Weighted(vec![(100, 0.7), (1_000, 0.25), (60_000, 0.05)])));
/// assert_eq!("file:sizes.txt".parse(), Ok(Sizes::File("sizes.txt".into())));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sizes {
    /// All the same.
    Fixed(u64),
    /// Evenly from one to the other, both included.
    Range(u64, u64),
    /// Each size with its weight.
    Weighted(Vec<(u64, f64)>),
    /// The sizes in a file, one a line, in turn.
    File(PathBuf),
}

held_as_text!(Sizes);

fn wrong() -> TextError {
    TextError::new(
        "size",
        "bytes up to 20MiB such as 100, 1KiB or 60k; a range such as 100..2k; sizes and weights such as \
         100:0.7,1k:0.3; or file:PATH",
    )
}

/// One size, if a body can have it.
pub(in crate::bench) fn size(text: &str) -> Option<u64> {
    bytes(text).filter(|len| *len <= MAX_BODY_LEN)
}

impl FromStr for Sizes {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
            return Ok(Self::File(path.into()));
        }
        if let Some((from, to)) = text.split_once("..") {
            let (from, to) = size(from).zip(size(to)).filter(|(from, to)| from <= to).ok_or_else(wrong)?;
            return Ok(Self::Range(from, to));
        }
        if text.contains(':') {
            let weighted: Option<Vec<_>> = text.split(',').map(weighted).collect();
            return weighted.map(Self::Weighted).ok_or_else(wrong);
        }
        size(text).map(Self::Fixed).ok_or_else(wrong)
    }
}

fn weighted(text: &str) -> Option<(u64, f64)> {
    let (len, weight) = text.split_once(':')?;
    size(len).zip(positive(weight))
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(len) => f.write_str(&of_bytes(*len)),
            Self::Range(from, to) => write!(f, "{}..{}", of_bytes(*from), of_bytes(*to)),
            Self::Weighted(parts) => {
                joined(f, parts.iter().map(|(len, weight)| format!("{}:{weight}", of_bytes(*len))))
            }
            Self::File(path) => write!(f, "file:{}", shown(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "x", "1..", "2..1", "100:", "100:0", "100:inf", "100:1,", "21MiB", "file:", "-1", "1:-1"] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(
            from in 0_u64..1_000_000, more in 0_u64..1_000_000, weights in prop::collection::vec((0_u64..100_000, 0.01_f64..9.0), 1..5),
        ) {
            for sizes in [Sizes::Fixed(from), Sizes::Range(from, from + more), Sizes::Weighted(weights)] {
                prop_assert_eq!(sizes.to_string().parse(), Ok(sizes));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Sizes>();
        }
    }
}
