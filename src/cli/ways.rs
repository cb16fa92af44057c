//! The way to the namespace: endpoint, WebSocket, proxy and trusted certificates, from options, files and the environment.

use std::path::Path;

use super::args::WhereTo;
use super::failure::Failure;
use super::settings::{read_secret, variable};
use crate::wire::secret::Secret;
use crate::{Options, Roots, Transport};

/// In the order in which they are looked at: what is written small wins, as with others.
const PROXY_VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY_VARIABLES: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// Puts the way into `options`. `host` is the namespace's.
pub(super) fn lead(mut options: Options, to: &WhereTo, host: &str) -> Result<Options, Failure> {
    if let Some(endpoint) = &to.endpoint {
        options = options.custom_endpoint(endpoint);
    }
    if to.websocket {
        options = options.transport(Transport::WebSocket);
    }
    if let Some(url) = proxy(to, to.endpoint.as_deref().unwrap_or(host))? {
        options = options.http_proxy(url.expose());
    }
    if to.platform_roots {
        options = options.roots(Roots::Platform);
    }
    if let Some(path) = &to.ca_file {
        options = options.root_certificates_pem(certificates(path)?);
    }
    Ok(options)
}

/// The proxy's URL: from the environment, from a file, or from the argument itself if it holds no login.
fn proxy(to: &WhereTo, endpoint: &str) -> Result<Option<Secret>, Failure> {
    let Some(given) = &to.proxy else { return Ok(None) };
    match given.to_str() {
        Some("env") => of_environment(endpoint),
        Some(url) if url.contains("://") && url.contains('@') => Err(Failure::input(
            "a proxy's user and password are not taken as an argument: every user of this machine can read the arguments \
             of a process, and shells keep them; name a file that holds the URL, or set HTTPS_PROXY and use --proxy env",
        )),
        Some(url) if url.contains("://") => Ok(Some(Secret::from(url))),
        _ => read_secret(Path::new(given), "the proxy's URL").map(Some),
    }
}

/// Whether the environment names a proxy.
pub(super) fn is_proxy_in_environment() -> bool {
    first_of(&PROXY_VARIABLES).is_ok_and(|url| url.is_some())
}

fn of_environment(endpoint: &str) -> Result<Option<Secret>, Failure> {
    let Some(url) = first_of(&PROXY_VARIABLES)? else {
        return Err(Failure::configuration(
            "--proxy env: neither HTTPS_PROXY nor ALL_PROXY is set; set one, or leave --proxy out",
        ));
    };
    let exceptions = first_of(&NO_PROXY_VARIABLES)?.unwrap_or_default();
    Ok((!is_excepted(host_of(endpoint), &exceptions)).then(|| Secret::from(url)))
}

/// The first that is set, and not to nothing.
fn first_of(names: &[&str]) -> Result<Option<String>, Failure> {
    for name in names {
        if let Some(value) = variable(name)?.filter(|value| !value.trim().is_empty()) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Without scheme, port and path.
pub(super) fn host_of(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest).trim();
    let end = match rest.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(bracket) => bracket + "[]".len(),
        None => rest.find([':', '/']).unwrap_or(rest.len()),
    };
    &rest[..end]
}

/// Whether `NO_PROXY` names the host: itself, a domain that it is in (with a dot before it or not), or `*`.
fn is_excepted(host: &str, exceptions: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let names = |exception: &str| {
        let domain = exception.trim_start_matches('.').to_ascii_lowercase();
        let before = host.strip_suffix(domain.as_str()).filter(|_| !domain.is_empty());
        exception == "*" || before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    exceptions.split(',').map(str::trim).any(names)
}

fn certificates(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = super::shown(path);
    let pem = std::fs::read(path).map_err(|error| {
        Failure::configuration(format!("cannot read certificates from {shown}: {error}; check the path"))
    })?;
    let marker = b"-----BEGIN CERTIFICATE-----";
    if !pem.windows(marker.len()).any(|window| window == marker) {
        return Err(Failure::configuration(format!(
            "{shown} holds no certificate in PEM form; name a file with `-----BEGIN CERTIFICATE-----` in it"
        )));
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_hosts_and_domains() {
        for (host, exceptions, expected) in [
            ("ns.servicebus.windows.net", "", false),
            ("ns.servicebus.windows.net", "localhost, .windows.net", true),
            ("NS.servicebus.windows.net", "servicebus.Windows.net", true),
            ("ns.servicebus.windows.net", "ns.servicebus.windows.net", true),
            ("ns.servicebus.windows.net", "bus.windows.net", false),
            ("ns.servicebus.windows.net", "*", true),
            ("ns.servicebus.windows.net", " , .,", false),
            ("[::1]", "[::1]", true),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            assert_eq!(is_excepted(host, exceptions), expected, "{host} {exceptions}");
        }
    }

    #[test]
    fn a_host_is_found_in_every_form_of_endpoint() {
        for (endpoint, host) in [
            ("gate", "gate"),
            ("gate:1", "gate"),
            ("wss://gate:1/", "gate"),
            ("amqps://[::1]:1", "[::1]"),
            ("[::1]", "[::1]"),
            ("[", "["),
            ("", ""),
        ] {
            assert_eq!(host_of(endpoint), host, "{endpoint}");
        }
    }
}
