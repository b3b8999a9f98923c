//! From bindings to a whole plan: what definitions give besides routes, and what cannot stand
//! together, each with the neighbour that can.

use proptest::prelude::*;
use sallygate_compiler::diagnostic::Severity;
use sallygate_compiler::snapshot::{
    Binding, BoundRoute, Connection, Profile, RouteSource, Snapshot, Target, TargetInjection,
    TargetPlaceholder,
};
use sallygate_compiler::{Compiled, compile};
use sallygate_definitions::Registry;
use sallygate_definitions::contract::injection::Presentation;
use sallygate_definitions::source::SourceFile;
use serde_json::{Value, json};

/// An agent with a client, a process, an endpoint, and a file for MCP servers.
const AGENT: &str = r##"
familyId = "acme"
variantId = "agent"
kind = "agent"
displayName = "Agent"
description = "An agent."
logoKey = "acme"
[targetConfigSchema.properties.baseUrl]
type = "string"
format = "uri"
default = "https://models.test/v1"
[bindingConfigSchema.properties.model]
type = "string"
default = "small"
[bindingConfigSchema.properties.client]
type = "string"
enum = ["same", "other", "nowhere"]
default = "same"
[[connectionMethods]]
kind = "form"
id = "key"
label = "Key"
fields = [
  { name = "key", label = "Key", secretType = "api_key" },
  { name = "project", label = "Project", secretType = "api_key", slotKey = "project", optional = true },
]
[[compileBinding.origins]]
name = "api"
baseUrl = "{{target.baseUrl}}"
inject = [
  { secretType = "api_key", present = { kind = "bearer" } },
  { secretType = "api_key", slotKey = "project", present = { kind = "header", header = "X-Project", template = "p {value}" } },
]
clear = { headers = ["x-api-key"], query = ["api_key"], cookies = ["session"] }
[[compileBinding.routes]]
name = "models"
methods = ["POST", "GET"]
paths = ["/chat", "/models/{id}"]
limits = { requestsPerMinute = 60 }
[[compileBinding.artifacts]]
give = { key = "acme-cli", env = { ACME_HOME = "/opt/acme" }, install = [{ command = "install", args = ["acme-cli"] }] }
[[compileBinding.runtimeClients]]
when = { client = ["same", "nowhere"] }
[compileBinding.runtimeClients.give]
clientId = "acme"
env = { ACME_MODEL = "{{binding.model}}" }
files = [{ fileId = "config", path = "/home/agent/acme.toml", mode = "0600", content = "# kept\nmodel = \"{{binding.model}}\"\n" }]
processes = [{ processKey = "server", command = "acme", args = ["serve"], readiness = { kind = "tcp", host = "127.0.0.1", port = 7001, timeoutMs = 5000 } }]
endpoints = [{ endpointKey = "app", processKey = "server", url = "ws://127.0.0.1:7001" }]
[[compileBinding.runtimeClients]]
when = { client = "other" }
[compileBinding.runtimeClients.give]
clientId = "acme"
env = { ACME_MODEL = "{{binding.model}}-other" }
[[compileBinding.agentRuntimes]]
when = { client = "same" }
give = { runtimeKey = "acme", clientId = "acme", endpointKey = "app" }
[[compileBinding.agentRuntimes]]
when = { client = "nowhere" }
give = { runtimeKey = "acme", clientId = "acme", endpointKey = "gone" }
[mcpConfig]
clientId = "acme"
fileId = "config"
format = "toml"
path = ["mcp_servers"]
"##;

/// A tool that an agent can use, in the shapes in which tools contradict each other.
const TOOL: &str = r#"
familyId = "acme"
variantId = "tool"
kind = "connector"
displayName = "Tool"
description = "A tool."
logoKey = "acme"
[targetConfigSchema.properties.baseUrl]
type = "string"
format = "uri"
default = "https://tool.test"
[bindingConfigSchema.properties.version]
type = "string"
default = "1"
[bindingConfigSchema.properties.server]
type = "string"
default = "tool"
[bindingConfigSchema.properties.folder]
type = "string"
default = "tool"
[[connectionMethods]]
kind = "form"
id = "key"
label = "Key"
fields = [{ name = "key", label = "Key", secretType = "api_key" }]
[[compileBinding.origins]]
name = "api"
baseUrl = "{{target.baseUrl}}"
inject = [{ secretType = "api_key", present = { kind = "basic", username = "x" } }]
[[compileBinding.routes]]
name = "mcp"
methods = ["POST"]
paths = ["/mcp/{{binding.folder}}"]
[[compileBinding.artifacts]]
give = { key = "tool-cli", env = { TOOL_VERSION = "{{binding.version}}" }, install = [{ command = "install", args = ["tool"] }] }
[[compileBinding.workspaceSources]]
give = { path = "{{binding.folder}}", origin = "{{target.baseUrl}}/tool.git" }
[[mcp]]
give = { id = "tool", name = "{{binding.server}}", transport = { kind = "http", url = "{{target.baseUrl}}/mcp/{{binding.folder}}" } }
"#;

