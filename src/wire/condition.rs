//! The peer's error conditions, and what each one calls for.
//!
//! A hub ends a delivery, a link, a session or a connection with a *condition*, a symbol such as
//! `amqp:link:detach-forced`, and a description for people. The condition decides; SDKs differ in
//! what they make of some, and the choices here say why.
//! Source: AMQP 1.0 part 2, 2.8.14 to 2.8.18; the `com.microsoft:` names are Event Hubs' own.

use std::time::Duration;

/// The service failed inside.
pub const INTERNAL_ERROR: &str = "amqp:internal-error";
/// The hub, consumer group or partition does not exist.
pub const NOT_FOUND: &str = "amqp:not-found";
/// The token is wrong, expired, or lacks the right needed.
pub const UNAUTHORIZED_ACCESS: &str = "amqp:unauthorized-access";
/// The peer could not decode what it was sent.
pub const DECODE_ERROR: &str = "amqp:decode-error";
/// A quota is used up: connections, receivers, or storage.
pub const RESOURCE_LIMIT_EXCEEDED: &str = "amqp:resource-limit-exceeded";
/// The operation is not allowed here, e.g. a partition key on a link to one partition.
pub const NOT_ALLOWED: &str = "amqp:not-allowed";
/// A field of a frame or message holds what it must not.
pub const INVALID_FIELD: &str = "amqp:invalid-field";
/// The peer does not implement what was asked.
pub const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
/// A precondition, e.g. an expected version, did not hold.
pub const PRECONDITION_FAILED: &str = "amqp:precondition-failed";
/// The entity was deleted while in use.
pub const RESOURCE_DELETED: &str = "amqp:resource-deleted";
/// The entity is locked by another.
pub const RESOURCE_LOCKED: &str = "amqp:resource-locked";
/// A frame arrived that the endpoint's state does not allow, often a race with a close.
pub const ILLEGAL_STATE: &str = "amqp:illegal-state";
/// A frame would not fit the agreed maximum frame size.
pub const FRAME_SIZE_TOO_SMALL: &str = "amqp:frame-size-too-small";
/// The peer closed the connection for its own reasons: idle, upgrade.
pub const CONNECTION_FORCED: &str = "amqp:connection:forced";
/// The byte stream no longer makes sense as frames.
pub const CONNECTION_FRAMING_ERROR: &str = "amqp:connection:framing-error";
/// The peer names another address for the connection.
pub const CONNECTION_REDIRECT: &str = "amqp:connection:redirect";
/// More transfers were sent than the session window allows.
pub const SESSION_WINDOW_VIOLATION: &str = "amqp:session:window-violation";
/// Input arrived for a link already detached with an error.
pub const SESSION_ERRANT_LINK: &str = "amqp:session:errant-link";
/// A link was attached with a handle already in use.
pub const SESSION_HANDLE_IN_USE: &str = "amqp:session:handle-in-use";
/// A frame named a handle that no link has.
pub const SESSION_UNATTACHED_HANDLE: &str = "amqp:session:unattached-handle";
/// The peer detached the link for its own reasons: idle, upgrade, partition moved.
pub const LINK_DETACH_FORCED: &str = "amqp:link:detach-forced";
/// More was sent than the link had credit for.
pub const LINK_TRANSFER_LIMIT_EXCEEDED: &str = "amqp:link:transfer-limit-exceeded";
/// The message is larger than the link takes.
pub const LINK_MESSAGE_SIZE_EXCEEDED: &str = "amqp:link:message-size-exceeded";
/// The peer names another address for the link.
pub const LINK_REDIRECT: &str = "amqp:link:redirect";
/// Another client attached with the same name or a higher epoch.
pub const LINK_STOLEN: &str = "amqp:link:stolen";
/// The hub is throttling or overloaded.
pub const SERVER_BUSY: &str = "com.microsoft:server-busy";
/// The service did not finish in time.
pub const TIMEOUT: &str = "com.microsoft:timeout";
/// The operation was aborted, as when a link closes.
pub const OPERATION_CANCELLED: &str = "com.microsoft:operation-cancelled";
/// An argument is wrong.
pub const ARGUMENT_ERROR: &str = "com.microsoft:argument-error";
/// An argument is out of range, e.g. a partition id the hub does not have.
pub const ARGUMENT_OUT_OF_RANGE: &str = "com.microsoft:argument-out-of-range";
/// The hub is disabled.
pub const ENTITY_DISABLED: &str = "com.microsoft:entity-disabled";
/// The hub's settings changed while it was in use.
pub const ENTITY_UPDATED: &str = "com.microsoft:entity-updated";
/// This publisher was barred from the hub.
pub const PUBLISHER_REVOKED: &str = "com.microsoft:publisher-revoked";
/// The partition belongs to another node or reader.
pub const PARTITION_NOT_OWNED: &str = "com.microsoft:partition-not-owned";
/// The node lost its hold on the partition's store.
pub const STORE_LOCK_LOST: &str = "com.microsoft:store-lock-lost";
/// An idempotent producer's sequence number was not the next one.
pub const OUT_OF_ORDER_SEQUENCE: &str = "com.microsoft:out-of-order-sequence";
/// Another idempotent producer took over the producer group.
pub const PRODUCER_EPOCH_STOLEN: &str = "com.microsoft:producer-epoch-stolen";
/// The offset is from before a fail-over between regions.
pub const GEOREPLICATION_INVALID_OFFSET: &str = "com.microsoft:georeplication:invalid-offset";

