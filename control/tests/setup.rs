//! Setups: one document makes everything or nothing, and again changes nothing, on both databases.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use sallygate_control::domain::resolve::Wanted;
use scene::{Answer, Api};
use serde_json::{Value, json};
use world::World;

on_both_databases!(
    a_setup_makes_everything_and_again_changes_nothing,
    what_differs_is_updated_and_nothing_else,
    a_changed_connection_changes_the_plan_in_force,
    a_mistake_anywhere_changes_nothing,
    everything_that_is_wrong_is_said,
    what_was_made_otherwise_is_not_taken_over,
    a_setup_that_is_only_tried_does_nothing,
    a_request_with_a_key_is_answered_once,
    only_an_operator_with_a_token_imports,
    a_setup_stays_in_its_organisation,
    a_connection_that_was_deleted_is_made_again,
);

const IMPORT: &str = "/api/setup-import";
const FIRST: &str = "canary-of-the-first-secret-0123456789";
const SECOND: &str = "canary-of-another-secret-0123456789";

fn document() -> Value {
    json!({
        "kind": "setup",
        "id": "acme",
        "targets": [
            { "key": "echo", "definition": "demo::echo", "displayName": "Echo" },
            { "key": "plane", "definition": "plane::plane-default", "displayName": "Plane" },
        ],
        "connections": [
            {
                "key": "bot",
                "targetKey": "echo",
                "displayName": "Bot",
                "secrets": { "token": { "file": "echo-token" } },
            },
            {
                "key": "tasks",
                "targetKey": "plane",
                "method": "api-key",
                "displayName": "Tasks",
                "config": { "workspace": "acme" },
                "secrets": { "apiKey": { "file": "echo-token" } },
            },
        ],
        "profiles": [{
            "name": "web",
            "policy": { "routes": [] },
            "bindings": [
                { "connection": "tasks", "config": { "projects": ["p1"] } },
                { "id": "demo", "connection": "bot" },
            ],
        }],
    })
}

struct Stage {
    api: Api,
}

impl Stage {
    async fn new(world: World) -> Self {
        let api = Api::new(world).await;
        api.secret_file("echo-token", &format!("{FIRST}\n"));
        Self { api }
    }

    async fn import(&self, document: &Value) -> Answer {
        self.api.post(IMPORT, document.clone()).await
    }

    /// By kind and key: what became of it.
    async fn outcomes(&self, document: &Value) -> Vec<String> {
        let made = self.import(document).await.expect(200);
        assert!(!made.text.contains("canary-"), "{}", made.text);
        let items = made.body["items"].as_array().expect("items").iter();
        let text = |item: &Value| {
            let part = |key: &str| item[key].as_str().expect("a text").to_owned();
            format!("{} {}: {}", part("kind"), part("key"), part("outcome"))
        };
        items.map(text).collect()
    }

    async fn item(&self, document: &Value, at: usize) -> Value {
        self.import(document).await.expect(200).body["items"][at].clone()
    }

    /// Everything that an import could change.
    async fn everything(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for path in [
            "/v1/integration/targets",
            "/v1/integration/connections",
            "/v1/sandbox/profiles",
            "/v1/audit?limit=200",
        ] {
            all.push(self.api.get(path).await.expect(200).body);
        }
        all
    }

    /// The secret that a sandbox of the profile gets.
    async fn secret(&self) -> String {
        let items = self.import(&document()).await.expect(200).body["items"].clone();
        let (profile, connection) = (&items[4], &items[2]);
        let body = json!({ "profileId": profile["id"] });
        let wanted = Wanted {
            sandbox: self.api.post("/v1/sandboxes", body).await.expect(201).get("id"),
            connection: connection["id"].as_str().expect("an id").to_owned(),
            secret_type: "api_key".to_owned(),
            slot_key: None,
            resolver_key: None,
            scope: serde_json::Map::new(),
            plan_digest: profile["planDigest"].as_str().expect("a digest").to_owned(),
        };
        let found = self.api.control.resolve(&wanted).await.expect("it is in the plan");
        String::from_utf8_lossy(found.secret.expose()).into_owned()
    }
}

const ALL: [&str; 5] =
    ["target echo", "target plane", "connection bot", "connection tasks", "profile web"];

/// All of them with one outcome, but for some.
fn all(outcome: &str, but: &[(&str, &str)]) -> Vec<String> {
    let of = |name: &&str| {
        let other = but.iter().find(|(of, _)| of == name);
        format!("{name}: {}", other.map_or(outcome, |(_, outcome)| outcome))
    };
    ALL.iter().map(of).collect()
}

