//! What a run came to: every figure with its unit in its name.

pub(super) mod csv;
mod figure;
pub(super) mod hdr;
pub(super) mod html;
#[cfg(test)]
mod tests;
pub(super) mod text;

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::latency::Latency;
use super::ledger::Received;
use super::limits::Limit;
use super::search::Step;
use super::usage::Machine;
use super::workload::{Workload, quoted};
use crate::wire::secret::shown;
pub use figure::{Column, Figure, Rank};

/// The form of a saved report. A later one may not read.
const FORMAT: u32 = 1;
/// One throughput unit, in events and in bytes a second. Source: Azure's quotas of Event Hubs.
const UNIT_EVENTS: f64 = 1_000.0;
const UNIT_BYTES: f64 = MIB;
pub(crate) const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_024.0 * MIB;

/// A whole run: what was asked for, on what, and its rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The form of this report.
    pub format: u32,
    /// hubwire's version.
    pub version: String,
    /// Whether it was built with debug assertions: its figures mean nothing then.
    pub is_debug_build: bool,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// The machine.
    pub machine: Machine,
    /// Whom it was published to, in words; for the one who reads the report.
    pub target: String,
    /// The options of `hubwire bench` that lead there.
    #[serde(default)]
    pub target_options: String,
    /// The event hub.
    pub event_hub: String,
    /// The workload.
    pub workload: Workload,
    /// The files that the workload names, as they were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<NamedFile>,
    /// The rounds, in the order they were run.
    pub rounds: Vec<Round>,
    /// What broke a rate, if a maximum was looked for: the workload is where that began, and the rounds are those of the highest
    /// rate that held, or of the first if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_limits: Option<Vec<Limit>>,
    /// The rates that were tried, if a maximum was looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<Step>,
    /// Why it ended before its time, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
}

/// A file that a workload names: the same command with another one in its place is another run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedFile {
    /// Where it was; masked, if a connection string was taken for a path.
    pub path: String,
    /// Its bytes.
    pub len: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl NamedFile {
    pub(super) fn of(path: &Path, text: &str) -> Self {
        let digest = Sha256::digest(text);
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { path: shown(path).to_string(), len: text.len() as u64, sha256 }
    }
}

/// `keys.txt, 4096 bytes, SHA-256 2c26b46b68ff...`: enough of it to tell two files apart.
impl fmt::Display for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes, SHA-256 {:.12}...", self.path, self.len, self.sha256)
    }
}

/// How events ended. The four ends add up to what was offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// Handed to the client.
    pub offered: u64,
    /// Stored by the hub.
    pub accepted: u64,
    /// Refused by the hub.
    pub rejected: u64,
    /// Certain not to be stored.
    pub not_sent: u64,
    /// Stored or not.
    pub unknown: u64,
}

impl Ends {
    /// What was not accepted.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.rejected + self.not_sent + self.unknown
    }
}

/// What one round came to. The warm-up is in none of its figures but `warm_up`, and what is said of readers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// From the end of the warm-up to the time until which events were offered, at a given rate until which they were due, or to the
    /// last outcome of any kind: whichever is later.
    pub span_secs: f64,
    /// How its events ended.
    pub ends: Ends,
    /// How those of the warm-up ended.
    pub warm_up: Ends,
    /// Were due while nothing could be sent, and not sent.
    pub missed: u64,
    /// Accepted batches.
    pub batches: u64,
    /// Bytes of the accepted events' bodies.
    pub body_bytes: u64,
    /// Bytes of the accepted messages.
    pub message_bytes: u64,
    /// Bytes that the publisher's sockets sent in that span: frames, TLS, tokens, heartbeats and what was sent again are in it.
    #[serde(default)]
    pub wire_sent_bytes: u64,
    /// Bytes that they received: outcomes, most of all.
    #[serde(default)]
    pub wire_received_bytes: u64,
    /// What the accepted events are billed as: each is one for every 64 KiB, or part of it.
    pub billed_events: u64,
    /// From the time an event was due to its outcome; what was missed is in it. Without a rate nothing is ever due.
    pub intended: Option<Latency>,
    /// From the time a batch was handed over to its outcome.
    pub sent: Option<Latency>,
    /// From the time an event was due, or else packed, to its arrival at a reader.
    pub arrival: Option<Latency>,
    /// What readers found.
    pub received: Option<Received>,
    /// CPU of the publisher's thread; `None` where the system does not tell, or with more threads than one.
    pub client_cpu_secs: Option<f64>,
    /// CPU of the hub's threads, if it is in this process.
    pub peer_cpu_secs: Option<f64>,
    /// CPU of the readers' thread, if they have one.
    pub reader_cpu_secs: Option<f64>,
    /// The most memory that the process had, with all that is in it.
    pub peak_rss_bytes: Option<u64>,
    /// Times that the hub throttled a link.
    pub throttles: u64,
    /// How long links rested for it, on average. The links of a connection that lead to one address count as one.
    pub throttled_secs: f64,
    /// How long a window was full, and an outcome was waited for, on average.
    pub window_wait_secs: f64,
    /// Batches that found their link without credit.
    pub credit_waits: u64,
    /// Times that a batch was sent again.
    pub resent: u64,
    /// Links, sessions and connections that were lost.
    pub losses: u64,
    /// Second by second.
    pub seconds: Vec<Second>,
}

