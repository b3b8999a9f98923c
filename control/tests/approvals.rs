//! Held requests and decisions about them, on both databases.
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
    a_request_waits_under_one_id_until_somebody_decides,
    a_yes_for_one_request_is_claimed_once,
    a_yes_for_a_time_ends_with_it,
    a_yes_is_for_nothing_but_the_request_that_was_shown,
    what_nobody_decides_expires_and_is_never_a_denial,
    a_decision_stands,
    many_are_decided_together_or_not_at_all,
    only_an_approver_of_the_organisation_decides,
    a_sandbox_that_ended_asks_for_nothing,
    what_waits_has_an_end,
    a_clock_that_jumps_grants_nothing,
);

const APPROVALS: &str = "/v1/approvals";
const HOUR_MS: i64 = 3_600_000;

struct Stage {
    api: Api,
    sandbox: String,
}

impl Stage {
    async fn new(world: World) -> Self {
        let api = Api::new(world).await;
        let made = api.post("/v1/sandbox/profiles", json!({ "name": "web" })).await.expect(201);
        let profile = format!("/v1/sandbox/profiles/{}", made.get("id"));
        let route = json!({
            "name": "pay",
            "match": { "hosts": ["bank.test"], "methods": ["POST"], "paths": ["/pay"] },
            "action": "hold",
        });
        let version = json!({ "policy": { "routes": [route] } });
        api.post(&format!("{profile}/versions"), version).await.expect(201);
        api.post(&format!("{profile}/publish"), json!({ "version": 1 })).await.expect(200);
        let body = json!({ "profileId": made.get("id") });
        let sandbox = api.post("/v1/sandboxes", body).await.expect(201).get("id");
        Self { api, sandbox }
    }

    fn wanted(&self, request: u8) -> Wanted {
        Wanted {
            sandbox: self.sandbox.clone(),
            route: "policy/pay".to_owned(),
            method: "POST".to_owned(),
            url: format!("https://bank.test/pay?n={request}"),
            request_sha256: [request; 32],
        }
    }

    async fn ask(&self, request: u8) -> Standing {
        self.api.control.ask_approval(&self.wanted(request)).await.expect("an answer")
    }

    /// The id under which a request waits.
    async fn pending(&self, request: u8) -> String {
        let stands = self.ask(request).await;
        let Standing::Pending(id) = stands else { panic!("not pending: {stands:?}") };
        id
    }

    async fn decide(&self, id: &str, decision: Value) -> Answer {
        self.api.post(&format!("{APPROVALS}/{id}/decision"), decision).await
    }

    async fn state(&self, id: &str) -> String {
        self.api.get(&format!("{APPROVALS}/{id}")).await.expect(200).get("state")
    }

    async fn claim(&self, id: &str) -> bool {
        self.api.control.claim_approval((&self.sandbox, id)).await.expect("an answer")
    }

    async fn count(&self, state: &str) -> usize {
        let list = self.api.get(&format!("{APPROVALS}?state={state}")).await.expect(200);
        list.body["items"].as_array().expect("items").len()
    }
}

fn once(id: &str) -> Standing {
    Standing::Granted { id: id.to_owned(), once: true }
}

fn for_a_time(id: &str) -> Standing {
    Standing::Granted { id: id.to_owned(), once: false }
}

async fn a_request_waits_under_one_id_until_somebody_decides(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    assert!(id.starts_with("apr_"), "{id}");
    assert_eq!(it.pending(1).await, id);
    let view = it.api.get(&format!("{APPROVALS}/{id}")).await.expect(200).body;
    assert_eq!(view["url"], "https://bank.test/pay?n=1");
    assert_eq!(view["sandboxId"], it.sandbox.as_str());
    assert_eq!((&view["state"], view.get("decidedAt")), (&json!("pending"), None));
    let list = it.api.get(&format!("{APPROVALS}?state=pending")).await.expect(200).body;
    assert_eq!(list["items"], json!([view]));
    assert_eq!(it.count("denied").await, 0);
    it.api.get(&format!("{APPROVALS}?state=other")).await.refused(400, "bad_request");
    let second = it.pending(2).await;
    let piece = it.api.get(&format!("{APPROVALS}?limit=1")).await.expect(200).body;
    let next = piece["nextCursor"].as_str().expect("a cursor");
    let rest = it.api.get(&format!("{APPROVALS}?limit=1&cursor={next}")).await.expect(200).body;
    let mut found = [&piece["items"][0]["id"], &rest["items"][0]["id"]].map(Value::to_string);
    found.sort();
    let mut both = [id, second].map(|id| json!(id).to_string());
    both.sort();
    assert_eq!(found, both);
}

