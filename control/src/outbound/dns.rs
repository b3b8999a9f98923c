//! Names to addresses, every one of them judged before anything is connected.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use sallygate_compiler::address;

pub(super) struct Checked {
    allow_ranges: Arc<[IpNet]>,
    addresses: Arc<[IpAddr]>,
}

/// An address is one that requests may not go to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that is refused")]
struct Refused;

impl Checked {
    pub(super) fn new(allow_ranges: Arc<[IpNet]>, addresses: &[IpAddr]) -> Self {
        Self { allow_ranges, addresses: addresses.into() }
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        if !self.addresses.is_empty() {
            // Where the operator says that it is, like the target's other addresses in plans.
            let found: Vec<_> = self.addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            return Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) });
        }
        let allow_ranges = Arc::clone(&self.allow_ranges);
        Box::pin(async move {
            let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
            // A local name is somebody's intention only where its range is allowed.
            if allow_ranges.is_empty() && address::is_local_name(&host) {
                return Err(Refused.into());
            }
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            if found.iter().any(|found| !address::allows(found.ip(), &allow_ranges)) {
                return Err(Refused.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether a request failed because of where its name leads.
pub(super) fn was_refused(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<Refused>() {
            return true;
        }
        cause = error.source();
    }
    false
}
