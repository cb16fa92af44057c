//! The file: objects in lines, and in them the frames of each connection.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Recorded;
use crate::trace::recording::{Line, LineError};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{0}; name a file that `--record` has written, or `--trace=json --trace-hex`")]
    Line(#[from] LineError),
    #[error(
        "line {line}: {records} records were left out when this was written; record it once more, into a faster place"
    )]
    Gap { line: usize, records: u64 },
    #[error("there is no frame in it; name a file that `--record` has written, or `--trace=json --trace-hex`")]
    Empty,
}

/// Reads a recording: its connections, in the order that they began.
pub(crate) fn read(file: &[u8]) -> Result<Vec<Conversation>, ReadError> {
    let mut conversations = BTreeMap::<u64, Conversation>::new();
    for (index, text) in file.split(|byte| *byte == b'\n').enumerate().filter(|(_, text)| !text.trim_ascii().is_empty())
    {
        let number = index + 1;
        let line = Line::read(text, number)?;
        if let Some(records) = line.gap() {
            return Err(ReadError::Gap { line: number, records });
        }
        if line.is_frame() {
            add(&mut conversations, &line, number)?;
        }
    }
    if conversations.is_empty() { Err(ReadError::Empty) } else { Ok(conversations.into_values().collect()) }
}

/// `number`: the line's.
fn add(conversations: &mut BTreeMap<u64, Conversation>, line: &Line, number: usize) -> Result<(), LineError> {
    let missing = |expected| LineError::Member { line: number, expected };
    let connection = line.connection().ok_or_else(|| missing("a number in `connection`"))?;
    let is_sent = line.is_sent().ok_or_else(|| missing("`sent` or `received` in `direction`"))?;
    let bytes = line.bytes(number).ok_or_else(|| missing("the bytes of the frame in `hex`"))??;
    if line.len().is_some_and(|len| len != bytes.len()) {
        return Err(missing("a frame that is there in full, as many bytes in `hex` as `bytes` says"));
    }
    let begun = Conversation { number: connection, frames: Vec::new(), is_client_sent: is_sent, is_closed: false };
    let conversation = conversations.entry(connection).or_insert(begun);
    let is_clients = is_sent == conversation.is_client_sent;
    conversation.is_closed |= line.is_close();
    conversation.frames.push(Recorded { at: Duration::from_micros(line.at_us()), is_clients, bytes });
    Ok(())
}
