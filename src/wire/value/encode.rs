//! Values to bytes: the shortest form of each, as the official Python SDK writes them.

use bytes::BufMut;

use super::{Array, Kind, Value};

/// A value of a simple type, borrowed: one place for the forms of both [`Value`]s and fixed fields.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Ubyte(u8),
    Ushort(u16),
    Uint(u32),
    Ulong(u64),
    Int(i32),
    Long(i64),
    /// A type with a single form: its constructor and its bytes.
    Fixed(u8, Fixed),
    Wide(u8, &'a [u8; 16]),
    Binary(&'a [u8]),
    String(&'a str),
    Symbol(&'a str),
}

/// Up to eight bytes, big-endian, of a type that has one form only.
#[derive(Clone, Copy)]
pub(crate) enum Fixed {
    One(u8),
    Two([u8; 2]),
    Four([u8; 4]),
    Eight([u8; 8]),
}

impl<'a> Scalar<'a> {
    /// A timestamp in milliseconds since 1970-01-01 UTC.
    pub(crate) fn timestamp(unix_millis: i64) -> Self {
        Self::Fixed(0x83, Fixed::Eight(unix_millis.to_be_bytes()))
    }

    /// The sixteen bytes of a UUID.
    pub(crate) fn uuid(bytes: &'a [u8; 16]) -> Self {
        Self::Wide(0x98, bytes)
    }

    /// Bytes on the wire, constructor included.
    pub(crate) fn encoded_len(self) -> usize {
        match self {
            Self::Null | Self::Uint(0) | Self::Ulong(0) => 1,
            Self::Boolean(_) | Self::Ubyte(_) => 2,
            Self::Ushort(_) => 3,
            Self::Uint(n) => 1 + if n <= 0xff { 1 } else { 4 },
            Self::Ulong(n) => 1 + if n <= 0xff { 1 } else { 8 },
            Self::Int(n) => 1 + if i8::try_from(n).is_ok() { 1 } else { 4 },
            Self::Long(n) => 1 + if i8::try_from(n).is_ok() { 1 } else { 8 },
            Self::Fixed(_, Fixed::One(_)) => 2,
            Self::Fixed(_, Fixed::Two(_)) => 3,
            Self::Fixed(_, Fixed::Four(_)) => 5,
            Self::Fixed(_, Fixed::Eight(_)) => 9,
            Self::Wide(..) => 17,
            Self::Binary(bytes) => variable_len(bytes.len()),
            Self::String(text) | Self::Symbol(text) => variable_len(text.len()),
        }
    }

    /// Writes constructor and value in the shortest form.
    pub(crate) fn encode(self, out: &mut impl BufMut) {
        match self {
            Self::Null => out.put_u8(0x40),
            Self::Boolean(truth) => out.put_slice(&[0x56, truth.into()]),
            Self::Ubyte(n) => out.put_slice(&[0x50, n]),
            Self::Ushort(n) => put(out, 0x60, &n.to_be_bytes()),
            Self::Uint(0) => out.put_u8(0x43),
            Self::Uint(n) => match u8::try_from(n) {
                Ok(small) => out.put_slice(&[0x52, small]),
                Err(_) => put(out, 0x70, &n.to_be_bytes()),
            },
            Self::Ulong(0) => out.put_u8(0x44),
            Self::Ulong(n) => match u8::try_from(n) {
                Ok(small) => out.put_slice(&[0x53, small]),
                Err(_) => put(out, 0x80, &n.to_be_bytes()),
            },
            Self::Int(n) => match i8::try_from(n) {
                Ok(small) => put(out, 0x54, &small.to_be_bytes()),
                Err(_) => put(out, 0x71, &n.to_be_bytes()),
            },
            Self::Long(n) => match i8::try_from(n) {
                Ok(small) => put(out, 0x55, &small.to_be_bytes()),
                Err(_) => put(out, 0x81, &n.to_be_bytes()),
            },
            Self::Fixed(code, bytes) => put(out, code, bytes.as_slice()),
            Self::Wide(code, bytes) => put(out, code, bytes),
            Self::Binary(bytes) => put_variable(out, 0xa0, bytes),
            Self::String(text) => put_variable(out, 0xa1, text.as_bytes()),
            Self::Symbol(text) => put_variable(out, 0xa3, text.as_bytes()),
        }
    }
}

impl Fixed {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::One(byte) => std::slice::from_ref(byte),
            Self::Two(bytes) => bytes,
            Self::Four(bytes) => bytes,
            Self::Eight(bytes) => bytes,
        }
    }
}

impl Value {
    /// How many bytes [`encode`](Self::encode) writes; exact.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::List(values) => list_len(values.len(), values_len(values)),
            Self::Map(entries) => map_len(entries.len(), entries_len(entries)),
            Self::Array(array) => compound_len(array.values.len(), array.content_len()),
            Self::Described(pair) => 1 + pair.0.encoded_len() + pair.1.encoded_len(),
            simple => simple.scalar().encoded_len(),
        }
    }

    /// Writes this value, constructor first, in the shortest form; elements of arrays in their widest, since one
    /// constructor serves them all.
    ///
    /// Lengths of 255 still take the one-byte form.
    ///
    /// # Panics
    /// If a value is longer than 4 GiB, which no AMQP form can say, or `out` has no room and cannot grow.
    ///
    /// Source: AMQP 1.0 part 1, 1.6.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::List(values) => {
                put_list_start(out, values.len(), values_len(values));
                values.iter().for_each(|value| value.encode(out));
            }
            Self::Map(entries) => {
                put_map_start(out, entries.len(), entries_len(entries));
                for (key, value) in entries {
                    key.encode(out);
                    value.encode(out);
                }
            }
            Self::Array(array) => {
                put_compound_start(out, 0xe0, array.values.len(), array.content_len());
                array.put_content(out);
            }
            Self::Described(pair) => {
                out.put_u8(0x00);
                pair.0.encode(out);
                pair.1.encode(out);
            }
            simple => simple.scalar().encode(out),
        }
    }

    /// This value as a borrowed simple one; null for the compound types, which have forms of their own.
    fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Boolean(truth) => Scalar::Boolean(*truth),
            Self::Ubyte(n) => Scalar::Ubyte(*n),
            Self::Ushort(n) => Scalar::Ushort(*n),
            Self::Uint(n) => Scalar::Uint(*n),
            Self::Ulong(n) => Scalar::Ulong(*n),
            Self::Byte(n) => Scalar::Fixed(0x51, Fixed::One(n.to_be_bytes()[0])),
            Self::Short(n) => Scalar::Fixed(0x61, Fixed::Two(n.to_be_bytes())),
            Self::Int(n) => Scalar::Int(*n),
            Self::Long(n) => Scalar::Long(*n),
            Self::Float(x) => Scalar::Fixed(0x72, Fixed::Four(x.to_be_bytes())),
            Self::Double(x) => Scalar::Fixed(0x82, Fixed::Eight(x.to_be_bytes())),
            Self::Decimal32(bytes) => Scalar::Fixed(0x74, Fixed::Four(*bytes)),
            Self::Decimal64(bytes) => Scalar::Fixed(0x84, Fixed::Eight(*bytes)),
            Self::Decimal128(bytes) => Scalar::Wide(0x94, bytes),
            Self::Char(c) => Scalar::Fixed(0x73, Fixed::Four(u32::from(*c).to_be_bytes())),
            Self::Timestamp(unix_millis) => Scalar::timestamp(*unix_millis),
            Self::Uuid(bytes) => Scalar::uuid(bytes),
            Self::Binary(bytes) => Scalar::Binary(bytes),
            Self::String(text) => Scalar::String(text),
            Self::Symbol(text) => Scalar::Symbol(text),
            Self::Null | Self::List(_) | Self::Map(_) | Self::Array(_) | Self::Described(_) => Scalar::Null,
        }
    }

    /// Bytes of this value as an element of an array: widest form, no constructor.
    fn element_len(&self) -> usize {
        match self {
            Self::Uint(_) | Self::Int(_) => 4,
            Self::Ulong(_) | Self::Long(_) => 8,
            Self::Binary(bytes) => 4 + bytes.len(),
            Self::String(text) | Self::Symbol(text) => 4 + text.len(),
            Self::List(values) => 8 + values_len(values),
            Self::Map(entries) => 8 + entries_len(entries),
            Self::Array(array) => 8 + array.content_len(),
            single_form => single_form.encoded_len() - 1,
        }
    }

    /// Writes this value as an element of an array, whose constructor is [`widest`] of its kind.
    fn put_element(&self, out: &mut impl BufMut) {
        match self {
            Self::Null => {}
            Self::Boolean(truth) => out.put_u8((*truth).into()),
            Self::Ubyte(n) => out.put_u8(*n),
            Self::Ushort(n) => out.put_u16(*n),
            Self::Uint(n) => out.put_u32(*n),
            Self::Ulong(n) => out.put_u64(*n),
            Self::Byte(n) => out.put_i8(*n),
            Self::Short(n) => out.put_i16(*n),
            Self::Int(n) => out.put_i32(*n),
            Self::Long(n) | Self::Timestamp(n) => out.put_i64(*n),
            Self::Float(x) => out.put_f32(*x),
            Self::Double(x) => out.put_f64(*x),
            Self::Decimal32(bytes) => out.put_slice(bytes),
            Self::Decimal64(bytes) => out.put_slice(bytes),
            Self::Decimal128(bytes) | Self::Uuid(bytes) => out.put_slice(bytes),
            Self::Char(c) => out.put_u32((*c).into()),
            Self::Binary(bytes) => put_wide(out, bytes),
            Self::String(text) | Self::Symbol(text) => put_wide(out, text.as_bytes()),
            Self::List(values) => {
                put_wide_counts(out, values.len(), values_len(values));
                values.iter().for_each(|value| value.encode(out));
            }
            Self::Map(entries) => {
                put_wide_counts(out, 2 * entries.len(), entries_len(entries));
                for (key, value) in entries {
                    key.encode(out);
                    value.encode(out);
                }
            }
            Self::Array(array) => {
                put_wide_counts(out, array.values.len(), array.content_len());
                array.put_content(out);
            }
            // An `Array` holds no described values: their descriptor stands in its constructor.
            Self::Described(_) => {}
        }
    }
}

