//! Faults as text: one line each, for the command line and for files.

mod words;
mod written;

use std::str::FromStr;

use super::{Fault, MAX_CONDITION_LEN, Run, Stage, What};
use crate::wire::condition;
use words::Words;

/// Every first word.
const NAMES: &str = "refuse-sasl, refuse-open, refuse-begin, refuse-attach, refuse-put-token, delay-sasl, delay-open, \
                     delay-begin, delay-attach, delay-put-token, delay-outcomes, withhold-credit, reject, release, modify, \
                     never-settle, lose, server-busy, out-of-order, detach, end, close, cut, silence, byte-by-byte";

/// Why a line is no [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// Nothing is in it.
    #[error("there is no fault in it; say what goes wrong first, e.g. `reject nth=2`")]
    Empty,
    /// The first word is none that says what goes wrong.
    #[error("{word:?} is no fault; begin with one of {NAMES}")]
    Name {
        /// That word.
        word: String,
    },
    /// A later word is no pair.
    #[error("{word:?}: expected KEY=VALUE; put a value with blanks in quotes, e.g. text=\"two words\"")]
    Pair {
        /// That word.
        word: String,
    },
    /// The fault has no such key.
    #[error("{fault} takes no {key:?}; it takes {expected}")]
    Key {
        /// The fault.
        fault: String,
        /// The key.
        key: String,
        /// The keys it takes.
        expected: String,
    },
    /// A key stands twice, or beside one that says otherwise.
    #[error("{key:?} stands beside {other:?}; leave one of them out")]
    Both {
        /// The first.
        key: String,
        /// The second.
        other: String,
    },
    /// A key is missing.
    #[error("{fault} needs {key}=, e.g. {key}={example}")]
    Missing {
        /// The fault.
        fault: String,
        /// The key.
        key: &'static str,
        /// A value.
        example: &'static str,
    },
    /// A value is none of its key's.
    #[error("{key}={value:?}: expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A quote has no end.
    #[error("a quote has no end; close it with another, and write a quote within it as \\\"")]
    Quote,
}

/// Which line of a script is no fault, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {source}")]
pub struct ScriptError {
    /// From 1 on.
    pub line: usize,
    /// Why.
    pub source: FaultError,
}

impl Fault {
    /// Reads one fault a line. Blank lines, and what stands behind a `#`, are passed over.
    ///
    /// # Errors
    /// [`ScriptError`] names the first line that is no fault.
    ///
    /// ```
    /// use hubwire::emulator::Fault;
    ///
    /// let faults = Fault::script("# a bad day\nserver-busy at=30s for=5s\n\nclose at=1m\n")?;
    /// assert_eq!(faults.len(), 2);
    /// # Ok::<(), hubwire::emulator::ScriptError>(())
    /// ```
    pub fn script(text: &str) -> Result<Vec<Self>, ScriptError> {
        let numbered = text.lines().enumerate().map(|(index, line)| match line.parse() {
            Err(FaultError::Empty) => Ok(None),
            Err(source) => Err(ScriptError { line: index + 1, source }),
            Ok(fault) => Ok(Some(fault)),
        });
        numbered.filter_map(Result::transpose).collect()
    }
}

/// Reads one line. See `docs/emulator.md` for the grammar.
impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(line: &str) -> Result<Self, FaultError> {
        let mut words = Words::read(line)?;
        let fault = timed(aimed(plain(&mut words)?, &mut words)?, &mut words)?;
        words.end()?;
        Ok(fault)
    }
}

