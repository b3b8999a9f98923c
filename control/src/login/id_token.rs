//! ID tokens, judged as OpenID Connect Core §3.1.3.7 says.

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

/// Clocks that differ by so much still agree.
const LEEWAY_MS: i64 = 60_000;
/// Nothing symmetric, and never `none`.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'e> {
    pub issuer: &'e str,
    pub client_id: &'e str,
    pub nonce: &'e str,
    pub now_ms: i64,
}

/// What a token says that was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(Map<String, Value>);

/// Why a token is not believed. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    #[error("it is not a token")]
    Malformed,
    #[error("it is signed in a way that is not accepted")]
    Algorithm,
    #[error("it is signed with a key that the provider does not have")]
    UnknownKey,
    #[error("its signature, issuer or audience is wrong")]
    Invalid,
    #[error("it is meant for another party")]
    Party,
    #[error("it has expired, or is from the future")]
    Time,
    #[error("it was not made for this sign-in")]
    Nonce,
    #[error("it does not say who it is about")]
    Subject,
}

impl Claims {
    pub fn of(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// With what `others` say besides.
    pub(super) fn completed_by(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    fn time_ms(&self, name: &str) -> Option<i64> {
        let seconds = self.get(name)?;
        #[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
        let seconds = seconds.as_i64().or_else(|| seconds.as_f64().map(|s| s as i64))?;
        seconds.checked_mul(1000)
    }
}

/// The name of the key that signed.
pub(super) fn key_id(token: &str) -> Result<Option<String>, IdTokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| IdTokenError::Malformed)?;
    Ok(header.kid)
}

/// Believes a token, or says why not.
pub fn verify(token: &str, keys: &JwkSet, expected: Expected<'_>) -> Result<Claims, IdTokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| IdTokenError::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(IdTokenError::Algorithm);
    }
    let key = find(keys, header.kid.as_deref()).ok_or(IdTokenError::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|_| IdTokenError::UnknownKey)?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The time is the caller's, below.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let data = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation);
    let claims = Claims(data.map_err(|_| IdTokenError::Invalid)?.claims);
    check_party(&claims, expected.client_id)?;
    check_time(&claims, expected.now_ms)?;
    if claims.text("nonce") != Some(expected.nonce) {
        return Err(IdTokenError::Nonce);
    }
    match claims.text("sub") {
        Some(subject) if (1..=255).contains(&subject.len()) => Ok(claims),
        Some(_) | None => Err(IdTokenError::Subject),
    }
}

/// Without a name there must be no choice.
fn find<'k>(keys: &'k JwkSet, key_id: Option<&str>) -> Option<&'k Jwk> {
    let signs =
        |key: &&Jwk| matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let mut candidates =
        keys.keys.iter().filter(signs).filter(|key| match (key_id, &key.common.key_id) {
            (Some(wanted), Some(own)) => wanted == own,
            (Some(_), None) => false,
            (None, _) => true,
        });
    let found = candidates.next()?;
    if candidates.next().is_some() { None } else { Some(found) }
}

/// A token for several parties says for whom it was made.
fn check_party(claims: &Claims, client_id: &str) -> Result<(), IdTokenError> {
    let several = matches!(claims.get("aud"), Some(Value::Array(parties)) if parties.len() > 1);
    match claims.get("azp") {
        Some(party) if party.as_str() == Some(client_id) => Ok(()),
        None if !several => Ok(()),
        Some(_) | None => Err(IdTokenError::Party),
    }
}

