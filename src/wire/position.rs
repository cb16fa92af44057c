//! Where a receiver begins in a partition, and the filter that says so. Source: event-hubs-wire 8.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a receiver begins. `From` includes what it names, `After` leaves it out.
///
/// ```
/// use hubwire::Position;
///
/// assert_eq!(Position::Earliest.selector(), "amqp.annotation.x-opt-offset > '-1'");
/// assert_eq!(Position::AfterSequenceNumber(41).selector(), "amqp.annotation.x-opt-sequence-number > '41'");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// The oldest event that the hub still holds.
    Earliest,
    /// Only what is enqueued from now on.
    Latest,
    /// The event at this offset, an opaque text as the hub gave it.
    FromOffset(String),
    /// The event behind this offset.
    AfterOffset(String),
    /// The event of this sequence number.
    FromSequenceNumber(i64),
    /// The event behind this sequence number: where a reader goes on that has seen it.
    AfterSequenceNumber(i64),
    /// The first event enqueued at this time or later, counted in milliseconds.
    FromEnqueuedTime(SystemTime),
}

impl Position {
    /// The text of the filter.
    #[must_use]
    pub fn selector(&self) -> String {
        let at = |name: &str, operator: &str, operand: &dyn fmt::Display| {
            format!("amqp.annotation.x-opt-{name} {operator} '{operand}'")
        };
        match self {
            Self::Earliest => at("offset", ">", &"-1"),
            Self::Latest => at("offset", ">", &"@latest"),
            Self::FromOffset(offset) => at("offset", ">=", &quoted(offset)),
            Self::AfterOffset(offset) => at("offset", ">", &quoted(offset)),
            Self::FromSequenceNumber(number) => at("sequence-number", ">=", number),
            Self::AfterSequenceNumber(number) => at("sequence-number", ">", number),
            Self::FromEnqueuedTime(time) => at("enqueued-time", ">=", &unix_millis(*time)),
        }
    }
}

/// A quote inside of a text is doubled, as in SQL.
fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// Milliseconds since 1970-01-01 UTC, as annotations and filters count them; negative before, and rounded down.
pub(crate) fn unix_millis(time: SystemTime) -> i64 {
    let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_position_is_a_filter_that_the_sdks_write_as_well() {
        let time = UNIX_EPOCH + Duration::from_millis(1_795_374_629_914);
        for (position, selector) in [
            (Position::Earliest, "amqp.annotation.x-opt-offset > '-1'"),
            (Position::Latest, "amqp.annotation.x-opt-offset > '@latest'"),
            (Position::FromOffset("524".into()), "amqp.annotation.x-opt-offset >= '524'"),
            (Position::AfterOffset("524".into()), "amqp.annotation.x-opt-offset > '524'"),
            (Position::FromSequenceNumber(4), "amqp.annotation.x-opt-sequence-number >= '4'"),
            (Position::AfterSequenceNumber(-1), "amqp.annotation.x-opt-sequence-number > '-1'"),
            (Position::FromEnqueuedTime(time), "amqp.annotation.x-opt-enqueued-time >= '1795374629914'"),
        ] {
            assert_eq!(position.selector(), selector);
        }
    }

    #[test]
    fn an_offset_cannot_leave_its_quotes() {
        let position = Position::AfterOffset("1' OR '1' = '1".into());
        assert_eq!(position.selector(), "amqp.annotation.x-opt-offset > '1'' OR ''1'' = ''1'");
    }

    #[test]
    fn times_are_counted_from_1970_both_ways() {
        assert_eq!(unix_millis(UNIX_EPOCH + Duration::from_micros(1_999)), 1);
        assert_eq!(unix_millis(UNIX_EPOCH - Duration::from_millis(5)), -5);
    }
}
