//! The request that shows a hub a token, as a message. Source: event-hubs-wire 5.2.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use fe2o3_amqp_cbs::put_token::PutTokenRequest;
use fe2o3_amqp_management::Request;
use fe2o3_amqp_types::messaging::message::__private::Serializable;
use fe2o3_amqp_types::messaging::{AmqpValue, MessageId, Properties};
use fe2o3_amqp_types::primitives::Timestamp;

use super::sas::SasToken;

/// The type that a shared access signature has in a put-token request.
const SAS_TOKEN_TYPE: &str = "servicebus.windows.net:sastoken";

/// Encodes the request: `token` for `audience`, to be answered to `reply_to` under `message_id`.
///
/// The expiration goes along, as a timestamp: without it CBS was seen to fail now and then
/// (source: event-hubs-wire 5.2).
pub(crate) fn request(message_id: u64, reply_to: &str, audience: &str, token: &SasToken) -> Bytes {
    let expiration = token.expiry_unix_secs().map(expiration);
    let request = PutTokenRequest::new(audience, token.as_str(), expiration, SAS_TOKEN_TYPE, None);
    let mut message = request.into_message();
    message.properties = Some(Properties {
        message_id: Some(MessageId::Ulong(message_id)),
        reply_to: Some(reply_to.to_owned()),
        ..Properties::default()
    });
    // Owned strings and numbers always serialise.
    serde_amqp::to_vec(&Serializable(message.map_body(AmqpValue))).unwrap_or_default().into()
}

fn expiration(unix_secs: u64) -> Timestamp {
    let since_epoch =
        UNIX_EPOCH.checked_add(Duration::from_secs(unix_secs)).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let millis = since_epoch.and_then(|span| i64::try_from(span.as_millis()).ok());
    Timestamp::from_milliseconds(millis.unwrap_or(i64::MAX))
}
