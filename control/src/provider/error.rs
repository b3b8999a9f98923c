//! Why a provider did not do what it was asked.

use std::time::Duration;

use axum::http::StatusCode;

use crate::domain::{DomainError, Fault};
use crate::outbound::{Answer, OutboundError};

/// Nothing that is shown comes from the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It is not there, or not for this account.
    #[error("the provider has no such thing, or not for this connection")]
    Absent,
    /// What is asked for does not fit to what is there.
    #[error("the provider does not take this: it does not fit to what is there")]
    Conflict,
    #[error("the provider does not let this connection do this")]
    Refused,
    #[error("the provider does not answer now")]
    Unavailable { retry_after: Option<Duration> },
    #[error("the provider cannot be asked: {0}")]
    NotAsked(OutboundError),
    #[error("the provider is not understood: {0}")]
    Malformed(&'static str),
}

impl ProviderError {
    /// What an answer that is none of success means.
    pub(crate) fn of(answer: &Answer) -> Self {
        match answer.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::Absent,
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Self::Conflict,
            StatusCode::TOO_MANY_REQUESTS => Self::Unavailable { retry_after: answer.retry_after },
            // GitHub says so to who asks too often, too.
            StatusCode::FORBIDDEN if answer.retry_after.is_some() => {
                Self::Unavailable { retry_after: answer.retry_after }
            }
            status if status.is_server_error() => {
                Self::Unavailable { retry_after: answer.retry_after }
            }
            status if status.is_client_error() => Self::Refused,
            // Redirections are not followed: a credential goes where the target says.
            _ => Self::Malformed("it answers with another place"),
        }
    }
}

impl From<OutboundError> for ProviderError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Timeout | OutboundError::Unreachable => {
                Self::Unavailable { retry_after: None }
            }
            OutboundError::NotHttps
            | OutboundError::AddressRefused
            | OutboundError::TooLong
            | OutboundError::Trust => Self::NotAsked(error),
        }
    }
}

const ASK_AGAIN: Duration = Duration::from_secs(5);

impl From<ProviderError> for DomainError {
    fn from(error: ProviderError) -> Self {
        let message = error.to_string();
        match error {
            ProviderError::Absent => Self::new(Fault::NotFound, "not_found", message),
            ProviderError::Conflict => Self::conflict("provider_conflict", message),
            ProviderError::Refused => Self::conflict("provider_refused", message),
            ProviderError::NotAsked(_) => Self::conflict("provider_not_asked", message),
            ProviderError::Malformed(_) => Self::conflict("provider_malformed", message),
            ProviderError::Unavailable { retry_after } => {
                let patience = retry_after.unwrap_or(ASK_AGAIN).as_millis();
                let mut new = Self::new(Fault::Unavailable, "provider_unavailable", message);
                new.retry_after_ms = Some(u64::try_from(patience).unwrap_or(u64::MAX));
                new
            }
        }
    }
}