impl Array {
    /// Bytes of the constructor and the elements.
    fn content_len(&self) -> usize {
        let descriptor = self.descriptor.as_ref().map_or(0, |d| 1 + d.encoded_len());
        let elements = self.values.iter().map(Value::element_len);
        descriptor + 1 + elements.sum::<usize>()
    }

    fn put_content(&self, out: &mut impl BufMut) {
        if let Some(descriptor) = &self.descriptor {
            out.put_u8(0x00);
            descriptor.encode(out);
        }
        out.put_u8(widest(self.kind));
        self.values.iter().for_each(|value| value.put_element(out));
    }
}

/// The constructor of the form of `kind` that can hold any value of it.
fn widest(kind: Kind) -> u8 {
    match kind {
        // `Array::new` refuses described arrays without a kind under them.
        Kind::Null | Kind::Described => 0x40,
        Kind::Boolean => 0x56,
        Kind::Ubyte => 0x50,
        Kind::Ushort => 0x60,
        Kind::Uint => 0x70,
        Kind::Ulong => 0x80,
        Kind::Byte => 0x51,
        Kind::Short => 0x61,
        Kind::Int => 0x71,
        Kind::Long => 0x81,
        Kind::Float => 0x72,
        Kind::Double => 0x82,
        Kind::Decimal32 => 0x74,
        Kind::Decimal64 => 0x84,
        Kind::Decimal128 => 0x94,
        Kind::Char => 0x73,
        Kind::Timestamp => 0x83,
        Kind::Uuid => 0x98,
        Kind::Binary => 0xb0,
        Kind::String => 0xb1,
        Kind::Symbol => 0xb3,
        Kind::List => 0xd0,
        Kind::Map => 0xd1,
        Kind::Array => 0xf0,
    }
}

