//! A recording, line by line: what `--record` has written, or `--trace=json` with hex. Whoever reads it reads it here.

use bytes::Bytes;
use serde::Deserialize;

/// A line of it: an object, with the members that are read.
#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    r#type: String,
    connection: Option<u64>,
    at_us: Option<u64>,
    direction: Option<String>,
    performative: Option<String>,
    /// On the wire, or of a summary what is not read here.
    bytes: Option<usize>,
    frames: Option<u64>,
    hex: Option<String>,
}

/// Why a line cannot be read. What stands in it is not repeated: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("line {line}, column {column}: expected an object of a trace")]
    NoObject { line: usize, column: usize },
    #[error("line {line}: expected {expected}")]
    Member { line: usize, expected: &'static str },
}

impl Line {
    /// Reads the text of the line of this number.
    pub(crate) fn read(text: &[u8], line: usize) -> Result<Self, LineError> {
        serde_json::from_slice(text).map_err(|error| LineError::NoObject { line, column: error.column() })
    }

    pub(crate) fn is_frame(&self) -> bool {
        self.r#type == "frame"
    }

    /// How many records were left out here, if this tells of some that were.
    pub(crate) fn gap(&self) -> Option<u64> {
        (self.r#type == "gap").then(|| self.frames.unwrap_or_default())
    }

    /// As the trace counted it.
    pub(crate) fn connection(&self) -> Option<u64> {
        self.connection
    }

    /// Since the trace began.
    pub(crate) fn at_us(&self) -> u64 {
        self.at_us.unwrap_or_default()
    }

    /// Whether whoever wrote the trace sent it.
    pub(crate) fn is_sent(&self) -> Option<bool> {
        match self.direction.as_deref()? {
            "sent" => Some(true),
            "received" => Some(false),
            _ => None,
        }
    }

    pub(crate) fn is_close(&self) -> bool {
        self.performative.as_deref() == Some("close")
    }

    /// Bytes that the frame had on the wire.
    pub(crate) fn len(&self) -> Option<usize> {
        self.bytes
    }

    /// Those that stand here, if any do. `line`: the number of this one.
    pub(crate) fn bytes(&self, line: usize) -> Option<Result<Bytes, LineError>> {
        let bytes = bytes_of(self.hex.as_deref()?.as_bytes());
        Some(bytes.ok_or(LineError::Member { line, expected: "hex digits, two for each byte, in `hex`" }))
    }
}

fn bytes_of(hex: &[u8]) -> Option<Bytes> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    hex.len().is_multiple_of(2).then(|| hex.chunks_exact(2).map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_in_a_line_is_told_and_not_repeated() {
        for (text, expected) in [
            (r#"{"type": secret}"#, "line 7, column 10: expected an object of a trace"),
            (r#"{"type": "frame", "connection": "secret"}"#, "line 7, column 40: expected an object of a trace"),
            ("secret", "line 7, column 1: expected an object of a trace"),
        ] {
            assert_eq!(Line::read(text.as_bytes(), 7).unwrap_err().to_string(), expected, "{text}");
        }
        let line = Line::read(br#"{"type": "frame", "hex": "secret"}"#, 7).unwrap();
        let error = line.bytes(7).unwrap().unwrap_err().to_string();
        assert_eq!(error, "line 7: expected hex digits, two for each byte, in `hex`");
    }

    #[test]
    fn hex_is_two_digits_a_byte() {
        for (hex, bytes) in [("", Some(&[][..])), ("00fF", Some(&[0, 255])), ("0", None), ("0g", None), ("é", None)] {
            assert_eq!(bytes_of(hex.as_bytes()).as_deref(), bytes, "{hex}");
        }
    }
}
