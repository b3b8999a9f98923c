//! The way to a control service in another process: over verified TLS, or on this machine.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::held::{ApprovalTold, AskBody, ClaimBody, Claimed, Ruled};
use super::identity::{Identity, IdentityError};
use super::wire::{AckBody, EnrollBody, Enrolled, ResolveAnswer, ResolveBody};
use crate::clock::Clock;
use crate::credentials::Plaintext;
use crate::feed::{About, Outcome};
use crate::outbound::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer answers than this are none of a control service.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const RETRY_SECONDS_MAX: u64 = 60;

/// Why there is no way to a control service.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("`{0}` is not an https URL, nor an http URL of this machine")]
    Url(String),
    #[error("no authority is trusted, or one is malformed")]
    Trust,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Nobody answered, or somebody who is not the control service.
    #[error("the control service cannot be reached")]
    Away,
    /// It was asked, and says when it may be asked again.
    #[error("not now: {code}")]
    Later { code: String, retry_after: Option<Duration> },
    /// It was asked, and refuses.
    #[error("{message} ({code})")]
    Refused { code: String, message: String },
    /// It lets this proxy in no more.
    #[error("this proxy was revoked")]
    Revoked,
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A credential, and for how long it is good where that is known.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) secret: Plaintext,
    pub(super) life_seconds: Option<u64>,
}

/// Asks a control service, in the name of a proxy. Connections are kept for the next question.
#[derive(Clone, Debug)]
pub struct Link {
    client: Client,
    base: Url,
    identity: Arc<Identity>,
    clock: Clock,
}

/// Problem details, as far as they matter here.
#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: String,
}

