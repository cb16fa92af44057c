//! How the command speaks on standard error: in lines for people, or in JSON objects, one a line.

use std::fmt;

use super::object::Object;
use crate::cli::failure::Failure;
use crate::cli::output;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    Text,
    Json,
}

impl Voice {
    /// Says one thing, in whichever form is wanted.
    pub(super) fn say<T: fmt::Display>(self, text: impl FnOnce() -> T, object: impl FnOnce() -> Object) {
        match self {
            Self::Text => output::note(text()),
            Self::Json => output::note(object()),
        }
    }

    pub(super) fn warn(self, text: fmt::Arguments<'_>) {
        self.say(|| format!("warning: {text}"), || Object::new("warning").with("message", text.to_string()));
    }

    pub(super) fn complain(self, failure: &Failure) {
        let object = || {
            let object = Object::new("error").with("kind", failure.kind.name());
            object.with("message", failure.message.as_str())
        };
        self.say(|| format!("error: {failure}"), object);
    }
}
