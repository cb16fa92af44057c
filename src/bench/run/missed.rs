//! Events that were due while nothing could be sent, by when they were due.

use std::time::Duration;

/// Those that were due within so much of each other count as due at one time, their mean: a stall at a million events a second
/// takes 160 kB a second to tell of. What is missed is late by more than [`PATIENCE`](super::lane::PATIENCE), beside which
/// it is little.
const SPAN_NANOS: u64 = 100_000;

/// Missed events, few words for many.
#[derive(Debug, Default)]
pub(super) struct Missed {
    runs: Vec<Run>,
    count: u64,
}

/// Some that were due close to each other.
#[derive(Debug)]
struct Run {
    /// When the first was, since the start.
    first_nanos: u64,
    count: u32,
    /// How long after the first they were due on average.
    mean_behind_nanos: f32,
}

impl Missed {
    /// One more, not due before any other.
    pub(super) fn push(&mut self, due: Duration) {
        let due_nanos = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
        self.count += 1;
        if let Some(run) = self.runs.last_mut()
            && let behind @ 0..SPAN_NANOS = due_nanos.saturating_sub(run.first_nanos)
            && run.count < u32::MAX
        {
            run.count += 1;
            run.mean_behind_nanos += (behind as f32 - run.mean_behind_nanos) / run.count as f32;
            return;
        }
        self.runs.push(Run { first_nanos: due_nanos, count: 1, mean_behind_nanos: 0.0 });
    }

    /// Takes those of `other`, which were due later.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.count += std::mem::take(&mut other.count);
        self.runs.append(&mut other.runs);
    }

    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// When they were due, and how many at that time.
    pub(super) fn times(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.runs.iter().map(|run| {
            let due = Duration::from_nanos(run.first_nanos + run.mean_behind_nanos as u64);
            (due, u64::from(run.count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(gap: Duration, count: u32) -> Missed {
        let mut missed = Missed::default();
        (0..count).for_each(|at| missed.push(gap * at));
        missed
    }

    #[test]
    fn those_that_are_apart_keep_their_times() {
        let times: Vec<_> = missed(Duration::from_micros(100), 3).times().collect();
        assert_eq!(times, [0, 100, 200].map(|micros| (Duration::from_micros(micros), 1)));
    }

    #[test]
    fn a_million_a_second_take_little_and_are_all_there() {
        let missed = missed(Duration::from_micros(1), 1_000_000);
        assert_eq!(missed.count(), 1_000_000);
        assert!(missed.runs.len() <= 10_000 && size_of::<Run>() <= 16, "{}", missed.runs.len());
        assert_eq!(missed.times().map(|(_, count)| count).sum::<u64>(), 1_000_000);
        // 0 to 99 microseconds.
        let (due, count) = missed.times().next().unwrap();
        assert!(count == 100 && due.abs_diff(Duration::from_nanos(49_500)) < Duration::from_nanos(100), "{due:?}");
    }

    #[test]
    fn what_is_appended_is_gone_from_the_other() {
        let (mut one, mut other) = (missed(Duration::from_millis(1), 2), missed(Duration::from_millis(5), 3));
        one.append(&mut other);
        assert_eq!((one.count(), other.count()), (5, 0));
        assert_eq!((one.times().count(), other.times().count()), (5, 0));
    }
}
