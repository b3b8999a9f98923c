//! What people read when they have made a mistake: each of these is one, and the snapshot beside it
//! is what `sallygate policy check` prints. An answer that would not help its reader is a bug.

#![cfg(test)]

use std::fs;
use std::process::{Command, Stdio};

/// Targets and connections that the mistakes of policies are made with.
const CONFIG: &str = r#"[targets.github]
definition = "github::github-cloud"

[targets.echo]
definition = "generic::http-api"
base_url = "https://echo.test/v1"
inject = "bearer"

[targets.off]
definition = "demo::echo"
enabled = false

[connections.github]
target = "github"
method = "token"
value_env = "GITHUB_TOKEN"
[connections.github.config]
repositories = ["acme/site"]

[connections.echo]
target = "echo"
value_env = "ECHO_TOKEN"

[connections.off]
target = "off"
value_env = "OFF_TOKEN"

[connections.gone]
target = "echo"
status = "revoked"
value_env = "GONE_TOKEN"
"#;

/// A binding of the profile `web`.
fn binding(rest: &str) -> String {
    format!("[[profiles.web.bindings]]\nid = \"ibd_1\"\n{rest}\n")
}

/// A route of the profile `web`.
fn route(rest: &str) -> String {
    format!("[[profiles.web.routes]]\nname = \"r\"\n{rest}\n")
}

fn check(config: &str, policy: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("config.toml"), config).expect("a file");
    fs::write(dir.path().join("policy.toml"), policy).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command.current_dir(dir.path()).args(["policy", "check", "--config", "config.toml"]);
    command.env_remove("SALLYGATE_DATA_DIR").env("NO_COLOR", "1").stdin(Stdio::null());
    let output = command.output().expect("sallygate runs");
    assert!(!output.status.success(), "it is a mistake");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).expect("text")
}

#[test]
fn every_mistake_in_a_policy_is_explained() {
    let github = |config: &str| binding(&format!("connection = \"github\"\nconfig = {config}"));
    let inline = |route: &str| binding(&format!("connection = \"echo\"\nroutes = [{route}]"));
    let cases = [
        ("toml_that_is_not_closed", "[profiles.web\n".to_owned()),
        ("unknown_field", route("host = \"a.test\"\nhosts = [\"a.test\"]")),
        ("wrong_type", route("hosts = \"a.test\"")),
        ("lower_case_method", route("hosts = [\"a.test\"]\nmethods = [\"get\"]")),
        ("host_with_a_port", route("hosts = [\"a.test:8443\"]")),
        ("dot_segments", route("hosts = [\"a.test\"]\npaths = [\"/v1/../admin\"]")),
        ("unknown_connection", binding("connection = \"githb\"")),
        ("disabled_target", binding("connection = \"off\"")),
        ("revoked_connection", binding("connection = \"gone\"\nroutes = [{ name = \"all\" }]")),
        (
            "wrong_kind",
            binding(
                "connection = \"github\"\nkind = \"agent\"\nconfig = { repositories = [\"acme/site\"] }",
            ),
        ),
        ("unknown_binding_field", github("{ repository = \"acme/site\" }")),
        ("binding_field_of_another_type", github("{ repositories = \"acme/site\" }")),
        (
            "word_that_is_no_choice",
            github("{ repositories = [\"acme/site\"], access = \"wirte\" }"),
        ),
        ("repository_without_an_owner", github("{ repositories = [\"acme//site\"] }")),
        ("repository_that_the_token_does_not_see", github("{ repositories = [\"acme/other\"] }")),
        ("nothing_is_granted", github("{}")),
        ("routes_are_missing", binding("connection = \"echo\"")),
        (
            "unknown_route_of_a_definition",
            binding(
                "connection = \"github\"\nconfig = { repositories = [\"acme/site\"] }\nroutes = [\"raed\"]",
            ),
        ),
        (
            "own_route_without_an_origin",
            binding(
                "connection = \"github\"\nconfig = { repositories = [\"acme/site\"] }\nroutes = [{ name = \"own\" }]",
            ),
        ),
        ("two_bindings_of_one_id", inline("{ name = \"a\" }") + &inline("{ name = \"b\" }")),
        (
            "routes_that_contradict_each_other",
            inline(
                "{ name = \"a\", paths = [\"/{x}\"], concurrency = 1 }, { name = \"b\", paths = [\"/{y}\"] }",
            ),
        ),
        (
            "assertion_that_does_not_hold",
            inline("{ name = \"all\" }")
                + "[[profiles.web.assertions]]\nnever = { hosts = [\"echo.test\"], methods = [\"DELETE\"] }\n",
        ),
        (
            "sandbox_of_an_unknown_profile",
            "[profiles.web]\n[[sandboxes]]\nid = \"sbx_1\"\nprofile = \"wbe\"\n".to_owned(),
        ),
    ];
    for (name, policy) in cases {
        insta::assert_snapshot!(name, check(CONFIG, &policy));
    }
}

#[test]
fn every_mistake_in_a_configuration_is_explained() {
    let target = |rest: &str| format!("[targets.t]\n{rest}\n");
    let cases = [
        ("unknown_definition", target("definition = \"github::github-clod\"")),
        (
            "target_config_that_is_no_url",
            target(
                "definition = \"github::github-cloud\"\nconfig = { apiBaseUrl = \"api.github.com\" }",
            ),
        ),
        (
            "base_url_said_twice",
            target(
                "definition = \"demo::echo\"\nbase_url = \"https://a.test\"\nconfig = { baseUrl = \"https://b.test\" }",
            ),
        ),
        (
            "clear_text_credential",
            target("definition = \"demo::echo\"\nbase_url = \"http://a.test\""),
        ),
        (
            "unknown_method",
            target("definition = \"github::github-cloud\"")
                + "[connections.c]\ntarget = \"t\"\nmethod = \"tokn\"\nvalue_env = \"X\"\n",
        ),
    ];
    for (name, config) in cases {
        insta::assert_snapshot!(name, check(&config, "version = 1\n"));
    }
}

#[test]
fn a_credential_that_would_have_no_place_is_explained() {
    let config = "[targets.t]\ndefinition = \"generic::http-api\"\nbase_url = \"https://t.test\"\ninject = \"path\"\n\
                  [connections.c]\ntarget = \"t\"\nvalue_env = \"X\"\n";
    let policy = "[[profiles.web.bindings]]\nid = \"ibd_1\"\nconnection = \"c\"\nroutes = [{ name = \"send\", paths = [\"/bot/send\"] }]\n";
    insta::assert_snapshot!("path_without_its_segment", check(config, policy));
}
