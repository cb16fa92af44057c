//! The form `{"events": ["...", "..."]}`, read element by element: nothing is kept of them but by whoever takes them.

mod any;

use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess};

pub(crate) use any::text;
use any::{Any, Want, pass_over};

/// What it looks like, for those who are told.
pub(crate) const SHAPE: &str = r#"{"events": ["...", "..."]}"#;
/// The member that makes an object a document.
const EVENTS: &str = "events";

/// Takes the elements of `events`, counted from 0.
pub(crate) trait Take<'de> {
    /// What is wrong with an element, which it names: `events[0]: ...`.
    type Fault: From<String>;

    /// What the elements should be.
    fn wanted(&self) -> &'static str;

    /// Takes one. After a fault no more are offered: the rest is read past.
    fn take<D: Deserializer<'de>>(&mut self, index: u64, element: D) -> Result<Result<(), Self::Fault>, D::Error>;
}

/// What was read.
#[derive(Debug, PartialEq)]
pub(crate) struct Document<F> {
    /// How many elements `events` has, or the first fault of it.
    events: Option<Result<u64, F>>,
    other_members: Vec<String>,
    /// What it is, if no object.
    other_kind: Option<&'static str>,
}

impl<F: From<String>> Document<F> {
    /// How many events there are, and the members beside them.
    pub(crate) fn into_count(self) -> Result<(u64, Vec<String>), F> {
        if let Some(kind) = self.other_kind {
            return Err(format!("expected an object {SHAPE}, got {kind}").into());
        }
        let missing = || F::from(format!("the object has no member `events`; expected {SHAPE}"));
        match self.events.ok_or_else(missing)?? {
            0 => Err("events: no events, the array is empty".to_owned().into()),
            count => Ok((count, self.other_members)),
        }
    }
}

/// Reads a value whose elements `taker` takes.
pub(crate) struct Reader<'a, T> {
    pub(crate) taker: &'a mut T,
    /// Set as soon as a member `events` is seen.
    pub(crate) is_document: &'a Cell<bool>,
    /// The element that is being read: after an error, the one that it lies in.
    pub(crate) at: &'a Cell<Option<u64>>,
}

impl<'de, T: Take<'de>> DeserializeSeed<'de> for Reader<'_, T> {
    type Value = Document<T::Fault>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        value.deserialize_any(Any(self))
    }
}

impl<'de, T: Take<'de>> Want<'de> for Reader<'_, T> {
    type Value = Document<T::Fault>;

    fn other(self, kind: &'static str) -> Self::Value {
        Document { events: None, other_members: Vec::new(), other_kind: Some(kind) }
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut document = Document { events: None, other_members: Vec::new(), other_kind: None };
        while let Some(name) = map.next_key::<String>()? {
            if name != EVENTS {
                map.next_value::<IgnoredAny>()?;
                document.other_members.push(name);
                continue;
            }
            self.is_document.set(true);
            document.events = Some(if document.events.is_some() {
                map.next_value::<IgnoredAny>()?;
                Err("`events` is there twice".to_owned().into())
            } else {
                map.next_value_seed(Events { taker: &mut *self.taker, at: self.at })?
            });
        }
        Ok(document)
    }
}

/// The value of `events`.
struct Events<'a, T> {
    taker: &'a mut T,
    at: &'a Cell<Option<u64>>,
}

impl<'de, T: Take<'de>> DeserializeSeed<'de> for Events<'_, T> {
    type Value = Result<u64, T::Fault>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        value.deserialize_any(Any(self))
    }
}

impl<'de, T: Take<'de>> Want<'de> for Events<'_, T> {
    type Value = Result<u64, T::Fault>;

    fn other(self, kind: &'static str) -> Self::Value {
        Err(format!("events: expected an array of {}, got {kind}", self.taker.wanted()).into())
    }

    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        for index in 0.. {
            self.at.set(Some(index));
            let taken = seq.next_element_seed(Element { taker: &mut *self.taker, index })?;
            self.at.set(None);
            match taken {
                Some(Ok(())) => {}
                Some(Err(fault)) => return pass_over(seq).map(|()| Err(fault)),
                None => return Ok(Ok(index)),
            }
        }
        Ok(Ok(u64::MAX))
    }
}

/// One element, on its way to its taker.
struct Element<'a, T> {
    taker: &'a mut T,
    index: u64,
}

impl<'de, T: Take<'de>> DeserializeSeed<'de> for Element<'_, T> {
    type Value = Result<(), T::Fault>;

    fn deserialize<D: Deserializer<'de>>(self, element: D) -> Result<Self::Value, D::Error> {
        self.taker.take(self.index, element)
    }
}
