//! The SDKs that providers publish, each in a sandbox with a placeholder, against answers that the
//! providers' documentation shows.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use serde_json::json;
use world::{Inject, RunningWorld, Service, Upstream, World, is_denial};

type Answers = &'static [(&'static str, &'static str)];

/// A provider, and the one binding of the sandbox to it.
fn world(name: &str, answers: Answers, [target, method, config]: [&'static str; 3]) -> World {
    let connection = format!("method = \"{method}\"\nvalue_file = \"secrets/{name}\"");
    let upstream = Upstream::new(name, Service::Answers(answers));
    let upstream = upstream.target(target).connection(&connection);
    let binding = format!(
        "[[profiles.web.bindings]]\nid = \"ibd_{name}\"\nconnection = \"{name}\"\nconfig = {config}\n"
    );
    let upstream = match name {
        "linear" => upstream.inject(Inject::Header("authorization".to_owned())),
        "anthropic" => upstream.inject(Inject::Header("x-api-key".to_owned())),
        _ => upstream,
    };
    World::new().upstream(upstream).policy(&binding)
}

#[track_caller]
fn end(world: RunningWorld, name: &str, paths: &[&str]) {
    world.assert_saw(name, paths);
    world.upstream(name).assert_always_authenticated();
    let host = format!("{name}.test");
    world.audit_line("the denial", |line| is_denial(line, &host, "no_route"));
    world.check_invariants();
}

#[test]
fn octokit_reaches_the_bound_repository_and_no_other() {
    let answers: Answers = &[
        ("GET /api/repos/acme/app/pulls", r#"[{"number": 1347, "title": "Amazing new feature"}]"#),
        ("POST /api/repos/acme/app/issues", r#"{"number": 1348, "title": "The gate"}"#),
    ];
    let target = r#"definition = "github::github-cloud"
config = { apiBaseUrl = "https://github.test/api", uploadsBaseUrl = "https://github.test/api/uploads", webBaseUrl = "https://github.test" }"#;
    let config = r#"{ repositories = ["acme/app"], access = "write" }"#;
    let world = world("github", answers, [target, "token", config]).start();
    let outcome = world.script("octokit_client.mjs").run().succeeded();
    assert_eq!(outcome.step("pulls"), json!(["Amazing new feature"]));
    assert_eq!(outcome.step("issue"), 1348);
    assert_eq!(outcome.step("other"), 403);
    assert_eq!(outcome.step("removal"), 403);
    outcome.step_shows_denial("denied", "no_route");
    end(world, "github", &["/api/repos/acme/app/pulls", "/api/repos/acme/app/issues"]);
}

#[test]
fn the_linear_sdk_reads_what_is_bound_and_changes_nothing() {
    let answers: Answers = &[(
        "POST /graphql",
        r#"{"data": {"viewer": {"__typename": "User", "id": "u1", "name": "Sally", "displayName": "sally", "email": "sally@linear.test", "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z"}}}"#,
    )];
    let target = r#"definition = "linear::linear-default"
config = { apiBaseUrl = "https://linear.test" }"#;
    let world = world("linear", answers, [target, "api-key", "{}"]).start();
    let outcome = world.script("linear_client.mjs").run().succeeded();
    assert_eq!(outcome.step("viewer"), "Sally");
    outcome.step_shows_denial("denied", "no_route");
    end(world, "linear", &["/graphql"]);
}

#[test]
fn the_slack_sdk_posts_and_does_not_delete() {
    let answers: Answers = &[(
        "POST /api/chat.postMessage",
        r#"{"ok": true, "channel": "C0GATE", "ts": "1503435956.000247", "message": {"text": "open"}}"#,
    )];
    let target = r#"definition = "slack::slack-default"
config = { baseUrl = "https://slack.test" }"#;
    let config = r#"{ readMethods = [], writeMethods = ["chat.postMessage"], access = "write" }"#;
    let world = world("slack", answers, [target, "token", config]).start();
    let outcome = world.script("slack_client.mjs").run().succeeded();
    assert_eq!(outcome.step("posted"), "1503435956.000247");
    outcome.step_shows_denial("denied", "no_route");
    end(world, "slack", &["/api/chat.postMessage"]);
}

#[test]
fn the_anthropic_sdk_streams_an_answer() {
    const STREAM: &str = "event: message_start
data: {\"type\": \"message_start\", \"message\": {\"id\": \"msg_1\", \"type\": \"message\", \"role\": \"assistant\", \"content\": [], \"model\": \"claude-gated\", \"stop_reason\": null, \"stop_sequence\": null, \"usage\": {\"input_tokens\": 25, \"output_tokens\": 1}}}

event: content_block_start
data: {\"type\": \"content_block_start\", \"index\": 0, \"content_block\": {\"type\": \"text\", \"text\": \"\"}}

event: content_block_delta
data: {\"type\": \"content_block_delta\", \"index\": 0, \"delta\": {\"type\": \"text_delta\", \"text\": \"The gate \"}}

event: content_block_delta
data: {\"type\": \"content_block_delta\", \"index\": 0, \"delta\": {\"type\": \"text_delta\", \"text\": \"is open.\"}}

event: content_block_stop
data: {\"type\": \"content_block_stop\", \"index\": 0}

event: message_delta
data: {\"type\": \"message_delta\", \"delta\": {\"stop_reason\": \"end_turn\", \"stop_sequence\": null}, \"usage\": {\"output_tokens\": 15}}

event: message_stop
data: {\"type\": \"message_stop\"}

";
    let answers: Answers = &[("POST /v1/messages", STREAM)];
    let target = r#"definition = "anthropic::anthropic-default"
config = { baseUrl = "https://anthropic.test" }"#;
    let world = world("anthropic", answers, [target, "api-key", "{}"]).start();
    let outcome = world.script("anthropic_client.mjs").run().succeeded();
    assert_eq!(outcome.all("word"), ["The gate ", "is open."]);
    assert_eq!(outcome.step("usage"), 15);
    assert_eq!(outcome.step("deleted"), 403);
    outcome.step_shows_denial("denied", "no_route");
    end(world, "anthropic", &["/v1/messages"]);
}

/// The sandbox's own totals, and the operator's.
fn usage(world: &RunningWorld) -> (serde_json::Value, serde_json::Value) {
    let me = world.client("curl").args(["-sS", "http://sallygate.internal/v1/me"]).run();
    let me: serde_json::Value = me.succeeded().json();
    let all = world.operator("GET", "/v1/usage", "");
    assert_eq!(all.status, 200);
    (me["usage"].clone(), serde_json::from_str(&all.body).expect("JSON"))
}

fn priced_openai(config: &str) -> RunningWorld {
    let target = r#"definition = "openai::openai-default"
config = { baseUrl = "https://openai.test/v1", prices = [{ model = "gat*", inputMicrosPerMillion = 2000000, outputMicrosPerMillion = 3000000 }, { model = "dear", inputMicrosPerMillion = 1000000000, outputMicrosPerMillion = 0 }] }"#;
    let openai = Upstream::new("openai", Service::OpenAi).base_path("/v1").target(target);
    let openai =
        openai.connection("credentials = { apiKey = { value_file = \"secrets/openai\" } }");
    let binding = format!(
        "[[profiles.web.bindings]]\nid = \"ibd_openai\"\nconnection = \"openai\"\nconfig = {config}\n"
    );
    World::new().upstream(openai).policy(&binding).start()
}

#[test]
fn the_openai_sdk_spends_at_the_prices_of_the_target_until_the_budget_is_over() {
    // 5 tokens in and 4 out are 22 each time.
    let world = priced_openai("{ budgetMicros = 44, assumedMicros = 1 }");
    world.upstream("openai").open_gate();
    let outcome = world.script("openai_budget_client.py").run().succeeded();
    assert_eq!((outcome.step("whole"), outcome.step("streamed")), (json!(9), json!(9)));
    outcome.step_shows_denial("batch", "denied");
    outcome.step_shows_denial("third", "budget_exhausted");
    outcome.step_shows_denial("stream", "budget_exhausted");
    assert_eq!(outcome.step("models"), json!(["gated"]));
    let told = json!({ "requests": 2, "untold": 0, "spentMicros": 44,
        "tokens": { "input": 10, "cachedInput": 0, "cacheWrite": 0, "output": 8 } });
    let with = |more: serde_json::Value| {
        let mut told = told.clone();
        let object = told.as_object_mut().expect("an object");
        object.extend(more.as_object().expect("an object").clone());
        told
    };
    let chats = "/v1/chat/completions";
    world.assert_saw("openai", &[chats, chats, "/v1/models"]);
    let (me, all) = usage(&world);
    assert_eq!(me, json!([with(json!({ "binding": "ibd_openai" }))]));
    assert_eq!(all["connections"], json!([with(json!({ "connection": "openai" }))]));
    assert_eq!(all["sandboxes"][0]["binding"], "ibd_openai");
    let metrics = world.metrics();
    for line in [
        "sallygate_llm_tokens_total{connection=\"openai\",kind=\"input\"} 10",
        "sallygate_llm_tokens_total{connection=\"openai\",kind=\"output\"} 8",
        "sallygate_llm_spend_micros_total{connection=\"openai\"} 44",
        "sallygate_llm_answers_total{connection=\"openai\",result=\"told\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    world.check_invariants();
}

#[test]
fn a_stream_that_tells_no_usage_costs_what_was_assumed_and_without_a_budget_is_only_counted() {
    const SILENT: &str =
        r#"{"model":"gated","stream":true,"messages":[{"role":"user","content":"?"}]}"#;
    let ask = |world: &RunningWorld| {
        world.upstream("openai").open_gate();
        let url = "https://openai.test/v1/chat/completions";
        let args = ["-sS", "--compressed", "-w", "%{http_code}", "-d", SILENT, url];
        world.client("curl").args(args).run().succeeded().stdout
    };
    let world = priced_openai("{ budgetMicros = 500, assumedMicros = 500 }");
    assert!(ask(&world).ends_with("200"));
    let told = ask(&world);
    assert!(told.contains("budget_exhausted") && told.ends_with("403"), "{told}");
    let world = priced_openai("{ }");
    for _ in 0..2 {
        assert!(ask(&world).ends_with("200"));
    }
    let (me, _) = usage(&world);
    assert_eq!((&me[0]["requests"], &me[0]["untold"]), (&json!(2), &json!(2)));
    assert_eq!(me[0]["spentMicros"], 0);
}

#[test]
fn routes_of_one_binding_have_one_budget_and_those_that_it_adds_spend_of_it() {
    let routes = r#"["api", { name = "chat", methods = ["POST"], paths = ["/chat/completions"] }]"#;
    let config = format!("{{ budgetMicros = 22, assumedMicros = 1 }}\nroutes = {routes}");
    let world = priced_openai(&config);
    let ask = |path: &str| {
        let url = format!("https://openai.test/v1/{path}");
        let body = r#"{"model":"gated","messages":[{"role":"user","content":"?"}]}"#;
        let args = ["-sS", "-w", "%{http_code}", "-d", body, &url];
        world.client("curl").args(args).run().succeeded().stdout
    };
    assert!(ask("chat/completions").ends_with("200"));
    for path in ["embeddings", "chat/completions", "responses"] {
        let told = ask(path);
        assert!(told.contains("budget_exhausted") && told.ends_with("403"), "{path}: {told}");
    }
    world.assert_saw("openai", &["/v1/chat/completions"]);
    world.check_invariants();
}

#[test]
fn the_anthropic_sdk_is_charged_once_for_what_a_stream_tells_twice() {
    const STREAM: &str = "event: message_start
data: {\"type\": \"message_start\", \"message\": {\"id\": \"msg_1\", \"type\": \"message\", \"role\": \"assistant\", \"content\": [], \"model\": \"claude-gated-20260101\", \"stop_reason\": null, \"stop_sequence\": null, \"usage\": {\"input_tokens\": 25, \"cache_creation_input_tokens\": 0, \"cache_read_input_tokens\": 100, \"output_tokens\": 1}}}

event: content_block_start
data: {\"type\": \"content_block_start\", \"index\": 0, \"content_block\": {\"type\": \"text\", \"text\": \"\"}}

event: content_block_delta
data: {\"type\": \"content_block_delta\", \"index\": 0, \"delta\": {\"type\": \"text_delta\", \"text\": \"{\\\"usage\\\": 1}\"}}

event: content_block_stop
data: {\"type\": \"content_block_stop\", \"index\": 0}

event: message_delta
data: {\"type\": \"message_delta\", \"delta\": {\"stop_reason\": \"end_turn\", \"stop_sequence\": null}, \"usage\": {\"input_tokens\": 25, \"cache_creation_input_tokens\": 0, \"cache_read_input_tokens\": 100, \"output_tokens\": 15}}

event: message_stop
data: {\"type\": \"message_stop\"}

";
    let answers: Answers = &[
        ("POST /v1/messages", STREAM),
        ("POST /v1/messages/count_tokens", r#"{"input_tokens": 2095}"#),
    ];
    let target = r#"definition = "anthropic::anthropic-default"
config = { baseUrl = "https://anthropic.test", prices = [{ model = "claude-*", inputMicrosPerMillion = 1000000, cachedInputMicrosPerMillion = 100000, cacheWriteMicrosPerMillion = 1250000, outputMicrosPerMillion = 10000000 }, { model = "*", inputMicrosPerMillion = 9000000, cachedInputMicrosPerMillion = 9000000, cacheWriteMicrosPerMillion = 9000000, outputMicrosPerMillion = 90000000 }] }"#;
    // 25 in, 100 cached at a tenth, 15 out at ten: 185. The input again would make it 210 or more.
    let config = "{ budgetMicros = 186, assumedMicros = 1, budgetPer = \"day\" }";
    let world = world("anthropic", answers, [target, "api-key", config]).start();
    let outcome = world.script("anthropic_budget_client.mjs").run().succeeded();
    assert_eq!((outcome.step("first"), outcome.step("second")), (json!(25), json!(15)));
    assert_eq!(outcome.step("status"), 403);
    outcome.step_shows_denial("third", "budget_exhausted");
    assert_eq!(outcome.step("counted"), 2095);
    let messages = "/v1/messages";
    world.assert_saw("anthropic", &[messages, messages, "/v1/messages/count_tokens"]);
    let (me, _) = usage(&world);
    assert_eq!((&me[0]["spentMicros"], &me[0]["untold"]), (&json!(370), &json!(0)));
    let tokens = json!({ "input": 50, "cachedInput": 200, "cacheWrite": 0, "output": 30 });
    assert_eq!(me[0]["tokens"], tokens);
    world.check_invariants();
}
