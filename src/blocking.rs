//! The same calls without `async`: for a plain `fn main`, a handler that is frozen between its calls, a library of another
//! language.
//!
//! A [`Connection`] brings the little runtime that it needs, and drives it on the thread of whoever calls, for as long as the
//! call takes. There is no thread beside the caller's, and nothing happens between calls: no sign of life is sent, no
//! token renewed, no batch of a [`Publisher`] leaves. So before anything leaves, whichever call it is, and a drop too, looks at
//! what came while nobody looked, at how long that was, and at the token; a connection that is lost, or cannot have lasted, is
//! made anew, once. A call that sends tells at once what that leads to, as [`SendError::NotSent`](crate::SendError::NotSent):
//! the batch has not left. What was handed over before waits for the next connection, and is told by its own outcome. What is
//! lost during a call is restored within its time, as ever ([`Options::retry`](crate::Options::retry)).
//!
//! Every call has a deadline, as its `async` twin has. Names are looked up on the caller's thread
//! ([`NameLookup::SameThread`](crate::NameLookup::SameThread)), where the system's resolver keeps its own time.
//!
//! ```
//! use hubwire::{ConnectionString, Options, TryAdd, blocking};
//!
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # let emulator = hubwire::emulator::Emulator::builder().event_hub("telemetry", 4).build()?;
//! # let listening = runtime.block_on(emulator.listen("127.0.0.1:0"))?;
//! # let text = listening.connection_string(None);
//! let connection = blocking::Connection::open(&ConnectionString::parse(&text)?, &Options::default())?;
//! let sender = connection.sender("telemetry")?;
//! let mut batch = sender.batch();
//! assert_eq!(batch.try_add("first event"), TryAdd::Added);
//! assert_eq!(sender.send(batch)?.events, 1);
//! connection.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where it may be called
//! On any thread that may block: handles may be shared, and several threads may call at a time, one of which drives for
//! all. Inside of an async task a call would stop the task's runtime, and is refused as
//! [`Error::InsideTask`](crate::Error::InsideTask); in `tokio::task::spawn_blocking` and `block_in_place` it is welcome. A task
//! is known by the budget that tokio gives it: one in `tokio::task::unconstrained` has none, and a call there panics, as
//! tokio's own blocking calls do. Not after a `fork`: the child would share the parent's sockets.
//!
//! # Drop
//! The last handle says goodbye: it waits for what is under way, within
//! [`Options::close_timeout`](crate::Options::close_timeout). Inside of an async task, where it may not wait, it cuts the
//! connection.

mod connection;
mod drive;
mod publisher;
mod sender;

pub use connection::Connection;
pub use publisher::{Publisher, Receipt};
pub use sender::{Sender, Ticket};
