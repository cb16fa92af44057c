//! hubwire: up to a window of batches without an outcome, each packed afresh into memory that an earlier one left.

use std::collections::VecDeque;

use hubwire::{Connection, ConnectionString, Options, Sender, Ticket};
use hubwire_field::{Span, Work, tell_first};

fn main() {
    let work = Work::from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let to = ConnectionString::parse(&work.connection_string()).expect("well-formed");
        let options = Options::default().max_in_flight_batches(work.window);
        let connection = Connection::open(&to, &options).await.expect("a peer");
        let sender = connection.sender("telemetry").await.expect("a link");
        publish(&sender, &work, 1).await;
        tell_first();
        publish(&sender, &work, work.warm_up).await;
        let span = Span::begin();
        publish(&sender, &work, work.batches).await;
        span.tell(&work);
        drop(sender);
        connection.close().await;
    });
}

async fn publish(sender: &Sender, work: &Work, batches: usize) {
    let mut tickets: VecDeque<Ticket> = VecDeque::with_capacity(work.window);
    for _ in 0..batches {
        // What is accepted leaves its memory to the next batch: look as soon as may be.
        while tickets.front().is_some_and(|first| tickets.len() == work.window || first.is_settled()) {
            tickets.pop_front().expect("one").await.expect("accepted");
        }
        let mut batch = sender.batch();
        for _ in 0..work.packer.count() {
            assert!(batch.try_add(work.packer.body()).is_added());
        }
        tickets.push_back(sender.enqueue(batch).await.expect("room"));
    }
    for ticket in tickets {
        ticket.await.expect("accepted");
    }
}
