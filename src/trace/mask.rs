//! Secrets in the bytes of frames, overwritten where they stand: sizes stay true, and whoever decodes the bytes after that
//! finds the masks in every form.
//!
//! Values are walked, and texts and binaries are looked through each within its own bounds, for what the tokens and keys of
//! Event Hubs look like. What is known to be a secret (a SASL response, a token that is put) goes whole, whatever it looks
//! like. Bytes that are no well-formed value are looked through as one text.

/// What stands in the place of each byte.
const MASK: u8 = b'*';
/// Bytes on either side of a seam: more than the longest mark, and as many as make a web token.
const SEAM_LEN: usize = 20;
/// Values in values that are walked into.
const MAX_DEPTH: u32 = 16;
/// Of a web token, which begins with the base64 of `{"`.
const WEB_TOKEN_LEN: usize = 20;
/// The last bytes of what stands in front of a secret, or at the start of one.
const MARK_ENDS: &[u8] = b"=%J";
/// Bytes that are looked at in one go.
const CHUNK_LEN: usize = 512;
const SAS_PREFIX: &[u8] = b"SharedAccessSignature ";
/// The application property that tokens for `$management` travel in.
const SECURITY_TOKEN: &[u8] = b"security_token";
/// The section that a token for `$cbs` is. Source: AMQP 1.0 part 3, 3.2.8 (amqp-value).
const AMQP_VALUE: u8 = 0x77;

/// Masks what looks like a secret in the values that `bytes` are.
pub(super) fn values(bytes: &mut [u8]) {
    let mut at = 0;
    while at < bytes.len() {
        match value(&mut bytes[at..], 0, How::Look) {
            Some(len) => at += len,
            None => return text(&mut bytes[at..]),
        }
    }
}

/// The length of the value that `bytes` begin with, unless it is not well-formed. They stay as they are.
pub(super) fn first_len(bytes: &mut [u8]) -> Option<usize> {
    value(bytes, 0, How::Keep)
}

/// The same in what goes on where other bytes have ended: a secret may lie across the seam. `tail`: the last of them, masked.
pub(super) fn continued(tail: &[u8], bytes: &mut [u8]) {
    let mut end = 0;
    let seam = [tail, &bytes[..bytes.len().min(SEAM_LEN)]].concat();
    let mut masked = seam.clone();
    text(&mut masked);
    // It was open at the end, or what begins there ends here.
    if tail.ends_with(&[MASK]) || masked[tail.len()..] != seam[tail.len()..] {
        end = end_of(bytes, 0);
        bytes[..end].fill(MASK);
    }
    text(&mut bytes[end..]);
}

/// Nothing stays.
pub(super) fn all(bytes: &mut [u8]) {
    bytes.fill(MASK);
}

/// As much of the end of `bytes` as [`continued`] has to see.
pub(super) fn tail_of(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(SEAM_LEN)..]
}

/// The same for a request to a node that takes tokens, from its first section on. `is_put`: its body is one.
pub(super) fn request(bytes: &mut [u8], is_put: bool) {
    let mut at = 0;
    while at < bytes.len() {
        let is_body = matches!(bytes[at..], [0x00, 0x53, AMQP_VALUE, ..]);
        let how = if is_put && is_body { How::Token } else { How::Look };
        match value(&mut bytes[at..], 0, how) {
            Some(len) => at += len,
            None => return bytes[at..].fill(MASK),
        }
    }
}

/// The performative of a SASL frame: what it carries of the login, be it user, password or anything else.
pub(super) fn sasl(bytes: &mut [u8]) {
    if value(bytes, 0, How::Login).is_none() {
        bytes.fill(MASK);
    }
}

/// What is to become of texts and binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// They stay.
    Keep,
    /// They are looked through.
    Look,
    /// They are tokens.
    Token,
    /// Binaries are what a login is made with.
    Login,
}

impl How {
    fn mask(self, content: &mut [u8], is_binary: bool) {
        match self {
            Self::Keep => {}
            Self::Login if is_binary => content.fill(MASK),
            Self::Look | Self::Login => text(content),
            Self::Token => token(content),
        }
    }
}

