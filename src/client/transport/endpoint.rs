//! Where a socket goes: a host and a port, and how they are written.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::client::error::Error;
use crate::wire::connection_string::ConnectionString;

const NO_HOST: &str = "it is no host, host:port or URL of these";

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) struct Endpoint {
    /// Without port; an IPv6 address keeps its brackets.
    pub(in crate::client) host: String,
    pub(in crate::client) port: u16,
}

impl Endpoint {
    /// The host as the resolver and TLS want it.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn unreachable(&self, source: io::Error) -> Error {
        Error::Connect { host: self.host.clone(), port: self.port, source: Arc::new(source) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// An endpoint in place of the namespace's own, as far as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) struct CustomEndpoint {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// Whether there is TLS; `None` leaves that to the connection string.
    pub(super) tls: Option<bool>,
    /// Its scheme is WebSocket's own.
    pub(super) is_websocket: bool,
}

impl CustomEndpoint {
    /// See [`Options::custom_endpoint`](crate::Options::custom_endpoint). What is wrong is said without the text, which
    /// may be anything.
    pub(in crate::client) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (tls, is_websocket) = match scheme.trim_start().to_ascii_lowercase().as_str() {
            "" | "sb" | "https" => (None, false),
            "amqps" => (Some(true), false),
            "amqp" => (Some(false), false),
            "wss" => (Some(true), true),
            "ws" => (Some(false), true),
            _ => return Err("its scheme is none of sb, amqps, amqp, wss, ws and https"),
        };
        let (host, port) = host_and_port(rest)?;
        Ok(Self { host, port, tls, is_websocket })
    }
}

/// Reads `host[:port]` by the rules of a connection string's `Endpoint`.
pub(super) fn host_and_port(text: &str) -> Result<(String, Option<u16>), &'static str> {
    // What would begin another pair, or another URL.
    if text.contains(';') || text.contains("://") {
        return Err(NO_HOST);
    }
    let parsed = ConnectionString::of_namespace(text).map_err(|_| NO_HOST)?;
    if !parsed.warnings().is_empty() {
        return Err("it has a path, and only host and port count");
    }
    Ok((parsed.host().to_owned(), parsed.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_endpoint_is_a_host_a_port_and_whether_there_is_tls() {
        for (text, host, port, tls, is_websocket) in [
            ("gate", "gate", None, None, false),
            (" Gate:1 ", "gate", Some(1), None, false),
            ("sb://gate/", "gate", None, None, false),
            ("https://gate:8443", "gate", Some(8443), None, false),
            ("AMQPS://gate", "gate", None, Some(true), false),
            ("amqp://127.0.0.1:5672", "127.0.0.1", Some(5672), Some(false), false),
            ("wss://[::1]:443/", "[::1]", Some(443), Some(true), true),
            ("ws://gate", "gate", None, Some(false), true),
        ] {
            let expected = CustomEndpoint { host: host.to_owned(), port, tls, is_websocket };
            assert_eq!(CustomEndpoint::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "://",
            "http://gate",
            "gate:0",
            "gate:65536",
            "::1",
            "user@gate",
            "sb://sb://gate",
            "gate;EntityPath=a",
            "gate/hub",
            "wss://gate/$servicebus/websocket",
            "no host",
            "gate\r\nX: y",
        ] {
            assert!(CustomEndpoint::parse(text).is_err(), "{text}");
        }
    }
}
