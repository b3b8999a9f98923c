use serde_json::{Value, json};

use super::*;
use crate::plan::SCHEMA_VERSION;

/// The codes that come of bindings `a` and `b`, each with these fields in a client-less plan.
fn codes(a: &Value, b: &Value) -> Vec<String> {
    let contributions = vec![contribution("a", a), contribution("b", b)];
    let mut turned = contributions.clone();
    turned.reverse();
    let (assembly, found) = assemble(contributions);
    assert_eq!((assembly, found.clone()), assemble(turned), "the order changes nothing");
    assert!(found.iter().all(|d| d.subject.is_some()), "{found}");
    found.iter().map(|d| d.code.to_string()).collect()
}

fn contribution(id: &str, fields: &Value) -> Contribution {
    fn read<T: serde::de::DeserializeOwned + Default>(fields: &Value, key: &str) -> T {
        let value = fields.get(key).cloned();
        value.map(|v| serde_json::from_value(v).expect("a valid case")).unwrap_or_default()
    }
    Contribution {
        binding_id: id.to_owned(),
        artifacts: read(fields, "artifacts"),
        runtime_clients: read(fields, "clients"),
        agent_runtimes: read(fields, "agents"),
        workspace_sources: read(fields, "sources"),
        mcp_servers: read(fields, "mcp"),
        mcp_config: read(fields, "mcpConfig"),
    }
}

#[track_caller]
fn check_cases(code: &str, cases: &[(&str, Value, Value, usize)]) {
    for (name, a, b, problems) in cases {
        assert_eq!(codes(a, b), vec![code; *problems], "{name}");
    }
}

#[test]
fn artifacts_stand_together_when_one_key_means_one_thing() {
    let artifact = |fields: Value| {
        let mut artifact = json!({"key": "gh", "install": [{"command": "apt", "args": ["i"]}]});
        let own = fields.as_object().unwrap().clone();
        artifact.as_object_mut().unwrap().extend(own);
        json!({"artifacts": [artifact]})
    };
    let env = |key: &str| artifact(json!({"env": {key: "1"}}));
    let plain = || artifact(json!({}));
    check_cases(
        "ARTIFACT_CONFLICT",
        &[
            ("one", plain(), json!({}), 0),
            ("the same twice is one", plain(), plain(), 0),
            ("another key", plain(), artifact(json!({"key": "git"})), 0),
            ("a variable", env("GH_HOST"), json!({}), 0),
            ("the same key, another spec", plain(), env("GH_HOST"), 1),
            ("a variable with `=`", env("A=B"), json!({}), 1),
            ("a variable without a name", env(" "), json!({}), 1),
            ("a proxy variable", env("HTTPS_PROXY"), json!({}), 1),
            ("a proxy variable in small letters", env("no_proxy"), json!({}), 1),
            ("a proxy variable of a tool", env("npm_config_proxy"), json!({}), 1),
            ("no key", artifact(json!({"key": ""})), json!({}), 1),
            ("no command at all", artifact(json!({"install": []})), json!({}), 1),
            (
                "a blank command",
                artifact(json!({"install": [{"command": " ", "args": ["x"]}]})),
                json!({}),
                1,
            ),
            (
                "no arguments",
                artifact(json!({"install": [{"command": "apt", "args": []}]})),
                json!({}),
                1,
            ),
        ],
    );
}

#[test]
fn workspace_sources_have_a_path_of_their_own() {
    let source = |path: &str, origin: &str| json!({"sources": [{"path": path, "origin": origin}]});
    check_cases(
        "WORKSPACE_SOURCE_CONFLICT",
        &[
            ("two paths", source("/a", "https://g.test/a"), source("/b", "https://g.test/a"), 0),
            ("one path", source("/a", "https://g.test/a"), source("/a", "https://g.test/b"), 1),
            (
                "the same twice",
                source("/a", "https://g.test/a"),
                source("/a", "https://g.test/a"),
                1,
            ),
            ("one path, a slash", source("/a", "https://g.test/a"), source("/a/", "x"), 1),
            ("no path", source("", "https://g.test/a"), json!({}), 1),
            ("no origin", source("/a", " "), json!({}), 1),
        ],
    );
}

