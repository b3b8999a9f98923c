//! Connections that people and programs make at a real provider, over the API, on both databases.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

mod consent;
mod others;
mod renewal;

use crate::provider::browser::Browser;
use crate::provider::{Provider, provider};
use crate::scene::{Answer, Api};
use crate::world::World;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallygate_control::credentials::{Place, Sealed};
use sallygate_control::domain::resolve::Wanted;
use sallygate_control::store::{Access, fetch_optional};
use sallygate_control::values;
use serde_json::{Map, Value, json};
use url::Url;

const REDIRECT: &str = "https://control.example/callback";
const CONNECTIONS: &str = "/v1/integration/connections";
const HOUR: i64 = 3_600_000;

struct Scene {
    api: Api,
}

fn target(provider: &Provider) -> Value {
    let at = |path: &str| format!("{}{path}", provider.issuer);
    let pem = STANDARD.encode(&provider.authority);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
    json!({
        "definition": "generic::oauth2-api",
        "displayName": "The API",
        "config": {
            "baseUrl": "https://api.test",
            "authorizationUrl": at("/auth?prompt=consent"),
            "tokenUrl": at("/token"),
            "deviceAuthorizationUrl": at("/device/auth"),
            "revocationUrl": at("/token/revocation"),
            "userInfoUrl": at("/me"),
            "scope": "openid offline_access",
            "clientId": "sallygate",
            "redirectUri": REDIRECT,
        },
        "options": { "upstream": { "caPem": pem, "allowRanges": ["127.0.0.0/8", "::1/128"] } },
        "secrets": { "clientSecret": provider.client_secret },
    })
}

fn named(name: &str) -> Value {
    json!({ "displayName": name })
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

impl Scene {
    async fn new(world: World) -> Self {
        let api = Api::new(world).await;
        api.put("/v1/integration/targets/api", target(provider())).await.expect(200);
        Self { api }
    }

    fn path(&self, rest: &str) -> String {
        format!("{CONNECTIONS}/api/{rest}")
    }

    async fn change_target(&self, change: impl FnOnce(&mut Value)) {
        let mut body = target(provider());
        change(&mut body);
        self.api.put("/v1/integration/targets/api", body).await.expect(200);
    }

    /// Begins, and lets somebody consent; what their browser comes back with.
    async fn consent(&self, body: Value, who: &str) -> Url {
        let started = self.api.post(&self.path("oauth2/start"), body).await.expect(201);
        let url = format!("{}&login_hint={who}", started.get("authorizationUrl"));
        let back = Browser::new(provider()).visit(&url).await;
        assert!(back.as_str().starts_with(REDIRECT), "{back}");
        back
    }

    async fn complete(&self, back: &Url) -> Answer {
        let body = json!({ "state": parameter(back, "state"), "code": parameter(back, "code") });
        self.api.post(&self.path("oauth2/complete"), body).await
    }

    /// A connection of somebody.
    async fn connect(&self, who: &str) -> Value {
        let back = self.consent(named("Mine"), who).await;
        self.complete(&back).await.expect(201).body
    }

    async fn connection(&self, id: &str) -> Value {
        self.api.get(&format!("{CONNECTIONS}/{id}")).await.expect(200).body
    }

    async fn count(&self) -> usize {
        let list = self.api.get(CONNECTIONS).await.expect(200).body;
        list["items"].as_array().unwrap().len()
    }

    /// A sandbox whose plan in force has the connection's token.
    async fn sandbox(&self, connection: &str) -> Wanted {
        const PROFILES: &str = "/v1/sandbox/profiles";
        let profile = self.api.post(PROFILES, json!({ "name": connection })).await.expect(201);
        let profile = profile.get("id");
        let matching = json!({ "methods": ["GET"], "paths": ["/**"] });
        let route = json!({ "name": "read", "match": matching });
        let binding = json!({ "id": "api", "connectionId": connection, "routes": [route] });
        let version = json!({ "bindings": [binding] });
        let versions = format!("{PROFILES}/{profile}/versions");
        let version = self.api.post(&versions, version).await.expect(201);
        let publish = format!("{PROFILES}/{profile}/publish");
        self.api.post(&publish, json!({ "version": 1 })).await.expect(200);
        let made = self.api.post("/v1/sandboxes", json!({ "profileId": profile })).await;
        Wanted {
            sandbox: made.expect(201).get("id"),
            connection: connection.to_owned(),
            secret_type: "oauth2_access_token".to_owned(),
            slot_key: None,
            resolver_key: None,
            scope: Map::new(),
            plan_digest: version.get("planDigest"),
        }
    }

    async fn resolve(&self, wanted: &Wanted) -> Result<String, &'static str> {
        let resolved = self.api.control.resolve(wanted).await;
        let resolved = resolved.map_err(|error| error.code)?;
        Ok(String::from_utf8(resolved.secret.expose().to_vec()).unwrap())
    }

    /// A secret as the store has it.
    async fn stored(&self, connection: &str, kind: &str) -> Option<String> {
        let mut transaction = self.api.control.store.begin(Access::Read).await.unwrap();
        let find = "SELECT id, organisation_id, key_version, ciphertext FROM credentials \
                    WHERE connection_id = $1 AND secret_type = $2";
        let values = values![connection, kind];
        let mut row = fetch_optional(&mut *transaction, find, values).await.unwrap()?;
        let (id, organisation) = (row.text().unwrap(), row.text().unwrap());
        let sealed =
            Sealed { key_version: row.integer().unwrap(), ciphertext: row.bytes().unwrap() };
        let place = Place { table: "credentials", row: &id, column: "ciphertext" };
        let vault = &self.api.control.vault;
        let open = vault.open(&mut *transaction, &organisation, place, &sealed).await.unwrap();
        Some(String::from_utf8(open.expose().to_vec()).unwrap())
    }

    async fn organisation(&self) -> String {
        let list = self.api.get("/v1/organisations").await.expect(200).body;
        list["items"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Everything that is written down of changes.
    async fn audit(&self) -> String {
        self.api.get("/v1/audit?limit=200").await.expect(200).text
    }
}

async fn owner_of(token: &str) -> Option<String> {
    let url = format!("{}/me", provider().issuer);
    let bearer = format!("Bearer {token}").parse().unwrap();
    let answer = provider().outbound().get(&url, Some(bearer)).await.unwrap();
    let claims: Value = serde_json::from_slice(&answer.body).ok()?;
    claims["sub"].as_str().map(str::to_owned)
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
