//! The outer shape of encoded AMQP values: where one ends, and how many fields a performative has.
//! Source: AMQP 1.0 part 1, 1.2 (type encodings).

use super::descriptors::{self, Descriptor, Form};

/// Deeper than any performative of the specification nests.
const MAX_DEPTH: u32 = 16;

/// Why bytes are not one well-formed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShapeError {
    #[error("the value ends before its last byte")]
    Truncated,
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("constructor {0:#04x} is not one of AMQP's")]
    Constructor(u8),
    #[error("a size and a count that contradict each other")]
    Count,
    #[error("an array of what no performative has arrays of, constructor {0:#04x}")]
    Element(u8),
    #[error("{count} fields in a list of type {code:#04x}")]
    Fields { code: u8, count: u32 },
}

/// The length of the value that `bytes` begin with, its whole structure walked: every size within its parent, every
/// count within its size. Nothing is allocated.
///
/// Some values that AMQP allows are refused because the family's decoder loses its place in them: arrays of compounds,
/// of described values, of elements without data, arrays that are empty but have a constructor; and lists of the
/// specification's types with more fields than it gives them.
pub(crate) fn value_len(bytes: &[u8]) -> Result<usize, ShapeError> {
    walk(bytes, 0)
}

fn walk(bytes: &[u8], depth: u32) -> Result<usize, ShapeError> {
    if depth > MAX_DEPTH {
        return Err(ShapeError::TooDeep);
    }
    let (&constructor, rest) = bytes.split_first().ok_or(ShapeError::Truncated)?;
    if constructor == 0x00 {
        let (descriptor, value) = rest.split_at(walk(rest, depth + 1)?);
        let len = walk(value, depth + 1)?;
        check_fields(descriptor, value)?;
        return Ok(1 + descriptor.len() + len);
    }
    Ok(1 + data_len(constructor, rest, depth)?)
}

/// The length of the data behind a primitive constructor.
fn data_len(constructor: u8, data: &[u8], depth: u32) -> Result<usize, ShapeError> {
    let len = match constructor >> 4 {
        0x4 => 0,
        0x5 => 1,
        0x6 => 2,
        0x7 => 4,
        0x8 => 8,
        0x9 => 16,
        0xa => 1 + usize::from(*data.first().ok_or(ShapeError::Truncated)?),
        0xb => size32(data)?.saturating_add(4),
        0xc..=0xf => return compound_len(constructor, data, depth),
        _ => return Err(ShapeError::Constructor(constructor)),
    };
    if data.len() < len { Err(ShapeError::Truncated) } else { Ok(len) }
}

fn compound_len(constructor: u8, data: &[u8], depth: u32) -> Result<usize, ShapeError> {
    let (width, size): (usize, _) = match constructor >> 4 {
        0xc | 0xe => (1, usize::from(*data.first().ok_or(ShapeError::Truncated)?)),
        _ => (4, size32(data)?),
    };
    let body = data.get(width..width.saturating_add(size)).ok_or(ShapeError::Truncated)?;
    let count = match width {
        1 => usize::from(*body.first().ok_or(ShapeError::Count)?),
        _ => size32(body).map_err(|_| ShapeError::Count)?,
    };
    let items = &body[width..];
    match constructor {
        0xe0.. => check_array(items, count)?,
        // A key without a value.
        0xc1 | 0xd1 if count % 2 == 1 => return Err(ShapeError::Count),
        _ => check_items(items, count, depth)?,
    }
    Ok(width + size)
}

fn check_items(mut items: &[u8], count: usize, depth: u32) -> Result<(), ShapeError> {
    for _ in 0..count {
        let len = walk(items, depth + 1)?;
        items = &items[len..];
    }
    if items.is_empty() { Ok(()) } else { Err(ShapeError::Count) }
}

fn check_array(items: &[u8], count: usize) -> Result<(), ShapeError> {
    if count == 0 && items.is_empty() {
        return Ok(());
    }
    let (&constructor, mut rest) = items.split_first().ok_or(ShapeError::Count)?;
    // Elements without data have a count bounded by nothing; compounds and described ones nest.
    if count == 0 || !(0x5..=0xb).contains(&(constructor >> 4)) {
        return Err(ShapeError::Element(constructor));
    }
    for _ in 0..count {
        rest = &rest[data_len(constructor, rest, 0)?..];
    }
    if rest.is_empty() { Ok(()) } else { Err(ShapeError::Count) }
}

