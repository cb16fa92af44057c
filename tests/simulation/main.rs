//! Client and emulator on one thread, under a clock that tests turn, over a network that does its worst: thousands of
//! runs, each drawn from its seed, and each to be had again.
//!
//! What must hold at the end of each: every batch handed in has exactly one outcome, in time; what was accepted is stored
//! exactly as often as it was accepted, what was rejected or not sent is not, and all of it in order; nothing is pending,
//! nothing is left behind, and no more was in flight than may be.
//!
//! `HUBWIRE_SEED=n` runs one seed, and tells what happened; `HUBWIRE_SEEDS=n` or `=from..to` as many as you like.

mod ledger;
mod publisher;
mod random;
mod trouble;
mod weather;
mod wire;
mod world;

use std::cell::Cell;
use std::env;
use std::ops::Range;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ledger::Report;

/// The event hub that is published to.
const HUB: &str = "telemetry";
const PARTITIONS: u32 = 3;
/// Seeds without a word to the contrary.
const SEEDS: u64 = 2_000;
/// Every so many seeds one is run twice.
const TWICE_EVERY: u64 = 20;

/// Now, on the clock that the runs share with nobody.
#[allow(clippy::disallowed_methods, reason = "the runs' own clock")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[test]
fn what_is_told_is_true_whatever_happens() {
    count_panics();
    if let Some(seed) = variable("HUBWIRE_SEED").and_then(|text| text.parse().ok()) {
        let report = run(seed);
        report.trace.iter().for_each(|line| println!("{line}"));
        return check(seed, &report);
    }
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let told = thread::scope(|scope| {
        let work = || {
            let mut told = [0; 5];
            while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds.end) {
                let report = run(seed);
                check(seed, &report);
                if seed % TWICE_EVERY == 0 {
                    assert_eq!(run(seed).hash, report.hash, "seed {seed} went another way the second time");
                }
                told.iter_mut().zip(report.told).for_each(|(sum, told)| *sum += told);
            }
            told
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("see above")).fold([0; 5], sum)
    });
    let [accepted, rejected, not_sent, unknown, dropped] = told;
    println!(
        "{} seeds: {accepted} batches accepted, {rejected} rejected, {not_sent} not sent, {unknown} unknown, {dropped} \
         given up by their callers",
        seeds.end - seeds.start
    );
    let is_mixed = told.iter().all(|count| *count > 0);
    assert!(is_mixed || seeds.end - seeds.start < 500, "a kind of outcome never came: {told:?}");
}

fn sum(mut left: [usize; 5], right: [usize; 5]) -> [usize; 5] {
    left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
    left
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn seeds() -> Range<u64> {
    let Some(text) = variable("HUBWIRE_SEEDS") else { return 0..SEEDS };
    let number = |text: &str| text.parse().expect("HUBWIRE_SEEDS is a number, or from..to");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

thread_local! {
    /// Those in tasks, which the runtime swallows.
    static PANICS: Cell<u32> = const { Cell::new(0) };
    static SEED: Cell<u64> = const { Cell::new(0) };
}

fn count_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.set(PANICS.get() + 1);
        eprintln!("seed {}:", SEED.get());
        before(info);
    }));
}

fn run(seed: u64) -> Report {
    PANICS.set(0);
    SEED.set(seed);
    let mut report = world::run(seed);
    if PANICS.get() > 0 {
        report.breaches.push(format!("{} tasks panicked", PANICS.get()));
    }
    report
}

fn check(seed: u64, report: &Report) {
    assert!(
        report.breaches.is_empty(),
        "{}\nto see it happen: HUBWIRE_SEED={seed} cargo test --features emulator --test simulation -- --nocapture",
        report.breaches.join("\n")
    );
}
