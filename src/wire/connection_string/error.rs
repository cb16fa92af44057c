//! What can be wrong or odd in a connection string, told without its values.

use std::fmt;

use crate::wire::sas::ParseTokenError;

/// A key of a connection string that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// `Endpoint`: the namespace's address.
    Endpoint,
    /// `SharedAccessKeyName`: the policy's name.
    SharedAccessKeyName,
    /// `SharedAccessKey`: the policy's key.
    SharedAccessKey,
    /// `SharedAccessSignature`: a ready token.
    SharedAccessSignature,
    /// `EntityPath`: the hub's name.
    EntityPath,
    /// `UseDevelopmentEmulator`: plain TCP to an emulator.
    UseDevelopmentEmulator,
}

impl Key {
    const ALL: [Self; 6] = [
        Self::Endpoint,
        Self::SharedAccessKeyName,
        Self::SharedAccessKey,
        Self::SharedAccessSignature,
        Self::EntityPath,
        Self::UseDevelopmentEmulator,
    ];

    /// The key as the portal spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "Endpoint",
            Self::SharedAccessKeyName => "SharedAccessKeyName",
            Self::SharedAccessKey => "SharedAccessKey",
            Self::SharedAccessSignature => "SharedAccessSignature",
            Self::EntityPath => "EntityPath",
            Self::UseDevelopmentEmulator => "UseDevelopmentEmulator",
        }
    }

    pub(super) fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A part of the `Endpoint` that can be at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointPart {
    /// What stands before `://`.
    Scheme,
    /// A user name or password before an `@`.
    UserInfo,
    /// The host's name or address.
    Host,
    /// The port after the host.
    Port,
}

impl EndpointPart {
    fn class(self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::UserInfo => "userinfo",
            Self::Host => "host",
            Self::Port => "port",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Scheme => "use `sb://`, `amqps://`, `amqp://`, `https://`, `http://` or none",
            Self::UserInfo => "take out what stands before the `@`; the key has a pair of its own",
            Self::Host => {
                "name a host such as `<namespace>.servicebus.windows.net`; \
                 put an IPv6 address in brackets"
            }
            Self::Port => "use a port from 1 to 65535, or none",
        }
    }
}

/// Why a text is not a connection string. `at` is a byte offset in the text; no value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is no text, or only blanks.
    #[error(
        "the connection string is empty; copy it from the portal: \
         namespace, Shared access policies, a policy, Connection string"
    )]
    Empty,
    /// A pair has no `=`.
    #[error("byte {at}: expected `Name=Value`; complete the pair, or take out a stray `;`")]
    MissingEquals {
        /// Where the pair starts.
        at: usize,
    },
    /// A pair has nothing before its `=`.
    #[error("byte {at}: nothing before the `=`; name the pair, or take it out")]
    EmptyKey {
        /// Where the pair starts.
        at: usize,
    },
    /// A known key has no value.
    #[error("byte {at}: {key} is empty; give it a value, or take the pair out")]
    EmptyValue {
        /// Which key.
        key: Key,
        /// Where the pair starts.
        at: usize,
    },
    /// A known key is there twice.
    #[error("byte {at}: {key} is already given at byte {first_at}; keep the one that is meant")]
    DuplicateKey {
        /// Which key.
        key: Key,
        /// Where the first such pair starts.
        first_at: usize,
        /// Where the second such pair starts.
        at: usize,
    },
    /// There is no `Endpoint`.
    #[error(
        "no Endpoint; add `Endpoint=sb://<namespace>.servicebus.windows.net/` \
         (and take off any quotes round the whole string)"
    )]
    MissingEndpoint,
    /// The `Endpoint` cannot be read.
    #[error("byte {at}: Endpoint: invalid {}; {}", .part.class(), .part.advice())]
    InvalidEndpoint {
        /// Which part.
        part: EndpointPart,
        /// Where the part starts.
        at: usize,
    },
    /// A value that must be `true` or `false` is neither.
    #[error("byte {at}: {key} is neither `true` nor `false`; write one of them")]
    InvalidBoolean {
        /// Which key.
        key: Key,
        /// Where the value starts.
        at: usize,
    },
    /// A token stands beside a key or a key name.
    #[error(
        "byte {at}: SharedAccessSignature beside {beside}; \
         keep the token alone, or the key with its name"
    )]
    ConflictingCredentials {
        /// What stands beside the token.
        beside: Key,
        /// Where the token's pair starts.
        at: usize,
    },
    /// The token cannot be read.
    #[error("byte {at}: SharedAccessSignature: {cause}")]
    InvalidSharedAccessSignature {
        /// What is wrong with it.
        cause: ParseTokenError,
        /// Where the value starts.
        at: usize,
    },
    /// There is neither a key nor a token.
    #[error("no credential; add SharedAccessKeyName and SharedAccessKey, or SharedAccessSignature")]
    MissingCredentials,
    /// There is a key name and no key.
    #[error("byte {at}: SharedAccessKeyName without SharedAccessKey; add the policy's key")]
    MissingSharedAccessKey {
        /// Where the key name's pair starts.
        at: usize,
    },
    /// There is a key and no key name.
    #[error("byte {at}: SharedAccessKey without SharedAccessKeyName; add the policy's name")]
    MissingSharedAccessKeyName {
        /// Where the key's pair starts.
        at: usize,
    },
}

