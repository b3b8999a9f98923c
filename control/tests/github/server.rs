//! The endpoints of GitHub that an app needs, as GitHub documents them, over TLS: who comes back
//! from an installation, what is installed where, and tokens. It believes nothing: codes are good
//! once, and an app proves who it is with a signature that is checked by other code than ours.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a server that cannot be started fails the test"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::secure::{self, Secure};
use crate::world::NOW;

pub(crate) const APP: &str = "12345";
pub(crate) const CLIENT: &str = "Iv23li0123456789abcd";
pub(crate) const CLIENT_SECRET: &str = "client-secret-of-the-app";
pub(crate) const REDIRECT: &str = "https://control.example/v1/integration/callback";

/// What GitHub knows.
#[derive(Default)]
pub(crate) struct Known {
    /// The user behind a code that was not used yet.
    pub(crate) codes: BTreeMap<String, &'static str>,
    /// By id: what GitHub says of the installation, and who sees it.
    pub(crate) installations: BTreeMap<u64, (Value, Vec<&'static str>)>,
    /// The bodies of requests for tokens.
    pub(crate) asked: Vec<Value>,
    pub(crate) tokens: usize,
    /// Answers with this status instead.
    pub(crate) away: Option<StatusCode>,
    /// The time that proofs are judged by, in seconds.
    pub(crate) now: i64,
}

#[derive(Clone)]
struct Server {
    known: Arc<Mutex<Known>>,
    /// The public part of the app's key, PKCS#1.
    public: Arc<Vec<u8>>,
}

pub(crate) struct GitHub {
    pub(crate) known: Arc<Mutex<Known>>,
    /// `https://localhost:port`
    pub(crate) url: String,
    pub(crate) ca_pem: String,
    /// PKCS#8 and PKCS#1, in PEM.
    pub(crate) key_pems: [String; 2],
}

pub(crate) async fn start() -> GitHub {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let pkcs8 = AsDer::as_der(&pair).expect("a key").as_ref().to_vec();
    // The wrapper of a key of this size has 26 bytes (RFC 5958): what is in it is PKCS#1.
    let key_pems = [pem("PRIVATE KEY", &pkcs8), pem("RSA PRIVATE KEY", &pkcs8[26..])];
    let known = Arc::new(Mutex::new(Known { now: NOW / 1000, ..Known::default() }));
    let public = Arc::new(pair.public_key().as_ref().to_vec());
    let router = Router::new()
        .route("/login/oauth/access_token", post(exchange))
        .route("/api/v3/user/installations", get(seen))
        .route("/api/v3/app/installations/{id}", get(installation))
        .route("/api/v3/app/installations/{id}/access_tokens", post(token))
        .route("/api/v3/repos/octo/app", get(repository))
        .route("/api/v3/repos/octo/app/git/trees/main", get(tree))
        .route("/api/v3/installation/repositories", get(repositories))
        .with_state(Server { known: Arc::clone(&known), public });
    let Secure { url, ca_pem } = secure::serve(router).await;
    GitHub { known, url, ca_pem, key_pems }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn refused(status: u16, message: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, Json(json!({ "message": message }))).into_response()
}

impl Server {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("nobody panicked")
    }