async fn a_setup_makes_everything_and_again_changes_nothing(world: World) {
    let it = Stage::new(world).await;
    assert_eq!(it.outcomes(&document()).await, all("created", &[]));
    let before = it.everything().await;
    it.api.pass_time(60_000);
    assert_eq!(it.outcomes(&document()).await, all("unchanged", &[]));
    assert_eq!(it.everything().await, before);
    let profile = it.item(&document(), 4).await;
    assert_eq!(profile["version"], 1);
    let shown = it.api.get("/v1/sandbox/profiles").await.expect(200).body["items"][0].clone();
    assert_eq!((&shown["id"], &shown["publishedDigest"]), (&profile["id"], &profile["planDigest"]));
    assert_eq!(it.secret().await, FIRST, "without the end of its line");
    let audit = it.api.get("/v1/audit?limit=200").await.expect(200);
    assert!(!audit.text.contains("canary-"));
    let entries = audit.body["items"].as_array().expect("entries");
    let imports: Vec<_> = entries.iter().filter(|e| e["action"] == "setup.import").collect();
    assert_eq!(imports.len(), 1, "what changed nothing is no change");
    assert_eq!(imports[0]["after"], json!({ "created": 5, "updated": 0 }));
}

async fn what_differs_is_updated_and_nothing_else(world: World) {
    let it = Stage::new(world).await;
    it.outcomes(&document()).await;
    let mut changed = document();
    changed["targets"][0]["displayName"] = json!("The echo");
    let updated = [("target echo", "updated")];
    assert_eq!(it.outcomes(&changed).await, all("unchanged", &updated));
    changed["connections"][0]["displayName"] = json!("The bot");
    let updated = [("connection bot", "updated")];
    assert_eq!(it.outcomes(&changed).await, all("unchanged", &updated));
    changed["profiles"][0]["bindings"][1]["routes"] = json!(["read"]);
    let updated = [("profile web", "updated")];
    assert_eq!(it.outcomes(&changed).await, all("unchanged", &updated));
    assert_eq!(it.item(&changed, 4).await["version"], 2);
    changed["profiles"][0]["policy"]["unmatched"] = json!("deny");
    changed["profiles"][0]["publish"] = json!(false);
    let digest = it.item(&changed, 4).await["planDigest"].clone();
    let written = it.item(&changed, 4).await;
    assert_eq!((&written["version"], &written["planDigest"]), (&json!(3), &digest));
    let shown = it.api.get("/v1/sandbox/profiles").await.expect(200).body["items"][0].clone();
    assert_eq!((&shown["publishedVersion"], &shown["latestVersion"]), (&json!(2), &json!(3)));
    // The document is as it was: the file is not.
    it.outcomes(&document()).await;
    it.api.secret_file("echo-token", SECOND);
    let both = [("connection bot", "updated"), ("connection tasks", "updated")];
    assert_eq!(it.outcomes(&document()).await, all("unchanged", &both));
    assert_eq!(it.secret().await, SECOND);
    assert_eq!(it.outcomes(&document()).await, all("unchanged", &[]));
}

async fn a_changed_connection_changes_the_plan_in_force(world: World) {
    let it = Stage::new(world).await;
    let before = it.item(&document(), 4).await["planDigest"].clone();
    let mut changed = document();
    changed["connections"][1]["config"]["workspace"] = json!("other");
    let updated = [("connection tasks", "updated")];
    assert_eq!(it.outcomes(&changed).await, all("unchanged", &updated));
    let after = it.item(&changed, 4).await["planDigest"].clone();
    assert_ne!(after, before);
    changed["connections"][1]["config"]["workspace"] = json!("no slug");
    let refused = it.import(&changed).await;
    refused.refused(422, "invalid");
    assert_eq!(refused.body["issues"][0]["code"], "INVALID_CONNECTION_CONFIG");
    assert_eq!(refused.body["issues"][0]["field"], "connections[1].config.workspace");
}

