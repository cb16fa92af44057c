//! A JSON object on one line, its members in the order they were added.

use std::fmt;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;

use crate::emulator::Activity;

/// What can be said on a line. That begins with the member `event`, which says what it is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object(Vec<(&'static str, Json)>);

impl Object {
    pub(super) fn new(event: &str) -> Self {
        Self::of("event", event)
    }

    /// An object that begins with another member.
    pub(super) fn of(name: &'static str, value: impl Into<Json>) -> Self {
        Self(vec![(name, value.into())])
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// The same without a member that has nothing to say.
    pub(super) fn with_some(self, name: &'static str, value: Option<impl Into<Json>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(super) fn of_activity(elapsed: Duration, activity: &Activity) -> Self {
        let new = |event| Self::new(event).with("elapsed_ms", millis(elapsed));
        match activity {
            Activity::ConnectionOpened { connection, transport, peer_addr, container_id, product, version } => {
                let object = new("connection_opened").with("connection", *connection);
                let object = object.with("transport", transport.to_string());
                let object = object.with_some("peer_addr", peer_addr.map(|addr| addr.to_string()));
                let object = object.with("container_id", container_id.as_str());
                object.with_some("product", product.as_deref()).with_some("version", version.as_deref())
            }
            Activity::ConnectionRefused { transport, peer_addr, reason } => {
                let object = new("connection_refused").with("transport", transport.to_string());
                let object = object.with_some("peer_addr", peer_addr.map(|addr| addr.to_string()));
                object.with("reason", reason.as_str())
            }
            Activity::TokenPut { connection, audience, rule, status_code, description } => {
                let object = new("token_put").with("connection", *connection).with("audience", audience.as_str());
                let object = object.with_some("rule", rule.as_deref()).with("status_code", *status_code);
                object.with("description", description.as_str())
            }
            Activity::LoggedIn { connection, rule, is_taken } => {
                new("logged_in").with("connection", *connection).with("rule", rule.as_str()).with("is_taken", *is_taken)
            }
            Activity::LinkAttached { connection, role, address } => {
                let object = new("link_attached").with("connection", *connection);
                object.with("role", format!("{role:?}").to_lowercase()).with("address", address.as_str())
            }
            Activity::LinkRefused { connection, role, address, condition, description } => {
                let object = new("link_refused").with("connection", *connection);
                let object = object.with("role", format!("{role:?}").to_lowercase()).with("address", address.as_str());
                object.with("condition", condition.as_str()).with("description", description.as_str())
            }
            Activity::LinkDetached { connection, role, address, reason } => {
                let object = new("link_detached").with("connection", *connection);
                let object = object.with("role", format!("{role:?}").to_lowercase()).with("address", address.as_str());
                object.with("reason", reason.as_str())
            }
            Activity::BatchStored { connection, event_hub, partition_id, events, bytes, first_sequence_number } => {
                let object = new("batch_stored").with("connection", *connection).with("event_hub", event_hub.as_str());
                let object = object.with("partition", partition_id.to_string()).with("events", *events);
                object.with("bytes", *bytes).with("first_sequence_number", *first_sequence_number)
            }
            Activity::BatchRejected { connection, event_hub, partition_id, bytes, condition, description } => {
                let object =
                    new("batch_rejected").with("connection", *connection).with("event_hub", event_hub.as_str());
                let object = object.with_some("partition", partition_id.map(|id| id.to_string())).with("bytes", *bytes);
                object.with("condition", condition.as_str()).with("description", description.as_str())
            }
            Activity::ConnectionClosed { connection, reason, after, counts } => {
                let object = new("connection_closed").with("connection", *connection).with("reason", reason.as_str());
                let object = object.with("after_ms", millis(*after)).with("batches", counts.batches);
                let object = object.with("events", counts.events).with("rejected", counts.rejected);
                object.with("delivered", counts.delivered)
            }
        }
    }
}

/// Milliseconds, to a tenth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object.0.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_in_the_order_of_its_members() {
        let object = Object::new("x").with("b", "two\nlines").with_some("none", None::<u64>).with("a", 1);
        assert_eq!(object.to_string(), r#"{"event":"x","b":"two\nlines","a":1}"#);
    }
}
