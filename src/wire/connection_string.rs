//! The connection string of a namespace or a hub, as the portal hands it out.
//!
//! ```text
//! Endpoint=sb://<host>/;SharedAccessKeyName=<name>;SharedAccessKey=<key>[;EntityPath=<hub>]
//! ```
//!
//! SDKs read the same text differently: blanks, case, doubled keys, ports and `true` all have
//! several meanings. The rules here take what is surely meant, refuse what has two meanings, and
//! warn about the rest:
//!
//! - Blanks are trimmed round the whole, each pair, each key and each value; empty pairs are
//!   skipped; a pair is split at its first `=`; keys are compared without regard to ASCII case.
//! - A known key twice, or with an empty value, is an error. An unknown key is a [`Warning`].
//! - `Endpoint` has the scheme `sb`, `amqps`, `amqp`, `https`, `http` or none. The host is
//!   lower-cased. A port is kept unless it is the scheme's default (443 of `https`, 80 of `http`).
//!   A path is ignored with a warning; user-info is refused.
//! - `UseDevelopmentEmulator` is `true` or `false` in any case.
//! - `SharedAccessSignature` (a ready token) together with a key or a key name is an error.
//!
//! Nothing that prints here holds a key: errors and warnings name the key of the pair and the byte.

mod endpoint;
mod error;
mod pairs;

use std::fmt;
use std::str::FromStr;

pub use self::error::{EndpointPart, EventHubNameError, Key, ParseError, Warning};

use self::endpoint::{Endpoint, is_loopback};
use self::pairs::Pairs;
use super::sas::SasToken;
use super::secret::{MASK, Secret, printable};

/// What a connection string says: where, which hub, and by what right.
///
/// ```
/// use hubwire::wire::connection_string::{ConnectionString, Credential};
///
/// let text = "Endpoint=sb://NS.servicebus.windows.net/;SharedAccessKeyName=send;\
///             SharedAccessKey=c2VjcmV0;EntityPath=telemetry";
/// let parsed = ConnectionString::parse(text)?;
/// assert_eq!(parsed.host(), "ns.servicebus.windows.net");
/// assert_eq!(parsed.event_hub(), Some("telemetry"));
/// assert_eq!(parsed.audience("telemetry"), "sb://ns.servicebus.windows.net/telemetry");
///
/// let Credential::SharedAccessKey { name, key } = parsed.credential() else { panic!() };
/// assert_eq!((name.as_str(), key.expose()), ("send", "c2VjcmV0"));
/// assert!(!format!("{parsed:?}").contains("c2VjcmV0"));
/// # Ok::<(), hubwire::wire::connection_string::ParseError>(())
/// ```
#[derive(Clone)]
pub struct ConnectionString {
    host: String,
    port: Option<u16>,
    event_hub: Option<String>,
    credential: Credential,
    use_development_emulator: bool,
    warnings: Vec<Warning>,
}

/// By what right the connection string lets its holder in.
#[derive(Clone)]
pub enum Credential {
    /// A key that signs tokens.
    SharedAccessKey {
        /// The policy's name, e.g. `RootManageSharedAccessKey`.
        name: String,
        /// The key's text as it stands; it is not base64-decoded before use.
        key: Secret,
    },
    /// A token signed elsewhere, which cannot be renewed here.
    SharedAccessSignature(SasToken),
    /// None: tokens come from elsewhere. See [`ConnectionString::of_namespace`].
    Absent,
}

impl ConnectionString {
    /// Reads `text` by the rules on [the module's page](self).
    ///
    /// # Errors
    ///
    /// [`ParseError`], the first fault found; it never holds a value of `text`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut pairs = Pairs::read(text)?;
        let endpoint = Endpoint::parse(pairs.get(Key::Endpoint).ok_or(ParseError::MissingEndpoint)?)?;
        let use_development_emulator = pairs.boolean(Key::UseDevelopmentEmulator)?;
        let credential = pairs.credential()?;

