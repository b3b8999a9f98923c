//! What two policies decide differently, and what recorded decisions would have become.

#![cfg(test)]

#[expect(dead_code, reason = "every test file uses its part of the client")]
mod raw;
#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use raw::{Caller, Raw};
use serde_json::{Value, json};
use tempfile::TempDir;
use world::{Inject, Service, Upstream, World};

const CONFIG: &str = r#"
[targets.echo]
definition = "generic::http-api"
base_url = "https://echo.test"
inject = "bearer"
[connections.demo]
target = "echo"
value_env = "DEMO_TOKEN"
"#;

const BEFORE: &str = r#"version = 1

[[profiles.web.routes]]
name = "read"
hosts = ["api.test"]
methods = ["GET"]
paths = ["/repos/acme/**"]

[[profiles.web.routes]]
name = "flagged"
hosts = ["flag.test"]
paths = ["/v1/{thing}"]
headers = [{ name = "x-beta", equals = "1" }]
"#;

const COMMENT: &str = r#"
[[profiles.web.routes]]
name = "comment"
hosts = ["api.test"]
methods = ["POST"]
paths = ["/repos/acme/{repo}/issues"]
"#;

fn sallygate(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    command.env_remove("SALLYGATE_DATA_DIR").env("NO_COLOR", "1");
    command.output().expect("sallygate runs")
}

/// Configurations in `old` and `new`, which differ in their policy.
fn policies(old: &str, new: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, policy) in [("old", old), ("new", new)] {
        let at = dir.path().join(name);
        fs::create_dir(&at).expect("a directory");
        fs::write(at.join("config.toml"), CONFIG).expect("a file");
        fs::write(at.join("policy.toml"), policy).expect("a file");
    }
    dir
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_difference_is_one_line_and_the_exit_code_says_whether_there_is_one() {
    let widened = format!("{BEFORE}{COMMENT}");
    let other_methods = BEFORE.replace("[\"GET\"]", "[\"HEAD\"]");
    let other_profile = BEFORE.replace("profiles.web", "profiles.ci");
    for (old, new, code, expected) in [
        (BEFORE, BEFORE, 0, ""),
        (
            BEFORE,
            widened.as_str(),
            2,
            "+ web POST api.test/repos/acme/*/issues  no_route -> allow\n",
        ),
        (
            widened.as_str(),
            BEFORE,
            2,
            "- web POST api.test/repos/acme/*/issues  allow -> no_route\n",
        ),
        (
            BEFORE,
            other_methods.as_str(),
            2,
            "+ web HEAD api.test/repos/acme/**  no_route -> allow\n\
             - web GET api.test/repos/acme/**  allow -> no_route\n",
        ),
        (
            BEFORE,
            other_profile.as_str(),
            2,
            "+ ci GET api.test/repos/acme/**  no_route -> allow\n\
             + ci * flag.test/v1/* [header x-beta=1]  no_route -> allow\n\
             - web GET api.test/repos/acme/**  allow -> no_route\n\
             - web * flag.test/v1/* [header x-beta=1]  allow -> no_route\n",
        ),
    ] {
        let dir = policies(old, new);
        let found = sallygate(dir.path(), &["policy", "diff", "old", "new/config.toml"]);
        assert_eq!(stdout(&found), expected, "{}", stderr(&found));
        assert_eq!(found.status.code(), Some(code), "{expected}");
    }
}

