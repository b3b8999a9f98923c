//! Rules about what a request says inside GraphQL and MCP, with curl as the sandbox.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use serde_json::{Value, json};
use world::{Outcome, RunningWorld, Service, Upstream, World, assert_denial_in};

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

const ROUTES: &str = r#"
  { name = "graphql", paths = ["/anything"], graphql = { operation = "query" } },
  { name = "mcp", paths = ["/upload"], mcp = { method = ["initialize", "tools/*"], tools = ["get_*"] } },
"#;

fn world() -> RunningWorld {
    World::new().upstream(Upstream::new("api", Service::Http)).allow("api", ROUTES).start()
}

/// Posts a file of this content.
fn post(world: &RunningWorld, version: &str, url: &str, (kind, body): (&str, &[u8])) -> Outcome {
    let file = world.home().join("body");
    std::fs::write(&file, body).expect("a writable home");
    let curl = world.client("curl").args(["-sS", version, "-H", &format!("content-type: {kind}")]);
    curl.arg("--data-binary").arg(format!("@{}", file.display())).arg(url).run().succeeded()
}

const JSON: &str = "application/json";

fn graphql(query: &str) -> String {
    json!({ "query": query }).to_string()
}

#[test]
fn a_query_arrives_byte_for_byte_and_everything_else_is_refused() {
    let world = world();
    let url = "https://api.test/anything";
    let mut arrived = 0;
    for version in VERSIONS {
        let small = graphql("query { viewer { login } }");
        // More than what Pingora keeps of a body.
        let large = graphql(&format!("# {}\n{{ viewer {{ login }} }}", "x".repeat(1_000_000)));
        let middle = graphql(&format!("# {}\n{{ viewer {{ login }} }}", "x".repeat(65_500)));
        for body in [&small, &middle, &large] {
            let answer = post(&world, version, url, (JSON, body.as_bytes()));
            assert!(!answer.stdout.contains("\"origin\":\"proxy\""), "{version} {answer}");
            arrived += 1;
            let seen = world.upstream("api").seen();
            assert_eq!(seen.len(), arrived, "{version}");
            let last = seen.last().expect("it arrived");
            assert_eq!(last.body_bytes, body.len() as u64, "{version}");
            assert_eq!(last.body_sha256, Some(world::sha256(body.as_bytes())), "{version}");
        }
        let batch = format!("[{small},{}]", graphql("mutation { deleteAll }"));
        let fragments = graphql("mutation M { ...F } fragment F on M { deleteAll } query Q { a }");
        let named =
            json!({"query": "query Q { a } mutation M { b }", "operationName": "M"}).to_string();
        let twice = r#"{"query":"{a}","query":"mutation{b}"}"#;
        let folded = r#"{"query":"{a}","Query":"mutation{b}"}"#;
        let persisted = r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}"#;
        let huge = graphql(&format!("# {}\n{{ a }}", "x".repeat(1_100_000)));
        for (kind, body, code) in [
            (JSON, graphql("mutation { deleteAll }").as_str(), "no_route"),
            (JSON, &graphql("# query\nmutation{a}"), "no_route"),
            (JSON, &graphql("\u{feff}mutation{a}"), "no_route"),
            (JSON, &graphql("subscription{a}"), "no_route"),
            (JSON, &graphql("query{a} mutation{a}"), "no_route"),
            (JSON, &fragments, "no_route"),
            (JSON, &named, "no_route"),
            (JSON, &batch, "no_route"),
            (JSON, twice, "no_route"),
            (JSON, folded, "no_route"),
            (JSON, persisted, "no_route"),
            (JSON, "", "no_route"),
            (JSON, &huge, "request_too_large"),
            ("application/graphql", "mutation { a }", "no_route"),
            ("multipart/form-data; boundary=x", &small, "no_route"),
            ("text/plain", &small, "no_route"),
            ("application/json; charset=utf-16", &small, "no_route"),
        ] {
            let answer = post(&world, version, url, (kind, body.as_bytes()));
            assert_denial_in(&answer.stdout, code);
        }
        let shadowed = format!("{url}?query=mutation%7Ba%7D");
        assert_denial_in(
            &post(&world, version, &shadowed, (JSON, small.as_bytes())).stdout,
            "no_route",
        );
        let get = world.client("curl").args([
            "-sS",
            version,
            "https://api.test/anything?query=mutation%7Ba%7D",
        ]);
        assert_denial_in(&get.run().succeeded().stdout, "no_route");
    }
    assert_eq!(world.upstream("api").seen().len(), arrived);
    world.check_invariants();
}

#[test]
fn a_body_that_is_looked_into_may_wait_to_be_asked_for_and_may_be_encoded_in_no_way() {
    let world = world();
    let body = graphql("{ a }");
    let url = "https://api.test/anything";
    let curl = |headers: &[&str]| {
        let mut curl =
            world.client("curl").args(["-sS", "--http1.1", "--expect100-timeout", "600"]);
        for header in [&["content-type: application/json"], headers].concat() {
            curl = curl.args(["-H", header]);
        }
        curl.args(["-d", &body, url]).run().succeeded()
    };
    let answer = curl(&["expect: 100-continue"]);
    assert!(!answer.stdout.contains("\"origin\":\"proxy\""), "{answer}");
    // Without a length, as long as it is small.
    let answer = curl(&["transfer-encoding: chunked"]);
    assert!(!answer.stdout.contains("\"origin\":\"proxy\""), "{answer}");
    let seen = world.upstream("api").seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.body_sha256 == Some(world::sha256(body.as_bytes()))));
    assert_denial_in(&curl(&["content-encoding: gzip"]).stdout, "no_route");
    let large = graphql(&format!("# {}\n{{ a }}", "x".repeat(200_000)));
    let file = world.home().join("large");
    std::fs::write(&file, large).expect("a writable home");
    let chunked =
        world.client("curl").args(["-sS", "--http1.1", "-H", "transfer-encoding: chunked"]);
    let chunked = chunked.args(["-H", "content-type: application/json", "--data-binary"]);
    let chunked = chunked.arg(format!("@{}", file.display())).arg(url).run().succeeded();
    assert_denial_in(&chunked.stdout, "request_too_large");
    assert_eq!(world.upstream("api").seen().len(), 2);
    world.check_invariants();
}

fn call(tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}})
}

#[test]
fn the_tools_of_the_list_may_be_called_and_no_others() {
    let world = world();
    let url = "https://api.test/upload";
    let mut arrived = 0;
    for version in VERSIONS {
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        let begin = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
        for body in [begin, list.clone(), call("get_issue"), json!([call("get_a"), list])] {
            let answer = post(&world, version, url, (JSON, body.to_string().as_bytes()));
            assert!(!answer.stdout.contains("\"origin\":\"proxy\""), "{version} {body} {answer}");
            arrived += 1;
        }
        for body in [
            call("delete_issue"),
            call(""),
            call("GET_issue"),
            json!([call("get_a"), call("delete_issue")]),
            json!([]),
            json!({"jsonrpc": "2.0", "id": 1, "method": "resources/read"}),
            json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": ["get_a"]}),
        ] {
            let answer = post(&world, version, url, (JSON, body.to_string().as_bytes()));
            assert_denial_in(&answer.stdout, "no_route");
        }
        // Streams are opened by GET, which carries no message: that is another route's.
        let get = world.client("curl").args(["-sS", version, url]).run().succeeded();
        assert_denial_in(&get.stdout, "no_route");
    }
    assert_eq!(world.upstream("api").seen().len(), arrived);
    world.check_invariants();
}
