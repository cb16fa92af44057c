//! Traces in every form, of sessions that hold secrets wherever they can.

use std::io;
use std::sync::{Arc, Mutex};

use hubwire::trace::{Form, Tap};
use hubwire::wire::event::{Body, Event};
use hubwire::{Connection, ConnectionString, Options, Token, TokenError, TokenFuture, TokenSource};
use tokio::io::AsyncWriteExt;

use crate::forms::{KEY, RULE, assert_clean, token};
use crate::support::{HUB, batch_of};
use crate::types::{builder, connection_strings};

const FORMS: [Form; 5] = [Form::Text, Form::ColouredText, Form::Json, Form::Pcapng, Form::Recording];
/// As Entra ID has them: header, claims, signature.
const WEB_TOKEN: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJodWIifQ.c2VjcmV0LXNpZ25hdHVyZS1vZi13ZWI";

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A tap in every form, bytes included, and what it writes.
fn tap() -> (Tap, Vec<(Form, Page)>) {
    let pages: Vec<_> = FORMS.into_iter().map(|form| (form, Page::default())).collect();
    let builder = pages.iter().fold(Tap::builder(), |builder, (form, page)| builder.to(*form, page.clone()));
    (builder.with_hex().build(), pages)
}

/// No form of any secret is on any page: as text, or as the hex of it.
fn assert_pages_clean(what: &str, pages: &[(Form, Page)]) {
    for (form, page) in pages {
        let text = String::from_utf8_lossy(&page.0.lock().expect("no panic")).into_owned();
        assert!(text.len() > 100, "{what} {form:?}: {text}");
        // Frames stand in lines of JSON as one word of hex, which looks like a signature and is none.
        let text = without_hex(&text);
        assert_clean(&format!("{what} {form:?}"), &text);
        let signature = WEB_TOKEN.rsplit('.').next().expect("a signature");
        assert!(!text.contains(signature) && !text.contains(&hex(signature)), "{what} {form:?}: {text}");
        assert!(!text.contains("opaque-token") && !text.contains(&hex("opaque-token")), "{what} {form:?}: {text}");
    }
}

/// With what the hex stands for in its place, be it a member of an object or rows below a line.
fn without_hex(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if let Some((before, after)) = line.split_once(r#""hex":""#) {
            let (digits, after) = after.split_once('"').expect("an end");
            out += &format!("{before} {} {after}\n", unhex(digits));
        } else if let Some(row) = row_of(line) {
            out += &unhex(&row);
        } else {
            out += &format!("\n{line}\n");
        }
    }
    out
}

/// The digits of `000010  04 b3 ...`.
fn row_of(line: &str) -> Option<String> {
    let (place, row) = line.trim_start().split_at_checked(6)?;
    let is_row = line.starts_with("        ") && place.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_row.then(|| row[..50].replace(' ', ""))
}

fn unhex(digits: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Debug)]
struct Fixed(&'static str);

impl TokenSource for Fixed {
    fn token(&self, _: &str) -> TokenFuture {
        let token = Token::jwt(self.0, std::time::UNIX_EPOCH + std::time::Duration::from_secs(3_000_000_000));
        Box::pin(std::future::ready(Ok::<_, TokenError>(token)))
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_show_no_secret() {
    let [with_key, with_token] = connection_strings();
    let wrong = with_key.replace(KEY, crate::forms::WRONG_KEY);
    let plain = Options::default;
    for (what, text, options) in [
        ("a key", &with_key, plain()),
        ("a token", &with_token, plain()),
        ("a wrong key", &wrong, plain()),
        ("a web token", &with_key, plain().credential(Fixed(WEB_TOKEN))),
        ("an opaque token", &with_key, plain().credential(Fixed("opaque-token"))),
    ] {
        let emulator = builder().build().expect("it can be built");
        let (tap, pages) = tap();
        let to = ConnectionString::parse(text).expect("well-formed");
        let options = options.tap(&tap);
        let connection = Connection::open_over(emulator.connect(), &to, &options).await.expect("opens");
        if let Ok(sender) = connection.sender(HUB).await {
            // An event that holds what it should not.
            let event = format!("{} SharedAccessKey={KEY} ", token());
            sender.send(batch_of(sender.batch(), [event.as_str(), &token()])).await.expect("accepted");
            let padded = format!("{}{}", "x".repeat(65_400), token());
            sender.send(batch_of(sender.batch(), [padded.as_str()])).await.expect("accepted");
        }
        let _ = connection.event_hub_properties(HUB).await;
        connection.close().await;
        assert_pages_clean(what, &pages);
    }
}

/// A login, and a token in transfers of a few bytes, as a peer with small frames gets it.
#[tokio::test(start_paused = true)]
async fn frames_of_any_size_show_no_secret() {
    let put = Event::from_body(Body::Value(token().into())).with_property("operation", "put-token");
    let put = put.with_property("type", "servicebus.windows.net:sastoken").encode().expect("encoded");
    for payload_len in [1, 7, 40, 150, put.len()] {
        let (tap, pages) = tap();
        let mut stream = tap.wrap(tokio::io::sink());
        let login = format!("\0{RULE}\0{KEY}");
        let init = [
            &b"\x00\x53\x41\xd0"[..],
            &((4 + 7 + 5 + login.len()) as u32).to_be_bytes(),
            &[0, 0, 0, 2],
            b"\xa3\x05PLAIN\xb0",
            &(login.len() as u32).to_be_bytes(),
            login.as_bytes(),
        ]
        .concat();
        let mut bytes = [&b"AMQP\x03\x01\x00\x00"[..], &frame(1, &init), b"AMQP\x00\x01\x00\x00"].concat();
        // begin, and an attach to $cbs with handle 0.
        bytes.extend(frame(0, b"\x00\x53\x11\xc0\x07\x04\x40\x43\x52\xff\x52\xff"));
        bytes.extend(frame(
            0,
            b"\x00\x53\x12\xc0\x18\x07\xa1\x01n\x43\x42\x40\x40\x00\x53\x28\x45\x00\x53\x29\xc0\x07\x01\xa1\x04$cbs",
        ));
        for (index, part) in put.chunks(payload_len).enumerate() {
            let more = if (index + 1) * payload_len < put.len() { 0x41 } else { 0x42 };
            let transfer = [&[0x00, 0x53, 0x14, 0xc0, 7, 6, 0x43, 0x43, 0x40, 0x43, 0x42, more], part].concat();
            bytes.extend(frame(0, &transfer));
        }
        stream.write_all(&bytes).await.expect("a sink");
        drop(stream);
        tap.finish();
        assert_pages_clean(&format!("transfers of {payload_len} bytes"), &pages);
        let text = String::from_utf8_lossy(&pages[0].1.0.lock().expect("no panic")).into_owned();
        assert!(text.contains("sasl-init mechanism=PLAIN") && text.contains("attach $cbs sender"), "{text}");
        assert_eq!(
            text.contains("delivery-id=0 put-token "),
            payload_len == put.len(),
            "read when it is whole: {text}"
        );
    }
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(8 + body.len() as u32).to_be_bytes()[..], &[2, kind, 0, 0], body].concat()
}

#[test]
fn the_option_that_shows_secrets_says_so() {
    let help =
        std::process::Command::new(env!("CARGO_BIN_EXE_hubwire")).args(["send", "--help"]).output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("text");
    assert!(help.contains("--trace-secrets"), "{help}");
}