impl Link {
    /// `authorities` are trusted beside the system's.
    pub fn new(
        url: &str,
        authorities: &[CertificateDer<'static>],
        identity: Arc<Identity>,
        clock: Clock,
    ) -> Result<Self, LinkError> {
        let base = checked(url)?;
        let trust = match base.scheme() {
            "https" => tls::config(authorities),
            _ => tls::trusting(RootCertStore::empty()),
        };
        let client = Client::builder()
            .tls_backend_preconfigured(trust.map_err(|_| LinkError::Trust)?)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A proxy variable in the environment must not change who is spoken to.
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("sallygate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| LinkError::Trust)?;
        Ok(Self { client, base, identity, clock })
    }

    /// The same way, in the name of another proxy.
    pub fn of(&self, identity: Arc<Identity>) -> Self {
        Self { identity, ..self.clone() }
    }

    /// What it asks with, for whoever measures: it verifies, and shares its connections.
    #[doc(hidden)]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Asks to be let in. Asked again with the same token it gets the same answer.
    pub async fn enroll(&self, token: &str) -> Result<Enrolled, Unreached> {
        let body = EnrollBody {
            public_key: URL_SAFE_NO_PAD.encode(self.identity.public_key()),
            proof: URL_SAFE_NO_PAD.encode(self.identity.prove(token)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let request = self.client.post(self.at("internal/proxies/enroll")).bearer_auth(token);
        read(send(json(request, &body).timeout(ANSWER_TIMEOUT)).await?).await
    }

    /// What is told behind `resume`; it does not end by itself.
    pub(super) async fn feed(&self, resume: Option<&str>) -> Result<Response, Unreached> {
        let mut url = self.at("internal/feed");
        if let Some(resume) = resume {
            url.query_pairs_mut().append_pair("resume", resume);
        }
        let asking = send(self.signed(self.client.get(url))?);
        tokio::time::timeout(ANSWER_TIMEOUT, asking).await.map_err(|_| Unreached::Away)?
    }

    /// Says what is served.
    pub async fn acknowledge(&self, outcome: &Outcome, about: &About) -> Result<(), Unreached> {
        let Outcome { served, refused } = outcome.clone();
        let About { entrance, ca_pem } = about.clone();
        let request = self.signed(self.client.post(self.at("internal/feed/ack")))?;
        let body = AckBody { served, refused, entrance, ca_pem };
        send(json(request, &body).timeout(ANSWER_TIMEOUT)).await.map(drop)
    }

    pub(super) async fn resolve(&self, wanted: &ResolveBody) -> Result<Lent, Unreached> {
        let url = self.at("internal/integration-credentials/resolve");
        let request = self.signed(self.client.post(url))?;
        let response = send(json(request, wanted).timeout(ANSWER_TIMEOUT)).await?;
        let ResolveAnswer { secret, life_seconds, .. } = read(response).await?;
        let secret = Zeroizing::new(secret);
        let bytes = STANDARD.decode(secret.as_bytes()).map_err(|_| Unreached::Away)?;
        Ok(Lent { secret: Plaintext::new(bytes), life_seconds })
    }

    /// Whether a held request may pass.
    pub(super) async fn ask(&self, held: &AskBody) -> Result<Ruled, Unreached> {
        let request = self.signed(self.client.post(self.at("internal/approvals")))?;
        read(send(json(request, held).timeout(ANSWER_TIMEOUT)).await?).await
    }

    /// Uses up a yes for one request.
    pub(super) async fn claim(&self, claim: &ClaimBody) -> Result<Claimed, Unreached> {
        let request = self.signed(self.client.post(self.at("internal/approvals/claim")))?;
        read(send(json(request, claim).timeout(ANSWER_TIMEOUT)).await?).await
    }

    /// An approval of a sandbox.
    pub(super) async fn approval(
        &self,
        (sandbox, id): (&str, &str),
    ) -> Result<ApprovalTold, Unreached> {
        let mut url = self.at("internal/approvals/");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(id);
        }
        url.query_pairs_mut().append_pair("sandboxId", sandbox);
        let request = self.signed(self.client.get(url))?;
        read(send(request.timeout(ANSWER_TIMEOUT)).await?).await
    }

    fn signed(&self, request: RequestBuilder) -> Result<RequestBuilder, Unreached> {
        Ok(request.bearer_auth(self.identity.token(self.clock.now_ms())?))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let base = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{base}/{path}"));
        url
    }
}

/// A token must not go where others can read it.
fn checked(text: &str) -> Result<Url, LinkError> {
    let refused = || LinkError::Url(text.to_owned());
    let url = Url::parse(text).map_err(|_| refused())?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        // What a resolver says of a name is not known here.
        Some(Host::Domain(_)) | None => false,
    };
    let fine = url.scheme() == "https" && url.host().is_some() || url.scheme() == "http" && here;
    if bare && fine { Ok(url) } else { Err(refused()) }
}

fn json(request: RequestBuilder, body: &impl serde::Serialize) -> RequestBuilder {
    let text = serde_json::to_string(body).unwrap_or_default();
    request.header("content-type", "application/json").body(text)
}

async fn send(request: RequestBuilder) -> Result<Response, Unreached> {
    let response = request.send().await.map_err(|_| Unreached::Away)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| {
        let seconds: u64 = value.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds.min(RETRY_SECONDS_MAX)))
    });
    // Only what the control service itself says counts as its word.
    let Ok(Problem { code, detail }) = read::<Problem>(response).await else {
        return Err(Unreached::Away);
    };
    Err(match status {
        StatusCode::FORBIDDEN if code == "proxy_revoked" => Unreached::Revoked,
        _ if status.is_client_error() => Unreached::Refused { code, message: detail },
        _ => Unreached::Later { code, retry_after },
    })
}

async fn read<T: DeserializeOwned>(mut response: Response) -> Result<T, Unreached> {
    // It may hold a secret, and is as long as it will ever be: it does not move.
    let mut body = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES_MAX));
    while let Some(piece) = response.chunk().await.map_err(|_| Unreached::Away)? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(Unreached::Away);
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).map_err(|_| Unreached::Away)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_over_verified_tls_or_stay_on_this_machine() {
        for good in [
            "https://control.example",
            "https://10.0.0.1:8443/base/",
            "http://127.0.0.1:8091",
            "http://[::1]:1",
        ] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for wrong in [
            "http://control.example",
            "http://localhost:8091",
            "http://10.0.0.1:8091",
            "http://[::ffff:10.0.0.1]/",
            "https://user@control.example",
            "https://control.example/?x=1",
            "https://control.example/#x",
            "ftp://127.0.0.1",
            "control.example",
            "",
        ] {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
    }
}