async fn a_mistake_anywhere_changes_nothing(world: World) {
    let it = Stage::new(world).await;
    let before = it.everything().await;
    let cases: [(&str, &str, Value, u16, &str); 24] = [
        ("/kind", "kind", json!("setup/2"), 400, ""),
        ("", "other", json!(1), 400, ""),
        ("", "id", json!(""), 422, "INVALID_KEY"),
        ("", "id", json!("a b"), 422, "INVALID_KEY"),
        ("", "targets", json!({}), 400, ""),
        ("/targets/0", "definition", json!("demo::none"), 422, "DEFINITION_NOT_FOUND"),
        ("/targets/0", "key", json!("Echo"), 422, "INVALID_KEY"),
        ("/targets/0", "key", json!("plane"), 422, "DUPLICATE_KEY"),
        ("/targets/0", "config", json!({ "baseUrl": "x" }), 422, "INVALID_TARGET_CONFIG"),
        ("/targets/0", "options", json!({ "other": 1 }), 422, "UNKNOWN_FIELD"),
        ("/targets/0", "secrets", json!({ "x": "hunter2" }), 400, ""),
        ("/connections/0", "key", json!("tasks"), 422, "DUPLICATE_KEY"),
        ("/connections/0", "targetKey", json!("none"), 422, "NOT_FOUND"),
        ("/connections/0", "method", json!("none"), 422, "UNKNOWN_CONNECTION_METHOD"),
        ("/connections/0", "secrets", json!({}), 422, "INVALID_CONNECTION_SECRETS"),
        ("/connections/0", "secrets", json!({ "token": "hunter2" }), 400, ""),
        ("/connections/0/secrets", "token", json!({ "file": "none" }), 422, "SECRET_UNREADABLE"),
        (
            "/connections/0/secrets",
            "token",
            json!({ "file": "../master.key" }),
            422,
            "SECRET_UNREADABLE",
        ),
        ("/profiles/0", "name", json!(""), 422, "INVALID_NAME"),
        ("/profiles/0", "policy", json!({ "other": 1 }), 422, "UNKNOWN_FIELD"),
        ("/profiles/0/bindings/0", "connection", json!("none"), 422, "UNKNOWN_CONNECTION"),
        ("/profiles/0/bindings/0", "kind", json!("other"), 422, ""),
        ("/profiles/0/bindings/0", "id", json!("demo"), 422, ""),
        ("/profiles/0/bindings/0", "config", json!({ "x": 1 }), 422, "INVALID_BINDING_CONFIG"),
    ];
    for (place, key, value, status, code) in cases {
        let mut wrong = document();
        let place = if place == "/kind" { "" } else { place };
        wrong.pointer_mut(place).expect("a place")[key] = value.clone();
        let answer = it.import(&wrong).await;
        let shown = format!("{place}/{key} {value}: {}", answer.text);
        assert_eq!(answer.status.as_u16(), status, "{shown}");
        assert!(!answer.text.contains("hunter2"), "{shown}");
        assert!(answer.text.contains(code), "{code}: {shown}");
        assert_eq!(it.everything().await, before, "{shown}");
    }
    // With the right document nothing of all that is left in the way.
    assert_eq!(it.outcomes(&document()).await, all("created", &[]));
}

async fn everything_that_is_wrong_is_said(world: World) {
    let it = Stage::new(world).await;
    let mut wrong = document();
    wrong["targets"][0]["config"] = json!({ "baseUrl": "x" });
    wrong["targets"][1]["config"] = json!({ "baseUrl": "y", "other": 1 });
    wrong["connections"][0]["targetKey"] = json!("none");
    let refused = it.import(&wrong).await;
    refused.refused(422, "invalid");
    let issues = refused.body["issues"].as_array().expect("issues");
    let fields: Vec<_> = issues.iter().filter_map(|issue| issue["field"].as_str()).collect();
    assert!(fields.iter().any(|f| f.starts_with("targets[0].config.baseUrl")), "{fields:?}");
    assert!(fields.iter().any(|f| f.starts_with("targets[1].config")), "{fields:?}");
    assert!(!fields.iter().any(|f| f.starts_with("connections")), "{fields:?}");
    let many: Vec<Value> = (0..201)
        .map(|n| json!({ "key": n.to_string(), "definition": "x", "displayName": "x" }))
        .collect();
    wrong["targets"] = json!(many);
    it.import(&wrong).await.refused(422, "invalid");
}

async fn what_was_made_otherwise_is_not_taken_over(world: World) {
    let it = Stage::new(world).await;
    it.outcomes(&document()).await;
    let before = it.everything().await;
    for (place, key, value, code) in [
        ("/targets/0", "definition", json!("plane::plane-default"), "DEFINITION_DIFFERS"),
        ("/connections/0", "targetKey", json!("plane"), "CONNECTION_DIFFERS"),
        ("/connections/0", "method", json!("other"), "CONNECTION_DIFFERS"),
    ] {
        let mut wrong = document();
        wrong.pointer_mut(place).expect("a place")[key] = value;
        let refused = it.import(&wrong).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.body["issues"][0]["code"], code, "{}", refused.text);
        assert_eq!(it.everything().await, before);
    }
    // Another setup has its own connections, whatever it calls them.
    let mut other = document();
    other["id"] = json!("other");
    other["profiles"] = json!([]);
    let items = it.import(&other).await.expect(200).body["items"].clone();
    assert_eq!(
        (&items[0]["outcome"], &items[2]["outcome"]),
        (&json!("unchanged"), &json!("created"))
    );
    let id = it.item(&document(), 2).await["id"].clone();
    assert_ne!(items[2]["id"], id);
    let revoke = format!("/v1/integration/connections/{}/revoke", id.as_str().expect("an id"));
    it.api.ask("POST", &revoke).send().await.expect(200);
    let refused = it.import(&document()).await;
    refused.refused(422, "invalid");
    assert_eq!(refused.body["issues"][0]["code"], "CONNECTION_REVOKED");
}

