//! What a run takes of the machine, and what machine that is. Linux tells it in /proc; elsewhere it is not known.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::memory;

/// Where the system tells what CPU a thread has used.
#[derive(Clone, Debug)]
struct ThreadCpu(PathBuf);

impl ThreadCpu {
    fn of_this_thread() -> Option<Self> {
        let thread = fs::read_link("/proc/thread-self").ok()?;
        Some(Self(PathBuf::from("/proc").join(thread).join("schedstat")))
    }

    fn used(&self) -> Option<Duration> {
        let told = fs::read_to_string(&self.0).ok()?;
        told.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }
}

/// The CPU time of some threads together, which may come and go.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads(Arc<Mutex<Vec<ThreadCpu>>>);

impl Threads {
    /// This one alone.
    pub(super) fn here() -> Self {
        let threads = Self::default();
        threads.join();
        threads
    }

    /// Counts this thread in.
    pub(super) fn join(&self) {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.extend(ThreadCpu::of_this_thread());
    }

    /// What those that are still there have used; `None` where the system does not tell, or of no thread.
    pub(super) fn used(&self) -> Option<Duration> {
        let threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().filter_map(ThreadCpu::used).reduce(|sum, used| sum + used)
    }
}

/// Memory of this process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) now: Option<u64>,
    pub(super) peak: Option<u64>,
}

impl Memory {
    pub(super) fn read() -> Self {
        let field = |name| memory::field("/proc/self/status", name);
        Self { now: field("VmRSS:"), peak: field("VmHWM:") }
    }

    /// Has the system measure the peak from now on, where it can.
    pub(super) fn forget_peak() {
        let _ = fs::write("/proc/self/clear_refs", "5");
    }
}

/// The machine that a run was on. A text that is empty is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub system: String,
    /// The kernel's version.
    pub kernel: String,
    /// The CPU's model.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Bytes of memory; `None` where the system does not tell.
    #[serde(default)]
    pub memory_len: Option<u64>,
}

impl Machine {
    /// This one.
    pub(super) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: model.trim_start_matches(['\t', ' ', ':']).to_owned(),
            cpus: thread::available_parallelism().map_or(0, usize::from),
            memory_len: memory::total_len(),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_where_it_is_done() {
        let (here, elsewhere) = (Threads::here(), Threads::default());
        assert_eq!(elsewhere.used(), None);
        let joined = elsewhere.clone();
        let used = thread::spawn(move || {
            joined.join();
            while joined.used().unwrap() < Duration::from_millis(20) {}
            joined.used().unwrap()
        });
        let before = here.used().unwrap();
        assert!(used.join().unwrap() >= Duration::from_millis(20));
        assert!(here.used().unwrap() - before < Duration::from_millis(20));
        let memory = Memory::read();
        assert!(memory.peak.unwrap() >= memory.now.unwrap() && memory.now.unwrap() > 0);
    }
}