fn size32(data: &[u8]) -> Result<usize, ShapeError> {
    let bytes = data.first_chunk::<4>().ok_or(ShapeError::Truncated)?;
    Ok(u32::from_be_bytes(*bytes) as usize)
}

/// The fields of a described list that connections, sessions and links are made of. Sections of messages are the sender's.
fn fields_of(descriptor: &Descriptor) -> Option<u8> {
    match (descriptor.code, descriptor.form) {
        (0x10..=0x29 | 0x40..=0x44, Form::Fields(fields)) => Some(fields.len() as u8),
        _ => None,
    }
}

/// Refuses more fields than the list's type has: the decoder would take the surplus for what comes behind the list.
fn check_fields(descriptor: &[u8], value: &[u8]) -> Result<(), ShapeError> {
    let (Some(descriptor), Some(count)) = (descriptor_of(descriptor), list_len(value)) else { return Ok(()) };
    match fields_of(descriptor) {
        Some(fields) if count > u32::from(fields) => Err(ShapeError::Fields { code: descriptor.code, count }),
        _ => Ok(()),
    }
}

/// The type that a descriptor, in any of its encodings, stands for.
pub(crate) fn descriptor_of(descriptor: &[u8]) -> Option<&'static Descriptor> {
    match descriptor {
        [0x53, code] | [0x80, 0, 0, 0, 0, 0, 0, 0, code] => descriptors::by_code((*code).into()),
        [0xa3, _, symbol @ ..] | [0xb3, _, _, _, _, symbol @ ..] => descriptors::by_symbol(symbol),
        _ => None,
    }
}

/// The count of a list, walked before.
fn list_len(value: &[u8]) -> Option<u32> {
    match value {
        [0x45, ..] => Some(0),
        [0xc0, _, count, ..] => Some(u32::from(*count)),
        [0xd0, _, _, _, _, count @ ..] => count.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
        _ => None,
    }
}

/// Rewrites one encoded performative with every field of it, and of the lists inside it, present: nulls to the last.
/// What is no known described list comes back as it was.
pub(crate) fn full_length(value: &[u8]) -> Vec<u8> {
    let Some((descriptor, count, items)) = described_list(value) else {
        return value.to_vec();
    };
    let Some(full) = descriptors::by_code(descriptor.into()).and_then(fields_of) else {
        return value.to_vec();
    };
    let mut fields = Vec::with_capacity(value.len() + 16);
    let mut rest = items;
    for _ in 0..count {
        let Ok(len) = value_len(rest) else { return value.to_vec() };
        fields.extend_from_slice(&full_length(&rest[..len]));
        rest = &rest[len..];
    }
    fields.resize(fields.len() + usize::from(full.saturating_sub(count)), 0x40);
    list(descriptor, count.max(full), &fields)
}

/// Takes `00 53 <code> <list>` apart: the code, the count of fields, and the fields.
fn described_list(value: &[u8]) -> Option<(u8, u8, &[u8])> {
    let [0x00, 0x53, descriptor, constructor, data @ ..] = value else {
        return None;
    };
    match constructor {
        0x45 => Some((*descriptor, 0, &[])),
        0xc0 => Some((*descriptor, *data.get(1)?, data.get(2..)?)),
        0xd0 => Some((*descriptor, u8::try_from(size32(data.get(4..)?).ok()?).ok()?, data.get(8..)?)),
        _ => None,
    }
}

