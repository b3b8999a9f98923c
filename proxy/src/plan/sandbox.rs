//! A sandbox as the data plane knows it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use ipnet::IpNet;
use subtle::ConstantTimeEq;

use super::ActivePlan;
use crate::approval::Approver;

/// SHA-256 of a sandbox's token. Tokens carry 160 random bits or more, so a plain hash is enough.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Token([u8; 32]);

impl Token {
    /// The hash of a token as a client presents it.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut hash = [0; 32];
        let sum = digest::digest(&digest::SHA256, text);
        for (slot, byte) in hash.iter_mut().zip(sum.as_ref()) {
            *slot = *byte;
        }
        Self(hash)
    }

    pub(crate) fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash itself.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.0
    }

    /// Compares in constant time.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The workload whose traffic this is: the principal of every decision.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) id: Arc<str>,
    pub(crate) plan: Arc<ActivePlan>,
    pub(crate) token: Option<Token>,
    pub(crate) sources: Vec<IpNet>,
    pub(crate) expires_unix: Option<i64>,
    pub(crate) connections: Arc<AtomicU64>,
    /// Who decides about its held requests; `None`: the operator of this proxy.
    pub(crate) approver: Option<Arc<dyn Approver>>,
}

impl Sandbox {
    /// Asks for the time only where there is an expiry.
    pub(crate) fn is_expired(&self, now_unix: impl FnOnce() -> i64) -> bool {
        self.expires_unix.is_some_and(|at| at <= now_unix())
    }

    pub(crate) fn owns_source(&self, address: IpAddr) -> bool {
        self.sources.iter().any(|net| net.contains(&address))
    }

    /// Counts one more connection, up to `max`.
    pub(crate) fn connect(&self, max: u64) -> Option<ConnectionCount> {
        let before = self.connections.fetch_add(1, Ordering::AcqRel);
        let count = ConnectionCount(Arc::clone(&self.connections));
        (before < max).then_some(count)
    }
}

/// One connection of a sandbox, counted until dropped.
#[derive(Debug)]
pub(crate) struct ConnectionCount(Arc<AtomicU64>);

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
