//! From `config.toml` and `policy.toml` to plans: what compiles, and what authors are told.

use std::sync::Arc;

use proptest::prelude::*;
use sallygate_compiler::diagnostic::Diagnostics;
use sallygate_compiler::explain::explain_url;
use sallygate_compiler::key::NoHeaders;
use sallygate_compiler::read::Document;
use sallygate_compiler::snapshot::{Targets, ValueSource, read_policy, read_targets};
use sallygate_compiler::source::SourceFile;
use sallygate_compiler::table::RouteTable;
use sallygate_compiler::{Compilation, compile_files};
use sallygate_definitions::Registry;

const CONFIG: &str = r#"
[targets.echo]
definition = "generic::http-api"
base_url = "https://echo.test/v1"
inject = "header"
header = "X-Api-Key"
template = "token {value}"
clear_headers = ["X-Old-Key"]
clear_query = ["access_token"]
ca_file = "ca.pem"
addresses = ["127.0.0.1:8443"]
allow_ranges = ["127.0.0.0/8"]
[targets.demo]
definition = "demo::echo"
[connections.key]
target = "echo"
value_env = "KEY"
[connections.demo]
target = "demo"
value_command = ["pass", "show", "demo"]
refresh_seconds = 60
"#;

const POLICY: &str = r#"
version = 1
[profiles.web]
[[profiles.web.bindings]]
id = "ibd_key"
connection = "key"
routes = [
  { name = "read", methods = ["GET"], paths = ["/get", "/items/{id}"], requests_per_minute = 30 },
  { name = "never", action = "deny", paths = ["/items/{id}/secret"], reason = "secrets stay" },
]
[[profiles.web.bindings]]
id = "ibd_demo"
connection = "demo"
[[profiles.web.routes]]
name = "zen"
hosts = ["api.github.com", "*.github.io"]
paths = ["/zen"]
path_prefixes = ["/docs/"]
methods = ["GET"]
headers = [{ name = "X-Version", equals = "2" }]
query = [{ name = "dry_run", present = true }]
target = "echo"
[[profiles.web.routes]]
name = "git"
action = "tunnel"
hosts = ["git.test"]
[[sandboxes]]
id = "sbx_web"
profile = "web"
token_sha256 = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
sources = ["127.0.0.1/32"]
expires = 2027-01-01T00:00:00Z
"#;

fn ca_file(path: &str) -> Result<String, String> {
    match path {
        "ca.pem" => Ok("pem".to_owned()),
        _ => Err("not found".to_owned()),
    }
}

fn targets(config: &str) -> (Targets, Diagnostics) {
    let file = SourceFile::new("config.toml", config);
    match Document::parse(&file) {
        Ok(document) => {
            let mut root = document.root();
            let targets = read_targets(&mut root, &Registry::builtin(), &ca_file);
            root.finish();
            (targets, document.into_diagnostics())
        }
        Err(found) => (Targets::default(), found),
    }
}

fn compiled(config: &str, policy: &str) -> Compilation {
    let (targets, mut found) = targets(config);
    let policy = read_policy(&SourceFile::new("policy.toml", policy), &mut found);
    let mut compilation = compile_files(&targets, &policy, &Registry::builtin());
    found.append(compilation.diagnostics);
    compilation.diagnostics = found.sorted();
    compilation
}

fn found(config: &str, policy: &str) -> String {
    compiled(config, policy).diagnostics.to_string()
}

#[test]
fn a_policy_becomes_a_plan() {
    let compiled = compiled(CONFIG, POLICY);
    assert_eq!(compiled.diagnostics.to_string(), "");
    let plan = &compiled.plans["web"];
    insta::assert_json_snapshot!(plan);
    assert_eq!(compiled.connections[0].id, "demo");
    assert_eq!(compiled.connections[1].value, ValueSource::Env("KEY".to_owned()));
    let sandbox = &compiled.sandboxes[0];
    assert_eq!(sandbox.expires_unix, Some(1_798_761_600));
    assert_eq!(sandbox.token_sha256.unwrap()[..3], [0x00, 0x11, 0x22]);
}