/// A client with a process and an endpoint, and one thing changed.
fn client(pointer: &str, value: Value) -> Value {
    let mut fields = json!({"clients": [{
        "clientId": "codex",
        "env": {"A": "1"},
        "files": [{"fileId": "f", "path": "/etc/f", "mode": "0644", "content": "x"}],
        "processes": [{
            "processKey": "p",
            "command": "codex",
            "readiness": {"kind": "http", "url": "http://127.0.0.1:1/", "expectedStatus": 200, "timeoutMs": 1},
            "stop": {"signal": "sigterm", "timeoutMs": 10, "gracePeriodMs": 2},
        }],
        "endpoints": [{"endpointKey": "e", "processKey": "p", "url": "ws://127.0.0.1:1/"}],
    }]});
    if !pointer.is_empty() {
        *fields.pointer_mut(&format!("/clients/0{pointer}")).expect("a place") = value;
    }
    fields
}

#[test]
fn runtime_clients_are_put_together_when_they_agree() {
    let same = || client("", Value::Null);
    let ready = |value: Value| client("/processes/0/readiness", value);
    let alone = |case: Value, n| (case, json!({}), n);
    let mut cases = vec![
        ("the same twice", same(), same(), 0),
        ("another client", same(), client("/clientId", json!("claude")), 0),
        ("another variable", same(), client("/env", json!({"B": "2"})), 0),
        ("another value", same(), client("/env", json!({"A": "2"})), 1),
        ("another content, one id and one path", same(), client("/files/0/content", json!("y")), 2),
        ("one path, another id", same(), client("/files/0/fileId", json!("g")), 1),
        ("one id, another path", same(), client("/files/0/path", json!("/g")), 1),
        ("another command", same(), client("/processes/0/command", json!("x")), 1),
        ("another url", same(), client("/endpoints/0/url", json!("ws://b.test/")), 1),
    ];
    for (name, (a, b, n)) in [
        ("no readiness", alone(ready(json!({"kind": "none"})), 0)),
        ("tcp", alone(ready(json!({"kind": "tcp", "host": "h", "port": 1, "timeoutMs": 1})), 0)),
        ("ws", alone(ready(json!({"kind": "ws", "url": "wss://h/", "timeoutMs": 1})), 0)),
        (
            "tcp port 0",
            alone(ready(json!({"kind": "tcp", "host": "h", "port": 0, "timeoutMs": 1})), 1),
        ),
        (
            "tcp no host",
            alone(ready(json!({"kind": "tcp", "host": "", "port": 1, "timeoutMs": 1})), 1),
        ),
        (
            "tcp no time",
            alone(ready(json!({"kind": "tcp", "host": "h", "port": 1, "timeoutMs": 0})), 1),
        ),
        ("http ftp", alone(client("/processes/0/readiness/url", json!("ftp://h/")), 1)),
        ("http status", alone(client("/processes/0/readiness/expectedStatus", json!(99)), 1)),
        ("ws http", alone(ready(json!({"kind": "ws", "url": "http://h/", "timeoutMs": 1})), 1)),
        ("no id", alone(client("/clientId", json!("")), 1)),
        ("a proxy variable", alone(client("/env", json!({"http_proxy": "x"})), 1)),
        ("a path that climbs", alone(client("/files/0/path", json!("/a/../b")), 1)),
        ("no path", alone(client("/files/0/path", json!("")), 1)),
        ("a mode", alone(client("/files/0/mode", json!("rw")), 1)),
        ("no command", alone(client("/processes/0/command", json!("")), 1)),
        ("no time to stop", alone(client("/processes/0/stop/timeoutMs", json!(0)), 1)),
        ("too much grace", alone(client("/processes/0/stop/gracePeriodMs", json!(11)), 1)),
        ("no such process", alone(client("/endpoints/0/processKey", json!("q")), 1)),
        ("an endpoint over http", alone(client("/endpoints/0/url", json!("http://h/")), 1)),
        ("an endpoint without a host", alone(client("/endpoints/0/url", json!("ws:///x")), 1)),
    ] {
        cases.push((name, a, b, n));
    }
    check_cases("RUNTIME_CLIENT_SETUP_CONFLICT", &cases);
}

