//! hubwire's own client, as the one who measures it would use it.

use std::sync::Arc;
use std::time::Instant;

use hubwire::{Connection, ConnectionString, Options, Sender};
use tokio::task::JoinSet;

use super::blast::Packer;
use super::measure::{Took, cpu_of, this_thread};

pub struct Publisher {
    connection: Connection,
    sender: Arc<Sender>,
    window: usize,
}

impl Publisher {
    pub async fn open(to: &ConnectionString, options: Options, window: usize) -> Self {
        let options = options.max_in_flight_batches(window);
        let connection = Connection::open(to, &options).await.expect("a peer");
        let sender = Arc::new(connection.sender("telemetry").await.expect("a link"));
        Self { connection, sender, window }
    }

    /// Packs each batch afresh, and sends it, up to a window of them without an outcome.
    #[allow(clippy::disallowed_methods, reason = "a bench measures time")]
    pub async fn publish(&self, packer: &Packer, batches: usize) -> Took {
        let thread = this_thread();
        let (began, cpu_before) = (Instant::now(), cpu_of(&thread));
        let (mut sends, mut spare) = (JoinSet::new(), Vec::new());
        for _ in 0..batches {
            if sends.len() == self.window {
                spare.push(sends.join_next().await.expect("a send").expect("no panic"));
            }
            let mut batch = spare.pop().unwrap_or_else(|| self.sender.batch());
            for _ in 0..packer.count() {
                assert!(batch.try_add(packer.body()).is_added());
            }
            let sender = self.sender.clone();
            sends.spawn(async move { sender.send(batch).await.expect("accepted").into_batch() });
        }
        sends.join_all().await;
        Took::of(began.elapsed(), cpu_of(&thread) - cpu_before, batches)
    }

    pub async fn close(self) {
        drop(self.sender);
        self.connection.close().await;
    }
}
