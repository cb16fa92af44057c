//! How many keys each partition gets, and which keys come most often.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::MAX_KEY_LEN;
use crate::wire::partition::partition_for_key;
use crate::words::counted;

/// Different keys that are counted one by one. Beyond, new ones count for their partition alone: memory stays bounded.
const MAX_DISTINCT: usize = 1_000_000;
/// Characters of a key that are shown.
const MAX_SHOWN: usize = 64;

/// The keys of an input, counted.
#[derive(Debug)]
pub(super) struct Spread {
    /// Keys in all, each as often as it came.
    pub(super) keys: u64,
    counts: Vec<u64>,
    distinct: HashMap<Box<str>, u64>,
    /// Came when there were too many different ones to count.
    uncounted: u64,
    too_long: u64,
}

impl Spread {
    pub(super) fn new(partition_count: u32) -> Self {
        let counts = vec![0; partition_count.max(1) as usize];
        Self { keys: 0, counts, distinct: HashMap::new(), uncounted: 0, too_long: 0 }
    }

    pub(super) fn add(&mut self, key: &str) {
        let partition_count = u32::try_from(self.counts.len()).unwrap_or(u32::MAX);
        self.keys += 1;
        self.counts[partition_for_key(key, partition_count) as usize] += 1;
        self.too_long += u64::from(key.chars().count() > MAX_KEY_LEN);
        if let Some(count) = self.distinct.get_mut(key) {
            *count += 1;
        } else if self.distinct.len() < MAX_DISTINCT {
            self.distinct.insert(key.into(), 1);
        } else {
            self.uncounted += 1;
        }
    }

    /// The keys that came most often; of equals the first by name.
    fn hottest(&self, count: usize) -> Vec<Hot> {
        let partition_count = u32::try_from(self.counts.len()).unwrap_or(u32::MAX);
        let mut keys: Vec<(&str, u64)> = self.distinct.iter().map(|(key, count)| (&**key, *count)).collect();
        keys.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let hot = |(key, count): (&str, u64)| Hot {
            key: printable(key),
            partition: partition_for_key(key, partition_count),
            events: count,
            share: share(count, self.keys),
        };
        keys.into_iter().take(count).map(hot).collect()
    }
}

/// A spread, as it is told.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    keys: u64,
    distinct_keys: usize,
    /// More than that, since not all were counted.
    #[serde(skip_serializing_if = "is_zero")]
    uncounted: u64,
    #[serde(skip_serializing_if = "is_zero")]
    too_long: u64,
    partitions: Vec<Row>,
    empty_partitions: usize,
    /// The fullest partition over an even share: 1 is even.
    skew: f64,
    hottest: Vec<Hot>,
    caveat: &'static str,
}

#[derive(Debug, Serialize)]
struct Row {
    partition: usize,
    keys: u64,
    share: f64,
}

/// A key that comes often.
#[derive(Debug, Serialize)]
struct Hot {
    key: String,
    partition: u32,
    events: u64,
    share: f64,
}

impl Table {
    pub(super) fn new(spread: &Spread, hottest: usize, caveat: &'static str) -> Self {
        let row = |(partition, &keys): (usize, &u64)| Row { partition, keys, share: share(keys, spread.keys) };
        let fullest = spread.counts.iter().max().copied().unwrap_or(0);
        Self {
            keys: spread.keys,
            distinct_keys: spread.distinct.len(),
            uncounted: spread.uncounted,
            too_long: spread.too_long,
            partitions: spread.counts.iter().enumerate().map(row).collect(),
            empty_partitions: spread.counts.iter().filter(|count| **count == 0).count(),
            skew: rounded(fullest as f64 * spread.counts.len() as f64 / spread.keys.max(1) as f64),
            hottest: spread.hottest(hottest),
            caveat,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "partition       keys   share")?;
        for Row { partition, keys, share } in &self.partitions {
            writeln!(f, "{partition:>9} {keys:>10}  {:>5.1}%  {}", share * 100.0, bar(*share))?;
        }
        let more = if self.uncounted > 0 { "more than " } else { "" };
        writeln!(
            f,
            "{} keys, {more}{} of them different; empty partitions: {}",
            self.keys, self.distinct_keys, self.empty_partitions
        )?;
        writeln!(f, "the fullest partition has {:.2} times an even share", self.skew)?;
        if self.too_long > 0 {
            writeln!(
                f,
                "{} keys are longer than the {MAX_KEY_LEN} characters that a hub takes: shorten them",
                self.too_long
            )?;
        }
        for Hot { key, partition, events, share } in &self.hottest {
            writeln!(
                f,
                "{:>5.1}%  {}, in partition {partition}: {key}",
                share * 100.0,
                counted(*events, "time", "times")
            )?;
        }
        write!(f, "({})", self.caveat)
    }
}

/// A bar of a character for every two percent.
fn bar(share: f64) -> String {
    "#".repeat((share * 50.0).round() as usize)
}

fn share(count: u64, of: u64) -> f64 {
    rounded(count as f64 / of.max(1) as f64)
}

/// To four places: enough for a percentage with two.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// A key, fit for a terminal.
pub(super) fn printable(key: &str) -> String {
    let shown: String = key.chars().take(MAX_SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect();
    if key.chars().count() > MAX_SHOWN { shown + "..." } else { shown }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(keys: &[&str], partition_count: u32) -> Spread {
        let mut spread = Spread::new(partition_count);
        keys.iter().for_each(|key| spread.add(key));
        spread
    }

    #[test]
    fn counts_add_up_and_the_hottest_come_first() {
        let keys = ["a", "b", "a", "c", "a", "b", "d", "e"];
        let table = Table::new(&spread(&keys, 4), 2, "caveat");
        assert_eq!(table.partitions.iter().map(|row| row.keys).sum::<u64>(), 8);
        let hottest: Vec<_> = table.hottest.iter().map(|hot| (hot.key.as_str(), hot.events)).collect();
        assert_eq!(hottest, [("a", 3), ("b", 2)]);
        assert_eq!((table.keys, table.distinct_keys), (8, 5));
        let row = &table.partitions[table.hottest[0].partition as usize];
        assert!(row.keys >= 3);
    }

    #[test]
    fn skew_is_one_when_even_and_the_partition_count_when_one_key_is_all() {
        assert_eq!(Table::new(&spread(&["a"; 10], 4), 1, "").skew, 4.0);
        assert_eq!(Table::new(&spread(&["a"; 10], 1), 1, "").skew, 1.0);
        let many: Vec<String> = (0..10_000).map(|number| format!("device-{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(Table::new(&spread(&many, 8), 0, "").skew < 1.2);
    }

    #[test]
    fn keys_are_shown_short_and_harmless() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a?[2Jb");
        assert_eq!(printable(&"x".repeat(100)).len(), 67);
    }
}
