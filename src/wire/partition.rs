//! Which partition a partition key is likely to land in.

/// The partition, from 0, that `key` falls to among `partition_count` partitions.
///
/// Jenkins lookup3 over the key's UTF-8 bytes, both seeds 0; the low 16 bits of `c ^ b` read as a
/// signed number `h`; then the magnitude of the truncating remainder `h % partition_count`.
///
/// This is what the buffered producers of the JavaScript and .NET SDKs compute on their side. The Python SDK does otherwise: it hashes code points and floors the remainder, so that a
/// key with a negative hash or a non-ASCII character lands elsewhere there. **That the service
/// itself hashes this way is not verified.** To keep events of one key together, set the key and
/// let the hub choose; use this function to simulate a hub, or to foresee its choice roughly.
///
/// A `partition_count` of 0 names no hub; the answer is 0.
///
/// ```
/// use hubwire::wire::partition::partition_for_key;
///
/// assert_eq!(partition_for_key("device-42", 32), 12);
/// ```
#[must_use]
pub fn partition_for_key(key: &str, partition_count: u32) -> u32 {
    // The magnitude of a truncating remainder is the remainder of the magnitude.
    u32::from(hash16(key.as_bytes()).unsigned_abs()).checked_rem(partition_count).unwrap_or(0)
}

/// The halves of lookup3 folded into 16 bits. The casts drop high bits on purpose.
fn hash16(bytes: &[u8]) -> i16 {
    let (c, b) = lookup3(bytes);
    (c ^ b) as i16
}

/// Bob Jenkins' `hashlittle2` with both seeds 0, read as little-endian on every machine.
/// Source: <https://burtleburtle.net/bob/c/lookup3.c>
fn lookup3(bytes: &[u8]) -> (u32, u32) {
    // Wraps above 4 GiB, as the SDKs' 32-bit length does.
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32);
    let mut state = [start; 3];
    let mut rest = bytes;
    // The last block, even a full one, goes through `finish`, so it is not taken here.
    while rest.len() > 12 {
        let (block, after) = rest.split_at(12);
        add(&mut state, block);
        mix(&mut state);
        rest = after;
    }
    if !rest.is_empty() {
        add(&mut state, rest);
        finish(&mut state);
    }
    (state[2], state[1])
}

/// Adds up to twelve bytes to the three words; missing bytes count as 0.
fn add(state: &mut [u32; 3], block: &[u8]) {
    for (word, bytes) in state.iter_mut().zip(block.chunks(4)) {
        let mut padded = [0; 4];
        padded[..bytes.len()].copy_from_slice(bytes);
        *word = word.wrapping_add(u32::from_le_bytes(padded));
    }
}

fn mix(state: &mut [u32; 3]) {
    for (step, turn) in [4, 6, 8, 16, 19, 4].into_iter().enumerate() {
        let (x, y, z) = (step % 3, (step + 1) % 3, (step + 2) % 3);
        state[x] = state[x].wrapping_sub(state[z]) ^ state[z].rotate_left(turn);
        state[z] = state[z].wrapping_add(state[y]);
    }
}

fn finish(state: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *state;
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    *state = [a, b, c];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup3_answers_its_authors_own_examples() {
        // From driver5 of lookup3.c: (c, b).
        assert_eq!(lookup3(b""), (0xdead_beef, 0xdead_beef));
        let text = b"Four score and seven years ago";
        assert_eq!(lookup3(text), (0x1777_0551, 0xce72_26e6));
    }

    #[test]
    fn hashes_fold_as_the_sdks_fold_them() {
        for (key, hash) in [("", 0), ("pk1", 13_741), ("a", -16_220), ("hüb", 2_888)] {
            assert_eq!(hash16(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn no_partition_count_panics() {
        for partition_count in [0, 1, 2, 32, 32_768, u32::MAX] {
            let partition = partition_for_key("a", partition_count);
            assert!(partition < partition_count.max(1), "{partition_count}");
        }
    }
}
