//! The described types of AMQP: the code, name and fields of each. The one table that performatives, outcomes, terminuses
//! and sections are known by.
//! Source: AMQP 1.0 parts 2 (2.7, 2.8), 3 (3.2, 3.4, 3.5), 4 (4.5) and 5 (5.3.3).

#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "which of them are asked for is the features' affair"))]
pub(crate) mod codes;

use super::batch::MESSAGE_FORMAT;
use super::value::{Kind, Value};

/// A described type of the specification.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(crate) code: u8,
    /// As the specification names it, e.g. `attach`.
    pub(crate) name: &'static str,
    pub(crate) form: Form,
}

/// What stands behind a descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// A list, each place of which has a meaning.
    Fields(&'static [Field]),
    /// A map.
    Map,
    /// A binary.
    Binary,
    /// A list of anything.
    List,
    /// Anything.
    Value,
}

/// A place in a described list.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) holds: Holds,
    pub(crate) is_mandatory: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Any,
    Is(Kind),
    /// Symbols: one, or an array of them.
    Symbols,
    /// An id of a message, in one of four types.
    MessageId,
    /// A described value.
    Described,
    /// What a login is made with: never shown.
    Login,
    /// `false` is a sender.
    Role,
    SenderSettleMode,
    ReceiverSettleMode,
    Durability,
    SaslCode,
    MessageFormat,
}

impl Holds {
    /// Whether a value of this type may stand there. Null is another question.
    pub(crate) fn takes(self, kind: Kind) -> bool {
        match self {
            Self::Any => true,
            Self::Is(expected) => kind == expected,
            Self::Symbols => matches!(kind, Kind::Symbol | Kind::Array),
            Self::MessageId => matches!(kind, Kind::Ulong | Kind::Uuid | Kind::Binary | Kind::String),
            Self::Described => kind == Kind::Described,
            Self::Login => kind == Kind::Binary,
            Self::Role => kind == Kind::Boolean,
            Self::SenderSettleMode | Self::ReceiverSettleMode | Self::SaslCode => kind == Kind::Ubyte,
            Self::Durability | Self::MessageFormat => kind == Kind::Uint,
        }
    }

    /// The same in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Is(kind) => kind.name(),
            Self::Symbols => "symbol, or array of them",
            Self::MessageId => "ulong, uuid, binary or string",
            Self::Described => "described value",
            Self::Login => "binary",
            Self::Role => "boolean",
            Self::SenderSettleMode | Self::ReceiverSettleMode | Self::SaslCode => "ubyte",
            Self::Durability | Self::MessageFormat => "uint",
        }
    }

    /// What a value means there, where a number or truth stands for a word.
    pub(crate) fn meaning(self, value: &Value) -> Option<&'static str> {
        let words: &[&str] = match self {
            Self::Role => &["sender", "receiver"],
            Self::SenderSettleMode => &["unsettled", "settled", "mixed"],
            Self::ReceiverSettleMode => &["first", "second"],
            Self::Durability => &["none", "configuration", "unsettled-state"],
            Self::SaslCode => &["ok", "auth", "sys", "sys-perm", "sys-temp"],
            Self::MessageFormat if *value == Value::Uint(MESSAGE_FORMAT) => return Some("0x80013700, a batch"),
            _ => return None,
        };
        let index = match value {
            Value::Boolean(truth) => usize::from(*truth),
            other => usize::try_from(other.as_i64()?).ok()?,
        };
        words.get(index).copied()
    }
}

impl Descriptor {
    /// What it is when it does not stand in another one: `performative` or `section`.
    pub(crate) fn role(&self) -> Option<&'static str> {
        match self.code {
            0x10..=0x18 | 0x40..=0x44 => Some("performative"),
            0x70..=0x78 => Some("section"),
            _ => None,
        }
    }
}

/// The type with this code, if the specification has one.
pub(crate) fn by_code(code: u64) -> Option<&'static Descriptor> {
    DESCRIPTORS.iter().find(|descriptor| u64::from(descriptor.code) == code)
}

/// The type with this symbol, e.g. `amqp:attach:list`.
pub(crate) fn by_symbol(symbol: &[u8]) -> Option<&'static Descriptor> {
    let name = symbol.strip_prefix(b"amqp:")?;
    DESCRIPTORS.iter().find(|descriptor| {
        let form = name.strip_prefix(descriptor.name.as_bytes()).and_then(|rest| rest.strip_prefix(b":"));
        form == Some(descriptor.form.name().as_bytes())
    })
}

/// The type of this name.
pub(crate) fn by_name(name: &str) -> Option<&'static Descriptor> {
    DESCRIPTORS.iter().find(|descriptor| descriptor.name == name)
}