/// A second of a round, or what there was of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Its start, since the end of the warm-up; below 0 within it.
    pub at_secs: f64,
    /// Its length.
    pub span_secs: f64,
    /// Events accepted in it.
    pub events: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Events that ended otherwise in it.
    pub failed: u64,
    /// Events missed in it.
    pub missed: u64,
    /// Latencies of the events whose outcomes came in it, from the time they were due, or else handed over.
    pub p50_us: f64,
    /// 99 %.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// All of it: HdrHistogram V2, compressed, base64.
    pub hdr_base64: String,
    /// Batches without an outcome at its end.
    pub in_flight: u64,
    /// Batches that found their link without credit, in it.
    pub credit_waits: u64,
    /// Times that the hub throttled a link, in it.
    pub throttles: u64,
    /// CPU of the publisher's thread in it.
    pub client_cpu_secs: Option<f64>,
    /// Memory of the process at its end.
    pub rss_bytes: Option<u64>,
}

impl Round {
    /// Accepted events a second.
    #[must_use]
    pub fn events_per_sec(&self) -> f64 {
        per(self.ends.accepted as f64, self.span_secs)
    }

    /// MiB of bodies a second.
    #[must_use]
    pub fn mib_per_sec(&self) -> f64 {
        per(self.body_bytes as f64, self.span_secs) / UNIT_BYTES
    }

    /// What messages have beyond their events' bodies, as a share of these.
    #[must_use]
    pub fn overhead(&self) -> f64 {
        per(self.message_bytes as f64, self.body_bytes as f64) - if self.body_bytes > 0 { 1.0 } else { 0.0 }
    }

    /// What went over the publisher's sockets beyond the accepted events' bodies, both ways, as a share of these. `None` if it was
    /// not counted, or nothing was accepted.
    ///
    /// What is under way as the measuring begins was sent before; over a span of a few batches that shows.
    #[must_use]
    pub fn wire_overhead(&self) -> Option<f64> {
        let wire = self.wire_sent_bytes + self.wire_received_bytes;
        (wire > 0 && self.body_bytes > 0).then(|| wire as f64 / self.body_bytes as f64 - 1.0)
    }

    /// Events of a batch.
    #[must_use]
    pub fn events_per_batch(&self) -> f64 {
        per(self.ends.accepted as f64, self.batches as f64)
    }

    /// Bytes of a batch's message.
    #[must_use]
    pub fn bytes_per_batch(&self) -> f64 {
        per(self.message_bytes as f64, self.batches as f64)
    }

    /// The publisher's CPU for a million accepted events, in seconds.
    #[must_use]
    pub fn cpu_secs_per_million(&self) -> Option<f64> {
        self.client_cpu_secs.filter(|_| self.ends.accepted > 0).map(|secs| secs * 1e6 / self.ends.accepted as f64)
    }

    /// Throughput units that its rate needs: 1,000 events or 1 MiB a second each, whichever takes more.
    #[must_use]
    pub fn throughput_units(&self) -> u64 {
        let bytes_per_sec = per(self.message_bytes as f64, self.span_secs);
        (self.events_per_sec() / UNIT_EVENTS).max(bytes_per_sec / UNIT_BYTES).ceil() as u64
    }

    /// What was not accepted, of what was offered.
    #[must_use]
    pub fn failed_share(&self) -> f64 {
        per(self.ends.failed() as f64, self.ends.offered as f64)
    }