/// What goes wrong.
fn plain(words: &mut Words) -> Result<Fault, FaultError> {
    Ok(match words.name.clone().as_str() {
        "refuse-sasl" => Fault::refuse_sasl(words.number("code", 1..=4)?.unwrap_or(1) as u8),
        "refuse-open" => words.error(condition::CONNECTION_FORCED, Fault::refuse_open)?,
        "refuse-begin" => words.error(condition::INTERNAL_ERROR, Fault::refuse_begin)?,
        "refuse-attach" => words.error(condition::INTERNAL_ERROR, Fault::refuse_attach)?,
        "refuse-put-token" => {
            let status = words.number("status", 300..=599)?.unwrap_or(401);
            Fault::refuse_put_token(status as i32, &words.take("text").unwrap_or_default())
        }
        "delay-sasl" => Fault::delay(Stage::Sasl, words.needed_span()?),
        "delay-open" => Fault::delay(Stage::Open, words.needed_span()?),
        "delay-begin" => Fault::delay(Stage::Begin, words.needed_span()?),
        "delay-attach" => Fault::delay(Stage::Attach, words.needed_span()?),
        "delay-put-token" => Fault::delay(Stage::PutToken, words.needed_span()?),
        "delay-outcomes" => Fault::delay_outcomes(words.needed_span()?),
        "withhold-credit" => Fault::withhold_credit(),
        "reject" => words.error(condition::INTERNAL_ERROR, Fault::reject)?,
        "release" => Fault::release(),
        "modify" => Fault::modify(),
        "never-settle" => Fault::never_settle(),
        "lose" => Fault::lose(),
        "server-busy" => Fault::server_busy(),
        "out-of-order" => Fault::out_of_order(),
        "detach" => words.error(condition::LINK_DETACH_FORCED, Fault::detach)?,
        "end" => words.error(condition::INTERNAL_ERROR, Fault::end)?,
        "close" => words.error(condition::CONNECTION_FORCED, Fault::close)?,
        "cut" => match (words.number("written", 0..=u64::MAX)?, words.number("read", 0..=u64::MAX)?) {
            (Some(_), Some(_)) => return Err(both("written", "read")),
            (None, Some(bytes)) => Fault::cut_after_bytes_read(bytes),
            (bytes, None) => Fault::cut_after_bytes(bytes.unwrap_or(0)),
        },
        "silence" => Fault::silence(),
        "byte-by-byte" => Fault::byte_by_byte(),
        other => return Err(FaultError::Name { word: other.to_owned() }),
    })
}

fn aimed(mut fault: Fault, words: &mut Words) -> Result<Fault, FaultError> {
    if let Some(number) = words.number("connection", 1..=u64::MAX)? {
        fault = fault.on_connection(number);
    }
    if !takes_target(&fault.what) {
        return Ok(fault);
    }
    Ok(match (words.take("hub"), words.take("link")) {
        (Some(_), Some(_)) => return Err(both("hub", "link")),
        (Some(hub), None) => fault.on_hub(&hub),
        (None, Some(address)) => fault.on_link(&address),
        (None, None) => fault,
    })
}

fn timed(mut fault: Fault, words: &mut Words) -> Result<Fault, FaultError> {
    if let Some(key) = nth_key(&fault.what)
        && let Some(number) = words.number(key, 1..=u64::MAX)?
    {
        fault = fault.nth(number);
    }
    let times = if takes_times(&fault) { words.times()? } else { None };
    let span = if fault.strikes_at_once() { None } else { words.span("for")? };
    fault = match (times, span) {
        (Some(_), Some(_)) => return Err(both("times", "for")),
        (Some(run), None) => Fault { run, ..fault },
        (None, Some(span)) => fault.lasting(span),
        (None, None) => fault,
    };
    Ok(match words.span("at")? {
        Some(span) => fault.starting_in(span),
        None => fault,
    })
}

/// Before there is a link none can be aimed at.
fn takes_target(what: &What) -> bool {
    let is_early = |stage: &Stage| matches!(stage, Stage::Sasl | Stage::Open | Stage::Begin);
    match what {
        What::RefuseSasl(_) => false,
        What::Refuse(stage, _) | What::Delay(stage, _) => !is_early(stage),
        _ => true,
    }
}

/// By which key it waits for its occasion.
fn nth_key(what: &What) -> Option<&'static str> {
    match what {
        What::Blow(_) | What::Cut(..) | What::Silence => Some("after-deliveries"),
        What::WithholdCredit | What::OutOfOrder | What::ByteByByte => None,
        _ => Some("nth"),
    }
}

/// Whether it happens a number of times: a blow that waits for deliveries does, a state does not.
fn takes_times(fault: &Fault) -> bool {
    let is_state = matches!(fault.what, What::WithholdCredit | What::OutOfOrder | What::ByteByByte | What::Silence);
    !is_state && !fault.strikes_at_once()
}

fn both(key: &str, other: &str) -> FaultError {
    FaultError::Both { key: key.to_owned(), other: other.to_owned() }
}

#[cfg(test)]
mod tests;
