//! SASL, open, begin, attach and put-token, refused and delayed.

use super::*;
use hubwire::Step;
use hubwire::emulator::Stage;

#[tokio::test(start_paused = true)]
async fn sasl_is_refused_with_the_code_that_was_asked_for() {
    for code in 1..=4 {
        let emulator = emulator_with([Fault::refuse_sasl(code)]);
        let error = connect(&emulator).await.expect_err("refused");
        assert!(matches!(error, Error::SaslRefused { code: told } if told == code), "{error:?}");
        all_is_well(&emulator).await;
        assert_eq!(emulator.totals().faults, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_is_answered_with_a_close() {
    let emulator = emulator_with([Fault::refuse_open("amqp:connection:forced", "Closed today.")]);
    let began = now();
    let error = match connect(&emulator).await {
        Err(error) => error,
        // It was open for a moment.
        Ok(connection) => connection.sender(HUB).await.expect_err("closed"),
    };
    assert_closed(&error, Scope::Connection, "amqp:connection:forced", "Closed today.");
    assert_eq!(began.elapsed(), Duration::ZERO);
    all_is_well(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn a_begin_is_answered_with_an_end() {
    let emulator = emulator_with([Fault::refuse_begin("amqp:not-allowed", "No sessions.").times(10)]);
    let began = now();
    let connection = connect(&emulator).await.expect("opens");
    let error = connection.sender(HUB).await.expect_err("no session");
    assert_closed(&error, Scope::Session, "amqp:not-allowed", "No sessions.");
    assert!(began.elapsed() <= TIMEOUT);
    emulator.clear_faults();
    all_is_well(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn the_nth_attach_is_refused_and_those_of_tokens_do_not_count() {
    let emulator = emulator_with([Fault::refuse_attach("amqp:resource-limit-exceeded", "No more links.").nth(2)]);
    let connection = connect(&emulator).await.expect("opens");
    let first = connection.sender(HUB).await.expect("the first");
    let error = connection.sender(HUB).await.expect_err("the second");
    assert_closed(&error, Scope::Link, "amqp:resource-limit-exceeded", "No more links.");
    connection.sender(HUB).await.expect("the third");
    send(&first, "one").await.expect("the first lives on");
    all_is_well(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn an_independent_client_understands_the_refusals() {
    let emulator = emulator_with([
        Fault::refuse_attach("amqp:resource-limit-exceeded", "No more links."),
        Fault::refuse_begin("amqp:not-allowed", "No more sessions.").nth(3),
    ]);
    let mut client = crate::client::Client::authorized(&emulator).await;
    let (condition, text) = client.refused_sender(HUB).await;
    assert_eq!(condition, "amqp:resource-limit-exceeded");
    assert!(text.starts_with("No more links. TrackingId:"), "{text}");
    let mut session = fe2o3_amqp::Session::begin(&mut client.connection).await.expect("begun");
    let ended = session.on_end().await.expect_err("and ended");
    assert!(format!("{ended:?}").contains("No more sessions. TrackingId:"), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_refused_with_status_and_words_for_the_hub_that_is_meant() {
    let emulator = emulator_with([Fault::refuse_put_token(503, "Come back later.").on_hub("audit")]);
    let connection = connect(&emulator).await.expect("opens");
    connection.sender(HUB).await.expect("another hub's token");
    let error = connection.sender("audit").await.expect_err("refused");
    let Error::TokenRefused { status: 503, description, .. } = &error else { panic!("{error:?}") };
    assert!(description.starts_with("Come back later. TrackingId:"), "{description}");
    assert!(error.is_retryable());
    connection.sender("audit").await.expect("once");
    all_is_well(&emulator).await;
}

#[tokio::test(start_paused = true)]
async fn each_step_comes_later_by_what_was_asked_for_and_others_go_on() {
    for (stage, opening, attaching) in
        [(Stage::Sasl, 5, 0), (Stage::Open, 5, 0), (Stage::Begin, 0, 5), (Stage::Attach, 0, 5), (Stage::PutToken, 0, 5)]
    {
        let emulator = emulator_with([Fault::delay(stage, SECOND * 5)]);
        let began = now();
        let connection = connect(&emulator).await.expect("opens");
        assert_eq!(began.elapsed(), SECOND * opening, "{stage:?}");
        let sender = connection.sender(HUB).await.expect("attaches");
        assert_eq!(began.elapsed(), SECOND * (opening + attaching), "{stage:?}");
        send(&sender, "one").await.expect("accepted");
        all_is_well(&emulator).await;
        assert_eq!((began.elapsed(), emulator.totals().faults), (SECOND * 5, 1), "{stage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_delayed_for_too_long_times_out_by_its_name() {
    for (stage, step) in [
        (Stage::Sasl, Step::Open),
        (Stage::Open, Step::Open),
        (Stage::Begin, Step::Authorize),
        (Stage::Attach, Step::Attach),
        (Stage::PutToken, Step::Authorize),
    ] {
        let emulator = emulator_with([Fault::delay(stage, TIMEOUT * 3)]);
        let began = now();
        let opened = connect(&emulator).await;
        let error = match &opened {
            Ok(connection) => connection.sender(HUB).await.expect_err("too late"),
            Err(error) => error.clone(),
        };
        assert!(matches!(&error, Error::TimedOut { step: late, .. } if *late == step), "{stage:?}: {error:?}");
        assert_eq!(began.elapsed(), TIMEOUT, "{stage:?}");
        all_is_well(&emulator).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_outlasts_the_emulators_own_patience_is_kept() {
    let emulator = emulator_with([Fault::delay(Stage::Open, SECOND * 45)]);
    let to = ConnectionString::parse(&emulator.connection_string(None)).unwrap();
    let options = Options::default().open_timeout(SECOND * 60);
    let began = now();
    Connection::open_over(emulator.connect(), &to, &options).await.expect("opens, if late");
    assert_eq!(began.elapsed(), SECOND * 45);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_while_its_attach_waits_leaves_nothing_behind() {
    let emulator = emulator_with([Fault::delay(Stage::Attach, SECOND * 5)]);
    let connection = connect(&emulator).await.expect("opens");
    let left = tokio::time::timeout(SECOND, connection.sender(HUB)).await;
    assert!(left.is_err(), "{left:?}");
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(emulator.totals().links, 0, "taken back before it was accepted");
    let sender = connection.sender(HUB).await.expect("attaches");
    send(&sender, "one").await.expect("accepted");
}

#[tokio::test(start_paused = true)]
async fn whoever_talks_on_while_its_open_waits_is_heard_in_the_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let emulator = emulator_with([Fault::delay(Stage::Open, SECOND * 5)]);
    let (mut reading, mut writing) = tokio::io::split(emulator.connect());
    let began = now();
    let talking = tokio::spawn(async move {
        let hello = b"AMQP\x03\x01\0\0\0\0\0\x19\x02\x01\0\0\0\x53\x41\xc0\x0c\x01\xa3\x09ANONYMOUSAMQP\0\x01\0\0";
        writing.write_all(hello).await.unwrap();
        writing.write_all(b"\0\0\0\x11\x02\0\0\0\0\x53\x10\xc0\x04\x01\xa1\x01x").await.unwrap();
        // More than anybody would keep: heartbeats, and a close at their end.
        writing.write_all(&b"\0\0\0\x08\x02\0\0\0".repeat(1 << 17)).await.unwrap();
        writing.write_all(b"\0\0\0\x0c\x02\0\0\0\0\x53\x18\x45").await.unwrap();
        (writing, began.elapsed())
    });
    let mut heard = Vec::new();
    reading.read_to_end(&mut heard).await.unwrap();
    let clean_close = b"\0\x53\x18\xc0\x02\x01\x40";
    assert!(heard.ends_with(clean_close), "{heard:02x?}");
    let (_writing, waited) = talking.await.unwrap();
    assert_eq!(waited, SECOND * 5, "it was held up, not collected");
}
