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

/// Keeps this thread on one core, where the machine has more: so that the two ends of a connection do not share one by
/// chance, which would measure the scheduler. With `anywhere` on the command line, the scheduler places both.
pub fn stay_on_core(number: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.len() > 1 && !std::env::args().any(|arg| arg == "anywhere") {
        core_affinity::set_for_current(cores[number % cores.len()]);
    }
}
