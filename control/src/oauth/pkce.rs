//! Proof that whoever exchanges a code is whoever asked for it (RFC 7636), by S256 alone.

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::OAuthError;
use crate::credentials::Plaintext;

/// Bytes of randomness in verifiers, states and nonces: 43 characters.
const BYTES: usize = 32;

/// What is kept until the code comes back.
#[derive(Debug)]
pub struct Verifier(Plaintext);

impl Verifier {
    pub fn new() -> Result<Self, OAuthError> {
        Ok(Self(Plaintext::new(random()?.into_bytes())))
    }

    /// A verifier that was kept.
    pub fn from_kept(kept: Plaintext) -> Self {
        Self(kept)
    }

    /// What the provider is told at first.
    pub fn challenge(&self) -> String {
        let hash = digest::digest(&digest::SHA256, self.0.expose());
        URL_SAFE_NO_PAD.encode(hash.as_ref())
    }

    pub fn plaintext(&self) -> &Plaintext {
        &self.0
    }
}

/// 256 random bits that may stand in a URL.
pub(super) fn random() -> Result<String, OAuthError> {
    let mut bytes = [0u8; BYTES];
    rand::fill(&mut bytes).map_err(|_| OAuthError::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let kept = Plaintext::new(b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_vec());
        let verifier = Verifier::from_kept(kept);
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn verifiers_differ_and_are_as_long_as_the_standard_wants() {
        let (one, other) = (Verifier::new().unwrap(), Verifier::new().unwrap());
        assert_ne!(one.challenge(), other.challenge());
        assert_eq!(one.plaintext().expose().len(), 43);
        assert!(!format!("{one:?}").contains(&one.challenge()));
    }
}