    /// The latency that cannot hide a stall: from the time events were due, or else from when they were sent.
    #[must_use]
    pub fn latency(&self) -> Option<&Latency> {
        self.intended.as_ref().or(self.sent.as_ref())
    }
}

/// How a workload is run on the command line, or its maximum looked for under limits.
pub(crate) fn command(target_options: &str, workload: &Workload, search_limits: Option<&[Limit]>) -> String {
    let blank = if target_options.is_empty() { "" } else { " " };
    let mut text = format!("hubwire bench {target_options}{blank}{workload}");
    if let Some(limits) = search_limits {
        text.push_str(" --find-max");
        limits.iter().for_each(|limit| text += &format!(" --limit {}", quoted(&limit.to_string())));
    }
    text
}

fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

/// What is wrong with a text that should be a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It is no report.
    #[error("it is no report of `hubwire bench --output json`: {0}; save one anew")]
    Json(#[from] serde_json::Error),
    /// It is one of another version.
    #[error("it is a report of format {found}, and {FORMAT} is read; save one anew with this version")]
    Format {
        /// Its format.
        found: u32,
    },
    /// Nothing was measured.
    #[error("it has no round; save a report of a run that got so far")]
    NoRound,
}

impl Report {
    /// A report without a round yet.
    pub(super) fn new(workload: &Workload, target: impl Into<String>, event_hub: &str, started_at: String) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            is_debug_build: cfg!(debug_assertions),
            started_at,
            machine: Machine::here(),
            target: target.into(),
            target_options: String::new(),
            event_hub: event_hub.to_owned(),
            workload: workload.clone(),
            files: Vec::new(),
            rounds: Vec::new(),
            search_limits: None,
            search: Vec::new(),
            ended_early: None,
        }
    }

    /// The command that repeats it.
    #[must_use]
    pub fn command(&self) -> String {
        command(&self.target_options, &self.workload, self.search_limits.as_deref())
    }

    /// As JSON, one object.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps have text for keys, and numbers are finite.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`ReportError`] for anything else.
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_str(text)?;
        if format != FORMAT {
            return Err(ReportError::Format { found: format });
        }
        let report: Self = serde_json::from_str(text)?;
        if report.rounds.is_empty() { Err(ReportError::NoRound) } else { Ok(report) }
    }

    /// As CSV: a line of names with units, and one for each round.
    #[must_use]
    pub fn to_csv(&self) -> String {
        csv::written(self)
    }

    /// As an HDR log, an interval for each second, in nanoseconds; the column of maxima is in milliseconds, as HdrHistogram's tools have it.
    #[must_use]
    pub fn to_hdr_log(&self) -> String {
        hdr::written(self)
    }

    /// As a page that needs nothing beside itself: figures, and plots of latency and rate.
    #[must_use]
    pub fn to_html(&self) -> String {
        html::written(self)
    }

    /// What `figure` is in each round; empty when it is not known of all.
    #[must_use]
    pub fn values(&self, figure: Figure) -> Vec<f64> {
        let values: Option<Vec<f64>> = self.rounds.iter().map(|round| figure.of(round)).collect();
        values.unwrap_or_default()
    }

    /// The round whose rate is the median: what stands for all of them.
    #[must_use]
    pub fn middle(&self) -> Option<&Round> {
        let mut by_rate: Vec<&Round> = self.rounds.iter().collect();
        by_rate.sort_by(|one, other| one.events_per_sec().total_cmp(&other.events_per_sec()));
        by_rate.get((by_rate.len().max(1) - 1) / 2).copied()
    }
}

/// Versions, machine and workload, as names and words.
pub(super) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let machine = &report.machine;
    let build =
        if report.is_debug_build { ", a debug build: build with --release before you believe a figure" } else { "" };
    let known: Vec<&str> = [&machine.cpu, &machine.system, &machine.kernel]
        .into_iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .collect();
    let memory = machine.memory_len.map(|len| format!("{:.1} GiB, ", len as f64 / GIB)).unwrap_or_default();
    let mut facts = vec![("workload", report.command()), ("target", report.target.clone())];
    facts.extend(report.files.iter().map(|file| ("file", file.to_string())));
    facts.extend([
        ("machine", format!("{} CPUs, {memory}{}", machine.cpus, known.join(", "))),
        ("version", format!("hubwire {}{build}, {}", report.version, report.started_at)),
    ]);
    if let Some(cause) = &report.ended_early {
        facts.push(("ended early", cause.clone()));
    }
    facts
}