async fn a_setup_that_is_only_tried_does_nothing(world: World) {
    let it = Stage::new(world).await;
    let before = it.everything().await;
    let tried = it.api.post(&format!("{IMPORT}?dryRun=true"), document()).await.expect(200).body;
    assert_eq!(
        (&tried["dryRun"], &tried["items"][4]["outcome"]),
        (&json!(true), &json!("created"))
    );
    assert!(tried["items"][4]["planDigest"].is_string());
    assert_eq!(it.everything().await, before);
    let mut wrong = document();
    wrong["profiles"][0]["policy"] = json!({ "other": 1 });
    it.api.post(&format!("{IMPORT}?dryRun=true"), wrong).await.refused(422, "invalid");
    it.api.post(&format!("{IMPORT}?dryRun=maybe"), document()).await.refused(400, "bad_request");
    it.api.post(&format!("{IMPORT}?other=1"), document()).await.refused(400, "bad_request");
}

async fn a_request_with_a_key_is_answered_once(world: World) {
    let it = Stage::new(world).await;
    let ask =
        |document: Value| it.api.ask("POST", IMPORT).header("idempotency-key", "k1").json(document);
    let first = ask(document()).send().await.expect(200);
    let again = ask(document()).send().await.expect(200);
    assert_eq!(again.text, first.text, "it tells what was made then");
    let mut other = document();
    other["id"] = json!("other");
    ask(other).send().await.refused(409, "idempotency_key_reused");
}

async fn only_an_operator_with_a_token_imports(world: World) {
    let it = Stage::new(world).await;
    let before = it.everything().await.len();
    for role in ["read_only", "approver", "member"] {
        let token = it.api.token(role).await;
        let asked = it.api.ask("POST", IMPORT).bearer(&token).json(document()).send().await;
        asked.refused(403, "insufficient_role");
    }
    let without = it.api.ask("POST", IMPORT).without("authorization").json(document());
    without.send().await.refused(401, "unauthorized");
    let browser = it.api.ask("POST", IMPORT).without("authorization");
    let browser = browser.header("cookie", "__Host-sallygate-session=x").json(document());
    browser.send().await.refused(401, "unauthorized");
    it.api.ask("GET", IMPORT).send().await.refused(405, "method_not_allowed");
    assert_eq!(it.everything().await.len(), before);
    let targets = it.api.get("/v1/integration/targets").await.expect(200).body;
    assert_eq!(targets["items"], json!([]));
}

async fn a_setup_stays_in_its_organisation(world: World) {
    let it = Stage::new(world).await;
    let bot = it.item(&document(), 2).await["id"].clone();
    it.api.pass_time(1);
    let organisation = it.api.post("/v1/organisations", json!({ "name": "Other" })).await;
    let other = organisation.expect(201).get("id");
    let ask = |document: Value| {
        it.api.ask("POST", IMPORT).header("sallygate-organisation", &other).json(document)
    };
    let made = ask(document()).send().await.expect(200).body;
    assert_eq!(made["organisationId"], other.as_str());
    assert_ne!(made["items"][2]["id"], bot);
    assert_eq!(made["items"][2]["outcome"], "created");
    let mut theirs = document();
    theirs["profiles"][0]["bindings"][1]["connection"] = bot;
    let refused = ask(theirs).send().await;
    refused.refused(422, "invalid");
    assert!(refused.text.contains("UNKNOWN_CONNECTION"), "{}", refused.text);
    let nowhere = it.api.ask("POST", IMPORT).header("sallygate-organisation", "org_none");
    nowhere.json(document()).send().await.refused(404, "not_found");
}

async fn a_connection_that_was_deleted_is_made_again(world: World) {
    let it = Stage::new(world).await;
    let mut bare = document();
    bare["profiles"] = json!([]);
    let old = it.item(&bare, 2).await["id"].clone();
    let path = format!("/v1/integration/connections/{}", old.as_str().expect("an id"));
    it.api.ask("DELETE", &path).send().await.expect(204);
    let made = it.item(&bare, 2).await;
    assert_eq!(made["outcome"], "created");
    assert_ne!(made["id"], old);
    assert_eq!(it.item(&bare, 2).await["outcome"], "unchanged");
}
