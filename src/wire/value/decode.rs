//! Bytes to values: every form the specification allows, within bounds.

use std::ops::Range;

use bytes::Bytes;

use super::{Array, Kind, MAX_DEPTH, Value};

/// How many array elements of a type that takes no bytes (null, `41`, `43`, ...) one input may claim: nothing in
/// the input pays for them.
const MAX_ZERO_WIDTH_ELEMENTS: usize = 1024;

/// Space set aside before the elements of a list are seen. More only grows with elements that are there.
const FIRST_ELEMENTS: usize = 16;

/// Why bytes are not the AMQP they should be. `at` counts bytes from the start of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input, or the list, map or array around this place, ends too early.
    #[error("byte {at}: ends where {expected} was expected")]
    Truncated {
        /// Where the missing part begins.
        at: usize,
        /// What was to be there.
        expected: &'static str,
    },
    /// Something else stands there.
    #[error("byte {at}: expected {expected}, found {found:#04x}")]
    Unexpected {
        /// Where the byte stands.
        at: usize,
        /// What was to be there.
        expected: &'static str,
        /// The byte that is there: mostly a constructor.
        found: u8,
    },
    /// A value of the wrong type, or outside of what its field can hold.
    #[error("byte {at}: expected {expected}, found {found}")]
    WrongType {
        /// Where the value begins.
        at: usize,
        /// What the field holds.
        expected: &'static str,
        /// The type that is there.
        found: Kind,
    },
    /// The content of a string, symbol or char is none.
    #[error("byte {at}: this is not {expected}")]
    InvalidContent {
        /// Where the content begins.
        at: usize,
        /// What the content was to be.
        expected: &'static str,
    },
    /// A list, map or array claims more elements than its bytes can hold.
    #[error("byte {at}: {count} elements cannot stand in {len} bytes")]
    CountTooLarge {
        /// Where the elements begin.
        at: usize,
        /// The elements claimed.
        count: usize,
        /// The bytes there are for them.
        len: usize,
    },
    /// A map whose count is odd: a key without a value.
    #[error("byte {at}: a map of {count} elements leaves a key without its value")]
    OddMap {
        /// Where the elements begin.
        at: usize,
        /// Keys and values claimed.
        count: usize,
    },
    /// Bytes after the end of what was expected.
    #[error("byte {at}: expected the end of {expected}, found {len} more bytes")]
    Trailing {
        /// Where it should have ended.
        at: usize,
        /// What should have ended.
        expected: &'static str,
        /// The bytes that are left.
        len: usize,
    },
    /// Values nest too deep.
    #[error("byte {at}: values nest deeper than {MAX_DEPTH}")]
    TooDeep {
        /// Where the first value that is too deep begins.
        at: usize,
    },
    /// A message section that AMQP does not know.
    #[error("byte {at}: no message section has descriptor {descriptor}")]
    UnknownSection {
        /// Where the section begins.
        at: usize,
        /// The descriptor, as text.
        descriptor: String,
    },
    /// A batch with another body than `data` sections.
    #[error("byte {at}: a batch holds data sections only, found {found}")]
    NotData {
        /// Where the section begins.
        at: usize,
        /// The kind of the section.
        found: &'static str,
    },
    /// A body of another kind than the sections before it.
    #[error("byte {at}: a message has one kind of body, found {found} after another")]
    MixedBody {
        /// Where the section begins.
        at: usize,
        /// The kind of the later section.
        found: &'static str,
    },
}

impl Value {
    /// Reads the one value that is all of `input`. Binaries share `input`'s memory; text is copied.
    ///
    /// # Errors
    /// If `input` is not exactly one value. No input makes it panic, nest deeper than [`MAX_DEPTH`], or set memory
    /// aside for elements that its length cannot hold.
    ///
    /// Source: AMQP 1.0 part 1, 1.6.
    pub fn decode(input: &Bytes) -> Result<Self, DecodeError> {
        let (value, len) = Self::decode_prefix(input)?;
        match input.len() - len {
            0 => Ok(value),
            left => Err(DecodeError::Trailing { at: len, expected: "the value", len: left }),
        }
    }

