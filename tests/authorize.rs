//! Tokens: put, refused, renewed.

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire::emulator::Emulator;
use hubwire::wire::sas;
use hubwire::{Connection, ConnectionString, Error, Fault, Options, Scope};
use support::{HUB, batch_of, connect, emulator, now, options, restful, stored};

const KEY: &str = "wrongc2VjcmV0";

async fn refused(emulator: &Emulator, text: &str, hub: &str, options: &Options) -> Error {
    let connection_string = ConnectionString::parse(text).expect("well-formed");
    let connection = Connection::open_over(emulator.connect(), &connection_string, options).await.expect("opens");
    connection.sender(hub).await.expect_err("refused")
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_refused_at_once_and_never_shown() {
    let emulator = emulator();
    let began = now();
    for name in ["RootManageSharedAccessKey", "nobody"] {
        let text = format!(
            "Endpoint=sb://localhost;SharedAccessKeyName={name};SharedAccessKey={KEY};UseDevelopmentEmulator=true"
        );
        let error = refused(&emulator, &text, HUB, &Options::default()).await;
        assert!(matches!(error, Error::TokenRefused { status: 401, .. }), "{error:?}");
        assert!(!error.is_retryable());
        assert_eq!(error.fault(), Fault::Caller);
        assert!(error.tracking_id().is_some(), "{error}");
        for shown in [format!("{error}"), format!("{error:?}")] {
            assert!(!shown.contains(KEY) && !shown.contains("sig="), "{shown}");
        }
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "no retry, no wait");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_is_not_there_is_named() {
    let emulator = emulator();
    let text = emulator.connection_string(None);
    let error = refused(&emulator, &text, "nowhere", &Options::default()).await;
    assert!(error.to_string().contains("could not be found"), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_not_there_ends_the_link_alone() {
    let emulator = emulator();
    let connection = connect(&emulator, &Options::default()).await;
    let error = connection.partition_sender(HUB, "9").await.expect_err("four partitions");
    assert_eq!(error.scope(), Some(Scope::Link), "{error:?}");
    assert_eq!(error.condition(), Some("com.microsoft:argument-out-of-range"));
    assert!(!error.is_retryable());
    assert!(connection.sender(HUB).await.is_ok(), "the connection lives on");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_is_an_expired_token() {
    let emulator = emulator();
    let options = Options::default().wall_clock(|| UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let error = refused(&emulator, &emulator.connection_string(None), HUB, &options).await;
    assert!(matches!(&error, Error::TokenRefused { status: 401, .. }), "{error:?}");
    assert!(error.to_string().contains("xpired") && error.to_string().contains("clock"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_ready_made_token_serves_as_well() {
    let emulator = emulator();
    #[allow(clippy::disallowed_methods, reason = "a token for the emulator, whose clock is the real one here")]
    let time_of_day = SystemTime::now();
    let hour = Duration::from_secs(3_600);
    let audience = format!("sb://localhost/{HUB}");
    let token = sas::sign(&audience, "RootManageSharedAccessKey", "SAS_KEY_VALUE", time_of_day, hour);
    let text = format!("Endpoint=sb://localhost;SharedAccessSignature={};UseDevelopmentEmulator=true", token.as_str());
    let connection_string = ConnectionString::parse(&text).expect("well-formed");
    let options = Options::default();
    let connection = Connection::open_over(emulator.connect(), &connection_string, &options).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("authorized");
    sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
    assert_eq!(stored(&emulator), ["event"]);
    let elsewhere = connection.sender("audit").await.expect_err("the token is for one hub");
    assert!(matches!(elsewhere, Error::TokenRefused { .. }), "{elsewhere:?}");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_renewed_in_time_on_the_open_connection() {
    let emulator = restful();
    let connection = connect(&emulator, &options().token_ttl(Duration::from_secs(600))).await;
    let first = connection.sender(HUB).await.expect("attached");
    for _ in 0..24 {
        // The emulator takes no new link on an expired token; the token is ten minutes long.
        tokio::time::sleep(Duration::from_secs(350)).await;
        let sender = connection.sender(HUB).await.expect("still authorized");
        sender.send(batch_of(sender.batch(), ["event"])).await.expect("accepted");
    }
    first.send(batch_of(first.batch(), ["last"])).await.expect("the first link never fell");
    assert_eq!(emulator.totals().connections, 1);
    assert_eq!(emulator.stored_count(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_still_ends_in_the_hubs_own_words() {
    let emulator = emulator();
    #[allow(clippy::disallowed_methods, reason = "where the stopped clock stopped")]
    let stopped = SystemTime::now();
    let options = Options::default().token_ttl(Duration::from_secs(600)).wall_clock(move || stopped);
    let connection = connect(&emulator, &options).await;
    let sender = connection.sender(HUB).await.expect("the token is fresh");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let dropped = sender.send(batch_of(sender.batch(), ["late"])).await.expect_err("its token has expired");
    assert!(dropped.to_string().contains("ExpiredToken"), "{dropped}");
    // The first call finds that the grant is gone, the next one asks for a new one, and hears why it cannot be.
    let _ = connection.sender(HUB).await.expect_err("the grant is gone");
    let refused = connection.sender(HUB).await.expect_err("a token of an hour ago");
    assert!(matches!(&refused, Error::TokenRefused { status: 401, .. }), "{refused:?}");
    assert!(refused.to_string().contains("clock"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_stays_alive_by_heartbeats() {
    let emulator = restful();
    let connection = connect(&emulator, &options()).await;
    let sender = connection.sender(HUB).await.expect("attached");
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    sender.send(batch_of(sender.batch(), ["after a pause"])).await.expect("the first send after an idle pause");
    assert_eq!(emulator.totals().connections, 1);
}