#[test]
fn agent_runtimes_name_a_client_and_an_endpoint_that_exist() {
    let agent = |key: &str, client_id: &str, endpoint: &str| {
        let mut fields = client("", Value::Null);
        fields["agents"] = json!([
            {"bindingId": "a", "runtimeKey": key, "clientId": client_id, "endpointKey": endpoint}
        ]);
        fields
    };
    let client_of_other = json!({"agents": [
        {"bindingId": "b", "runtimeKey": "r", "clientId": "codex", "endpointKey": "e"}]});
    let mut twice = agent("r", "codex", "e");
    twice["agents"] = json!([twice["agents"][0], twice["agents"][0]]);
    check_cases(
        "AGENT_RUNTIME_CONFLICT",
        &[
            ("one", agent("r", "codex", "e"), json!({}), 0),
            ("of another binding's client", agent("r", "codex", "e"), client_of_other, 0),
            ("no client", agent("r", "claude", "e"), json!({}), 1),
            ("no endpoint", agent("r", "codex", "x"), json!({}), 1),
            ("no key", agent("", "codex", "e"), json!({}), 1),
            ("one key twice", twice, json!({}), 1),
        ],
    );
}

fn http(id: &str, name: &str) -> Value {
    let transport = json!({"kind": "http", "url": format!("https://{name}.test/mcp")});
    json!({"id": id, "name": name, "transport": transport})
}

/// An agent whose file has this content, with its map at `path`.
fn agent(format: &str, content: &str, path: &[&str]) -> Value {
    let mut fields = client("/files/0/content", json!(content));
    fields["mcpConfig"] =
        json!({"clientId": "codex", "fileId": "f", "format": format, "path": path});
    fields
}

#[test]
fn servers_have_ids_names_and_a_place_to_be_written_to() {
    let toml = |path: &[&str]| agent("toml", "", path);
    let servers = |servers: Value| json!({"mcp": servers});
    let stdio = |command: &str| json!({"id": "s", "name": "s", "transport": {"kind": "stdio", "command": command}});
    let blank_url = json!({"id": "s", "name": "s", "transport": {"kind": "http", "url": " "}});
    let mut lost = toml(&["m"]);
    lost["mcpConfig"]["fileId"] = json!("other");
    check_cases(
        "MCP_CONFLICT",
        &[
            ("one", toml(&["m"]), servers(json!([http("1", "x")])), 0),
            ("one over pipes", toml(&["m"]), servers(json!([stdio("run")])), 0),
            ("no server, whatever else", agent("json", "not json", &[]), json!({}), 0),
            ("no agent", json!({}), servers(json!([http("1", "x")])), 0),
            ("a blank id", json!({}), servers(json!([http("", "x")])), 1),
            ("a blank name", json!({}), servers(json!([http("1", " ")])), 1),
            ("one id twice", json!({}), servers(json!([http("1", "x"), http("1", "y")])), 1),
            (
                "one name twice",
                servers(json!([http("1", "x")])),
                servers(json!([http("2", "x")])),
                1,
            ),
            ("a name that is none", json!({}), servers(json!([http("1", "__proto__")])), 1),
            ("no url", json!({}), servers(json!([blank_url])), 1),
            ("no command", json!({}), servers(json!([stdio("")])), 1),
            ("no path", toml(&[]), servers(json!([http("1", "x")])), 1),
            ("a blank part", toml(&["a", ""]), servers(json!([http("1", "x")])), 1),
            ("a forbidden part", toml(&["constructor", "m"]), servers(json!([http("1", "x")])), 1),
            ("no such file", lost, servers(json!([http("1", "x")])), 1),
            ("not TOML", agent("toml", "a =", &["m"]), servers(json!([http("1", "x")])), 1),
            ("not a table", agent("toml", "m = 1", &["m"]), servers(json!([http("1", "x")])), 1),
            (
                "not a table above",
                agent("toml", "a = 1", &["a", "m"]),
                servers(json!([http("1", "x")])),
                1,
            ),
            (
                "tables in a row",
                agent("toml", "[[m]]\nx = 1", &["m"]),
                servers(json!([http("1", "x")])),
                1,
            ),
            ("not JSON", agent("json", "{", &["m"]), servers(json!([http("1", "x")])), 1),
            (
                "not an object",
                agent("json", "{\"m\": []}", &["m"]),
                servers(json!([http("1", "x")])),
                1,
            ),
            (
                "not an object above",
                agent("json", "[]", &["m"]),
                servers(json!([http("1", "x")])),
                1,
            ),
            (
                "a key twice",
                agent("json", "{\"m\":{},\"m\":{}}", &["m"]),
                servers(json!([http("1", "x")])),
                1,
            ),
        ],
    );
}