fn registry() -> Registry {
    let files = [SourceFile::new("agent.toml", AGENT), SourceFile::new("tool.toml", TOOL)];
    let (registry, found) = Registry::with_files(&files);
    assert_eq!(found.to_string(), "");
    registry
}

/// Targets and connections of one name for both definitions, and these bindings.
fn snapshot(bindings: &[(&str, &str, Value)]) -> Snapshot {
    let mut snapshot = Snapshot { organization_id: "org_1".to_owned(), ..Snapshot::default() };
    for name in ["agent", "tool"] {
        let target = Target::new(format!("acme::{name}"));
        snapshot.targets.insert(name.to_owned(), target);
        let connection = Connection::new(name, Some("key".to_owned()));
        snapshot.connections.insert(name.to_owned(), connection);
    }
    let bindings = bindings.iter();
    let bindings =
        bindings.map(|(id, connection, config)| Binding::new(*id, *connection, config.clone()));
    let bindings = bindings.collect();
    snapshot.profile =
        Profile { id: "sbp_1".to_owned(), version: 1, bindings, ..Profile::default() };
    snapshot
}

fn compiled(bindings: &[(&str, &str, Value)]) -> Compiled {
    compile(&snapshot(bindings), &registry())
}

#[test]
fn an_agent_and_a_tool_become_a_whole_plan() {
    let compiled = compiled(&[
        ("ibd_agent", "agent", json!({"model": "large"})),
        ("ibd_tool", "tool", json!({"folder": "kit"})),
    ]);
    assert_eq!(compiled.diagnostics.to_string(), "");
    insta::assert_json_snapshot!(compiled.plan.unwrap());
}

#[test]
fn what_cannot_stand_together_is_refused_and_its_neighbour_is_not() {
    let agent = |id| (id, "agent", json!({}));
    let tool = |id, config| (id, "tool", config);
    for (code, bindings) in [
        (
            Some("ARTIFACT_CONFLICT"),
            vec![
                tool("a", json!({})),
                tool("b", json!({"version": "2", "folder": "b", "server": "b"})),
            ],
        ),
        (None, vec![tool("a", json!({})), tool("b", json!({"folder": "b", "server": "b"}))]),
        (Some("MCP_CONFLICT"), vec![tool("a", json!({})), tool("b", json!({"folder": "b"}))]),
        (
            Some("WORKSPACE_SOURCE_CONFLICT"),
            vec![tool("a", json!({})), tool("b", json!({"server": "b"}))],
        ),
        (
            Some("RUNTIME_CLIENT_SETUP_CONFLICT"),
            vec![agent("a"), ("b", "agent", json!({"client": "other"}))],
        ),
        (None, vec![agent("a"), tool("b", json!({}))]),
        (Some("AGENT_RUNTIME_CONFLICT"), vec![("a", "agent", json!({"client": "nowhere"}))]),
        (None, vec![agent("a")]),
    ] {
        let compiled = compiled(&bindings);
        // That a route is there twice, with one effect, is a warning.
        let errors = compiled.diagnostics.iter().filter(|d| d.severity == Severity::Error);
        let mut codes: Vec<&str> = errors.map(|diagnostic| diagnostic.code.as_ref()).collect();
        codes.dedup();
        assert_eq!(codes, code.into_iter().collect::<Vec<_>>(), "{}", compiled.diagnostics);
        assert_eq!(compiled.plan.is_some(), code.is_none());
        let about = compiled.diagnostics.iter().all(|diagnostic| diagnostic.subject.is_some());
        assert!(about, "{}", compiled.diagnostics);
    }
}