impl ParseError {
    /// A stable name for the kind of fault, e.g. `duplicate-key:EntityPath`; for logs and tests.
    #[must_use]
    pub fn class(&self) -> String {
        let class = match self {
            Self::Empty => "empty",
            Self::MissingEquals { .. } => "missing-equals",
            Self::EmptyKey { .. } => "empty-key",
            Self::EmptyValue { key, .. } => return format!("empty-value:{key}"),
            Self::DuplicateKey { key, .. } => return format!("duplicate-key:{key}"),
            Self::MissingEndpoint => "missing-endpoint",
            Self::InvalidEndpoint { part, .. } => {
                return format!("invalid-endpoint:{}", part.class());
            }
            Self::InvalidBoolean { key, .. } => return format!("invalid-boolean:{key}"),
            Self::ConflictingCredentials { .. } => "conflicting-credentials",
            Self::InvalidSharedAccessSignature { .. } => "invalid-shared-access-signature",
            Self::MissingCredentials => "missing-credentials",
            Self::MissingSharedAccessKey { .. } => "missing-shared-access-key",
            Self::MissingSharedAccessKeyName { .. } => "missing-shared-access-key-name",
        };
        class.to_owned()
    }
}

/// Why no one hub is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventHubNameError {
    /// The string has no `EntityPath` and none was named beside it.
    #[error("no event hub is named; add `EntityPath=<hub>` to the string or name one beside it")]
    Missing,
    /// The name given beside the string is empty.
    #[error("the event hub's name is empty; name a hub, or leave the name out to use EntityPath")]
    Empty,
    /// What is named cannot be a hub's name. It is not shown: it may be a connection string, taken for a name.
    #[error(
        "that cannot be the name of an event hub: letters, digits and `. - _ /`, at most 256 of them; \
         check that it is not a connection string"
    )]
    Invalid,
    /// Two different hubs are named.
    #[error("the event hub is named `{explicit}` and EntityPath says `{entity_path}`; drop one")]
    Conflict {
        /// The hub named beside the string.
        explicit: String,
        /// The hub named in the string.
        entity_path: String,
    },
}

/// Something odd in a connection string that does not stop its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A key that means nothing here; SDKs pass over it too.
    UnknownKey {
        /// The key, if it is a plain word of up to 32 ASCII letters. Other texts are withheld: a
        /// stray `;` inside a secret makes its tail look like a key.
        name: Option<String>,
        /// Where the pair starts, as a byte offset.
        at: usize,
    },
    /// The `Endpoint` has more than slashes after the host.
    EndpointPathIgnored {
        /// Where it starts, as a byte offset.
        at: usize,
    },
    /// The token will go unencrypted to a host that is not this machine.
    EmulatorOnNonLoopbackHost {
        /// That host.
        host: String,
    },
    /// The ready token has no `se`, so a hub will refuse it.
    TokenWithoutExpiry {
        /// Where the token starts, as a byte offset.
        at: usize,
    },
}

impl Warning {
    /// A stable name for the kind of warning, e.g. `unknown-key:Foo`; for logs and tests.
    #[must_use]
    pub fn class(&self) -> String {
        let class = match self {
            Self::UnknownKey { name: Some(name), .. } => return format!("unknown-key:{name}"),
            Self::UnknownKey { name: None, .. } => "unknown-key",
            Self::EndpointPathIgnored { .. } => "endpoint-path-ignored",
            Self::EmulatorOnNonLoopbackHost { .. } => "emulator-on-non-loopback-host",
            Self::TokenWithoutExpiry { .. } => "token-without-expiry",
        };
        class.to_owned()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { name: Some(name), at } => {
                write!(f, "byte {at}: unknown key `{name}` ignored; check its spelling")
            }
            Self::UnknownKey { name: None, at } => {
                write!(f, "byte {at}: unknown key ignored; check for a stray `;` before it")
            }
            Self::EndpointPathIgnored { at } => {
                write!(f, "byte {at}: path in Endpoint ignored; name the hub in EntityPath")
            }
            Self::EmulatorOnNonLoopbackHost { host } => write!(
                f,
                "the token goes unencrypted to {host}; \
                 drop UseDevelopmentEmulator unless that is an emulator on a network you trust"
            ),
            Self::TokenWithoutExpiry { at } => {
                write!(f, "byte {at}: the token has no `se`; sign one with an expiry")
            }
        }
    }
}
