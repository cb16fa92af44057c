//! What to say of a cause, and what to try next. Pure, as [`Cause`] is.

use super::cause::Cause;
use super::date::Skew;

/// What the examination has found out beside the failure itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) host: String,
    pub(super) event_hub: String,
    /// What the host resolves to, if that is private: a private endpoint.
    pub(super) private_address: Option<String>,
    /// Whether AMQP over WebSocket, on port 443, is open though the port of AMQP is not; `None` when it was not tried.
    pub(super) websocket_works: Option<bool>,
    /// This machine's clock against the peer's, when it is off by so much that it matters.
    pub(super) skew: Option<Skew>,
    /// The connection string holds a token, and no key.
    pub(super) has_ready_token: bool,
    /// The other right was tried after one was refused, and is there.
    pub(super) has_other_right: bool,
    pub(super) is_proxied: bool,
    /// `HTTPS_PROXY` or its like is set, and not used.
    pub(super) proxy_in_environment: bool,
    pub(super) is_websocket: bool,
    pub(super) is_emulator: bool,
}

impl Facts {
    /// Whether AMQP over WebSocket is another way, and not known to be closed.
    fn may_try_websocket(&self) -> bool {
        !self.is_websocket && self.websocket_works != Some(false)
    }
}

impl Cause {
    /// In plain words.
    pub(super) fn words(self, facts: &Facts) -> String {
        let Facts { host, event_hub, .. } = facts;
        match self {
            Self::NameUnknown => "the host's name has no address".into(),
            Self::PortRefused => "the host is there, and nothing takes connections on that port".into(),
            Self::PortSilent => "nothing answers on that port: a firewall drops what is sent, most likely".into(),
            Self::NoRoute => "there is no way to that host from here".into(),
            Self::PrivateEndpoint => format!(
                "{host} is a private endpoint here ({}), and it cannot be reached from this machine",
                facts.private_address.as_deref().unwrap_or("a private address")
            ),
            Self::OnlyWebSocket => "the port of AMQP is closed, and port 443 is open: AMQP over WebSocket works".into(),
            Self::ProxyUnreachable => "the HTTP proxy itself cannot be reached".into(),
            Self::ProxyLogin => "the HTTP proxy wants a login".into(),
            Self::ProxyForbids => "the HTTP proxy makes no tunnel to that host and port".into(),
            Self::NotAProxy => "what was named as the proxy is no HTTP proxy".into(),
            Self::CertificateUntrusted => "nobody here trusts the one who issued the certificate".into(),
            Self::CertificateExpired => "by this machine's clock the certificate is not valid now".into(),
            Self::CertificateName => "the certificate is another host's".into(),
            Self::CertificateUnfit => "the certificate is not one that a server can use".into(),
            Self::NotTls => "the port does not speak TLS".into(),
            Self::TlsCut => "the TLS handshake was cut off or not answered".into(),
            Self::NotWebSocket => "there is no AMQP over WebSocket at that port".into(),
            Self::NotAmqp => "what answers there does not speak AMQP 1.0".into(),
            Self::SaslRefused => "the peer does not let anybody in by SASL ANONYMOUS, as an event hub does".into(),
            Self::OpenRefused => "the namespace closed the connection as soon as it was opened".into(),
            Self::WrongKey => "the key is not the rule's".into(),
            Self::UnknownRule => "the namespace knows no rule of that name for this event hub".into(),
            Self::ExpiredToken => "the token of the connection string has ended".into(),
            Self::ClockWrong => {
                "this machine's clock is wrong: a token that was signed just now counts as expired".into()
            }
            Self::WrongAudience => "the token is for something else than this event hub".into(),
            Self::TokenRefused => "the hub does not take the token".into(),
            Self::HubUnknown => format!("the namespace has no event hub `{event_hub}`, or no such consumer group"),
            Self::PartitionUnknown => "the event hub has no such partition".into(),
            Self::NoSendRight => "the rule has no Send right on this event hub".into(),
            Self::NoListenRight => "the rule has no Listen right on this event hub".into(),
            Self::NetworkRules => "the namespace's network rules keep this machine out".into(),
            Self::Busy => "the hub is at its limit and throttles".into(),
            Self::Quota => "a quota of the namespace is used up".into(),
            Self::HubDisabled => "the event hub is disabled".into(),
            Self::AttachRefused => "the hub refused the link".into(),
            Self::NoCredit => "the hub takes no events now: it gives no credit".into(),
            Self::HubSilent => "the hub stopped answering".into(),
            Self::ConnectionLost => "the connection was cut".into(),
            Self::EventRejected => "the hub looked at the event and rejected it".into(),
            Self::EventGivenBack => "the hub gave the event back without taking it".into(),
            Self::OutcomeUnknown => "the event left, and no answer came: it may be stored or not".into(),
            Self::NotReadBack => "the event was accepted, and did not come back in time".into(),
            Self::Setting => "a setting cannot be used".into(),
            Self::Other => "something went wrong that is not known here".into(),
        }
    }