async fn a_yes_for_one_request_is_claimed_once(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    assert!(!it.claim(&id).await, "nobody approved it");
    it.decide(&id, json!({ "decision": "approve" })).await.expect(200);
    assert_eq!(it.ask(1).await, once(&id));
    assert_eq!(it.ask(1).await, once(&id), "asking uses nothing up");
    assert!(!it.api.control.claim_approval(("sbx_other", &id)).await.expect("an answer"));
    assert!(it.claim(&id).await);
    assert!(!it.claim(&id).await);
    assert_eq!(it.state(&id).await, "used");
    assert_ne!(it.pending(1).await, id);
    it.api.pass_time(2 * HOUR_MS);
    assert_eq!(it.state(&id).await, "used", "what was used did not expire");
}

async fn a_yes_for_a_time_ends_with_it(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    it.decide(&id, json!({ "decision": "approve", "forSeconds": 60 })).await.expect(200);
    assert_eq!(it.ask(1).await, for_a_time(&id));
    assert!(!it.claim(&id).await, "it is not for one request");
    it.api.pass_time(59_999);
    assert_eq!(it.ask(1).await, for_a_time(&id));
    it.api.pass_time(1);
    assert_ne!(it.pending(1).await, id);
    assert_eq!(it.state(&id).await, "expired");
}

async fn a_yes_is_for_nothing_but_the_request_that_was_shown(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    it.decide(&id, json!({ "decision": "approve", "forSeconds": 60 })).await.expect(200);
    assert_ne!(it.pending(2).await, id);
    let profile = it.api.get("/v1/sandbox/profiles").await.expect(200).body;
    let body = json!({ "profileId": profile["items"][0]["id"] });
    let other = it.api.post("/v1/sandboxes", body).await.expect(201).get("id");
    let wanted = Wanted { sandbox: other.clone(), ..it.wanted(1) };
    let stands = it.api.control.ask_approval(&wanted).await.expect("an answer");
    assert!(matches!(stands, Standing::Pending(other) if other != id));
    let own = it.api.control.sandbox_approval((&it.sandbox, &id)).await.expect("its own");
    assert_eq!(own.id, id);
    let others = it.api.control.sandbox_approval((&other, &id)).await.expect_err("another's");
    assert_eq!(others.code, "not_found");
}

async fn what_nobody_decides_expires_and_is_never_a_denial(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    it.api.pass_time(HOUR_MS);
    assert_eq!(it.state(&id).await, "expired");
    assert_eq!((it.count("expired").await, it.count("pending").await), (1, 0));
    let late = it.decide(&id, json!({ "decision": "approve" })).await;
    late.refused(409, "already_decided");
    assert_ne!(it.pending(1).await, id);
}

async fn a_decision_stands(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    let decided = it.decide(&id, json!({ "decision": "deny" })).await.expect(200);
    assert_eq!(
        (decided.get("state"), decided.get("decidedBy")),
        ("denied".into(), "operator".into())
    );
    assert_eq!(it.ask(1).await, Standing::Denied(id.clone()));
    let again = it.decide(&id, json!({ "decision": "approve" })).await;
    again.refused(409, "already_decided");
    assert_eq!(it.ask(1).await, Standing::Denied(id.clone()));
    let audit = it.api.get("/v1/audit?limit=200").await.expect(200).body;
    let entries = audit["items"].as_array().expect("entries");
    let about: Vec<_> = entries.iter().filter(|e| e["action"] == "approval.decide").collect();
    assert_eq!(about.len(), 1);
    assert_eq!(about[0]["after"]["state"], "denied");
    let waits = it.pending(2).await;
    for (wrong, status) in [
        (json!({}), 400),
        (json!({ "decision": "maybe" }), 400),
        (json!({ "decision": "approve", "other": 1 }), 400),
        (json!({ "decision": "deny", "forSeconds": 5 }), 422),
        (json!({ "decision": "approve", "forSeconds": 0 }), 422),
        (json!({ "decision": "approve", "forSeconds": -1 }), 422),
        (json!({ "decision": "approve", "forSeconds": 604_801 }), 422),
        (json!({ "decision": "approve", "forSeconds": "60" }), 400),
    ] {
        it.decide(&waits, wrong).await.expect(status);
    }
    assert_eq!(it.state(&waits).await, "pending");
    it.decide("apr_none", json!({ "decision": "deny" })).await.refused(404, "not_found");
}

