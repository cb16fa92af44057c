//! What is written in an argument, as what it says.

use std::time::Duration;

pub(in crate::cli) fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

pub(super) fn partition_id(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "expected a whole number from 0".to_owned())
}

pub(super) fn consumer_group(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((event_hub, group)) => Ok((event_hub.to_owned(), group.to_owned())),
        None => Err("expected EVENT_HUB/GROUP, e.g. telemetry/readers".to_owned()),
    }
}

/// The name of a consumer group, or a partition's id, as Event Hubs has them. What is none would travel in an address, and
/// come back in the hub's words.
pub(super) fn name(text: &str) -> Result<String, String> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_$".contains(&byte));
    if text.is_empty() || !is_name {
        return Err("use letters, digits, `.`, `-` and `_`".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn hub(text: &str) -> Result<(String, u32), String> {
    let Some((name, partitions)) = text.split_once(':') else { return Ok((text.to_owned(), 4)) };
    match partitions.parse() {
        Ok(partitions) => Ok((name.to_owned(), partitions)),
        Err(_) => Err("expected NAME or NAME:PARTITIONS, e.g. telemetry:4".to_owned()),
    }
}

/// Bytes: a whole number, alone or with `B`, `KiB` or `MiB` or `GiB`, in whatever case.
pub(in crate::cli) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => 0,
    };
    let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(unit)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "expected bytes, or a number with KiB, MiB or GiB; more than 0".to_owned())
}

/// The same, or 0.
pub(super) fn size_or_0(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { size(text).map_err(|error| error.replace("; more than 0", "; or 0")) }
}

/// A span such as `500ms`, `30s`, `2m` or `1m 30s`.
pub(in crate::cli) fn time(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).ok().filter(|span| !span.is_zero());
    span.ok_or_else(|| "expected a time such as 500ms, 30s or 2m; more than 0".to_owned())
}

fn split_unit(text: &str) -> (&str, &str) {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(unit_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_or_are_bytes() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1_048_576)),
            ("2GiB", Some(2_147_483_648)),
            ("7B", Some(7)),
            ("64kib", Some(65_536)),
            ("1MIB", Some(1_048_576)),
            ("", None),
            ("0", None),
            ("KiB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("1MB", None),
            ("1 MiB", None),
            ("99999999999999999999", None),
            ("18446744073709551615KiB", None),
        ] {
            assert_eq!(size(text).ok(), bytes, "{text}");
        }
    }

    #[test]
    fn a_size_may_be_0_where_that_says_something() {
        assert_eq!((size_or_0("0"), size_or_0("1MiB")), (Ok(0), Ok(1 << 20)));
        assert_eq!(size_or_0("1MB").unwrap_err(), "expected bytes, or a number with KiB, MiB or GiB; or 0");
    }

    #[test]
    fn times_have_a_unit() {
        for (text, millis) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("2m", Some(120_000)),
            ("30", None),
            ("0s", None),
            ("1h", Some(3_600_000)),
            ("1m 30s", Some(90_000)),
            ("s", None),
            ("-1s", None),
            ("18446744073709551615m", None),
        ] {
            assert_eq!(time(text).ok(), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn hubs_have_four_partitions_unless_they_say() {
        for (text, expected) in [
            ("telemetry", Some(("telemetry", 4))),
            ("audit:1", Some(("audit", 1))),
            ("audit:", None),
            ("audit:x", None),
            ("audit:1:2", None),
        ] {
            let expected = expected.map(|(name, partitions)| (name.to_owned(), partitions));
            assert_eq!(hub(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_property_is_split_at_the_first_equals_sign() {
        assert_eq!(property("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(property("a="), Ok(("a".to_owned(), String::new())));
        assert!(property("=b").is_err());
        assert!(property("a").is_err());
    }
}
