//! Contracts say what is so: every surface that they name is served or there, every test that they
//! name exists, and nothing is served that none of them is about.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails where what it relies on is not there"
)]

#[expect(dead_code, reason = "every test file uses its part of the scene")]
mod scene;
#[expect(dead_code, reason = "only one of the databases is needed")]
mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sallygate_control::api::SURFACES;
use sallygate_control::contracts::{self, Entry};
use sallygate_control::{compatibility, variables};
use sallygate_definitions::Registry;
use sallygate_definitions::contract::surface::{Stability, SurfaceType};
use scene::Api;
use world::World;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

fn own() -> Vec<Entry> {
    contracts::own().expect("the entries can be read")
}

/// Every path of the document, and the discovery surfaces.
async fn served() -> BTreeSet<String> {
    let api = Api::new(World::sqlite()).await;
    let document = api.get("/openapi.json").await.expect(200).body;
    let paths = document["paths"].as_object().expect("paths").keys().cloned();
    let mut served: BTreeSet<String> = paths.collect();
    assert!(served.len() > 25, "{served:?}");
    for surface in SURFACES {
        api.ask("GET", surface).without("authorization").send().await.expect(200);
        served.insert(surface.to_owned());
    }
    served
}

/// What is wrong with an entry, given what is served.
fn mistakes(entry: &Entry, served: &BTreeSet<String>) -> Vec<String> {
    let it = &entry.contract;
    let mut wrong = Vec::new();
    let planned = it.stability == Stability::Planned;
    let is_served = served.iter().any(|path| entry.covers(path));
    let is_ours = entry.source == contracts::OWN;
    if it.surface.starts_with('/') {
        match (planned, is_served) {
            (true, true) => wrong.push(format!("`{}` is served: no longer planned", it.surface)),
            (false, false) => wrong.push(format!("`{}` is not served", it.surface)),
            (true, false) | (false, true) => {}
        }
    } else if is_ours && !planned && !root().join(&it.surface).exists() {
        wrong.push(format!("`{}` does not exist", it.surface));
    }
    for route in it.protected_routes.iter().filter(|_| !planned) {
        if !served.contains(route) {
            wrong.push(format!("the protected route `{route}` is not served"));
        }
    }
    if let Some(route) = it.runtime_readback.as_ref().filter(|route| route.starts_with('/'))
        && !served.contains(route)
    {
        wrong.push(format!("what is read back, `{route}`, is not served"));
    }
    match &it.verify_path {
        Some(path) => wrong.extend(unproved(path)),
        None if is_ours && !planned => wrong.push("nothing proves it".to_owned()),
        None => {}
    }
    wrong
}

/// `file` or `file::function`, a file with tests.
fn unproved(path: &str) -> Option<String> {
    let (file, function) = path.split_once("::").map_or((path, None), |(f, t)| (f, Some(t)));
    let Ok(text) = std::fs::read_to_string(root().join(file)) else {
        return Some(format!("`{file}` does not exist"));
    };
    let is_test = ["#[test]", "#[tokio::test]", "on_both_databases!"];
    if !is_test.iter().any(|mark| text.contains(mark)) {
        return Some(format!("`{file}` has no test"));
    }
    let function = function?;
    let there = text.contains(&format!("fn {function}("));
    (!there).then(|| format!("`{file}` has no `{function}`"))
}

fn all_mistakes(entries: &[Entry], served: &BTreeSet<String>) -> Vec<String> {
    let of = |entry: &Entry| {
        let id = entry.id.clone();
        mistakes(entry, served).into_iter().map(move |wrong| format!("{id}: {wrong}"))
    };
    entries.iter().flat_map(of).collect()
}

#[tokio::test]
async fn every_entry_is_about_something_that_is_there() {
    let entries = contracts::all(&Registry::builtin()).expect("the entries can be read");
    assert!(entries.len() > 60, "{}", entries.len());
    let wrong = all_mistakes(&entries, &served().await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn everything_that_is_served_has_an_entry() {
    let mut paths = served().await;
    paths.extend(literals());
    let entries = own();
    let without = |path: &&String| !entries.iter().any(|entry| entry.covers(path));
    let without: Vec<&String> = paths.iter().filter(without).collect();
    assert!(without.is_empty(), "nobody says what these are: {without:?}");
}

/// The paths that the code of the API spells, those too that are not in its document.
fn literals() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![root().join("control/src/api")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a file");
                let quoted = text.split("route(\"").skip(1).filter_map(|t| t.split('"').next());
                found.extend(quoted.filter(|text| text.starts_with('/')).map(str::to_owned));
            }
        }
    }
    assert!(found.len() > 8, "{found:?}");
    found
}

/// The checks above fail for what is wrong: a check that cannot fail proves nothing.
#[tokio::test]
async fn an_entry_about_nothing_is_found() {
    let served = served().await;
    let good = own().into_iter().find(|entry| entry.id == "targets").expect("an entry");
    let wrong = |change: fn(&mut Entry)| {
        let mut entry = good.clone();
        change(&mut entry);
        mistakes(&entry, &served)
    };
    assert_eq!(wrong(|_| {}), Vec::<String>::new());
    assert_eq!(wrong(|e| e.contract.surface = "/v1/integration/target".into()).len(), 1);
    assert_eq!(wrong(|e| e.contract.surface = "scripts/none.sh".into()).len(), 1);
    assert_eq!(wrong(|e| e.contract.stability = Stability::Planned).len(), 1);
    assert_eq!(wrong(|e| e.contract.verify_path = None).len(), 1);
    assert_eq!(wrong(|e| e.contract.verify_path = Some("control/tests/none.rs".into())).len(), 1);
    assert_eq!(wrong(|e| e.contract.verify_path = Some("Cargo.toml".into())).len(), 1);
    let no_function = |entry: &mut Entry| {
        entry.contract.verify_path = Some("control/tests/api.rs::no_such_test".into());
    };
    assert_eq!(wrong(no_function).len(), 1);
    assert_eq!(wrong(|e| e.contract.runtime_readback = Some("/v1/none".into())).len(), 1);
    assert_eq!(wrong(|e| e.contract.protected_routes = vec!["/v1/none".into()]).len(), 1);
}

#[tokio::test]
async fn contractz_tells_every_entry() {
    let api = Api::new(World::sqlite()).await;
    let told = api.ask("GET", "/contractz").without("authorization").send().await.expect(200).body;
    assert_eq!(told["schemaVersion"], 1);
    let entries = told["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), contracts::all(&Registry::builtin()).expect("entries").len());
    for entry in entries {
        for required in [
            "id",
            "source",
            "direction",
            "type",
            "surface",
            "auth",
            "stability",
            "versioning",
            "owner",
        ] {
            assert!(entry[required].as_str().is_some_and(|text| !text.is_empty()), "{entry}");
        }
    }
    let of = |kind: SurfaceType| serde_json::to_value(kind).expect("a word");
    assert!(entries.iter().any(|entry| entry["type"] == of(SurfaceType::DatabaseContract)));
}

/// Pages that are made from data are what they would be made to now.
#[test]
fn the_pages_are_fresh() {
    let registry = Registry::builtin();
    let entries = contracts::all(&registry).expect("the entries can be read");
    for (path, page) in [
        ("docs/INTEGRATIONS.md", contracts::page(&entries)),
        ("COMPATIBILITY_MATRIX.md", compatibility::page(&registry)),
        ("docs/ENVIRONMENT.md", variables::page()),
        (".env.example", variables::example()),
    ] {
        let there = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        assert!(there == page, "`{path}` is stale: run `sallygate internal reference`");
    }
}
