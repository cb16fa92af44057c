//! Throughput and latency of a client, and what it is measured against.
//!
//! A [`Workload`] says what is published, a [`Target`] to whom, and [`Bench::run`] makes a [`Report`] of it: what became of every
//! event, how fast, how late, and what it cost. `hubwire bench` is the same on the command line; what its figures mean and what
//! they do not is in `docs/benchmarking.md`.

mod aside;
mod compare;
mod generator;
mod latency;
mod ledger;
mod limits;
mod mark;
mod maximum;
mod pacer;
mod report;
mod run;
mod search;
pub mod sink;
mod stop;
mod target;
mod usage;
mod workload;

pub use aside::{Aside, LocalHub, LocalHubError};
pub use compare::{Change, Comparison, Verdict};
pub use generator::MaterialError;
pub use latency::Latency;
pub use ledger::Received;
pub use limits::{Held, Limit};
pub use report::{Column, Ends, Figure, NamedFile, Rank, Report, ReportError, Round, Second};
#[cfg(feature = "cli")]
pub(crate) use report::{MIB, command};
pub use run::{Bench, BenchError, Outcome, SendFailure};
#[cfg(feature = "cli")]
pub(crate) use search::amount;
pub use search::{Search, Step};
pub use stop::Stop;
pub use target::Target;
pub use usage::Machine;
pub use workload::{Bodies, Keys, Route, Schedule, Sizes, TextError, Unit, Workload, WorkloadError};
