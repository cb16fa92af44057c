//! Batches: read from any bytes, and packed from any events.

use bytes::Bytes;

use super::input::Input;
use crate::wire::batch::{Batch, BatchReader, TryAdd};
use crate::wire::event::Event;

/// Whatever is read as a batch has its events inside it, one behind the other, and ends. What is packed stays within its
/// limit, is as long as it says, and is read back as the events that were added; what was not added comes back as it was.
pub fn batch(data: &[u8]) {
    read(data);
    pack(Input::new(data));
}

fn read(data: &[u8]) {
    let Ok(mut reader) = BatchReader::new(Bytes::copy_from_slice(data)) else { return };
    let mut end = 0;
    while let Some(range) = reader.next_range() {
        let Ok(range) = range else { break };
        assert!(end < range.start && range.start <= range.end && range.end <= data.len(), "{range:?} behind {end}");
        end = range.end;
        let _ = Event::decode(&Bytes::copy_from_slice(&data[range]));
    }
    assert!(reader.next_range().is_none(), "no event behind the last or an error");
}

fn pack(mut input: Input<'_>) {
    let limit = input.number().min(1 << 13) as usize;
    let key = input.option(Input::text);
    let batch = match &key {
        Some(key) => Batch::with_partition_key(limit, key),
        None => Ok(Batch::new(limit)),
    };
    let Ok(mut batch) = batch else { return };
    let mut added = Vec::new();
    while !input.is_empty() {
        let before = batch.encoded().to_vec();
        match next_item(&mut input, &mut batch) {
            Some(event) => added.push(event),
            None => assert_eq!(batch.encoded(), before, "what is refused changes nothing"),
        }
        assert_eq!(batch.encoded_len(), batch.encoded().len());
        assert!(batch.is_empty() || batch.encoded_len() <= limit, "{} of {limit} bytes", batch.encoded_len());
    }
    assert_eq!(batch.len(), added.len());
    assert_holds(&batch, &added, key.as_deref());
    batch.clear();
    assert_holds(&batch, &[], key.as_deref());
}

/// Offers the next event, which is the body of one or a whole message; it, if it was added.
fn next_item(input: &mut Input<'_>, batch: &mut Batch) -> Option<Event> {
    let is_body = input.is_chosen();
    let bytes = Bytes::copy_from_slice(input.bytes());
    if is_body {
        return is_added(batch.try_add(&bytes), &&bytes).then(|| Event::new(bytes));
    }
    let event = Event::decode(&bytes).ok()?;
    // Compared as text: a NaN does not equal itself.
    let offered = format!("{event:?}");
    match batch.try_add(event.clone()) {
        TryAdd::Added => Some(event),
        TryAdd::Full(back) | TryAdd::TooLarge(back) | TryAdd::Invalid(back, _) => {
            assert_eq!(format!("{back:?}"), offered);
            None
        }
    }
}

fn is_added<E: PartialEq + std::fmt::Debug>(tried: TryAdd<E>, offered: &E) -> bool {
    match tried {
        TryAdd::Added => true,
        TryAdd::Full(back) | TryAdd::TooLarge(back) => {
            assert_eq!(&back, offered);
            false
        }
        TryAdd::Invalid(_, why) => panic!("a body is never invalid: {why}"),
    }
}

fn assert_holds(batch: &Batch, events: &[Event], key: Option<&str>) {
    let reader = BatchReader::new(Bytes::copy_from_slice(batch.encoded())).expect("what is packed is read");
    assert_eq!(reader.partition_key(), key);
    let read: Vec<Bytes> = reader.collect::<Result<_, _>>().expect("what is packed is read");
    let expected: Vec<Bytes> = events.iter().map(|event| alone(event, key)).collect();
    assert_eq!(read, expected);
}

/// The event as a message of its own.
fn alone(event: &Event, key: Option<&str>) -> Bytes {
    match key {
        Some(key) => event.encode_with_partition_key(key),
        None => event.encode(),
    }
    .expect("what was added may be written")
}
