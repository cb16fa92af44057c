//! What the client said when it was recorded, laid beside what it says now: the texts and ids that differ, and the server's
//! words with the new ones in place of the old.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::trace::frames::{channel_of, framed};
use crate::trace::performative::Composite;
use crate::wire::descriptors::codes as code;
use crate::wire::value::Value;

/// Differences that are remembered.
const MAX_LEARNT: usize = 4_096;
/// Texts so short are too often the same by chance to be replaced.
const MIN_TEXT_LEN: usize = 3;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// What the client said then, by performative, in order.
    then: BTreeMap<u64, VecDeque<Bytes>>,
    /// Texts, by what they were.
    texts: HashMap<String, String>,
    /// Ids of messages that are no texts, by what they were.
    ids: Vec<(Value, Value)>,
    /// The client's channels.
    channels: BTreeMap<u16, u16>,
    /// The first delivery id of the client's, then and now.
    first_delivery: Option<(u32, u32)>,
}

/// The performative of a frame, and where it ends; `None` for a header and for what cannot be read.
pub(super) fn performative(frame: &Bytes) -> Option<(Composite, usize)> {
    // What a file holds need be no frame.
    let start = usize::from(*frame.get(4)?) * 4;
    if frame.starts_with(b"AMQP") || start < 8 || start >= frame.len() {
        return None;
    }
    let (composite, len) = Composite::decode(&frame.slice(start..)).ok()?;
    Some((composite, start + len))
}

