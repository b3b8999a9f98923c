//! Connections that people and programs make at a real provider, over the API, on both databases.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

use crate::login::config;
use crate::on_both_databases;
use crate::provider::browser::Browser;
use crate::provider::{Provider, provider};
use crate::scene::{Answer, Api};
use crate::world::{self, NOW, World};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallygate_control::clock::wall_ms;
use sallygate_control::connect::{CameBack, Connect, Who};
use sallygate_control::credentials::{Place, Plaintext, Sealed};
use sallygate_control::domain::resolve::Wanted;
use sallygate_control::login::{Finish, Login, SESSION_COOKIE};
use sallygate_control::renewal::Renewal;
use sallygate_control::store::{Access, fetch_optional};
use sallygate_control::values;
use serde_json::{Map, Value, json};
use url::Url;

on_both_databases!(
    a_person_connects_and_a_sandbox_gets_their_token,
    a_state_ends_once_for_whoever_began_it,
    an_answer_is_given_again_for_the_same_request_alone,
    whoever_does_not_consent_connects_nothing,
    a_redirect_uri_stays_what_it_was_when_it_began,
    a_target_that_is_not_whole_or_not_reachable_begins_nothing,
    a_process_that_dies_after_the_exchange_leaves_nothing,
    replicas_that_ask_at_once_refresh_once,
    a_provider_that_is_away_ends_nothing_before_the_token_ends,
    tokens_are_renewed_before_anybody_asks,
    what_the_provider_took_back_is_seen_and_mended,
    nobody_else_takes_the_place_of_whoever_consented,
    a_person_connects_on_another_device,
    a_program_connects_by_itself,
    the_provider_is_told_of_a_deleted_connection,
    the_browser_that_began_it_ends_it,
);

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

/// Where a browser ended up: what the provider sent it back with.
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

/// Whose token it is, as the provider says.
async fn owner_of(token: &str) -> Option<String> {
    let url = format!("{}/me", provider().issuer);
    let bearer = format!("Bearer {token}").parse().unwrap();
    let answer = provider().outbound().get(&url, Some(bearer)).await.unwrap();
    let claims: Value = serde_json::from_slice(&answer.body).ok()?;
    claims["sub"].as_str().map(str::to_owned)
}

