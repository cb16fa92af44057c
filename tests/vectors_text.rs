//! Connection strings, tokens and partition keys against recorded vectors, and what must hold for
//! any text at all. `tests/data` holds them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire::wire::connection_string::{ConnectionString, Credential, ParseError, Warning};
use hubwire::wire::partition::partition_for_key;
use hubwire::wire::sas::{SasToken, VerifyError, sign, sign_until, string_to_sign};
use proptest::prelude::*;
use serde_json::{Value, json};

fn rows(json: &str) -> Vec<Value> {
    serde_json::from_str(json).expect("test data is a JSON array")
}

fn connection_strings() -> Vec<Value> {
    rows(include_str!("data/connection-strings.json"))
}

fn sas_tokens() -> Vec<Value> {
    rows(include_str!("data/sas-tokens.json"))
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_else(|| panic!("{row}: no text `{field}`"))
}

fn at(unix_secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix_secs)
}

// Connection strings.

/// The outcome of parsing, in the shape of the vectors.
fn outcome(result: &Result<ConnectionString, ParseError>) -> Value {
    let parsed = match result {
        Ok(parsed) => parsed,
        Err(error) => return json!({ "error": error.class() }),
    };
    let (key_name, key, token) = match parsed.credential() {
        Credential::SharedAccessKey { name, key } => (Some(name), Some(key.expose()), None),
        Credential::SharedAccessSignature(token) => (None, None, Some(token.as_str())),
        Credential::Absent => panic!("a string that was read has one"),
    };
    let mut ok = json!({
        "host": parsed.host(),
        "port": parsed.port(),
        "event_hub": parsed.event_hub(),
        "key_name": key_name,
        "key": key,
        "shared_access_signature": token,
        "use_development_emulator": parsed.use_development_emulator(),
    });
    if !parsed.warnings().is_empty() {
        ok["warnings"] = parsed.warnings().iter().map(Warning::class).collect();
    }
    json!({ "ok": ok })
}

#[test]
fn connection_strings_are_read_as_recommended() {
    let rows = connection_strings();
    assert_eq!(rows.len(), 66);
    for row in &rows {
        let result = ConnectionString::parse(text(row, "input"));
        let (id, note) = (text(row, "id"), text(row, "note"));
        assert_eq!(outcome(&result), row["expected"], "{id}: {note}");
    }
}

#[test]
fn every_way_to_parse_agrees() {
    for row in &connection_strings() {
        let input = text(row, "input");
        let parsed = outcome(&ConnectionString::parse(input));
        assert_eq!(outcome(&input.parse()), parsed, "{input}");
        assert_eq!(outcome(&ConnectionString::try_from(input)), parsed, "{input}");
    }
}

#[test]
fn no_prefix_of_a_connection_string_panics_or_prints_its_key() {
    for row in &connection_strings() {
        let input = text(row, "input");
        for (end, _) in input.char_indices() {
            let result = ConnectionString::parse(&input[..end]);
            let printed = everything_printed(&result);
            assert!(!printed.contains("FehbdIzXYc6Hk2"), "{printed}");
        }
    }
}

/// All that a caller could print of a result.
fn everything_printed(result: &Result<ConnectionString, ParseError>) -> String {
    match result {
        Ok(parsed) => {
            let warnings: String = parsed.warnings().iter().map(Warning::to_string).collect();
            let classes: String = parsed.warnings().iter().map(Warning::class).collect();
            let hub = parsed.resolve_event_hub(Some("another"));
            let hub = hub.map_or_else(|error| format!("{error} {error:?}"), str::to_owned);
            let (credential, redacted) = (parsed.credential(), parsed.redacted());
            format!("{result:?} {parsed:#?} {credential:?} {redacted} {warnings} {classes} {hub}")
        }
        Err(error) => format!("{result:?} {error:#?} {error} {}", error.class()),
    }
}

/// A key with a digit in every four characters, so that no longer run of it is a plain word.
const MARKED_KEY: &str = "q7Xz1+Ab9Cd/3Ef5Gh7Ij2Kl4Mn6Op8Qr0St1Uv=";

/// The vectors, their keys and signatures replaced by the marked one.
fn marked_inputs() -> Vec<String> {
    let secrets = ["+FehbdIzXYc6Hk2sckMuX0iTfLV4wWuZMkCGeNImi6s=", "abc%2Bdef%3D", "SAS_KEY_VALUE", "ké✓=", "a=b=c=="];
    let mark = |row: &Value| {
        let input = text(row, "input").to_owned();
        secrets.iter().fold(input, |input, secret| input.replace(secret, MARKED_KEY))
    };
    let inputs: Vec<_> = connection_strings().iter().map(mark).collect();
    inputs.into_iter().filter(|input| input.contains(MARKED_KEY)).collect()
}

