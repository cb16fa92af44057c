//! Does the same work a number of times, for `benches/instructions` to count: `work pack|publish EVENT_LEN BATCHES`; full
//! batches of events of `EVENT_LEN` bytes, packed, or packed and sent to `CONNECTION_STR`.

use std::error::Error;
use std::hint::black_box;

use hubwire::{Batch, Connection, ConnectionString, Options};

/// What a hub of the standard tier takes, in bytes.
const BATCH_LEN: usize = 1_048_576;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let (event_len, batches) = (args.next().unwrap_or_default().parse()?, args.next().unwrap_or_default().parse()?);
    let body = vec![7; event_len];
    match what.as_str() {
        "pack" => pack(&body, batches),
        "publish" => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(publish(&body, batches))?
        }
        other => return Err(format!("pack or publish, and not {other:?}").into()),
    }
    Ok(())
}

fn pack(body: &[u8], batches: usize) {
    let mut batch = Batch::new(BATCH_LEN);
    for _ in 0..batches {
        batch.clear();
        while batch.try_add(black_box(body)).is_added() {}
        black_box(batch.encoded());
    }
}

async fn publish(body: &[u8], batches: usize) -> Result<(), Box<dyn Error>> {
    let connection_string = ConnectionString::parse(&std::env::var("CONNECTION_STR")?)?;
    let connection = Connection::open(&connection_string, &Options::default()).await?;
    let sender = connection.sender("telemetry").await?;
    for _ in 0..batches {
        let mut batch = sender.batch();
        while batch.try_add(black_box(body)).is_added() {}
        sender.send(batch).await?;
    }
    connection.close().await;
    Ok(())
}