/// The agent's file after servers of two bindings were written into it.
fn written(format: &str, content: &str, path: &[&str]) -> String {
    let run = json!({"id": "run", "name": "tools", "transport":
        {"kind": "stdio", "command": "npx", "args": ["-y", "x"], "env": {"B": "2", "A": "1"}}});
    let mut remote = http("2", "linear");
    remote["transport"]["headers"] = json!({"X-A": "1"});
    let mut own = agent(format, content, path);
    own["mcp"] = json!([run]);
    let other = contribution("b", &json!({"mcp": [remote, http("1", "docs")]}));
    let (assembly, found) = assemble(vec![other, contribution("a", &own)]);
    assert_eq!(found.to_string(), "");
    assembly.runtime_clients[0].files[0].content.clone()
}

#[test]
fn only_the_map_in_a_toml_file_changes() {
    let content = "# first\nmodel = \"x\" # why\n\n[mcp_servers.old]\nurl = \"https://old.test\"\n\n\
                   [z]\n# last\nb = 1\na = 2\n";
    insta::assert_snapshot!(written("toml", content, &["mcp_servers"]));
    insta::assert_snapshot!(written("toml", "[deep]\nx = 1\n", &["deep", "mcp", "servers"]));
    insta::assert_snapshot!(written("toml", "m = { old = { url = \"x\" } }\n", &["m"]));
}

#[test]
fn only_the_map_in_a_json_file_changes() {
    let content = "{\n  \"z\": 1.0,\n  \"mcpServers\": {\"old\": {}},\n\t\"a\" : [1,2]\n}\n";
    insta::assert_snapshot!(written("json", content, &["mcpServers"]));
    insta::assert_snapshot!(written(
        "json",
        "{\"z\": {\"b\": 1e3, \"a\": null}}",
        &["z", "m", "s"]
    ));
    insta::assert_snapshot!(written("json", "{}", &["mcpServers"]));
}

#[test]
fn writing_the_same_servers_again_changes_nothing() {
    for (format, content) in [("toml", "a = 1\n[m.old]\nurl = \"x\"\n"), ("json", "{\"a\": 1}")] {
        let once = written(format, content, &["m"]);
        assert_eq!(written(format, &once, &["m"]), once, "{format}");
    }
}

#[test]
fn without_servers_no_file_is_touched() {
    let content = "not = = toml";
    let (assembly, found) = assemble(vec![contribution("a", &agent("toml", content, &["m"]))]);
    assert_eq!(found.to_string(), "");
    assert_eq!(assembly.runtime_clients[0].files[0].content, content);
}

#[test]
fn a_plan_that_breaks_these_rules_is_not_loaded() {
    let plan = |key: &str, value: Value| {
        let mut plan = json!({"schemaVersion": SCHEMA_VERSION, "organizationId": "o",
            "sandboxProfileId": "p", "version": 1, "egressRoutes": []});
        plan[key] = value;
        let read = Plan::from_json("p.json", plan.to_string().as_bytes());
        read.err().map(|found| found.0.iter().map(|d| d.code.to_string()).collect::<Vec<_>>())
    };
    let source = |path: &str| json!({"path": path, "origin": "https://g.test/a"});
    let artifact = json!({"key": "k", "install": [{"command": "c", "args": ["a"]}]});
    for (key, value, code) in [
        ("workspaceSources", json!([source("/a"), source("/b")]), None),
        ("artifacts", json!([artifact]), None),
        ("runtimeClients", client("", Value::Null)["clients"].clone(), None),
        ("workspaceSources", json!([source("/b"), source("/a")]), Some("INVALID_PLAN")),
        (
            "workspaceSources",
            json!([source("/a"), source("/a")]),
            Some("WORKSPACE_SOURCE_CONFLICT"),
        ),
        ("artifacts", json!([artifact, artifact]), Some("INVALID_PLAN")),
        ("artifacts", json!([{"key": "k", "install": []}]), Some("ARTIFACT_CONFLICT")),
        ("artifacts", json!(["gh"]), Some("INVALID_PLAN")),
        ("artifacts", json!([{"key": "k", "install": [], "colour": 1}]), Some("INVALID_PLAN")),
        (
            "agentRuntimes",
            json!([{"bindingId": "a", "runtimeKey": "r", "clientId": "c",
            "endpointKey": "e"}]),
            Some("AGENT_RUNTIME_CONFLICT"),
        ),
        ("runtimeClients", json!([{"clientId": ""}]), Some("RUNTIME_CLIENT_SETUP_CONFLICT")),
    ] {
        let expected = code.map(|code| vec![code.to_owned()]);
        assert_eq!(plan(key, value.clone()), expected, "{key} {value}");
    }
}
