//! What `sallygate_compiler::address` leaves to whoever connects: the order of addresses, and that a
//! connection never comes back to this process.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{PoisonError, RwLock};

use sallygate_compiler::address::unmapped;

/// The sockets that this process itself listens on: never an upstream, whatever a target allows.
#[derive(Debug, Default)]
pub(crate) struct OwnListeners(RwLock<Vec<SocketAddr>>);

impl OwnListeners {
    pub(crate) fn add(&self, address: SocketAddr) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(address);
    }

    /// Whether a connection to `address` would come back to us.
    pub(crate) fn contain(&self, address: SocketAddr) -> bool {
        let own = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let ip = unmapped(address.ip());
        own.iter().filter(|o| o.port() == address.port()).any(|o| {
            let listens_on = unmapped(o.ip());
            listens_on == ip || ip.is_unspecified() || (listens_on.is_unspecified() && is_ours(ip))
        })
    }
}

/// Whether an address is one of this machine's: binding to it tells.
fn is_ours(ip: IpAddr) -> bool {
    ip.is_loopback() || std::net::UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// IPv6 first, as RFC 6724 would for global addresses, otherwise in the order of the answer.
pub(crate) fn in_order(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_key(|a| match a.ip() {
        IpAddr::V6(v6) if v6 != Ipv6Addr::UNSPECIFIED => 0,
        IpAddr::V6(_) | IpAddr::V4(_) => 1,
    });
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listeners_are_never_an_upstream() {
        let own = OwnListeners::default();
        own.add("0.0.0.0:8089".parse().unwrap());
        own.add("127.0.0.1:8090".parse().unwrap());
        for loops in ["127.0.0.1:8089", "127.9.9.9:8089", "[::ffff:127.0.0.1]:8090", "0.0.0.0:8090"]
        {
            assert!(own.contain(loops.parse().unwrap()), "{loops}");
        }
        assert!(!own.contain("127.0.0.1:9000".parse().unwrap()));
        assert!(!own.contain("1.1.1.1:8089".parse().unwrap()));
    }
}
