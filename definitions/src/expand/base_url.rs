//! The base URL of an origin, as an operator wrote it and a template put it together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::contract::binding::{Origin, Permission};
use crate::schema::Format;

/// Why a base URL cannot be one; [`BaseUrlIssue::code`] stands behind the family's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BaseUrlIssue {
    Invalid,
    Cleartext,
    HasPath,
    HasPort,
    PrivateAddress,
}

impl BaseUrlIssue {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Invalid => "base_url_invalid",
            Self::Cleartext => "base_url_cleartext",
            Self::HasPath => "base_url_has_path",
            Self::HasPort => "base_url_has_port",
            Self::PrivateAddress => "base_url_private_address",
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Invalid => {
                "is not an `https` URL of a host, with at most a port and a path without `//`, \
                 `.`, `..` and escapes"
            }
            Self::Cleartext => "is not `https`",
            Self::HasPath => "has a path",
            Self::HasPort => "names a port",
            Self::PrivateAddress => "names a private, loopback or link-local address",
        }
    }
}

/// `url` without trailing slashes, with scheme and host in small letters.
pub(super) fn check(url: &str, origin: &Origin) -> Result<String, BaseUrlIssue> {
    let url = url.trim_end_matches('/');
    if !Format::Uri.admits(url) {
        return Err(BaseUrlIssue::Invalid);
    }
    let (scheme, rest) = url.split_once("://").ok_or(BaseUrlIssue::Invalid)?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(BaseUrlIssue::Invalid)?;
    let authority = authority.to_ascii_lowercase();
    let (host, port) = split_port(&authority).ok_or(BaseUrlIssue::Invalid)?;
    let address = address(host)?;
    let segment = |s: &str| Format::Slug.admits(s) || s.contains('~') && !s.contains('%');
    if !path.is_empty() && !path.split('/').skip(1).all(segment) {
        return Err(BaseUrlIssue::Invalid);
    }
    let refused = |permission, is| permission == Permission::Refuse && is;
    if refused(origin.cleartext, scheme == "http") {
        return Err(BaseUrlIssue::Cleartext);
    }
    if refused(origin.path, !path.is_empty()) {
        return Err(BaseUrlIssue::HasPath);
    }
    if refused(origin.port, port.is_some()) {
        return Err(BaseUrlIssue::HasPort);
    }
    let local = host == "localhost" || host.ends_with(".localhost");
    if refused(origin.private_address, local || address.is_some_and(is_private)) {
        return Err(BaseUrlIssue::PrivateAddress);
    }
    Ok(format!("{scheme}://{authority}{path}"))
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_host = authority.rfind(']').map_or(0, |at| at + 1);
    match authority.get(after_host..)?.rfind(':') {
        None => Some((authority, None)),
        Some(at) => {
            let (host, port) = authority.split_at_checked(after_host + at)?;
            let digits = port.get(1..).filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?;
            let port: u16 = digits.parse().ok().filter(|port| *port > 0)?;
            Some((host, Some(port)))
        }
    }
}

/// The address that the host is, or `None` for a name.
fn address(host: &str) -> Result<Option<IpAddr>, BaseUrlIssue> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(BaseUrlIssue::Invalid)?;
        let address: Ipv6Addr = inner.parse().map_err(|_| BaseUrlIssue::Invalid)?;
        return Ok(Some(IpAddr::V6(address).to_canonical()));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Some(address.into()));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    // A last label that is a number is an address in another spelling, such as `127.1`.
    let last = name.rsplit('.').next().unwrap_or("");
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    if numeric || !Format::Hostname.admits(name) {
        return Err(BaseUrlIssue::Invalid);
    }
    Ok(None)
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || shared
                || a == 0
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(permission: Permission) -> Origin {
        Origin {
            name: "o".into(),
            base_url: String::new(),
            path: permission,
            port: permission,
            cleartext: permission,
            private_address: permission,
            inject: Vec::new(),
            clear: crate::contract::injection::Clear::default(),
        }
    }

    #[test]
    fn a_base_url_is_brought_into_one_form() {
        for (url, expected) in [
            ("https://Api.Test", "https://api.test"),
            ("https://api.test/", "https://api.test"),
            ("https://api.test:8443/V1//", "https://api.test:8443/V1"),
            ("http://127.0.0.1:1/a~b", "http://127.0.0.1:1/a~b"),
            ("https://[fd00::1]", "https://[fd00::1]"),
        ] {
            assert_eq!(check(url, &origin(Permission::Allow)).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_an_origin_does_not_permit_has_a_code_of_its_own() {
        for (url, expected) in [
            ("http://a.test", BaseUrlIssue::Cleartext),
            ("https://a.test/v1", BaseUrlIssue::HasPath),
            ("https://a.test:8443", BaseUrlIssue::HasPort),
            ("https://127.0.0.1", BaseUrlIssue::PrivateAddress),
            ("https://10.1.2.3", BaseUrlIssue::PrivateAddress),
            ("https://169.254.169.254", BaseUrlIssue::PrivateAddress),
            ("https://100.64.0.1", BaseUrlIssue::PrivateAddress),
            ("https://0.0.0.0", BaseUrlIssue::PrivateAddress),
            ("https://[::1]", BaseUrlIssue::PrivateAddress),
            ("https://[fe80::1]", BaseUrlIssue::PrivateAddress),
            ("https://[::ffff:10.0.0.1]", BaseUrlIssue::PrivateAddress),
            ("https://localhost", BaseUrlIssue::PrivateAddress),
            ("https://a.localhost", BaseUrlIssue::PrivateAddress),
        ] {
            assert_eq!(check(url, &origin(Permission::Refuse)), Err(expected), "{url}");
            assert!(check(url, &origin(Permission::Allow)).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_whatever_is_permitted() {
        for url in [
            "",
            "a.test",
            "ftp://a.test",
            "https://",
            "https://u@a.test",
            "https://a.test?x",
            "https://a.test/#f",
            "https://a.test/a/../b",
            "https://a.test//a",
            "https://a.test:0",
            "https://a.test:",
            "https://a.test:99999",
            "https://a.test:+1",
            "https://127.1",
            "https://0x7f.1",
            "https://2130706433",
            "https://017700000001",
            "https://[::1",
            "https://[::1%25eth0]",
            "https://a.test/a%2fb",
            "https://a.test/{x}",
            "https://*.test",
            "https://a.test/**",
            "https://ü.test",
            "https://a_b.test",
            "https://a.test/;x",
        ] {
            assert_eq!(check(url, &origin(Permission::Allow)), Err(BaseUrlIssue::Invalid), "{url}");
        }
    }

    proptest! {
        #[test]
        fn a_base_url_in_its_form_stays_the_same(url in "https?://[a-zA-Z0-9.:/\\[\\]~%-]{0,30}") {
            if let Ok(once) = check(&url, &origin(Permission::Allow)) {
                prop_assert_eq!(check(&once, &origin(Permission::Allow)), Ok(once));
            }
        }
    }
}
