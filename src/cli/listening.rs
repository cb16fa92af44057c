//! Sockets of commands that stand in for a namespace, on this machine alone.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, lookup_host};

use super::failure::Failure;
use super::shown;

/// Listens on the first address that `address` stands for, which other machines must not reach.
pub(super) async fn on_loopback(address: &str) -> Result<TcpListener, Failure> {
    let failed = |error: io::Error| {
        let shown = shown(address);
        let advice = "use an address and a free port, e.g. 127.0.0.1:0";
        Failure::configuration(format!("cannot listen on {shown}: {error}; {advice}"))
    };
    let found = lookup_host(address).await.map_err(failed)?.next();
    let Some(found) = found.filter(|found| found.ip().is_loopback()) else {
        let text = "is no loopback address: other machines could reach it; use 127.0.0.1 or [::1]";
        return Err(Failure::configuration(format!("{} {text}", shown(address))));
    };
    TcpListener::bind(found).await.map_err(failed)
}

/// The line with what SDKs connect with. The key opens nothing: whatever is signed with it is taken.
pub(super) fn connection_string(local: SocketAddr, event_hub: Option<&str>) -> String {
    let entity = event_hub.map_or(String::new(), |event_hub| format!(";EntityPath={event_hub}"));
    format!(
        "connection string: Endpoint=sb://{local};SharedAccessKeyName=RootManageSharedAccessKey;\
         SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true{entity}"
    )
}
