//! Counts, sizes, times and texts, as people read them.

use std::time::Duration;

/// Characters of a text of the peer's that are shown.
const MAX_TEXT_LEN: usize = 1_024;

/// `1 batch`, `2 batches`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Bytes.
pub(crate) fn size(bytes: u64) -> String {
    let scaled = |unit: u64, name: &str| format!("{:.1} {name}", bytes as f64 / unit as f64);
    match bytes {
        0..0x400 => format!("{bytes} B"),
        0x400..0x10_0000 => scaled(1 << 10, "KiB"),
        0x10_0000..0x4000_0000 => scaled(1 << 20, "MiB"),
        _ => scaled(1 << 30, "GiB"),
    }
}

/// A span.
pub(crate) fn time(elapsed: Duration) -> String {
    let millis = elapsed.as_secs_f64() * 1e3;
    if millis < 1_000.0 { format!("{millis:.1} ms") } else { format!("{:.2} s", millis / 1e3) }
}

/// A span in milliseconds, to a tenth.
pub(crate) fn millis(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e4).round() / 10.0
}

/// As much of a peer's text as fits a line, without anything that a terminal would obey.
pub(crate) fn clipped(text: &str) -> String {
    let mut shown: String =
        text.chars().take(MAX_TEXT_LEN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.len() < text.len() && text.chars().nth(MAX_TEXT_LEN).is_some() {
        shown.push('\u{2026}');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_people() {
        for (bytes, text) in
            [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (3 << 29, "1.5 GiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_in_the_unit_that_fits() {
        for (micros, text) in [(0, "0.0 ms"), (3_140, "3.1 ms"), (999_949, "999.9 ms"), (61_500_000, "61.50 s")] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
        assert_eq!(millis(Duration::from_micros(3_140)), 3.1);
    }
}
