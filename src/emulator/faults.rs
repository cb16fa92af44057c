//! Faults on request: what an emulator is told to do wrong, where, and when.

mod aim;
#[cfg(feature = "cli")]
mod disturbance;
mod grammar;
mod in_force;
mod occasions;
mod stream;

use std::time::Duration;

use crate::wire::condition;
use crate::wire::frame::PeerError;

pub(crate) use aim::Aim;
use aim::Target;
#[cfg(feature = "cli")]
pub(crate) use disturbance::{Disturbance, Trouble};
pub use grammar::{FaultError, ScriptError};
pub(super) use in_force::Faults;
pub(super) use stream::{Faulty, Manners};

/// Bytes of a condition: with the longest text it still fits a frame of 512.
const MAX_CONDITION_LEN: usize = 80;
/// What an error says that was given no words.
const DEFAULT_TEXT: &str = "A fault was asked for.";

/// Something that the emulator does wrong on request. See [`Emulator::inject`](super::Emulator::inject).
///
/// What goes wrong is said first, then where ([`on_connection`](Self::on_connection), [`on_hub`](Self::on_hub),
/// [`on_link`](Self::on_link); else everywhere), then when. There are three kinds:
///
/// - **A step goes wrong**: a refusal, a delay, what becomes of a delivery. It befalls the next one that it is aimed at, or
///   the [`nth`](Self::nth), once, or as often as [`times`](Self::times), [`lasting`](Self::lasting) or
///   [`always`](Self::always) say.
/// - **A blow**: [`detach`](Self::detach), [`end`](Self::end), [`close`](Self::close). It strikes everything that is there
///   and that it is aimed at, now, or [`after_deliveries`](Self::after_deliveries) the link, session or connection that took
///   the last of them.
/// - **A state**: [`silence`](Self::silence), [`server_busy`](Self::server_busy), [`byte_by_byte`](Self::byte_by_byte) and
///   the like. It holds from now on, until [`Emulator::clear_faults`](super::Emulator::clear_faults), or for as long as
///   [`lasting`](Self::lasting) says.
///
/// Links to `$cbs` and `$management` are spared, unless they are named by [`on_link`](Self::on_link).
///
/// A fault is also a line of text, the same for the option `--fault` and for files: [`FromStr`](std::str::FromStr) reads
/// it, [`Display`](std::fmt::Display) writes it. See `docs/emulator.md`.
///
/// ```
/// use std::time::Duration;
/// use hubwire::emulator::Fault;
///
/// let fault = Fault::reject("amqp:not-allowed", "not today").on_hub("telemetry").nth(2);
/// assert_eq!(fault.to_string(), r#"reject condition=amqp:not-allowed text="not today" hub=telemetry nth=2"#);
/// assert_eq!("server-busy for=5s".parse(), Ok(Fault::server_busy().lasting(Duration::from_secs(5))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a fault does nothing before it is injected"]
pub struct Fault {
    pub(super) what: What,
    pub(super) aim: Aim,
    /// Which of its occasions is the first that it befalls.
    pub(super) nth: Option<u64>,
    pub(super) run: Run,
    pub(super) starts_in: Duration,
}

/// A step of a client's that can be [delayed](Fault::delay).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The outcome of SASL.
    Sasl,
    /// The answer to the client's open.
    Open,
    /// The answer to a session's begin.
    Begin,
    /// The answer to a link's attach.
    Attach,
    /// The answer to a token that was put at `$cbs`.
    PutToken,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    RefuseSasl(u8),
    RefusePutToken(i32, String),
    Refuse(Stage, PeerError),
    Delay(Stage, Duration),
    Outcome(Fate),
    DelayOutcomes(Duration),
    WithholdCredit,
    OutOfOrder,
    Blow(Blow),
    Cut(Way, u64),
    Silence,
    ByteByByte,
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Reject(PeerError),
    Release,
    Modify,
    /// It is stored, and nothing is said of it.
    NeverSettle,
    /// It is not stored, and nothing is said of it.
    Lose,
    ServerBusy,
}

/// What is ended from this side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    Detach(PeerError),
    End(PeerError),
    Close(PeerError),
}

/// A direction, as the emulator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Written,
    Read,
}

/// How often, or for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Times(u64),
    Lasting(Duration),
    Always,
}

