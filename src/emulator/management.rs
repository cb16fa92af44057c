//! `$management`: what a hub and its partitions say of themselves. Source: event-hubs-wire 9.

use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::condition;
use crate::wire::event::Event;
use crate::wire::management::SECURITY_TOKEN;
use crate::wire::position::unix_millis;
use crate::wire::value::{Array, Scalar, Value, put_map_start};

use super::answer::{Answer, property, unexpected_property};
use super::cbs::claims;
use super::namespace::Namespace;
use super::sentence;
use super::store::{PartitionRef, PartitionState, Store};

const EVENT_HUB: &str = "com.microsoft:eventhub";
const PARTITION: &str = "com.microsoft:partition";

/// Answers a request. `is_authorized`: whether a token that was put before opens a path.
pub(super) fn answer(
    namespace: &Namespace,
    store: &mut Store,
    request: &Event,
    is_authorized: impl FnOnce(&str) -> bool,
    now: SystemTime,
) -> Answer {
    read(namespace, store, request, is_authorized, now).unwrap_or_else(|refused| refused)
}

fn read(
    namespace: &Namespace,
    store: &mut Store,
    request: &Event,
    is_authorized: impl FnOnce(&str) -> bool,
    now: SystemTime,
) -> Result<Answer, Answer> {
    if !property(request, "operation")?.eq_ignore_ascii_case("READ") {
        return Err(unexpected_property("operation").with_condition(condition::NOT_IMPLEMENTED));
    }
    let kind = property(request, "type")?;
    let name = property(request, "name")?.trim_matches('/');
    authorize(namespace, request, name, is_authorized, now)?;
    let hub = namespace
        .hub(name)
        .ok_or_else(|| Answer::refused(404, sentence::not_found(name)).with_condition(condition::NOT_FOUND))?;
    match kind {
        EVENT_HUB => Ok(Answer::ok(event_hub(namespace, hub))),
        PARTITION => {
            let partition = namespace.partition(hub, property(request, "partition")?).map_err(|error| {
                let text = error.description.unwrap_or_default();
                Answer::refused(400, text).with_condition(condition::ARGUMENT_OUT_OF_RANGE)
            })?;
            let state = store.state(PartitionRef { hub, partition }, now);
            Ok(Answer::ok(partition_info(&namespace.hubs[hub].name, partition, &state)))
        }
        _ => Err(unexpected_property("type")),
    }
}

/// The request's own token decides, if it has one; else one that was put at `$cbs`.
fn authorize(
    namespace: &Namespace,
    request: &Event,
    name: &str,
    is_authorized: impl FnOnce(&str) -> bool,
    now: SystemTime,
) -> Result<(), Answer> {
    let refused =
        |refused: Answer| Answer { status_code: 401, ..refused }.with_condition(condition::UNAUTHORIZED_ACCESS);
    match request.property(SECURITY_TOKEN).and_then(Value::as_str) {
        Some(token) => claims(namespace, token, name, now).map(drop).map_err(refused),
        None if is_authorized(name) => Ok(()),
        None => {
            let text = "Unauthorized access: the request has no 'security_token', and no token was put at '$cbs'.";
            Err(refused(Answer::refused(401, text)))
        }
    }
}

fn event_hub(namespace: &Namespace, hub: usize) -> Bytes {
    let created_at = Value::Timestamp(unix_millis(namespace.created_at));
    let hub = &namespace.hubs[hub];
    map([
        ("name", hub.name.as_str().into()),
        ("type", EVENT_HUB.into()),
        ("created_at", created_at),
        ("partition_count", Value::Int(hub.partition_count as i32)),
        ("georeplication_factor", Value::Int(1)),
        // A list is refused by the Rust and Go SDKs.
        ("partition_ids", Array::strings((0..hub.partition_count).map(|id| id.to_string())).into()),
    ])
}

