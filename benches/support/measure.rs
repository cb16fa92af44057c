//! Time on the clock, and of a thread's CPU.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a batch took in a round of them: on the clock, and of a thread's CPU.
#[derive(Clone, Copy)]
pub struct Took {
    pub time: Duration,
    pub cpu: Duration,
}

impl Took {
    pub fn of(time: Duration, cpu: Duration, batches: usize) -> Self {
        Self { time: time / batches as u32, cpu: cpu / batches as u32 }
    }

    pub fn text(self, events: usize) -> String {
        format!("{} ({} CPU) {}", time(self.time), time(self.cpu), rate(events, self.time))
    }
}

/// Two digits or more.
fn time(time: Duration) -> String {
    let nanos = time.as_nanos();
    let decimals = usize::from([1_000..10_000, 1_000_000..10_000_000].iter().any(|few| few.contains(&nanos)));
    format!("{time:.decimals$?}")
}

/// The median of each.
pub fn median(rounds: Vec<Took>) -> Took {
    let median = |of: fn(&Took) -> Duration| {
        let mut times: Vec<Duration> = rounds.iter().map(of).collect();
        times.sort();
        times[times.len() / 2]
    };
    Took { time: median(|took| took.time), cpu: median(|took| took.cpu) }
}

/// Where the system tells what this thread has used, if it does.
pub fn this_thread() -> PathBuf {
    Path::new("/proc").join(std::fs::read_link("/proc/thread-self").unwrap_or_default()).join("schedstat")
}

/// What a thread has used so far; nothing where the system does not tell.
pub fn cpu_of(thread: &Path) -> Duration {
    let told = std::fs::read_to_string(thread).unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

pub fn rate(events: usize, time: Duration) -> String {
    let per_second = events as f64 / time.as_secs_f64();
    if per_second >= 1e6 { format!("{:.2} M/s", per_second / 1e6) } else { format!("{:.0} k/s", per_second / 1e3) }
}
