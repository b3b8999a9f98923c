//! What a connection gives access to: asked for at its provider, kept, and asked for anew when an event
//! says that it changed.

use axum::http::StatusCode;
use sallygate_control::store::{Access, fetch_optional};
use sallygate_control::webhook::Worker;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::world::{self, World};
use crate::{PROVIDERS, Scene};

on_both_databases!(
    resources_are_asked_for_and_kept,
    a_provider_that_is_away_or_leads_elsewhere_changes_nothing,
    what_a_connection_gives_access_to_is_its_own_organisations,
    an_event_has_them_asked_for_anew_and_many_events_once,
);

const NAMES: [&str; 5] = ["octo/app", "octo/web", "ada/notes", "octo/api", "octo/docs"];

impl Scene {
    fn has(&self, names: &[&str]) {
        self.server.repository().names = names.iter().map(|name| (*name).to_owned()).collect();
    }

    async fn refresh(&self, connection: &str) -> crate::scene::Answer {
        let path = format!("/v1/integration/connections/{connection}/resources/refresh");
        self.api.post(&path, json!({})).await
    }

    async fn known(&self, connection: &str, kind: &str) -> Vec<String> {
        let path = format!("/v1/integration/connections/{connection}/resources/{kind}");
        let listed = self.api.get(&path).await.expect(200).body;
        let ids = listed["items"].as_array().unwrap().iter();
        ids.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut sorted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    sorted.sort();
    sorted
}

fn kind(provider: &str) -> &'static str {
    if provider == "gitlab" { "projects" } else { "repositories" }
}

async fn resources_are_asked_for_and_kept(world: World) {
    let scene = Scene::new(world).await;
    for provider in PROVIDERS {
        let (connection, kind) = (scene.connect(provider).await, kind(provider));
        assert_eq!(scene.known(&connection, kind).await, Vec::<String>::new());
        scene.has(&NAMES);
        let told = scene.refresh(&connection).await.expect(200).body;
        let item = json!({
            "kind": kind, "count": 5, "refreshedAt": "2027-01-15T08:00:00Z", "truncated": false,
        });
        assert_eq!(told["items"], json!([item]), "{provider}");
        assert_eq!(scene.known(&connection, kind).await, sorted(&NAMES));
        // What is not there any more is not known any more.
        scene.has(&NAMES[1..3]);
        scene.refresh(&connection).await.expect(200);
        assert_eq!(scene.known(&connection, kind).await, sorted(&NAMES[1..3]));
        let path = format!("/v1/integration/connections/{connection}/resources");
        assert_eq!(scene.api.get(&path).await.expect(200).body["items"][0]["count"], 2);
        let page = scene.api.get(&format!("{path}/{kind}?limit=1")).await.expect(200);
        let cursor = page.get("nextCursor");
        let rest = scene.api.get(&format!("{path}/{kind}?cursor={cursor}")).await.expect(200).body;
        assert_eq!(rest["items"].as_array().unwrap().len(), 1);
        let wanted = json!({ "kind": "planets" });
        scene.api.post(&format!("{path}/refresh"), wanted).await.refused(422, "invalid");
    }
    scene.api.echo_target("echo").await;
    let echo = scene.api.connect("echo", "s").await;
    scene.refresh(&echo).await.refused(422, "invalid");
}

async fn a_provider_that_is_away_or_leads_elsewhere_changes_nothing(world: World) {
    let scene = Scene::new(world).await;
    for provider in PROVIDERS {
        let (connection, kind) = (scene.connect(provider).await, kind(provider));
        scene.has(&NAMES);
        scene.refresh(&connection).await.expect(200);
        scene.has(&["octo/other"]);
        for (status, code) in [(503, "provider_unavailable"), (401, "provider_refused")] {
            scene.server.repository().away = Some(StatusCode::from_u16(status).unwrap());
            assert_eq!(scene.refresh(&connection).await.code(), code);
        }
        scene.server.repository().away = None;
        scene.has(&["octo/a", "octo/b", "bad\u{7}name"]);
        scene.refresh(&connection).await.refused(409, "provider_malformed");
        assert_eq!(scene.known(&connection, kind).await, sorted(&NAMES), "{provider}");
        if provider != "gitea" {
            // A credential does not go where an answer says.
            scene.has(&NAMES);
            scene.server.repository().leads_away = true;
            scene.refresh(&connection).await.refused(409, "provider_malformed");
            scene.server.repository().leads_away = false;
        }
    }
}