impl Form {
    /// The last word of the symbol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fields(_) | Self::List => "list",
            Self::Map => "map",
            Self::Binary => "binary",
            Self::Value => "*",
        }
    }
}

const fn must(name: &'static str, holds: Holds) -> Field {
    Field { name, holds, is_mandatory: true }
}

const fn may(name: &'static str, holds: Holds) -> Field {
    Field { name, holds, is_mandatory: false }
}

const fn list(code: u8, name: &'static str, fields: &'static [Field]) -> Descriptor {
    Descriptor { code, name, form: Form::Fields(fields) }
}

const fn other(code: u8, name: &'static str, form: Form) -> Descriptor {
    Descriptor { code, name, form }
}

const ANY: Holds = Holds::Any;
const BOOLEAN: Holds = Holds::Is(Kind::Boolean);
const UBYTE: Holds = Holds::Is(Kind::Ubyte);
const USHORT: Holds = Holds::Is(Kind::Ushort);
const UINT: Holds = Holds::Is(Kind::Uint);
const ULONG: Holds = Holds::Is(Kind::Ulong);
const TIMESTAMP: Holds = Holds::Is(Kind::Timestamp);
const BINARY: Holds = Holds::Is(Kind::Binary);
const STRING: Holds = Holds::Is(Kind::String);
const SYMBOL: Holds = Holds::Is(Kind::Symbol);
const MAP: Holds = Holds::Is(Kind::Map);
const DESCRIBED: Holds = Holds::Described;
const SYMBOLS: Holds = Holds::Symbols;

