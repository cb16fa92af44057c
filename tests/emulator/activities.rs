//! What an emulator tells of what happens at it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwire::emulator::{Activity, Builder, ConnectionCounts, Emulator, LinkRole};
use tokio::io::AsyncWriteExt;

use super::client::{Client, NAMESPACE, accepted, batch, event, events, rejected, token};
use super::{HOUR, emulator};

/// What was told so far.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<Activity>>>);

impl Told {
    pub(crate) fn listen(&self, builder: Builder) -> Emulator {
        let told = Arc::clone(&self.0);
        let builder = builder.on_activity(move |activity| told.lock().unwrap().push(activity.clone()));
        builder.build().unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    /// What was told, once `count` things were.
    pub(crate) async fn after(&self, count: usize) -> Vec<Activity> {
        loop {
            let told = self.0.lock().unwrap().clone();
            if told.len() >= count {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn builder() -> Builder {
    Emulator::builder().event_hub("telemetry", 4).event_hub("audit", 1)
}

#[tokio::test(start_paused = true)]
async fn a_clients_day_is_told_line_by_line() {
    let told = Told::default();
    let emulator = told.listen(builder());
    let mut client = Client::open(&emulator).await;
    let signed = token(NAMESPACE, "SAS_KEY_VALUE", HOUR);
    client.put_token("sb://localhost/telemetry", &token("sb://localhost/telemetry", "other", HOUR)).await.unwrap_err();
    client.put_token(NAMESPACE, &signed).await.unwrap();
    client.refused_sender("none").await;
    let mut sender = client.sender("telemetry/Partitions/2").await;
    accepted(sender.send(events(&["one", "two"])).await);
    accepted(sender.send(events(&["three"])).await);
    rejected(sender.send(batch([event("good"), b"garbage".to_vec()])).await);
    sender.close().await.unwrap();
    client.close().await;
    told.after(18).await;

    let lines = told.lines();
    let without_cbs: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.ends_with("$cbs")).collect();
    let without_cbs: Vec<&str> = without_cbs.into_iter().filter(|line| !line.contains("$cbs: by the peer")).collect();
    assert_eq!(
        without_cbs,
        [
            "connection 1 opened over a stream in this process by a peer without a product name (container test)",
            "connection 1 token for sb://localhost/telemetry by rule RootManageSharedAccessKey: 401 InvalidSignature: The \
             token has an invalid signature.",
            "connection 1 token for sb://localhost by rule RootManageSharedAccessKey: 202 Accepted",
            "connection 1 link refused: publisher to none: amqp:not-found: The messaging entity 'sb://emulator/none' \
             could not be found.",
            "connection 1 link attached: publisher to telemetry/Partitions/2",
            "connection 1 batch stored: telemetry partition 2, 2 events, 26 bytes, from sequence number 0",
            "connection 1 batch stored: telemetry partition 2, 1 event, 15 bytes, from sequence number 2",
            "connection 1 batch rejected: telemetry partition 2, 26 bytes: amqp:decode-error: Event 1 of the batch does \
             not decode: byte 0: expected a message section, found 0x67.",
            "connection 1 link detached: publisher to telemetry/Partitions/2: by the peer",
            "connection 1 closed after 0.000 s: by the peer; 3 events in 2 messages stored, 1 rejected, 0 events \
             delivered",
        ]
    );
    let (_, signature) = signed.split_once("&sig=").unwrap();
    assert!(!lines.concat().contains(&signature[..10]), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_connection_says_who_ended_it() {
    for (bytes, wait_secs, reason) in [
        (&b""[..], 0, "the stream ended without a close"),
        (b"GET / HTTP/1.1\r\n\r\n", 0, "the peer's first bytes are not AMQP 1.0 with SASL: \"GET / HT\""),
        (b"AMQP\x03\x01\x00\x00", 31, "the peer sent no open within 30 s"),
    ] {
        let told = Told::default();
        let mut stream = told.listen(builder()).connect();
        stream.write_all(bytes).await.unwrap();
        tokio::time::sleep(Duration::from_secs(wait_secs)).await;
        drop(stream);
        match &told.after(1).await[..] {
            [Activity::ConnectionClosed { connection: 1, reason: told, counts, .. }] => {
                assert!(told.starts_with(reason), "{told}");
                assert_eq!(*counts, ConnectionCounts::default());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_the_emulator_ends_says_why() {
    let told = Told::default();
    let emulator = told.listen(builder());
    let mut client = Client::open(&emulator).await;
    client.put_token(NAMESPACE, &token(NAMESPACE, "SAS_KEY_VALUE", Duration::from_secs(60))).await.unwrap();
    let mut sender = client.sender("audit").await;
    sender.on_detach().await;
    let detached = told.after(8).await.into_iter().filter_map(|activity| match activity {
        Activity::LinkDetached { role: LinkRole::Publisher, address, reason, .. } => Some((address, reason)),
        _ => None,
    });
    let expected = "by the emulator: amqp:unauthorized-access: ExpiredToken: The token is expired.";
    assert_eq!(detached.collect::<Vec<_>>(), [("audit".to_owned(), expected.to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn nobody_needs_to_listen() {
    let mut client = Client::authorized(&emulator()).await;
    accepted(client.sender("telemetry").await.send(events(&["heard by none"])).await);
}
