//! What proxies are told, in which order, and who is waited for.

use std::collections::BTreeSet;

use sallygate_control::feed::{InForce, Order, Outcome, Refused};
use serde_json::json;

use crate::on_both_databases;
use crate::party::{Party, Replica, about};
use crate::world::{self, World};

on_both_databases!(
    what_is_published_is_served_and_acknowledged,
    what_must_end_is_told_ahead_of_what_is_new,
    waiting_names_the_proxies_that_do_not_serve,
    a_proxy_of_another_replica_is_told_and_waited_for,
    many_proxies_that_acknowledge_at_once_are_all_noted,
);

async fn what_is_published_is_served_and_acknowledged(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    let mut running = edge.start(&party);
    assert!(running.applied().await.plans.is_empty());
    party.until_live(&[&edge]).await;
    let published = party.publish(1).await;
    assert_eq!(published["acknowledged"], true, "{published}");
    assert!(published.get("waitingFor").is_none(), "{published}");
    let shown = party.shown(&edge.id).await;
    assert_eq!((&shown["live"], &shown["name"]), (&json!(true), &json!("edge")));
    assert_eq!(shown["served"][&party.profile], published["planDigest"], "{shown}");
    let told = running.until(|it| !it.plans.is_empty()).await;
    assert_eq!(json!(told.plans[&party.profile].digest), published["planDigest"]);
    assert_eq!(told.targets[&party.connection], "echo");
    party.api.pass_time(60_000);
    assert_eq!(party.shown(&edge.id).await["live"], false, "it was not heard of for a minute");
}

async fn what_must_end_is_told_ahead_of_what_is_new(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    party.publish(1).await;
    let (ending, staying) = (party.sandbox().await, party.sandbox().await);
    let mut running = edge.start(&party);
    running.until(|it| it.sandboxes.len() == 2).await;
    party.until_live(&[&edge]).await;
    party.publish(1).await;
    drop(running);
    // While it is away: first what is new, then what ends.
    let second = party.add(json!({})).await;
    let body = json!({ "version": 2 });
    party.api.post(&party.path("/publish"), body).await.expect(200);
    let fresh = party.sandbox().await;
    let revoke = format!("/v1/sandboxes/{ending}/revoke");
    party.api.ask("POST", &revoke).send().await.expect(200);
    let revoke = format!("/v1/integration/connections/{}/revoke", party.connection);
    party.api.ask("POST", &revoke).send().await.expect(200);
    let mut running = edge.start(&party);
    let restored = running.applied().await;
    assert_eq!(restored.sandboxes.len(), 2, "what it was told before");
    let forget = running.orders.recv().await;
    let end = running.orders.recv().await;
    let new = running.orders.recv().await;
    let ids = |it: &InForce| it.sandboxes.iter().map(|s| s.id.clone()).collect::<BTreeSet<_>>();
    let Some(Order::Forget(connections)) = forget else { unreachable!("{forget:?}") };
    assert_eq!(connections, std::slice::from_ref(&party.connection));
    let Some(Order::Apply(ended)) = end else { unreachable!("{end:?}") };
    assert_eq!(ids(&ended), BTreeSet::from([staying.clone()]));
    assert_ne!(json!(ended.plans[&party.profile].digest), second["planDigest"], "the old plan");
    let Some(Order::Apply(renewed)) = new else { unreachable!("{new:?}") };
    assert_eq!(json!(renewed.plans[&party.profile].digest), second["planDigest"]);
    assert_eq!(ids(&renewed), BTreeSet::from([staying, fresh]));
}