async fn many_are_decided_together_or_not_at_all(world: World) {
    let it = Stage::new(world).await;
    let (one, two) = (it.pending(1).await, it.pending(2).await);
    let about = |id: &str, decision: &str| json!({ "approvalId": id, "decision": decision });
    let path = format!("{APPROVALS}/decisions");
    let wrong = json!({ "decisions": [
        about(&one, "approve"), about("apr_none", "deny"), about(&one, "deny"),
    ] });
    let refused = it.api.post(&path, wrong).await;
    refused.refused(422, "invalid");
    let issues = refused.body["issues"].as_array().expect("issues");
    let fields: Vec<_> = issues.iter().map(|i| (&i["field"], &i["code"])).collect();
    assert_eq!(
        json!(fields),
        json!([
            ["decisions[1].approvalId", "NOT_FOUND"],
            ["decisions[2].approvalId", "ALREADY_DECIDED"],
        ])
    );
    assert_eq!(it.count("pending").await, 2, "nothing was decided");
    it.api.post(&path, json!({ "decisions": [] })).await.refused(422, "invalid");
    let too_many = vec![about(&one, "deny"); 101];
    it.api.post(&path, json!({ "decisions": too_many })).await.refused(422, "invalid");
    let good = json!({ "decisions": [about(&one, "approve"), about(&two, "deny")] });
    let decided = it.api.post(&path, good).await.expect(200).body;
    assert_eq!(decided["items"][1]["state"], "denied");
    assert_eq!((it.ask(1).await, it.ask(2).await), (once(&one), Standing::Denied(two)));
}

async fn only_an_approver_of_the_organisation_decides(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    let path = format!("{APPROVALS}/{id}/decision");
    let yes = json!({ "decision": "approve" });
    let reader = it.api.token("read_only").await;
    let ask = |token: &str| it.api.ask("POST", &path).bearer(token).json(yes.clone());
    ask(&reader).send().await.refused(403, "insufficient_role");
    // The operator's own organisation stays the first one.
    it.api.pass_time(1);
    let organisation = it.api.post("/v1/organisations", json!({ "name": "Other" })).await;
    let other = organisation.expect(201).get("id");
    let stranger = it.api.ask("POST", "/v1/api-tokens").header("sallygate-organisation", &other);
    let stranger = stranger.json(json!({ "name": "x", "role": "member" })).send().await;
    let stranger = stranger.expect(201).get("token");
    ask(&stranger).send().await.refused(404, "not_found");
    let look = it.api.ask("GET", &format!("{APPROVALS}/{id}")).bearer(&stranger);
    look.send().await.refused(404, "not_found");
    let theirs = it.api.ask("GET", APPROVALS).bearer(&stranger).send().await.expect(200);
    assert_eq!(theirs.body["items"], json!([]));
    assert_eq!(it.state(&id).await, "pending");
    let approver = it.api.token("approver").await;
    ask(&approver).send().await.expect(200);
    let beyond = it.api.ask("POST", "/v1/sandbox/profiles").bearer(&approver);
    let beyond = beyond.json(json!({ "name": "mine" })).send().await;
    beyond.refused(403, "insufficient_role");
}

async fn a_sandbox_that_ended_asks_for_nothing(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    it.decide(&id, json!({ "decision": "approve", "forSeconds": 600 })).await.expect(200);
    it.api.post(&format!("/v1/sandboxes/{}/revoke", it.sandbox), json!({})).await.expect(200);
    for wanted in [it.wanted(1), Wanted { sandbox: "sbx_none".to_owned(), ..it.wanted(1) }] {
        let refused = it.api.control.ask_approval(&wanted).await.expect_err("no sandbox");
        assert_eq!(refused.code, "approval_refused");
    }
}

async fn what_waits_has_an_end(world: World) {
    let it = Stage::new(world).await;
    let long = Wanted { url: "x".repeat(4097), ..it.wanted(200) };
    let refused = it.api.control.ask_approval(&long).await.expect_err("nobody can judge it");
    assert_eq!(refused.code, "approval_refused");
    for request in 0..100 {
        it.pending(request).await;
    }
    assert_eq!(it.ask(100).await, Standing::TooMany);
    it.pending(0).await;
    it.api.pass_time(HOUR_MS);
    it.pending(100).await;
}

async fn a_clock_that_jumps_grants_nothing(world: World) {
    let it = Stage::new(world).await;
    let id = it.pending(1).await;
    it.decide(&id, json!({ "decision": "approve" })).await.expect(200);
    it.api.pass_time(-HOUR_MS);
    assert!(it.claim(&id).await);
    it.api.pass_time(HOUR_MS);
    assert!(!it.claim(&id).await, "what was used stays used");
    assert_eq!(it.state(&id).await, "used");
}
