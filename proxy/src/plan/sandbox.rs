//! A sandbox as the data plane knows it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use ipnet::IpNet;
use sallygate_compiler::snapshot::SandboxSpec;
use sallygate_definitions::placeholder::Recogniser;
use subtle::ConstantTimeEq;

use super::ActivePlan;
use super::placeholders::Watch;
use super::signed::{Ends, Signed, Signers};
use crate::approval::Approver;

/// What proves a sandbox.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Token {
    /// SHA-256 of its token. Tokens carry 160 random bits or more, so a plain hash is enough.
    Stored([u8; 32]),
    /// A signature that was seen to be right.
    Signed(Signed),
}

impl Token {
    /// The hash of a token as a client presents it.
    pub(crate) fn of(text: &[u8]) -> Self {
        Self::Stored(sha256(text))
    }

    pub(crate) fn from_hash(hash: [u8; 32]) -> Self {
        Self::Stored(hash)
    }

    /// Compares hashes in constant time.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Stored(own), Self::Stored(other)) => own.ct_eq(other).into(),
            (Self::Signed(own), Self::Signed(other)) => own == other,
            (Self::Stored(_), Self::Signed(_)) | (Self::Signed(_), Self::Stored(_)) => false,
        }
    }
}

pub(super) fn sha256(text: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let sum = digest::digest(&digest::SHA256, text);
    for (slot, byte) in hash.iter_mut().zip(sum.as_ref()) {
        *slot = *byte;
    }
    hash
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
    /// The same sandbox as its token before proves it, for as long as that is good.
    pub(crate) former: Option<Arc<Sandbox>>,
    pub(crate) signers: Option<Signers>,
    /// Where there are none in force, nobody looks for any.
    pub(super) placeholders: Option<Arc<Watch>>,
}

/// What a sandbox is made of besides what is said of it.
pub(super) struct Parts<'p> {
    pub(super) plan: &'p Arc<ActivePlan>,
    pub(super) connections: Arc<AtomicU64>,
    pub(super) approver: Option<&'p Arc<dyn Approver>>,
    pub(super) ends: &'p Arc<Ends>,
    pub(super) placeholders: Option<Arc<Watch>>,
}

impl Sandbox {
    pub(super) fn new(spec: &SandboxSpec, parts: Parts<'_>) -> Self {
        let mut sandbox = Self {
            id: spec.id.as_str().into(),
            plan: Arc::clone(parts.plan),
            token: spec.token_sha256.map(Token::from_hash),
            sources: spec.sources.clone(),
            expires_unix: spec.expires_unix,
            connections: parts.connections,
            approver: parts.approver.cloned(),
            former: None,
            signers: spec.more.signer.map(|signer| Signers::new(signer, parts.ends)),
            placeholders: parts.placeholders,
        };
        sandbox.former = spec.more.former.map(|former| {
            Arc::new(sandbox.with(Token::from_hash(former.sha256), former.until_unix))
        });
        sandbox
    }

    /// The same sandbox, as another token proves it until some time.
    fn with(&self, token: Token, until_unix: i64) -> Self {
        let until = self.expires_unix.map_or(until_unix, |at| at.min(until_unix));
        Self {
            id: Arc::clone(&self.id),
            plan: Arc::clone(&self.plan),
            token: Some(token),
            sources: self.sources.clone(),
            expires_unix: Some(until),
            connections: Arc::clone(&self.connections),
            approver: self.approver.clone(),
            former: None,
            signers: None,
            placeholders: self.placeholders.clone(),
        }
    }

    /// What placeholders are known by in this sandbox's requests; `None`: nobody has any.
    pub(crate) fn recogniser(&self) -> Option<&Arc<Recogniser>> {
        self.placeholders.as_ref().map(|watch| watch.recogniser(&self.plan, &self.id))
    }

    /// The sandbox as this token proves it; `None`: it does not, or no longer.
    pub(crate) fn proven_by(self: &Arc<Self>, token: Option<Token>) -> Option<Arc<Self>> {
        if self.token == token {
            return Some(Arc::clone(self));
        }
        if let Some(former) = self.former.as_ref().filter(|former| former.token == token) {
            return Some(Arc::clone(former));
        }
        let (Token::Signed(signed), Some(signers)) = (token?, self.signers.as_ref()) else {
            return None;
        };
        let until = signers.until(&signed)?;
        Some(Arc::new(self.with(Token::Signed(signed), until)))
    }

    /// When it, or its token before, ends.
    pub(super) fn ends(&self) -> impl Iterator<Item = i64> {
        let former = self.former.as_ref().and_then(|former| former.expires_unix);
        self.expires_unix.into_iter().chain(former)
    }

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
