//! What ends by itself when nothing happens: links, connections.

use std::time::Duration;

use hubwire::emulator::Emulator;

use super::client::{Client, accepted, events};

fn builder() -> hubwire::emulator::Builder {
    Emulator::builder().event_hub("telemetry", 1)
}

#[tokio::test(start_paused = true)]
async fn a_publishers_link_that_rests_is_detached_in_the_services_words() {
    let emulator = builder().build().unwrap();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry").await;
    let mut busy = client.named_sender("busy", "telemetry").await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(115)).await;
        accepted(busy.send(events(&["still here"])).await);
    }
    tokio::time::sleep(Duration::from_secs(24)).await;
    assert_eq!(emulator.stored_count(), 5);
    accepted(busy.send(events(&["599 s"])).await);
    let error = format!("{:?}", sender.on_detach().await);
    assert!(error.contains("DetachForced"), "{error}");
    assert!(error.contains("IdleTimerExpired: Idle timeout: 00:10:00"), "{error}");
    accepted(busy.send(events(&["it rested for no ten minutes"])).await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_links_is_closed() {
    for (attaches_first, limit_secs) in [(false, 60), (true, 300)] {
        let emulator = builder().build().unwrap();
        let mut client = Client::open(&emulator).await;
        if attaches_first {
            client = Client::authorized(&emulator).await;
        }
        tokio::time::sleep(Duration::from_secs(limit_secs - 1)).await;
        assert!(!client.connection.is_closed(), "{limit_secs}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let error = format!("{:?}", client.connection.on_close().await);
        assert!(error.contains(&format!("{} milliseconds", limit_secs * 1_000)), "{error}");
        assert!(error.contains("LinkTracker"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_limit_can_be_made_shorter() {
    let second = Duration::from_secs(1);
    let emulator = builder().link_idle_timeout(2 * second).linkless_timeout(second).build().unwrap();
    let mut client = Client::authorized(&emulator).await;
    let mut sender = client.sender("telemetry").await;
    tokio::time::sleep(3 * second).await;
    assert!(format!("{:?}", sender.on_detach().await).contains("00:00:02"));
    drop(sender);
    tokio::time::sleep(2 * second).await;
    assert!(format!("{:?}", client.connection.on_close().await).contains("1000 milliseconds"));
}
