//! A real event hub, when one is named: set `HUBWIRE_CONNECTION_STRING`, with `EntityPath`, or
//! `HUBWIRE_EVENT_HUB` beside it.

use hubwire::{Connection, ConnectionString, Options};

#[tokio::test]
async fn three_events_reach_a_real_event_hub() {
    let Ok(text) = std::env::var("HUBWIRE_CONNECTION_STRING") else {
        println!("skipped: HUBWIRE_CONNECTION_STRING is not set, so no real event hub was tried");
        return;
    };
    let connection_string = ConnectionString::parse(&text).expect("HUBWIRE_CONNECTION_STRING");
    let named = std::env::var("HUBWIRE_EVENT_HUB").ok();
    let hub = connection_string.resolve_event_hub(named.as_deref()).expect("an event hub");
    let connection = Connection::open(&connection_string, &Options::default()).await.expect("the namespace opens");
    let sender = connection.sender(hub).await.expect("the hub takes the token");
    let mut batch = sender.batch();
    for body in ["first event", "second event", "..."] {
        assert!(batch.try_add(body).is_added());
    }
    assert_eq!(sender.send(batch).await.expect("accepted").events, 3);
    connection.close().await;
}
