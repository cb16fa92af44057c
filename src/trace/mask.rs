//! Secrets in the bytes of frames, overwritten where they stand: sizes stay true, and whoever decodes the bytes after that
//! finds the masks in every form.
//!
//! Values are walked, and texts and binaries are looked through each within its own bounds, for what the tokens and keys of
//! Event Hubs look like. What is known to be a secret (a SASL response, a token that is put) goes whole, whatever it looks
//! like. What stands where a performative or a section should, and is none, is looked through as one text.

use crate::wire::descriptors::codes::{APPLICATION_PROPERTIES, FOOTER, HEADER};
use crate::wire::management::SECURITY_TOKEN;
use crate::wire::secret::{self, FILL};
use crate::wire::shape;

/// Bytes on either side of a seam: more than the longest mark, and as many as make a web token.
const SEAM_LEN: usize = 20;
/// Values in values that are walked into.
const MAX_DEPTH: u32 = 16;
const SAS_PREFIX: &[u8] = b"SharedAccessSignature ";

/// What is to become of texts and binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// They stay.
    Keep,
    /// They are looked through.
    Look,
    /// They are tokens.
    Token,
    /// They are the fields of a SASL performative: binaries are what a login is made with, in whatever place.
    Login,
    /// They go, whatever they are.
    Hide,
}

/// Masks the performative that the body of a frame begins with; where it ends. Of what is none, the rest is a part.
pub(super) fn performative(bytes: &mut [u8], how: How) -> usize {
    if let Some(len) = described(bytes, how) {
        return len;
    }
    match how {
        How::Keep => {}
        How::Look => secret::overwrite(bytes),
        How::Token | How::Login | How::Hide => all(bytes),
    }
    bytes.len()
}

/// Masks what looks like a secret in the sections that `bytes` are.
pub(super) fn sections(bytes: &mut [u8]) {
    let mut at = 0;
    while at < bytes.len() {
        match described(&mut bytes[at..], How::Look) {
            Some(len) => at += len,
            None => return secret::overwrite(&mut bytes[at..]),
        }
    }
}

/// The same in what goes on where other bytes have ended: a secret may lie across the seam. `tail`: the last of them, masked.
pub(super) fn continued(tail: &[u8], bytes: &mut [u8]) {
    let mut end = 0;
    let seam = [tail, &bytes[..bytes.len().min(SEAM_LEN)]].concat();
    let mut masked = seam.clone();
    secret::overwrite(&mut masked);
    // It was open at the end, or what begins there ends here.
    if tail.ends_with(&[FILL]) || masked[tail.len()..] != seam[tail.len()..] {
        end = secret::word_end(bytes, 0);
        bytes[..end].fill(FILL);
    }
    secret::overwrite(&mut bytes[end..]);
}

/// Puts `bytes` behind `tail`, of which so much stays as [`continued`] has to see.
pub(super) fn extend_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(&bytes[bytes.len().saturating_sub(SEAM_LEN)..]);
    tail.drain(..tail.len().saturating_sub(SEAM_LEN));
}

/// Nothing stays.
pub(super) fn all(bytes: &mut [u8]) {
    bytes.fill(FILL);
}

/// The same for a request to a node that takes tokens, from its first section on. `is_put`: its body is one.
pub(super) fn request(bytes: &mut [u8], is_put: bool) {
    let mut at = 0;
    while at < bytes.len() {
        let how = if is_put && !is_beside_body(&mut bytes[at..]) { How::Token } else { How::Look };
        match described(&mut bytes[at..], how) {
            Some(len) => at += len,
            None => return all(&mut bytes[at..]),
        }
    }
}

/// Whether `bytes` begin with a section that is known to be no body, however its type is written.
fn is_beside_body(bytes: &mut [u8]) -> bool {
    let Some(rest) = bytes.get_mut(1..) else { return false };
    let Some(len) = value(rest, 1, How::Keep) else { return false };
    let code = shape::descriptor_of(&rest[..len]).map(|descriptor| u64::from(descriptor.code));
    code.is_some_and(|code| (HEADER..=APPLICATION_PROPERTIES).contains(&code) || code == FOOTER)
}

impl How {
    fn mask(self, content: &mut [u8], is_binary: bool) {
        match self {
            Self::Keep => {}
            Self::Hide => all(content),
            Self::Login if is_binary => all(content),
            Self::Look | Self::Login => secret::overwrite(content),
            Self::Token => token(content),
        }
    }
}

