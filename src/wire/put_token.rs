//! The request that shows a hub a token, as a message. Source: event-hubs-wire 5.2.

use bytes::Bytes;
use fe2o3_amqp_cbs::put_token::PutTokenRequest;
use fe2o3_amqp_management::Request;
use fe2o3_amqp_types::messaging::message::__private::Serializable;
use fe2o3_amqp_types::messaging::{AmqpValue, MessageId, Properties};
use fe2o3_amqp_types::primitives::Timestamp;

use super::position::unix_millis;
use super::token::Token;

/// Encodes the request: `token` for `audience`, to be answered to `reply_to` under `message_id`.
///
/// The expiration goes along, as a timestamp: without it CBS was seen to fail now and then
/// (source: event-hubs-wire 5.2).
pub(crate) fn request(message_id: u64, reply_to: &str, audience: &str, token: &Token) -> Bytes {
    let expiration = token.expires_at.map(|at| Timestamp::from_milliseconds(unix_millis(at)));
    let request = PutTokenRequest::new(audience, token.text.expose(), expiration, token.type_name, None);
    let mut message = request.into_message();
    message.properties = Some(Properties {
        message_id: Some(MessageId::Ulong(message_id)),
        reply_to: Some(reply_to.to_owned()),
        ..Properties::default()
    });
    // Owned strings and numbers always serialise.
    serde_amqp::to_vec(&Serializable(message.map_body(AmqpValue))).unwrap_or_default().into()
}
