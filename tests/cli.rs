//! The command line without a running proxy: what it says about files, and how it ends.

#![cfg(test)]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
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

const POLICY: &str = r#"
version = 1

[[profiles.web.bindings]]
id = "demo"
connection = "demo"
routes = [{ name = "headers", methods = ["GET"], paths = ["/headers"] }]

[[profiles.web.routes]]
name = "read"
hosts = ["api.test"]
paths = ["/v1/**"]
methods = ["GET"]

[[profiles.web.routes]]
name = "closed"
action = "deny"
reason = "not this one"
hosts = ["api.test"]
paths = ["/v1/secret"]

[[sandboxes]]
id = "sbx_a"
profile = "web"
sources = ["127.0.0.1/32"]
"#;

fn sallygate(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    command.env_remove("SALLYGATE_DATA_DIR").env_remove("JAVA_TOOL_OPTIONS").env("NO_COLOR", "1");
    command.output().expect("sallygate runs")
}

fn files(config: &str, policy: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("config.toml"), config).expect("config.toml");
    fs::write(dir.path().join("policy.toml"), policy).expect("policy.toml");
    dir
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

const BAD_POLICY: &str = r#"version = 1
[[profiles.web.routes]]
name = "read"
hosts = ["api.test"]
methods = ["get"]
pahts = ["/a"]
[[profiles.web.bindings]]
id = "demo"
connection = "dmeo"
[[sandboxes]]
id = "sbx_a"
profile = "wbe"
"#;

