//! Events: a message to an event, and back.

use bytes::Bytes;

use crate::wire::event::Event;
use crate::wire::received::ReceivedEvent;

const KEY: &str = "fuzzed";

/// An event that is read and may be sent is written in as many bytes as it says, and read back as the same; a partition
/// key changes its header and that annotation alone; as its publisher wrote it, it has none of the hub's annotations.
pub fn event(data: &[u8]) {
    let input = Bytes::copy_from_slice(data);
    let received = ReceivedEvent::decode(&input);
    let Ok(event) = Event::decode(&input) else {
        assert!(received.is_err(), "a received event is an event");
        return;
    };
    if let Ok(received) = received {
        assert_eq!(received.encoded_len, data.len());
    }
    let _ = format!("{event:?}");
    let Ok(once) = event.encode() else { return };
    assert_eq!(once.len(), event.encoded_len());
    assert_eq!(written_again(&once), once);
    keyed(&event);
    published(event);
}

fn written_again(message: &Bytes) -> Bytes {
    let event = Event::decode(message).expect("what is written is read");
    event.encode().expect("what is written may be written")
}

fn keyed(event: &Event) {
    let message = event.encode_with_partition_key(KEY).expect("a key is no hindrance");
    let keyed = Event::decode(&message).expect("what is written is read");
    assert_eq!(keyed.partition_key(), Some(KEY));
    assert_eq!(keyed.header().and_then(|header| header.durable), Some(true));
    assert_eq!(keyed.application_properties().len(), event.application_properties().len());
    assert_eq!(written_again(&message), message);
    // A second key takes the place of the first.
    assert_eq!(keyed.encode_with_partition_key(KEY), Ok(message));
}

fn published(event: Event) {
    let published = event.into_published();
    for name in ["x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time", "x-opt-partition-key"] {
        assert_eq!(published.annotation(name), None, "{name}");
    }
    assert_eq!(published.encode().map(|message| message.len()), Ok(published.encoded_len()));
}
