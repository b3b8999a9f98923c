//! Hosts and ports: one spelling for each place that a request can name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    #[default]
    Https,
}

impl Scheme {
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A canonical host: a lower-case A-label name without trailing dot, or an IP literal.
///
/// Cheap to clone. An IPv4-mapped IPv6 literal is its IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    name: Arc<str>,
    ip: Option<IpAddr>,
}

impl Host {
    /// The name, or the address; an IPv6 address without brackets.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    fn from_ip(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self { name: ip.to_string().into(), ip: Some(ip) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Some(IpAddr::V4(_)) | None => f.write_str(&self.name),
        }
    }
}

/// A host and the port at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    pub host: Host,
    pub port: u16,
}

impl Authority {
    /// As it is written in a request: the scheme's default port elided, IPv6 in brackets.
    pub fn wire(&self, scheme: Scheme) -> String {
        if self.port == scheme.default_port() { self.host.to_string() } else { self.to_string() }
    }

    /// Whether `input` names this host and port. Does not allocate for names.
    pub fn agrees(&self, input: &[u8], default_port: Option<u16>) -> bool {
        let Ok((host_part, port)) = split(input, default_port) else { return false };
        if port != self.port {
            return false;
        }
        if self.host.ip.is_some() {
            return host(host_part).is_ok_and(|other| other == self.host);
        }
        let name = host_part.strip_suffix(b".").unwrap_or(host_part);
        name.eq_ignore_ascii_case(self.host.name.as_bytes())
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why bytes are not a host, or not a host and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("the host is empty")]
    Empty,
    #[error("the host is longer than 253 bytes")]
    TooLong,
    #[error("a label of the host is empty")]
    EmptyLabel,
    #[error("a label of the host is longer than 63 bytes")]
    LongLabel,
    #[error("a label of the host begins or ends with `-`")]
    Hyphen,
    #[error("the host holds a byte that no host may hold; write names as A-labels (`xn--…`)")]
    Byte,
    #[error("the host carries user information")]
    UserInformation,
    #[error("the host ends in a number but is not a dotted decimal IPv4 address")]
    Ipv4,
    #[error("the host is not an IPv6 address in brackets without zone")]
    Ipv6,
    #[error("the port is missing")]
    PortMissing,
    #[error("the port is not a number from 1 to 65535 without sign and leading zeros")]
    Port,
}

impl HostError {
    /// Stable: part of the interface.
    pub fn code(self) -> &'static str {
        "host_not_canonical"
    }
}

/// Reads `host` or `host:port`. Without `default_port` a port must be present, as in CONNECT.
pub fn authority(input: &[u8], default_port: Option<u16>) -> Result<Authority, HostError> {
    let (host_part, port) = split(input, default_port)?;
    Ok(Authority { host: host(host_part)?, port })
}

/// Reads a name, an IPv4 address, or an IPv6 address in brackets.
pub fn host(input: &[u8]) -> Result<Host, HostError> {
    if let Some(rest) = input.strip_prefix(b"[") {
        let inner = rest.strip_suffix(b"]").ok_or(HostError::Ipv6)?;
        return ipv6(inner).map(|ip| Host::from_ip(ip.into())).ok_or(HostError::Ipv6);
    }
    let name = input.strip_suffix(b".").unwrap_or(input);
    check_name(name)?;
    let text = str::from_utf8(name).map_err(|_| HostError::Byte)?;
    if ends_in_number(text) {
        // A trailing dot after an address is one more way to write it: refused as every other.
        let ip: Ipv4Addr = text.parse().map_err(|_| HostError::Ipv4)?;
        let exact = input.len() == name.len();
        return if exact { Ok(Host::from_ip(ip.into())) } else { Err(HostError::Ipv4) };
    }
    let upper = name.iter().any(u8::is_ascii_uppercase);
    let name = if upper { text.to_ascii_lowercase().into() } else { text.into() };
    Ok(Host { name, ip: None })
}

fn split(input: &[u8], default_port: Option<u16>) -> Result<(&[u8], u16), HostError> {
    if input.contains(&b'@') {
        return Err(HostError::UserInformation);
    }
    // Colons inside brackets belong to the address.
    let after = input.iter().rposition(|byte| *byte == b']').map_or(0, |at| at + 1);
    let colon = input.iter().skip(after).position(|byte| *byte == b':').map(|at| at + after);
    let Some((host_part, rest)) = colon.and_then(|at| input.split_at_checked(at)) else {
        return Ok((input, default_port.ok_or(HostError::PortMissing)?));
    };
    let digits = rest.strip_prefix(b":").unwrap_or(rest);
    Ok((host_part, port(digits).ok_or(HostError::Port)?))
}

