//! What connection string and options say of the way to a namespace, read once for a connection and all that follow it.

use super::{CustomEndpoint, Endpoint, Proxy};
use crate::client::deadline::Deadline;
use crate::client::error::Error;
use crate::client::options::Options;
use crate::client::ways::{NameLookup, Transport};
use crate::wire::connection_string::ConnectionString;

/// Where to, through what, and what is spoken on the way.
pub(in crate::client) struct Way {
    /// Where the socket goes, or the proxy's tunnel.
    pub(super) endpoint: Endpoint,
    pub(super) proxy: Option<Proxy>,
    pub(super) security: Security,
    pub(super) transport: Transport,
    pub(super) name_lookup: NameLookup,
}

/// What is between the stream and whatever reads on the way.
pub(super) enum Security {
    Plain,
    #[cfg(feature = "tls")]
    Tls(super::tls::Tls),
}

impl Way {
    /// Certificates are read here. Its deadline is that of the connection.
    pub(in crate::client) async fn read(
        connection_string: &ConnectionString,
        options: &Options,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let (endpoint, tls) = destination(connection_string, options)?;
        let proxy = setting("HTTP proxy", options.ways.http_proxy.clone())?;
        let security = if tls { secured(&endpoint, options, deadline).await? } else { Security::Plain };
        let name_lookup = options.ways.name_lookup.unwrap_or_default();
        Ok(Self { endpoint, proxy, security, transport: options.ways.transport, name_lookup })
    }
}

fn destination(connection_string: &ConnectionString, options: &Options) -> Result<(Endpoint, bool), Error> {
    let transport = options.ways.transport;
    let own = CustomEndpoint {
        host: connection_string.host().to_owned(),
        port: connection_string.port(),
        tls: None,
        is_websocket: false,
    };
    let to = setting("custom endpoint", options.ways.custom_endpoint.clone())?.unwrap_or(own);
    if to.is_websocket && transport == Transport::Tcp {
        let reason = "its scheme is WebSocket's: choose that as the transport too, or name host and port alone";
        return Err(Error::Setting { name: "custom endpoint", reason: reason.to_owned() });
    }
    let tls = to.tls.unwrap_or(!connection_string.use_development_emulator());
    let port = to.port.unwrap_or(default_port(transport, tls));
    Ok((Endpoint { host: to.host, port }, tls))
}

/// Source: event-hubs-wire 3.
pub(super) fn default_port(transport: Transport, tls: bool) -> u16 {
    match (transport, tls) {
        (Transport::Tcp, true) => 5671,
        (Transport::Tcp, false) => 5672,
        #[cfg(feature = "websocket")]
        (Transport::WebSocket, true) => 443,
        #[cfg(feature = "websocket")]
        (Transport::WebSocket, false) => 80,
    }
}

fn setting<T>(name: &'static str, given: Option<Result<T, &'static str>>) -> Result<Option<T>, Error> {
    given.transpose().map_err(|reason| Error::Setting { name, reason: reason.to_owned() })
}

#[cfg(feature = "tls")]
async fn secured(endpoint: &Endpoint, options: &Options, deadline: Deadline) -> Result<Security, Error> {
    Ok(Security::Tls(super::tls::Tls::read(endpoint, options, deadline).await?))
}

#[cfg(not(feature = "tls"))]
async fn secured(endpoint: &Endpoint, _: &Options, _: Deadline) -> Result<Security, Error> {
    Err(Error::TlsMissing { host: endpoint.host.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(connection_string: &str, options: &Options) -> Result<(String, bool), String> {
        let text = format!("Endpoint={connection_string};SharedAccessKeyName=a;SharedAccessKey=b");
        let parsed = ConnectionString::parse(&text).unwrap();
        let (endpoint, tls) = destination(&parsed, options).map_err(|error| error.to_string())?;
        Ok((endpoint.to_string(), tls))
    }

    #[test]
    fn the_connection_string_leads_unless_an_endpoint_is_given() {
        let emulator = "sb://localhost;UseDevelopmentEmulator=true";
        for (connection_string, custom, address, tls) in [
            ("sb://ns.example", None, "ns.example:5671", true),
            ("sb://ns.example:9", None, "ns.example:9", true),
            (emulator, None, "localhost:5672", false),
            ("sb://ns.example:9", Some("gate"), "gate:5671", true),
            ("sb://ns.example", Some("sb://gate:7"), "gate:7", true),
            ("sb://ns.example", Some("amqp://gate"), "gate:5672", false),
            (emulator, Some("gate"), "gate:5672", false),
            (emulator, Some("amqps://gate"), "gate:5671", true),
        ] {
            let options = custom.map_or(Options::default(), |custom| Options::default().custom_endpoint(custom));
            assert_eq!(
                to(connection_string, &options),
                Ok((address.to_owned(), tls)),
                "{connection_string} {custom:?}"
            );
        }
        let error = to("sb://ns.example", &Options::default().custom_endpoint("wss://gate")).unwrap_err();
        assert!(error.contains("custom endpoint") && error.contains("WebSocket's"), "{error}");
    }

    #[cfg(feature = "websocket")]
    #[test]
    fn a_websocket_has_ports_of_its_own() {
        let options = Options::default().transport(Transport::WebSocket);
        for (connection_string, custom, address) in [
            ("sb://ns.example", None, "ns.example:443"),
            ("sb://ns.example:9", None, "ns.example:9"),
            ("sb://localhost;UseDevelopmentEmulator=true", None, "localhost:80"),
            ("sb://ns.example", Some("wss://gate"), "gate:443"),
            ("sb://ns.example", Some("ws://gate:8080"), "gate:8080"),
        ] {
            let options = custom.map_or(options.clone(), |custom| options.clone().custom_endpoint(custom));
            assert_eq!(to(connection_string, &options).unwrap().0, address);
        }
    }
}
