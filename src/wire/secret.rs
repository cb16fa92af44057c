//! Text that must not be seen: shared access keys and signed tokens.

use std::fmt;

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
    let lower = words.to_ascii_lowercase();
    let starts = ["sig=", "sharedaccesskey=", "eyj"];
    let mut out = String::with_capacity(words.len());
    let mut at = 0;
    while let Some((start, skip)) =
        starts.iter().filter_map(|mark| Some((lower[at..].find(mark)? + at, mark))).min().map(
            // A web token is masked from its first letter on, the others behind their names.
            |(start, mark)| if *mark == "eyj" { (start, 0) } else { (start, mark.len()) },
        )
    {
        let from = start + skip;
        let ends = |c: char| c.is_whitespace() || matches!(c, '&' | ';' | '"' | '\'' | ',' | ')' | '>');
        let len = words[from..].find(ends).unwrap_or(words.len() - from);
        out += &words[at..from];
        // A word that begins so and is no token is short.
        if skip == 0 && len < 20 {
            out += &words[from..from + len]
        } else {
            out += MASK
        }
        at = from + len;
    }
    out + &words[at..]
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
            ("é sig=é", "é sig=***"),
            ("token eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2ln, refused", "token ***, refused"),
            ("eyjafjallajokull", "eyjafjallajokull"),
        ] {
            assert_eq!(masked(words), shown, "{words}");
        }
    }
}
