//! fe2o3-amqp's own `Sender`, doing the same work.

use std::time::Instant;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::messaging::{Batch, Data, Message, SerializableBody};
use fe2o3_amqp::types::primitives::Binary;
use fe2o3_amqp::{Connection, Sender, Session};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::blast::{BATCH_FORMAT, Packer};
use super::measure::{Took, cpu_of, this_thread};

pub struct Family {
    connection: ConnectionHandle<()>,
    _session: SessionHandle<()>,
    sender: Sender,
}

impl Family {
    pub async fn open(stream: std::net::TcpStream) -> Self {
        stream.set_nonblocking(true).expect("a socket");
        let stream = TcpStream::from_std(stream).expect("a socket");
        let builder = Connection::builder().container_id("fe2o3").max_frame_size(65_536_u32);
        let mut connection = builder.open_with_stream(stream).await.expect("a peer");
        let mut session = Session::begin(&mut connection).await.expect("a session");
        let sender = Sender::attach(&mut session, "events", "telemetry").await.expect("a link");
        Self { connection, _session: session, sender }
    }

    /// Packs each message afresh, and sends it, up to `window` of them without an outcome.
    #[allow(clippy::disallowed_methods, reason = "a bench measures time")]
    pub async fn publish<T: SerializableBody>(
        &mut self,
        window: usize,
        messages: usize,
        message: impl Fn() -> Sendable<T>,
    ) -> Took {
        let thread = this_thread();
        let (began, cpu_before) = (Instant::now(), cpu_of(&thread));
        let mut outcomes = JoinSet::new();
        for _ in 0..messages {
            if outcomes.len() == window {
                outcomes.join_next().await.expect("a send").expect("no panic");
            }
            let outcome = self.sender.send_batchable(message()).await.expect("a link");
            outcomes
                .spawn(async move { outcome.await.expect("an outcome").accepted_or("rejected").expect("accepted") });
        }
        outcomes.join_all().await;
        Took::of(began.elapsed(), cpu_of(&thread) - cpu_before, messages)
    }

    pub async fn close(mut self) {
        let _ = self.sender.close().await;
        let _ = self.connection.close().await;
    }
}

/// A batch of the hub's own format: each event is an encoded message in a section of its own.
pub fn batch(packer: &Packer) -> Sendable<Batch<Data>> {
    let event = || Data(Binary::from([packer.inner_start(), packer.body()].concat()));
    let message = Message::builder().data_batch((0..packer.count()).map(|_| event())).build();
    Sendable { message, message_format: BATCH_FORMAT, settled: None }
}

/// An event alone.
pub fn single(packer: &Packer) -> Sendable<Data> {
    let message = Message::builder().data(Binary::from(packer.body())).build();
    Sendable { message, message_format: 0, settled: None }
}
