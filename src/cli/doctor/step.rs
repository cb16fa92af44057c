//! The steps of an examination, and how each of them ended.

use std::time::Duration;

use serde::Serialize;

use super::certificate::Certificate;
use crate::words;

/// In the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Connection string, event hub, options.
    Settings,
    /// The name's addresses.
    Resolve,
    Tcp,
    Proxy,
    Tls,
    WebSocket,
    /// The same host over AMQP over WebSocket, when its own port is closed.
    Port443,
    /// This machine's clock against the peer's.
    Clock,
    Sasl,
    Open,
    /// A token, put at `$cbs`.
    Token,
    /// A link that sends.
    AttachSend,
    /// A link that reads.
    AttachListen,
    Send,
    ReadBack,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Resolve => "resolve",
            Self::Tcp => "tcp",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
            Self::Port443 => "port-443",
            Self::Clock => "clock",
            Self::Sasl => "sasl",
            Self::Open => "open",
            Self::Token => "token",
            Self::AttachSend => "attach-send",
            Self::AttachListen => "attach-listen",
            Self::Send => "send",
            Self::ReadBack => "read-back",
        }
    }
}

impl Serialize for Step {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    Failed,
    /// It could not be found out, and nothing depends on it.
    Unknown,
}

impl Status {
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warn",
            Self::Failed => "FAIL",
            Self::Unknown => "-",
        }
    }
}

/// A step that is over.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) step: Step,
    pub(super) status: Status,
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub(super) elapsed: Duration,
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) certificates: Vec<Certificate>,
}

fn millis<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(words::millis(*elapsed))
}
