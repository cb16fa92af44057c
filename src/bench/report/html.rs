//! A report as a page: figures, and plots that are drawn here. It loads nothing.

use std::fmt::Write;

use super::text::{columns, grouped, millis, ranks, rows};
use super::{Latency, Report, Round, facts};
use crate::bench::latency::Latencies;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--faint:#6b7480;--line:#d4d9df;--paper:#fff;--a:#0b62c4;--b:#c2410c;--c:#15803d}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--faint:#98a2ad;--line:#39424c;--paper:#14181d;--a:#6cb2ff;--b:#ff9a62;--c:#5fd38a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:right;font-variant-numeric:tabular-nums}
td:first-child,th:first-child,td.unit,dl dd{text-align:left}td.unit,dt{color:var(--faint)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dd{margin:0;overflow-wrap:anywhere}
pre{overflow-x:auto}svg{width:100%;height:auto}svg text{fill:var(--faint);font:11px system-ui,sans-serif}
.grid{stroke:var(--line)}.a{stroke:var(--a)}.b{stroke:var(--b)}.c{stroke:var(--c)}path{fill:none;stroke-width:1.6}
.ka{color:var(--a)}.kb{color:var(--b)}.kc{color:var(--c)}";

const CLASSES: [&str; 3] = ["a", "b", "c"];

pub(super) fn written(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>hubwire bench: {}</title>\n<style>{STYLE}</style></head><body>\n<h1>hubwire bench: {}</h1>\n<dl>",
        escaped(&report.event_hub),
        escaped(&report.event_hub)
    );
    for (name, words) in facts(report) {
        let _ = write!(page, "<dt>{name}</dt><dd>{}</dd>", escaped(&words));
    }
    page.push_str("</dl>\n");
    if !report.search.is_empty() {
        let table = crate::bench::search::table(&report.search);
        let _ = writeln!(page, "<h2>Rates that were tried</h2>\n<pre>{}</pre>", escaped(&table));
    }
    for (at, round) in report.rounds.iter().enumerate() {
        if report.rounds.len() > 1 {
            let _ = writeln!(page, "<h2>Round {}</h2>", at + 1);
        }
        put_round(&mut page, round);
    }
    page.push_str("</body></html>");
    page
}

fn put_round(page: &mut String, round: &Round) {
    page.push_str("<h2>Latency</h2>\n<table><tr><th></th>");
    let columns = columns(round);
    for ((name, _), class) in columns.iter().zip(CLASSES) {
        let _ = write!(page, "<th class=\"k{class}\">{name}, ms</th>");
    }
    for rank in ranks() {
        let _ = write!(page, "</tr>\n<tr><td>{rank}</td>");
        for (_, latency) in &columns {
            let _ = write!(page, "<td>{}</td>", millis(latency.named(rank).unwrap_or_default()));
        }
    }
    page.push_str("</tr></table>\n<h2>Latency by percentile</h2>\n");
    put_percentiles(page, &columns);
    put_time(page, round);
    page.push_str("<h2>Figures</h2>\n<table>");
    for (name, value, unit) in rows(round) {
        let _ = writeln!(page, "<tr><td>{name}</td><td>{value}</td><td class=\"unit\">{unit}</td></tr>");
    }
    page.push_str("</table>\n");
}

/// What a plot is drawn in.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 12.0;

/// From 0 to 1 on both axes.
struct Plot(String);

