//! `/v1/integration/webhooks`: what is refused, and what is nobody else's.

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::providers::GITHUB;
use crate::receiver::Receiver;
use crate::stage::{Stage, WEBHOOKS};
use crate::world::{self, World};

on_both_databases!(
    a_rule_that_means_nothing_is_not_written,
    an_endpoint_changes_as_a_whole_and_its_secret_is_shown_once,
    what_belongs_to_another_organisation_is_absent,
    a_deleted_endpoint_gets_nothing_more,
    keys_are_rotated_under_what_is_kept,
);

async fn a_rule_that_means_nothing_is_not_written(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    let (endpoint, _) = stage.endpoint(&receiver).await;
    let triggers = format!("{WEBHOOKS}/triggers");
    let action = json!({ "type": "deliver", "endpointId": endpoint });
    for (rule, field) in [
        (json!({}), "action"),
        (json!({ "action": { "type": "shell" } }), "action.type"),
        (json!({ "action": { "type": "deliver", "endpointId": "whe_none" } }), "action.endpointId"),
        (
            json!({ "action": action, "filter": { "eq": { "path": "x", "value": 1 } } }),
            "filter.eq.path",
        ),
        (json!({ "action": action, "filter": { "matches": {} } }), "filter.matches"),
        (json!({ "action": action, "eventTypes": "all" }), "eventTypes"),
        (json!({ "action": action, "other": 1 }), "other"),
    ] {
        let body = json!({ "displayName": "R", "rule": rule });
        let refused = stage.api.post(&triggers, body).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.body["issues"][0]["field"], field, "{}", refused.text);
    }
    let foreign =
        json!({ "displayName": "R", "connectionId": "icn_none", "rule": { "action": action } });
    let refused = stage.api.post(&triggers, foreign).await;
    assert_eq!(refused.body["issues"][0]["field"], "connectionId", "{}", refused.text);
    assert_eq!(stage.items("triggers").await, Vec::<Value>::new());
    let good = json!({ "displayName": "R", "rule": { "action": action } });
    let made = stage.api.post(&triggers, good.clone()).await.expect(201);
    let one = format!("{triggers}/{}", made.get("id"));
    let worse = json!({ "displayName": "R", "rule": {} });
    stage.api.put(&one, worse).await.refused(422, "invalid");
    let stale = stage.api.ask("PUT", &one).header("if-match", "\"9\"").json(good.clone());
    stale.send().await.refused(412, "stale");
    assert_eq!(stage.api.get(&one).await.expect(200).body, made.body, "nothing changed");
    let changed = stage.api.put(&one, good).await.expect(200);
    assert_eq!(
        (&changed.body["revision"], &changed.headers["etag"]),
        (&json!(2), &"\"2\"".parse().expect("a value"))
    );
    stage.api.ask("DELETE", &one).send().await.expect(204);
    stage.api.get(&one).await.refused(404, "not_found");
}

async fn an_endpoint_changes_as_a_whole_and_its_secret_is_shown_once(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    let endpoints = format!("{WEBHOOKS}/endpoints");
    let body = json!({ "displayName": "E", "url": receiver.url() });
    let ask = || stage.api.ask("POST", &endpoints).header("idempotency-key", "k-1");
    let made = ask().json(body.clone()).send().await.expect(201);
    let secret = made.get("secret");
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let again = ask().json(body.clone()).send().await.expect(201);
    assert_eq!(again.body, made.body, "the same request gets the first answer");
    assert_eq!(stage.items("endpoints").await.len(), 1);
    ask()
        .json(json!({ "displayName": "F", "url": receiver.url() }))
        .send()
        .await
        .refused(409, "idempotency_key_reused");
    let one = format!("{endpoints}/{}", made.get("id"));
    for path in [one.clone(), endpoints.clone(), "/v1/audit".to_owned(), "/metrics".to_owned()] {
        let shown = stage.api.get(&path).await.expect(200);
        assert!(!shown.text.contains(&secret), "{path}: {}", shown.text);
    }
    for (body, status) in [
        (json!({ "displayName": "", "url": receiver.url() }), 422),
        (json!({ "displayName": "E", "url": receiver.url(), "secret": "whsec_x" }), 400),
        (json!({ "displayName": "E" }), 400),
        (json!({ "displayName": "E", "url": receiver.url(), "status": "off" }), 400),
    ] {
        assert_eq!(stage.api.put(&one, body).await.status, status);
    }
    let stale = stage.api.ask("PUT", &one).header("if-match", "\"7\"").json(body);
    stale.send().await.refused(412, "stale");
    assert_eq!(stage.api.get(&one).await.expect(200).body["revision"], 1);
}

