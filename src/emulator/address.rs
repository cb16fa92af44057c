//! Addresses and audiences, reduced to the path that they name.
//!
//! SDKs write the same hub as `hub`, `/hub`, `amqps://host:port/hub` or `sb://host/hub/`, and in any case. The host is
//! passed over: an emulator is reached by many names.

/// The path of a link's address: `hub`, `hub/Partitions/0`, `$cbs`.
pub(super) fn path_of_address(address: &str) -> &str {
    let path = address.split_once("://").map_or(address, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    path.trim_matches('/')
}

/// The path of an audience, which has a host even where it has no scheme.
pub(super) fn path_of_audience(audience: &str) -> &str {
    let rest = audience.split_once("://").map_or(audience, |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path).trim_matches('/')
}

/// Whether `path` is `below` or one of its parents; the empty path is the namespace, parent of all.
pub(super) fn is_at_or_above(path: &str, below: &str) -> bool {
    let starts = below.get(..path.len()).is_some_and(|start| start.eq_ignore_ascii_case(path));
    starts && (path.is_empty() || matches!(below.as_bytes().get(path.len()), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_address_names_the_same_path() {
        for (address, path) in [
            ("hub", "hub"),
            ("/hub", "hub"),
            ("hub/", "hub"),
            ("hub/Partitions/0", "hub/Partitions/0"),
            ("amqps://127.0.0.1:5672/hub/Partitions/0", "hub/Partitions/0"),
            ("sb://[::1]:5672/hub", "hub"),
            ("sb://host", ""),
            ("sb://host/", ""),
            ("", ""),
            ("$cbs", "$cbs"),
        ] {
            assert_eq!(path_of_address(address), path, "{address}");
        }
    }

    #[test]
    fn an_audience_has_a_host_with_or_without_a_scheme() {
        for (audience, path) in [
            ("sb://host/hub", "hub"),
            ("amqps://host:5671/hub/", "hub"),
            ("host/hub/Partitions/1", "hub/Partitions/1"),
            ("sb://host/", ""),
            ("host", ""),
        ] {
            assert_eq!(path_of_audience(audience), path, "{audience}");
        }
    }

    #[test]
    fn a_path_covers_itself_and_what_lies_below() {
        for (path, below, expected) in [
            ("", "hub", true),
            ("", "", true),
            ("hub", "HUB", true),
            ("HUB", "hub/Partitions/0", true),
            ("hub", "hub2", false),
            ("hub", "hu", false),
            ("hub/Partitions/0", "hub", false),
            ("hub/Partitions/1", "hub/Partitions/11", false),
            ("hü", "hu", false),
        ] {
            assert_eq!(is_at_or_above(path, below), expected, "{path} over {below}");
        }
    }
}