/// How the descriptions of a throttled hub end, whatever condition carries them.
const THROTTLED: &str = "Error code : 50002";

/// What to do about an error, from the cheapest to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// Wait, at least [`minimum_wait`], and send again on the same link.
    RetryOnLink,
    /// Attach the link anew on the same session, then send again.
    ReattachLink,
    /// Open a new connection, authorize and attach, then send again.
    Reconnect,
    /// Put one freshly signed token and try once more; a second refusal is final.
    Reauthorize,
    /// Trying again would end the same way; tell the caller.
    GiveUp,
}

/// One line of the table: what to do, why, and what to tell the person who has to mend it.
struct Row {
    recovery: Recovery,
    reason: &'static str,
    advice: &'static str,
}

/// What `condition` calls for.
///
/// `description` is the peer's text, if there was one. It matters in one case: a condition not in
/// the table whose description has the throttling code 50002 is taken for a busy hub.
/// A condition otherwise unknown is final: nothing is repeated on a guess.
///
/// ```
/// use hubwire::wire::condition::{recovery, Recovery};
///
/// assert_eq!(recovery("amqp:link:detach-forced", None), Recovery::ReattachLink);
/// assert_eq!(recovery("amqp:not-found", None), Recovery::GiveUp);
/// ```
#[must_use]
pub fn recovery(condition: &str, description: Option<&str>) -> Recovery {
    let throttled = || description.is_some_and(|text| text.contains(THROTTLED));
    match row(condition) {
        Some(row) => row.recovery,
        None if throttled() => Recovery::RetryOnLink,
        None => Recovery::GiveUp,
    }
}

/// Why [`recovery`] answers as it does for `condition`, in a few words.
#[must_use]
pub fn reason(condition: &str) -> &'static str {
    row(condition).map_or("an unknown condition is not repeated on a guess", |row| row.reason)
}

/// What the user should do next about `condition`, in one plain sentence.
///
/// ```
/// use hubwire::wire::condition::{advice, NOT_FOUND};
///
/// assert!(advice(NOT_FOUND).contains("name"));
/// ```
#[must_use]
pub fn advice(condition: &str) -> &'static str {
    row(condition).map_or(
        "look the condition up in the Event Hubs documentation, and quote the TrackingId to Azure support",
        |row| row.advice,
    )
}

/// Whether a hub that answers so takes no more for now, and has stored nothing of what it answers.
#[must_use]
pub fn is_throttling(condition: &str, description: &str) -> bool {
    condition == SERVER_BUSY || description.contains(THROTTLED)
}

