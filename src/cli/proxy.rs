//! `hubwire proxy`: an emulator endpoint for any SDK, with a namespace behind it.

mod carrying;
mod frame;
mod interference;
mod numbering;
mod rewriting;

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::args::proxy::ProxyArgs;
use super::failure::{Failure, exit_code_of};
use super::settings::{self, Network};
use super::signal::Signals;
use super::trace::{Trace, TraceArgs};
use super::{listening, output};
use crate::client::{dial, token_source};
use crate::emulator::{Disturbance, accepted};
use crate::trace::Tap;
use crate::{Options, TokenSource};
use interference::Interference;

/// Connections at one time.
const MAX_CONNECTIONS: usize = 100;

/// Runs the command until a signal; the exit code.
pub(super) async fn run(args: Box<ProxyArgs>) -> u8 {
    exit_code_of(proxied(&args).await.map(|()| 0))
}

async fn proxied(args: &ProxyArgs) -> Result<(), Failure> {
    let network = settings::network(&args.to)?;
    let disturbance = Disturbance::new(args.faults.clone());
    let options = settings::options(&args.to, network.connection_string.host(), args.timeout)?;
    for warning in network.connection_string.warnings() {
        output::warn(format_args!("{}: {warning}", network.source));
    }
    let failed = |error| Failure::configuration(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::listen().map_err(failed)?;
    let listener = listening::on_loopback(&args.listen).await?;
    let local = listener.local_addr().map_err(|error| Failure::configuration(error.to_string()))?;
    let trace = Trace::start(&trace_args(&args.trace))?;
    output::note(format_args!("namespace: {}", network.connection_string.host()));
    output::note(listening::connection_string(local, Some(&network.event_hub)));
    output::note(format_args!("hubwire proxy ready on {local}"));
    let tap = trace.tap.clone();
    let road = Arc::new(Road {
        tokens: token_source(&network.connection_string, &options),
        network,
        options,
        tap,
        disturbance,
    });
    tokio::select! {
        () = accept(&listener, &road) => {}
        _ = signals.next() => {}
    }
    trace.finish().await;
    Ok(())
}

/// Who asks for nothing is shown lines: that is what a proxy is for.
fn trace_args(args: &TraceArgs) -> TraceArgs {
    args.clone().or_text()
}

/// What every connection is led along.
struct Road {
    network: Network,
    options: Options,
    tokens: Arc<dyn TokenSource>,
    tap: Option<Tap>,
    disturbance: Disturbance,
}

/// Carries whoever comes. The connections end with this.
async fn accept(listener: &TcpListener, road: &Arc<Road>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let failed = |error: &io::Error| output::warn(format_args!("cannot accept a connection: {error}; trying again"));
    for number in 1_u64.. {
        // The semaphore is not closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let (stream, _) = accepted(listener, failed).await;
        let road = Arc::clone(road);
        connections.spawn(async move {
            let _place = place;
            if let Err(why) = carried(&road, stream, number).await {
                output::warn(format_args!("client {number}: {why}"));
            }
        });
    }
}

async fn carried(road: &Road, client: TcpStream, number: u64) -> Result<(), String> {
    let host = road.network.connection_string.host();
    let hub = dial(&road.network.connection_string, &road.options).await.map_err(|error| error.to_string())?;
    let (client, trouble) = road.disturbance.connection(client, number);
    let client = Tap::wrap_if(road.tap.as_ref(), client, Some(&format!("client {number}")));
    let hub = Tap::wrap_if(road.tap.as_ref(), hub, Some(&format!("{host}, for client {number}")));
    carrying::carry(client, hub, host, &road.tokens, trouble.map(Interference::new)).await
}

#[cfg(test)]
mod tests;