/// Masks the described value that `bytes` begin with, as performatives and sections are; its length, unless they begin with
/// none.
fn described(bytes: &mut [u8], how: How) -> Option<usize> {
    if bytes.first() == Some(&0x00) { value(bytes, 0, how) } else { None }
}

/// Masks the value that `bytes` begin with; its length, unless it is not well-formed.
fn value(bytes: &mut [u8], depth: u32, how: How) -> Option<usize> {
    let constructor = *bytes.first()?;
    if constructor == 0x00 && depth < MAX_DEPTH {
        let descriptor = descriptor(bytes.get_mut(1..)?, depth + 1, how)?;
        return Some(1 + descriptor + value(bytes.get_mut(1 + descriptor..)?, depth + 1, how)?);
    }
    let (start, end) = extent(bytes)?;
    let content = bytes.get_mut(start..end)?;
    match constructor {
        0xa0 | 0xb0 => how.mask(content, true),
        0xa1 | 0xa3 | 0xb1 | 0xb3 => how.mask(content, false),
        0xc0 | 0xc1 | 0xd0 | 0xd1 if depth < MAX_DEPTH => items(content, constructor, depth, how)?,
        // Arrays, and what nests too deep.
        0xc0.. => how.mask(content, false),
        _ => {}
    }
    Some(end)
}

/// The same for a descriptor. One of the specification's is no token, wherever it stands.
fn descriptor(bytes: &mut [u8], depth: u32, how: How) -> Option<usize> {
    if how != How::Token {
        return value(bytes, depth, how);
    }
    let len = value(bytes, depth, How::Keep)?;
    if shape::descriptor_of(&bytes[..len]).is_some() { Some(len) } else { value(bytes, depth, how) }
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
        let how_now = match how {
            How::Look | How::Login if is_token => How::Token,
            How::Login if depth == 1 && is_login(index, content[at]) => How::Hide,
            _ => how,
        };
        let len = value(content.get_mut(at..)?, depth + 1, how_now)?;
        is_token = is_map && index % 2 == 0 && content[at..at + len].ends_with(SECURITY_TOKEN.as_bytes());
        index += 1;
        at += len;
    }
    Some(())
}

/// Whether a field of a SASL performative is what a login is made with, whatever type it has: the second one is, and so is
/// the first, but for the names of mechanisms. Source: AMQP 1.0 part 5, 5.3.3.
fn is_login(index: usize, constructor: u8) -> bool {
    let is_symbol = matches!(constructor, 0xa3 | 0xb3 | 0xe0 | 0xf0);
    index == 1 || (index == 0 && !is_symbol)
}

