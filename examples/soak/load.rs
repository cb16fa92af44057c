//! Senders that never rest.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use hubwire::{Batch, Connection, ConnectionString, Counters, Options, Retry, SendError, Sender};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::random::Random;
use super::tally::{Tally, Told, body};
use super::{HUB, PARTITIONS};

/// Batches that a connection may have under way: the window.
const WINDOW_BATCHES: usize = 64;
/// Who sends at the same time on one sender.
const CALLERS: usize = 24;
const MAX_EVENTS: u64 = 60;
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) until: Instant,
    pub(crate) tally: Arc<Tally>,
}

/// What the connections came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) recovered: u64,
    pub(crate) retried: u64,
    pub(crate) longest_send: Duration,
    pub(crate) in_flight: u64,
}

impl Load {
    /// Publishes over `connections` connections until it is time; every outcome is in the tally by then.
    pub(crate) async fn run(
        &self,
        connection_string: &str,
        connections: usize,
        mut random: Random,
    ) -> Result<Ends, Box<dyn Error>> {
        let to = ConnectionString::parse(connection_string)?;
        let mut running = JoinSet::new();
        for _ in 0..connections {
            running.spawn(self.clone().publish(to.clone(), random.split()));
        }
        let mut ends = Ends::default();
        while let Some(ended) = running.join_next().await {
            let (counters, longest): (Counters, Duration) = ended?;
            ends.recovered += counters.recovered;
            ends.retried += counters.retried;
            ends.in_flight += counters.in_flight_batches;
            ends.longest_send = ends.longest_send.max(longest);
        }
        Ok(ends)
    }

    /// One connection: three senders, each with many callers.
    async fn publish(self, to: ConnectionString, mut random: Random) -> (Counters, Duration) {
        let connection = open(&to, random.next()).await;
        let mut callers = JoinSet::new();
        for aim in 0..3 {
            let sender = Arc::new(attach(&connection, aim, &mut random).await);
            for _ in 0..CALLERS {
                callers.spawn(self.clone().call(Arc::clone(&sender), aim, random.split()));
            }
        }
        let mut longest = Duration::ZERO;
        while let Some(ended) = callers.join_next().await {
            longest = longest.max(ended.expect("no caller panics"));
        }
        connection.close().await;
        (connection.counters(), longest)
    }

    /// One caller: a batch after the other. The longest that it waited for an outcome.
    async fn call(self, sender: Arc<Sender>, aim: usize, mut random: Random) -> Duration {
        let mut longest = Duration::ZERO;
        while Instant::now() < self.until {
            let events = random.between(1, MAX_EVENTS) as u32;
            let id = self.tally.open(events);
            let mut batch = Some(filled(&sender, aim, id, events));
            // What was not sent is sent again, by this caller: it cannot duplicate.
            while let Some(sending) = batch.take() {
                let began = Instant::now();
                let result = sender.send(sending).await;
                longest = longest.max(began.elapsed());
                self.tally.tell(id, Told::of(&result));
                if let Err(SendError::NotSent { batch: back, .. }) = result {
                    // A hub that is not there answers at once.
                    tokio::time::sleep(random.millis(0, 100)).await;
                    batch = Some(back).filter(|_| Instant::now() < self.until);
                }
            }
        }
        longest
    }
}

/// The first connection is tried once; through this proxy that may not do.
async fn open(to: &ConnectionString, seed: u64) -> Connection {
    let retry = Retry::default().base(Duration::from_millis(50)).cap(Duration::from_secs(1));
    let options = Options::default()
        .seed(seed)
        .send_timeout(SEND_TIMEOUT)
        .open_timeout(Duration::from_secs(5))
        .idle_timeout(Duration::from_secs(4))
        .write_timeout(Duration::from_secs(3))
        .max_in_flight_batches(WINDOW_BATCHES)
        .retry(retry);
    loop {
        if let Ok(connection) = Connection::open(to, &options).await {
            return connection;
        }
    }
}

async fn attach(connection: &Connection, aim: usize, random: &mut Random) -> Sender {
    loop {
        let made = match aim {
            0 => connection.partition_sender(HUB, &random.below(PARTITIONS.into()).to_string()).await,
            _ => connection.sender(HUB).await,
        };
        if let Ok(sender) = made {
            return sender;
        }
    }
}

fn filled(sender: &Sender, aim: usize, id: usize, events: u32) -> Batch {
    let mut batch = match aim {
        2 => sender.batch_with_partition_key(&format!("key{}", id % 7)).expect("a key that will do"),
        _ => sender.batch(),
    };
    for _ in 0..events {
        assert!(batch.try_add(body(id)).is_added(), "it fits");
    }
    batch
}
