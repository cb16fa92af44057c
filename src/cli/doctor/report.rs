//! The examination as one JSON object, to paste into a ticket: no secret is in it.

use serde::Serialize;

use super::cause::Cause;
use super::step::{Row, Step};
use super::verdict::Verdict;
use crate::cli::failure::Failure;
use crate::cli::settings::Network;

/// What is told in the end.
#[derive(Debug, Default)]
pub(super) struct Report {
    namespace: Option<String>,
    event_hub: Option<String>,
    pub(super) steps: Vec<Row>,
    pub(super) verdict: Option<Verdict>,
    /// What ended it before there was a verdict.
    early: Option<Failure>,
}

#[derive(Serialize)]
struct Object<'a> {
    ok: bool,
    hubwire: &'static str,
    platform: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_hub: Option<&'a str>,
    steps: &'a [Row],
    verdict: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorObject<'a>>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_id: Option<&'a str>,
    retryable: bool,
    next: &'a [String],
}

impl Report {
    pub(super) fn of(&mut self, network: &Network) {
        self.namespace = Some(network.connection_string.host().to_owned());
        self.event_hub = Some(network.event_hub.clone());
    }

    pub(super) fn fail_early(&mut self, failure: &Failure) {
        self.early = Some(failure.clone());
    }

    pub(super) fn json(&self) -> String {
        let object = Object {
            ok: self.verdict.as_ref().is_some_and(|verdict| verdict.diagnosis.is_none()),
            hubwire: env!("CARGO_PKG_VERSION"),
            platform: std::env::consts::OS,
            namespace: self.namespace.as_deref(),
            event_hub: self.event_hub.as_deref(),
            steps: &self.steps,
            verdict: self.verdict.as_ref().map_or("it could not be tried", |verdict| &verdict.words),
            error: self.error(),
        };
        serde_json::to_string(&object).unwrap_or_default()
    }

    fn error(&self) -> Option<ErrorObject<'_>> {
        let diagnosis = self.verdict.as_ref().and_then(|verdict| verdict.diagnosis.as_ref());
        let failure = diagnosis.map(|diagnosis| &diagnosis.failure).or(self.early.as_ref())?;
        Some(ErrorObject {
            kind: failure.kind.name(),
            step: diagnosis.map(|diagnosis| diagnosis.step),
            cause: diagnosis.map(|diagnosis| diagnosis.cause),
            message: &failure.message,
            condition: failure.condition.as_deref(),
            tracking_id: failure.tracking_id.as_deref(),
            retryable: failure.is_retryable,
            next: diagnosis.map_or(&[], |diagnosis| &diagnosis.next),
        })
    }
}
