//! Somebody who sends: in turn, at once, with patience or without, and changes senders now and then.

use std::sync::Arc;
use std::time::Duration;

use hubwire::{Batch, Connection, Error, SendError, Sender};
use tokio::task::JoinSet;

use super::ledger::{Ledger, Told, body};
use super::random::Random;
use super::{HUB, PARTITIONS, now};

/// Where a publisher's batches go.
#[derive(Clone, Debug)]
pub(crate) enum Aim {
    Hub,
    Partition(String),
    Key(String),
}

impl Aim {
    pub(crate) fn draw(random: &mut Random) -> Self {
        match random.below(3) {
            0 => Self::Hub,
            1 => Self::Partition(random.below(PARTITIONS.into()).to_string()),
            _ => Self::Key(format!("key{}", random.below(3))),
        }
    }
}

/// The times that its calls may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) open: Duration,
    pub(crate) send: Duration,
    pub(crate) close: Duration,
}

#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) client: usize,
    pub(crate) connection: Connection,
    pub(crate) aim: Aim,
    pub(crate) limits: Limits,
    /// Bytes of an event, at most.
    pub(crate) largest_event: u64,
    pub(crate) ledger: Ledger,
}

/// How a batch is handed in.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Patient,
    /// Only when there is room at once.
    Try,
    /// Its future is dropped after a while.
    Leaving(Duration),
}

impl Publisher {
    pub(crate) async fn run(self, mut random: Random) {
        for _ in 0..random.between(1, 3) {
            let began = now();
            let made = match &self.aim {
                Aim::Partition(id) => self.connection.partition_sender(HUB, id).await,
                Aim::Hub | Aim::Key(_) => self.connection.sender(HUB).await,
            };
            self.ledger.check_limit("making a sender", now() - began, self.limits.open);
            match made {
                Ok(sender) => self.use_up(sender, &mut random).await,
                Err(error) => self.ledger.note(|| format!("connection {}: no sender: {error}", self.client)),
            }
            tokio::time::sleep(random.millis(0, 2_000)).await;
        }
    }

    /// Sends some, and gives the sender up.
    async fn use_up(&self, sender: Sender, random: &mut Random) {
        let (sender, number) = (Arc::new(sender), self.ledger.new_sender());
        for _ in 0..random.between(1, 4) {
            self.burst(&sender, number, random).await;
            let pause = random.pick(&[0, 0, 10, 500, 4_000, 15_000]);
            tokio::time::sleep(random.millis(0, pause)).await;
        }
        let sender = Arc::try_unwrap(sender).expect("every send is over");
        if random.percent(50) {
            let began = now();
            sender.close().await;
            self.ledger.check_limit("closing a sender", now() - began, self.limits.close);
        }
    }

    async fn burst(&self, sender: &Arc<Sender>, number: usize, random: &mut Random) {
        let is_at_once = random.percent(70);
        let mut sends = JoinSet::new();
        for _ in 0..random.magnitude(12) {
            let manner = match random.below(10) {
                0 => Manner::Try,
                1 => Manner::Leaving(random.millis(0, 10)),
                2 => Manner::Leaving(random.millis(0, self.limits.send.as_millis() as u64)),
                _ => Manner::Patient,
            };
            let (publisher, sender, mut own) = (self.clone(), Arc::clone(sender), random.split());
            sends.spawn(async move { publisher.send(&sender, number, manner, &mut own).await });
            if !is_at_once {
                join(&mut sends, &self.ledger).await;
            }
        }
        join(&mut sends, &self.ledger).await;
    }

    /// Sends a batch; one that was not sent is sent again, now and then.
    async fn send(&self, sender: &Sender, number: usize, manner: Manner, random: &mut Random) {
        let events = random.between(1, 4) as usize;
        let id = self.ledger.open(self.client, number, events);
        let Some(mut batch) = self.batch(sender, id, events, random) else { return };
        for _ in 0..3 {
            let encoded = batch.encoded().to_vec();
            let Some(result) = self.send_once(sender, id, batch, manner).await else { return };
            let told = Told::of(&result);
            match result {
                Ok(accepted) => return self.check_accepted(id, accepted.events == events, accepted.into_batch()),
                Err(error) => batch = error.into_batch(),
            }
            if batch.encoded() != encoded {
                self.ledger.breach(format!("batch {id} came back as another"));
            }
            if told != Told::NotSent || random.percent(60) {
                return;
            }
        }
    }

    fn check_accepted(&self, id: usize, is_whole: bool, batch: Batch) {
        if !is_whole || !batch.is_empty() {
            self.ledger.breach(format!("batch {id} was accepted in part"));
        }
    }

    fn batch(&self, sender: &Sender, id: usize, events: usize, random: &mut Random) -> Option<Batch> {
        let mut batch = match &self.aim {
            Aim::Key(key) => sender.batch_with_partition_key(key).expect("a key that will do"),
            Aim::Hub | Aim::Partition(_) => sender.batch(),
        };
        for index in 0..events {
            let body = body(id, index, events, random.magnitude(self.largest_event) as usize);
            // What does not fit is never handed in.
            if !batch.try_add(body).is_added() {
                return None;
            }
        }
        Some(batch)
    }

    /// `None` when the future was dropped.
    async fn send_once(
        &self,
        sender: &Sender,
        id: usize,
        batch: Batch,
        manner: Manner,
    ) -> Option<Result<hubwire::Accepted, SendError>> {
        let began = now();
        self.ledger.hand_in(id);
        let result = match manner {
            Manner::Patient => Some(sender.send(batch).await),
            Manner::Try => Some(sender.try_send(batch).await),
            Manner::Leaving(after) => tokio::time::timeout(after, sender.send(batch)).await.ok(),
        };
        self.ledger.check_limit("a send", now() - began, self.limits.send);
        let words = match &result {
            Some(Err(error)) => error.to_string(),
            _ => String::new(),
        };
        self.ledger.tell(id, result.as_ref().map_or(Told::Dropped, Told::of), &words);
        if let Some(Err(SendError::NotSent { cause: Error::WindowFull, .. })) = &result
            && !matches!(manner, Manner::Try)
        {
            self.ledger.breach(format!("batch {id} was to wait for the window, and did not"));
        }
        result
    }
}

/// Waits for all of them; one that panics is a breach.
async fn join(sends: &mut JoinSet<()>, ledger: &Ledger) {
    while let Some(ended) = sends.join_next().await {
        if let Err(error) = ended {
            ledger.breach(format!("a send panicked: {error}"));
        }
    }
}
