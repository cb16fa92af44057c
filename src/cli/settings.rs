//! Where to, and by what right: from the environment, files and options.

use std::env::{self, VarError};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::Options;
use crate::wire::connection_string::{ConnectionString, EventHubNameError};
use crate::wire::secret::{MASK, Secret, printable};

use super::args::{CONNECTION_STRING_ADVICE, WhereTo};
use super::emulator::DEFAULT_EVENT_HUB;
use super::failure::Failure;
use super::{output, ways};

const CONNECTION_STRING_VARIABLE: &str = "CONNECTION_STR";
const EVENT_HUB_VARIABLE: &str = "EVENTHUB_NAME";
/// Bytes of a file with a connection string or a key. A longer one is some other file.
const MAX_SECRET_FILE_LEN: u64 = 64 * 1024;
/// Default of `Options::close_timeout`; a shorter `--timeout` shortens it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a `send` goes.
#[derive(Debug)]
pub(super) enum Destination {
    /// A hub at the end of a network, and where its connection string comes from.
    Network { connection_string: Box<ConnectionString>, event_hub: String, source: String },
    /// An emulator in this process.
    Emulator { event_hub: String },
}

impl Destination {
    /// Where what is odd in the connection string has to be mended.
    pub(super) fn source(&self) -> &str {
        match self {
            Self::Network { source, .. } => source,
            Self::Emulator { .. } => "--emulator",
        }
    }

    /// The namespace's.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Network { connection_string, .. } => connection_string.host(),
            Self::Emulator { .. } => "localhost",
        }
    }

    pub(super) fn event_hub(&self) -> &str {
        match self {
            Self::Network { event_hub, .. } | Self::Emulator { event_hub } => event_hub,
        }
    }
}

/// Reads everything that says where to. Nothing is connected yet.
pub(super) fn destination(to: &WhereTo, is_emulator: bool) -> Result<Destination, Failure> {
    if !is_emulator {
        let Network { connection_string, event_hub, source } = network(to)?;
        return Ok(Destination::Network { connection_string: Box::new(connection_string), event_hub, source });
    }
    Ok(Destination::Emulator { event_hub: local_event_hub(to)? })
}

/// The event hub of an emulator in this process, or of what stands in for one.
pub(super) fn local_event_hub(to: &WhereTo) -> Result<String, Failure> {
    refuse_argument(to)?;
    let named = NamedHub::of(to)?;
    Ok(named.map_or_else(|| DEFAULT_EVENT_HUB.to_owned(), |named| named.name))
}

/// A hub at the end of a network.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) connection_string: ConnectionString,
    pub(super) event_hub: String,
    /// Where the connection string comes from.
    pub(super) source: String,
}

/// The same where there is no emulator in this process.
pub(super) fn network(to: &WhereTo) -> Result<Network, Failure> {
    refuse_argument(to)?;
    let named = NamedHub::of(to)?;
    let (text, source) = connection_string_text(to.connection_string_file.as_deref())?;
    let connection_string = parsed(&text, &source)?;
    let event_hub = event_hub(&connection_string, named.as_ref())?;
    Ok(Network { connection_string, event_hub, source })
}

/// What `text` says, which came from `source`.
pub(super) fn parsed(text: &Secret, source: &str) -> Result<ConnectionString, Failure> {
    let parsed = ConnectionString::parse(text.expose());
    parsed.map_err(|error| Failure::configuration(format!("{source}: {error}")))
}

fn refuse_argument(to: &WhereTo) -> Result<(), Failure> {
    if to.connection_string.is_some() { Err(Failure::input(CONNECTION_STRING_ADVICE)) } else { Ok(()) }
}

/// An event hub that is named beside the connection string, and where.
struct NamedHub {
    name: String,
    source: &'static str,
}

impl NamedHub {
    fn of(to: &WhereTo) -> Result<Option<Self>, Failure> {
        if let Some(name) = &to.event_hub {
            return Ok(Some(Self { name: name.clone(), source: "--event-hub" }));
        }
        Ok(event_hub_of_environment()?.map(|name| Self { name, source: EVENT_HUB_VARIABLE }))
    }
}

pub(super) fn event_hub_of_environment() -> Result<Option<String>, Failure> {
    // An empty variable is how many hosts spell one that is not set.
    Ok(variable(EVENT_HUB_VARIABLE)?.filter(|name| !name.trim().is_empty()))
}

