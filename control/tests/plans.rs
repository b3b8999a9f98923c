//! Profiles, versions, what is in force, and which sandbox gets which credential, on both
//! databases.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use std::sync::Arc;

use sallygate_control::domain::resolve::Wanted;
use sallygate_control::feed::{About, InForce, Order, Proxy, Refused};
use scene::Api;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use world::World;

on_both_databases!(
    what_compiles_is_written_and_never_changed,
    what_does_not_compile_is_not_written,
    a_dry_run_writes_nothing,
    a_connection_of_somebody_else_cannot_be_bound,
    an_older_version_can_be_put_in_force_again,
    a_version_is_asked_and_compared_before_it_is_in_force,
    a_bound_connection_is_not_deleted,
    a_sandbox_lives_until_it_is_ended,
    what_is_in_force_is_told_and_acknowledged,
    a_credential_is_given_only_where_the_plan_in_force_has_it,
    a_changed_target_changes_the_plans_in_force,
    a_plan_that_its_target_no_longer_allows_is_withdrawn,
);

const CANARY: &str = "canary-0123456789-0123456789-LAST";
const PROFILES: &str = "/v1/sandbox/profiles";

/// A profile that binds a connection to the echo target.
struct Bound {
    api: Api,
    profile: String,
    connection: String,
}

impl Bound {
    async fn new(world: World) -> Self {
        let api = Api::new(world).await;
        api.echo_target("echo").await;
        let connection = api.connect("echo", CANARY).await;
        let made = api.post(PROFILES, json!({ "name": "web" })).await.expect(201);
        Self { api, profile: made.get("id"), connection }
    }

    fn path(&self, rest: &str) -> String {
        format!("{PROFILES}/{}{rest}", self.profile)
    }

    /// A version that binds the connection.
    fn version(&self) -> Value {
        let binding = json!({ "id": "demo", "connectionId": self.connection });
        json!({ "bindings": [binding] })
    }

    async fn add(&self, version: Value) -> Value {
        self.api.post(&self.path("/versions"), version).await.expect(201).body
    }

    async fn publish(&self, version: i64) -> Value {
        let body = json!({ "version": version });
        self.api.post(&self.path("/publish"), body).await.expect(200).body
    }

    /// A sandbox of the profile: its id.
    async fn sandbox(&self) -> String {
        let body = json!({ "profileId": self.profile });
        self.api.post("/v1/sandboxes", body).await.expect(201).get("id")
    }

    async fn wanted(&self, sandbox: &str) -> Wanted {
        Wanted {
            sandbox: sandbox.to_owned(),
            connection: self.connection.clone(),
            secret_type: "api_key".to_owned(),
            slot_key: None,
            resolver_key: None,
            scope: serde_json::Map::new(),
            plan_digest: self.digest().await,
        }
    }

    /// What is in force.
    async fn digest(&self) -> String {
        let profile = self.api.get(&self.path("")).await.expect(200);
        profile.body["publishedDigest"].as_str().unwrap_or_default().to_owned()
    }

    /// The secret, or why it is refused.
    async fn resolve(&self, wanted: &Wanted) -> Result<String, String> {
        let resolved = self.api.control.resolve(wanted).await;
        let text = |c: sallygate_control::domain::resolve::Credential| {
            String::from_utf8_lossy(c.secret.expose()).into_owned()
        };
        resolved.map(text).map_err(|error| format!("{}: {error}", error.code))
    }
}

async fn what_compiles_is_written_and_never_changed(world: World) {
    let it = Bound::new(world).await;
    let first = it.add(it.version()).await;
    assert_eq!((&first["version"], &first["bindings"][0]["id"]), (&json!(1), &json!("demo")));
    assert!(first["planDigest"].as_str().is_some_and(|d| d.starts_with("sha256:")));
    let second = it.add(json!({ "policy": { "unmatched": "passthrough" } })).await;
    assert_eq!(second["version"], 2);
    let kept = it.api.get(&it.path("/versions/1")).await.expect(200).body;
    assert_eq!(kept, first);
    let list = it.api.get(&it.path("/versions?limit=1")).await.expect(200).body;
    assert_eq!(list["items"], json!([first]));
    let bindings = it.api.get(&it.path("/versions/1/integration-bindings")).await.expect(200);
    assert_eq!(bindings.body["items"], first["bindings"]);
    for absent in ["/versions/3", "/versions/0", "/versions/x", "/versions/-1"] {
        it.api.get(&it.path(absent)).await.refused(404, "not_found");
    }
    let stale = it.api.ask("POST", &it.path("/versions")).header("if-match", "\"1\"");
    stale.json(it.version()).send().await.refused(412, "stale");
    it.api.post(PROFILES, json!({ "name": "web" })).await.refused(409, "name_taken");
}

