use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

pub(crate) fn hex(text: &str) -> Bytes {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn encoded(value: &Value) -> Bytes {
    let mut out = BytesMut::new();
    value.encode(&mut out);
    out.freeze()
}

fn decoded(text: &str) -> Result<Value, DecodeError> {
    Value::decode(&hex(text))
}

fn refused(text: &str) -> String {
    decoded(text).expect_err(text).to_string()
}

#[test]
fn each_value_takes_its_shortest_form() {
    let uuid = [0x11; 16];
    let cases: [(Value, &str); 46] = [
        (Value::Null, "40"),
        (true.into(), "5601"),
        (false.into(), "5600"),
        (7u8.into(), "5007"),
        (7u16.into(), "600007"),
        (0u32.into(), "43"),
        (255u32.into(), "52ff"),
        (256u32.into(), "7000000100"),
        (0u64.into(), "44"),
        (255u64.into(), "53ff"),
        (256u64.into(), "800000000000000100"),
        ((-1i8).into(), "51ff"),
        ((-1i16).into(), "61ffff"),
        (0.into(), "5400"),
        (127.into(), "547f"),
        (128.into(), "7100000080"),
        ((-128).into(), "5480"),
        ((-129).into(), "71ffffff7f"),
        (127i64.into(), "557f"),
        ((-128i64).into(), "5580"),
        (128i64.into(), "810000000000000080"),
        (1.5f32.into(), "723fc00000"),
        (1.5f64.into(), "823ff8000000000000"),
        (Value::Decimal32([1, 2, 3, 4]), "7401020304"),
        (Value::Decimal64([9; 8]), "840909090909090909"),
        (Value::Decimal128([9; 16]), "9409090909090909090909090909090909"),
        ('ü'.into(), "73000000fc"),
        (Value::Timestamp(-1), "83ffffffffffffffff"),
        (Value::Uuid(uuid), "9811111111111111111111111111111111"),
        (Bytes::new().into(), "a000"),
        (vec![1u8, 2].into(), "a0020102"),
        ("".into(), "a100"),
        ("ü".into(), "a102c3bc"),
        (Value::symbol("ab"), "a3026162"),
        (Value::List(vec![]), "45"),
        (Value::List(vec![1.into(), 2.into()]), "c0050254015402"),
        (Value::Map(vec![]), "c10100"),
        (Value::Map(vec![("a".into(), 1.into())]), "c10602a101615401"),
        (Array::strings(["a", "b"]).into(), "e00c02b1000000016100000001 62"),
        (Array::symbols([""; 0]).into(), "e00200b3"),
        (Array::new(Kind::Int, vec![1.into()]).unwrap().into(), "e0060171 00000001"),
        (Array::new(Kind::Null, vec![Value::Null; 2]).unwrap().into(), "e0020240"),
        (Array::new(Kind::List, vec![Value::List(vec![1.into()])]).unwrap().into(), "e00c01d0 00000006 00000001 5401"),
        (Array::new(Kind::Int, vec![1.into()]).unwrap().described(5u64).into(), "e00901 005305 71 00000001"),
        (Value::described(0x24u64, Value::List(vec![])), "00532445"),
        (Value::from(None::<i32>), "40"),
    ];
    for (value, text) in cases {
        assert_eq!(encoded(&value), hex(text), "{value:?}");
        assert_eq!(value.encoded_len(), encoded(&value).len(), "{value:?}");
        assert_eq!(decoded(text).as_ref(), Ok(&value), "{text}");
    }
}

#[test]
fn every_other_form_is_read() {
    let cases: [(&str, Value); 20] = [
        ("41", true.into()),
        ("42", false.into()),
        ("5200", 0u32.into()),
        ("7000000000", 0u32.into()),
        ("5300", 0u64.into()),
        ("800000000000000001", 1u64.into()),
        ("7100000001", 1.into()),
        ("810000000000000001", 1i64.into()),
        ("b00000000101", vec![1u8].into()),
        ("b10000000161", "a".into()),
        ("b30000000161", Value::symbol("a")),
        ("c00100", Value::List(vec![])),
        ("d00000000400000000", Value::List(vec![])),
        ("d0000000060000000245 43", Value::List(vec![Value::List(vec![]), 0u32.into()])),
        ("d10000000400000000", Value::Map(vec![])),
        ("f00000000d0000000271 0000000100000002", Array::new(Kind::Int, vec![1.into(), 2.into()]).unwrap().into()),
        ("e0040254 0102", Array::new(Kind::Int, vec![1.into(), 2.into()]).unwrap().into()),
        ("e0020241", Array::new(Kind::Boolean, vec![true.into(); 2]).unwrap().into()),
        ("e00100", Array::new(Kind::Null, vec![]).unwrap().into()),
        ("0080000000000000002445", Value::described(0x24u64, Value::List(vec![]))),
    ];
    for (text, value) in cases {
        assert_eq!(decoded(text), Ok(value), "{text}");
    }
}

/// Length 255 is the last that one byte can say; size bytes of lists count the count too.
#[test]
fn lengths_change_form_after_255() {
    for (len, code, header) in [(254, 0xa0, 2), (255, 0xa0, 2), (256, 0xb0, 5)] {
        let text = encoded(&"x".repeat(len).into());
        assert_eq!((text[0], text.len()), (code + 1, len + header), "string of {len}");
        let binary = encoded(&vec![0u8; len].into());
        assert_eq!((binary[0], binary.len()), (code, len + header), "binary of {len}");
        let symbol = encoded(&Value::symbol("x".repeat(len)));
        assert_eq!((symbol[0], symbol.len()), (code + 3, len + header), "symbol of {len}");
    }
    for (content_len, code, header) in [(253, 0xc0, 3), (254, 0xc0, 3), (255, 0xd0, 9)] {
        let list = Value::List(vec![Value::from(vec![0u8; content_len - 2])]);
        let bytes = encoded(&list);
        assert_eq!((bytes[0], bytes.len()), (code, content_len + header), "{content_len}");
        assert_eq!(Value::decode(&bytes), Ok(list));
    }
    let nulls = encoded(&Value::List(vec![Value::Null; 256]));
    assert_eq!(nulls[..9], hex("d0 00000104 00000100"));
}

#[test]
fn refusals_tell_the_byte() {
    let cases = [
        ("", "byte 0: ends where a value was expected"),
        ("70000000", "byte 1: ends where a uint was expected"),
        ("a10261", "byte 2: ends where a string was expected"),
        ("b1ffffffff61", "byte 5: ends where a string was expected"),
        ("5602", "byte 1: expected a boolean of 00 or 01, found 0x02"),
        ("ff", "byte 0: expected a constructor, found 0xff"),
        ("730000d800", "byte 1: this is not a Unicode character"),
        ("7300110000", "byte 1: this is not a Unicode character"),
        ("a101ff", "byte 2: this is not UTF-8"),
        ("a302c3bc", "byte 2: this is not ASCII"),
        ("c00201", "byte 2: ends where a list was expected"),
        ("c00101", "byte 3: 1 elements cannot stand in 0 bytes"),
        ("d000000005ffffffff40", "byte 9: 4294967295 elements cannot stand in 1 bytes"),
        ("c003014040", "byte 4: expected the end of the list, found 1 more bytes"),
        ("c1020140", "byte 3: a map of 1 elements leaves a key without its value"),
        ("4040", "byte 1: expected the end of the value, found 1 more bytes"),
        ("f000000005ffffffff40", "byte 10: 4294967295 elements cannot stand in 0 bytes"),
        ("e00301ff40", "byte 3: expected the constructor of an array, found 0xff"),
    ];
    for (text, message) in cases {
        assert_eq!(refused(text), message, "{text}");
    }
}

#[test]
fn a_list_cannot_read_past_its_end() {
    // The string in the list claims two bytes, of which one lies behind the list.
    assert_eq!(refused("c00401a1026162"), "byte 5: ends where a string was expected");
}

#[test]
fn nesting_ends_at_the_limit() {
    let nest = |depth| (0..depth).fold(Value::Null, |value, _| Value::List(vec![value]));
    let deepest = encoded(&nest(MAX_DEPTH));
    assert_eq!(Value::decode(&deepest), Ok(nest(MAX_DEPTH)));
    let deeper = Value::decode(&encoded(&nest(MAX_DEPTH + 1)));
    assert!(matches!(deeper, Err(DecodeError::TooDeep { .. })), "{deeper:?}");
    // An empty list is a level too: in an array it is written with a size, and would not be read back.
    let hollow = |depth| (1..depth).fold(Value::List(Vec::new()), |value, _| Value::List(vec![value]));
    assert_eq!(Value::decode(&encoded(&hollow(MAX_DEPTH))), Ok(hollow(MAX_DEPTH)));
    assert!(matches!(Value::decode(&encoded(&hollow(MAX_DEPTH + 1))), Err(DecodeError::TooDeep { .. })));
    let descriptors = Bytes::from(vec![0u8; 1 << 20]);
    assert_eq!(Value::decode(&descriptors), Err(DecodeError::TooDeep { at: MAX_DEPTH }));
}

/// Nothing in the input pays for the elements of an array of nulls, so there may only be so many in all.
#[test]
fn elements_without_bytes_are_counted_over_the_whole_input() {
    let array = "f000000005 00000200 40"; // 512 nulls
    let arrays = |count: usize| format!("c0{:02x}{count:02x}{}", 1 + 10 * count, array.repeat(count));
    assert!(decoded(&arrays(2)).is_ok());
    assert_eq!(refused(&arrays(3)), "byte 33: 512 elements cannot stand in 0 bytes");
}

#[test]
fn binaries_share_the_input() {
    let input = hex("c00501a002beef");
    let Ok(Value::List(values)) = Value::decode(&input) else {
        panic!("a list");
    };
    let Value::Binary(bytes) = &values[0] else {
        panic!("a binary");
    };
    assert_eq!(bytes.as_ptr(), input[5..].as_ptr());
}

#[test]
fn arrays_hold_one_type() {
    let mixed = Array::new(Kind::Int, vec![1.into(), "a".into()]);
    assert_eq!(mixed.unwrap_err().to_string(), "element 1 is a string, in an array of int");
    assert_eq!(Array::new(Kind::Described, vec![]), Err(ArrayError::DescribedKind));
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zü]{0,5}", (250usize..260).prop_map(|len| "x".repeat(len))]
}

