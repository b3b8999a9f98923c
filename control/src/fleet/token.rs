//! The tokens by which proxies are known: JSON Web Tokens that a proxy signs anew for every request
//! (Ed25519), for one installation, for half a minute.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// How long a token is good. With the leeway nobody can use it for longer than a minute.
const LIFE_SECONDS: i64 = 30;
/// Clocks that differ by so much still agree.
const LEEWAY_SECONDS: i64 = 30;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    /// The proxy.
    sub: String,
    /// The installation.
    aud: String,
    iat: i64,
    exp: i64,
}

/// Why a token is not believed. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is no token of a proxy")]
    Malformed,
    #[error("it is not signed with the proxy's key, or not for this installation")]
    Invalid,
    #[error("it is over, from the future, or good for too long")]
    Time,
}

/// A token of the proxy, made now.
pub fn sign(key: &EncodingKey, (proxy, audience): (&str, &str), now_ms: i64) -> Option<String> {
    let iat = now_ms.div_euclid(1000);
    let header = Header { kid: Some(proxy.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let (sub, aud) = (proxy.to_owned(), audience.to_owned());
    let claims = Claims { sub, aud, iat, exp: iat.saturating_add(LIFE_SECONDS) };
    jsonwebtoken::encode(&header, &claims, key).ok()
}

/// Whose token it says that it is: not to be believed before [`verify`].
pub fn claimed(token: &str) -> Result<String, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
    if header.alg != Algorithm::EdDSA {
        return Err(TokenError::Malformed);
    }
    header.kid.ok_or(TokenError::Malformed)
}

/// Believes that `token` is one of this proxy, made for this installation lately.
pub fn verify(
    token: &str,
    public_key: &[u8],
    (proxy, audience): (&str, &str),
    now_ms: i64,
) -> Result<(), TokenError> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "aud", "sub"]);
    // The time is the caller's, below.
    validation.validate_exp = false;
    let key = DecodingKey::from_ed_der(public_key);
    let data = jsonwebtoken::decode::<Claims>(token, &key, &validation);
    let claims = data.map_err(|_| TokenError::Invalid)?.claims;
    if claims.sub != proxy {
        return Err(TokenError::Invalid);
    }
    let now = now_ms.div_euclid(1000);
    let brief = claims.exp.saturating_sub(claims.iat) <= LIFE_SECONDS;
    let begun = claims.iat <= now.saturating_add(LEEWAY_SECONDS);
    let lives = claims.exp.saturating_add(LEEWAY_SECONDS) > now;
    if brief && begun && lives { Ok(()) } else { Err(TokenError::Time) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn pair() -> (EncodingKey, Vec<u8>) {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
        let document = document.unwrap();
        let public = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        (EncodingKey::from_ed_der(document.as_ref()), public.public_key().as_ref().to_vec())
    }

    #[test]
    fn a_token_is_good_for_its_proxy_its_installation_and_its_minute() {
        let (key, public) = pair();
        let token = sign(&key, ("prx_1", "ins_1"), NOW).unwrap();
        assert_eq!(claimed(&token).as_deref(), Ok("prx_1"));
        let verified = |public: &[u8], names, at| verify(&token, public, names, at);
        let names = ("prx_1", "ins_1");
        for at in [NOW, NOW + 59_000, NOW - 30_000] {
            assert_eq!(verified(&public, names, at), Ok(()), "{at}");
        }
        for at in [NOW + 60_000, NOW + 3_600_000, NOW - 31_000, i64::MAX, i64::MIN] {
            assert_eq!(verified(&public, names, at), Err(TokenError::Time), "{at}");
        }
        assert_eq!(verified(&pair().1, names, NOW), Err(TokenError::Invalid), "another key");
        assert_eq!(verified(&public, ("prx_2", "ins_1"), NOW), Err(TokenError::Invalid));
        assert_eq!(verified(&public, ("prx_1", "ins_2"), NOW), Err(TokenError::Invalid));
        for at in 0..token.len() {
            let cut = token.get(..at).unwrap();
            assert!(verify(cut, &public, names, NOW).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_token_that_lives_long_or_is_signed_otherwise_is_refused() {
        let (key, public) = pair();
        let iat = NOW / 1000;
        let claims = |exp: i64| json!({ "sub": "p", "aud": "i", "iat": iat, "exp": exp });
        let header = Header { kid: Some("p".into()), ..Header::new(Algorithm::EdDSA) };
        let long = jsonwebtoken::encode(&header, &claims(iat + 3600), &key).unwrap();
        assert_eq!(verify(&long, &public, ("p", "i"), NOW), Err(TokenError::Time));
        // The public key as the secret of a symmetric algorithm: the oldest trick there is.
        let header = Header { kid: Some("p".into()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(&public);
        let symmetric = jsonwebtoken::encode(&header, &claims(iat + 30), &secret).unwrap();
        assert_eq!(claimed(&symmetric), Err(TokenError::Malformed));
        assert_eq!(verify(&symmetric, &public, ("p", "i"), NOW), Err(TokenError::Invalid));
        for text in ["", "a.b.c", "..", "eyJhbGciOiJub25lIn0.e30."] {
            assert!(claimed(text).is_err(), "{text}");
        }
    }
}
