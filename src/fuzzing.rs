//! What the fuzz targets do, one function for each: `fuzz/fuzz_targets` gives them random bytes, `tests/corpus.rs` the
//! committed ones. They panic when something does not hold, and otherwise return. Not for use.
//!
//! Each function holds its part to more than not panicking: the comment over it says what. See `docs/reliability.md`.

mod batch;
mod connection_string;
mod dissect;
mod engine;
mod event;
mod frame;
mod input;
mod pair;
mod peer;
mod sas_token;
mod value;

pub use batch::batch;
pub use connection_string::connection_string;
pub use dissect::dissect;
pub use engine::engine;
pub use event::event;
pub use frame::frame;
pub use pair::pair;
pub use sas_token::sas_token;
pub use value::value;

/// What a target does with an input.
pub type Target = fn(&[u8]);

/// Every target by the name that it has in `fuzz/`.
pub const TARGETS: [(&str, Target); 9] = [
    ("batch", batch),
    ("connection_string", connection_string),
    ("dissect", dissect),
    ("engine", engine),
    ("event", event),
    ("frame", frame),
    ("pair", pair),
    ("sas_token", sas_token),
    ("value", value),
];