/// Masks the value that `bytes` begin with; its length, unless it is not well-formed.
fn value(bytes: &mut [u8], depth: u32, how: How) -> Option<usize> {
    let constructor = *bytes.first()?;
    if constructor == 0x00 && depth < MAX_DEPTH {
        let descriptor = value(bytes.get_mut(1..)?, depth + 1, how)?;
        return Some(1 + descriptor + value(bytes.get_mut(1 + descriptor..)?, depth + 1, how)?);
    }
    let (start, end) = extent(bytes)?;
    let content = bytes.get_mut(start..end)?;
    match constructor {
        0xa0 | 0xb0 => how.mask(content, true),
        0xa1 | 0xa3 | 0xb1 | 0xb3 => how.mask(content, false),
        0xc0 | 0xc1 | 0xd0 | 0xd1 if depth < MAX_DEPTH => items(content, constructor, depth, how)?,
        // Arrays, and what nests too deep.
        0xc0.. if how != How::Keep => text(content),
        _ => {}
    }
    Some(end)
}

/// Where a value's content begins and ends, seen from its constructor.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let start = match bytes[0] >> 4 {
        0xa | 0xc | 0xe => 2,
        0xb | 0xd | 0xf => 5,
        _ => 1,
    };
    let len = match bytes[0] >> 4 {
        0x4 => 0,
        width @ 0x5..=0x9 => 1 << (width - 5),
        0xa | 0xc | 0xe => usize::from(*bytes.get(1)?),
        0xb | 0xd | 0xf => u32::from_be_bytes(*bytes.get(1..)?.first_chunk()?) as usize,
        _ => return None,
    };
    Some((start, start.checked_add(len)?))
}

/// The items of a list or map, of which `content` holds the count first.
fn items(content: &mut [u8], constructor: u8, depth: u32, how: How) -> Option<()> {
    let mut at = if constructor < 0xd0 { 1 } else { 4 };
    let is_map = constructor & 0x0f == 1;
    let (mut index, mut is_token) = (0, false);
    while at < content.len() {
        let how_now = if is_token && how != How::Keep { How::Token } else { how };
        let len = value(content.get_mut(at..)?, depth + 1, how_now)?;
        is_token = is_map && index % 2 == 0 && content[at..at + len].ends_with(SECURITY_TOKEN);
        index += 1;
        at += len;
    }
    Some(())
}

/// A token: of a shared access signature all but the signature stays, of anything else nothing.
fn token(content: &mut [u8]) {
    let is_signed = content.starts_with(SAS_PREFIX) && find(content, b"sig=").is_some();
    if is_signed { text(content) } else { content.fill(MASK) }
}

/// Masks what stands behind `sig=` and `SharedAccessKey=`, and web tokens.
fn text(content: &mut [u8]) {
    let mut at = 0;
    while let Some((start, end)) = next_secret(content, at) {
        content[start..end].fill(MASK);
        at = end.max(at + 1);
    }
}

/// From `from` on: where a secret begins and ends.
fn next_secret(content: &[u8], from: usize) -> Option<(usize, usize)> {
    let starts = (from..content.len()).step_by(CHUNK_LEN);
    let chunks = starts.map(|start| start..content.len().min(start + CHUNK_LEN));
    // Most of what passes has none of the bytes that a mark ends with, which is quickly told.
    let mut chunks = chunks.filter(|chunk| MARK_ENDS.iter().any(|end| content[chunk.clone()].contains(end)));
    chunks.find_map(|chunk| chunk.into_iter().find_map(|at| secret_at(content, from, at)))
}

/// A secret whose mark ends with the byte at `at`.
fn secret_at(content: &[u8], from: usize, at: usize) -> Option<(usize, usize)> {
    let start = match content[at] {
        b'=' if follows(content, at, b"sig") || follows(content, at, b"SharedAccessKey") => at + 1,
        // Percent-encoded once more.
        b'%' if follows(content, at, b"sig") && is_prefix(content, at, b"%3d") => at + 3,
        b'J' if at >= from + 2 && content[..at].ends_with(b"ey") => at - 2,
        _ => return None,
    };
    let end = end_of(content, start);
    // A word that begins like a web token and is none is short; one that breaks off may go on elsewhere.
    let is_secret = start > at || end - start >= WEB_TOKEN_LEN || end == content.len();
    is_secret.then_some((start, end))
}

/// Where the word ends that begins at `start`.
fn end_of(content: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"&;\"',)>".contains(byte);
    content[start..].iter().position(ends).map_or(content.len(), |len| start + len)
}

/// Whether `mark` stands right before `at`, in whatever case.
fn follows(content: &[u8], at: usize, mark: &[u8]) -> bool {
    at.checked_sub(mark.len()).is_some_and(|start| content[start..at].eq_ignore_ascii_case(mark))
}

fn is_prefix(content: &[u8], at: usize, mark: &[u8]) -> bool {
    content.get(at..at + mark.len()).is_some_and(|part| part.eq_ignore_ascii_case(mark))
}

