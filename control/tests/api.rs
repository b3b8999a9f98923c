//! The API on both databases: what it gives, and above all what it refuses.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use scene::{Api, OPERATOR};
use serde_json::{Value, json};
use world::World;

on_both_databases!(
    a_target_is_put_looked_at_and_disabled,
    secrets_of_targets_and_connections_are_never_given_back,
    what_is_wrong_with_a_body_is_said_and_nothing_changes,
    what_does_not_fit_the_definition_is_listed,
    a_caller_without_a_good_token_is_not_heard,
    a_caller_with_too_small_a_role_changes_nothing,
    what_belongs_to_another_organisation_is_absent,
    a_change_of_what_has_changed_since_is_refused,
    a_creation_that_is_sent_again_gets_the_first_answer,
    a_list_comes_in_pieces_and_whole,
    a_disabled_target_takes_no_connection,
    a_token_ends_when_it_is_revoked_or_expires,
    every_change_is_audited_in_a_chain,
);

const CANARY: &str = "canary-0123456789-0123456789-LAST";
const TARGETS: &str = "/v1/integration/targets";
const CONNECTIONS: &str = "/v1/integration/connections";

async fn a_target_is_put_looked_at_and_disabled(world: World) {
    let api = Api::new(world).await;
    let made = api.echo_target("echo").await;
    assert_eq!(made.body["configStatus"], "valid");
    assert_eq!(made.headers["etag"], "\"1\"");
    assert_eq!(made.headers["cache-control"], "no-store");
    assert!(made.headers["x-request-id"].to_str().expect("text").starts_with("req_"));
    let disabled = api.ask("POST", &format!("{TARGETS}/echo/disable")).send().await.expect(200);
    assert_eq!((&disabled.body["enabled"], &disabled.body["revision"]), (&json!(false), &json!(2)));
    let again = api.ask("POST", &format!("{TARGETS}/echo/disable")).send().await.expect(200);
    assert_eq!(again.body["revision"], 2, "nothing changed");
    let found = api.get(&format!("{TARGETS}/echo")).await.expect(200);
    assert_eq!(found.body, again.body);
    assert!(found.body.get("options").is_some(), "for the operator");
    let member = api.token("member").await;
    let theirs = api.ask("GET", &format!("{TARGETS}/echo")).bearer(&member).send().await;
    assert!(theirs.expect(200).body.get("options").is_none(), "not for others");
    api.get(&format!("{TARGETS}/none")).await.refused(404, "not_found");
    let forms = api.get(&format!("{TARGETS}/echo/forms")).await.expect(200);
    assert_eq!(forms.body["methods"][0]["id"], "token");
    let other = json!({ "definition": "openai::openai-default", "displayName": "x" });
    api.put(&format!("{TARGETS}/echo"), other).await.refused(409, "definition_differs");
}

async fn secrets_of_targets_and_connections_are_never_given_back(world: World) {
    let api = Api::new(world).await;
    api.echo_target("echo").await;
    let id = api.connect("echo", CANARY).await;
    let rotate = json!({ "secrets": { "token": format!("{CANARY}-2") } });
    let path = format!("{CONNECTIONS}/{id}/rotate-secret");
    let rotated = api.post(&path, rotate).await.expect(200);
    assert_eq!(rotated.body["credentials"][0]["version"], 2);
    let print = rotated.body["credentials"][0]["fingerprint"].as_str().expect("a fingerprint");
    assert!(print.starts_with("…ST-2 sha256:"), "{print}");
    for path in [CONNECTIONS, &format!("{CONNECTIONS}/{id}"), "/v1/audit", "/metrics"] {
        let answer = api.get(path).await.expect(200);
        assert!(!answer.text.contains("canary-"), "{path}: {}", answer.text);
    }
}

