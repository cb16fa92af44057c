//! The figures that have a name: for comparisons and limits.

use super::{MIB, Round};

/// A figure that runs are compared by, and limits are set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[allow(missing_docs, reason = "they are what their names say, and `Figure::named` says it again")]
pub enum Figure {
    Rate,
    Mib,
    Latency(Column, Rank),
    Cpu,
    Rss,
    Errors,
    Missed,
    Lost,
    Duplicates,
    OutOfOrder,
}

/// Which latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Column {
    /// From the time an event was due, or without a rate from when it was sent.
    Either,
    /// From the time it was due.
    Intended,
    /// From the time it was sent.
    Sent,
    /// To a reader.
    Arrival,
}

/// Which part of the events took no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they are what their names say")]
pub enum Rank {
    P50,
    P90,
    P99,
    P99_9,
    P99_99,
    Max,
    Mean,
}

pub(super) const RANKS: [(Rank, &str); 7] = [
    (Rank::P50, "p50"),
    (Rank::P90, "p90"),
    (Rank::P99, "p99"),
    (Rank::P99_9, "p99.9"),
    (Rank::P99_99, "p99.99"),
    (Rank::Max, "max"),
    (Rank::Mean, "mean"),
];
const COLUMNS: [(Column, &str); 4] =
    [(Column::Either, ""), (Column::Intended, "intended."), (Column::Sent, "sent."), (Column::Arrival, "arrival.")];
const PLAIN: [(Figure, &str, &str, bool); 9] = [
    (Figure::Rate, "rate", "events/s", true),
    (Figure::Mib, "mib", "MiB/s", true),
    (Figure::Cpu, "cpu", "CPU s/M events", false),
    (Figure::Rss, "rss", "MiB", false),
    (Figure::Errors, "errors", "%", false),
    (Figure::Missed, "missed", "events", false),
    (Figure::Lost, "lost", "events", false),
    (Figure::Duplicates, "duplicates", "events", false),
    (Figure::OutOfOrder, "out-of-order", "events", false),
];

impl Rank {
    fn name(self) -> &'static str {
        RANKS.iter().find(|(rank, _)| *rank == self).map_or("", |(_, name)| name)
    }
}

impl Figure {
    /// The one that is called `name`: `rate`, `mib`, `cpu`, `rss`, `errors`, `missed`, `lost`, `duplicates`, `out-of-order`,
    /// or `p50` to `p99.99`, `max` and `mean`, alone or with `intended.`, `sent.` or `arrival.` before them.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if let Some((figure, ..)) = PLAIN.iter().find(|(_, other, ..)| *other == name) {
            return Some(*figure);
        }
        let (column, rank) = match name.split_once('.').filter(|(column, _)| !column.starts_with('p')) {
            Some((column, rank)) => {
                let is_it = |(_, prefix): &&(Column, &str)| prefix.strip_suffix('.') == Some(column);
                (COLUMNS.iter().find(is_it)?.0, rank)
            }
            None => (Column::Either, name),
        };
        let (rank, _) = RANKS.iter().find(|(_, other)| *other == rank)?;
        Some(Self::Latency(column, *rank))
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Latency(column, rank) => {
                let prefix = COLUMNS.iter().find(|(other, _)| *other == column).map_or("", |(_, prefix)| prefix);
                format!("{prefix}{}", rank.name())
            }
            plain => PLAIN.iter().find(|(other, ..)| *other == plain).map_or("", |(_, name, ..)| name).to_owned(),
        }
    }

    /// The unit of its values.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Latency(..) => "ms",
            plain => PLAIN.iter().find(|(other, ..)| *other == plain).map_or("", |(_, _, unit, _)| unit),
        }
    }

    /// Whether more of it is better.
    #[must_use]
    pub fn is_better_high(self) -> bool {
        PLAIN.iter().any(|(other, _, _, is_better_high)| *other == self && *is_better_high)
    }

    /// Its value, in its unit; `None` when the round does not know it.
    #[must_use]
    pub fn of(self, round: &Round) -> Option<f64> {
        let received = round.received.as_ref();
        Some(match self {
            Self::Rate => round.events_per_sec(),
            Self::Mib => round.mib_per_sec(),
            Self::Cpu => round.cpu_secs_per_million()?,
            Self::Rss => round.peak_rss_bytes? as f64 / MIB,
            Self::Errors => round.failed_share() * 100.0,
            Self::Missed => round.missed as f64,
            Self::Lost => received?.lost? as f64,
            Self::Duplicates => received?.duplicates as f64,
            Self::OutOfOrder => received?.out_of_order as f64,
            Self::Latency(column, rank) => {
                let latency = match column {
                    Column::Either => round.latency(),
                    Column::Intended => round.intended.as_ref(),
                    Column::Sent => round.sent.as_ref(),
                    Column::Arrival => round.arrival.as_ref(),
                };
                latency?.named(rank.name())? / 1e3
            }
        })
    }

    /// Those that every comparison shows.
    pub(in crate::bench) fn compared() -> Vec<Self> {
        let latencies = RANKS[..6].iter().map(|(rank, _)| Self::Latency(Column::Either, *rank));
        let mut figures: Vec<Self> = vec![Self::Rate, Self::Mib];
        figures.extend(latencies);
        figures.extend([Self::Latency(Column::Arrival, Rank::P99), Self::Cpu, Self::Rss, Self::Errors]);
        figures
    }
}
