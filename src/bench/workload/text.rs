//! Numbers with units, and the types that are written as text.

use std::fmt;

/// A text that is not what a setting of a workload takes. The text itself is not repeated: it may be anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}")]
pub struct TextError {
    /// The setting.
    pub what: &'static str,
    /// What it takes.
    pub expected: &'static str,
}

impl TextError {
    pub(in crate::bench) fn new(what: &'static str, expected: &'static str) -> Self {
        Self { what, expected }
    }
}

/// Units of bytes: the SI's, as many tools have them, and those of 1,024.
const UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("k", 1_000),
    ("B", 1),
];

/// Bytes: a whole number, alone or with a unit: `100`, `60k`, `1KiB`, `2MiB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "B" } else { unit.trim() };
    let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The same the other way: `1KiB`, `1000`.
pub(super) fn of_bytes(bytes: u64) -> String {
    for (unit, factor) in &UNITS[..3] {
        if bytes > 0 && bytes.is_multiple_of(*factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// A finite number above 0, with the factors `k` and `M`.
pub(super) fn positive(text: &str) -> Option<f64> {
    positive_or_zero(text).filter(|number| *number > 0.0)
}

/// The same, or 0.
pub(in crate::bench) fn positive_or_zero(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, factor) = match text.strip_suffix('k').map(|rest| (rest, 1e3)) {
        Some(split) => split,
        None => text.strip_suffix('M').map_or((text, 1.0), |rest| (rest, 1e6)),
    };
    // Only what is written as a number: `inf` and `NaN` are not.
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| is_plain)?;
    Some(number * factor).filter(|number| number.is_finite())
}

/// Joins what is written with commas in between.
pub(super) fn joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: impl IntoIterator<Item = T>) -> fmt::Result {
    for (at, part) in parts.into_iter().enumerate() {
        write!(f, "{}{part}", if at == 0 { "" } else { "," })?;
    }
    Ok(())
}

/// Types that reports hold as the text they are read from.
macro_rules! held_as_text {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}
pub(in crate::bench) use held_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_or_none() {
        for (text, expected) in [
            ("0", Some(0)),
            ("100", Some(100)),
            ("60k", Some(60_000)),
            ("1kb", Some(1_000)),
            ("1KiB", Some(1_024)),
            ("2mib", Some(2_097_152)),
            ("1GB", Some(1_000_000_000)),
            (" 7 B ", Some(7)),
            ("", None),
            ("k", None),
            ("-1", None),
            ("1.5k", None),
            ("1e3", None),
            ("18446744073709551615KiB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        for size in [0, 1, 1_000, 1_024, 1_536, 1 << 20, 3 << 30] {
            assert_eq!(bytes(&of_bytes(size)), Some(size));
        }
    }

    #[test]
    fn numbers_are_finite_and_above_nothing() {
        for (text, expected) in [
            ("0.5", Some(0.5)),
            ("5k", Some(5_000.0)),
            ("2M", Some(2e6)),
            ("0", None),
            ("inf", None),
            ("NaN", None),
            ("-1", None),
        ] {
            assert_eq!(positive(text), expected, "{text}");
        }
    }
}
