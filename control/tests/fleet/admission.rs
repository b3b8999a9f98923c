//! Who is let in, and who is not any more.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use sallygate_control::feed::{Order, Outcome};
use sallygate_control::fleet::{Identity, sign};
use serde_json::json;

use crate::on_both_databases;
use crate::party::{Party, about, code};
use crate::scene::OPERATOR;
use crate::world::{self, NOW, World};

on_both_databases!(
    an_invitation_lets_one_proxy_in,
    an_invitation_that_is_over_or_proved_wrongly_lets_nobody_in,
    only_an_operator_invites_looks_and_revokes,
    nobody_but_a_proxy_gets_an_answer,
    a_revoked_proxy_forgets_everything_and_is_let_in_no_more,
);

async fn an_invitation_lets_one_proxy_in(world: World) {
    let party = Party::new(world).await;
    let homes = [tempfile::tempdir(), tempfile::tempdir()].map(|home| home.expect("a directory"));
    let link = |at: usize| party.link(Identity::open_or_create(homes[at].path()).expect("a key"));
    let token = party.invitation().await;
    let first = link(0).enroll(&token).await.expect("it is let in");
    assert_eq!(first.name, "edge");
    // The answer was lost: the same key asks again.
    assert_eq!(link(0).enroll(&token).await.expect("the same answer"), first);
    assert_eq!(code(link(1).enroll(&token).await), "enrollment_refused");
    let second = party.invitation().await;
    assert_eq!(code(link(0).enroll(&second).await), "key_taken", "one key is one proxy");
    let all = party.api.get("/v1/proxies").await.expect(200);
    assert_eq!(all.body["items"].as_array().map(Vec::len), Some(1));
    let shown = &all.body["items"][0];
    assert_eq!((&shown["id"], &shown["live"]), (&json!(first.proxy_id), &json!(false)));
    assert!(!all.text.contains(&token));
    let audit = party.api.get("/v1/audit").await.expect(200);
    assert!(audit.text.contains("proxy.enroll") && !audit.text.contains(&token), "{}", audit.text);
}

async fn an_invitation_that_is_over_or_proved_wrongly_lets_nobody_in(world: World) {
    let party = Party::new(world).await;
    let home = tempfile::tempdir().expect("a directory");
    let link = party.link(Identity::open_or_create(home.path()).expect("a key"));
    let token = party.invitation().await;
    let mut changed = token.clone();
    changed.pop();
    for wrong in [changed.as_str(), "", "sge_", OPERATOR, "x"] {
        let refused = code(link.enroll(wrong).await);
        assert!(["enrollment_refused", "unauthorized"].contains(&&*refused), "{wrong}: {refused}");
    }
    // Somebody who saw the token and has another key, and the proof of the first.
    let body = json!({ "publicKey": "A".repeat(43), "proof": "A".repeat(86), "version": "1" });
    let ask = party.api.ask("POST", "/internal/proxies/enroll").json(body).bearer(&token);
    ask.send().await.refused(403, "enrollment_refused");
    for (key, wrong) in [("publicKey", "ü"), ("proof", "="), ("publicKey", ""), ("proof", "")] {
        let mut body =
            json!({ "publicKey": "A".repeat(43), "proof": "A".repeat(86), "version": "1" });
        body[key] = json!(wrong);
        let ask = party.api.ask("POST", "/internal/proxies/enroll").json(body).bearer(&token);
        let answer = ask.send().await;
        assert!([400, 403].contains(&answer.status.as_u16()), "{key} {wrong}: {}", answer.text);
    }
    // Keys for which anybody can sign: nobody holds them.
    for (first, rest, last) in [(0, 0, 0), (1, 0, 0x80), (0xec, 0xff, 0x7f), (0xee, 0xff, 0xff)] {
        let mut key = [rest; 32];
        (key[0], key[31]) = (first, last);
        let (mut proof, key) = ([0u8; 64], URL_SAFE_NO_PAD.encode(key));
        for sign in [0, 1] {
            proof[0] = sign;
            let proof = URL_SAFE_NO_PAD.encode(proof);
            let body = json!({ "publicKey": key, "proof": proof, "version": "1" });
            let ask = party.api.ask("POST", "/internal/proxies/enroll").json(body).bearer(&token);
            ask.send().await.refused(403, "enrollment_refused");
        }
    }
    party.api.pass_time(3_600_000);
    assert_eq!(code(link.enroll(&token).await), "enrollment_refused", "an hour later");
    for ttl in [0, 604_801] {
        let body = json!({ "name": "edge", "ttlSeconds": ttl });
        party.api.post("/v1/proxies/enrollments", body).await.refused(422, "invalid");
    }
    assert_eq!(party.api.get("/v1/proxies").await.expect(200).body["items"], json!([]));
}

async fn only_an_operator_invites_looks_and_revokes(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    let member = party.api.token("member").await;
    let one = format!("/v1/proxies/{}", edge.id);
    for (method, path) in [
        ("GET", "/v1/proxies".to_owned()),
        ("GET", one.clone()),
        ("POST", format!("{one}/revoke")),
        ("POST", "/v1/proxies/enrollments".to_owned()),
    ] {
        let ask = party.api.ask(method, &path).json(json!({ "name": "edge" })).bearer(&member);
        ask.send().await.refused(403, "insufficient_role");
    }
    party.api.get("/v1/proxies/prx_none").await.refused(404, "not_found");
    party.api.ask("POST", "/v1/proxies/prx_none/revoke").send().await.refused(404, "not_found");
    let key = || party.api.ask("POST", "/v1/proxies/enrollments").header("idempotency-key", "k");
    let first = key().json(json!({ "name": "edge" })).send().await.expect(201);
    let again = key().json(json!({ "name": "edge" })).send().await.expect(201);
    assert_eq!(first.body, again.body);
    key().json(json!({ "name": "other" })).send().await.refused(409, "idempotency_key_reused");
}

