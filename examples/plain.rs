//! Publish from a plain `fn main`: no runtime in sight, and every outcome told.
//!
//! `CONNECTION_STR='Endpoint=sb://...' EVENTHUB_NAME=telemetry cargo run --example plain`

use hubwire::blocking::Connection;
use hubwire::{ConnectionString, Options, SendError};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connection_string = ConnectionString::parse(&std::env::var("CONNECTION_STR")?)?;
    let named = std::env::var("EVENTHUB_NAME").ok();
    let hub = connection_string.resolve_event_hub(named.as_deref())?;

    let connection = Connection::open(&connection_string, &Options::default())?;
    let sender = connection.sender(hub)?;
    let mut batch = sender.batch();
    for body in ["first event", "second event", "..."] {
        // Three short events fit any batch; `TryAdd` says what to do with one that does not.
        assert!(batch.try_add(body).is_added());
    }
    match sender.send(batch) {
        Ok(accepted) => println!("accepted {} events in {hub}", accepted.events),
        Err(SendError::Rejected { condition, description, .. }) => println!("rejected: {condition}: {description}"),
        Err(SendError::NotSent { cause, .. }) => println!("not sent, safe to send again: {cause}"),
        Err(SendError::Unknown { cause, .. }) => println!("unknown, sending again may duplicate: {cause}"),
        Err(other) => println!("{other}"),
    }
    Ok(())
}
