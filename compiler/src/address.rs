//! Which addresses anybody may be led to: a sandbox by its requests, the control service by what a
//! target says.
//!
//! Everything that is not ordinary public unicast is refused, unless the operator's target allows
//! the range by name. Forms that carry an IPv4 address inside an IPv6 one are judged by both.
//! Sources: IANA special-purpose address registries (RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use ipnet::IpNet;

/// Ranges refused by default.
const REFUSED: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

fn refused_ranges() -> &'static [IpNet] {
    static RANGES: OnceLock<Vec<IpNet>> = OnceLock::new();
    RANGES.get_or_init(|| REFUSED.iter().filter_map(|text| text.parse().ok()).collect())
}

/// Whether a connection to `address` may be made, given the ranges that the target allows.
pub fn allows(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = unmapped(address);
    if allowed.iter().any(|net| net.contains(&address)) {
        return true;
    }
    if refused_ranges().iter().any(|net| net.contains(&address)) {
        return false;
    }
    embedded(address).is_none_or(|inner| allows(IpAddr::V4(inner), &[]))
}

/// `::ffff:a.b.c.d` is the IPv4 address that it stands for.
pub fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 address that a translating prefix leads to: NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let from = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0x64, 0xff9b, 0, 0, 0, 0] => from(g, h),
        [0x2002, high, low, _, _, _] => from(high, low),
        _ => None,
    }
}

/// Names that never leave the machine or the site, whatever a resolver says.
pub fn is_local_name(name: &str) -> bool {
    const SUFFIXES: &[&str] =
        &["localhost", "local", "internal", "localdomain", "home.arpa", "lan", "intranet"];
    let last_is = |suffix: &&str| {
        name.strip_suffix(*suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    SUFFIXES.iter().any(last_is) || !name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_unicast_is_reachable() {
        for refused in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!allows(refused.parse().unwrap(), &[]), "{refused}");
        }
        for open in [
            "1.1.1.1",
            "140.82.121.4",
            "172.32.0.1",
            "100.63.255.255",
            "2606:4700::1111",
            "64:ff9b::101:101",
        ] {
            assert!(allows(open.parse().unwrap(), &[]), "{open}");
        }
    }

    #[test]
    fn a_target_opens_its_own_range_and_no_other() {
        let allowed = ["127.0.0.0/8".parse().unwrap()];
        assert!(allows("127.0.0.1".parse().unwrap(), &allowed));
        assert!(allows("::ffff:127.0.0.1".parse().unwrap(), &allowed));
        assert!(!allows("10.0.0.1".parse().unwrap(), &allowed));
        assert!(!allows("::1".parse().unwrap(), &allowed));
    }

    #[test]
    fn names_of_the_machine_and_the_site_are_local() {
        for name in [
            "localhost",
            "foo.localhost",
            "printer.local",
            "metadata.google.internal",
            "host.docker.internal",
            "intranet",
            "db",
        ] {
            assert!(is_local_name(name), "{name}");
        }
        for name in ["example.com", "localhost.example.com", "mylocal.org", "xlocalhost.net"] {
            assert!(!is_local_name(name), "{name}");
        }
    }
}