fn list(descriptor: u8, count: u8, fields: &[u8]) -> Vec<u8> {
    let mut out = vec![0x00, 0x53, descriptor];
    if count == 0 {
        out.push(0x45);
    } else if fields.len() < 255 {
        out.extend_from_slice(&[0xc0, fields.len() as u8 + 1, count]);
    } else {
        out.push(0xd0);
        out.extend_from_slice(&(fields.len() as u32 + 4).to_be_bytes());
        out.extend_from_slice(&u32::from(count).to_be_bytes());
    }
    out.extend_from_slice(fields);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_its_constructor_says() {
        let cases: [(&[u8], Result<usize, ShapeError>); 25] = [
            (&[0x40], Ok(1)),
            (&[0x52, 7, 99], Ok(2)),
            (&[0xa1, 2, b'h', b'i'], Ok(4)),
            (&[0xa1, 2, b'h'], Err(ShapeError::Truncated)),
            (&[0xb0, 0xff, 0xff, 0xff, 0xff], Err(ShapeError::Truncated)),
            (&[0x00, 0x53, 0x24, 0x45], Ok(4)),
            (&[0xc0, 3, 2, 0x40, 0x40], Ok(5)),
            (&[0xc0, 3, 9, 0x40, 0x40], Err(ShapeError::Truncated)),
            (&[0xc0, 3, 1, 0x40, 0x40], Err(ShapeError::Count)),
            (&[0xe0, 4, 2, 0x50, 1, 2], Ok(6)),
            (&[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40], Err(ShapeError::Element(0x40))),
            (&[0xf0, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x50, 1], Err(ShapeError::Truncated)),
            (&[0xe0, 1, 0], Ok(3)),
            (&[0xe0, 1, 1], Err(ShapeError::Count)),
            (&[0xe0, 0], Err(ShapeError::Count)),
            // Empty, yet with a constructor: the decoder would not step over it.
            (&[0xe0, 2, 0, 0xa3], Err(ShapeError::Element(0xa3))),
            // Arrays of maps: the decoder would take each key for a map again, and recurse.
            (&[0xe0, 4, 1, 0xc1, 1, 0], Err(ShapeError::Element(0xc1))),
            (&[0xe0, 5, 1, 0x00, 0x53, 0x24, 0x45], Err(ShapeError::Element(0x00))),
            (&[0xc1, 5, 2, 0xa3, 1, b'k', 0x40], Ok(7)),
            (&[0xc1, 2, 1, 0x40], Err(ShapeError::Count)),
            (&[0xd1, 0, 0, 0, 5, 0, 0, 0, 1, 0x40], Err(ShapeError::Count)),
            // An accepted and a detach with a field too many.
            (&[0x00, 0x53, 0x24, 0xc0, 2, 1, 0x40], Err(ShapeError::Fields { code: 0x24, count: 1 })),
            (&[0x00, 0x53, 0x16, 0xc0, 5, 4, 0x43, 0x40, 0x40, 0x40], Err(ShapeError::Fields { code: 0x16, count: 4 })),
            (&[0x00, 0x53, 0x99, 0xc0, 2, 1, 0x40], Ok(7)),
            (&[0x10], Err(ShapeError::Constructor(0x10))),
        ];
        for (bytes, expected) in cases {
            assert_eq!(value_len(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(value_len(&[0x00; 64]), Err(ShapeError::TooDeep));
    }

    #[test]
    fn a_list_is_known_by_any_form_of_its_descriptor() {
        let names: [&[u8]; 5] = [
            &[0x53, 0x17],
            &[0x80, 0, 0, 0, 0, 0, 0, 0, 0x17],
            b"\xa3\x0damqp:end:list",
            b"\xb3\0\0\0\x0damqp:end:list",
            b"\xa3\x0bcom:x:thing",
        ];
        for (name, refused) in names.into_iter().zip([true, true, true, true, false]) {
            let value = [&[0x00], name, &[0xd0, 0, 0, 0, 6, 0, 0, 0, 2, 0x40, 0x40]].concat();
            assert_eq!(value_len(&value).is_err(), refused, "{name:02x?}");
        }
    }

    #[test]
    fn full_length_writes_every_field() {
        // A detach of two fields, and one whose error has one field of its own.
        assert_eq!(
            full_length(&[0, 0x53, 0x16, 0xc0, 3, 2, 0x43, 0x41]),
            [0, 0x53, 0x16, 0xc0, 4, 3, 0x43, 0x41, 0x40]
        );
        let nested = [0, 0x53, 0x17, 0xc0, 10, 1, 0, 0x53, 0x1d, 0xc0, 4, 1, 0xa3, 1, b'x'];
        let full = [0, 0x53, 0x17, 0xc0, 12, 1, 0, 0x53, 0x1d, 0xc0, 6, 3, 0xa3, 1, b'x', 0x40, 0x40];
        assert_eq!(full_length(&nested), full);
    }

    #[test]
    fn full_length_leaves_what_it_does_not_know() {
        for value in [&[0x40][..], &[0, 0x53, 0x99, 0x45], &[0xa1, 1, b'x']] {
            assert_eq!(full_length(value), value);
        }
    }
}
