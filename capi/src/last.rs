//! What a thread's last call came to.

use std::cell::RefCell;
use std::fmt::Display;

use hubwire_rs::{Error, SendError};

use crate::Code;

/// The header's `hubwire_outcome`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    result: Code,
    is_retryable: i32,
    events: u64,
    bytes: u64,
}

/// All that is kept of it. By default: it was done.
#[derive(Debug, Default)]
pub(crate) struct Last {
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
    pub(crate) condition: String,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
}

/// Looks at it. A thread that is ending has none.
pub(crate) fn with<T: Default>(look: impl FnOnce(&Last) -> T) -> T {
    LAST.try_with(|last| look(&last.borrow())).unwrap_or_default()
}

/// Keeps it; its code.
pub(crate) fn keep(last: Last) -> Code {
    let code = last.outcome.result;
    let _ = LAST.try_with(|kept| *kept.borrow_mut() = last);
    code
}

impl Last {
    pub(crate) fn new(result: Code, message: impl Display) -> Self {
        let outcome = Outcome { result, ..Outcome::default() };
        Self { outcome, message: message.to_string(), condition: String::new() }
    }

    pub(crate) fn invalid(why: impl Display) -> Self {
        Self::new(Code::Invalid, why)
    }

    /// Of a connection string or a name.
    pub(crate) fn setting(why: impl Display) -> Self {
        Self::new(Code::Refused, why)
    }

    /// Of a connection or a link that could not be had.
    pub(crate) fn open(error: Error) -> Self {
        let code = if error.is_retryable() { Code::Unreachable } else { Code::Refused };
        Self::new(code, &error).with_words(error.condition(), error.is_retryable())
    }

    pub(crate) fn send(error: &SendError) -> Self {
        let (code, condition) = match error {
            SendError::Rejected { condition, .. } => (Code::Rejected, Some(condition.as_str())),
            SendError::NotSent { cause, .. } => (Code::NotSent, cause.condition()),
            SendError::Unknown { cause, .. } => (Code::Unknown, cause.condition()),
            // A kind that is not known yet: whatever it is, it may be stored.
            _ => (Code::Unknown, None),
        };
        Self::new(code, error).with_words(condition, error.is_retryable())
    }

    /// Of a message with so many events and bytes.
    pub(crate) fn of(mut self, events: usize, bytes: usize) -> Self {
        (self.outcome.events, self.outcome.bytes) = (events as u64, bytes as u64);
        self
    }

    fn with_words(mut self, condition: Option<&str>, is_retryable: bool) -> Self {
        self.condition = condition.unwrap_or_default().to_owned();
        self.outcome.is_retryable = i32::from(is_retryable);
        self
    }
}
