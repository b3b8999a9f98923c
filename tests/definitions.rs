//! Definitions of an operator, as the command line sees them.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const DEFINITION: &str = r#"familyId = "acme"
variantId = "cloud"
kind = "connector"
displayName = "Acme"
description = "Things at Acme."
logoKey = "acme"

[targetConfigSchema.properties.baseUrl]
type = "string"
format = "uri"
default = "https://api.acme.test"

[[connectionMethods]]
kind = "form"
id = "token"
label = "Token"
fields = [{ name = "token", label = "Token", secretType = "api_key" }]

[[compileBinding.origins]]
name = "api"
baseUrl = "{{target.baseUrl}}"
inject = [{ secretType = "api_key", present = { kind = "bearer" } }]

[[compileBinding.routes]]
name = "things"
methods = ["GET"]
paths = ["/things/**"]
"#;

const CONFIG: &str = "[targets.acme]\ndefinition = \"acme::cloud\"\n\
                      [connections.acme]\ntarget = \"acme\"\nvalue_env = \"ACME_TOKEN\"\n";

const POLICY: &str = "version = 1\n[[profiles.web.bindings]]\nid = \"things\"\n\
                      connection = \"acme\"\n[[sandboxes]]\nid = \"sbx_a\"\nprofile = \"web\"\n\
                      sources = [\"127.0.0.1/32\"]\n";

fn sallygate(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    command.env_remove("SALLYGATE_DATA_DIR").env("NO_COLOR", "1");
    command.output().expect("sallygate runs")
}

/// A configuration whose definitions are these files of `dir`.
fn files(config: &str, dir: &str, definitions: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    fs::write(root.path().join("config.toml"), config).expect("a file");
    fs::write(root.path().join("policy.toml"), POLICY).expect("a file");
    if !definitions.is_empty() {
        fs::create_dir(root.path().join(dir)).expect("a directory");
    }
    for (name, text) in definitions {
        fs::write(root.path().join(dir).join(name), text).expect("a file");
    }
    root
}

fn check(root: &TempDir) -> (Option<i32>, String) {
    let output = sallygate(root.path(), &["policy", "check", "--format", "json"]);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_definition_in_the_directory_is_one_of_the_definitions() {
    let named = format!("definitions_dir = \"own\"\n{CONFIG}");
    for (config, dir) in [(CONFIG, "integrations.d"), (named.as_str(), "own")] {
        let root = files(config, dir, &[("acme.toml", DEFINITION), ("notes.txt", "not TOML")]);
        let (code, found) = check(&root);
        assert_eq!(code, Some(0), "{found}");
        let output = sallygate(root.path(), &["policy", "compile", "--profile", "web"]);
        let plan = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(plan.contains("/things/**") && plan.contains("api.acme.test"), "{plan}");
    }
}

#[test]
fn a_mistake_in_a_definition_is_shown_with_file_line_and_column() {
    let misspelt = DEFINITION.replace("displayName", "displayNmae");
    let evil = DEFINITION
        .replace("\"acme\"\nvariantId = \"cloud\"", "\"generic\"\nvariantId = \"http-api\"");
    let blank = DEFINITION.replace("\"Things at Acme.\"", "\" \"");
    let torn = DEFINITION.replace("familyId = \"acme\"", "familyId = \"acme");
    let loose = DEFINITION.replace("{{target.baseUrl}}", "{{target.url}}");
    for (text, code, line, column) in [
        (misspelt.as_str(), "UNKNOWN_FIELD", 4, 1),
        (&evil, "DUPLICATE_DEFINITION", 1, 1),
        (&blank, "INVALID_DEFINITION", 5, 15),
        (&torn, "TOML_SYNTAX", 1, 17),
        (&loose, "INVALID_DEFINITION", 21, 11),
    ] {
        let root = files(CONFIG, "integrations.d", &[("acme.toml", text)]);
        let (_, found) = check(&root);
        let found: Vec<Value> = serde_json::from_str(&found).expect("JSON");
        let at = |d: &Value| {
            let place = &d["place"];
            let file = place["file"].as_str().unwrap_or_default().ends_with("acme.toml");
            d["code"] == code && file && place["line"] == line && place["column"] == column
        };
        assert!(found.iter().any(at), "{code} {line}:{column}: {found:?}");
    }
}

#[test]
fn a_directory_that_is_named_is_there() {
    let config = format!("definitions_dir = \"nowhere\"\n{CONFIG}");
    let (_, found) = check(&files(&config, "", &[]));
    assert!(found.contains("FILE_UNREADABLE") && found.contains("nowhere"), "{found}");
    let (_, found) = check(&files(CONFIG, "", &[]));
    assert!(
        found.contains("DEFINITION_NOT_FOUND") && !found.contains("FILE_UNREADABLE"),
        "{found}"
    );
}

#[test]
fn a_file_that_is_too_long_is_not_read_whole() {
    let long = format!("{DEFINITION}#{}", "x".repeat(300 << 10));
    let (_, found) = check(&files(CONFIG, "integrations.d", &[("acme.toml", &long)]));
    assert!(found.contains("DEFINITION_TOO_LARGE"), "{found}");
}

#[test]
fn the_schema_for_editors_is_printed_and_is_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = sallygate(dir.path(), &["internal", "schema", "definition"]);
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["properties"]["compileBinding"].is_object(), "{schema}");
}