async fn what_belongs_to_another_organisation_is_absent(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    let (endpoint, _) = stage.everything_to(&receiver).await;
    stage.accepted("d-1").await;
    stage.worker().events().await.expect("events");
    stage.api.pass_time(1);
    let made = stage.api.post("/v1/organisations", json!({ "name": "other" })).await.expect(201);
    let other = made.get("id");
    let id = |items: Vec<Value>| items[0]["id"].as_str().expect("an id").to_owned();
    let (event, delivery) = (id(stage.events().await), id(stage.items("deliveries").await));
    let trigger = id(stage.items("triggers").await);
    let ask = |method: &str, path: String| {
        stage.api.ask(method, &path).header("sallygate-organisation", other.clone())
    };
    for (method, path) in [
        ("GET", format!("events/{event}")),
        ("POST", format!("events/{event}/redeliver")),
        ("GET", format!("deliveries/{delivery}")),
        ("POST", format!("deliveries/{delivery}/redeliver")),
        ("GET", format!("endpoints/{endpoint}")),
        ("DELETE", format!("endpoints/{endpoint}")),
        ("GET", format!("triggers/{trigger}")),
        ("DELETE", format!("triggers/{trigger}")),
    ] {
        ask(method, format!("{WEBHOOKS}/{path}")).send().await.refused(404, "not_found");
    }
    let body = json!({ "displayName": "E", "url": receiver.url() });
    let put = ask("PUT", format!("{WEBHOOKS}/endpoints/{endpoint}")).json(body);
    put.send().await.refused(404, "not_found");
    let rotate = ask("POST", format!("{WEBHOOKS}/endpoints/{endpoint}/rotate-secret"));
    rotate.json(json!({})).send().await.refused(404, "not_found");
    // Nor can a rule of theirs send to our endpoint, or listen to our connection.
    let action = json!({ "type": "deliver", "endpointId": endpoint });
    let body = json!({ "displayName": "R", "connectionId": stage.connection, "rule": { "action": action } });
    let refused = ask("POST", format!("{WEBHOOKS}/triggers")).json(body).send().await;
    assert_eq!(refused.body["issues"].as_array().map(Vec::len), Some(2), "{}", refused.text);
    for what in ["events", "deliveries", "endpoints", "triggers", "dead-letters"] {
        let list = ask("GET", format!("{WEBHOOKS}/{what}")).send().await.expect(200);
        assert_eq!(list.body["items"], json!([]), "{what}");
    }
}

async fn a_deleted_endpoint_gets_nothing_more(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    let (endpoint, _) = stage.everything_to(&receiver).await;
    stage.accepted("d-1").await;
    stage.worker().events().await.expect("events");
    stage.accepted("d-2").await;
    let one = format!("{WEBHOOKS}/endpoints/{endpoint}");
    stage.api.ask("DELETE", &one).send().await.expect(204);
    let worker = stage.worker();
    worker.events().await.expect("events");
    worker.deliveries().await.expect("deliveries");
    assert_eq!(receiver.taken().len(), 0);
    let deliveries = stage.items("deliveries").await;
    assert_eq!((deliveries.len(), &deliveries[0]["lastError"]), (1, &json!("endpoint_deleted")));
    let triggers = stage.items("triggers").await;
    assert_eq!(triggers[0]["lastError"], "its endpoint was deleted");
    assert_eq!(stage.count("SELECT COUNT(*) FROM webhook_endpoint_secrets").await, 0);
}

async fn keys_are_rotated_under_what_is_kept(world: World) {
    let receiver = Receiver::new().await;
    let stage = Stage::with_receiver(world, &receiver).await;
    let (_, secret) = stage.everything_to(&receiver).await;
    stage.accepted("d-1").await;
    let control = &stage.api.control;
    let list = stage.api.get("/v1/organisations").await.expect(200).body;
    let owner = list["items"][0]["id"].as_str().expect("an id").to_owned();
    let rotated = control.vault.rotate_data_key(&control.store, &owner, crate::world::NOW).await;
    // Two secrets of the connection, one of the endpoint, and the content.
    assert_eq!(rotated.expect("a rotation").secrets, 4);
    let worker = stage.worker();
    worker.events().await.expect("events");
    worker.deliveries().await.expect("deliveries");
    assert!(receiver.taken()[0].is_signed_by(&secret));
    stage.send(&GITHUB.sent(crate::providers::SECRET, "d-2")).await.expect(202);
}
