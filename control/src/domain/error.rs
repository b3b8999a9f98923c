//! Why something that was asked of the control service was not done.

use std::time::Duration;

use serde::Serialize;

use crate::credentials::VaultError;
use crate::oauth::OAuthError;
use crate::outbound::OutboundError;
use crate::store::{MayRetry, StoreError};

/// One thing that is wrong with what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// Stable, such as `INVALID_BINDING_CONFIG`.
    pub code: String,
    /// Where: `config.baseUrl`, `bindings[0].kind`.
    pub field: String,
    /// What is wrong. Never a secret.
    pub message: String,
}

impl Issue {
    pub fn new(
        code: impl Into<String>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { code: code.into(), field: field.into(), message: message.into() }
    }
}

/// Whose fault it is, and what kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not there, or not for this caller, which look the same.
    NotFound,
    /// It does not fit to what is there.
    Conflict,
    /// It changed since the caller looked.
    Stale,
    /// It means nothing, or something that is not allowed.
    Invalid,
    /// The caller may not.
    Forbidden,
    /// It may be done later.
    Unavailable,
    /// We failed.
    Internal,
}

/// Why something was not done. The message is safe to show to whoever asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DomainError {
    pub fault: Fault,
    /// Stable: part of the interface.
    pub code: &'static str,
    pub message: String,
    pub issues: Vec<Issue>,
    pub retry_after_ms: Option<u64>,
    may_retry: bool,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DomainError {
    pub fn new(fault: Fault, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            fault,
            code,
            message: message.into(),
            issues: Vec::new(),
            retry_after_ms: None,
            may_retry: false,
            source: None,
        }
    }

    /// Absent, or of another organisation.
    pub fn not_found(what: &str) -> Self {
        Self::new(Fault::NotFound, "not_found", format!("there is no such {what}"))
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Fault::Conflict, code, message)
    }

    pub fn invalid(issues: Vec<Issue>) -> Self {
        let message = match issues.as_slice() {
            [one] => one.message.clone(),
            issues => format!("{} things are wrong", issues.len()),
        };
        Self { issues, ..Self::new(Fault::Invalid, "invalid", message) }
    }

    pub fn stale() -> Self {
        Self::new(Fault::Stale, "stale", "it has changed since: look at it again")
    }

    pub(crate) fn randomness() -> Self {
        Self::new(Fault::Internal, "no_randomness", "the system has no randomness")
    }
}

impl From<StoreError> for DomainError {
    fn from(error: StoreError) -> Self {
        let retry_after = error.retry_after();
        let (fault, message) = match &error {
            StoreError::Conflict(_) => (Fault::Conflict, "it conflicts with what is there"),
            StoreError::Unavailable(_) | StoreError::Contention(_) | StoreError::Full(_) => {
                (Fault::Unavailable, "the database cannot take this now")
            }
            StoreError::Newer { .. }
            | StoreError::Migration(_)
            | StoreError::Shape
            | StoreError::Unsupported
            | StoreError::Failed(_) => (Fault::Internal, "the database failed"),
        };
        Self {
            retry_after_ms: retry_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            may_retry: error.may_retry(),
            ..Self::new(fault, error.code(), message).caused_by(error)
        }
    }
}

impl From<VaultError> for DomainError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Store(error) => error.into(),
            VaultError::DoesNotOpen
            | VaultError::MasterVersionMissing(_)
            | VaultError::Randomness => {
                let new = Self::new(Fault::Internal, error.code(), "the vault failed");
                new.caused_by(error)
            }
        }
    }
}

impl From<OAuthError> for DomainError {
    fn from(error: OAuthError) -> Self {
        let (fault, retry_after) = match error {
            OAuthError::Store(error) => return error.into(),
            OAuthError::Vault(error) => return error.into(),
            OAuthError::Refused("access_denied") => {
                let message = "whoever was asked did not consent";
                return Self::new(Fault::Forbidden, "consent_denied", message);
            }
            OAuthError::UnknownState => (Fault::Invalid, None),
            OAuthError::Refused(_)
            | OAuthError::Malformed(_)
            | OAuthError::Outbound(OutboundError::AddressRefused | OutboundError::NotHttps)
            | OAuthError::NothingToRefresh => (Fault::Conflict, None),
            OAuthError::Unavailable { retry_after } => {
                (Fault::Unavailable, Some(retry_after.unwrap_or(ASK_AGAIN)))
            }
            OAuthError::Outbound(_) | OAuthError::Pending { .. } | OAuthError::Busy => {
                (Fault::Unavailable, Some(ASK_AGAIN))
            }
            OAuthError::Randomness => (Fault::Internal, None),
        };
        let retry_after = retry_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        Self { retry_after_ms: retry_after, ..Self::new(fault, error.code(), error.to_string()) }
    }
}

/// When a provider that does not answer is asked again, where it does not say so itself.
const ASK_AGAIN: Duration = Duration::from_secs(5);

impl DomainError {
    fn caused_by(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }
}

impl MayRetry for DomainError {
    fn may_retry(&self) -> bool {
        self.may_retry
    }
}
