//! ARCHITECTURE.md names only what exists.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between backticks, outside of fenced blocks.
fn quoted(text: &str) -> BTreeSet<String> {
    let prose: String = text.split("```").step_by(2).collect();
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn sources(directory: &Path, into: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_path_in_the_architecture_exists() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let tops = ["definitions", "compiler", "proxy", "control", "src", "tests", "benches", "docs"];
    let is_path = |q: &&String| tops.iter().any(|t| q.starts_with(&format!("{t}/")));
    let named = quoted(&text);
    let paths: Vec<_> = named.iter().filter(is_path).collect();
    assert!(paths.len() > 20, "the map names {} paths", paths.len());
    let missing: Vec<_> = paths.iter().filter(|p| !root().join(p).exists()).collect();
    assert!(missing.is_empty(), "named but missing: {missing:?}");
}

#[test]
fn every_path_in_the_threats_exists() {
    let text = std::fs::read_to_string(root().join("THREATS.md")).unwrap();
    let named = quoted(&text);
    let is_path = |q: &&String| {
        ["compiler/", "proxy/", "control/", "tests/"].iter().any(|t| q.starts_with(t))
    };
    let paths: Vec<_> = named.iter().filter(is_path).collect();
    assert!(paths.len() > 15, "the threats name {} paths", paths.len());
    let missing: Vec<_> = paths.iter().filter(|p| !root().join(p).exists()).collect();
    assert!(missing.is_empty(), "named but missing: {missing:?}");
}

#[test]
fn every_type_in_the_architecture_exists() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut code = String::new();
    for part in ["definitions/src", "compiler/src", "proxy/src", "control/src", "src"] {
        sources(&root().join(part), &mut code);
    }
    let theirs = ["HttpProxy", "ProxyHttp", "Display"];
    let is_type = |q: &&String| {
        q.starts_with(|c: char| c.is_ascii_uppercase())
            && q.chars().all(|c| c.is_ascii_alphanumeric())
            && q.chars().any(|c| c.is_ascii_lowercase())
            && !theirs.contains(&q.as_str())
    };
    let named = quoted(&text);
    let defined = |name: &str| {
        ["struct", "enum", "trait", "type"]
            .iter()
            .any(|kind| code.contains(&format!("{kind} {name}")))
    };
    let missing: Vec<_> = named.iter().filter(is_type).filter(|t| !defined(t)).collect();
    assert!(missing.is_empty(), "named but not defined: {missing:?}");
}

#[test]
fn every_package_is_held_to_the_lints_of_the_workspace() {
    for part in [".", "definitions", "compiler", "proxy", "control"] {
        let manifest = std::fs::read_to_string(root().join(part).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{part} is not");
    }
}
