//! What `docs/how-to/add-an-integration.md` says, done.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const PAGE: &str = "docs/how-to/add-an-integration.md";

fn sallygate(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    command.env_remove("SALLYGATE_DATA_DIR").env("NO_COLOR", "1").env("SENTRY_TOKEN", "hush");
    command.output().expect("sallygate runs")
}

/// The fenced blocks of the page, in order: kind and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("```") {
        let (kind, after) = after.split_once('\n').expect("a line after a fence");
        let (text, after) = after.split_once("```").expect("a fence that ends");
        blocks.push((kind, text));
        rest = after;
    }
    blocks
}

/// Each command of a transcript, and what it should print.
fn transcript(text: &str) -> Vec<(&str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("$ sallygate ") {
            Some(command) => commands.push((command, String::new())),
            None => {
                let (_, expected) = commands.last_mut().expect("a command before its output");
                expected.push_str(line);
                expected.push('\n');
            }
        }
    }
    commands
}

#[test]
fn the_page_about_adding_an_integration_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join(PAGE)).expect("the page");
    let dir = tempfile::tempdir().expect("a directory");
    let mut ran = 0;
    for (kind, text) in blocks(&page) {
        match kind {
            "toml" => {
                let (name, _) = text.split_once('\n').expect("a first line");
                let name = name.strip_prefix("# ").expect("the name of the file");
                fs::write(dir.path().join(name), text).expect("a file");
            }
            "console" => {
                for (command, expected) in transcript(text) {
                    let arguments: Vec<&str> = command.split(' ').collect();
                    let output = sallygate(dir.path(), &arguments);
                    let said = String::from_utf8_lossy(&output.stdout).into_owned();
                    let talk = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{command}: {said}{talk}");
                    assert!(expected.is_empty() || said == expected, "{command}: {said}");
                    ran += 1;
                }
            }
            other => panic!("a block of `{other}`"),
        }
    }
    assert_eq!(ran, 5);

    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let mut asked = 0;
    for row in rows {
        let (request, outcome) = row.split_once("` | ").expect("two cells");
        let (method, url) = request.split_once(' ').expect("METHOD URL");
        let arguments = ["explain", method, url, "--config", "config.toml", "-o", "json"];
        let output = sallygate(dir.path(), &arguments);
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let allowed = said["explanation"]["outcome"] == "allow";
        assert_eq!(allowed, outcome == "allow", "{request}: {said}");
        asked += 1;
    }
    assert_eq!(asked, 6);
}

#[test]
fn a_scaffold_takes_no_place_of_another_file_or_definition() {
    let dir = tempfile::tempdir().expect("a directory");
    let new = |key: &str, url: &str| {
        sallygate(dir.path(), &["definition", "new", key, "--base-url", url]).status.code()
    };
    for (key, url, expected) in [
        ("acme::cloud", "https://api.acme.test", 0),
        ("acme::cloud", "https://api.acme.test", 5),
        ("github::github-cloud", "https://api.acme.test", 5),
        ("Acme::cloud", "https://api.acme.test", 3),
        ("acme", "https://api.acme.test", 3),
        ("../acme::cloud", "https://api.acme.test", 3),
        ("acme::other", "http://api.acme.test", 3),
    ] {
        assert_eq!(new(key, url), Some(expected), "{key} {url}");
    }
    let files: Vec<_> =
        fs::read_dir(dir.path().join("integrations.d")).expect("a directory").collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn definitions_are_listed_and_checked_with_those_of_ones_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| {
        let output = sallygate(dir.path(), arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, listed) = run(&["definition", "list"]);
    assert_eq!(code, Some(0), "{listed}");
    assert!(listed.contains("github::github-cloud") && !listed.contains("acme::"), "{listed}");

    run(&["definition", "new", "acme::cloud", "--base-url", "https://api.acme.test"]);
    let (_, listed) = run(&["definition", "list", "--format", "json"]);
    let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    assert!(listed.iter().any(|entry| entry["key"] == "acme::cloud"), "{listed:?}");

    let path = dir.path().join("integrations.d/acme-cloud.toml");
    let text = fs::read_to_string(&path).expect("the file");
    fs::write(&path, text.replace("displayName", "displayNmae")).expect("a file");
    let (code, found) =
        run(&["definition", "check", "integrations.d/acme-cloud.toml", "--format", "json"]);
    assert_eq!(code, Some(1));
    let found: Vec<Value> = serde_json::from_str(&found).expect("JSON");
    assert!(
        found.iter().any(|d| d["code"] == "UNKNOWN_FIELD" && d["place"]["line"] == 5),
        "{found:?}"
    );
    let (code, found) = run(&["definition", "check", "no-such.toml"]);
    assert_eq!(code, Some(1));
    assert!(found.contains("FILE_UNREADABLE"), "{found}");
    let (code, _) = run(&["definition", "check"]);
    assert_eq!(code, Some(3));
}
