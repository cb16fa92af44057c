//! What `hubwire::bench` reports is what happened. Time is paused: every figure is exact.

mod honesty;
mod maximum;
mod readers;
mod workloads;

use std::time::Duration;

use hubwire::bench::{Bench, Report, Round, Target, Workload};
use hubwire::emulator::{Builder, Emulator};
use hubwire::{ConnectionString, Options};

const HUB: &str = "telemetry";

fn hub() -> Builder {
    Emulator::builder().event_hub(HUB, 4)
}

fn target(emulator: &Emulator) -> Target {
    target_with(emulator, &Options::default())
}

fn target_with(emulator: &Emulator, options: &Options) -> Target {
    let to = ConnectionString::parse(&emulator.connection_string(None)).expect("well-formed");
    let namespace = emulator.clone();
    Target::over(move || namespace.connect(), &to, HUB, options)
}

/// Small, and without a warm-up.
fn workload() -> Workload {
    Workload { sizes: "100".parse().expect("a size"), warm_up: Duration::ZERO, ..Workload::default() }
}

async fn run(emulator: &Emulator, workload: &Workload) -> Report {
    Bench::new(target(emulator), "an emulator").run(workload, |_| {}).await.expect("it runs")
}

async fn round(emulator: &Emulator, workload: &Workload) -> Round {
    run(emulator, workload).await.rounds.remove(0)
}

/// In milliseconds.
fn p99(latency: Option<&hubwire::bench::Latency>) -> f64 {
    latency.expect("there is one").p99_us / 1e3
}
