//! What a route says about getting to its upstream, made ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use ipnet::IpNet;
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{WrappedX509, parse_x509};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sallygate_compiler::plan::{Timeouts, Upstream};

use super::dial::keyed_hash;

/// How to reach a route's upstream.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) allow_ranges: Vec<IpNet>,
    /// The CAs that the upstream's certificate must chain to; `None`: the system's.
    pub(crate) ca: Option<Arc<CaType>>,
    /// Stands for target, addresses, ranges and CA set, so that no pooled connection crosses from
    /// one of those to another.
    pub(crate) key: u64,
    pub(crate) connect: Duration,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) idle: Duration,
}

impl Destination {
    /// Leads nowhere: what stands in where something must, and must not connect.
    pub(crate) fn nowhere() -> Self {
        Self {
            addresses: vec![SocketAddr::from(([0, 0, 0, 0], 0))],
            allow_ranges: Vec::new(),
            ca: None,
            key: 0,
            connect: Duration::ZERO,
            first_byte: None,
            idle: Duration::ZERO,
        }
    }

    pub(crate) fn new(upstream: &Upstream, timeouts: &Timeouts) -> Result<Self, String> {
        let mut ca_digest = [0; 32];
        let ca = match &upstream.ca_pem {
            None => None,
            Some(pem) => {
                let sum = digest::digest(&digest::SHA256, pem.as_bytes());
                for (slot, byte) in ca_digest.iter_mut().zip(sum.as_ref()) {
                    *slot = *byte;
                }
                Some(authorities(pem)?)
            }
        };
        Ok(Self {
            addresses: upstream.addresses.clone(),
            allow_ranges: upstream.allow_ranges.clone(),
            ca,
            key: keyed_hash(&(
                &upstream.target,
                &upstream.addresses,
                &upstream.allow_ranges,
                ca_digest,
            )),
            connect: Duration::from_millis(timeouts.connect_ms),
            first_byte: timeouts.first_byte_ms.map(Duration::from_millis),
            idle: Duration::from_millis(timeouts.idle_ms),
        })
    }
}

fn authorities(pem: &str) -> Result<Arc<CaType>, String> {
    let mut list: Vec<WrappedX509> = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let der = der.map_err(|e| format!("the target's CA file is not PEM: {e}"))?;
        // The list is handed to Pingora, which parses eagerly and panics on garbage: look first.
        rustls::RootCertStore::empty().add(der.clone()).map_err(|e| {
            format!("the target's CA file has a certificate that cannot be used: {e}")
        })?;
        list.push(WrappedX509::new(der.to_vec(), parse_x509));
    }
    if list.is_empty() {
        return Err("the target's CA file has no certificate".into());
    }
    Ok(Arc::from(list))
}
