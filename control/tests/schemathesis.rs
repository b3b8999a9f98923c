//! A property-based tester of APIs reads the served OpenAPI document, asks everything that the
//! document allows and much that it does not, and finds nothing.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
mod world;

use std::path::Path;
use std::process::Stdio;

use sallygate_control::api::{Gate, serve_behind};
use scene::{Api, OPERATOR};
use serde_json::json;
use world::World;

/// What of an answer is checked. `schemathesis.toml` beside this file says what is not, and why.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,\
                      negative_data_rejection,missing_required_header,unsupported_method,\
                      allow_header_conformance,use_after_free,ensure_resource_availability,\
                      ignored_auth";

on_both_databases!(a_property_based_tester_finds_nothing);

/// What it is told, with ids of things that exist: it would not guess one.
async fn configuration(api: &Api) -> String {
    api.echo_target("echo").await;
    let connection = api.connect("echo", "a-secret").await;
    let profile = api.post("/v1/sandbox/profiles", json!({ "name": "Tested" })).await.expect(201);
    let profile = profile.get("id");
    let version = json!({ "bindings": [{ "connectionId": connection }] });
    let path = format!("/v1/sandbox/profiles/{profile}/versions");
    api.post(&path, version).await.expect(201);
    let publish = format!("/v1/sandbox/profiles/{profile}/publish");
    api.post(&publish, json!({})).await.expect(200);
    let sandbox = api.post("/v1/sandboxes", json!({ "profileId": profile })).await.expect(201);
    let sandbox = sandbox.get("id");
    let known = [
        ("targetKey", "echo"),
        ("definitionKey", "demo::echo"),
        ("connectionId", &connection),
        ("profileId", &profile),
        ("sandboxId", &sandbox),
    ];
    let known = known.map(|(name, value)| format!("\"path.{name}\" = \"{value}\"\n")).concat();
    format!("{}\n[parameters]\n{known}", include_str!("schemathesis.toml"))
}

async fn a_property_based_tester_finds_nothing(world: World) {
    let api = Api::new(world).await;
    let nearby = "127.0.0.1:0".parse().expect("an address");
    // It tries without a token whatever needs one, and must hear each time that it does.
    let serving = serve_behind(api.control.clone(), nearby, Gate::open()).await;
    let serving = serving.expect("the API is served");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let tester = root.join(".venv/bin/schemathesis");
    assert!(tester.exists(), "`.venv/bin/schemathesis` is missing: run tests/prepare");
    let place = tempfile::tempdir().expect("a directory");
    let config = place.path().join("schemathesis.toml");
    std::fs::write(&config, configuration(&api).await).expect("a file");
    let output = tokio::process::Command::new(tester)
        .current_dir(place.path())
        .arg("--config-file")
        .arg(&config)
        .args(["run", "--no-color", "--checks", CHECKS, "--max-examples", "10"])
        .args(["--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure"])
        .args(["--generation-deterministic", "--seed", "1"])
        .args(["--request-timeout", "30", "--suppress-health-check", "all"])
        .args(["--header", &format!("Authorization: Bearer {OPERATOR}")])
        .arg(format!("http://{}/openapi.json", serving.address))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the tester runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{wrong}");
    // It also ends well when it finds nothing to ask.
    let document = api.get("/openapi.json").await.expect(200).body;
    let paths = document["paths"].as_object().expect("paths").values();
    let operations: usize =
        paths.filter_map(|item| item.as_object().map(serde_json::Map::len)).sum();
    assert!(said.contains(&format!("Tested: {operations}\n")), "{operations} operations: {said}");
    serving.stop().await;
}
