//! What several benches measure with.

#![allow(dead_code, unreachable_pub, reason = "each bench uses a part of it")]

pub mod blast;
pub mod family;
pub mod measure;
pub mod publisher;
pub mod served;

/// A runtime as a small host has it: all on this thread.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
