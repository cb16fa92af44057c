//! A line, word by word.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Fault, FaultError, MAX_CONDITION_LEN, Run, both};

/// The first word, and the pairs behind it that nobody has taken yet.
pub(super) struct Words {
    pub(super) name: String,
    pairs: Vec<(String, String)>,
    /// Every key that was asked for.
    known: Vec<&'static str>,
}

impl Words {
    pub(super) fn read(line: &str) -> Result<Self, FaultError> {
        let mut words = split(line)?.into_iter();
        let name = words.next().ok_or(FaultError::Empty)?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for word in words {
            let Some((key, value)) = word.split_once('=') else { return Err(FaultError::Pair { word }) };
            if pairs.iter().any(|(other, _)| other == key) {
                return Err(both(key, key));
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { name, pairs, known: Vec::new() })
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        let at = self.pairs.iter().position(|(other, _)| other == key)?;
        Some(self.pairs.remove(at).1)
    }

    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Result<Option<u64>, FaultError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.parse().ok().filter(|number| range.contains(number));
        let expected = match (range.start(), range.end()) {
            (0, _) => "a whole number of bytes",
            (1, 4) => "1 (auth), 2 (sys), 3 (sys-perm) or 4 (sys-temp)",
            (1, _) => "a whole number from 1",
            _ => "a status from 300 to 599, such as 401",
        };
        number.map(Some).ok_or(FaultError::Value { key, value, expected })
    }

    pub(super) fn span(&mut self, key: &'static str) -> Result<Option<Duration>, FaultError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let span = humantime::parse_duration(&value);
        span.map(Some).map_err(|_| FaultError::Value { key, value, expected: "a time such as 2ms, 30s or 5m" })
    }

    pub(super) fn needed_span(&mut self) -> Result<Duration, FaultError> {
        let fault = self.name.clone();
        self.span("by")?.ok_or(FaultError::Missing { fault, key: "by", example: "2s" })
    }

    pub(super) fn times(&mut self) -> Result<Option<Run>, FaultError> {
        let key = "times";
        let Some(value) = self.take(key) else { return Ok(None) };
        if value == "always" {
            return Ok(Some(Run::Always));
        }
        let times = value.parse().ok().filter(|&times: &u64| times > 0).map(Run::Times);
        times.map(Some).ok_or(FaultError::Value { key, value, expected: "a whole number from 1, or `always`" })
    }

    /// A fault that says why.
    pub(super) fn error(&mut self, default: &str, make: fn(&str, &str) -> Fault) -> Result<Fault, FaultError> {
        let key = "condition";
        let condition = self.take(key).unwrap_or_else(|| default.to_owned());
        let is_symbol = !condition.is_empty() && condition.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_symbol || condition.len() > MAX_CONDITION_LEN {
            let expected = "1 to 80 ASCII characters without blanks, such as amqp:not-allowed";
            return Err(FaultError::Value { key, value: condition, expected });
        }
        Ok(make(&condition, &self.take("text").unwrap_or_default()))
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), FaultError> {
        match self.pairs.into_iter().next() {
            None => Ok(()),
            Some((key, _)) => Err(FaultError::Key { fault: self.name, key, expected: self.known.join(", ") }),
        }
    }
}

/// Words are apart by blanks; quotes keep them together, and a `#` at the beginning of one ends the line.
fn split(line: &str) -> Result<Vec<String>, FaultError> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().push(chars.next().ok_or(FaultError::Quote)?),
            '#' if word.is_none() => break,
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if is_quoted {
        return Err(FaultError::Quote);
    }
    words.extend(word);
    Ok(words)
}
