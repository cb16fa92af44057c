//! Any JSON value: the one kind that is wanted, and the name of every other.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What becomes of a value of each kind. What is not wanted is read past, and named.
pub(super) trait Want<'de>: Sized {
    type Value;

    /// `kind` has its article: `a number`.
    fn other(self, kind: &'static str) -> Self::Value;

    fn text(self, _: &str) -> Self::Value {
        self.other("a string")
    }

    fn array<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        pass_over(seq)?;
        Ok(self.other("an array"))
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.other("an object"))
    }
}

pub(super) fn pass_over<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads a text and gives it to `take`; of another value, the name of its kind.
pub(crate) fn text<'de, D: Deserializer<'de>, T>(
    value: D,
    take: impl FnOnce(&str) -> T,
) -> Result<Result<T, &'static str>, D::Error> {
    value.deserialize_any(Any(Text(take)))
}

struct Text<F>(F);

impl<F: FnOnce(&str) -> T, T> Want<'_> for Text<F> {
    type Value = Result<T, &'static str>;

    fn other(self, kind: &'static str) -> Self::Value {
        Err(kind)
    }

    fn text(self, text: &str) -> Self::Value {
        Ok(self.0(text))
    }
}

/// Hands a value on by its kind.
pub(super) struct Any<W>(pub(super) W);

impl<'de, W: Want<'de>> Visitor<'de> for Any<W> {
    type Value = W::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        self.0.array(seq)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.text(text))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(self.0.other("a boolean"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(self.0.other("a number"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(self.0.other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(self.0.other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.0.other("null"))
    }
}
