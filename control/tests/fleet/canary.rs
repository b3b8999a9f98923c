//! A version that some of the sandboxes run ahead of the others.

use std::collections::BTreeSet;

use sallygate_control::feed::{InForce, plan_key, runs_ahead};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::party::{Party, Running};
use crate::world::{self, World};

on_both_databases!(
    some_sandboxes_run_ahead_until_it_is_promoted_or_aborted,
    a_canary_needs_something_that_the_others_go_on_with,
);

fn ahead(it: &InForce, key: &str) -> BTreeSet<String> {
    let of = it.sandboxes.iter().filter(|sandbox| sandbox.profile == key);
    of.map(|sandbox| sandbox.id.clone()).collect()
}

async fn canary(party: &Party, percent: u8) -> Value {
    let body = json!({ "version": 2, "percent": percent });
    party.api.post(&party.path("/publish?wait=20"), body).await.expect(200).body
}

async fn some_sandboxes_run_ahead_until_it_is_promoted_or_aborted(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    let mut running = edge.start(&party);
    party.until_live(&[&edge]).await;
    let first = party.publish(1).await;
    let mut sandboxes = BTreeSet::new();
    while sandboxes.iter().filter(|id: &&String| runs_ahead(id, 40)).count() < 2
        || sandboxes.iter().filter(|id| !runs_ahead(id, 40)).count() < 2
    {
        sandboxes.insert(party.sandbox().await);
    }
    let chosen: BTreeSet<String> =
        sandboxes.iter().filter(|id| runs_ahead(id, 40)).cloned().collect();
    party.add(json!({})).await;
    let published = canary(&party, 40).await;
    assert_eq!(published["acknowledged"], true, "{published}");
    let shown = &published["profile"];
    assert_eq!(shown["publishedVersion"], 1);
    assert_eq!((&shown["canary"]["version"], &shown["canary"]["percent"]), (&json!(2), &json!(40)));
    let key = plan_key(&party.profile);
    let told = running.until(|it| it.plans.contains_key(&key)).await;
    assert_eq!(ahead(&told, &key), chosen);
    assert_eq!(ahead(&told, &party.profile).len(), sandboxes.len() - chosen.len());
    assert_eq!(json!(told.plans[&party.profile].digest), first["planDigest"]);
    assert_eq!(json!(told.plans[&key].digest), published["planDigest"]);
    check_credentials(&party, &running, (&chosen, &sandboxes), (&first, &published)).await;
    // Aborted: everybody runs what the others went on with.
    let aborted = party.api.ask("POST", &party.path("/canary/abort")).send().await.expect(200);
    assert!(aborted.body.get("canary").is_none());
    let told = running.until(|it| !it.plans.contains_key(&key)).await;
    assert_eq!(ahead(&told, &party.profile), sandboxes);
    let gone = party.api.ask("POST", &party.path("/canary/promote")).send().await;
    gone.refused(409, "no_canary");
    // Promoted: everybody runs what some of them ran, that very plan.
    canary(&party, 1).await;
    let promote = party.path("/canary/promote?wait=20");
    let stale = party.api.ask("POST", &promote).header("if-match", "\"1\"").send().await;
    stale.refused(412, "stale");
    let promoted = party.api.ask("POST", &promote).send().await.expect(200).body;
    assert_eq!((&promoted["acknowledged"], &promoted["version"]), (&json!(true), &json!(2)));
    assert_eq!(promoted["planDigest"], published["planDigest"]);
    let of_all = |it: &InForce| {
        json!(it.plans[&party.profile].digest) == published["planDigest"]
            && !it.plans.contains_key(&key)
    };
    assert_eq!(ahead(&running.until(of_all).await, &party.profile), sandboxes);
    // To publish for all ends a canary.
    let body = json!({ "version": 1, "percent": 5 });
    party.api.post(&party.path("/publish"), body).await.expect(200);
    assert!(party.publish(2).await["profile"].get("canary").is_none());
}

/// The plan of those ahead has no credential: they get none, and the others do.
async fn check_credentials(
    party: &Party,
    running: &Running,
    (chosen, all): (&BTreeSet<String>, &BTreeSet<String>),
    (first, second): (&Value, &Value),
) {
    let one = chosen.first().expect("one ahead");
    let other = all.difference(chosen).next().expect("one that is not");
    let resolve = |sandbox: &str, plan: &Value| {
        let wanted = party.wanted(sandbox, &plan["planDigest"]);
        async move { running.resolve(&wanted).await }
    };
    assert!(resolve(other, first).await.is_ok());
    let refused = resolve(one, second).await.expect_err("the plan has no credential");
    assert!(refused.contains("Refused"), "{refused}");
    for (sandbox, plan) in [(one, first), (other, second)] {
        let late = resolve(sandbox, plan).await.expect_err("it runs another plan");
        assert!(late.contains("another plan"), "{late}");
    }
}

async fn a_canary_needs_something_that_the_others_go_on_with(world: World) {
    let party = Party::new(world).await;
    let path = party.path("/publish");
    let body = json!({ "version": 1, "percent": 5 });
    party.api.post(&path, body).await.refused(409, "profile_not_published");
    party.api.post(&path, json!({ "version": 1 })).await.expect(200);
    for percent in [0, 100, 255] {
        let body = json!({ "version": 1, "percent": percent });
        party.api.post(&path, body).await.refused(422, "invalid");
    }
    for percent in [json!(256), json!(-1), json!(1.5), json!("5")] {
        let body = json!({ "version": 1, "percent": percent });
        party.api.post(&path, body).await.refused(400, "bad_request");
    }
    party.api.post(&path, json!({ "version": 9, "percent": 5 })).await.refused(404, "not_found");
    let none = party.api.ask("POST", &party.path("/canary/abort")).send().await;
    none.refused(409, "no_canary");
    // What only some of the sandboxes use is in use.
    party.add(json!({})).await;
    party.api.post(&path, json!({ "version": 2 })).await.expect(200);
    party.api.post(&path, json!({ "version": 1, "percent": 5 })).await.expect(200);
    let connection = format!("/v1/integration/connections/{}", party.connection);
    let refused = party.api.ask("DELETE", &connection).send().await;
    refused.refused(409, "connection_in_use");
}