pub(crate) fn any_simple() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u8>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        prop_oneof![any::<u32>(), 0u32..300].prop_map(Value::from),
        prop_oneof![any::<u64>(), 0u64..300].prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        prop_oneof![any::<i32>(), -200..200i32].prop_map(Value::from),
        prop_oneof![any::<i64>(), -200..200i64].prop_map(Value::from),
        (-1e9f32..1e9).prop_map(Value::from),
        (-1e9f64..1e9).prop_map(Value::from),
        any::<[u8; 4]>().prop_map(Value::Decimal32),
        any::<[u8; 8]>().prop_map(Value::Decimal64),
        any::<[u8; 16]>().prop_map(Value::Decimal128),
        any::<char>().prop_map(Value::from),
        any::<i64>().prop_map(Value::Timestamp),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        any_text().prop_map(|text| Value::Binary(text.into())),
        any_text().prop_map(Value::from),
        any_text().prop_map(|text| Value::Symbol(text.replace('ü', "u"))),
    ]
}

/// How many elements without data stand in the arrays of `value`: a reader takes only so many.
fn nulls_in_arrays(value: &Value) -> usize {
    match value {
        Value::Array(array) => array.values().iter().map(|value| nulls_in_arrays(value).max(1)).sum(),
        Value::List(values) => values.iter().map(nulls_in_arrays).sum(),
        Value::Map(pairs) => pairs.iter().map(|(key, value)| nulls_in_arrays(key) + nulls_in_arrays(value)).sum(),
        Value::Described(described) => nulls_in_arrays(&described.0) + nulls_in_arrays(&described.1),
        _ => 0,
    }
}

