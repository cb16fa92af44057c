//! Memory that there is, as Linux tells it; elsewhere it is not known.

use std::fs;
use std::path::Path;

/// Bytes of memory that the machine has.
#[cfg_attr(not(feature = "bench"), allow(dead_code, reason = "a run's report tells it"))]
pub(crate) fn total_len() -> Option<u64> {
    field("/proc/meminfo", "MemTotal:")
}

/// Bytes that this process may still touch: what the system has left, or its control group if that is less.
///
/// Of the group's limits only its own is looked at, and only where the second version of control groups is mounted.
#[cfg_attr(not(feature = "emulator"), allow(dead_code, reason = "the emulator touches it beforehand"))]
pub(crate) fn available_len() -> Option<u64> {
    let system = field("/proc/meminfo", "MemAvailable:");
    [system, left_in_group()].into_iter().flatten().min()
}

fn left_in_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = Path::new("/sys/fs/cgroup").join(group);
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    // The word "max" stands where there is no limit.
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    // Of what is in use, the system takes back what it keeps of files.
    let stat = read("memory.stat")?;
    let kept = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let kept: u64 = ["inactive_file ", "active_file ", "slab_reclaimable "].into_iter().filter_map(kept).sum();
    Some(number("memory.max")?.saturating_sub(number("memory.current")?.saturating_sub(kept)))
}

/// Bytes that stand in KiB after `name` in one of the system's tables.
pub(crate) fn field(table: &str, name: &str) -> Option<u64> {
    let told = fs::read_to_string(table).ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn there_is_some_and_not_all_of_it_is_left() {
        let (total, available) = (total_len().unwrap(), available_len().unwrap());
        assert!(available > 1 << 20 && available < total, "{available} of {total}");
        assert_eq!(field("/proc/meminfo", "Nothing:"), None);
        assert_eq!(field("/proc/nothing", "MemTotal:"), None);
    }
}
