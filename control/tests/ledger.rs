//! Decisions that ClawLedger makes, on both databases.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use sallygate_control::domain::approval::{Standing, Wanted};
use scene::{Answer, Api};
use serde_json::{Value, json};
use world::World;

on_both_databases!(
    what_waits_is_listed_and_decided_by_each_way,
    a_decision_that_comes_twice_is_made_once,
    both_sides_are_made_alike,
    nobody_without_the_secret_learns_anything,
    a_secret_is_good_for_its_organisation_alone,
    a_secret_of_two_organisations_needs_the_project,
    a_wrong_decision_changes_nothing,
    the_old_paths_say_that_they_are_old,
    what_expired_is_never_a_denial,
);

const ROOT: &str = "/api/approvals/clawledger";
const SECRET: &str = "a-shared-secret-of-clawledger-0123";
const HOUR_MS: i64 = 3_600_000;

struct Stage {
    api: Api,
    organisation: String,
    connection: String,
    sandbox: String,
}

impl Stage {
    async fn new(world: World) -> Self {
        let api = Api::new(world).await;
        let target =
            json!({ "definition": "clawledger::clawledger-default", "displayName": "Ledger" });
        api.put("/v1/integration/targets/ledger", target).await.expect(200);
        let organisations = api.get("/v1/organisations").await.expect(200).body;
        let organisation = organisations["items"][0]["id"].as_str().expect("an id").to_owned();
        let mut stage =
            Self { api, organisation, connection: String::new(), sandbox: String::new() };
        stage.connection = stage.connect(SECRET, &stage.organisation).await;
        stage.sandbox = stage.new_sandbox(&stage.organisation).await;
        stage
    }

    async fn post_in(&self, organisation: &str, path: &str, body: Value) -> Answer {
        let ask = self.api.ask("POST", path).header("sallygate-organisation", organisation);
        ask.json(body).send().await
    }

    async fn connect(&self, secret: &str, organisation: &str) -> String {
        let body = json!({ "displayName": "Ledger", "secrets": { "secret": secret } });
        let path = "/v1/integration/connections/ledger/form";
        self.post_in(organisation, path, body).await.expect(201).get("id")
    }

    /// A sandbox with a route that holds.
    async fn new_sandbox(&self, organisation: &str) -> String {
        let made = self.post_in(organisation, "/v1/sandbox/profiles", json!({ "name": "web" }));
        let id = made.await.expect(201).get("id");
        let profile = format!("/v1/sandbox/profiles/{id}");
        let route = json!({
            "name": "pay",
            "match": { "hosts": ["bank.test"], "methods": ["POST"], "paths": ["/pay"] },
            "action": "hold",
        });
        let version = json!({ "policy": { "routes": [route] } });
        self.post_in(organisation, &format!("{profile}/versions"), version).await.expect(201);
        self.post_in(organisation, &format!("{profile}/publish"), json!({})).await.expect(200);
        let body = json!({ "profileId": id });
        self.post_in(organisation, "/v1/sandboxes", body).await.expect(201).get("id")
    }

    async fn other_organisation(&self) -> String {
        // The operator's own organisation stays the first one.
        self.api.pass_time(1);
        let made = self.api.post("/v1/organisations", json!({ "name": "Other" })).await;
        made.expect(201).get("id")
    }

    async fn ask_of(&self, sandbox: &str, request: u8) -> Standing {
        let wanted = Wanted {
            sandbox: sandbox.to_owned(),
            route: "policy/pay".to_owned(),
            method: "POST".to_owned(),
            url: format!("https://bank.test/pay?n={request}"),
            request_sha256: [request; 32],
        };
        self.api.control.ask_approval(&wanted).await.expect("an answer")
    }

    async fn ask(&self, request: u8) -> Standing {
        self.ask_of(&self.sandbox, request).await
    }

    async fn pending(&self, request: u8) -> String {
        let stands = self.ask(request).await;
        let Standing::Pending(id) = stands else { panic!("not pending: {stands:?}") };
        id
    }

    /// A call with this secret.
    async fn call_as(&self, secret: &str, (method, path): (&str, &str), body: Value) -> Answer {
        let ask = self.api.ask(method, path).without("authorization");
        let ask = ask.header("x-clawledger-token", secret);
        if body.is_null() { ask.send().await } else { ask.json(body).send().await }
    }

    async fn call(&self, path: &str, body: Value) -> Answer {
        self.call_as(SECRET, ("POST", &format!("{ROOT}{path}")), body).await
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let answer = self.call_as(SECRET, ("GET", path), Value::Null).await.expect(200);
        answer.body["items"].as_array().expect("items").clone()
    }

    async fn state(&self, id: &str) -> String {
        self.api.get(&format!("/v1/approvals/{id}")).await.expect(200).get("state")
    }
}