#[test]
fn every_problem_of_the_config_is_listed() {
    let config = r#"
[targets."a b"]
definition = "generic::http-api"
[targets.one]
definition = "generic::http-ap"
base_url = "http://one.test"
inject = "bearer"
header = "x"
[targets.two]
definition = "generic::http-api"
inject = "Basic"
colour = "red"
[targets.three]
definition = "generic::http-api"
base_url = "https://user@three.test"
inject = "header"
ca_file = "other.pem"
addresses = ["three.test:443", 1]
allow_ranges = ["10.0.0.0/33"]
clear_headers = ["Host"]
[targets.four]
definition = "generic::http-api"
base_url = "https://four.test"
inject = "header"
header = "Transfer-Encoding"
[targets.five]
definition = "generic::http-api"
base_url = "https://five.test"
inject = "query"
[targets.six]
definition = "generic::http-api"
base_url = "https://six.test"
inject = "header"
header = "x-key"
template = "no value"
[connections.a]
target = "one"
[connections.b]
target = "fuor"
value_env = "B"
value_file = "b"
[connections.c]
target = "six"
value_command = []
refresh_seconds = 0
"#;
    insta::assert_snapshot!(found(config, ""));
}

#[test]
fn every_problem_of_the_policy_is_listed() {
    let policy = r#"
version = 2
profile = "web"
[profiles.web]
unmatched = "allow"
[[profiles.web.bindings]]
id = "policy"
conection = "key"
[[profiles.web.bindings]]
id = "ibd"
connection = "kye"
[[profiles.web.bindings]]
id = "ibd"
connection = "key"
routes = ["read"]
[[profiles.web.bindings]]
id = "demo"
connection = "demo"
routes = ["reed", { name = "own", hosts = ["a.test"], action = "tunnel" }, 1]
[[profiles.web.bindings]]
id = "none"
connection = "key"
[[profiles.web.bindings]]
id = "empty"
connection = "key"
routes = []
[[profiles.web.routes]]
name = "a/b"
hosts = []
paths = []
methods = []
ports = [0, 443]
[[profiles.web.routes]]
name = "hosts"
hosts = ["*x.test", "http://a.test", "a.test:443", "ünder.test", "127.1"]
paths = ["x", "/../y", "/*", "/a%2Fb", "/{a b}", "/%zz"]
methods = ["get", "G ET"]
[[profiles.web.routes]]
name = "held"
action = "hold"
hosts = ["a.test"]
target = "ecko"
requests_per_minute = 0
headers = [{ name = "x y", equals = "1" }, { name = "z" }]
[[profiles.web.routes]]
name = "held"
hosts = ["b.test"]
[[profiles.web.routes]]
name = "through"
action = "tunel"
hosts = ["c.test"]
[[profiles.web.routes]]
name = "narrow"
action = "tunnel"
hosts = ["d.test"]
paths = ["/x"]
[[sandboxes]]
id = "one"
profile = "wbe"
token_sha256 = "secret"
[[sandboxes]]
id = "one"
profile = "web"
sources = ["localhost"]
expires = "tomorrow"
"#;
    insta::assert_snapshot!(found(CONFIG, policy));
}

#[test]
fn routes_that_contradict_each_other_are_shown_with_a_request() {
    let policy = r#"
[profiles.web]
[[profiles.web.bindings]]
id = "one"
connection = "key"
routes = [{ name = "all", paths = ["/{x}/**"], methods = ["GET", "POST"] }]
[[profiles.web.bindings]]
id = "two"
connection = "key"
routes = [
  { name = "get", paths = ["/{y}/**"], methods = ["GET"], max_request_bytes = 10 },
  { name = "same", paths = ["/{z}/**"], methods = ["POST"] },
]
[[profiles.web.routes]]
name = "pass"
action = "tunnel"
hosts = ["echo.test"]
[[profiles.web.routes]]
name = "no"
action = "deny"
hosts = ["**.test", "gone.example"]
path_prefixes = ["/v1/a"]
[[profiles.web.routes]]
name = "gone"
hosts = ["gone.example"]
paths = ["/v1/a/{b}", "/v1/a"]
"#;
    insta::assert_snapshot!(found(CONFIG, policy));
}

