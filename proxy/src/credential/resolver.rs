//! Credentials that a control service resolves: asked by reference, for one sandbox.
//!
//! The proxy does not know who answers. Whoever does decides afresh each time whether this sandbox
//! may have this credential.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use sallygate_compiler::plan::CredentialReference;
use serde_json::{Map, Value};

use super::Asker;

/// Which credential is wanted, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub connection_id: String,
    pub secret_type: String,
    pub slot_key: Option<String>,
    pub resolver_key: Option<String>,
    /// What narrows it to the binding.
    pub scope: Map<String, Value>,
    /// The sandbox whose request needs it.
    pub sandbox: String,
    /// The digest of the plan that lets the request through.
    pub plan_digest: String,
}

impl Wanted {
    pub(super) fn of(reference: &CredentialReference, asker: Asker<'_>) -> Self {
        Self {
            connection_id: reference.connection_id.clone(),
            secret_type: reference.secret_type.clone(),
            slot_key: reference.slot_key.clone(),
            resolver_key: reference.resolver_key.clone(),
            scope: reference.scope.clone(),
            sandbox: asker.sandbox.to_owned(),
            plan_digest: asker.plan_digest.to_owned(),
        }
    }
}

/// A credential as it was resolved.
pub struct Resolved {
    bytes: Vec<u8>,
    /// For how long it is good; `None` when that is not known.
    pub life_seconds: Option<u64>,
}

impl Resolved {
    pub fn new(bytes: Vec<u8>, life_seconds: Option<u64>) -> Self {
        Self { bytes, life_seconds }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolved(…)")
    }
}

/// Why there is no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Refused for good: what is still held of it is forgotten. The text names no secret.
    Refused(String),
    /// Cannot be had now: what is still held of it may be used. It may be asked for again after
    /// `retry_after`, where that is known.
    Unavailable { message: String, retry_after: Option<Duration> },
}

/// Turns references into credentials.
#[async_trait]
pub trait Resolver: Send + Sync + fmt::Debug {
    async fn resolve(&self, wanted: &Wanted) -> Result<Resolved, Unresolved>;
}
