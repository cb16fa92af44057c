//! AMQP's simple values as JSON and back. What JSON alone would not tell is told by the name of the AMQP type.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::kind;
use crate::wire::value::{Kind, Value};

/// A value as the nearest that JSON has, and its type where `hubwire send` would take the JSON for another one.
pub(in crate::cli) fn written(value: &Value) -> (Json, Option<&'static str>) {
    let json = match value {
        Value::Null => return (Json::Null, None),
        Value::Boolean(truth) => return ((*truth).into(), None),
        Value::String(text) => return (text.as_str().into(), None),
        Value::Long(number) => return ((*number).into(), None),
        Value::Ulong(number) if i64::try_from(*number).is_err() => return ((*number).into(), None),
        Value::Double(number) if number.is_finite() => return ((*number).into(), None),
        Value::Ulong(number) => (*number).into(),
        Value::Ubyte(number) => (*number).into(),
        Value::Ushort(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Byte(number) => (*number).into(),
        Value::Short(number) => (*number).into(),
        Value::Int(number) => (*number).into(),
        Value::Timestamp(unix_millis) => (*unix_millis).into(),
        Value::Float(number) if number.is_finite() => f64::from(*number).into(),
        // JSON has no infinity and no NaN.
        Value::Float(number) => number.to_string().into(),
        Value::Double(number) => number.to_string().into(),
        Value::Char(character) => character.to_string().into(),
        Value::Symbol(text) => text.as_str().into(),
        Value::Uuid(uuid) => uuid_text(uuid).into(),
        Value::Binary(bytes) => STANDARD.encode(bytes).into(),
        Value::Decimal32(bytes) => STANDARD.encode(bytes).into(),
        Value::Decimal64(bytes) => STANDARD.encode(bytes).into(),
        Value::Decimal128(bytes) => STANDARD.encode(bytes).into(),
        // What AMQP does not allow as a property: its type says that it was there.
        Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_) => Json::Null,
    };
    (json, Some(value.kind().name()))
}

/// The value that [`written`] has written with the name of its type.
pub(in crate::cli) fn read(json: &Json, type_name: &str) -> Result<Value, String> {
    let Some(kind) = SIMPLE.into_iter().find(|kind| kind.name() == type_name) else {
        return Err(format!("`{type_name}` is no type that a property may have"));
    };
    let value = match kind {
        Kind::Float => float(json).map(|number| Value::Float(number as f32)),
        Kind::Double => float(json).map(Value::Double),
        Kind::Char | Kind::String | Kind::Symbol | Kind::Uuid | Kind::Binary => {
            json.as_str().and_then(|t| text(t, kind))
        }
        Kind::Decimal32 | Kind::Decimal64 | Kind::Decimal128 => json.as_str().and_then(|t| text(t, kind)),
        _ => number(json, kind),
    };
    value.ok_or_else(|| format!("is no {type_name}; got {}", kind_and_text(json)))
}

/// The types that an application property may have. Source: AMQP 1.0 part 3, 3.2.5.
const SIMPLE: [Kind; 19] = [
    Kind::Ubyte,
    Kind::Ushort,
    Kind::Uint,
    Kind::Ulong,
    Kind::Byte,
    Kind::Short,
    Kind::Int,
    Kind::Long,
    Kind::Timestamp,
    Kind::Float,
    Kind::Double,
    Kind::Decimal32,
    Kind::Decimal64,
    Kind::Decimal128,
    Kind::Char,
    Kind::Uuid,
    Kind::Binary,
    Kind::String,
    Kind::Symbol,
];

fn number(json: &Json, kind: Kind) -> Option<Value> {
    let (whole, positive) = (json.as_i64(), json.as_u64());
    match kind {
        Kind::Ubyte => positive?.try_into().ok().map(Value::Ubyte),
        Kind::Ushort => positive?.try_into().ok().map(Value::Ushort),
        Kind::Uint => positive?.try_into().ok().map(Value::Uint),
        Kind::Ulong => positive.map(Value::Ulong),
        Kind::Byte => whole?.try_into().ok().map(Value::Byte),
        Kind::Short => whole?.try_into().ok().map(Value::Short),
        Kind::Int => whole?.try_into().ok().map(Value::Int),
        Kind::Long => whole.map(Value::Long),
        Kind::Timestamp => whole.map(Value::Timestamp),
        _ => None,
    }
}

