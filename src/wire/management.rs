//! What a hub says of itself at `$management`: the requests and their answers. Source: event-hubs-wire 9.

use std::time::SystemTime;

use bytes::Bytes;

use super::event::{Body, Event};
use super::received::time_of;
use super::token::Token;
use super::value::Value;

/// The application property that the token for a request travels in.
pub(crate) const SECURITY_TOKEN: &str = "security_token";

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    EventHub { event_hub: String },
    Partition { event_hub: String, partition_id: String },
}

/// An event hub, as its namespace tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventHubProperties {
    /// Its name, as it was given when it was made.
    pub name: String,
    /// When it was made.
    pub created_at: SystemTime,
    /// The ids of its partitions, texts such as `0`.
    pub partition_ids: Vec<String>,
}

/// A partition, as its hub tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionProperties {
    /// The event hub's name.
    pub event_hub: String,
    /// The partition's id.
    pub id: String,
    /// The sequence number of the oldest event that is held.
    pub beginning_sequence_number: i64,
    /// The sequence number of the newest event; -1 when there never was one.
    pub last_enqueued_sequence_number: i64,
    /// The offset of the newest event; `-1` when there never was one.
    pub last_enqueued_offset: String,
    /// When the newest event was enqueued; `None` when there never was one.
    pub last_enqueued_time: Option<SystemTime>,
    /// Whether it holds no event.
    pub is_empty: bool,
}

impl Query {
    pub(crate) fn event_hub(&self) -> &str {
        match self {
            Self::EventHub { event_hub } | Self::Partition { event_hub, .. } => event_hub,
        }
    }

    /// Encodes the request, to be answered to `reply_to` under `message_id`. All SDKs send the token along.
    pub(crate) fn encode(&self, message_id: u64, reply_to: &str, token: &Token) -> Bytes {
        let kind = match self {
            Self::EventHub { .. } => "com.microsoft:eventhub",
            Self::Partition { .. } => "com.microsoft:partition",
        };
        let request = Event::from_body(Body::Value(Value::Null))
            .with_message_id(message_id)
            .with_reply_to(reply_to)
            .with_property("operation", "READ")
            .with_property("name", self.event_hub())
            .with_property("type", kind)
            .with_property(SECURITY_TOKEN, token.text.expose());
        let request = match self {
            Self::EventHub { .. } => request,
            Self::Partition { partition_id, .. } => request.with_property("partition", partition_id.as_str()),
        };
        // Texts and a number always encode.
        request.encode().unwrap_or_default()
    }
}

impl EventHubProperties {
    /// Reads the answer's map; the name of what is missing from it otherwise.
    pub(crate) fn of_value(value: &Value) -> Result<Self, &'static str> {
        Ok(Self {
            name: text(value, "name")?,
            created_at: time_of(number(value, "created_at")?),
            partition_ids: texts(value.get("partition_ids")).ok_or("partition_ids")?,
        })
    }
}

impl PartitionProperties {
    /// Reads the answer's map; the name of what is missing from it otherwise.
    pub(crate) fn of_value(value: &Value) -> Result<Self, &'static str> {
        let last_enqueued_sequence_number = number(value, "last_enqueued_sequence_number")?;
        let last_enqueued_time = time_of(number(value, "last_enqueued_time_utc")?);
        Ok(Self {
            event_hub: text(value, "name")?,
            id: text(value, "partition")?,
            beginning_sequence_number: number(value, "begin_sequence_number")?,
            last_enqueued_sequence_number,
            last_enqueued_offset: text(value, "last_enqueued_offset")?,
            last_enqueued_time: (last_enqueued_sequence_number >= 0).then_some(last_enqueued_time),
            is_empty: truth(value, "is_partition_empty")?,
        })
    }
}

