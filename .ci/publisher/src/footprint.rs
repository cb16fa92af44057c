//! Publishes a load and tells what the process came to: `footprint three|batch|window`, to `CONNECTION_STR`.
//!
//! Peak memory is told from within: what the system tells a parent holds the parent's own, from before the program began.

use std::error::Error;
use std::sync::Arc;

use hubwire::{Batch, Connection, ConnectionString, Options, Sender};
use tokio::task::JoinSet;

/// Batches under way together.
const WINDOW: usize = 8;
/// How often each of them is sent: what grows with every batch would be seen.
const ROUNDS: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let load = std::env::args().nth(1).unwrap_or_default();
    let connection_string = ConnectionString::parse(&std::env::var("CONNECTION_STR")?)?;
    let connection = Connection::open(&connection_string, &Options::default()).await?;
    let sender = Arc::new(connection.sender("telemetry").await?);
    match load.as_str() {
        "three" => drop(publish(&sender, three(sender.batch())).await),
        "batch" => drop(publish(&sender, full(sender.batch())).await),
        "window" => {
            let mut sends = JoinSet::new();
            for _ in 0..WINDOW {
                let sender = sender.clone();
                sends.spawn(async move {
                    let mut batch = sender.batch();
                    for _ in 0..ROUNDS {
                        batch = publish(&sender, full(batch)).await;
                    }
                });
            }
            while let Some(sent) = sends.join_next().await {
                sent?;
            }
        }
        other => return Err(format!("three, batch or window, and not {other:?}").into()),
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let tell = |name: &str| status.lines().find(|line| line.starts_with(name)).map(ToOwned::to_owned);
    println!("{}", tell("VmHWM:").ok_or("no VmHWM")?);
    println!("{}", tell("Threads:").ok_or("no Threads")?);
    connection.close().await;
    Ok(())
}

async fn publish(sender: &Sender, batch: Batch) -> Batch {
    sender.send(batch).await.expect("accepted").into_batch()
}

fn three(mut batch: Batch) -> Batch {
    for body in ["first event", "second event", "..."] {
        assert!(batch.try_add(body).is_added());
    }
    batch
}

fn full(mut batch: Batch) -> Batch {
    while batch.try_add(&[7; 100]).is_added() {}
    batch
}