async fn what_a_connection_gives_access_to_is_its_own_organisations(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("gitea").await;
    scene.has(&NAMES);
    scene.refresh(&connection).await.expect(200);
    // The organisation that an operator means without a word is the one that was first.
    scene.api.pass_time(1);
    let other = scene.api.post("/v1/organisations", json!({ "name": "Other" })).await;
    let other = other.expect(201).get("id");
    let path = format!("/v1/integration/connections/{connection}/resources");
    for (method, path) in [
        ("GET", path.clone()),
        ("GET", format!("{path}/repositories")),
        ("POST", format!("{path}/refresh")),
    ] {
        let ask = scene.api.ask(method, &path).header("sallygate-organisation", &other);
        let ask = if method == "POST" { ask.json(json!({})) } else { ask };
        ask.send().await.refused(404, "not_found");
    }
    let reader = scene.api.token("read_only").await;
    let ask = scene.api.ask("POST", &format!("{path}/refresh")).bearer(&reader).json(json!({}));
    ask.send().await.refused(403, "insufficient_role");
    // Nothing of it is kept when the connection is deleted.
    let one = format!("/v1/integration/connections/{connection}");
    scene.api.ask("DELETE", &one).send().await.expect(204);
    let mut transaction = scene.api.control.store.begin(Access::Read).await.unwrap();
    let count = "SELECT (SELECT COUNT(*) FROM connection_resources) \
                 + (SELECT COUNT(*) FROM connection_resource_lists)";
    let row = fetch_optional(&mut *transaction, count, Vec::new()).await.unwrap();
    assert_eq!(row.unwrap().integer().unwrap(), 0);
}

/// A call of Gitea with this id.
async fn call(scene: &Scene, connection: &str, id: &str) {
    let body =
        json!({ "action": "created", "repository": { "full_name": "octo/new" } }).to_string();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"hook-secret");
    let tag = aws_lc_rs::hmac::sign(&key, body.as_bytes());
    let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = format!("/p/integration/webhooks/gitea/{connection}");
    let ask = scene.api.ask("POST", &path).without("authorization");
    let ask = ask.header("x-gitea-event", "repository").header("x-gitea-delivery", id);
    ask.header("x-gitea-signature", signature).text(body).send().await.expect(202);
}

async fn an_event_has_them_asked_for_anew_and_many_events_once(world: World) {
    let scene = Scene::new(world).await;
    let connection = scene.connect("gitea").await;
    let rotate = format!("/v1/integration/connections/{connection}/rotate-secret");
    let secrets = json!({ "secrets": { "webhookSecret": "hook-secret" } });
    scene.api.post(&rotate, secrets).await.expect(200);
    let action = json!({ "type": "refreshResources" });
    let rule = json!({ "eventTypes": ["gitea.repository.*"], "action": action });
    let trigger = json!({ "displayName": "R", "rule": rule });
    scene.api.post("/v1/integration/webhooks/triggers", trigger).await.expect(201);
    scene.has(&NAMES);
    scene.refresh(&connection).await.expect(200);
    scene.has(&["octo/new"]);
    let worker = Worker::new(scene.api.control.clone());
    let all = async || {
        let mut done = worker.events().await.unwrap();
        loop {
            match worker.refreshes().await.unwrap() {
                0 => return done,
                count => done += count,
            }
        }
    };
    // The provider is away at first: nothing is lost by it.
    scene.api.pass_time(1_000);
    call(&scene, &connection, "d-1").await;
    call(&scene, &connection, "d-2").await;
    scene.server.repository().away = Some(StatusCode::BAD_GATEWAY);
    all().await;
    assert_eq!(scene.known(&connection, "repositories").await, sorted(&NAMES));
    scene.server.repository().away = None;
    let before = scene.server.repository().asked;
    scene.api.pass_time(60_000);
    all().await;
    assert_eq!(scene.known(&connection, "repositories").await, ["octo/new"]);
    // Gitea's lists end with an empty piece.
    assert_eq!(scene.server.repository().asked - before, 2, "both events asked once");
    let letters = scene.api.get("/v1/integration/webhooks/dead-letters").await;
    assert!(letters.status == 404 || letters.body["items"] == Value::Array(Vec::new()));
}