/// What goes wrong.
impl Fault {
    /// Refuses SASL with `code`, 1 to 4; others are taken for 1 (auth). Source: AMQP 1.0 part 5, 5.3.3.6.
    pub fn refuse_sasl(code: u8) -> Self {
        Self::once(What::RefuseSasl(if (1..=4).contains(&code) { code } else { 1 }))
    }

    /// Answers the client's open with one of its own and a close that says why.
    pub fn refuse_open(condition: &str, text: &str) -> Self {
        Self::once(What::Refuse(Stage::Open, error(condition, text)))
    }

    /// Answers a session's begin with one of its own and an end that says why.
    pub fn refuse_begin(condition: &str, text: &str) -> Self {
        Self::once(What::Refuse(Stage::Begin, error(condition, text)))
    }

    /// Refuses a link.
    pub fn refuse_attach(condition: &str, text: &str) -> Self {
        Self::once(What::Refuse(Stage::Attach, error(condition, text)))
    }

    /// Refuses a token with `status`, as in HTTP. [`on_hub`](Self::on_hub) means the hub that the token is for.
    pub fn refuse_put_token(status: i32, text: &str) -> Self {
        Self::once(What::RefusePutToken(status, words(text)))
    }

    /// Answers a step later by `by`. One of SASL, open and begin holds up everything else on its connection.
    pub fn delay(stage: Stage, by: Duration) -> Self {
        Self::once(What::Delay(stage, by))
    }

    /// Rejects a delivery; it is not stored.
    pub fn reject(condition: &str, text: &str) -> Self {
        Self::once(What::Outcome(Fate::Reject(error(condition, text))))
    }

    /// Releases a delivery: it comes back, and is not stored.
    pub fn release() -> Self {
        Self::once(What::Outcome(Fate::Release))
    }

    /// Gives a delivery back as modified; it is not stored.
    pub fn modify() -> Self {
        Self::once(What::Outcome(Fate::Modify))
    }

    /// Stores a delivery, and never says so. See [`lose`](Self::lose) for the other half of not knowing.
    pub fn never_settle() -> Self {
        Self::once(What::Outcome(Fate::NeverSettle))
    }

    /// Does not store a delivery, and never says so.
    pub fn lose() -> Self {
        Self::once(What::Outcome(Fate::Lose))
    }

    /// Rejects deliveries with `com.microsoft:server-busy` and the service's sentence, as of 50002. A state.
    pub fn server_busy() -> Self {
        Self::always_so(What::Outcome(Fate::ServerBusy))
    }

    /// Waits for this long before each outcome. A state.
    ///
    /// `azure_messaging_eventhubs` 0.16 now and then loses an outcome that comes back within a fraction of a millisecond:
    /// two milliseconds are enough for it.
    pub fn delay_outcomes(by: Duration) -> Self {
        Self::always_so(What::DelayOutcomes(by))
    }

    /// Gives no credit: new links get none, and those that are there lose what they have. A state.
    pub fn withhold_credit() -> Self {
        Self::always_so(What::WithholdCredit)
    }

    /// Settles deliveries that came together in reverse order, and answers requests to `$cbs` and `$management` that came
    /// together likewise. A state.
    pub fn out_of_order() -> Self {
        Self::always_so(What::OutOfOrder)
    }

    /// Detaches links. A blow.
    pub fn detach(condition: &str, text: &str) -> Self {
        Self::once(What::Blow(Blow::Detach(error(condition, text))))
    }

    /// Ends sessions. A blow; aimed at a hub or a link, it strikes the sessions that have one.
    pub fn end(condition: &str, text: &str) -> Self {
        Self::once(What::Blow(Blow::End(error(condition, text))))
    }

    /// Closes connections. A blow; aimed at a hub or a link, it strikes the connections that have one.
    pub fn close(condition: &str, text: &str) -> Self {
        Self::once(What::Blow(Blow::Close(error(condition, text))))
    }

    /// Cuts the stream when the emulator has written `bytes` more to it: 0 cuts what is there, now.
    ///
    /// Each connection is counted by itself, from its start or from when the fault is injected; the first that gets so far
    /// is cut.
    pub fn cut_after_bytes(bytes: u64) -> Self {
        Self::once(What::Cut(Way::Written, bytes))
    }

