//! What to look at first when a way in is closed. Everything here is said behind what happened.

use std::io;

/// WebSocket's port, where advising it would be no advice.
const WEBSOCKET_PORT: u16 = 443;

/// For a socket that was not to be had.
pub(super) fn connect(port: u16, source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::ConnectionRefused if port == WEBSOCKET_PORT => {
            "nothing listens on that port, or a firewall refuses it: check host and port"
        }
        io::ErrorKind::ConnectionRefused => {
            "nothing listens on that port, or a firewall refuses it: check host and port, start the emulator if it is one, \
             or try AMQP over WebSocket, which takes port 443"
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "there is no way to that host from here: check this machine's network, and its VPN"
        }
        _ => "check that the port is open from here, and that something listens",
    }
}

/// Who answers AMQP's header like that, as far as it can be told.
pub(crate) fn first_bytes(received: &[u8; 8]) -> &'static str {
    match received {
        [b'H', b'T', b'T', b'P', ..] => "that is a web server: check the port, or use AMQP over WebSocket",
        [0x15, 0x03, ..] => "the port wants TLS: leave UseDevelopmentEmulator=true out",
        [b'A', b'M', b'Q', b'P', 0, 0, 9, 1] => "that is AMQP 0-9-1, as RabbitMQ speaks it: another protocol",
        [b'A', b'M', b'Q', b'P', 0, ..] => "it is AMQP without SASL, and an event hub begins with SASL",
        _ => "check host and port",
    }
}

/// Who answers a request of HTTP like that.
pub(super) fn no_http(received: &[u8]) -> &'static str {
    match received {
        [b'A', b'M', b'Q', b'P', ..] => {
            "the port takes AMQP as it is: use it without WebSocket, or name WebSocket's port"
        }
        [0x15, 0x03, ..] => "the port wants TLS: leave UseDevelopmentEmulator=true, or ws://, out",
        [b'H', b'T', b'T', b'P', ..] => "the answer cannot be read: check what is in between",
        _ => "check host and port",
    }
}

/// For a proxy's no to a tunnel to this port.
pub(super) fn proxy(port: u16, status: u16, logins: &[String]) -> String {
    match status {
        407 if logins.iter().any(|login| login.eq_ignore_ascii_case("Basic")) || logins.is_empty() => {
            "it wants a user and a password that it knows: put them into the proxy's URL".to_owned()
        }
        407 => {
            format!("it takes {} alone, and Basic is spoken here: ask its keeper for another way", logins.join(", "))
        }
        403 if port == WEBSOCKET_PORT => "it forbids this host: ask its keeper to let it pass".to_owned(),
        403 => {
            "it forbids this host or port: ask its keeper, or use AMQP over WebSocket, which takes port 443".to_owned()
        }
        502..=504 => "it cannot reach the endpoint: check the endpoint's name and port, then try again".to_owned(),
        404 | 405 | 501 => "it does not make tunnels: check that it is an HTTP proxy, and its port".to_owned(),
        200..=400 => "check that it is an HTTP proxy, and its port".to_owned(),
        _ => "ask its keeper, or try again".to_owned(),
    }
}

/// For an endpoint that does not take AMQP over WebSocket, or what answers in its place.
pub(super) fn websocket(status: u16, redirected_to: Option<&str>) -> String {
    match (status, redirected_to) {
        (300..=399, Some(host)) => format!(
            "it leads to {host}, as networks do that want a login first: log in with a browser, or name your HTTP proxy"
        ),
        (status, _) => websocket_status(status).to_owned(),
    }
}

fn websocket_status(status: u16) -> &'static str {
    match status {
        101 => "the answer is not to what was asked: check what is in between",
        200..=399 => "that is a web page, as networks show that want a login first: log in with a browser",
        401 | 403 => "the namespace's network rules, or a proxy in between, forbid it: look at both",
        404 => "there is no AMQP over WebSocket there: check the endpoint, and its port",
        407 => "a proxy in between wants a login: name it as your HTTP proxy, with user and password",
        500..=599 => "try again",
        _ => "check the endpoint; a proxy in between may not let WebSocket pass",
    }
}

