//! hubwire's own client, as the one who measures it would use it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use super::blast::Packer;
use super::measure::{Took, cpu_of, this_thread};
use hubwire::{Accepted, Connection, ConnectionString, Options, SendError, Sender, Ticket};

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
            while let Some(outcome) = first_outcome(&mut tickets, self.window).await {
                tickets.pop_front();
                outcome.expect("accepted");
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

/// The outcome of the first ticket: waited for when the window is full, looked for when it is not.
async fn first_outcome(tickets: &mut VecDeque<Ticket>, window: usize) -> Option<Result<Accepted, SendError>> {
    let is_full = tickets.len() == window;
    let first = tickets.front_mut()?;
    poll_fn(|cx| match Pin::new(&mut *first).poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending if is_full => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