async fn what_waits_is_listed_and_decided_by_each_way(world: World) {
    let it = Stage::new(world).await;
    let (one, two, three) = (it.pending(1).await, it.pending(2).await, it.pending(3).await);
    let tasks = it.list(&format!("{ROOT}/pending")).await;
    assert_eq!(tasks.len(), 3);
    assert_eq!(tasks[0]["projectId"], it.organisation.as_str());
    let task = tasks.iter().find(|task| task["taskKey"] == one.as_str()).expect("the first");
    assert_eq!(task["url"], "https://bank.test/pay?n=1");
    assert_eq!(it.list("/api/approvals/jhf-spindle/pending").await, tasks);
    let event = json!({
        "event": "approval.decided", "id": "evt_1", "approvalId": one, "decision": "approve",
        "decidedBy": "alice", "decidedAt": "2027-01-15T08:00:00Z",
    });
    let decided = it.call("", event).await.expect(200).body;
    assert_eq!(
        (&decided["status"], &decided["approval"]["state"]),
        (&json!("decided"), &json!("approved_once"))
    );
    assert_eq!(decided["approval"]["decidedBy"], format!("{}:alice", it.connection));
    let body = json!({ "approvalId": two, "decision": "approve", "forSeconds": 60 });
    it.call("/decision", body).await.expect(200);
    let path = tasks.iter().find(|task| task["taskKey"] == three.as_str()).expect("the third");
    let path = path["decisionPath"].as_str().expect("a path");
    assert_eq!(path, format!("{ROOT}/{}/{three}/decision", it.organisation));
    it.call_as(SECRET, ("POST", path), json!({ "decision": "deny" })).await.expect(200);
    assert_eq!(it.ask(1).await, Standing::Granted { id: one, once: true });
    assert_eq!(it.ask(2).await, Standing::Granted { id: two, once: false });
    assert_eq!(it.ask(3).await, Standing::Denied(three.clone()));
    assert!(it.list(&format!("{ROOT}/pending")).await.is_empty());
    let audit = it.api.get("/v1/audit?limit=200").await.expect(200);
    assert!(!audit.text.contains(SECRET));
    let entries = audit.body["items"].as_array().expect("entries");
    let last = entries.iter().rfind(|e| e["action"] == "approval.decide").expect("an entry");
    assert_eq!((&last["subject"], &last["actor"]), (&json!(three), &json!(it.connection)));
}

async fn a_decision_that_comes_twice_is_made_once(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    let yes = json!({ "approvalId": id, "decision": "approve" });
    it.call("/decision", yes.clone()).await.expect(200);
    let again = it.call("/decision", yes.clone()).await.expect(200).body;
    assert_eq!(again["status"], "duplicate");
    assert!(it.api.control.claim_approval((&it.sandbox, &id)).await.expect("an answer"));
    assert_eq!(it.call("/decision", yes.clone()).await.expect(200).body["status"], "duplicate");
    assert_eq!(it.state(&id).await, "used", "it is not given twice");
    for other in [
        json!({ "approvalId": id, "decision": "deny" }),
        json!({ "approvalId": id, "decision": "approve", "forSeconds": 60 }),
    ] {
        it.call("/decision", other).await.refused(409, "already_decided");
    }
    // What somebody here decided was not decided there.
    let own = it.pending(2).await;
    let path = format!("/v1/approvals/{own}/decision");
    it.api.post(&path, json!({ "decision": "approve" })).await.expect(200);
    let theirs = json!({ "approvalId": own, "decision": "approve" });
    it.call("/decision", theirs).await.refused(409, "already_decided");
    let timed = it.pending(3).await;
    let for_a_minute = json!({ "approvalId": timed, "decision": "approve", "forSeconds": 60 });
    it.call("/decision", for_a_minute.clone()).await.expect(200);
    assert_eq!(it.call("/decision", for_a_minute).await.expect(200).body["status"], "duplicate");
    let longer = json!({ "approvalId": timed, "decision": "approve", "forSeconds": 61 });
    it.call("/decision", longer).await.refused(409, "already_decided");
}

