//! Why GitHub gives nothing.

use std::time::Duration;

use crate::domain::{DomainError, Fault};
use crate::outbound::OutboundError;

/// Nothing that is shown comes from GitHub.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppError {
    /// There is no such installation any more: somebody has to install the app again.
    #[error("{0}")]
    Gone(&'static str),
    /// The app's key is wrong, or the clock is.
    #[error("GitHub does not accept the app's key")]
    KeyRefused,
    /// The binding names what the installation has not.
    #[error("{0}")]
    NotCovered(String),
    #[error("GitHub does not answer now")]
    Unavailable { retry_after: Option<Duration> },
    #[error("GitHub's answer is not understood: {0}")]
    Malformed(&'static str),
}

impl From<OutboundError> for AppError {
    fn from(_: OutboundError) -> Self {
        Self::Unavailable { retry_after: None }
    }
}

const ASK_AGAIN: Duration = Duration::from_secs(5);

impl From<AppError> for DomainError {
    fn from(error: AppError) -> Self {
        let message = error.to_string();
        match error {
            AppError::Gone(_) => Self::conflict("installation_gone", message),
            AppError::KeyRefused => Self::conflict("app_key_refused", message),
            AppError::NotCovered(_) => Self::conflict("installation_not_covered", message),
            AppError::Malformed(_) => Self::conflict("app_malformed", message),
            AppError::Unavailable { retry_after } => {
                let patience = retry_after.unwrap_or(ASK_AGAIN).as_millis();
                let patience = u64::try_from(patience).unwrap_or(u64::MAX);
                let mut new = Self::new(Fault::Unavailable, "app_unavailable", message);
                new.retry_after_ms = Some(patience);
                new
            }
        }
    }
}
