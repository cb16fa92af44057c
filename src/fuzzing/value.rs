//! Values: bytes to a value, and back.

use bytes::{Bytes, BytesMut};

use crate::wire::shape;
use crate::wire::value::Value;

/// A value that is read can be written, in as many bytes as it says, and is read back as the same. Where the walk over
/// encoded values takes it as well, both find the same end.
pub fn value(data: &[u8]) {
    let Ok((value, len)) = Value::decode_prefix(&Bytes::copy_from_slice(data)) else { return };
    if let Ok(walked) = shape::value_len(data) {
        assert_eq!(walked, len, "two readers of one value");
    }
    let once = encoded(&value);
    let again = Value::decode(&once).expect("what is written is read");
    // Compared as bytes: a NaN does not equal itself.
    assert_eq!(encoded(&again), once);
    assert_eq!(again.kind(), value.kind());
}

/// The value's bytes, which are as many as it says.
pub(super) fn encoded(value: &Value) -> Bytes {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    assert_eq!(out.len(), value.encoded_len());
    out.freeze()
}