fn port(digits: &[u8]) -> Option<u16> {
    let plain = digits.iter().all(u8::is_ascii_digit) && digits.first().is_some_and(|d| *d != b'0');
    if !plain {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

fn ipv6(inner: &[u8]) -> Option<Ipv6Addr> {
    // `Ipv6Addr` refuses zones by itself.
    str::from_utf8(inner).ok()?.parse().ok()
}

fn check_name(name: &[u8]) -> Result<(), HostError> {
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if name.contains(&b'@') {
        return Err(HostError::UserInformation);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(HostError::TooLong);
    }
    name.split(|byte| *byte == b'.').try_for_each(check_label)
}

fn check_label(label: &[u8]) -> Result<(), HostError> {
    // Underscores are not in host names, but in DNS names that people use.
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !label.iter().all(allowed) {
        return Err(HostError::Byte);
    }
    match (label.first(), label.last()) {
        (None, _) => Err(HostError::EmptyLabel),
        _ if label.len() > LABEL_BYTES_MAX => Err(HostError::LongLabel),
        (Some(b'-'), _) | (_, Some(b'-')) => Err(HostError::Hyphen),
        _ => Ok(()),
    }
}

/// As the WHATWG URL standard: such a host is an address to some parser, whatever it looks like.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let hexadecimal = hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_host_becomes_the_same_host() {
        for (input, expected) in [
            ("api.github.com", "api.github.com"),
            ("API.GitHub.COM", "api.github.com"),
            ("api.github.com.", "api.github.com"),
            ("xn--gthub-cta.com", "xn--gthub-cta.com"),
            ("_dmarc.example.com", "_dmarc.example.com"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("[::ffff:7f00:1]", "127.0.0.1"),
        ] {
            let host = host(input.as_bytes()).unwrap_or_else(|e| panic!("{input}: {e}"));
            assert_eq!(host.as_str(), expected, "{input}");
        }
    }

    #[test]
    fn a_host_with_two_readings_is_refused() {
        let long_label = "a".repeat(64);
        let long_name = ["abcdefgh"; 29].join(".");
        for (input, expected) in [
            ("", HostError::Empty),
            (".", HostError::Empty),
            ("a..", HostError::EmptyLabel),
            (".a", HostError::EmptyLabel),
            ("a..b", HostError::EmptyLabel),
            (long_label.as_str(), HostError::LongLabel),
            (long_name.as_str(), HostError::TooLong),
            ("-a.com", HostError::Hyphen),
            ("a-.com", HostError::Hyphen),
            ("a@b", HostError::UserInformation),
            ("a b", HostError::Byte),
            ("a/b", HostError::Byte),
            ("a,b", HostError::Byte),
            ("a\\b", HostError::Byte),
            ("a%2eb", HostError::Byte),
            ("evil.com\0.github.com", HostError::Byte),
            ("gïthub.com", HostError::Byte),
            ("ｇithub.com", HostError::Byte),
            ("github。com", HostError::Byte),
            ("*.github.com", HostError::Byte),
            ("0x7f.1", HostError::Ipv4),
            ("017700000001", HostError::Ipv4),
            ("2130706433", HostError::Ipv4),
            ("127.1", HostError::Ipv4),
            ("0177.0.0.1", HostError::Ipv4),
            ("127.0.0.0x1", HostError::Ipv4),
            ("127.0.0.01", HostError::Ipv4),
            ("127.0.0.1.", HostError::Ipv4),
            ("256.0.0.1", HostError::Ipv4),
            ("1.2.3.4.5", HostError::Ipv4),
            ("foo.123", HostError::Ipv4),
            ("::1", HostError::Byte),
            ("[::1", HostError::Ipv6),
            ("[]", HostError::Ipv6),
            ("[fe80::1%25eth0]", HostError::Ipv6),
            ("[fe80::1%eth0]", HostError::Ipv6),
            ("[127.0.0.1]", HostError::Ipv6),
            ("[::1]x", HostError::Ipv6),
        ] {
            assert_eq!(host(input.as_bytes()), Err(expected), "{input}");
        }
        assert_eq!(host(b"\xff.com"), Err(HostError::Byte));
    }

    #[test]
    fn an_authority_is_written_without_its_default_port() {
        for (input, scheme, expected) in [
            ("a.test:443", Scheme::Https, "a.test"),
            ("a.test:80", Scheme::Https, "a.test:80"),
            ("a.test", Scheme::Http, "a.test"),
            ("[::1]:8443", Scheme::Https, "[::1]:8443"),
            ("[::1]", Scheme::Https, "[::1]"),
        ] {
            let authority = authority(input.as_bytes(), Some(scheme.default_port())).unwrap();
            assert_eq!(authority.wire(scheme), expected, "{input}");
        }
    }

    #[test]
    fn an_authority_without_a_clear_port_is_refused() {
        for (input, expected) in [
            ("a.test", HostError::PortMissing),
            ("a.test:", HostError::Port),
            ("a.test:0", HostError::Port),
            ("a.test:65536", HostError::Port),
            ("a.test:0443", HostError::Port),
            ("a.test:+443", HostError::Port),
            ("a.test:443 ", HostError::Port),
            ("a.test:80:90", HostError::Port),
            ("[::1]", HostError::PortMissing),
            ("::1:443", HostError::Port),
            ("u:p@a.test:443", HostError::UserInformation),
            (":443", HostError::Empty),
            ("[::1]443", HostError::PortMissing),
        ] {
            assert_eq!(authority(input.as_bytes(), None), Err(expected), "{input}");
        }
        assert_eq!(authority(b"[::1]443", Some(1)), Err(HostError::Ipv6));
    }

    #[test]
    fn agreement_is_decided_as_parsing_does() {
        let all =
            ["a.test", "A.test.", "a.test:443", "a.test:80", "b.test", "a.test..", "a@a.test"];
        let addresses = ["[::1]", "127.0.0.1", "[::ffff:127.0.0.1]", "127.0.0.1:443", "127.1"];
        for own in ["a.test", "[::1]", "127.0.0.1"] {
            let own = authority(own.as_bytes(), Some(443)).unwrap();
            for other in all.iter().chain(&addresses) {
                let parsed = authority(other.as_bytes(), Some(443));
                let expected = parsed.is_ok_and(|parsed| parsed == own);
                assert_eq!(own.agrees(other.as_bytes(), Some(443)), expected, "{own} {other}");
            }
        }
    }
}
