//! AMQP 1.0 values: what properties, annotations and `amqp-value` bodies are made of.
//!
//! [`Value`] holds any type of the AMQP 1.0 type system. It is written by hand, in the forms the official Python
//! SDK writes (shortest form for a value, `56 01` for `true`), and read in every form the specification allows.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use hubwire::wire::value::Value;
//!
//! let mut out = BytesMut::new();
//! Value::from(1).encode(&mut out);
//! assert_eq!(&out[..], [0x54, 0x01]);
//! assert_eq!(out.len(), Value::from(1).encoded_len());
//!
//! // The same int in its four-byte form.
//! let wide = Bytes::from_static(&[0x71, 0, 0, 0, 1]);
//! assert_eq!(Value::decode(&wide)?, Value::Int(1));
//! # Ok::<(), hubwire::wire::value::DecodeError>(())
//! ```
//!
//! Source: AMQP 1.0 part 1, 1.2 (encodings) and 1.6 (primitive types).

mod decode;
mod encode;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use bytes::Bytes;

pub use decode::DecodeError;
pub(crate) use decode::{Elements, Fields, Reader, kind_of};
pub(crate) use encode::{Scalar, binary_len, list_len, map_len, put_binary, put_list_start, put_map_start};

/// How deep values may nest: a list in a list in a list counts three. Deeper input is refused, so that no input
/// can exhaust the stack.
pub const MAX_DEPTH: usize = 32;

/// One AMQP 1.0 value.
///
/// Floats compare as floats do: a `Value` holding NaN does not equal itself.
///
/// Source: AMQP 1.0 part 1, 1.6.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The empty value.
    Null,
    /// True or false.
    Boolean(bool),
    /// Unsigned, 8 bits.
    Ubyte(u8),
    /// Unsigned, 16 bits.
    Ushort(u16),
    /// Unsigned, 32 bits.
    Uint(u32),
    /// Unsigned, 64 bits.
    Ulong(u64),
    /// Signed, 8 bits.
    Byte(i8),
    /// Signed, 16 bits.
    Short(i16),
    /// Signed, 32 bits.
    Int(i32),
    /// Signed, 64 bits.
    Long(i64),
    /// IEEE 754 binary32.
    Float(f32),
    /// IEEE 754 binary64.
    Double(f64),
    /// IEEE 754 decimal32, its four bytes as they stand on the wire.
    Decimal32([u8; 4]),
    /// IEEE 754 decimal64, its eight bytes as they stand on the wire.
    Decimal64([u8; 8]),
    /// IEEE 754 decimal128, its sixteen bytes as they stand on the wire.
    Decimal128([u8; 16]),
    /// One Unicode character.
    Char(char),
    /// A point in time, milliseconds since 1970-01-01 UTC; negative before it.
    Timestamp(i64),
    /// A UUID, its sixteen bytes in the order they are printed.
    Uuid([u8; 16]),
    /// Bytes.
    Binary(Bytes),
    /// UTF-8 text.
    String(String),
    /// A name from a constrained domain; ASCII only.
    Symbol(String),
    /// Values of any types, in order.
    List(Vec<Self>),
    /// Pairs of key and value, in the order they stand on the wire.
    Map(Vec<(Self, Self)>),
    /// Values of one type.
    Array(Array),
    /// A value with a descriptor that gives it a meaning: descriptor first.
    Described(Box<(Self, Self)>),
}

/// The type of a [`Value`], named as the specification names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the type of the `Value` of that name")]
pub enum Kind {
    Null,
    Boolean,
    Ubyte,
    Ushort,
    Uint,
    Ulong,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    Decimal32,
    Decimal64,
    Decimal128,
    Char,
    Timestamp,
    Uuid,
    Binary,
    String,
    Symbol,
    List,
    Map,
    Array,
    Described,
}

impl Kind {
    /// Whether this is one of the types an application property may have: neither list, map, array nor described.
    ///
    /// Source: AMQP 1.0 part 3, 3.2.5.
    pub fn is_simple(self) -> bool {
        !matches!(self, Self::List | Self::Map | Self::Array | Self::Described)
    }