fn partition_info(hub: &str, partition: u32, state: &PartitionState) -> Bytes {
    let last = state.last;
    map([
        ("name", hub.into()),
        ("type", PARTITION.into()),
        ("partition", partition.to_string().into()),
        ("begin_sequence_number", Value::Long(state.first_sequence)),
        ("begin_sequence_number_epoch", Value::Long(-1)),
        ("last_enqueued_sequence_number", Value::Long(last.map_or(-1, |last| last.sequence_number))),
        ("last_enqueued_sequence_number_epoch", Value::Long(-1)),
        ("last_enqueued_offset", last.map_or_else(|| "-1".to_owned(), |last| last.offset.to_string()).into()),
        ("last_enqueued_time_utc", Value::Timestamp(last.map_or(0, |last| unix_millis(last.time)))),
        ("is_partition_empty", state.is_empty.into()),
    ])
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Bytes {
    let mut content = BytesMut::new();
    for (key, value) in entries {
        Scalar::String(key).encode(&mut content);
        match value {
            // In the form of one byte: the JavaScript SDK takes the other one for a number.
            Value::Boolean(truth) => content.put_u8(if truth { 0x41 } else { 0x42 }),
            value => value.encode(&mut content),
        }
    }
    let mut out = BytesMut::new();
    put_map_start(&mut out, N, content.len());
    out.put_slice(&content);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::namespace::Destination;
    use crate::emulator::namespace::tests::namespace;
    use crate::emulator::publication::Publication;
    use crate::emulator::store::Retention;
    use crate::engine::Payload;
    use crate::wire::sas::sign;
    use std::time::{Duration, UNIX_EPOCH};

    fn store() -> Store {
        let forever = Retention { age: Duration::MAX, bytes: u64::MAX, events: u64::MAX };
        Store::new(&namespace().hubs, forever)
    }

    fn request(kind: &str, name: &str, partition: Option<&str>) -> Event {
        let request = Event::default().with_property("operation", "READ").with_property("type", kind);
        let request = request.with_property("name", name);
        match partition {
            Some(id) => request.with_property("partition", id),
            None => request,
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn told(answer: &Answer) -> Value {
        Value::decode(&answer.body).unwrap()
    }

    fn answer_to(store: &mut Store, request: &Event) -> Answer {
        answer(&namespace(), store, request, |_| true, now())
    }

    #[test]
    fn a_hub_tells_its_partitions_in_an_array() {
        let answer = answer_to(&mut store(), &request(EVENT_HUB, "TELEMETRY", None));
        assert_eq!(answer.status_code, 200);
        assert_eq!(told(&answer).get("name"), Some(&"telemetry".into()));
        assert_eq!(told(&answer).get("partition_count"), Some(&Value::Int(4)));
        let ids = Array::strings(["0", "1", "2", "3"]);
        assert_eq!(told(&answer).get("partition_ids"), Some(&Value::Array(ids)));
        assert_eq!(told(&answer).get("georeplication_factor"), Some(&Value::Int(1)));
        assert!(matches!(told(&answer).get("created_at"), Some(Value::Timestamp(_))));
    }

    #[test]
    fn a_partition_tells_what_is_first_and_last_in_it() {
        let mut store = store();
        let ask = request(PARTITION, "telemetry", Some("1"));
        let empty = told(&answer_to(&mut store, &ask));
        for (key, value) in [
            ("partition", "1".into()),
            ("begin_sequence_number", Value::Long(0)),
            ("last_enqueued_sequence_number", Value::Long(-1)),
            ("last_enqueued_offset", "-1".into()),
            ("last_enqueued_time_utc", Value::Timestamp(0)),
            ("is_partition_empty", true.into()),
        ] {
            assert_eq!(empty.get(key), Some(&value), "{key}");
        }
        let to = Destination { hub: 0, partition: Some(1) };
        for body in ["one", "two"] {
            let message = Event::new(body).encode().unwrap();
            store.publish(to, Publication::read(0, Payload { parts: vec![message] }).unwrap(), now()).unwrap();
        }
        let answered = answer_to(&mut store, &ask);
        assert!(answered.body.ends_with(b"is_partition_empty\x42"), "in one byte, for JavaScript");
        let filled = told(&answered);
        for (key, value) in [
            ("begin_sequence_number", Value::Long(0)),
            ("last_enqueued_sequence_number", Value::Long(1)),
            ("last_enqueued_offset", "8".into()),
            ("last_enqueued_time_utc", Value::Timestamp(1_700_000_000_000)),
            ("is_partition_empty", false.into()),
        ] {
            assert_eq!(filled.get(key), Some(&value), "{key}");
        }
    }

    #[test]
    fn what_is_not_there_is_refused_by_status_and_condition() {
        for (request, status, condition, words) in [
            (request(EVENT_HUB, "none", None), 404, Some(condition::NOT_FOUND), "The messaging entity 'sb://"),
            (
                request(PARTITION, "telemetry", Some("4")),
                400,
                Some(condition::ARGUMENT_OUT_OF_RANGE),
                "The specified partition is invalid",
            ),
            (request(PARTITION, "telemetry", None), 400, None, "Property 'partition'"),
            (request("other", "telemetry", None), 400, None, "Property 'type'"),
            (Event::default(), 400, None, "Property 'operation'"),
        ] {
            let answer = answer_to(&mut store(), &request);
            assert_eq!((answer.status_code, answer.condition), (status, condition), "{words}");
            assert!(answer.description.starts_with(words), "{}", answer.description);
        }
    }

    #[test]
    fn the_requests_own_token_counts_before_one_that_was_put() {
        let ask = |token: &str| request(EVENT_HUB, "telemetry", None).with_property("security_token", token);
        let minute = Duration::from_secs(60);
        let good = sign("sb://localhost/telemetry", "send", "k1", now(), minute).as_str().to_owned();
        let bad = sign("sb://localhost/telemetry", "send", "wrong", now(), minute).as_str().to_owned();
        for (request, is_put, status) in [
            (ask(&good), false, 200),
            (ask(&bad), true, 401),
            (ask("nonsense"), true, 401),
            (request(EVENT_HUB, "telemetry", None), true, 200),
            (request(EVENT_HUB, "telemetry", None), false, 401),
        ] {
            let answer = answer(&namespace(), &mut store(), &request, |_| is_put, now());
            assert_eq!(answer.status_code, status, "{}", answer.description);
            assert_eq!(answer.condition, (status == 401).then_some(condition::UNAUTHORIZED_ACCESS));
        }
    }
}