/// Values of any type, arrays of any kind included.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    any_simple().prop_recursive(4, 40, 6, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec(pair.clone(), 0..4).prop_map(Value::Map),
            pair.prop_map(|pair| Value::Described(Box::new(pair))),
            (inner.clone(), 0usize..40).prop_filter_map("described, or too many nulls", |(value, count)| {
                let nulls = nulls_in_arrays(&value).max(1).saturating_mul(count);
                // Far below what a reader takes in all, whatever else there is beside it.
                (nulls < 100).then(|| Array::new(value.kind(), vec![value; count]).map(Value::from).ok()).flatten()
            }),
            (inner.clone(), inner).prop_filter_map("described", |(descriptor, value)| {
                let array = Array::new(value.kind(), vec![value]).ok()?;
                Some(array.described(descriptor).into())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in any_value()) {
        let bytes = encoded(&value);
        prop_assert_eq!(bytes.len(), value.encoded_len());
        prop_assert_eq!(Value::decode(&bytes), Ok(value));
    }

    #[test]
    fn no_prefix_is_a_value_and_none_panics(value in any_value()) {
        let bytes = encoded(&value);
        for len in 0..bytes.len() {
            prop_assert!(Value::decode(&bytes.slice(..len)).is_err());
        }
    }

    #[test]
    fn what_is_read_is_written_and_read_again(
        value in any_value(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&value).to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(value) = Value::decode(&bytes.into()) {
            prop_assert_eq!(encoded(&value).len(), value.encoded_len());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Value::decode(&bytes.into());
    }
}