impl Plot {
    fn new(name: &str) -> Self {
        Self(format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{name}\">"))
    }

    fn place((x, y): (f64, f64)) -> (f64, f64) {
        (LEFT + x * (WIDTH - LEFT - 10.0), HEIGHT - BOTTOM - y * (HEIGHT - BOTTOM - TOP))
    }

    fn down(&mut self, at: f64, label: &str) {
        let ((x, top), (_, bottom)) = (Self::place((at, 1.0)), Self::place((at, 0.0)));
        let _ = write!(
            self.0,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{label}</text>",
            bottom + 16.0
        );
    }

    fn across(&mut self, at: f64, label: &str) {
        let ((left, y), (right, _)) = (Self::place((0.0, at)), Self::place((1.0, at)));
        let _ = write!(
            self.0,
            "<line class=\"grid\" x1=\"{left:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{label}</text>",
            left - 6.0,
            y + 4.0
        );
    }

    fn line(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let mut path = String::new();
        for point in points {
            let (x, y) = Self::place((point.0.clamp(0.0, 1.0), point.1.clamp(0.0, 1.0)));
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
        }
        let _ = write!(self.0, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    fn end(self) -> String {
        self.0 + "</svg>\n"
    }
}

/// Each step to the right is ten times rarer; each step up is ten times longer.
fn put_percentiles(page: &mut String, columns: &[(&str, &Latency)]) {
    const NINES: f64 = 5.0;
    let known: Vec<(usize, Latencies)> = columns
        .iter()
        .enumerate()
        .filter_map(|(at, (_, latency))| Some((at, Latencies::decode(&latency.hdr_base64)?)))
        .collect();
    let steps: Vec<f64> = (0..=100).map(|step| f64::from(step) / 100.0 * NINES).collect();
    let micros = |latencies: &Latencies, nines: f64| latencies.quantile(1.0 - 10_f64.powf(-nines)).max(0.1);
    let all: Vec<f64> =
        known.iter().flat_map(|(_, latencies)| [micros(latencies, 0.0), micros(latencies, NINES)]).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min).log10().floor();
    let high = all.iter().copied().fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    if !low.is_finite() {
        return;
    }
    let mut plot = Plot::new("latency by percentile");
    for (nines, label) in
        [(0.0, "0 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"), (NINES, "99.999 %")]
    {
        plot.down(nines / NINES, label);
    }
    let mut power = low;
    while power <= high {
        plot.across((power - low) / (high - low), &format!("{} ms", 10_f64.powf(power - 3.0)));
        power += 1.0;
    }
    for (at, latencies) in &known {
        let point = |nines: &f64| (nines / NINES, (micros(latencies, *nines).log10() - low) / (high - low));
        plot.line(CLASSES[at % CLASSES.len()], steps.iter().map(point));
    }
    page.push_str(&plot.end());
}

/// Rate and latency, second by second.
fn put_time(page: &mut String, round: &Round) {
    // What ended in no time has no rate.
    let seconds: Vec<_> = round.seconds.iter().filter(|second| second.span_secs >= 0.2).collect();
    let Some(last) = seconds.last().filter(|_| seconds.len() > 1) else { return };
    let end = last.at_secs.max(f64::MIN_POSITIVE);
    page.push_str("<h2>Events a second, over time</h2>\n");
    let rate = |second: &super::Second| second.events as f64 / second.span_secs;
    let most = nice(seconds.iter().map(|second| rate(second)).fold(1.0, f64::max));
    let mut plot = time_plot("events a second over time", end, most, &|value| grouped(value.round() as u64));
    plot.line("a", seconds.iter().map(|second| (second.at_secs / end, rate(second) / most)));
    page.push_str(&plot.end());
    page.push_str("<h2>Latency over time: <span class=\"ka\">p50</span>, <span class=\"kb\">p99</span>, <span class=\"kc\">max</span></h2>\n");
    let most = nice(seconds.iter().map(|second| second.max_us).fold(1.0, f64::max));
    let mut plot = time_plot("latency over time", end, most, &|value| format!("{} ms", millis(value)));
    plot.line("a", seconds.iter().map(|second| (second.at_secs / end, second.p50_us / most)));
    plot.line("b", seconds.iter().map(|second| (second.at_secs / end, second.p99_us / most)));
    plot.line("c", seconds.iter().map(|second| (second.at_secs / end, second.max_us / most)));
    page.push_str(&plot.end());
}

fn time_plot(name: &str, end: f64, most: f64, label: &dyn Fn(f64) -> String) -> Plot {
    let mut plot = Plot::new(name);
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        plot.down(share, &format!("{:.1} s", share * end));
        plot.across(share, &label(share * most));
    }
    plot
}

/// The next number above that begins with 1, 2 or 5.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
