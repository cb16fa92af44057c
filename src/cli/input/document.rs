//! The form `{"events": ["...", "..."]}`: telling it from lines, and reading all of it.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};

use serde::de::{DeserializeSeed, Deserializer};

use crate::cli::args::send::Format;
use crate::cli::failure::Failure;
use crate::document::{self, Reader, Take};

/// Bytes of a document. Lines have no such limit.
const MAX_LEN: usize = 256 << 20;
const READ_LEN: usize = 64 * 1024;

/// What an input turned out to be.
pub(super) enum Detected {
    Document(Document),
    /// Lines, from the first byte on.
    Lines(Box<dyn Read>),
}

/// A parsed document.
pub(super) struct Document {
    read: document::Document<String>,
    events: Vec<String>,
}

impl Document {
    /// The bodies, and what is odd.
    pub(super) fn into_events(self) -> Result<(Vec<String>, Vec<String>), Failure> {
        let (_, other_members) = self.read.into_count().map_err(Failure::input)?;
        let ignored = |name| format!("member `{name}` beside `events` is ignored");
        Ok((self.events, other_members.into_iter().map(ignored).collect()))
    }
}

/// Finds out what `input` is, reading no further than it takes.
///
/// [`Format::Auto`]: an input that begins with an object that has a member `events` is a document, and has to be a
/// right one to its end. Anything else is lines, be it JSON or not.
pub(super) fn detect(input: Box<dyn Read + Send>, format: Format) -> Result<Detected, Failure> {
    if matches!(format, Format::Lines | Format::Jsonl) {
        return Ok(Detected::Lines(input));
    }
    let is_document = Cell::new(format == Format::Json);
    let mut tee =
        Tee { inner: BufReader::with_capacity(READ_LEN, input), seen: Vec::new(), len: 0, stop: &is_document };
    if !is_document.get() && first_byte(&mut tee)? != Some(b'{') {
        return Ok(tee.into_lines());
    }
    let begun = std::mem::take(&mut tee.seen);
    let parsed = parse(Cursor::new(&begun).chain(&mut tee), &is_document);
    tee.seen.splice(..0, begun);
    match parsed {
        Err(error) if error.is_io() => Err(Failure::input(format!("cannot read the input: {error}"))),
        _ if !is_document.get() => Ok(tee.into_lines()),
        Ok(document) => Ok(Detected::Document(document)),
        Err(error) if error.is_eof() && tee.len == 0 => Err(Failure::input("no events: the input is empty")),
        Err(error) => Err(not_a_document(&error, format)),
    }
}

fn not_a_document(error: &serde_json::Error, format: Format) -> Failure {
    let advice = match format {
        Format::Auto => "; to send each line as it stands, use --format lines",
        _ => "",
    };
    Failure::input(format!("the input is not one JSON object with `events`: {error}{advice}"))
}

/// The first byte that is no blank, as JSON has blanks.
fn first_byte(tee: &mut impl Read) -> Result<Option<u8>, Failure> {
    let mut byte = [0];
    loop {
        match tee.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if matches!(byte[0], b' ' | b'\t' | b'\r' | b'\n') => {}
            Ok(_) => return Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::input(format!("cannot read the input: {error}"))),
        }
    }
}

/// Reads an object. Unless it is known to be a document by then, nothing behind it is read.
fn parse(input: impl Read, is_document: &Cell<bool>) -> serde_json::Result<Document> {
    let mut json = serde_json::Deserializer::from_reader(input);
    let mut texts = Texts::default();
    let reader = Reader { taker: &mut texts, is_document, at: &Cell::default() };
    let read = reader.deserialize(&mut json)?;
    if is_document.get() {
        json.end()?;
    }
    Ok(Document { read, events: texts.0 })
}

/// Remembers what it reads, for as long as it may have to be read again.
struct Tee<'a, R> {
    inner: R,
    seen: Vec<u8>,
    len: usize,
    /// Set once nothing has to be remembered any more.
    stop: &'a Cell<bool>,
}

impl<R: Read + 'static> Tee<'_, R> {
    fn into_lines(self) -> Detected {
        Detected::Lines(Box::new(Cursor::new(self.seen).chain(self.inner)))
    }
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.len >= MAX_LEN {
            let text = "the JSON object does not end within 256 MiB; use --format lines or jsonl, which are sent as \
                        they are read";
            return Err(io::Error::other(text));
        }
        let len = self.inner.read(buf)?;
        self.len += len;
        if !self.stop.get() {
            self.seen.extend_from_slice(&buf[..len]);
        }
        Ok(len)
    }
}

/// Takes each text as it is.
#[derive(Default)]
struct Texts(Vec<String>);

impl<'de> Take<'de> for Texts {
    type Fault = String;

