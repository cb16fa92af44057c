//! What goes over a connection, frame by frame, as people, programs and Wireshark read it.
//!
//! A [`Tap`] sits between TLS and AMQP, so that nothing needs keys, and sees both directions. It is switched on at run
//! time, for a connection and all that replace it ([`Options::tap`](crate::Options::tap)), or for any stream
//! ([`Tap::wrap`]); a connection without one pays nothing for it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use hubwire::emulator::Emulator;
//! use hubwire::trace::{Form, Tap};
//! use hubwire::{Connection, ConnectionString, Options};
//!
//! let emulator = Emulator::builder().event_hub("telemetry", 4).build()?;
//! let to = ConnectionString::parse(&emulator.connection_string(None))?;
//! let tap = Tap::builder().to(Form::Text, std::io::stderr()).build();
//! let connection = Connection::open_over(emulator.connect(), &to, &Options::default().tap(&tap)).await?;
//! connection.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Secrets
//! Signatures, keys, tokens and logins are overwritten in the bytes before anything else is made of them, so that no form
//! holds one, each byte by a `*`: sizes stay true. [`Builder::with_secrets`] leaves them as they are. Events are not
//! secrets: [`Form::Text`] and [`Form::Json`] tell their sizes alone, every other form and [`Builder::with_hex`] hold what
//! is in them.
//!
//! # Bounds
//! Of one frame 1 MiB is held at most, whatever a peer claims. A writer that fails is written to no more, and the
//! connection goes on: a trace never stands in the way of what it shows.

mod contents;
mod dialogue;
mod frames;
mod json;
mod mask;
mod pcapng;
mod performative;
#[cfg(feature = "cli")]
pub(crate) mod recording;
#[cfg(feature = "cli")]
pub(crate) mod replay;
mod sink;
mod summary;
mod tapped;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use crate::clock;
use dialogue::{Dialogue, Direction, Events, Secrets};
#[cfg(feature = "cli")]
pub(crate) use frames::{Frames, Piece, channel_of, framed};
use pcapng::Capture;
#[cfg(feature = "cli")]
pub(crate) use performative::Composite;
pub use sink::Form;
use sink::{Bytes, Sink};
pub use tapped::Tapped;

/// Sees what goes over connections, and writes it. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Tap {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    secrets: Secrets,
    events: Events,
    began: Instant,
    sinks: Vec<Sink>,
    count: u64,
    /// Those that have not ended.
    connections: BTreeMap<u64, Dialogue>,
}

/// How a stream came to its end.
enum Ended<'a> {
    ByPeer,
    Failed(&'a io::Error),
    /// This side let go of it.
    Dropped,
    /// It has not, but the trace has.
    Untraced,
}

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("the peer ended the stream"),
            Self::Failed(error) => write!(f, "the stream failed: {error}"),
            Self::Dropped => f.write_str("this side let go of the stream"),
            Self::Untraced => f.write_str("it goes on, and the trace ends"),
        }
    }
}

impl Tap {
    /// Starts with nowhere to write to: say [`to`](Builder::to) once or more often, then [`build`](Builder::build).
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A stream that is seen, in place of `stream`. Each is a connection of its own, counted from 1.
    ///
    /// It has to carry AMQP in plain: what TLS or WebSocket make of it is not understood.
    pub fn wrap<S>(&self, stream: S) -> Tapped<S> {
        self.wrap_as(stream, None)
    }

    /// The same where there may be no tap: one type for both.
    #[cfg(feature = "emulator")]
    pub(crate) fn wrap_if<S>(tap: Option<&Self>, stream: S, name: Option<&str>) -> Tapped<S> {
        match tap {
            Some(tap) => tap.wrap_as(stream, name),
            None => Tapped::unseen(stream),
        }
    }

    /// Under a name, which is told first.
    fn wrap_as<S>(&self, stream: S, name: Option<&str>) -> Tapped<S> {
        let mut shared = self.lock();
        shared.count += 1;
        let (number, at) = (shared.count, clock::now().saturating_duration_since(shared.began));
        let dialogue = Dialogue::new(number, shared.secrets, shared.events, at);
        shared.connections.insert(number, dialogue);
        if let Some(name) = name {
            shared.sinks.iter_mut().for_each(|sink| sink.began(number, name));
        }
        drop(shared);
        Tapped::new(stream, self.clone(), number)
    }