/// For a handshake that failed with `host`.
#[cfg(feature = "tls")]
pub(super) fn tls(host: &str, source: &io::Error) -> String {
    use tokio_rustls::rustls::Error as Tls;
    match source.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidMessage(_)) => {
            "the port speaks no TLS: for an emulator add UseDevelopmentEmulator=true, else check the port".to_owned()
        }
        Some(Tls::InvalidCertificate(error)) => certificate::advice(host, error),
        Some(Tls::AlertReceived(alert)) => certificate::alert_advice(*alert).to_owned(),
        Some(_) => "check the port, the certificate, the host's name and this machine's clock".to_owned(),
        None => {
            "the handshake was cut off: the port may speak no TLS, or a firewall lets none to this host pass".to_owned()
        }
    }
}

#[cfg(not(feature = "tls"))]
pub(super) fn tls(_: &str, _: &io::Error) -> &'static str {
    "build with the feature `tls`"
}

#[cfg(feature = "tls")]
mod certificate {
    use std::net::IpAddr;

    use tokio_rustls::rustls::pki_types::UnixTime;
    use tokio_rustls::rustls::{AlertDescription, CertificateError as Bad, OtherError};
    use webpki::Error as Pki;

    /// Ends of names that no public authority vouches for. Source: RFC 6761, RFC 6762, RFC 8375, and ICANN's `internal`.
    const PRIVATE: [&str; 10] =
        ["localhost", "local", "internal", "home.arpa", "test", "invalid", "example", "lan", "home", "corp"];

