//! Requests to a hub's nodes and their answers, named for what they are. Source: event-hubs-wire 5 and 9.

use bytes::Bytes;

use super::Node;
use super::findings::Findings;
use super::token;
use crate::wire::secret::masked;
use crate::wire::value::Value;

/// What a message asks of `$cbs` or `$management`, or what it answers.
pub(super) fn name(message: &Node) -> Option<String> {
    let properties = message.child("application-properties")?;
    let text = |name: &str| properties.field(name).and_then(Value::as_str).map(masked);
    if let Some(operation) = text("operation") {
        let name = text("name").unwrap_or_default();
        return Some(match (operation.as_str(), text("type"), text("partition")) {
            (token::OPERATION, ..) => format!("put-token for {name}"),
            (_, Some(kind), Some(partition)) => format!("{operation} {kind} {name} partition {partition}"),
            (_, Some(kind), None) => format!("{operation} {kind} {name}"),
            (_, None, _) => format!("{operation} {name}"),
        });
    }
    // Both spellings are in use.
    let number = |name: &str| properties.field(name).and_then(Value::as_i64);
    let status = number("status-code").or_else(|| number("statusCode"))?;
    let description = text("status-description").or_else(|| text("statusDescription")).unwrap_or_default();
    Some(format!("the answer {status} {description}").trim_end().to_owned())
}

/// Whether it shows a token to `$cbs`.
fn is_put_token(message: &Node) -> bool {
    let properties = message.child("application-properties");
    properties.and_then(|properties| properties.field("operation")).and_then(Value::as_str) == Some(token::OPERATION)
}

/// Takes the token out of the body if these sections are a request that shows one, and out of what could not be read of it.
pub(super) fn hide_token(input: &Bytes, request: &mut Node, first_rest: usize, findings: &mut Findings) {
    if !is_put_token(request) {
        return;
    }
    for section in request.children.iter_mut().filter(|section| section.name == "amqp-value") {
        match Value::decode(&input.slice(section.range.clone())) {
            Ok(Value::Described(parts)) if parts.1.as_str().is_some() => {
                let text = parts.1.as_str().unwrap_or_default();
                let range = section.range.end - text.len()..section.range.end;
                token::explain(section, text.as_bytes(), range, findings);
            }
            _ => token::hide(section, section.range.clone(), findings),
        }
    }
    findings.hide_rests(first_rest);
}
