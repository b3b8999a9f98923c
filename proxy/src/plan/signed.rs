//! Tokens that a control service signed (JWT, EdDSA): believed by its public key, without asking.
//!
//! It must never believe what a token says of itself before the signature was seen to be right.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sallygate_compiler::snapshot::{SIGNED_AUDIENCE, SIGNED_ISSUER, Signer};
use serde::Deserialize;

use super::Token;

/// Longer texts are no tokens.
const TOKEN_BYTES_MAX: usize = 2048;
/// Clocks that differ by so much still agree.
const LEEWAY_SECONDS: i64 = 30;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(rename = "gen")]
    generation: i64,
    iat: i64,
    exp: i64,
}

/// What a signature stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Signed {
    /// The beginning of the key: enough to tell that it was replaced.
    key: [u8; 8],
    generation: i64,
    until_unix: i64,
}

/// Whether a text has the form of one, so that others cost nothing.
pub(crate) fn looks_signed(text: &str) -> bool {
    let parts = text.split('.').filter(|part| !part.is_empty()).count();
    text.len() <= TOKEN_BYTES_MAX && parts == 3 && text.matches('.').count() == 2
}

/// Which sandbox a token says that it is of: not to be believed before [`verify`].
pub(crate) fn claimed(text: &str) -> Option<String> {
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(text);
    claims.ok().map(|claims| claims.sub)
}

/// The token, when it was signed with `key` for this sandbox and is not from the future.
pub(crate) fn verify(text: &str, key: [u8; 32], sandbox: &str, now_unix: i64) -> Option<Token> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[SIGNED_AUDIENCE]);
    validation.set_issuer(&[SIGNED_ISSUER]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    // The time is the caller's: what is over is told apart from what was never good.
    validation.validate_exp = false;
    let decoded =
        jsonwebtoken::decode::<Claims>(text, &DecodingKey::from_ed_der(&key), &validation);
    let claims = decoded.ok()?.claims;
    if claims.sub != sandbox || claims.iat > now_unix.saturating_add(LEEWAY_SECONDS) {
        return None;
    }
    let (key, generation) = (beginning(&key), claims.generation);
    Some(Token::Signed(Signed { key, generation, until_unix: claims.exp }))
}

fn beginning(key: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    [a, b, c, d, e, f, g, h]
}

/// Whose signed tokens a sandbox takes.
#[derive(Clone, Debug)]
pub(crate) struct Signers {
    signer: Signer,
    ends: Arc<Ends>,
}

impl Signers {
    pub(crate) fn new(signer: Signer, ends: &Arc<Ends>) -> Self {
        Self { signer, ends: Arc::clone(ends) }
    }

    pub(crate) fn key(&self) -> [u8; 32] {
        self.signer.public_key
    }

    /// Until when what was signed is good; `None`: it is not any more, whatever it says.
    pub(crate) fn until(&self, signed: &Signed) -> Option<i64> {
        let until = self.signer.until(signed.generation, signed.until_unix)?;
        (signed.key == beginning(&self.signer.public_key)).then(|| {
            self.ends.note(until);
            until
        })
    }
}

/// When signed tokens end that somebody uses: nobody else knows of them.
#[derive(Debug, Default)]
pub(crate) struct Ends(Mutex<BTreeSet<i64>>);

impl Ends {
    fn note(&self, until_unix: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(until_unix);
    }

    /// Whether one ended up to now; it is forgotten.
    pub(crate) fn take_until(&self, now_unix: i64) -> bool {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let later = ends.split_off(&now_unix.saturating_add(1));
        !std::mem::replace(&mut *ends, later).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use jsonwebtoken::{EncodingKey, Header};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn pair() -> (EncodingKey, [u8; 32]) {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (EncodingKey::from_ed_der(document.as_ref()), public)
    }

    #[test]
    fn only_what_was_signed_for_a_sandbox_proves_it() {
        let (key, public) = pair();
        let claims = |changed: &str, value: serde_json::Value| {
            let mut claims = serde_json::json!({
                "iss": SIGNED_ISSUER, "aud": SIGNED_AUDIENCE, "sub": "s", "gen": 1, "iat": NOW,
                "exp": NOW + 60,
            });
            claims[changed] = value;
            claims
        };
        let sign = |claims: &serde_json::Value, algorithm, key: &EncodingKey| {
            jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
        };
        let good = claims("gen", 1.into());
        let text = sign(&good, Algorithm::EdDSA, &key);
        assert!(looks_signed(&text));
        assert_eq!(claimed(&text).as_deref(), Some("s"));
        let Some(Token::Signed(signed)) = verify(&text, public, "s", NOW) else { panic!("good") };
        for (changed, value) in [
            ("iss", "other".into()),
            ("aud", "other".into()),
            ("sub", "other".into()),
            ("iat", (NOW + 31).into()),
            ("exp", serde_json::Value::Null),
            ("gen", "1".into()),
        ] {
            let text = sign(&claims(changed, value), Algorithm::EdDSA, &key);
            assert!(verify(&text, public, "s", NOW).is_none(), "{changed}");
        }
        // The public key as the secret of a symmetric algorithm.
        let symmetric = EncodingKey::from_secret(&public);
        let text_of_secret = sign(&good, Algorithm::HS256, &symmetric);
        assert!(verify(&text_of_secret, public, "s", NOW).is_none());
        assert!(verify(&text, pair().1, "s", NOW).is_none(), "another key");
        assert!(verify(&text, [0; 32], "s", NOW).is_none(), "no key");
        for at in 0..text.len() {
            assert!(verify(text.get(..at).unwrap(), public, "s", NOW).is_none(), "cut at {at}");
        }
        let signers = |public_key, generation, former_until_unix| {
            Signers::new(Signer { public_key, generation, former_until_unix }, &Arc::default())
        };
        assert_eq!(signers(public, 1, None).until(&signed), Some(NOW + 60));
        assert_eq!(signers(public, 2, Some(NOW + 5)).until(&signed), Some(NOW + 5));
        assert_eq!(signers(public, 2, None).until(&signed), None, "it was replaced");
        assert_eq!(signers(public, 3, Some(NOW + 5)).until(&signed), None, "twice");
        assert_eq!(signers(pair().1, 1, None).until(&signed), None, "so was the key");
    }

    #[test]
    fn an_end_is_told_once() {
        let ends = Ends::default();
        assert!(!ends.take_until(i64::MAX));
        ends.note(10);
        ends.note(20);
        assert!(!ends.take_until(9));
        assert!(ends.take_until(10));
        assert!(!ends.take_until(10));
        assert!(ends.take_until(30));
        assert!(!ends.take_until(i64::MAX));
    }

    #[test]
    fn only_a_text_of_three_parts_is_looked_into() {
        assert!(looks_signed("a.b.c"));
        let long = format!("a.b.{}", "c".repeat(TOKEN_BYTES_MAX));
        for wrong in ["", "a", "a.b", "a..c", ".b.c", "a.b.", "a.b.c.d", "a.b.c.", &long] {
            assert!(!looks_signed(wrong), "{wrong}");
        }
        assert!(claimed("a.b.c").is_none());
        assert!(verify("a.b.c", [0; 32], "s", 0).is_none());
    }
}