/// A number, or one of the texts that stand for what JSON has no number for.
fn float(json: &Json) -> Option<f64> {
    match json.as_str() {
        Some(text @ ("NaN" | "inf" | "-inf")) => text.parse().ok(),
        Some(_) => None,
        None => json.as_f64(),
    }
}

fn text(text: &str, kind: Kind) -> Option<Value> {
    let bytes = || STANDARD.decode(text).ok();
    match kind {
        Kind::String => Some(text.into()),
        Kind::Symbol => text.is_ascii().then(|| Value::symbol(text)),
        Kind::Char => {
            let mut characters = text.chars();
            characters.next().filter(|_| characters.next().is_none()).map(Value::Char)
        }
        Kind::Uuid => uuid(text).map(Value::Uuid),
        Kind::Binary => bytes().map(|bytes| Value::Binary(bytes.into())),
        Kind::Decimal32 => bytes()?.try_into().ok().map(Value::Decimal32),
        Kind::Decimal64 => bytes()?.try_into().ok().map(Value::Decimal64),
        Kind::Decimal128 => bytes()?.try_into().ok().map(Value::Decimal128),
        _ => None,
    }
}

/// Grouped as usual: `8-4-4-4-12` digits.
pub(super) fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
}

pub(in crate::cli) fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.split('-').collect();
    let is_grouped = text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    if !is_grouped || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

fn kind_and_text(json: &Json) -> String {
    match json {
        Json::String(text) => format!("`{text}`"),
        Json::Number(number) => number.to_string(),
        other => kind(other).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each simple type, at its ends.
    pub(in crate::cli) fn samples() -> Vec<Value> {
        vec![
            Value::Ubyte(u8::MAX),
            Value::Ushort(u16::MAX),
            Value::Uint(u32::MAX),
            Value::Ulong(0),
            Value::Byte(i8::MIN),
            Value::Short(i16::MIN),
            Value::Int(-1),
            Value::Timestamp(-5),
            Value::Float(0.1),
            Value::Float(f32::NEG_INFINITY),
            Value::Double(f64::INFINITY),
            Value::Decimal32([1; 4]),
            Value::Decimal64([2; 8]),
            Value::Decimal128([3; 16]),
            Value::Char('é'),
            Value::Uuid([0xab; 16]),
            Value::Binary(vec![0, 255].into()),
            Value::symbol("name"),
        ]
    }

    #[test]
    fn what_json_does_not_tell_comes_back_by_the_name_of_its_type() {
        for value in samples() {
            let (json, type_name) = written(&value);
            assert_eq!(read(&json, type_name.expect("JSON alone does not tell")), Ok(value));
        }
        let (json, type_name) = written(&Value::Double(f64::NAN));
        assert!(matches!(read(&json, type_name.unwrap()), Ok(Value::Double(number)) if number.is_nan()));
    }

    #[test]
    fn what_json_tells_has_no_type() {
        for value in [
            Value::Null,
            true.into(),
            "text".into(),
            Value::Long(i64::MIN),
            Value::Ulong(1 << 63),
            Value::Double(5.0),
            Value::Double(1e300),
        ] {
            assert_eq!(written(&value).1, None, "{value:?}");
        }
    }

    #[test]
    fn what_is_of_no_use_is_named() {
        for (json, type_name, message) in [
            (Json::from(256), "ubyte", "is no ubyte; got 256"),
            ("x".into(), "uuid", "is no uuid; got `x`"),
            (
                "11111111-1111-1111-1111-11111111111g".into(),
                "uuid",
                "is no uuid; got `11111111-1111-1111-1111-11111111111g`",
            ),
            ("ab".into(), "char", "is no char; got `ab`"),
            ("AA==".into(), "decimal32", "is no decimal32; got `AA==`"),
            (Json::Null, "int", "is no int; got null"),
            (Json::Null, "list", "`list` is no type that a property may have"),
            ("1".into(), "double", "is no double; got `1`"),
        ] {
            assert_eq!(read(&json, type_name).unwrap_err(), message);
        }
    }
}
