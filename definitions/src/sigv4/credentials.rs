//! What requests are signed with.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

/// An access key, or a session with its token. Zeroed when dropped, and never shown.
#[derive(Clone)]
pub struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
}

/// The value is not credentials: nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCredentials;

impl fmt::Display for BadCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value is not the JSON of `credential_process`, version 1")
    }
}

impl std::error::Error for BadCredentials {}

/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl Credentials {
    pub fn new(access_key_id: &str, secret_access_key: &str, session_token: Option<&str>) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: Zeroizing::new(secret_access_key.to_owned()),
            session_token: session_token.map(|token| Zeroizing::new(token.to_owned())),
        }
    }

    /// Reads what `credential_process` and `aws configure export-credentials` print.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadCredentials> {
        let read: Process = serde_json::from_slice(bytes).map_err(|_| BadCredentials)?;
        let Process { version, access_key_id, .. } = read;
        let secret_access_key = Zeroizing::new(read.secret_access_key);
        let session_token = read.session_token.map(Zeroizing::new);
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let texts = [
            Some(access_key_id.as_str()),
            Some(secret_access_key.as_str()),
            session_token.as_ref().map(|token| token.as_str()),
        ];
        if version != 1 || !texts.into_iter().flatten().all(is_token) {
            return Err(BadCredentials);
        }
        Ok(Self { access_key_id, secret_access_key, session_token })
    }

    /// The value of `x-amz-security-token`.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_ref().map(|token| token.as_str())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}
