//! A batch read back into its events.

use std::ops::Range;

use bytes::Bytes;

use super::super::event::{Event, MessageReader, Section};
use super::super::value::DecodeError;

/// Goes through the events of an encoded batch, each as the bytes it was encoded to.
///
/// The events share the memory of the batch. After an error there are no more.
///
/// ```
/// use bytes::Bytes;
/// use hubwire::wire::batch::{Batch, BatchReader};
/// use hubwire::wire::event::Event;
///
/// let mut batch = Batch::with_partition_key(1_024, "pk1")?;
/// assert!(batch.try_add("first event").is_added());
/// assert!(batch.try_add("second event").is_added());
///
/// let mut events = BatchReader::new(Bytes::copy_from_slice(batch.encoded()))?;
/// assert_eq!(events.partition_key(), Some("pk1"));
/// let first = Event::decode(&events.next().unwrap()?)?;
/// assert_eq!(first.data().unwrap(), "first event");
/// assert_eq!(first.partition_key(), Some("pk1"));
/// assert_eq!(events.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchReader {
    input: Bytes,
    /// Where the next section begins.
    at: usize,
    envelope: Event,
    is_done: bool,
}

impl BatchReader {
    /// Reads the envelope, up to the first event.
    ///
    /// # Errors
    /// If the envelope is broken, or what follows is another body than `data` sections.
    pub fn new(input: Bytes) -> Result<Self, DecodeError> {
        let mut envelope = Event::default();
        let mut reader = MessageReader::new(&input);
        let mut at = input.len();
        while let Some(section) = reader.next_section()? {
            match section {
                Section::Data => {
                    at = reader.section_at();
                    break;
                }
                other @ (Section::Sequence | Section::Value) => {
                    return Err(not_data(reader.section_at(), other));
                }
                other => reader.read_into(other, &mut envelope)?,
            }
        }
        Ok(Self { at, input, envelope, is_done: false })
    }

    /// The sections before the events, as an event without a body.
    pub fn envelope(&self) -> &Event {
        &self.envelope
    }

    /// The partition key over all events, if there is one.
    pub fn partition_key(&self) -> Option<&str> {
        self.envelope.partition_key()
    }

    /// Where the next event's section begins in the input.
    #[cfg(feature = "emulator")]
    pub(crate) fn next_at(&self) -> usize {
        self.at
    }

    /// Where the next event stands in the input; `None` after the last one and after an error.
    pub(crate) fn next_range(&mut self) -> Option<Result<Range<usize>, DecodeError>> {
        if self.is_done {
            return None;
        }
        let range = self.read_next().transpose();
        self.is_done = !matches!(range, Some(Ok(_)));
        range
    }

    fn read_next(&mut self) -> Result<Option<Range<usize>>, DecodeError> {
        if let Some(range) = plain_data(&self.input, self.at) {
            self.at = range.end;
            return Ok(Some(range));
        }
        let mut reader = MessageReader::starting(&self.input, self.at);
        while let Some(section) = reader.next_section()? {
            match section {
                Section::Data => {
                    let event = reader.data()?;
                    self.at = reader.at();
                    return Ok(Some(self.at - event.len()..self.at));
                }
                other @ (Section::Sequence | Section::Value) => {
                    return Err(not_data(reader.section_at(), other));
                }
                // The footer, which says nothing of any event.
                other => reader.read_into(other, &mut Event::default())?,
            }
        }
        Ok(None)
    }
}

impl Iterator for BatchReader {
    type Item = Result<Bytes, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let range = self.next_range()?;
        Some(range.map(|range| self.input.slice(range)))
    }
}

/// The content of the `data` section at `at`, if it is written in the one way that every SDK writes it.
fn plain_data(input: &[u8], at: usize) -> Option<Range<usize>> {
    let (start, len) = match *input.get(at..)? {
        [0x00, 0x53, 0x75, 0xa0, len, ..] => (at + 5, usize::from(len)),
        [0x00, 0x53, 0x75, 0xb0, a, b, c, d, ..] => (at + 8, u32::from_be_bytes([a, b, c, d]) as usize),
        _ => return None,
    };
    let end = start.checked_add(len).filter(|&end| end <= input.len())?;
    Some(start..end)
}

fn not_data(at: usize, section: Section) -> DecodeError {
    DecodeError::NotData { at, found: section.body_name() }
}
