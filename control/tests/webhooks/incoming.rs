//! Calls of providers: what is taken, and above all what is not.

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::providers::{
    ALL, GITHUB, GITLAB, LINEAR, OPENAI, OTHER, PLANE, Provider, SECRET, SLACK, Sent, linear,
};
use crate::stage::{Stage, WEBHOOKS};
use crate::world::{self, NOW, World};

on_both_databases!(
    a_delivery_of_every_provider_becomes_an_event,
    what_is_not_exactly_what_was_signed_is_refused_and_nothing_is_written,
    a_stale_delivery_is_refused,
    a_repeated_delivery_is_known,
    whether_a_connection_exists_is_not_to_be_seen,
    a_challenge_is_answered_only_when_it_is_proven,
    an_event_is_for_every_connection_whose_secret_proves_it,
    where_a_secret_stood_is_counted_and_the_old_place_can_be_refused,
    a_body_that_says_nothing_is_no_event,
    a_call_of_a_project_finds_its_connection,
    a_database_that_is_full_of_strange_texts_takes_them_as_well,
);

async fn a_delivery_of_every_provider_becomes_an_event(world: World) {
    // One installation, one target after the other: a database is made once.
    let stage = Stage::new(world, GITHUB).await;
    for provider in ALL {
        let stage = stage.next(provider).await;
        let before = stage.written().await;
        stage.accepted("d-1").await;
        assert_eq!(stage.written().await, before + 3, "event, job and content");
        let events = stage.events().await;
        let event = events.iter().find(|e| e["connectionId"] == stage.connection.as_str());
        let event = event.expect("the event");
        assert_eq!(event["eventType"], provider.event_type, "{event}");
        assert_eq!(event["transport"], provider.transport, "{event}");
        let one = format!("{WEBHOOKS}/events/{}", event["id"].as_str().expect("an id"));
        let shown = stage.api.get(&one).await.expect(200);
        assert_eq!(shown.body["payload"], (provider.body)("d-1"));
        assert!(!shown.text.contains(SECRET), "{}", shown.text);
    }
    assert!(!stage.api.get("/metrics").await.expect(200).text.contains("whsec_"));
}

/// What differs from what was signed, one thing at a time.
fn forged(provider: &Provider) -> Vec<(&'static str, Sent)> {
    let good = || provider.sent(SECRET, "d-1");
    let signature = |change: fn(String) -> String| {
        let mut sent = good();
        let value = sent.header(provider.signature_header);
        *value = change(std::mem::take(value));
        sent
    };
    let mut cases = vec![
        ("no signature", good().without(provider.signature_header)),
        ("an empty signature", signature(|_| String::new())),
        (
            "a cut signature",
            signature(|mut text| {
                text.pop();
                text
            }),
        ),
        ("more than a signature", signature(|text| text + "0")),
        (
            "white space in it",
            signature(|text| text.replacen(|c: char| c.is_ascii_digit(), " ", 1)),
        ),
        ("another case", signature(|text| text.to_ascii_uppercase())),
        ("another secret", provider.sent(OTHER, "d-1")),
        ("an empty secret", {
            let body = (provider.body)("d-1").to_string();
            let mut sent = good();
            if provider.signature_header == "webhook-signature" {
                *sent.header("webhook-signature") = "v1,".to_owned();
            } else {
                for (name, value) in (provider.sign)("", &body, NOW / 1000) {
                    *sent.header(name) = value;
                }
            }
            sent
        }),
    ];
    if provider.transport == "signature" {
        let mut body = good();
        let last = body.body.pop();
        assert_eq!(last, Some('}'));
        body.body.push(']');
        cases.push(("another body", body));
        let mut longer = good();
        longer.body.push(' ');
        cases.push(("a longer body", longer));
    }
    cases
}

async fn what_is_not_exactly_what_was_signed_is_refused_and_nothing_is_written(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    for provider in ALL {
        let stage = stage.next(provider).await;
        for (what, sent) in forged(&provider) {
            let answer = stage.send(&sent).await;
            assert_eq!(answer.status, 401, "{} with {what}: {}", provider.definition, answer.text);
            answer.refused(401, "webhook_unverified");
        }
        assert_eq!(stage.written().await, 0, "{}", provider.definition);
    }
    assert!(stage.api.get("/v1/audit").await.expect(200).text.contains("connection.create"));
}