    /// The type's name in the specification, e.g. `decimal128`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Ubyte => "ubyte",
            Self::Ushort => "ushort",
            Self::Uint => "uint",
            Self::Ulong => "ulong",
            Self::Byte => "byte",
            Self::Short => "short",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Decimal32 => "decimal32",
            Self::Decimal64 => "decimal64",
            Self::Decimal128 => "decimal128",
            Self::Char => "char",
            Self::Timestamp => "timestamp",
            Self::Uuid => "uuid",
            Self::Binary => "binary",
            Self::String => "string",
            Self::Symbol => "symbol",
            Self::List => "list",
            Self::Map => "map",
            Self::Array => "array",
            Self::Described => "described",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Value {
    /// A symbol. `name` must be ASCII, or what holds it is refused when it is encoded.
    pub fn symbol(name: impl Into<String>) -> Self {
        Self::Symbol(name.into())
    }

    /// A value with a descriptor, which is a ulong or a symbol by custom.
    pub fn described(descriptor: impl Into<Self>, value: impl Into<Self>) -> Self {
        Self::Described(Box::new((descriptor.into(), value.into())))
    }

    /// The type of this value.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Boolean(_) => Kind::Boolean,
            Self::Ubyte(_) => Kind::Ubyte,
            Self::Ushort(_) => Kind::Ushort,
            Self::Uint(_) => Kind::Uint,
            Self::Ulong(_) => Kind::Ulong,
            Self::Byte(_) => Kind::Byte,
            Self::Short(_) => Kind::Short,
            Self::Int(_) => Kind::Int,
            Self::Long(_) => Kind::Long,
            Self::Float(_) => Kind::Float,
            Self::Double(_) => Kind::Double,
            Self::Decimal32(_) => Kind::Decimal32,
            Self::Decimal64(_) => Kind::Decimal64,
            Self::Decimal128(_) => Kind::Decimal128,
            Self::Char(_) => Kind::Char,
            Self::Timestamp(_) => Kind::Timestamp,
            Self::Uuid(_) => Kind::Uuid,
            Self::Binary(_) => Kind::Binary,
            Self::String(_) => Kind::String,
            Self::Symbol(_) => Kind::Symbol,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
            Self::Array(_) => Kind::Array,
            Self::Described(_) => Kind::Described,
        }
    }

    /// The text of a string or a symbol.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Symbol(text) => Some(text),
            _ => None,
        }
    }

    /// The number in any of the integer types, or in a timestamp (milliseconds), if an `i64` can hold it.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Ubyte(n) => Some(n.into()),
            Self::Ushort(n) => Some(n.into()),
            Self::Uint(n) => Some(n.into()),
            Self::Ulong(n) => n.try_into().ok(),
            Self::Byte(n) => Some(n.into()),
            Self::Short(n) => Some(n.into()),
            Self::Int(n) => Some(n.into()),
            Self::Long(n) | Self::Timestamp(n) => Some(n),
            _ => None,
        }
    }

    /// The value under `key` (a string or a symbol) if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let mut found = entries.iter().filter(|(k, _)| k.as_str() == Some(key));
        found.next().map(|(_, value)| value)
    }
}

/// Values of one type, written with one constructor for all of them.
///
/// The type is kept beside the values, so that an empty array still says what it is an array of.
///
/// Source: AMQP 1.0 part 1, 1.6.24 (array) and figure 1.4.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    kind: Kind,
    descriptor: Option<Box<Value>>,
    values: Vec<Value>,
}

/// Why values do not make an array.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// A value of another type than the array's.
    #[error("element {index} is a {found}, in an array of {expected}")]
    Mixed {
        /// Which element, from 0.
        index: usize,
        /// The type of the array.
        expected: Kind,
        /// The type of the element.
        found: Kind,
    },
    /// `kind` was [`Kind::Described`]; such arrays are made with [`Array::described`].
    #[error("an array names the type under the descriptor, not `described`")]
    DescribedKind,
}

impl Array {
    /// An array of `kind`.
    ///
    /// # Errors
    /// If a value is of another type, or `kind` is [`Kind::Described`].
    pub fn new(kind: Kind, values: Vec<Value>) -> Result<Self, ArrayError> {
        if kind == Kind::Described {
            return Err(ArrayError::DescribedKind);
        }
        let other = values.iter().position(|value| value.kind() != kind);
        match other {
            None => Ok(Self { kind, descriptor: None, values }),
            Some(index) => Err(ArrayError::Mixed { index, expected: kind, found: values[index].kind() }),
        }
    }

    /// The same array with `descriptor` over every element; the values stay bare.
    pub fn described(self, descriptor: impl Into<Value>) -> Self {
        Self { descriptor: Some(Box::new(descriptor.into())), ..self }
    }

    /// An array of strings.
    pub fn strings<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        let values = texts.into_iter().map(|text| Value::String(text.into()));
        Self::of(Kind::String, values.collect())
    }

    /// An array of symbols.
    pub fn symbols<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        let values = texts.into_iter().map(|text| Value::Symbol(text.into()));
        Self::of(Kind::Symbol, values.collect())
    }

    /// For values known to be of `kind`.
    fn of(kind: Kind, values: Vec<Value>) -> Self {
        debug_assert!(values.iter().all(|value| value.kind() == kind));
        Self { kind, descriptor: None, values }
    }

    /// The type of every element, under the descriptor if there is one.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The descriptor over every element, if there is one.
    pub fn descriptor(&self) -> Option<&Value> {
        self.descriptor.as_deref()
    }

    /// The elements.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

macro_rules! value_from {
    ($($native:ty => $variant:ident),* $(,)?) => {$(
        impl From<$native> for Value {
            fn from(native: $native) -> Self {
                Self::$variant(native.into())
            }
        }
    )*};
}

value_from! {
    bool => Boolean,
    u8 => Ubyte,
    u16 => Ushort,
    u32 => Uint,
    u64 => Ulong,
    i8 => Byte,
    i16 => Short,
    i32 => Int,
    i64 => Long,
    f32 => Float,
    f64 => Double,
    char => Char,
    &str => String,
    String => String,
    Vec<u8> => Binary,
    Bytes => Binary,
    Vec<Value> => List,
    Array => Array,
}

impl From<&[u8]> for Value {
    fn from(native: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(native))
    }
}

/// `None` is null.
impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(native: Option<T>) -> Self {
        native.map_or(Self::Null, Into::into)
    }
}
