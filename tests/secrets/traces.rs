//! Traces in every form, of sessions that hold secrets wherever they can.

use std::io;
use std::sync::{Arc, Mutex};

use hubwire::trace::{Form, Tap};
use hubwire::wire::event::{Body, Event};
use hubwire::{Connection, ConnectionString, Options, Token, TokenError, TokenFuture, TokenSource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
        let pages = written([login(), begin(), attach(0, "$cbs"), transfers(0, &put, payload_len)]).await;
        assert_pages_clean(&format!("transfers of {payload_len} bytes"), &pages);
        let text = text(&pages);
        assert!(text.contains("sasl-init mechanism=PLAIN") && text.contains("attach $cbs sender"), "{text}");
        assert_eq!(
            text.contains("delivery-id=0 put-token "),
            payload_len == put.len(),
            "read when it is whole: {text}"
        );
    }
}

/// An event with secrets in it, in transfers of a few bytes: none is put together again from what is shown of each.
#[tokio::test(start_paused = true)]
async fn events_in_pieces_show_no_secret() {
    let event = Event::new(format!("{} SharedAccessKey={KEY} {WEB_TOKEN} behind", token())).encode().expect("encoded");
    for payload_len in [1, 2, 3, 7, 19, 40, 150, event.len()] {
        let pages = written([login(), begin(), attach(1, "telemetry"), transfers(1, &event, payload_len)]).await;
        let shown = payloads(&pages);
        assert_clean(&format!("transfers of {payload_len} bytes"), &shown);
        assert!(shown.contains("se=3000000000") && shown.ends_with("** behind"), "{shown}");
        let is_seen = |part: &[u8]| shown.contains(std::str::from_utf8(part).expect("text"));
        let signature = WEB_TOKEN.rsplit('.').next().expect("a signature");
        assert!(!signature.as_bytes().windows(4).any(is_seen), "{payload_len}: {shown}");
        assert!(!KEY.as_bytes().windows(4).any(is_seen), "{payload_len}: {shown}");
    }
}

/// What a tap makes of bytes that are sent.
async fn written<const N: usize>(parts: [Vec<u8>; N]) -> Vec<(Form, Page)> {
    let (tap, pages) = tap();
    let mut stream = tap.wrap(tokio::io::sink());
    stream.write_all(&parts.concat()).await.expect("a sink");
    drop(stream);
    tap.finish();
    pages
}

/// A login whose parts stand where none belong: behind the performative, in a text, in no value at all.
#[tokio::test(start_paused = true)]
async fn a_login_is_masked_wherever_it_stands() {
    let outcome = b"\x00\x53\x44\xc0\x03\x01\x50\x00";
    for body in [[&outcome[..], b"PLAIN opaque-token"].concat(), b"PLAIN opaque-token".to_vec()] {
        assert_pages_clean("a login", &written([login(), frame(1, &body)]).await);
    }
}

/// Bytes that are no frames, and frames without a performative, whose first letters look like values.
#[tokio::test(start_paused = true)]
async fn what_is_no_amqp_shows_no_secret() {
    for text in [format!("SharedAccessKey={KEY} and more"), token().split_off(token().find("sig=").expect("signed"))] {
        let put = Event::from_body(Body::Value("opaque-token".into())).encode().expect("encoded");
        // A link that nobody has attached, and a transfer with a field too many.
        let nobodys = frame(0, &[b"\x00\x53\x14\xc0\x04\x02\x52\x09\x43", &b"opaque-token"[..]].concat());
        let broken = frame(0, &[&b"\x00\x53\x14\xc0\x0d\x0c"[..], &[0x40; 12], &put[..]].concat());
        let session = [&login()[..], &begin(), &nobodys, &broken].concat();
        for bytes in [text.as_bytes().to_vec(), frame(0, text.as_bytes()), session] {
            assert_pages_clean("what is no AMQP", &written([bytes]).await);
        }
    }
}