async fn a_stale_delivery_is_refused(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    for provider in ALL.into_iter().filter(|provider| provider.has_window) {
        let stage = stage.next(provider).await;
        let before = stage.written().await;
        for away in [-301, 301, -100_000] {
            let at = ("d-1", NOW / 1000 + away);
            let sent = provider.sent_at(SECRET, at, &(provider.body)("d-1"));
            stage.send(&sent).await.refused(401, "webhook_unverified");
        }
        assert_eq!(stage.written().await, before, "{}", provider.definition);
        let at = ("d-1", NOW / 1000 - 299);
        let sent = provider.sent_at(SECRET, at, &(provider.body)("d-1"));
        stage.send(&sent).await.expect(202);
    }
    let stage = stage.next(LINEAR).await;
    for away in [-61_000, 61_000] {
        let sent = LINEAR.sent_at(SECRET, ("d-1", 0), &linear(NOW + away));
        stage.send(&sent).await.refused(401, "webhook_unverified");
    }
}

async fn a_repeated_delivery_is_known(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    stage.accepted("d-1").await;
    let written = stage.written().await;
    for _ in 0..2 {
        let again = stage.send(&GITHUB.sent(SECRET, "d-1")).await.expect(200);
        assert_eq!(again.body, json!({ "status": "duplicate" }));
    }
    assert_eq!(stage.written().await, written);
    // Another connection of the same target has deliveries of its own.
    let second = stage.connect(SECRET).await;
    let path = format!("/p/integration/webhooks/t/{second}");
    stage.send_to(&path, &GITHUB.sent(SECRET, "d-1")).await.expect(202);
    assert_eq!(stage.events().await.len(), 2);
}

async fn whether_a_connection_exists_is_not_to_be_seen(world: World) {
    let stage = Stage::new(world, GITHUB).await;
    let forged = GITHUB.sent(OTHER, "d-1");
    let known = stage.send(&forged).await;
    known.refused(401, "webhook_unverified");
    let other = stage.connect(OTHER).await;
    let revoked = stage.connect(OTHER).await;
    let one = format!("/v1/integration/connections/{revoked}");
    stage.api.ask("POST", &format!("{one}/revoke")).send().await.expect(200);
    let deleted = stage.connect(OTHER).await;
    let one = format!("/v1/integration/connections/{deleted}");
    stage.api.ask("DELETE", &one).send().await.expect(204);
    let below = |id: &str| format!("/p/integration/webhooks/t/{id}");
    for path in [
        below("icn_00000000000000000000000000"),
        below("%25"),
        below("_"),
        below(&revoked),
        below(&deleted),
        below(&stage.connection.to_lowercase()),
        "/p/integration/webhooks/t".to_owned(),
        "/api/v1/projects/org_none/integrations/t/webhook".to_owned(),
    ] {
        let unknown = stage.send_to(&path, &forged).await;
        assert_eq!((unknown.status, &unknown.text), (known.status, &known.text), "{path}");
        let names = |answer: &crate::scene::Answer| {
            answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(&unknown), names(&known), "{path}");
    }
    // Signed for one, sent to another.
    let theirs = stage.send_to(&below(&other), &GITHUB.sent(SECRET, "d-1")).await;
    theirs.refused(401, "webhook_unverified");
    for path in ["/p/integration/webhooks/none", "/p/integration/webhooks/none/icn_1"] {
        stage.send_to(path, &forged).await.refused(404, "not_found");
    }
    stage.api.ask("POST", "/v1/integration/targets/t/disable").send().await.expect(200);
    stage.send(&GITHUB.sent(SECRET, "d-1")).await.refused(404, "not_found");
    assert_eq!(stage.written().await, 0);
}

fn challenge() -> Value {
    json!({ "token": "x", "type": "url_verification", "challenge": "3eZ<script>" })
}