/// Whether a hub that ends a link or connection so only says that nothing went over it for long.
///
/// Source: event-hubs-wire 11.
///
/// ```
/// use hubwire::wire::condition::{is_idle, LINK_DETACH_FORCED};
///
/// assert!(is_idle(LINK_DETACH_FORCED, "... AmqpMessagePublisher.IdleTimerExpired: Idle timeout: 00:10:00."));
/// ```
#[must_use]
pub fn is_idle(condition: &str, description: &str) -> bool {
    match condition {
        LINK_DETACH_FORCED => description.contains("IdleTimerExpired"),
        CONNECTION_FORCED => description.contains("inactive for more than the allowed"),
        _ => false,
    }
}

/// The least time to wait before trying again after `condition`.
///
/// A throttled hub names no time in any field, only "wait 4 seconds" in its text; so
/// [`SERVER_BUSY`] asks for 4 s and every other condition for none beyond the caller's back-off.
#[must_use]
pub fn minimum_wait(condition: &str) -> Duration {
    match condition {
        SERVER_BUSY => Duration::from_secs(4),
        _ => Duration::ZERO,
    }
}

/// The service's own id for the failed operation, out of a description such as
/// `... TrackingId:8d3c_G12, SystemTracker:...`; Azure support asks for it.
///
/// ```
/// use hubwire::wire::condition::tracking_id;
///
/// let description = "The link was closed. TrackingId:8d3c-41_G12, SystemTracker:hub~7";
/// assert_eq!(tracking_id(description), Some("8d3c-41_G12"));
/// ```
#[must_use]
pub fn tracking_id(description: &str) -> Option<&str> {
    let (_, after) = description.split_once("TrackingId:")?;
    let after = after.trim_start();
    let in_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let id = &after[..after.find(|c| !in_id(c)).unwrap_or(after.len())];
    // A full stop may also end the sentence.
    let id = id.trim_end_matches('.');
    (!id.is_empty()).then_some(id)
}