    fn wanted(&self) -> &'static str {
        "strings"
    }

    fn take<D: Deserializer<'de>>(&mut self, index: u64, element: D) -> Result<Result<(), String>, D::Error> {
        let taken = document::text(element, |text| self.0.push(text.to_owned()))?;
        Ok(taken.map_err(|kind| format!("events[{index}]: expected a string, got {kind}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events or the fault of a document; `Err` with the text for lines.
    fn detected(text: &str, format: Format) -> Result<Result<Vec<String>, String>, String> {
        match detect(Box::new(Cursor::new(text.to_owned().into_bytes())), format) {
            Err(failure) => Ok(Err(failure.message)),
            Ok(Detected::Document(document)) => {
                Ok(document.into_events().map(|(events, _)| events).map_err(|failure| failure.message))
            }
            Ok(Detected::Lines(mut reader)) => {
                let mut read = String::new();
                reader.read_to_string(&mut read).unwrap();
                Err(read)
            }
        }
    }

    #[test]
    fn an_object_with_events_is_a_document() {
        for text in [
            r#"{"events":["a","b"]}"#,
            " \r\n\t{ \"events\" : [ \"a\" ,\n \"b\" ] } \n",
            r#"{"other":{"events":[1]},"events":["a","\u0062"]}"#,
        ] {
            for format in [Format::Auto, Format::Json] {
                assert_eq!(detected(text, format), Ok(Ok(vec!["a".to_owned(), "b".to_owned()])), "{text}");
            }
        }
    }

    #[test]
    fn anything_else_is_lines_from_the_first_byte_on() {
        for text in [
            "",
            "  ",
            "first event\nsecond event\n",
            r#"["events"]"#,
            r#""events""#,
            "{",
            "{not json}\n{",
            "{}",
            r#"{"temperature":21}"#,
            "\n {\"a\":{\"events\":[]}}\n{\"b\":2}\n",
            r#"{"a":"\ud800"}"#,
        ] {
            assert_eq!(detected(text, Format::Auto), Err(text.to_owned()));
        }
        let document = r#"{"events":["a"]}"#;
        assert_eq!(detected(document, Format::Lines), Err(document.to_owned()));
    }

    #[test]
    fn once_events_is_seen_the_rest_has_to_be_right() {
        let advice = "; to send each line as it stands, use --format lines";
        let not_one = "the input is not one JSON object with `events`: ";
        for (text, message) in [
            (r#"{"events":"hello"}"#, "events: expected an array of strings, got a string".to_owned()),
            (r#"{"events":null}"#, "events: expected an array of strings, got null".to_owned()),
            (r#"{"events":{"a":1}}"#, "events: expected an array of strings, got an object".to_owned()),
            (r#"{"events":5}"#, "events: expected an array of strings, got a number".to_owned()),
            (r#"{"events":[]}"#, "events: no events, the array is empty".to_owned()),
            (r#"{"events":["a",42,null]}"#, "events[1]: expected a string, got a number".to_owned()),
            (r#"{"events":["a",["b"]]}"#, "events[1]: expected a string, got an array".to_owned()),
            (r#"{"events":[{"k":"v"}]}"#, "events[0]: expected a string, got an object".to_owned()),
            (r#"{"events":[-1.5]}"#, "events[0]: expected a string, got a number".to_owned()),
            (r#"{"events":[true]}"#, "events[0]: expected a string, got a boolean".to_owned()),
            (r#"{"events":["a"],"events":["b"]}"#, "`events` is there twice".to_owned()),
            ("{\"events\":[\"a\"]}\n{}", format!("{not_one}trailing characters at line 2 column 1{advice}")),
            (r#"{"events":["a",]}"#, format!("{not_one}trailing comma at line 1 column 16{advice}")),
            (r#"{"events":["\ud800"]}"#, format!("{not_one}unexpected end of hex escape at line 1 column 19{advice}")),
        ] {
            assert_eq!(detected(text, Format::Auto), Ok(Err(message)), "{text}");
        }
    }

    #[test]
    fn json_asked_for_is_json_or_nothing() {
        let shape = r#"{"events": ["...", "..."]}"#;
        for (text, message) in [
            ("", "no events: the input is empty".to_owned()),
            ("{}", format!("the object has no member `events`; expected {shape}")),
            ("null", format!("expected an object {shape}, got null")),
            ("[\"a\"]", format!("expected an object {shape}, got an array")),
            ("\"a\"", format!("expected an object {shape}, got a string")),
            ("7", format!("expected an object {shape}, got a number")),
        ] {
            assert_eq!(detected(text, Format::Json), Ok(Err(message)), "{text}");
        }
    }

    #[test]
    fn a_stream_of_objects_is_known_for_lines_before_it_goes_on() {
        struct OneLineThenPanic(bool);
        impl Read for OneLineThenPanic {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                assert!(!std::mem::replace(&mut self.0, true), "read on");
                let line = b"{\"a\":1}\n";
                buf[..line.len()].copy_from_slice(line);
                Ok(line.len())
            }
        }
        assert!(matches!(detect(Box::new(OneLineThenPanic(false)), Format::Auto), Ok(Detected::Lines(_))));
    }
}