async fn a_challenge_is_answered_only_when_it_is_proven(world: World) {
    let stage = Stage::new(world, SLACK).await;
    let sent = |secret: &str| SLACK.sent_at(secret, ("", NOW / 1000), &challenge());
    // Before an app is installed there is no connection: the target's secret proves it.
    let app = "whsec_YXBwLWFwcC1hcHAtYXBwLWFwcC1hcHAtYXBwLWFwcCE=";
    let target = json!({
        "definition": SLACK.definition, "displayName": "T", "secrets": { "signingSecret": app },
    });
    stage.send(&sent(app)).await.refused(401, "webhook_unverified");
    stage.api.put("/v1/integration/targets/t", target).await.expect(200);
    let answer = stage.send(&sent(app)).await.expect(200);
    assert_eq!(answer.text, "3eZ<script>");
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    stage.send(&sent(OTHER)).await.refused(401, "webhook_unverified");
    // The connection's own secret proves it below its own path only.
    stage.send(&sent(SECRET)).await.refused(401, "webhook_unverified");
    let own = format!("/p/integration/webhooks/t/{}", stage.connection);
    assert_eq!(stage.send_to(&own, &sent(SECRET)).await.expect(200).text, "3eZ<script>");
    assert_eq!(stage.written().await, 0);
    // What the app's secret proves of a workspace that nobody connected is nobody's.
    let mut body = (SLACK.body)("Ev1");
    body["team_id"] = json!("T9");
    let strange = stage.send(&SLACK.sent_at(app, ("", NOW / 1000), &body)).await.expect(200);
    assert_eq!(strange.body, json!({ "status": "ignored" }));
    assert_eq!(stage.written().await, 0);
    stage.send(&SLACK.sent(app, "Ev1")).await.expect(202);
}

async fn an_event_is_for_every_connection_whose_secret_proves_it(world: World) {
    let stage = Stage::new(world, SLACK).await;
    stage.api.pass_time(1);
    let made = stage.api.post("/v1/organisations", json!({ "name": "other" })).await.expect(201);
    let other = made.get("id");
    let body = json!({
        "displayName": "C", "config": { "teamId": "T1" },
        "secrets": { "token": "x", "signingSecret": SECRET },
    });
    let path = "/v1/integration/connections/t/form";
    let ask = stage.api.ask("POST", path).header("sallygate-organisation", &*other);
    ask.json(body).send().await.expect(201);
    stage.connect(OTHER).await;
    stage.accepted("Ev1").await;
    assert_eq!(stage.events().await.len(), 1, "one of this organisation");
    assert_eq!(stage.count("SELECT COUNT(*) FROM webhook_events").await, 2);
    let theirs = stage.api.ask("GET", &format!("{WEBHOOKS}/events"));
    let theirs = theirs.header("sallygate-organisation", &*other).send().await.expect(200);
    let id = theirs.body["items"][0]["id"].as_str().expect("an id").to_owned();
    // What is theirs is absent for us.
    stage.api.get(&format!("{WEBHOOKS}/events/{id}")).await.refused(404, "not_found");
    let path = format!("{WEBHOOKS}/events/{id}/redeliver");
    stage.api.ask("POST", &path).send().await.refused(404, "not_found");
}