/// One slip of a hand: put a text in place of some bytes.
fn slip() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
    let pieces = prop_oneof![
        4 => "[;=&@:/?# \\[\\]]",
        2 => Just(String::new()),
        2 => ".",
    ];
    (any::<prop::sample::Index>(), 0..3_usize, pieces)
}

fn mangled(input: &str, slips: &[(prop::sample::Index, usize, String)]) -> String {
    let mut chars: Vec<char> = input.chars().collect();
    for (index, removed, inserted) in slips {
        let start = index.index(chars.len() + 1);
        let end = (start + removed).min(chars.len());
        chars.splice(start..end, inserted.chars());
    }
    chars.into_iter().collect()
}

/// The first run of `len` characters of the marked key that `printed` holds.
fn leaked(printed: &str, len: usize) -> Option<&'static str> {
    (0..=MARKED_KEY.len() - len).map(|start| &MARKED_KEY[start..start + len]).find(|run| printed.contains(run))
}

#[test]
fn every_marked_input_keeps_its_key() {
    let inputs = marked_inputs();
    assert!(inputs.len() > 50, "only {} inputs hold a key", inputs.len());
    for input in inputs {
        let printed = everything_printed(&ConnectionString::parse(&input));
        assert_eq!(leaked(&printed, 6), None, "{input}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in any::<String>()) {
        let _ = everything_printed(&ConnectionString::parse(&text));
        let _ = everything_printed(&ConnectionString::parse(&format!("Endpoint={text}")));
        let _ = SasToken::parse(&format!("SharedAccessSignature {text}"));
        let _ = SasToken::parse(&format!("SharedAccessSignature sr={text}&sig={text}&skn={text}"));
    }

    #[test]
    fn no_endpoint_of_awkward_bytes_panics(text in "[a-z0-9:/@\\[\\].?# ü=%-]{0,24}") {
        let full = format!("Endpoint={text};SharedAccessKeyName=p;SharedAccessKey=k");
        let _ = everything_printed(&ConnectionString::parse(&full));
    }

    #[test]
    fn no_slip_prints_the_key(
        input in prop::sample::select(marked_inputs()),
        slips in prop::collection::vec(slip(), 1..=2),
    ) {
        let text = mangled(&input, &slips);
        let printed = everything_printed(&ConnectionString::parse(&text));
        prop_assert_eq!(leaked(&printed, 8), None, "{}", text);
    }
}

// Tokens.

/// Every token of a vector, ours and each SDK's, with its maker.
fn tokens_of(row: &Value) -> Vec<(&str, &str)> {
    let same = row["same"].as_array().expect("a list of SDKs");
    let other = row["other"].as_object().expect("tokens by SDK");
    let same = same.iter().map(|sdk| (sdk.as_str().expect("an SDK"), text(row, "token")));
    let other = other.iter().map(|(sdk, token)| (sdk.as_str(), token.as_str().expect("a token")));
    same.chain(other).collect()
}

/// The signature's base64, as the token's text carries it.
fn signature_of(token: &str) -> String {
    let (_, after) = token.split_once("&sig=").expect("a signature");
    let (encoded, _) = after.split_once('&').expect("a field after the signature");
    encoded.replace("%2F", "/").replace("%2B", "+").replace("%3D", "=")
}

#[test]
fn tokens_are_signed_to_the_byte() {
    let rows = sas_tokens();
    assert_eq!(rows.len(), 18);
    for row in &rows {
        let id = text(row, "id");
        let (audience, key_name, key) = (text(row, "audience"), text(row, "key_name"), text(row, "key"));
        let expiry = row["expiry"].as_u64().expect("an expiry");

        assert_eq!(string_to_sign(audience, expiry), text(row, "string_to_sign"), "{id}");
        let token = sign_until(audience, key_name, key, expiry);
        assert_eq!(signature_of(token.as_str()), text(row, "signature_base64"), "{id}");
        assert_eq!(token.as_str(), text(row, "token"), "{id}");

        let by_ttl = sign(audience, key_name, key, at(0), Duration::from_secs(expiry));
        assert_eq!(by_ttl.as_str(), token.as_str(), "{id}");
    }
}

#[test]
fn the_tokens_of_every_sdk_hold() {
    let mut verified = 0;
    for row in &sas_tokens() {
        for (sdk, token) in tokens_of(row) {
            let label = format!("{} of {sdk}", text(row, "id"));
            let parsed = SasToken::parse(token).unwrap_or_else(|error| panic!("{label}: {error}"));
            assert_eq!(parsed.as_str(), token, "{label}");
            assert!(parsed.covers(text(row, "audience")), "{label}");

            let expiry = parsed.expiry_unix_secs().expect("every SDK sets an expiry");
            if let Some(last_second) = expiry.checked_sub(1) {
                assert_eq!(parsed.verify(text(row, "key"), at(last_second)), Ok(()), "{label}");
            }
            // The signature is checked before the clock, so this says again that it was good.
            let ended = VerifyError::Expired { expiry_unix_secs: expiry, now_unix_secs: expiry };
            assert_eq!(parsed.verify(text(row, "key"), at(expiry)), Err(ended), "{label}");
            let other_key = parsed.verify("another key", at(0));
            assert_eq!(other_key, Err(VerifyError::BadSignature), "{label}");
            verified += 1;
        }
    }
    assert_eq!(verified, 90);
}

#[test]
fn key_names_are_decoded_once() {
    let rows = sas_tokens();
    let row = rows.iter().find(|row| text(row, "id") == "sas14").expect("sas14");
    for (sdk, token) in tokens_of(row) {
        let expected = match sdk {
            "python" => "my+policy%2F%2B1", // encoded twice
            "go" => "my policy/ 1",         // not encoded
            _ => "my policy/+1",
        };
        assert_eq!(SasToken::parse(token).unwrap().key_name(), expected, "{sdk}");
    }
}

#[test]
fn no_prefix_of_a_token_panics() {
    for row in &sas_tokens() {
        for (_, token) in tokens_of(row) {
            for (end, _) in token.char_indices() {
                // Only a shortened key name still verifies: it is not part of what is signed.
                let Ok(cut) = SasToken::parse(&token[..end]) else {
                    continue;
                };
                assert!(token[..end].contains("&skn="));
                let _ = (format!("{cut:?}"), cut.renew_at(at(0)), cut.covers("sb://ns/hub"));
            }
        }
    }
}

#[test]
fn a_token_prints_without_its_signature() {
    for row in &sas_tokens() {
        for (_, token) in tokens_of(row) {
            let parsed = SasToken::parse(token).unwrap();
            let printed = format!("{parsed:?} {parsed:#?} {}", parsed.redacted());
            assert!(!printed.contains(&signature_of(token)[..8]), "{printed}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_signed_is_read_back_and_holds(
        audience in "\\PC{1,40}",
        key_name in "\\PC{1,20}",
        key in any::<String>(),
        expiry in 1..u64::MAX,
    ) {
        let signed = sign_until(&audience, &key_name, &key, expiry);
        let parsed = SasToken::parse(signed.as_str()).unwrap();
        prop_assert_eq!(parsed.audience(), audience.as_str());
        prop_assert_eq!(parsed.key_name(), key_name.as_str());
        prop_assert_eq!(parsed.expiry_unix_secs(), Some(expiry));
        prop_assert_eq!(parsed.verify(&key, at(0)), Ok(()));
    }

    #[test]
    fn no_changed_signature_holds(
        row in prop::sample::select(sas_tokens()),
        place in any::<prop::sample::Index>(),
        byte in prop::sample::select("ABCXYZabcxyz0189+/=".as_bytes()),
    ) {
        let token = text(&row, "token");
        let genuine = signature_of(token);
        let mut changed = genuine.clone().into_bytes();
        changed[place.index(genuine.len())] = byte;
        let changed = String::from_utf8(changed).unwrap();
        prop_assume!(changed != genuine);

        let encode = |sig: &str| sig.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let forged = token.replace(&encode(&genuine), &encode(&changed));
        prop_assert_ne!(&forged, token);
        let verdict = SasToken::parse(&forged).unwrap().verify(text(&row, "key"), at(0));
        prop_assert_eq!(verdict, Err(VerifyError::BadSignature));
    }

    #[test]
    fn no_time_makes_renewal_panic(expiry in any::<u64>(), issued in 0..u64::MAX / 4) {
        let token = sign_until("sb://ns/hub", "send", "a2V5", expiry);
        let Some(issued) = UNIX_EPOCH.checked_add(Duration::from_secs(issued)) else {
            return Ok(());
        };
        if let Some(renewed) = token.renew_at(issued) {
            prop_assert!(renewed >= issued);
            let end = UNIX_EPOCH.checked_add(Duration::from_secs(expiry));
            prop_assert!(end.is_none_or(|end| renewed <= end.max(issued)));
        }
    }
}

// Partition keys.

#[test]
fn partition_keys_fall_where_the_sdks_put_them() {
    let rows = rows(include_str!("data/partition-keys.json"));
    assert_eq!(rows.len(), 14);
    for row in &rows {
        let partitions = row["partitions"].as_u64().and_then(|count| u32::try_from(count).ok());
        let partition = partition_for_key(text(row, "key"), partitions.expect("a count"));
        assert_eq!(Some(u64::from(partition)), row["partition"].as_u64(), "{row}");
    }
}
