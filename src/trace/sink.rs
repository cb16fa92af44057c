//! A form, and where it is written to.

use std::fmt;
use std::io::{self, Write};

use super::dialogue::Record;
use super::json;
use super::pcapng::Capture;
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
    /// Frames that found no room, since the last that did.
    left_out: u64,
    /// Nothing is written any more.
    is_over: bool,
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
        Self { renderer, writer, left_out: 0, is_over: false }
    }

    /// A connection goes by a name.
    pub(super) fn began(&mut self, connection: u64, name: &str) {
        let piece = match &self.renderer {
            Renderer::Text(colour, _) => text::began(connection, name, *colour),
            Renderer::Json(_) | Renderer::Recording => json::began(connection, name),
            Renderer::Pcapng(_) => return,
        };
        self.write(piece.into_bytes(), 0);
    }

    pub(super) fn frame(&mut self, record: &Record) {
        let piece = match &mut self.renderer {
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
        };
        self.write(piece, 1);
    }

    pub(super) fn ended(&mut self, connection: u64, summary: &Summary, why: &str) {
        let piece = match &mut self.renderer {
            Renderer::Text(colour, _) => text::summary(connection, summary, why, *colour).into_bytes(),
            Renderer::Json(_) | Renderer::Recording => json::summary(connection, summary, why).into_bytes(),
            Renderer::Pcapng(capture) => capture.end(connection, summary.ended),
        };
        self.write(piece, 0);
    }

    /// A writer that has no room for now says [`WouldBlock`](io::ErrorKind::WouldBlock); any other error is the end of it.
    fn write(&mut self, mut piece: Vec<u8>, frames: u64) {
        if self.is_over {
            return;
        }
        if self.left_out > 0 {
            piece = [self.gap(), piece].concat();
        }
        match self.writer.write_all(&piece).and_then(|()| self.writer.flush()) {
            Ok(()) => self.left_out = 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.left_out += frames,
            Err(_) => self.is_over = true,
        }
    }

    fn gap(&self) -> Vec<u8> {
        match self.renderer {
            Renderer::Text(..) => text::gap(self.left_out).into_bytes(),
            Renderer::Json(_) | Renderer::Recording => json::gap(self.left_out).into_bytes(),
            // Sequence numbers tell.
            Renderer::Pcapng(_) => Vec::new(),
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("left_out", &self.left_out).field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
