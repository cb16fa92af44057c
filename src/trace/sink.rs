//! A form, and where it is written to.

use std::fmt;
use std::io::{self, Write};

use super::dialogue::Record;
use super::json;
use super::pcapng::{self, Capture};
use super::summary::Summary;
use super::text::{self, Colour};

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// A line for each frame, for people; and a summary of each connection at its end.
    Text,
    /// The same with colours, for a terminal.
    ColouredText,
    /// An object for each frame, in a line of its own, with every field; and one for each connection at its end.
    Json,
    /// A capture that Wireshark opens, without keys: the frames as TCP over IPv4, on port 5672. Holds the events.
    Pcapng,
    /// The frames as they stand on the wire, for `hubwire replay`: objects in lines, as in [`Json`](Self::Json), with bytes
    /// in place of fields. Holds the events.
    Recording,
}

impl Form {
    /// Whether the bytes of frames stand in it, events and all.
    pub(super) fn has_bytes(self) -> bool {
        matches!(self, Self::Pcapng | Self::Recording)
    }
}

/// Whether the bytes of each frame stand below its line, or beside its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Bytes {
    #[default]
    Hidden,
    Hex,
}

/// A form, and where it goes.
pub(super) struct Sink {
    renderer: Renderer,
    writer: Box<dyn Write + Send>,
    /// Something has been written.
    has_begun: bool,
    left_out: LeftOut,
    /// Nothing is written any more.
    is_over: bool,
}

/// Records that found no room: frames, and what is told of connections.
#[derive(Debug, Default)]
struct LeftOut {
    /// Since the last that did, which is not told yet.
    untold: u64,
    all: u64,
}

enum Renderer {
    Text(Colour, Bytes),
    Json(Bytes),
    Recording,
    Pcapng(Capture),
}

impl Sink {
    pub(super) fn new(form: Form, bytes: Bytes, capture: Capture, writer: Box<dyn Write + Send>) -> Self {
        let renderer = match form {
            Form::Text => Renderer::Text(Colour::None, bytes),
            Form::ColouredText => Renderer::Text(Colour::Ansi, bytes),
            Form::Json => Renderer::Json(bytes),
            Form::Recording => Renderer::Recording,
            Form::Pcapng => Renderer::Pcapng(capture),
        };
        Self { renderer, writer, has_begun: false, left_out: LeftOut::default(), is_over: false }
    }

    /// A connection goes by a name.
    pub(super) fn began(&mut self, connection: u64, name: &str) {
        self.write(|renderer| match renderer {
            Renderer::Text(colour, _) => text::began(connection, name, *colour).into_bytes(),
            Renderer::Json(_) | Renderer::Recording => json::began(connection, name).into_bytes(),
            Renderer::Pcapng(_) => Vec::new(),
        });
    }

    pub(super) fn frame(&mut self, record: &Record) {
        self.write(|renderer| match renderer {
            Renderer::Text(colour, bytes) => {
                let mut text = text::line(record, *colour);
                if *bytes == Bytes::Hex {
                    text += &text::hex(record);
                }
                text.into_bytes()
            }
            Renderer::Json(bytes) => json::line(record, *bytes).into_bytes(),
            Renderer::Recording => json::recorded(record).into_bytes(),
            Renderer::Pcapng(capture) => capture.frame(record),
        });
    }

    pub(super) fn ended(&mut self, connection: u64, summary: &Summary, why: &str) {
        self.write(|renderer| match renderer {
            Renderer::Text(colour, _) => text::summary(connection, summary, why, *colour).into_bytes(),
            Renderer::Json(_) | Renderer::Recording => json::summary(connection, summary, why).into_bytes(),
            Renderer::Pcapng(capture) => capture.end(connection, summary.ended),
        });
    }

    /// Nothing comes any more: tells of what was left out, as no record behind it does.
    pub(super) fn finish(&mut self) {
        if self.left_out.untold > 0 && !self.is_over {
            self.put(&[]);
        }
    }

