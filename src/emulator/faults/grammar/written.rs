//! A fault as the line that it is read from.

use std::fmt;
use std::time::Duration;

use super::{nth_key, takes_target, takes_times};
use crate::emulator::faults::{Blow, Fate, Fault, Run, Stage, Target, Way, What};
use crate::wire::frame::PeerError;

/// The line that [`FromStr`](std::str::FromStr) reads.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_what(f, &self.what)?;
        if let Some(number) = self.aim.connection {
            write!(f, " connection={number}")?;
        }
        match self.aim.target.as_ref().filter(|_| takes_target(&self.what)) {
            Some(Target::Hub(hub)) => write_text(f, "hub", hub)?,
            Some(Target::Link(address)) => write_text(f, "link", address)?,
            None => {}
        }
        if let (Some(key), Some(nth)) = (nth_key(&self.what), self.nth) {
            write!(f, " {key}={nth}")?;
        }
        match self.run {
            Run::Lasting(span) if !self.strikes_at_once() => write_span(f, "for", span)?,
            run if !takes_times(self) || run == default_run(&self.what) => {}
            Run::Times(times) => write!(f, " times={times}")?,
            Run::Always | Run::Lasting(_) => f.write_str(" times=always")?,
        }
        if self.starts_in.is_zero() { Ok(()) } else { write_span(f, "at", self.starts_in) }
    }
}

/// How often it befalls something, if nothing else is said.
fn default_run(what: &What) -> Run {
    match what {
        What::Outcome(Fate::ServerBusy) | What::DelayOutcomes(_) => Run::Always,
        _ => Run::Times(1),
    }
}

fn write_what(f: &mut fmt::Formatter<'_>, what: &What) -> fmt::Result {
    match what {
        What::RefuseSasl(code) => write!(f, "refuse-sasl code={code}"),
        What::RefusePutToken(status, text) => {
            write!(f, "refuse-put-token status={status}")?;
            write_text(f, "text", text)
        }
        What::Refuse(stage, error) => write_error(f, &format!("refuse-{}", stage_name(*stage)), error),
        What::Delay(stage, by) => {
            write!(f, "delay-{}", stage_name(*stage))?;
            write_span(f, "by", *by)
        }
        What::DelayOutcomes(by) => {
            f.write_str("delay-outcomes")?;
            write_span(f, "by", *by)
        }
        What::Outcome(Fate::Reject(error)) => write_error(f, "reject", error),
        What::Outcome(Fate::Release) => f.write_str("release"),
        What::Outcome(Fate::Modify) => f.write_str("modify"),
        What::Outcome(Fate::NeverSettle) => f.write_str("never-settle"),
        What::Outcome(Fate::Lose) => f.write_str("lose"),
        What::Outcome(Fate::ServerBusy) => f.write_str("server-busy"),
        What::WithholdCredit => f.write_str("withhold-credit"),
        What::OutOfOrder => f.write_str("out-of-order"),
        What::Blow(Blow::Detach(error)) => write_error(f, "detach", error),
        What::Blow(Blow::End(error)) => write_error(f, "end", error),
        What::Blow(Blow::Close(error)) => write_error(f, "close", error),
        What::Cut(Way::Written, bytes) => write!(f, "cut written={bytes}"),
        What::Cut(Way::Read, bytes) => write!(f, "cut read={bytes}"),
        What::Silence => f.write_str("silence"),
        What::ByteByByte => f.write_str("byte-by-byte"),
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Sasl => "sasl",
        Stage::Open => "open",
        Stage::Begin => "begin",
        Stage::Attach => "attach",
        Stage::PutToken => "put-token",
    }
}

fn write_error(f: &mut fmt::Formatter<'_>, name: &str, error: &PeerError) -> fmt::Result {
    f.write_str(name)?;
    write_text(f, "condition", &error.condition)?;
    write_text(f, "text", error.description.as_deref().unwrap_or_default())
}

fn write_span(f: &mut fmt::Formatter<'_>, key: &str, span: Duration) -> fmt::Result {
    write_text(f, key, &humantime::format_duration(span).to_string())
}

fn write_text(f: &mut fmt::Formatter<'_>, key: &str, value: &str) -> fmt::Result {
    let is_bare = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '\\');
    if is_bare {
        return write!(f, " {key}={value}");
    }
    write!(f, " {key}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
