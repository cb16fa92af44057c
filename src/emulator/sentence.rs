//! The service's sentences, and how each of them ends.

use std::time::{SystemTime, UNIX_EPOCH};

/// Characters of a peer's own words that are repeated to it: the whole sentence has to fit a frame of 512 bytes.
const MAX_QUOTED_LEN: usize = 100;

/// `words` fit to be repeated: shortened, and without control characters.
pub(super) fn quoted(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(MAX_QUOTED_LEN).collect()
}

/// SDKs recognise a missing hub by this sentence, and retry after any other. Source: event-hubs-wire 10.1.
pub(super) fn not_found(path: &str) -> String {
    format!("The messaging entity 'sb://emulator/{}' could not be found.", quoted(path))
}

/// `sentence` with the marks that the service ends its sentences with; `serial` tells this one from others.
pub(super) fn tracked(sentence: &str, serial: u64, now: SystemTime) -> String {
    let timestamp = timestamp(now);
    let tracking_id = format!("00000000-0000-4000-8000-{serial:012x}_G0");
    format!("{sentence} TrackingId:{tracking_id}, SystemTracker:hubwire-emulator, Timestamp:{timestamp}")
}

/// `2026-11-22T09:05:00`, in UTC. A clock before 1970 is taken for one that was never set.
pub(super) fn timestamp(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH)).to_string();
    text.trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::condition::tracking_id;
    use std::time::Duration;

    #[test]
    fn times_are_written_as_the_service_writes_them() {
        for (unix_secs, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (1_795_339_500, "2026-11-22T09:25:00"),
            (4_102_444_800, "2100-01-01T00:00:00"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(unix_secs)), text);
        }
    }

    #[test]
    fn a_tracked_sentence_holds_an_id_to_ask_support_for() {
        let text = tracked("The token is expired.", 255, UNIX_EPOCH);
        assert_eq!(
            text,
            "The token is expired. TrackingId:00000000-0000-4000-8000-0000000000ff_G0, \
             SystemTracker:hubwire-emulator, Timestamp:1970-01-01T00:00:00"
        );
        assert_eq!(tracking_id(&text), Some("00000000-0000-4000-8000-0000000000ff_G0"));
    }

    #[test]
    fn a_peers_words_are_repeated_in_measure() {
        assert_eq!(quoted("a\r\nb"), "ab");
        assert_eq!(quoted(&"ü".repeat(1_000)).chars().count(), MAX_QUOTED_LEN);
    }
}
