//! The marks that some editors and shells put before a text.

use std::io::{self, Cursor, Read};

const UTF_8: &[u8] = b"\xef\xbb\xbf";
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// `reader` without a byte order mark of UTF-8; an error for one of UTF-16. Reads no byte more than it takes to know.
pub(super) fn skip(mut reader: impl Read) -> io::Result<impl Read> {
    let mut begun = Vec::new();
    while begun.len() < UTF_8.len() && marks().any(|mark| mark.starts_with(&begun)) {
        let mut byte = [0];
        match reader.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => begun.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if UTF_16.contains(&begun.as_slice()) {
            let text = "the input is UTF-16; save it as UTF-8";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    }
    if begun == UTF_8 {
        begun.clear();
    }
    Ok(Cursor::new(begun).chain(reader))
}

fn marks() -> impl Iterator<Item = &'static [u8]> {
    UTF_16.into_iter().chain([UTF_8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_mark_at_the_start_is_skipped() {
        for (input, left) in [
            (&b"\xef\xbb\xbfa\xef\xbb\xbf"[..], &b"a\xef\xbb\xbf"[..]),
            (b"\xef\xbb\xbf", b""),
            (b"\xef\xbb", b"\xef\xbb"),
            (b"\xef\xbba", b"\xef\xbba"),
            (b"\xff", b"\xff"),
            (b"\xffa", b"\xffa"),
            (b"", b""),
            (b"abcd", b"abcd"),
        ] {
            let mut read = Vec::new();
            skip(input).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, left, "{input:?}");
        }
        assert!(skip(&b"\xfe\xffa"[..]).is_err() && skip(&b"\xff\xfea"[..]).is_err());
    }
}
