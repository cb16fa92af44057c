//! hubwire's own client, as the one who measures it would use it.

use std::collections::VecDeque;
use std::time::Instant;

use super::blast::Packer;
use super::measure::{Took, cpu_of, this_thread};
use hubwire::{Connection, ConnectionString, Options, Sender, Ticket};

pub struct Publisher {
    connection: Connection,
    sender: Sender,
    window: usize,
}

impl Publisher {
    pub async fn open(to: &ConnectionString, options: Options, window: usize) -> Self {
        let options = options.max_in_flight_batches(window);
        let connection = Connection::open(to, &options).await.expect("a peer");
        let sender = connection.sender("telemetry").await.expect("a link");
        Self { connection, sender, window }
    }

    /// Packs each batch afresh, and sends it, up to a window of them without an outcome.
    #[allow(clippy::disallowed_methods, reason = "a bench measures time")]
    pub async fn publish(&self, packer: &Packer, batches: usize) -> Took {
        let thread = this_thread();
        let (began, cpu_before) = (Instant::now(), cpu_of(&thread));
        let mut tickets: VecDeque<Ticket> = VecDeque::with_capacity(self.window);
        for _ in 0..batches {
            // What is accepted leaves its memory to the next batch: look as soon as may be.
            while tickets.front().is_some_and(|first| tickets.len() == self.window || first.is_settled()) {
                tickets.pop_front().expect("one").await.expect("accepted");
            }
            let mut batch = self.sender.batch();
            for _ in 0..packer.count() {
                assert!(batch.try_add(packer.body()).is_added());
            }
            tickets.push_back(self.sender.enqueue(batch).await.expect("room"));
        }
        for ticket in tickets {
            ticket.await.expect("accepted");
        }
        Took::of(began.elapsed(), cpu_of(&thread) - cpu_before, batches)
    }

    pub async fn close(self) {
        drop(self.sender);
        self.connection.close().await;
    }
}