async fn what_is_wrong_with_a_body_is_said_and_nothing_changes(world: World) {
    let api = Api::new(world).await;
    api.echo_target("echo").await;
    let form = format!("{CONNECTIONS}/echo/form");
    let good = json!({ "displayName": "Mine", "secrets": { "token": CANARY } });
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body.to_string()
    };
    let large = with("displayName", json!("x".repeat(2 << 20)));
    for (body, status, code) in [
        (String::new(), 400, "bad_request"),
        ("{".to_owned(), 400, "bad_request"),
        ("[]".to_owned(), 400, "bad_request"),
        (format!("{good}{good}"), 400, "bad_request"),
        (with("other", json!(1)), 400, "bad_request"),
        (with("displayName", json!(1)), 400, "bad_request"),
        (with("secrets", json!(CANARY)), 400, "bad_request"),
        (with("secrets", json!({ "token": [CANARY] })), 400, "bad_request"),
        (with("config", json!("x")), 400, "bad_request"),
        (large, 413, "body_too_large"),
        (with("displayName", json!("")), 422, "invalid"),
        (with("displayName", json!("a\u{7}b")), 422, "invalid"),
        (with("displayName", json!("x".repeat(121))), 422, "invalid"),
        (with("method", json!("oauth")), 422, "invalid"),
        (with("config", json!({ "unknown": 1 })), 422, "invalid"),
        (with("secrets", json!({})), 422, "invalid"),
        (with("secrets", json!({ "token": "" })), 422, "invalid"),
        (with("secrets", json!({ "token": "t", "other": CANARY })), 422, "invalid"),
        (with("secrets", json!({ "token": "x".repeat(40_000) })), 422, "invalid"),
    ] {
        let shown = body.chars().take(120).collect::<String>();
        let answer = api.ask("POST", &form).text(body).send().await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{shown}");
        assert!(!answer.text.contains("canary-"), "{shown}: {}", answer.text);
    }
    let kind = api.ask("POST", &form).header("content-type", "text/plain").json(good.clone());
    kind.send().await.refused(415, "unsupported_media_type");
    assert_eq!(api.get(CONNECTIONS).await.expect(200).body["items"], json!([]));
    for query in ["?limit=0", "?limit=201", "?limit=x", "?cursor=%25", "?other=1"] {
        api.get(&format!("{CONNECTIONS}{query}")).await.refused(400, "bad_request");
    }
    api.get("/v1/nothing").await.refused(404, "not_found");
    api.ask("DELETE", TARGETS).send().await.refused(405, "method_not_allowed");
}

async fn what_does_not_fit_the_definition_is_listed(world: World) {
    let api = Api::new(world).await;
    let put = |body: Value| {
        let api = &api;
        async move { api.put(&format!("{TARGETS}/t"), body).await }
    };
    let wrong = json!({
        "definition": "demo::echo",
        "displayName": "x",
        "config": { "baseUrl": 1, "other": true },
        "secrets": { "unknown": CANARY },
    });
    let answer = put(wrong).await;
    answer.refused(422, "invalid");
    let issues = answer.body["issues"].as_array().expect("issues");
    let codes: Vec<_> = issues.iter().map(|issue| issue["code"].as_str().expect("text")).collect();
    assert!(codes.len() >= 3, "{codes:?}");
    assert!(codes.contains(&"INVALID_TARGET_CONFIG"), "{codes:?}");
    assert!(codes.contains(&"INVALID_TARGET_SECRETS"), "{codes:?}");
    assert!(!answer.text.contains("canary-"), "{}", answer.text);
    let unknown = put(json!({ "definition": "no::such", "displayName": "x" })).await;
    assert_eq!(unknown.body["issues"][0]["code"], "DEFINITION_NOT_FOUND");
    for key in ["UPPER", "a%2Fb", "-a", &"x".repeat(65)] {
        let body = json!({ "definition": "demo::echo", "displayName": "x" });
        api.put(&format!("{TARGETS}/{key}"), body).await.refused(422, "invalid");
    }
    assert_eq!(api.get(TARGETS).await.expect(200).body["items"], json!([]));
}