    /// Cuts the stream when the emulator has read `bytes` more from it. See [`cut_after_bytes`](Self::cut_after_bytes).
    pub fn cut_after_bytes_read(bytes: u64) -> Self {
        Self::once(What::Cut(Way::Read, bytes))
    }

    /// Writes nothing any more, not even heartbeats, and goes on reading. A state; when it ends, what was held back is
    /// written.
    pub fn silence() -> Self {
        Self::always_so(What::Silence)
    }

    /// Writes one byte at a time, and lets others run after each. A state.
    pub fn byte_by_byte() -> Self {
        Self::always_so(What::ByteByByte)
    }

    fn once(what: What) -> Self {
        Self { what, aim: Aim::default(), nth: None, run: Run::Times(1), starts_in: Duration::ZERO }
    }

    fn always_so(what: What) -> Self {
        Self { run: Run::Always, ..Self::once(what) }
    }
}

/// Where, and when.
impl Fault {
    /// Aims it at one connection: by number, from 1 on, since the emulator was built.
    pub fn on_connection(mut self, number: u64) -> Self {
        self.aim.connection = Some(number);
        self
    }

    /// Aims it at a hub: its links, those of its partitions and receivers, and the sessions and connections that have one.
    ///
    /// SASL, opens and begins have no link yet: aimed so, their faults befall nothing.
    pub fn on_hub(mut self, name: &str) -> Self {
        self.aim.target = Some(Target::Hub(one_line(name)));
        self
    }

    /// Aims it at the links to one address, such as `telemetry`, `telemetry/Partitions/0` or `$cbs`. As of
    /// [`on_hub`](Self::on_hub), but nothing beside it is meant.
    pub fn on_link(mut self, address: &str) -> Self {
        self.aim.target = Some(Target::Link(one_line(address)));
        self
    }

    /// Spares the first `number - 1` of its occasions from now on: deliveries, attaches, whatever it befalls.
    pub fn nth(mut self, number: u64) -> Self {
        self.nth = Some(number.max(1));
        self
    }

    /// Waits for `count` publishers' deliveries that it is aimed at.
    ///
    /// For detach, end and close: all of them are settled before it. For silence and cut: the last one is stored, and its
    /// outcome no longer leaves.
    pub fn after_deliveries(self, count: u64) -> Self {
        self.nth(count)
    }

    /// So many times, once or more, from the first on.
    pub fn times(mut self, times: u64) -> Self {
        self.run = Run::Times(times.max(1));
        self
    }

    /// As often as there is an occasion, for this long.
    pub fn lasting(mut self, span: Duration) -> Self {
        self.run = Run::Lasting(span);
        self
    }

    /// As often as there is an occasion, until the faults are cleared.
    pub fn always(mut self) -> Self {
        self.run = Run::Always;
        self
    }

    /// Is injected this long after it was handed over, or after the emulator was built.
    pub fn starting_in(mut self, span: Duration) -> Self {
        self.starts_in = span;
        self
    }
}

impl Fault {
    /// Whether it strikes what is there at one moment, and is then over.
    pub(super) fn strikes_at_once(&self) -> bool {
        matches!(self.what, What::Blow(_)) && self.nth.is_none()
    }

    /// The same, for this connection, and without waiting.
    fn now_on(&self, connection: u64) -> Self {
        Self { aim: Aim { connection: Some(connection), target: None }, nth: None, ..self.clone() }
    }

    /// Whether a delivery sets it off that goes its own way all the same.
    pub(super) fn waits_for_deliveries(&self) -> bool {
        matches!(self.what, What::Blow(_) | What::Silence | What::Cut(..)) && self.nth.is_some()
    }
}

fn error(condition: &str, text: &str) -> PeerError {
    // A symbol is ASCII.
    let condition: String = condition.chars().filter(char::is_ascii_graphic).take(MAX_CONDITION_LEN).collect();
    let condition = if condition.is_empty() { condition::INTERNAL_ERROR } else { &condition };
    PeerError::new(condition, words(text))
}

/// A line is what a fault has to be written in.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn words(text: &str) -> String {
    let text = one_line(text);
    if text.trim().is_empty() { DEFAULT_TEXT.to_owned() } else { text }
}