fn find(content: &[u8], mark: &[u8]) -> Option<usize> {
    content.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::event::{Body, Event};
    use crate::wire::value::Value;

    const SIGNED: &str = "SharedAccessSignature sr=sb%3A%2F%2Fns&sig=abc%2Bdef%3D&se=1700003600&skn=send";

    fn masked(how: fn(&mut [u8]), bytes: &[u8]) -> String {
        let mut bytes = bytes.to_vec();
        let len = bytes.len();
        how(&mut bytes);
        assert_eq!(bytes.len(), len);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn what_looks_like_a_secret_is_overwritten_to_its_end() {
        for (given, shown) in [
            ("no token here", "no token here"),
            (SIGNED, "SharedAccessSignature sr=sb%3A%2F%2Fns&sig=************&se=1700003600&skn=send"),
            ("sig%3Dabc%26se", "sig%3D********"),
            ("SIG=abc SharedAccessKey=k2V5=;x", "SIG=*** SharedAccessKey=*****;x"),
            ("sig=", "sig="),
            ("eyJhbGciOiJSUzI1NiIsInR5cCI6.e30.c2ln, no", "*************************************, no"),
            ("eyjafjallajokull", "eyjafjallajokull"),
            ("eyJafjallajokull erupts", "eyJafjallajokull erupts"),
        ] {
            assert_eq!(masked(text, given.as_bytes()), shown, "{given}");
        }
    }

    #[test]
    fn a_mask_ends_where_its_text_does() {
        // Null, true and a small uint behind the text have codes that look like letters.
        let mut list = vec![0xc0, 12, 4, 0xa1, 5];
        list.extend_from_slice(b"sig=A\x41\x52\x07\x40");
        assert!(masked(values, &list).ends_with("sig=*\x41\x52\x07\x40"));
    }

    #[test]
    fn a_token_that_is_put_goes_whole_unless_it_is_signed() {
        let put = |token: &str| Event::from_body(Body::Value(token.into())).with_property("name", "opaque-audience");
        let opaque = put("opaque").encode().unwrap();
        let shown = masked(|bytes| request(bytes, true), &opaque);
        assert!(shown.contains("opaque-audience") && shown.ends_with("******"), "{shown}");
        let shown = masked(|bytes| request(bytes, true), &put(SIGNED).encode().unwrap());
        assert!(shown.contains("sr=sb%3A%2F%2Fns&sig=************&se="), "{shown}");
    }

    #[test]
    fn the_token_of_a_question_is_known_by_its_name() {
        let question = Event::from_body(Body::Value(Value::Null)).with_property("security_token", "opaque");
        let question = question.with_property("type", "com.microsoft:eventhub").encode().unwrap();
        let shown = masked(|bytes| request(bytes, false), &question);
        assert!(!shown.contains("opaque") && shown.contains("com.microsoft:eventhub"), "{shown}");
    }

    #[test]
    fn a_request_that_breaks_off_is_masked_from_there() {
        let question = Event::from_body(Body::Value(SIGNED.into())).encode().unwrap();
        let shown = masked(|bytes| request(bytes, true), &question[..question.len() - 50]);
        assert!(shown.chars().all(|c| c == '*'), "{shown}");
        assert_eq!(masked(values, b"\xa1\xffsig=abc"), "\u{fffd}\u{fffd}sig=***");
    }

    #[test]
    fn a_seam_hides_nothing() {
        let whole =
            format!("before {SIGNED} between eyJhbGciOiJSUzI1NiIsInR5cCI6.e30.c2lnbmF0dXJl behind").into_bytes();
        for at in 0..whole.len() {
            let (mut first, mut second) = (whole[..at].to_vec(), whole[at..].to_vec());
            values(&mut first);
            continued(tail_of(&first), &mut second);
            let shown = String::from_utf8([first, second].concat()).unwrap();
            for part in ["abc%", "def%", "%2Bd", "eyJhbGciOi", "c2lnbm", "dXJl"] {
                assert!(!shown.contains(part), "{at}: {shown}");
            }
            assert!(shown.starts_with("before Shared") && shown.ends_with(" behind"), "{at}: {shown}");
        }
    }

    #[test]
    fn a_login_is_masked_and_its_mechanism_is_not() {
        let init = b"\x00\x53\x41\xc0\x11\x03\xa3\x05PLAIN\xa0\x06\0u\0pwd\x40";
        let shown = masked(sasl, init);
        assert!(shown.contains("PLAIN") && shown.contains("******") && !shown.contains("pwd"), "{shown}");
        assert!(!masked(sasl, &init[..init.len() - 3]).contains("pw"));
    }
}
