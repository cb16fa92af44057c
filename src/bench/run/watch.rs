//! A round, looked at from outside: seconds, CPU, memory, connections.

use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;

use super::say_goodbye;
use super::tally::Tally;
use crate::bench::report::{Round, Second};
use crate::bench::stop::Stop;
use crate::bench::target::Target;
use crate::bench::usage::{Memory, Threads};
use crate::{Connection, clock};

/// How often it is told how a round goes.
const SECOND: Duration = Duration::from_secs(1);

/// Looks on while a round runs.
pub(super) struct Watch {
    connections: Vec<Connection>,
    tally: Tally,
    measured_from: Instant,
    threads: [Threads; 3],
    /// What was used when measuring began, and at the last second.
    before: Usage,
    last: Usage,
    last_at: Instant,
    seconds: Vec<Second>,
    is_measuring: bool,
}

/// CPU of the publisher, the hub and the readers; what connections counted.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu: [Option<Duration>; 3],
    credit_waits: u64,
    resent: u64,
    wire_sent: u64,
    wire_received: u64,
}

impl Usage {
    fn cpu_secs_since(&self, before: &Self, which: usize) -> Option<f64> {
        let (now, before) = self.cpu[which].zip(before.cpu[which])?;
        Some(now.saturating_sub(before).as_secs_f64())
    }
}

impl Watch {
    pub(super) fn new(target: &Target, connections: Vec<Connection>, tally: Tally, measured_from: Instant) -> Self {
        let is_alone = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        let client = if is_alone { Threads::here() } else { Threads::default() };
        let readers = target.readers().1.unwrap_or_default();
        Self {
            connections,
            tally,
            measured_from,
            threads: [client, target.peer.clone(), readers],
            before: Usage::default(),
            last: Usage::default(),
            last_at: measured_from,
            seconds: Vec::new(),
            is_measuring: false,
        }
    }

    /// Begins, if there is no warm-up: before anything leaves.
    pub(super) fn begin_if_due(&mut self) {
        if clock::now() >= self.measured_from {
            self.begin();
        }
    }

    /// Waits for the lanes, and tells each second; what is under way is given up when that is wished for.
    pub(super) async fn until_all_end(
        &mut self,
        mut lanes: JoinSet<()>,
        stop: &Stop,
        on_second: &mut impl FnMut(&Second),
    ) {
        let mut is_given_up = false;
        loop {
            let next = if self.is_measuring { self.last_at + SECOND } else { self.measured_from };
            tokio::select! {
                biased;
                () = stop.given_up(), if !is_given_up => {
                    is_given_up = true;
                    self.connections.iter().for_each(Connection::abort);
                }
                () = tokio::time::sleep_until(next.into()) => match self.is_measuring {
                    true => on_second(self.take_second()),
                    false => self.begin(),
                },
                ended = lanes.join_next() => match ended {
                    None => break,
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Some(_) => {}
                },
            }
        }
        if self.is_measuring && (clock::now() > self.last_at || self.tally.has_news()) {
            on_second(self.take_second());
        }
    }

    /// The warm-up is over.
    fn begin(&mut self) {
        Memory::forget_peak();
        self.before = self.usage();
        (self.last, self.is_measuring) = (self.before, true);
    }

    fn usage(&self) -> Usage {
        let counters = self.connections.iter().map(Connection::counters);
        let mut usage = Usage { cpu: [0, 1, 2].map(|which| self.threads[which].used()), ..Usage::default() };
        for counters in counters {
            usage.credit_waits += counters.credit_waits;
            usage.resent += counters.retried;
            usage.wire_sent += counters.sent_bytes;
            usage.wire_received += counters.received_bytes;
        }
        usage
    }

    fn take_second(&mut self) -> &Second {
        let (now, usage) = (clock::now(), self.usage());
        let secs = |span: Duration| span.as_secs_f64();
        let second = Second {
            at_secs: secs(self.last_at.saturating_duration_since(self.measured_from)),
            span_secs: secs(now.saturating_duration_since(self.last_at)),
            credit_waits: usage.credit_waits - self.last.credit_waits,
            client_cpu_secs: usage.cpu_secs_since(&self.last, 0),
            rss_bytes: Memory::read().now,
            ..self.tally.take_second()
        };
        (self.last, self.last_at) = (usage, now);
        self.seconds.push(second);
        &self.seconds[self.seconds.len() - 1]
    }

    /// The whole round; its connections are closed.
    pub(super) async fn finish(self, (lanes, addresses): (u32, u32), stop: &Stop) -> Round {
        let (before, last) = (self.before, self.last);
        let round = Round {
            client_cpu_secs: last.cpu_secs_since(&before, 0),
            peer_cpu_secs: last.cpu_secs_since(&before, 1),
            reader_cpu_secs: last.cpu_secs_since(&before, 2),
            peak_rss_bytes: Memory::read().peak,
            credit_waits: last.credit_waits - before.credit_waits,
            resent: last.resent - before.resent,
            wire_sent_bytes: last.wire_sent - before.wire_sent,
            wire_received_bytes: last.wire_received - before.wire_received,
            seconds: self.seconds,
            ..self.tally.round(lanes, addresses)
        };
        say_goodbye(&self.connections, stop).await;
        round
    }
}
