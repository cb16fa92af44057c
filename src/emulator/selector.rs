//! Where a receiver begins: the text of its source filter. Source: event-hubs-wire 8.

use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::primitives::Value;

use crate::engine::SELECTOR_FILTER;
use crate::wire::condition;
use crate::wire::frame::PeerError;

use super::sentence;

/// The first event that is wanted. `from` is included; what was asked for without its first is counted on by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Only what is yet to come.
    Latest,
    Offset {
        from: i64,
    },
    SequenceNumber {
        from: i64,
    },
    EnqueuedTime {
        from_unix_millis: i64,
    },
}

/// All there is.
const EARLIEST: Position = Position::Offset { from: -1 };

impl Position {
    /// What an attach asks for; without a filter, all there is.
    pub(super) fn of_attach(attach: &Attach) -> Result<Self, PeerError> {
        let filter = attach.source.as_ref().and_then(|source| source.filter.as_ref());
        let selector = filter.and_then(|set| set.iter().find(|(name, _)| name.as_str() == SELECTOR_FILTER));
        match selector.map(|(_, value)| value) {
            None | Some(Value::Null) => Ok(EARLIEST),
            Some(Value::String(text)) => Self::parse(text),
            Some(Value::Described(described)) => match &described.value {
                Value::String(text) => Self::parse(text),
                _ => Err(malformed("its value is not a string")),
            },
            Some(_) => Err(malformed("its value is not a described string")),
        }
    }

    /// Reads `amqp.annotation.x-opt-offset > '-1'` and its like; blanks around the operator are free.
    pub(super) fn parse(selector: &str) -> Result<Self, PeerError> {
        let not_read = || malformed(&format!("'{}' is none that is known", sentence::quoted(selector)));
        let rest = selector.trim().strip_prefix("amqp.annotation.").ok_or_else(not_read)?;
        let (annotation, rest) = rest.split_once('>').ok_or_else(not_read)?;
        let (is_inclusive, operand) = match rest.strip_prefix('=') {
            Some(operand) => (true, operand),
            None => (false, rest),
        };
        let operand = operand.trim().strip_prefix('\'').and_then(|operand| operand.strip_suffix('\''));
        let operand = operand.ok_or_else(not_read)?;
        if annotation.trim() == "x-opt-offset" && operand.eq_ignore_ascii_case("@latest") {
            return Ok(Self::Latest);
        }
        let number: i64 = operand.parse().map_err(|_| not_read())?;
        let from = if is_inclusive { number } else { number.saturating_add(1) };
        match annotation.trim() {
            "x-opt-offset" => Ok(Self::Offset { from }),
            "x-opt-sequence-number" => Ok(Self::SequenceNumber { from }),
            "x-opt-enqueued-time" => Ok(Self::EnqueuedTime { from_unix_millis: from }),
            _ => Err(not_read()),
        }
    }
}

fn malformed(why: &str) -> PeerError {
    let text = format!(
        "The receiver's filter cannot be read: {why}. Use e.g. \"amqp.annotation.x-opt-offset > '-1'\", with x-opt-offset, \
         x-opt-sequence-number or x-opt-enqueued-time."
    );
    PeerError::new(condition::ARGUMENT_ERROR, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sdks_write_is_read() {
        for (selector, position) in [
            ("amqp.annotation.x-opt-offset > '-1'", Position::Offset { from: 0 }),
            ("amqp.annotation.x-opt-offset > '@latest'", Position::Latest),
            ("amqp.annotation.x-opt-offset >='524'", Position::Offset { from: 524 }),
            ("amqp.annotation.x-opt-offset > '524'", Position::Offset { from: 525 }),
            ("amqp.annotation.x-opt-offset >'524'", Position::Offset { from: 525 }),
            ("amqp.annotation.x-opt-sequence-number > '4'", Position::SequenceNumber { from: 5 }),
            ("amqp.annotation.x-opt-sequence-number >= '4'", Position::SequenceNumber { from: 4 }),
            ("amqp.annotation.x-opt-sequence-number >'-1'", Position::SequenceNumber { from: 0 }),
            (
                "amqp.annotation.x-opt-enqueued-time > '1795374629914'",
                Position::EnqueuedTime { from_unix_millis: 1_795_374_629_915 },
            ),
            (
                "amqp.annotation.x-opt-enqueued-time >= '1795374629914'",
                Position::EnqueuedTime { from_unix_millis: 1_795_374_629_914 },
            ),
        ] {
            assert_eq!(Position::parse(selector), Ok(position), "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_an_example() {
        for selector in [
            "",
            "x",
            "amqp.annotation.x-opt-offset",
            "amqp.annotation.x-opt-offset < '1'",
            "amqp.annotation.x-opt-offset > 1",
            "amqp.annotation.x-opt-offset > 'one'",
            "amqp.annotation.x-opt-sequence-number > '@latest'",
            "amqp.annotation.x-opt-other > '1'",
        ] {
            let error = Position::parse(selector).unwrap_err();
            assert_eq!(error.condition, condition::ARGUMENT_ERROR, "{selector}");
            assert!(error.description.unwrap().contains("Use e.g."), "{selector}");
        }
    }

    #[test]
    fn what_hubwires_receiver_writes_is_read() {
        use crate::wire::position::Position as Asked;
        for (asked, position) in [
            (Asked::Earliest, Position::Offset { from: 0 }),
            (Asked::Latest, Position::Latest),
            (Asked::FromOffset("5".into()), Position::Offset { from: 5 }),
            (Asked::AfterOffset("5".into()), Position::Offset { from: 6 }),
            (Asked::FromSequenceNumber(5), Position::SequenceNumber { from: 5 }),
            (Asked::AfterSequenceNumber(5), Position::SequenceNumber { from: 6 }),
            (Asked::FromEnqueuedTime(std::time::UNIX_EPOCH), Position::EnqueuedTime { from_unix_millis: 0 }),
        ] {
            assert_eq!(Position::parse(&asked.selector()), Ok(position), "{asked:?}");
        }
    }
}
