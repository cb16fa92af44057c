//! The process that the platform runs: a request a line in, an answer each into its FIFO, logs to standard output.
//! Source: algorithm-process 2.

use std::any::Any;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::lines::{self, Line, MAX_LINE_LEN};
use super::response::Response;
use super::{Answer, Failure, FromInput, Input, IntoAnswer};
use crate::algorithm::answer::encode;
use crate::algorithm::failure::ErrorType;

/// Where the platform reads answers.
const RESPONSE: &str = "/tmp/algoout";
/// What it waits for on standard output.
const READY: &str = "PIPE_INIT_COMPLETE";

/// A process that speaks to the platform: the requests are lines of standard input, standard output and standard error are log.
/// Each answer is written to the host's FIFO at once, which is opened and closed for it.
///
/// It ends with its input. Nothing that a handler does ends it before: what fails, or panics, is an answer too.
#[derive(Clone, Debug)]
pub struct Process {
    response: PathBuf,
}

/// Why a process cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// Standard input cannot be read.
    #[error("cannot read requests from standard input: {0}; look at the host")]
    Request(#[source] io::Error),
    /// The answer cannot be written.
    #[error(
        "cannot write the answer to {path}: {source}; the host makes this FIFO and reads it; for a try, choose another place \
         for answers, or `-` for standard output"
    )]
    Response {
        /// Where to.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl Default for Process {
    fn default() -> Self {
        Self { response: RESPONSE.into() }
    }
}

impl Process {
    /// One as the platform wants it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where answers go: a FIFO that somebody reads, a file that they are added to, or `-` for standard output. Default
    /// `/tmp/algoout`, the platform's FIFO.
    #[must_use]
    pub fn response(mut self, path: impl Into<PathBuf>) -> Self {
        self.response = path.into();
        self
    }

    /// Says that the algorithm is ready, and runs `apply` for every request until the host ends its input. An answer that
    /// nobody has read any more is told on standard error.
    ///
    /// # Errors
    /// [`ProcessError`]: nobody can be answered any more, or asked. An answer waits 30 s for a reader of its FIFO, and as
    /// long again for that to take it.
    pub fn run<F, IN, OUT, E>(self, mut apply: F) -> Result<(), ProcessError>
    where
        F: FnMut(IN) -> Result<OUT, E>,
        IN: FromInput,
        OUT: IntoAnswer,
        E: Into<Box<dyn Error>>,
    {
        let mut respond = Response::new(self.response);
        let mut answer = |input: Input| {
            let output = apply(IN::from_input(input)?).map_err(|error| Failure::of(&*error.into()))?;
            output.into_answer()
        };
        say_ready();
        serve(&mut io::stdin().lock(), MAX_LINE_LEN, &mut answer, &mut |bytes| {
            flush_logs();
            respond.write(bytes)
        })
    }
}

/// Answers every request.
fn serve(
    requests: &mut impl BufRead,
    max_len: usize,
    answer: &mut impl FnMut(Input) -> Result<Answer, Failure>,
    respond: &mut impl FnMut(&[u8]) -> Result<(), ProcessError>,
) -> Result<(), ProcessError> {
    while let Some(line) = lines::next(requests, max_len).map_err(ProcessError::Request)? {
        let input = match line {
            Line::Whole(line) => Input::of_request(line),
            Line::TooLong => {
                let text = format!("the request is longer than {} MiB; send less in one", MAX_LINE_LEN >> 20);
                Err(Failure::new(ErrorType::TooLarge, text))
            }
        };
        let result = input.and_then(|input| {
            let answered = catch_unwind(AssertUnwindSafe(|| answer(input)));
            answered.unwrap_or_else(|payload: Box<dyn Any + Send>| Err(Failure::of_panic(&*payload)))
        });
        respond(&encode(&result))?;
    }
    Ok(())
}

/// A host that does not listen will not ask either.
fn say_ready() {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{READY}").and_then(|()| stdout.flush());
}

/// What was logged for this request is to be there before its answer.
fn flush_logs() {
    let _ = io::stdout().flush();
    let _ = io::stderr().flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn served(requests: &str, mut apply: impl FnMut(Input) -> Result<Answer, Failure>) -> Vec<String> {
        let mut answers = Vec::new();
        let served = serve(&mut Cursor::new(requests.to_owned()), 100, &mut apply, &mut |bytes| {
            answers.push(String::from_utf8(bytes.to_vec()).expect("JSON"));
            Ok(())
        });
        served.expect("it goes on to the end");
        answers
    }

    #[test]
    fn each_request_has_one_answer_whatever_becomes_of_it() {
        let mut calls = 0;
        let requests = format!(
            "{}\n\n{}\n{}\n{}",
            r#"{"content_type":"text","data":"one"}"#,
            r#"{"content_type":"text","data":"panic"}"#,
            "x".repeat(101),
            r#"{"content_type":"json","data":[2]}"#,
        );
        let answers = served(&requests, |input| {
            calls += 1;
            assert_ne!(input, Input::Text("panic".to_owned()), "as asked for");
            Answer::of(&calls)
        });
        let starts = [
            r#"{"result":1,"metadata":{"content_type":"json"}}"#,
            r#"{"error":{"message":"the request is no object with `content_type` and `data`: EOF"#,
            r#"{"error":{"message":"the algorithm panicked: assertion `left != right` failed: as asked for"#,
            r#"{"error":{"message":"the request is longer than 64 MiB; send less in one","error_type":"TooLargeError"}}"#,
            r#"{"result":3,"metadata":{"content_type":"json"}}"#,
        ];
        assert_eq!(answers.len(), starts.len(), "{answers:?}");
        for (answer, start) in answers.iter().zip(starts) {
            assert!(answer.starts_with(start) && answer.ends_with("}\n"), "{answer}");
            assert!(!answer.contains("SystemExit"), "{answer}");
        }
    }

    #[test]
    fn answers_that_nobody_takes_end_it() {
        let mut apply = |_| Answer::of(&());
        let mut requests = Cursor::new("{}\n{}\n");
        let served = serve(&mut requests, 100, &mut apply, &mut |_| {
            Err(ProcessError::Response { path: "p".into(), source: io::ErrorKind::NotFound.into() })
        });
        assert!(matches!(served, Err(ProcessError::Response { .. })));
        assert_eq!(requests.position(), 3, "nothing more is read");
    }
}