#[test]
fn every_problem_of_a_bad_policy_is_listed_with_line_and_help() {
    let dir = files(CONFIG, BAD_POLICY);
    let checked = sallygate(dir.path(), &["policy", "check"]);
    assert_eq!(checked.status.code(), Some(1));
    let text = stdout(&checked);
    for expected in [
        "policy.toml:5:",
        "did you mean `GET`?",
        "policy.toml:6:",
        "did you mean `paths`?",
        "policy.toml:9:",
        "did you mean `demo`?",
        "did you mean `web`?",
        "methods = [\"get\"]",
        "4 errors",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour is wanted");
}

#[test]
fn a_bad_policy_is_told_to_programs_in_their_form() {
    let dir = files(CONFIG, BAD_POLICY);
    let check = |format| sallygate(dir.path(), &["policy", "check", "--format", format]);
    let plain = check("json");
    assert_eq!(plain.status.code(), Some(1));
    assert_eq!(json(&plain).as_array().expect("an array").len(), 4);
    let annotations = stdout(&check("github"));
    assert_eq!(
        annotations.lines().filter(|l| l.starts_with("::error file=policy.toml,")).count(),
        4
    );
    let sarif = json(&check("sarif"));
    assert_eq!(sarif.pointer("/runs/0/results").and_then(Value::as_array).map(Vec::len), Some(4));
}

#[test]
fn the_proxy_does_not_start_on_a_bad_policy_and_says_why() {
    let dir = files(CONFIG, BAD_POLICY);
    let output = sallygate(dir.path(), &["proxy"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("did you mean `GET`?"), "{}", stderr(&output));
}

#[test]
fn a_good_policy_is_checked_compiled_and_listed() {
    let dir = files(CONFIG, POLICY);
    let checked = sallygate(dir.path(), &["policy", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    assert!(stdout(&checked).contains("1 profile, 3 routes, 1 sandbox"));
    let plan = json(&sallygate(dir.path(), &["policy", "compile"]));
    assert!(plan["digest"].as_str().expect("a digest").starts_with("sha256:"));
    let written = sallygate(dir.path(), &["policy", "compile", "--profile", "web", "-o", "p.json"]);
    assert_eq!(written.status.code(), Some(0));
    let again: Value =
        serde_json::from_slice(&fs::read(dir.path().join("p.json")).expect("a plan"))
            .expect("JSON");
    assert_eq!(again, plan);
    let listed = json(&sallygate(dir.path(), &["policy", "effective", "-o", "json"]));
    let routes = listed["web"].as_array().expect("routes");
    let origin = |route: &str| {
        let row = routes.iter().find(|row| row["route"] == route).expect("the route");
        row["origin"].as_str().expect("an origin").to_owned()
    };
    assert_eq!(origin("demo/headers"), "policy.toml:7");
    assert_eq!(origin("policy/closed"), "policy.toml:15");
}

#[test]
fn explain_gives_the_outcome_of_the_table_that_enforces() {
    let dir = files(CONFIG, POLICY);
    let check = |method: &str, url: &str, outcome: &str, route: Option<&str>| {
        let output = sallygate(dir.path(), &["explain", method, url, "-o", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let explanation = &json(&output)["explanation"];
        assert_eq!(explanation["outcome"], outcome, "{method} {url}");
        assert_eq!(explanation["route"].as_str(), route, "{method} {url}");
    };
    check("GET", "https://echo.test/headers", "allow", Some("demo/headers"));
    check("GET", "https://API.test/v1/x?q=1", "allow", Some("policy/read"));
    check("GET", "https://api.test/v1/secret", "deny", Some("policy/closed"));
    check("POST", "https://api.test/v1/x", "no_route", None);
    check("GET", "http://api.test/v1/x", "no_route", None);
    check("GET", "https://elsewhere.test/", "no_route", None);
    let advised = stdout(&sallygate(dir.path(), &["explain", "POST", "https://elsewhere.test/a"]));
    assert!(advised.contains("hosts = [\"elsewhere.test\"]"), "{advised}");
    let refused = stdout(&sallygate(dir.path(), &["explain", "GET", "https://api.test/a%00"]));
    assert!(refused.contains("fix_client"), "{refused}");
}

#[test]
fn exit_codes_tell_what_kind_of_end_it_was() {
    let dir = files(CONFIG, POLICY);
    let check = |code: i32, arguments: &[&str]| {
        let output = sallygate(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(code == 0 || !output.stderr.is_empty(), "{arguments:?} says why");
    };
    check(0, &["--help"]);
    check(0, &["down"]);
    check(3, &["no-such-command"]);
    check(3, &["explain", "GET", "ftp://api.test/"]);
    check(4, &["explain", "GET", "https://api.test/", "--profile", "none"]);
    check(4, &["explain", "GET", "https://api.test/", "--sandbox", "none"]);
    check(4, &["explain", "dec_01ABC"]);
    check(4, &["policy", "compile", "--profile", "none"]);
    check(4, &["audit", "verify"]);
    check(3, &["db", "migrate-to", "mysql://localhost/other"]);
    check(4, &["db", "migrate-to", "postgres://localhost/other"]);
    check(7, &["status"]);
    check(7, &["run", "--", "true"]);
    check(7, &["tail", "-f"]);
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_to_choose_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let other = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = other.local_addr().expect("an address").port().to_string();
    let output = sallygate(
        dir.path(),
        &["up", "--proxy-port", &port, "--admin-port", "0", "--control-port", "0"],
    );
    assert_eq!(output.status.code(), Some(5));
    let told = stderr(&output);
    assert!(told.contains(&port) && told.contains("--proxy-port"), "{told}");
}

#[test]
fn the_variables_of_a_sandbox_are_printed_in_every_format() {
    let dir = files(CONFIG, POLICY);
    assert_eq!(sallygate(dir.path(), &["ca", "init", "--dir", "."]).status.code(), Some(0));
    fs::write(dir.path().join("token"), "sgt_secret\n").expect("a token");
    let arguments = ["env", "--dir", ".", "--sandbox", "sbx_a", "--token-file", "token"];
    let print = |format| {
        let output = sallygate(dir.path(), &[&arguments[..], &["--format", format]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        output
    };
    let variables = json(&print("json"));
    let url = "http://sbx_a:sgt_secret@127.0.0.1:8089";
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
        assert_eq!(variables[name], url);
    }
    let value = |name: &str| variables[name].as_str().expect("a value").to_owned();
    assert!(value("SSL_CERT_FILE").ends_with("/ca-bundle.pem"));
    assert!(value("NODE_EXTRA_CA_CERTS").ends_with("/ca.pem"));
    assert!(stdout(&print("shell")).contains(&format!("export HTTPS_PROXY='{url}'\n")));
    assert!(stdout(&print("dotenv")).contains(&format!("HTTPS_PROXY=\"{url}\"\n")));
    assert!(stdout(&print("docker")).contains(&format!("\nHTTPS_PROXY={url}\n")));
    assert!(stdout(&print("k8s")).contains(&format!("- name: HTTPS_PROXY\n  value: \"{url}\"\n")));
}

#[test]
fn a_token_is_read_from_standard_input() {
    let dir = files(CONFIG, POLICY);
    sallygate(dir.path(), &["ca", "init", "--dir", "."]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_sallygate"))
        .args(["env", "--dir", ".", "--sandbox", "sbx_a", "--token-file", "-", "--format", "json"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sallygate runs");
    child.stdin.take().expect("a pipe").write_all(b"t@k\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(json(&output)["HTTPS_PROXY"], "http://sbx_a:t%40k@127.0.0.1:8089");
}

#[test]
fn completions_manual_and_version_are_printed() {
    let dir = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = sallygate(dir.path(), &["completions", shell]);
        assert!(stdout(&output).contains("explain"), "{shell}");
    }
    assert!(stdout(&sallygate(dir.path(), &["man"])).contains(".TH sallygate"));
    let version = json(&sallygate(dir.path(), &["version", "-o", "json"]));
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn contracts_are_listed_and_printed_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = stdout(&sallygate(dir.path(), &["contracts"]));
    let whole = json(&sallygate(dir.path(), &["contracts", "--json"]));
    let entries = whole.as_array().expect("entries");
    assert!(entries.len() > 60, "{}", entries.len());
    assert_eq!(lines.lines().count(), entries.len());
    for (line, entry) in lines.lines().zip(entries) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.first().copied(), entry["id"].as_str(), "{line}");
        assert_eq!(words.get(1).copied(), entry["direction"].as_str(), "{line}");
        assert!(line.ends_with(entry["surface"].as_str().expect("a surface")), "{line}");
    }
}

#[test]
fn the_generated_pages_of_the_reference_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = sallygate(root, &["internal", "reference", "--check"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_configuration_is_checked_shown_with_its_origins_and_explained() {
    let config = format!("{CONFIG}\n[control]\nlisten = \"127.0.0.1:0\"\n");
    let dir = files(&config, "this is no policy");
    let run = |arguments: &[&str]| sallygate(dir.path(), arguments);
    let checked = run(&["config", "check"]);
    assert!(checked.status.success(), "the policy is not read: {}", stderr(&checked));
    assert_eq!(stdout(&checked), "ok: config.toml\n");
    let shown = stdout(&run(&["config", "show", "--origin"]));
    for line in [
        "targets.echo.inject = \"bearer\"  # config.toml:5",
        "connections.demo.value_env = \"DEMO_TOKEN\"  # config.toml:9",
        "control.listen = \"127.0.0.1:0\"  # config.toml:12",
        "control.trusted_proxies = []  # default",
        "admin.listen = 127.0.0.1:8090  # default",
        "NO_COLOR = \"1\"  # environment",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
    }
    assert!(!stdout(&run(&["config", "show"])).contains('#'));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command.current_dir(dir.path()).args(["config", "show", "-o", "json"]);
    let secret = command.env("DATABASE_URL", "postgres://u:hunter2@h/d").output().expect("it runs");
    assert!(!stdout(&secret).contains("hunter2"));
    let all = json(&secret)["settings"].clone();
    let all = all.as_array().expect("settings");
    assert!(all.iter().any(|s| s["key"] == "DATABASE_URL" && s["origin"] == "environment"));
    let explained = stdout(&run(&["config", "docs", "targets.echo.definition"]));
    assert!(explained.contains("targets.ID.definition"), "{explained}");
    assert!(stdout(&run(&["config", "docs"])).lines().any(|key| key == "proxy.listen"));
    let unknown = run(&["config", "docs", "proxy.listn"]);
    assert_eq!(unknown.status.code(), Some(4));
    assert!(stderr(&unknown).contains("did you mean `proxy.listen`?"), "{}", stderr(&unknown));
    for wrong in [
        "[proxi]\n",
        "[proxy]\nlisten = 5\n",
        "[control]\n",
        "[control]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"10.0.0.0/33\"]\n",
        "data_dir = \"a\"\ndata_dir = \"b\"\n",
        "[",
    ] {
        let dir = files(wrong, POLICY);
        let found = sallygate(dir.path(), &["config", "check"]);
        assert_eq!(found.status.code(), Some(1), "{wrong}: {}", stdout(&found));
        assert!(stdout(&found).contains("config.toml"), "{wrong}: {}", stdout(&found));
        let shown = sallygate(dir.path(), &["config", "show"]);
        assert_eq!((shown.status.code(), stdout(&shown)), (Some(1), String::new()), "{wrong}");
        let told = sallygate(dir.path(), &["config", "check", "--format", "json"]);
        assert!(json(&told).as_array().is_some_and(|all| !all.is_empty()), "{wrong}");
    }
    let nowhere = sallygate(dir.path(), &["config", "check", "--config", "none.toml"]);
    assert_eq!(nowhere.status.code(), Some(1));
}