async fn what_does_not_compile_is_not_written(world: World) {
    let it = Bound::new(world).await;
    let with = |key: &str, value: Value| {
        let mut binding = json!({ "id": "demo", "connectionId": it.connection });
        binding[key] = value;
        json!({ "bindings": [binding] })
    };
    let twice = json!({ "bindings": [it.version()["bindings"][0], it.version()["bindings"][0]] });
    let route = json!({ "name": "r", "match": { "hosts": ["a b"] } });
    let borrowed = json!({ "name": "r", "match": { "hosts": ["in.test"] }, "target": "echo" });
    let never = json!({ "never": { "hosts": ["echo.test"] } });
    let violated =
        json!({ "bindings": it.version()["bindings"], "policy": { "assertions": [never] } });
    for (body, code) in [
        (with("kind", json!("git")), "KIND_MISMATCH"),
        (with("config", json!({ "other": 1 })), "INVALID_BINDING_CONFIG"),
        (with("connectionId", json!("icn_none")), "UNKNOWN_CONNECTION"),
        (with("routes", json!(["no-such-route"])), "BAD_VALUE"),
        (with("kind", json!("nothing")), "MALFORMED"),
        (twice, "DUPLICATE_BINDING"),
        (json!({ "policy": { "other": 1 } }), "UNKNOWN_FIELD"),
        (json!({ "policy": { "unmatched": "allow" } }), "MALFORMED"),
        (json!({ "policy": { "routes": [{}] } }), "MALFORMED"),
        (json!({ "policy": { "routes": [route] } }), ""),
        (json!({ "policy": { "routes": [borrowed] } }), "FORBIDDEN_FIELD"),
        (violated, ""),
    ] {
        let answer = it.api.post(&it.path("/versions"), body.clone()).await;
        assert_eq!(answer.status.as_u16(), 422, "{body}: {}", answer.text);
        let issues = answer.body["issues"].as_array().expect("issues");
        let has = issues.iter().any(|issue| code.is_empty() || issue["code"] == code);
        assert!(has, "{body}: {}", answer.text);
    }
    assert_eq!(it.api.get(&it.path("/versions")).await.expect(200).body["items"], json!([]));
    it.api.post(&it.path("/publish"), json!({})).await.refused(404, "not_found");
}

async fn a_dry_run_writes_nothing(world: World) {
    let it = Bound::new(world).await;
    let compiled = it.api.post(&it.path("/compile"), it.version()).await.expect(200).body;
    let routes = compiled["plan"]["egressRoutes"].as_array().expect("routes");
    assert!(routes.iter().any(|route| route["routeId"] == "demo/read"), "{routes:?}");
    assert!(!compiled.to_string().contains("canary-"));
    let wrong = json!({ "bindings": [{ "id": "x", "connectionId": "icn_none" }] });
    let wrong = it.api.post(&it.path("/compile"), wrong).await.expect(200).body;
    assert_eq!(wrong["errors"][0]["code"], "UNKNOWN_CONNECTION");
    assert!(wrong.get("plan").is_none());
    assert_eq!(it.api.get(&it.path("/versions")).await.expect(200).body["items"], json!([]));
    let written = it.add(it.version()).await;
    assert_eq!(written["planDigest"], compiled["planDigest"], "a write accepts what compiles");
}

async fn a_connection_of_somebody_else_cannot_be_bound(world: World) {
    let it = Bound::new(world).await;
    it.api.pass_time(1);
    let other = it.api.post("/v1/organisations", json!({ "name": "other" })).await.expect(201);
    let other = other.get("id");
    let ask = |path: &str, body: Value| {
        let ask = it.api.ask("POST", path).header("sallygate-organisation", &*other);
        ask.json(body).send()
    };
    let theirs = ask(PROFILES, json!({ "name": "theirs" })).await.expect(201).get("id");
    let foreign = ask(&format!("{PROFILES}/{theirs}/versions"), it.version()).await;
    let unknown = json!({ "bindings": [{ "id": "demo", "connectionId": "icn_none" }] });
    let unknown = ask(&format!("{PROFILES}/{theirs}/versions"), unknown).await;
    assert_eq!(foreign.status, 422);
    let same = unknown.text.replace("icn_none", &it.connection);
    assert_eq!(foreign.text, same, "a foreign connection is as unknown as one that never was");
    ask(&it.path("/versions"), json!({})).await.refused(404, "not_found");
    ask(&it.path("/publish"), json!({})).await.refused(404, "not_found");
    ask("/v1/sandboxes", json!({ "profileId": it.profile })).await.refused(404, "not_found");
}