#[test]
fn a_file_that_is_not_toml_lists_every_syntax_error() {
    insta::assert_snapshot!(found("[targets\n", "a = \n[profiles.web\nb = 'x\n"));
}

#[test]
fn a_mistake_in_the_config_is_not_reported_again_in_the_policy() {
    let config = CONFIG.replace("\"demo::echo\"", "\"demo::ecko\"").replace("value_env", "value");
    let compiled = compiled(&config, POLICY);
    let codes: Vec<&str> = compiled.diagnostics.iter().map(|d| d.code.as_ref()).collect();
    assert_eq!(codes, ["DEFINITION_NOT_FOUND", "BAD_VALUE", "UNKNOWN_FIELD"]);
}

#[test]
fn a_profile_with_errors_has_no_plan_and_the_others_do() {
    let policy = format!(
        "{POLICY}[profiles.bad]\n[[profiles.bad.bindings]]\nid = \"x\"\nconnection = \"?\"\n"
    );
    let compiled = compiled(CONFIG, &policy);
    assert!(compiled.diagnostics.has_errors());
    assert_eq!(compiled.plans.keys().collect::<Vec<_>>(), ["web"]);
}

#[test]
fn clear_text_needs_the_operators_word() {
    let config = |more: &str| {
        format!(
            "[targets.t]\ndefinition = \"generic::http-api\"\nbase_url = \"http://t.test\"\n{more}"
        )
    };
    for (more, refused) in [
        ("", false),
        ("inject = \"none\"", false),
        ("inject = \"bearer\"", true),
        ("inject = \"query\"\nparameter = \"k\"\nallow_cleartext = false", true),
        ("inject = \"bearer\"\nallow_cleartext = true", false),
    ] {
        let found = found(&config(more), "");
        assert_eq!(found.contains("CLEARTEXT_CREDENTIAL"), refused, "{more}: {found}");
    }
}

