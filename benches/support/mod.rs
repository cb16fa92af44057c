//! What several benches measure with.

#![allow(dead_code, unreachable_pub, reason = "each bench uses a part of it")]

use std::sync::LazyLock;

use core_affinity::CoreId;

pub mod blast;
pub mod family;
pub mod measure;
pub mod publisher;
pub mod served;

/// A runtime as a small host has it: all on this thread.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Keeps this thread on one core, where the machine has more: so that the two ends of a connection do not share one by
/// chance, which would measure the scheduler. With `anywhere` on the command line, the scheduler places both.
pub fn stay_on_core(number: usize) {
    // Asked once: a thread that keeps to a core knows of no other, nor do those that it starts.
    static CORES: LazyLock<Vec<CoreId>> = LazyLock::new(|| core_affinity::get_core_ids().unwrap_or_default());
    let cores = &*CORES;
    if cores.len() > 1 && !std::env::args().any(|arg| arg == "anywhere") {
        core_affinity::set_for_current(cores[number % cores.len()]);
    }
}
