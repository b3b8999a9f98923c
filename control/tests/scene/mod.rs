//! The API over a real database, asked without a socket in between.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a scene that cannot be set fails the test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use sallygate_control::api::{ApiMetrics, router};
use sallygate_control::clock::Clock;
use sallygate_control::credentials::{MasterKeys, Vault};
use sallygate_control::feed::Feed;
use sallygate_control::outbound::Reach;
use sallygate_control::secret_files::SecretFiles;
use sallygate_control::service::Control;
use sallygate_control::store::{Access, Notice, notices_after};
use sallygate_control::webhook::Webhooks;
use sallygate_definitions::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::world::{NOW, World};

pub(crate) const OPERATOR: &str = "sgo_operator-token-of-the-tests";

pub(crate) struct Api {
    pub(crate) control: Control,
    pub(crate) router: Router,
    now: Arc<AtomicI64>,
    keys: TempDir,
    _world: World,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// A text of the body that must be there.
    pub(crate) fn get(&self, key: &str) -> String {
        self.body[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {}", self.text)).to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{}", self.text);
        let kind = self.headers.get(header::CONTENT_TYPE).expect("a content type");
        assert_eq!(kind, "application/problem+json");
    }
}

/// A request that is being put together.
pub(crate) struct Ask<'a> {
    api: &'a Api,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl Api {
    pub(crate) async fn new(world: World) -> Self {
        Self::reaching(world, Reach::default()).await
    }

    /// With what deliveries of webhooks may reach.
    pub(crate) async fn reaching(world: World, reach: Reach) -> Self {
        let keys = tempfile::tempdir().expect("a directory");
        let master = MasterKeys::create(&keys.path().join("master.key")).expect("a master key");
        let now = Arc::new(AtomicI64::new(NOW));
        let clock = Clock::of({
            let now = Arc::clone(&now);
            move || now.load(Ordering::Relaxed)
        });
        let control = Control {
            store: world.store().await,
            vault: Vault::new(master),
            registry: Arc::new(Registry::builtin()),
            clock,
            feed: Feed::default(),
            login: None,
            webhooks: Webhooks::new(&reach).expect("metrics"),
            setup_secrets: SecretFiles::within(keys.path().join("setup-secrets")),
        };
        control.prepare(OPERATOR).await.expect("a first start");
        let router = router(&control, &ApiMetrics::new().expect("metrics"));
        Self { control, router, now, keys, _world: world }
    }

    /// What proxies are told, or are about to be.
    pub(crate) async fn notices(&self) -> Vec<Notice> {
        let mut transaction = self.control.store.begin(Access::Read).await.expect("a store");
        notices_after(&mut *transaction, 0, 1000).await.expect("notices")
    }

    /// Puts a secret where setups find it.
    pub(crate) fn secret_file(&self, name: &str, secret: &str) {
        let directory = self.keys.path().join("setup-secrets");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join(name), secret).expect("a file");
    }

    pub(crate) fn pass_time(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    /// A vault with one more version of the master key.
    pub(crate) fn next_master_key(&self) -> Vault {
        let keys = MasterKeys::add_version(&self.keys.path().join("master.key"));
        Vault::new(keys.expect("a master key"))
    }

    /// A vault that has the newest version of the master key alone.
    pub(crate) fn newest_master_key_alone(&self) -> Vault {
        let (all, one) = (self.keys.path().join("master.key"), self.keys.path().join("one.key"));
        let text = std::fs::read_to_string(&all).expect("the keys");
        std::fs::copy(&all, &one).expect("a file as private as that one");
        std::fs::write(&one, text.lines().last().expect("a version")).expect("a file");
        Vault::new(MasterKeys::read(&one).expect("a master key"))
    }

    /// A request of the operator.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let method = method.parse().expect("a method");
        let headers = vec![("authorization", format!("Bearer {OPERATOR}"))];
        Ask { api: self, method, path: path.to_owned(), headers, body: None }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path).json(body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path).json(body).send().await
    }

    /// A target of the demo's definition.
    pub(crate) async fn echo_target(&self, key: &str) -> Answer {
        let body = json!({ "definition": "demo::echo", "displayName": "Echo" });
        self.put(&format!("/v1/integration/targets/{key}"), body).await.expect(200)
    }

    /// A connection to a target of the demo's definition; its id.
    pub(crate) async fn connect(&self, target: &str, secret: &str) -> String {
        let body = json!({ "displayName": "Mine", "secrets": { "token": secret } });
        let path = format!("/v1/integration/connections/{target}/form");
        self.post(&path, body).await.expect(201).get("id")
    }

    /// The text of a new token.
    pub(crate) async fn token(&self, role: &str) -> String {
        let body = json!({ "name": role, "role": role });
        self.post("/v1/api-tokens", body).await.expect(201).get("token")
    }
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.text(body.to_string())
    }

    pub(crate) fn text(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        if self.headers.iter().any(|(name, _)| *name == "content-type") {
            return self;
        }
        self.header("content-type", "application/json")
    }

    pub(crate) async fn send(self) -> Answer {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let body = self.body.map_or_else(Body::empty, Body::from);
        let request = request.body(body).expect("a request");
        let response = self.api.router.clone().oneshot(request).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, body, text }
    }
}