/// Codes are part of the interface. Those of plans are in `plans.rs`.
#[test]
fn every_code_is_produced_by_some_input() {
    let profile = |text: &str| format!("[profiles.p]\n{text}");
    let route = |text: &str| profile(&format!("routes = [{{ name = \"r\", {text} }}]"));
    let bound = |text: &str| {
        profile(&format!("bindings = [{{ id = \"b\", connection = \"key\", {text} }}]"))
    };
    let twice = |item: &str, list: &str| profile(&format!("{list} = [{item}, {item}]"));
    let free = "{ name = \"r\", hosts = [\"a.test\"] }";
    let binding = "{ id = \"b\", connection = \"demo\" }";
    let sandbox = "[[sandboxes]]\nid = \"s\"\nprofile = \"p\"\n";
    for (code, config, policy) in [
        ("TOML_SYNTAX", "", "a = ".to_owned()),
        ("LIMIT_EXCEEDED", "", " ".repeat((16 << 20) + 1)),
        ("UNKNOWN_FIELD", "", "a = 1".to_owned()),
        ("WRONG_TYPE", "", "profiles = 1".to_owned()),
        ("MISSING_FIELD", "", route("paths = [\"/\"]")),
        ("BAD_VALUE", "", profile("unmatched = \"x\"")),
        ("EMPTY_METHODS", "", route("hosts = [\"a.test\"], methods = []")),
        ("HOST_NOT_CANONICAL", "", route("hosts = [\"a..test\"]")),
        ("PATH_NOT_CANONICAL", "", route("hosts = [\"a.test\"], paths = [\"x\"]")),
        ("UNKNOWN_TARGET", "", route("hosts = [\"a.test\"], target = \"t\"")),
        ("UNKNOWN_CONNECTION", "", bound("")),
        ("UNKNOWN_PROFILE", "", sandbox.to_owned()),
        ("DUPLICATE_ROUTE", "", twice(free, "routes")),
        ("DUPLICATE_BINDING", CONFIG, twice(binding, "bindings")),
        ("DUPLICATE_SANDBOX", "", profile("") + sandbox + sandbox),
        ("DEFINITION_NOT_FOUND", "[targets.t]\ndefinition = \"x\"", String::new()),
        (
            "CLEARTEXT_CREDENTIAL",
            "[targets.t]\ndefinition = \"demo::echo\"\nbase_url = \"http://t.test\"",
            String::new(),
        ),
        (
            "ROUTE_CONFLICT",
            CONFIG,
            bound("routes = [{ name = \"x\", concurrency = 1 }, { name = \"y\" }]"),
        ),
        (
            "ASSERTION_VIOLATED",
            CONFIG,
            bound("routes = [{ name = \"x\" }]")
                + "\n[[profiles.p.assertions]]\nnever = { hosts = [\"echo.test\"] }",
        ),
        (
            "UNREACHABLE_ROUTE",
            CONFIG,
            bound("routes = [{ name = \"x\", action = \"deny\" }, { name = \"y\" }]"),
        ),
    ] {
        let found = compiled(config, &policy).diagnostics;
        let codes: Vec<&str> = found.iter().map(|diagnostic| diagnostic.code.as_ref()).collect();
        assert_eq!(codes, [code], "{found}");
    }
}

#[test]
fn a_limit_that_makes_no_sense_is_refused() {
    let route = |text: &str| format!("[profiles.p]\nroutes = [{{ name = \"r\", {text} }}]");
    for (code, policy) in [
        ("BAD_VALUE", route("hosts = [\"a.test\"], approval_ms = 5")),
        ("BAD_VALUE", route("hosts = [\"a.test\"], action = \"hold\", approval_ms = 0")),
        ("BAD_VALUE", route("hosts = [\"a.test\"], requests = { count = 0, seconds = 1 }")),
        ("BAD_VALUE", route("hosts = [\"a.test\"], requests = { count = 1, seconds = 86401 }")),
        ("MISSING_FIELD", route("hosts = [\"a.test\"], requests = { count = 1 }")),
        (
            "UNKNOWN_FIELD",
            route("hosts = [\"a.test\"], bytes_out = { bytes = 1, seconds = 1, x = 1 }"),
        ),
        ("BAD_VALUE", route("hosts = [\"a.test\"], uses = { limit = 1, per = \"week\" }")),
        (
            "BAD_VALUE",
            route(
                "hosts = [\"a.test\"], requests_per_minute = 1, requests = { count = 1, seconds = 1 }",
            ),
        ),
        ("BAD_VALUE", route("hosts = [\"a.test\"], action = \"tunnel\", concurrency = 1")),
        (
            "MISSING_FIELD",
            route("hosts = [\"a.test\"], spend = { limit_micros = 1, assumed_micros = 1 }"),
        ),
        (
            "MISSING_FIELD",
            route(
                "hosts = [\"a.test\"], spend = { limit_micros = 1, assumed_micros = 1, prices = [] }",
            ),
        ),
        (
            "BAD_VALUE",
            route(
                "hosts = [\"a.test\"], spend = { limit_micros = 1, assumed_micros = 1, prices = [{ pointer = \"usage\", micros = 1 }] }",
            ),
        ),
    ] {
        let found = compiled("", &policy).diagnostics;
        let codes: Vec<&str> = found.iter().map(|diagnostic| diagnostic.code.as_ref()).collect();
        assert_eq!(codes, [code], "{found}");
    }
}

