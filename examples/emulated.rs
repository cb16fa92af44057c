//! Publish to an event hub in this process, and look at what it stored.
//!
//! `cargo run --example emulated --features emulator`

use hubwire::emulator::Emulator;
use hubwire::{Connection, ConnectionString, Event, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let emulator = Emulator::builder().event_hub("telemetry", 4).build()?;
    let connection_string = ConnectionString::parse(&emulator.connection_string(Some("telemetry")))?;

    let connection = Connection::open_over(emulator.connect(), &connection_string, &Options::default()).await?;
    let sender = connection.sender("telemetry").await?;
    let mut batch = sender.batch_with_partition_key("device-42")?;
    for celsius in [20.5, 21.0, 21.5] {
        let event = Event::new(format!("{{\"celsius\":{celsius}}}")).with_content_type("application/json");
        assert!(batch.try_add(event).is_added());
    }
    let accepted = sender.send(batch).await?;
    connection.close().await;

    println!("accepted {} events in a message of {} bytes", accepted.events, accepted.message_len);
    for stored in emulator.events("telemetry").ok_or("the hub is there")? {
        let body = stored.event()?.into_data().unwrap_or_default();
        println!("partition {} #{}: {}", stored.partition_id, stored.sequence_number, String::from_utf8_lossy(&body));
    }
    Ok(())
}
