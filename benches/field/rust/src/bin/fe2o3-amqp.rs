//! fe2o3-amqp: its `Sender`, a data section for each event, up to a window of deliveries without an outcome.

use std::collections::VecDeque;

use fe2o3_amqp::link::SendError;
use fe2o3_amqp::link::delivery::{DeliveryFut, Sendable};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::types::messaging::{Batch, Body, Data, Message, Outcome};
use fe2o3_amqp::types::primitives::{Binary, Value};
use fe2o3_amqp::{Connection, Sender, Session};
use hubwire_field::{Span, Work, tell_first};
use tokio::net::TcpStream;

const BATCH_FORMAT: u32 = 0x8001_3700;

fn main() {
    let work = Work::from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = TcpStream::connect(("127.0.0.1", work.port)).await.expect("a peer");
        stream.set_nodelay(true).expect("a socket");
        let mut connection = Connection::builder()
            .container_id("field")
            .hostname("localhost")
            .scheme("amqp")
            .max_frame_size(65_536)
            .sasl_profile(SaslProfile::Plain { username: "any".into(), password: "a2V5".into() })
            .open_with_stream(stream)
            .await
            .expect("a connection");
        let mut session = Session::begin(&mut connection).await.expect("a session");
        let mut sender = Sender::attach(&mut session, "events", "telemetry").await.expect("a link");
        publish(&mut sender, &work, 1).await;
        tell_first();
        publish(&mut sender, &work, work.warm_up).await;
        let span = Span::begin();
        publish(&mut sender, &work, work.batches).await;
        span.tell(&work);
        sender.close().await.expect("a link's end");
        session.end().await.expect("a session's end");
        connection.close().await.expect("a connection's end");
    });
}

async fn publish(sender: &mut Sender, work: &Work, batches: usize) {
    let mut sent = VecDeque::new();
    for _ in 0..batches {
        if sent.len() == work.window {
            settled(sent.pop_front().expect("a window")).await;
        }
        let events: Vec<Data> = (0..work.packer.count()).map(|_| Data(Binary::from(work.event().to_vec()))).collect();
        let body = Body::<Value>::Data(Batch::new(events));
        let message = Message::builder().body(body).build();
        let sendable = Sendable::builder().message(message).message_format(BATCH_FORMAT).build();
        sent.push_back(sender.send_batchable(sendable).await.expect("sent"));
    }
    for delivery in sent {
        settled(delivery).await;
    }
}

async fn settled(delivery: DeliveryFut<Result<Outcome, SendError>>) {
    assert!(matches!(delivery.await.expect("an outcome"), Outcome::Accepted(_)));
}
