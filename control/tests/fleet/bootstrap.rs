//! What a sandbox needs to find its way out, and who is told.

use sallygate_control::credentials::INSTALLATION;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::party::{CANARY, Party};
use crate::scene::{Answer, OPERATOR};
use crate::world::{self, World};

on_both_databases!(
    a_sandbox_is_told_its_way_out_and_nobody_elses,
    a_sandbox_is_given_placeholders_that_its_proxy_knows,
);

async fn a_sandbox_is_told_its_way_out_and_nobody_elses(world: World) {
    let party = Party::new(world).await;
    party.api.post(&party.path("/publish"), json!({})).await.expect(200);
    let new = || party.api.post("/v1/sandboxes", json!({ "profileId": party.profile }));
    let (one, other) = (new().await.expect(201), new().await.expect(201));
    let (id, token) = (one.get("id"), one.get("token"));
    let path = format!("/v1/sandboxes/{id}/bootstrap");
    let ask = |path: &str, token: &str| party.api.ask("GET", path).bearer(token).send();
    ask(&path, &token).await.refused(409, "no_proxy");
    let edge = party.proxy().await;
    let _running = edge.start(&party);
    party.until_live(&[&edge]).await;
    let told = ask(&path, &token).await.expect(200);
    assert_eq!(told.headers["cache-control"], "no-store");
    let (env, files) = (&told.body["env"], &told.body["files"]);
    assert_eq!(env["HTTPS_PROXY"], format!("http://{id}:{token}@edge.example:8089"));
    assert_eq!(env["NODE_EXTRA_CA_CERTS"], "/etc/sallygate/ca.pem");
    for name in ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
        let path = env[name].as_str().expect("a path");
        let pem = files[path].as_str().expect("a file");
        assert!(pem.ends_with("AAAA\n-----END CERTIFICATE-----\n"), "{name}");
    }
    let elsewhere = ask(&format!("{path}?caDir=/opt/ca&proxy={}", edge.id), &token).await;
    assert_eq!(elsewhere.expect(200).body["env"]["SSL_CERT_FILE"], "/opt/ca/ca-bundle.pem");
    for wrong in ["caDir=relative", "caDir=/a%20b", "caDir=", "other=1"] {
        ask(&format!("{path}?{wrong}"), &token).await.refused(400, "bad_request");
    }
    ask(&format!("{path}?proxy=prx_none"), &token).await.refused(404, "not_found");
    // Neither an operator nor another sandbox, nor one that has ended.
    let member = party.api.token("member").await;
    for caller in [OPERATOR, member.as_str(), "sgt_0", ""] {
        ask(&path, caller).await.refused(401, "unauthorized");
    }
    ask(&path, &other.get("token")).await.refused(404, "not_found");
    ask("/v1/sandboxes/sbx_none/bootstrap", &token).await.refused(404, "not_found");
    party.api.ask("GET", "/v1/sandboxes").bearer(&token).send().await.refused(401, "unauthorized");
    party.api.ask("POST", &format!("/v1/sandboxes/{id}/revoke")).send().await.expect(200);
    ask(&path, &token).await.refused(401, "unauthorized");
    // A proxy that says something else of itself than where it is.
    let identity = edge.identity();
    let signed = identity.token(party.api.control.clock.now_ms()).expect("a token");
    for wrong in [
        json!({ "entrance": "http://edge:1" }),
        json!({ "entrance": "edge:1@evil" }),
        json!({ "caPem": "-----BEGIN PRIVATE KEY-----" }),
        json!({ "caPem": "x" }),
    ] {
        let mut body = json!({ "served": {} });
        body.as_object_mut().expect("an object").extend(wrong.as_object().expect("one").clone());
        let ask = party.api.ask("POST", "/internal/feed/ack").json(body).bearer(&signed);
        ask.send().await.refused(400, "bad_request");
    }
}

async fn a_sandbox_is_given_placeholders_that_its_proxy_knows(world: World) {
    let party = Party::new(world).await;
    let target = "/v1/integration/targets/echo";
    let given = json!({ "shape": "ghp_{alphanumeric:36}", "env": ["GATE_TOKEN", "SSL_CERT_FILE"] });
    let wanted = |placeholder: &Value| {
        json!({
            "definition": "demo::echo",
            "displayName": "Echo",
            "options": { "placeholder": placeholder },
        })
    };
    for wrong in [json!({ "shpe": "x" }), json!("ghp_{alphanumeric:36}"), json!({ "env": "A" })] {
        let refused = party.api.put(target, wanted(&wrong)).await;
        assert_eq!(refused.body["issues"][0]["code"], "INVALID_TARGET_OPTIONS", "{}", refused.text);
    }
    party.api.put(target, wanted(&given)).await.expect(200);
    party.add(party.version()).await;
    let edge = party.proxy().await;
    let mut running = edge.start(&party);
    party.until_live(&[&edge]).await;
    party.publish(2).await;
    let body = json!({ "profileId": party.profile });
    let (one, other) = (
        party.api.post("/v1/sandboxes", body.clone()).await.expect(201),
        party.api.post("/v1/sandboxes", body).await.expect(201),
    );
    let told = async |sandbox: &Answer| {
        let path = format!("/v1/sandboxes/{}/bootstrap", sandbox.get("id"));
        let asked = party.api.ask("GET", &path).bearer(&sandbox.get("token")).send().await;
        asked.expect(200).body["env"].clone()
    };
    let (first, second) = (told(&one).await, told(&other).await);
    let token = first["GATE_TOKEN"].as_str().expect("a placeholder").to_owned();
    assert!(token.starts_with("ghp_") && token.len() == 40, "{token}");
    assert_ne!(first["GATE_TOKEN"], second["GATE_TOKEN"]);
    assert_eq!(told(&one).await["GATE_TOKEN"], token, "it stays the same");
    // What leads out is not a placeholder's to change.
    assert_eq!(first["SSL_CERT_FILE"], "/etc/sallygate/ca-bundle.pem");
    assert!(!first.to_string().contains(CANARY));
    // The proxy makes the same of what it was told, also when nobody answers.
    let in_force = running.until(|it| it.sandboxes.len() == 2).await;
    let key = in_force.placeholder_key.clone().expect("a key");
    let plan = &in_force.plans[&party.profile];
    let known = plan.placeholder_variables(&key, &one.get("id"));
    assert!(known.contains(&("GATE_TOKEN".to_owned(), token)), "{known:?}");
    drop(running);
    let restored = edge.start(&party).applied().await;
    assert_eq!(restored.placeholder_key, Some(key.clone()));
    // A new key for what is sealed changes nothing.
    let control = &party.api.control;
    control.vault.rotate_data_key(&control.store, INSTALLATION, 0).await.expect("it rotates");
    assert_eq!(told(&one).await["GATE_TOKEN"], first["GATE_TOKEN"]);
    let text = format!("{in_force:?}");
    assert!(!text.contains(&**key.to_text()), "the key is not shown");
}
