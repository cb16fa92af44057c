//! The file: objects in lines, as a trace of JSON with bytes has them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::Recorded;
use crate::trace::frames::MAX_HELD_LEN;

/// What went over one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// As the trace counted it.
    pub(crate) number: u64,
    pub(super) frames: Vec<Recorded>,
    /// Whether the client's frames were sent, by whoever traced them: it speaks first.
    is_client_sent: bool,
    /// Whether it ended with a goodbye.
    pub(crate) is_closed: bool,
}

/// Why a file is no recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("line {line}: {why}; name a file that `--record` has written, or `--trace=json --trace-hex`")]
    Line { line: usize, why: String },
    #[error(
        "line {line}: {frames} frames were left out when this was written; record it once more, into a faster place"
    )]
    Gap { line: usize, frames: u64 },
    #[error("there is no frame in it; name a file that `--record` has written, or `--trace=json --trace-hex`")]
    Empty,
}

/// What of a line is read.
#[derive(Deserialize)]
struct Line {
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

/// Reads a recording: its connections, in the order that they began.
pub(crate) fn read(text: &str) -> Result<Vec<Conversation>, ReadError> {
    let mut conversations = BTreeMap::<u64, Conversation>::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let failed = |why: String| ReadError::Line { line: number, why };
        let line: Line = serde_json::from_str(line).map_err(|error| failed(error.to_string()))?;
        match line.r#type.as_str() {
            "gap" => return Err(ReadError::Gap { line: number, frames: line.frames.unwrap_or_default() }),
            "frame" => add(&mut conversations, line).map_err(|why| failed(why.to_owned()))?,
            _ => {}
        }
    }
    if conversations.is_empty() { Err(ReadError::Empty) } else { Ok(conversations.into_values().collect()) }
}

fn add(conversations: &mut BTreeMap<u64, Conversation>, line: Line) -> Result<(), &'static str> {
    let number = line.connection.ok_or("no connection")?;
    let is_sent = match line.direction.as_deref() {
        Some("sent") => true,
        Some("received") => false,
        _ => return Err("neither sent nor received"),
    };
    let bytes = bytes_of(line.hex.as_deref().ok_or("no bytes")?).ok_or("bytes that are no hex")?;
    if line.bytes.is_some_and(|len| len != bytes.len()) {
        return Err("a frame that is not there in full");
    }
    let begun = Conversation { number, frames: Vec::new(), is_client_sent: is_sent, is_closed: false };
    let conversation = conversations.entry(number).or_insert(begun);
    let is_clients = is_sent == conversation.is_client_sent;
    conversation.is_closed |= line.performative.as_deref() == Some("close");
    conversation.frames.push(Recorded { at: Duration::from_micros(line.at_us.unwrap_or_default()), is_clients, bytes });
    Ok(())
}

fn bytes_of(hex: &str) -> Option<Bytes> {
    if !hex.len().is_multiple_of(2) || hex.len() > 2 * MAX_HELD_LEN || !hex.is_ascii() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}
