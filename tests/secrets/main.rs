//! Keys, tokens and their signatures are in nothing that the library or the command line can print.
//!
//! `types` shows a value of every public type, `errors` every error that can be had, `command` runs the binary; `forms`
//! knows what a secret looks like wherever it turns up. What is public is read from `src/`: a type or an error that is not
//! looked at here fails a test.

mod command;
mod errors;
mod forms;
mod source;
#[path = "../support/mod.rs"]
mod support;
mod traces;
mod types;