async fn an_older_version_can_be_put_in_force_again(world: World) {
    let it = Bound::new(world).await;
    let first = it.add(it.version()).await;
    it.add(json!({})).await;
    assert_eq!(it.publish(2).await["version"], 2);
    let back = it.publish(1).await;
    assert_eq!(back["planDigest"], first["planDigest"]);
    assert_eq!(back["acknowledged"], false, "no proxy is attached");
    let profile = it.api.get(&it.path("")).await.expect(200).body;
    let versions = (&profile["latestVersion"], &profile["publishedVersion"]);
    assert_eq!(versions, (&json!(2), &json!(1)));
    let latest = it.api.post(&it.path("/publish"), json!({})).await.expect(200).body;
    assert_eq!(latest["version"], 2);
    let path = it.path("/publish?wait=31");
    it.api.post(&path, json!({})).await.refused(400, "bad_request");
    // What no longer compiles is not put in force, and what is in force stays.
    it.api.ask("POST", "/v1/integration/targets/echo/disable").send().await.expect(200);
    let refused = it.api.post(&it.path("/publish"), json!({ "version": 1 })).await;
    assert_eq!(refused.body["issues"][0]["code"], "TARGET_DISABLED", "{}", refused.text);
    assert_eq!(it.api.get(&it.path("")).await.expect(200).body["publishedVersion"], 2);
}

async fn a_version_is_asked_and_compared_before_it_is_in_force(world: World) {
    let it = Bound::new(world).await;
    it.add(it.version()).await;
    let ask = |rest: &str, body: Value| {
        let path = it.path(rest);
        let api = &it.api;
        async move { api.post(&path, body).await }
    };
    let get = json!({ "method": "GET", "url": "https://echo.test/get", "version": 1 });
    let explained = ask("/explain", get.clone()).await.expect(200).body;
    assert_eq!(
        (&explained["outcome"], &explained["explanation"]["route"]),
        (&json!("allow"), &json!("demo/read"))
    );
    assert!(!explained.to_string().contains("canary-"));
    for (method, url, outcome) in [
        ("DELETE", "https://echo.test/get", "no_route"),
        ("GET", "https://other.test/get", "no_route"),
        ("GET", "ftp://echo.test/get", "scheme_not_supported"),
    ] {
        let body = json!({ "method": method, "url": url, "version": 1 });
        assert_eq!(ask("/explain", body).await.expect(200).body["outcome"], outcome, "{url}");
    }
    let without = json!({ "method": "GET", "url": "https://echo.test/get" });
    ask("/explain", without.clone()).await.refused(404, "not_found");
    ask("/explain", json!({ "method": "G T", "url": "https://echo.test/", "version": 1 }))
        .await
        .refused(422, "invalid");
    it.publish(1).await;
    assert_eq!(ask("/explain", without).await.expect(200).body["outcome"], "allow");
    let same = ask("/diff", json!({})).await.expect(200).body;
    assert_eq!((&same["regions"], &same["complete"]), (&json!([]), &json!(true)));
    it.add(json!({})).await;
    let taken = ask("/diff", json!({})).await.expect(200).body;
    assert!(taken["regions"].as_array().is_some_and(|r| !r.is_empty()), "{taken}");
    assert_ne!(taken["fromDigest"], taken["toDigest"]);
    ask("/diff", json!({ "from": 1, "to": 9 })).await.refused(404, "not_found");
}

async fn a_bound_connection_is_not_deleted(world: World) {
    let it = Bound::new(world).await;
    it.add(it.version()).await;
    let path = format!("/v1/integration/connections/{}", it.connection);
    let refused = it.api.ask("DELETE", &path).send().await;
    refused.refused(409, "connection_in_use");
    assert!(refused.text.contains("web/demo"), "{}", refused.text);
    it.publish(1).await;
    it.add(json!({})).await;
    it.api.ask("DELETE", &path).send().await.refused(409, "connection_in_use");
    it.publish(2).await;
    it.api.ask("DELETE", &path).send().await.expect(204);
    let refused = it.api.post(&it.path("/publish"), json!({ "version": 1 })).await;
    assert_eq!(refused.body["issues"][0]["code"], "UNKNOWN_CONNECTION", "{}", refused.text);
}