async fn a_caller_without_a_good_token_is_not_heard(world: World) {
    let api = Api::new(world).await;
    let good = api.token("member").await;
    let mut cut = good.clone();
    cut.pop();
    let other = sallygate_control::token::mint("sga_").expect("randomness");
    for authorization in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {good}"),
        format!("Bearer {cut}"),
        format!("Bearer {good}0"),
        format!("Bearer {other}"),
        format!("Bearer {OPERATOR}x"),
    ] {
        let ask = api.ask("GET", TARGETS).header("authorization", authorization.clone());
        let answer = ask.send().await;
        answer.refused(401, "unauthorized");
        assert_eq!(answer.headers["www-authenticate"], "Bearer", "{authorization}");
    }
    api.ask("GET", TARGETS).without("authorization").send().await.refused(401, "unauthorized");
    api.ask("GET", TARGETS).bearer(&good).send().await.expect(200);
    for open in ["/healthz", "/readyz", "/versionz", "/metrics", "/openapi.json", "/docs", "/redoc"]
    {
        api.ask("GET", open).without("authorization").send().await.expect(200);
    }
}

async fn a_caller_with_too_small_a_role_changes_nothing(world: World) {
    let api = Api::new(world).await;
    api.echo_target("echo").await;
    let id = api.connect("echo", CANARY).await;
    let tokens =
        [("read_only", api.token("read_only").await), ("member", api.token("member").await)];
    let target = json!({ "definition": "demo::echo", "displayName": "x" });
    let connect = json!({ "displayName": "x", "secrets": { "token": "t" } });
    for (least, method, path, body) in [
        ("operator", "PUT", format!("{TARGETS}/other"), Some(target)),
        ("operator", "POST", format!("{TARGETS}/echo/disable"), None),
        ("operator", "POST", "/v1/organisations".to_owned(), Some(json!({ "name": "x" }))),
        ("operator", "GET", "/v1/organisations".to_owned(), None),
        ("member", "POST", format!("{CONNECTIONS}/echo/form"), Some(connect)),
        ("member", "DELETE", format!("{CONNECTIONS}/{id}"), None),
        ("member", "POST", format!("{CONNECTIONS}/{id}/revoke"), None),
        ("member", "GET", "/v1/api-tokens".to_owned(), None),
    ] {
        for (role, token) in &tokens {
            if *role == least {
                continue;
            }
            if least == "member" && *role == "member" {
                continue;
            }
            let mut ask = api.ask(method, &path).bearer(token);
            if let Some(body) = &body {
                ask = ask.json(body.clone());
            }
            ask.send().await.refused(403, "insufficient_role");
        }
    }
    let more = json!({ "name": "x", "role": "operator" });
    api.post("/v1/api-tokens", more).await.refused(403, "insufficient_role");
    assert_eq!(api.get(CONNECTIONS).await.body["items"].as_array().map(Vec::len), Some(1));
}

async fn what_belongs_to_another_organisation_is_absent(world: World) {
    let api = Api::new(world).await;
    api.echo_target("echo").await;
    let mine = api.connect("echo", CANARY).await;
    api.pass_time(1);
    let other = json!({ "name": "other" });
    let other = api.post("/v1/organisations", other).await.expect(201).get("id");
    let body = json!({ "name": "theirs", "role": "member" });
    let ask = api.ask("POST", "/v1/api-tokens").header("sallygate-organisation", &*other);
    let theirs = ask.json(body).send().await.expect(201).get("token");
    let absent = format!("{CONNECTIONS}/icn_00000000000000000000000000");
    for (method, path, body) in [
        ("GET", String::new(), None),
        ("DELETE", String::new(), None),
        ("PATCH", String::new(), Some(json!({ "displayName": "x" }))),
        ("POST", "/revoke".to_owned(), None),
        ("POST", "/rotate-secret".to_owned(), Some(json!({ "secrets": { "token": "t" } }))),
    ] {
        let ask = |id: &str| {
            let ask = api.ask(method, &format!("{id}{path}")).bearer(&theirs);
            match &body {
                Some(body) => ask.json(body.clone()).send(),
                None => ask.send(),
            }
        };
        let foreign = ask(&format!("{CONNECTIONS}/{mine}")).await;
        foreign.refused(404, "not_found");
        assert_eq!(foreign.text, ask(&absent).await.text, "{method} {path}");
    }
    let list = api.ask("GET", CONNECTIONS).bearer(&theirs).send().await.expect(200);
    assert_eq!(list.body["items"], json!([]));
    let first = api.get(&format!("{CONNECTIONS}/{mine}")).await.expect(200);
    assert_eq!(first.body["status"], "active");
    let ask = api.ask("GET", CONNECTIONS).bearer(&theirs);
    ask.header("sallygate-organisation", "org_0").send().await.refused(404, "not_found");
    let audit = api.ask("GET", "/v1/audit").bearer(&theirs).send().await.expect(200);
    assert!(!audit.text.contains(&mine), "{}", audit.text);
}