    /// What to try, the likeliest first.
    pub(super) fn advice(self, facts: &Facts) -> Vec<String> {
        let mut advice = self.first_aid(facts);
        let is_way_closed = matches!(self, Self::PortRefused | Self::PortSilent | Self::NoRoute | Self::TlsCut);
        if is_way_closed && facts.websocket_works == Some(false) {
            advice.push(
                "port 443 is closed as well, so --websocket does not help: look at the network in between".into(),
            );
        }
        if is_way_closed && facts.proxy_in_environment && !facts.is_proxied {
            advice.push("HTTPS_PROXY or ALL_PROXY is set and was not used: try --proxy env".into());
        }
        if let Some(skew) = facts.skew.filter(|_| self != Self::ClockWrong) {
            advice.push(format!("this machine's clock is {skew} the peer's: set it"));
        }
        advice
    }

    fn first_aid(self, facts: &Facts) -> Vec<String> {
        let Facts { host, event_hub, .. } = facts;
        let texts: &[&str] = match self {
            Self::NameUnknown if facts.is_proxied => {
                &["check the proxy's name", "try another network, or another DNS server"]
            }
            Self::NameUnknown => &[
                "check the namespace's name in Endpoint, and that the namespace is there still",
                "if the name is a private endpoint's, its zone (privatelink) has to be known to this machine's DNS",
            ],
            Self::PortRefused if facts.is_emulator => {
                &["start the emulator: `hubwire emulator`", "check the port in Endpoint"]
            }
            Self::PortRefused => &[
                "check the port, if Endpoint or --endpoint names one",
                "ask whoever keeps the firewall to let connections to that port out",
            ],
            Self::PortSilent => &[
                "ask whoever keeps the firewall to let connections to that port out",
                "try another network, to see that it is this one's",
            ],
            Self::NoRoute => &["check this machine's network, its VPN, and whether it has IPv6 if the address is one"],
            Self::PrivateEndpoint => &[
                "run this inside the endpoint's network, or join it by VPN",
                "if the namespace is open to the public too, ask a public DNS server for its name",
            ],
            Self::OnlyWebSocket => &[
                "use --websocket; in a program `Options::transport(Transport::WebSocket)`",
                "or have TCP 5671 let out",
            ],
            Self::ProxyUnreachable => &["check the proxy's host and port"],
            Self::ProxyLogin => &["put user and password into the proxy's URL, in a file that --proxy names"],
            Self::ProxyForbids if facts.may_try_websocket() => &[
                "ask the proxy's keeper to let this host and port pass",
                "try --websocket: most proxies lead to port 443 alone",
            ],
            Self::ProxyForbids => &["ask the proxy's keeper to let this host and port pass"],
            Self::NotAProxy => &["check host and port of --proxy: it has to be an HTTP proxy"],
            Self::CertificateUntrusted => &[
                "if the issuer is your company's proxy, trust its authority: --ca-file FILE or --platform-roots",
                "if it is an emulator's or your own, give its authority's certificate: --ca-file FILE",
                "if you do not know the issuer, leave this network: somebody reads along",
            ],
            Self::CertificateExpired => &[
                "compare this machine's clock with another one, and set it",
                "if the clock is right, the server's certificate has to be renewed",
            ],
            Self::CertificateName => &[
                "check the host in Endpoint and --endpoint against the names in the certificate",
                "look at what sits in between: a proxy or a captive network shows a certificate of its own",
            ],
            Self::CertificateUnfit => &["have the server's certificate made anew by its keeper"],
            Self::NotTls => &[
                "for an emulator without TLS add UseDevelopmentEmulator=true to the connection string",
                "check the port: AMQP with TLS is 5671, WebSocket 443",
            ],
            Self::TlsCut if facts.may_try_websocket() => &[
                "a firewall that reads host names may cut it: ask its keeper to let this host pass",
                "try --websocket, or another network",
            ],
            Self::TlsCut => &[
                "a firewall that reads host names may cut it: ask its keeper to let this host pass",
                "try another network",
            ],
            Self::NotWebSocket => &[
                "check the port: AMQP over WebSocket is on 443",
                "a proxy in between may not let WebSocket pass: try without --websocket, or --proxy",
            ],
            Self::NotAmqp if facts.may_try_websocket() => {
                &["check host and port: AMQP with TLS is 5671, without 5672", "if it is a web server, use --websocket"]
            }
            Self::NotAmqp => &["check host and port: AMQP with TLS is 5671, without 5672"],
            Self::SaslRefused => &["check that it is an Event Hubs namespace, and not another AMQP broker"],
            Self::OpenRefused => &[
                "do what the hub's own words say",
                "try again in a minute; if it stays so, quote the TrackingId to Azure support",
            ],
            Self::WrongKey => &[
                "copy the rule's connection string anew: portal, Shared access policies; keys are made anew now and then",
                "`hubwire sas verify` tells whether a key signed a token; `hubwire connection-string check` looks for what was cut off",
            ],
            Self::UnknownRule => &[
                "check SharedAccessKeyName: a rule of one event hub does not hold for another",
                "copy the rule's connection string anew",
            ],
            Self::ExpiredToken => &[
                "sign a new token: `hubwire sas mint`; `hubwire sas explain --from-connection-string` tells when it ended",
            ],
            Self::ClockWrong => &["set this machine's clock, and have it kept by NTP"],
            Self::WrongAudience => &[
                "`hubwire sas explain --from-connection-string` tells what the token is for: sign one for this event hub",
            ],
            Self::TokenRefused => {
                &["do what the hub's own words say; `hubwire connection-string check` looks for what is odd"]
            }
            Self::HubUnknown => {
                return vec![
                    format!(
                        "check the spelling of `{event_hub}`, and that it is in {host}: the portal lists the event hubs"
                    ),
                    "if the name is right, check --consumer-group".into(),
                ];
            }
            Self::PartitionUnknown => &["`hubwire info` lists the partitions: choose one of them"],
            Self::NoSendRight if facts.has_other_right => {
                &["the rule may listen, and not send: take the connection string of a rule with Send"]
            }
            Self::NoSendRight => &["give the rule the Send right, or take the connection string of one that has it"],
            Self::NoListenRight if facts.has_other_right => {
                &["the rule may send, and not listen: take the connection string of a rule with Listen"]
            }
            Self::NoListenRight => {
                &["give the rule the Listen right, or take the connection string of one that has it"]
            }
            Self::NetworkRules => &["portal, Networking: let this machine's address in, or use the private endpoint"],
            Self::Busy => &[
                "wait some seconds and try again: throttling passes",
                "send less, or add throughput units; the portal's metric is Throttled Requests",
            ],
            Self::Quota => &["close connections and readers that nobody needs, or raise the quota"],
            Self::HubDisabled => &["set the event hub's status to Active in the portal"],
            Self::AttachRefused => {
                &["do what the hub's own words say", "try again; if it stays so, quote the TrackingId to Azure support"]
            }
            Self::NoCredit => &["wait and try again; if it stays so, look at the namespace's health in the portal"],
            Self::HubSilent => &[
                "try again, with a longer --timeout",
                "look at the namespace's health in the portal, and for a firewall that cuts idle streams",
            ],
            Self::ConnectionLost if facts.may_try_websocket() => &[
                "try again; if it comes back, something in between cuts the stream: try --websocket, or another network",
            ],
            Self::ConnectionLost => {
                &["try again; if it comes back, something in between cuts the stream: try another network"]
            }
            Self::EventRejected => &["do what the hub's own words say"],
            Self::EventGivenBack => &["try again: nothing is stored"],
            Self::OutcomeUnknown => {
                &["look whether it is there: `hubwire receive --from 5m`; sending again may store it twice"]
            }
            Self::NotReadBack => {
                &["try again, with a longer --timeout", "`hubwire receive --from 5m` shows what is there"]
            }
            Self::Setting => &["do what the message says"],
            Self::Other => &["do what the message says; if it says nothing, report it with --json"],
        };
        texts.iter().map(|&text| text.to_owned()).collect()
    }
}
