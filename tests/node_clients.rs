//! Node clients as sandboxes: Node 24 through the environment's proxy, and through a base URL.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use serde_json::json;
use world::{Outcome, RunningWorld, Service, Upstream, World, is_denial};

fn openai() -> World {
    let routes = r#"
      { name = "sdk", methods = ["GET", "POST"], paths = ["/models", "/chat/completions"] },
    "#;
    let upstream = Upstream::new("openai", Service::OpenAi).base_path("/v1");
    World::new().upstream(upstream).allow("openai", routes)
}

#[track_caller]
fn assert_sdk_works(world: &RunningWorld, outcome: &Outcome) {
    assert_eq!(outcome.step("models"), json!(["gated"]));
    assert_eq!(outcome.step("answer"), "The gate is open.");
    assert_eq!(outcome.all("word"), ["The ", "gate ", "is ", "open."]);
    assert_eq!(outcome.step("name"), "PermissionDeniedError");
    outcome.step_shows_denial("denied", "no_route");
    world.audit_line("the denial", |line| is_denial(line, "openai.test", "no_route"));

    world.upstream("openai").assert_always_authenticated();
    let paths = ["/v1/models", "/v1/chat/completions", "/v1/chat/completions"];
    world.assert_saw("openai", &paths);
}

#[test]
fn the_openai_sdk_streams_an_answer_through_the_proxy_of_the_environment() {
    let world = openai().start();
    let client = world.script("openai_client.mjs");
    let outcome = client.run_opening(world.upstream("openai"), r#"{"word":"The "}"#).succeeded();
    assert_sdk_works(&world, &outcome);
    world.check_invariants();
}

#[test]
fn the_openai_sdk_streams_an_answer_through_a_base_url_without_any_proxy_variable() {
    // Known by its address alone: a base URL has no place for an identity.
    let by_source =
        "[[sandboxes]]\nid = \"sbx_local\"\nprofile = \"web\"\nsources = [\"127.0.0.1/32\"]\n";
    let world = openai().policy(by_source).start();
    let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NODE_USE_ENV_PROXY"];
    let client = world.script("openai_client.mjs").arg(world.egress_url("openai", "sdk"));
    let client = client.without_env(&proxies);
    let outcome = client.run_opening(world.upstream("openai"), r#"{"word":"The "}"#).succeeded();
    assert_sdk_works(&world, &outcome);
    world.check_invariants();
}

#[test]
fn fetch_of_node_streams_through_the_proxy_of_the_environment() {
    let routes = r#"
      { name = "read", methods = ["GET"], paths = ["/get", "/sse"] },
      { name = "write", methods = ["POST"], paths = ["/anything"] },
    "#;
    let upstream = Upstream::new("api", Service::Http);
    let world = World::new().upstream(upstream).allow("api", routes).start();
    let client = world.script("fetch_client.mjs");
    let outcome = client.run_opening(world.upstream("api"), "part\"").succeeded();
    assert_ne!(outcome.step("get")["headers"]["authorization"], "Bearer placeholder");
    assert_eq!(outcome.step("post")["body"], "{\"text\":\"ä\"}");
    assert_eq!(outcome.all("event"), ["data: first part", "data: second part", "data: third part"]);
    assert_eq!(outcome.step("refused"), 403);
    outcome.step_shows_denial("denied", "no_route");
    outcome.step_shows_denial("reason", "no_route");
    world.check_invariants();
}