    pub(super) fn advice(host: &str, error: &Bad) -> String {
        match error {
            Bad::UnknownIssuer if is_public(host) => {
                "nobody here trusts the certificate's issuer, though the host's name is a public one: most likely a proxy \
                 looks into TLS and shows a certificate of its own. If it is your company's, trust its authority \
                 (a root certificate as PEM, or the platform's roots); else leave this network"
            }
            Bad::UnknownIssuer => {
                "nobody here trusts the certificate's issuer: trust it explicitly if it is yours, else something sits in \
                 between"
            }
            Bad::ExpiredContext { time, not_after } => return dated(*time, "ended", *not_after),
            Bad::NotValidYetContext { time, not_before } => return dated(*time, "begins", *not_before),
            Bad::Expired | Bad::NotValidYet => "check this machine's clock, then the certificate's dates",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "the certificate is another host's: check the name that was dialled, and what sits in between"
            }
            Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
                "the certificate is not made for servers: the server needs one with the purpose serverAuth"
            }
            Bad::Other(other) => return other_advice(other).to_owned(),
            _ => "have the server's certificate looked at by its keeper",
        }
        .to_owned()
    }

    fn other_advice(other: &OtherError) -> &'static str {
        match other.0.downcast_ref::<Pki>() {
            Some(Pki::CaUsedAsEndEntity) => {
                "the server shows an authority's certificate as its own: have the authority sign one for the server \
                 (CA:FALSE), and trust the authority"
            }
            Some(Pki::UnsupportedCertVersion) => {
                "the certificate is of an old version: have one of version 3 made, with subjectAltName"
            }
            _ => "have the server's certificate looked at by its keeper",
        }
    }

    fn dated(now: UnixTime, what: &str, at: UnixTime) -> String {
        format!(
            "the clock here says {}, and the certificate {what} {}: set the clock if it is wrong, else have the \
             certificate renewed",
            date(now.as_secs()),
            date(at.as_secs())
        )
    }

    pub(super) fn alert_advice(alert: AlertDescription) -> &'static str {
        match alert {
            AlertDescription::UnrecognisedName => {
                "the server has no certificate for this name: check the endpoint's name"
            }
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
                "there is no version or cipher that both sides take: TLS 1.2 and 1.3 are spoken here"
            }
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate => {
                "the server wants a certificate of this side: give one by `Options::rustls_config`"
            }
            _ => "the server ended the handshake: check the port, and the server",
        }
    }

    /// Whether a public authority would vouch for the name: an issuer that nobody knows is somebody in between then.
    fn is_public(host: &str) -> bool {
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        !is_address && host.contains('.') && !PRIVATE.iter().any(|end| is_below(&host, end))
    }

    fn is_below(host: &str, end: &str) -> bool {
        host.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// `2026-11-25T16:40:00Z`. Source: the proleptic Gregorian calendar, counted in eras of 400 years from a March.
    fn date(unix_secs: u64) -> String {
        let (days, secs) = (unix_secs / 86_400 + 719_468, unix_secs % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
        let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hours, minutes, seconds) = (secs / 3_600, secs / 60 % 60, secs % 60);
        format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn dates_are_the_calendars() {
            for (unix_secs, text) in [
                (0, "1970-01-01T00:00:00Z"),
                (951_782_399, "2000-02-28T23:59:59Z"),
                (951_782_400, "2000-02-29T00:00:00Z"),
                (951_868_800, "2000-03-01T00:00:00Z"),
                (1_700_000_000, "2023-11-14T22:13:20Z"),
                (4_107_542_399, "2100-02-28T23:59:59Z"),
                (4_107_542_400, "2100-03-01T00:00:00Z"),
                (253_402_300_799, "9999-12-31T23:59:59Z"),
            ] {
                assert_eq!(date(unix_secs), text);
            }
            // No panic at the end of what can be said.
            let _ = date(u64::MAX);
        }

        #[test]
        fn public_names_are_told_from_private_ones() {
            for (host, expected) in [
                ("ns.servicebus.windows.net", true),
                ("NS.Example.COM.", true),
                ("localhost", false),
                ("box", false),
                ("box.local", false),
                ("a.localhost", false),
                ("hub.internal", false),
                ("notlocal.com", true),
                ("127.0.0.1", false),
                ("[::1]", false),
            ] {
                assert_eq!(is_public(host), expected, "{host}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_own_advice() {
        let ntlm = ["Negotiate".to_owned(), "NTLM".to_owned()];
        for (status, logins, words) in [
            (407, &[][..], "a user and a password"),
            (407, &ntlm, "takes Negotiate, NTLM alone"),
            (403, &[], "forbids this host or port"),
            (502, &[], "cannot reach the endpoint"),
            (405, &[], "does not make tunnels"),
            (200, &[], "check that it is an HTTP proxy"),
            (429, &[], "try again"),
        ] {
            let advice = proxy(5671, status, logins);
            assert!(advice.contains(words), "{status}: {advice}");
        }
        assert!(!proxy(443, 403, &[]).contains("WebSocket"));
        for (status, redirected_to, words) in [
            (101, None, "not to what was asked"),
            (200, None, "a web page"),
            (302, Some("https://login.example"), "leads to https://login.example"),
            (302, None, "a web page"),
            (403, None, "network rules"),
            (404, None, "check the endpoint"),
            (407, None, "name it as your HTTP proxy"),
            (426, None, "may not let WebSocket pass"),
            (503, None, "try again"),
        ] {
            let advice = websocket(status, redirected_to);
            assert!(advice.contains(words), "{status}: {advice}");
        }
    }

    #[test]
    fn first_bytes_tell_who_answers() {
        assert!(no_http(b"AMQP\x03\x01\x00\x00").contains("without WebSocket"));
        assert!(no_http(b"\x15\x03\x03").contains("wants TLS"));
        assert!(no_http(b"HTTP/2").contains("cannot be read"));
        assert!(no_http(b"").contains("check host and port"));
        assert!(first_bytes(b"HTTP/1.1").contains("that is a web server"));
    }
}
