//! The key of an installation, and what it signs: tokens of sandboxes that proxies believe without
//! having been told of each. The private key is sealed as secrets are.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sallygate_compiler::snapshot::{SIGNED_AUDIENCE, SIGNED_ISSUER, Signer};
use serde::{Deserialize, Serialize};

use crate::credentials::{INSTALLATION, Place, Plaintext, Sealed, Vault};
use crate::domain::{Act, DomainError};
use crate::id::IdKind;
use crate::store::{Row, Transaction, fetch_optional};
use crate::values;

/// What is signed cannot be taken back one by one, so it does not live long.
pub const LIFE_SECONDS_MAX: i64 = 24 * 3600;
const LEEWAY_SECONDS: i64 = 30;

/// A token that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedToken {
    pub sandbox: String,
    /// Which of the sandbox's tokens it goes with: a rotation ends it.
    pub generation: i64,
    pub seconds: i64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    #[serde(rename = "gen")]
    generation: i64,
    iat: i64,
    exp: i64,
}

/// A key that signs.
pub struct SigningKey {
    id: String,
    private: Plaintext,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.id).finish()
    }
}

impl SigningKey {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The token, and when it ends; `None`: it cannot be signed.
    pub fn sign(&self, token: &SignedToken, now_ms: i64) -> Option<(String, i64)> {
        let iat = now_ms.div_euclid(1000);
        let exp = iat.saturating_add(token.seconds);
        let claims = Claims {
            iss: SIGNED_ISSUER.to_owned(),
            aud: SIGNED_AUDIENCE.to_owned(),
            sub: token.sandbox.clone(),
            generation: token.generation,
            iat,
            exp,
        };
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(self.private.expose());
        let text = jsonwebtoken::encode(&header, &claims, &key).ok()?;
        Some((text, exp.saturating_mul(1000)))
    }
}

/// The newest key of the installation; the first one is made when it is needed.
pub async fn key(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
) -> Result<SigningKey, DomainError> {
    let sql = "SELECT id, key_version, ciphertext FROM signing_keys ORDER BY id DESC LIMIT 1";
    match fetch_optional(transaction, sql, Vec::new()).await? {
        Some(row) => open(transaction, vault, row).await,
        None => make(transaction, (act, vault)).await,
    }
}

async fn open(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    mut row: Row,
) -> Result<SigningKey, DomainError> {
    let id = row.text()?;
    let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
    let private = vault.open(transaction, INSTALLATION, place(&id), &sealed).await?;
    Ok(SigningKey { id, private })
}

async fn make(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
) -> Result<SigningKey, DomainError> {
    let id = act.new_id(IdKind::SigningKey)?.to_string();
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
    let document = document.map_err(|_| DomainError::randomness())?;
    let private = Plaintext::new(document.as_ref().to_vec());
    let pair = Ed25519KeyPair::from_pkcs8(private.expose());
    let pair = pair.map_err(|_| DomainError::randomness())?;
    let sealed = vault.seal(transaction, INSTALLATION, place(&id), &private).await?;
    let sql = "INSERT INTO signing_keys (id, public_key, key_version, ciphertext, created_at) \
               VALUES ($1, $2, $3, $4, $5)";
    let public = pair.public_key().as_ref();
    let values = values![&id, public, sealed.key_version, sealed.ciphertext, act.now_ms];
    transaction.execute(sql, values).await?;
    Ok(SigningKey { id, private })
}

fn place(row: &str) -> Place<'_> {
    Place { table: "signing_keys", row, column: "ciphertext" }
}

/// Which sandbox a token says that it is of: not to be believed before [`is_good`].
pub fn claimed(text: &str) -> Option<String> {
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(text);
    claims.ok().map(|claims| claims.sub)
}

/// Whether a token was signed for this sandbox and is good now.
pub fn is_good(text: &str, (sandbox, signer): (&str, &Signer), now_ms: i64) -> bool {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[SIGNED_AUDIENCE]);
    validation.set_issuer(&[SIGNED_ISSUER]);
    // The time is the caller's, below.
    validation.validate_exp = false;
    let key = DecodingKey::from_ed_der(&signer.public_key);
    let Ok(decoded) = jsonwebtoken::decode::<Claims>(text, &key, &validation) else { return false };
    let (claims, now) = (decoded.claims, now_ms.div_euclid(1000));
    let until = signer.until(claims.generation, claims.exp);
    claims.sub == sandbox
        && claims.iat <= now.saturating_add(LEEWAY_SECONDS)
        && until.is_some_and(|until| until > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn pair() -> (SigningKey, [u8; 32]) {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let private = Plaintext::new(document.as_ref().to_vec());
        let public = pair.public_key().as_ref().try_into().unwrap();
        (SigningKey { id: "sgk_1".to_owned(), private }, public)
    }

    #[test]
    fn a_signed_token_is_good_for_its_sandbox_its_generation_and_its_time() {
        let (key, public_key) = pair();
        let token = SignedToken { sandbox: "sbx_1".to_owned(), generation: 2, seconds: 60 };
        let (text, expires_ms) = key.sign(&token, NOW).unwrap();
        assert_eq!(expires_ms, NOW + 60_000);
        assert_eq!(claimed(&text).as_deref(), Some("sbx_1"));
        let signer = Signer { public_key, generation: 2, former_until_unix: None };
        let good = |of, signer: &Signer, now| is_good(&text, (of, signer), now);
        assert!(good("sbx_1", &signer, NOW) && good("sbx_1", &signer, NOW + 59_999));
        assert!(!good("sbx_1", &signer, NOW + 60_000), "it is over");
        assert!(!good("sbx_1", &signer, NOW - 31_000), "it is from the future");
        assert!(!good("sbx_2", &signer, NOW), "it is another's");
        let other = Signer { public_key: pair().1, ..signer };
        assert!(!good("sbx_1", &other, NOW), "another key");
        let next = Signer { generation: 3, ..signer };
        assert!(!good("sbx_1", &next, NOW), "it was replaced");
        let overlap = Signer { former_until_unix: Some(NOW / 1000 + 10), ..next };
        assert!(good("sbx_1", &overlap, NOW + 9_999) && !good("sbx_1", &overlap, NOW + 10_000));
        for at in 0..text.len() {
            assert!(!is_good(text.get(..at).unwrap(), ("sbx_1", &signer), NOW), "cut at {at}");
        }
        // The public key as the secret of a symmetric algorithm.
        let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(&text).unwrap();
        let secret = EncodingKey::from_secret(&public_key);
        let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret);
        assert!(!is_good(&forged.unwrap(), ("sbx_1", &signer), NOW));
        for text in ["", "a.b.c", "..", "eyJhbGciOiJub25lIn0.e30."] {
            assert!(claimed(text).is_none() && !is_good(text, ("sbx_1", &signer), NOW), "{text}");
        }
    }
}
