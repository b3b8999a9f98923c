//! What goes out: triggers, signatures, retries, and where deliveries may not go.

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::providers::{GITHUB, OTHER, SECRET, SLACK};
use crate::receiver::Receiver;
use crate::stage::{Stage, WEBHOOKS};
use crate::world::{self, World};

on_both_databases!(
    an_event_reaches_its_endpoint_signed,
    a_rotated_secret_signs_beside_the_new_one_for_a_time,
    what_fails_is_tried_again_later_with_the_same_id,
    what_fails_too_often_is_given_up_and_can_be_sent_again,
    an_endpoint_that_is_gone_is_disabled,
    a_redirect_is_not_followed,
    a_delivery_goes_to_no_address_inside_the_house,
    a_rule_chooses_its_events_and_a_broken_one_affects_itself_alone,
    a_provider_that_takes_the_credential_back_ends_the_use_of_its_connection,
    an_event_is_processed_anew_when_somebody_asks,
    old_contents_are_deleted_and_what_waits_is_kept,
);

async fn staged(world: World) -> (Stage, Receiver) {
    let receiver = Receiver::new().await;
    (Stage::with_receiver(world, &receiver).await, receiver)
}

impl Stage {
    /// Everything that is due now.
    async fn work(&self) {
        let worker = self.worker();
        while worker.events().await.expect("events")
            + worker.deliveries().await.expect("deliveries")
            > 0
        {}
    }
}

async fn an_event_reaches_its_endpoint_signed(world: World) {
    let (stage, receiver) = staged(world).await;
    let (endpoint, secret) = stage.everything_to(&receiver).await;
    stage.accepted("d-1").await;
    stage.work().await;
    let taken = receiver.taken();
    assert_eq!(taken.len(), 1);
    assert!(taken[0].is_signed_by(&secret));
    assert!(!taken[0].is_signed_by(OTHER));
    assert_eq!(taken[0].header("content-type").as_deref(), Some("application/json"));
    let body = taken[0].json();
    assert_eq!(body["type"], "github.issues.opened");
    assert_eq!(body["timestamp"], "2027-01-15T08:00:00Z");
    assert_eq!(body["data"]["payload"]["issue"]["number"], 7);
    let deliveries = stage.items("deliveries").await;
    assert_eq!(deliveries.len(), 1);
    let delivery = &deliveries[0];
    assert_eq!(delivery["id"], taken[0].id());
    assert_eq!(
        (&delivery["status"], &delivery["attempts"], &delivery["lastStatus"]),
        (&json!("delivered"), &json!(1), &json!(200))
    );
    assert_eq!(delivery["endpointId"], endpoint);
    let events = stage.events().await;
    assert!(events[0]["processedAt"].is_string(), "{events:?}");
    assert_eq!(stage.count("SELECT COUNT(*) FROM webhook_jobs").await, 0);
    // A repeated call makes nothing new.
    stage.send(&GITHUB.sent(SECRET, "d-1")).await.expect(200);
    stage.work().await;
    assert_eq!(receiver.taken().len(), 1);
}

async fn a_rotated_secret_signs_beside_the_new_one_for_a_time(world: World) {
    let (stage, receiver) = staged(world).await;
    let (endpoint, old) = stage.everything_to(&receiver).await;
    stage.api.pass_time(10);
    let path = format!("{WEBHOOKS}/endpoints/{endpoint}/rotate-secret");
    for wrong in [-1, 604_801] {
        stage.api.post(&path, json!({ "overlapSeconds": wrong })).await.refused(422, "invalid");
    }
    let rotated = stage.api.post(&path, json!({ "overlapSeconds": 60 })).await.expect(200);
    let new = rotated.get("secret");
    assert_ne!(new, old);
    assert_eq!(rotated.body["secrets"].as_array().map(Vec::len), Some(2));
    stage.accepted("d-1").await;
    stage.work().await;
    stage.api.pass_time(60_000);
    stage.accepted("d-2").await;
    stage.work().await;
    let taken = receiver.taken();
    let signed = |at: usize| (taken[at].is_signed_by(&old), taken[at].is_signed_by(&new));
    assert_eq!((signed(0), signed(1)), ((true, true), (false, true)));
    // What is shown of them never is them.
    let shown = stage.api.get(&format!("{WEBHOOKS}/endpoints/{endpoint}")).await.expect(200);
    for secret in [&old, &new] {
        assert!(!shown.text.contains(secret.as_str()), "{}", shown.text);
    }
    let again = stage.api.post(&path, json!({ "overlapSeconds": 60 })).await.expect(200);
    assert_eq!(again.body["secrets"].as_array().map(Vec::len), Some(2), "no more than two");
}

