//! What goes with each builtin definition: a page, a logo, and surfaces whose proofs are there.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use sallygate_definitions::page::{file_name, page};
use sallygate_definitions::source::SourceFile;
use sallygate_definitions::{Definition, Registry};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn builtin() -> Vec<(Definition, &'static str)> {
    let read = |(name, text): &(&str, &'static str)| {
        (Definition::read(&SourceFile::new(*name, *text)).unwrap(), *text)
    };
    Registry::builtin_files().iter().map(read).collect()
}

#[test]
fn every_definition_has_a_page_that_is_made_from_it() {
    let dir = root().join("docs/reference/integrations");
    for (definition, source) in builtin() {
        let path = dir.join(file_name(&definition));
        let there = fs::read_to_string(&path).unwrap_or_default();
        let fresh = there.ends_with(&page(&definition, source));
        assert!(fresh, "stale, run `sallygate internal reference`: {}", path.display());
    }
    let count = fs::read_dir(&dir).unwrap().count();
    assert_eq!(count, builtin().len(), "a page is about a definition that there is not");
}

#[test]
fn every_family_has_a_logo_that_loads_nothing() {
    for (definition, _) in builtin() {
        assert_eq!(definition.logo_key, definition.family_id);
        let name = format!("integrations/{}/logo.svg", definition.logo_key);
        let logo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&name));
        let logo = logo.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(logo.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{name}");
        for active in ["<script", "href", "url(", "<image", "<foreignObject", "onload"] {
            assert!(!logo.contains(active), "{name} has `{active}`");
        }
    }
}

#[test]
fn every_surface_names_a_proof_that_is_there() {
    let mut proven = 0;
    for (definition, _) in builtin() {
        for contract in &definition.contracts {
            if let Some(path) = &contract.verify_path {
                assert!(root().join(path).is_file(), "{}: {path}", definition.key());
                proven += 1;
            }
        }
    }
    assert!(proven > 20, "{proven}");
}

/// What stands in a table stays in its cell, whatever a definition of an operator says.
#[test]
fn a_page_is_not_broken_by_what_a_definition_says() {
    let (_, echo) =
        *Registry::builtin_files().iter().find(|(name, _)| name.contains("echo")).unwrap();
    let odd =
        echo.replace("\"/get\"", "\"/a|b\"").replace("label = \"Token\"\n", "label = \"a | b\"\n");
    let definition = Definition::read(&SourceFile::new("odd.toml", odd.clone())).unwrap();
    let page = page(&definition, &odd);
    assert!(page.contains("`/a\\|b`") && page.contains("a \\| b"), "{page}");
}
