//! What a fault is aimed at.

use crate::emulator::address::{is_at_or_above, path_of_address};

/// A connection, a hub or a link; without any, everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aim {
    /// By number, from 1 on.
    pub(crate) connection: Option<u64>,
    pub(crate) target: Option<Target>,
}

/// Where a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Its own links, those of its partitions and those of its receivers.
    Hub(String),
    /// This address alone.
    Link(String),
}

impl Aim {
    /// Whether the link to `path` is meant.
    ///
    /// Links to `$cbs` and `$management` are meant by those who name them: else the second attach would be one of theirs.
    pub(crate) fn is_link(&self, connection: u64, path: &str) -> bool {
        self.is_number(connection)
            && match &self.target {
                None => !is_request_node(path),
                Some(Target::Hub(hub)) => !is_request_node(path) && is_at_or_above(hub, path),
                Some(Target::Link(address)) => path_of_address(address).eq_ignore_ascii_case(path),
            }
    }

    /// Whether a token for `audience`, a path, is meant.
    pub(crate) fn is_token(&self, connection: u64, audience: &str) -> bool {
        match &self.target {
            Some(Target::Link(_)) => self.is_link(connection, "$cbs") || self.is_link(connection, audience),
            _ => self.is_number(connection) && self.is_connection(connection, [audience]),
        }
    }

    /// Whether a connection with links to these paths is meant.
    pub(crate) fn is_connection<'a>(&self, connection: u64, paths: impl IntoIterator<Item = &'a str>) -> bool {
        self.is_number(connection)
            && (self.target.is_none() || paths.into_iter().any(|path| self.is_link(connection, path)))
    }

    fn is_number(&self, connection: u64) -> bool {
        self.connection.is_none_or(|number| number == connection)
    }
}

/// Whether what answers requests is there: `$cbs`, `$management`.
pub(super) fn is_request_node(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    ["$cbs", "$management"].iter().any(|node| last.eq_ignore_ascii_case(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aim(target: Target) -> Aim {
        Aim { connection: None, target: Some(target) }
    }

    #[test]
    fn a_link_is_meant_by_its_hub_by_its_address_and_by_nobody_in_particular() {
        let hub = || aim(Target::Hub("Telemetry".into()));
        let link = |address: &str| aim(Target::Link(address.into()));
        for (aim, path, expected) in [
            (Aim::default(), "telemetry", true),
            (Aim::default(), "$cbs", false),
            (Aim::default(), "telemetry/$management", false),
            (hub(), "telemetry", true),
            (hub(), "telemetry/Partitions/0", true),
            (hub(), "telemetry2", false),
            (hub(), "telemetry/$management", false),
            (hub(), "audit", false),
            (link("$CBS"), "$cbs", true),
            (link("telemetry/$management"), "telemetry/$management", true),
            (link("/telemetry/partitions/0"), "telemetry/Partitions/0", true),
            (link("telemetry"), "telemetry/Partitions/0", false),
        ] {
            assert_eq!(aim.is_link(1, path), expected, "{aim:?} at {path}");
        }
        let second = Aim { connection: Some(2), target: None };
        assert!(second.is_link(2, "telemetry") && !second.is_link(1, "telemetry"));
    }

    #[test]
    fn a_connection_is_meant_by_its_links() {
        let hub = aim(Target::Hub("telemetry".into()));
        assert!(Aim::default().is_connection(1, []));
        assert!(hub.is_connection(1, ["audit", "telemetry"]));
        assert!(!hub.is_connection(1, ["audit", "$cbs"]));
    }

    #[test]
    fn a_token_is_meant_by_what_it_is_for() {
        assert!(Aim::default().is_token(1, "telemetry"));
        assert!(aim(Target::Hub("telemetry".into())).is_token(1, "telemetry"));
        assert!(!aim(Target::Hub("telemetry".into())).is_token(1, "audit"));
        assert!(aim(Target::Link("$cbs".into())).is_token(1, "audit"));
    }
}
