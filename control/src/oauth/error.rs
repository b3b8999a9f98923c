//! Why there are no tokens.

use std::time::Duration;

use crate::credentials::VaultError;
use crate::outbound::OutboundError;
use crate::store::{MayRetry, StoreError};

/// Nothing that is shown comes from the provider, but for an error code of the standards.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// The provider says no, for good: somebody must consent again, or the client is wrong.
    #[error("the provider refused: {0}")]
    Refused(&'static str),
    /// The provider cannot answer now.
    #[error("the provider does not answer now")]
    Unavailable { retry_after: Option<Duration> },
    /// The answer is not what the standard says.
    #[error("the provider's answer is not understood: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The state is unknown, was used, has expired, or belongs to another session.
    #[error("the authorization was not begun here, was used already, or has expired")]
    UnknownState,
    /// The person has not decided yet.
    #[error("the person has not decided yet")]
    Pending { slow_down: bool },
    /// Another one is refreshing, and has not finished in time.
    #[error("another refresh is under way")]
    Busy,
    /// There is no refresh token, or no such connection.
    #[error("there is nothing to refresh with")]
    NothingToRefresh,
    #[error("the system has no randomness")]
    Randomness,
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OAuthError {
    /// Stable: part of the interface.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "oauth_refused",
            Self::Unavailable { .. } => "oauth_unavailable",
            Self::Malformed(_) => "oauth_malformed",
            Self::Outbound(OutboundError::AddressRefused) => "address_refused",
            Self::Outbound(_) => "oauth_unavailable",
            Self::UnknownState => "oauth_state_unknown",
            Self::Pending { .. } => "authorization_pending",
            Self::Busy => "oauth_busy",
            Self::NothingToRefresh => "nothing_to_refresh",
            Self::Randomness => "no_randomness",
            Self::Vault(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    /// Whether asking again can never help, so that the connection has to be made anew.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused(_) | Self::NothingToRefresh => true,
            Self::Unavailable { .. }
            | Self::Malformed(_)
            | Self::Outbound(_)
            | Self::UnknownState
            | Self::Pending { .. }
            | Self::Busy
            | Self::Randomness
            | Self::Vault(_)
            | Self::Store(_) => false,
        }
    }
}

impl MayRetry for OAuthError {
    fn may_retry(&self) -> bool {
        match self {
            Self::Store(error) => error.may_retry(),
            Self::Vault(error) => error.may_retry(),
            Self::Refused(_)
            | Self::Unavailable { .. }
            | Self::Malformed(_)
            | Self::Outbound(_)
            | Self::UnknownState
            | Self::Pending { .. }
            | Self::Busy
            | Self::NothingToRefresh
            | Self::Randomness => false,
        }
    }
}
