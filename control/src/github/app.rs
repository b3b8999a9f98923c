//! The app itself: it proves who it is with its key, and asks for its installations' tokens.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use axum::http::{HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{AppError, Narrow};
use crate::clock::parse_rfc3339;
use crate::connect::{Site, bearer};
use crate::credentials::Plaintext;
use crate::domain::DomainError;
use crate::outbound::{Answer, Outbound};

/// Our clock may be ahead of GitHub's by so much.
const BACK_DATED_SECONDS: i64 = 60;
/// With what it is back-dated by, not more than the ten minutes that GitHub allows.
const LIFE_SECONDS: i64 = 9 * 60;
/// A token that is said to live longer is replaced earlier.
const TOKEN_LIFE_MS_MAX: i64 = 3_600_000;

pub(crate) struct App {
    id: String,
    key: RsaKeyPair,
    api: String,
    outbound: Outbound,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What GitHub says of an installation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Installation {
    pub(crate) id: u64,
    #[serde(default)]
    pub(crate) app_id: Option<u64>,
    pub(crate) account: Account,
    /// `read`, `write` or `admin` by permission.
    #[serde(default)]
    pub(crate) permissions: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) suspended_at: Option<String>,
}

/// Whose things an installation gives access to. An enterprise has no login, and no repositories.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Account {
    #[serde(default)]
    pub(crate) login: String,
}

impl App {
    /// The app of a target.
    pub(crate) fn of(site: &Site<'_>) -> Result<Self, DomainError> {
        let id = site.text("appId")?.to_owned();
        let key = key(site.secret("privateKey")?.expose()).ok_or_else(|| {
            let message = "the app's `privateKey` is not an RSA key in PEM";
            DomainError::conflict("target_incomplete", message)
        })?;
        let api = site.text("apiBaseUrl")?.trim_end_matches('/').to_owned();
        Ok(Self { id, key, api, outbound: site.outbound.clone() })
    }

    /// Where the app's API is: what tells one GitHub from another.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) async fn installation(
        &self,
        id: &str,
        now_ms: i64,
    ) -> Result<Installation, AppError> {
        let url = format!("{}/app/installations/{id}", self.api);
        let answer = self.outbound.get(&url, Some(self.proof(now_ms)?)).await?;
        if answer.status != StatusCode::OK {
            return Err(failure(&answer));
        }
        let found: Installation = serde_json::from_slice(&answer.body)
            .map_err(|_| AppError::Malformed("not an installation"))?;
        match found.suspended_at {
            Some(_) => Err(AppError::Gone("the installation of the app is suspended")),
            None => Ok(found),
        }
    }

    /// A token that can do what `narrow` says and nothing else, and when it ends.
    pub(crate) async fn token(
        &self,
        id: &str,
        narrow: &Narrow,
        now_ms: i64,
    ) -> Result<(Plaintext, i64), AppError> {
        #[derive(Deserialize)]
        struct Given {
            token: String,
            expires_at: String,
        }
        let url = format!("{}/app/installations/{id}/access_tokens", self.api);
        let body = narrow.body().to_string();
        let answer = self.outbound.post_json(&url, self.proof(now_ms)?, body).await?;
        if answer.status != StatusCode::CREATED {
            return Err(failure(&answer));
        }
        let malformed = || AppError::Malformed("not a token");
        let given: Given = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
        let token = Plaintext::new(given.token.into_bytes());
        let fine = !token.expose().is_empty() && token.expose().iter().all(u8::is_ascii_graphic);
        let expires_ms = parse_rfc3339(&given.expires_at).filter(|_| fine);
        let expires_ms = expires_ms.ok_or_else(malformed)?;
        Ok((token, expires_ms.min(now_ms.saturating_add(TOKEN_LIFE_MS_MAX))))
    }

    /// The app's JSON Web Token (RFC 7519), signed with RS256.
    fn proof(&self, now_ms: i64) -> Result<HeaderValue, AppError> {
        let now = now_ms.div_euclid(1000);
        let header = json!({ "alg": "RS256", "typ": "JWT" });
        let (iat, exp) = (now - BACK_DATED_SECONDS, now + LIFE_SECONDS);
        let claims = json!({ "iat": iat, "exp": exp, "iss": self.id });
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let unsigned = || AppError::Malformed("the app's key does not sign");
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        let outcome = self.key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature);
        outcome.map_err(|_| unsigned())?;
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        bearer(&Plaintext::new(token.into_bytes())).map_err(|_| unsigned())
    }
}

/// PKCS#1, as GitHub gives it, or PKCS#8.
fn key(pem: &[u8]) -> Option<RsaKeyPair> {
    let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
    if let PrivateKeyDer::Pkcs1(der) = &key {
        return RsaKeyPair::from_der(der.secret_pkcs1_der()).ok();
    }
    RsaKeyPair::from_pkcs8(key.secret_der()).ok()
}

/// What an answer that gives nothing means. 403 is also what too many requests get, so only 404
/// says that an installation is gone.
fn failure(answer: &Answer) -> AppError {
    match answer.status {
        StatusCode::UNAUTHORIZED => AppError::KeyRefused,
        StatusCode::NOT_FOUND => AppError::Gone("the app is not installed there any more"),
        StatusCode::UNPROCESSABLE_ENTITY => {
            let why = "the installation has no access to one of the bound repositories";
            AppError::NotCovered(why.to_owned())
        }
        _ => AppError::Unavailable { retry_after: answer.retry_after },
    }
}