async fn a_person_connects_and_a_sandbox_gets_their_token(world: World) {
    let scene = Scene::new(world).await;
    let back = scene.consent(named("Ada's"), "ada").await;
    let made = scene.complete(&back).await.expect(201);
    let connection = made.get("id");
    assert_eq!((made.get("status"), made.get("method")), ("active".into(), "oauth".into()));
    assert_eq!(made.get("externalSubject"), "ada");
    let kinds: Vec<_> = made.body["credentials"].as_array().unwrap().iter().collect();
    let kinds: Vec<_> = kinds.into_iter().map(|c| c["secretType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["oauth2_access_token", "oauth2_refresh_token"]);
    let wanted = scene.sandbox(&connection).await;
    let token = scene.resolve(&wanted).await.unwrap();
    assert_eq!(owner_of(&token).await.as_deref(), Some("ada"));
    // It was used, and that is known; how often it was used since is not.
    let used = scene.connection(&connection).await["credentials"][0]["lastUsedAt"].clone();
    assert!(used.is_string(), "{used}");
    scene.api.pass_time(5 * 60_000);
    scene.resolve(&wanted).await.unwrap();
    assert_eq!(scene.connection(&connection).await["credentials"][0]["lastUsedAt"], used);
    scene.api.pass_time(6 * 60_000);
    scene.resolve(&wanted).await.unwrap();
    assert_ne!(scene.connection(&connection).await["credentials"][0]["lastUsedAt"], used);
    // A refresh token, or another's token, never leaves.
    let refresh = Wanted { secret_type: "oauth2_refresh_token".to_owned(), ..wanted.clone() };
    assert_eq!(scene.resolve(&refresh).await, Err("credential_refused"));
    let refresh = scene.stored(&connection, "oauth2_refresh_token").await.unwrap();
    let shown = [made.text, scene.audit().await, scene.connection(&connection).await.to_string()];
    for secret in [&token, &refresh, &parameter(&back, "code").unwrap()] {
        assert!(shown.iter().all(|shown| !shown.contains(secret.as_str())));
    }
}

async fn a_state_ends_once_for_whoever_began_it(world: World) {
    let scene = Scene::new(world).await;
    scene.api.put("/v1/integration/targets/other", target(provider())).await.expect(200);
    let stranger = scene.api.token("member").await;
    let complete = async |path: &str, back: &Url, bearer: Option<&str>| {
        let body = json!({ "state": parameter(back, "state"), "code": parameter(back, "code") });
        let ask = scene.api.ask("POST", path).json(body);
        let ask = if let Some(bearer) = bearer { ask.bearer(bearer) } else { ask };
        ask.send().await
    };
    let path = scene.path("oauth2/complete");
    // Whoever tries, it is used then: also by whom it belongs to.
    let back = scene.consent(named("Mine"), "ada").await;
    let theirs = complete(&path, &back, Some(&stranger)).await;
    theirs.refused(422, "oauth_state_unknown");
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    let back = scene.consent(named("Mine"), "ada").await;
    let elsewhere = format!("{CONNECTIONS}/other/oauth2/complete");
    complete(&elsewhere, &back, None).await.refused(422, "oauth_state_unknown");
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    let back = scene.consent(named("Mine"), "ada").await;
    let elsewhere = scene.path("redirect/complete");
    let body = json!({ "state": parameter(&back, "state"), "parameters": {} });
    scene.api.post(&elsewhere, body).await.refused(422, "oauth_state_unknown");
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    let back = scene.consent(named("Mine"), "ada").await;
    scene.api.pass_time(600_000);
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    assert_eq!(scene.count().await, 0);
    let back = scene.consent(named("Mine"), "ada").await;
    complete(&path, &back, None).await.expect(201);
    complete(&path, &back, None).await.refused(422, "oauth_state_unknown");
    assert_eq!(scene.count().await, 1);
    for wrong in [
        json!({}),
        json!({ "state": 1 }),
        json!({ "state": "x", "iss": "https://evil.example" }),
        json!({ "state": "x", "code": ["y"] }),
    ] {
        scene.api.post(&path, wrong).await.refused(400, "bad_request");
    }
}

async fn an_answer_is_given_again_for_the_same_request_alone(world: World) {
    let scene = Scene::new(world).await;
    let send = async |path: &str, body: &Value| {
        let path = scene.path(path);
        scene.api.ask("POST", &path).json(body.clone()).header("idempotency-key", "k1").send().await
    };
    let first = send("oauth2/start", &named("Mine")).await.expect(201);
    let again = send("oauth2/start", &named("Mine")).await.expect(201);
    assert_eq!(first.text, again.text);
    send("oauth2/start", &named("Other")).await.refused(409, "idempotency_key_reused");
    let url = format!("{}&login_hint=ada", first.get("authorizationUrl"));
    let back = Browser::new(provider()).visit(&url).await;
    let body = json!({ "state": parameter(&back, "state"), "code": parameter(&back, "code") });
    let complete = async || {
        let path = scene.path("oauth2/complete");
        let ask = scene.api.ask("POST", &path).json(body.clone());
        ask.header("idempotency-key", "k2").send().await.expect(201)
    };
    assert_eq!(complete().await.text, complete().await.text);
    assert_eq!(scene.count().await, 1);
}

async fn whoever_does_not_consent_connects_nothing(world: World) {
    let scene = Scene::new(world).await;
    let back = scene.consent(named("Mine"), "nobody").await;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    let state = parameter(&back, "state");
    let body = json!({ "state": state, "error": "access_denied" });
    let denied = scene.api.post(&scene.path("oauth2/complete"), body.clone()).await;
    denied.refused(403, "consent_denied");
    let again = scene.api.post(&scene.path("oauth2/complete"), body).await;
    again.refused(422, "oauth_state_unknown");
    // A code that was never given is worth nothing, and spends the state.
    let back = scene.consent(named("Mine"), "ada").await;
    let body = json!({ "state": parameter(&back, "state"), "code": "made-up" });
    let refused = scene.api.post(&scene.path("oauth2/complete"), body).await;
    refused.refused(409, "oauth_refused");
    assert!(!refused.text.contains("made-up"));
    scene.complete(&back).await.refused(422, "oauth_state_unknown");
    assert_eq!(scene.count().await, 0);
}

async fn a_redirect_uri_stays_what_it_was_when_it_began(world: World) {
    let scene = Scene::new(world).await;
    let back = scene.consent(named("Mine"), "ada").await;
    scene
        .change_target(|body| body["config"]["redirectUri"] = json!("https://other.example/"))
        .await;
    scene.complete(&back).await.expect(201);
    let started = scene.api.post(&scene.path("oauth2/start"), named("Mine")).await.expect(201);
    let url = Url::parse(&started.get("authorizationUrl")).unwrap();
    assert_eq!(parameter(&url, "redirect_uri").as_deref(), Some("https://other.example/"));
    assert_eq!(parameter(&url, "code_challenge_method").as_deref(), Some("S256"));
    // Whoever is at another place says so to nobody: the body has no such field.
    let body = json!({ "displayName": "x", "redirectUri": "https://evil.example/" });
    scene.api.post(&scene.path("oauth2/start"), body).await.refused(400, "bad_request");
}

async fn a_target_that_is_not_whole_or_not_reachable_begins_nothing(world: World) {
    let scene = Scene::new(world).await;
    let (start, program) = (scene.path("oauth2/start"), scene.path("client-credentials"));
    for missing in ["clientId", "redirectUri", "authorizationUrl"] {
        scene
            .change_target(|body| drop(body["config"].as_object_mut().unwrap().remove(missing)))
            .await;
        scene.api.post(&start, named("Mine")).await.refused(409, "target_incomplete");
    }
    let read_only = scene.api.token("read_only").await;
    let ask = scene.api.ask("POST", &start).json(named("Mine")).bearer(&read_only);
    ask.send().await.refused(403, "insufficient_role");
    scene.change_target(|_| ()).await;
    for wrong in [
        json!({ "displayName": "x", "method": "device" }),
        json!({ "displayName": "x", "method": "none" }),
        json!({ "displayName": "" }),
        json!({ "displayName": "x", "config": { "unknown": 1 } }),
    ] {
        scene.api.post(&start, wrong).await.refused(422, "invalid");
    }
    let absent = json!({ "displayName": "x", "connectionId": "icn_none" });
    scene.api.post(&start, absent).await.refused(404, "not_found");
    // A token endpoint inside the house is not spoken to, whoever names it.
    scene.change_target(|body| body["options"] = json!({})).await;
    scene.api.post(&program, named("Mine")).await.refused(409, "address_refused");
    scene.change_target(|body| body["options"]["upstream"]["caPem"] = Value::Null).await;
    scene.api.post(&program, named("Mine")).await.refused(503, "oauth_unavailable");
    scene.change_target(|body| body["secrets"]["clientSecret"] = json!("wrong")).await;
    scene.api.post(&program, named("Mine")).await.refused(409, "oauth_refused");
    scene.api.post("/v1/integration/targets/api/disable", json!({})).await.expect(200);
    scene.api.post(&start, named("Mine")).await.refused(409, "target_disabled");
    assert_eq!(scene.count().await, 0);
}

async fn a_process_that_dies_after_the_exchange_leaves_nothing(world: World) {
    let scene = Scene::new(world).await;
    let back = scene.consent(named("Mine"), "ada").await;
    let (state, code) = (parameter(&back, "state").unwrap(), parameter(&back, "code").unwrap());
    let organisation = scene.organisation().await;
    let who = Who { organisation: &organisation, session: "operator" };
    let came_back = CameBack::Code(Plaintext::new(code.into_bytes()));
    let consented =
        Connect(&scene.api.control).finish_consent(who, ("api", &state), came_back).await;
    // The provider has answered, and nobody keeps it.
    drop(consented.unwrap());
    assert_eq!(scene.count().await, 0);
    assert!(!scene.audit().await.contains("connection."));
    scene.complete(&back).await.refused(422, "oauth_state_unknown");
    scene.connect("ada").await;
}

async fn replicas_that_ask_at_once_refresh_once(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let wanted = scene.sandbox(&connection).await;
    let first = scene.resolve(&wanted).await.unwrap();
    let refresh = scene.stored(&connection, "oauth2_refresh_token").await;
    scene.api.pass_time(HOUR - 59_000);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (control, wanted) = (scene.api.control.clone(), wanted.clone());
        asking.spawn(async move { control.resolve(&wanted).await.map(|c| (c.secret, c.version)) });
    }
    let given = asking.join_all().await;
    let given: Vec<_> = given.into_iter().map(Result::unwrap).collect();
    assert!(given.iter().all(|(_, version)| *version == 2), "one refresh");
    let second = String::from_utf8(given[0].0.expose().to_vec()).unwrap();
    assert_ne!(first, second);
    assert_ne!(scene.stored(&connection, "oauth2_refresh_token").await, refresh, "it rotates");
    // The provider voids everything when an old refresh token is used: the new one still works.
    scene.api.pass_time(2 * HOUR);
    let third = scene.resolve(&wanted).await.unwrap();
    assert_eq!(owner_of(&third).await.as_deref(), Some("ada"));
    assert_eq!(scene.connection(&connection).await["status"], "active");
}

async fn a_provider_that_is_away_ends_nothing_before_the_token_ends(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let wanted = scene.sandbox(&connection).await;
    let first = scene.resolve(&wanted).await.unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("https://localhost:{}/token", closed.local_addr().unwrap().port());
    drop(closed);
    scene.change_target(|body| body["config"]["tokenUrl"] = json!(nowhere)).await;
    scene.api.pass_time(HOUR - 30_000);
    assert_eq!(scene.resolve(&wanted).await.as_ref(), Ok(&first), "it still works");
    scene.api.pass_time(30_000);
    assert_eq!(scene.resolve(&wanted).await, Err("oauth_unavailable"));
    assert_eq!(scene.connection(&connection).await["status"], "active");
    scene.change_target(|_| ()).await;
    assert_ne!(scene.resolve(&wanted).await, Ok(first));
}

async fn tokens_are_renewed_before_anybody_asks(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let mut renewal = Renewal::new(scene.api.control.clone());
    assert_eq!(renewal.pass().await.unwrap().renewed, 0, "it is young");
    scene.api.pass_time(HOUR / 5 * 4);
    assert_eq!(renewal.pass().await.unwrap().renewed, 1);
    assert_eq!(renewal.pass().await.unwrap().renewed, 0);
    assert_eq!(scene.connection(&connection).await["credentials"][0]["version"], 2);
    // One that fails is not asked for at every look.
    scene.api.pass_time(HOUR / 5 * 4);
    scene
        .change_target(|body| body["config"]["tokenUrl"] = json!("https://nowhere.invalid/"))
        .await;
    let failed = async |renewal: &mut Renewal| renewal.pass().await.unwrap().failed;
    assert_eq!(failed(&mut renewal).await, 1);
    assert_eq!(failed(&mut renewal).await, 0);
    scene.api.pass_time(30_000);
    assert_eq!(failed(&mut renewal).await, 1);
    scene.api.pass_time(59_999);
    assert_eq!(failed(&mut renewal).await, 0, "twice as long");
    scene.change_target(|_| ()).await;
    scene.api.pass_time(1);
    assert_eq!(renewal.pass().await.unwrap().renewed, 1);
}

async fn what_the_provider_took_back_is_seen_and_mended(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let wanted = scene.sandbox(&connection).await;
    let refresh = scene.stored(&connection, "oauth2_refresh_token").await.unwrap();
    revoke(&refresh).await;
    scene.api.pass_time(HOUR / 5 * 4);
    let mut renewal = Renewal::new(scene.api.control.clone());
    assert_eq!(renewal.pass().await.unwrap().failed, 1);
    let seen = scene.connection(&connection).await;
    assert_eq!(
        (&seen["status"], &seen["statusReason"]),
        (&json!("error"), &json!("invalid_grant"))
    );
    let metrics = scene.api.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("sallygate_connections{status=\"error\"} 1"), "{metrics}");
    let told = scene.api.notices().await;
    assert!(told.iter().any(|notice| notice.payload == json!({ "connectionId": connection })));
    assert_eq!(scene.resolve(&wanted).await, Err("credential_refused"));
    assert_eq!(renewal.pass().await.unwrap().failed, 0, "nobody tries any more");
    // The same person consents again: the same connection, with its bindings.
    let body = json!({ "displayName": "Mine", "connectionId": connection });
    let back = scene.consent(body, "ada").await;
    let mended = scene.complete(&back).await.expect(201);
    assert_eq!((mended.get("id"), mended.get("status")), (connection.clone(), "active".into()));
    let token = scene.resolve(&wanted).await.unwrap();
    assert_eq!(owner_of(&token).await.as_deref(), Some("ada"));
    assert_eq!(scene.count().await, 1);
}