async fn where_a_secret_stood_is_counted_and_the_old_place_can_be_refused(world: World) {
    let stage = Stage::new(world, PLANE).await;
    let by = |name: &'static str, id: &str| {
        let mut sent = PLANE.sent(SECRET, id).without("x-plane-signature");
        sent.headers.push((name, SECRET.to_owned()));
        sent
    };
    stage.accepted("d-0").await;
    stage.send(&by("x-plane-webhook-secret", "d-1")).await.expect(202);
    stage.send(&by("x-webhook-secret", "d-2")).await.expect(202);
    let legacy = format!("{}?secret={}", stage.path(), SECRET.replace('=', "%3D"));
    let bare = |id: &str| PLANE.sent(SECRET, id).without("x-plane-signature");
    stage.send_to(&legacy, &bare("d-3")).await.expect(202);
    let metrics = stage.api.get("/metrics").await.expect(200).text;
    for transport in ["signature", "preferred", "fallback", "legacy"] {
        let line = format!(
            "sallygate_webhook_proofs_total{{definition=\"plane::plane-default\",\
             transport=\"{transport}\"}} 1"
        );
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    // A signature that is wrong is not made good by a secret beside it.
    let mut both = by("x-plane-webhook-secret", "d-4");
    both.headers.push(("x-plane-signature", "00".repeat(32)));
    stage.send(&both).await.refused(401, "webhook_unverified");
    let put = |options: Value| {
        let definition = PLANE.definition;
        let body = json!({ "definition": definition, "displayName": "T", "options": options });
        stage.api.put("/v1/integration/targets/t", body)
    };
    for wrong in [json!({ "webhooks": { "x": 1 } }), json!({ "webhooks": { "legacySecret": "y" } })]
    {
        let refused = put(wrong).await;
        assert_eq!(refused.body["issues"][0]["code"], "INVALID_TARGET_OPTIONS", "{}", refused.text);
    }
    put(json!({ "webhooks": { "legacySecret": "refuse" } })).await.expect(200);
    stage.send_to(&legacy, &bare("d-5")).await.refused(401, "webhook_unverified");
    stage.send(&by("x-webhook-secret", "d-6")).await.expect(202);
}

async fn a_body_that_says_nothing_is_no_event(world: World) {
    let stage = Stage::new(world, OPENAI).await;
    let deep = format!("{}{}", "[".repeat(400), "]".repeat(400));
    for (body, code) in [
        ("", "payload_not_json"),
        ("not json", "payload_not_json"),
        (deep.as_str(), "payload_not_json"),
        ("{}", "event_type_missing"),
        ("[]", "event_type_missing"),
    ] {
        let at = ("d-1", NOW / 1000);
        let signature = crate::providers::standard(SECRET, at, body.as_bytes());
        let mut sent = OPENAI.sent(SECRET, "d-1");
        *sent.header("webhook-signature") = signature;
        sent.body = body.to_owned();
        stage.send(&sent).await.refused(400, code);
    }
    let mut large = OPENAI.sent(SECRET, "d-1");
    large.body = "x".repeat(26 << 20);
    stage.send(&large).await.refused(413, "body_too_large");
    assert_eq!(stage.written().await, 0);
}

async fn a_call_of_a_project_finds_its_connection(world: World) {
    let stage = Stage::new(world, GITLAB).await;
    let list = stage.api.get("/v1/organisations").await.expect(200).body;
    let organisation = list["items"][0]["id"].as_str().expect("an id").to_owned();
    let path =
        |provider: &str| format!("/api/v1/projects/{organisation}/integrations/{provider}/webhook");
    stage.send_to(&path("t"), &GITLAB.sent(SECRET, "d-1")).await.expect(202);
    stage.send_to(&path("gitlab"), &GITLAB.sent(SECRET, "d-2")).await.expect(202);
    stage
        .send_to(&path("gitlab"), &GITLAB.sent(OTHER, "d-3"))
        .await
        .refused(401, "webhook_unverified");
    for none in ["github", "git%25", "%25", "gitlab-default", "none"] {
        stage.send_to(&path(none), &GITLAB.sent(SECRET, "d-4")).await.refused(404, "not_found");
    }
    assert_eq!(stage.events().await.len(), 2);
}

async fn a_database_that_is_full_of_strange_texts_takes_them_as_well(world: World) {
    let stage = Stage::new(world, SLACK).await;
    let long = "x".repeat(5000);
    for id in ["a\u{0}b", long.as_str(), "ü", "'; DROP TABLE webhook_events; --"] {
        let mut body = (SLACK.body)(id);
        body["event"]["channel"] = json!(id);
        body["event"]["type"] = json!(id);
        let sent = SLACK.sent_at(SECRET, ("", NOW / 1000), &body);
        stage.send(&sent).await.expect(202);
        assert_eq!(stage.send(&sent).await.expect(200).body["status"], "duplicate");
    }
    assert_eq!(stage.events().await.len(), 4);
    assert_eq!(stage.worker().events().await.expect("work"), 4);
}