    /// Writes the summaries of connections that have not ended. What goes over them after this is not traced.
    pub fn finish(&self) {
        let numbers: Vec<u64> = self.lock().connections.keys().copied().collect();
        for number in numbers {
            self.end(number, Ended::Untraced);
        }
        self.lock().sinks.iter_mut().for_each(Sink::finish);
    }

    /// How many records found no room where they were to be written, for each [`to`](Builder::to).
    #[cfg(feature = "cli")]
    pub(crate) fn left_out(&self) -> Vec<u64> {
        self.lock().sinks.iter().map(Sink::left_out).collect()
    }

    /// Bytes have gone over a connection.
    fn passed(&self, number: u64, direction: Direction, slices: &[IoSlice<'_>]) {
        let mut shared = self.lock();
        let Shared { began, sinks, connections, .. } = &mut *shared;
        let at = clock::now().saturating_duration_since(*began);
        let Some(dialogue) = connections.get_mut(&number) else { return };
        for slice in slices {
            dialogue.push(direction, slice);
            while let Some(record) = dialogue.next(direction, at) {
                sinks.iter_mut().for_each(|sink| sink.frame(&record));
            }
        }
    }

    /// The stream of a connection has ended in one direction.
    fn ended(&self, number: u64, ended: Ended<'_>) {
        if let Some(dialogue) = self.lock().connections.get_mut(&number) {
            dialogue.stream_ended(ended.to_string());
        }
    }

    /// A connection is over, or is to be seen no more.
    fn end(&self, number: u64, ended: Ended<'_>) {
        let mut shared = self.lock();
        let Some(mut dialogue) = shared.connections.remove(&number) else { return };
        dialogue.stream_ended(ended.to_string());
        let (summary, why) = (dialogue.summary(), dialogue.ending());
        shared.sinks.iter_mut().for_each(|sink| sink.ended(number, summary, &why));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing that holds the lock can leave it half-changed.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says where it writes to; no writer, no bytes.
impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.lock();
        let open: Vec<_> = shared.connections.keys().collect();
        f.debug_struct("Tap").field("sinks", &shared.sinks).field("connections", &open).finish_non_exhaustive()
    }
}

/// What a [`Tap`] is made of.
#[derive(Default)]
pub struct Builder {
    sinks: Vec<(Form, Box<dyn Write + Send>)>,
    bytes: Bytes,
    secrets: Secrets,
    wall_clock: Option<SystemTime>,
}

impl Builder {
    /// Writes this form there, beside what was asked for before.
    ///
    /// The connection's task writes, whole frames at a time: `writer` must not block. One that has no room says
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and what was left out is told as soon as it has. Any other error ends
    /// the writing, and nothing else.
    #[must_use]
    pub fn to(mut self, form: Form, writer: impl Write + Send + 'static) -> Self {
        self.sinks.push((form, Box::new(writer)));
        self
    }

    /// Shows the bytes of each frame in [`Form::Text`] and [`Form::Json`], which holds the events.
    #[must_use]
    pub fn with_hex(mut self) -> Self {
        self.bytes = Bytes::Hex;
        self
    }

    /// Masks nothing: whoever reads the trace can use the tokens in it until they expire, and the logins for good.
    #[must_use]
    pub fn with_secrets(mut self) -> Self {
        self.secrets = Secrets::Shown;
        self
    }

    /// The time of day when the trace begins, for captures. Default: the system's.
    #[must_use]
    pub fn starting_at(mut self, time: SystemTime) -> Self {
        self.wall_clock = Some(time);
        self
    }

    /// The tap. Its time runs from here.
    pub fn build(self) -> Tap {
        let began_at = self.wall_clock.unwrap_or_else(clock::wall);
        let bytes = self.bytes;
        let shows_events = |(form, _): &(Form, _)| bytes == Bytes::Hex || form.has_bytes();
        let events = if self.sinks.iter().any(shows_events) { Events::Seen } else { Events::Unseen };
        let sink = |(form, writer)| Sink::new(form, bytes, Capture::new(began_at), writer);
        let shared = Shared {
            secrets: self.secrets,
            events,
            began: clock::now(),
            sinks: self.sinks.into_iter().map(sink).collect(),
            count: 0,
            connections: BTreeMap::new(),
        };
        Tap { shared: Arc::new(Mutex::new(shared)) }
    }
}

/// The forms; no writer.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms: Vec<Form> = self.sinks.iter().map(|(form, _)| *form).collect();
        f.debug_struct("Builder")
            .field("forms", &forms)
            .field("bytes", &self.bytes)
            .field("secrets", &self.secrets)
            .finish()
    }
}
