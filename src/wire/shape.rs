//! The outer shape of encoded AMQP values: where one ends, and how many fields a performative has.
//! Source: AMQP 1.0 part 1, 1.2 (type encodings).

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
}

/// The length of the value that `bytes` begin with, its whole structure walked: every size within its parent, every
/// count within its size. Nothing is allocated.
pub(crate) fn value_len(bytes: &[u8]) -> Result<usize, ShapeError> {
    walk(bytes, 0)
}

fn walk(bytes: &[u8], depth: u32) -> Result<usize, ShapeError> {
    if depth > MAX_DEPTH {
        return Err(ShapeError::TooDeep);
    }
    let (&constructor, rest) = bytes.split_first().ok_or(ShapeError::Truncated)?;
    if constructor == 0x00 {
        let descriptor = walk(rest, depth + 1)?;
        let value = walk(&rest[descriptor..], depth + 1)?;
        return Ok(1 + descriptor + value);
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
        0xb => 4 + size32(data)?,
        0xc..=0xf => return compound_len(constructor, data, depth),
        _ => return Err(ShapeError::Constructor(constructor)),
    };
    if data.len() < len { Err(ShapeError::Truncated) } else { Ok(len) }
}

fn compound_len(constructor: u8, data: &[u8], depth: u32) -> Result<usize, ShapeError> {
    let (width, size) = match constructor >> 4 {
        0xc | 0xe => (1, usize::from(*data.first().ok_or(ShapeError::Truncated)?)),
        _ => (4, size32(data)?),
    };
    let body = data.get(width..width + size).ok_or(ShapeError::Truncated)?;
    let count = match width {
        1 => usize::from(*body.first().ok_or(ShapeError::Count)?),
        _ => size32(body).map_err(|_| ShapeError::Count)?,
    };
    let items = &body[width..];
    if constructor >> 4 >= 0xe {
        check_array(items, count, depth)?
    } else {
        check_items(items, count, depth)?
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

fn check_array(items: &[u8], count: usize, depth: u32) -> Result<(), ShapeError> {
    if count == 0 && items.is_empty() {
        return Ok(());
    }
    let (&constructor, mut rest) = items.split_first().ok_or(ShapeError::Count)?;
    if constructor >> 4 == 0x4 {
        // Elements without data: a count bounded by nothing, and of no use in a performative.
        return if rest.is_empty() && count <= 1 { Ok(()) } else { Err(ShapeError::Count) };
    }
    let mut element = constructor;
    if constructor == 0x00 {
        let descriptor = walk(rest, depth + 1)?;
        let (&of_value, behind) = rest[descriptor..].split_first().ok_or(ShapeError::Truncated)?;
        (element, rest) = (of_value, behind);
    }
    for _ in 0..count {
        let len = data_len(element, rest, depth + 1)?;
        if len == 0 {
            return Err(ShapeError::Count);
        }
        rest = &rest[len..];
    }
    if rest.is_empty() { Ok(()) } else { Err(ShapeError::Count) }
}

fn size32(data: &[u8]) -> Result<usize, ShapeError> {
    let bytes = data.first_chunk::<4>().ok_or(ShapeError::Truncated)?;
    Ok(u32::from_be_bytes(*bytes) as usize)
}

/// How many fields a described list of the specification has.
fn field_count(descriptor: u8) -> Option<u8> {
    Some(match descriptor {
        0x10 => 10,              // open
        0x11 => 8,               // begin
        0x12 => 14,              // attach
        0x13 | 0x14 => 11,       // flow, transfer
        0x15 => 6,               // disposition
        0x16 | 0x1d => 3,        // detach, error
        0x17 | 0x18 | 0x25 => 1, // end, close, rejected
        0x28 => 11,              // source
        0x29 => 7,               // target
        0x24 | 0x26 => 0,        // accepted, released
        _ => return None,
    })
}

/// Rewrites one encoded performative with every field of it, and of the lists inside it, present: nulls to the last.
/// What is no known described list comes back as it was.
pub(crate) fn full_length(value: &[u8]) -> Vec<u8> {
    let Some((descriptor, count, items)) = described_list(value) else {
        return value.to_vec();
    };
    let Some(full) = field_count(descriptor) else {
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
        let cases: [(&[u8], Result<usize, ShapeError>); 12] = [
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
            (&[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40], Err(ShapeError::Count)),
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