async fn a_sandbox_lives_until_it_is_ended(world: World) {
    let it = Bound::new(world).await;
    let new = |body: Value| it.api.post("/v1/sandboxes", body);
    let plain = json!({ "profileId": it.profile });
    new(plain.clone()).await.refused(409, "profile_not_published");
    it.add(it.version()).await;
    it.publish(1).await;
    for (key, wrong) in [
        ("sources", json!(["10.0.0.1"])),
        ("sources", json!(["x/8"])),
        ("sources", json!(vec!["10.0.0.0/8"; 17])),
        ("expiresAt", json!("soon")),
        ("expiresAt", json!("2020-01-01T00:00:00Z")),
    ] {
        let mut body = plain.clone();
        body[key] = wrong;
        new(body).await.refused(422, "invalid");
    }
    let member = it.api.token("member").await;
    let claimed = json!({ "profileId": it.profile, "sources": ["10.0.0.7/32"] });
    let ask = it.api.ask("POST", "/v1/sandboxes").json(claimed.clone());
    ask.bearer(&member).send().await.refused(403, "insufficient_role");
    let bound = new(claimed).await.expect(201);
    assert_eq!(bound.body["sources"], json!(["10.0.0.7/32"]));
    let made = new(plain.clone()).await.expect(201);
    let (id, token) = (made.get("id"), made.get("token"));
    assert!(sallygate_control::token::is_whole("sgt_", &token), "{token}");
    let one = format!("/v1/sandboxes/{id}");
    assert!(!it.api.get(&one).await.expect(200).text.contains(&token), "shown once");
    let rotated = it.api.ask("POST", &format!("{one}/rotate-token")).send().await.expect(200);
    assert_ne!(rotated.get("token"), token);
    let later = json!({ "expiresAt": "2027-01-15T08:00:10Z" });
    it.api.ask("PATCH", &one).json(later).send().await.expect(200);
    it.api
        .ask("POST", &format!("{one}/revoke"))
        .header("if-match", "\"1\"")
        .send()
        .await
        .refused(412, "stale");
    it.api.ask("POST", &format!("{one}/revoke")).send().await.expect(200);
    it.api.ask("POST", &format!("{one}/revoke")).send().await.expect(200);
    for (method, path) in [("POST", format!("{one}/rotate-token")), ("PATCH", one.clone())] {
        let mut ask = it.api.ask(method, &path);
        if method == "PATCH" {
            ask = ask.json(json!({ "expiresAt": null }));
        }
        ask.send().await.refused(409, "sandbox_ended");
    }
    let all = it.api.get("/v1/sandboxes").await.expect(200);
    let items = all.body["items"].as_array().expect("items");
    let ended = items.iter().filter(|item| item["revokedAt"].is_string());
    assert_eq!((items.len(), ended.count()), (2, 1));
}

/// A proxy that carries everything out, and says what it was told.
fn attached() -> (Proxy, mpsc::UnboundedReceiver<Order>) {
    let (sender, orders) = mpsc::unbounded_channel();
    let proxy = move |order| {
        // Whoever listened has seen enough.
        let _ = sender.send(order);
        Refused::new()
    };
    (Arc::new(proxy), orders)
}

async fn applied(orders: &mut mpsc::UnboundedReceiver<Order>) -> InForce {
    loop {
        match orders.recv().await.expect("an order") {
            Order::Apply(in_force) => return in_force,
            Order::Forget(_) => {}
        }
    }
}

async fn forgotten(orders: &mut mpsc::UnboundedReceiver<Order>) -> Vec<String> {
    loop {
        match orders.recv().await.expect("an order") {
            Order::Apply(_) => {}
            Order::Forget(connections) => return connections,
        }
    }
}