#[expect(clippy::unwrap_used, reason = "the tests write what can be read")]
fn route(value: Value) -> RouteSource {
    serde_json::from_value(value).unwrap()
}

#[test]
fn routes_of_two_bindings_that_differ_in_effect_are_a_conflict() {
    let mut snapshot =
        snapshot(&[("a", "tool", json!({})), ("b", "tool", json!({"folder": "b", "server": "b"}))]);
    let own = |name: &str, limit: u64| {
        let limits = json!({"maxRequestBytes": limit});
        let wanted = json!({"hosts": [], "paths": ["/{x}"], "methods": ["GET"]});
        let source = route(json!({"name": name, "match": wanted, "limits": limits}));
        Some(vec![BoundRoute::Inline(Box::new(source))])
    };
    for (limit, conflicts) in [(10, false), (20, true)] {
        snapshot.profile.bindings[0].routes = own("own", 10);
        snapshot.profile.bindings[1].routes = own("own", limit);
        let found = compile(&snapshot, &registry()).diagnostics;
        assert_eq!(found.to_string().contains("ROUTE_CONFLICT"), conflicts, "{found}");
        assert!(!conflicts || found.0[0].witness.is_some());
    }
}

#[test]
fn an_assertion_is_proved_over_what_definitions_give() {
    let mut snapshot = snapshot(&[("a", "tool", json!({}))]);
    for (hosts, violated) in [(json!(["tool.test"]), true), (json!(["tools.test"]), false)] {
        let never = json!({"never": {"hosts": hosts, "paths": ["/**"]}});
        snapshot.profile.assertions = vec![serde_json::from_value(never).unwrap()];
        let found = compile(&snapshot, &registry()).diagnostics;
        assert_eq!(found.to_string().contains("ASSERTION_VIOLATED"), violated, "{found}");
    }
}

#[test]
fn what_the_proxy_does_not_carry_out_is_not_compiled() {
    let aws = |region: &str, presigned: Option<&str>| Presentation::AwsSigv4 {
        service: "s3".to_owned(),
        region: region.to_owned(),
        presigned: presigned.map(str::to_owned),
    };
    for (presentation, refused) in [
        (Presentation::Placeholder { places: Vec::new() }, false),
        (aws("eu/1", None), true),
        (aws("", None), true),
        (aws("eu", Some("allow")), true),
        (aws("eu", None), false),
        (aws("eu", Some("refuse")), false),
        (aws("eu", Some("resign")), false),
        (Presentation::ClientCertificate {}, false),
        // There is no segment `{credential}` in the paths.
        (Presentation::Path {}, true),
        (Presentation::Cookie { name: "a b".to_owned() }, true),
        (Presentation::Header { header: "Host".to_owned(), template: None }, true),
        (Presentation::Header { header: "X-Key".to_owned(), template: Some("v".to_owned()) }, true),
        (Presentation::Query { parameter: String::new() }, true),
        (Presentation::Cookie { name: "session".to_owned() }, false),
        (Presentation::Header { header: "X-Key".to_owned(), template: None }, false),
        (Presentation::Query { parameter: "key".to_owned() }, false),
        (Presentation::Bearer {}, false),
    ] {
        let mut snapshot = snapshot(&[("a", "tool", json!({}))]);
        let name = format!("{presentation:?}");
        let target = snapshot.targets.get_mut("tool").unwrap();
        target.inject = TargetInjection::Instead(presentation);
        let compiled = compile(&snapshot, &registry());
        assert_eq!(compiled.plan.is_none(), refused, "{name}: {}", compiled.diagnostics);
        assert_eq!(compiled.diagnostics.has_errors(), refused, "{name}");
    }
}

#[test]
fn a_secret_that_a_form_does_not_insist_on_is_presented_only_where_there_is_one() {
    let mut snapshot = snapshot(&[("a", "agent", json!({}))]);
    for (given, credentials) in [(vec!["key"], 1), (vec!["key", "project"], 2)] {
        let connection = snapshot.connections.get_mut("agent").unwrap();
        connection.credentials = Some(given.into_iter().map(str::to_owned).collect());
        let plan = compile(&snapshot, &registry()).plan.unwrap();
        assert_eq!(plan.credentials.len(), credentials);
        assert_eq!(plan.egress_routes[0].inject.len(), credentials);
    }
}

