//! `hubwire doctor` against everything that can be wrong: each run names the step, the cause and what to try next.

mod hub;
mod way;

use serde_json::Value;

use super::support::{Run, hubwire};

/// A key like those of Azure, so that nothing is odd about it.
const KEY: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

/// Runs the doctor in both of its forms, which have to agree. The text form, and the JSON one.
fn examined(args: &[&str], env: &[(&str, &str)]) -> (Run, Value) {
    let text = hubwire(&[&["doctor"], args].concat(), "", env);
    let run = hubwire(&[&["doctor", "--json"], args].concat(), "", env);
    assert_eq!(text.code, run.code, "{text:?} {run:?}");
    assert!(!text.stdout.contains(KEY) && !run.stdout.contains(KEY), "{text:?}");
    (text, run.json())
}

fn doctor(connection_string: &str, args: &[&str]) -> (Run, Value) {
    examined(args, &[("CONNECTION_STR", connection_string)])
}

/// Fails unless the examination ended at `step` for `cause`, with `next` among the advice, in text as in JSON.
#[track_caller]
fn assert_told((text, json): &(Run, Value), code: i32, step: &str, cause: &str, next: &str) {
    let error = &json["error"];
    assert_eq!((text.code, &error["step"], &error["cause"]), (code, &step.into(), &cause.into()), "{text:?} {json:#}");
    let advice = error["next"].as_array().unwrap();
    assert!(advice.iter().any(|advice| advice.as_str().unwrap().contains(next)), "{json:#}");
    for advice in advice {
        assert!(text.stdout.contains(&format!("next   {}", advice.as_str().unwrap())), "{text:?}");
    }
    let is_failed = |row: &&Value| row["status"] == "failed" && row["step"] == step;
    assert!(json["steps"].as_array().unwrap().iter().any(|row| is_failed(&row)), "{json:#}");
    assert!(text.stdout.contains(&format!("cause  {}", json["verdict"].as_str().unwrap())), "{text:?}");
    assert_eq!(json["ok"], false);
}

/// The names of the steps that went well, in order.
fn passed(json: &Value) -> Vec<&str> {
    let rows = json["steps"].as_array().unwrap().iter();
    rows.filter(|row| row["status"] == "ok").map(|row| row["step"].as_str().unwrap()).collect()
}

/// The same, and that the step was waited for as long as it may be and no longer: half of `--timeout`.
#[track_caller]
fn assert_timed_out(told: &(Run, Value), step: &str, cause: &str, next: &str) {
    assert_told(told, told.0.code, step, cause, next);
    assert!(told.1["error"]["message"].as_str().unwrap().contains("timed out after "), "{:#}", told.1);
}
