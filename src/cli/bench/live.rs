//! How a run goes, second by second, on standard error: a line that is written over on a terminal, lines elsewhere.

use std::fmt::Write;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::bench::{MIB, Second};
use crate::cli::output;

/// Draws, or writes lines, or is quiet.
#[derive(Debug)]
pub(super) enum Live {
    Line(ProgressBar),
    Lines,
    Quiet,
}

impl Live {
    pub(super) fn new(is_quiet: bool) -> Self {
        if is_quiet {
            return Self::Quiet;
        }
        if !io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let bar = match ProgressStyle::with_template("{wide_msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        bar.set_message("warming up");
        Self::Line(bar)
    }

    pub(super) fn tell(&self, second: &Second) {
        match self {
            Self::Line(bar) => {
                bar.set_message(line(second));
                bar.tick();
            }
            Self::Lines => output::note(line(second)),
            Self::Quiet => {}
        }
    }

    /// Something that is said in between.
    pub(super) fn say(&self, text: &str) {
        match self {
            Self::Line(bar) => bar.suspend(|| output::note(text)),
            Self::Lines => output::note(text),
            Self::Quiet => {}
        }
    }

    /// Takes the line off the screen: the report follows.
    pub(super) fn finish(&self) {
        if let Self::Line(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// `  3.0 s    4,998 events/s   4.88 MiB/s  p50 2.1 ms  p99 3.4 ms  max 5.0 ms  2 in flight  CPU 3 %  14.1 MiB`
fn line(second: &Second) -> String {
    let span = second.span_secs.max(f64::MIN_POSITIVE);
    let ms = |micros: f64| micros / 1e3;
    let mut line = format!(
        "{:>6.1} s {:>9.0} events/s {:>8.2} MiB/s  p50 {:.2} ms  p99 {:.2} ms  max {:.2} ms  {} in flight",
        second.at_secs + second.span_secs,
        second.events as f64 / span,
        second.body_bytes as f64 / span / MIB,
        ms(second.p50_us),
        ms(second.p99_us),
        ms(second.max_us),
        second.in_flight,
    );
    for (count, what) in [
        (second.failed, "failed"),
        (second.missed, "missed"),
        (second.credit_waits, "credit waits"),
        (second.throttles, "throttled"),
    ] {
        if count > 0 {
            let _ = write!(line, "  {count} {what}");
        }
    }
    if let Some(cpu_secs) = second.client_cpu_secs {
        let _ = write!(line, "  CPU {:.0} %", cpu_secs / span * 100.0);
    }
    if let Some(bytes) = second.rss_bytes {
        let _ = write!(line, "  {:.1} MiB", bytes as f64 / MIB);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_a_line_with_what_is_wrong_in_it() {
        let second = Second {
            at_secs: 2.0,
            span_secs: 1.0,
            events: 4_998,
            body_bytes: 5 << 20,
            p50_us: 2_100.0,
            p99_us: 3_400.0,
            max_us: 5_000.0,
            in_flight: 2,
            ..Second::default()
        };
        assert_eq!(
            line(&second),
            "   3.0 s      4998 events/s     5.00 MiB/s  p50 2.10 ms  p99 3.40 ms  max 5.00 ms  2 in flight"
        );
        let worse = Second { throttles: 1, missed: 7, client_cpu_secs: Some(0.25), rss_bytes: Some(1 << 20), ..second };
        assert!(line(&worse).ends_with("2 in flight  7 missed  1 throttled  CPU 25 %  1.0 MiB"), "{}", line(&worse));
    }
}
