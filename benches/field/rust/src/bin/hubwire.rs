//! hubwire: up to a window of sends at a time, each batch packed afresh into memory that came back from an earlier one.

use std::sync::Arc;

use hubwire::{Connection, ConnectionString, Options, Sender};
use hubwire_field::{Span, Work, tell_first};
use tokio::task::JoinSet;

fn main() {
    let work = Work::from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let to = ConnectionString::parse(&work.connection_string()).expect("well-formed");
        let options = Options::default().max_in_flight_batches(work.window);
        let connection = Connection::open(&to, &options).await.expect("a peer");
        let sender = Arc::new(connection.sender("telemetry").await.expect("a link"));
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

async fn publish(sender: &Arc<Sender>, work: &Work, batches: usize) {
    let (mut sends, mut spare) = (JoinSet::new(), Vec::new());
    for _ in 0..batches {
        if sends.len() == work.window {
            spare.push(sends.join_next().await.expect("a send").expect("no panic"));
        }
        let mut batch = spare.pop().unwrap_or_else(|| sender.batch());
        for _ in 0..work.packer.count() {
            assert!(batch.try_add(work.packer.body()).is_added());
        }
        let sender = sender.clone();
        sends.spawn(async move { sender.send(batch).await.expect("accepted").into_batch() });
    }
    sends.join_all().await;
}