        let mut warnings = std::mem::take(&mut pairs.warnings);
        warnings.extend(endpoint.ignored_path());
        if use_development_emulator && !is_loopback(&endpoint.host) {
            let host = endpoint.host.clone();
            warnings.push(Warning::EmulatorOnNonLoopbackHost { host });
        }
        Ok(Self {
            host: endpoint.host,
            port: endpoint.port,
            event_hub: pairs.get(Key::EntityPath).map(|hub| hub.text.to_owned()),
            credential,
            use_development_emulator,
            warnings,
        })
    }

    /// A namespace without a credential: for tokens that come from elsewhere, as Entra ID's do. `endpoint` is what stands
    /// behind `Endpoint=`: `sb://ns.servicebus.windows.net`, or the host alone.
    ///
    /// # Errors
    ///
    /// [`ParseError`] when it is no endpoint.
    ///
    /// ```
    /// use hubwire::ConnectionString;
    ///
    /// let namespace = ConnectionString::of_namespace("ns.servicebus.windows.net")?;
    /// assert_eq!(namespace.host(), "ns.servicebus.windows.net");
    /// # Ok::<(), hubwire::wire::connection_string::ParseError>(())
    /// ```
    pub fn of_namespace(endpoint: &str) -> Result<Self, ParseError> {
        // Read as a whole string is, for the same rules; the token in it is not used.
        let text = format!("Endpoint={endpoint};SharedAccessSignature=SharedAccessSignature sr=-&sig=-&se=0&skn=-");
        let parsed = Self::parse(&text)?;
        Ok(Self { credential: Credential::Absent, ..parsed })
    }

    /// The namespace's host, lower-case and without the port; an IPv6 address is in brackets.
    ///
    /// This is also what AMQP's `open` names as `hostname`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, if the string names one that is not its scheme's default.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The hub named by `EntityPath`; absent in strings for a whole namespace.
    #[must_use]
    pub fn event_hub(&self) -> Option<&str> {
        self.event_hub.as_deref()
    }

    /// By what right the holder is let in.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Whether the string is for the development emulator: plain TCP instead of TLS.
    #[must_use]
    pub fn use_development_emulator(&self) -> bool {
        self.use_development_emulator
    }

    /// What was odd but not wrong, for the user to see.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The hub to use, given the one the caller named beside the string, if any.
    ///
    /// Hub names are equal without regard to ASCII case; the caller's spelling wins.
    ///
    /// # Errors
    ///
    /// [`EventHubNameError`] if no hub is named, or two different ones.
    pub fn resolve_event_hub<'a>(&'a self, explicit: Option<&'a str>) -> Result<&'a str, EventHubNameError> {
        match (explicit.map(str::trim), self.event_hub()) {
            (Some(""), _) => Err(EventHubNameError::Empty),
            (Some(explicit), Some(entity_path)) if !explicit.eq_ignore_ascii_case(entity_path) => {
                Err(EventHubNameError::Conflict {
                    explicit: printable(explicit).to_owned(),
                    entity_path: printable(entity_path).to_owned(),
                })
            }
            (Some(hub), _) | (None, Some(hub)) => check_event_hub_name(hub).map(|()| hub),
            (None, None) => Err(EventHubNameError::Missing),
        }
    }

    /// The audience to sign for `event_hub`: `sb://<host>/<hub>`.
    ///
    /// The scheme is `sb` and the port is left out whatever the string says, since that is what
    /// most SDKs sign: the token is then the same to the byte. Clients that sign
    /// `amqps` are let in as well. The hub's token is good for its partitions too.
    #[must_use]
    pub fn audience(&self, event_hub: &str) -> String {
        format!("sb://{}/{event_hub}", self.host)
    }

    /// The string with every secret masked, in one spelling, fit to print.
    ///
    /// ```
    /// use hubwire::wire::connection_string::ConnectionString;
    ///
    /// let text = "endpoint = ns.example:5671; SharedAccessKeyName=send; SharedAccessKey=c2VjcmV0";
    /// assert_eq!(
    ///     ConnectionString::parse(text)?.redacted(),
    ///     "Endpoint=sb://ns.example:5671/;SharedAccessKeyName=send;SharedAccessKey=***",
    /// );
    /// # Ok::<(), hubwire::wire::connection_string::ParseError>(())
    /// ```
    #[must_use]
    pub fn redacted(&self) -> String {
        let mut text = format!("{}=sb://{}", Key::Endpoint, self.host);
        if let Some(port) = self.port {
            text += &format!(":{port}");
        }
        text += "/";
        if !matches!(self.credential, Credential::Absent) {
            text += &format!(";{}", self.credential.redacted());
        }
        if let Some(hub) = self.event_hub() {
            text += &format!(";{}={}", Key::EntityPath, printable(hub));
        }
        if self.use_development_emulator {
            text += &format!(";{}=true", Key::UseDevelopmentEmulator);
        }
        text
    }
}

/// Whether `name` can name an event hub at all: what is a connection string by mistake must not travel, or be printed,
/// as a name. Which hubs there are, the namespace knows.
pub(crate) fn check_event_hub_name(name: &str) -> Result<(), EventHubNameError> {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/".contains(&byte);
    match name {
        "" => Err(EventHubNameError::Empty),
        _ if name.len() > 256 || !name.bytes().all(in_name) => Err(EventHubNameError::Invalid),
        _ => Ok(()),
    }
}

impl FromStr for ConnectionString {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for ConnectionString {
    type Error = ParseError;