async fn a_change_of_what_has_changed_since_is_refused(world: World) {
    let api = Api::new(world).await;
    let target = api.echo_target("echo").await;
    let etag = target.headers["etag"].to_str().expect("text").to_owned();
    let path = format!("{TARGETS}/echo");
    let body = json!({ "definition": "demo::echo", "displayName": "Second" });
    let put = |etag: &str| api.ask("PUT", &path).header("if-match", etag).json(body.clone()).send();
    put(&etag).await.expect(200);
    for stale in [&*etag, "\"0\"", "2", "W/\"2\"", "\"\""] {
        put(stale).await.refused(412, "stale");
    }
    put("\"2\"").await.expect(200);
    let missing = api.ask("PUT", &format!("{TARGETS}/none")).header("if-match", "\"1\"");
    missing.json(body.clone()).send().await.refused(412, "stale");
    let id = api.connect("echo", CANARY).await;
    let one = format!("{CONNECTIONS}/{id}");
    let renamed = api.ask("PATCH", &one).json(json!({ "displayName": "New" })).send().await;
    assert_eq!(renamed.expect(200).headers["etag"], "\"2\"");
    for (method, path) in [("DELETE", one.clone()), ("POST", format!("{one}/revoke"))] {
        let ask = api.ask(method, &path).header("if-match", "\"1\"");
        ask.send().await.refused(412, "stale");
    }
    api.ask("DELETE", &one).header("if-match", "\"2\"").send().await.expect(204);
    api.get(&one).await.refused(404, "not_found");
}

async fn a_creation_that_is_sent_again_gets_the_first_answer(world: World) {
    let api = Api::new(world).await;
    let body = json!({ "name": "ci", "role": "member" });
    let post = |key: &str, body: &Value| {
        api.ask("POST", "/v1/api-tokens").header("idempotency-key", key).json(body.clone()).send()
    };
    let first = post("k-1", &body).await.expect(201);
    let again = post("k-1", &body).await.expect(201);
    assert_eq!(first.text, again.text, "the token is the same one");
    assert_ne!(post("k-2", &body).await.expect(201).text, first.text);
    let other = json!({ "name": "other", "role": "member" });
    post("k-1", &other).await.refused(409, "idempotency_key_reused");
    for wrong in ["", "a b", "\u{e4}", &"x".repeat(129)] {
        post(wrong, &body).await.refused(400, "bad_request");
    }
    let tokens = api.get("/v1/api-tokens").await.expect(200);
    assert_eq!(tokens.body["items"].as_array().map(Vec::len), Some(2));
    api.pass_time(25 * 3600 * 1000);
    post("k-1", &other).await.expect(201);
}

async fn a_list_comes_in_pieces_and_whole(world: World) {
    let api = Api::new(world).await;
    for n in 0..5 {
        api.echo_target(&format!("echo-{n}")).await;
    }
    let (mut keys, mut path) = (Vec::new(), format!("{TARGETS}?limit=2"));
    loop {
        let page = api.get(&path).await.expect(200);
        let items = page.body["items"].as_array().expect("items");
        assert!(items.len() <= 2);
        keys.extend(items.iter().map(|item| item["key"].as_str().expect("a key").to_owned()));
        let Some(cursor) = page.body["nextCursor"].as_str() else { break };
        path = format!("{TARGETS}?limit=2&cursor={cursor}");
    }
    assert_eq!(keys, ["echo-0", "echo-1", "echo-2", "echo-3", "echo-4"]);
    let definitions = api.get("/v1/integration/definitions?limit=1").await.expect(200);
    assert_eq!(definitions.body["items"].as_array().map(Vec::len), Some(1));
    assert!(definitions.body["nextCursor"].is_string());
    let one = api.get("/v1/integration/definitions/demo::echo").await.expect(200);
    assert_eq!(one.body["schemas"]["targetConfig"]["additionalProperties"], false);
    api.get("/v1/integration/definitions/no::such").await.refused(404, "not_found");
}

