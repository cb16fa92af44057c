//! What may be told of a token.

use std::ops::Range;

use super::Node;
use super::findings::Findings;
use crate::wire::management::SECURITY_TOKEN;
use crate::wire::sas::SasToken;
use crate::wire::secret::MASK;
use crate::wire::value::Value;

/// The operation whose body is a token.
pub(super) const OPERATION: &str = "put-token";

/// Behind which byte of what cannot be read a token may stand, by the words that go before one.
pub(super) fn announced(bytes: &[u8]) -> Option<usize> {
    let find = |word: &str| bytes.windows(word.len()).position(|window| window == word.as_bytes());
    [SECURITY_TOKEN, OPERATION].into_iter().filter_map(|word| Some(find(word)? + word.len())).min()
}

/// Puts into `node` what the token at `range` says, without what makes it one.
pub(super) fn explain(node: &mut Node, token: &[u8], range: Range<usize>, findings: &mut Findings) {
    match std::str::from_utf8(token).ok().and_then(|text| SasToken::parse(text).ok()) {
        Some(token) => {
            if findings.masks() {
                node.value = Some(token.redacted().into());
            }
            node.note = Some("a shared access signature".into());
            node.children = parts(&token, &range);
        }
        None => {
            node.note = Some(if token.starts_with(b"eyJ") { "a web token" } else { "a token" }.into());
            hide(node, range, findings);
        }
    }
}

/// Takes what `node` says out of it.
pub(super) fn hide(node: &mut Node, range: Range<usize>, findings: &mut Findings) {
    if findings.masks() && !range.is_empty() {
        node.value = Some(MASK.into());
        node.children.clear();
        findings.hide(range);
    }
}

fn parts(token: &SasToken, range: &Range<usize>) -> Vec<Node> {
    // They are read from the token, and stand nowhere as they are shown.
    let part = |name, kind, value: Value| Node::new(name, kind, range.end..range.end).with_value(value);
    let printable = |text: &str| crate::wire::secret::printable(text).into();
    let mut parts = vec![part("audience", "string", printable(token.audience()))];
    if let Some(millis) = token.expiry_unix_secs().and_then(|secs| i64::try_from(secs).ok()?.checked_mul(1_000)) {
        parts.push(part("expiry", "timestamp", Value::Timestamp(millis)));
    }
    parts.push(part("key-name", "string", printable(token.key_name())));
    parts
}
