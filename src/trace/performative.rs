//! What a frame says: its performative, field by field, by the names of the specification.

use bytes::Bytes;

use crate::wire::descriptors::{self, Field, Form};
use crate::wire::value::{DecodeError, Value};

/// A described list of the specification: a performative, or what stands in one's fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Composite {
    pub(crate) code: u64,
    fields: Vec<Value>,
}

impl Composite {
    /// The performative that `body` begins with, and where it ends.
    pub(crate) fn decode(body: &Bytes) -> Result<(Self, usize), DecodeError> {
        let (value, len) = Value::decode_prefix(body)?;
        let found = value.kind();
        let composite = Self::of(value).ok_or(DecodeError::WrongType { at: 0, expected: "a performative", found })?;
        Ok((composite, len))
    }

    /// Takes a described list apart, if `value` is one of the specification's.
    pub(crate) fn of(value: Value) -> Option<Self> {
        let Value::Described(parts) = value else { return None };
        let (descriptor, Value::List(fields)) = *parts else { return None };
        Some(Self { code: code_of(&descriptor)?, fields })
    }

    /// Its code, and its fields in their places.
    #[cfg(feature = "cli")]
    pub(crate) fn into_parts(self) -> (u64, Vec<Value>) {
        (self.code, self.fields)
    }

    pub(crate) fn name(&self) -> &'static str {
        descriptors::by_code(self.code).map_or("unknown", |descriptor| descriptor.name)
    }

    /// The field, unless it is absent or null.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        let at = fields_of(self.code).iter().position(|known| known.name == field)?;
        self.fields.get(at).filter(|value| **value != Value::Null)
    }

    pub(crate) fn number(&self, field: &str) -> Option<u32> {
        self.get(field)?.as_i64()?.try_into().ok()
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.get(field)?.as_str()
    }

    pub(crate) fn is(&self, field: &str) -> bool {
        self.get(field) == Some(&Value::Boolean(true))
    }

    /// The described list in a field.
    pub(crate) fn composite(&self, field: &str) -> Option<Self> {
        Self::of(self.get(field)?.clone())
    }

    /// Its fields that are there, with their names; what has none goes by its place.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let known = fields_of(self.code);
        let name = |at: usize| known.get(at).map_or("?", |field| field.name);
        let named = self.fields.iter().enumerate().map(move |(at, value)| (name(at), value));
        named.filter(|(_, value)| **value != Value::Null)
    }
}

fn code_of(descriptor: &Value) -> Option<u64> {
    match descriptor {
        Value::Ulong(code) => Some(*code),
        Value::Symbol(symbol) => Some(descriptors::by_symbol(symbol.as_bytes())?.code.into()),
        _ => None,
    }
}

fn fields_of(code: u64) -> &'static [Field] {
    match descriptors::by_code(code).map(|descriptor| descriptor.form) {
        Some(Form::Fields(fields)) => fields,
        _ => &[],
    }
}
