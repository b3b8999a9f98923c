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

/// How to reach a route's upstream.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) target: Option<Arc<str>>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) allow_ranges: Vec<IpNet>,
    /// The CAs that the upstream's certificate must chain to; `None`: the system's.
    pub(crate) ca: Option<Arc<CaType>>,
    /// Names the CA set, so that no pooled connection crosses from one trust to another.
    pub(crate) ca_digest: [u8; 32],
    pub(crate) connect: Duration,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) idle: Duration,
}

impl Destination {
    /// Leads nowhere: what stands in where something must, and must not connect.
    pub(crate) fn nowhere() -> Self {
        Self {
            target: None,
            addresses: vec![SocketAddr::from(([0, 0, 0, 0], 0))],
            allow_ranges: Vec::new(),
            ca: None,
            ca_digest: [0; 32],
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
            target: upstream.target.as_deref().map(Arc::from),
            addresses: upstream.addresses.clone(),
            allow_ranges: upstream.allow_ranges.clone(),
            ca,
            ca_digest,
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