/// Ends a token at the provider.
async fn revoke(token: &str) {
    let provider = provider();
    let basic = STANDARD.encode(format!("sallygate:{}", encoded(&provider.client_secret)));
    let basic = format!("Basic {basic}").parse().unwrap();
    let url = format!("{}/token/revocation", provider.issuer);
    let form = format!("token={}", encoded(token));
    let answer = provider.outbound().post_form(&url, Some(basic), form).await.unwrap();
    assert!(answer.status.is_success());
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn nobody_else_takes_the_place_of_whoever_consented(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let before = scene.stored(&connection, "oauth2_access_token").await;
    let body = json!({ "displayName": "Mine", "connectionId": connection });
    let back = scene.consent(body.clone(), "grace").await;
    scene.complete(&back).await.refused(409, "subject_differs");
    assert_eq!(scene.stored(&connection, "oauth2_access_token").await, before);
    let back = scene.consent(body.clone(), "ada").await;
    let revoke = format!("{CONNECTIONS}/{connection}/revoke");
    scene.api.post(&revoke, json!({})).await.expect(200);
    // It was ended meanwhile: what its owner ended nobody takes up again.
    scene.complete(&back).await.refused(409, "connection_revoked");
    scene.api.post(&scene.path("oauth2/start"), body).await.refused(409, "connection_revoked");
}

async fn a_person_connects_on_another_device(world: World) {
    let scene = Scene::new(world).await;
    let started = scene.api.post(&scene.path("device/start"), named("Mine")).await.expect(201);
    let handle = json!({ "handle": started.get("handle") });
    let poll = async |seconds: i64| {
        scene.api.pass_time(seconds * 1000);
        scene.api.post(&scene.path("device/poll"), handle.clone()).await
    };
    assert_eq!(poll(0).await.expect(200).get("status"), "pending");
    assert_eq!(poll(10).await.expect(200).get("status"), "pending");
    // Many at once: one of them asks the provider.
    scene.api.pass_time(10_000);
    let asked = async || poll(0).await.expect(200).get("status");
    let (one, other) = tokio::join!(asked(), asked());
    assert_eq!((one.as_str(), other.as_str()), ("pending", "pending"));
    let stranger = scene.api.token("member").await;
    let ask = scene.api.ask("POST", &scene.path("device/poll")).json(handle.clone());
    ask.bearer(&stranger).send().await.refused(422, "oauth_state_unknown");
    let mut browser = Browser::new(provider());
    browser.approve_device(&started.get("verificationUri"), &started.get("userCode")).await;
    let done = poll(10).await.expect(200);
    assert_eq!(done.get("status"), "connected");
    let connection = done.body["connection"]["id"].as_str().unwrap().to_owned();
    let wanted = scene.sandbox(&connection).await;
    let token = scene.resolve(&wanted).await.unwrap();
    assert!(owner_of(&token).await.is_some());
    assert!(!done.text.contains(&token));
    poll(10).await.refused(422, "oauth_state_unknown");
    // It is renewed as any other.
    scene.api.pass_time(2 * HOUR);
    assert_ne!(scene.resolve(&wanted).await.unwrap(), token);
}

async fn a_program_connects_by_itself(world: World) {
    let scene = Scene::new(world).await;
    let made = scene.api.post(&scene.path("client-credentials"), named("Program")).await;
    let made = made.expect(201);
    assert_eq!(made.get("method"), "program");
    let wanted = scene.sandbox(&made.get("id")).await;
    let first = scene.resolve(&wanted).await.unwrap();
    let asked = provider().count("client_credentials").await;
    scene.api.pass_time(500_000);
    assert_eq!(scene.resolve(&wanted).await.as_ref(), Ok(&first), "it is kept");
    scene.api.pass_time(60_000);
    assert_ne!(scene.resolve(&wanted).await, Ok(first), "it ended soon");
    assert!(provider().count("client_credentials").await > asked);
}

async fn the_provider_is_told_of_a_deleted_connection(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    let token = scene.stored(&connection, "oauth2_access_token").await.unwrap();
    assert_eq!(owner_of(&token).await.as_deref(), Some("ada"));
    scene
        .change_target(|body| body["config"]["revocationUrl"] = json!("https://nowhere.invalid/"))
        .await;
    let path = format!("{CONNECTIONS}/{connection}");
    assert_eq!(scene.api.ask("DELETE", &path).send().await.status, 204);
    assert_eq!(scene.stored(&connection, "oauth2_access_token").await, None);
    assert_eq!(owner_of(&token).await.as_deref(), Some("ada"), "nobody was told yet");
    // The process that would tell dies; another one does it, with a key that was made since.
    let organisation = scene.organisation().await;
    let control = &scene.api.control;
    let now = control.clock.now_ms();
    control.vault.rotate_data_key(&control.store, &organisation, now).await.unwrap();
    let mut renewal = Renewal::new(control.clone());
    assert_eq!(renewal.pass().await.unwrap().told, 0, "the provider is away");
    scene.change_target(|_| ()).await;
    assert_eq!(renewal.pass().await.unwrap().told, 0, "it is not asked all the time");
    scene.api.pass_time(600_000);
    assert_eq!(renewal.pass().await.unwrap().told, 1);
    assert_eq!(owner_of(&token).await, None);
    assert_eq!(renewal.pass().await.unwrap().told, 0);
    // One that has no such endpoint is not told, and nothing waits for it.
    scene
        .change_target(|body| drop(body["config"].as_object_mut().unwrap().remove("revocationUrl")))
        .await;
    let other = scene.connect("ada").await["id"].as_str().unwrap().to_owned();
    scene.api.ask("DELETE", &format!("{CONNECTIONS}/{other}")).send().await;
    assert_eq!(renewal.pass().await.unwrap().told, 0);
    scene.change_target(|_| ()).await;
    scene.api.pass_time(600_000);
    assert_eq!(renewal.pass().await.unwrap().told, 0);
    let audit = scene.audit().await;
    assert!(audit.contains("connection.revoke_token") && !audit.contains(&token));
}

/// Somebody's session, as their browser has it: the cookie, and what pages send with it.
async fn sign_in(scene: &Scene, who: &str) -> (String, String) {
    let control = &scene.api.control;
    let login = Login::new(config(), control.store.clone(), control.vault.clone()).unwrap();
    let now = control.clock.now_ms();
    let started = login.start("/", now).await.unwrap();
    let back = Browser::new(provider()).visit(&format!("{}&login_hint={who}", started.url)).await;
    let (state, code) = (parameter(&back, "state").unwrap(), parameter(&back, "code"));
    let cookie = started.cookie.as_str();
    let finish = Finish { state: &state, code: code.as_deref(), issuer: None, cookie };
    let token = login.finish(finish, now).await.unwrap().token;
    (format!("{SESSION_COOKIE}={}", token.expose()), token.csrf())
}

async fn the_browser_that_began_it_ends_it(world: World) {
    let scene = Scene::new(world).await;
    // Whoever signs in does so by the clock of the provider.
    scene.api.pass_time(wall_ms() - NOW);
    let (ada, csrf) = sign_in(&scene, "ada").await;
    let (again, _) = sign_in(&scene, "ada").await;
    let begin = async || {
        let path = scene.path("oauth2/start");
        let ask = scene.api.ask("POST", &path).json(named("Mine")).without("authorization");
        let ask = ask.header("cookie", ada.clone());
        ask.header("x-csrf-token", csrf.clone()).send().await.expect(201)
    };
    let consent = async |started: Answer, who: &str| {
        let url = format!("{}&login_hint={who}", started.get("authorizationUrl"));
        Browser::new(provider()).visit(&url).await
    };
    let visit = async |back: &Url, cookie: Option<&str>| {
        let path = format!("/v1/integration/callback?{}", back.query().unwrap());
        let ask = scene.api.ask("GET", &path).without("authorization");
        let ask = if let Some(cookie) = cookie { ask.header("cookie", cookie) } else { ask };
        let page = ask.send().await;
        let code = parameter(back, "code").unwrap_or_else(|| "no code".to_owned());
        assert!(!page.text.contains(&code), "{}", page.text);
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        assert_eq!(page.headers["cache-control"], "no-store");
        page
    };
    let back = consent(begin().await, "ada").await;
    // Neither another browser, nor another session of the same person, and nothing is spent by it.
    for stranger in [None, Some(again.as_str()), Some("__Host-sallygate-session=sgs_x")] {
        let page = visit(&back, stranger).await.expect(200);
        assert!(page.text.contains("Copy the address"), "{}", page.text);
    }
    assert_eq!(scene.count().await, 0);
    let page = visit(&back, Some(&ada)).await.expect(200);
    assert!(page.text.contains("<h1>Connected</h1>"), "{}", page.text);
    assert_eq!(scene.count().await, 1);
    assert!(visit(&back, Some(&ada)).await.text.contains("Copy the address"), "it is spent");
    let denied = consent(begin().await, "nobody").await;
    let page = visit(&denied, Some(&ada)).await.expect(409);
    assert!(page.text.contains("consent_denied"), "{}", page.text);
    assert_eq!(scene.count().await, 1);
}
