//! What a sandbox needs to find its way out, and who is told.

use serde_json::json;

use crate::on_both_databases;
use crate::party::Party;
use crate::scene::OPERATOR;
use crate::world::{self, World};

on_both_databases!(a_sandbox_is_told_its_way_out_and_nobody_elses);

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