/// Bytes of a binary of `len` bytes: constructor and length take 2 up to 255, 5 from 256.
pub(crate) fn binary_len(len: usize) -> usize {
    variable_len(len)
}

/// Writes a binary.
pub(crate) fn put_binary(out: &mut impl BufMut, bytes: &[u8]) {
    put_variable(out, 0xa0, bytes);
}

/// Bytes of a list of `count` values that take `content_len` bytes together.
pub(crate) fn list_len(count: usize, content_len: usize) -> usize {
    if count == 0 { 1 } else { compound_len(count, content_len) }
}

/// Bytes of a map of `pairs` whose keys and values take `content_len` bytes together.
pub(crate) fn map_len(pairs: usize, content_len: usize) -> usize {
    compound_len(2 * pairs, content_len)
}

/// Writes what stands before the values of a list.
pub(crate) fn put_list_start(out: &mut impl BufMut, count: usize, content_len: usize) {
    if count == 0 {
        out.put_u8(0x45);
    } else {
        put_compound_start(out, 0xc0, count, content_len);
    }
}

/// Writes what stands before the keys and values of a map.
pub(crate) fn put_map_start(out: &mut impl BufMut, pairs: usize, content_len: usize) {
    put_compound_start(out, 0xc1, 2 * pairs, content_len);
}

