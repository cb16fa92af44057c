//! The value of `Endpoint`: `[scheme://]host[:port][/path]`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::pairs::Piece;
use super::{EndpointPart, ParseError, Warning};

/// What an `Endpoint` says.
pub(super) struct Endpoint<'a> {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    after: Piece<'a>,
}

impl<'a> Endpoint<'a> {
    pub(super) fn parse(value: Piece<'a>) -> Result<Self, ParseError> {
        let (default_port, rest) = after_scheme(value)?;
        let end = rest.text.find(['/', '?', '#']).unwrap_or(rest.text.len());
        let authority = rest.to(end);
        if authority.text.contains('@') {
            return Err(invalid(EndpointPart::UserInfo, authority));
        }
        let (host, port) = host_and_port(authority)?;
        if !is_host(host.text) {
            return Err(invalid(EndpointPart::Host, host));
        }
        Ok(Self {
            host: host.text.to_ascii_lowercase(),
            port: port_number(port)?.filter(|&port| Some(port) != default_port),
            after: rest.from(end),
        })
    }

    pub(super) fn ignored_path(&self) -> Option<Warning> {
        let at = self.after.at;
        let only_slashes = self.after.text.bytes().all(|byte| byte == b'/');
        (!only_slashes).then_some(Warning::EndpointPathIgnored { at })
    }
}

fn invalid(part: EndpointPart, piece: Piece<'_>) -> ParseError {
    ParseError::InvalidEndpoint { part, at: piece.at }
}

/// The port that goes without saying under the endpoint's scheme, and what follows the scheme.
///
/// `sb`, `amqps` and `amqp` have none here: the port that a client dials is not the string's matter.
fn after_scheme(value: Piece<'_>) -> Result<(Option<u16>, Piece<'_>), ParseError> {
    let Some(end) = value.text.find("://") else {
        return Ok((None, value));
    };
    let scheme = value.to(end);
    let default_port = match scheme.text.to_ascii_lowercase().as_str() {
        "sb" | "amqps" | "amqp" => None,
        "https" => Some(443),
        "http" => Some(80),
        _ => return Err(invalid(EndpointPart::Scheme, scheme)),
    };
    Ok((default_port, value.from(end + "://".len())))
}

/// Splits at the `:` before the port; those inside the brackets of an IPv6 address do not count.
fn host_and_port(authority: Piece<'_>) -> Result<(Piece<'_>, Piece<'_>), ParseError> {
    let host_end = match authority.text.strip_prefix('[').map(|rest| rest.find(']')) {
        None => authority.text.find(':').unwrap_or(authority.text.len()),
        Some(Some(bracket)) => bracket + "[]".len(),
        Some(None) => return Err(invalid(EndpointPart::Host, authority)),
    };
    let (host, port) = (authority.to(host_end), authority.from(host_end));
    match port.text.strip_prefix(':') {
        // More than one `:` is an IPv6 address that lacks its brackets.
        Some(digits) if digits.contains(':') => Err(invalid(EndpointPart::Host, authority)),
        Some(_) => Ok((host, port.from(1))),
        None if port.text.is_empty() => Ok((host, port)),
        None => Err(invalid(EndpointPart::Host, authority)),
    }
}

/// `None` for an empty port too: `sb://localhost:` is what one SDK demands for its emulator.
fn port_number(digits: Piece<'_>) -> Result<Option<u16>, ParseError> {
    if digits.text.is_empty() {
        return Ok(None);
    }
    let all_digits = digits.text.bytes().all(|byte| byte.is_ascii_digit());
    match digits.text.parse() {
        Ok(port) if all_digits && port > 0 => Ok(Some(port)),
        _ => Err(invalid(EndpointPart::Port, digits)),
    }
}

/// A DNS name (underscores allowed, as container names have them), IPv4 or bracketed IPv6.
fn is_host(text: &str) -> bool {
    if let Some(bracketed) = text.strip_prefix('[') {
        let address = bracketed.strip_suffix(']').unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let in_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(in_label);
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether `host` never leaves this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bracketed {
        return address.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback());
    }
    host == "localhost" || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
}
