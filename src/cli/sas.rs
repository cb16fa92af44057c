//! `hubwire sas`: tokens are signed, explained and verified. What is pure of it is in `wire::sas`.

mod explain;
mod mint;
mod oddities;
mod verify;

use std::time::{Duration, SystemTime};

use super::args::CONNECTION_STRING_ADVICE;
use super::args::sas::{Given, SasArgs, SasCommand, Signer, TOKEN_ADVICE};
use super::failure::{self, Failure};
use super::settings;
use crate::wire::connection_string::{ConnectionString, Credential};
use crate::wire::sas::SasToken;
use crate::wire::secret::Secret;
pub(super) use explain::{Validity, roughly, scope};
pub(super) use oddities::oddities;

/// What begins the token's pair in a connection string.
const PAIR: &str = "sharedaccesssignature=";

/// Runs the command; the exit code.
pub(super) fn run(args: SasArgs) -> u8 {
    let told = match args.command {
        SasCommand::Mint(args) => mint::run(&args),
        SasCommand::Explain(args) => explain::run(&args),
        SasCommand::Verify(args) => verify::run(&args),
    };
    failure::exit_code_of(told)
}

/// A key, the name that it goes by as far as that is known, and the connection string that holds it.
struct Key {
    text: Secret,
    name: Option<String>,
    connection_string: Option<ConnectionString>,
}

impl Key {
    fn read(signer: &Signer) -> Result<Self, Failure> {
        if signer.key.is_some() {
            return Err(Failure::input(
                "a key is not taken as an argument: every user of this machine can read the arguments of a process, and \
                 shells keep them; name a file with --key-file, or set CONNECTION_STR",
            ));
        }
        if let Some(path) = &signer.key_file {
            let text = settings::read_secret(path, "the key")?;
            return if text.expose().is_empty() {
                Err(Failure::configuration("the key's file is empty; put the key into it"))
            } else {
                Ok(Self { text, name: None, connection_string: None })
            };
        }
        Self::of_connection_string(signer)
    }

    fn of_connection_string(signer: &Signer) -> Result<Self, Failure> {
        let (text, source) = settings::connection_string_text(signer.connection_string_file.as_deref())?;
        let connection_string = settings::parsed(&text, &source)?;
        match connection_string.credential().clone() {
            Credential::SharedAccessKey { name, key } => {
                Ok(Self { text: key, name: Some(name), connection_string: Some(connection_string) })
            }
            _ => Err(Failure::configuration(format!(
                "{source}: there is a token in it, and no key; take a connection string with SharedAccessKey, or --key-file"
            ))),
        }
    }
}

/// The token that is to be looked into: as it is, or in a connection string.
fn given_token(given: &Given) -> Result<SasToken, Failure> {
    refuse_argument(given)?;
    let text = settings::read_secret_or_input(&given.input, "the token")?;
    let parsed = SasToken::parse(token_in(text.expose()));
    parsed.map_err(|error| Failure::input(format!("the token cannot be read: {error}")))
}

fn refuse_argument(given: &Given) -> Result<(), Failure> {
    match given.token.first() {
        None => Ok(()),
        Some(text) if text.to_string_lossy().to_ascii_lowercase().contains("endpoint=") => {
            Err(Failure::input(CONNECTION_STRING_ADVICE))
        }
        Some(_) => Err(Failure::input(TOKEN_ADVICE)),
    }
}

/// The token in `text`, if that is a connection string with one.
fn token_in(text: &str) -> &str {
    let pairs = text.split(';').map(str::trim);
    let is_pair = |pair: &&str| pair.get(..PAIR.len()).is_some_and(|start| start.eq_ignore_ascii_case(PAIR));
    pairs.into_iter().find(is_pair).map_or(text, |pair| &pair[PAIR.len()..])
}

/// Seconds since 1970 as a date; `None` beyond the year 9999.
pub(super) fn date(unix_secs: u64) -> Option<String> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(unix_secs))?;
    // The calendar of humantime ends there, with a panic.
    (unix_secs < 253_402_300_800).then(|| humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_a_connection_string() {
        let token = "SharedAccessSignature sr=a&sig=b&se=1&skn=c";
        for text in [
            token.to_owned(),
            format!("Endpoint=sb://ns/;SharedAccessSignature={token}"),
            format!("sharedaccesssignature={token}; EntityPath=hub"),
        ] {
            assert_eq!(token_in(&text), token, "{text}");
        }
    }

    #[test]
    fn no_expiry_is_too_far_off_to_be_told() {
        assert_eq!(date(1_700_003_600).as_deref(), Some("2023-11-14T23:13:20Z"));
        for unix_secs in [253_402_300_800, 1_700_003_600_000, u64::MAX] {
            assert_eq!(date(unix_secs), None);
        }
    }
}
