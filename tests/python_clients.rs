//! The Python clients that agents and applications use, as sandboxes.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use serde_json::json;
use world::{Outcome, RunningWorld, Service, Upstream, World, is_denial};

const ROUTES: &str = r#"
  { name = "read", methods = ["GET"], paths = ["/get", "/sse", "/echo"] },
  { name = "write", methods = ["POST", "PUT"], paths = ["/anything", "/upload"] },
"#;

fn world() -> RunningWorld {
    World::new().upstream(Upstream::new("api", Service::Http)).allow("api", ROUTES).start()
}

/// What every plain HTTP client of `tests/clients` reports.
#[track_caller]
fn assert_plain_client_works(world: &RunningWorld, outcome: &Outcome) {
    let get = outcome.step("get");
    assert_ne!(get["headers"]["authorization"], "Bearer placeholder");
    assert_eq!(outcome.step("post")["body"].as_str().map(|body| body.contains("text")), Some(true));
    assert_eq!(outcome.step("upload"), 64 * 65536);
    assert_eq!(outcome.all("event"), ["data: first part", "data: second part", "data: third part"]);

    assert_eq!(outcome.step("status"), 403);
    outcome.step_shows_denial("problem", "no_route");
    outcome.step_shows_denial("denied", "no_route");
    world.audit_line("the denial", |line| is_denial(line, "api.test", "no_route"));

    world.upstream("api").assert_always_authenticated();
    world.assert_saw("api", &["/get?a=1", "/anything", "/upload", "/sse"]);
}

#[test]
fn the_openai_sdk_streams_an_answer() {
    let upstream = Upstream::new("openai", Service::OpenAi).base_path("/v1");
    let routes = r#"
      { name = "models", methods = ["GET"], paths = ["/models"] },
      { name = "chat", methods = ["POST"], paths = ["/chat/completions"] },
    "#;
    let world = World::new().upstream(upstream).allow("openai", routes).start();
    let client = world.script("openai_client.py");
    let outcome = client.run_opening(world.upstream("openai"), r#"{"word": "The "}"#).succeeded();
    assert_eq!(outcome.step("models"), json!(["gated"]));
    assert_eq!(outcome.step("answer"), "The gate is open.");
    assert_eq!(outcome.all("word"), ["The ", "gate ", "is ", "open."]);
    outcome.step_shows_denial("denied", "no_route");

    world.upstream("openai").assert_always_authenticated();
    let paths = ["/v1/models", "/v1/chat/completions", "/v1/chat/completions"];
    world.assert_saw("openai", &paths);
    world.check_invariants();
}

#[test]
fn requests_works() {
    let world = world();
    let client = world.script("requests_client.py");
    let outcome = client.run_opening(world.upstream("api"), "part\"").succeeded();
    assert_plain_client_works(&world, &outcome);
    outcome.step_shows_denial("reason", "no_route");
    world.check_invariants();
}

#[test]
fn httpx_works_over_both_versions_of_http() {
    for (argument, version) in [("1", "HTTP/1.1"), ("2", "HTTP/2")] {
        let world = world();
        let client = world.script("httpx_client.py").arg(argument);
        let outcome = client.run_opening(world.upstream("api"), "part\"").succeeded();
        assert_eq!(outcome.step("version"), version);
        assert_plain_client_works(&world, &outcome);
        world.check_invariants();
    }
}

#[test]
fn aiohttp_works_when_it_trusts_the_environment() {
    let world = world();
    let client = world.script("aiohttp_client.py");
    let outcome = client.run_opening(world.upstream("api"), "part\"").succeeded();
    assert_plain_client_works(&world, &outcome);
    world.check_invariants();
}

#[test]
fn websockets_echo_and_a_refused_one_says_why() {
    let world = world();
    let outcome = world.script("websockets_client.py").run().succeeded();
    assert_eq!(outcome.step("greeting"), "greeting");
    assert_eq!(outcome.step("echo"), "hello");
    assert_eq!(outcome.step("bytes"), 1 << 20);
    assert_eq!(outcome.step("close_code"), 1000);
    assert_eq!(outcome.step("status"), 403);
    outcome.step_shows_denial("denied", "no_route");

    world.assert_saw("api", &["/echo"]);
    world.upstream("api").assert_always_authenticated();
    world.check_invariants();
}