async fn what_fails_is_tried_again_later_with_the_same_id(world: World) {
    let (stage, receiver) = staged(world).await;
    stage.everything_to(&receiver).await;
    receiver.answer(500);
    receiver.answer_with(503, "retry-after: 120\r\n");
    stage.accepted("d-1").await;
    stage.work().await;
    assert_eq!(receiver.taken().len(), 1);
    let shown = stage.items("deliveries").await;
    assert_eq!((&shown[0]["status"], &shown[0]["lastStatus"]), (&json!("waiting"), &json!(500)));
    stage.work().await;
    stage.api.pass_time(3_700);
    stage.work().await;
    assert_eq!(receiver.taken().len(), 1, "not before three quarters of five seconds");
    stage.api.pass_time(2_600);
    stage.work().await;
    assert_eq!(receiver.taken().len(), 2, "after five quarters of them");
    stage.api.pass_time(119_000);
    stage.work().await;
    assert_eq!(receiver.taken().len(), 2, "it was asked for more patience");
    stage.api.pass_time(1_000);
    stage.work().await;
    let taken = receiver.taken();
    let ids: Vec<String> = taken.iter().map(crate::receiver::Taken::id).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(taken.iter().all(|one| one.body == taken[0].body));
    assert_ne!(taken[0].header("webhook-timestamp"), taken[2].header("webhook-timestamp"));
    assert_eq!(stage.items("deliveries").await[0]["status"], "delivered");
}

async fn what_fails_too_often_is_given_up_and_can_be_sent_again(world: World) {
    let (stage, receiver) = staged(world).await;
    stage.everything_to(&receiver).await;
    (0..13).for_each(|_| receiver.answer(502));
    stage.accepted("d-1").await;
    for _ in 0..15 {
        stage.work().await;
        stage.api.pass_time(8 * 3600 * 1000);
    }
    assert_eq!(receiver.taken().len(), 13);
    let shown = stage.items("deliveries").await;
    assert_eq!((&shown[0]["status"], &shown[0]["attempts"]), (&json!("dead"), &json!(13)));
    let letters = stage.items("dead-letters").await;
    assert_eq!((letters.len(), &letters[0]["kind"]), (1, &json!("delivery")));
    assert_eq!(letters[0]["subject"], shown[0]["id"]);
    let path = format!("{WEBHOOKS}/deliveries/{}/redeliver", shown[0]["id"].as_str().expect("id"));
    stage.api.ask("POST", &path).send().await.expect(200);
    stage.api.ask("POST", &path).send().await.refused(409, "already_waiting");
    stage.work().await;
    assert_eq!(receiver.taken().len(), 14);
    assert_eq!(receiver.taken()[13].id(), receiver.taken()[0].id());
    assert_eq!(stage.items("deliveries").await[0]["status"], "delivered");
    assert_eq!(stage.items("dead-letters").await, Vec::<Value>::new());
}

async fn an_endpoint_that_is_gone_is_disabled(world: World) {
    let (stage, receiver) = staged(world).await;
    let (endpoint, _) = stage.everything_to(&receiver).await;
    receiver.answer(410);
    stage.accepted("d-1").await;
    stage.work().await;
    stage.accepted("d-2").await;
    stage.work().await;
    assert_eq!(receiver.taken().len(), 1, "nothing more is sent");
    let one = format!("{WEBHOOKS}/endpoints/{endpoint}");
    let shown = stage.api.get(&one).await.expect(200).body;
    assert_eq!(
        (&shown["status"], &shown["statusReason"]),
        (&json!("disabled"), &json!("it answered 410"))
    );
    let mut errors: Vec<String> =
        stage.items("deliveries").await.iter().map(|d| d["lastError"].to_string()).collect();
    errors.sort();
    assert_eq!(errors, ["\"endpoint_disabled\"", "\"refused\""]);
    let body = json!({ "displayName": "E", "url": receiver.url(), "status": "active" });
    stage.api.put(&one, body).await.expect(200);
    for letter in stage.items("dead-letters").await {
        let id = letter["subject"].as_str().expect("an id").to_owned();
        stage
            .api
            .ask("POST", &format!("{WEBHOOKS}/deliveries/{id}/redeliver"))
            .send()
            .await
            .expect(200);
    }
    stage.work().await;
    assert_eq!(receiver.taken().len(), 3);
}