async fn waiting_names_the_proxies_that_do_not_serve(world: World) {
    let party = Party::new(world).await;
    let (good, refusing, silent) = (party.proxy().await, party.proxy().await, party.proxy().await);
    let (_running, refused) = (good.start(&party), refusing.start(&party));
    party.until_live(&[&good, &refusing]).await;
    *refused.refuses.lock().expect("a lock") =
        Refused::from([(party.profile.clone(), "it asks for too much".to_owned())]);
    // It is there, and never says that it serves anything.
    silent.link(&party).acknowledge(&Outcome::default(), &about()).await.expect("it is noted");
    let path = party.path("/publish?wait=1");
    let published = party.api.post(&path, json!({})).await.expect(200).body;
    assert_eq!(published["acknowledged"], false);
    let mut missing: Vec<_> = published["waitingFor"].as_array().expect("proxies").clone();
    missing.sort_by_key(|proxy| proxy["reason"].is_null());
    let reason = json!("it asks for too much");
    let expected = [
        json!({ "proxyId": refusing.id, "name": "edge", "reason": reason }),
        json!({ "proxyId": silent.id, "name": "edge" }),
    ];
    assert_eq!(missing, expected);
    assert_eq!(party.shown(&refusing.id).await["refused"][&party.profile], reason);
    // Whoever is gone for long, or for good, is not waited for.
    refused.refuses.lock().expect("a lock").clear();
    let revoke = format!("/v1/proxies/{}/revoke", silent.id);
    party.api.ask("POST", &revoke).send().await.expect(200);
    assert_eq!(party.publish(1).await["acknowledged"], true);
}

async fn a_proxy_of_another_replica_is_told_and_waited_for(world: World) {
    let party = Party::new(world).await;
    let near = party.proxy().await;
    let far = party.proxy().await;
    let mut here = near.start(&party);
    let other = Replica::start(&party.api.control, 0).await;
    let mut there = {
        let url = format!("http://{}", other.address);
        far.start_at(&party, &url)
    };
    party.until_live(&[&near, &far]).await;
    let published = party.publish(1).await;
    assert_eq!(published["acknowledged"], true, "{published}");
    there.until(|it| it.plans.contains_key(&party.profile)).await;
    for id in [&near.id, &far.id] {
        assert_eq!(party.shown(id).await["served"][&party.profile], published["planDigest"]);
    }
    // Both hear of everything: what one replica told is not lost to the other.
    let sandbox = party.sandbox().await;
    for running in [&mut here, &mut there] {
        running.until(|it| it.sandboxes.iter().any(|s| s.id == sandbox)).await;
    }
    let revoke = format!("/v1/sandboxes/{sandbox}/revoke");
    party.api.ask("POST", &revoke).send().await.expect(200);
    for running in [&mut here, &mut there] {
        running.until(|it| it.sandboxes.is_empty()).await;
    }
    // A proxy whose replica went goes on where it was, at the other one.
    drop(there);
    other.stop().await;
    let path = format!("/v1/integration/connections/{}/revoke", party.connection);
    party.api.ask("POST", &path).send().await.expect(200);
    let mut moved = far.start(&party);
    moved.applied().await;
    assert_eq!(moved.forgotten().await, std::slice::from_ref(&party.connection));
}

async fn many_proxies_that_acknowledge_at_once_are_all_noted(world: World) {
    let party = Party::new(world).await;
    let mut edges = Vec::new();
    for _ in 0..12 {
        edges.push(party.proxy().await);
    }
    let mut saying = tokio::task::JoinSet::new();
    for edge in &edges {
        let link = edge.link(&party);
        let served = [("plan".to_owned(), edge.id.clone())].into();
        let outcome = Outcome { served, refused: Refused::new() };
        saying.spawn(async move { link.acknowledge(&outcome, &about()).await });
    }
    for said in saying.join_all().await {
        said.expect("it is noted");
    }
    for edge in &edges {
        assert_eq!(edge.in_the_store(&party).await.outcome.served["plan"], edge.id);
    }
    // A page at a time, in order.
    let first = party.api.get("/v1/proxies?limit=5").await.expect(200).body;
    let next =
        format!("/v1/proxies?limit=50&cursor={}", first["nextCursor"].as_str().expect("more"));
    let second = party.api.get(&next).await.expect(200).body;
    let items = |body: &serde_json::Value| body["items"].as_array().expect("items").len();
    assert_eq!((items(&first), items(&second)), (5, 7));
}