impl Learnt {
    pub(super) fn new<'a>(then: impl Iterator<Item = &'a Bytes>) -> Self {
        let mut learnt = Self::default();
        for frame in then {
            if let Some((composite, _)) = performative(frame) {
                learnt.then.entry(composite.code).or_default().push_back(frame.clone());
            }
        }
        learnt
    }

    /// Lays a frame of the client's beside the one that it stands for.
    pub(super) fn lay_beside(&mut self, now: &Bytes) {
        let Some((composite, _)) = performative(now) else { return };
        let Some(then) = self.then.get_mut(&composite.code).and_then(VecDeque::pop_front) else { return };
        let Some((recorded, _)) = performative(&then) else { return };
        if composite.code == code::BEGIN {
            self.channels.insert(channel_of(&then), channel_of(now));
        }
        if composite.code == code::TRANSFER {
            let ids = recorded.number("delivery-id").zip(composite.number("delivery-id"));
            self.first_delivery = self.first_delivery.or(ids);
        }
        let (start_then, start_now) = (body_start(&then), body_start(now));
        self.compare_all(&then.slice(start_then..), &now.slice(start_now..));
    }

    /// Values, one behind the other, as far as both have them.
    fn compare_all(&mut self, then: &Bytes, now: &Bytes) {
        let (mut then, mut now) = (then.clone(), now.clone());
        while let (Ok((old, old_len)), Ok((new, new_len))) = (Value::decode_prefix(&then), Value::decode_prefix(&now)) {
            self.compare(&old, &new);
            (then, now) = (then.slice(old_len..), now.slice(new_len..));
        }
    }

    fn compare(&mut self, then: &Value, now: &Value) {
        match (then, now) {
            (Value::String(then), Value::String(now)) | (Value::Symbol(then), Value::Symbol(now))
                if then != now && then.len() >= MIN_TEXT_LEN && self.texts.len() < MAX_LEARNT =>
            {
                self.texts.insert(then.clone(), now.clone());
            }
            (Value::List(then), Value::List(now)) => {
                then.iter().zip(now).for_each(|(then, now)| self.compare(then, now));
            }
            (Value::Map(then), Value::Map(now)) => {
                then.iter().zip(now).for_each(|(then, now)| self.compare(&then.1, &now.1));
            }
            (Value::Described(then), Value::Described(now)) if then.0 == now.0 => {
                if then.0 == Value::Ulong(code::PROPERTIES) {
                    self.compare_ids(&then.1, &now.1);
                }
                self.compare(&then.1, &now.1);
            }
            _ => {}
        }
    }

    /// The message id is the first of the properties.
    fn compare_ids(&mut self, then: &Value, now: &Value) {
        if let (Value::List(then), Value::List(now)) = (then, now)
            && let (Some(then), Some(now)) = (then.first(), now.first())
            && then != now
            && self.ids.len() < MAX_LEARNT
        {
            self.ids.push((then.clone(), now.clone()));
        }
    }

    /// A frame of the server's, in words that the client of today knows.
    pub(super) fn put_into(&self, frame: &Bytes) -> Bytes {
        let Some((composite, end)) = performative(frame) else { return frame.clone() };
        let start = body_start(frame);
        let Ok((mut value, _)) = Value::decode_prefix(&frame.slice(start..)) else { return frame.clone() };
        let before = value.clone();
        self.replace(&mut value);
        self.renumber(&composite, &mut value);
        let payload = self.payload(&composite, &frame.slice(end..));
        if value == before && payload.is_none() {
            return frame.clone();
        }
        let mut body = BytesMut::new();
        value.encode(&mut body);
        body.extend_from_slice(payload.as_ref().unwrap_or(&frame.slice(end..)));
        framed(&frame[..start], &body)
    }

    /// The sections of a message, if anything in them is another now.
    fn payload(&self, composite: &Composite, payload: &Bytes) -> Option<Bytes> {
        if composite.code != code::TRANSFER || composite.is("more") {
            return None;
        }
        let (mut rest, mut out, mut is_changed) = (payload.clone(), BytesMut::new(), false);
        while !rest.is_empty() {
            let (mut section, len) = Value::decode_prefix(&rest).ok()?;
            let before = section.clone();
            self.correlate(&mut section);
            self.replace(&mut section);
            if section == before {
                out.extend_from_slice(&rest[..len]);
            } else {
                section.encode(&mut out);
                is_changed = true;
            }
            rest = rest.slice(len..);
        }
        is_changed.then(|| out.freeze())
    }

    /// The correlation id of an answer is the message id of its question.
    fn correlate(&self, section: &mut Value) {
        if let Value::Described(parts) = section
            && parts.0 == Value::Ulong(code::PROPERTIES)
            && let Value::List(fields) = &mut parts.1
            && let Some(id) = fields.get_mut(CORRELATION_ID)
            && let Some((_, now)) = self.ids.iter().find(|(then, _)| then == id)
        {
            *id = now.clone();
        }
    }

    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) | Value::Symbol(text) => {
                if let Some(now) = self.texts.get(text) {
                    text.clone_from(now);
                }
            }
            Value::List(values) => values.iter_mut().for_each(|value| self.replace(value)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| self.replace(value)),
            Value::Described(parts) => self.replace(&mut parts.1),
            _ => {}
        }
    }

    /// Numbers that are the client's: its channels in begins, its deliveries in dispositions.
    fn renumber(&self, composite: &Composite, value: &mut Value) {
        let Value::Described(parts) = value else { return };
        let Value::List(fields) = &mut parts.1 else { return };
        match (composite.code, fields.as_mut_slice()) {
            (code::BEGIN, [Value::Ushort(channel), ..]) => {
                *channel = self.channels.get(channel).copied().unwrap_or(*channel);
            }
            (code::DISPOSITION, [_, numbers @ ..]) if composite.is("role") => {
                let (then, now) = self.first_delivery.unwrap_or_default();
                for number in numbers.iter_mut().take(2) {
                    if let Value::Uint(number) = number {
                        *number = number.wrapping_sub(then).wrapping_add(now);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Its place in the properties. Source: AMQP 1.0 part 3, 3.2.4.
const CORRELATION_ID: usize = 5;

fn body_start(frame: &[u8]) -> usize {
    usize::from(frame[4]) * 4
}
