//! What triggers deliver to sandboxes: there until the sandbox says that it has it, for nobody else, and
//! not without end.

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::providers::GITHUB;
use crate::scene::Answer;
use crate::stage::{Stage, soon};
use crate::world::{self, World};
use sallygate_control::webhook::inbox;

on_both_databases!(
    an_event_waits_for_its_sandbox_until_it_is_acknowledged,
    a_sandbox_sees_its_own_inbox_alone,
    whoever_waits_is_told_at_once,
    an_inbox_that_nobody_empties_is_bounded,
    what_waited_for_a_sandbox_that_ended_is_deleted,
);

const PROFILES: &str = "/v1/sandbox/profiles";

/// Sandboxes of one profile: the profile, and id and token of each.
async fn sandboxes(stage: &Stage, count: usize) -> (String, Vec<(String, String)>) {
    let api = &stage.api;
    let profile = api.post(PROFILES, json!({ "name": "P" })).await.expect(201).get("id");
    let path = format!("{PROFILES}/{profile}");
    let route = json!({ "name": "r", "match": { "hosts": ["a.test"], "paths": ["/"] } });
    let version = json!({ "policy": { "routes": [route] } });
    api.post(&format!("{path}/versions"), version).await.expect(201);
    api.post(&format!("{path}/publish"), json!({})).await.expect(200);
    let mut made = Vec::new();
    for _ in 0..count {
        let one = api.post("/v1/sandboxes", json!({ "profileId": profile })).await.expect(201);
        made.push((one.get("id"), one.get("token")));
    }
    (profile, made)
}

async fn asked(stage: &Stage, (id, token): &(String, String), query: &str) -> Answer {
    let path = format!("/v1/sandboxes/{id}/events{query}");
    stage.api.ask("GET", &path).bearer(token).send().await
}

async fn waiting(stage: &Stage, sandbox: &(String, String)) -> Vec<Value> {
    asked(stage, sandbox, "").await.expect(200).body["items"].as_array().expect("items").clone()
}

async fn acknowledge(stage: &Stage, (id, token): &(String, String), ids: &[&Value]) -> Answer {
    let path = format!("/v1/sandboxes/{id}/events/acknowledge");
    stage.api.ask("POST", &path).bearer(token).json(json!({ "ids": ids })).send().await
}

async fn work(stage: &Stage) {
    while stage.worker().events().await.expect("events") > 0 {}
}

async fn an_event_waits_for_its_sandbox_until_it_is_acknowledged(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    let (profile, made) = sandboxes(&stage, 2).await;
    let action = json!({ "type": "deliverToSandbox", "sandboxId": made[0].0 });
    stage.trigger(json!({ "action": action })).await;
    let template = json!({
        "number": "{{payload.issue.number}}", "delivery": "{{externalDeliveryId}}",
    });
    let action = json!({ "type": "deliverToSandbox", "profileId": profile, "template": template });
    stage.trigger(json!({ "action": action })).await;
    stage.accepted("d-1").await;
    work(&stage).await;
    let first = waiting(&stage, &made[0]).await;
    assert_eq!(first.len(), 2, "{first:?}");
    let whole = first.iter().find(|item| item["event"]["type"] == "github.issues.opened");
    assert_eq!(whole.expect("the event")["event"]["data"]["payload"]["issue"]["number"], 7);
    let filled = json!({ "number": 7, "delivery": "d-1" });
    assert!(first.iter().any(|item| item["event"] == filled), "{first:?}");
    assert_eq!(waiting(&stage, &made[1]).await.len(), 1);
    // It is handed out again, under the same id, until it is acknowledged; and the event makes it once.
    assert_eq!(waiting(&stage, &made[0]).await, first);
    stage.send(&GITHUB.sent(crate::providers::SECRET, "d-1")).await.expect(200);
    work(&stage).await;
    assert_eq!(waiting(&stage, &made[0]).await, first);
    acknowledge(&stage, &made[0], &[&first[0]["id"]]).await.expect(204);
    assert_eq!(waiting(&stage, &made[0]).await, [first[1].clone()]);
    acknowledge(&stage, &made[0], &[&first[0]["id"], &first[1]["id"]]).await.expect(204);
    assert_eq!(waiting(&stage, &made[0]).await, Vec::<Value>::new());
    assert_eq!(waiting(&stage, &made[1]).await.len(), 1, "the other one's is still there");
    // Events keep their order.
    for id in ["d-2", "d-3", "d-4"] {
        stage.accepted(id).await;
    }
    work(&stage).await;
    let ordered = waiting(&stage, &made[1]).await;
    let deliveries: Vec<_> = ordered.iter().map(|item| &item["event"]["delivery"]).collect();
    assert_eq!(deliveries, ["d-1", "d-2", "d-3", "d-4"]);
    let limited = asked(&stage, &made[1], "?limit=2").await.expect(200).body;
    assert_eq!(limited["items"].as_array().map(Vec::len), Some(2));
}

