//! A GitHub App from its installation to a sandbox's token, on both databases, against a server
//! that answers as GitHub documents it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
#[path = "../scene/mod.rs"]
mod scene;
#[path = "../secure/mod.rs"]
mod secure;
mod server;
#[path = "../world/mod.rs"]
mod world;

use axum::http::StatusCode;
use sallygate_control::domain::resolve::Wanted;
use scene::{Answer, Api};
use serde_json::{Value, json};
use server::{APP, CLIENT, CLIENT_SECRET, GitHub, REDIRECT};
use url::Url;
use world::World;

on_both_databases!(
    an_installation_is_connected_and_its_tokens_are_narrow,
    only_who_sees_an_installation_connects_it,
    an_installation_belongs_to_one_organisation_at_a_time,
    a_token_is_kept_for_its_scope_until_it_ends,
    an_installation_that_is_gone_is_seen_to_be,
    an_app_that_cannot_finish_does_not_begin,
    pages_are_read_with_a_token_for_that_repository_alone,
);

const CONNECTIONS: &str = "/v1/integration/connections";
const PROFILES: &str = "/v1/sandbox/profiles";

struct Scene {
    api: Api,
    github: GitHub,
}

fn target(github: &GitHub, key: &str) -> Value {
    json!({
        "definition": "github::github-enterprise-server",
        "displayName": "GitHub",
        "config": {
            "apiBaseUrl": format!("{}/api/v3", github.url),
            "webBaseUrl": github.url,
            "appId": APP,
            "appSlug": "the-app",
            "clientId": CLIENT,
            "redirectUri": REDIRECT,
        },
        "options": { "upstream": { "caPem": github.ca_pem, "allowRanges": ["127.0.0.0/8", "::1/128"] } },
        "secrets": { "privateKey": key, "clientSecret": CLIENT_SECRET },
    })
}

fn installation(id: u64, login: &str) -> Value {
    json!({
        "id": id,
        "app_id": 12345,
        "account": { "login": login, "id": 1, "type": "Organization" },
        "permissions": { "contents": "write", "issues": "read", "metadata": "read" },
        "suspended_at": null,
        "repositories_of_the_test": ["app", "web"],
    })
}

impl Scene {
    async fn new(world: World) -> Self {
        let (api, github) = (Api::new(world).await, server::start().await);
        let scene = Self { api, github };
        scene.put(&scene.github.key_pems[1]).await.expect(200);
        scene.install(7, "octo", &["ada"]);
        scene
    }

    async fn put(&self, key: &str) -> Answer {
        self.api.put("/v1/integration/targets/github", target(&self.github, key)).await
    }