    fn try_from(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString")
            .field("redacted", &self.redacted())
            .field("warnings", &self.warnings)
            .finish()
    }
}

impl Credential {
    /// The pairs of a connection string that hold this credential, masked.
    fn redacted(&self) -> String {
        match self {
            Self::SharedAccessKey { name, .. } => {
                let (name_key, key) = (Key::SharedAccessKeyName, Key::SharedAccessKey);
                format!("{name_key}={};{key}={MASK}", printable(name))
            }
            Self::SharedAccessSignature(token) => {
                format!("{}={}", Key::SharedAccessSignature, token.redacted())
            }
            Self::Absent => String::new(),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credential").field(&self.redacted()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0";

    fn parsed(text: &str) -> ConnectionString {
        ConnectionString::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn endpoint(endpoint: &str) -> Result<ConnectionString, ParseError> {
        ConnectionString::parse(&format!("Endpoint={endpoint};{KEY}"))
    }

    #[test]
    fn endpoints_give_host_and_port() {
        for (text, host, port) in [
            ("sb://NS.example", "ns.example", None),
            ("ns.example:5671", "ns.example", Some(5671)),
            ("ns.example.", "ns.example.", None),
            ("sb://localhost:", "localhost", None),
            ("sb://event_hubs-1:05671/", "event_hubs-1", Some(5671)),
            ("sb://[FE80::1]:5671/", "[fe80::1]", Some(5671)),
            ("sb://[::1]", "[::1]", None),
            ("https://ns:443", "ns", None),
            ("http://ns:80", "ns", None),
            ("https://ns:80", "ns", Some(80)),
            ("sb://ns:443", "ns", Some(443)),
        ] {
            let parsed = endpoint(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((parsed.host(), parsed.port()), (host, port), "{text}");
            assert_eq!(parsed.warnings(), [], "{text}");
        }
    }

    #[test]
    fn what_is_no_hub_name_is_refused_and_not_shown() {
        let plain = endpoint("ns.example").expect("well-formed");
        for (name, expected) in [
            ("telemetry", Ok("telemetry")),
            (" my/hub-1_x.y ", Ok("my/hub-1_x.y")),
            ("", Err(EventHubNameError::Empty)),
            ("a b", Err(EventHubNameError::Invalid)),
            ("hüb", Err(EventHubNameError::Invalid)),
            ("Endpoint=sb://ns/;SharedAccessKey=c2VjcmV0", Err(EventHubNameError::Invalid)),
        ] {
            assert_eq!(plain.resolve_event_hub(Some(name)), expected, "{name}");
        }
        let long = "x".repeat(257);
        assert_eq!(plain.resolve_event_hub(Some(&long)), Err(EventHubNameError::Invalid));
        // A lost `;` puts the key behind the hub's name.
        let text = format!("Endpoint=ns;{KEY};EntityPath=telemetrySharedAccessKey=c2VjcmV0");
        let error = parsed(&text).resolve_event_hub(None).unwrap_err();
        assert!(!error.to_string().contains("c2VjcmV0"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(parsed(&format!("\u{feff}Endpoint=sb://ns;{KEY}\n")).host(), "ns");
    }

    #[test]
    fn endpoint_faults_name_the_part_and_its_byte() {
        use EndpointPart::{Host, Port, Scheme, UserInfo};
        for (text, part, offset) in [
            ("ftp://ns", Scheme, 0),
            ("://ns", Scheme, 0),
            ("sb://u@ns", UserInfo, 5),
            ("sb://", Host, 5),
            ("sb://:5671", Host, 5),
            ("sb://a..b", Host, 5),
            ("sb://a b", Host, 5),
            ("sb://hübe", Host, 5),
            ("sb://a=b", Host, 5),
            ("sb://::1", Host, 5),
            ("sb://[::1", Host, 5),
            ("sb://[::1]5671", Host, 5),
            ("sb://[ns]", Host, 5),
            ("sb://ns:x", Port, 8),
            ("sb://ns:+1", Port, 8),
            ("sb://ns:0", Port, 8),
            ("sb://ns:65536", Port, 8),
        ] {
            let at = "Endpoint=".len() + offset;
            let expected = ParseError::InvalidEndpoint { part, at };
            assert_eq!(endpoint(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn what_follows_the_host_is_ignored_aloud() {
        for (text, warned_at) in
            [("sb://ns/hub", Some(16)), ("sb://ns?x", Some(16)), ("sb://ns#x", Some(16)), ("sb://ns//", None)]
        {
            let warnings: Vec<_> = warned_at.map(|at| Warning::EndpointPathIgnored { at }).into_iter().collect();
            assert_eq!(endpoint(text).unwrap().warnings(), warnings, "{text}");
        }
    }

    #[test]
    fn messages_name_the_key_the_byte_and_the_next_step() {
        for (text, message) in [
            ("Endpoint", "byte 0: expected `Name=Value`; complete the pair, or take out a stray `;`"),
            (" ; =x", "byte 3: nothing before the `=`; name the pair, or take it out"),
            ("Endpoint= ", "byte 0: Endpoint is empty; give it a value, or take the pair out"),
            (
                "EntityPath=a; entitypath=b",
                "byte 14: EntityPath is already given at byte 0; keep the one that is meant",
            ),
            ("Endpoint=sb://ns:x", "byte 17: Endpoint: invalid port; use a port from 1 to 65535, or none"),
            (
                "Endpoint=ns;UseDevelopmentEmulator= on",
                "byte 36: UseDevelopmentEmulator is neither `true` nor `false`; write one of them",
            ),
            (
                "Endpoint=ns;SharedAccessSignature=x",
                "byte 34: SharedAccessSignature: a token starts with `SharedAccessSignature` \
                 and one blank; copy the whole of it",
            ),
            (
                "Endpoint=ns;SharedAccessKey=k",
                "byte 12: SharedAccessKey without SharedAccessKeyName; add the policy's name",
            ),
        ] {
            let error = ConnectionString::parse(text).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_named_only_if_it_cannot_be_a_secret() {
        for (name, shown) in [
            ("TransportType", Some("TransportType")),
            ("a1", None),
            ("a+b", None),
            ("schlüssel", None),
            ("abcdefghijklmnopqrstuvwxyzabcdefg", None),
        ] {
            let warned = parsed(&format!("Endpoint=ns;{KEY};{name}=")).warnings().to_vec();
            let name = shown.map(str::to_owned);
            assert_eq!(warned, [Warning::UnknownKey { name, at: 62 }]);
        }
    }

    #[test]
    fn only_an_emulator_elsewhere_is_warned_about() {
        for (host, warned) in [
            ("localhost", false),
            ("127.0.0.1", false),
            ("127.1.2.3", false),
            ("[::1]", false),
            ("[::2]", true),
            ("10.0.0.1", true),
            ("localhost.example", true),
        ] {
            let text = format!("Endpoint=sb://{host};{KEY};UseDevelopmentEmulator=True");
            assert_eq!(!parsed(&text).warnings().is_empty(), warned, "{host}");
        }
    }

    #[test]
    fn one_hub_is_meant_or_none() {
        let conflict = EventHubNameError::Conflict { explicit: "other".into(), entity_path: "hub".into() };
        for (entity_path, explicit, expected) in [
            (";EntityPath=hub", None, Ok("hub")),
            (";EntityPath=hub", Some("HUB"), Ok("HUB")),
            (";EntityPath=hub", Some("other"), Err(conflict)),
            (";EntityPath=hub", Some(" "), Err(EventHubNameError::Empty)),
            ("", Some(" hub "), Ok("hub")),
            ("", None, Err(EventHubNameError::Missing)),
        ] {
            let parsed = parsed(&format!("Endpoint=ns;{KEY}{entity_path}"));
            assert_eq!(parsed.resolve_event_hub(explicit), expected, "{explicit:?}");
        }
    }

    #[test]
    fn nothing_that_prints_holds_the_secret() {
        let token = "SharedAccessSignature sr=sb%3A%2F%2Fns%2Fh&sig=c2VjcmV0&se=1&skn=send";
        for text in [
            format!("Endpoint=ns;{KEY}"),
            format!("Endpoint=ns;SharedAccessSignature={token}"),
            // A lost `;` put a key into a name.
            "Endpoint=ns;SharedAccessKeyName=pSharedAccessKey=c2VjcmV0;SharedAccessKey=c2VjcmV0".to_owned(),
            format!("Endpoint=ns;{KEY};EntityPath=hSharedAccessKey=c2VjcmV0"),
        ] {
            let parsed = parsed(&text);
            let conflict = parsed.resolve_event_hub(Some("other"));
            let printed = format!("{parsed:?} {:#?} {} {conflict:?}", parsed.credential(), parsed.redacted());
            assert!(!printed.contains("c2VjcmV0"), "{printed}");
        }
    }

    #[test]
    fn the_redacted_form_shows_all_the_rest() {
        let text = format!("Endpoint=sb://ns:9093;{KEY};EntityPath=hub;UseDevelopmentEmulator=TRUE");
        let redacted = "Endpoint=sb://ns:9093/;SharedAccessKeyName=send;SharedAccessKey=***;\
                        EntityPath=hub;UseDevelopmentEmulator=true";
        assert_eq!(parsed(&text).redacted(), redacted);
    }
}
