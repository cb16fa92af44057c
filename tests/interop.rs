//! hubwire's client against an independent peer: the acceptor of fe2o3-amqp, with a `$cbs` node that says yes.

use std::time::Duration;

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SaslAnonymousMechanism, SessionAcceptor,
};
use fe2o3_amqp::types::messaging::{AmqpValue, ApplicationProperties, Body, IntoBody as _, Message, Properties};
use fe2o3_amqp::types::primitives::Value;
use fe2o3_amqp::{Receiver, Sender};
use hubwire::{Connection, ConnectionString, Event, Options, SendError, TryAdd};
use tokio::sync::mpsc;

const CONNECTION_STRING: &str =
    "Endpoint=sb://peer.example;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true";

/// What the peer took: message format, and the sections of the body.
type Taken = (u32, Vec<Vec<u8>>);

/// How the peer answers each message.
#[derive(Clone, Copy)]
enum Answer {
    Accept,
    Reject,
    Release,
    /// Says nothing, and closes the connection instead.
    Hang,
}

/// Serves one connection: `$cbs` in one session, hub links in others.
async fn serve(stream: tokio::io::DuplexStream, answer: Answer, taken: mpsc::UnboundedSender<Taken>) {
    let acceptor = ConnectionAcceptor::builder()
        .container_id("peer")
        .max_frame_size(4_096)
        .sasl_acceptor(SaslAnonymousMechanism::new())
        .build();
    let mut connection = acceptor.accept(stream).await.expect("hubwire opens");
    while let Ok(session) = SessionAcceptor::new().accept(&mut connection).await {
        tokio::spawn(serve_session(session, answer, taken.clone()));
    }
}

async fn serve_session(mut session: ListenerSessionHandle, answer: Answer, taken: mpsc::UnboundedSender<Taken>) {
    let mut replies = None;
    let mut requests = None;
    let acceptor = LinkAcceptor::builder().max_message_size(20_000_u64).build();
    while let Ok(link) = acceptor.accept(&mut session).await {
        match link {
            LinkEndpoint::Sender(sender) => replies = Some(sender),
            LinkEndpoint::Receiver(receiver) if receiver.target().as_ref().is_some_and(is_cbs) => {
                requests = Some(receiver);
            }
            LinkEndpoint::Receiver(receiver) => drop(tokio::spawn(serve_hub(receiver, answer, taken.clone()))),
        }
        if let (Some(_), Some(_)) = (&replies, &requests) {
            tokio::spawn(serve_cbs(replies.take().expect("there"), requests.take().expect("there")));
        }
    }
}

fn is_cbs(target: &fe2o3_amqp::types::messaging::Target) -> bool {
    target.address.as_deref() == Some("$cbs")
}

async fn serve_cbs(mut replies: Sender, mut requests: Receiver) {
    while let Ok(request) = requests.recv::<Body<Value>>().await {
        requests.accept(&request).await.expect("settles");
        let properties = request.message().properties.as_ref().expect("a request has properties");
        let named = request.message().application_properties.as_ref().expect("and application properties");
        assert_eq!(named.get("operation"), Some(&"put-token".to_owned().into()));
        assert_eq!(named.get("name"), Some(&"sb://peer.example/telemetry".to_owned().into()));
        let answer = Message::builder()
            .properties(Properties { correlation_id: properties.message_id.clone(), ..Properties::default() })
            .application_properties(
                // Any 2xx is a yes.
                ApplicationProperties::builder().insert("status-code", 200).insert("status-description", "OK").build(),
            )
            .body(AmqpValue(Value::Null).into_body())
            .build();
        replies.send(answer).await.expect("hubwire takes the answer");
    }
}

