//! The ways in, as the arguments ask for them: AMQP with or without TLS, WebSocket, health.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::args::emulator::EmulatorArgs;
use crate::cli::failure::Failure;
use crate::cli::shown;
use crate::emulator::{Emulator, Listening, ListeningHealth, TlsIdentity};

/// AMQP's own ports. Source: event-hubs-wire 3.
const PLAIN_ADDRESS: &str = "127.0.0.1:5672";
const TLS_ADDRESS: &str = "127.0.0.1:5671";
/// Where the authority's certificate goes unless it is said.
const DEFAULT_AUTHORITY_FILE: &str = "hubwire-emulator-ca.pem";

/// Where the emulator listens. Dropping it ends that.
pub(super) struct Doors {
    pub(super) amqp: Listening,
    pub(super) websocket: Option<Listening>,
    pub(super) health: Option<ListeningHealth>,
    /// What clients have to trust, if it was made on start.
    pub(super) authority_file: Option<PathBuf>,
}

impl Doors {
    pub(super) async fn open(emulator: &Emulator, args: &EmulatorArgs) -> Result<Self, Failure> {
        let identity = identity(args)?;
        let default = if identity.is_some() { TLS_ADDRESS } else { PLAIN_ADDRESS };
        let address = args.listen.as_deref().unwrap_or(default);
        let amqp = match &identity {
            Some(identity) => emulator.listen_tls(address, identity).await,
            None => emulator.listen(address).await,
        };
        let amqp = amqp.map_err(|error| refused("--listen", address, &error))?;
        let websocket = match (args.websocket.as_deref(), &identity) {
            (None, _) => None,
            (Some(address), Some(identity)) => Some((address, emulator.listen_websocket_tls(address, identity).await)),
            (Some(address), None) => Some((address, emulator.listen_websocket(address).await)),
        };
        let websocket =
            websocket.map(|(address, opened)| opened.map_err(|error| refused("--websocket", address, &error)));
        let health = match args.health.as_deref() {
            Some(address) => {
                Some(emulator.listen_health(address).await.map_err(|error| refused("--health", address, &error))?)
            }
            None => None,
        };
        // Last: nothing is written for an emulator that cannot start.
        let authority_file = identity.as_ref().map_or(Ok(None), |identity| write_authority(args, identity))?;
        Ok(Self { amqp, websocket: websocket.transpose()?, health, authority_file })
    }

    /// Every way to publish and receive.
    pub(super) fn listenings(&self) -> impl Iterator<Item = &Listening> {
        std::iter::once(&self.amqp).chain(&self.websocket)
    }
}

/// The certificate to serve with, if TLS is asked for.
fn identity(args: &EmulatorArgs) -> Result<Option<TlsIdentity>, Failure> {
    let failed = |error: crate::emulator::TlsIdentityError| Failure::configuration(error.to_string());
    match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => {
            let shown = shown(certificate);
            let chain = read("--tls-cert", certificate, &shown)?;
            // What was meant for a key is not repeated.
            let identity = TlsIdentity::from_pem(&chain, &read("--tls-key", key, "***")?).map_err(failed)?;
            Ok(Some(match args.tls_names.first() {
                Some(name) => identity.with_host(name),
                None => identity,
            }))
        }
        _ if args.tls => TlsIdentity::generate(&args.tls_names).map(Some).map_err(failed),
        _ => Ok(None),
    }
}

fn read(option: &str, path: &Path, shown: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::configuration(format!("{option} {shown}: {error}; name a PEM file that can be read"));
    fs::read(path).map_err(failed)
}

/// The file with the authority's certificate, if one was made.
fn write_authority(args: &EmulatorArgs, identity: &TlsIdentity) -> Result<Option<PathBuf>, Failure> {
    let Some(pem) = identity.authority_pem() else { return Ok(None) };
    let path = args.tls_ca_out.clone().unwrap_or_else(|| DEFAULT_AUTHORITY_FILE.into());
    let failed = |error| {
        let text = "choose a place that can be written with --tls-ca-out FILE";
        Failure::configuration(format!("cannot write the certificate authority to {}: {error}; {text}", shown(&path)))
    };
    fs::write(&path, pem).map_err(failed)?;
    Ok(Some(path))
}

fn refused(option: &str, address: &str, error: &io::Error) -> Failure {
    let port = if option == "--listen" { "5672" } else { "8080" };
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another emulator or broker may be running: stop it, or choose another port, e.g. {option} 127.0.0.1:0 for a \
             free one"
        ),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; use 127.0.0.1 or [::1]".to_owned(),
        io::ErrorKind::PermissionDenied => format!("use a port from 1024, e.g. {option} 127.0.0.1:{port}"),
        _ => format!("use an address and a port, e.g. {option} 127.0.0.1:{port}"),
    };
    Failure::configuration(format!("cannot listen on {}: {error}; {advice}", shown(address)))
}