/// What a node answers is no token, and is shown however many transfers it comes in.
#[tokio::test(start_paused = true)]
async fn answers_are_shown() {
    let answer = Event::from_body(Body::Value("telemetry".into())).with_property("name", "an event hub of mine");
    let answer = answer.encode().expect("encoded");
    let (tap, pages) = tap();
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let mut near = tap.wrap(near);
    // The asking end receives: role is true, and the source is the node.
    let asked =
        frame(0, b"\x00\x53\x12\xc0\x1b\x06\xa1\x01n\x43\x41\x40\x40\x00\x53\x28\xc0\x0e\x01\xa1\x0b$management");
    let answered = frame(0, b"\x00\x53\x12\xc0\x0b\x08\xa1\x01n\x43\x42\x40\x40\x40\x40\x40");
    near.write_all(&[&b"AMQP\x00\x01\x00\x00"[..], &begin(), &asked].concat()).await.expect("room");
    let begun = frame(0, b"\x00\x53\x11\xc0\x09\x04\x60\x00\x00\x43\x52\xff\x52\xff");
    let said = [&begun[..], &answered, &transfers(0, &answer, 40)].concat();
    far.write_all(&said).await.expect("room");
    drop(far);
    near.read_to_end(&mut Vec::new()).await.expect("it ends");
    drop(near);
    let payloads = payloads(&pages);
    assert!(payloads.contains("an event hub of mine") && payloads.ends_with("telemetry"), "{payloads}");
}

/// As far as a session goes before anything is attached in it.
fn login() -> Vec<u8> {
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
    [&b"AMQP\x03\x01\x00\x00"[..], &frame(1, &init), b"AMQP\x00\x01\x00\x00"].concat()
}

fn begin() -> Vec<u8> {
    frame(0, b"\x00\x53\x11\xc0\x07\x04\x40\x43\x52\xff\x52\xff")
}

/// A sender's, with this handle.
fn attach(handle: u8, address: &str) -> Vec<u8> {
    let target =
        [&b"\x00\x53\x29\xc0"[..], &[address.len() as u8 + 3, 1, 0xa1, address.len() as u8], address.as_bytes()];
    let name = [0xa1, 1, b'm' + handle, 0x52, handle, 0x42, 0x40, 0x40, 0x00, 0x53, 0x28, 0x45];
    let fields = [&name[..], &target.concat()].concat();
    frame(0, &[&[0x00, 0x53, 0x12, 0xc0, fields.len() as u8 + 1, 7], &fields[..]].concat())
}

/// A message in transfers of so many bytes.
fn transfers(handle: u8, message: &[u8], payload_len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let count = message.chunks(payload_len).count();
    for (index, part) in message.chunks(payload_len).enumerate() {
        let more = if index + 1 < count { 0x41 } else { 0x42 };
        let performative = [0x00, 0x53, 0x14, 0xc0, 9, 6, 0x52, handle, 0x52, handle, 0x40, 0x43, 0x42, more];
        bytes.extend(frame(0, &[&performative, part].concat()));
    }
    bytes
}

/// The payloads of those transfers, one behind the other, as the recording has them.
fn payloads(pages: &[(Form, Page)]) -> String {
    let (_, recording) = pages.iter().find(|(form, _)| *form == Form::Recording).expect("one");
    let recording = String::from_utf8(recording.0.lock().expect("no panic").clone()).expect("text");
    let lines = recording.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an object"));
    let transfers = lines.filter(|line| line["performative"] == "transfer");
    let payloads = transfers.flat_map(|line| {
        let hex = line["hex"].as_str().expect("bytes").to_owned();
        (8 + 14..hex.len() / 2).map(move |at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex digits"))
    });
    String::from_utf8_lossy(&payloads.collect::<Vec<_>>()).into_owned()
}

fn text(pages: &[(Form, Page)]) -> String {
    String::from_utf8_lossy(&pages[0].1.0.lock().expect("no panic")).into_owned()
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(8 + body.len() as u32).to_be_bytes()[..], &[2, kind, 0, 0], body].concat()
}

#[test]
fn the_option_that_shows_secrets_says_so() {
    let help =
        std::process::Command::new(env!("CARGO_BIN_EXE_hubwire")).args(["send", "--help"]).output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let (_, option) = help.split_once("--trace-secrets").expect("the option");
    let (text, _) = option.trim_start().split_once('\n').expect("its text");
    assert!(text.starts_with("Mask nothing in trace, capture and recording"), "{help}");
}
