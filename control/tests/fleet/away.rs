//! Nobody answers for a while: a proxy that was away, a control service that is.

use sallygate_control::feed::Order;
use serde_json::json;

use crate::on_both_databases;
use crate::party::{CANARY, Party, Replica};
use crate::world::{self, NOW, World};

on_both_databases!(
    a_proxy_that_was_away_for_an_hour_is_told_what_it_missed,
    a_proxy_that_was_away_for_days_is_told_everything,
    what_was_told_and_lent_serves_while_control_is_down,
    what_expired_while_nobody_answered_is_not_brought_back,
);

async fn a_proxy_that_was_away_for_an_hour_is_told_what_it_missed(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    let first = party.api.post(&party.path("/publish"), json!({})).await.expect(200).body;
    let mut running = edge.start(&party);
    running.until(|it| it.plans.contains_key(&party.profile)).await;
    party.until_live(&[&edge]).await;
    assert_eq!(party.publish(1).await["acknowledged"], true);
    drop(running);
    party.api.pass_time(3_600_000);
    let sandbox = party.sandbox().await;
    let mut running = edge.start(&party);
    let restored = running.applied().await;
    assert_eq!(json!(restored.plans[&party.profile].digest), first["planDigest"]);
    assert!(restored.sandboxes.is_empty());
    let Some(Order::Apply(next)) = running.orders.recv().await else {
        unreachable!("nothing was invalidated: it is told what it missed, not everything anew")
    };
    assert_eq!(next.sandboxes[0].id, sandbox);
    assert_eq!(json!(next.plans[&party.profile].digest), first["planDigest"]);
}

async fn a_proxy_that_was_away_for_days_is_told_everything(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    party.api.post(&party.path("/publish"), json!({})).await.expect(200);
    let sandbox = party.sandbox().await;
    let mut running = edge.start(&party);
    running.until(|it| !it.sandboxes.is_empty()).await;
    party.until_live(&[&edge]).await;
    assert_eq!(party.publish(1).await["acknowledged"], true);
    drop(running);
    let revoke = format!("/v1/sandboxes/{sandbox}/revoke");
    party.api.ask("POST", &revoke).send().await.expect(200);
    party.api.pass_time(2 * 24 * 3_600_000);
    let later = party.api.control.clock.now_ms();
    party.api.control.store.forget_old_notices(later).await.expect("they are dropped");
    let mut running = edge.start(&party);
    assert_eq!(running.applied().await.sandboxes.len(), 1, "what it was told before");
    // What was invalidated meanwhile nobody remembers: it lets go of all that it holds.
    assert_eq!(running.forgotten().await, std::slice::from_ref(&party.connection));
    let told = running.applied().await;
    assert!(told.sandboxes.is_empty() && told.plans.contains_key(&party.profile));
}

async fn what_was_told_and_lent_serves_while_control_is_down(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    let published = party.api.post(&party.path("/publish"), json!({})).await.expect(200).body;
    let sandbox = party.sandbox().await;
    let mut running = edge.start(&party);
    running.until(|it| !it.sandboxes.is_empty()).await;
    let wanted = party.wanted(&sandbox, &published["planDigest"]);
    assert_eq!(running.resolve(&wanted).await.as_deref(), Ok(CANARY));
    running.so_far();
    let Party { api, profile, connection, replica } = party;
    let port = replica.address.port();
    replica.stop().await;
    // It runs on, and gives what it was lent; nothing that it holds is taken from it.
    assert_eq!(running.resolve(&wanted).await.as_deref(), Ok(CANARY));
    assert!(running.so_far().is_empty());
    let other = sallygate_control::fleet::ResolveBody {
        secret_type: "oauth2_access_token".to_owned(),
        ..wanted.clone()
    };
    let unlent = running.resolve(&other).await.expect_err("it never had it");
    assert!(unlent.contains("Unavailable"), "{unlent}");
    drop(running);
    // It starts, and nobody is there.
    let stopped =
        Party { replica: Replica::start(&api.control, 0).await, api, profile, connection };
    let url = format!("http://127.0.0.1:{port}");
    let mut running = edge.start_at(&stopped, &url);
    let restored = running.applied().await;
    assert_eq!(restored.sandboxes[0].id, sandbox);
    assert!(restored.plans.contains_key(&stopped.profile));
    assert_eq!(running.resolve(&wanted).await.as_deref(), Ok(CANARY));
    // What is lent is not lent for ever.
    stopped.api.pass_time(24 * 3_600_000);
    assert!(running.resolve(&wanted).await.is_err(), "a day later");
    // Somebody is there again, with other news: it catches up by itself.
    let revoke = format!("/v1/sandboxes/{sandbox}/revoke");
    stopped.api.ask("POST", &revoke).send().await.expect(200);
    let back = Replica::start(&stopped.api.control, port).await;
    running.until(|it| it.sandboxes.is_empty()).await;
    back.stop().await;
}

async fn what_expired_while_nobody_answered_is_not_brought_back(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    party.api.post(&party.path("/publish"), json!({})).await.expect(200);
    let expires = json!({ "profileId": party.profile, "expiresAt": "2027-01-15T08:00:10Z" });
    party.api.post("/v1/sandboxes", expires).await.expect(201);
    let mut running = edge.start(&party);
    running.until(|it| !it.sandboxes.is_empty()).await;
    party.until_live(&[&edge]).await;
    assert_eq!(party.publish(1).await["acknowledged"], true);
    drop(running);
    party.api.pass_time(10_000);
    assert_eq!(party.api.control.clock.now_ms(), NOW + 10_000);
    let mut running = edge.start(&party);
    let restored = running.applied().await;
    assert!(restored.sandboxes.is_empty() && restored.plans.contains_key(&party.profile));
}
