//! The half that connects: one step after the other, each with its deadline, as a connection's own would be.

mod amqp;
mod way;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::advice::Facts;
use super::step::{Status, Step};
use super::table::{Table, Trouble};
use super::verdict::Verdict;
use crate::cli::args::doctor::DoctorArgs;
use crate::cli::connection_string::oddities;
use crate::cli::settings::Network;
use crate::cli::ways::is_proxy_in_environment;
use crate::pump::BoxStream;
use crate::wire::connection_string::Credential;
use crate::wire::secret::printable;
use crate::{Options, clock};

/// The longest that one step is waited for.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// What a longer `--timeout` is taken for: further off than this is not waited for.
const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);

/// What is examined, and what has been found so far.
pub(super) struct Examination<'a> {
    args: &'a DoctorArgs,
    network: &'a Network,
    options: Options,
    table: &'a mut Table,
    facts: Facts,
    /// When all of it has to be over.
    end: Instant,
}

impl<'a> Examination<'a> {
    pub(super) fn new(args: &'a DoctorArgs, network: &'a Network, options: Options, table: &'a mut Table) -> Self {
        let connection_string = &network.connection_string;
        let facts = Facts {
            host: connection_string.host().to_owned(),
            event_hub: network.event_hub.clone(),
            has_ready_token: matches!(connection_string.credential(), Credential::SharedAccessSignature(_)),
            is_proxied: args.to.proxy.is_some(),
            proxy_in_environment: is_proxy_in_environment(),
            is_websocket: args.to.websocket,
            is_emulator: connection_string.use_development_emulator(),
            ..Facts::default()
        };
        Self { args, network, options, table, facts, end: clock::now() + args.timeout.min(MAX_TIMEOUT) }
    }

    /// Ends soon after `--timeout`, for no step takes longer than one may that begins then: opening, links and the event have the
    /// limit that held when the connection was opened.
    pub(super) async fn run(mut self) -> Verdict {
        self.tell_settings();
        let arrived = match self.go().await {
            Ok(stream) => stream,
            Err(trouble) => {
                self.look_elsewhere(trouble.step).await;
                return Verdict::of(&trouble, &self.facts);
            }
        };
        self.speak(arrived).await
    }

    /// What a step may take.
    fn limit(&self) -> Duration {
        let left = self.end.saturating_duration_since(clock::now());
        STEP_LIMIT.min(self.args.timeout / 2).min(left)
    }

    fn tell_settings(&mut self) {
        self.table.begin(Step::Settings);
        let connection_string = &self.network.connection_string;
        let by = match connection_string.credential() {
            Credential::SharedAccessKey { name, .. } => format!("rule `{}`", printable(name)),
            Credential::SharedAccessSignature(token) => format!("a token of rule `{}`", printable(token.key_name())),
            Credential::Absent => "no credential".to_owned(),
        };
        let (hub, host) = (&self.network.event_hub, connection_string.host());
        // The hub may be named beside the string, and then the string need not name one.
        let odd = oddities(connection_string, clock::wall())
            .into_iter()
            .filter(|oddity| !oddity.contains("names no event hub"));
        let odd: Vec<String> = odd.collect();
        self.table.end(Step::Settings, Status::Ok, format!("event hub {hub} of {host}, by {by}"));
        for oddity in odd {
            self.table.end(Step::Settings, Status::Warning, oddity);
        }
    }

    /// From the name to a stream that AMQP can be spoken over.
    async fn go(&mut self) -> Result<BoxStream, Trouble> {
        let limit = self.limit();
        let way =
            self.table.run(Step::Settings, way::read(&self.network.connection_string, &self.options, limit)).await?;
        self.travel(&way).await
    }
}

/// Addresses that lead to nothing outside of a network. Loopback is none: that is an emulator's.
fn private(addresses: &[SocketAddr]) -> Option<String> {
    let is_private = |address: IpAddr| match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    };
    addresses.iter().map(SocketAddr::ip).find(|&address| is_private(address)).map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        for (address, expected) in [
            ("10.1.2.3:1", true),
            ("172.16.0.1:1", true),
            ("192.168.1.1:1", true),
            ("[fd00::1]:1", true),
            ("40.1.2.3:1", false),
            ("127.0.0.1:1", false),
            ("[2603::1]:1", false),
        ] {
            assert_eq!(private(&[address.parse().unwrap()]).is_some(), expected, "{address}");
        }
    }
}