async fn serve_hub(mut receiver: Receiver, answer: Answer, taken: mpsc::UnboundedSender<Taken>) {
    while let Ok(delivery) = receiver.recv::<Body<Value>>().await {
        let sections = match delivery.body() {
            Body::Data(sections) => sections.iter().map(|data| data.0.to_vec()).collect(),
            other => panic!("a batch is data sections, not {other:?}"),
        };
        let _ = taken.send((delivery.message_format().unwrap_or(0), sections));
        let settled = match answer {
            Answer::Accept => receiver.accept(&delivery).await,
            Answer::Reject => {
                let error = fe2o3_amqp::types::definitions::Error::new(
                    fe2o3_amqp::types::definitions::AmqpError::NotAllowed,
                    Some("not today. TrackingId:abc_G1".to_owned()),
                    None,
                );
                receiver.reject(&delivery, error).await
            }
            Answer::Release => receiver.release(&delivery).await,
            Answer::Hang => return std::future::pending().await,
        };
        settled.expect("settles");
    }
}

async fn connected(answer: Answer) -> (Connection, mpsc::UnboundedReceiver<Taken>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (taken, seen) = mpsc::unbounded_channel();
    tokio::spawn(serve(theirs, answer, taken));
    let connection_string = ConnectionString::parse(CONNECTION_STRING).expect("well-formed");
    let options = Options::default().send_timeout(Duration::from_secs(20));
    let connection = Connection::open_over(ours, &connection_string, &options).await.expect("the peer opens");
    (connection, seen)
}

fn encoded(body: &str) -> Vec<u8> {
    Event::new(body.to_owned()).encode().expect("a body alone always encodes").to_vec()
}

#[tokio::test(start_paused = true)]
async fn the_peer_takes_a_batch_and_its_events() {
    let (connection, mut seen) = connected(Answer::Accept).await;
    let sender = connection.sender("telemetry").await.expect("attached");
    assert_eq!(sender.max_message_size(), 20_000);
    let mut batch = sender.batch();
    for body in ["first event", "second event", "..."] {
        assert_eq!(batch.try_add(body), TryAdd::Added);
    }
    let accepted = sender.send(batch).await.expect("accepted");
    assert_eq!(accepted.events, 3);
    let (format, sections) = seen.recv().await.expect("it arrived");
    assert_eq!(format, 0x8001_3700);
    assert_eq!(sections, [encoded("first event"), encoded("second event"), encoded("...")]);
    connection.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_of_many_frames_arrives_whole() {
    let (connection, mut seen) = connected(Answer::Accept).await;
    let sender = connection.sender("telemetry").await.expect("attached");
    let body = "x".repeat(19_000);
    let mut batch = sender.batch();
    assert!(batch.try_add(body.as_str()).is_added());
    assert!(sender.send(batch).await.is_ok());
    assert_eq!(seen.recv().await.expect("it arrived").1, [encoded(&body)]);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_carries_the_peers_words_and_the_batch() {
    let (connection, _seen) = connected(Answer::Reject).await;
    let sender = connection.sender("telemetry").await.expect("attached");
    let mut batch = sender.batch();
    assert!(batch.try_add("event").is_added());
    let error = sender.send(batch.clone()).await.expect_err("rejected");
    assert_eq!(error.tracking_id(), Some("abc_G1"));
    assert!(matches!(&error, SendError::Rejected { condition, .. } if condition == "amqp:not-allowed"), "{error:?}");
    assert_eq!(error.into_batch(), batch, "encoded as it was");
}

#[tokio::test(start_paused = true)]
async fn released_is_not_sent() {
    let (connection, _seen) = connected(Answer::Release).await;
    let sender = connection.sender("telemetry").await.expect("attached");
    let mut batch = sender.batch();
    assert!(batch.try_add("event").is_added());
    let error = sender.send(batch).await.expect_err("released");
    assert!(matches!(error, SendError::NotSent { cause: hubwire::Error::Released, .. }), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn no_outcome_within_the_deadline_is_unknown() {
    let (connection, mut seen) = connected(Answer::Hang).await;
    let sender = connection.sender("telemetry").await.expect("attached");
    let mut batch = sender.batch();
    assert!(batch.try_add("event").is_added());
    let error = sender.send(batch).await.expect_err("no outcome comes");
    assert!(seen.recv().await.is_some(), "it left");
    assert!(matches!(error, SendError::Unknown { .. }), "{error:?}");
    connection.close().await;
}