async fn a_sandbox_sees_its_own_inbox_alone(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    let (_, made) = sandboxes(&stage, 2).await;
    let action = json!({ "type": "deliverToSandbox", "sandboxId": made[0].0 });
    stage.trigger(json!({ "action": action })).await;
    stage.accepted("d-1").await;
    work(&stage).await;
    let theirs = waiting(&stage, &made[0]).await;
    let (victim, stranger) = (&made[0], &made[1]);
    asked(&stage, &(victim.0.clone(), stranger.1.clone()), "").await.refused(404, "not_found");
    acknowledge(&stage, stranger, &[&theirs[0]["id"]]).await.expect(204);
    assert_eq!(waiting(&stage, victim).await, theirs, "nobody else takes it away");
    let path = format!("/v1/sandboxes/{}/events", victim.0);
    // Neither an operator nor anybody without a token.
    stage.api.get(&path).await.refused(401, "unauthorized");
    stage.api.ask("GET", &path).without("authorization").send().await.refused(401, "unauthorized");
    for query in ["?limit=0", "?limit=101", "?wait=26", "?other=1", "?wait=x"] {
        asked(&stage, victim, query).await.refused(400, "bad_request");
    }
    let many: Vec<Value> = (0..101).map(|n| json!(format!("sev_{n}"))).collect();
    let many: Vec<&Value> = many.iter().collect();
    acknowledge(&stage, victim, &many).await.refused(400, "bad_request");
    // A trigger names only what is its organisation's.
    // The organisation that an operator means without a word is the one that was first.
    stage.api.pass_time(1);
    let other = stage.api.post("/v1/organisations", json!({ "name": "Other" })).await;
    let other = other.expect(201).get("id");
    for (name, id) in [("sandboxId", &victim.0), ("profileId", &"sbp_none".to_owned())] {
        let action = json!({ "type": "deliverToSandbox", name: id });
        let body = json!({ "displayName": "R", "rule": { "action": action } });
        let ask = stage.api.ask("POST", "/v1/integration/webhooks/triggers").json(body);
        let refused = ask.header("sallygate-organisation", &other).send().await;
        refused.refused(422, "invalid");
        assert_eq!(refused.body["issues"][0]["field"], format!("action.{name}"));
    }
}

async fn whoever_waits_is_told_at_once(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    let (_, made) = sandboxes(&stage, 1).await;
    let action = json!({ "type": "deliverToSandbox", "sandboxId": made[0].0 });
    stage.trigger(json!({ "action": action })).await;
    let happen = async {
        stage.accepted("d-1").await;
        work(&stage).await;
    };
    let (answer, ()) =
        soon(async { tokio::join!(asked(&stage, &made[0], "?wait=25"), happen) }).await;
    assert_eq!(answer.expect(200).body["items"].as_array().map(Vec::len), Some(1));
}

async fn an_inbox_that_nobody_empties_is_bounded(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    let (_, made) = sandboxes(&stage, 1).await;
    let action = json!({ "type": "deliverToSandbox", "sandboxId": made[0].0 });
    let trigger = stage.trigger(json!({ "action": action })).await;
    stage.accepted("d-0").await;
    work(&stage).await;
    stage.fill_inbox(inbox::WAITING_MAX - 1).await;
    let count = "SELECT COUNT(*) FROM sandbox_events";
    assert_eq!(stage.count(count).await, inbox::WAITING_MAX);
    stage.accepted("d-1").await;
    work(&stage).await;
    assert_eq!(stage.count(count).await, inbox::WAITING_MAX, "it is full");
    let path = format!("/v1/integration/webhooks/triggers/{trigger}");
    let shown = stage.api.get(&path).await.expect(200);
    assert_eq!(shown.get("lastError"), "the inbox of a sandbox is full");
    let first = waiting(&stage, &made[0]).await;
    acknowledge(&stage, &made[0], &[&first[0]["id"]]).await.expect(204);
    stage.accepted("d-2").await;
    work(&stage).await;
    assert_eq!(stage.count(count).await, inbox::WAITING_MAX, "there was room for one");
}

async fn what_waited_for_a_sandbox_that_ended_is_deleted(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    let (_, made) = sandboxes(&stage, 2).await;
    for (id, _) in &made {
        let action = json!({ "type": "deliverToSandbox", "sandboxId": id });
        stage.trigger(json!({ "action": action })).await;
    }
    stage.accepted("d-1").await;
    work(&stage).await;
    let contents = "SELECT COUNT(*) FROM webhook_contents";
    assert_eq!(stage.count(contents).await, 3);
    let path = format!("/v1/sandboxes/{}/revoke", made[0].0);
    stage.api.post(&path, json!({})).await.expect(200);
    asked(&stage, &made[0], "").await.refused(401, "unauthorized");
    let control = &stage.api.control;
    let purged = inbox::purge(&control.store, control.clock.now_ms()).await.expect("it is purged");
    assert_eq!((purged, stage.count(contents).await), (1, 2));
    assert_eq!(waiting(&stage, &made[1]).await.len(), 1);
    // A trigger says that its sandbox is gone, and the others go on.
    stage.accepted("d-2").await;
    work(&stage).await;
    let triggers = stage.items("triggers").await;
    let errors: Vec<_> = triggers.iter().filter_map(|t| t["lastError"].as_str()).collect();
    assert_eq!(errors, ["its sandbox has ended"]);
    assert_eq!(waiting(&stage, &made[1]).await.len(), 2);
}