async fn what_is_in_force_is_told_and_acknowledged(world: World) {
    let it = Bound::new(world).await;
    it.add(it.version()).await;
    let (proxy, mut orders) = attached();
    let control = it.api.control.clone();
    let feed = control.feed.clone();
    let telling = tokio::spawn(async move {
        tokio::join!(feed.run(control.clone()), feed.attach(control, (proxy, About::default())));
    });
    assert!(applied(&mut orders).await.plans.is_empty());
    let published = it.api.post(&it.path("/publish?wait=20"), json!({})).await.expect(200).body;
    assert_eq!(published["acknowledged"], true);
    let mut told = applied(&mut orders).await;
    while told.plans.is_empty() {
        told = applied(&mut orders).await;
    }
    assert_eq!(told.plans[&it.profile].digest, published["planDigest"].as_str().expect("text"));
    assert_eq!(told.targets[&it.connection], "echo");
    let sandbox = it.sandbox().await;
    while told.sandboxes.is_empty() {
        told = applied(&mut orders).await;
    }
    assert_eq!((&told.sandboxes[0].id, &told.sandboxes[0].profile), (&sandbox, &it.profile));
    for path in [
        format!("/v1/integration/connections/{}/revoke", it.connection),
        "/v1/integration/targets/echo/disable".to_owned(),
    ] {
        it.api.ask("POST", &path).send().await.expect(200);
        assert_eq!(forgotten(&mut orders).await, std::slice::from_ref(&it.connection), "{path}");
    }
    it.api.ask("POST", &format!("/v1/sandboxes/{sandbox}/revoke")).send().await.expect(200);
    while !told.sandboxes.is_empty() {
        told = applied(&mut orders).await;
    }
    telling.abort();
}

async fn a_credential_is_given_only_where_the_plan_in_force_has_it(world: World) {
    let it = Bound::new(world).await;
    it.add(it.version()).await;
    it.publish(1).await;
    let sandbox = it.sandbox().await;
    let wanted = it.wanted(&sandbox).await;
    assert_eq!(it.resolve(&wanted).await.as_deref(), Ok(CANARY));
    let strange = it.api.connect("echo", "another").await;
    for wrong in [
        Wanted { sandbox: "sbx_none".to_owned(), ..wanted.clone() },
        Wanted { connection: "icn_none".to_owned(), ..wanted.clone() },
        Wanted { connection: strange, ..wanted.clone() },
        Wanted { secret_type: "webhook_secret".to_owned(), ..wanted.clone() },
        Wanted { slot_key: Some("other".to_owned()), ..wanted.clone() },
        Wanted { resolver_key: Some("other".to_owned()), ..wanted.clone() },
    ] {
        let refused = it.resolve(&wrong).await.expect_err("it is not in the plan");
        assert!(refused.starts_with("credential_refused"), "{refused}");
        assert!(!refused.contains("canary-"), "{refused}");
    }
    let post = |path: String| {
        let api = &it.api;
        async move { api.ask("POST", &path).send().await.expect(200) }
    };
    let target = "/v1/integration/targets/echo".to_owned();
    post(format!("{target}/disable")).await;
    assert!(it.resolve(&wanted).await.is_err(), "its target is disabled");
    post(format!("{target}/enable")).await;
    assert!(it.resolve(&wanted).await.is_ok());
    it.add(json!({})).await;
    it.publish(2).await;
    let late = it.resolve(&wanted).await.expect_err("another plan is in force");
    assert!(late.starts_with("plan_out_of_date"), "{late}");
    let refused =
        it.resolve(&it.wanted(&sandbox).await).await.expect_err("the plan has it no more");
    assert!(refused.starts_with("credential_refused"), "{refused}");
    it.publish(1).await;
    let connection = format!("/v1/integration/connections/{}", it.connection);
    let rotate = json!({ "secrets": { "token": "second" } });
    it.api.post(&format!("{connection}/rotate-secret"), rotate).await.expect(200);
    assert_eq!(it.resolve(&wanted).await.as_deref(), Ok("second"));
    let short = json!({ "expiresAt": "2027-01-15T08:00:01Z" });
    it.api.ask("PATCH", &format!("/v1/sandboxes/{sandbox}")).json(short).send().await.expect(200);
    it.api.pass_time(1000);
    assert!(it.resolve(&wanted).await.is_err(), "the sandbox has expired");
    let second = it.sandbox().await;
    let wanted = it.wanted(&second).await;
    assert!(it.resolve(&wanted).await.is_ok());
    post(format!("{connection}/revoke")).await;
    assert!(it.resolve(&wanted).await.is_err(), "the connection is revoked");
}

impl Bound {
    /// What is in force of the profile.
    async fn in_force(&self) -> Option<String> {
        let profile = self.api.get(&self.path("")).await.expect(200).body;
        profile["publishedDigest"].as_str().map(str::to_owned)
    }

