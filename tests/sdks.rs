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