    fn install(&self, id: u64, login: &str, seen_by: &[&'static str]) {
        let mut known = self.github.known.lock().unwrap();
        known.installations.insert(id, (installation(id, login), seen_by.to_vec()));
    }

    fn path(&self, rest: &str) -> String {
        format!("{CONNECTIONS}/github/redirect/{rest}")
    }

    /// Begins; the state that a browser comes back with.
    async fn begin(&self) -> String {
        let started = self.api.post(&self.path("start"), json!({ "displayName": "Octo" })).await;
        let url = Url::parse(&started.expect(201).get("authorizationUrl")).unwrap();
        assert_eq!(url.path(), "/github-apps/the-app/installations/new");
        let state = url.query_pairs().find(|(key, _)| key == "state");
        state.expect("a state").1.into_owned()
    }

    /// What a browser of `user` comes back with.
    fn back(&self, state: &str, user: &'static str, id: u64) -> Value {
        let code = format!("code-{state}");
        self.github.known.lock().unwrap().codes.insert(code.clone(), user);
        let id = id.to_string();
        let parameters = json!({ "code": code, "installation_id": id, "setup_action": "install" });
        json!({ "state": state, "parameters": parameters })
    }

    async fn complete(&self, user: &'static str, id: u64) -> Answer {
        let back = self.back(&self.begin().await, user, id);
        self.api.post(&self.path("complete"), back).await
    }

    /// A sandbox that is bound to these repositories.
    async fn sandbox(&self, connection: &str, config: Value) -> Wanted {
        let name = json!({ "name": format!("{connection}-{config}").chars().take(100).collect::<String>() });
        let profile = self.api.post(PROFILES, name).await.expect(201).get("id");
        let binding = json!({ "id": "git", "connectionId": connection, "config": config });
        let path = format!("{PROFILES}/{profile}/versions");
        let version = self.api.post(&path, json!({ "bindings": [binding] })).await.expect(201);
        let publish = format!("{PROFILES}/{profile}/publish");
        self.api.post(&publish, json!({ "version": 1 })).await.expect(200);
        let made = self.api.post("/v1/sandboxes", json!({ "profileId": profile })).await;
        let sandbox = made.expect(201).get("id");
        let mut transaction =
            self.api.control.store.begin(sallygate_control::store::Access::Read).await.unwrap();
        let digest = version.get("planDigest");
        let plan = sallygate_control::domain::profile::plan(&mut *transaction, &digest);
        let plan = plan.await.unwrap();
        assert_eq!(plan.credentials.len(), 1, "one token for all origins");
        let reference = plan.credentials[0].clone();
        Wanted {
            sandbox,
            connection: reference.connection_id,
            secret_type: reference.secret_type,
            slot_key: reference.slot_key,
            resolver_key: reference.resolver_key,
            scope: reference.scope,
            plan_digest: digest,
        }
    }

    async fn resolve(&self, wanted: &Wanted) -> Result<String, String> {
        let resolved = self.api.control.resolve(wanted).await;
        let resolved = resolved.map_err(|error| format!("{}: {error}", error.code))?;
        Ok(String::from_utf8(resolved.secret.expose().to_vec()).unwrap())
    }

    fn asked(&self) -> Vec<Value> {
        self.github.known.lock().unwrap().asked.clone()
    }

    fn pass_time(&self, seconds: i64) {
        self.api.pass_time(seconds * 1000);
        self.github.known.lock().unwrap().now += seconds;
    }

    async fn status(&self, connection: &str) -> (String, Value) {
        let seen = self.api.get(&format!("{CONNECTIONS}/{connection}")).await.expect(200);
        (seen.get("status"), seen.body["statusReason"].clone())
    }
}

async fn an_installation_is_connected_and_its_tokens_are_narrow(world: World) {
    let scene = Scene::new(world).await;
    let made = scene.complete("ada", 7).await.expect(201);
    assert_eq!((made.get("method"), made.get("externalSubject")), ("app".into(), "7".into()));
    assert_eq!(made.body["config"], json!({ "account": "octo" }));
    assert_eq!(made.body["credentials"], json!([]), "nothing of the user is kept");
    let connection = made.get("id");
    let config = json!({ "repositories": ["octo/app"], "access": "write" });
    let wanted = scene.sandbox(&connection, config).await;
    let token = scene.resolve(&wanted).await.unwrap();
    assert!(token.starts_with("ghs_"), "{token}");
    // What the routes need, as far as the installation has it.
    let permissions = json!({ "contents": "write", "issues": "read", "metadata": "read" });
    let narrow = json!({ "repositories": ["app"], "permissions": permissions });
    assert_eq!(scene.asked(), [narrow]);
    let shown = scene.api.get(&format!("{CONNECTIONS}/{connection}")).await.text;
    let audit = scene.api.get("/v1/audit?limit=200").await.text;
    for secret in [token.as_str(), CLIENT_SECRET, "ghu_", "BEGIN RSA"] {
        assert!(!shown.contains(secret) && !audit.contains(secret), "{secret}");
    }
    // The other format of the key, for another scope.
    scene.put(&scene.github.key_pems[0]).await.expect(200);
    let read = scene.sandbox(&connection, json!({ "repositories": ["octo/web"] })).await;
    scene.resolve(&read).await.unwrap();
    let permissions = json!({ "contents": "read", "issues": "read", "metadata": "read" });
    let narrow = json!({ "repositories": ["web"], "permissions": permissions });
    assert_eq!(scene.asked()[1], narrow);
    // Neither sandbox gets the other's, nor a wider one.
    let swapped = Wanted { scope: wanted.scope.clone(), ..read.clone() };
    let all = Wanted { scope: serde_json::Map::new(), ..read.clone() };
    for wrong in [swapped, all] {
        let refused = scene.resolve(&wrong).await.unwrap_err();
        assert!(refused.starts_with("credential_refused"), "{refused}");
    }
    assert_eq!(scene.asked().len(), 2);
}

async fn only_who_sees_an_installation_connects_it(world: World) {
    let scene = Scene::new(world).await;
    let complete = async |body: Value| scene.api.post(&scene.path("complete"), body).await;
    scene.complete("mallory", 7).await.refused(403, "installation_not_proven");
    scene.complete("ada", 8).await.refused(403, "installation_not_proven");
    let with = async |change: &dyn Fn(&mut Value)| {
        let mut back = scene.back(&scene.begin().await, "ada", 7);
        change(&mut back["parameters"]);
        back
    };
    let back = with(&|p| drop(p.as_object_mut().unwrap().remove("code"))).await;
    complete(back).await.refused(403, "installation_not_proven");
    let back = with(&|p| drop(p.as_object_mut().unwrap().remove("installation_id"))).await;
    complete(back).await.refused(403, "installation_not_proven");
    let back = with(&|p| p["installation_id"] = json!("7/access_tokens")).await;
    complete(back).await.refused(403, "installation_not_proven");
    let back = with(&|p| p["setup_action"] = json!("request")).await;
    complete(back).await.refused(409, "installation_requested");
    let back = with(&|p| p["unknown"] = json!("x")).await;
    complete(back).await.refused(422, "invalid");
    let back = with(&|p| p["code"] = json!("made-up")).await;
    complete(back).await.refused(409, "oauth_refused");
    // A state is good once, for whoever began it, and only here.
    let back = scene.back(&scene.begin().await, "ada", 7);
    let stranger = scene.api.token("member").await;
    let ask = scene.api.ask("POST", &scene.path("complete")).json(back.clone());
    ask.bearer(&stranger).send().await.refused(422, "oauth_state_unknown");
    complete(back).await.refused(422, "oauth_state_unknown");
    let back = scene.back(&scene.begin().await, "ada", 7);
    scene.pass_time(600);
    complete(back).await.refused(422, "oauth_state_unknown");
    let list = scene.api.get(CONNECTIONS).await.expect(200).body;
    assert_eq!(list["items"], json!([]), "nothing was connected");
    // An installation far down the list of somebody who sees many.
    for id in 100..165 {
        scene.install(id, "many", &["grace"]);
    }
    scene.complete("grace", 164).await.expect(201);
}

async fn an_installation_belongs_to_one_organisation_at_a_time(world: World) {
    let scene = Scene::new(world).await;
    let first = scene.complete("ada", 7).await.expect(201).get("id");
    // Whoever changed its repositories at GitHub comes back to the same connection.
    assert_eq!(scene.complete("ada", 7).await.expect(201).get("id"), first);
    // The first organisation is the older one.
    scene.api.pass_time(1);
    let other = scene.api.post("/v1/organisations", json!({ "name": "other" })).await.expect(201);
    let other = other.get("id");
    let take = async || {
        let ask = |path: &str, body: Value| {
            let ask = scene.api.ask("POST", &scene.path(path)).json(body);
            ask.header("sallygate-organisation", other.clone()).send()
        };
        let started = ask("start", json!({ "displayName": "Theirs" })).await.expect(201);
        let url = Url::parse(&started.get("authorizationUrl")).unwrap();
        let state = url.query_pairs().find(|(k, _)| k == "state").unwrap().1.into_owned();
        ask("complete", scene.back(&state, "ada", 7)).await
    };
    take().await.refused(409, "installation_taken");
    let path = format!("{CONNECTIONS}/{first}");
    assert_eq!(scene.api.ask("DELETE", &path).send().await.status, 204);
    let second = take().await.expect(201).get("id");
    assert_ne!(first, second);
    scene.complete("ada", 7).await.refused(409, "installation_taken");
}

async fn a_token_is_kept_for_its_scope_until_it_ends(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.complete("ada", 7).await.expect(201).get("id");
    let app = scene.sandbox(&connection, json!({ "repositories": ["octo/app"] })).await;
    let web = scene.sandbox(&connection, json!({ "repositories": ["octo/web"] })).await;
    let first = scene.resolve(&app).await.unwrap();
    assert_eq!(scene.resolve(&app).await.as_ref(), Ok(&first));
    assert_ne!(scene.resolve(&web).await.as_ref(), Ok(&first));
    assert_eq!(scene.asked().len(), 2);
    scene.pass_time(3600 - 301);
    assert_eq!(scene.resolve(&app).await.as_ref(), Ok(&first));
    scene.pass_time(1);
    // GitHub is away: the token is good for five minutes yet.
    scene.github.known.lock().unwrap().away = Some(StatusCode::BAD_GATEWAY);
    assert_eq!(scene.resolve(&app).await.as_ref(), Ok(&first));
    scene.pass_time(300);
    let away = scene.resolve(&app).await.unwrap_err();
    assert!(away.starts_with("app_unavailable"), "{away}");
    scene.github.known.lock().unwrap().away = None;
    let second = scene.resolve(&app).await.unwrap();
    assert_ne!(first, second);
    // What nobody asks for any more does not stay.
    let seen = scene.api.get(&format!("{CONNECTIONS}/{connection}")).await.expect(200).body;
    assert_eq!(seen["credentials"].as_array().unwrap().len(), 1, "{seen}");
}

async fn an_installation_that_is_gone_is_seen_to_be(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.complete("ada", 7).await.expect(201).get("id");
    let wanted = scene.sandbox(&connection, json!({ "repositories": ["octo/app"] })).await;
    let strange = scene.sandbox(&connection, json!({ "repositories": ["evil/app"] })).await;
    let absent = scene.sandbox(&connection, json!({ "repositories": ["octo/none"] })).await;
    for wrong in [&strange, &absent] {
        let refused = scene.resolve(wrong).await.unwrap_err();
        assert!(refused.starts_with("credential_refused"), "{refused}");
    }
    // The wrong key is the operator's mistake, and no connection's.
    let other = server::start().await;
    scene.put(&other.key_pems[0]).await.expect(200);
    let refused = scene.resolve(&wanted).await.unwrap_err();
    assert!(refused.starts_with("credential_refused"), "{refused}");
    scene.put(&scene.github.key_pems[1]).await.expect(200);
    assert_eq!(scene.status(&connection).await.0, "active");
    scene.github.known.lock().unwrap().installations.get_mut(&7).unwrap().0["suspended_at"] =
        json!("2027-01-15T08:00:00Z");
    assert!(scene.resolve(&wanted).await.is_err());
    let reason = json!("the installation of the app is suspended");
    assert_eq!(scene.status(&connection).await, ("error".to_owned(), reason));
    // Whoever comes back from GitHub with it mends it.
    scene.install(7, "octo", &["ada"]);
    assert_eq!(scene.complete("ada", 7).await.expect(201).get("status"), "active");
    scene.resolve(&wanted).await.unwrap();
    scene.pass_time(3600);
    scene.github.known.lock().unwrap().installations.clear();
    assert!(scene.resolve(&wanted).await.is_err());
    assert_eq!(scene.status(&connection).await.0, "error");
    let told = scene.api.notices().await;
    assert!(told.iter().any(|notice| notice.payload == json!({ "connectionId": connection })));
}

async fn an_app_that_cannot_finish_does_not_begin(world: World) {
    let scene = Scene::new(world).await;
    let start =
        async || scene.api.post(&scene.path("start"), json!({ "displayName": "Octo" })).await;
    for field in ["appId", "appSlug", "clientId", "redirectUri"] {
        let mut body = target(&scene.github, &scene.github.key_pems[0]);
        body["config"].as_object_mut().unwrap().remove(field);
        scene.api.put("/v1/integration/targets/github", body).await.expect(200);
        start().await.refused(409, "target_incomplete");
    }
    for key in ["x", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"] {
        scene.put(key).await.expect(200);
        let refused = start().await;
        refused.refused(409, "target_incomplete");
        assert!(!refused.text.contains("AAAA"));
    }
    let mut body = target(&scene.github, &scene.github.key_pems[0]);
    body["secrets"]["clientSecret"] = Value::Null;
    scene.api.put("/v1/integration/targets/github", body).await.expect(200);
    start().await.refused(409, "target_incomplete");
}

async fn pages_are_read_with_a_token_for_that_repository_alone(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.complete("ada", 7).await.expect(201).get("id");
    scene.sandbox(&connection, json!({ "repositories": ["octo/app"] })).await;
    let organisation =
        scene.api.get("/v1/organisations").await.expect(200).body["items"][0]["id"].clone();
    let path = format!("/api/v1/projects/{}/planning/pages", organisation.as_str().unwrap());
    let listed = scene.api.get(&path).await.expect(200).body;
    assert_eq!(listed["items"][0]["path"], "README.md", "{listed}");
    let permissions = json!({ "contents": "read", "metadata": "read" });
    let expected = json!({ "repositories": ["app"], "permissions": permissions });
    assert_eq!(scene.asked(), [expected]);
}
