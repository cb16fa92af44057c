//! ntex-amqp: its `SenderLink`, each batch packed by plain copies, up to a window of deliveries without an outcome.

use std::collections::VecDeque;

use hubwire_field::{Span, Work, tell_first};
use ntex::util::BytesMut;
use ntex::{Pipeline, SharedCfg};
use ntex_amqp::client::{Connect, Connector};
use ntex_amqp::codec::protocol::DeliveryState;
use ntex_amqp::{Delivery, SenderLink};

const BATCH_FORMAT: u32 = 0x8001_3700;

#[ntex::main]
async fn main() {
    let work = Work::from_args();
    let to = Connect::new(format!("127.0.0.1:{}", work.port)).sasl_auth("".into(), "any".into(), "a2V5".into());
    let client = Pipeline::new(SharedCfg::default(), Connector::new()).call(to).await.expect("a peer");
    let connection = client.sink();
    ntex::rt::spawn(async {
        let ended = client.start_default().await;
        ended.expect("a connection that lasts");
    });
    let session = connection.open_session().attach().await.expect("a session");
    let link = session.build_sender_link("events", "telemetry").max_message_size(1 << 20).attach().await.expect("a link");
    publish(&link, &work, 1).await;
    tell_first();
    publish(&link, &work, work.warm_up).await;
    let span = Span::begin();
    publish(&link, &work, work.batches).await;
    span.tell(&work);
    connection.close().await.expect("a connection's end");
}

async fn publish(link: &SenderLink, work: &Work, batches: usize) {
    let mut sent = VecDeque::new();
    for _ in 0..batches {
        if sent.len() == work.window {
            settled(sent.pop_front().expect("a window")).await;
        }
        let mut message = BytesMut::with_capacity(work.packer.message_len());
        for _ in 0..work.packer.count() {
            message.extend_from_slice(work.section());
        }
        let transfer = link.transfer(message.freeze()).format(BATCH_FORMAT);
        sent.push_back(transfer.send().await.expect("sent"));
    }
    for delivery in sent {
        settled(delivery).await;
    }
}

async fn settled(delivery: Delivery) {
    assert!(matches!(delivery.wait().await.expect("an outcome"), Some(DeliveryState::Accepted(_))));
}