#[test]
fn a_profile_gives_limits_to_routes_that_have_none() {
    let mut snapshot = snapshot(&[("a", "agent", json!({})), ("t", "tool", json!({}))]);
    snapshot.profile.limits =
        serde_json::from_value(json!({"concurrency": 3, "requests": {"count": 5, "seconds": 1}}))
            .unwrap();
    let deny = route(
        json!({"name": "no", "action": "deny", "match": {"hosts": ["x.test"], "paths": ["/**"]}}),
    );
    snapshot.profile.routes = vec![deny];
    let compiled = compile(&snapshot, &registry());
    assert_eq!(compiled.diagnostics.to_string(), "");
    let plan = compiled.plan.unwrap();
    let limits = |id: &str| {
        let route = plan.egress_routes.iter().find(|route| route.route_id == id).unwrap();
        (
            route.limits.concurrency,
            route.limits.requests_per_minute,
            route.limits.requests.map(|r| r.count),
        )
    };
    assert_eq!(limits("a/models"), (Some(3), Some(60), None));
    assert_eq!(limits("t/mcp"), (Some(3), None, Some(5)));
    assert_eq!(limits("policy/no"), (None, None, None));
}

#[test]
fn builtin_definitions_become_plans() {
    let mut snapshot = Snapshot::default();
    let bound = [
        ("github", "github::github-cloud", "token", json!({"repositories": ["acme/app"]})),
        ("openai", "openai::openai-default", "api-key", json!({})),
    ];
    for (name, definition, method, config) in bound {
        snapshot.targets.insert(name.to_owned(), Target::new(definition));
        let connection = Connection::new(name, Some(method.to_owned()));
        snapshot.connections.insert(name.to_owned(), connection);
        snapshot.profile.bindings.push(Binding::new(name, name, config));
    }
    snapshot.profile.id = "sbp_1".to_owned();
    let compiled = compile(&snapshot, &Registry::builtin());
    assert!(!compiled.diagnostics.has_errors(), "{}", compiled.diagnostics);
    let plan = compiled.plan.unwrap();
    let route = |id: &str| plan.egress_routes.iter().find(|route| route.route_id == id).unwrap();
    assert_eq!(route("github/fetch").r#match.hosts, ["github.com"]);
    assert!(route("github/read").r#match.paths.iter().all(|p| p.starts_with("/repos/acme/app")));
    assert_eq!(route("openai/api").upstream.base_url.as_deref(), Some("https://api.openai.com/v1"));
    assert_eq!(plan.workspace_sources[0].origin, "https://github.com/acme/app.git");
    let kinds: Vec<&str> =
        plan.egress_routes.iter().flat_map(|r| &r.inject).map(|i| i.kind.as_str()).collect();
    assert!(kinds.contains(&"basic") && kinds.contains(&"bearer"), "{kinds:?}");
}

#[test]
fn what_answers_cost_is_in_the_plan_of_routes_that_have_answers_and_of_no_others() {
    let mut snapshot = Snapshot::default();
    let mut target = Target::new("openai::openai-default");
    target.config = json!({"prices": [
        {"model": "m", "inputMicrosPerMillion": 7, "outputMicrosPerMillion": 9}]});
    snapshot.targets.insert("llm".to_owned(), target);
    let connection = Connection::new("llm", Some("api-key".to_owned()));
    snapshot.connections.insert("con".to_owned(), connection);
    for (id, config) in [("free", json!({})), ("kept", json!({"budgetMicros": 5}))] {
        snapshot.profile.bindings.push(Binding::new(id, "con", config));
    }
    let own = json!({"name": "own", "match": {"hosts": [], "paths": ["/audio/**"]}});
    let routes = [json!("unpriced"), own].map(|route| serde_json::from_value(route).unwrap());
    snapshot.profile.bindings[1].routes = Some(routes.to_vec());
    snapshot.profile.id = "sbp_1".to_owned();
    let compiled = compile(&snapshot, &Registry::builtin());
    assert!(!compiled.diagnostics.has_errors(), "{}", compiled.diagnostics);
    let plan = compiled.plan.unwrap();
    let route = |id: &str| plan.egress_routes.iter().find(|route| route.route_id == id).unwrap();
    let api = route("free/api");
    let usage = api.usage.as_ref().unwrap();
    assert_eq!((usage.connection_id.as_str(), &api.limits.spend), ("con", &None));
    let price = &usage.prices[0];
    assert_eq!(
        (price.cached_input_micros_per_million, price.cache_write_micros_per_million),
        (7, 7),
        "what has no price of its own costs what input costs"
    );
    assert!(route("free/administration").usage.is_none());
    let denied = route("kept/unpriced");
    assert!(denied.usage.is_none() && denied.limits.spend.is_none());
    let own = route("kept/own");
    let spend = own.limits.spend.as_ref().unwrap();
    assert_eq!((spend.limit_micros, spend.assumed_micros), (5, 1_000_000));
    assert!(spend.prices.is_empty() && own.usage == api.usage);
}

/// A profile with something of everything, right or with mistakes in it.
#[expect(clippy::unwrap_used, reason = "the tests write what can be read")]
fn everything(mistakes: bool) -> Snapshot {
    let mut snapshot = snapshot(&[
        ("agent", "agent", json!({"model": "large"})),
        ("tool", "tool", json!({})),
        ("kit", "tool", json!({"folder": "kit", "server": "kit"})),
    ]);
    let own = |name: &str, host: &str| {
        route(json!({"name": name, "match": {"hosts": [host], "paths": ["/b", "/a"]}}))
    };
    snapshot.profile.routes = vec![own("x", "x.test"), own("y", "y.test"), own("z", "*.z.test")];
    let assertion = |hosts: &str| {
        serde_json::from_value(json!({"never": {"hosts": [hosts], "paths": ["/**"]}})).unwrap()
    };
    snapshot.profile.assertions = vec![assertion("never.test"), assertion("no.test")];
    if mistakes {
        // Two of one id that differ, a conflict, a broken assertion, and a binding to nothing.
        snapshot.profile.bindings.push(Binding::new("tool", "tool", json!({"folder": "other"})));
        snapshot.profile.bindings.push(Binding::new("late", "gone", json!({})));
        snapshot.profile.bindings.push(Binding::new("more", "tool", json!({"version": "2"})));
        snapshot.profile.routes.push(own("x", "other.test"));
        snapshot.profile.assertions.push(assertion("x.test"));
    }
    snapshot
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_the_inputs_changes_no_byte(
        (mistakes, bindings, routes, assertions) in any::<bool>().prop_flat_map(|mistakes| {
            let profile = everything(mistakes).profile;
            (
                Just(mistakes),
                Just(profile.bindings).prop_shuffle(),
                Just(profile.routes).prop_shuffle(),
                Just(profile.assertions).prop_shuffle(),
            )
        }),
    ) {
        let registry = registry();
        let sorted = compile(&everything(mistakes), &registry);
        let mut snapshot = everything(mistakes);
        snapshot.profile = Profile { bindings, routes, assertions, ..snapshot.profile };
        // A store gives JSON, and JSON objects have no order either.
        let json = serde_json::to_value(&snapshot).unwrap();
        let shuffled = compile(&serde_json::from_value(json).unwrap(), &registry);
        prop_assert_eq!(&shuffled.diagnostics, &sorted.diagnostics);
        prop_assert_eq!(sorted.plan.is_none(), mistakes);
        let bytes = |compiled: &Compiled| compiled.plan.as_ref().map(|p| p.to_canonical_json());
        prop_assert_eq!(bytes(&shuffled), bytes(&sorted));
    }
}

/// The digest stands here, so that another process, day or platform that gets another one fails.
#[test]
fn a_plan_has_the_digest_that_it_always_had() {
    let plan = compile(&everything(false), &registry()).plan.unwrap();
    insta::assert_snapshot!(plan.digest);
}

#[test]
fn every_presented_secret_that_has_a_placeholder_has_one_in_the_plan() {
    let said = "[[placeholders]]\nsecretType = \"api_key\"\nshape = \"ak_{hex:40}\"\n\
                env = [\"ACME_KEY\"]\n[[compileBinding.origins]]";
    let agent = AGENT.replacen("[[compileBinding.origins]]", said, 1);
    let files = [SourceFile::new("agent.toml", agent), SourceFile::new("tool.toml", TOOL)];
    let (registry, found) = Registry::with_files(&files);
    assert_eq!(found.to_string(), "");
    let given = |snapshot: &Snapshot| {
        let Compiled { plan, diagnostics } = compile(snapshot, &registry);
        let plan = plan.unwrap_or_else(|| panic!("{diagnostics}"));
        let again =
            sallygate_compiler::plan::Plan::from_json("p", plan.to_canonical_json().as_bytes());
        assert_eq!(again.as_ref().map(|plan| &plan.placeholders), Ok(&plan.placeholders));
        let said = |p: &sallygate_compiler::plan::Placeholder| {
            format!("{} {} {}", p.connection_id, p.shape, p.env.join(","))
        };
        let list: Vec<String> = plan.placeholders.iter().map(said).collect();
        (list, diagnostics.to_string())
    };
    let own = |shape: Option<&str>, env: Option<&[&str]>| {
        Some(TargetPlaceholder {
            shape: shape.map(str::to_owned),
            env: env.map(|env| env.iter().map(|name| (*name).to_owned()).collect()),
        })
    };
    let both = snapshot(&[("a", "agent", json!({})), ("t", "tool", json!({}))]);
    // The slot has no rule, nor has the tool; the routes present both.
    assert_eq!(given(&both), (vec!["agent ak_{hex:40} ACME_KEY".to_owned()], String::new()));
    let mut swapped = both.clone();
    let target = swapped.targets.get_mut("tool").unwrap();
    target.inject = TargetInjection::Instead(Presentation::Placeholder { places: Vec::new() });
    let (list, found) = given(&swapped);
    let tool = "tool sgp_{alphanumeric:40} SALLYGATE_TOOL";
    assert_eq!(
        (list, found),
        (vec!["agent ak_{hex:40} ACME_KEY".into(), tool.into()], String::new())
    );
    let target = swapped.targets.get_mut("tool").unwrap();
    target.placeholder = own(Some("t_{hex:36}"), Some(&["ACME_KEY", "TOOL_KEY"]));
    let (list, found) = given(&swapped);
    assert_eq!(list[1], "tool t_{hex:36} TOOL_KEY", "the first keeps its variable");
    assert!(found.contains("PLACEHOLDER_HIDDEN") && !found.contains("error"), "{found}");
    for wrong in [own(Some("{hex:3}"), None), own(None, Some(&["A B"]))] {
        let mut snapshot = both.clone();
        snapshot.targets.get_mut("tool").unwrap().placeholder = wrong;
        let compiled = compile(&snapshot, &registry);
        assert!(compiled.diagnostics.to_string().contains("INVALID_TARGET_CONFIG"));
    }
}

#[test]
fn placeholders_of_a_ready_plan_are_checked() {
    use sallygate_compiler::plan::Plan;
    let plan = |placeholders: Value| {
        let plan = json!({
            "schemaVersion": 1, "organizationId": "o", "sandboxProfileId": "p", "version": 1,
            "egressRoutes": [],
            "credentials": [
                { "connectionId": "a", "secretType": "api_key" },
                { "connectionId": "b", "secretType": "api_key", "slotKey": "s" },
            ],
            "placeholders": placeholders,
        });
        Plan::from_json("plan.json", plan.to_string().as_bytes())
    };
    let one = |connection: &str, slot: Option<&str>, shape: &str, env: &[&str]| {
        json!({
            "connectionId": connection, "secretType": "api_key", "slotKey": slot,
            "shape": shape, "env": env,
        })
    };
    let (a, b) = (one("a", None, "{hex:36}", &["A"]), one("b", Some("s"), "{hex:36}", &["B"]));
    assert!(plan(json!([a, b])).is_ok());
    for wrong in [
        json!([b, a]),
        json!([a, a]),
        json!([one("b", None, "{hex:36}", &[])]),
        json!([one("c", None, "{hex:36}", &[])]),
        json!([one("a", None, "{hex:35}", &[])]),
        json!([one("a", None, "{hex:36}", &["A B"])]),
        json!([one("a", None, "{hex:36}", &["A", "A"])]),
        json!([a, one("b", Some("s"), "{hex:36}", &["A"])]),
        json!([{ "connectionId": "a", "secretType": "api_key" }]),
        json!([{ "connectionId": "a", "secretType": "api_key", "shape": "{hex:36}", "value": "x" }]),
    ] {
        let found = plan(wrong.clone()).unwrap_err();
        assert!(found.0.iter().all(|found| found.code == "INVALID_PLAN"), "{wrong}: {found}");
    }
}
