//! Functions as algorithms, and the process that the platform runs.
//!
//! The calling convention is that of the platform's own crate: a function of what it is given to what it gives back, and
//! state that is made once.
//!
//! ```no_run
//! use hubwire::algorithm::handler;
//!
//! fn apply(name: String) -> Result<String, String> {
//!     Ok(format!("Hello, {name}"))
//! }
//!
//! handler::run(apply);
//! ```

mod convert;
mod lines;
mod process;
mod response;

use std::error::Error;

pub use super::answer::Answer;
pub use convert::{ByteVec, FromInput, IntoAnswer};
pub use process::{Process, ProcessError};

use super::failure::Failure;
use super::input::Input;

/// Runs `apply` for every request of the host, until the host ends its input.
///
/// `apply` takes anything that can be read from JSON, an [`Input`] as it came, or a [`ByteVec`] for bytes; it gives back anything
/// that can be written as JSON, or a [`ByteVec`]. What it fails with is told to the caller, a [`Failure`] by its own
/// [`ErrorType`](super::ErrorType), hubwire's own errors by what they say, and all else as `AlgorithmError`; so is a panic, in a build that
/// unwinds. Its words are masked in the answer, as a hub's are; on standard error they stand as the process' panic hook has them,
/// which masks nothing. State goes into a closure.
///
/// When the host cannot be spoken to, that is said on standard error, and the process ends with 1.
pub fn run<F, IN, OUT, E>(apply: F)
where
    F: FnMut(IN) -> Result<OUT, E>,
    IN: FromInput,
    OUT: IntoAnswer,
    E: Into<Box<dyn Error>>,
{
    if let Err(error) = Process::new().run(apply) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// The same with state: `load` makes it before the host is told that the algorithm is ready.
///
/// # Errors
/// What `load` says: the host is not told that the algorithm is ready. A `main` that returns it ends with 1, and its words on
/// standard error, which is how the platform learns that loading failed.
///
/// ```no_run
/// use hubwire::algorithm::{Algorithm, Failure, Input, Reply, handler};
///
/// fn apply(input: Input, algorithm: &mut Algorithm) -> Result<Reply, Failure> {
///     algorithm.apply(&input)
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     handler::load_and_run(Algorithm::from_env, apply)
/// }
/// ```
pub fn load_and_run<LOAD, F, IN, OUT, STATE, E, E2>(load: LOAD, mut apply: F) -> Result<(), Box<dyn Error>>
where
    LOAD: FnOnce() -> Result<STATE, E2>,
    F: FnMut(IN, &mut STATE) -> Result<OUT, E>,
    IN: FromInput,
    OUT: IntoAnswer,
    E: Into<Box<dyn Error>>,
    E2: Into<Box<dyn Error>>,
{
    let mut state = load().map_err(Into::into)?;
    run(|input| apply(input, &mut state));
    Ok(())
}