/// A token: of a shared access signature all but the signature stays, of anything else nothing.
fn token(content: &mut [u8]) {
    let has_signature = content.windows(4).any(|window| window == b"sig=");
    let is_signed = content.starts_with(SAS_PREFIX) && has_signature;
    if is_signed { secret::overwrite(content) } else { all(content) }
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
    fn a_mask_ends_where_its_text_does() {
        // Null, true and a small uint behind the text have codes that look like letters.
        let mut list = vec![0x00, 0x53, 0x76, 0xc0, 12, 4, 0xa1, 5];
        list.extend_from_slice(b"sig=A\x41\x52\x07\x40");
        assert!(masked(sections, &list).ends_with("sig=*\x41\x52\x07\x40"));
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
        assert_eq!(masked(sections, b"\0\xa1\xffsig=abc"), "\0\u{fffd}\u{fffd}sig=***");
    }

    #[test]
    fn what_is_no_section_is_no_value_either() {
        // Letters that are constructors of values.
        for text in ["SharedAccessKey=abc", "sig=abc", "Tsig=abc", "PAsig=abc"] {
            let shown = masked(sections, text.as_bytes());
            assert!(shown.ends_with("=***"), "{shown}");
            assert_eq!(masked(|bytes| _ = performative(bytes, How::Look), text.as_bytes()), shown);
        }
        for text in ["opaque", "PATtoken"] {
            assert_eq!(masked(|bytes| request(bytes, true), text.as_bytes()), "*".repeat(text.len()));
            assert_eq!(masked(|bytes| _ = performative(bytes, How::Login), text.as_bytes()), "*".repeat(text.len()));
        }
    }

    #[test]
    fn a_token_is_known_however_its_section_is_written() {
        let ulong = b"\x80\0\0\0\0\0\0\0\x77";
        let value = b"\xa3\x11amqp:amqp-value:*";
        let value_32 = b"\xb3\0\0\0\x11amqp:amqp-value:*";
        let sections: [(&[u8], &[u8]); 8] = [
            (b"\x53\x77", b"\xa1\x06opaque"),
            (ulong, b"\xa1\x06opaque"),
            (value, b"\xa1\x06opaque"),
            (value_32, b"\xa1\x06opaque"),
            (b"\x53\x75", b"\xa0\x06opaque"),
            (b"\x53\x76", b"\xc0\x09\x01\xa3\x06opaque"),
            (b"\x53\x76", b"\xe0\x09\x01\xa1\x06opaque"),
            (b"\xa3\x06opaque", b"\x40"),
        ];
        for (descriptor, content) in sections {
            let section = [b"\0", descriptor, content].concat();
            let shown = masked(|bytes| request(bytes, true), &section);
            assert!(!shown.contains("opaque") && shown.contains("******"), "{shown:?}");
            assert_eq!(shown.contains("amqp-value"), descriptor.len() > 10, "{shown:?}");
            let beside = [b"\0\x53\x73\xc0\x04\x01\xa1\x01m", &section[..]].concat();
            assert!(masked(|bytes| request(bytes, true), &beside).starts_with("\0Ss"));
        }
    }

    #[test]
    fn a_seam_hides_nothing() {
        let whole =
            format!("before {SIGNED} between eyJhbGciOiJSUzI1NiIsInR5cCI6.e30.c2lnbmF0dXJl behind").into_bytes();
        for at in 0..whole.len() {
            let (mut first, mut second) = (whole[..at].to_vec(), whole[at..].to_vec());
            sections(&mut first);
            let mut tail = Vec::new();
            extend_tail(&mut tail, &first);
            continued(&tail, &mut second);
            let shown = String::from_utf8([first, second].concat()).unwrap();
            for part in ["abc%", "def%", "%2Bd", "eyJhbGciOi", "c2lnbm", "dXJl"] {
                assert!(!shown.contains(part), "{at}: {shown}");
            }
            assert!(shown.starts_with("before Shared") && shown.ends_with(" behind"), "{at}: {shown}");
        }
    }

    #[test]
    fn seams_hide_nothing_however_many_there_are() {
        let whole = format!("before {SIGNED} between eyJhbGciOiJSUzI1NiIsInR5cCI6.e30.c2lnbmF0dXJl behind");
        for piece_len in 1..SEAM_LEN {
            let (mut tail, mut shown) = (Vec::new(), Vec::new());
            for piece in whole.as_bytes().chunks(piece_len) {
                let mut piece = piece.to_vec();
                continued(&tail, &mut piece);
                extend_tail(&mut tail, &piece);
                shown.extend(piece);
            }
            let shown = String::from_utf8(shown).unwrap();
            for part in ["abc", "def", "%2B", "eyJhb", "c2ln", "dXJl"] {
                assert!(!shown.contains(part), "{piece_len}: {shown}");
            }
            assert!(shown.starts_with("before Shared") && shown.ends_with(" behind"), "{piece_len}: {shown}");
        }
    }

    #[test]
    fn a_login_is_masked_and_its_mechanism_is_not() {
        let init = b"\x00\x53\x41\xc0\x11\x03\xa3\x05PLAIN\xa0\x06\0u\0pwd\x40";
        let sasl = |bytes: &mut [u8]| _ = performative(bytes, How::Login);
        let shown = masked(sasl, init);
        assert!(shown.contains("PLAIN") && shown.contains("******") && !shown.contains("pwd"), "{shown}");
        assert!(!masked(sasl, &init[..init.len() - 3]).contains("pw"));
        // In a text or a symbol, where a binary belongs; the name of the host is none.
        for (field, shown) in [(0xa1, "pwd"), (0xa3, "pwd")] {
            let init = [&b"\x00\x53\x41\xc0\x11\x03\xa3\x05PLAIN"[..], &[field, 3], b"pwd\xa1\x02ns"].concat();
            let told = masked(sasl, &init);
            assert!(told.contains("PLAIN") && told.ends_with("ns") && !told.contains(shown), "{told}");
            let response =
                [&b"\x00\x53\x43\xc0\x06\x01"[..], &[if field == 0xa3 { 0xa0 } else { field }, 3], b"pwd"].concat();
            assert!(masked(sasl, &response).ends_with("***"));
        }
    }
}