    /// Reads the value at the start of `input`, and tells how many bytes it took.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), save that more may follow.
    pub fn decode_prefix(input: &Bytes) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader::new(input);
        let value = reader.value()?;
        Ok((value, reader.at()))
    }
}

/// A place in some bytes, and how far it may go.
pub(crate) struct Reader<'a> {
    input: &'a Bytes,
    at: usize,
    end: usize,
    depth: usize,
    zero_width_left: usize,
    /// Lists, maps and arrays that are cut off are stepped into all the same: they end where the input does.
    takes_cut: bool,
}

/// The start of a list or map: how many elements, and what to go back to afterwards.
pub(crate) struct Fields {
    pub(crate) count: usize,
    outer_end: usize,
    /// Bytes of it that are not there.
    missing: usize,
}

/// What all elements of an array begin with.
pub(crate) struct Elements {
    pub(crate) descriptor: Option<Value>,
    /// The constructor.
    pub(crate) code: u8,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a Bytes) -> Self {
        Self::starting(input, 0)
    }

    pub(crate) fn starting(input: &'a Bytes, at: usize) -> Self {
        Self { input, at, end: input.len(), depth: 0, zero_width_left: MAX_ZERO_WIDTH_ELEMENTS, takes_cut: false }
    }

    /// Confined to `range` of the input. What is cut off there is read as far as it goes.
    pub(crate) fn within(input: &'a Bytes, range: Range<usize>) -> Self {
        Self { end: range.end, takes_cut: true, ..Self::starting(input, range.start) }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes left, up to the end of the list, map or array that was stepped into.
    pub(crate) fn left(&self) -> Range<usize> {
        self.at..self.end
    }

    /// Passes over what is left.
    pub(crate) fn pass(&mut self) {
        self.at = self.end;
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.end
    }

    pub(crate) fn byte(&mut self, expected: &'static str) -> Result<u8, DecodeError> {
        Ok(self.take::<1>(expected)?[0])
    }

    /// Reads one value of any type.
    pub(crate) fn value(&mut self) -> Result<Value, DecodeError> {
        let at = self.at;
        match self.byte("a value")? {
            0x00 => self.nested(at, |reader| {
                let descriptor = reader.value()?;
                Ok(Value::Described(Box::new((descriptor, reader.value()?))))
            }),
            code => self.primitive(code, at),
        }
    }

    /// Reads a binary, null not allowed.
    pub(crate) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let at = self.at;
        match self.byte("a binary")? {
            0xa0 => self.narrow_bytes("a binary"),
            0xb0 => self.wide_bytes("a binary"),
            found => Err(DecodeError::Unexpected { at, expected: "a binary", found }),
        }
    }

    /// Steps into a list; [`leave`](Self::leave) steps out.
    pub(crate) fn enter_list(&mut self, expected: &'static str) -> Result<Fields, DecodeError> {
        let at = self.at;
        match self.byte(expected)? {
            0x45 => Ok(self.enter_nothing()),
            code @ (0xc0 | 0xd0) => self.enter(code, "a list"),
            found => Err(DecodeError::Unexpected { at, expected, found }),
        }
    }

    /// Steps into a map, whose `count` counts keys and values; [`leave`](Self::leave) steps out.
    pub(crate) fn enter_map(&mut self, expected: &'static str) -> Result<Fields, DecodeError> {
        let at = self.at;
        let fields = match self.byte(expected)? {
            code @ (0xc1 | 0xd1) => self.enter(code, "a map")?,
            found => {
                return Err(DecodeError::Unexpected { at, expected, found });
            }
        };
        self.even(fields)
    }

    /// Steps into an array whose constructor byte has been read; `None` where an empty one says nothing of its elements.
    /// [`leave`](Self::leave) steps out.
    pub(crate) fn enter_array(&mut self, code: u8) -> Result<(Fields, Option<Elements>), DecodeError> {
        let fields = self.enter(code, "an array")?;
        // Some encoders leave an empty array without its constructor.
        if fields.count == 0 && self.is_at_end() {
            return Ok((fields, None));
        }
        let (descriptor, element_code, at) = self.element_constructor()?;
        if kind_of(element_code).is_none() {
            return Err(DecodeError::Unexpected { at, expected: "the constructor of an array", found: element_code });
        }
        self.charge_elements(element_code, &fields)?;
        Ok((fields, Some(Elements { descriptor, code: element_code })))
    }

    /// Steps out of a list or map, which must have been read to its end.
    pub(crate) fn leave(&mut self, fields: &Fields, expected: &'static str) -> Result<(), DecodeError> {
        if !self.is_at_end() {
            return Err(DecodeError::Trailing { at: self.at, expected, len: self.end - self.at });
        }
        if fields.missing > 0 {
            return Err(DecodeError::Truncated { at: self.at, expected });
        }
        self.end = fields.outer_end;
        Ok(())
    }

    fn take<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], DecodeError> {
        let bytes = self.input[self.at..self.end].first_chunk::<N>();
        let bytes = *bytes.ok_or(DecodeError::Truncated { at: self.at, expected })?;
        self.at += N;
        Ok(bytes)
    }

    /// A flat table of every constructor but the described one.
    pub(crate) fn primitive(&mut self, code: u8, at: usize) -> Result<Value, DecodeError> {
        Ok(match code {
            0x40 => Value::Null,
            0x41 => Value::Boolean(true),
            0x42 => Value::Boolean(false),
            0x43 => Value::Uint(0),
            0x44 => Value::Ulong(0),
            0x45 => self.nested(at, |_| Ok(Value::List(Vec::new())))?,
            0x50 => Value::Ubyte(self.byte("a ubyte")?),
            0x51 => Value::Byte(i8::from_be_bytes(self.take("a byte")?)),
            0x52 => Value::Uint(self.byte("a smalluint")?.into()),
            0x53 => Value::Ulong(self.byte("a smallulong")?.into()),
            0x54 => Value::Int(i8::from_be_bytes(self.take("a smallint")?).into()),
            0x55 => Value::Long(i8::from_be_bytes(self.take("a smalllong")?).into()),
            0x56 => self.boolean()?,
            0x60 => Value::Ushort(u16::from_be_bytes(self.take("a ushort")?)),
            0x61 => Value::Short(i16::from_be_bytes(self.take("a short")?)),
            0x70 => Value::Uint(u32::from_be_bytes(self.take("a uint")?)),
            0x71 => Value::Int(i32::from_be_bytes(self.take("an int")?)),
            0x72 => Value::Float(f32::from_be_bytes(self.take("a float")?)),
            0x73 => self.character()?,
            0x74 => Value::Decimal32(self.take("a decimal32")?),
            0x80 => Value::Ulong(u64::from_be_bytes(self.take("a ulong")?)),
            0x81 => Value::Long(i64::from_be_bytes(self.take("a long")?)),
            0x82 => Value::Double(f64::from_be_bytes(self.take("a double")?)),
            0x83 => Value::Timestamp(i64::from_be_bytes(self.take("a timestamp")?)),
            0x84 => Value::Decimal64(self.take("a decimal64")?),
            0x94 => Value::Decimal128(self.take("a decimal128")?),
            0x98 => Value::Uuid(self.take("a uuid")?),
            0xa0 => Value::Binary(self.narrow_bytes("a binary")?),
            0xb0 => Value::Binary(self.wide_bytes("a binary")?),
            0xa1 => Value::String(self.narrow_text("a string")?),
            0xb1 => Value::String(self.wide_text("a string")?),
            0xa3 => Value::Symbol(self.narrow_text("a symbol")?),
            0xb3 => Value::Symbol(self.wide_text("a symbol")?),
            0xc0 | 0xd0 => self.nested(at, |reader| reader.list(code))?,
            0xc1 | 0xd1 => self.nested(at, |reader| reader.map(code))?,
            0xe0 | 0xf0 => self.nested(at, |reader| reader.array(code))?,
            found => {
                return Err(DecodeError::Unexpected { at, expected: "a constructor", found });
            }
        })
    }

    fn nested<T>(
        &mut self,
        at: usize,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.depth == MAX_DEPTH {
            return Err(DecodeError::TooDeep { at });
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn boolean(&mut self) -> Result<Value, DecodeError> {
        let at = self.at;
        match self.byte("a boolean")? {
            0x00 => Ok(Value::Boolean(false)),
            0x01 => Ok(Value::Boolean(true)),
            found => Err(DecodeError::Unexpected { at, expected: "a boolean of 00 or 01", found }),
        }
    }

    fn character(&mut self) -> Result<Value, DecodeError> {
        let at = self.at;
        let code_point = u32::from_be_bytes(self.take("a char")?);
        let character =
            char::from_u32(code_point).ok_or(DecodeError::InvalidContent { at, expected: "a Unicode character" })?;
        Ok(Value::Char(character))
    }

    fn narrow_bytes(&mut self, expected: &'static str) -> Result<Bytes, DecodeError> {
        let len = self.byte(expected)?;
        let start = self.skip(len.into(), expected)?;
        Ok(self.input.slice(start..self.at))
    }

    fn wide_bytes(&mut self, expected: &'static str) -> Result<Bytes, DecodeError> {
        let len = self.wide_len(expected)?;
        let start = self.skip(len, expected)?;
        Ok(self.input.slice(start..self.at))
    }

    fn narrow_text(&mut self, expected: &'static str) -> Result<String, DecodeError> {
        let len = self.byte(expected)?;
        let start = self.skip(len.into(), expected)?;
        self.text(start, expected)
    }

    fn wide_text(&mut self, expected: &'static str) -> Result<String, DecodeError> {
        let len = self.wide_len(expected)?;
        let start = self.skip(len, expected)?;
        self.text(start, expected)
    }

    /// The text from `start` to here.
    fn text(&self, start: usize, expected: &'static str) -> Result<String, DecodeError> {
        let bytes = &self.input[start..self.at];
        let text = std::str::from_utf8(bytes).ok();
        let text = text.filter(|text| expected != "a symbol" || text.is_ascii());
        let text = text.ok_or(DecodeError::InvalidContent {
            at: start,
            expected: if expected == "a symbol" { "ASCII" } else { "UTF-8" },
        })?;
        Ok(text.to_owned())
    }

    fn wide_len(&mut self, expected: &'static str) -> Result<usize, DecodeError> {
        let len = u32::from_be_bytes(self.take(expected)?);
        // Where a `usize` cannot hold it, neither can the input.
        Ok(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Passes over `len` bytes and tells where they began.
    fn skip(&mut self, len: usize, expected: &'static str) -> Result<usize, DecodeError> {
        let start = self.at;
        if len > self.end - start {
            return Err(DecodeError::Truncated { at: start, expected });
        }
        self.at += len;
        Ok(start)
    }

    fn enter_nothing(&mut self) -> Fields {
        let outer_end = std::mem::replace(&mut self.end, self.at);
        Fields { count: 0, outer_end, missing: 0 }
    }

    fn enter_narrow(&mut self, expected: &'static str) -> Result<Fields, DecodeError> {
        let size = self.byte(expected)?;
        let (outer_end, missing) = self.confine(size.into(), expected)?;
        let count = self.byte(expected)?.into();
        Ok(Fields { count, outer_end, missing })
    }

    fn enter_wide(&mut self, expected: &'static str) -> Result<Fields, DecodeError> {
        let size = self.wide_len(expected)?;
        let (outer_end, missing) = self.confine(size, expected)?;
        let count = self.wide_len(expected)?;
        Ok(Fields { count, outer_end, missing })
    }

    /// Moves the end to `size` bytes from here, and tells where it was, and how many of these bytes are missing.
    fn confine(&mut self, size: usize, expected: &'static str) -> Result<(usize, usize), DecodeError> {
        let there = if self.takes_cut { size.min(self.end - self.at) } else { size };
        let start = self.skip(there, expected)?;
        let outer_end = std::mem::replace(&mut self.end, self.at);
        self.at = start;
        Ok((outer_end, size - there))
    }

    pub(crate) fn enter(&mut self, code: u8, expected: &'static str) -> Result<Fields, DecodeError> {
        // c0, c1 and e0 say size and count in a byte each; d0, d1 and f0 in four.
        match code & 0x10 {
            0 => self.enter_narrow(expected),
            _ => self.enter_wide(expected),
        }
    }

    pub(crate) fn even(&self, fields: Fields) -> Result<Fields, DecodeError> {
        if fields.count % 2 == 1 {
            return Err(DecodeError::OddMap { at: self.at, count: fields.count });
        }
        Ok(fields)
    }

    fn list(&mut self, code: u8) -> Result<Value, DecodeError> {
        let fields = self.enter(code, "a list")?;
        self.bound(&fields)?;
        let mut values = Vec::with_capacity(fields.count.min(FIRST_ELEMENTS));
        for _ in 0..fields.count {
            values.push(self.value()?);
        }
        self.leave(&fields, "the list")?;
        Ok(Value::List(values))
    }

    fn map(&mut self, code: u8) -> Result<Value, DecodeError> {
        let fields = self.enter(code, "a map")?;
        let fields = self.even(fields)?;
        self.bound(&fields)?;
        let pairs = fields.count / 2;
        let mut entries = Vec::with_capacity(pairs.min(FIRST_ELEMENTS));
        for _ in 0..pairs {
            let key = self.value()?;
            entries.push((key, self.value()?));
        }
        self.leave(&fields, "the map")?;
        Ok(Value::Map(entries))
    }

    fn array(&mut self, code: u8) -> Result<Value, DecodeError> {
        let (fields, elements) = self.enter_array(code)?;
        let Some(Elements { descriptor, code: element_code }) = elements else {
            self.leave(&fields, "the array")?;
            return Ok(Value::Array(Array::of(Kind::Null, Vec::new())));
        };
        let kind = kind_of(element_code).unwrap_or(Kind::Null);
        let mut values = Vec::with_capacity(fields.count.min(FIRST_ELEMENTS));
        for _ in 0..fields.count {
            values.push(self.primitive(element_code, self.at)?);
        }
        self.leave(&fields, "the array")?;
        Ok(Value::Array(Array { kind, descriptor: descriptor.map(Box::new), values }))
    }

    fn element_constructor(&mut self) -> Result<(Option<Value>, u8, usize), DecodeError> {
        let at = self.at;
        match self.byte("the constructor of an array")? {
            0x00 => {
                let descriptor = self.value()?;
                let at = self.at;
                let code = self.byte("the constructor of an array")?;
                Ok((Some(descriptor), code, at))
            }
            code => Ok((None, code, at)),
        }
    }

    /// Refuses counts that the bytes left cannot hold, at one byte an element or more.
    pub(crate) fn bound(&self, &Fields { count, missing, .. }: &Fields) -> Result<(), DecodeError> {
        let len = self.end - self.at;
        // Of what is cut off the elements end where the bytes do.
        if count > len && missing == 0 {
            return Err(DecodeError::CountTooLarge { at: self.at, count, len });
        }
        Ok(())
    }

    fn charge_elements(&mut self, code: u8, fields: &Fields) -> Result<(), DecodeError> {
        if code & 0xf0 != 0x40 {
            return self.bound(fields);
        }
        let count = fields.count;
        match self.zero_width_left.checked_sub(count) {
            Some(left) => self.zero_width_left = left,
            None => {
                return Err(DecodeError::CountTooLarge { at: self.at, count, len: self.end - self.at });
            }
        }
        Ok(())
    }
}

/// The type that a constructor byte begins.
pub(crate) fn kind_of(code: u8) -> Option<Kind> {
    Some(match code {
        0x40 => Kind::Null,
        0x41 | 0x42 | 0x56 => Kind::Boolean,
        0x43 | 0x52 | 0x70 => Kind::Uint,
        0x44 | 0x53 | 0x80 => Kind::Ulong,
        0x45 | 0xc0 | 0xd0 => Kind::List,
        0x50 => Kind::Ubyte,
        0x51 => Kind::Byte,
        0x54 | 0x71 => Kind::Int,
        0x55 | 0x81 => Kind::Long,
        0x60 => Kind::Ushort,
        0x61 => Kind::Short,
        0x72 => Kind::Float,
        0x73 => Kind::Char,
        0x74 => Kind::Decimal32,
        0x82 => Kind::Double,
        0x83 => Kind::Timestamp,
        0x84 => Kind::Decimal64,
        0x94 => Kind::Decimal128,
        0x98 => Kind::Uuid,
        0xa0 | 0xb0 => Kind::Binary,
        0xa1 | 0xb1 => Kind::String,
        0xa3 | 0xb3 => Kind::Symbol,
        0xc1 | 0xd1 => Kind::Map,
        0xe0 | 0xf0 => Kind::Array,
        _ => return None,
    })
}