async fn a_redirect_is_not_followed(world: World) {
    let (stage, receiver) = staged(world).await;
    stage.everything_to(&receiver).await;
    for status in [301, 302, 307, 308] {
        receiver.answer_with(status, &format!("location: {}\r\n", receiver.url()));
    }
    stage.accepted("d-1").await;
    stage.work().await;
    assert_eq!(receiver.taken().len(), 1);
    assert_eq!(stage.items("deliveries").await[0]["lastStatus"], 301);
}

async fn a_delivery_goes_to_no_address_inside_the_house(world: World) {
    let receiver = Receiver::new().await;
    // Nothing inside is allowed.
    let stage = Stage::new(world, GITHUB).await;
    let long = format!("https://example.com/{}", "x".repeat(2048));
    for url in [
        "http://example.com/hook",
        "https://127.0.0.1/hook",
        "https://2130706433/hook",
        "https://[::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://169.254.169.254/latest",
        "https://10.1.2.3:8443/",
        "https://localhost/hook",
        "https://metadata.google.internal/",
        "https://user:pass@example.com/",
        "https://example.com/#x",
        "ftp://example.com/",
        "example.com",
        "",
        &receiver.url(),
        &long,
    ] {
        let body = json!({ "displayName": "E", "url": url });
        let refused = stage.api.post(&format!("{WEBHOOKS}/endpoints"), body).await;
        refused.refused(422, "invalid");
        assert_eq!(refused.body["issues"][0]["code"], "ENDPOINT_URL_REFUSED", "{url}");
    }
    assert_eq!(stage.items("endpoints").await, Vec::<Value>::new());
    // A name that leads inside, which nobody can see when it is written: seen when it is connected.
    let body = json!({ "displayName": "E", "url": "https://example.com/hook" });
    let made = stage.api.post(&format!("{WEBHOOKS}/endpoints"), body).await.expect(201);
    let action = json!({ "type": "deliver", "endpointId": made.get("id") });
    stage.trigger(json!({ "action": action })).await;
    let inside = sallygate_control::change!(stage.api.control.store, |transaction| {
        let sql = "UPDATE webhook_endpoints SET url = $1";
        transaction.execute(sql, sallygate_control::values![receiver.url()]).await
    });
    let inside: Result<u64, sallygate_control::store::StoreError> = inside;
    assert_eq!(inside.expect("a change"), 1);
    stage.accepted("d-1").await;
    stage.work().await;
    assert_eq!(receiver.taken().len(), 0);
    assert_eq!(stage.items("deliveries").await[0]["lastError"], "address_refused");
}

async fn a_rule_chooses_its_events_and_a_broken_one_affects_itself_alone(world: World) {
    let (stage, receiver) = staged(world).await;
    let (endpoint, _) = stage.endpoint(&receiver).await;
    let to = |template: Value| json!({ "type": "deliver", "endpointId": endpoint, "template": template });
    let numbered = |n: i64| json!({ "eq": { "path": "payload.issue.number", "value": n } });
    let mine = stage.trigger(json!({ "filter": numbered(7), "action": to(json!({ "n": "{{payload.issue.number}}" })) })).await;
    stage.trigger(json!({ "filter": numbered(8), "action": to(json!("not for this")) })).await;
    stage.trigger(json!({ "eventTypes": ["github.push"], "action": to(json!("nor this")) })).await;
    let unfilled = stage.trigger(json!({ "action": to(json!("{{payload.absent}}")) })).await;
    let broken = stage.trigger(json!({ "action": to(json!("was fine once")) })).await;
    let body =
        json!({ "displayName": "R", "enabled": false, "rule": { "action": to(json!("off")) } });
    stage.api.post(&format!("{WEBHOOKS}/triggers"), body).await.expect(201);
    let changed: Result<u64, sallygate_control::store::StoreError> =
        sallygate_control::change!(stage.api.control.store, |transaction| {
            let sql = "UPDATE webhook_triggers SET rule = '[]' WHERE id = $1";
            transaction.execute(sql, sallygate_control::values![&broken]).await
        });
    assert_eq!(changed.expect("a change"), 1);
    stage.accepted("d-1").await;
    stage.work().await;
    let bodies: Vec<Value> = receiver.taken().iter().map(crate::receiver::Taken::json).collect();
    assert_eq!(bodies, [json!({ "n": 7 })]);
    let errors: Vec<(Value, Value)> = stage
        .items("triggers")
        .await
        .iter()
        .filter(|trigger| trigger.get("lastError").is_some())
        .map(|trigger| (trigger["id"].clone(), trigger["lastError"].clone()))
        .collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.contains(&(json!(unfilled), json!("the event has no `payload.absent`"))));
    assert!(errors.contains(&(json!(broken), json!("its rule cannot be read"))));
    assert_eq!(stage.items("deliveries").await[0]["triggerId"], mine);
}

