//! The tools around a policy: cases beside it, one way to write it, and what would allow a denial.

#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const CONFIG: &str = r#"
[targets.echo]
definition = "generic::http-api"
base_url = "https://echo.test"
inject = "bearer"
[connections.demo]
target = "echo"
value_env = "DEMO_TOKEN"
"#;

const POLICY: &str = r#"version = 1

[[profiles.web.bindings]]
id = "demo"
connection = "demo"
routes = [{ name = "headers", methods = ["GET"], paths = ["/headers"] }]

[[profiles.web.routes]]
name = "read"
hosts = ["api.test"]
methods = ["GET"]
paths = ["/v1/**"]

[[profiles.web.routes]]
name = "closed"
action = "deny"
reason = "not this one"
hosts = ["api.test"]
paths = ["/v1/secret"]
"#;

fn sallygate(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    command.env_remove("SALLYGATE_DATA_DIR").env("NO_COLOR", "1");
    command.output().expect("sallygate runs")
}

fn files(tests: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a file");
    write("config.toml", CONFIG);
    write("policy.toml", POLICY);
    write("policy.test.toml", tests);
    dir
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const CASES: &str = r#"
[[tests]]
request = "GET https://echo.test/headers"
expect = "allow"
route = "demo/headers"
credential = "demo"

[[tests]]
name = "the secret stays closed"
request = "GET https://api.test/v1/secret"
expect = "deny"
route = "policy/closed"

[[tests]]
request = "POST https://api.test/v1/x"
expect = "no_route"
credential = "none"

[[tests]]
request = "GET https://api.test/v1/%2e%2e/x"
expect = "path_not_canonical"
"#;

#[test]
fn cases_that_hold_pass_and_routes_without_a_case_are_named() {
    let dir = files(CASES);
    let tested = sallygate(dir.path(), &["policy", "test"]);
    assert_eq!(tested.status.code(), Some(0), "{}{}", stdout(&tested), stderr(&tested));
    let text = stdout(&tested);
    assert!(text.contains("no case is decided by policy/read (profile web)"), "{text}");
    assert!(text.ends_with("4 passed, 0 failed; 1 route without a case\n"), "{text}");
    let strict = sallygate(dir.path(), &["policy", "test", "--all-routes"]);
    assert_eq!(strict.status.code(), Some(1));
    let json: Value =
        serde_json::from_slice(&sallygate(dir.path(), &["policy", "test", "-o", "json"]).stdout)
            .expect("JSON");
    assert_eq!(json["tests"].as_array().map(Vec::len), Some(4));
    assert_eq!(json["unexercised"], json!([{ "profile": "web", "route": "policy/read" }]));
}

#[test]
fn a_case_that_does_not_hold_fails_with_what_is_and_why() {
    for (case, expected) in [
        ("request = 'GET https://api.test/v1/x'\nexpect = 'deny'", "outcome is `allow`, `deny`"),
        ("request = 'GET https://api.test/v1/secret'\nexpect = 'allow'", "outcome is `deny`"),
        (
            "request = 'GET https://api.test/v1/x'\nexpect = 'allow'\nroute = 'demo/headers'",
            "route is `policy/read`",
        ),
        (
            "request = 'GET https://api.test/v1/x'\nexpect = 'allow'\ncredential = 'demo'",
            "credential is `none`",
        ),
        ("request = 'GET https://a..b/'\nexpect = 'allow'", "outcome is `host_not_canonical`"),
    ] {
        let dir = files(&format!("[[tests]]\n{case}\n"));
        let tested = sallygate(dir.path(), &["policy", "test"]);
        assert_eq!(tested.status.code(), Some(1), "{case}");
        let text = stdout(&tested);
        assert!(text.contains("FAILED") && text.contains(expected), "{case}: {text}");
        assert!(text.contains("policy.test.toml:1"), "{text}");
    }
}

#[test]
fn cases_that_make_no_sense_are_listed_with_their_place() {
    for (case, expected) in [
        ("", "tests` is missing"),
        ("[[tests]]\nexpect = 'allow'\n", "request` is missing"),
        ("[[tests]]\nrequest = 'GET https://a.test/'\n", "expect` is missing"),
        ("[[tests]]\nrequest = 'https://a.test/'\nexpect = 'allow'\n", "a request is"),
        ("[[tests]]\nrequest = 'GET https://a.test/'\nexpect = 'alow'\n", "did you mean `allow`?"),
        (
            "[[tests]]\nrequest = 'GET https://a.test/'\nexpect = 'allow'\nprofile = 'wbe'\n",
            "no profile `wbe`",
        ),
        (
            "[[tests]]\nrequest = 'GET https://a.test/'\nexpect = 'allow'\nheaders = ['x']\n",
            "a header is",
        ),
        ("[[tests]]\nrequests = 'x'\n", "did you mean `request`?"),
    ] {
        let dir = files(case);
        let tested = sallygate(dir.path(), &["policy", "test"]);
        assert_eq!(tested.status.code(), Some(1), "{case}");
        assert!(stderr(&tested).contains(expected), "{case}: {}", stderr(&tested));
    }
    let dir = files("");
    let missing = sallygate(dir.path(), &["policy", "test", "other.toml"]);
    assert_eq!(missing.status.code(), Some(4));
}

#[test]
fn formatting_changes_how_a_policy_is_written_and_nothing_else() {
    let dir = files(CASES);
    let path = dir.path().join("policy.toml");
    let digest = || {
        let plan = sallygate(dir.path(), &["policy", "compile"]);
        let plan: Value = serde_json::from_slice(&plan.stdout).expect("a plan");
        plan["digest"].clone()
    };
    let (before, untidy) = (digest(), POLICY.replace(" = ", "=").replace('"', "'"));
    let check = || sallygate(dir.path(), &["policy", "fmt", "--check"]);
    // The cases of these tests are not as the formatter would write them either.
    sallygate(dir.path(), &["policy", "fmt", "policy.test.toml"]);
    assert_eq!(check().status.code(), Some(0), "{}", stdout(&check()));
    fs::write(&path, &untidy).expect("a policy");
    assert_eq!(check().status.code(), Some(2));
    assert_eq!(stdout(&check()), "policy.toml\n");
    assert_eq!(fs::read_to_string(&path).expect("a policy"), untidy, "a check writes nothing");
    assert_eq!(sallygate(dir.path(), &["policy", "fmt"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&path).expect("a policy"), POLICY);
    assert_eq!(check().status.code(), Some(0));
    assert_eq!(digest(), before);
    fs::write(&path, "a = [").expect("a policy");
    let broken = sallygate(dir.path(), &["policy", "fmt"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(stderr(&broken).contains("policy.toml:1:"), "{}", stderr(&broken));
    assert_eq!(fs::read_to_string(&path).expect("a policy"), "a = [");
}

#[test]
fn what_is_in_force_is_listed_in_order_of_precedence_with_where_it_comes_from() {
    let dir = files("");
    let route = |name: &str, hosts: &str, path: &str, more: &str| {
        format!(
            "\n[[profiles.web.routes]]\nname = \"{name}\"\nhosts = [\"{hosts}\"]\n\
             paths = [\"{path}\"]\n{more}"
        )
    };
    let more = [
        route("any", "*", "/**", ""),
        route("suffix", "**.test", "/**", ""),
        route("longer", "**.api.test", "/**", ""),
        route("tail", "api.test", "/v2/**", ""),
        route("parameter", "api.test", "/v2/{x}", ""),
        route("literal", "api.test", "/v2/x", ""),
        route("method", "api.test", "/v2/x", "methods = [\"GET\"]\n"),
    ];
    let policy = format!("{POLICY}{}", more.concat());
    fs::write(dir.path().join("policy.toml"), &policy).expect("a policy");
    let listed = sallygate(dir.path(), &["policy", "effective", "-o", "json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let rows = listed["web"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["route"].as_str()).collect();
    let expected = [
        "policy/closed",
        "policy/read",
        "policy/method",
        "policy/literal",
        "policy/parameter",
        "policy/tail",
        "demo/headers",
        "policy/longer",
        "policy/suffix",
        "policy/any",
    ];
    assert_eq!(names, expected);
    let bound = rows.iter().find(|row| row["route"] == "demo/headers").expect("a bound route");
    assert_eq!(bound["definition"], "generic::http-api");
    let line = |text: &str| policy.lines().position(|line| line.contains(text)).expect("it") + 1;
    let place = format!("policy.toml:{}", line("name = \"headers\""));
    assert!(bound["origin"].as_str().is_some_and(|o| o.ends_with(&place)), "{bound}");
}

/// A denial as the audit log has it.
fn denial(method: &str, host: &str, path: Option<&str>) -> String {
    let mut record = json!({
        "time": "2026-11-26T10:00:00.000Z", "requestId": "01K", "decision": "dec_01K",
        "sandbox": "sbx_a", "profile": "web", "mode": "intercept", "method": method,
        "host": host, "port": 443, "verdict": "deny", "code": "no_route", "status": 403,
    });
    if let Some(path) = path {
        record["path"] = json!(path);
    }
    record.to_string()
}

#[test]
fn what_is_suggested_allows_what_was_denied_and_little_else() {
    let dir = files("");
    let denials: Vec<String> = ["acme/site", "globex/web", "initech/api"]
        .iter()
        .map(|repository| format!("/repos/{repository}/pulls"))
        .chain(["/rate_limit".to_owned()])
        .map(|path| denial("GET", "api.github.com", Some(&path)))
        .chain([denial("POST", "hooks.test", Some("/x"))])
        .collect();
    fs::write(dir.path().join("audit.jsonl"), denials.join("\n") + "\n").expect("a log");
    let suggested = sallygate(dir.path(), &["policy", "suggest", "--from", "audit.jsonl"]);
    assert_eq!(suggested.status.code(), Some(0), "{}", stderr(&suggested));
    let text = stdout(&suggested);
    assert!(text.contains("\"/repos/{owner}/{repo}/pulls\""), "{text}");
    fs::write(dir.path().join("policy.toml"), format!("{POLICY}\n{text}")).expect("a policy");
    let outcome = |method: &str, url: &str| {
        let explained = sallygate(dir.path(), &["explain", method, url, "-o", "json"]);
        let explained: Value = serde_json::from_slice(&explained.stdout).expect("JSON");
        explained["explanation"]["outcome"].as_str().expect("an outcome").to_owned()
    };
    for (method, url, expected) in [
        ("GET", "https://api.github.com/repos/acme/site/pulls", "allow"),
        ("GET", "https://api.github.com/repos/initech/api/pulls", "allow"),
        ("GET", "https://api.github.com/rate_limit", "allow"),
        ("POST", "https://hooks.test/x", "allow"),
        ("GET", "https://hooks.test/x", "no_route"),
        ("POST", "https://api.github.com/repos/acme/site/pulls", "no_route"),
        ("GET", "https://api.github.com/repos/acme/site/pulls/1", "no_route"),
        ("GET", "https://api.github.com/repos/acme/site", "no_route"),
        ("GET", "https://api.github.com/user", "no_route"),
        ("GET", "https://github.com/rate_limit", "no_route"),
    ] {
        assert_eq!(outcome(method, url), expected, "{method} {url}");
    }
}

#[test]
fn denials_without_their_path_say_what_must_be_switched_on() {
    let dir = files("");
    let log = dir.path().join("audit.jsonl");
    fs::write(&log, denial("GET", "api.github.com", None) + "\n").expect("a log");
    let suggest = |more: &[&str]| {
        let arguments = [&["policy", "suggest", "--from", "audit.jsonl"], more].concat();
        sallygate(dir.path(), &arguments)
    };
    let blind = suggest(&[]);
    assert_eq!(blind.status.code(), Some(1));
    assert!(stderr(&blind).contains("raw_path = true"), "{}", stderr(&blind));
    assert!(stdout(&blind).is_empty());
    for more in [["--sandbox", "sbx_b"], ["--profile", "other"]] {
        let nothing = suggest(&more);
        assert_eq!(nothing.status.code(), Some(0), "{}", stderr(&nothing));
        assert!(stderr(&nothing).contains("nothing was denied"), "{}", stderr(&nothing));
    }
    let missing = sallygate(dir.path(), &["policy", "suggest", "--from", "none.jsonl"]);
    assert_eq!(missing.status.code(), Some(4));
}
