//! Which partition keys events have, and where they go.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::{TextError, held_as_text};
use crate::wire::secret::shown;

/// Keys of a workload at most.
const MAX_KEYS: u32 = 1_000_000;

/// The events' partition keys. Those that are made up are `key-0`, `key-1` and so on.
///
/// ```
/// use hubwire::bench::Keys;
///
/// assert_eq!("round-robin:100".parse(), Ok(Keys::RoundRobin(100)));
/// assert_eq!("zipf:1000".parse(), Ok(Keys::Zipf { count: 1_000, exponent: 1.0 }));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Keys {
    /// No event has one.
    None,
    /// So many, in turn.
    RoundRobin(u32),
    /// So many, each as likely as the others.
    Uniform(u32),
    /// So many, the first the likeliest: the n-th as likely as one in n to the power of `exponent`.
    Zipf {
        /// How many.
        count: u32,
        /// 0 is uniform, 1 is what words of a language and users of a service come near to.
        exponent: f64,
    },
    /// The lines of a file, in turn.
    File(PathBuf),
}

held_as_text!(Keys, Route);

fn wrong() -> TextError {
    TextError::new(
        "keys",
        "none, round-robin:COUNT, uniform:COUNT, zipf:COUNT, zipf:COUNT:EXPONENT or file:PATH, with up to 1000000 keys",
    )
}

impl FromStr for Keys {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if text == "none" {
            return Ok(Self::None);
        }
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            "round-robin" => count(rest).map(Self::RoundRobin).ok_or_else(wrong),
            "uniform" => count(rest).map(Self::Uniform).ok_or_else(wrong),
            "zipf" => zipf(rest).ok_or_else(wrong),
            "file" if !rest.is_empty() => Ok(Self::File(rest.into())),
            _ => Err(wrong()),
        }
    }
}

fn count(text: &str) -> Option<u32> {
    text.parse().ok().filter(|count| (1..=MAX_KEYS).contains(count))
}

fn zipf(text: &str) -> Option<Keys> {
    let (number, exponent) = text.split_once(':').unwrap_or((text, "1"));
    let exponent: f64 = exponent.parse().ok()?;
    (0.0..=10.0).contains(&exponent).then_some(Keys::Zipf { count: count(number)?, exponent })
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::RoundRobin(count) => write!(f, "round-robin:{count}"),
            Self::Uniform(count) => write!(f, "uniform:{count}"),
            Self::Zipf { count, exponent } => write!(f, "zipf:{count}:{exponent}"),
            Self::File(path) => write!(f, "file:{}", shown(path)),
        }
    }
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Route {
    /// To the hub, which chooses the partition.
    Hub,
    /// To one partition.
    Partition(String),
    /// To each partition in turn, on a link of its own.
    EachPartition,
}

impl FromStr for Route {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "hub" => Ok(Self::Hub),
            "all" => Ok(Self::EachPartition),
            id if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Self::Partition(id.to_owned())),
            _ => Err(TextError::new("partition", "hub, all, or a partition's number")),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hub => "hub",
            Self::Partition(id) => id,
            Self::EachPartition => "all",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_choice_of_keys_is_refused() {
        for text in
            ["", "some", "uniform", "uniform:0", "uniform:1000001", "zipf:10:x", "zipf:10:11", "zipf:5:NaN", "file:"]
        {
            assert!(text.parse::<Keys>().is_err(), "{text}");
        }
        for text in ["", "all of them", "-1", "$management"] {
            assert!(text.parse::<Route>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(count in 1_u32..MAX_KEYS, exponent in 0.0_f64..10.0, id in 0_u32..32) {
            for keys in [Keys::None, Keys::RoundRobin(count), Keys::Uniform(count), Keys::Zipf { count, exponent }] {
                prop_assert_eq!(keys.to_string().parse(), Ok(keys));
            }
            for route in [Route::Hub, Route::EachPartition, Route::Partition(id.to_string())] {
                prop_assert_eq!(route.to_string().parse(), Ok(route));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (text.parse::<Keys>(), text.parse::<Route>());
        }
    }
}
