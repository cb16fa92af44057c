//! What a run came to, in words.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hubwire::emulator::Totals;

use super::Arguments;
use super::load::Ends;
use super::proxy::Counts;
use super::tally::Verdict;

pub(crate) struct Report<'a> {
    pub(crate) arguments: Arguments,
    pub(crate) lasted: Duration,
    pub(crate) proxied: Arc<Counts>,
    pub(crate) ends: Ends,
    pub(crate) totals: Totals,
    pub(crate) verdict: &'a Verdict,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arguments, lasted, proxied, ends, totals, verdict } = self;
        let Arguments { seconds, seed, connections } = arguments;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let secs = lasted.as_secs_f64();
        writeln!(
            f,
            "run                {seconds} s asked for, {secs:.1} s taken, {connections} connections, seed {seed}"
        )?;
        writeln!(
            f,
            "connections        {} through the proxy, {} refused",
            of(&proxied.connections),
            of(&proxied.refused)
        )?;
        writeln!(
            f,
            "ends               {} cuts, {} resets, {} half closes, {} black holes",
            of(&proxied.cuts),
            of(&proxied.resets),
            of(&proxied.half_closes),
            of(&proxied.black_holes)
        )?;
        writeln!(f, "held up            {} stalls, {} throttles", of(&proxied.stalls), of(&proxied.throttles))?;
        writeln!(f, "faults of the hub  {}", totals.faults)?;
        writeln!(
            f,
            "recovered          {} links and connections; {} batches sent again",
            ends.recovered, ends.retried
        )?;
        writeln!(f, "batches            {}", verdict.batches)?;
        writeln!(f, "events accepted    {}", verdict.accepted)?;
        writeln!(f, "       rejected    {}", verdict.rejected)?;
        writeln!(f, "       not sent    {}", verdict.not_sent)?;
        writeln!(f, "       unknown     {}, of which {} are stored", verdict.unknown, verdict.unknown_stored)?;
        writeln!(f, "lost               {}", verdict.lost)?;
        writeln!(f, "duplicates         {}", verdict.duplicates)?;
        writeln!(f, "stored against what was told  {}", verdict.surprising)?;
        writeln!(f, "without an outcome {}, in flight at the end {}", verdict.pending, ends.in_flight)?;
        writeln!(f, "not to be checked  {}", verdict.unread)?;
        writeln!(f, "longest send       {:.3} s, of 10 s allowed", ends.longest_send.as_secs_f64())?;
        let (events, mib) = (verdict.accepted as f64 / secs, of(&proxied.bytes) as f64 / secs / 1_048_576.0);
        writeln!(f, "rate               {events:.0} events/s accepted, {mib:.1} MiB/s through the proxy")?;
        writeln!(f, "peak RSS           {}", peak_rss().unwrap_or_else(|| "not known here".into()))
    }
}

/// Of the whole process: hub, proxy, senders and the tally.
fn peak_rss() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(format!("{} MiB", kib / 1_024))
}