fn check_time(claims: &Claims, now_ms: i64) -> Result<(), IdTokenError> {
    let expires = claims.time_ms("exp").ok_or(IdTokenError::Time)?;
    let issued = claims.time_ms("iat").ok_or(IdTokenError::Time)?;
    let not_before = claims.get("nbf").map(|_| claims.time_ms("nbf").ok_or(IdTokenError::Time));
    let begins = not_before.transpose()?.unwrap_or(issued).max(issued);
    let lives = expires.saturating_add(LEEWAY_MS) > now_ms;
    let begun = begins <= now_ms.saturating_add(LEEWAY_MS);
    if lives && begun { Ok(()) } else { Err(IdTokenError::Time) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::EncodingKey;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const ISSUER: &str = "https://id.example";

    struct Signer {
        key: EncodingKey,
        jwk: Value,
    }

    fn signer(id: &str) -> Signer {
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::generate(kind).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let text = |part| URL_SAFE_NO_PAD.encode(part);
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": text(x), "y": text(y),
        });
        Signer { key: EncodingKey::from_ec_der(der.as_ref()), jwk }
    }

    fn set(keys: &[&Value]) -> JwkSet {
        serde_json::from_value(json!({ "keys": keys })).unwrap()
    }

    fn good() -> Value {
        let seconds = NOW / 1000;
        json!({
            "iss": ISSUER, "aud": "us", "sub": "ada", "nonce": "n",
            "iat": seconds, "exp": seconds + 300,
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    fn judge(signer: &Signer, keys: &JwkSet, claims: &Value) -> Result<Claims, IdTokenError> {
        let mut header = jsonwebtoken::Header::new(Algorithm::ES256);
        header.kid = Some("k1".to_owned());
        let token = jsonwebtoken::encode(&header, claims, &signer.key).unwrap();
        verify(&token, keys, EXPECTED)
    }

    const EXPECTED: Expected<'_> =
        Expected { issuer: ISSUER, client_id: "us", nonce: "n", now_ms: NOW };

    #[test]
    fn a_token_is_believed_only_when_everything_of_it_is_right() {
        let (one, other) = (signer("k1"), signer("k1"));
        let keys = set(&[&one.jwk]);
        let seconds = NOW / 1000;
        for believed in [
            good(),
            with("aud", json!(["us"])),
            with("azp", json!("us")),
            json!({ "iss": ISSUER, "aud": ["us", "them"], "azp": "us", "sub": "ada", "nonce": "n",
                    "iat": seconds + 50, "exp": seconds - 50 }),
        ] {
            let claims = judge(&one, &keys, &believed);
            assert_eq!(claims.as_ref().map(|c| c.text("sub")), Ok(Some("ada")), "{believed}");
        }
        for (claims, error) in [
            (with("iss", json!("https://id.example/")), IdTokenError::Invalid),
            (with("iss", Value::Null), IdTokenError::Invalid),
            (with("aud", json!("them")), IdTokenError::Invalid),
            (with("aud", json!([])), IdTokenError::Invalid),
            (with("aud", json!(["us", "them"])), IdTokenError::Party),
            (with("azp", json!("them")), IdTokenError::Party),
            (with("azp", json!(7)), IdTokenError::Party),
            (with("exp", json!(seconds - 61)), IdTokenError::Time),
            (with("exp", json!("soon")), IdTokenError::Invalid),
            (with("iat", json!(seconds + 61)), IdTokenError::Time),
            (with("iat", Value::Null), IdTokenError::Time),
            (with("nbf", json!(seconds + 61)), IdTokenError::Time),
            (with("nbf", json!("now")), IdTokenError::Time),
            (with("nonce", json!("m")), IdTokenError::Nonce),
            (with("nonce", Value::Null), IdTokenError::Nonce),
            (with("sub", json!("")), IdTokenError::Subject),
            (with("sub", json!("x".repeat(256))), IdTokenError::Subject),
        ] {
            assert_eq!(judge(&one, &keys, &claims), Err(error), "{claims}");
        }
        assert_eq!(judge(&other, &keys, &good()), Err(IdTokenError::Invalid));
        assert_eq!(judge(&one, &set(&[]), &good()), Err(IdTokenError::UnknownKey));
        let twice = set(&[&one.jwk, &other.jwk]);
        assert_eq!(judge(&one, &twice, &good()), Err(IdTokenError::UnknownKey));
        let mut encrypts = one.jwk.clone();
        encrypts["use"] = json!("enc");
        assert_eq!(judge(&one, &set(&[&encrypts]), &good()), Err(IdTokenError::UnknownKey));
    }

    #[test]
    fn what_is_not_signed_with_a_key_of_the_provider_is_refused() {
        let one = signer("k1");
        let keys = set(&[&one.jwk]);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&good()));
        // The classic: the public key as the secret of an HMAC.
        let secret = EncodingKey::from_secret(one.jwk.to_string().as_bytes());
        let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
        header.kid = Some("k1".to_owned());
        let hmac = jsonwebtoken::encode(&header, &good(), &secret).unwrap();
        for (token, error) in [
            (unsigned.as_str(), IdTokenError::Malformed),
            (hmac.as_str(), IdTokenError::Algorithm),
            ("", IdTokenError::Malformed),
            ("a.b.c", IdTokenError::Malformed),
            ("...", IdTokenError::Malformed),
        ] {
            assert_eq!(verify(token, &keys, EXPECTED), Err(error), "{token}");
        }
    }
}