fn text(map: &Value, key: &'static str) -> Result<String, &'static str> {
    map.get(key).and_then(Value::as_str).map(str::to_owned).ok_or(key)
}

fn number(map: &Value, key: &'static str) -> Result<i64, &'static str> {
    map.get(key).and_then(Value::as_i64).ok_or(key)
}

fn truth(map: &Value, key: &'static str) -> Result<bool, &'static str> {
    match map.get(key) {
        Some(Value::Boolean(truth)) => Ok(*truth),
        _ => Err(key),
    }
}

/// The service sends an array; a list or a single text is as good.
fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    let values = match value? {
        Value::Array(array) => array.values(),
        Value::List(values) => values,
        single => std::slice::from_ref(single),
    };
    values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::event::MessageId;
    use crate::wire::sas::sign;
    use crate::wire::value::Array;
    use std::time::{Duration, UNIX_EPOCH};

    fn map(entries: Vec<(&str, Value)>) -> Value {
        Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// What a partition that is not empty answers with.
    pub(crate) fn partition(first: i64, last: i64, offset: &str, time: SystemTime) -> Value {
        map(vec![
            ("name", Value::from("hub")),
            ("partition", "0".into()),
            ("begin_sequence_number", Value::Long(first)),
            ("last_enqueued_sequence_number", Value::Long(last)),
            ("last_enqueued_offset", offset.into()),
            ("last_enqueued_time_utc", Value::Timestamp(crate::wire::position::unix_millis(time))),
            ("is_partition_empty", false.into()),
        ])
    }

    #[test]
    fn a_request_says_all_that_the_sdks_say() {
        let token = Token::shared_access_signature(&sign("sb://ns/hub", "n", "k", UNIX_EPOCH, Duration::from_secs(60)));
        let query = Query::Partition { event_hub: "hub".into(), partition_id: "3".into() };
        let request = Event::decode(&query.encode(9, "back", &token)).unwrap();
        let properties = request.properties().unwrap();
        assert_eq!(properties.message_id, Some(MessageId::Ulong(9)));
        assert_eq!(properties.reply_to.as_deref(), Some("back"));
        for (name, value) in [
            ("operation", "READ"),
            ("name", "hub"),
            ("type", "com.microsoft:partition"),
            ("partition", "3"),
            ("security_token", token.text.expose()),
        ] {
            assert_eq!(request.property(name).and_then(Value::as_str), Some(value), "{name}");
        }
        let request = Query::EventHub { event_hub: "hub".into() }.encode(9, "back", &token);
        let request = Event::decode(&request).unwrap();
        assert_eq!(request.property("type").and_then(Value::as_str), Some("com.microsoft:eventhub"));
        assert_eq!(request.property("partition"), None);
    }

    #[test]
    fn partition_ids_come_in_an_array_a_list_or_alone() {
        for (ids, expected) in [
            (Value::Array(Array::strings(["0", "1"])), Ok(vec!["0".to_owned(), "1".to_owned()])),
            (Value::List(vec!["0".into()]), Ok(vec!["0".to_owned()])),
            ("0".into(), Ok(vec!["0".to_owned()])),
            (Value::List(vec![Value::Int(0)]), Err("partition_ids")),
            (Value::Null, Err("partition_ids")),
        ] {
            let answer = map(vec![("name", "hub".into()), ("created_at", Value::Timestamp(1)), ("partition_ids", ids)]);
            assert_eq!(EventHubProperties::of_value(&answer).map(|hub| hub.partition_ids), expected);
        }
    }

    #[test]
    fn what_an_answer_lacks_is_named() {
        let second = UNIX_EPOCH + Duration::from_secs(1);
        let whole = partition(5, 7, "90", second);
        let properties = PartitionProperties::of_value(&whole).unwrap();
        assert_eq!(properties.last_enqueued_time, Some(second));
        assert_eq!((properties.beginning_sequence_number, properties.is_empty), (5, false));
        let Value::Map(entries) = &whole else { panic!("a map") };
        for (missing, _) in entries {
            let rest = entries.iter().filter(|(key, _)| key != missing).cloned().collect();
            assert_eq!(PartitionProperties::of_value(&Value::Map(rest)).ok(), None, "{missing:?}");
        }
        assert_eq!(PartitionProperties::of_value(&Value::Null), Err("last_enqueued_sequence_number"));
    }
}