async fn a_disabled_target_takes_no_connection(world: World) {
    let api = Api::new(world).await;
    api.echo_target("echo").await;
    api.ask("POST", &format!("{TARGETS}/echo/disable")).send().await.expect(200);
    let body = json!({ "displayName": "x", "secrets": { "token": "t" } });
    let path = format!("{CONNECTIONS}/echo/form");
    api.post(&path, body.clone()).await.refused(409, "target_disabled");
    api.ask("POST", &format!("{TARGETS}/echo/enable")).send().await.expect(200);
    api.post(&path, body.clone()).await.expect(201);
    api.post(&format!("{CONNECTIONS}/none/form"), body).await.refused(404, "not_found");
}

async fn a_token_ends_when_it_is_revoked_or_expires(world: World) {
    let api = Api::new(world).await;
    let make = |body: Value| api.ask("POST", "/v1/api-tokens").json(body).send();
    let short = json!({ "name": "short", "role": "member", "expiresAt": "2027-01-15T08:00:01Z" });
    let short = make(short).await.expect(201).get("token");
    let long = make(json!({ "name": "long", "role": "member" })).await.expect(201);
    let (id, long) = (long.get("id"), long.get("token"));
    let ask = |token: &str| api.ask("GET", "/v1/me").bearer(token).send();
    assert_eq!(ask(&short).await.expect(200).body["role"], "member");
    api.pass_time(999);
    ask(&short).await.expect(200);
    api.pass_time(1);
    ask(&short).await.refused(401, "unauthorized");
    ask(&long).await.expect(200);
    api.ask("DELETE", &format!("/v1/api-tokens/{id}")).send().await.expect(204);
    ask(&long).await.refused(401, "unauthorized");
    for id in ["operator", "tok_00000000000000000000000000", "x"] {
        let ask = api.ask("DELETE", &format!("/v1/api-tokens/{id}"));
        ask.send().await.refused(404, "not_found");
    }
    for expires in ["yesterday", "2020-01-01T00:00:00Z"] {
        let body = json!({ "name": "x", "role": "member", "expiresAt": expires });
        make(body).await.refused(422, "invalid");
    }
}

async fn every_change_is_audited_in_a_chain(world: World) {
    let api = Api::new(world).await;
    api.echo_target("echo").await;
    let id = api.connect("echo", CANARY).await;
    api.ask("DELETE", &format!("{CONNECTIONS}/{id}")).send().await.expect(204);
    // What is refused is not a change.
    api.put(&format!("{TARGETS}/echo"), json!({})).await.expect(400);
    let audit = api.get("/v1/audit").await.expect(200);
    let entries = audit.body["items"].as_array().expect("items");
    let actions: Vec<_> = entries.iter().map(|e| e["action"].as_str().expect("text")).collect();
    let expected = ["organisation.create", "target.put", "connection.create", "connection.delete"];
    assert_eq!(actions, expected);
    assert_eq!(entries[1]["actor"], "operator");
    let broken = |control: sallygate_control::service::Control| async move {
        use sallygate_control::store::Access;
        let mut transaction = control.store.begin(Access::Read).await.expect("a transaction");
        sallygate_control::domain::audit::first_broken(&mut *transaction).await.expect("a chain")
    };
    assert_eq!(broken(api.control.clone()).await, None);
    let changed: Result<_, sallygate_control::store::StoreError> =
        sallygate_control::change!(api.control.store, |transaction| {
            let sql = "UPDATE audit SET actor = 'somebody' WHERE sequence = 2";
            transaction.execute(sql, Vec::new()).await
        });
    changed.expect("a change");
    assert_eq!(broken(api.control.clone()).await, Some(2));
}
