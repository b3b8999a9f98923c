//! The OpenAPI document says what the API does: every operation of it is asked for, rightly and
//! wrongly, and answers as the document says.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use std::collections::BTreeSet;

use scene::{Answer, Api};
use serde_json::Value;
use world::World;

on_both_databases!(every_operation_answers_as_its_document_says);

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

struct Operation {
    method: &'static str,
    path: String,
    described: Value,
}

/// Values for what stands in a path: known, unknown, and what nobody should ever send.
const SEGMENTS: [&str; 5] = ["echo", "1", "icn_00000000000000000000000000", "%00", "a%2F..%2Fb"];

const BODIES: [&str; 14] = [
    "",
    "{",
    "null",
    "[]",
    "{}",
    "\"text\"",
    "{\"unknown\":1}",
    "{\"name\":1}",
    "{\"name\":\"a\\u0000b\"}",
    "{\"displayName\":\"x\",\"secrets\":{\"token\":\"t\\u0000\"}}",
    "{\"definition\":\"demo::echo\",\"displayName\":\"x\",\"config\":{\"baseUrl\":\"x\"}}",
    "{\"policy\":{\"routes\":[{\"name\":\"\",\"match\":{}}]},\"bindings\":[{\"connectionId\":\"\"}]}",
    "{\"version\":-1}",
    "{\"expiresAt\":\"9999-99-99T00:00:00Z\",\"profileId\":\"\\u0000\"}",
];

async fn operations(api: &Api) -> Vec<Operation> {
    let document = api.get("/openapi.json").await.expect(200).body;
    assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")));
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            if let Some(described) = item.get(method) {
                let (path, described) = (path.clone(), described.clone());
                operations.push(Operation { method, path, described });
            }
        }
    }
    operations
}

impl Operation {
    fn parameters(&self) -> BTreeSet<(String, String)> {
        let text = |parameter: &Value, key: &str| parameter[key].as_str().map(str::to_owned);
        let parameters = self.described["parameters"].as_array().into_iter().flatten();
        parameters.filter_map(|p| Some((text(p, "in")?, text(p, "name")?))).collect()
    }

    fn takes_token(&self) -> bool {
        self.described["security"][0].get("token").is_some()
    }

    /// Whether it is for proxies: by their own tokens, or by one that lets them in.
    fn is_for_proxies(&self) -> bool {
        let security = &self.described["security"][0];
        security.get("proxy").is_some() || security.get("enrollment").is_some()
    }

    fn check_description(&self) {
        let shown = format!("{} {}", self.method, self.path);
        let parameters = self.parameters();
        for name in self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            assert!(parameters.contains(&("path".to_owned(), name.to_owned())), "{shown}: {name}");
        }
        assert!(self.described["summary"].is_string(), "{shown}");
        for status in ["401", "403", "500", "503"] {
            let refusal = &self.described["responses"][status]["content"];
            assert!(refusal.get("application/problem+json").is_some(), "{shown}: {status}");
        }
        let body = self.described.get("requestBody").is_some();
        assert_eq!(body, self.described["responses"].get("415").is_some(), "{shown}");
    }

    /// The path with this in the place of every parameter.
    fn filled(&self, segment: &str) -> String {
        let mut parts = self.path.split('{');
        let mut path = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            path.push_str(segment);
            path.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
        }
        path
    }

    fn check_answer(&self, asked: &str, answer: &Answer) {
        let status = answer.status.as_u16().to_string();
        let shown = format!("{} {asked}: {} {}", self.method, status, answer.text);
        let responses = self.described["responses"].as_object().expect("responses");
        assert!(responses.contains_key(&status), "not in the document: {shown}");
        assert!(answer.status.as_u16() < 500, "{shown}");
        if answer.status.is_client_error() {
            assert!(!answer.code().is_empty(), "{shown}");
            let kind = answer.headers.get("content-type").expect("a content type");
            assert_eq!(kind, "application/problem+json", "{shown}");
        }
    }
}