/// The table. SDKs disagree on some rows; where they do, the reason says which side is taken.
fn row(condition: &str) -> Option<Row> {
    use Recovery::{GiveUp, ReattachLink, Reauthorize, Reconnect, RetryOnLink};

    let (recovery, reason, advice) = match condition {
        SERVER_BUSY => (
            RetryOnLink,
            "the hub is throttling and asks for a pause",
            "send less or add throughput units; the hub is at its limit",
        ),
        TIMEOUT => (
            RetryOnLink,
            "the service ran out of time; the event may or may not be stored",
            "nothing at first; if it goes on, check the namespace's health in the portal",
        ),
        OPERATION_CANCELLED => (
            RetryOnLink,
            "the service aborted the operation, not the event",
            "nothing at first; if it goes on, check the namespace's health in the portal",
        ),
        INTERNAL_ERROR => (
            RetryOnLink,
            "a fault of the service, usually brief",
            "nothing at first; if it goes on, quote the TrackingId to Azure support",
        ),
        LINK_DETACH_FORCED => (
            ReattachLink,
            "the hub let go of the link: idle for 10 minutes, an upgrade, or a moved partition",
            "nothing; a new link is attached",
        ),
        LINK_TRANSFER_LIMIT_EXCEEDED => (
            ReattachLink,
            "credit was counted differently on the two sides; a new link starts the count anew",
            "nothing at first; if it goes on, report it as a fault of this client with a frame trace",
        ),
        ILLEGAL_STATE => (
            ReattachLink,
            "usually a frame that crossed a close on the way",
            "nothing at first; if it goes on, report it as a fault of this client with a frame trace",
        ),
        CONNECTION_FORCED => (
            Reconnect,
            "the hub closed the connection: no link for 5 minutes, or an upgrade",
            "nothing; a new connection is opened",
        ),
        CONNECTION_FRAMING_ERROR => (
            Reconnect,
            "the stream is broken; only a new one can be trusted",
            "nothing at first; if it goes on, look for a proxy or gateway that alters the stream",
        ),
        UNAUTHORIZED_ACCESS => (
            Reauthorize,
            "a token may just have expired; a fresh one settles whether the key is good",
            "check the key name, the key, that the policy has the Send right on this hub, and this machine's clock",
        ),
        NOT_FOUND => (
            GiveUp,
            "what does not exist will not appear by asking again",
            "check the event hub's name and the partition id, and that the hub is in this namespace",
        ),
        NOT_ALLOWED => (
            GiveUp,
            "the same request is refused every time",
            "change the request: e.g. do not set a partition key on a sender bound to one partition",
        ),
        NOT_IMPLEMENTED => {
            (GiveUp, "the service does not know the operation", "check that the namespace's tier offers what was asked")
        }
        RESOURCE_LIMIT_EXCEEDED => (
            GiveUp,
            "a quota frees up only when someone lets go; most SDKs give up too",
            "close unused connections or readers, or raise the quota of the namespace",
        ),
        LINK_MESSAGE_SIZE_EXCEEDED => (
            GiveUp,
            "the same message is too big every time",
            "make the batch or the event smaller than the link's maximum message size",
        ),
        LINK_STOLEN => (
            GiveUp,
            "another client holds the link; taking it back would only start a tug-of-war",
            "stop the other client, or give this one another name or a higher epoch",
        ),
        ARGUMENT_ERROR | ARGUMENT_OUT_OF_RANGE | INVALID_FIELD => (
            GiveUp,
            "the same argument is wrong every time",
            "check the partition id and the event's properties; the description names the argument",
        ),
        ENTITY_DISABLED => (
            GiveUp,
            "someone disabled the hub and someone must enable it",
            "set the event hub's status to active in the portal",
        ),
        ENTITY_UPDATED => (
            GiveUp,
            "only one SDK retries it, and no source says that it passes",
            "start again; the event hub's settings changed during use",
        ),
        PUBLISHER_REVOKED => {
            (GiveUp, "the publisher was barred on purpose", "ask the owner of the event hub to restore this publisher")
        }
        PARTITION_NOT_OWNED | STORE_LOCK_LOST => (
            GiveUp,
            "the partition is held elsewhere",
            "start again later; if it goes on, quote the TrackingId to Azure support",
        ),
        OUT_OF_ORDER_SEQUENCE | PRODUCER_EPOCH_STOLEN => (
            GiveUp,
            "the numbering of an idempotent producer is lost and cannot be mended by repeating",
            "start the producer anew, and run one per producer group",
        ),
        GEOREPLICATION_INVALID_OFFSET => (
            GiveUp,
            "the offset means nothing after a fail-over",
            "read on from a sequence number or a time instead of the stored offset",
        ),
        RESOURCE_DELETED => {
            (GiveUp, "what was deleted will not appear by asking again", "create the event hub again, or name another")
        }
        RESOURCE_LOCKED | PRECONDITION_FAILED => {
            (GiveUp, "not expected from an event hub", "see who else is changing the event hub, and start again")
        }
        LINK_REDIRECT | CONNECTION_REDIRECT => (
            GiveUp,
            "redirects are not followed, so that a token never goes to a host the user did not name",
            "put the address in the description into the connection string, if you trust it",
        ),
        DECODE_ERROR
        | FRAME_SIZE_TOO_SMALL
        | SESSION_WINDOW_VIOLATION
        | SESSION_ERRANT_LINK
        | SESSION_HANDLE_IN_USE
        | SESSION_UNATTACHED_HANDLE => (
            GiveUp,
            "one side broke the protocol, and would do so again",
            "report it as a fault of this client with a frame trace",
        ),
        _ => return None,
    };
    Some(Row { recovery, reason, advice })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Recovery::{GiveUp, ReattachLink, Reauthorize, Reconnect, RetryOnLink};

    const TABLE: &[(&str, Recovery)] = &[
        ("com.microsoft:server-busy", RetryOnLink),
        ("com.microsoft:timeout", RetryOnLink),
        ("com.microsoft:operation-cancelled", RetryOnLink),
        ("amqp:internal-error", RetryOnLink),
        ("amqp:link:detach-forced", ReattachLink),
        ("amqp:link:transfer-limit-exceeded", ReattachLink),
        ("amqp:illegal-state", ReattachLink),
        ("amqp:connection:forced", Reconnect),
        ("amqp:connection:framing-error", Reconnect),
        ("amqp:unauthorized-access", Reauthorize),
        ("amqp:not-found", GiveUp),
        ("amqp:not-allowed", GiveUp),
        ("amqp:not-implemented", GiveUp),
        ("amqp:resource-limit-exceeded", GiveUp),
        ("amqp:link:message-size-exceeded", GiveUp),
        ("amqp:link:stolen", GiveUp),
        ("com.microsoft:argument-error", GiveUp),
        ("com.microsoft:argument-out-of-range", GiveUp),
        ("com.microsoft:entity-disabled", GiveUp),
        ("com.microsoft:entity-updated", GiveUp),
        ("com.microsoft:publisher-revoked", GiveUp),
        ("com.microsoft:partition-not-owned", GiveUp),
        ("com.microsoft:store-lock-lost", GiveUp),
        ("com.microsoft:out-of-order-sequence", GiveUp),
        ("com.microsoft:producer-epoch-stolen", GiveUp),
        ("com.microsoft:georeplication:invalid-offset", GiveUp),
        ("amqp:decode-error", GiveUp),
        ("amqp:invalid-field", GiveUp),
        ("amqp:precondition-failed", GiveUp),
        ("amqp:resource-deleted", GiveUp),
        ("amqp:resource-locked", GiveUp),
        ("amqp:frame-size-too-small", GiveUp),
        ("amqp:link:redirect", GiveUp),
        ("amqp:connection:redirect", GiveUp),
        ("amqp:session:window-violation", GiveUp),
        ("amqp:session:errant-link", GiveUp),
        ("amqp:session:handle-in-use", GiveUp),
        ("amqp:session:unattached-handle", GiveUp),
    ];

    #[test]
    fn every_condition_calls_for_what_the_table_says() {
        for &(condition, expected) in TABLE {
            assert_eq!(recovery(condition, None), expected, "{condition}");
            assert!(row(condition).is_some(), "{condition} has no row");
        }
    }

    #[test]
    fn a_description_does_not_change_a_listed_condition() {
        for &(condition, expected) in TABLE {
            assert_eq!(recovery(condition, Some(THROTTLED)), expected, "{condition}");
        }
    }

    #[test]
    fn an_unknown_condition_is_final_unless_throttled() {
        let throttle = "The request was terminated because the entity is being throttled. \
                        Error code : 50002. Please wait 4 seconds and try again.";
        for unknown in ["com.microsoft:message-lock-lost", "x:new", ""] {
            assert_eq!(recovery(unknown, None), GiveUp, "{unknown}");
            assert_eq!(recovery(unknown, Some("no")), GiveUp, "{unknown}");
            assert_eq!(recovery(unknown, Some(throttle)), RetryOnLink, "{unknown}");
            assert!(!advice(unknown).is_empty() && !reason(unknown).is_empty());
        }
    }

    #[test]
    fn only_a_busy_hub_asks_for_a_pause() {
        assert_eq!(minimum_wait(SERVER_BUSY), Duration::from_secs(4));
        assert_eq!(minimum_wait(TIMEOUT), Duration::ZERO);
    }

    #[test]
    fn tracking_ids_are_found() {
        for (description, id) in [
            ("x TrackingId:1f-2_B9, SystemTracker:hub~3, Timestamp:2", Some("1f-2_B9")),
            ("x TrackingId: 1f_G0", Some("1f_G0")),
            ("(TrackingId:1f)", Some("1f")),
            ("TrackingId:1f.", Some("1f")),
            ("TrackingId:é", None),
            ("TrackingId:", None),
            ("trackingid:1f", None),
            ("", None),
        ] {
            assert_eq!(tracking_id(description), id, "{description}");
        }
    }
}