    /// How often the audit log has this action.
    async fn audited(&self, action: &str) -> usize {
        let audit = self.api.get("/v1/audit?limit=200").await.expect(200).body;
        let entries = audit["items"].as_array().expect("entries");
        entries.iter().filter(|entry| entry["action"] == action).count()
    }
}

async fn a_changed_target_changes_the_plans_in_force(world: World) {
    let it = Bound::new(world).await;
    it.add(it.version()).await;
    it.publish(1).await;
    let first = it.in_force().await.expect("a plan in force");
    let echo = |url: &str, enabled: bool| {
        json!({
            "definition": "demo::echo",
            "displayName": "Echo",
            "enabled": enabled,
            "config": { "baseUrl": url },
        })
    };
    let path = "/v1/integration/targets/echo";
    it.api.put(path, echo("https://echo.test", true)).await.expect(200);
    assert_eq!(it.in_force().await.as_ref(), Some(&first), "nothing of the plan changed");
    assert_eq!(it.audited("profile.republish").await, 0);
    let (proxy, mut orders) = attached();
    let control = it.api.control.clone();
    let telling = tokio::spawn(async move {
        let feed = control.feed.clone();
        tokio::join!(feed.run(control.clone()), feed.attach(control, (proxy, About::default())));
    });
    let hosts = |told: &InForce| format!("{:?}", told.plans[&it.profile].egress_routes);
    assert!(hosts(&applied(&mut orders).await).contains("echo.test"));
    it.api.put(path, echo("https://moved.test", true)).await.expect(200);
    let mut told = applied(&mut orders).await;
    while hosts(&told).contains("echo.test") {
        told = applied(&mut orders).await;
    }
    assert!(hosts(&told).contains("moved.test"));
    telling.abort();
    let moved = it.in_force().await.expect("a plan in force");
    assert_eq!(told.plans[&it.profile].digest, moved);
    assert_ne!(moved, first);
    assert_eq!(it.audited("profile.republish").await, 1);
    it.api.put(path, echo("not a url", true)).await.refused(422, "invalid");
    it.api.put(path, echo("https://else.test", false)).await.expect(200);
    assert_eq!(it.in_force().await, Some(moved), "what is disabled waits");
    it.api.ask("POST", &format!("{path}/enable")).send().await.expect(200);
    let last = it.in_force().await.expect("a plan in force");
    it.api.put(path, echo("https://echo.test", true)).await.expect(200);
    assert_ne!(it.in_force().await, Some(last));
    assert_eq!(it.in_force().await, Some(first), "the same target gives the same plan");
}

async fn a_plan_that_its_target_no_longer_allows_is_withdrawn(world: World) {
    let it = Bound::new(world).await;
    let path = "/v1/integration/targets/models";
    let offering = |model: &str| {
        json!({
            "definition": "openai::openai-default",
            "displayName": "Models",
            "config": { "models": [{ "id": model }] },
        })
    };
    it.api.put(path, offering("small")).await.expect(200);
    let body = json!({ "displayName": "Mine", "secrets": { "apiKey": CANARY } });
    let made = it.api.post("/v1/integration/connections/models/form", body).await.expect(201);
    let connection = made.get("id");
    let binding = json!({ "id": "m", "connectionId": connection, "config": { "model": "small" } });
    it.add(json!({ "bindings": [binding] })).await;
    it.publish(1).await;
    let first = it.in_force().await;
    assert!(first.is_some());
    let sandbox = it.sandbox().await;
    let wanted = Wanted { connection, ..it.wanted(&sandbox).await };
    assert_eq!(it.resolve(&wanted).await.as_deref(), Ok(CANARY));
    it.api.put(path, offering("large")).await.expect(200);
    assert_eq!(it.in_force().await, None);
    assert!(it.resolve(&wanted).await.is_err(), "there is no plan that has it");
    assert_eq!(it.audited("profile.withdraw").await, 1);
    let profile = it.api.get(&it.path("")).await.expect(200).body;
    assert_eq!(profile["publishedVersion"], 1, "what was published is remembered");
    it.api.put(path, offering("large")).await.expect(200);
    assert_eq!(it.audited("profile.withdraw").await, 1, "it is withdrawn once");
    it.api.put(path, offering("small")).await.expect(200);
    assert_eq!(it.in_force().await, first);
    assert_eq!(it.resolve(&wanted).await.as_deref(), Ok(CANARY));
}
