//! Text that must not be seen: shared access keys and signed tokens.

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

/// What stands in print where a secret was.
pub(crate) const MASK: &str = "***";

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

/// Where in `bytes` a secret stands that is known by what it looks like. Every range begins and ends beside ASCII.
pub(crate) fn secret_ranges(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let range = next_secret(bytes, from)?;
        from = range.end.max(from + 1);
        Some(range)
    })
}

/// A word that begins as a web token does, and is shorter, is none.
const MIN_WEB_TOKEN_LEN: usize = 20;

fn next_secret(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    (from..bytes.len()).find_map(|at| {
        let start = match bytes[at] {
            b'=' if ["sig", "sharedaccesskey"].iter().any(|mark| ends_with(&bytes[..at], mark)) => at + 1,
            // Percent-encoded once more.
            b'%' if ends_with(&bytes[..at], "sig") && starts_with(&bytes[at..], "%3d") => at + 3,
            b'e' | b'E' if starts_with(&bytes[at..], "eyj") => at,
            _ => return None,
        };
        let end = bytes[start..].iter().position(|byte| ends_word(*byte)).map_or(bytes.len(), |len| start + len);
        (start > at || end - start >= MIN_WEB_TOKEN_LEN).then_some(start..end)
    })
}

fn ends_word(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_control() || b"&;\"',)>".contains(&byte)
}

fn ends_with(bytes: &[u8], mark: &str) -> bool {
    bytes.len() >= mark.len() && bytes[bytes.len() - mark.len()..].eq_ignore_ascii_case(mark.as_bytes())
}

fn starts_with(bytes: &[u8], mark: &str) -> bool {
    bytes.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark.as_bytes()))
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
        ] {
            assert_eq!(masked(words), shown, "{words}");
        }
    }
}
