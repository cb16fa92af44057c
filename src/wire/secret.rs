//! Text that must not be seen: shared access keys and signed tokens.

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

/// What stands in print where a secret was.
pub(crate) const MASK: &str = "***";
/// What stands in the place of each byte where sizes are to stay.
pub(crate) const FILL: u8 = b'*';

/// A text that never prints and is wiped from memory when dropped.
///
/// There is no `Display`, and `Debug` shows only that something is there. Whoever needs the text
/// says so with [`expose`](Self::expose), which makes every use easy to find. Copies made from the
/// exposed text are the caller's to look after.
///
/// ```
/// use hubwire::wire::secret::Secret;
///
/// let key = Secret::from("c2VjcmV0");
/// assert_eq!(format!("{key:?}"), "Secret(***)");
/// assert_eq!(key.expose(), "c2VjcmV0");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself, for signing or sending; not for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({MASK})")
    }
}

/// `name` if it is fit to print, else the mask.
///
/// A name holding `=` has most likely swallowed the pair after it (a lost `;` or `&`), and with it
/// a key. Names of policies and hubs cannot hold one.
pub(crate) fn printable(name: &str) -> &str {
    let odd = |c: char| c == '=' || c.is_control();
    if name.contains(odd) { MASK } else { name }
}

/// Whether an argument or a path looks as if somebody had put a connection string or a token in its place.
#[cfg(feature = "bench")]
pub(crate) fn may_hold_secret(text: &std::ffi::OsStr) -> bool {
    let text = text.to_string_lossy().to_ascii_lowercase();
    text.contains("sharedaccess") || text.contains("sig=")
}

/// A path as messages and reports show it. A connection string in its place is masked.
#[cfg(feature = "bench")]
pub(crate) fn shown(path: impl AsRef<std::ffi::OsStr>) -> String {
    let path = path.as_ref();
    if may_hold_secret(path) { MASK.to_owned() } else { path.display().to_string() }
}

/// A peer's words, fit to print: what follows `sig=`, `SharedAccessKey=` or looks like a web token is masked. A hub quotes
/// no token, but what stands between may say anything.
pub(crate) fn masked(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut at = 0;
    for range in secret_ranges(words.as_bytes()) {
        out += &words[at..range.start];
        out += MASK;
        at = range.end;
    }
    out + &words[at..]
}

/// Overwrites each secret in `bytes`, byte for byte: sizes stay true.
pub(crate) fn overwrite(bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(range) = next_secret(bytes, from) {
        from = range.end.max(from + 1);
        bytes[range].fill(FILL);
    }
}

/// Where in `bytes` a secret stands that is known by what it looks like. Every range begins and ends beside ASCII.
pub(crate) fn secret_ranges(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let range = next_secret(bytes, from)?;
        from = range.end.max(from + 1);
        Some(range)
    })
}

/// Where the word ends that begins at `start`.
pub(crate) fn word_end(bytes: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"&;\"',)>".contains(byte);
    bytes[start..].iter().position(ends).map_or(bytes.len(), |len| start + len)
}

/// A word that begins with the base64 of `{"`, as a web token does, and is shorter, is none.
const MIN_WEB_TOKEN_LEN: usize = 20;
/// What secrets stand behind.
const MARKS: [&[u8]; 2] = [b"sig", b"SharedAccessKey"];
/// The last bytes of what stands in front of a secret, or at the start of one.
const MARK_ENDS: &[u8] = b"=%J";
/// Bytes that are looked at in one go.
const CHUNK_LEN: usize = 512;

fn next_secret(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let starts = (from..bytes.len()).step_by(CHUNK_LEN);
    let chunks = starts.map(|start| start..bytes.len().min(start + CHUNK_LEN));
    // Most of what passes has none of the bytes that a mark ends with, which is quickly told.
    let mut chunks = chunks.filter(|chunk| MARK_ENDS.iter().any(|end| bytes[chunk.clone()].contains(end)));
    chunks.find_map(|chunk| chunk.into_iter().find_map(|at| secret_at(bytes, from, at)))
}

/// A secret whose mark ends with the byte at `at`.
fn secret_at(bytes: &[u8], from: usize, at: usize) -> Option<Range<usize>> {
    let follows_mark = || MARKS.iter().any(|mark| ends_with(&bytes[..at], mark));
    let start = match bytes[at] {
        b'=' if follows_mark() => at + 1,
        // Percent-encoded once more.
        b'%' if follows_mark() && starts_with(&bytes[at..], b"%3d") => at + 3,
        b'J' if at >= from + 2 && bytes[..at].ends_with(b"ey") => at - 2,
        _ => return None,
    };
    let end = word_end(bytes, start);
    // A word that begins like a web token and is none is short; one that breaks off may go on elsewhere.
    let is_secret = start > at || end - start >= MIN_WEB_TOKEN_LEN || end == bytes.len();
    is_secret.then_some(start..end)
}

fn ends_with(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.len() >= mark.len() && bytes[bytes.len() - mark.len()..].eq_ignore_ascii_case(mark)
}

fn starts_with(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_text() {
        let secret = Secret::from(String::from("hunter2"));
        assert_eq!(format!("{:?}", Some(&secret)), "Some(Secret(***))");
        assert_eq!(format!("{:#?}", secret.clone()), "Secret(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_name_that_swallowed_a_pair_is_masked() {
        for (name, shown) in [
            ("RootManageSharedAccessKey", "RootManageSharedAccessKey"),
            ("my policy/+1", "my policy/+1"),
            ("hübé", "hübé"),
            ("pSharedAccessKey=abc", MASK),
            ("p\u{1b}[2J", MASK),
            ("", ""),
        ] {
            assert_eq!(printable(name), shown, "{name:?}");
        }
    }

    #[test]
    fn a_peers_words_are_kept_and_secrets_in_them_are_not() {
        for (words, shown) in [
            ("", ""),
            ("no token here", "no token here"),
            ("sr=x&sig=abc%2F&se=1", "sr=x&sig=***&se=1"),
            ("SIG=abc SharedAccessKey=k2V5=;x", "SIG=*** SharedAccessKey=***;x"),
            ("sig=", "sig=***"),
            ("sr%3Dx%26sig%3Dabc%26se", "sr%3Dx%26sig%3D***"),
            ("é sig=é", "é sig=***"),
            ("token eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2ln, refused", "token ***, refused"),
            ("eyjafjallajokull", "eyjafjallajokull"),
            ("EYJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9", "EYJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"),
            ("eyJafjallajokull erupts", "eyJafjallajokull erupts"),
            // It may go on elsewhere.
            ("token eyJhbG", "token ***"),
            ("SharedAccessKey%3Dk2V5%3D&x", "SharedAccessKey%3D***&x"),
        ] {
            assert_eq!(masked(words), shown, "{words}");
        }
    }

    #[test]
    fn what_is_overwritten_keeps_its_size() {
        let far = "x".repeat(CHUNK_LEN - 2);
        for (given, shown) in [
            ("no token here", "no token here"),
            ("sr=x&sig=abc%2F&se=1", "sr=x&sig=******&se=1"),
            ("sig=", "sig="),
            ("eyJhbGciOiJSUzI1NiIsInR5cCI6.e30.c2ln, no", "*************************************, no"),
            (&format!("{far}sig=abc&sig=def"), &format!("{far}sig=***&sig=***")),
        ] {
            let mut bytes = given.as_bytes().to_vec();
            overwrite(&mut bytes);
            assert_eq!(String::from_utf8_lossy(&bytes), *shown, "{given}");
        }
    }
}