fn values_len(values: &[Value]) -> usize {
    values.iter().map(Value::encoded_len).sum()
}

fn entries_len(entries: &[(Value, Value)]) -> usize {
    let lens = entries.iter().map(|(k, v)| k.encoded_len() + v.encoded_len());
    lens.sum()
}

fn variable_len(len: usize) -> usize {
    len + if len <= 0xff { 2 } else { 5 }
}

/// Whether one byte each can say the count, and the size, which includes the count.
fn is_narrow(count: usize, content_len: usize) -> bool {
    count <= 0xff && content_len < 0xff
}

fn compound_len(count: usize, content_len: usize) -> usize {
    content_len + if is_narrow(count, content_len) { 3 } else { 9 }
}

fn put(out: &mut impl BufMut, code: u8, bytes: &[u8]) {
    out.put_u8(code);
    out.put_slice(bytes);
}

/// The wide form of a variable or compound type stands 0x10 above its narrow one.
fn put_variable(out: &mut impl BufMut, narrow_code: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(len) => out.put_slice(&[narrow_code, len]),
        Err(_) => put(out, narrow_code + 0x10, &wide(bytes.len())),
    }
    out.put_slice(bytes);
}

fn put_compound_start(out: &mut impl BufMut, narrow_code: u8, count: usize, content_len: usize) {
    if is_narrow(count, content_len) {
        // Both fit in a byte: `is_narrow`.
        out.put_slice(&[narrow_code, (content_len + 1) as u8, count as u8]);
    } else {
        out.put_u8(narrow_code + 0x10);
        put_wide_counts(out, count, content_len);
    }
}

/// Size, which includes the four bytes of the count, then the count.
fn put_wide_counts(out: &mut impl BufMut, count: usize, content_len: usize) {
    out.put_slice(&wide(content_len + 4));
    out.put_slice(&wide(count));
}

fn put_wide(out: &mut impl BufMut, bytes: &[u8]) {
    out.put_slice(&wide(bytes.len()));
    out.put_slice(bytes);
}

fn wide(len: usize) -> [u8; 4] {
    let len = u32::try_from(len).expect("an AMQP value is shorter than 4 GiB");
    len.to_be_bytes()
}