fn event_hub(connection_string: &ConnectionString, named: Option<&NamedHub>) -> Result<String, Failure> {
    let resolved = connection_string.resolve_event_hub(named.map(|named| named.name.as_str()));
    let source = named.map_or("EntityPath", |named| named.source);
    resolved.map(str::to_owned).map_err(|error| {
        Failure::configuration(match error {
            EventHubNameError::Missing => format!(
                "no event hub is named; use --event-hub, set {EVENT_HUB_VARIABLE}, or add `EntityPath=<hub>` to the \
                 connection string"
            ),
            EventHubNameError::Invalid => format!("{source}: {error}"),
            EventHubNameError::Empty => format!("{source} is empty; name an event hub"),
            EventHubNameError::Conflict { explicit, entity_path } => format!(
                "{source} names the event hub `{explicit}`, and EntityPath in the connection string `{entity_path}`; \
                 drop one of them"
            ),
        })
    })
}

/// The text of a connection string, and where it comes from.
pub(super) fn connection_string_text(file: Option<&Path>) -> Result<(Secret, String), Failure> {
    if let Some(path) = file {
        return Ok((read_secret(path, "the connection string")?, printable(&path.to_string_lossy()).to_owned()));
    }
    match variable(CONNECTION_STRING_VARIABLE)? {
        Some(text) => Ok((Secret::from(text), CONNECTION_STRING_VARIABLE.to_owned())),
        None => Err(Failure::configuration(format!(
            "no connection string; set {CONNECTION_STRING_VARIABLE}, name a file with --connection-string-file, or try \
             --emulator"
        ))),
    }
}

pub(super) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::configuration(format!("{name} is not UTF-8; set it anew"))),
    }
}

/// The text of a small file, without a byte order mark before it and the line's end after it.
pub(super) fn read_secret(path: &Path, what: &str) -> Result<Secret, Failure> {
    let shown = shown(path);
    let failed =
        |why: &dyn std::fmt::Display| Failure::configuration(format!("cannot read {what} from {shown}: {why}"));
    let file = File::open(path).map_err(|error| failed(&format_args!("{error}; {}", advice(path))))?;
    secret_of(file, "the file", &failed)
}

/// The same from standard input when `path` is `-`.
pub(super) fn read_secret_or_input(path: &Path, what: &str) -> Result<Secret, Failure> {
    if path != Path::new("-") {
        return read_secret(path, what);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::note(format_args!("paste {what}, then end the input (Ctrl-D, or Ctrl-Z and Enter on Windows)"));
    }
    secret_of(stdin.lock(), "the input", &|why| {
        Failure::input(format!("cannot read {what} from standard input: {why}"))
    })
}

/// `it` is what messages call the source.
fn secret_of(
    reader: impl Read,
    it: &str,
    failed: &dyn Fn(&dyn std::fmt::Display) -> Failure,
) -> Result<Secret, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    reader.take(MAX_SECRET_FILE_LEN + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > MAX_SECRET_FILE_LEN {
        return Err(failed(&format_args!("{it} is longer than 64 KiB; give one that holds nothing else")));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(failed(&format_args!("{it} is UTF-16; save it as UTF-8")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| failed(&format_args!("{it} is not UTF-8; save it as UTF-8")))?;
    Ok(Secret::from(text.strip_prefix('\u{feff}').unwrap_or(text).trim_end()))
}

/// What the file is called in messages. What is no file may be the secret itself, given in the wrong place.
fn shown(path: &Path) -> String {
    if path.exists() { printable(&path.to_string_lossy()).to_owned() } else { MASK.to_owned() }
}

fn advice(path: &Path) -> &'static str {
    if path == Path::new("-") {
        return "`-` is not standard input here: name a file, or /dev/stdin";
    }
    if path.exists() {
        return "check its permissions";
    }
    "check the path, which is not shown, for it could be the secret itself"
}

/// How to connect to the namespace `host`. `timeout` is for each of connecting, attaching or asking, and sending.
pub(super) fn options(to: &WhereTo, host: &str, timeout: Option<Duration>) -> Result<Options, Failure> {
    let mut options = Options::default();
    if let Some(timeout) = timeout {
        options = options.open_timeout(timeout).send_timeout(timeout).close_timeout(timeout.min(CLOSE_TIMEOUT));
    }
    ways::lead(options, to, host)
}
