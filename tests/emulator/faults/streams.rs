//! Detached, ended, closed, cut, silent, slow.

use super::*;
use hubwire::Step;

#[tokio::test(start_paused = true)]
async fn a_blow_strikes_what_is_there_at_once() {
    for (fault, scope, condition) in [
        (Fault::detach("amqp:link:detach-forced", "Moved."), Scope::Link, "amqp:link:detach-forced"),
        (Fault::end("amqp:internal-error", "Moved."), Scope::Session, "amqp:internal-error"),
        (Fault::close("amqp:connection:forced", "Moved."), Scope::Connection, "amqp:connection:forced"),
    ] {
        let emulator = emulator_with([]);
        let (_one, first) = sender(&emulator).await;
        let (_two, second) = sender(&emulator).await;
        emulator.inject(fault);
        settle().await;
        let links = emulator.totals().links;
        for sender in [first, second] {
            match send(&sender, "one").await {
                // These connections have one stream each, and no other.
                Err(error) if scope == Scope::Connection => {
                    assert_closed(&not_sent(Err(error)), scope, condition, "Moved.");
                }
                sent => sent.expect("over a link that took the lost one's place"),
            }
        }
        let restored = if scope == Scope::Connection { 0 } else { 2 };
        assert_eq!(emulator.totals().links - links, restored);
        all_is_well(&emulator).await;
        assert_eq!(stored(&emulator).len() as u64, restored + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_blow_strikes_after_deliveries_and_these_are_told_of() {
    for (fault, scope) in [
        (Fault::detach("amqp:link:detach-forced", "Moved."), Scope::Link),
        (Fault::end("amqp:internal-error", "Moved."), Scope::Session),
        (Fault::close("amqp:connection:forced", "Moved."), Scope::Connection),
    ] {
        let emulator = emulator_with([fault.after_deliveries(3)]);
        let (_connection, sender) = sender(&emulator).await;
        let (one, two, three, four) =
            tokio::join!(send(&sender, "1"), send(&sender, "2"), send(&sender, "3"), send(&sender, "4"));
        assert!(one.is_ok() && two.is_ok() && three.is_ok(), "{one:?} {two:?} {three:?}");
        assert_eq!(unknown(four).scope(), Some(scope), "it was on its way");
        let fifth = send(&sender, "5").await;
        match scope {
            // This connection has one stream, and no other.
            Scope::Connection => assert_eq!(not_sent(fifth).scope(), Some(scope)),
            _ => fifth.expect("over a link that took the lost one's place"),
        }
        let stored_count = if scope == Scope::Connection { 3 } else { 4 };
        assert_eq!((stored(&emulator).len(), emulator.totals().faults), (stored_count, 1));
        all_is_well(&emulator).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_blow_strikes_at_its_time_what_is_there_then() {
    let emulator = emulator_with([Fault::close("amqp:connection:forced", "Moved.").starting_in(SECOND * 30)]);
    let (_connection, sender) = sender(&emulator).await;
    tokio::time::sleep(SECOND * 29).await;
    send(&sender, "one").await.expect("not yet");
    tokio::time::sleep(SECOND * 2).await;
    assert_closed(&not_sent(send(&sender, "two").await), Scope::Connection, "amqp:connection:forced", "Moved.");
    all_is_well(&emulator).await;
    assert_eq!(emulator.totals().faults, 1);
}

#[tokio::test(start_paused = true)]
async fn a_blow_that_finds_nothing_at_its_time_is_over() {
    let emulator = emulator_with([Fault::close("amqp:connection:forced", "Moved.").starting_in(SECOND * 30)]);
    tokio::time::sleep(SECOND * 31).await;
    all_is_well(&emulator).await;
    assert_eq!(emulator.totals().faults, 0);
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_cut_at_the_byte_whichever_it_is() {
    use tokio::io::AsyncReadExt;
    for bytes in 0..600 {
        let emulator = emulator_with([Fault::cut_after_bytes(bytes)]);
        let began = now();
        let result = async {
            let connection = connect(&emulator).await?;
            let sender = connection.sender(HUB).await?;
            match send(&sender, "one").await {
                Err(SendError::Unknown { cause, .. } | SendError::NotSent { cause, .. }) => Err(cause),
                other => panic!("{bytes}: {other:?}"),
            }
        };
        let error: Error = result.await.map(|()| unreachable!()).unwrap_or_else(|error| error);
        assert!(matches!(error, Error::Lost { .. }), "{bytes}: {error:?}");
        assert_eq!((began.elapsed(), emulator.totals().faults), (Duration::ZERO, 1), "{bytes}");
        all_is_well(&emulator).await;
    }
    // So many and no more.
    let emulator = emulator_with([Fault::cut_after_bytes(5)]);
    let mut stream = emulator.connect();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"AMQP\x03\x01\0\0").await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"AMQP\x03");
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_cut_at_the_byte_that_was_read() {
    for bytes in (0..900).step_by(7) {
        let emulator = emulator_with([Fault::cut_after_bytes_read(bytes)]);
        let result = async {
            let connection = connect(&emulator).await?;
            let sender = connection.sender(HUB).await?;
            match send(&sender, "one").await {
                Err(SendError::Unknown { cause, .. } | SendError::NotSent { cause, .. }) => Err::<(), _>(cause),
                other => panic!("{bytes}: {other:?}"),
            }
        };
        let error = result.await.expect_err("cut");
        assert!(matches!(error, Error::Lost { .. }), "{bytes}: {error:?}");
        all_is_well(&emulator).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_there_is_cut_now_or_after_deliveries() {
    let emulator = emulator_with([]);
    let (_one, sender_one) = sender(&emulator).await;
    emulator.inject(Fault::cut_after_bytes(0));
    settle().await;
    assert!(matches!(not_sent(send(&sender_one, "one").await), Error::Lost { .. }));
    let (_two, sender_two) = sender(&emulator).await;
    emulator.inject(Fault::cut_after_bytes(0).after_deliveries(2));
    send(&sender_two, "two").await.expect("accepted");
    let cause = unknown(send(&sender_two, "three").await);
    assert!(matches!(cause, Error::Lost { .. }), "{cause:?}");
    assert_eq!(stored(&emulator), ["two", "three"], "the last one is stored, and nobody knows");
    assert_eq!(emulator.totals().faults, 2);
    all_is_well(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn every_connection_is_cut_after_its_delivery_when_that_is_asked_for() {
    let emulator = emulator_with([Fault::cut_after_bytes(0).after_deliveries(1).times(2)]);
    for body in ["one", "two"] {
        let (_connection, sender) = sender(&emulator).await;
        assert!(matches!(unknown(send(&sender, body).await), Error::Lost { .. }));
    }
    all_is_well(&emulator).await;
    assert_eq!((stored(&emulator).len(), emulator.totals().faults), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn silence_falls_at_once_and_what_was_held_back_comes_after_it() {
    let emulator = emulator_with([]);
    let (_connection, sender) = sender(&emulator).await;
    emulator.inject(Fault::silence().lasting(SECOND * 10));
    let began = now();
    send(&sender, "one").await.expect("in time, if late");
    assert_eq!(began.elapsed(), SECOND * 10);
    assert_eq!(emulator.totals().faults, 1);
    all_is_well(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn silence_without_end_is_noticed_within_each_deadline() {
    let emulator = emulator_with([]);
    let (_connection, sender) = sender(&emulator).await;
    emulator.inject(Fault::silence());
    let began = now();
    let cause = unknown(send(&sender, "one").await);
    assert!(matches!(cause, Error::TimedOut { step: Step::Outcome, .. }), "{cause:?}");
    assert_eq!(began.elapsed(), TIMEOUT);
    let error = connect(&emulator).await.expect_err("new connections hear nothing either");
    assert!(matches!(error, Error::TimedOut { step: Step::Open, .. }), "{error:?}");
    assert_eq!(began.elapsed(), TIMEOUT * 2);
    // Not even a heartbeat comes: the client's idle time-out of 120 s ends it.
    tokio::time::sleep(SECOND * 120).await;
    let cause = not_sent(send(&sender, "two").await);
    assert!(matches!(cause, Error::IdleTimeout { .. }), "{cause:?}");
    emulator.clear_faults();
    all_is_well(&emulator).await;
    assert_eq!(stored(&emulator), ["one", "well"]);
}

#[tokio::test(start_paused = true)]
async fn silence_falls_after_deliveries_on_the_connection_that_took_the_last() {
    let emulator = emulator_with([Fault::silence().after_deliveries(2)]);
    let (_one, first) = sender(&emulator).await;
    let (_two, second) = sender(&emulator).await;
    send(&first, "one").await.expect("accepted");
    let cause = unknown(send(&second, "two").await);
    assert!(matches!(cause, Error::TimedOut { step: Step::Outcome, .. }), "{cause:?}");
    send(&first, "three").await.expect("another connection");
    assert_eq!(stored(&emulator), ["one", "two", "three"]);
    assert_eq!(emulator.totals().faults, 1);
    all_is_well(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn silence_after_deliveries_lasts_from_the_last_of_them() {
    let emulator = emulator_with([Fault::silence().after_deliveries(1).lasting(SECOND * 5)]);
    let (_connection, sender) = sender(&emulator).await;
    tokio::time::sleep(SECOND * 10).await;
    let began = now();
    send(&sender, "one").await.expect("in time, if late");
    assert_eq!((began.elapsed(), emulator.totals().faults), (SECOND * 5, 1));
    all_is_well(&emulator).await;
    assert_eq!(began.elapsed(), SECOND * 5);
}

#[tokio::test(start_paused = true)]
async fn byte_by_byte_everything_works() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let emulator = emulator_with([Fault::byte_by_byte()]);
    all_is_well(&emulator).await;
    assert_eq!((stored(&emulator).len(), emulator.totals().faults), (1, 1));
    // Whoever reads as soon as there is something reads one byte at a time.
    let mut stream = emulator.connect();
    let reading = tokio::spawn(async move {
        stream.write_all(b"AMQP\x03\x01\0\0").await.unwrap();
        let mut buffer = [0; 64];
        for expected in b"AMQP\x03\x01\0\0" {
            assert_eq!(stream.read(&mut buffer).await.unwrap(), 1);
            assert_eq!(buffer[0], *expected);
        }
    });
    reading.await.unwrap();
}
