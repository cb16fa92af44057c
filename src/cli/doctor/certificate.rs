//! What a certificate says, for people.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// Certificates of a chain that are told.
const MAX_CHAIN: usize = 4;
/// Names of a certificate that are told.
const MAX_NAMES: usize = 8;
/// Characters of a text in it that are shown.
const MAX_SHOWN: usize = 120;

/// For whom, by whom, from when and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Certificate {
    subject: String,
    issuer: String,
    /// DNS names and addresses that it is for.
    names: Vec<String>,
    not_before: String,
    not_after: String,
}

/// The certificates of a chain, the peer's own first; those that cannot be read are left out.
pub(super) fn chain(certificates: &[Vec<u8>]) -> Vec<Certificate> {
    certificates.iter().take(MAX_CHAIN).filter_map(|der| Certificate::read(der)).collect()
}

impl Certificate {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        Some(Self {
            subject: printable(&certificate.subject().to_string()),
            issuer: printable(&certificate.issuer().to_string()),
            names: names.iter().take(MAX_NAMES).filter_map(name).collect(),
            not_before: date(certificate.validity().not_before),
            not_after: date(certificate.validity().not_after),
        })
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names.is_empty() { String::new() } else { format!("; for {}", self.names.join(", ")) };
        let Self { subject, issuer, not_before, not_after, .. } = self;
        let subject = if subject.is_empty() { "(no subject)" } else { subject };
        write!(f, "{subject}{names}; by {issuer}; from {not_before} until {not_after}")
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

fn date(time: ASN1Time) -> String {
    let secs = u64::try_from(time.timestamp()).unwrap_or(0);
    // The calendar of humantime ends with the year 9999.
    let time = UNIX_EPOCH + Duration::from_secs(secs.min(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A peer's text, fit for a terminal.
fn printable(text: &str) -> String {
    let shown: String = text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().count() > MAX_SHOWN { shown + "..." } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    fn der() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["ns.example".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "hub\u{1b}[2J");
        params.not_before = date_time_ymd(2026, 1, 2);
        params.not_after = date_time_ymd(2027, 3, 4);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_tells_for_whom_by_whom_and_when() {
        let told = chain(&[der(), b"no certificate".to_vec()]);
        assert_eq!(told.len(), 1);
        let text = told[0].to_string();
        assert!(text.contains("for ns.example, 127.0.0.1; by CN="), "{text}");
        assert!(text.ends_with("from 2026-01-02T00:00:00Z until 2027-03-04T00:00:00Z"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0_usize..200, byte: u8, len in 0_usize..300) {
            let mut bytes = der();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            bytes.truncate(len);
            chain(&[bytes]);
        }
    }
}