fn key_pair() -> (EncodingKey, Vec<u8>) {
    let made = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
    let document = made.expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
    (EncodingKey::from_ed_der(document.as_ref()), pair.public_key().as_ref().to_vec())
}

async fn nobody_but_a_proxy_gets_an_answer(world: World) {
    let party = Party::new(world).await;
    let (edge, other) = (party.proxy().await, party.proxy().await);
    let identity = edge.identity();
    let audience = identity.enrolled().expect("enrolled").audience.clone();
    let foreign = key_pair().0;
    let token = |at: i64| identity.token(at).expect("a token");
    let signed = |key: &EncodingKey, names| sign(key, names, NOW).expect("a token");
    let mut forged = token(NOW);
    forged.truncate(forged.len() - 2);
    let member = party.api.token("member").await;
    let sandbox_token = "sgt_000000000000000000000000000000000000000000000000";
    let wrong = [
        ("forged", forged),
        ("of another key", signed(&foreign, (&edge.id, &audience))),
        ("of a proxy that is none", signed(&foreign, ("prx_none", &audience))),
        ("for another installation", {
            let mut strange = edge.identity();
            let mut enrolled = strange.enrolled().expect("enrolled").clone();
            enrolled.audience = "ins_other".to_owned();
            strange.remember(enrolled).expect("it is written");
            strange.token(NOW).expect("a token")
        }),
        ("of a proxy that says to be another", {
            let mut strange = edge.identity();
            let mut enrolled = strange.enrolled().expect("enrolled").clone();
            (enrolled.proxy_id, enrolled.audience) = (other.id.clone(), audience.clone());
            strange.remember(enrolled).expect("it is written");
            strange.token(NOW).expect("a token")
        }),
        ("over", token(NOW - 60_000)),
        ("from the future", token(NOW + 31_000)),
        ("an operator's", OPERATOR.to_owned()),
        ("a member's", member),
        ("a sandbox's", sandbox_token.to_owned()),
        ("an invitation", party.invitation().await),
        ("nothing", String::new()),
    ];
    for (what, token) in &wrong {
        for (method, path) in [
            ("GET", "/internal/feed"),
            ("POST", "/internal/feed/ack"),
            ("POST", "/internal/integration-credentials/resolve"),
        ] {
            let answer = party.api.ask(method, path).json(json!({})).bearer(token).send().await;
            assert_eq!((answer.status.as_u16(), answer.code()), (401, "unauthorized"), "{what}");
        }
    }
    // A token that was seen is of no use a minute later.
    let seen = token(NOW);
    let ack = || party.api.ask("POST", "/internal/feed/ack").json(json!({ "served": {} }));
    ack().bearer(&seen).send().await.expect(204);
    party.api.pass_time(60_000);
    ack().bearer(&seen).send().await.refused(401, "unauthorized");
    ack().bearer(&token(NOW + 60_000)).send().await.expect(204);
    // And a proxy's token opens nothing else.
    for path in ["/v1/proxies", "/v1/sandboxes", "/v1/me"] {
        let ask = party.api.ask("GET", path).bearer(&token(NOW + 60_000));
        ask.send().await.refused(401, "unauthorized");
    }
}

async fn a_revoked_proxy_forgets_everything_and_is_let_in_no_more(world: World) {
    let party = Party::new(world).await;
    let (edge, other) = (party.proxy().await, party.proxy().await);
    let (mut running, beside) = (edge.start(&party), other.start(&party));
    party.until_live(&[&edge, &other]).await;
    let published = party.publish(1).await;
    assert_eq!(published["acknowledged"], true, "{published}");
    let sandbox = party.sandbox().await;
    running.until(|it| !it.sandboxes.is_empty()).await;
    let wanted = party.wanted(&sandbox, &published["planDigest"]);
    assert!(running.resolve(&wanted).await.is_ok());
    running.so_far();
    let revoke = format!("/v1/proxies/{}/revoke", edge.id);
    party.api.ask("POST", &revoke).send().await.expect(200);
    assert_eq!(running.forgotten().await, std::slice::from_ref(&party.connection));
    let left = running.applied().await;
    assert!(left.plans.is_empty() && left.sandboxes.is_empty());
    (&mut running.task).await.expect("it listens no more");
    let refused = running.resolve(&wanted).await.expect_err("it is revoked");
    assert!(refused.contains("revoked"), "{refused}");
    let outcome = Outcome::default();
    assert_eq!(code(edge.link(&party).acknowledge(&outcome, &about()).await), "proxy_revoked");
    assert_eq!(party.shown(&edge.id).await["live"], false);
    // It holds nothing that a restart would bring back.
    let mut again = edge.start(&party);
    (&mut again.task).await.expect("it listens no more");
    for order in again.so_far() {
        let empty = match order {
            Order::Apply(in_force) => in_force.plans.is_empty() && in_force.sandboxes.is_empty(),
            Order::Forget(connections) => connections.is_empty(),
        };
        assert!(empty, "something was left");
    }
    let published = party.publish(1).await;
    assert_eq!(published["acknowledged"], true, "the other one goes on: {published}");
    assert!(beside.resolve(&wanted).await.is_ok());
}
