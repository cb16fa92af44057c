//! Where events come from: arguments, a document that is read whole, or lines that are read as they are sent.
//!
//! A thread reads, since reading may block for as long as it likes and the connection must go on meanwhile. What it
//! has read waits in a short queue: memory is bounded, and a slow hub slows the reading.

mod bom;
mod document;
mod item;
mod jsonl;
mod lines;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

pub(super) use item::{Item, Template, Unit};

use super::args::send::{Format, SendArgs};
use super::failure::Failure;
use super::output;
use super::shown;
use document::Detected;

/// Pieces of the input that wait to be sent; each is a piece of [`lines::CHUNK_LEN`] bytes, or one longer line.
const QUEUE_LEN: usize = 4;

/// What the reading thread tells.
#[derive(Debug)]
enum Message {
    /// A whole document, and what is odd in it.
    Whole(Vec<Item>, Vec<String>),
    /// Some lines; there may be more.
    Lines(Vec<Item>),
    /// The input cannot be read on.
    Failed(Failure),
}

/// The events to send.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) content: Content,
    /// What an event is called.
    pub(super) unit: Unit,
}

#[derive(Debug)]
pub(super) enum Content {
    /// All of them, checked.
    Whole(Vec<Item>),
    /// The first of them, and where the others come from.
    Stream(Stream),
}

/// Lines, as they are read.
#[derive(Debug)]
pub(super) struct Stream {
    first: Vec<Item>,
    rest: mpsc::Receiver<Message>,
    /// Events that the thread has read, handed on or not.
    read_count: Arc<AtomicU64>,
    /// Of these, those that [`next`](Self::next) has given away.
    taken_count: u64,
}

impl Stream {
    /// How many events are read already that nobody has taken.
    pub(super) fn waiting_count(&self) -> u64 {
        self.read_count.load(Ordering::Acquire) - self.taken_count
    }

    /// The next events; `None` at the end.
    ///
    /// Cancel: none is lost.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<Item>, Failure>> {
        let items = if self.first.is_empty() {
            match self.rest.recv().await? {
                Message::Whole(items, _) | Message::Lines(items) => items,
                Message::Failed(failure) => return Some(Err(failure)),
            }
        } else {
            std::mem::take(&mut self.first)
        };
        self.taken_count += items.len() as u64;
        Some(Ok(items))
    }
}

/// Reads as far as it takes to know that there is an event: a whole document, or the first lines.
///
/// Cancel: the reading thread ends with its next line.
pub(super) async fn open(args: &SendArgs) -> Result<Input, Failure> {
    let template = Template::new(args)?;
    if !args.events.is_empty() {
        return of_arguments(args, &template);
    }
    let reader = source(&args.input, args.quiet)?;
    let (sender, mut messages) = mpsc::channel(QUEUE_LEN);
    let (format, keep_empty, read_count) = (args.format, args.keep_empty, Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&read_count);
    let read = move || {
        let lines = lines::Lines { template: &template, keep_empty, is_json: format == Format::Jsonl, count: &count };
        if let Err(failure) = read(reader, format, &lines, &sender) {
            // Nobody to tell means that nobody sends any more.
            let _ = sender.blocking_send(Message::Failed(failure));
        }
    };
    let started = thread::Builder::new().name("input".to_owned()).spawn(read);
    started.map_err(|error| Failure::input(format!("cannot start reading: {error}")))?;
    match messages.recv().await {
        None => Err(Failure::input("no events: the input is empty")),
        Some(Message::Failed(failure)) => Err(failure),
        Some(Message::Whole(items, warnings)) => {
            warnings.iter().filter(|_| !args.quiet).for_each(output::warn);
            Ok(Input { content: Content::Whole(items), unit: Unit::Element })
        }
        Some(Message::Lines(first)) => Ok(Input {
            content: Content::Stream(Stream { first, rest: messages, read_count, taken_count: 0 }),
            unit: Unit::Line,
        }),
    }
}

fn of_arguments(args: &SendArgs, template: &Template) -> Result<Input, Failure> {
    let bodies = args.events.iter().map(|event| Bytes::copy_from_slice(event.as_encoded_bytes()));
    let items = bodies.zip(1..).map(|(body, number)| template.item(number, body)).collect();
    Ok(Input { content: Content::Whole(items), unit: Unit::Argument })
}

fn source(path: &Path, quiet: bool) -> Result<Box<dyn Read + Send>, Failure> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() && !quiet {
            output::note("reading events from the terminal, one a line; Ctrl-D ends, Ctrl-C gives up");
        }
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|error| {
        Failure::input(format!("cannot read events from {}: {error}; {}", shown(path), advice(path)))
    })?;
    // It opens, and only reading it would fail.
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let text =
            format!("cannot read events from {}: it is a directory; name a file, or leave out --input", shown(path));
        return Err(Failure::input(text));
    }
    Ok(Box::new(file))
}

fn advice(path: &Path) -> &'static str {
    if path.exists() { "check its permissions" } else { "check the path; `-` is standard input" }
}

/// The reading thread.
fn read(
    reader: Box<dyn Read + Send>,
    format: Format,
    lines: &lines::Lines,
    messages: &mpsc::Sender<Message>,
) -> Result<(), Failure> {
    // Lines that are asked for stand as they are, a byte order mark as well.
    let reader = if format == Format::Lines { reader } else { Box::new(bom::skip(reader).map_err(unreadable)?) };
    match document::detect(reader, format)? {
        Detected::Document(document) => whole(document, lines.template, messages),
        Detected::Lines(reader) => lines.read(reader, |items| messages.blocking_send(Message::Lines(items)).is_ok()),
    }
}

fn unreadable(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::InvalidData {
        return Failure::input(error.to_string());
    }
    Failure::input(format!("cannot read the input: {error}"))
}

fn whole(document: document::Document, template: &Template, messages: &mpsc::Sender<Message>) -> Result<(), Failure> {
    let (bodies, warnings) = document.into_events()?;
    let items = bodies.into_iter().zip(0..).map(|(body, number)| template.item(number, body.into())).collect();
    let _ = messages.blocking_send(Message::Whole(items, warnings));
    Ok(())
}
