//! What a token is asked for with.

use crate::credentials::Plaintext;

/// One request to a token endpoint.
#[derive(Clone, Copy, Debug)]
pub enum Grant<'a> {
    /// The code that came back, and what proves that it was ours.
    Code {
        code: &'a Plaintext,
        verifier: Option<&'a Plaintext>,
        redirect_uri: &'a str,
    },
    Refresh {
        token: &'a Plaintext,
    },
    ClientCredentials,
    Device {
        code: &'a Plaintext,
    },
}

impl<'a> Grant<'a> {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Code { .. } => "authorization_code",
            Self::Refresh { .. } => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::Device { .. } => "urn:ietf:params:oauth:grant-type:device_code",
        }
    }

    /// The parameters besides `grant_type`.
    pub(super) fn parameters(&self) -> Vec<(&'static str, &'a [u8])> {
        match *self {
            Self::Code { code, verifier, redirect_uri } => {
                let mut all =
                    vec![("code", code.expose()), ("redirect_uri", redirect_uri.as_bytes())];
                all.extend(verifier.map(|verifier| ("code_verifier", verifier.expose())));
                all
            }
            Self::Refresh { token } => vec![("refresh_token", token.expose())],
            Self::ClientCredentials => Vec::new(),
            Self::Device { code } => vec![("device_code", code.expose())],
        }
    }
}
