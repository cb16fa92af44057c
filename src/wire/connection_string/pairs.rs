//! `Key=Value;Key=Value`, and the credential the pairs make.

use super::{Credential, Key, ParseError, Warning};
use crate::wire::sas::SasToken;
use crate::wire::secret::Secret;

/// A trimmed piece of the input, and where it is.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Piece<'a> {
    fn trimmed(text: &'a str, at: usize) -> Self {
        // A byte order mark is how some editors begin a file.
        let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let at = at + text.len() - start.len();
        let text = start.trim_end();
        Self { text, at }
    }

    fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(separator)?;
        let after_at = self.at + before.len() + separator.len_utf8();
        Some((Self::trimmed(before, self.at), Self::trimmed(after, after_at)))
    }

    /// The rest of this piece from `offset` on.
    pub(super) fn from(self, offset: usize) -> Self {
        let (text, at) = (&self.text[offset..], self.at + offset);
        Self { text, at }
    }

    pub(super) fn to(self, offset: usize) -> Self {
        let text = &self.text[..offset];
        Self { text, at: self.at }
    }
}

/// The value of a known key, and where its pair starts.
#[derive(Clone, Copy)]
struct Pair<'a> {
    value: Piece<'a>,
    at: usize,
}

/// The known pairs of a connection string, by [`Key`], and warnings about the others.
pub(super) struct Pairs<'a> {
    known: [Option<Pair<'a>>; 6],
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Pairs<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, ParseError> {
        if text.trim().is_empty() {
            return Err(ParseError::Empty);
        }
        let mut pairs = Self { known: [None; 6], warnings: Vec::new() };
        let mut at = 0;
        for pair in text.split(';') {
            pairs.keep(Piece::trimmed(pair, at))?;
            at += pair.len() + 1;
        }
        Ok(pairs)
    }

    fn keep(&mut self, pair: Piece<'a>) -> Result<(), ParseError> {
        let at = pair.at;
        if pair.text.is_empty() {
            return Ok(());
        }
        let (name, value) = pair.split_once('=').ok_or(ParseError::MissingEquals { at })?;
        if name.text.is_empty() {
            return Err(ParseError::EmptyKey { at });
        }
        let Some(key) = Key::named(name.text) else {
            let name = showable(name.text).map(str::to_owned);
            self.warnings.push(Warning::UnknownKey { name, at });
            return Ok(());
        };
        if value.text.is_empty() {
            return Err(ParseError::EmptyValue { key, at });
        }
        match self.known[key as usize].replace(Pair { value, at }) {
            None => Ok(()),
            Some(first) => Err(ParseError::DuplicateKey { key, first_at: first.at, at }),
        }
    }

    fn pair(&self, key: Key) -> Option<Pair<'a>> {
        self.known[key as usize]
    }

    pub(super) fn get(&self, key: Key) -> Option<Piece<'a>> {
        self.pair(key).map(|pair| pair.value)
    }

    pub(super) fn boolean(&self, key: Key) -> Result<bool, ParseError> {
        let Some(value) = self.get(key) else {
            return Ok(false);
        };
        for (word, meaning) in [("true", true), ("false", false)] {
            if value.text.eq_ignore_ascii_case(word) {
                return Ok(meaning);
            }
        }
        Err(ParseError::InvalidBoolean { key, at: value.at })
    }

    pub(super) fn credential(&mut self) -> Result<Credential, ParseError> {
        let name = self.pair(Key::SharedAccessKeyName);
        let key = self.pair(Key::SharedAccessKey);
        let token = self.pair(Key::SharedAccessSignature);
        match (token, name, key) {
            (Some(token), None, None) => self.token(token.value),
            (Some(Pair { at, .. }), _, Some(_)) => {
                Err(ParseError::ConflictingCredentials { beside: Key::SharedAccessKey, at })
            }
            (Some(Pair { at, .. }), Some(_), None) => {
                Err(ParseError::ConflictingCredentials { beside: Key::SharedAccessKeyName, at })
            }
            (None, Some(name), Some(key)) => {
                Ok(Credential::SharedAccessKey { name: name.value.text.to_owned(), key: Secret::from(key.value.text) })
            }
            (None, Some(Pair { at, .. }), None) => Err(ParseError::MissingSharedAccessKey { at }),
            (None, None, Some(Pair { at, .. })) => Err(ParseError::MissingSharedAccessKeyName { at }),
            (None, None, None) => Err(ParseError::MissingCredentials),
        }
    }

    fn token(&mut self, value: Piece<'_>) -> Result<Credential, ParseError> {
        let at = value.at;
        let token =
            SasToken::parse(value.text).map_err(|cause| ParseError::InvalidSharedAccessSignature { cause, at })?;
        if token.expiry_unix_secs().is_none() {
            self.warnings.push(Warning::TokenWithoutExpiry { at });
        }
        Ok(Credential::SharedAccessSignature(token))
    }
}

/// `name` if it can hardly be a piece of a secret: base64 of any length soon has a digit or sign.
fn showable(name: &str) -> Option<&str> {
    let plain = name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    plain.then_some(name)
}
