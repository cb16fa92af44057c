//! A tunnel through an HTTP proxy. Source: RFC 9110, 9.3.6 (CONNECT) and 11.7; RFC 7617 (Basic).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::BufReader;
use tokio::net::TcpStream;

use super::Endpoint;
use super::endpoint::host_and_port;
use super::http::{self, Answer, NoAnswer};
use crate::client::deadline::Deadline;
use crate::client::error::{Error, Step};
use crate::wire::secret::Secret;

/// The port of a proxy that does not say.
const DEFAULT_PORT: u16 = 80;
/// Bytes of room for the proxy's answer. What follows is read past it.
const BUFFER_LEN: usize = 512;

/// Where the proxy is, and by what right it lets us through.
#[derive(Clone, Debug)]
pub(in crate::client) struct Proxy {
    address: Endpoint,
    /// User and password, as the header wants them.
    login: Option<Secret>,
}

impl Proxy {
    /// See [`Options::http_proxy`](crate::Options::http_proxy). What is wrong is said without the text.
    pub(in crate::client) fn parse(url: &str) -> Result<Self, &'static str> {
        let url = url.trim();
        let rest = match url.split_once("://") {
            None => url,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err("its scheme is not http, and no other proxy is spoken to"),
        };
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(basic(login)?), address),
            None => (None, rest),
        };
        let (host, port) = host_and_port(address).map_err(|_| {
            "it is not http://host:port, with user:password@ before the host or not; percent-encode what is special in \
             user and password"
        })?;
        Ok(Self { address: Endpoint { host, port: port.unwrap_or(DEFAULT_PORT) }, login })
    }

    pub(super) fn address(&self) -> &Endpoint {
        &self.address
    }

    /// Asks for a tunnel to `endpoint`, by `deadline`.
    pub(super) async fn tunnel(
        &self,
        tcp: TcpStream,
        endpoint: &Endpoint,
        deadline: Deadline,
    ) -> Result<BufReader<TcpStream>, Error> {
        let mut stream = BufReader::with_capacity(BUFFER_LEN, tcp);
        let request = Secret::from(self.request(endpoint));
        match deadline.limit(Step::Proxy, http::ask(&mut stream, request.expose())).await? {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(stream),
            Ok(answer) => Err(self.refused(endpoint, answer)),
            Err(NoAnswer::NotHttp(received)) => Err(Error::NotHttp { peer: self.address.to_string(), received }),
            Err(NoAnswer::Stream(source)) => Err(self.address.unreachable(source)),
        }
    }

    fn request(&self, endpoint: &Endpoint) -> String {
        let login = self.login.as_ref().map(|login| format!("Proxy-Authorization: Basic {}\r\n", login.expose()));
        let (login, version) = (login.unwrap_or_default(), env!("CARGO_PKG_VERSION"));
        format!("CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\nUser-Agent: hubwire/{version}\r\n{login}\r\n")
    }

    fn refused(&self, endpoint: &Endpoint, answer: Answer) -> Error {
        let scheme = |offer: &str| offer.split(' ').next().unwrap_or_default().to_owned();
        let is_name = |name: &String| (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
        Error::ProxyRefused {
            proxy: self.address.to_string(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            status: answer.status,
            logins: answer.values("Proxy-Authenticate").map(scheme).filter(is_name).take(8).collect(),
            line: answer.line,
        }
    }
}

/// What stands behind `Basic` for `user:password` with percent-encoding.
fn basic(login: &str) -> Result<Secret, &'static str> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (user, password) = (decoded(user), decoded(password));
    if user.contains(&b':') {
        return Err("its user has a colon, which Basic cannot say");
    }
    let plain = zeroize::Zeroizing::new([&user[..], b":", &password[..]].concat());
    Ok(Secret::from(STANDARD.encode(&*plain)))
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    urlencoding::decode_binary(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint { host: "ns.example".to_owned(), port: 5671 }
    }

    #[test]
    fn a_url_is_read_and_its_login_kept_as_the_header_wants_it() {
        for (url, address, login) in [
            ("http://proxy:3128", "proxy:3128", None),
            ("http://proxy/", "proxy:80", None),
            ("proxy:8080", "proxy:8080", None),
            ("HTTP://[::1]:1", "[::1]:1", None),
            ("http://user:pass@proxy:3128", "proxy:3128", Some("dXNlcjpwYXNz")),
            ("http://user@proxy", "proxy:80", Some("dXNlcjo=")),
            ("user:p@ss@proxy:1", "proxy:1", Some("dXNlcjpwQHNz")),
            ("http://us%3Aer:p%40%2F@proxy", "", None),
            ("http://user:p%40%2F%0d%0a@proxy", "proxy:80", Some("dXNlcjpwQC8NCg==")),
        ] {
            let Ok(proxy) = Proxy::parse(url) else {
                assert_eq!(address, "", "{url}");
                continue;
            };
            assert_eq!(proxy.address.to_string(), address, "{url}");
            assert_eq!(proxy.login.as_ref().map(Secret::expose), login, "{url}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_being_repeated() {
        for url in [
            "",
            "https://proxy",
            "socks5://user:hunter2@proxy",
            "http://user:hunter2",
            "http://user:hun/ter2@proxy/x",
            "http://user:hunter2@",
            "http://user:hunter2@proxy;a",
        ] {
            let reason = Proxy::parse(url).unwrap_err();
            assert!(!reason.contains("hun"), "{reason}");
        }
    }

    #[test]
    fn the_request_names_the_endpoint_and_shows_the_login_to_nobody_else() {
        let proxy = Proxy::parse("http://user:pass@proxy").unwrap();
        let request = proxy.request(&endpoint());
        assert!(request.starts_with("CONNECT ns.example:5671 HTTP/1.1\r\nHost: ns.example:5671\r\n"), "{request}");
        assert!(request.ends_with("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"), "{request}");
        assert!(!format!("{proxy:?}").contains("dXNlcjpwYXNz"));
        assert!(!Proxy::parse("proxy").unwrap().request(&endpoint()).contains("Authorization"));
    }
}
