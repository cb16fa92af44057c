//! What the programs share: the work they are given on the command line, and what they tell of it on standard output.

#![allow(clippy::disallowed_methods, reason = "they measure time")]

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

#[allow(dead_code, reason = "shared with the benches")]
#[path = "../../../support/blast.rs"]
pub mod blast;

use blast::Packer;

/// `PORT EVENT_LEN EVENTS WARM_UP BATCHES WINDOW`: batches of `EVENTS` events, up to `WINDOW` of them without an outcome.
pub struct Work {
    pub port: u16,
    pub packer: Packer,
    pub warm_up: usize,
    pub batches: usize,
    pub window: usize,
    /// A batch of one event.
    section: Vec<u8>,
}

impl Work {
    /// # Panics
    /// When an argument is missing or is no number.
    pub fn from_args() -> Self {
        let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().expect("a number"));
        let mut next = |name: &str| args.next().unwrap_or_else(|| panic!("{name} is missing"));
        let port = u16::try_from(next("PORT")).expect("a port");
        let event_len = next("EVENT_LEN");
        let packer = Packer::of(event_len, next("EVENTS"));
        let mut section = Vec::new();
        Packer::of(event_len, 1).pack(&mut section);
        Self { port, packer, warm_up: next("WARM_UP"), batches: next("BATCHES"), window: next("WINDOW"), section }
    }

    /// An event's data section, encoded: as many of them are a batch.
    pub fn section(&self) -> &[u8] {
        &self.section
    }

    /// An event, encoded: what its section holds.
    pub fn event(&self) -> &[u8] {
        // Descriptor, constructor, and a length of one byte or four.
        let header_len = if self.section[3] == 0xa0 { 5 } else { 8 };
        &self.section[header_len..]
    }

    /// For those who want one. Nobody looks at the key.
    pub fn connection_string(&self) -> String {
        format!(
            "Endpoint=sb://127.0.0.1:{};SharedAccessKeyName=any;SharedAccessKey=a2V5;UseDevelopmentEmulator=true",
            self.port
        )
    }
}

/// The first batch has its outcome: whoever started this program takes the time.
pub fn tell_first() {
    println!("first");
}

/// A span of the work: its time, and its CPU time over all threads.
pub struct Span {
    began: Instant,
    cpu_before: Duration,
}

impl Span {
    pub fn begin() -> Self {
        Self { began: Instant::now(), cpu_before: cpu() }
    }

    /// All batches of it have their outcome.
    pub fn tell(self, work: &Work) {
        let (time, cpu) = (self.began.elapsed(), cpu() - self.cpu_before);
        println!(
            r#"{{"events": {}, "seconds": {}, "cpu_seconds": {}, "peak_kib": {}}}"#,
            work.batches * work.packer.count(),
            time.as_secs_f64(),
            cpu.as_secs_f64(),
            peak_kib(),
        );
    }
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system tells");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.cast_unsigned())
}

/// The peak of this program's resident memory. `ru_maxrss` would be that of the one who started it, if that was larger.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or_default()
}