#[test]
fn no_more_than_a_dozen_differences_are_listed_unless_all_are_asked_for() {
    let hosts: Vec<String> = (10..30)
        .map(|n| format!("[[profiles.web.routes]]\nname = \"r{n}\"\nhosts = [\"h{n}.test\"]\npaths = [\"/p{n}\"]\n"))
        .collect();
    let dir = policies(BEFORE, &format!("{BEFORE}{}", hosts.concat()));
    let short = stdout(&sallygate(dir.path(), &["policy", "diff", "old", "new"]));
    assert_eq!(short.lines().count(), 13, "{short}");
    assert!(short.ends_with("and 8 more: `--all` lists them\n"), "{short}");
    let all = stdout(&sallygate(dir.path(), &["policy", "diff", "old", "new", "--all"]));
    assert_eq!(all.lines().filter(|line| line.starts_with("+ web ")).count(), 20, "{all}");
    assert!(all.contains("    such as GET https://h10.test/p10\n"), "{all}");
    let json = sallygate(dir.path(), &["policy", "diff", "old", "new", "--format", "json"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let profile = &json["profiles"][0];
    assert_eq!(profile["profile"], "web");
    assert_eq!(profile["complete"], true);
    let regions = profile["regions"].as_array().expect("regions");
    assert_eq!(regions.len(), 20);
    assert_eq!(regions[0]["sign"], "+");
    assert_eq!(regions[0]["new"], json!({ "outcome": "allow", "route": "policy/r10" }));
}

#[test]
fn plans_are_compared_with_plans_and_with_the_profile_they_were_made_from() {
    let dir = policies(BEFORE, &format!("{BEFORE}{COMMENT}"));
    let compile = |from: &str, to: &str| {
        let config = format!("{from}/config.toml");
        let made = sallygate(dir.path(), &["policy", "compile", "--config", &config, "-o", to]);
        assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    };
    compile("old", "old.json");
    compile("new", "new.json");
    for (old, new) in [("old.json", "new.json"), ("old", "new.json"), ("old.json", "new")] {
        let found = sallygate(dir.path(), &["policy", "diff", old, new]);
        let expected = "+ web POST api.test/repos/acme/*/issues  no_route -> allow\n";
        assert_eq!(stdout(&found), expected, "{old} {new}: {}", stderr(&found));
    }
    let same = sallygate(dir.path(), &["policy", "diff", "old.json", "old"]);
    assert_eq!((same.status.code(), stdout(&same)), (Some(0), String::new()));
}

#[test]
fn what_cannot_be_compared_says_why() {
    let dir = policies(BEFORE, BEFORE);
    fs::write(dir.path().join("bad.json"), "{}").expect("a file");
    fs::write(dir.path().join("bad.toml"), "policy = 1").expect("a file");
    for (arguments, code, expected) in [
        (&["old", "nowhere"][..], 4, "`nowhere` does not exist"),
        (&["old", "bad.json"], 1, "INVALID_PLAN"),
        (&["bad.toml", "old"], 1, "bad.toml:1"),
        (&["old", "new", "--profile", "ci"], 4, "neither side has a profile `ci`"),
        (&["running", "new"], 7, "no proxy is running"),
        (&["old", "new", "--replay", "none.jsonl"], 4, "none.jsonl"),
        (&["old", "new", "third"], 3, "unexpected argument"),
    ] {
        let arguments = [&["policy", "diff"], arguments].concat();
        let found = sallygate(dir.path(), &arguments);
        assert_eq!(found.status.code(), Some(code), "{arguments:?}: {}", stderr(&found));
        assert!(stderr(&found).contains(expected), "{arguments:?}: {}", stderr(&found));
        assert!(stdout(&found).is_empty(), "{arguments:?}");
    }
}

/// A record as the audit log has it.
fn record(plan: &str, (method, host, path): (&str, &str, Option<&str>), route: &str) -> String {
    let (verdict, code) = if route.is_empty() { ("deny", "no_route") } else { ("allow", "ok") };
    let mut record = json!({
        "time": "2026-11-26T10:00:00.000Z", "requestId": "01K", "decision": "dec_01K",
        "sandbox": "sbx_a", "profile": "web", "plan": plan, "mode": "intercept",
        "method": method, "host": host, "port": 443, "route": route, "template": "/template",
        "verdict": verdict, "code": code, "status": 200,
    });
    if let Some(path) = path {
        record["path"] = json!(path);
    }
    record.to_string()
}

#[test]
fn a_replay_says_of_each_record_what_can_be_said_and_no_more() {
    let narrowed =
        BEFORE.replace("/repos/acme/**", "/repos/acme/site/**").replace("\"1\"", "\"2\"");
    let dir = policies(BEFORE, &format!("{narrowed}{COMMENT}"));
    let json = sallygate(dir.path(), &["policy", "diff", "old", "new", "--format", "json"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let digest = json["profiles"][0]["old"].as_str().expect("a digest").to_owned();
    let (read, flagged) = ("policy/read", "policy/flagged");
    let get = |path| ("GET", "api.test", path);
    for (plan, request, route, expected) in [
        (digest.as_str(), get(Some("/repos/acme/site/x")), read, ""),
        (&digest, get(Some("/repos/acme/docs/x")), read, "  - 1× GET api.test/repos/acme/docs/x"),
        // Only some paths of the route are still allowed.
        (&digest, get(None), read, "  ? 1× GET api.test/template"),
        (&digest, ("POST", "api.test", Some("/repos/acme/site/issues")), "", "  + 1× POST"),
        (&digest, ("POST", "api.test", None), "", "  ? 1× POST"),
        // A PUT is refused by both, whatever its path.
        (&digest, ("PUT", "api.test", None), "", ""),
        (&digest, ("GET", "other.test", None), "", ""),
        // Whatever the path was, the header was the one that is no longer asked for.
        (&digest, ("GET", "flag.test", None), flagged, "  - 1× GET flag.test/template"),
        // The header that would have made a difference is not on record.
        (&digest, ("GET", "flag.test", Some("/v1/x")), "", "  ? 1× GET flag.test/v1/x"),
        // Under another plan the same record says less.
        ("sha256:other", ("GET", "flag.test", Some("/v1/x")), flagged, "  ? 1× GET flag.test"),
        ("sha256:other", get(Some("/repos/acme/docs/x")), read, "  - 1× GET api.test/repos"),
        // This plan cannot have allowed that.
        (&digest, get(Some("/elsewhere")), read, "  ? 1× GET api.test/elsewhere  not decided"),
    ] {
        fs::write(dir.path().join("log"), record(plan, request, route) + "\n").expect("a log");
        let arguments = ["policy", "diff", "old", "new", "--replay", "log"];
        let replayed = sallygate(dir.path(), &arguments);
        let text = stdout(&replayed);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("sandbox sbx_a (profile web): 1 decisions, "), "{text}");
        let found = lines.get(1).copied().unwrap_or_default();
        assert!(found.starts_with(expected), "{request:?} {route}: {text}");
        assert_eq!(found.is_empty(), expected.is_empty(), "{request:?} {route}: {text}");
        let code = if expected.is_empty() { 0 } else { 2 };
        assert_eq!(replayed.status.code(), Some(code), "{request:?} {route}: {text}");
    }
}

#[test]
fn the_record_of_a_real_proxy_is_replayed_against_what_it_has_in_force() {
    const ROUTES: &str = "{ name = \"read\", methods = [\"GET\"], paths = [\"/get\"] }, \
                          { name = \"echo\", methods = [\"GET\"], paths = [\"/echo\"] },";
    let world = World::new()
        .upstream(Upstream::new("api", Service::Http).inject(Inject::Bearer))
        .allow("api", ROUTES)
        .start();
    let (caller, ca) = (Caller::from_url(&world.proxy_url()), world.ca_pem());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller, "api.test", &ca).await;
        for (path, status) in [("/get", 200), ("/get", 200), ("/nothing", 403)] {
            assert_eq!(raw.get("api.test", path).await.0, status, "{path}");
        }
    });
    world.audit_line("the last request", |line| line["code"] == "no_route");
    let dir = ca.parent().expect("the data directory").to_owned();
    let diff = |more: &[&str]| {
        let arguments = [&["policy", "diff", "running", "--dir", "."], more].concat();
        sallygate(&dir, &arguments)
    };
    let same = diff(&[]);
    assert_eq!((same.status.code(), stdout(&same)), (Some(0), String::new()), "{}", stderr(&same));
    let narrowed = world.policy().replace("paths = [\"/get\"]", "paths = [\"/other\"]");
    fs::write(dir.join("policy.toml"), narrowed).expect("a policy");
    assert_eq!(diff(&[]).status.code(), Some(2));
    let replayed = diff(&["--replay", "audit.jsonl"]);
    let text = stdout(&replayed);
    assert_eq!(replayed.status.code(), Some(2), "{text}{}", stderr(&replayed));
    assert!(text.contains("3 decisions, 2 would change, 1 cannot be told"), "{text}");
    assert!(text.contains("  - 2× GET api.test/get  allow -> no_route"), "{text}");
    // What was refused may have been the path that is allowed now.
    assert!(text.contains("  ? 1× GET api.test  no_route -> allow, or not"), "{text}");
}
