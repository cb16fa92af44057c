//! A recording -> what a server has to say, and when: so that a client can be shown the session once more.
//!
//! A client of today is not byte for byte the one that was recorded: its links have other names, its requests other ids.
//! What it says is laid beside what was said then, texts that differ are learnt, and put into the server's words.

mod credit;
mod learning;
mod reading;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::frames::{Frames, Piece, channel_of};
use credit::Credit;
use learning::Learnt;
pub(crate) use reading::{Conversation, read};

/// What the client has to have said before the server goes on. Frames that come when they like are not waited for.
const AWAITED: [&str; 10] =
    ["header", "sasl-init", "sasl-response", "open", "begin", "attach", "transfer", "detach", "end", "close"];

/// A frame of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Since the trace began.
    at: Duration,
    is_clients: bool,
    bytes: Bytes,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To say this, so long after what was before it.
    Say(Bytes, Duration),
    /// To hear more of the client, which owes this.
    Await(&'static str),
    /// Nothing more: the client says goodbye, and owes this.
    Leave(&'static str),
    /// The recording is over.
    End,
}

/// A conversation that is being played.
#[derive(Debug)]
pub(crate) struct Replay {
    frames: Vec<Recorded>,
    /// The next of them.
    place: usize,
    /// How often the client has said what: in the recording up to here, and now.
    recorded: BTreeMap<&'static str, u64>,
    heard: BTreeMap<&'static str, u64>,
    /// What the client says now, cut into frames.
    input: Frames,
    learnt: Learnt,
    credit: Credit,
}

impl Replay {
    pub(crate) fn new(conversation: Conversation) -> Self {
        let learnt = Learnt::new(conversation.frames.iter().filter(|frame| frame.is_clients).map(|frame| &frame.bytes));
        Self {
            frames: conversation.frames,
            place: 0,
            recorded: BTreeMap::new(),
            heard: BTreeMap::new(),
            input: Frames::default(),
            learnt,
            credit: Credit::default(),
        }
    }

    /// Frames of the server's that have been said, and all there are.
    pub(crate) fn progress(&self) -> (usize, usize) {
        let count = |frames: &[Recorded]| frames.iter().filter(|frame| !frame.is_clients).count();
        (count(&self.frames[..self.place]), count(&self.frames))
    }

    /// Takes what the client says.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
        while let Some(piece) = self.input.next() {
            let (Piece::Header(bytes) | Piece::Frame(bytes, _) | Piece::Strange(bytes)) = piece;
            let bytes = bytes.freeze();
            if let Some(name) = awaited(&bytes) {
                *self.heard.entry(name).or_default() += 1;
            }
            if let Some((performative, _)) = learning::performative(&bytes) {
                self.credit.hear(channel_of(&bytes), &performative);
            }
            self.learnt.lay_beside(&bytes);
        }
    }

    /// What comes next; the same again, until the client has said what it owes.
    pub(crate) fn next(&mut self) -> Step {
        while let Some(frame) = self.frames.get(self.place) {
            if !frame.is_clients {
                if let Some(owed) = self.owed() {
                    return self.wait_for(owed);
                }
                let said = self.learnt.put_into(&frame.bytes);
                let is_allowed = learning::performative(&said)
                    .is_none_or(|(performative, _)| self.credit.take(channel_of(&said), &performative));
                if !is_allowed {
                    return self.wait_for("credit");
                }
                let before = self.place.checked_sub(1).map_or(frame.at, |place| self.frames[place].at);
                let wait = frame.at.saturating_sub(before);
                self.place += 1;
                return Step::Say(said, wait);
            }
            if let Some(name) = awaited(&frame.bytes) {
                *self.recorded.entry(name).or_default() += 1;
            }
            self.place += 1;
        }
        self.owed().map_or(Step::End, |owed| self.wait_for(owed))
    }

    /// Whoever has said goodbye says nothing after it.
    fn wait_for(&self, owed: &'static str) -> Step {
        let is_gone = self.heard.contains_key("close") && owed != "close";
        if is_gone { Step::Leave(owed) } else { Step::Await(owed) }
    }

    fn owed(&self) -> Option<&'static str> {
        let heard = |name: &str| self.heard.get(name).copied().unwrap_or(0);
        self.recorded.iter().find(|(name, count)| heard(name) < **count).map(|(name, _)| *name)
    }
}

/// What a frame counts as, if it is waited for: a transfer only if it is the last of its delivery.
fn awaited(bytes: &Bytes) -> Option<&'static str> {
    if bytes.starts_with(b"AMQP") {
        return Some("header");
    }
    let (performative, _) = learning::performative(bytes)?;
    let name = AWAITED.into_iter().find(|name| *name == performative.name())?;
    (!performative.is("more")).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RECORDING: &[u8] = include_bytes!("../../tests/data/traces/publish.rec");

    /// Plays it to a client that says what was recorded: what the server says.
    fn played(recording: &[u8]) -> Vec<Bytes> {
        let conversation = read(recording).expect("a recording").remove(0);
        let client: Vec<Bytes> =
            conversation.frames.iter().filter(|frame| frame.is_clients).map(|frame| frame.bytes.clone()).collect();
        let (mut replay, mut client, mut said) = (Replay::new(conversation), client.into_iter(), Vec::new());
        loop {
            match replay.next() {
                Step::Say(bytes, _) => said.push(bytes),
                Step::Await(_) => replay.hear(&client.next().expect("it owes nothing that was not said")),
                Step::End | Step::Leave(_) => return said,
            }
        }
    }

    #[test]
    fn the_client_that_was_recorded_hears_what_was_recorded() {
        let conversation = read(RECORDING).expect("a recording").remove(0);
        let recorded = conversation.frames.iter().filter(|frame| !frame.is_clients).map(|frame| frame.bytes.clone());
        assert_eq!(played(RECORDING), recorded.collect::<Vec<_>>());
    }

    #[test]
    fn a_gap_and_what_is_no_recording_are_refused() {
        for (text, words) in [
            ("", "there is no frame in it"),
            ("{}", "line 1, column 2: expected an object of a trace"),
            (r#"{"type":"gap","frames":3}"#, "line 1: 3 records were left out"),
            (r#"{"type":"frame","connection":1,"direction":"sent","hex":"0"}"#, "line 1: expected hex digits"),
            (r#"{"type":"frame","connection":1,"direction":"up","hex":"00"}"#, "line 1: expected `sent` or `received`"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(words), "{text}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_client_may_say_anything(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 1..30)) {
            let mut replay = Replay::new(read(RECORDING).expect("a recording").remove(0));
            for piece in pieces {
                replay.hear(&piece);
                while let Step::Say(..) = replay.next() {}
            }
        }

        #[test]
        fn a_file_may_hold_anything(
            frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..24)), 1..12),
        ) {
            let line = |(is_sent, bytes): &(bool, Vec<u8>)| {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let direction = if *is_sent { "sent" } else { "received" };
                format!(r#"{{"type":"frame","connection":1,"direction":"{direction}","hex":"{hex}"}}"#)
            };
            let text: Vec<String> = frames.iter().map(line).collect();
            let mut replay = Replay::new(read(text.join("\n").as_bytes()).expect("frames").remove(0));
            for (_, bytes) in &frames {
                while let Step::Say(..) = replay.next() {}
                replay.hear(bytes);
            }
        }
    }
}
