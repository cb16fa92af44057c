//! What official SDKs sent, dissected as it was elsewhere; and input that breaks.

mod broken;
mod captures;
mod secrets;

use super::*;
use crate::wire::value::Value;

/// Every frame of `tests/data/wire-captures.json` that the file has the bytes of: bytes, text, sections.
pub(super) fn frames() -> Vec<(Bytes, String, Vec<String>)> {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../../tests/data/wire-captures.json")).unwrap();
    let frames = file["connections"].as_array().unwrap().iter().flat_map(|it| it["frames"].as_array().unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let frames = frames.filter(|frame| frame["hex"].is_string()).map(|frame| {
        let sections = frame["sections"].as_array().into_iter().flatten().map(text).collect();
        (unhex(&text(&frame["hex"])), text(&frame["text"]), sections)
    });
    frames.collect()
}

/// A message of `tests/data/batch-encodings.json`.
pub(super) struct Golden {
    id: String,
    bytes: Bytes,
    sections: Vec<String>,
    /// The sections of each event, if there are any.
    events: Option<Vec<Vec<String>>>,
}

pub(super) fn batches() -> Vec<Golden> {
    let file = include_str!("../../../tests/data/batch-encodings.json");
    let file: serde_json::Value = serde_json::from_str(file).unwrap();
    let texts = |value: &serde_json::Value| {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["python", "js"].into_iter().flat_map(|sdk| file[sdk].as_array().unwrap());
    let goldens = all.filter(|batch| batch["envelope_decoded"].is_array()).map(|batch| Golden {
        id: batch["id"].as_str().unwrap().to_owned(),
        bytes: unhex(batch["envelope_hex"].as_str().unwrap()),
        sections: texts(&batch["envelope_decoded"]),
        events: batch["events_decoded"].as_array().map(|events| events.iter().map(texts).collect()),
    });
    goldens.collect()
}

pub(super) fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Frame and message as one.
pub(super) fn whole(input: &Bytes, secrets: Secrets) -> Vec<Dissection> {
    let (dissection, transfer) = frame(input, secrets);
    let message = transfer
        .filter(|transfer| !transfer.has_more)
        .map(|transfer| message(input, transfer.payload, Events::of_format(transfer.message_format), secrets));
    std::iter::once(dissection).chain(message).collect()
}