async fn every_operation_answers_as_its_document_says(world: World) {
    let api = Api::new(world).await;
    api.echo_target("echo").await;
    let operations = operations(&api).await;
    assert!(operations.len() > 30, "{}", operations.len());
    let id = |operation: &Operation| operation.described["operationId"].to_string();
    let ids: BTreeSet<String> = operations.iter().map(id).collect();
    assert_eq!(ids.len(), operations.len(), "operation ids are unique");
    let (with_token, others): (Vec<_>, Vec<_>) = operations.iter().partition(|o| o.takes_token());
    let (of_proxies, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|operation| operation.is_for_proxies());
    let (of_ledgers, others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|operation| operation.described["security"][0].get("ledger").is_some());
    let (of_sandboxes, others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|operation| operation.described["security"][0].get("sandbox").is_some());
    let (called, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|o| o.path.contains("ebhook"));
    check_calls(&api, &called).await;
    let others: BTreeSet<&str> = others.iter().map(|o| o.path.as_str()).collect();
    let login = ["callback", "login", "logout", "me"].map(|o| format!("/api/v1/auth/oidc/{o}"));
    let login = login.iter().map(String::as_str);
    let browsers = login.chain(["/v1/integration/callback"]).collect();
    assert_eq!(others, browsers, "only these are for browsers");
    // An operator is no proxy, no sandbox, and no ClawLedger.
    assert_eq!((of_proxies.len(), of_sandboxes.len(), of_ledgers.len()), (7, 3, 8));
    assert!(of_proxies.iter().all(|operation| operation.path.starts_with("/internal/")));
    let programs = of_sandboxes.into_iter().chain(of_proxies).chain(of_ledgers);
    for operation in programs {
        operation.check_description();
        for body in BODIES {
            let path = operation.filled("apr_none");
            let ask = || api.ask(&operation.method.to_uppercase(), &path).text(body);
            ask().without("authorization").send().await.refused(401, "unauthorized");
            let answer = ask().send().await;
            operation.check_answer(&format!("{} {body}", operation.path), &answer);
            assert!([400, 401, 403].contains(&answer.status.as_u16()), "{}", answer.text);
        }
    }
    for operation in with_token {
        operation.check_description();
        for segment in SEGMENTS {
            let path = operation.filled(segment);
            let method = operation.method.to_uppercase();
            let ask = || api.ask(&method, &path);
            ask().without("authorization").send().await.refused(401, "unauthorized");
            if operation.described.get("requestBody").is_none() {
                operation.check_answer(&path, &ask().send().await);
                let query = ask_query(&api, operation, &path).await;
                operation.check_answer(&path, &query);
                continue;
            }
            for body in BODIES {
                operation.check_answer(&format!("{path} {body}"), &ask().text(body).send().await);
            }
        }
    }
}

/// What providers call: anybody may, and is told nothing.
async fn check_calls(api: &Api, called: &[&Operation]) {
    let paths: Vec<&str> = called.iter().map(|operation| operation.path.as_str()).collect();
    let expected = [
        "/api/v1/projects/{projectId}/integrations/{provider}/webhook",
        "/p/integration/webhooks/{targetKey}",
        "/p/integration/webhooks/{targetKey}/{connectionId}",
    ];
    assert_eq!(paths, expected);
    for operation in called {
        assert!(operation.described["requestBody"]["content"].is_object(), "{}", operation.path);
        for segment in SEGMENTS {
            for body in BODIES {
                let path = operation.filled(segment);
                let ask = api.ask("POST", &path).without("authorization").text(body);
                operation.check_answer(&path, &ask.send().await);
            }
        }
    }
}

/// A query that means nothing: refused where there is one, ignored where there is none.
async fn ask_query(api: &Api, operation: &Operation, path: &str) -> Answer {
    let answer = api
        .ask(&operation.method.to_uppercase(), &format!("{path}?cursor=%00&limit=x"))
        .send()
        .await;
    let takes_query = operation.parameters().iter().any(|(place, _)| place == "query");
    if takes_query && answer.status != 404 {
        answer.refused(400, "bad_request");
    }
    answer
}