async fn both_sides_are_made_alike(world: World) {
    let it = Stage::new(world).await;
    let mut ids = Vec::new();
    for request in 1..=4 {
        ids.push(it.pending(request).await);
    }
    let here = format!("/v1/approvals/{}/decision", ids[2]);
    it.api.post(&here, json!({ "decision": "deny" })).await.expect(200);
    let decisions = json!([
        { "approvalId": ids[0], "decision": "approve" },
        { "approvalId": ids[0], "decision": "approve" },
        { "approvalId": ids[1], "decision": "deny", "forSeconds": 5 },
        { "approvalId": ids[2], "decision": "approve" },
        { "approvalId": "apr_none", "decision": "approve" },
    ]);
    let body = json!({ "decisions": decisions, "approvalIds": [ids[2], "apr_none"] });
    let synced = it.call("/sync", body).await.expect(200).body;
    let results = synced["results"].as_array().expect("results").iter();
    let results: Vec<_> = results.map(|one| (&one["outcome"], one.get("state"))).collect();
    let word = |text: &str| json!(text);
    let (approved, pending, denied) = (word("approved_once"), word("pending"), word("denied"));
    assert_eq!(
        results,
        [
            (&word("decided"), Some(&approved)),
            (&word("duplicate"), Some(&approved)),
            (&word("invalid"), Some(&pending)),
            (&word("already_decided"), Some(&denied)),
            (&word("not_found"), None),
        ]
    );
    let states = json!([
        { "approvalId": ids[2], "state": "denied" }, { "approvalId": "apr_none" },
    ]);
    assert_eq!(synced["states"], states);
    let waits = synced["pending"].as_array().expect("tasks").iter().map(|task| &task["taskKey"]);
    let mut waits: Vec<_> = waits.filter_map(Value::as_str).collect();
    waits.sort_unstable();
    let mut expected = [ids[1].as_str(), ids[3].as_str()];
    expected.sort_unstable();
    assert_eq!(waits, expected);
    let empty = it.call("/sync", json!({})).await.expect(200).body;
    assert_eq!((&empty["results"], &empty["states"]), (&json!([]), &json!([])));
    let too_many = vec![json!({ "approvalId": ids[1], "decision": "deny" }); 101];
    it.call("/sync", json!({ "decisions": too_many })).await.refused(422, "limit_exceeded");
    assert_eq!(it.state(&ids[1]).await, "pending");
}