    /// How many records are missing in what was written.
    #[cfg(feature = "cli")]
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.all
    }

    /// Writes what is made of a record; nothing is made of it where nothing is written any more.
    fn write(&mut self, render: impl FnOnce(&mut Renderer) -> Vec<u8>) {
        if self.is_over {
            return;
        }
        let piece = render(&mut self.renderer);
        // Some forms have no words for some records; their files begin all the same.
        let is_nothing = piece.is_empty() && self.has_begun;
        if !is_nothing && !self.put(&piece) {
            self.left_out.untold += 1;
            self.left_out.all += 1;
        }
    }

    /// Whether there was room for `piece` and what goes before it. A writer that has none for now says
    /// [`WouldBlock`](io::ErrorKind::WouldBlock); any other error is the end of it.
    fn put(&mut self, piece: &[u8]) -> bool {
        let before = [self.preamble(), self.gap()].concat();
        let written = match before.is_empty() {
            true => self.writer.write_all(piece),
            false => self.writer.write_all(&[&before[..], piece].concat()),
        };
        match written.and_then(|()| self.writer.flush()) {
            Ok(()) => (self.has_begun, self.left_out.untold) = (true, 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => self.is_over = true,
        }
        true
    }

    /// What a file begins with.
    fn preamble(&self) -> Vec<u8> {
        match self.renderer {
            Renderer::Pcapng(_) if !self.has_begun => pcapng::preamble(),
            _ => Vec::new(),
        }
    }

    fn gap(&self) -> Vec<u8> {
        match (self.left_out.untold, &self.renderer) {
            // Of a capture sequence numbers tell.
            (0, _) | (_, Renderer::Pcapng(_)) => Vec::new(),
            (records, Renderer::Text(..)) => text::gap(records).into_bytes(),
            (records, Renderer::Json(_) | Renderer::Recording) => json::gap(records).into_bytes(),
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("left_out", &self.left_out.all)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Has room when it is told so.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<(bool, Vec<u8>)>>);

    impl Page {
        fn has_room(&self, has_room: bool) {
            self.0.lock().unwrap().0 = has_room;
        }

        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap().1).into_owned()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut page = self.0.lock().unwrap();
            if !page.0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            page.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sink(form: Form) -> (Sink, Page) {
        let page = Page::default();
        (Sink::new(form, Bytes::Hidden, Capture::new(UNIX_EPOCH), Box::new(page.clone())), page)
    }

    #[test]
    fn what_found_no_room_is_told_whatever_it_was() {
        let summary = Summary::new(Duration::ZERO);
        for (form, words) in [(Form::Text, "3 records were left out"), (Form::Json, r#"{"type":"gap","frames":3}"#)] {
            let (mut sink, page) = sink(form);
            sink.began(1, "client 1");
            sink.ended(1, &summary, "closed");
            sink.began(2, "client 2");
            page.has_room(true);
            sink.began(3, "client 3");
            assert_eq!((page.text().matches(words).count(), sink.left_out.all), (1, 3), "{}", page.text());
            sink.finish();
            assert_eq!(page.text().matches("left out").count() + page.text().matches("gap").count(), 1);
        }
    }

    #[test]
    fn what_was_left_out_at_the_end_is_told_at_the_end() {
        let (mut sink, page) = sink(Form::Text);
        page.has_room(true);
        sink.began(1, "client 1");
        page.has_room(false);
        sink.ended(1, &Summary::new(Duration::ZERO), "closed");
        page.has_room(true);
        sink.finish();
        assert!(page.text().ends_with("1 record was left out: the trace is read more slowly than it is written\n"));
    }

    #[test]
    fn a_capture_whose_first_packets_found_no_room_is_one_all_the_same() {
        let (mut sink, page) = sink(Form::Pcapng);
        sink.ended(1, &Summary::new(Duration::ZERO), "closed");
        page.has_room(true);
        for number in 2..4 {
            sink.ended(number, &Summary::new(Duration::ZERO), "closed");
        }
        assert_eq!(page.0.lock().unwrap().1, pcapng::preamble());
    }
}
