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

/// `2026-11-22T09:05:00`, in UTC.
pub(super) fn timestamp(time: SystemTime) -> String {
    let secs = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = date(secs / 86_400);
    let (hour, minute, second) = (secs / 3_600 % 24, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The day of the Gregorian calendar, `days` after 1970-01-01.
/// Source: Howard Hinnant, `civil_from_days`, <https://howardhinnant.github.io/date_algorithms.html>.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
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