    /// Whether the request is the app's: `iat` in the past, `exp` at most ten minutes ahead.
    fn is_app(&self, headers: &HeaderMap) -> bool {
        let Some(token) = bearer(headers) else { return false };
        let key = jsonwebtoken::DecodingKey::from_rsa_der(&self.public);
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        rules.set_issuer(&[APP]);
        rules.set_required_spec_claims(&["exp", "iss"]);
        // By the time of the test instead of the machine's.
        rules.validate_exp = false;
        let Ok(data) = jsonwebtoken::decode::<Value>(token, &key, &rules) else { return false };
        let (iat, exp) = (data.claims["iat"].as_i64(), data.claims["exp"].as_i64());
        let now = self.known().now;
        iat.is_some_and(|iat| iat <= now - 30) && exp.is_some_and(|e| e > now && e <= now + 600)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

async fn exchange(State(server): State<Server>, body: String) -> Response {
    let form: BTreeMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
    if !is("client_id", CLIENT) || !is("client_secret", CLIENT_SECRET) {
        return Json(json!({ "error": "incorrect_client_credentials" })).into_response();
    }
    if !is("redirect_uri", REDIRECT) {
        return Json(json!({ "error": "redirect_uri_mismatch" })).into_response();
    }
    let user = form.get("code").and_then(|code| server.known().codes.remove(code));
    // GitHub answers 200 to a code that it does not know.
    let answer = match user {
        Some(user) => json!({ "access_token": format!("ghu_{user}"), "token_type": "bearer" }),
        None => json!({ "error": "bad_verification_code" }),
    };
    Json(answer).into_response()
}

async fn seen(
    State(server): State<Server>,
    Query(query): Query<BTreeMap<String, usize>>,
    headers: HeaderMap,
) -> Response {
    let Some(user) = bearer(&headers).and_then(|token| token.strip_prefix("ghu_")) else {
        return refused(401, "Bad credentials");
    };
    let (size, page) = (query["per_page"], query["page"]);
    let known = server.known();
    let sees = |(_, who): &&(Value, Vec<&'static str>)| who.contains(&user);
    let all: Vec<Value> = known.installations.values().filter(sees).map(|i| i.0.clone()).collect();
    let some: Vec<_> = all.iter().skip((page - 1) * size).take(size).cloned().collect();
    Json(json!({ "total_count": all.len(), "installations": some })).into_response()
}

async fn installation(
    State(server): State<Server>,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Response {
    if !server.is_app(&headers) {
        return refused(401, "A JSON web token could not be decoded");
    }
    let known = server.known();
    match (known.away, known.installations.get(&id)) {
        (Some(away), _) => refused(away.as_u16(), "Unicorn"),
        (None, Some((installation, _))) => Json(installation.clone()).into_response(),
        (None, None) => refused(404, "Not Found"),
    }
}

async fn token(
    State(server): State<Server>,
    Path(id): Path<u64>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if !server.is_app(&headers) {
        return refused(401, "A JSON web token could not be decoded");
    }
    let mut known = server.known();
    let Some((installation, _)) = known.installations.get(&id) else {
        return refused(404, "Not Found");
    };
    let granted = &installation["permissions"];
    let repositories: Vec<&str> = installation["repositories_of_the_test"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let wanted = body["repositories"].as_array().into_iter().flatten();
    if !wanted.filter_map(Value::as_str).all(|name| repositories.contains(&name)) {
        return refused(422, "There is at least one repository that does not exist");
    }
    let rank = |level: &Value| ["read", "write", "admin"].iter().position(|l| level == l);
    let permissions = body["permissions"].as_object().into_iter().flatten();
    if !permissions.into_iter().all(|(name, level)| rank(level) <= rank(&granted[name])) {
        return refused(422, "The permissions requested are not granted to this installation.");
    }
    known.asked.push(body);
    known.tokens += 1;
    let expires = sallygate_control::clock::rfc3339((known.now + 3600) * 1000);
    let token = format!("ghs_{:036}", known.tokens);
    (StatusCode::CREATED, Json(json!({ "token": token, "expires_at": expires }))).into_response()
}

/// Whether it is a token of an installation.
fn is_installed(headers: &HeaderMap) -> bool {
    bearer(headers).is_some_and(|token| token.starts_with("ghs_"))
}

async fn repository(headers: HeaderMap) -> Response {
    if !is_installed(&headers) {
        return refused(401, "Bad credentials");
    }
    Json(json!({ "full_name": "octo/app", "default_branch": "main" })).into_response()
}

async fn tree(headers: HeaderMap) -> Response {
    if !is_installed(&headers) {
        return refused(401, "Bad credentials");
    }
    let sha = "ce013625030ba8dba906f756967f9e9ca394464a";
    let readme = json!({ "path": "README.md", "mode": "100644", "type": "blob", "sha": sha });
    Json(json!({ "sha": sha, "tree": [readme], "truncated": false })).into_response()
}

async fn repositories(headers: HeaderMap) -> Response {
    if !is_installed(&headers) {
        return refused(401, "Bad credentials");
    }
    let one = |name: &str| json!({ "id": 1, "name": name, "full_name": format!("octo/{name}") });
    Json(json!({ "total_count": 2, "repositories": [one("app"), one("web")] })).into_response()
}