async fn nobody_without_the_secret_learns_anything(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    let yes = json!({ "approvalId": id, "decision": "approve" });
    let calls = [
        (("GET", format!("{ROOT}/pending")), Value::Null),
        (("GET", "/api/approvals/jhf-spindle/pending".to_owned()), Value::Null),
        (("GET", "/api/v1/approvals/clawledger/pending".to_owned()), Value::Null),
        (("POST", format!("{ROOT}/decision")), yes.clone()),
        (("POST", format!("{ROOT}/sync")), json!({})),
        (
            ("POST", format!("{ROOT}/{}/{id}/decision", it.organisation)),
            json!({ "decision": "deny" }),
        ),
    ];
    let mut answers = Vec::new();
    for secret in ["", "wrong", "a-shared-secret-of-clawledger-012", &format!("{SECRET} ")] {
        for ((method, path), body) in &calls {
            let answer = it.call_as(secret, (method, path), body.clone()).await;
            answer.refused(401, "unauthorized");
            answers.push(answer.text);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Neither an operator's token nor two secrets will do.
    it.api.post(&format!("{ROOT}/decision"), yes.clone()).await.refused(401, "unauthorized");
    // What is ended is ended.
    let disable = "/v1/integration/targets/ledger/disable";
    it.api.ask("POST", disable).send().await.expect(200);
    it.call("/decision", yes.clone()).await.refused(401, "unauthorized");
    it.api.ask("POST", "/v1/integration/targets/ledger/enable").send().await.expect(200);
    let rotate = format!("/v1/integration/connections/{}/rotate-secret", it.connection);
    let other = "another-shared-secret-of-clawledger";
    it.api.post(&rotate, json!({ "secrets": { "secret": other } })).await.expect(200);
    it.call("/decision", yes.clone()).await.refused(401, "unauthorized");
    it.call_as(other, ("GET", &format!("{ROOT}/pending")), Value::Null).await.expect(200);
    let revoke = format!("/v1/integration/connections/{}/revoke", it.connection);
    it.api.ask("POST", &revoke).send().await.expect(200);
    let late = it.call_as(other, ("POST", &format!("{ROOT}/decision")), yes).await;
    late.refused(401, "unauthorized");
    assert_eq!(it.state(&id).await, "pending");
}

async fn a_secret_is_good_for_its_organisation_alone(world: World) {
    let it = Stage::new(world).await;
    let own = it.pending(1).await;
    let other = it.other_organisation().await;
    let theirs = "the-secret-of-somebody-else-0123456789";
    it.connect(theirs, &other).await;
    let sandbox = it.new_sandbox(&other).await;
    let Standing::Pending(foreign) = it.ask_of(&sandbox, 1).await else { panic!("not pending") };
    let tasks = it.call_as(theirs, ("GET", &format!("{ROOT}/pending")), Value::Null).await;
    let tasks = tasks.expect(200);
    assert!(tasks.text.contains(&foreign) && !tasks.text.contains(&own), "{}", tasks.text);
    let yes = json!({ "decision": "approve" });
    for path in [
        format!("{ROOT}/{other}/{foreign}/decision"),
        format!("{ROOT}/{other}/{own}/decision"),
        format!("{ROOT}/{}/{foreign}/decision", it.organisation),
        format!("{ROOT}/org_none/{own}/decision"),
    ] {
        it.call_as(SECRET, ("POST", &path), yes.clone()).await.refused(404, "not_found");
    }
    let about = json!({ "approvalId": foreign, "decision": "approve" });
    it.call("/decision", about.clone()).await.refused(404, "not_found");
    let synced = it.call("/sync", json!({ "decisions": [about] })).await.expect(200).body;
    assert_eq!(synced["results"], json!([{ "approvalId": foreign, "outcome": "not_found" }]));
    assert_eq!(it.ask_of(&sandbox, 1).await, Standing::Pending(foreign));
    assert_eq!(it.state(&own).await, "pending");
}

async fn a_secret_of_two_organisations_needs_the_project(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    let other = it.other_organisation().await;
    it.connect(SECRET, &other).await;
    let about = json!({ "approvalId": id, "decision": "approve" });
    it.call("/decision", about).await.refused(409, "ledger_ambiguous");
    it.call("/sync", json!({})).await.refused(409, "ledger_ambiguous");
    let list = it.call_as(SECRET, ("GET", &format!("{ROOT}/pending")), Value::Null).await;
    list.refused(409, "ledger_ambiguous");
    let path = format!("/{}/{id}/decision", it.organisation);
    it.call(&path, json!({ "decision": "approve" })).await.expect(200);
    assert_eq!(it.state(&id).await, "approved_once");
}

async fn a_wrong_decision_changes_nothing(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    for (body, status) in [
        (json!({ "decision": "approve" }), 400),
        (json!({ "approvalId": id }), 400),
        (json!({ "approvalId": id, "decision": "maybe" }), 400),
        (json!({ "approvalId": id, "decision": "approve", "other": 1 }), 400),
        (json!({ "approvalId": id, "decision": "approve", "forSeconds": 0 }), 422),
        (json!({ "approvalId": id, "decision": "approve", "forSeconds": 604_801 }), 422),
        (json!({ "approvalId": id, "decision": "deny", "forSeconds": 5 }), 422),
        (json!({ "approvalId": id, "decision": "approve", "decidedBy": "" }), 422),
        (json!({ "approvalId": id, "decision": "approve", "decidedBy": "a\nb" }), 422),
        (json!({ "approvalId": "apr_none", "decision": "approve" }), 404),
    ] {
        it.call("/decision", body.clone()).await.expect(status);
        assert_eq!(it.state(&id).await, "pending", "{body}");
    }
    let event =
        json!({ "event": "approval.decided", "id": "e", "approvalId": id, "decision": "approve" });
    for (key, value, status) in [
        ("event", json!("approval.made"), 400),
        ("decidedAt", json!("yesterday"), 422),
        ("other", json!(1), 400),
    ] {
        let mut wrong = event.clone();
        wrong[key] = value;
        it.call("", wrong).await.expect(status);
        assert_eq!(it.state(&id).await, "pending");
    }
    it.call("", event).await.expect(200);
}

async fn the_old_paths_say_that_they_are_old(world: World) {
    let it = Stage::new(world).await;
    it.pending(1).await;
    for name in ["clawledger", "jhf-spindle"] {
        let new = format!("/api/approvals/{name}/pending");
        let current = it.call_as(SECRET, ("GET", &new), Value::Null).await.expect(200);
        assert!(current.headers.get("deprecation").is_none());
        let old = format!("/api/v1/approvals/{name}/pending");
        let answer = it.call_as(SECRET, ("GET", &old), Value::Null).await.expect(200);
        assert_eq!(answer.body, current.body);
        let header = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
        assert!(header("deprecation").starts_with('@'));
        assert!(header("sunset").ends_with(" GMT"));
        assert_eq!(header("link"), format!("<{new}>; rel=\"successor-version\""));
        let refused = it.call_as("wrong", ("GET", &old), Value::Null).await;
        assert!(refused.headers.contains_key("sunset"), "also where it is refused");
    }
    let document = it.api.get("/openapi.json").await.expect(200).body;
    let deprecated = |path: &str| document["paths"][path]["get"]["deprecated"].clone();
    assert_eq!(deprecated("/api/v1/approvals/clawledger/pending"), true);
    assert_ne!(deprecated("/api/approvals/clawledger/pending"), true);
}

async fn what_expired_is_never_a_denial(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    it.api.pass_time(HOUR_MS);
    let late = it.call("/decision", json!({ "approvalId": id, "decision": "approve" })).await;
    late.refused(409, "already_decided");
    assert!(late.text.contains("expired"), "{}", late.text);
    let synced = it.call("/sync", json!({ "approvalIds": [id] })).await.expect(200).body;
    assert_eq!(synced["states"][0]["state"], "expired");
}