async fn a_provider_that_takes_the_credential_back_ends_the_use_of_its_connection(world: World) {
    let stage = Stage::new(world, SLACK).await;
    let one = format!("/v1/integration/connections/{}", stage.connection);
    let mut body = (SLACK.body)("Ev1");
    body["event"] = json!({ "type": "tokens_revoked", "tokens": { "bot": ["U1"] } });
    let seconds = crate::world::NOW / 1000;
    stage.send(&SLACK.sent_at(SECRET, ("", seconds), &body)).await.expect(202);
    assert_eq!(stage.api.get(&one).await.expect(200).body["status"], "active");
    let waiting = stage.api.notices().await.len();
    stage.work().await;
    let shown = stage.api.get(&one).await.expect(200).body;
    assert_eq!(shown["status"], "error");
    assert_eq!(shown["statusReason"], "the provider said `slack.tokens_revoked`");
    let notices = stage.api.notices().await;
    assert_eq!(notices.len(), waiting + 1, "proxies let go of its credential");
    let about = |notice: &sallygate_control::store::Notice| {
        notice.payload["connectionId"] == stage.connection.as_str()
    };
    assert!(notices.iter().any(about), "{notices:?}");
    assert!(stage.api.get("/v1/audit").await.expect(200).text.contains("connection.refuse"));
    // What comes afterwards is taken still, and a new secret mends it.
    stage.accepted("Ev2").await;
    let rotate = json!({ "secrets": { "token": "new" } });
    stage.api.post(&format!("{one}/rotate-secret"), rotate).await.expect(200);
    // A rule does the same for what the catalogue does not know.
    stage
        .trigger(json!({
            "eventTypes": ["slack.message"],
            "action": { "type": "connectionError", "reason": "no messages wanted" },
        }))
        .await;
    stage.work().await;
    let shown = stage.api.get(&one).await.expect(200).body;
    assert_eq!(
        (&shown["status"], &shown["statusReason"]),
        (&json!("error"), &json!("no messages wanted"))
    );
}

async fn an_event_is_processed_anew_when_somebody_asks(world: World) {
    let (stage, receiver) = staged(world).await;
    stage.accepted("d-1").await;
    stage.work().await;
    assert_eq!(receiver.taken().len(), 0, "no trigger was there");
    stage.everything_to(&receiver).await;
    let id = stage.events().await[0]["id"].as_str().expect("an id").to_owned();
    let path = format!("{WEBHOOKS}/events/{id}/redeliver");
    let reader = stage.api.token("read_only").await;
    stage.api.ask("POST", &path).bearer(&reader).send().await.refused(403, "insufficient_role");
    for round in 2..4 {
        let again = stage.api.ask("POST", &path).send().await.expect(200);
        assert_eq!(again.body["round"], round);
        stage.api.ask("POST", &path).send().await.refused(409, "already_waiting");
        stage.work().await;
    }
    let taken = receiver.taken();
    assert_eq!(taken.len(), 2);
    assert_ne!(taken[0].id(), taken[1].id(), "each is a delivery of its own");
    assert_eq!(taken[0].json(), taken[1].json());
}

async fn old_contents_are_deleted_and_what_waits_is_kept(world: World) {
    use sallygate_control::webhook::content::{KEPT_MS, purge};
    let (stage, receiver) = staged(world).await;
    stage.accepted("d-1").await;
    stage.work().await;
    let id = stage.events().await[0]["id"].as_str().expect("an id").to_owned();
    stage.accepted("d-2").await;
    let store = &stage.api.control.store;
    let later = |ms: i64| stage.api.control.clock.now_ms() + ms;
    assert_eq!(purge(store, later(KEPT_MS)).await.expect("a purge"), 0, "not before their time");
    assert_eq!(purge(store, later(KEPT_MS + 1)).await.expect("a purge"), 1, "the other one waits");
    let shown = stage.api.get(&format!("{WEBHOOKS}/events/{id}")).await.expect(200);
    assert!(shown.body.get("payload").is_none());
    let path = format!("{WEBHOOKS}/events/{id}/redeliver");
    stage.api.ask("POST", &path).send().await.refused(409, "content_purged");
    stage.send(&GITHUB.sent(SECRET, "d-1")).await.expect(200);
    stage.everything_to(&receiver).await;
    stage.work().await;
    assert_eq!(receiver.taken().len(), 1);
}
