//! The guide's algorithm: `{"events": ["...", "..."]}` in, every event in the event hub, and a reply that says so.
//!
//! The platform starts it, asks line by line, and reads answers from /tmp/algoout. `CONNECTION_STR` is its secret.

use std::error::Error;

use hubwire::algorithm::{Algorithm, Failure, Input, Reply, handler};

fn apply(input: Input, algorithm: &mut Algorithm) -> Result<Reply, Failure> {
    algorithm.apply(&input)
}

fn main() -> Result<(), Box<dyn Error>> {
    handler::load_and_run(Algorithm::from_env, apply)
}
