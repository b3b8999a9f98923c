//! The list of diagnostic codes is the one of the code that makes them.

#![expect(clippy::expect_used, reason = "a test fails where what it relies on is not there")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sallygate_compiler::diagnostic::CODES;

/// What stands before the code where a diagnostic is made.
const MAKERS: [&str; 6] = [
    "Diagnostic::error(",
    "Diagnostic::warning(",
    "Issue::error(",
    "refuse(",
    "refuse_at(",
    "conflict(",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of the crates that make diagnostics, without their tests and without the list itself.
fn code() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "compiler/src", "definitions/src"] {
        sources(&root.join(dir), &mut files);
    }
    files.retain(|file| !file.ends_with("diagnostic/codes.rs"));
    let read = |file: PathBuf| fs::read_to_string(file).expect("a source file");
    let without_tests = |text: String| text.split("#[cfg(test)]").next().unwrap_or("").to_owned();
    files.into_iter().map(read).map(without_tests).collect()
}

/// The string literals in `text` that look like a code.
fn codes_in(text: &str) -> BTreeSet<String> {
    let is_code = |word: &&str| {
        word.contains('_') && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b == b'2')
    };
    text.split('"').filter(is_code).map(str::to_owned).collect()
}

#[test]
fn every_listed_code_is_made_somewhere() {
    let there = codes_in(&code());
    let missing: Vec<_> = CODES.iter().filter(|spec| !there.contains(spec.code)).collect();
    assert!(missing.is_empty(), "nothing makes {missing:?}");
}

#[test]
fn every_code_that_is_made_is_listed() {
    let code = code();
    let mut unlisted = BTreeSet::new();
    for maker in MAKERS {
        for after in code.split(maker).skip(1) {
            // The code is the first argument, or the second after a key.
            let arguments: Vec<&str> = after.split(',').take(3).collect();
            let made = codes_in(&arguments.join(","));
            unlisted.extend(made.into_iter().filter(|m| !CODES.iter().any(|c| c.code == *m)));
        }
    }
    assert!(unlisted.is_empty(), "not in the list: {unlisted:?}");
}
