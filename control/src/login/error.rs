//! Why nobody was signed in.

use super::IdTokenError;
use crate::domain::{DomainError, Fault};
use crate::oauth::OAuthError;
use crate::store::{MayRetry, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The browser is not the one that began, or it is too late.
    #[error("the sign-in was not begun in this browser, was ended already, or took too long")]
    UnknownAttempt,
    /// The provider's own refusal, or the person's.
    #[error("the sign-in was refused at the provider")]
    Refused,
    /// Another provider's answer (RFC 9207).
    #[error("the answer is not of the provider that was asked")]
    OtherIssuer,
    #[error("the ID token is not acceptable: {0}")]
    IdToken(#[from] IdTokenError),
    /// Known to the provider, and nobody here.
    #[error("no rule lets this person in")]
    NotAllowed,
    #[error("the provider cannot be asked: {0}")]
    Provider(#[source] OAuthError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl LoginError {
    /// Stable: part of the interface.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownAttempt => "login_unknown",
            Self::Refused => "login_refused",
            Self::OtherIssuer => "login_other_issuer",
            Self::IdToken(_) => "id_token_invalid",
            Self::NotAllowed => "login_not_allowed",
            Self::Provider(_) => "login_provider_unavailable",
            Self::Store(error) => error.code(),
            Self::Domain(error) => error.code,
        }
    }
}

impl From<OAuthError> for LoginError {
    fn from(error: OAuthError) -> Self {
        match error {
            OAuthError::UnknownState => Self::UnknownAttempt,
            OAuthError::Refused(_) => Self::Refused,
            OAuthError::Store(error) => Self::Store(error),
            error @ (OAuthError::Unavailable { .. }
            | OAuthError::Malformed(_)
            | OAuthError::Outbound(_)
            | OAuthError::Pending { .. }
            | OAuthError::Busy
            | OAuthError::NothingToRefresh
            | OAuthError::Randomness
            | OAuthError::Vault(_)) => Self::Provider(error),
        }
    }
}

impl From<LoginError> for DomainError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Domain(error) => error,
            LoginError::Store(error) => error.into(),
            other @ (LoginError::UnknownAttempt
            | LoginError::Refused
            | LoginError::OtherIssuer
            | LoginError::IdToken(_)
            | LoginError::NotAllowed
            | LoginError::Provider(_)) => {
                Self::new(Fault::Unavailable, other.code(), other.to_string())
            }
        }
    }
}

impl MayRetry for LoginError {
    fn may_retry(&self) -> bool {
        match self {
            Self::Store(error) => error.may_retry(),
            Self::Domain(error) => error.may_retry(),
            Self::UnknownAttempt
            | Self::Refused
            | Self::OtherIssuer
            | Self::IdToken(_)
            | Self::NotAllowed
            | Self::Provider(_) => false,
        }
    }
}
