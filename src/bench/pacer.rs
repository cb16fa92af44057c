//! When events are due. Time is what it gives, not what it asks for.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::Exp1;

use super::workload::{Schedule, Unit};

/// The times at which one lane's events are due, since the start.
///
/// Event after event adds to the work that is done: 1, or its bytes, or with Poisson arrivals a draw around that. The
/// schedule tells when so much work is due. Times are found from the start each time, so that nothing adds up.
#[derive(Debug)]
pub(super) struct Pacer {
    schedule: Schedule,
    work: f64,
    /// Where Poisson arrivals are drawn from.
    random: Option<Xoshiro256PlusPlus>,
}

impl Pacer {
    /// For lane `lane` of `lanes` that share the schedule: steady ones take turns.
    pub(super) fn new(schedule: &Schedule, is_poisson: bool, (lane, lanes): (u32, u32), seed: u64) -> Self {
        let random = is_poisson.then(|| Xoshiro256PlusPlus::seed_from_u64(seed));
        let mut pacer = Self { schedule: schedule.share_of(lanes), work: f64::from(lane) / f64::from(lanes), random };
        if is_poisson {
            pacer.work = 0.0;
            pacer.advance(1.0);
        }
        pacer
    }

    /// When the next event is due, which has `len` bytes; `None` when the schedule is over.
    pub(super) fn next(&mut self, len: u64) -> Option<Duration> {
        let due = self.schedule.time_of(self.work);
        self.advance(match self.schedule.unit() {
            Unit::Events => 1.0,
            Unit::Bytes => len as f64,
        });
        due
    }

    fn advance(&mut self, work: f64) {
        let draw = self.random.as_mut().map_or(1.0, |random| random.sample::<f64, _>(Exp1));
        self.work += work * draw;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(schedule: &str, is_poisson: bool, lane: (u32, u32), count: usize) -> Vec<Duration> {
        let mut pacer = Pacer::new(&schedule.parse().unwrap(), is_poisson, lane, 7);
        (0..count).map_while(|_| pacer.next(1_024)).collect()
    }

    #[test]
    fn steady_times_are_even_and_exact() {
        for (at, due) in times("1000/s", false, (0, 1), 100_000).into_iter().enumerate() {
            assert_eq!(due, Duration::from_millis(at as u64));
        }
    }

    #[test]
    fn lanes_take_turns() {
        let mut all: Vec<_> = (0..4).flat_map(|lane| times("1000/s", false, (lane, 4), 250)).collect();
        all.sort();
        let expected: Vec<_> = (0..1_000).map(Duration::from_millis).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_rate_of_bytes_goes_by_the_events_sizes() {
        let due = times("1MiB/s", false, (0, 1), 1_025);
        assert_eq!(due[1_024], Duration::from_secs(1));
        assert_eq!(due[1], Duration::from_nanos(976_562));
    }

    #[test]
    fn a_schedule_offers_what_it_says_and_ends() {
        assert_eq!(times("10/s:1s,20/s:2s", false, (0, 1), 1_000).len(), 50);
    }

    #[test]
    fn poisson_times_have_the_rate_and_spread_as_they_should() {
        let due = times("1000/s", true, (0, 1), 100_000);
        let total = due.last().unwrap().as_secs_f64();
        assert!((99.0..101.0).contains(&total), "{total}");
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // An exponential's deviation is its mean.
        assert!((0.97..1.03).contains(&(variance.sqrt() / mean)), "{}", variance.sqrt() / mean);
        assert_eq!(due, times("1000/s", true, (0, 1), 100_000), "a seed repeats itself");
    }
}
