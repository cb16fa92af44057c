//! What a call came to.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::words::{counted, millis, size, time};

/// All events of the input are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reply {
    /// Events that the hub has stored.
    pub accepted: u64,
    /// Where.
    pub event_hub: String,
    /// Batches that they went in.
    pub batches: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// From the start of the call to the last outcome. In JSON `elapsed_ms`, milliseconds.
    #[serde(rename = "elapsed_ms", serialize_with = "as_millis")]
    pub elapsed: Duration,
}

fn as_millis<S: Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(millis(*elapsed))
}

/// `accepted 3 events in telemetry (1 batch, 56 B) in 3.1 ms`
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, batches) = (counted(self.accepted, "event", "events"), counted(self.batches, "batch", "batches"));
        let (bytes, elapsed) = (size(self.bytes), time(self.elapsed));
        write!(f, "accepted {events} in {} ({batches}, {bytes}) in {elapsed}", self.event_hub)
    }
}

/// How far a call came that did not come to its end. The events of an input are sent in their order, one batch after the
/// other: the accepted ones are the first, then come those whose outcome is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) accepted: u64,
    pub(super) unknown: u64,
    pub(super) not_sent: u64,
}

/// As it is said behind a cause.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, unknown, not_sent } = *self;
        let total = counted(accepted + unknown + not_sent, "event", "events");
        let unsettled = accepted + unknown;
        match (accepted, unknown) {
            (0, 0) => write!(f, "; accepted 0 of {total}: none is stored"),
            (_, 0) => write!(f, "; accepted {accepted} of {total}: go on with events[{accepted}]"),
            _ if not_sent == 0 => write!(
                f,
                "; accepted {accepted} of {total}, {unknown} with unknown outcome: to send again from events[{accepted}] \
                 may store them twice"
            ),
            _ => write!(
                f,
                "; accepted {accepted} of {total}, {unknown} with unknown outcome: to go on with events[{accepted}] may \
                 store those twice, with events[{unsettled}] not at all"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_says_how_many_where_in_how_many_batches_and_how_long_it_took() {
        let elapsed = Duration::from_micros(3_140);
        let reply = Reply { accepted: 3, event_hub: "telemetry".to_owned(), batches: 1, bytes: 56, elapsed };
        assert_eq!(reply.to_string(), "accepted 3 events in telemetry (1 batch, 56 B) in 3.1 ms");
        assert_eq!(
            serde_json::to_string(&reply).unwrap(),
            r#"{"accepted":3,"event_hub":"telemetry","batches":1,"bytes":56,"elapsed_ms":3.1}"#
        );
    }

    #[test]
    fn progress_says_where_to_go_on() {
        for ([accepted, unknown, not_sent], text) in [
            ([0, 0, 3], "; accepted 0 of 3 events: none is stored"),
            ([2, 0, 1], "; accepted 2 of 3 events: go on with events[2]"),
            (
                [0, 1, 0],
                "; accepted 0 of 1 event, 1 with unknown outcome: to send again from events[0] may store them twice",
            ),
            (
                [2, 3, 4],
                "; accepted 2 of 9 events, 3 with unknown outcome: to go on with events[2] may store those twice, with \
                 events[5] not at all",
            ),
        ] {
            assert_eq!(Progress { accepted, unknown, not_sent }.to_string(), text);
        }
    }
}
