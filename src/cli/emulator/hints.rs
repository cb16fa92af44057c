//! How each SDK is led to the emulator: a line of its own code. Source: sdk-handshakes, which address is dialled.

use std::path::Path;

use super::doors::Doors;
use crate::emulator::{Emulator, Listening};

/// A line for the users of one SDK.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) sdk: &'static str,
    pub(super) code: String,
}

/// The event hub that connection strings name: the one there is, if there is one only.
pub(super) fn only_hub(emulator: &Emulator) -> Option<&str> {
    let mut names = emulator.event_hubs().map(|(name, _)| name);
    names.next().filter(|_| names.next().is_none())
}

/// For AMQP itself, and for WebSocket.
pub(super) fn all(doors: &Doors) -> Vec<Hint> {
    let text = Path::display;
    let certificate = doors.authority_file.as_deref().map_or("CA_FILE".to_owned(), |path| text(path).to_string());
    let names_hub = only_hub(doors.amqp.emulator()).is_some();
    let way = |listening| Way::new(listening, &certificate, names_hub);
    let mut hints = way(&doors.amqp).amqp();
    hints.extend(doors.websocket.iter().flat_map(|listening| way(listening).websocket()));
    hints
}

/// A way in, as code has to name it.
struct Way {
    authority: String,
    /// What has to be trusted, if TLS is spoken.
    certificate: Option<String>,
    /// The connection string names the event hub.
    names_hub: bool,
}

impl Way {
    fn new(listening: &Listening, certificate: &str, names_hub: bool) -> Self {
        let certificate = listening.transport().is_encrypted().then(|| certificate.to_owned());
        Self { authority: listening.authority(), certificate, names_hub }
    }

    fn amqp(&self) -> Vec<Hint> {
        let mut hints = vec![self.hubwire(""), self.python("Amqp"), self.javascript(""), self.rust()];
        // What was not seen to work over TLS is not advised.
        if self.certificate.is_none() {
            hints.extend([self.dotnet(), self.java(), self.go()]);
        }
        hints
    }

    fn websocket(&self) -> Vec<Hint> {
        let javascript = match self.certificate {
            Some(_) => self.javascript(", { webSocketOptions: { webSocket: WebSocket } }"),
            None => hint("JavaScript", "dials wss:// only: add --tls".to_owned()),
        };
        let mut hints = vec![self.hubwire(" --websocket"), self.python("AmqpOverWebsocket"), javascript];
        for hint in &mut hints {
            hint.code += "  (WebSocket)";
        }
        hints
    }

    fn hubwire(&self, way: &str) -> Hint {
        let trusting = self.certificate.iter().map(|file| format!(" --ca-file {file}")).collect::<String>();
        let hub = self.unless_named(" --event-hub HUB");
        hint("hubwire", format!("hubwire send{way}{trusting}{hub} EVENT, with CONNECTION_STR in the environment"))
    }

    /// Python dials the string's port only when it does without TLS and without WebSocket.
    fn python(&self, transport: &str) -> Hint {
        let mut code = "EventHubProducerClient.from_connection_string(CONNECTION_STR".to_owned();
        code += self.unless_named(", eventhub_name=HUB");
        if self.certificate.is_some() || transport != "Amqp" {
            let authority = &self.authority;
            code +=
                &format!(", transport_type=TransportType.{transport}, custom_endpoint_address=\"sb://{authority}\"");
        }
        if let Some(file) = &self.certificate {
            code += &format!(", connection_verify=\"{file}\"");
        }
        hint("Python", code + ")")
    }

    fn javascript(&self, options: &str) -> Hint {
        let hub = self.unless_named(", HUB");
        let code = format!("new EventHubProducerClient(CONNECTION_STR{hub}{options})");
        let trusting = self.certificate.iter().map(|file| format!(", with NODE_EXTRA_CA_CERTS={file}"));
        hint("JavaScript", code + &trusting.collect::<String>())
    }

    fn rust(&self) -> Hint {
        let scheme = if self.certificate.is_some() { "amqps" } else { "amqp" };
        let code = format!(
            "ProducerClient::builder().with_custom_endpoint(\"{scheme}://{}\".into())\
             .open_with_connection_string(CONNECTION_STR, Some(HUB))",
            self.authority
        );
        let trusting = self.certificate.iter().map(|file| format!(", with SSL_CERT_FILE={file}"));
        hint("Rust", code + &trusting.collect::<String>())
    }

    fn dotnet(&self) -> Hint {
        let hub = self.unless_named(", HUB");
        hint(".NET", format!("new EventHubProducerClient(CONNECTION_STR{hub})"))
    }

    fn java(&self) -> Hint {
        let hub = self.unless_named(", HUB");
        hint("Java", format!("new EventHubClientBuilder().connectionString(CONNECTION_STR{hub}).buildProducerClient()"))
    }

    /// Go takes an emulator at `localhost` only, and no event hub beside the string's own.
    fn go(&self) -> Hint {
        let hub = if self.names_hub { "\"\"" } else { "HUB" };
        let code = format!("azeventhubs.NewProducerClientFromConnectionString(CONNECTION_STR, {hub}, nil)");
        hint("Go", code + ", the host written as localhost")
    }

    /// `argument`, if the connection string names no event hub.
    fn unless_named(&self, argument: &'static str) -> &'static str {
        if self.names_hub { "" } else { argument }
    }
}

fn hint(sdk: &'static str, code: String) -> Hint {
    Hint { sdk, code }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(hints: Vec<Hint>, sdk: &str) -> Option<String> {
        hints.into_iter().find(|hint| hint.sdk == sdk).map(|hint| hint.code)
    }

    #[test]
    fn each_way_is_led_to_as_its_sdk_needs() {
        let plain = Way { authority: "127.0.0.1:5672".into(), certificate: None, names_hub: true };
        let expected = "EventHubProducerClient.from_connection_string(CONNECTION_STR)";
        assert_eq!(code(plain.amqp(), "Python").as_deref(), Some(expected));
        assert!(code(plain.amqp(), "Go").unwrap().contains("(CONNECTION_STR, \"\", nil)"));
        assert!(code(plain.websocket(), "JavaScript").unwrap().starts_with("dials wss:// only"));

        let expected = "hubwire send --websocket EVENT, with CONNECTION_STR in the environment  (WebSocket)";
        assert_eq!(code(plain.websocket(), "hubwire").as_deref(), Some(expected));

        let tls = Way { authority: "localhost:8443".into(), certificate: Some("ca.pem".into()), names_hub: false };
        let expected = "EventHubProducerClient.from_connection_string(CONNECTION_STR, eventhub_name=HUB, \
                        transport_type=TransportType.AmqpOverWebsocket, \
                        custom_endpoint_address=\"sb://localhost:8443\", connection_verify=\"ca.pem\")  (WebSocket)";
        assert_eq!(code(tls.websocket(), "Python").as_deref(), Some(expected));
        assert!(code(tls.amqp(), "Rust").unwrap().contains("\"amqps://localhost:8443\""));
        assert_eq!(code(tls.amqp(), "Go"), None);
    }
}