/// Performatives first: they are looked for most.
#[rustfmt::skip]
static DESCRIPTORS: [Descriptor; 40] = [
    list(0x10, "open", &[
        must("container-id", STRING), may("hostname", STRING), may("max-frame-size", UINT), may("channel-max", USHORT),
        may("idle-time-out", UINT), may("outgoing-locales", SYMBOLS), may("incoming-locales", SYMBOLS),
        may("offered-capabilities", SYMBOLS), may("desired-capabilities", SYMBOLS), may("properties", MAP),
    ]),
    list(0x11, "begin", &[
        may("remote-channel", USHORT), must("next-outgoing-id", UINT), must("incoming-window", UINT),
        must("outgoing-window", UINT), may("handle-max", UINT), may("offered-capabilities", SYMBOLS),
        may("desired-capabilities", SYMBOLS), may("properties", MAP),
    ]),
    list(0x12, "attach", &[
        must("name", STRING), must("handle", UINT), must("role", Holds::Role),
        may("snd-settle-mode", Holds::SenderSettleMode), may("rcv-settle-mode", Holds::ReceiverSettleMode),
        may("source", DESCRIBED), may("target", DESCRIBED), may("unsettled", MAP), may("incomplete-unsettled", BOOLEAN),
        may("initial-delivery-count", UINT), may("max-message-size", ULONG), may("offered-capabilities", SYMBOLS),
        may("desired-capabilities", SYMBOLS), may("properties", MAP),
    ]),
    list(0x13, "flow", &[
        may("next-incoming-id", UINT), must("incoming-window", UINT), must("next-outgoing-id", UINT),
        must("outgoing-window", UINT), may("handle", UINT), may("delivery-count", UINT), may("link-credit", UINT),
        may("available", UINT), may("drain", BOOLEAN), may("echo", BOOLEAN), may("properties", MAP),
    ]),
    list(0x14, "transfer", &[
        must("handle", UINT), may("delivery-id", UINT), may("delivery-tag", BINARY), may("message-format", Holds::MessageFormat),
        may("settled", BOOLEAN), may("more", BOOLEAN), may("rcv-settle-mode", Holds::ReceiverSettleMode),
        may("state", DESCRIBED), may("resume", BOOLEAN), may("aborted", BOOLEAN), may("batchable", BOOLEAN),
    ]),
    list(0x15, "disposition", &[
        must("role", Holds::Role), must("first", UINT), may("last", UINT), may("settled", BOOLEAN),
        may("state", DESCRIBED), may("batchable", BOOLEAN),
    ]),
    list(0x16, "detach", &[must("handle", UINT), may("closed", BOOLEAN), may("error", DESCRIBED)]),
    list(0x17, "end", &[may("error", DESCRIBED)]),
    list(0x18, "close", &[may("error", DESCRIBED)]),
    list(0x1d, "error", &[must("condition", SYMBOL), may("description", STRING), may("info", MAP)]),
    list(0x23, "received", &[must("section-number", UINT), must("section-offset", ULONG)]),
    list(0x24, "accepted", &[]),
    list(0x25, "rejected", &[may("error", DESCRIBED)]),
    list(0x26, "released", &[]),
    list(0x27, "modified", &[
        may("delivery-failed", BOOLEAN), may("undeliverable-here", BOOLEAN), may("message-annotations", MAP),
    ]),
    list(0x28, "source", &[
        may("address", ANY), may("durable", Holds::Durability), may("expiry-policy", SYMBOL), may("timeout", UINT),
        may("dynamic", BOOLEAN), may("dynamic-node-properties", MAP), may("distribution-mode", SYMBOL),
        may("filter", MAP), may("default-outcome", DESCRIBED), may("outcomes", SYMBOLS), may("capabilities", SYMBOLS),
    ]),
    list(0x29, "target", &[
        may("address", ANY), may("durable", Holds::Durability), may("expiry-policy", SYMBOL), may("timeout", UINT),
        may("dynamic", BOOLEAN), may("dynamic-node-properties", MAP), may("capabilities", SYMBOLS),
    ]),
    list(0x40, "sasl-mechanisms", &[must("sasl-server-mechanisms", SYMBOLS)]),
    list(0x41, "sasl-init", &[
        must("mechanism", SYMBOL), may("initial-response", Holds::Login), may("hostname", STRING),
    ]),
    list(0x42, "sasl-challenge", &[must("challenge", Holds::Login)]),
    list(0x43, "sasl-response", &[must("response", Holds::Login)]),
    list(0x44, "sasl-outcome", &[must("code", Holds::SaslCode), may("additional-data", Holds::Login)]),
    list(0x70, "header", &[
        may("durable", BOOLEAN), may("priority", UBYTE), may("ttl", UINT), may("first-acquirer", BOOLEAN),
        may("delivery-count", UINT),
    ]),
    other(0x71, "delivery-annotations", Form::Map),
    other(0x72, "message-annotations", Form::Map),
    list(0x73, "properties", &[
        may("message-id", Holds::MessageId), may("user-id", BINARY), may("to", ANY), may("subject", STRING),
        may("reply-to", ANY), may("correlation-id", Holds::MessageId), may("content-type", SYMBOL),
        may("content-encoding", SYMBOL), may("absolute-expiry-time", TIMESTAMP), may("creation-time", TIMESTAMP),
        may("group-id", STRING), may("group-sequence", UINT), may("reply-to-group-id", STRING),
    ]),
    other(0x74, "application-properties", Form::Map),
    other(0x75, "data", Form::Binary),
    other(0x76, "amqp-sequence", Form::List),
    other(0x77, "amqp-value", Form::Value),
    other(0x78, "footer", Form::Map),
    list(0x2b, "delete-on-close", &[]),
    list(0x2c, "delete-on-no-links", &[]),
    list(0x2d, "delete-on-no-messages", &[]),
    list(0x2e, "delete-on-no-links-or-messages", &[]),
    list(0x30, "coordinator", &[may("capabilities", SYMBOLS)]),
    list(0x31, "declare", &[may("global-id", ANY)]),
    list(0x32, "discharge", &[must("txn-id", BINARY), may("fail", BOOLEAN)]),
    list(0x33, "declared", &[must("txn-id", BINARY)]),
    list(0x34, "transactional-state", &[must("txn-id", BINARY), may("outcome", DESCRIBED)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_by_its_code_and_by_its_symbol() {
        for descriptor in &DESCRIPTORS {
            let symbol = format!("amqp:{}:{}", descriptor.name, descriptor.form.name());
            for found in [by_code(descriptor.code.into()), by_symbol(symbol.as_bytes())] {
                assert_eq!(found.map(|found| found.code), Some(descriptor.code), "{symbol}");
            }
        }
        for unknown in ["amqp:attach", "amqp:attach:map", "attach:list", "amqp:delete-on-no-links:"] {
            assert!(by_symbol(unknown.as_bytes()).is_none(), "{unknown}");
        }
        assert!(by_code(0x0000_468c_0000_0004).is_none() && by_code(0x110).is_none());
    }

    #[test]
    fn numbers_and_truths_stand_for_words() {
        for (holds, value, word) in [
            (Holds::Role, Value::Boolean(false), Some("sender")),
            (Holds::Role, Value::Boolean(true), Some("receiver")),
            (Holds::ReceiverSettleMode, Value::Ubyte(1), Some("second")),
            (Holds::ReceiverSettleMode, Value::Ubyte(2), None),
            (Holds::SaslCode, Value::Null, None),
            (Holds::Any, Value::Ubyte(0), None),
        ] {
            assert_eq!(holds.meaning(&value), word, "{holds:?} {value:?}");
        }
    }
}