#[test]
fn diagnostics_are_written_for_machines_too() {
    let found = compiled(CONFIG, "[profiles.a]\nunmached = \"x,y\"\n").diagnostics;
    insta::assert_snapshot!(format!(
        "{}\n{}\n{}",
        found.to_json(),
        found.to_github(),
        found.to_sarif()
    ));
}

#[test]
fn an_explanation_says_what_decided_and_what_stopped_the_others() {
    let plan = compiled(CONFIG, POLICY).plans.remove("web").unwrap();
    let table = RouteTable::build(Arc::new(plan)).unwrap();
    let mut all = String::new();
    for (method, url) in [
        ("GET", "https://ECHO.test:443/v1/%69tems/7?secret=1"),
        ("DELETE", "https://echo.test/v1/items/7"),
        ("GET", "https://echo.test/v1/items/7/secret"),
        ("GET", "https://api.github.com/zen"),
        ("GET", "https://git.test/"),
        ("GET", "https://other.test"),
    ] {
        let explanation = explain_url(&table, method, url, &NoHeaders).unwrap();
        all.push_str(&format!("{explanation}\n"));
    }
    assert!(!all.contains("secret=1"));
    insta::assert_snapshot!(all);
    for url in ["ftp://a.test/", "https://u@a.test/", "https://a.test/..", "https://a.test/#x"] {
        assert!(explain_url(&table, "GET", url, &NoHeaders).is_err(), "{url}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_what_is_written_changes_nothing(
        order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let parts = [
            "[[profiles.web.bindings]]\nid = \"b1\"\nconnection = \"key\"\nroutes = [{ name = \"r\" }]\n",
            "[[profiles.web.bindings]]\nid = \"b2\"\nconnection = \"demo\"\nroutes = [\"write\", \"read\"]\n",
            "[[profiles.web.routes]]\nname = \"x\"\nhosts = [\"a.test\", \"b.test\"]\nmethods = [\"GET\", \"PUT\"]\n",
            "[[profiles.web.routes]]\nname = \"y\"\nhosts = [\"b.test\"]\npaths = [\"/2\", \"/1\"]\n",
            "[[profiles.web.routes]]\nname = \"z\"\naction = \"deny\"\nhosts = [\"*\"]\npaths = [\"/0\"]\n",
            "[[sandboxes]]\nid = \"s\"\nprofile = \"web\"\n",
        ];
        let text = |order: &[usize]| order.iter().map(|at| parts[*at]).collect::<String>();
        let (shuffled, sorted) = (text(&order), text(&[0, 1, 2, 3, 4, 5]));
        let (one, two) = (compiled(CONFIG, &shuffled), compiled(CONFIG, &sorted));
        prop_assert_eq!(one.diagnostics.to_string(), "");
        prop_assert_eq!(one.plans["web"].to_canonical_json(), two.plans["web"].to_canonical_json());
        // The same set of hosts, methods and paths in another order is the same plan.
        let turned = sorted
            .replace("\"a.test\", \"b.test\"", "\"B.test.\", \"a.test\"")
            .replace("\"GET\", \"PUT\"", "\"PUT\", \"GET\"")
            .replace("\"/2\", \"/1\"", "\"/%31\", \"/2\"");
        let three = compiled(CONFIG, &turned);
        prop_assert_eq!(&three.plans["web"].digest, &two.plans["web"].digest);
    }

    #[test]
    fn no_text_makes_reading_panic(at in 0..2000_usize, noise in "[\\[\\]{}a-z0-9=. \"'\n*/%-]{0,24}") {
        let spoil = |text: &str| {
            let mut text = text.to_owned();
            let at = at % text.len();
            text.insert_str(at, &noise);
            text
        };
        let _ = compiled(&spoil(CONFIG), POLICY);
        let _ = compiled(CONFIG, &spoil(POLICY));
    }
}
