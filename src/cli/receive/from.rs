//! `--from`: where reading begins, as a person says it.

use std::time::{Duration, SystemTime};

use crate::Position;

/// Where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum From {
    At(Position),
    /// So long before the reading begins.
    Ago(Duration),
}

impl From {
    pub(super) fn position(&self, now: SystemTime) -> Position {
        match self {
            Self::At(position) => position.clone(),
            Self::Ago(span) => {
                let start = now.checked_sub(*span).unwrap_or(SystemTime::UNIX_EPOCH);
                Position::FromEnqueuedTime(start.max(SystemTime::UNIX_EPOCH))
            }
        }
    }
}

/// Reads `earliest`, `latest`, `offset:TEXT`, `sequence:N`, a time, or a span.
pub(in crate::cli) fn parse(text: &str) -> Result<From, String> {
    let expected = || {
        "expected earliest, latest, offset:N, sequence:N, a time such as 2026-11-22T09:05:00Z, or a span such as 15m"
            .to_owned()
    };
    let position = match text.split_once(':') {
        Some(("offset", offset)) if !offset.is_empty() => Position::FromOffset(offset.to_owned()),
        Some(("sequence", number)) => Position::FromSequenceNumber(number.parse().map_err(|_| expected())?),
        _ if text == "earliest" => Position::Earliest,
        _ if text == "latest" => Position::Latest,
        _ => match humantime::parse_rfc3339_weak(text) {
            Ok(time) => Position::FromEnqueuedTime(time),
            Err(_) => return humantime::parse_duration(text).map(From::Ago).map_err(|_| expected()),
        },
    };
    Ok(From::At(position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_times_and_spans_are_told_apart() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let now = at(1_700_000_000);
        for (text, position) in [
            ("earliest", Position::Earliest),
            ("latest", Position::Latest),
            ("offset:8590", Position::FromOffset("8590".into())),
            ("offset:a:b", Position::FromOffset("a:b".into())),
            ("sequence:0", Position::FromSequenceNumber(0)),
            ("2023-11-14T22:13:20Z", Position::FromEnqueuedTime(now)),
            ("2023-11-14 22:13:20", Position::FromEnqueuedTime(now)),
            ("15m", Position::FromEnqueuedTime(at(1_699_999_100))),
            ("1h 30m", Position::FromEnqueuedTime(at(1_699_994_600))),
            ("99999999999s", Position::FromEnqueuedTime(at(0))),
        ] {
            let position_of_text = parse(text).map(|from| from.position(now));
            assert_eq!(position_of_text, Ok(position), "{text}");
        }
        for text in ["", "newest", "offset:", "sequence:", "sequence:x", "15", "2023-11-14T"] {
            assert!(parse(text).unwrap_err().starts_with("expected earliest"), "{text}");
        }
    }
}
