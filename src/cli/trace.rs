//! `--trace` and what belongs to it: frames as they pass, to standard error and into files.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::background::Background;
use super::failure::Failure;
use super::{output, shown};
use crate::Options;
use crate::trace::{Form, Tap};
use crate::words::counted;

/// What is to be seen of what goes over the wire.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Trace")]
pub(super) struct TraceArgs {
    /// Show each frame: as a line, or as a line of JSON with all its fields. Secrets are masked, and events are not shown
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    trace: Option<TraceForm>,

    /// Write the trace into this file instead of standard error
    #[arg(long, value_name = "FILE")]
    trace_file: Option<PathBuf>,

    /// Show the bytes of each frame too, which holds the events
    #[arg(long)]
    trace_hex: bool,

    /// Write a capture for Wireshark, which needs no keys to read it. Secrets are masked; it holds the events
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Write a recording for `hubwire replay`. Secrets are masked; it holds the events
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Mask nothing in trace, capture and recording: whoever reads them can use the tokens and logins in them
    #[arg(long)]
    trace_secrets: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TraceForm {
    /// A line for each frame, and a summary at the end
    Text,
    /// An object for each frame, in a line of its own
    Json,
}

impl TraceArgs {
    /// Whether standard error is the trace's.
    pub(super) fn is_on_stderr(&self) -> bool {
        self.form().is_some() && self.trace_file.is_none()
    }

    /// The same, with lines if nothing is asked for.
    pub(super) fn or_text(mut self) -> Self {
        if self.form().is_none() && self.pcap.is_none() && self.record.is_none() {
            self.trace = Some(TraceForm::Text);
        }
        self
    }

    /// Whether one of the files that are to be written is this one.
    pub(super) fn writes_to(&self, path: &Path) -> bool {
        self.files().iter().any(|(_, file)| is_same(file, path))
    }

    /// The files that are to be written, and the option that names each.
    fn files(&self) -> Vec<(&'static str, &Path)> {
        let named = [("--trace-file", &self.trace_file), ("--pcap", &self.pcap), ("--record", &self.record)];
        named.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?))).collect()
    }

    /// Refuses what would do nothing, or spoil a file.
    fn check(&self) -> Result<(), Failure> {
        let files = self.files();
        if self.trace_secrets && self.form().is_none() && files.is_empty() {
            return Err(Failure::input(
                "--trace-secrets has no trace to show secrets in; say --trace, --pcap or --record too",
            ));
        }
        for (at, (option, path)) in files.iter().enumerate() {
            if let Some((other, _)) = files[..at].iter().find(|(_, other)| is_same(other, path)) {
                let path = shown(path);
                return Err(Failure::input(format!("{other} and {option} both write {path}; name two files")));
            }
        }
        Ok(())
    }

    fn form(&self) -> Option<TraceForm> {
        self.trace.or((self.trace_file.is_some() || self.trace_hex).then_some(TraceForm::Text))
    }
}

/// A trace that is being written.
#[derive(Debug)]
pub(super) struct Trace {
    /// None if nothing is to be seen.
    pub(super) tap: Option<Tap>,
    writings: Vec<Writing>,
}

/// Where it is written to.
#[derive(Debug)]
struct Writing {
    background: Background,
    /// As messages name it; None for standard error, which cannot tell of itself.
    name: Option<String>,
}

impl Trace {
    /// Opens the files.
    pub(super) fn start(args: &TraceArgs) -> Result<Self, Failure> {
        args.check()?;
        let mut builder = Tap::builder();
        let mut writings = Vec::new();
        for (form, writing) in sinks(args)? {
            builder = builder.to(form, writing.background.queue());
            writings.push(writing);
        }
        if args.trace_hex {
            builder = builder.with_hex();
        }
        if args.trace_secrets {
            builder = builder.with_secrets();
        }
        let tap = (!writings.is_empty()).then(|| builder.build());
        Ok(Self { tap, writings })
    }

    /// Has the connections that are made with `options` seen.
    pub(super) fn of(&self, options: Options) -> Options {
        match &self.tap {
            Some(tap) => options.tap(tap),
            None => options,
        }
    }

    /// The same as [`finish`](Self::finish), outside of a runtime.
    pub(super) fn finish_blocking(self) {
        // Without anything to watch the time with nothing can be waited for; what is written goes on being written.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() {
            runtime.block_on(self.finish());
        }
    }

    /// Writes the rest; what could not be written is worth a warning and no more.
    pub(super) async fn finish(self) {
        let Some(tap) = self.tap else { return };
        // Connections tell their end when they get their turn.
        tokio::task::yield_now().await;
        tap.finish();
        for (Writing { background, name }, left_out) in self.writings.into_iter().zip(tap.left_out()) {
            let finished = background.finish().await;
            let place = name.as_deref().unwrap_or("standard error");
            match finished {
                Err(error) if name.is_some() => {
                    output::warn(format_args!("the trace in {place} is not whole: {error}"));
                }
                _ if left_out > 0 => output::warn(incomplete(place, left_out)),
                _ => {}
            }
        }
    }
}

fn incomplete(place: &str, left_out: u64) -> String {
    let records = counted(left_out, "record was", "records were");
    format!("the trace in {place} is not whole: {records} left out; write it into a faster place")
}

fn sinks(args: &TraceArgs) -> Result<Vec<(Form, Writing)>, Failure> {
    let mut sinks = Vec::new();
    if let Some(form) = args.form() {
        sinks.push(match (&args.trace_file, form) {
            (Some(path), TraceForm::Text) => (Form::Text, file(path)?),
            (Some(path), TraceForm::Json) => (Form::Json, file(path)?),
            (None, TraceForm::Text) if is_coloured() => (Form::ColouredText, stderr()?),
            (None, TraceForm::Text) => (Form::Text, stderr()?),
            (None, TraceForm::Json) => (Form::Json, stderr()?),
        });
    }
    if let Some(path) = &args.pcap {
        sinks.push((Form::Pcapng, file(path)?));
    }
    if let Some(path) = &args.record {
        sinks.push((Form::Recording, file(path)?));
    }
    Ok(sinks)
}

/// A terminal, unless it is asked not to be: any `NO_COLOR` that is not empty. Source: <https://no-color.org>.
fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn stderr() -> Result<Writing, Failure> {
    Ok(Writing { background: Background::start(io::stderr()).map_err(no_thread)?, name: None })
}

fn file(path: &Path) -> Result<Writing, Failure> {
    let failed = |error| {
        Failure::configuration(format!("cannot write to {}: {error}; choose a place that can be written", shown(path)))
    };
    let file = create(path).map_err(failed)?;
    let background = Background::start(file).map_err(no_thread)?;
    Ok(Writing { background, name: Some(shown(path)) })
}

/// Whether both are one file. What is none, such as `/dev/null`, can be written by as many as like to.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other) && one.metadata().map_or(true, |metadata| metadata.is_file())
}

/// For nobody else to read, if it is new: events may be in it.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn no_thread(error: io::Error) -> Failure {
    Failure::configuration(format!("cannot start a thread to write the trace with: {error}"))
}
