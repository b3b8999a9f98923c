//! Agents that a plan sets up: `sallygate run` gives them their files and variables.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::process::Output;

use world::{Inject, RunningWorld, Service, Upstream, World, sallygate};

const MODELS: &str = r#"{"object": "list", "data": []}"#;

/// A provider with a binding that brings a client, and an MCP server beside it.
fn world(
    name: &str,
    (target, config): (&'static str, &str),
    inject: Option<Inject>,
) -> RunningWorld {
    let connection = format!("method = \"api-key\"\nvalue_file = \"secrets/{name}\"");
    let answers: &[(&str, &str)] = &[("GET /v1/models", MODELS)];
    let provider = Upstream::new(name, Service::Answers(answers));
    let provider = provider.target(target).connection(&connection);
    let provider = match inject {
        Some(inject) => provider.inject(inject),
        None => provider,
    };
    let tools = Upstream::new("tools", Service::Http)
        .target("definition = \"generic::mcp-server\"\nconfig = { baseUrl = \"https://tools.test\", name = \"tools\" }")
        .connection("method = \"bearer\"\nvalue_file = \"secrets/tools\"");
    let binding = |name: &str, config: &str| {
        format!(
            "[[profiles.web.bindings]]\nid = \"ibd_{name}\"\nconnection = \"{name}\"\n\
             config = {config}\n"
        )
    };
    let bindings = [binding(name, config), binding("tools", "{ mcp = \"all\" }")];
    World::new().upstream(provider).upstream(tools).policy(&bindings.concat()).start()
}

/// The home of whoever runs these commands.
const HOME: &str = "/home/somebody";

/// Runs a script of the shell behind the proxy.
fn run(world: &RunningWorld, script: &str) -> Output {
    let dir = world.data_file("");
    let mut command = sallygate();
    command.args(["run", "--profile", "web", "--dir"]).arg(&dir).args(["--", "sh", "-c", script]);
    command.env("HOME", HOME).output().expect("the binary runs")
}

/// What it says; nothing of the session is left.
#[track_caller]
fn said(world: &RunningWorld, script: &str) -> String {
    let output = run(world, script);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let left = std::fs::read_dir(world.data_file("sessions")).expect("the sessions");
    assert_eq!(left.count(), 0, "the home goes with the session");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn codex_gets_its_configuration_with_the_mcp_servers_of_the_profile() {
    let target = "definition = \"openai::openai-default\"\n\
                  config = { baseUrl = \"https://openai.test/v1\" }";
    let binding = "{ model = \"gpt-gated\", reasoning = \"high\", runtime = \"codex\" }";
    let world = world("openai", (target, binding), None);
    let said = said(
        &world,
        "cat \"$HOME/.codex/config.toml\"; stat -c 'mode %a' \"$HOME/.codex/config.toml\"; \
         curl -sS -H \"Authorization: Bearer $SALLYGATE_OPENAI_API_KEY\" \
         https://openai.test/v1/models",
    );
    assert!(said.starts_with("# Codex in this sandbox."), "comments stay: {said}");
    assert!(said.contains("mode 600") && said.contains(MODELS), "{said}");
    let file = said.split_once("mode 600").map(|(file, _)| file).expect("a file");
    let table: toml::Table = file.parse().expect("TOML");
    assert_eq!(table["model"].as_str(), Some("gpt-gated"));
    assert_eq!(table["model_reasoning_effort"].as_str(), Some("high"));
    let provider = &table["model_providers"]["sallygate"];
    assert_eq!(provider["base_url"].as_str(), Some("https://openai.test/v1"));
    let server = &table["mcp_servers"]["tools"];
    assert_eq!(server["url"].as_str(), Some("https://tools.test/mcp"));
    world.upstream("openai").assert_always_authenticated();
    world.check_invariants();
}

#[test]
fn claude_code_gets_its_map_of_mcp_servers() {
    let target = "definition = \"anthropic::anthropic-default\"\n\
                  config = { baseUrl = \"https://anthropic.test\" }";
    let header = Inject::Header("x-api-key".to_owned());
    let binding = "{ runtime = \"claude-code\" }";
    let world = world("anthropic", (target, binding), Some(header));
    let said = said(
        &world,
        "cat \"$HOME/.claude.json\"; echo; curl -sS -H \"x-api-key: $ANTHROPIC_API_KEY\" \
         \"$ANTHROPIC_BASE_URL/v1/models\"",
    );
    let (file, answer) = said.rsplit_once('\n').expect("two answers");
    assert_eq!(answer, MODELS);
    let map: serde_json::Value = serde_json::from_str(file).expect("JSON");
    assert_eq!(map["mcpServers"]["tools"]["url"], "https://tools.test/mcp");
    world.upstream("anthropic").assert_always_authenticated();
    world.check_invariants();
}

#[test]
fn a_profile_without_a_client_leaves_the_home_alone() {
    let route = "{ name = \"read\", paths = [\"/get\"] }";
    let world = World::new().upstream(Upstream::new("api", Service::Http)).allow("api", route);
    let world = world.start();
    let output = run(&world, "printf %s \"$HOME\"");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), HOME);
    assert!(!world.data_file("sessions").exists());
}
